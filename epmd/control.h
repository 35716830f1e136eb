/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_CONTROL_H
#define KEPMD_EPMD_CONTROL_H

/* The commands that only this epmd knows, as the daemon answers them: -peers, and
 * -join on|off.  They come over the EPMD port, from loopback only, in a request that
 * stock epmd does not know (epmd_msg.h, EPMD_CONTROL_REQ). */

#include "conn.h"
#include "proto/wire.h"

struct join;
struct peers;

/* What the commands are about; NULL while it is off.  Borrowed. */
struct control {
	const struct peers *peers;
	struct join *join;
	const char *off_because; /* with PEERS NULL: why discovery is off, as a phrase */
};

/* The first byte of an answer; text follows, in lines. */
#define CONTROL_OK '0'
#define CONTROL_FAILED '1'

/* Runs COMMAND ("peers", "join on", "join off") and answers into REPLY.  FD: the
 * connection that it came over; what changes something is done for our own user and
 * for root only. */
void control_run(const struct control *control, struct wire_bytes command, int fd,
                 struct conn_reply *reply);

#endif
