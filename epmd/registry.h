/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_REGISTRY_H
#define KEPMD_EPMD_REGISTRY_H

/* Who is known by name.  Two populations that never mix:
 *
 * - local nodes, by alive name ("sample"), registered over the wire; names that
 *   were released are remembered for their creation;
 * - discovered nodes, by full node name ("sample@10.0.0.7"), so that they can
 *   never stand in the way of a local one.
 *
 * Creation as stock epmd counts it: a new name starts from the clock, and each
 * further registration of it is one more, never under 4 (OTP, "Distribution
 * Protocol", ALIVE2_X_RESP; reference: erts/epmd of OTP 25). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/epmd_msg.h"

/* Released names remembered: stock keeps so many, and fewer under -d. */
#define REGISTRY_RELEASED_MAX 1001
#define REGISTRY_RELEASED_MAX_DEBUG 6

struct registry;
struct local_node;

/* NULL when memory is out. */
struct registry *registry_new(size_t released_max);
void registry_free(struct registry *registry);

/* Somebody who is told after each registration and release of a local node, after
 * each discovered node that comes or goes, and after anything at all that is shown of nodes; each may
 * be NULL.  Lives at its owner's until registry_unwatch, or longer than the registry. */
struct registry_watcher {
	void (*local_changed)(void *arg);
	void (*discovered_changed)(void *arg);
	void (*changed)(void *arg); /* before the other two */
	void *arg;
	struct registry_watcher *prev, *next; /* the registry's */
};
void registry_watch(struct registry *registry, struct registry_watcher *watcher);
void registry_unwatch(struct registry *registry, struct registry_watcher *watcher);

/* --- local nodes ------------------------------------------------------------- */

enum registry_result {
	REGISTRY_OK,
	REGISTRY_TAKEN, /* the name is registered: see registry_owner */
	REGISTRY_NO_MEMORY
};

/* Registers NODE (copied).  FD is shown by DUMP; OWNER is the caller's and comes
 * back from registry_owner.  CLOCK_S: seconds since 1970, for the creation of a
 * new name.  On REGISTRY_OK *LOCAL is the registration, to be given to
 * registry_release. */
enum registry_result registry_register(struct registry *registry, const struct epmd_node *node,
                                       int fd, void *owner, uint32_t clock_s,
                                       struct local_node **local);
void registry_release(struct registry *registry, struct local_node *local);

uint32_t registry_creation(const struct local_node *local);

/* The OWNER of the local node NAME, or NULL when it is not registered. */
void *registry_owner(const struct registry *registry, struct wire_bytes name);

size_t registry_local_count(const struct registry *registry);

/* Local nodes, the newest registration first, then, with RELEASED, the names
 * released, the oldest first. */
struct local_view {
	struct epmd_node node; /* borrowed */
	int fd;
	uint32_t creation;
	bool registered;
};
typedef void registry_local_fn(void *arg, const struct local_view *view);
void registry_each_local(const struct registry *registry, bool released, registry_local_fn *fn,
                         void *arg);

/* --- discovered nodes -------------------------------------------------------- */

/* NODE->name is the full node name.  Replaces what OWNER has put under it before.  Of
 * several owners' nodes of one name that of the last owner to come is shown, and the name stays
 * as long as one of them does.  Returns 0; or -1 when memory is out, and then nothing has changed. */
int registry_put_discovered(struct registry *registry, const struct epmd_node *node, void *owner);
/* Takes out what OWNER has put under NAME, if it has. */
void registry_remove_discovered(struct registry *registry, struct wire_bytes name,
                                const void *owner);
/* Whose node is shown under NAME; NULL when there is none. */
void *registry_discovered_owner(const struct registry *registry, struct wire_bytes name);

/* In the order in which they were first put. */
typedef void registry_discovered_fn(void *arg, const struct epmd_node *node);
void registry_each_discovered(const struct registry *registry, registry_discovered_fn *fn,
                              void *arg);

/* --- both --------------------------------------------------------------------- */

/* What PORT2 answers for NAME: a local node, else a discovered one, else NULL.
 * Borrowed until the registry is changed. */
const struct epmd_node *registry_find(const struct registry *registry, struct wire_bytes name);

#endif
