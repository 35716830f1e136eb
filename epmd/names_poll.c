/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "crowd.h"
#include "discovery/clock.h"
#include "log.h"
#include "names_poll.h"
#include "query.h"

/* How long an answer is believed, at least. */
#define AGAIN_MS 15000

struct names_poll {
	struct event_base *base;
	struct crowd *crowd;
	char *address;
	uint16_t epmd_port;
	struct event *timer;
	struct query *query;
	names_poll_fn *told;
	void *arg;
	struct name_list before; /* what the last answer had */
	bool said_many; /* that it has more names than are looked for */
};

static void ask_in(const struct names_poll *poll, uint64_t ms)
{
	const struct timeval delay = clock_delay(ms);

	if (event_add(poll->timer, &delay) < 0)
		log_error("peer %s: no memory to ask for its names again", poll->address);
}

static void say_many(struct names_poll *poll)
{
	if (!poll->said_many)
		log_warning("peer %s: its epmd tells more than %d names; the others are not "
		            "looked for: set ERL_EPMD_BASENAME to those that matter",
		            poll->address, NAME_LIST_MAX);
	poll->said_many = true;
}

/* Nodes of one host are few; what tells thousands is no epmd of theirs. */
static void read_names(struct names_poll *poll, struct epmd_names_walk *walk,
                       struct name_list *list)
{
	struct wire_bytes name;
	uint16_t port;

	for (int n = 0; epmd_names_walk_next(walk, &name, &port); n++) {
		if (n == NAME_LIST_MAX) {
			say_many(poll);
			return;
		}
		if (name_list_add(list, name) < 0)
			log_error("peer %s: no memory for its names", poll->address);
	}
}

static struct wire_bytes bytes_of(const char *text)
{
	return (struct wire_bytes){(const uint8_t *)text, strlen(text)};
}

/* Tells NAMES, which it takes over, and what the answer before had. */
static void tell(struct names_poll *poll, struct name_list *names)
{
	struct name_list both = poll->before;

	poll->before = *names;
	for (size_t i = 0; i < names->n; i++)
		if (name_list_add(&both, bytes_of(names->names[i])) < 0)
			log_error("peer %s: no memory for its names", poll->address);
	poll->told(poll->arg, &both);
	name_list_clear(&both);
}

/* Why the answer, LEN bytes, cannot be used; NULL when it can.  Whole lines only: the end of the
 * connection is all that ends an answer. */
static const char *fault_of(struct epmd_names_walk *walk, const uint8_t *bytes, size_t len)
{
	if (!epmd_names_walk_start(walk, bytes, len))
		return "what answers there is no epmd";
	if (walk->rest.len && bytes[len - 1] != '\n')
		return "its answer was cut short";
	return NULL;
}

static void on_answer(void *arg, const uint8_t *bytes, size_t len, const char *error)
{
	struct names_poll *poll = arg;
	struct epmd_names_walk walk;
	struct name_list list = {0};

	poll->query = NULL;
	ask_in(poll, crowd_doubt_wait(poll->crowd, AGAIN_MS));
	if (!error)
		error = fault_of(&walk, bytes, len);
	if (error) {
		log_debug("peer %s: its epmd does not tell its names: %s", poll->address, error);
		return;
	}
	read_names(poll, &walk, &list);
	tell(poll, &list);
}

static void ask(evutil_socket_t fd, short what, void *arg)
{
	static const struct epmd_request request = {.code = EPMD_NAMES_REQ};
	struct names_poll *poll = arg;
	struct sockaddr_any address;

	(void)fd;
	(void)what;
	if (!sockaddr_parse(poll->address, poll->epmd_port, &address))
		return;
	if (crowd_is_full(poll->crowd)) {
		ask_in(poll, crowd_full_wait());
		return;
	}
	poll->query =
	    query_start(poll->base, poll->crowd, &address, &request, on_answer, poll);
	if (!poll->query)
		ask_in(poll, AGAIN_MS);
}

struct names_poll *names_poll_new(struct event_base *base, struct crowd *crowd,
                                  const char *address, uint16_t epmd_port, names_poll_fn *told,
                                  void *arg)
{
	struct names_poll *poll = calloc(1, sizeof(*poll));

	if (!poll)
		return NULL;
	poll->base = base;
	poll->crowd = crowd;
	crowd->n++;
	poll->address = strdup(address);
	poll->epmd_port = epmd_port;
	poll->told = told;
	poll->arg = arg;
	poll->timer = evtimer_new(base, ask, poll);
	if (!poll->address || !poll->timer) {
		names_poll_free(poll);
		return NULL;
	}
	ask_in(poll, crowd_first_wait(crowd));
	return poll;
}

void names_poll_free(struct names_poll *poll)
{
	if (!poll)
		return;
	poll->crowd->n--;
	query_cancel(poll->query);
	if (poll->timer)
		event_free(poll->timer);
	name_list_clear(&poll->before);
	free(poll->address);
	free(poll);
}
