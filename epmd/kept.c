/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "kept.h"
#include "log.h"
#include "service.h"

#define LET_GO_MS 1000

struct kept {
	struct keeper *keeper;
	struct event *ping;
	struct event *gone;
};

static void part(struct kept *kept)
{
	if (kept->ping)
		event_free(kept->ping);
	if (kept->gone)
		event_free(kept->gone);
	kept->ping = kept->gone = NULL;
	if (kept->keeper->fd >= 0)
		close(kept->keeper->fd);
	kept->keeper->fd = -1;
}

/* A keeper that is slow to read has enough of them. */
static void say(const struct kept *kept, char byte)
{
	(void)send(kept->keeper->fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_ping(evutil_socket_t fd, short what, void *arg)
{
	const struct kept *kept = arg;

	(void)fd;
	(void)what;
	if (kept->keeper->fd >= 0)
		say(kept, KEEPER_PING);
	else
		(void)service_notify("WATCHDOG=1");
}

/* A keeper says nothing, so what can be read is its end. */
static void on_gone(evutil_socket_t fd, short what, void *arg)
{
	struct kept *kept = arg;
	char byte;

	(void)what;
	if (recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	log_warning("the keeper (process %d) is gone: this epmd goes on without, and its crash "
	            "would not be mended",
	            (int)kept->keeper->pid);
	part(kept);
}

static int ping_every(struct kept *kept, struct event_base *base, unsigned ms)
{
	const struct timeval every = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	kept->ping = event_new(base, -1, EV_PERSIST, on_ping, kept);
	return kept->ping ? event_add(kept->ping, &every) : -1;
}

static int watch_keeper(struct kept *kept, struct event_base *base)
{
	kept->gone = event_new(base, kept->keeper->fd, EV_READ | EV_PERSIST, on_gone, kept);
	return kept->gone ? event_add(kept->gone, NULL) : -1;
}

struct kept *kept_new(struct event_base *base, struct keeper *keeper)
{
	unsigned ms = keeper->fd >= 0 ? KEEPER_PING_S * 1000 : service_watchdog_ms();
	struct kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		return NULL;
	kept->keeper = keeper;
	if ((ms == 0 || ping_every(kept, base, ms) == 0) &&
	    (keeper->fd < 0 || watch_keeper(kept, base) == 0))
		return kept;
	kept_free(kept);
	return NULL;
}

void kept_say_join(const struct kept *kept, bool on)
{
	if (kept->keeper->fd >= 0)
		say(kept, on ? KEEPER_JOIN_ON : KEEPER_JOIN_OFF);
}

void kept_let_go(struct kept *kept)
{
	int fd = kept->keeper->fd;
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	if (fd < 0)
		return;
	say(kept, KEEPER_LET_GO);
	(void)poll(&poll_fd, 1, LET_GO_MS);
	part(kept);
}

void kept_free(struct kept *kept)
{
	if (!kept)
		return;
	part(kept);
	free(kept);
}
