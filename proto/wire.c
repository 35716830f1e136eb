/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "wire.h"

struct wire_reader wire_reader_of(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	return (struct wire_reader){.at = at, .end = at + len};
}

struct wire_bytes wire_get_bytes(struct wire_reader *reader, size_t len)
{
	if (reader->short_of || (size_t)(reader->end - reader->at) < len) {
		reader->short_of = true;
		return (struct wire_bytes){0};
	}
	struct wire_bytes bytes = {reader->at, len};
	reader->at += len;
	return bytes;
}

struct wire_bytes wire_get_rest(struct wire_reader *reader)
{
	return wire_get_bytes(reader, (size_t)(reader->end - reader->at));
}

uint8_t wire_get8(struct wire_reader *reader)
{
	struct wire_bytes b = wire_get_bytes(reader, 1);

	return b.at ? b.at[0] : 0;
}

uint16_t wire_get16(struct wire_reader *reader)
{
	unsigned high = wire_get8(reader);

	return (uint16_t)(high << 8 | wire_get8(reader));
}

uint32_t wire_get32(struct wire_reader *reader)
{
	uint32_t high = wire_get16(reader);

	return high << 16 | wire_get16(reader);
}

uint64_t wire_get64(struct wire_reader *reader)
{
	uint64_t high = wire_get32(reader);

	return high << 32 | wire_get32(reader);
}

struct wire_writer wire_writer_on(void *buffer, size_t size)
{
	uint8_t *start = buffer;

	return (struct wire_writer){.start = start, .at = start, .end = start + size};
}

void wire_put_bytes(struct wire_writer *writer, const void *bytes, size_t len)
{
	if (writer->full || (size_t)(writer->end - writer->at) < len) {
		writer->full = true;
		return;
	}
	if (len)
		memcpy(writer->at, bytes, len);
	writer->at += len;
}

void wire_put8(struct wire_writer *writer, uint8_t value)
{
	wire_put_bytes(writer, &value, 1);
}

void wire_put16(struct wire_writer *writer, uint16_t value)
{
	uint8_t b[] = {(uint8_t)(value >> 8), (uint8_t)value};

	wire_put_bytes(writer, b, sizeof(b));
}

void wire_put32(struct wire_writer *writer, uint32_t value)
{
	uint8_t b[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
	               (uint8_t)value};

	wire_put_bytes(writer, b, sizeof(b));
}

void wire_put64(struct wire_writer *writer, uint64_t value)
{
	uint8_t b[8];

	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(value >> (56 - 8 * i));
	wire_put_bytes(writer, b, sizeof(b));
}

void wire_put_decimal(struct wire_writer *writer, uint32_t value)
{
	char digits[10], *first = digits + sizeof(digits);

	do
		*--first = (char)('0' + value % 10);
	while (value /= 10);
	wire_put_bytes(writer, first, (size_t)(digits + sizeof(digits) - first));
}

size_t wire_written(const struct wire_writer *writer)
{
	return writer->full ? 0 : (size_t)(writer->at - writer->start);
}
