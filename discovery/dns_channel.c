/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/time.h>

#include "dns_channel.h"

#define TRY_TIMEOUT_MS 2000
#define TRIES 3
/* Answers up to so many bytes come by UDP (the DNS flag day's number), larger ones by TCP. */
#define UDP_SIZE 1232

/* A socket of c-ares that the loop watches. */
struct watch {
	struct watch *next;
	struct dns_channel *channel;
	ares_socket_t socket;
	struct event *event;
};

struct dns_channel {
	struct event_base *base;
	ares_channel ares;
	bool has_ares;
	struct watch *watches;
	struct event *timer; /* when c-ares wants to be called again */
};

bool dns_library_start(void)
{
	return ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
}

void dns_library_end(void)
{
	ares_library_cleanup();
}

/* --- c-ares on the event loop ------------------------------------------------------ */

void dns_channel_touch(struct dns_channel *channel)
{
	struct timeval room, *left = ares_timeout(channel->ares, NULL, &room);

	if (left)
		evtimer_add(channel->timer, left);
	else
		evtimer_del(channel->timer);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct dns_channel *channel = arg;

	(void)fd;
	(void)what;
	ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	dns_channel_touch(channel);
}

/* c-ares may drop the watch, and with it the event, while it processes. */
static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct dns_channel *channel = ((struct watch *)arg)->channel;

	ares_process_fd(channel->ares, what & EV_READ ? fd : ARES_SOCKET_BAD,
	                what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	dns_channel_touch(channel);
}

static void drop_watch(struct watch **link)
{
	struct watch *watch = *link;

	*link = watch->next;
	if (watch->event)
		event_free(watch->event);
	free(watch);
}

/* c-ares has opened, wants something else of, or is closing SOCKET. */
static void on_socket_state(void *arg, ares_socket_t socket, int readable, int writable)
{
	struct dns_channel *channel = arg;
	struct watch **link = &channel->watches, *watch;
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST);

	while (*link && (*link)->socket != socket)
		link = &(*link)->next;
	if (*link)
		drop_watch(link);
	if (!readable && !writable)
		return;
	watch = calloc(1, sizeof *watch);
	if (!watch)
		return; /* then c-ares' own timeout ends the query */
	*watch = (struct watch){.next = channel->watches, .channel = channel, .socket = socket};
	channel->watches = watch;
	watch->event = event_new(channel->base, socket, what, on_socket, watch);
	if (watch->event)
		event_add(watch->event, NULL);
}

/* --- life ------------------------------------------------------------------------------ */

static int open_ares(struct dns_channel *channel, const char *servers)
{
	static char files_then_dns[] = "fb";
	struct ares_options options = {
	    .flags = ARES_FLAG_EDNS,
	    .ednspsz = UDP_SIZE,
	    .timeout = TRY_TIMEOUT_MS,
	    .tries = TRIES,
	    .lookups = files_then_dns,
	    .sock_state_cb = on_socket_state,
	    .sock_state_cb_data = channel,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
	           ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
	int status = ares_init_options(&channel->ares, &options, mask);

	if (status != ARES_SUCCESS)
		return status;
	channel->has_ares = true;
	return servers ? ares_set_servers_ports_csv(channel->ares, servers) : ARES_SUCCESS;
}

struct dns_channel *dns_channel_new(struct event_base *base, const char *servers, int *status)
{
	struct dns_channel *channel = calloc(1, sizeof *channel);

	*status = ARES_ENOMEM;
	if (!channel)
		return NULL;
	channel->base = base;
	channel->timer = evtimer_new(base, on_timer, channel);
	if (channel->timer)
		*status = open_ares(channel, servers);
	if (*status == ARES_SUCCESS)
		return channel;
	dns_channel_free(channel);
	return NULL;
}

void dns_channel_free(struct dns_channel *channel)
{
	if (!channel)
		return;
	if (channel->has_ares)
		ares_destroy(channel->ares);
	while (channel->watches)
		drop_watch(&channel->watches);
	if (channel->timer)
		event_free(channel->timer);
	free(channel);
}

ares_channel dns_channel_ares(struct dns_channel *channel)
{
	return channel->ares;
}

const char *dns_status_text(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
		return "no such host name";
	case ARES_ETIMEOUT:
		return "no name server answers";
	case ARES_ECONNREFUSED: /* c-ares 1.18 says so of servers that fail, too */
		return "the name servers cannot be reached, or report failures";
	case ARES_ESERVFAIL:
		return "the name server reports a failure";
	case ARES_EREFUSED:
		return "the name server refuses to answer";
	case ARES_EBADNAME:
		return "not a host name";
	default:
		return ares_strerror(status);
	}
}
