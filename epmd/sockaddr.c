/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "sockaddr.h"

static struct sockaddr_any from_v4(struct in_addr host, uint16_t port)
{
	struct sockaddr_any address = {.len = sizeof(struct sockaddr_in)};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = host};

	memcpy(&address.storage, &in, sizeof(in));
	return address;
}

static struct sockaddr_any from_v6(struct in6_addr host, uint16_t port)
{
	struct sockaddr_any address = {.len = sizeof(struct sockaddr_in6)};
	struct sockaddr_in6 in6 = {
	    .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = host};

	memcpy(&address.storage, &in6, sizeof(in6));
	return address;
}

/* Copies, for the storage may not be read through another type. */
static struct sockaddr_in as_v4(const struct sockaddr_any *address)
{
	struct sockaddr_in in;

	memcpy(&in, &address->storage, sizeof(in));
	return in;
}

static struct sockaddr_in6 as_v6(const struct sockaddr_any *address)
{
	struct sockaddr_in6 in6;

	memcpy(&in6, &address->storage, sizeof(in6));
	return in6;
}

bool sockaddr_parse(const char *text, uint16_t port, struct sockaddr_any *address)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v4) == 1)
		*address = from_v4(v4, port);
	else if (inet_pton(AF_INET6, text, &v6) == 1)
		*address = from_v6(v6, port);
	else
		return false;
	return true;
}

struct sockaddr_any sockaddr_wildcard(int family, uint16_t port)
{
	struct in_addr any = {.s_addr = htonl(INADDR_ANY)};

	return family == AF_INET ? from_v4(any, port) : from_v6(in6addr_any, port);
}

bool sockaddr_is_loopback(const struct sockaddr_any *address)
{
	if (address->storage.ss_family == AF_INET)
		return ntohl(as_v4(address).sin_addr.s_addr) >> 24 == 127;
	if (address->storage.ss_family != AF_INET6)
		return false;
	struct in6_addr host = as_v6(address).sin6_addr;
	return IN6_IS_ADDR_LOOPBACK(&host) ||
	       (IN6_IS_ADDR_V4MAPPED(&host) && host.s6_addr[12] == 127);
}

void sockaddr_key(const struct sockaddr_any *address, uint8_t key[SOCKADDR_KEY_SIZE])
{
	static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};

	memset(key, 0, SOCKADDR_KEY_SIZE);
	if (address->storage.ss_family == AF_INET) {
		struct in_addr v4 = as_v4(address).sin_addr;
		memcpy(key, mapped, sizeof(mapped));
		memcpy(key + sizeof(mapped), &v4, sizeof(v4));
	} else if (address->storage.ss_family == AF_INET6) {
		struct in6_addr v6 = as_v6(address).sin6_addr;
		memcpy(key, &v6, sizeof(v6));
	}
}

bool sockaddr_same_host(const struct sockaddr_any *a, const struct sockaddr_any *b)
{
	uint8_t key_a[SOCKADDR_KEY_SIZE], key_b[SOCKADDR_KEY_SIZE];

	sockaddr_key(a, key_a);
	sockaddr_key(b, key_b);
	return memcmp(key_a, key_b, sizeof(key_a)) == 0;
}

uint16_t sockaddr_port(const struct sockaddr_any *address)
{
	return ntohs(address->storage.ss_family == AF_INET ? as_v4(address).sin_port
	                                                   : as_v6(address).sin6_port);
}

void sockaddr_set_port(struct sockaddr_any *address, uint16_t port)
{
	if (address->storage.ss_family == AF_INET) {
		struct sockaddr_in v4 = as_v4(address);
		v4.sin_port = htons(port);
		memcpy(&address->storage, &v4, sizeof(v4));
	} else {
		struct sockaddr_in6 v6 = as_v6(address);
		v6.sin6_port = htons(port);
		memcpy(&address->storage, &v6, sizeof(v6));
	}
}

const char *sockaddr_host_text(const struct sockaddr_any *address, char text[SOCKADDR_TEXT_SIZE])
{
	snprintf(text, SOCKADDR_TEXT_SIZE, "?");
	if (address->storage.ss_family == AF_INET) {
		struct in_addr v4 = as_v4(address).sin_addr;
		inet_ntop(AF_INET, &v4, text, SOCKADDR_TEXT_SIZE);
	} else {
		struct in6_addr v6 = as_v6(address).sin6_addr;
		inet_ntop(AF_INET6, &v6, text, SOCKADDR_TEXT_SIZE);
	}
	return text;
}

const char *sockaddr_text(const struct sockaddr_any *address, char text[SOCKADDR_TEXT_SIZE])
{
	bool is_v4 = address->storage.ss_family == AF_INET;
	char host[SOCKADDR_TEXT_SIZE];

	snprintf(text, SOCKADDR_TEXT_SIZE, is_v4 ? "%.45s:%u" : "[%.45s]:%u",
	         sockaddr_host_text(address, host), sockaddr_port(address));
	return text;
}

bool sockaddr_of_interface(const struct ifaddrs *interface, struct sockaddr_any *address)
{
	*address = (struct sockaddr_any){0};
	if (!interface->ifa_addr)
		return false;
	if (interface->ifa_addr->sa_family == AF_INET)
		address->len = sizeof(struct sockaddr_in);
	else if (interface->ifa_addr->sa_family == AF_INET6)
		address->len = sizeof(struct sockaddr_in6);
	memcpy(&address->storage, interface->ifa_addr, address->len);
	return address->len > 0;
}
