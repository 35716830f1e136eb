/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/epmd_msg.h"
#include "proto/nodename.h"

/* The first byte chooses the message; the rest is what came over the wire.  What can
 * be read is written and read again, and must mean the same. */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check(int holds)
{
	if (!holds)
		abort();
}

static void request(const uint8_t *bytes, size_t len)
{
	uint8_t again[EPMD_REQUEST_MAX];
	struct epmd_request first, second;

	enum epmd_decode result = epmd_request_decode(bytes, len, &first);
	if (result == EPMD_NEED_MORE)
		check(epmd_request_room(bytes, len) > 0);
	if (result != EPMD_DECODED)
		return;
	size_t again_len = epmd_request_encode(&first, again, sizeof(again));
	check(again_len > 0 && again_len <= len);
	/* Surplus that made an empty ALIVE2 acceptable is not written again. */
	if (epmd_request_decode(again, again_len, &second) != EPMD_DECODED)
		check(first.node.name.len + first.node.extra.len + first.name.len == 0);
	else
		check(second.code == first.code && second.name.len == first.name.len &&
		      second.node.name.len == first.node.name.len);
}

static void replies(const uint8_t *bytes, size_t len)
{
	struct epmd_alive2_reply alive2;
	struct epmd_node node;
	uint8_t result, again[EPMD_REPLY_MAX];

	(void)epmd_alive2_reply_decode(bytes, len, &alive2);
	if (epmd_port2_reply_decode(bytes, len, &result, &node) == EPMD_DECODED && result == 0)
		check(epmd_port2_reply_encode(&node, again, sizeof(again)) <= len);
}

static void names(const uint8_t *bytes, size_t len)
{
	struct epmd_names_walk walk;
	struct wire_bytes name;
	uint16_t port;

	if (!epmd_names_walk_start(&walk, bytes, len))
		return;
	while (epmd_names_walk_next(&walk, &name, &port))
		check(name.at >= bytes && name.at + name.len <= bytes + len);
}

static void nodename(const uint8_t *bytes, size_t len)
{
	struct nodename halves;
	char text[NODENAME_SIZE], joined[NODENAME_SIZE];

	if (len >= sizeof(text))
		return;
	memcpy(text, bytes, len);
	text[len] = '\0';
	(void)nodename_alive_ok(text);
	if (!nodename_split(text, &halves))
		return;
	text[halves.alive_len] = '\0';
	check(nodename_join(text, halves.host, joined));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static void (*const readers[])(const uint8_t *, size_t) = {request, replies, names,
	                                                           nodename};

	if (len > 0)
		readers[bytes[0] % 4](bytes + 1, len - 1);
	return 0;
}
