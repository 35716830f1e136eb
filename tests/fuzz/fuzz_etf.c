/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/etf.h"

/* The first byte chooses whether terms are read token by token or skipped; the rest is
 * what stands behind the version byte. */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check(int holds)
{
	if (!holds)
		abort();
}

static void check_within(struct wire_bytes part, const uint8_t *bytes, size_t len)
{
	if (part.len)
		check(part.at >= bytes && part.len <= len && part.at + part.len <= bytes + len);
}

/* Tokens take a byte at least, and go on where the one before ended. */
static void tokens(const uint8_t *bytes, size_t len)
{
	struct etf_reader reader = etf_reader_of(bytes, len);
	const uint8_t *before = reader.wire.at;
	struct etf_token token = etf_next(&reader);

	while (token.kind != ETF_ERROR) {
		check_within(token.text, bytes, len);
		check(reader.wire.at > before && token.arity <= len);
		before = reader.wire.at;
		token = etf_next(&reader);
	}
	check(reader.bad && !etf_skip(&reader));
}

/* A term that has an end needs all of its bytes and no more. */
static void skip(const uint8_t *bytes, size_t len)
{
	struct etf_reader reader = etf_reader_of(bytes, len);

	if (!etf_skip(&reader)) {
		check(reader.bad && etf_next(&reader).kind == ETF_ERROR);
		return;
	}
	size_t used = (size_t)(reader.wire.at - bytes);
	struct etf_reader exact = etf_reader_of(bytes, used), cut = etf_reader_of(bytes, used - 1);
	check(used <= len && etf_skip(&exact) && exact.wire.at == bytes + used);
	check(!etf_skip(&cut));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len == 0)
		return 0;
	if (bytes[0] % 2)
		tokens(bytes + 1, len - 1);
	else
		skip(bytes + 1, len - 1);
	return 0;
}
