/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_NAMES_POLL_H
#define KEPMD_EPMD_NAMES_POLL_H

/* ERL_EPMD_BASENAME=*: asks the epmd of a peer for all its names, again and again. */

#include <stdint.h>

#include "name_list.h"

struct crowd;
struct event_base;
struct names_poll;

/* NAMES (borrowed) are those of the last two answers, NAME_LIST_MAX of each at most: a name that
 * one answer lacks may be there again in the next. */
typedef void names_poll_fn(void *arg, const struct name_list *names);

/* Asks the epmd at ADDRESS (copied), EPMD_PORT, from now on, at the pace of CROWD, and calls
 * TOLD after each answer; no answer changes nothing.  NULL when memory is out. */
struct names_poll *names_poll_new(struct event_base *base, struct crowd *crowd,
                                  const char *address, uint16_t epmd_port, names_poll_fn *told,
                                  void *arg);
void names_poll_free(struct names_poll *poll);

#endif
