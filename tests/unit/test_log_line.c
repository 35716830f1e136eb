/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "epmd/log_limit.h"
#include "epmd/log_line.h"
#include "epmd/utf8.h"

#define SIZE 4096
#define AT                                                 \
	{                                                  \
		.tv_sec = 1767323045, .tv_nsec = 678900000 \
	}
#define WHEN "2026-01-02T03:04:05.678Z"

/* --- text -------------------------------------------------------------------------------- */

static void text_says_when_how_bad_and_what(void **state)
{
	const struct log_line line = {
	    .at = AT, .level = "info", .message = "a: b", .about = "a", .lost = 3, .last = true};
	char out[SIZE];

	(void)state;
	size_t len = log_line_text(&line, out, sizeof(out));
	assert_in_range(len, 1, sizeof(out) - 1);
	out[len] = '\0';
	assert_string_equal(out, WHEN " epmd info: a: b (3 lines before it are lost) (more like it "
	                              "are counted, not logged)\n");
}

/* --- JSON -------------------------------------------------------------------------------- */

static json_t *parsed(const struct log_line *line)
{
	char out[SIZE];
	size_t len = log_line_json(line, out, sizeof(out));

	assert_in_range(len, 3, sizeof(out));
	assert_int_equal(out[len - 1], '\n');
	assert_null(memchr(out, '\n', len - 1));
	json_error_t error;
	json_t *object = json_loadb(out, len, JSON_REJECT_DUPLICATES, &error);
	if (!object)
		fail_msg("%s at %d in %.*s", error.text, error.position, (int)len, out);
	return object;
}

static const char *field(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void json_has_what_there_is(void **state)
{
	struct log_line line = {
	    .at = AT, .level = "warning", .message = "say \"a\\b\"", .about = ""};
	json_t *object = parsed(&line);

	(void)state;
	assert_int_equal(json_object_size(object), 3);
	assert_string_equal(field(object, "time"), WHEN);
	assert_string_equal(field(object, "level"), "warning");
	assert_string_equal(field(object, "message"), "say \"a\\b\"");
	json_decref(object);
	line.about = "10.0.0.7:51234";
	line.lost = 2;
	line.suppressed = 4000000000ul;
	object = parsed(&line);
	assert_int_equal(json_object_size(object), 6);
	assert_string_equal(field(object, "about"), "10.0.0.7:51234");
	assert_int_equal(json_integer_value(json_object_get(object, "lost")), 2);
	assert_int_equal(json_integer_value(json_object_get(object, "suppressed")), 4000000000ul);
	json_decref(object);
}

static void json_is_valid_whatever_comes(void **state)
{
	char message[LOG_LINE_MESSAGE_SIZE], about[LOG_LINE_ABOUT_SIZE];
	unsigned seed = 7;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		/* Some rounds have nothing but what takes two bytes, or three, for one. */
		size_t n = round % sizeof(message), m = round % sizeof(about);
		for (size_t i = 0; i < n; i++)
			message[i] = (char)(round % 3 == 0   ? '"'
			                    : round % 3 == 1 ? 0xFF
			                                     : 1 + rand_r(&seed) % 255);
		memset(about, '\\', m);
		message[n] = about[m] = '\0';
		const struct log_line line = {.at = AT,
		                              .level = "warning",
		                              .message = message,
		                              .about = about,
		                              .lost = INT64_MAX,
		                              .suppressed = INT64_MAX};
		json_t *object = parsed(&line);
		assert_int_equal(json_object_size(object), m ? 6 : 5);
		json_decref(object);
	}
}

static void json_keeps_a_message_that_fits(void **state)
{
	char message[LOG_LINE_MESSAGE_SIZE];

	(void)state;
	memset(message, 'x', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	const struct log_line line = {.at = AT, .level = "info", .message = message, .about = ""};
	json_t *object = parsed(&line);
	assert_string_equal(field(object, "message"), message);
	json_decref(object);
}

/* --- UTF-8 --------------------------------------------------------------------------------- */

static void what_is_a_character(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
	    {"a", 1},
	    {"\x7F", 1},
	    {"\xC2\x80", 2},
	    {"\xDF\xBF", 2},
	    {"\xE0\xA0\x80", 3},
	    {"\xED\x9F\xBF", 3},
	    {"\xEE\x80\x80", 3},
	    {"\xF0\x90\x80\x80", 4},
	    {"\xF4\x8F\xBF\xBF", 4},
	    {"\x80", 0},
	    {"\xC0\x80", 0}, /* longer than need be */
	    {"\xC1\xBF", 0},
	    {"\xE0\x9F\xBF", 0},
	    {"\xF0\x8F\xBF\xBF", 0},
	    {"\xED\xA0\x80", 0},     /* a surrogate */
	    {"\xF4\x90\x80\x80", 0}, /* beyond U+10FFFF */
	    {"\xF5\x80\x80\x80", 0},
	    {"\xFF", 0},
	    {"\xC2", 0}, /* cut off */
	    {"\xE2\x82", 0},
	    {"\xC2"
	     "a",
	     0},
	    {"\xE2\x82"
	     "a",
	     0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(utf8_char(rows[i].bytes, strlen(rows[i].bytes)), rows[i].len);
	assert_int_equal(utf8_char("", 0), 0);
	assert_int_equal(utf8_char("\xC2\x80", 1), 0);
}

static void controls_are_masked(void **state)
{
	char text[] = "a\x1b[2J\n\x7f"
		      "b\xc2\x9b"
		      "c\xc2\xa0\xc3\x9f";

	(void)state;
	utf8_mask_controls(text);
	assert_string_equal(text, "a?[2J??"
	                          "b??"
	                          "c\xc2\xa0\xc3\x9f");
}

static void what_is_none_is_masked(void **state)
{
	char text[] = "a\xFF\xC3\xA9\xE2\x82z\xC3";

	(void)state;
	utf8_mask(text, strlen(text));
	assert_string_equal(text, "a?\xC3\xA9??z?");
}

/* --- how often ------------------------------------------------------------------------------- */

static const char a[] = "a", b[] = "b";

static void a_burst_passes_then_one_a_second(void **state)
{
	struct log_limit limit = {0};
	unsigned long suppressed = 99;

	(void)state;
	for (int i = 1; i < LOG_LIMIT_BURST; i++)
		assert_int_equal(log_limit_ask(&limit, a, 1000, &suppressed), LOG_PASS);
	assert_int_equal(suppressed, 0);
	assert_int_equal(log_limit_ask(&limit, a, 1000, &suppressed), LOG_PASS_LAST);
	for (int i = 0; i < 7; i++)
		assert_int_equal(log_limit_ask(&limit, a, 1999, &suppressed), LOG_SUPPRESS);
	/* Another kind is none of its business. */
	assert_int_equal(log_limit_ask(&limit, b, 1999, &suppressed), LOG_PASS);
	assert_int_equal(log_limit_ask(&limit, a, 2000, &suppressed), LOG_PASS_LAST);
	assert_int_equal(suppressed, 7);
	assert_int_equal(log_limit_ask(&limit, a, 2999, &suppressed), LOG_SUPPRESS);
	assert_int_equal(log_limit_ask(&limit, a, 3000, &suppressed), LOG_PASS_LAST);
	assert_int_equal(suppressed, 1);
}

static void rest_fills_the_bucket_and_no_more(void **state)
{
	struct log_limit limit = {0};
	unsigned long suppressed;
	int passed = 0;

	(void)state;
	for (int i = 0; i < LOG_LIMIT_BURST; i++)
		log_limit_ask(&limit, a, 0, &suppressed);
	for (int i = 0; i < 3 * LOG_LIMIT_BURST; i++)
		passed += log_limit_ask(&limit, a, 3600000, &suppressed) != LOG_SUPPRESS;
	assert_int_equal(passed, LOG_LIMIT_BURST);
}

static void too_many_kinds_share_the_last_bucket(void **state)
{
	static const char kinds[LOG_LIMIT_KINDS + 20];
	struct log_limit limit = {0};
	unsigned long suppressed;
	int passed = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(kinds); i++)
		for (int j = 0; j < LOG_LIMIT_BURST; j++)
			passed += log_limit_ask(&limit, &kinds[i], 0, &suppressed) != LOG_SUPPRESS;
	assert_int_equal(passed, LOG_LIMIT_KINDS * LOG_LIMIT_BURST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_says_when_how_bad_and_what),
	    cmocka_unit_test(json_has_what_there_is),
	    cmocka_unit_test(json_is_valid_whatever_comes),
	    cmocka_unit_test(json_keeps_a_message_that_fits),
	    cmocka_unit_test(what_is_a_character),
	    cmocka_unit_test(controls_are_masked),
	    cmocka_unit_test(what_is_none_is_masked),
	    cmocka_unit_test(a_burst_passes_then_one_a_second),
	    cmocka_unit_test(rest_fills_the_bucket_and_no_more),
	    cmocka_unit_test(too_many_kinds_share_the_last_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
