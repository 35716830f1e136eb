/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_JOIN_MESH_H
#define KEPMD_EPMD_JOIN_MESH_H

/* One local node and all its peers: which of them it is connected with, and which
 * it is asked to dial, when.
 *
 * Looks come before dials (look.h), the pace is pair.h's.  A node whose applications
 * have just come up dials at once; later it leaves newcomers the time to do that
 * themselves, and then waits a little by chance, the longer the more peers there
 * are. */

#include "epmd/join/local.h"
#include "epmd/join/pair.h"
#include "epmd/join/remote.h"

struct mesh;

/* Dials under way at once (a node's listen backlog is 128). */
#define MESH_DIALS_MAX 16
/* So long after its applications came up is a node a newcomer. */
#define MESH_NEWCOMER_MS 10000
/* So long is a newcomer left to dial by itself, and by chance so much longer per
 * peer, up to a bound. */
#define MESH_GRACE_MS 3000
#define MESH_SPREAD_PER_PEER_MS 50
#define MESH_SPREAD_MAX_MS 10000

struct mesh_settings {
	struct event_base *base;
	struct remotes *remotes;
	bool initial; /* never dial again who was joined once */
};

/* A peer is connected with the node, or not any more. */
typedef void mesh_connected_fn(void *arg, const struct remote *remote, bool connected);

/* SETTINGS and LOCAL are borrowed and must outlive it.  NULL when memory is out. */
struct mesh *mesh_new(const struct mesh_settings *settings, struct local *local,
                      mesh_connected_fn *connected, void *arg);
void mesh_free(struct mesh *mesh);

/* The local node can be asked, or cannot any more. */
void mesh_start(struct mesh *mesh);
void mesh_stop(struct mesh *mesh);

/* As remotes_events. */
void mesh_renewed(struct mesh *mesh, struct remote *remote);
void mesh_changed(struct mesh *mesh, struct remote *remote);
void mesh_removed(struct mesh *mesh, struct remote *remote);
void mesh_looked(struct mesh *mesh, struct remote *remote, const struct look_result *seen);

/* How things stand with REMOTE; *REASON is a phrase or "", borrowed. */
enum pair_outcome mesh_outcome(const struct mesh *mesh, const struct remote *remote,
                               const char **reason);
/* Since when the reason is another than "", by clock_now_ms. */
uint64_t mesh_trouble_ms(const struct mesh *mesh, const struct remote *remote);

#endif
