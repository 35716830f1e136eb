/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lines.h"
#include "proto/dist_msg.h"

static char *meaning_of(char *line)
{
	char *equals = strchr(line, '=');

	assert_non_null(equals);
	return equals + 1 + strspn(equals + 1, " ");
}

/* A copy of its very size, so that a sanitizer sees every read past the end. */
static uint8_t *copy_of(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	if (len)
		memcpy(copy, bytes, len);
	return copy;
}

/* Each of these writes what the case files call the frame, if it is one of its kind. */

static bool describe_status(struct wire_bytes body, char *text, size_t size)
{
	static const char *const names[] = {
	    [DIST_STATUS_OK] = "ok",
	    [DIST_STATUS_OK_SIMULTANEOUS] = "ok_simultaneous",
	    [DIST_STATUS_NOK] = "nok",
	    [DIST_STATUS_NOT_ALLOWED] = "not_allowed",
	    [DIST_STATUS_ALIVE] = "alive",
	    [DIST_STATUS_OTHER] = "other",
	};
	enum dist_status status;

	if (dist_status_decode(body, &status) != DIST_DECODED)
		return false;
	snprintf(text, size, "status %s", names[status]);
	return true;
}

static bool describe_challenge(struct wire_bytes body, char *text, size_t size)
{
	struct dist_challenge read;

	if (dist_challenge_decode(body, &read) != DIST_DECODED)
		return false;
	snprintf(text, size, "challenge %" PRIx64 " %" PRIx32 " %" PRIx32 " %.*s", read.flags,
	         read.challenge, read.creation, (int)read.name.len, (const char *)read.name.at);
	return true;
}

static bool describe_ack(struct wire_bytes body, char *text, size_t size)
{
	uint8_t digest[DIST_DIGEST_SIZE];
	size_t n;

	if (dist_challenge_ack_decode(body, digest) != DIST_DECODED)
		return false;
	n = (size_t)snprintf(text, size, "ack ");
	for (size_t i = 0; i < DIST_DIGEST_SIZE; i++)
		n += (size_t)snprintf(text + n, size - n, "%02x", digest[i]);
	return true;
}

static void describe_body(struct wire_bytes body, char *text, size_t size)
{
	unsigned kinds = 0;

	snprintf(text, size, "malformed");
	kinds += describe_status(body, text, size);
	kinds += describe_challenge(body, text, size);
	kinds += describe_ack(body, text, size);
	assert_true(kinds <= 1);
}

static void check_frame(char *line)
{
	uint8_t bytes[256];
	char text[256];
	struct wire_bytes body;
	size_t used, len = lines_hex(line, strchr(line, '='), bytes, sizeof(bytes) - 1);

	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *copy = copy_of(bytes, cut);

		assert_int_equal(dist_frame_decode(copy, cut, &body, &used), DIST_NEED_MORE);
		free(copy);
	}
	/* The byte behind it is of the next frame. */
	bytes[len] = 0xff;
	assert_int_equal(dist_frame_decode(bytes, len + 1, &body, &used), DIST_DECODED);
	assert_int_equal(used, len);
	assert_ptr_equal(body.at, bytes + 2);
	assert_int_equal(body.len, len - 2);
	describe_body(body, text, sizeof(text));
	assert_string_equal(text, meaning_of(line));
}

/* A shorter body never means the same, and is not read past its end. */
static void check_frame_cut(char *line)
{
	uint8_t bytes[256];
	char text[256];
	size_t len = lines_hex(line, strchr(line, '='), bytes, sizeof(bytes));
	bool fixed = strncmp(meaning_of(line), "status", 6) != 0 && !strstr(line, "61 ffff");

	for (size_t cut = 0; cut < len - 2; cut++) {
		uint8_t *copy = copy_of(bytes + 2, cut);

		describe_body((struct wire_bytes){copy, cut}, text, sizeof(text));
		if (fixed && strcmp(meaning_of(line), "malformed") != 0)
			assert_string_equal(text, "malformed");
		free(copy);
	}
}

static void frames(void **state)
{
	(void)state;
	lines_each("dist_msg/frames.txt", check_frame);
	lines_each("dist_msg/frames.txt", check_frame_cut);
}

static enum dist_decode judge(const void *bytes, size_t len)
{
	struct wire_bytes body;
	size_t used;

	return dist_frame_decode(bytes, len, &body, &used);
}

static void the_longest_frame_has_1400_bytes(void **state)
{
	uint8_t bytes[DIST_FRAME_MAX + 3] = {DIST_FRAME_MAX >> 8, DIST_FRAME_MAX & 0xff};

	(void)state;
	assert_int_equal(judge(bytes, DIST_FRAME_MAX + 1), DIST_NEED_MORE);
	assert_int_equal(judge(bytes, DIST_FRAME_MAX + 2), DIST_DECODED);
	bytes[1]++;
	assert_int_equal(judge(bytes, 2), DIST_MALFORMED);
	assert_int_equal(judge(bytes, sizeof(bytes)), DIST_MALFORMED);
	assert_int_equal(judge("\0\0", 2), DIST_MALFORMED);
}

/* What a node with -proto_dist inet_tls answers, and other services. */
static void tls_is_told_from_garbage(void **state)
{
	(void)state;
	assert_int_equal(judge("\x15\3\3\0\2\2\x0a", 7), DIST_TLS);
	assert_int_equal(judge("\x15\3", 2), DIST_TLS);
	assert_int_equal(judge("\x16\3\1\2\0\1", 6), DIST_TLS);
	assert_int_equal(judge("\x15", 1), DIST_NEED_MORE);
	assert_int_equal(judge("\x15\2", 2), DIST_MALFORMED);
	assert_int_equal(judge("\x17\3\3", 3), DIST_MALFORMED);
	assert_int_equal(judge("\x14\3\3", 3), DIST_MALFORMED);
	assert_int_equal(judge("HTTP/1.1 400", 12), DIST_MALFORMED);
	assert_int_equal(judge("SSH-2.0", 7), DIST_MALFORMED);
}

static const uint8_t digest[] = "\x8e\x9f\x13\x9a\x78\x26\x27\xd8\x92\x28\xc1\x9b\x08\xc3\x3e\x01";

static size_t put_name(uint8_t *buffer, size_t size)
{
	return dist_send_name_encode("kepmd@127.0.0.1", DIST_FLAGS_OURS, 5, buffer, size);
}

static size_t put_go_on(uint8_t *buffer, size_t size)
{
	return dist_alive_reply_encode(true, buffer, size);
}

static size_t put_give_up(uint8_t *buffer, size_t size)
{
	return dist_alive_reply_encode(false, buffer, size);
}

static size_t put_challenge_reply(uint8_t *buffer, size_t size)
{
	return dist_challenge_reply_encode(0xfffffffe, digest, buffer, size);
}

static const struct dist_pid pid = {"kepmd@127.0.0.1", 1, 7, 5};

static size_t put_call(uint8_t *buffer, size_t size)
{
	static const struct dist_call call = {"erlang", "nodes", {"connected"}};

	return dist_call_encode(&pid, &call, buffer, size);
}

static size_t put_call_of_nothing(uint8_t *buffer, size_t size)
{
	static const struct dist_call call = {"erlang", "get_cookie", {NULL}};

	return dist_call_encode(&pid, &call, buffer, size);
}

#define PID "X\x77\x0fkepmd@127.0.0.1\0\0\0\1\0\0\0\7\0\0\0\5"
#define EXPECTED(text) text, sizeof(text) - 1

/* Written out by hand from the documentation; a node of OTP 25 took each but "sfalse"
 * (with the digest that is due) and did what the calls say. */
static const struct {
	size_t (*put)(uint8_t *buffer, size_t size);
	const char *bytes;
	size_t len;
} written[] = {
    {put_name, EXPECTED("\0\x1eN\0\0\0\4\7\7\x4f\x94\0\0\0\5\0\x0fkepmd@127.0.0.1")},
    {put_go_on, EXPECTED("\0\5strue")},
    {put_give_up, EXPECTED("\0\6sfalse")},
    {put_challenge_reply, EXPECTED("\0\x15r\xff\xff\xff\xfe\x8e\x9f\x13\x9a\x78\x26\x27\xd8"
                                   "\x92\x28\xc1\x9b\x08\xc3\x3e\x01")},
    {put_call, EXPECTED("\0\0\0\x7ap\x83h\4a\6" PID "w\0w\3rex\x83h\2" PID "h\5w\4callw\6erlang"
                        "w\5nodesl\0\0\0\1w\tconnectedjw\4user")},
    {put_call_of_nothing, EXPECTED("\0\0\0\x6fp\x83h\4a\6" PID "w\0w\3rex\x83h\2" PID "h\5w\4call"
                                   "w\6erlangw\x0aget_cookiejw\4user")},
    {dist_tick_encode, EXPECTED("\0\0\0\0")},
};

static void what_we_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		for (size_t size = 0; size < written[i].len + 2; size++) {
			uint8_t *buffer = malloc(size + 1);
			size_t len = size < written[i].len ? 0 : written[i].len;

			assert_non_null(buffer);
			buffer[size] = 0xee;
			assert_int_equal(written[i].put(buffer, size), len);
			assert_memory_equal(buffer, written[i].bytes, len);
			assert_int_equal(buffer[size], 0xee);
			free(buffer);
		}
	}
}

static void a_name_beyond_the_longest_frame_is_not_written(void **state)
{
	static uint8_t buffer[DIST_FRAME_MAX * 100];
	static char name[UINT16_MAX + 3];
	const size_t longest = DIST_FRAME_MAX - 15;

	(void)state;
	memset(name, 'a', longest);
	assert_int_equal(dist_send_name_encode(name, 0, 0, buffer, sizeof(buffer)),
	                 DIST_FRAME_MAX + 2);
	memset(name, 'a', longest + 1);
	assert_int_equal(dist_send_name_encode(name, 0, 0, buffer, sizeof(buffer)), 0);
	memset(name, 'a', UINT16_MAX + 2);
	assert_int_equal(dist_send_name_encode(name, 0, 0, buffer, sizeof(buffer)), 0);
}

static void a_call_has_four_arguments_at_most(void **state)
{
	const struct dist_call call = {"m", "f", {"a", "b", "c", "d"}};
	uint8_t buffer[DIST_CALL_MAX];
	size_t len = dist_call_encode(&pid, &call, buffer, sizeof(buffer));
	static const char tail[] = "w\1mw\1fl\0\0\0\4w\1aw\1bw\1cw\1djw\4user";

	(void)state;
	assert_true(len > sizeof(tail));
	assert_memory_equal(buffer + len - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
}

static void challenges_are_unsigned_decimals(void **state)
{
	char text[DIST_CHALLENGE_TEXT_SIZE];

	(void)state;
	assert_int_equal(dist_challenge_text(0, text), 1);
	assert_string_equal(text, "0");
	assert_int_equal(dist_challenge_text(1234, text), 4);
	assert_string_equal(text, "1234");
	assert_int_equal(dist_challenge_text(4294967295, text), 10);
	assert_string_equal(text, "4294967295");
}

static void describe_message(const uint8_t *bytes, size_t len, char *text, size_t size)
{
	static const char *const names[] = {
	    [DIST_MESSAGE_TICK] = "tick",
	    [DIST_MESSAGE_ANSWER] = "answer",
	    [DIST_MESSAGE_OTHER] = "other",
	};
	uint8_t *copy = copy_of(bytes, len);
	struct dist_answer answer;
	enum dist_message kind;
	enum dist_decode result = dist_message_decode(copy, len, &kind, &answer);

	assert_true(result == DIST_DECODED || result == DIST_MALFORMED);
	if (result == DIST_MALFORMED)
		snprintf(text, size, "malformed");
	else if (kind != DIST_MESSAGE_ANSWER)
		snprintf(text, size, "%s", names[kind]);
	else
		snprintf(text, size, "answer %lu %lu", (unsigned long)answer.id,
		         (unsigned long)answer.serial);
	if (result == DIST_DECODED && kind == DIST_MESSAGE_ANSWER)
		assert_true(etf_skip(&answer.result));
	free(copy);
}

/* An answer that is cut is none, and malformed: nothing of it may be acted on. */
static void check_message(char *line)
{
	uint8_t bytes[512];
	char text[64];
	size_t len = lines_hex(line, strchr(line, '='), bytes, sizeof(bytes));
	bool answer = strncmp(meaning_of(line), "answer", 6) == 0;

	describe_message(bytes, len, text, sizeof(text));
	assert_string_equal(text, meaning_of(line));
	for (size_t cut = 1; cut < len; cut++) {
		describe_message(bytes, cut, text, sizeof(text));
		if (answer)
			assert_string_equal(text, "malformed");
	}
}

static void messages(void **state)
{
	(void)state;
	lines_each("dist_msg/messages.txt", check_message);
}

/* What OTP 25 answers to erlang:nodes(connected). */
static void the_result_of_a_call_can_be_read(void **state)
{
	static const uint8_t body[] = "p\x83h\3a\2w\0" PID "\x83h\2w\3rexl\0\0\0\1w\x0f"
				      "kepmd@127.0.0.1j";
	struct dist_answer answer;
	enum dist_message kind;

	(void)state;
	assert_int_equal(dist_message_decode(body, sizeof(body) - 1, &kind, &answer), DIST_DECODED);
	assert_int_equal(kind, DIST_MESSAGE_ANSWER);
	struct etf_token list = etf_next(&answer.result), node = etf_next(&answer.result);
	assert_true(list.kind == ETF_LIST && list.arity == 1);
	assert_true(etf_is_atom(&node, "kepmd@127.0.0.1"));
	assert_int_equal(etf_next(&answer.result).kind, ETF_NIL);
	assert_ptr_equal(answer.result.wire.at, body + sizeof(body) - 1);
}

/* An answer whose Result is DEPTH tuples, each in the one before. */
static enum dist_decode judge_nested(size_t depth)
{
	uint8_t body[512];
	struct wire_writer out = wire_writer_on(body, sizeof(body));
	struct dist_answer answer;
	enum dist_message kind;

	wire_put_bytes(&out, EXPECTED("p\x83h\3a\2w\0" PID "\x83h\2w\3rex"));
	for (size_t i = 0; i < depth; i++)
		etf_put_tuple(&out, 1);
	etf_put_nil(&out);
	assert_true(wire_written(&out) > 0);
	return dist_message_decode(body, wire_written(&out), &kind, &answer);
}

static void results_nest_so_deep_and_no_deeper(void **state)
{
	(void)state;
	assert_int_equal(judge_nested(ETF_DEPTH_MAX), DIST_DECODED);
	assert_int_equal(judge_nested(ETF_DEPTH_MAX + 1), DIST_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames),
	    cmocka_unit_test(the_longest_frame_has_1400_bytes),
	    cmocka_unit_test(tls_is_told_from_garbage),
	    cmocka_unit_test(what_we_say),
	    cmocka_unit_test(a_name_beyond_the_longest_frame_is_not_written),
	    cmocka_unit_test(a_call_has_four_arguments_at_most),
	    cmocka_unit_test(challenges_are_unsigned_decimals),
	    cmocka_unit_test(messages),
	    cmocka_unit_test(the_result_of_a_call_can_be_read),
	    cmocka_unit_test(results_nest_so_deep_and_no_deeper),
	};

	return cmocka_run_group_tests_name("dist_msg", tests, NULL, NULL);
}
