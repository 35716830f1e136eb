/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ares.h>
#include <arpa/inet.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "address.h"
#include "resolver.h"

#define ADDRESSES_MAX 16
#define TRY_TIMEOUT_MS 2000
#define TRIES 3

struct resolver {
	struct event_base *base;
	char *servers; /* NULL: those of /etc/resolv.conf */
};

/* A socket of c-ares that the loop watches. */
struct watch {
	struct watch *next;
	struct resolver_query *query;
	ares_socket_t socket;
	struct event *event;
};

/* Each query has a channel of its own: c-ares cannot cancel one query of a
 * channel, lookups are a few an hour, and a new channel sees a new
 * /etc/resolv.conf. */
struct resolver_query {
	struct resolver *resolver;
	resolver_done_fn *done;
	void *arg;
	ares_channel channel;
	bool has_channel;
	struct watch *watches;
	struct event *timer;  /* when c-ares wants to be called again */
	struct event *answer; /* tells the result, from the loop */
	char addresses[ADDRESSES_MAX][INET6_ADDRSTRLEN];
	size_t n_addresses;
	const char *error; /* static text */
};

struct resolver *resolver_new(struct event_base *base)
{
	struct resolver *resolver = calloc(1, sizeof *resolver);

	if (!resolver || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(resolver);
		return NULL;
	}
	resolver->base = base;
	return resolver;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	ares_library_cleanup();
	free(resolver->servers);
	free(resolver);
}

int resolver_set_servers(struct resolver *resolver, const char *servers)
{
	char *copy = strdup(servers);

	if (!copy)
		return -1;
	free(resolver->servers);
	resolver->servers = copy;
	return 0;
}

/* --- c-ares on the event loop ------------------------------------------------------ */

static void arm_timer(struct resolver_query *query)
{
	struct timeval room, *left = ares_timeout(query->channel, NULL, &room);

	if (left)
		evtimer_add(query->timer, left);
	else
		evtimer_del(query->timer);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct resolver_query *query = arg;

	(void)fd;
	(void)what;
	ares_process_fd(query->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm_timer(query);
}

/* c-ares may drop the watch, and with it the event, while it processes. */
static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct resolver_query *query = ((struct watch *)arg)->query;

	ares_process_fd(query->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
	                what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	arm_timer(query);
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
	struct resolver_query *query = arg;
	struct watch **link = &query->watches, *watch;
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
	*watch = (struct watch){.next = query->watches, .query = query, .socket = socket};
	query->watches = watch;
	watch->event = event_new(query->resolver->base, socket, what, on_socket, watch);
	if (watch->event)
		event_add(watch->event, NULL);
}

/* --- the answer ------------------------------------------------------------------------ */

static const char *error_text(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
		return "no such host name";
	case ARES_ETIMEOUT:
		return "no name server answers";
	case ARES_ECONNREFUSED:
		return "the name server cannot be reached";
	case ARES_ESERVFAIL:
		return "the name server reports a failure";
	case ARES_EBADNAME:
		return "not a host name";
	default:
		return ares_strerror(status);
	}
}

static void add_address(struct resolver_query *query, const struct sockaddr *address)
{
	const void *bytes;

	if (address->sa_family == AF_INET)
		bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
	else if (address->sa_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
	else
		return;
	if (query->n_addresses < ADDRESSES_MAX &&
	    inet_ntop(address->sa_family, bytes, query->addresses[query->n_addresses],
	              INET6_ADDRSTRLEN))
		query->n_addresses++;
}

/* c-ares may be anywhere in its own code here, even in ares_getaddrinfo(): only
 * note the result.  It also comes here from ares_destroy(). */
static void on_addrinfo(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct resolver_query *query = arg;

	(void)timeouts;
	if (status != ARES_EDESTRUCTION) {
		for (struct ares_addrinfo_node *node = info ? info->nodes : NULL; node;
		     node = node->ai_next)
			add_address(query, node->ai_addr);
		query->error = error_text(status == ARES_SUCCESS ? ARES_ENODATA : status);
		event_active(query->answer, EV_TIMEOUT, 1);
	}
	if (info)
		ares_freeaddrinfo(info);
}

static void free_query(struct resolver_query *query)
{
	if (query->has_channel)
		ares_destroy(query->channel);
	while (query->watches)
		drop_watch(&query->watches);
	if (query->timer)
		event_free(query->timer);
	if (query->answer)
		event_free(query->answer);
	free(query);
}

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct resolver_query *query = arg, answer = *query;
	const char *addresses[ADDRESSES_MAX];

	(void)fd;
	(void)what;
	/* first, so that DONE may free the resolver */
	free_query(query);
	for (size_t i = 0; i < answer.n_addresses; i++)
		addresses[i] = answer.addresses[i];
	answer.done(answer.arg, addresses, answer.n_addresses,
	            answer.n_addresses > 0 ? NULL : answer.error);
}

/* --- lookups ------------------------------------------------------------------------------ */

static int open_channel(struct resolver_query *query)
{
	static char files_then_dns[] = "fb";
	struct ares_options options = {
	    .timeout = TRY_TIMEOUT_MS,
	    .tries = TRIES,
	    .lookups = files_then_dns,
	    .sock_state_cb = on_socket_state,
	    .sock_state_cb_data = query,
	};
	int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
	int status = ares_init_options(&query->channel, &options, mask);

	if (status != ARES_SUCCESS)
		return status;
	query->has_channel = true;
	if (query->resolver->servers)
		return ares_set_servers_ports_csv(query->channel, query->resolver->servers);
	return ARES_SUCCESS;
}

static void ask(struct resolver_query *query, const char *host)
{
	static const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC,
	                                                 .ai_socktype = SOCK_STREAM};
	int status = open_channel(query);

	if (status != ARES_SUCCESS) {
		query->error = error_text(status);
		event_active(query->answer, EV_TIMEOUT, 1);
		return;
	}
	ares_getaddrinfo(query->channel, host, NULL, &hints, on_addrinfo, query);
	arm_timer(query);
}

struct resolver_query *resolver_lookup(struct resolver *resolver, const char *host,
                                       resolver_done_fn *done, void *arg)
{
	struct resolver_query *query = calloc(1, sizeof *query);

	if (!query)
		return NULL;
	query->resolver = resolver;
	query->done = done;
	query->arg = arg;
	query->timer = evtimer_new(resolver->base, on_timer, query);
	query->answer = evtimer_new(resolver->base, on_answer, query);
	if (!query->timer || !query->answer) {
		free_query(query);
		return NULL;
	}
	if (address_is_literal(host)) {
		strncpy(query->addresses[0], host, INET6_ADDRSTRLEN - 1);
		query->n_addresses = 1;
		event_active(query->answer, EV_TIMEOUT, 1);
	} else {
		ask(query, host);
	}
	return query;
}

void resolver_cancel(struct resolver_query *query)
{
	if (query)
		free_query(query);
}
