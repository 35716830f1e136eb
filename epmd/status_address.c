/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"

#define FORM \
	"give HOST:PORT, where HOST is an address: 127.0.0.1:9090, [::1]:9090, or :9090 for all"

static bool parse_port(const char *text, uint16_t *port)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	unsigned long value = strtoul(text, &end, 10);
	*port = (uint16_t)value;
	return *end == '\0' && value >= 1 && value <= UINT16_MAX;
}

/* What is before the colon, LEN bytes, without brackets, into HOST. */
static bool cut_host(const char *text, size_t len, char host[INET6_ADDRSTRLEN])
{
	bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';

	if (bracketed) {
		text++;
		len -= 2;
	}
	if (len >= INET6_ADDRSTRLEN || (memchr(text, ':', len) != NULL) != bracketed)
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	return true;
}

bool status_address_parse(const char *text, struct sockaddr_any *address, char *error,
                          size_t error_size)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN];
	uint16_t port;

	if (!colon || !parse_port(colon + 1, &port)) {
		snprintf(error, error_size, "has no port from 1 to 65535 at its end: " FORM);
		return false;
	}
	if (colon == text || (colon == text + 1 && *text == '*')) {
		*address = sockaddr_wildcard(AF_INET6, port);
		return true;
	}
	if (cut_host(text, (size_t)(colon - text), host) && sockaddr_parse(host, port, address))
		return true;
	snprintf(error, error_size, "is no address: " FORM);
	return false;
}
