/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_JOIN_REMOTE_H
#define KEPMD_EPMD_JOIN_REMOTE_H

/* The peers' nodes as joining sees them, by full name, and the looks at them; all local
 * nodes share both. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discovery/hash.h"
#include "epmd/join/look.h"
#include "epmd/peers.h"

struct event_base;
struct remotes;

struct remote {
	struct remotes *remotes;
	char *name;  /* full node name */
	char *label; /* for log lines: the name and the pod */
	char *address;
	uint16_t port; /* 0: not known, so nobody dials it */
	bool terminating;
	bool serving;
	struct target *target;

	struct look *look;
	UT_hash_handle hh;
	bool hash_add_failed;
};

struct remotes_events {
	/* A new one, or one with another address or port. */
	void (*renewed)(void *arg, struct remote *remote);
	void (*changed)(void *arg, struct remote *remote); /* terminating, serving */
	void (*removed)(void *arg, struct remote *remote); /* it is about to go */
	/* A look has ended; SEEN is borrowed for the call. */
	void (*looked)(void *arg, struct remote *remote, const struct look_result *seen);
	void *arg;
};

/* Looks under way at once; more must wait. */
#define REMOTE_LOOKS_MAX 64

/* CREATION: what we show for ours.  NULL when memory is out. */
struct remotes *remotes_new(struct event_base *base, uint32_t creation,
                            const struct remotes_events *events);
/* Tells nothing. */
void remotes_free(struct remotes *remotes);

/* As peers_events.node_changed and node_gone. */
void remotes_changed(struct remotes *remotes, const struct peer_node *node);
void remotes_gone(struct remotes *remotes, const struct peer_node *node);

/* The host part of the name that looks are made under. */
void remotes_set_host(struct remotes *remotes, const char *host);

/* Looks at REMOTE, if nobody does yet; `looked` tells the end, from within the call where
 * the look cannot even begin.  False when too many looks are under way: try again
 * later. */
bool remote_look(struct remote *remote);

struct remote *remotes_find(const struct remotes *remotes, const void *name, size_t len);
struct remote *remotes_first(const struct remotes *remotes);
struct remote *remotes_next(const struct remote *remote);

#endif
