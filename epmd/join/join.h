/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_JOIN_JOIN_H
#define KEPMD_EPMD_JOIN_JOIN_H

/* Makes the local nodes join the discovered ones, which a node never does on epmd's
 * word alone: epmd connects to each local visible node as a hidden node and asks it
 * to dial those peers that it is not connected with.  ARCHITECTURE.md says why so. */

#include <stdbool.h>
#include <stddef.h>

#include "epmd/cluster.h"
#include "epmd/join/pair.h"
#include "epmd/peers.h"
#include "epmd/registry.h"

struct event_base;
struct join;
struct local;

/* CLUSTER, REGISTRY and PEERS are borrowed and must outlive it; it becomes the one
 * that PEERS tells of nodes.  NULL when memory is out. */
struct join *join_new(struct event_base *base, struct registry *registry, struct peers *peers,
                      const struct cluster *cluster);
void join_free(struct join *join);

/* At run time: off leaves every node alone, links to local nodes included; on is as good
 * as ERL_EPMD_JOIN=on, also where that was "initial". */
void join_switch(struct join *join, bool on);
bool join_is_on(const struct join *join);

/* How things stand with the discovered node NAME: *REASON is a phrase or "", borrowed
 * until the loop runs again. */
enum pair_outcome join_outcome(const struct join *join, const char *name, const char **reason);
/* Since when the two are in that trouble, by clock_now_ms. */
uint64_t join_trouble_ms(const struct join *join, const char *name);

/* The local node that was registered so; NULL when it is none that shall join, or joining is
 * off.  Borrowed until the loop runs again. */
const struct local *join_find_local(const struct join *join, const char *alive, uint32_t creation);
/* Does ALIVE name a node that shall join? */
bool join_is_basename(const struct cluster *cluster, const char *alive);

#endif
