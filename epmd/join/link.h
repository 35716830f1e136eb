/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_JOIN_LINK_H
#define KEPMD_EPMD_JOIN_LINK_H

/* A distribution connection to a node, as a hidden node, kept open and ticking,
 * over which the node's `rex` server is asked to run functions.
 *
 * Rules: OTP, "Distribution Protocol" (handshake, REG_SEND); the form of a call and
 * its answer is ei_rpc's (erl_interface, "ei_connect"). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "epmd/join/look.h"
#include "epmd/sockaddr.h"
#include "proto/dist_msg.h"

struct event_base;
struct link;

/* For the whole handshake. */
#define LINK_HANDSHAKE_MS 7000
/* For a call, unless the caller knows better; past the 7 s of net_setuptime. */
#define LINK_CALL_MS 20000
/* A longer message ends the connection. */
#define LINK_MESSAGE_MAX (8u << 20)
/* A hang-up so soon after our digest, which it has read, means the cookie; later, the node's own
 * patience with the handshake has ended (net_setuptime, which it cannot be asked for yet). */
#define LINK_REFUSAL_MS 2000

enum link_end {
	LINK_UNREACHABLE, /* no connection, or no handshake in time */
	LINK_DISTRUSTED,
	LINK_REFUSED,     /* hung up on our digest, or its own was wrong: the cookie */
	LINK_NOT_ALLOWED,
	LINK_LOST /* it had been up, or broke the protocol */
};

struct link_settings {
	struct sockaddr_any address;
	const char *our_name; /* full; copied */
	uint32_t creation;    /* ours */
	const char *cookie;   /* of COOKIE_LEN bytes; used for the digests, not kept longer than
	                         the handshake */
	size_t cookie_len;
};

struct link_events {
	/* Before our digest goes out: is what is connected at FD, and shows these flags
	 * under this name, the node that is meant?  A digest is for nobody else: he could
	 * hand it on as his own. */
	bool (*trusted)(void *arg, int fd, const struct look_result *seen);
	void (*up)(void *arg);
	/* The link is over, and gone after this call.  ERROR: a phrase. */
	void (*ended)(void *arg, enum link_end why, const char *error);
	void *arg;
};

/* NULL when memory or descriptors are out: then nothing is told. */
struct link *link_start(struct event_base *base, const struct link_settings *settings,
                        const struct link_events *events);
/* Ends it; nothing more is told, to no caller of link_call either.  NULL is fine. */
void link_free(struct link *link);

/* RESULT stands at what the function gave, borrowed for the call; NULL: no answer
 * came in time. */
typedef void link_answer_fn(void *arg, struct etf_reader *result);

/* Has the node run CALL.  Only on a link that is up.  Returns 0, or -1 when memory
 * is out or CALL is too long; ANSWER is then not called. */
int link_call(struct link *link, const struct dist_call *call, unsigned timeout_ms,
              link_answer_fn *answer, void *arg);

#endif
