/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "nodename.h"

/* The length in bytes of the UTF-8 sequence at P (of at most LEFT bytes), or 0
 * when it is none.  The second byte's bounds exclude overlong forms, surrogates
 * and what lies past U+10FFFF (RFC 3629, section 4). */
static size_t sequence_length(const uint8_t *p, size_t left)
{
	size_t len;
	uint8_t low = 0x80, high = 0xBF;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xC2 || p[0] > 0xF4)
		return 0;
	len = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
	switch (p[0]) {
	case 0xE0:
		low = 0xA0;
		break;
	case 0xED:
		high = 0x9F;
		break;
	case 0xF0:
		low = 0x90;
		break;
	case 0xF4:
		high = 0x8F;
		break;
	default:
		break;
	}
	if (left < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	return len;
}

long nodename_utf8_length(const void *text, size_t len)
{
	const uint8_t *p = text;
	long chars = 0;

	while (len > 0) {
		size_t n = sequence_length(p, len);
		if (n == 0)
			return -1;
		p += n;
		len -= n;
		chars++;
	}
	return chars;
}

static bool right_length(const char *text, size_t len)
{
	long chars = nodename_utf8_length(text, len);

	return chars >= 1 && chars <= NODENAME_CHARS_MAX;
}

bool nodename_split(const char *name, struct nodename *halves)
{
	size_t len = strlen(name);
	const char *at = strchr(name, '@');

	if (!right_length(name, len) || !at || at == name || !at[1] || strchr(at + 1, '@'))
		return false;
	*halves = (struct nodename){
	    .alive = name,
	    .alive_len = (size_t)(at - name),
	    .host = at + 1,
	    .host_len = len - (size_t)(at - name) - 1,
	};
	return true;
}

bool nodename_join(const char *alive, const char *host, char *out)
{
	struct nodename halves;
	int n = snprintf(out, NODENAME_SIZE, "%s@%s", alive, host);

	return n > 0 && n < NODENAME_SIZE && nodename_split(out, &halves);
}

bool nodename_alive_ok(const char *text)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7F || *p == '@')
			return false;
	return right_length(text, strlen(text));
}
