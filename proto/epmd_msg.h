/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_PROTO_EPMD_MSG_H
#define KEPMD_PROTO_EPMD_MSG_H

/* Every message of the EPMD protocol, both directions, as bytes and as structs.
 * Pure: nothing here does I/O, logs, or changes its input.
 *
 * Rules: OTP, ERTS User's Guide, "Distribution Protocol", section "EPMD
 * Protocol"; where that is silent, what stock epmd of OTP 25 and 27 does
 * (doc/compatibility.md says what was tried).
 *
 * A request is a 16-bit length and that many bytes, of which the first is the
 * request code.  A reply has no length; the server ends most by closing. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#define EPMD_DEFAULT_PORT 4369

/* The longest request that is read, with its length field; stock closes the
 * connection of whoever announces more. */
#define EPMD_REQUEST_MAX 3059

/* The longest alive name and the longest extra field, in bytes. */
#define EPMD_NAME_MAX 1020
#define EPMD_EXTRA_MAX 1020

/* The longest reply that encodes into one buffer: PORT2 with name and extra. */
#define EPMD_REPLY_MAX (14 + EPMD_NAME_MAX + EPMD_EXTRA_MAX)

/* What a refused ALIVE2 shows for a creation. */
#define EPMD_REFUSED_CREATION 99

enum epmd_code {
	EPMD_ALIVE2_REQ = 'x',
	EPMD_PORT2_REQ = 'z',
	EPMD_NAMES_REQ = 'n',
	EPMD_DUMP_REQ = 'd',
	EPMD_KILL_REQ = 'k',
	EPMD_STOP_REQ = 's',
	EPMD_CONTROL_REQ = 'C',   /* ours alone: a command in words; stock just closes */
	EPMD_ALIVE2_RESP = 'y',   /* 16-bit creation */
	EPMD_ALIVE2_X_RESP = 'v', /* 32-bit creation */
	EPMD_PORT2_RESP = 'w'
};

enum epmd_node_type { EPMD_NODE_HIDDEN = 72, EPMD_NODE_VISIBLE = 77 };

/* A node as ALIVE2 announces and PORT2 tells it. */
struct epmd_node {
	uint16_t port;    /* of its distribution listener */
	uint8_t type;     /* enum epmd_node_type, any other value is kept as it is */
	uint8_t protocol; /* 0: TCP over IPv4 or IPv6 */
	uint16_t highest; /* distribution versions that it speaks */
	uint16_t lowest;
	struct wire_bytes name; /* alive name */
	struct wire_bytes extra;
};

struct epmd_request {
	enum epmd_code code;
	struct epmd_node node;  /* ALIVE2 */
	struct wire_bytes name; /* PORT2, STOP; CONTROL: the command */
};

enum epmd_decode {
	EPMD_DECODED,
	EPMD_NEED_MORE,  /* so far so good, the end is not here yet */
	EPMD_BAD_LENGTH, /* a length of 0, or past EPMD_REQUEST_MAX */
	EPMD_SURPLUS,    /* more bytes than the length says */
	EPMD_UNKNOWN,    /* a request code that the protocol does not know */
	EPMD_MALFORMED   /* a field that runs past the end, or a NUL inside a name */
};

/* Reads the request at BYTES, which holds all that has come so far.  What
 * *REQUEST points to lies within BYTES. */
enum epmd_decode epmd_request_decode(const uint8_t *bytes, size_t len,
                                     struct epmd_request *request);

/* How many bytes to read next, when LEN bytes of an unfinished request are at BYTES:
 * what the length says is missing, or, while the length is not known, what the longest
 * request may have.  So surplus voids a request only when it comes in one read with
 * the length, and never the longest one, as it does with stock. */
size_t epmd_request_room(const uint8_t *bytes, size_t len);

/* A phrase for a log line. */
const char *epmd_decode_text(enum epmd_decode result);

/* Writes REQUEST with its length field.  Returns its size, or 0 when it does not
 * fit in SIZE bytes or is longer than a request may be. */
size_t epmd_request_encode(const struct epmd_request *request, uint8_t *buffer, size_t size);

/* The answer to ALIVE2. */
struct epmd_alive2_reply {
	bool wide;         /* 'v', for nodes that speak version 6, else 'y' */
	uint8_t result;    /* 0: registered */
	uint32_t creation; /* not wide: its low 16 bits are sent */
};
size_t epmd_alive2_reply_encode(const struct epmd_alive2_reply *reply, uint8_t *buffer,
                                size_t size);
enum epmd_decode epmd_alive2_reply_decode(const uint8_t *bytes, size_t len,
                                          struct epmd_alive2_reply *reply);

/* The answer to PORT2: NODE, or NULL for a name that is not registered. */
size_t epmd_port2_reply_encode(const struct epmd_node *node, uint8_t *buffer, size_t size);

/* Reads an answer to PORT2.  RESULT 0: *NODE is set, pointing into BYTES; any other:
 * the name is not registered there.  EPMD_NEED_MORE at the connection's end means
 * that the answer was cut short. */
enum epmd_decode epmd_port2_reply_decode(const uint8_t *bytes, size_t len, uint8_t *result,
                                         struct epmd_node *node);

/* The first four bytes of a NAMES or DUMP reply: epmd's own port. */
size_t epmd_names_head_encode(uint16_t epmd_port, uint8_t *buffer, size_t size);

/* A line of a NAMES reply: "name NAME at port PORT\n". */
size_t epmd_names_line_encode(struct wire_bytes name, uint16_t port, uint8_t *buffer, size_t size);

/* The longest line of a NAMES or DUMP reply. */
#define EPMD_LINE_MAX (EPMD_NAME_MAX + 64)

/* Lines of a DUMP reply, each with its trailing NUL.  FD is the descriptor that
 * the registration hangs on. */
size_t epmd_dump_active_encode(struct wire_bytes name, uint16_t port, int fd, uint8_t *buffer,
                               size_t size);
size_t epmd_dump_old_encode(struct wire_bytes name, uint16_t port, int fd, uint8_t *buffer,
                            size_t size);

/* Walks through a whole NAMES reply.  _start reads the head; _next gives one line
 * at a time and false after the last; lines of another form are skipped. */
struct epmd_names_walk {
	uint16_t epmd_port;
	struct wire_bytes rest;
};
bool epmd_names_walk_start(struct epmd_names_walk *walk, const uint8_t *bytes, size_t len);
bool epmd_names_walk_next(struct epmd_names_walk *walk, struct wire_bytes *name, uint16_t *port);

#endif
