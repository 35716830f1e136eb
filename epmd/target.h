/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_TARGET_H
#define KEPMD_EPMD_TARGET_H

/* One node that a peer may run: its full name, and the port that the peer's epmd
 * gives for it.  As long as the port is known, the node stands in the registry.
 *
 * The question is asked again, for ever, with backoff, while there is no answer or
 * a negative one.  An answer that does not come never takes away a port that is
 * known; the word of the peer's own epmd does. */

#include <stddef.h>
#include <stdint.h>

#include "discovery/peer.h"
#include "registry.h"

struct event_base;
struct target;

/* What all targets share. */
struct target_context {
	struct event_base *base;
	struct registry *registry;
	uint16_t epmd_port;    /* of the peers' epmds */
	uint16_t dist_port;    /* fixed distribution port, or 0: ask */
	const char *dist_name; /* or the name of an endpoint port, or NULL */
	unsigned in_flight;    /* questions under way */
	size_t n_targets;
};

/* Questions under way at once; more wait. */
#define TARGET_IN_FLIGHT_MAX 64

/* A target for the node NAME (full, ALIVE before the @) of PEER; strings are
 * copied.  VISIBLE_ONLY: a hidden node there does not count.  The first question is
 * asked at once, or, with many targets, after a jitter.  NULL when memory is out. */
struct target *target_new(struct target_context *context, const struct peer *peer,
                          const char *alive, const char *name, bool visible_only);
/* Takes it out of the registry too. */
void target_free(struct target *target);

const char *target_alive(const struct target *target);
const char *target_name(const struct target *target);

/* PEER, which it was made from, has changed in what does not make its name or
 * address: look again, soon. */
void target_doubt(struct target *target, const struct peer *peer);

#endif
