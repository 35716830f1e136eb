/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discovery/kube_split.h"

/* What came out: the items, each in brackets of its own, and the envelope. */
struct outcome {
	char text[4096];
	size_t n;
	size_t stop_after; /* 0: never */
};

static bool on_item(void *arg, const char *text, size_t len)
{
	struct outcome *outcome = arg;
	size_t used = strlen(outcome->text);

	outcome->n++;
	snprintf(outcome->text + used, sizeof(outcome->text) - used, "<%.*s>", (int)len, text);
	return outcome->n != outcome->stop_after;
}

static void finish(struct kube_split *split, struct outcome *outcome, enum kube_split_error error)
{
	const char *envelope = NULL;
	size_t len = 0, used = strlen(outcome->text);
	enum kube_split_error end = kube_split_end(split, &envelope, &len);

	if (error != KUBE_SPLIT_OK)
		assert_int_equal(end, error);
	snprintf(outcome->text + used, sizeof(outcome->text) - used, "%.*s!%d", (int)len,
	         envelope ? envelope : "", (int)end);
	kube_split_free(split);
}

static void split_in_three(enum kube_split_shape shape, const char *text, size_t first,
                           size_t second, struct outcome *outcome)
{
	struct kube_split *split = kube_split_new(shape, on_item, outcome);
	size_t ends[] = {first, second, strlen(text)}, at = 0;
	enum kube_split_error error = KUBE_SPLIT_OK;

	assert_non_null(split);
	for (size_t i = 0; i < 3 && error == KUBE_SPLIT_OK; i++) {
		/* A copy of its own, so that a read past the chunk is seen. */
		size_t len = ends[i] - at;
		char *chunk = malloc(len + !len);
		assert_non_null(chunk);
		memcpy(chunk, text + at, len);
		error = kube_split_feed(split, chunk, len);
		free(chunk);
		at = ends[i];
	}
	finish(split, outcome, error);
}

static void split_by_bytes(enum kube_split_shape shape, const char *text, struct outcome *outcome)
{
	struct kube_split *split = kube_split_new(shape, on_item, outcome);
	enum kube_split_error error = KUBE_SPLIT_OK;

	assert_non_null(split);
	for (; *text && error == KUBE_SPLIT_OK; text++) {
		char byte = *text;
		error = kube_split_feed(split, &byte, 1);
	}
	finish(split, outcome, error);
}

/* Whole, byte by byte, and cut at every pair of places. */
static void check(enum kube_split_shape shape, const char *text, const char *expected)
{
	size_t len = strlen(text);
	struct outcome bytes = {0};

	split_by_bytes(shape, text, &bytes);
	assert_string_equal(bytes.text, expected);
	for (size_t first = 0; first <= len; first++)
		for (size_t second = first; second <= len; second++) {
			struct outcome cut = {0};
			split_in_three(shape, text, first, second, &cut);
			assert_string_equal(cut.text, expected);
		}
}

/* --- LIST ---------------------------------------------------------------------------- */

static void list_of_two_items(void **state)
{
	(void)state;
	check(KUBE_SPLIT_LIST,
	      "{\"kind\":\"EndpointSliceList\",\"metadata\":{\"resourceVersion\":\"7\"},"
	      "\"items\":[{\"a\":{\"b\":[1,2]}},{\"c\":\"d\"}]}\n",
	      "<{\"a\":{\"b\":[1,2]}}><{\"c\":\"d\"}>"
	      "{\"kind\":\"EndpointSliceList\",\"metadata\":{\"resourceVersion\":\"7\"},"
	      "\"items\":[]}!0");
}

static void items_may_come_before_the_metadata(void **state)
{
	(void)state;
	check(KUBE_SPLIT_LIST, "{\"items\":[{},{}],\"kind\":\"List\"}",
	      "<{}><{}>{\"items\":[],\"kind\":\"List\"}!0");
}

static void pretty_printed_list(void **state)
{
	(void)state;
	check(KUBE_SPLIT_LIST,
	      " \r\n{\n  \"items\" :\t[\n    {\n      \"a\": 1\n    } ,\n\n    { }\n  ]\n}\n \n",
	      "<{\n      \"a\": 1\n    }><{ }>{\n  \"items\" :\t[]\n}!0");
}

static void items_null_or_empty(void **state)
{
	(void)state;
	check(KUBE_SPLIT_LIST, "{\"items\":null}", "{\"items\":null}!0");
	check(KUBE_SPLIT_LIST, "{\"items\": [ ] }", "{\"items\": [] }!0");
}

static void items_elsewhere_do_not_count(void **state)
{
	const char text[] = "{\"metadata\":{\"items\":[{\"x\":1}]},\"list\":[{\"items\":[{}]}],"
			    "\"kind\":\"items\",\"s\":[\"items\"],\"\\\"items\":[{}],"
			    "\"items\\\"\":[{}]}";
	char expected[sizeof(text) + 2];

	(void)state;
	snprintf(expected, sizeof(expected), "%s!0", text);
	check(KUBE_SPLIT_LIST, text, expected);
}

static void items_within_items_are_theirs(void **state)
{
	(void)state;
	check(KUBE_SPLIT_LIST, "{\"items\":[{\"items\":[{}]}]}",
	      "<{\"items\":[{}]}>{\"items\":[]}!0");
}

static void quotes_and_braces_within_strings(void **state)
{
	(void)state;
	check(
	    KUBE_SPLIT_LIST,
	    "{\"a\":\"}]\\\"\\\\\",\"items\":[{\"b\\\\\":\"{[\\\"}\\\\\\\\\"},{\"\":\"\\\\\\\"\"}],"
	    "\"c\":\"\"}",
	    "<{\"b\\\\\":\"{[\\\"}\\\\\\\\\"}><{\"\":\"\\\\\\\"\"}>"
	    "{\"a\":\"}]\\\"\\\\\",\"items\":[],\"c\":\"\"}!0");
}

static void utf8_is_not_looked_at(void **state)
{
	(void)state;
	check(KUBE_SPLIT_LIST, "{\"items\":[{\"n\":\"z\xC3\xBCri \xF0\x9F\x90\x98\"}]}",
	      "<{\"n\":\"z\xC3\xBCri \xF0\x9F\x90\x98\"}>{\"items\":[]}!0");
}

static void status_is_all_envelope(void **state)
{
	(void)state;
	check(KUBE_SPLIT_LIST, "{\"kind\":\"Status\",\"code\":403}",
	      "{\"kind\":\"Status\",\"code\":403}!0");
}

static void unfinished_list(void **state)
{
	static const char *const texts[] = {
	    "",
	    "  ",
	    "{",
	    "{\"items\":",
	    "{\"items\":[",
	    "{\"items\":[{}",
	    "{\"items\":[{},",
	    "{\"items\":[]",
	    "{\"items\":[{\"a",
	    "{\"a\":\"\\",
	    "{\"a\":\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct outcome outcome = {0};
		split_by_bytes(KUBE_SPLIT_LIST, texts[i], &outcome);
		assert_non_null(strstr(outcome.text, "!3"));
	}
}

static void what_is_no_list(void **state)
{
	static const char *const texts[] = {
	    "[]",
	    "<html>",
	    "404 page not found\n",
	    "null",
	    "{]",
	    "{}{}",
	    "{} x",
	    "{\"items\":[1]}",
	    "{\"items\":[{},,{}]}",
	    "{\"items\":[,{}]}",
	    "{\"items\":[{}{}]}",
	    "{\"items\":[{},]}",
	    "{\"items\":[null]}",
	    "{\"items\":[{}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct outcome whole = {0}, bytes = {0};
		split_in_three(KUBE_SPLIT_LIST, texts[i], 0, 0, &whole);
		split_by_bytes(KUBE_SPLIT_LIST, texts[i], &bytes);
		assert_string_equal(whole.text, bytes.text);
		assert_non_null(strstr(whole.text, "!2"));
	}
}

/* --- WATCH (faults 1 and 7) ------------------------------------------------------------ */

static void event_split_at_every_byte(void **state)
{
	(void)state;
	check(KUBE_SPLIT_WATCH,
	      "{\"type\":\"ADDED\",\"object\":{\"n\":\"z\xC3\xBCri\"}}\n"
	      "{\"type\":\"BOOKMARK\"}\r\n\n \r\n{}\n",
	      "<{\"type\":\"ADDED\",\"object\":{\"n\":\"z\xC3\xBCri\"}}>"
	      "<{\"type\":\"BOOKMARK\"}\r><{}>!0");
}

static void end_in_the_middle_of_a_line_drops_it(void **state)
{
	(void)state;
	check(KUBE_SPLIT_WATCH, "{\"a\":1}\n{\"b\":", "<{\"a\":1}>!3");
	check(KUBE_SPLIT_WATCH, "{\"a\":1}\n \r", "<{\"a\":1}>!0");
	check(KUBE_SPLIT_WATCH, "", "!0");
}

static void watch_end_needs_no_envelope(void **state)
{
	struct outcome outcome = {0};
	struct kube_split *split = kube_split_new(KUBE_SPLIT_WATCH, on_item, &outcome);

	(void)state;
	assert_int_equal(kube_split_feed(split, "{}\n", 3), KUBE_SPLIT_OK);
	assert_int_equal(kube_split_end(split, NULL, NULL), KUBE_SPLIT_OK);
	kube_split_free(split);
	kube_split_free(NULL);
}

/* --- limits and the callback -------------------------------------------------------------- */

static enum kube_split_error feed_many(struct kube_split *split, char byte, size_t n, size_t chunk)
{
	char *bytes = malloc(chunk);
	enum kube_split_error error = KUBE_SPLIT_OK;

	assert_non_null(bytes);
	memset(bytes, byte, chunk);
	while (n > 0 && error == KUBE_SPLIT_OK) {
		size_t len = n < chunk ? n : chunk;
		error = kube_split_feed(split, bytes, len);
		n -= len;
	}
	free(bytes);
	return error;
}

static bool count_item(void *arg, const char *text, size_t len)
{
	size_t *longest = arg;

	(void)text;
	if (len > *longest)
		*longest = len;
	return true;
}

static void line_of_the_longest_length(void **state)
{
	(void)state;
	for (int too_long = 0; too_long <= 1; too_long++)
		for (size_t chunk = 65536; chunk <= 2 * KUBE_SPLIT_ITEM_MAX; chunk *= 256) {
			size_t longest = 0;
			struct kube_split *split =
			    kube_split_new(KUBE_SPLIT_WATCH, count_item, &longest);
			enum kube_split_error error =
			    feed_many(split, 'x', KUBE_SPLIT_ITEM_MAX + (size_t)too_long, chunk);
			if (error == KUBE_SPLIT_OK)
				error = kube_split_feed(split, "\n", 1);
			assert_int_equal(error, too_long ? KUBE_SPLIT_TOO_LONG : KUBE_SPLIT_OK);
			assert_int_equal(longest, too_long ? 0 : KUBE_SPLIT_ITEM_MAX);
			kube_split_free(split);
		}
}

static void line_that_is_too_long_in_one_chunk(void **state)
{
	size_t longest = 0, len = KUBE_SPLIT_ITEM_MAX + 2;
	struct kube_split *split = kube_split_new(KUBE_SPLIT_WATCH, count_item, &longest);
	char *line = malloc(len);

	(void)state;
	assert_non_null(line);
	memset(line, 'x', len);
	line[len - 1] = '\n';
	assert_int_equal(kube_split_feed(split, line, len), KUBE_SPLIT_TOO_LONG);
	assert_int_equal(longest, 0);
	free(line);
	kube_split_free(split);
}

static void error_stays(void **state)
{
	struct outcome outcome = {0};
	struct kube_split *split = kube_split_new(KUBE_SPLIT_LIST, on_item, &outcome);

	(void)state;
	assert_int_equal(kube_split_feed(split, "x", 1), KUBE_SPLIT_NOT_JSON);
	assert_int_equal(kube_split_feed(split, "{\"items\":[{}]}", 14), KUBE_SPLIT_NOT_JSON);
	finish(split, &outcome, KUBE_SPLIT_NOT_JSON);
	assert_string_equal(outcome.text, "!2");
}

static void item_that_is_too_long(void **state)
{
	size_t longest = 0;
	struct kube_split *split = kube_split_new(KUBE_SPLIT_LIST, count_item, &longest);

	(void)state;
	assert_int_equal(kube_split_feed(split, "{\"items\":[{\"a\":\"", 15), KUBE_SPLIT_OK);
	assert_int_equal(feed_many(split, 'x', KUBE_SPLIT_ITEM_MAX, 65536), KUBE_SPLIT_TOO_LONG);
	assert_int_equal(kube_split_end(split, NULL, NULL), KUBE_SPLIT_TOO_LONG);
	kube_split_free(split);
}

static void envelope_that_is_too_long(void **state)
{
	size_t longest = 0;
	struct kube_split *split = kube_split_new(KUBE_SPLIT_LIST, count_item, &longest);

	(void)state;
	assert_int_equal(kube_split_feed(split, "{\"a\":\"", 6), KUBE_SPLIT_OK);
	assert_int_equal(feed_many(split, 'x', KUBE_SPLIT_ENVELOPE_MAX, 65536),
	                 KUBE_SPLIT_TOO_LONG);
	kube_split_free(split);
}

static void callback_can_stop(void **state)
{
	struct outcome watch = {.stop_after = 2}, list = {.stop_after = 2};

	(void)state;
	split_in_three(KUBE_SPLIT_WATCH, "{}\n{}\n{}\n", 0, 0, &watch);
	assert_string_equal(watch.text, "<{}><{}>!5");
	split_by_bytes(KUBE_SPLIT_LIST, "{\"items\":[{},{},{}]}", &list);
	assert_string_equal(list.text, "<{}><{}>!5");
}

static void each_error_has_a_text(void **state)
{
	(void)state;
	for (int error = KUBE_SPLIT_OK; error <= KUBE_SPLIT_STOPPED; error++)
		assert_true(strlen(kube_split_error_text((enum kube_split_error)error)) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(list_of_two_items),
	    cmocka_unit_test(items_may_come_before_the_metadata),
	    cmocka_unit_test(pretty_printed_list),
	    cmocka_unit_test(items_null_or_empty),
	    cmocka_unit_test(items_elsewhere_do_not_count),
	    cmocka_unit_test(items_within_items_are_theirs),
	    cmocka_unit_test(quotes_and_braces_within_strings),
	    cmocka_unit_test(utf8_is_not_looked_at),
	    cmocka_unit_test(status_is_all_envelope),
	    cmocka_unit_test(unfinished_list),
	    cmocka_unit_test(what_is_no_list),
	    cmocka_unit_test(event_split_at_every_byte),
	    cmocka_unit_test(end_in_the_middle_of_a_line_drops_it),
	    cmocka_unit_test(watch_end_needs_no_envelope),
	    cmocka_unit_test(line_of_the_longest_length),
	    cmocka_unit_test(line_that_is_too_long_in_one_chunk),
	    cmocka_unit_test(error_stays),
	    cmocka_unit_test(item_that_is_too_long),
	    cmocka_unit_test(envelope_that_is_too_long),
	    cmocka_unit_test(callback_can_stop),
	    cmocka_unit_test(each_error_has_a_text),
	};

	return cmocka_run_group_tests_name("kube_split", tests, NULL, NULL);
}
