/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "epmd/sockaddr.h"

/* The least that a server can do on our event loop: accept, read once, answer, close.
 * scripts/bench measures epmd against it.  Usage: bare -port N */

static struct event_base *base;

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	char request[512];

	(void)what;
	(void)arg;
	if (read(fd, request, sizeof(request)) > 0)
		send(fd, "x", 1, MSG_NOSIGNAL);
	close(fd);
}

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	(void)arg;
	if (fd >= 0)
		event_base_once(base, fd, EV_READ, on_readable, NULL, NULL);
}

int main(int argc, char *argv[])
{
	struct sockaddr_any address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	base = event_base_new();
	if (argc != 3 || !base ||
	    !sockaddr_parse("127.0.0.1", (uint16_t)atoi(argv[2]), &address) ||
	    bind(listener, (struct sockaddr *)&address.storage, address.len) < 0 ||
	    listen(listener, 1024) < 0)
		return 1;
	struct event *accepting =
	    event_new(base, listener, EV_READ | EV_PERSIST, on_accept, NULL);
	if (!accepting || event_add(accepting, NULL) < 0)
		return 1;
	event_base_dispatch(base);
	return 0;
}
