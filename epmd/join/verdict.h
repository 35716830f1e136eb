/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_JOIN_VERDICT_H
#define KEPMD_EPMD_JOIN_VERDICT_H

/* What is concluded from what was seen, with the reason in words.  Pure. */

#include "epmd/join/local.h"
#include "epmd/join/pair.h"
#include "epmd/join/remote.h"

#define VERDICT_SIZE 384

/* May the node of FACTS be asked to dial REMOTE, of which a look has just SEEN this?
 * PAIR_UNTRIED if so, and WHY is "".
 *
 * The guards against nodes that log an error, or worse, when they meet: a short name
 * and a long one; releases more than two apart (OTP, "Distributed Erlang",
 * compatibility; tried: a node of OTP 25 that runs pg does not survive one of OTP 29).
 * A node's flags show OTP 28 and 29, but not which older release it is: then the older
 * one, which knows, must dial. */
enum pair_outcome verdict_of_look(const struct local_facts *facts, const struct remote *remote,
                                  const struct look_result *seen, char why[VERDICT_SIZE]);

/* A dial at a node that could be looked at was refused at once.  ANSWER is what the
 * local node's erl_epmd:port_please/2 then says, or NULL: PAIR_COOKIE when it finds the
 * node, else PAIR_UNRESOLVED. */
enum pair_outcome verdict_of_whereabouts(struct etf_reader *answer, const char *name,
                                         char why[VERDICT_SIZE]);

#endif
