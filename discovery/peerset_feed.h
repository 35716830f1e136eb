/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_PEERSET_FEED_H
#define KEPMD_DISCOVERY_PEERSET_FEED_H

/* Puts all that a place knows into one scope of a peer set, bit by bit, so that others have their
 * turn: each new peer is a node to ask for, and a line in the log.  Until all is put nothing goes
 * from the set. */

#include <stdbool.h>
#include <stddef.h>

#include "kube_object.h"
#include "peerset.h"

struct event_base;
struct peerset_feed;

struct peerset_feed_events {
	void (*touched)(void *arg);         /* peerset_settle has new work, perhaps */
	void (*done)(void *arg, bool good); /* or not: memory was out, and nothing has gone */
	void *arg;
};

/* NULL when memory is out.  SET is borrowed. */
struct peerset_feed *peerset_feed_new(struct event_base *base, struct peerset *set, unsigned scope,
                                      const struct peerset_feed_events *events);
void peerset_feed_free(struct peerset_feed *feed);

/* From now on these N are what the scope holds; the array (malloc(3)) and all in it is taken over.
 * Their keys do not count.  If the last ones are still being put, these are instead.
 * DONE may be called from within. */
void peerset_feed_begin(struct peerset_feed *feed, struct kube_object *objects, size_t n);

#endif
