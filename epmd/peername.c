/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "peername.h"
#include "proto/nodename.h"

/* The longest host part: a DNS name (RFC 1035) with its NUL. */
#define HOST_SIZE 256

bool peername_mode_parse(const char *text, enum host_mode *mode)
{
	static const char *const modes[] = {
	    [HOST_MODE_IP] = "ip", [HOST_MODE_DNS] = "dns", [HOST_MODE_HOSTNAME] = "hostname"};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(text, modes[i]) == 0) {
			*mode = (enum host_mode)i;
			return true;
		}
	}
	return false;
}

static bool ends_in(const char *host, const char *kind, const char *domain)
{
	char tail[HOST_SIZE];
	int n = snprintf(tail, sizeof(tail), ".%s.%s", kind, domain);
	size_t len = strlen(host);

	return n > 0 && (size_t)n < sizeof(tail) && len > (size_t)n &&
	       strcmp(host + len - (size_t)n, tail) == 0;
}

enum host_mode peername_mode_of(const char *host, const char *domain)
{
	if (ends_in(host, "pod", domain))
		return HOST_MODE_DNS;
	if (ends_in(host, "svc", domain))
		return HOST_MODE_HOSTNAME;
	return HOST_MODE_IP;
}

static bool fits(int n, size_t size)
{
	return n > 0 && (size_t)n < size;
}

static bool write_ip(const struct peername_rule *rule, const struct peer *peer, char *host,
                     const char **why)
{
	(void)rule;
	*why = "its address is too long";
	return fits(snprintf(host, HOST_SIZE, "%s", peer->address), HOST_SIZE);
}

static bool write_dns(const struct peername_rule *rule, const struct peer *peer, char *host,
                      const char **why)
{
	char dashed[INET6_ADDRSTRLEN];

	*why = "its endpoint names no namespace";
	if (!peer->namespace_)
		return false;
	snprintf(dashed, sizeof(dashed), "%s", peer->address);
	for (char *p = dashed; *p; p++)
		if (*p == '.' || *p == ':')
			*p = '-';
	*why = "its DNS name is too long";
	return fits(
	    snprintf(host, HOST_SIZE, "%s.%s.pod.%s", dashed, peer->namespace_, rule->domain),
	    HOST_SIZE);
}

static bool write_hostname(const struct peername_rule *rule, const struct peer *peer, char *host,
                           const char **why)
{
	*why = "its endpoint has no hostname: the pod needs hostname and subdomain, as the pods "
	       "of a StatefulSet have";
	if (!peer->hostname || !peer->service || !peer->namespace_)
		return false;
	*why = "its DNS name is too long";
	return fits(snprintf(host, HOST_SIZE, "%s.%s.%s.svc.%s", peer->hostname, peer->service,
	                     peer->namespace_, rule->domain),
	            HOST_SIZE);
}

bool peername_build(const struct peername_rule *rule, const struct peer *peer, const char *alive,
                    char *name, const char **why)
{
	static bool (*const writers[])(const struct peername_rule *, const struct peer *, char *,
	                               const char **) = {
	    [HOST_MODE_IP] = write_ip,
	    [HOST_MODE_DNS] = write_dns,
	    [HOST_MODE_HOSTNAME] = write_hostname,
	};
	char host[HOST_SIZE];

	if (!writers[rule->mode](rule, peer, host, why))
		return false;
	*why = "its name would be too long for a node name";
	return nodename_join(alive, host, name);
}
