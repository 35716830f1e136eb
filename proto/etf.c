/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "etf.h"

enum tag {
	NEW_FLOAT_EXT = 70,
	BIT_BINARY_EXT = 77,
	NEW_PID_EXT = 88,
	NEW_PORT_EXT = 89,
	NEWER_REFERENCE_EXT = 90,
	SMALL_INTEGER_EXT = 97,
	INTEGER_EXT = 98,
	FLOAT_EXT = 99,
	ATOM_EXT = 100,
	REFERENCE_EXT = 101,
	PORT_EXT = 102,
	PID_EXT = 103,
	SMALL_TUPLE_EXT = 104,
	LARGE_TUPLE_EXT = 105,
	NIL_EXT = 106,
	STRING_EXT = 107,
	LIST_EXT = 108,
	BINARY_EXT = 109,
	SMALL_BIG_EXT = 110,
	LARGE_BIG_EXT = 111,
	NEW_FUN_EXT = 112,
	EXPORT_EXT = 113,
	NEW_REFERENCE_EXT = 114,
	SMALL_ATOM_EXT = 115,
	MAP_EXT = 116,
	ATOM_UTF8_EXT = 118,
	SMALL_ATOM_UTF8_EXT = 119,
	V4_PORT_EXT = 120
};

/* How a term stands behind its tag.  WIDTH is the size in bytes of the one field in
 * which tags of a kind differ: a value, a length, a creation. */
struct layout {
	enum etf_kind kind;
	void (*get)(struct etf_reader *reader, size_t width, struct etf_token *token);
	size_t width;
};

static const struct layout *layout_of(uint8_t tag);

struct etf_reader etf_reader_of(const void *bytes, size_t len)
{
	return (struct etf_reader){.wire = wire_reader_of(bytes, len)};
}

static uint32_t get_number(struct etf_reader *reader, size_t width)
{
	uint32_t value = 0;

	while (width-- > 0)
		value = value << 8 | wire_get8(&reader->wire);
	return value;
}

static void get_integer(struct etf_reader *reader, size_t width, struct etf_token *token)
{
	uint32_t value = get_number(reader, width);

	/* One byte has no sign, four have. */
	token->integer = width == 1 ? (int64_t)value : (int64_t)(int32_t)value;
}

static void get_arity(struct etf_reader *reader, size_t width, struct etf_token *token)
{
	token->arity = get_number(reader, width);
}

static void get_text(struct etf_reader *reader, size_t width, struct etf_token *token)
{
	token->text = wire_get_bytes(&reader->wire, get_number(reader, width));
}

static void get_fixed(struct etf_reader *reader, size_t width, struct etf_token *token)
{
	(void)token;
	wire_get_bytes(&reader->wire, width);
}

/* A length, a byte that it does not count, and the rest. */
static void get_uncounted(struct etf_reader *reader, size_t width, struct etf_token *token)
{
	size_t len = get_number(reader, width);

	(void)token;
	wire_get8(&reader->wire);
	wire_get_bytes(&reader->wire, len);
}

/* DIGITS stand with the lowest first.  False when MAGNITUDE is too small for them. */
static bool magnitude_of(struct wire_bytes digits, uint64_t *magnitude)
{
	*magnitude = 0;
	for (size_t i = digits.len; i > 0; i--) {
		if (*magnitude >> 56)
			return false;
		*magnitude = *magnitude << 8 | digits.at[i - 1];
	}
	return true;
}

static void get_small_big(struct etf_reader *reader, size_t width, struct etf_token *token)
{
	size_t len = get_number(reader, width);
	bool negative = wire_get8(&reader->wire) != 0;
	struct wire_bytes digits = wire_get_bytes(&reader->wire, len);
	uint64_t magnitude;

	if (!magnitude_of(digits, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative)
		token->kind = ETF_OPAQUE;
	else
		token->integer = (int64_t)(negative ? 0 - magnitude : magnitude);
}

/* An atom within a term.  Atoms hold no terms, so this goes no deeper. */
static struct wire_bytes get_atom(struct etf_reader *reader)
{
	const struct layout *layout = layout_of(wire_get8(&reader->wire));
	struct etf_token atom = {0};

	if (layout->kind == ETF_ATOM)
		layout->get(reader, layout->width, &atom);
	else
		reader->bad = true;
	return atom.text;
}

static void get_pid(struct etf_reader *reader, size_t width, struct etf_token *token)
{
	token->text = get_atom(reader);
	token->integer = wire_get32(&reader->wire);
	token->serial = wire_get32(&reader->wire);
	wire_get_bytes(&reader->wire, width);
}

/* A node and as many bytes. */
static void get_of_node(struct etf_reader *reader, size_t width, struct etf_token *token)
{
	(void)token;
	get_atom(reader);
	wire_get_bytes(&reader->wire, width);
}

static void get_reference(struct etf_reader *reader, size_t width, struct etf_token *token)
{
	size_t words = wire_get16(&reader->wire);

	get_of_node(reader, width + words * 4, token);
}

/* fun Module:Function/Arity */
static void get_export(struct etf_reader *reader, size_t width, struct etf_token *token)
{
	(void)width;
	(void)token;
	get_atom(reader);
	get_atom(reader);
	if (wire_get8(&reader->wire) != SMALL_INTEGER_EXT)
		reader->bad = true;
	wire_get8(&reader->wire);
}

/* Its size counts itself, and the terms in it as well. */
static void get_fun(struct etf_reader *reader, size_t width, struct etf_token *token)
{
	size_t size = get_number(reader, width);

	(void)token;
	if (size < width)
		reader->bad = true;
	else
		wire_get_bytes(&reader->wire, size - width);
}

static const struct layout *layout_of(uint8_t tag)
{
	static const struct layout layouts[UINT8_MAX + 1] = {
	    [NEW_FLOAT_EXT] = {ETF_OPAQUE, get_fixed, 8},
	    [BIT_BINARY_EXT] = {ETF_OPAQUE, get_uncounted, 4},
	    [NEW_PID_EXT] = {ETF_PID, get_pid, 4},
	    [NEW_PORT_EXT] = {ETF_OPAQUE, get_of_node, 4 + 4},
	    [NEWER_REFERENCE_EXT] = {ETF_OPAQUE, get_reference, 4},
	    [SMALL_INTEGER_EXT] = {ETF_INTEGER, get_integer, 1},
	    [INTEGER_EXT] = {ETF_INTEGER, get_integer, 4},
	    [FLOAT_EXT] = {ETF_OPAQUE, get_fixed, 31},
	    [ATOM_EXT] = {ETF_ATOM, get_text, 2},
	    [REFERENCE_EXT] = {ETF_OPAQUE, get_of_node, 4 + 1},
	    [PORT_EXT] = {ETF_OPAQUE, get_of_node, 4 + 1},
	    [PID_EXT] = {ETF_PID, get_pid, 1},
	    [SMALL_TUPLE_EXT] = {ETF_TUPLE, get_arity, 1},
	    [LARGE_TUPLE_EXT] = {ETF_TUPLE, get_arity, 4},
	    [NIL_EXT] = {ETF_NIL, get_fixed, 0},
	    [STRING_EXT] = {ETF_STRING, get_text, 2},
	    [LIST_EXT] = {ETF_LIST, get_arity, 4},
	    [BINARY_EXT] = {ETF_BINARY, get_text, 4},
	    [SMALL_BIG_EXT] = {ETF_INTEGER, get_small_big, 1},
	    [LARGE_BIG_EXT] = {ETF_OPAQUE, get_uncounted, 4},
	    [NEW_FUN_EXT] = {ETF_OPAQUE, get_fun, 4},
	    [EXPORT_EXT] = {ETF_OPAQUE, get_export, 0},
	    [NEW_REFERENCE_EXT] = {ETF_OPAQUE, get_reference, 1},
	    [SMALL_ATOM_EXT] = {ETF_ATOM, get_text, 1},
	    [MAP_EXT] = {ETF_MAP, get_arity, 4},
	    [ATOM_UTF8_EXT] = {ETF_ATOM, get_text, 2},
	    [SMALL_ATOM_UTF8_EXT] = {ETF_ATOM, get_text, 1},
	    [V4_PORT_EXT] = {ETF_OPAQUE, get_of_node, 8 + 4},
	};

	return &layouts[tag];
}

/* How many terms follow that belong to TOKEN. */
static uint64_t elements_of(const struct etf_token *token)
{
	static const struct {
		uint8_t of_each, more;
	} counts[] = {
	    [ETF_TUPLE] = {1, 0},
	    [ETF_LIST] = {1, 1},
	    [ETF_MAP] = {2, 0},
	    [ETF_OPAQUE] = {0, 0},
	};

	return (uint64_t)token->arity * counts[token->kind].of_each + counts[token->kind].more;
}

/* Each element takes a byte at least, so that no arity makes anybody wait or count for
 * more than was sent. */
static bool is_sound(const struct etf_reader *reader, const struct etf_token *token)
{
	size_t left = (size_t)(reader->wire.end - reader->wire.at);

	if (reader->bad || reader->wire.short_of || elements_of(token) > left)
		return false;
	return token->kind != ETF_LIST || token->arity > 0;
}

struct etf_token etf_next(struct etf_reader *reader)
{
	const struct layout *layout = layout_of(wire_get8(&reader->wire));
	struct etf_token token = {.kind = layout->kind};

	if (layout->get)
		layout->get(reader, layout->width, &token);
	if (!layout->get || !is_sound(reader, &token)) {
		reader->bad = true;
		return (struct etf_token){.kind = ETF_ERROR};
	}
	return token;
}

bool etf_skip(struct etf_reader *reader)
{
	uint64_t left[ETF_DEPTH_MAX + 1] = {1}; /* terms to come, at each depth */
	size_t depth = 0;

	do {
		left[depth]--;
		struct etf_token token = etf_next(reader);
		uint64_t elements = elements_of(&token);
		if (elements > 0 && depth == ETF_DEPTH_MAX)
			reader->bad = true;
		if (reader->bad)
			return false;
		if (elements > 0)
			left[++depth] = elements;
		while (left[depth] == 0 && depth > 0)
			depth--;
	} while (left[depth] > 0);
	return true;
}

bool etf_is_atom(const struct etf_token *token, const char *name)
{
	return token->kind == ETF_ATOM && token->text.len == strlen(name) &&
	       memcmp(token->text.at, name, token->text.len) == 0;
}

void etf_put_version(struct wire_writer *writer)
{
	wire_put8(writer, ETF_VERSION);
}

void etf_put_atom(struct wire_writer *writer, const char *name)
{
	size_t len = strlen(name);

	if (len > UINT16_MAX) {
		writer->full = true;
		return;
	}
	wire_put8(writer, len > UINT8_MAX ? ATOM_UTF8_EXT : SMALL_ATOM_UTF8_EXT);
	if (len > UINT8_MAX)
		wire_put16(writer, (uint16_t)len);
	else
		wire_put8(writer, (uint8_t)len);
	wire_put_bytes(writer, name, len);
}

void etf_put_tuple(struct wire_writer *writer, uint8_t arity)
{
	wire_put8(writer, SMALL_TUPLE_EXT);
	wire_put8(writer, arity);
}

void etf_put_integer(struct wire_writer *writer, int32_t value)
{
	bool small = value >= 0 && value <= UINT8_MAX;

	wire_put8(writer, small ? SMALL_INTEGER_EXT : INTEGER_EXT);
	if (small)
		wire_put8(writer, (uint8_t)value);
	else
		wire_put32(writer, (uint32_t)value);
}

void etf_put_list(struct wire_writer *writer, uint32_t arity)
{
	if (arity == 0)
		return;
	wire_put8(writer, LIST_EXT);
	wire_put32(writer, arity);
}

void etf_put_nil(struct wire_writer *writer)
{
	wire_put8(writer, NIL_EXT);
}

void etf_put_pid(struct wire_writer *writer, const char *node, uint32_t id, uint32_t serial,
                 uint32_t creation)
{
	wire_put8(writer, NEW_PID_EXT);
	etf_put_atom(writer, node);
	wire_put32(writer, id);
	wire_put32(writer, serial);
	wire_put32(writer, creation);
}
