/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_CONTROL_H
#define KEPMD_EPMD_CONTROL_H

/* The commands that only this epmd knows, as the daemon answers them: -peers, and
 * -join on|off.  They come over the EPMD port, from loopback only, in a request that
 * stock epmd does not know (epmd_msg.h, EPMD_CONTROL_REQ). */

#include "conn.h"
#include "proto/wire.h"

struct cluster;
struct join;
struct keeper;
struct kept;
struct options;
struct peers;
struct registry;
struct source;
struct source_ops;

/* What the commands are about.  Borrowed. */
struct control {
	const struct peers *peers; /* this and the next three: NULL while discovery is off */
	struct join *join;
	const struct source_ops *source_ops;
	const struct source *source;
	const char *off_because; /* with PEERS NULL: why discovery is off, as a phrase */
	const char *setting_error; /* or NULL */
	const struct options *options;
	const struct cluster *cluster;
	const struct registry *registry;
	uint64_t started_ms; /* by clock_now_ms */
	const struct keeper *keeper;
	const struct kept *kept;
};

/* The first byte of an answer; what follows is to be printed. */
#define CONTROL_OK '0'
#define CONTROL_FAILED '1' /* one line, for standard error */
#define CONTROL_WRONG '2'  /* as CONTROL_OK, but the exit status is 1 */

/* Runs COMMAND and answers into REPLY: "peers", "join on", "join off", "doctor"; "peers" and
 * "doctor" may be followed by "json", and "doctor" by what its asker's environment has
 * (client.c): "discovery", "dist_port=9100".  FD: the
 * connection that it came over; what changes something is done for our own user and
 * for root only. */
void control_run(const struct control *control, struct wire_bytes command, int fd,
                 struct conn_reply *reply);

#endif
