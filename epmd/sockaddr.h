/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_SOCKADDR_H
#define KEPMD_EPMD_SOCKADDR_H

/* Socket addresses of both families: text to address and back, and the questions
 * asked of them. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct sockaddr_any {
	struct sockaddr_storage storage;
	socklen_t len;
};

/* TEXT is a literal IPv4 or IPv6 address without brackets.  False for anything
 * else. */
bool sockaddr_parse(const char *text, uint16_t port, struct sockaddr_any *address);

/* 0.0.0.0 or :: */
struct sockaddr_any sockaddr_wildcard(int family, uint16_t port);

/* 127/8, ::1, or 127/8 mapped into IPv6. */
bool sockaddr_is_loopback(const struct sockaddr_any *address);

/* The same host address, whatever the ports; an IPv4 address mapped into IPv6 is that
 * IPv4 address. */
bool sockaddr_same_host(const struct sockaddr_any *a, const struct sockaddr_any *b);

/* The host address as 16 bytes, an IPv4 one mapped into IPv6 (RFC 4291, 2.5.5.2), so that one
 * that came over a socket of both families is the same. */
#define SOCKADDR_KEY_SIZE 16
void sockaddr_key(const struct sockaddr_any *address, uint8_t key[SOCKADDR_KEY_SIZE]);

uint16_t sockaddr_port(const struct sockaddr_any *address);
void sockaddr_set_port(struct sockaddr_any *address, uint16_t port);

/* "10.0.0.7:4369" or "[fd00::7]:4369". */
#define SOCKADDR_TEXT_SIZE 64
const char *sockaddr_text(const struct sockaddr_any *address, char text[SOCKADDR_TEXT_SIZE]);

/* "10.0.0.7" or "fd00::7". */
const char *sockaddr_host_text(const struct sockaddr_any *address, char text[SOCKADDR_TEXT_SIZE]);

struct ifaddrs;
/* The IP address of an interface that getifaddrs(3) lists, port 0; false when it has
 * none. */
bool sockaddr_of_interface(const struct ifaddrs *interface, struct sockaddr_any *address);

#endif
