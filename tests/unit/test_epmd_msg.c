/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lines.h"
#include "proto/epmd_msg.h"

#define BYTES(text) ((struct wire_bytes){(const uint8_t *)(text), sizeof(text) - 1})

static const char *text_of(struct wire_bytes bytes, char *room, size_t size)
{
	snprintf(room, size, "%.*s", (int)bytes.len, bytes.len ? (const char *)bytes.at : "");
	return bytes.len ? room : "-";
}

/* What the case files call a request. */
static void describe(const struct epmd_request *request, char *text, size_t size)
{
	static const char *const codes[] = {
	    [EPMD_ALIVE2_REQ] = "alive2", [EPMD_PORT2_REQ] = "port2", [EPMD_NAMES_REQ] = "names",
	    [EPMD_DUMP_REQ] = "dump",     [EPMD_KILL_REQ] = "kill",   [EPMD_STOP_REQ] = "stop",
	};
	const struct epmd_node *node = &request->node;
	char name[64], extra[64];

	if (request->code == EPMD_ALIVE2_REQ)
		snprintf(text, size, "alive2 %u %u %u %u %u %s %s", node->port, node->type,
		         node->protocol, node->highest, node->lowest,
		         text_of(node->name, name, sizeof(name)),
		         text_of(node->extra, extra, sizeof(extra)));
	else if (request->name.len)
		snprintf(text, size, "%s %s", codes[request->code],
		         text_of(request->name, name, sizeof(name)));
	else
		snprintf(text, size, "%s", codes[request->code]);
}

static char *meaning_of(char *line)
{
	char *equals = strchr(line, '=');

	assert_non_null(equals);
	return equals + 1 + strspn(equals + 1, " ");
}

static void check_valid(char *line)
{
	const char *meaning = meaning_of(line);
	uint8_t bytes[256], again[256];
	struct epmd_request request, second;
	char text[256];
	size_t len = lines_hex(line, strchr(line, '='), bytes, sizeof(bytes));

	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(epmd_request_decode(bytes, cut, &request), EPMD_NEED_MORE);
	assert_int_equal(epmd_request_decode(bytes, len, &request), EPMD_DECODED);
	describe(&request, text, sizeof(text));
	assert_string_equal(text, meaning);

	size_t again_len = epmd_request_encode(&request, again, sizeof(again));
	assert_int_equal(epmd_request_decode(again, again_len, &second), EPMD_DECODED);
	describe(&second, text, sizeof(text));
	assert_string_equal(text, meaning);
}

static void check_invalid(char *line)
{
	static const char *const judgements[] = {
	    [EPMD_DECODED] = "decoded", [EPMD_NEED_MORE] = "more",  [EPMD_BAD_LENGTH] = "length",
	    [EPMD_SURPLUS] = "surplus", [EPMD_UNKNOWN] = "unknown", [EPMD_MALFORMED] = "malformed",
	};
	uint8_t bytes[256];
	struct epmd_request request;
	size_t len = lines_hex(line, strchr(line, '='), bytes, sizeof(bytes));
	enum epmd_decode result = epmd_request_decode(bytes, len, &request);

	assert_string_equal(judgements[result], meaning_of(line));
	assert_non_null(epmd_decode_text(result));
}

static void valid_requests(void **state)
{
	(void)state;
	lines_each("epmd_msg/valid.txt", check_valid);
}

static void invalid_requests(void **state)
{
	(void)state;
	lines_each("epmd_msg/invalid.txt", check_invalid);
}

static void the_longest_request_is_3059_bytes(void **state)
{
	uint8_t bytes[EPMD_REQUEST_MAX + 1];
	struct epmd_request request;

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	bytes[0] = (EPMD_REQUEST_MAX - 2) >> 8;
	bytes[1] = (EPMD_REQUEST_MAX - 2) & 0xFF;
	bytes[2] = EPMD_PORT2_REQ;
	assert_int_equal(epmd_request_decode(bytes, EPMD_REQUEST_MAX, &request), EPMD_DECODED);
	assert_int_equal(request.name.len, EPMD_REQUEST_MAX - 3);
	bytes[1]++;
	assert_int_equal(epmd_request_decode(bytes, EPMD_REQUEST_MAX + 1, &request),
	                 EPMD_BAD_LENGTH);
}

static void what_to_read_next(void **state)
{
	static const uint8_t bytes[] = "\0\7zsample";

	(void)state;
	assert_int_equal(epmd_request_room(bytes, 0), EPMD_REQUEST_MAX);
	assert_int_equal(epmd_request_room(bytes, 1), EPMD_REQUEST_MAX - 1);
	assert_int_equal(epmd_request_room(bytes, 2), 7);
	assert_int_equal(epmd_request_room(bytes, 8), 1);
}

static void an_alive2_without_a_name_needs_a_byte_more(void **state)
{
	static const uint8_t bytes[] = "\0\x0exa\0M\0\0\6\0\5\0\0\0\0!";
	struct epmd_request request;

	(void)state;
	assert_int_equal(epmd_request_decode(bytes, 16, &request), EPMD_DECODED);
	assert_int_equal(request.node.name.len, 0);
}

static void a_request_that_does_not_fit_is_not_encoded(void **state)
{
	static const uint8_t name[EPMD_REQUEST_MAX];
	struct epmd_request request = {.code = EPMD_PORT2_REQ, .name = {name, sizeof(name)}};
	uint8_t bytes[EPMD_REQUEST_MAX * 2];

	(void)state;
	assert_int_equal(epmd_request_encode(&request, bytes, sizeof(bytes)), 0);
	request.name.len = 10;
	assert_int_equal(epmd_request_encode(&request, bytes, 12), 0);
	assert_int_equal(epmd_request_encode(&request, bytes, 13), 13);
	request.code = EPMD_PORT2_RESP;
	assert_int_equal(epmd_request_encode(&request, bytes, sizeof(bytes)), 0);
}

static void alive2_replies(void **state)
{
	const struct epmd_alive2_reply wide = {true, 0, 0x01020304}, narrow = {false, 1, 99};
	struct epmd_alive2_reply read;
	uint8_t bytes[16];

	(void)state;
	assert_int_equal(epmd_alive2_reply_encode(&wide, bytes, sizeof(bytes)), 6);
	assert_memory_equal(bytes, "v\0\1\2\3\4", 6);
	assert_int_equal(epmd_alive2_reply_decode(bytes, 5, &read), EPMD_NEED_MORE);
	assert_int_equal(epmd_alive2_reply_decode(bytes, 6, &read), EPMD_DECODED);
	assert_true(read.wide && read.result == 0 && read.creation == 0x01020304);
	assert_int_equal(epmd_alive2_reply_encode(&narrow, bytes, sizeof(bytes)), 4);
	assert_memory_equal(bytes, "y\1\0\143", 4);
	assert_int_equal(epmd_alive2_reply_decode(bytes, 4, &read), EPMD_DECODED);
	assert_true(!read.wide && read.result == 1 && read.creation == 99);
	assert_int_equal(epmd_alive2_reply_decode((const uint8_t *)"w\0", 2, &read), EPMD_UNKNOWN);
	assert_int_equal(epmd_alive2_reply_decode(bytes, 0, &read), EPMD_NEED_MORE);
	assert_int_equal(epmd_alive2_reply_encode(&wide, bytes, 5), 0);
}

static void port2_replies(void **state)
{
	const struct epmd_node node = {.port = 41463,
	                               .type = EPMD_NODE_VISIBLE,
	                               .highest = 6,
	                               .lowest = 5,
	                               .name = BYTES("sample"),
	                               .extra = BYTES("xy")};
	struct epmd_node read;
	uint8_t bytes[64], result;
	size_t len = epmd_port2_reply_encode(&node, bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(len, 22);
	assert_memory_equal(bytes, "w\0\xa1\xf7M\0\0\6\0\5\0\6sample\0\2xy", 22);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(epmd_port2_reply_decode(bytes, cut, &result, &read),
		                 EPMD_NEED_MORE);
	assert_int_equal(epmd_port2_reply_decode(bytes, len, &result, &read), EPMD_DECODED);
	assert_true(result == 0 && read.port == 41463 && read.name.len == 6 && read.extra.len == 2);

	assert_int_equal(epmd_port2_reply_encode(NULL, bytes, sizeof(bytes)), 2);
	assert_memory_equal(bytes, "w\1", 2);
	assert_int_equal(epmd_port2_reply_decode(bytes, 2, &result, &read), EPMD_DECODED);
	assert_int_equal(result, 1);
	assert_int_equal(epmd_port2_reply_decode((const uint8_t *)"HTTP", 4, &result, &read),
	                 EPMD_UNKNOWN);
}

static void names_lines_have_every_port(void **state)
{
	static const struct {
		uint16_t port;
		const char *line;
	} rows[] = {
	    {0, "name a at port 0\n"},
	    {7, "name a at port 7\n"},
	    {10, "name a at port 10\n"},
	    {UINT16_MAX, "name a at port 65535\n"},
	};
	uint8_t line[EPMD_LINE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].line);
		assert_int_equal(epmd_names_line_encode(BYTES("a"), rows[i].port, line, sizeof(line)),
		                 len);
		assert_memory_equal(line, rows[i].line, len);
		assert_int_equal(epmd_names_line_encode(BYTES("a"), rows[i].port, line, len - 1), 0);
	}
}

static void names_replies(void **state)
{
	static const char reply[] = "\0\0\x11\x11"
				    "name sample at port 41463\n"
				    "something else\n"
				    "name  at port 1\n"
				    "name b at port 70000\n"
				    "name c at port \n"
				    "name a at port 1 at port 2\n"
				    "name last at port 3";
	struct epmd_names_walk walk;
	struct wire_bytes name;
	uint16_t port;
	uint8_t line[EPMD_LINE_MAX];

	(void)state;
	assert_int_equal(epmd_names_head_encode(EPMD_DEFAULT_PORT, line, 4), 4);
	assert_memory_equal(line, reply, 4);
	assert_int_equal(epmd_names_line_encode(BYTES("sample"), 41463, line, sizeof(line)), 26);
	assert_memory_equal(line, reply + 4, 26);

	assert_true(epmd_names_walk_start(&walk, (const uint8_t *)reply, sizeof(reply) - 1));
	assert_int_equal(walk.epmd_port, 4369);
	assert_true(epmd_names_walk_next(&walk, &name, &port));
	assert_memory_equal(name.at, "sample", name.len);
	assert_int_equal(port, 41463);
	assert_true(epmd_names_walk_next(&walk, &name, &port));
	assert_int_equal(name.len, strlen("a at port 1"));
	assert_int_equal(port, 2);
	assert_true(epmd_names_walk_next(&walk, &name, &port));
	assert_int_equal(port, 3);
	assert_false(epmd_names_walk_next(&walk, &name, &port));
	assert_false(epmd_names_walk_start(&walk, (const uint8_t *)"\0\0\1", 3));
	assert_false(epmd_names_walk_start(&walk, (const uint8_t *)"\1\0\0\0", 4));
}

static void dump_lines(void **state)
{
	static const char active[] = "active name     <a> at port 1, fd = 7\n";
	static const char old[] = "old/unused name <a>, port = 1, fd = 7 \n";
	uint8_t line[EPMD_LINE_MAX];

	(void)state;
	assert_int_equal(epmd_dump_active_encode(BYTES("a"), 1, 7, line, sizeof(line)),
	                 sizeof(active));
	assert_memory_equal(line, active, sizeof(active));
	assert_int_equal(epmd_dump_old_encode(BYTES("a"), 1, 7, line, sizeof(line)), sizeof(old));
	assert_memory_equal(line, old, sizeof(old));
	assert_int_equal(epmd_dump_old_encode(BYTES("a"), 1, 7, line, 20), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(valid_requests),
	    cmocka_unit_test(invalid_requests),
	    cmocka_unit_test(the_longest_request_is_3059_bytes),
	    cmocka_unit_test(what_to_read_next),
	    cmocka_unit_test(an_alive2_without_a_name_needs_a_byte_more),
	    cmocka_unit_test(a_request_that_does_not_fit_is_not_encoded),
	    cmocka_unit_test(alive2_replies),
	    cmocka_unit_test(port2_replies),
	    cmocka_unit_test(names_lines_have_every_port),
	    cmocka_unit_test(names_replies),
	    cmocka_unit_test(dump_lines),
	};

	return cmocka_run_group_tests_name("epmd_msg", tests, NULL, NULL);
}
