/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_PEER_UNION_H
#define KEPMD_DISCOVERY_PEER_UNION_H

/* What the contributions of many objects add up to: one peer per key, and the
 * changes of that.  The half of peerset.h that knows nothing of objects; for
 * peerset.c only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer.h"
#include "peerset.h"

struct member;

/* One object's copy of a peer.  Its owner keeps it in place from _add to _remove. */
struct contribution {
	struct peer peer;
	const char *object;    /* borrowed: the object's name */
	struct member *member; /* by peer_union_find */
	bool missing;          /* kept though its object has it no more: see peerset.c */
	struct contribution *prev, *next;
};

struct peer_union;

struct peer_union *peer_union_new(bool prefer_ipv6, peerset_changed_fn *changed, void *arg);
/* Contributions must have been removed. */
void peer_union_free(struct peer_union *u);

/* Finds or makes what all contributions with KEY belong to.  NULL when memory is
 * out.  It must be added to before the next _refresh, or is forgotten then. */
struct member *peer_union_find(struct peer_union *u, const char *key);

void peer_union_add(struct peer_union *u, struct contribution *contribution);
void peer_union_remove(struct peer_union *u, struct contribution *contribution);

/* Whether OBJECT (the pointer that its contributions have) contributes to MEMBER with one
 * that is not missing. */
bool peer_union_has(const struct member *member, const char *object);

/* Tells what _add and _remove have changed.  Returns -1 when memory is out. */
int peer_union_refresh(struct peer_union *u, uint64_t now_ms);

/* See peerset_settle and peerset_count. */
int64_t peer_union_settle(struct peer_union *u, uint64_t now_ms);
size_t peer_union_count(const struct peer_union *u);

#endif
