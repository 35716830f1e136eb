/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ares.h>
#include <arpa/inet.h>
#include <limits.h>

#include "dns_reply.h"
#include "proto/wire.h"

#define HEADER_SIZE 12
#define TRUNCATED 0x0200 /* of the flags */
#define TTL_TOP_BIT 0x80000000u

/* A message that is being read: names may point back to anywhere in it. */
struct reading {
	const uint8_t *bytes;
	size_t len;
	struct wire_reader at;
	dns_record_fn *fn;
	void *arg;
};

bool dns_reply_truncated(const void *bytes, size_t len)
{
	struct wire_reader reader = wire_reader_of(bytes, len);

	wire_get16(&reader);
	return wire_get16(&reader) & TRUNCATED;
}

/* The name at FROM, for ares_free_string, or NULL.  *USED: its bytes there. */
static char *name_at(const struct reading *reading, const uint8_t *from, long *used)
{
	char *name = NULL;

	if (from < reading->bytes || from >= reading->bytes + reading->len)
		return NULL;
	if (ares_expand_name(from, reading->bytes, (int)reading->len, &name, used) != ARES_SUCCESS)
		return NULL;
	return name;
}

/* Reads a name and goes on behind it. */
static char *take_name(struct reading *reading)
{
	long used = 0;
	char *name = name_at(reading, reading->at.at, &used);

	if (name)
		wire_get_bytes(&reading->at, (size_t)used);
	return name;
}

static bool skip_questions(struct reading *reading, unsigned n)
{
	while (n-- > 0) {
		char *name = take_name(reading);
		if (!name)
			return false;
		ares_free_string(name);
		wire_get32(&reading->at); /* type and class */
	}
	return !reading->at.short_of;
}

static bool read_address(const struct wire_bytes *data, int family, struct dns_record *record)
{
	size_t len = family == AF_INET ? 4 : 16;

	return data->len == len &&
	       inet_ntop(family, data->at, record->address, sizeof(record->address));
}

/* *TARGET: for ares_free_string, whatever is returned. */
static bool read_srv(const struct reading *reading, const struct wire_bytes *data,
                     struct dns_record *record, char **target)
{
	struct wire_reader at = wire_reader_of(data->at, data->len);
	long used = 0;

	wire_get32(&at); /* priority and weight: all targets count */
	record->port = wire_get16(&at);
	if (at.short_of)
		return false;
	*target = name_at(reading, at.at, &used);
	record->target = *target;
	return *target && used == at.end - at.at;
}

static bool read_data(const struct reading *reading, const struct wire_bytes *data,
                      struct dns_record *record, char **target)
{
	switch (record->type) {
	case DNS_TYPE_A:
		return read_address(data, AF_INET, record);
	case DNS_TYPE_AAAA:
		return read_address(data, AF_INET6, record);
	case DNS_TYPE_SRV:
		return read_srv(reading, data, record, target);
	default:
		return true;
	}
}

static bool read_record(struct reading *reading, bool additional, bool tell)
{
	struct dns_record record = {.additional = additional};
	char *owner = take_name(reading), *target = NULL;

	if (!owner)
		return false;
	record.owner = owner;
	record.type = wire_get16(&reading->at);
	uint16_t class_ = wire_get16(&reading->at);
	record.ttl_s = wire_get32(&reading->at);
	if (record.ttl_s & TTL_TOP_BIT)
		record.ttl_s = 0;
	struct wire_bytes data = wire_get_bytes(&reading->at, wire_get16(&reading->at));
	bool good = !reading->at.short_of;
	if (good && tell && class_ == DNS_CLASS_IN)
		good = read_data(reading, &data, &record, &target) &&
		       reading->fn(reading->arg, &record);
	ares_free_string(owner);
	ares_free_string(target);
	return good;
}

int dns_reply_each(const void *bytes, size_t len, dns_record_fn *fn, void *arg)
{
	struct reading reading = {
	    .bytes = bytes, .len = len, .at = wire_reader_of(bytes, len), .fn = fn, .arg = arg};
	unsigned counts[4];

	if (len < HEADER_SIZE || len > INT_MAX)
		return -1;
	wire_get32(&reading.at); /* id and flags */
	for (size_t i = 0; i < 4; i++)
		counts[i] = wire_get16(&reading.at);
	if (!skip_questions(&reading, counts[0]))
		return -1;
	for (size_t section = 1; section < 4; section++)
		for (unsigned i = 0; i < counts[section]; i++)
			if (!read_record(&reading, section == 3, section != 2))
				return -1;
	return 0;
}
