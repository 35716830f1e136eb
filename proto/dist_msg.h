/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_PROTO_DIST_MSG_H
#define KEPMD_PROTO_DIST_MSG_H

/* The messages of Erlang's distribution protocol that joining takes: the handshake
 * of version 6, seen from the side that connects, and the few messages after it.
 * Pure: no I/O, no log, no digest (MD5 is the caller's).
 *
 * Rules: OTP, ERTS User's Guide, "Distribution Protocol", sections "Distribution
 * Handshake" and "Protocol between Connected Nodes"; "External Term Format".
 *
 * A handshake frame is a 16-bit length and that many bytes; after the handshake the
 * length has 32 bits, and a length of 0 is a tick. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "etf.h"
#include "wire.h"

/* What a node can do (section "Distribution Flags"). */
#define DIST_FLAG_PUBLISHED UINT64_C(0x1)
#define DIST_FLAG_HANDSHAKE_23 UINT64_C(0x1000000)
/* Shown from OTP 28 on, and from OTP 29 on (tried: OTP 25 and 27 show neither, OTP 29
 * both). */
#define DIST_FLAG_SINCE_28 (UINT64_C(1) << 37)
#define DIST_FLAG_SINCE_29 (UINT64_C(1) << 38)
/* What we say of ourselves: all that OTP 25 to 29 insist on, no more, and not
 * PUBLISHED: a hidden node. */
#define DIST_FLAGS_OURS UINT64_C(0x407074F94)

#define DIST_DIGEST_SIZE 16

/* The longest handshake frame that is read, and the longest one written. */
#define DIST_FRAME_MAX 1400

enum dist_decode {
	DIST_DECODED,
	DIST_NEED_MORE, /* so far so good, the end is not here yet */
	DIST_TLS,       /* what answers speaks TLS (an alert or a handshake record) */
	DIST_MALFORMED
};

/* Cuts the first handshake frame off BYTES: *BODY lies within BYTES, *USED is what it
 * took with its length.  A frame longer than DIST_FRAME_MAX or of length 0 is
 * malformed. */
enum dist_decode dist_frame_decode(const uint8_t *bytes, size_t len, struct wire_bytes *body,
                                   size_t *used);

/* --- handshake: what we say; each returns its size with the length, or 0 when it does
 * not fit ------------------------------------------------------------------------- */

/* send_name: who we are.  NAME is a full node name. */
size_t dist_send_name_encode(const char *name, uint64_t flags, uint32_t creation, uint8_t *buffer,
                             size_t size);
/* The answer to DIST_STATUS_ALIVE: go on, the old connection is dead. */
size_t dist_alive_reply_encode(bool go_on, uint8_t *buffer, size_t size);
size_t dist_challenge_reply_encode(uint32_t challenge, const uint8_t digest[DIST_DIGEST_SIZE],
                                   uint8_t *buffer, size_t size);

/* What a digest is the MD5 of: COOKIE and then CHALLENGE as decimal digits.  Writes the
 * digits to TEXT and returns their number. */
#define DIST_CHALLENGE_TEXT_SIZE 11
size_t dist_challenge_text(uint32_t challenge, char text[DIST_CHALLENGE_TEXT_SIZE]);

/* --- handshake: what we hear; each takes the body of one frame -------------------------- */

enum dist_status {
	DIST_STATUS_OK,
	DIST_STATUS_OK_SIMULTANEOUS, /* both connect at once, and ours is the one to go on */
	DIST_STATUS_NOK,             /* ... or theirs is */
	DIST_STATUS_NOT_ALLOWED,     /* net_kernel:allow/1 leaves us out */
	DIST_STATUS_ALIVE,           /* the node believes to be connected with us */
	DIST_STATUS_OTHER
};
enum dist_decode dist_status_decode(struct wire_bytes body, enum dist_status *status);

/* The node's challenge, with who it is.  NAME lies within BODY. */
struct dist_challenge {
	uint64_t flags;
	uint32_t challenge;
	uint32_t creation;
	struct wire_bytes name;
};
/* A challenge of version 5 ('n'), which nodes before OTP 23 send, is malformed. */
enum dist_decode dist_challenge_decode(struct wire_bytes body, struct dist_challenge *challenge);

enum dist_decode dist_challenge_ack_decode(struct wire_bytes body,
                                           uint8_t digest[DIST_DIGEST_SIZE]);

/* --- connected: calls and their answers --------------------------------------------------- */

/* A pid of ours; a fresh SERIAL for each call tells the answers apart. */
struct dist_pid {
	const char *node;
	uint32_t id;
	uint32_t serial;
	uint32_t creation;
};

/* A call that the node's server `rex` shall run: MODULE:FUNCTION(ARGUMENTS), all of
 * them atoms, as rpc and ei_rpc ask it. */
#define DIST_CALL_ARGUMENTS_MAX 4
struct dist_call {
	const char *module;
	const char *function;
	const char *arguments[DIST_CALL_ARGUMENTS_MAX]; /* NULL ends them */
};

/* Writes the whole message with its 32-bit length: REG_SEND from PID to rex of
 * {PID, {call, Module, Function, Arguments, user}}.  Returns its size, or 0. */
#define DIST_CALL_MAX 8192
size_t dist_call_encode(const struct dist_pid *from, const struct dist_call *call, uint8_t *buffer,
                        size_t size);

/* The body of a message after the handshake (what its 32-bit length counts). */
enum dist_message {
	DIST_MESSAGE_TICK,   /* empty: answer it with dist_tick_encode at once */
	DIST_MESSAGE_ANSWER, /* {rex, Result} to a pid of ours */
	DIST_MESSAGE_OTHER   /* well formed, or of a kind that does not concern us */
};
struct dist_answer {
	uint32_t id; /* of the pid that it is to */
	uint32_t serial;
	struct etf_reader result; /* stands at Result, within the body */
};
/* DIST_MALFORMED for what is no message at all, and for an answer whose Result is no
 * whole term of ETF_DEPTH_MAX at most, with the body's end behind it.  Accepts the
 * control messages SEND and SEND_SENDER; of others no more than their number is read,
 * for their terms may nest as deep as they like, and be of a later release. */
enum dist_decode dist_message_decode(const uint8_t *body, size_t len, enum dist_message *kind,
                                     struct dist_answer *answer);

/* An empty message: 4 bytes. */
size_t dist_tick_encode(uint8_t *buffer, size_t size);

#endif
