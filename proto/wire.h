/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_PROTO_WIRE_H
#define KEPMD_PROTO_WIRE_H

/* Bounded cursors over bytes, with a sticky error: read or write all fields,
 * then check once.  Integers are big-endian, as everywhere in the EPMD and
 * distribution protocols (OTP, ERTS User's Guide, "Distribution Protocol"). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes owned by somebody else. */
struct wire_bytes {
	const uint8_t *at;
	size_t len;
};

struct wire_reader {
	const uint8_t *at;
	const uint8_t *end;
	bool short_of; /* a read went past the end; it and all later ones gave 0 */
};

struct wire_reader wire_reader_of(const void *bytes, size_t len);
uint8_t wire_get8(struct wire_reader *reader);
uint16_t wire_get16(struct wire_reader *reader);
uint32_t wire_get32(struct wire_reader *reader);
uint64_t wire_get64(struct wire_reader *reader);
/* LEN bytes, or empty when so many are not there. */
struct wire_bytes wire_get_bytes(struct wire_reader *reader, size_t len);
/* All that is left. */
struct wire_bytes wire_get_rest(struct wire_reader *reader);

struct wire_writer {
	uint8_t *start;
	uint8_t *at;
	uint8_t *end;
	bool full; /* a write did not fit; nothing of it was written */
};

struct wire_writer wire_writer_on(void *buffer, size_t size);
void wire_put8(struct wire_writer *writer, uint8_t value);
void wire_put16(struct wire_writer *writer, uint16_t value);
void wire_put32(struct wire_writer *writer, uint32_t value);
void wire_put64(struct wire_writer *writer, uint64_t value);
void wire_put_bytes(struct wire_writer *writer, const void *bytes, size_t len);
/* In decimal digits, as text. */
void wire_put_decimal(struct wire_writer *writer, uint32_t value);
/* Bytes written, or 0 when something did not fit. */
size_t wire_written(const struct wire_writer *writer);

#endif
