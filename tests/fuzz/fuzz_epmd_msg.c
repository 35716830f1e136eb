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

static void check_same(struct wire_bytes a, struct wire_bytes b)
{
	check(a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0));
}

static void check_same_node(const struct epmd_node *a, const struct epmd_node *b)
{
	check(a->port == b->port && a->type == b->type && a->protocol == b->protocol);
	check(a->highest == b->highest && a->lowest == b->lowest);
	check_same(a->name, b->name);
	check_same(a->extra, b->extra);
}

/* However a request is split, it is asked for more of it until all is there. */
static void check_pieces(const uint8_t *bytes, size_t len)
{
	struct epmd_request piece;

	for (size_t cut = 0; cut < len; cut++) {
		check(epmd_request_decode(bytes, cut, &piece) == EPMD_NEED_MORE);
		check(epmd_request_room(bytes, cut) > 0);
	}
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
	else {
		check(second.code == first.code);
		check_same(second.name, first.name);
		if (first.code == EPMD_ALIVE2_REQ)
			check_same_node(&second.node, &first.node);
	}
	check_pieces(bytes, len);
}

/* As a probe of a peer, and the command line, read them. */
static void replies(const uint8_t *bytes, size_t len)
{
	struct epmd_alive2_reply alive2;
	struct epmd_node node, node_again;
	uint8_t result, again[EPMD_REPLY_MAX];

	if (epmd_alive2_reply_decode(bytes, len, &alive2) == EPMD_DECODED) {
		size_t n = epmd_alive2_reply_encode(&alive2, again, sizeof(again));
		check(n > 0 && n <= len && memcmp(again, bytes, n) == 0);
	}
	if (epmd_port2_reply_decode(bytes, len, &result, &node) != EPMD_DECODED || result != 0)
		return;
	size_t n = epmd_port2_reply_encode(&node, again, sizeof(again));
	check(n <= len);
	if (n == 0)
		return;
	check(epmd_port2_reply_decode(again, n, &result, &node_again) == EPMD_DECODED);
	check(result == 0);
	check_same_node(&node, &node_again);
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
