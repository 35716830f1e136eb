/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_JOIN_CONNECTIONS_H
#define KEPMD_EPMD_JOIN_CONNECTIONS_H

/* Whom a node is connected with, and by which connection, as
 * erlang:system_info(dist_ctrl) tells it: a list of {Node, Controller}, hidden nodes
 * included.  Pure.  Rule: OTP, erlang(3), system_info/1, dist_ctrl. */

#include <stdbool.h>
#include <stdint.h>

#include "proto/dist_msg.h"

extern const struct dist_call connections_call;

/* CONNECTION is never 0, and the same in two answers where the connection is the same;
 * another one to the same node has, as good as surely, another number. */
typedef void connections_fn(void *arg, struct wire_bytes name, uint64_t connection);

/* Calls FN for each.  False when ANSWER is of another form; FN may have been called by
 * then. */
bool connections_each(struct etf_reader *answer, connections_fn *fn, void *arg);

#endif
