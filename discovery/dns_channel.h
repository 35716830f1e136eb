/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_DNS_CHANNEL_H
#define KEPMD_DISCOVERY_DNS_CHANNEL_H

/* A channel of c-ares on the event loop.  Short-lived: c-ares cannot cancel one query of a
 * channel, and a new channel sees a new /etc/resolv.conf. */

#include <ares.h>
#include <stdbool.h>

struct event_base;
struct dns_channel;

/* c-ares itself.  Returns false when it cannot start; each success needs one _end. */
bool dns_library_start(void);
void dns_library_end(void);

/* Reads /etc/resolv.conf.  SERVERS: "ADDRESS:PORT,..", to be asked instead of those there, or
 * NULL.  Returns NULL with a status of c-ares in *STATUS. */
struct dns_channel *dns_channel_new(struct event_base *base, const char *servers, int *status);
/* Calls back for each query that is under way, with ARES_EDESTRUCTION.  Not from within a
 * callback of c-ares; NULL is fine. */
void dns_channel_free(struct dns_channel *channel);

/* For c-ares' own functions; after a query was begun _touch must be called. */
ares_channel dns_channel_ares(struct dns_channel *channel);
void dns_channel_touch(struct dns_channel *channel);

/* What STATUS of a query means, as a phrase. */
const char *dns_status_text(int status);

#endif
