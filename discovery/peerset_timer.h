/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_PEERSET_TIMER_H
#define KEPMD_DISCOVERY_PEERSET_TIMER_H

/* Comes back to a peer set when the settling of a peer is over (peerset_settle). */

struct event_base;
struct peerset;
struct peerset_timer;

/* NULL when memory is out.  SET is borrowed, and must not be freed before. */
struct peerset_timer *peerset_timer_new(struct event_base *base, struct peerset *set);
/* TIMER may be NULL. */
void peerset_timer_free(struct peerset_timer *timer);

/* The set was changed: what has settled is told of, and the timer set for what is to settle. */
void peerset_timer_touch(struct peerset_timer *timer);

#endif
