/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/dist_msg.h"
#include "proto/etf.h"

/* The first byte chooses the decoder; the rest is what came over the wire.  What can be
 * read lies within it, and means the same when it is read in another way. */

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

/* What is decided stays so, whatever comes behind it. */
static void frame(const uint8_t *bytes, size_t len)
{
	struct wire_bytes body, again;
	size_t used, used_again;
	enum dist_decode result = dist_frame_decode(bytes, len, &body, &used);

	for (size_t cut = 0; cut < len && cut <= DIST_FRAME_MAX; cut++) {
		enum dist_decode sooner = dist_frame_decode(bytes, cut, &again, &used_again);
		check(sooner == DIST_NEED_MORE || sooner == result);
	}
	if (result != DIST_DECODED)
		return;
	check_within(body, bytes, len);
	check(body.len > 0 && used == body.len + 2 && used <= len);
	check(dist_frame_decode(bytes, used - 1, &again, &used_again) == DIST_NEED_MORE);
}

static void status(const uint8_t *bytes, size_t len)
{
	enum dist_status read;

	if (dist_status_decode((struct wire_bytes){bytes, len}, &read) == DIST_DECODED)
		check(len > 0 && read <= DIST_STATUS_OTHER);
}

/* What we say of ourselves is short of a node's challenge by the challenge itself. */
static void challenge(const uint8_t *bytes, size_t len)
{
	char name[DIST_FRAME_MAX] = "", text[DIST_CHALLENGE_TEXT_SIZE];
	uint8_t again[DIST_FRAME_MAX + 2];
	struct dist_challenge read;

	if (dist_challenge_decode((struct wire_bytes){bytes, len}, &read) != DIST_DECODED)
		return;
	check_within(read.name, bytes, len);
	check(read.name.len > 0);
	check(dist_challenge_text(read.challenge, text) == strlen(text));
	check(strtoul(text, NULL, 10) == read.challenge);
	if (read.name.len >= sizeof(name) || memchr(read.name.at, 0, read.name.len))
		return;
	memcpy(name, read.name.at, read.name.len);
	size_t n = dist_send_name_encode(name, read.flags, read.creation, again, sizeof(again));
	check(n == 0 || (memcmp(again + 2, bytes, 9) == 0 && n - 2 <= len - 4));
}

static void ack(const uint8_t *bytes, size_t len)
{
	uint8_t digest[DIST_DIGEST_SIZE];

	if (dist_challenge_ack_decode((struct wire_bytes){bytes, len}, digest) == DIST_DECODED)
		check(len == 1 + DIST_DIGEST_SIZE && memcmp(digest, bytes + 1, len - 1) == 0);
}

static void message(const uint8_t *bytes, size_t len)
{
	struct dist_answer answer;
	enum dist_message kind;

	if (dist_message_decode(bytes, len, &kind, &answer) != DIST_DECODED)
		return;
	check((kind == DIST_MESSAGE_TICK) == (len == 0));
	if (kind != DIST_MESSAGE_ANSWER)
		return;
	check(etf_skip(&answer.result) && answer.result.wire.at == bytes + len);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static void (*const readers[])(const uint8_t *, size_t) = {frame, status, challenge, ack,
	                                                           message};
	const size_t n = sizeof(readers) / sizeof(readers[0]);

	if (len > 0)
		readers[bytes[0] % n](bytes + 1, len - 1);
	return 0;
}
