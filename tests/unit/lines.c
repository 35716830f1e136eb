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

void lines_each(const char *path, lines_fn *fn)
{
	const char *folder = getenv("KEPMD_CASES");
	char full[4096], line[8192];
	int cases = 0;

	snprintf(full, sizeof(full), "%s/%s", folder ? folder : "tests/cases", path);
	FILE *file = fopen(full, "r");
	if (!file)
		fail_msg("%s cannot be opened", full);
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		fn(line);
		cases++;
	}
	fclose(file);
	assert_true(cases > 0);
}

static int digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = strchr(digits, c);

	return c && at ? (int)(at - digits) : -1;
}

size_t lines_hex(const char *text, const char *end, uint8_t *bytes, size_t size)
{
	size_t n = 0;

	while (text < end) {
		if (*text == ' ') {
			text++;
			continue;
		}
		assert_true(n < size && text + 1 < end);
		int high = digit(text[0]), low = digit(text[1]);
		assert_true(high >= 0 && low >= 0);
		bytes[n++] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	return n;
}
