/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include <event2/event.h>

#include "clock.h"
#include "peerset.h"
#include "peerset_timer.h"

struct peerset_timer {
	struct peerset *set;
	struct event *event;
};

void peerset_timer_touch(struct peerset_timer *timer)
{
	int64_t wait = peerset_settle(timer->set, clock_now_ms());

	if (wait < 0)
		return;
	struct timeval delay = clock_delay((uint64_t)wait + 1);
	event_add(timer->event, &delay);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	peerset_timer_touch(arg);
}

struct peerset_timer *peerset_timer_new(struct event_base *base, struct peerset *set)
{
	struct peerset_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return NULL;
	timer->set = set;
	timer->event = evtimer_new(base, on_time, timer);
	if (!timer->event) {
		free(timer);
		return NULL;
	}
	return timer;
}

void peerset_timer_free(struct peerset_timer *timer)
{
	if (!timer)
		return;
	event_free(timer->event);
	free(timer);
}
