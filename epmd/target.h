/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_TARGET_H
#define KEPMD_EPMD_TARGET_H

/* One node that a peer may run: its full name, and the port that the peer's epmd
 * gives for it.  As long as the port is known, the node stands in the registry.
 *
 * The question is asked again, for ever, with backoff, while there is no answer or
 * a negative one.  An answer that does not come never takes away a port that is
 * known; the word of the peer's own epmd does. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discovery/peer.h"
#include "registry.h"

/* What is wrong with the last answer, also where an older port is known. */
enum target_trouble {
	TARGET_FINE,         /* or not asked yet */
	TARGET_NO_ANSWER,    /* nobody, or no epmd */
	TARGET_NO_NODE,      /* its epmd knows no such node */
	TARGET_NO_PORT_NAME, /* ERL_EPMD_DIST names a port that the endpoint does not have */
	TARGET_TROUBLES
};

struct crowd;
struct event_base;
struct target;

/* What all targets share. */
struct target_context {
	struct event_base *base;
	struct registry *registry;
	uint16_t epmd_port;    /* of the peers' epmds */
	uint16_t dist_port;    /* fixed distribution port, or 0: ask */
	const char *dist_name; /* or the name of an endpoint port, or NULL */
	struct crowd *crowd;   /* all who ask */
	/* The target's port has become known, has changed, or is not known any more. */
	void (*port_changed)(void *owner, struct target *target);
};

/* A target for the node NAME (full, ALIVE before the @) of PEER; strings are
 * copied.  VISIBLE_ONLY: a hidden node there does not count.  OWNER is for
 * port_changed.  The first question is asked at once, or, with many targets, after a
 * jitter.  NULL when memory is out. */
struct target *target_new(struct target_context *context, const struct peer *peer,
                          const char *alive, const char *name, bool visible_only, void *owner);
/* Takes it out of the registry too. */
void target_free(struct target *target);

void *target_owner(const struct target *target);
const char *target_alive(const struct target *target);
const char *target_name(const struct target *target);
/* The name and the pod, for log lines. */
const char *target_label(const struct target *target);
/* 0: not known; target_reason says why, as a phrase, or "" before the first answer. */
uint16_t target_port(const struct target *target);
const char *target_reason(const struct target *target);
enum target_trouble target_trouble(const struct target *target);
/* Since when it is in that trouble, by clock_now_ms. */
uint64_t target_trouble_ms(const struct target *target);

/* PEER, which it was made from, has changed in what does not make its name or
 * address: look again, soon. */
void target_doubt(struct target *target, const struct peer *peer);

/* Nobody listens at its port: the node there may have started again, at another.  Its epmd is asked
 * soon; what is known stays until that answers. */
void target_port_refused(struct target *target);

/* A local node is connected with it: its port need not be asked for.  Or is not any
 * more: it may have another one. */
void target_set_connected(struct target *target, bool connected);

#endif
