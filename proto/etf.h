/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_PROTO_ETF_H
#define KEPMD_PROTO_ETF_H

/* The few external terms that joining reads and writes.  Pure.
 * Rules: OTP, ERTS User's Guide, "External Term Format".
 *
 * Reading is token by token: a tuple or list tells its arity, and its elements
 * follow.  The error is sticky: read all, check once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#define ETF_VERSION 131

enum etf_kind {
	ETF_ERROR,   /* past the end, a tag that is none, or more elements than bytes left */
	ETF_INTEGER, /* INTEGER, also from a SMALL_BIG_EXT that fits; else ETF_OPAQUE */
	ETF_ATOM,    /* TEXT, UTF-8 or Latin-1 as it came */
	ETF_STRING,  /* TEXT: a list of bytes */
	ETF_BINARY,  /* TEXT */
	ETF_TUPLE,   /* ARITY elements follow */
	ETF_LIST,    /* ARITY elements and a tail follow (usually ETF_NIL); one of 0, which
	                nobody writes, is an error */
	ETF_NIL,     /* the empty list */
	ETF_PID,     /* TEXT is its node; INTEGER its id, SERIAL its serial */
	ETF_MAP,     /* ARITY pairs, key and value, follow */
	ETF_OPAQUE   /* anything else that has an end: references, ports, floats, big
	                integers, funs, bit strings */
};

struct etf_token {
	enum etf_kind kind;
	int64_t integer;
	uint32_t serial;
	uint32_t arity;
	struct wire_bytes text;
};

struct etf_reader {
	struct wire_reader wire;
	bool bad;
};

/* Reads from BYTES, which stand behind the version byte. */
struct etf_reader etf_reader_of(const void *bytes, size_t len);

/* The next token; after an error only ETF_ERROR. */
struct etf_token etf_next(struct etf_reader *reader);

/* Skips the next whole term.  False when it has no end, or nests deeper than
 * ETF_DEPTH_MAX: an error, as one of etf_next is. */
#define ETF_DEPTH_MAX 64
bool etf_skip(struct etf_reader *reader);

/* The token is the atom NAME (ASCII). */
bool etf_is_atom(const struct etf_token *token, const char *name);

/* Writing, onto a wire_writer with its sticky error. */
void etf_put_version(struct wire_writer *writer);
/* NAME in UTF-8: SMALL_ATOM_UTF8_EXT up to 255 bytes, ATOM_UTF8_EXT up to 65535. */
void etf_put_atom(struct wire_writer *writer, const char *name);
void etf_put_tuple(struct wire_writer *writer, uint8_t arity);
void etf_put_integer(struct wire_writer *writer, int32_t value);
/* ARITY elements are to follow, and then etf_put_nil; of 0 nothing is written here. */
void etf_put_list(struct wire_writer *writer, uint32_t arity);
void etf_put_nil(struct wire_writer *writer);
void etf_put_pid(struct wire_writer *writer, const char *node, uint32_t id, uint32_t serial,
                 uint32_t creation);

#endif
