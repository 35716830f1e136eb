/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_PEERS_H
#define KEPMD_EPMD_PEERS_H

/* From peers (addresses that discovery tells) to nodes: which names to look for on
 * which peer.  Finding the port of each is target.h's. */

#include <stdint.h>

#include "cluster.h"
#include "discovery/peer.h"
#include "registry.h"

struct event_base;
struct peers;

/* CLUSTER and REGISTRY are borrowed and must outlive it; it takes the registry's
 * on_change.  EPMD_PORT: where peers' epmds listen.  NULL when memory is out. */
struct peers *peers_new(struct event_base *base, struct registry *registry,
                        const struct cluster *cluster, uint16_t epmd_port);
void peers_free(struct peers *peers);

/* As source_events.peer_changed: AFTER is new or changed, or BEFORE is gone.  A
 * peer at one of this host's own addresses is left out. */
void peers_changed(struct peers *peers, const struct peer *before, const struct peer *after);

#endif
