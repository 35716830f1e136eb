/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abspath.h"

char *abspath(const char *path)
{
	char folder[PATH_MAX], *whole;

	if (*path == '/')
		return strdup(path);
	if (!getcwd(folder, sizeof(folder)) || asprintf(&whole, "%s/%s", folder, path) < 0)
		return NULL;
	return whole;
}

/* An empty path in a list is none. */
static bool put_path(FILE *out, const char *path)
{
	char *whole = *path ? abspath(path) : strdup("");
	bool put = whole && fputs(whole, out) >= 0;

	free(whole);
	return put;
}

static bool put_list(FILE *out, char *list)
{
	bool put = put_path(out, strsep(&list, ":"));

	while (put && list)
		put = putc(':', out) != EOF && put_path(out, strsep(&list, ":"));
	return put;
}

void abspath_variable(const char *name)
{
	const char *value = getenv(name);
	char *copy = value ? strdup(value) : NULL, *list = NULL;
	size_t size;
	FILE *out = copy ? open_memstream(&list, &size) : NULL;

	if (out) {
		bool put = put_list(out, copy);
		if (fclose(out) == 0 && put)
			(void)setenv(name, list, 1);
	}
	free(list);
	free(copy);
}
