/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lines.h"
#include "proto/etf.h"

static char *append(char *at, const char *end, const char *text)
{
	int n = snprintf(at, (size_t)(end - at), "%s", text);

	assert_true(n >= 0 && n < end - at);
	return at + n;
}

/* Printable bytes as they are, others as \xNN; - is empty. */
static char *append_text(char *at, const char *end, struct wire_bytes text)
{
	char one[8];

	if (text.len == 0)
		return append(at, end, "-");
	for (size_t i = 0; i < text.len; i++) {
		bool printable = text.at[i] > ' ' && text.at[i] <= '~';

		snprintf(one, sizeof(one), printable ? "%c" : "\\x%02x", text.at[i]);
		at = append(at, end, one);
	}
	return at;
}

static char *append_number(char *at, const char *end, long long number)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", number);
	return append(at, end, text);
}

/* What the case files call a token: the kind, and those fields that it has. */
static char *append_token(char *at, const char *end, const struct etf_token *token)
{
	static const struct {
		const char *name;
		bool text, integer, serial, arity;
	} kinds[] = {
	    [ETF_ERROR] = {.name = "error"},
	    [ETF_INTEGER] = {.name = "int", .integer = true},
	    [ETF_ATOM] = {.name = "atom", .text = true},
	    [ETF_STRING] = {.name = "string", .text = true},
	    [ETF_BINARY] = {.name = "binary", .text = true},
	    [ETF_TUPLE] = {.name = "tuple", .arity = true},
	    [ETF_LIST] = {.name = "list", .arity = true},
	    [ETF_NIL] = {.name = "nil"},
	    [ETF_PID] = {.name = "pid", .text = true, .integer = true, .serial = true},
	    [ETF_MAP] = {.name = "map", .arity = true},
	    [ETF_OPAQUE] = {.name = "opaque"},
	};

	at = append(at, end, kinds[token->kind].name);
	if (kinds[token->kind].text)
		at = append_text(append(at, end, " "), end, token->text);
	if (kinds[token->kind].integer)
		at = append_number(append(at, end, " "), end, token->integer);
	if (kinds[token->kind].serial)
		at = append_number(append(at, end, " "), end, token->serial);
	if (kinds[token->kind].arity)
		at = append_number(append(at, end, " "), end, token->arity);
	return at;
}

/* All tokens up to the end or the first error. */
static void describe(const uint8_t *bytes, size_t len, char *text, size_t size)
{
	struct etf_reader reader = etf_reader_of(bytes, len);
	char *at = text, *end = text + size;
	enum etf_kind kind;

	do {
		struct etf_token token = etf_next(&reader);

		at = append_token(at == text ? at : append(at, end, ", "), end, &token);
		kind = token.kind;
	} while (kind != ETF_ERROR && reader.wire.at < reader.wire.end);
}

static char *meaning_of(char *line)
{
	char *equals = strchr(line, '=');

	assert_non_null(equals);
	return equals + 1 + strspn(equals + 1, " ");
}

/* Copies, so that a sanitizer sees every read past the end. */
static bool skips(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	struct etf_reader reader = etf_reader_of(copy, len);
	bool whole = etf_skip(&reader);
	bool ended = reader.wire.at == reader.wire.end;
	struct etf_token token = etf_next(&reader);
	assert_int_equal(token.kind, ETF_ERROR);
	assert_true(reader.bad);
	free(copy);
	return whole && ended;
}

static void check_valid(char *line)
{
	uint8_t bytes[512];
	char text[1024];
	size_t len = lines_hex(line, strchr(line, '='), bytes, sizeof(bytes));

	describe(bytes, len, text, sizeof(text));
	assert_string_equal(text, meaning_of(line));
	assert_true(skips(bytes, len));
	for (size_t cut = 0; cut < len; cut++)
		assert_false(skips(bytes, cut));
}

static void check_invalid(char *line)
{
	uint8_t bytes[512];
	char text[1024];
	size_t len = lines_hex(line, strchr(line, '='), bytes, sizeof(bytes));

	describe(bytes, len, text, sizeof(text));
	assert_string_equal(text, meaning_of(line));
	assert_false(skips(bytes, len));
}

static void valid_terms(void **state)
{
	(void)state;
	lines_each("etf/valid.txt", check_valid);
}

static void invalid_terms(void **state)
{
	(void)state;
	lines_each("etf/invalid.txt", check_invalid);
}

static const uint8_t known_tags[] = {70,  77,  88,  89,  90,  97,  98,  99,  100, 101,
                                     102, 103, 104, 105, 106, 107, 108, 109, 110, 111,
                                     112, 113, 114, 115, 116, 118, 119, 120};

static void other_tags_are_errors(void **state)
{
	uint8_t bytes[64] = {0};

	(void)state;
	for (unsigned tag = 0; tag <= UINT8_MAX; tag++) {
		struct etf_reader reader = etf_reader_of(bytes, sizeof(bytes));

		if (memchr(known_tags, (int)tag, sizeof(known_tags)))
			continue;
		bytes[0] = (uint8_t)tag;
		assert_int_equal(etf_next(&reader).kind, ETF_ERROR);
	}
}

static void an_error_stays(void **state)
{
	static const uint8_t bytes[] = {0, 97, 1, 106};
	struct etf_reader reader = etf_reader_of(bytes, sizeof(bytes));

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(etf_next(&reader).kind, ETF_ERROR);
	assert_false(etf_skip(&reader));
}

/* DEPTH tuples, each in the one before, and a nil in the last. */
static bool skips_nested(size_t depth)
{
	uint8_t bytes[2 * (ETF_DEPTH_MAX + 2) + 1];
	struct wire_writer out = wire_writer_on(bytes, sizeof(bytes));

	for (size_t i = 0; i < depth; i++)
		etf_put_tuple(&out, 1);
	etf_put_nil(&out);
	assert_int_equal(wire_written(&out), 2 * depth + 1);
	return skips(bytes, wire_written(&out));
}

static void terms_nest_so_deep_and_no_deeper(void **state)
{
	(void)state;
	assert_true(skips_nested(ETF_DEPTH_MAX));
	assert_false(skips_nested(ETF_DEPTH_MAX + 1));
}

/* The depth is that of terms around, not the number of those that have been. */
static void siblings_do_not_nest(void **state)
{
	uint8_t bytes[2 + 2 * UINT8_MAX + UINT8_MAX];
	struct wire_writer out = wire_writer_on(bytes, sizeof(bytes));

	(void)state;
	etf_put_tuple(&out, UINT8_MAX);
	for (size_t i = 0; i < UINT8_MAX; i++) {
		etf_put_tuple(&out, 1);
		etf_put_nil(&out);
	}
	assert_int_equal(wire_written(&out), sizeof(bytes));
	assert_true(skips(bytes, sizeof(bytes)));
}

static void skipping_ends_at_the_term(void **state)
{
	static const uint8_t bytes[] = {104, 2, 97, 1, 106, 119, 2, 'o', 'k'};
	struct etf_reader reader = etf_reader_of(bytes, sizeof(bytes));

	(void)state;
	assert_true(etf_skip(&reader));
	struct etf_token token = etf_next(&reader);
	assert_true(etf_is_atom(&token, "ok"));
}

static void atoms_are_compared_whole(void **state)
{
	static const uint8_t bytes[] = {119, 2, 'o', 'k', 109, 0, 0, 0, 2, 'o', 'k'};
	struct etf_reader reader = etf_reader_of(bytes, sizeof(bytes));
	struct etf_token atom = etf_next(&reader), binary = etf_next(&reader);

	(void)state;
	assert_true(etf_is_atom(&atom, "ok"));
	assert_false(etf_is_atom(&atom, "o"));
	assert_false(etf_is_atom(&atom, "okay"));
	assert_false(etf_is_atom(&atom, "no"));
	assert_false(etf_is_atom(&atom, ""));
	assert_false(etf_is_atom(&binary, "ok"));
	assert_int_equal(binary.kind, ETF_BINARY);
}

/* term_to_binary({call, [], [0, 255, 256, -1, 'nïl'], Pid}, [{minor_version, 2}]) */
static void written_terms_are_those_of_a_node(void **state)
{
	static const uint8_t expected[] =
	    "\x83h\4w\4callj"
	    "l\0\0\0\5a\0a\xff"
	    "b\0\0\1\0b\xff\xff\xff\xffw\4n\xc3\xaflj"
	    "Xw\3a@b\0\0\0\1\0\0\0\7\xfe\xdc\xba\x98";
	uint8_t bytes[sizeof(expected)];
	size_t len = sizeof(expected) - 1;

	(void)state;
	for (size_t size = 0; size <= len; size++) {
		struct wire_writer out = wire_writer_on(bytes, size);

		etf_put_version(&out);
		etf_put_tuple(&out, 4);
		etf_put_atom(&out, "call");
		etf_put_list(&out, 0);
		etf_put_nil(&out);
		etf_put_list(&out, 5);
		etf_put_integer(&out, 0);
		etf_put_integer(&out, 255);
		etf_put_integer(&out, 256);
		etf_put_integer(&out, -1);
		etf_put_atom(&out, "n\xc3\xafl");
		etf_put_nil(&out);
		etf_put_pid(&out, "a@b", 1, 7, 0xfedcba98);
		assert_int_equal(wire_written(&out), size == len ? len : 0);
	}
	assert_memory_equal(bytes, expected, len);
}

/* Writes an atom of LEN bytes and gives the size that it takes. */
static size_t atom_size(size_t len)
{
	static char name[UINT16_MAX + 2];
	static uint8_t bytes[UINT16_MAX + 8];
	struct wire_writer out = wire_writer_on(bytes, sizeof(bytes));

	memset(name, 'a', len);
	name[len] = '\0';
	etf_put_atom(&out, name);
	if (wire_written(&out) == 0)
		return 0;
	struct etf_reader reader = etf_reader_of(bytes, wire_written(&out));
	struct etf_token token = etf_next(&reader);
	assert_true(etf_is_atom(&token, name));
	return wire_written(&out);
}

static void long_atoms_have_a_wider_length(void **state)
{
	(void)state;
	assert_int_equal(atom_size(0), 2);
	assert_int_equal(atom_size(255), 2 + 255);
	assert_int_equal(atom_size(256), 3 + 256);
	assert_int_equal(atom_size(UINT16_MAX), 3 + UINT16_MAX);
	assert_int_equal(atom_size(UINT16_MAX + 1), 0);
}

static void the_ends_of_written_integers(void **state)
{
	static const int32_t values[] = {INT32_MIN, -1, 0, 255, 256, INT32_MAX};
	uint8_t bytes[8];

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct wire_writer out = wire_writer_on(bytes, sizeof(bytes));

		etf_put_integer(&out, values[i]);
		struct etf_reader reader = etf_reader_of(bytes, wire_written(&out));
		assert_true(etf_next(&reader).integer == values[i]);
		assert_ptr_equal(reader.wire.at, reader.wire.end);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(valid_terms),
	    cmocka_unit_test(invalid_terms),
	    cmocka_unit_test(other_tags_are_errors),
	    cmocka_unit_test(an_error_stays),
	    cmocka_unit_test(terms_nest_so_deep_and_no_deeper),
	    cmocka_unit_test(siblings_do_not_nest),
	    cmocka_unit_test(skipping_ends_at_the_term),
	    cmocka_unit_test(atoms_are_compared_whole),
	    cmocka_unit_test(written_terms_are_those_of_a_node),
	    cmocka_unit_test(long_atoms_have_a_wider_length),
	    cmocka_unit_test(the_ends_of_written_integers),
	};

	return cmocka_run_group_tests_name("etf", tests, NULL, NULL);
}
