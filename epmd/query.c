/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "discovery/clock.h"
#include "query.h"

#define FIRST_ROOM 512

struct query {
	struct crowd *crowd;
	int fd;
	int connect_errno; /* connect(2) failed at once */
	struct event *io;
	struct event *deadline;
	query_done_fn *done;
	void *arg;
	uint8_t request[EPMD_REQUEST_MAX];
	size_t request_len;
	uint8_t *answer;
	size_t len;
	size_t size;
};

static void free_query(struct query *query)
{
	query->crowd->under_way--;
	if (query->io)
		event_free(query->io);
	if (query->deadline)
		event_free(query->deadline);
	if (query->fd >= 0)
		close(query->fd);
	free(query->answer);
	free(query);
}

static void finish(struct query *query, const char *error)
{
	query->done(query->arg, error ? NULL : query->answer, query->len, error);
	free_query(query);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct query *query = arg;

	(void)fd;
	(void)what;
	finish(query, query->connect_errno ? strerror(query->connect_errno) : "no answer in time");
}

static bool make_room(struct query *query)
{
	if (query->len < query->size)
		return true;
	size_t size = query->size ? query->size * 2 : FIRST_ROOM;
	uint8_t *answer = size <= QUERY_ANSWER_MAX ? realloc(query->answer, size) : NULL;
	if (!answer)
		return false;
	query->answer = answer;
	query->size = size;
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct query *query = arg;

	(void)what;
	if (!make_room(query)) {
		finish(query, "its answer is too long");
		return;
	}
	ssize_t n = recv(fd, query->answer + query->len, query->size - query->len, 0);
	if (n > 0)
		query->len += (size_t)n;
	else if (n == 0)
		finish(query, query->len ? NULL : "it closed the connection without an answer");
	else if (errno != EAGAIN && errno != EINTR)
		finish(query, strerror(errno));
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct query *query = arg;
	int error = 0;
	socklen_t size = sizeof(error);

	(void)what;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error) {
		finish(query, strerror(error));
		return;
	}
	/* A new socket's buffer takes a whole request at once. */
	if (send(fd, query->request, query->request_len, MSG_NOSIGNAL) !=
	    (ssize_t)query->request_len) {
		finish(query, strerror(errno));
		return;
	}
	event_del(query->io);
	event_assign(query->io, event_get_base(query->io), fd, EV_READ | EV_PERSIST, on_readable,
	             query);
	if (event_add(query->io, NULL) < 0)
		finish(query, "out of memory");
}

/* Begins to connect.  A refusal that is known at once is told from the loop, as all
 * others are. */
static int begin(struct query *query, const struct sockaddr_any *address)
{
	if (connect(query->fd, (const struct sockaddr *)&address->storage, address->len) == 0 ||
	    errno == EINPROGRESS)
		return event_add(query->io, NULL);
	query->connect_errno = errno;
	return 0;
}

struct query *query_start(struct event_base *base, struct crowd *crowd,
                          const struct sockaddr_any *address, const struct epmd_request *request,
                          query_done_fn *done, void *arg)
{
	struct query *query = calloc(1, sizeof(*query));

	if (!query)
		return NULL;
	query->crowd = crowd;
	crowd->under_way++;
	query->done = done;
	query->arg = arg;
	query->request_len = epmd_request_encode(request, query->request, sizeof(query->request));
	query->fd =
	    socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (query->fd < 0 || query->request_len == 0)
		goto failed;
	query->io = event_new(base, query->fd, EV_WRITE, on_connected, query);
	query->deadline = evtimer_new(base, on_deadline, query);
	if (!query->io || !query->deadline || begin(query, address) < 0)
		goto failed;
	struct timeval delay = clock_delay(query->connect_errno ? 0 : QUERY_TIMEOUT_MS);
	if (event_add(query->deadline, &delay) == 0)
		return query;
failed:
	free_query(query);
	return NULL;
}

void query_cancel(struct query *query)
{
	if (query)
		free_query(query);
}
