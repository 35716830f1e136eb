/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_PROTO_NODENAME_H
#define KEPMD_PROTO_NODENAME_H

/* Erlang node names.  A full node name is "alive@host"; what a node registers
 * with epmd is the alive name, the part before the @.
 * Rules: OTP Reference Manual, "Distributed Erlang", section "Nodes"; an atom,
 * and so a node name, has at most 255 characters (Efficiency Guide, "System
 * Limits"). */

#include <stdbool.h>
#include <stddef.h>

#define NODENAME_CHARS_MAX 255
/* A character takes at most four bytes in UTF-8, so a C string of this size
 * holds every node name and its NUL. */
#define NODENAME_SIZE (NODENAME_CHARS_MAX * 4 + 1)

/* The number of characters that LEN bytes at TEXT are in UTF-8 (RFC 3629: no
 * overlong forms, no surrogates), or -1 when they are no UTF-8. */
long nodename_utf8_length(const void *text, size_t len);

/* Where the halves of a full node name stand in it. */
struct nodename {
	const char *alive;
	size_t alive_len;
	const char *host;
	size_t host_len;
};

/* Splits NAME at its one @.  False when it has none or several, when a half is
 * empty, or when it is too long or no UTF-8. */
bool nodename_split(const char *name, struct nodename *halves);

/* Writes "alive@host" to OUT of NODENAME_SIZE bytes, which is neither of them.  False when the result would
 * not be a node name (see nodename_split). */
bool nodename_join(const char *alive, const char *host, char *out);

/* True when TEXT can stand before the @: not empty, UTF-8, no @, no control
 * character or space. */
bool nodename_alive_ok(const char *text);

#endif
