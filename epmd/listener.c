/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "limits.h"
#include "listener.h"
#include "sockaddr.h"

/* Connections accepted before others get their turn on the loop. */
#define ACCEPT_BATCH 64
/* How long accepting rests when there is no descriptor and none can be freed. */
#define STARVED_REST_MS 100

/* As many as the kernel bears (net.core.somaxconn cuts it down).  SOMAXCONN is a constant of the C library,
 * 128 with musl, and a client of a full queue waits a second before it asks again. */
#define BACKLOG 65535

#define SEPARATORS ", \t\n"

/* --- opening -------------------------------------------------------------------- */

static int listen_on(const struct sockaddr_any *address)
{
	int on = 1;
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		goto failed;
	/* Else the IPv6 socket would take the IPv4 one's port. */
	if (address->storage.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		goto failed;
	if (bind(fd, (const struct sockaddr *)&address->storage, address->len) < 0)
		goto failed;
	if (listen(fd, BACKLOG) < 0)
		goto failed;
	return fd;
failed:;
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

static void say_too_many(char *error, size_t error_size)
{
	snprintf(error, error_size, "cannot listen on more than %d addresses", LISTENER_MAX);
}

/* Opens one more socket of SET.  OPTIONAL: its absence is no failure, and errno is why. */
static enum listener_result add(struct listener_set *set, const struct sockaddr_any *address,
                                bool optional, char *error, size_t error_size)
{
	char text[SOCKADDR_TEXT_SIZE];

	if (set->n == LISTENER_MAX) {
		say_too_many(error, error_size);
		return LISTENER_FAILED;
	}
	int fd = listen_on(address);
	if (fd >= 0) {
		set->fds[set->n++] = fd;
		return LISTENER_OPEN;
	}
	if (optional && errno != EADDRINUSE)
		return LISTENER_OPEN;
	int why = errno;
	snprintf(error, error_size, "cannot listen on %s: %s", sockaddr_text(address, text),
	         strerror(why));
	return why == EADDRINUSE ? LISTENER_TAKEN : LISTENER_FAILED;
}

static enum listener_result add_everywhere(uint16_t port, struct listener_set *set, char *error,
                                           size_t error_size)
{
	struct sockaddr_any v4 = sockaddr_wildcard(AF_INET, port);
	struct sockaddr_any v6 = sockaddr_wildcard(AF_INET6, port);
	enum listener_result result = add(set, &v4, true, error, error_size);

	/* Stock goes without IPv6 where there is none, and so without IPv4. */
	return result == LISTENER_OPEN ? add(set, &v6, true, error, error_size) : result;
}

static bool in_list(const struct sockaddr_any *list, size_t n, const struct sockaddr_any *address)
{
	for (size_t i = 0; i < n; i++)
		if (sockaddr_same_host(&list[i], address))
			return true;
	return false;
}

/* Loopback goes with every list, unless the list has all addresses of that family. */
static enum listener_result add_loopback(const struct sockaddr_any *list, size_t n, uint16_t port,
                                         struct listener_set *set, char *error, size_t error_size)
{
	static const char *const loopback[] = {"127.0.0.1", "::1"};
	enum listener_result result = LISTENER_OPEN;

	for (size_t i = 0; i < 2 && result == LISTENER_OPEN; i++) {
		struct sockaddr_any address, all;
		sockaddr_parse(loopback[i], port, &address);
		all = sockaddr_wildcard(address.storage.ss_family, port);
		if (!in_list(list, n, &all))
			result = add(set, &address, true, error, error_size);
	}
	return result;
}

/* The addresses that add_loopback adds. */
static bool is_own_loopback(const struct sockaddr_any *address)
{
	struct sockaddr_any v4, v6;

	sockaddr_parse("127.0.0.1", 0, &v4);
	sockaddr_parse("::1", 0, &v6);
	return sockaddr_same_host(address, &v4) || sockaddr_same_host(address, &v6);
}

/* Reads ADDRESSES into LIST; loopback is left to add_loopback, doubles are taken
 * once.  Returns how many, or -1. */
static int parse_list(const char *addresses, uint16_t port, struct sockaddr_any *list, char *error,
                      size_t error_size)
{
	int n = 0;
	char *copy = strdup(addresses), *rest = copy, *token;

	if (!copy) {
		snprintf(error, error_size, "out of memory");
		return -1;
	}
	while (n >= 0 && (token = strsep(&rest, SEPARATORS))) {
		struct sockaddr_any address;
		if (!*token)
			continue;
		if (n == LISTENER_MAX) {
			say_too_many(error, error_size);
			n = -1;
		} else if (!sockaddr_parse(token, port, &address)) {
			snprintf(error, error_size, "cannot parse IP address \"%s\"", token);
			n = -1;
		} else if (!is_own_loopback(&address) && !in_list(list, (size_t)n, &address)) {
			list[n++] = address;
		}
	}
	free(copy);
	return n;
}

enum listener_result listener_open(const char *addresses, uint16_t port, struct listener_set *set,
                                   char *error, size_t error_size)
{
	struct sockaddr_any list[LISTENER_MAX];
	enum listener_result result;

	set->n = 0;
	if (!addresses || !addresses[strspn(addresses, SEPARATORS)]) {
		result = add_everywhere(port, set, error, error_size);
	} else {
		int n = parse_list(addresses, port, list, error, error_size);
		result = n < 0 ? LISTENER_FAILED : LISTENER_OPEN;
		/* First, as stock does: where an epmd runs, addresses that it lacks do not matter. */
		if (result == LISTENER_OPEN)
			result = add_loopback(list, (size_t)n, port, set, error, error_size);
		for (int i = 0; i < n && result == LISTENER_OPEN; i++)
			result = add(set, &list[i], false, error, error_size);
	}
	if (result == LISTENER_OPEN && set->n == 0) {
		snprintf(error, error_size, "cannot listen on port %u of any address: %s", port,
		         strerror(errno));
		result = LISTENER_FAILED;
	}
	if (result != LISTENER_OPEN)
		listener_close(set);
	return result;
}

static bool is_listening(int fd)
{
	int on = 0;
	socklen_t size = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on;
}

int listener_adopt(int first_fd, size_t n, struct listener_set *set)
{
	if (n > LISTENER_MAX)
		return -1;
	for (size_t i = 0; i < n; i++) {
		int fd = first_fd + (int)i;
		int flags = fcntl(fd, F_GETFL);
		if (flags < 0 || !is_listening(fd) || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return -1;
		set->fds[i] = fd;
	}
	set->n = n;
	return 0;
}

void listener_close(struct listener_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		close(set->fds[i]);
	set->n = 0;
}

/* --- serving -------------------------------------------------------------------- */

struct listener {
	struct listener_set set;
	struct event *events[LISTENER_MAX];
	struct event *resume;
	int spare; /* on /dev/null, to be given for an accepted socket; -1: lost */
	listener_accepted_fn *accepted;
	listener_starved_fn *starved;
	void *arg;
};

static int open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void rest(struct listener *listener)
{
	struct timeval soon = {.tv_usec = STARVED_REST_MS * 1000};

	/* Without its end the rest would be for ever. */
	if (event_add(listener->resume, &soon) < 0)
		return;
	for (size_t i = 0; i < listener->set.n; i++)
		event_del(listener->events[i]);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	if (listener->spare < 0)
		listener->spare = open_spare();
	for (size_t i = 0; i < listener->set.n; i++) {
		if (event_add(listener->events[i], NULL) < 0) {
			rest(listener);
			return;
		}
	}
}

static bool out_of_descriptors(int why)
{
	return why == EMFILE || why == ENFILE || why == ENOBUFS || why == ENOMEM;
}

/* Lets the next of FD know at once that nobody can serve it.  False when that fails too. */
static bool turn_away(struct listener *listener, int fd)
{
	if (listener->spare < 0)
		return false;
	close(listener->spare);
	int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (accepted >= 0)
		close(accepted);
	listener->spare = open_spare();
	return accepted >= 0;
}

/* Most come alone.  To accept where nobody waits is dear: the kernel makes a socket for it, in vain. */
static bool another_waits(int fd)
{
	struct pollfd waiting = {.fd = fd, .events = POLLIN};

	return poll(&waiting, 1, 0) != 0;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)what;
	/* Who asks for the end has it before the batch is done (listener_stop). */
	for (int i = 0; i < ACCEPT_BATCH && listener->set.n > 0; i++) {
		struct sockaddr_any from = {.len = sizeof(from.storage)};
		int accepted = accept4(fd, (struct sockaddr *)&from.storage, &from.len,
		                       SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (accepted >= 0) {
			listener->accepted(listener->arg, accepted, &from);
			if (i == 0 && listener->set.n > 0 && !another_waits(fd))
				return;
		} else if (out_of_descriptors(errno)) {
			if (!listener->starved(listener->arg) && !turn_away(listener, fd)) {
				rest(listener);
				return;
			}
		} else if (errno == EAGAIN) {
			return;
		}
		/* Any other error belongs to the connection that was to come
		 * (accept(2), "Error handling"), not to the socket. */
	}
}

struct listener *listener_serve(struct event_base *base, const struct listener_set *set,
                                listener_accepted_fn *accepted, listener_starved_fn *starved,
                                void *arg)
{
	const int unread = LIMITS_KERNEL_UNREAD; /* accepted sockets have it from theirs */
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return NULL;
	listener->accepted = accepted;
	listener->starved = starved;
	listener->arg = arg;
	listener->spare = open_spare();
	listener->resume = evtimer_new(base, on_resume, listener);
	if (!listener->resume)
		goto failed;
	for (size_t i = 0; i < set->n; i++) {
		struct event *event =
		    event_new(base, set->fds[i], EV_READ | EV_PERSIST, on_acceptable, listener);
		if (!event)
			goto failed;
		listener->events[i] = event;
		setsockopt(set->fds[i], SOL_SOCKET, SO_SNDBUF, &unread, sizeof(unread));
		if (event_add(event, NULL) < 0)
			goto failed;
	}
	listener->set = *set;
	return listener;
failed:
	listener_free(listener);
	return NULL;
}

void listener_stop(struct listener *listener)
{
	for (size_t i = 0; i < listener->set.n; i++)
		event_del(listener->events[i]);
	event_del(listener->resume);
	listener_close(&listener->set);
}

void listener_free(struct listener *listener)
{
	if (!listener)
		return;
	for (size_t i = 0; i < LISTENER_MAX; i++)
		if (listener->events[i])
			event_free(listener->events[i]);
	if (listener->resume)
		event_free(listener->resume);
	listener_close(&listener->set);
	if (listener->spare >= 0)
		close(listener->spare);
	free(listener);
}
