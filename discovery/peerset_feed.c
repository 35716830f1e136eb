/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "clock.h"
#include "peerset_feed.h"

/* How long peers are put before others have their turn. */
#define TURN_MS 3

struct peerset_feed {
	struct peerset *set;
	unsigned scope;
	struct peerset_feed_events events;
	struct kube_object *objects;
	size_t n, n_put;
	struct event *turn;
};

static void clear(struct peerset_feed *feed)
{
	event_del(feed->turn);
	for (size_t i = 0; i < feed->n; i++)
		kube_object_clear(&feed->objects[i]);
	free(feed->objects);
	feed->objects = NULL;
	feed->n = feed->n_put = 0;
}

static bool put_next(struct peerset_feed *feed, uint64_t now)
{
	struct kube_object *object = &feed->objects[feed->n_put];
	size_t n = object->n_peers;
	char name[32];

	snprintf(name, sizeof(name), "%zu", feed->n_put++);
	object->n_peers = 0; /* the set takes over what is in them */
	return peerset_put(feed->set, feed->scope, name, object->peers, n, now) == 0;
}

/* Puts objects as long as it may. */
static void take_turn(struct peerset_feed *feed)
{
	const struct timeval next_turn = {0};
	uint64_t begun = clock_now_ms(), now = begun;
	bool good = true;

	while (good && feed->n_put < feed->n && now < begun + TURN_MS) {
		good = put_next(feed, now);
		now = clock_now_ms();
	}
	bool done = !good || feed->n_put == feed->n;
	if (!done)
		event_add(feed->turn, &next_turn);
	else if (good)
		peerset_replace_end(feed->set, feed->scope, now);
	if (done)
		clear(feed);
	feed->events.touched(feed->events.arg);
	if (done)
		feed->events.done(feed->events.arg, good);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	take_turn(arg);
}

struct peerset_feed *peerset_feed_new(struct event_base *base, struct peerset *set, unsigned scope,
                                      const struct peerset_feed_events *events)
{
	struct peerset_feed *feed = calloc(1, sizeof(*feed));

	if (!feed)
		return NULL;
	feed->set = set;
	feed->scope = scope;
	feed->events = *events;
	feed->turn = evtimer_new(base, on_turn, feed);
	if (feed->turn)
		return feed;
	free(feed);
	return NULL;
}

void peerset_feed_free(struct peerset_feed *feed)
{
	if (!feed)
		return;
	clear(feed);
	event_free(feed->turn);
	free(feed);
}

void peerset_feed_begin(struct peerset_feed *feed, struct kube_object *objects, size_t n)
{
	clear(feed);
	feed->objects = objects;
	feed->n = n;
	peerset_replace_begin(feed->set, feed->scope);
	take_turn(feed);
}
