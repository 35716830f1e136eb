/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_PEERS_H
#define KEPMD_EPMD_PEERS_H

/* From peers (addresses that discovery tells) to nodes: which names to look for on
 * which peer.  Finding the port of each is target.h's. */

#include <stdint.h>

#include "cluster.h"
#include "discovery/peer.h"
#include "registry.h"
#include "target.h"

struct event_base;
struct peers;

/* CLUSTER and REGISTRY are borrowed and must outlive it; it takes the registry's
 * on_change.  EPMD_PORT: where peers' epmds listen.  NULL when memory is out. */
struct peers *peers_new(struct event_base *base, struct registry *registry,
                        const struct cluster *cluster, uint16_t epmd_port);
void peers_free(struct peers *peers);

/* A node that a peer may run; strings are borrowed. */
struct peer_node {
	struct target *target; /* which also is its identity */
	const char *name;      /* full */
	const char *label;     /* the name and the pod, for log lines */
	const struct peer *peer;
	uint16_t port;      /* 0: not known */
	const char *reason; /* why not, as a phrase */
	enum target_trouble trouble;
	uint64_t trouble_ms; /* since when, of clock_now_ms */
};

struct peers_events {
	/* It is new, or its peer or its port has changed.  Where several peers give one name, it is
	 * the one whose port the registry shows. */
	void (*node_changed)(void *arg, const struct peer_node *node);
	/* If another peer still gives a port under that name, node_changed tells so next. */
	void (*node_gone)(void *arg, const struct peer_node *node);
	void *arg;
};
/* Tells EVENTS (copied) of all nodes from now on, those that are known first; NULL:
 * nobody.  What is told is in the registry already. */
void peers_watch(struct peers *peers, const struct peers_events *events);

typedef void peers_peer_fn(void *arg, const struct peer *peer);
void peers_each(const struct peers *peers, peers_peer_fn *fn, void *arg);

typedef void peers_node_fn(void *arg, const struct peer_node *node);
void peers_each_node(const struct peers *peers, peers_node_fn *fn, void *arg);

/* How many peers there are for which no node name can be built; *PEER is one of them, and *WHY a
 * phrase about it (as peername_build). */
size_t peers_unnamed(const struct peers *peers, const struct peer **peer, const char **why);

/* The peer that is this host, as the source knows it; NULL when the source knows of none. */
const struct peer *peers_own(const struct peers *peers);

/* As source_settings.is_own, with the peers as ARG. */
bool peers_is_own_address(void *arg, const char *address);

/* As source_events.peer_changed: AFTER is new or changed, or BEFORE is gone.  A
 * peer at one of this host's own addresses is left out; where these cannot be read, new
 * peers wait until they can. */
void peers_changed(struct peers *peers, const struct peer *before, const struct peer *after);

#endif
