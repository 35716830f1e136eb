/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_STATUS_H
#define KEPMD_EPMD_STATUS_H

/* ERL_EPMD_STATUS_ADDRESS: an HTTP listener for probes, for Prometheus and for people.  Each
 * connection is one request.  What clients can cost is bounded: STATUS_VISITS_MAX connections
 * (fewer where few descriptors may be open), of which the oldest yields to a new one;
 * STATUS_VISIT_MS each; and pages that take work are made once for all who ask at about the same
 * time. */

#include <stdbool.h>
#include <stddef.h>

#include "sockaddr.h"
#include "status_view.h"

#define STATUS_VISITS_MAX 16
#define STATUS_DESCRIPTORS_PER_VISIT 16
#define STATUS_VISIT_MS 5000

struct event_base;
struct status;

/* TEXT is HOST:PORT with a literal address, [::1]:9090 for IPv6; without HOST, or with *, all
 * addresses.  False, with a phrase in ERROR, for anything else. */
bool status_address_parse(const char *text, struct sockaddr_any *address, char *error,
                          size_t error_size);

/* Listens on ADDRESS.  VIEW is borrowed and is looked at when somebody asks.  NULL, with a phrase
 * in ERROR, when it cannot. */
struct status *status_new(struct event_base *base, const struct sockaddr_any *address,
                          const struct status_view *view, char *error, size_t error_size);
/* Closes all connections. */
void status_free(struct status *status);

#endif
