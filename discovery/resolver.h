/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_RESOLVER_H
#define KEPMD_DISCOVERY_RESOLVER_H

/* Names to addresses on the event loop, by c-ares: libcurl's own resolver can
 * hold the loop for seconds when a name server does not answer. */

#include <stddef.h>

struct event_base;
struct resolver;
struct resolver_query;

/* ADDRESSES: N literal addresses in the order to try, borrowed for the call; or
 * N == 0 and ERROR says why, as a phrase. */
typedef void resolver_done_fn(void *arg, const char *const *addresses, size_t n, const char *error);

/* NULL when c-ares cannot start. */
struct resolver *resolver_new(struct event_base *base);
/* Every query must have ended or been cancelled. */
void resolver_free(struct resolver *resolver);

/* Asks these name servers, "ADDRESS:PORT,..", instead of those of
 * /etc/resolv.conf from now on; for tests.  Returns 0, or -1 when memory is out. */
int resolver_set_servers(struct resolver *resolver, const char *servers);

/* Resolves HOST (A and AAAA, /etc/hosts first as the system says).  A literal
 * address is answered like a name, from the loop, never from within the call.
 * Opens a file or socket only for a name.  /etc/resolv.conf is read anew for each
 * lookup.  NULL when memory is out.  After DONE the query is gone. */
struct resolver_query *resolver_lookup(struct resolver *resolver, const char *host,
                                       resolver_done_fn *done, void *arg);
/* Ends it without telling anything; not from within its own DONE. */
void resolver_cancel(struct resolver_query *query);

#endif
