/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_DNS_REPLY_H
#define KEPMD_DISCOVERY_DNS_REPLY_H

/* Reads a DNS message for its addresses and SRV records, each with its TTL, which c-ares' own
 * parsers do not give for SRV, and with the additional section, so that a thousand targets need
 * no thousand questions.  Pure.
 *
 * Rules: RFC 1035, 4.1 (message), RFC 3596 (AAAA), RFC 2782 (SRV), RFC 2181, 8 (a TTL with the
 * top bit set is 0). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_CLASS_IN 1
#define DNS_TYPE_A 1
#define DNS_TYPE_CNAME 5
#define DNS_TYPE_AAAA 28
#define DNS_TYPE_SRV 33

#define DNS_ADDRESS_SIZE 46

/* One record of class IN.  Of other types than the four above only TYPE and TTL are set. */
struct dns_record {
	const char *owner; /* as c-ares writes names, without a dot at the end */
	uint16_t type;
	bool additional; /* else it is of the answer section */
	uint32_t ttl_s;
	char address[DNS_ADDRESS_SIZE]; /* of A and AAAA, as inet_ntop(3) prints it */
	const char *target;             /* of SRV */
	uint16_t port;                  /* of SRV */
};

/* Strings are borrowed for the call.  False ends the reading. */
typedef bool dns_record_fn(void *arg, const struct dns_record *record);

/* Whether the server has left records out for want of room (the TC bit). */
bool dns_reply_truncated(const void *bytes, size_t len);

/* Calls FN for each record of the answer and additional sections, in order.  Returns 0; or -1
 * when the message is malformed, or FN returned false. */
int dns_reply_each(const void *bytes, size_t len, dns_record_fn *fn, void *arg);

#endif
