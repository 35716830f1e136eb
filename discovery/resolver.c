/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ares.h>
#include <arpa/inet.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "dns_channel.h"
#include "resolver.h"

#define ADDRESSES_MAX 16

struct resolver {
	struct event_base *base;
	char *servers; /* NULL: those of /etc/resolv.conf */
};

struct resolver_query {
	struct resolver *resolver;
	resolver_done_fn *done;
	void *arg;
	struct dns_channel *channel;
	struct event *answer; /* tells the result, from the loop */
	char addresses[ADDRESSES_MAX][INET6_ADDRSTRLEN];
	size_t n_addresses;
	const char *error; /* static text */
};

struct resolver *resolver_new(struct event_base *base)
{
	struct resolver *resolver = calloc(1, sizeof *resolver);

	if (!resolver || !dns_library_start()) {
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
	dns_library_end();
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

/* --- the answer ------------------------------------------------------------------------ */

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
		query->error = dns_status_text(status == ARES_SUCCESS ? ARES_ENODATA : status);
		event_active(query->answer, EV_TIMEOUT, 1);
	}
	if (info)
		ares_freeaddrinfo(info);
}

static void free_query(struct resolver_query *query)
{
	dns_channel_free(query->channel);
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

static void ask(struct resolver_query *query, const char *host)
{
	static const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC,
	                                                 .ai_socktype = SOCK_STREAM};
	int status;

	query->channel =
	    dns_channel_new(query->resolver->base, query->resolver->servers, &status);
	if (!query->channel) {
		query->error = dns_status_text(status);
		event_active(query->answer, EV_TIMEOUT, 1);
		return;
	}
	ares_getaddrinfo(dns_channel_ares(query->channel), host, NULL, &hints, on_addrinfo, query);
	dns_channel_touch(query->channel);
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
	query->answer = evtimer_new(resolver->base, on_answer, query);
	if (!query->answer) {
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
