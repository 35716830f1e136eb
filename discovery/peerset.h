/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_PEERSET_H
#define KEPMD_DISCOVERY_PEERSET_H

/* The union of what many objects (EndpointSlices, Endpoints) contribute, and
 * the changes of that union.  Pure: no I/O, no clock (times are handed in,
 * milliseconds of a monotonic clock), no log.
 *
 * Rules (Kubernetes EndpointSlice documentation, "Duplicate endpoints"):
 * - the contribution of each object is kept under its name; a deleted object
 *   takes away only its own;
 * - while the controller moves an endpoint it stands in two slices: the copy
 *   that is not terminating wins, then the one that is ready;
 * - a pod behind several Services has a copy from each: named ports that only
 *   other copies know are added to the copy that wins;
 * - a dual-stack Service has a slice per family: endpoints with one key (the
 *   pod's uid) are one peer, shown by its address of the preferred family
 *   wherever one is known;
 * - changes across slices are not atomic, so a peer that is in no object any
 *   more leaves PEERSET_SETTLE_MS later, unless it comes back before; likewise
 *   one that is left with an address of the other family only;
 * - an address taken over by another key evicts a peer that is settling at once,
 *   before the new holder is told of.  Until the old holder's object is changed,
 *   two peers may have one address.
 *
 * Cost of a change is proportional to the object changed, not to the set. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer.h"

#define PEERSET_SETTLE_MS 1000

/* Told for each change of the union; same meaning as in source_events.  Must not
 * call into the set. */
typedef void peerset_changed_fn(void *arg, const struct peer *before, const struct peer *after);

struct peerset;

/* PREFER_IPV6: which address a dual-stack peer is shown by. NULL: no memory. */
struct peerset *peerset_new(bool prefer_ipv6, peerset_changed_fn *changed, void *arg);
void peerset_free(struct peerset *set);

/* The object OBJECT ("namespace/name", unique within SCOPE) now contributes the
 * N peers at PEERS, whose contents the set takes over (also on failure; the
 * array itself stays the caller's).  N == 0 is what a deleted object or an
 * empty slice contributes.  SCOPE tells apart the lists that are replaced as a
 * whole.  Returns 0, or -1 when memory is out (the set is then unchanged but
 * for this object). */
int peerset_put(struct peerset *set, unsigned scope, const char *object, struct peer *peers,
                size_t n, uint64_t now_ms);

/* A complete LIST of SCOPE is about to be put, object by object ... */
void peerset_replace_begin(struct peerset *set, unsigned scope);
/* ... and has been: objects of SCOPE not put since _begin are gone, and so are the peers that
 * those put have no more.  Until here what is put only adds.  A LIST that fails half-way is
 * simply begun again: nothing was taken away. */
void peerset_replace_end(struct peerset *set, unsigned scope, uint64_t now_ms);

/* All objects of SCOPE are gone (the kind of object read there has changed). */
void peerset_drop_scope(struct peerset *set, unsigned scope, uint64_t now_ms);

/* Tells of peers whose settling time is over.  Returns the milliseconds until
 * the next is due, or -1 when none is settling. */
int64_t peerset_settle(struct peerset *set, uint64_t now_ms);

/* Endpoints in the objects of SCOPE, doubles and those kept by a LIST under way included. */
size_t peerset_held(const struct peerset *set, unsigned scope);

/* Peers told of and not gone (settling ones count). */
size_t peerset_count(const struct peerset *set);

#endif
