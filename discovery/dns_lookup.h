/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_DNS_LOOKUP_H
#define KEPMD_DISCOVERY_DNS_LOOKUP_H

/* Asks DNS once for all that is behind a name, on the loop: A and AAAA; or SRV, and then A and AAAA
 * of the targets that the answer has no addresses of.
 *
 * Rules (resolv.conf(5), and what glibc does): the name is completed by the domains of "search"
 * as "ndots" says.  The first full name with any addresses is taken.  A full name that a server
 * fails for does not end the search, but then "there is none" is no result any more; silence
 * ends it. */

#include <stdbool.h>

#include "dns_found.h"

struct event_base;
struct dns_lookup;

/* Borrowed for the call. */
struct dns_result {
	const char *full; /* the name that was found; or was asked for, of several the first */
	/* By family, of c-ares: ARES_SUCCESS where addresses were found, ARES_ENODATA or
	 * ARES_ENOTFOUND where DNS says that there are none, or what has failed. */
	int status[DNS_FAMILIES];
	const struct dns_found *found; /* NULL: none are */
};
typedef void dns_lookup_fn(void *arg, const struct dns_result *result);

/* Whether DNS says that there are none. */
bool dns_status_is_none(int status);

/* Calls DONE once, never from within; the lookup is then gone.  SRV: the SRV records of NAME are
 * meant.  SERVERS: as dns_channel_new.  NULL when memory is out. */
struct dns_lookup *dns_lookup_begin(struct event_base *base, const char *servers, const char *name,
                                    bool srv, dns_lookup_fn *done, void *arg);
/* Ends it without telling anything; NULL is fine. */
void dns_lookup_cancel(struct dns_lookup *lookup);

#endif
