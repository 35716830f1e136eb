/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_JOIN_LOOK_H
#define KEPMD_EPMD_JOIN_LOOK_H

/* A look at a node: the first half of a distribution handshake, without cookie.  It
 * tells who is there and leaves no trace: no line in the node's log, no nodeup
 * (tried on OTP 25, 27 and 29); only one that speaks TLS writes a notice.
 *
 * Rules: OTP, "Distribution Protocol", section "Distribution Handshake". */

#include <stdbool.h>
#include <stdint.h>

#include "epmd/sockaddr.h"
#include "proto/nodename.h"

struct bufferevent;
struct event_base;
struct look;

/* The alive name that looks are made under: other than that of links, for the node must
 * not take a look for the link's end, and the same for every look, for each name that a
 * node hears of stays in its atom table for good. */
#define LOOK_ALIVE "kepmd-look"

/* In all, from the connection on. */
#define LOOK_TIMEOUT_MS 5000

enum look_outcome {
	LOOK_NODE,        /* NAME, FLAGS and CREATION are set */
	LOOK_UNREACHABLE, /* no connection, or silence; ERROR says which */
	LOOK_NO_NODE,     /* something else answers, or it hangs up */
	LOOK_TLS,
	LOOK_NOT_ALLOWED, /* net_kernel:allow/1 */
	LOOK_BUSY         /* it has not forgotten an earlier look yet: look again */
};

struct look_result {
	enum look_outcome outcome;
	const char *error; /* a phrase, or NULL; borrowed for the call */
	bool refused;      /* of LOOK_UNREACHABLE: nobody listens there (any more) */
	uint64_t flags;    /* DIST_FLAG_* */
	uint32_t challenge;
	uint32_t creation;
	char name[NODENAME_SIZE];
};

typedef void look_done_fn(void *arg, const struct look_result *result);

/* Looks at ADDRESS under the full node name OUR_NAME.  DONE is called once, from
 * the loop, after which the look is gone.  NULL when memory, descriptors or routes are out:
 * then DONE is not called. */
struct look *look_start(struct event_base *base, const struct sockaddr_any *address,
                        const char *our_name, uint32_t creation, look_done_fn *done, void *arg);
/* Ends it without DONE; NULL is fine. */
void look_cancel(struct look *look);

/* From within DONE, for LOOK_NODE: hands the connection over, for who wants to go on
 * with the handshake where the look ends.  What came behind the challenge is in its
 * input buffer. */
struct bufferevent *look_take(struct look *look);

#endif
