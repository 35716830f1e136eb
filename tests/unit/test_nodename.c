/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lines.h"
#include "proto/nodename.h"

static void check_valid(char *line)
{
	struct nodename halves;
	char joined[NODENAME_SIZE], alive[NODENAME_SIZE];

	assert_true(nodename_split(line, &halves));
	assert_int_equal(halves.alive_len + 1 + halves.host_len, strlen(line));
	memcpy(alive, halves.alive, halves.alive_len);
	alive[halves.alive_len] = '\0';
	assert_true(nodename_alive_ok(alive));
	assert_true(nodename_join(alive, halves.host, joined));
	assert_string_equal(joined, line);
}

static void check_invalid(char *line)
{
	struct nodename halves;

	assert_false(nodename_split(line, &halves));
}

static void valid_names(void **state)
{
	(void)state;
	lines_each("nodename/valid.txt", check_valid);
}

static void invalid_names(void **state)
{
	(void)state;
	lines_each("nodename/invalid.txt", check_invalid);
}

static void a_name_has_at_most_255_characters(void **state)
{
	char name[NODENAME_SIZE + 8], joined[NODENAME_SIZE];
	struct nodename halves;

	(void)state;
	memset(name, 0, sizeof(name));
	for (int i = 0; i < 253; i++)
		memcpy(name + i * 2, "é", 2);
	strcpy(name + 253 * 2, "@h");
	assert_true(nodename_split(name, &halves));
	strcpy(name + 253 * 2, "@hh");
	assert_false(nodename_split(name, &halves));
	assert_false(nodename_join("a", name, joined));
}

static void utf8(void **state)
{
	static const struct {
		const char *text;
		long chars;
	} cases[] = {
	    {"", 0},
	    {"abc", 3},
	    {"\xc3\xa9", 1},
	    {"\xe2\x82\xac!", 2},
	    {"\xf0\x9f\x98\x80", 1},
	    {"\xf4\x8f\xbf\xbf", 1},
	    {"\xc3", -1}, /* cut short */
	    {"\xc3z", -1},
	    {"\xc0\x80", -1},         /* overlong */
	    {"\xe0\x9f\xbf", -1},     /* overlong */
	    {"\xf0\x8f\xbf\xbf", -1}, /* overlong */
	    {"\xed\xa0\x80", -1},     /* a surrogate */
	    {"\xf4\x90\x80\x80", -1}, /* past U+10FFFF */
	    {"\xf5\x80\x80\x80", -1},
	    {"\x80", -1},
	    {"\xe2\x82z", -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(nodename_utf8_length(cases[i].text, strlen(cases[i].text)),
		                 cases[i].chars);
}

static void alive_names(void **state)
{
	(void)state;
	assert_true(nodename_alive_ok("sample"));
	assert_true(nodename_alive_ok("günther"));
	assert_false(nodename_alive_ok(""));
	assert_false(nodename_alive_ok("a b"));
	assert_false(nodename_alive_ok("a\nb"));
	assert_false(nodename_alive_ok("a@b"));
	assert_false(nodename_alive_ok("\xff"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(valid_names),
	    cmocka_unit_test(invalid_names),
	    cmocka_unit_test(a_name_has_at_most_255_characters),
	    cmocka_unit_test(utf8),
	    cmocka_unit_test(alive_names),
	};

	return cmocka_run_group_tests_name("nodename", tests, NULL, NULL);
}
