/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>

#include "own_hosts.h"

/* The addresses of INTERFACES; NULL when memory is out. */
static struct sockaddr_any *list_of(const struct ifaddrs *interfaces, size_t *n)
{
	size_t most = 1;

	for (const struct ifaddrs *i = interfaces; i; i = i->ifa_next)
		most++;
	struct sockaddr_any *list = calloc(most, sizeof(*list));
	*n = 0;
	for (const struct ifaddrs *i = interfaces; list && i; i = i->ifa_next)
		*n += sockaddr_of_interface(i, &list[*n]);
	return list;
}

static void read_again(struct own_hosts *own, uint64_t now_ms)
{
	struct ifaddrs *interfaces;
	size_t n;

	if (getifaddrs(&interfaces) < 0) {
		own->error = errno;
		return;
	}
	struct sockaddr_any *list = list_of(interfaces, &n);
	freeifaddrs(interfaces);
	own->error = list ? 0 : ENOMEM;
	if (!list)
		return;
	free(own->list);
	own->list = list;
	own->n = n;
	own->fresh_until_ms = now_ms + OWN_HOSTS_FRESH_MS;
}

enum own_verdict own_hosts_ask(struct own_hosts *own, const char *text, uint64_t now_ms)
{
	struct sockaddr_any address;

	if (!sockaddr_parse(text, 0, &address))
		return OWN_NO;
	if (now_ms >= own->fresh_until_ms)
		read_again(own, now_ms);
	for (size_t i = 0; i < own->n; i++)
		if (sockaddr_same_host(&own->list[i], &address))
			return OWN_YES;
	return own->error ? OWN_UNKNOWN : OWN_NO;
}

void own_hosts_clear(struct own_hosts *own)
{
	free(own->list);
	*own = (struct own_hosts){0};
}
