/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>

#include "utf8.h"

/* RFC 3629, section 4: what the first byte says of the second, and of how many follow. */
static const struct {
	uint8_t first, last; /* first bytes */
	uint8_t low, high;   /* second byte */
	uint8_t len;
} forms[] = {
    {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

static bool follows(const uint8_t *bytes, size_t form)
{
	if (forms[form].len > 1 && (bytes[1] < forms[form].low || bytes[1] > forms[form].high))
		return false;
	for (size_t i = 2; i < forms[form].len; i++)
		if (bytes[i] < 0x80 || bytes[i] > 0xBF)
			return false;
	return true;
}

size_t utf8_char(const char *at, size_t len)
{
	const uint8_t *bytes = (const uint8_t *)at;

	for (size_t i = 0; len > 0 && i < sizeof(forms) / sizeof(forms[0]); i++)
		if (bytes[0] >= forms[i].first && bytes[0] <= forms[i].last)
			return forms[i].len <= len && follows(bytes, i) ? forms[i].len : 0;
	return 0;
}

void utf8_mask(char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_char(text + i, len - i);
		if (n == 0)
			text[i++] = '?';
		i += n;
	}
}
