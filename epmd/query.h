/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_QUERY_H
#define KEPMD_EPMD_QUERY_H

/* One request to another host's epmd, on the event loop. */

#include <stddef.h>
#include <stdint.h>

#include "crowd.h"
#include "proto/epmd_msg.h"
#include "sockaddr.h"

struct event_base;
struct query;

/* How long a query may take in all, and how long an answer may be. */
#define QUERY_TIMEOUT_MS 5000
#define QUERY_ANSWER_MAX (1u << 20)

/* BYTES are the whole answer, up to the connection's end, borrowed for the call; or
 * NULL, and ERROR is a phrase. */
typedef void query_done_fn(void *arg, const uint8_t *bytes, size_t len, const char *error);

/* Sends REQUEST (PORT2 or NAMES) to ADDRESS.  As long as it is under way it counts in CROWD,
 * which must not be full.  DONE is called once, from the loop, after which the query is gone.
 * NULL when memory or descriptors are out: then DONE is not called. */
struct query *query_start(struct event_base *base, struct crowd *crowd,
                          const struct sockaddr_any *address, const struct epmd_request *request,
                          query_done_fn *done, void *arg);
/* Ends it without DONE. */
void query_cancel(struct query *query);

#endif
