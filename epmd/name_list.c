/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "name_list.h"
#include "proto/nodename.h"

/* Where NAME is, or would be. */
static size_t place_of(const struct name_list *list, const char *name)
{
	size_t low = 0, high = list->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(list->names[middle], name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct name_list *list, size_t place, const char *name)
{
	return place < list->n && strcmp(list->names[place], name) == 0;
}

/* Takes over NAME, unless memory is out. */
static int insert(struct name_list *list, size_t place, char *name)
{
	char **names = realloc(list->names, (list->n + 1) * sizeof(*names));

	if (!names)
		return -1;
	memmove(names + place + 1, names + place, (list->n - place) * sizeof(*names));
	names[place] = name;
	list->names = names;
	list->n++;
	return 0;
}

int name_list_add(struct name_list *list, struct wire_bytes name)
{
	char *copy = strndup((const char *)name.at, name.len);
	int result = copy ? 0 : -1;

	if (copy && nodename_alive_ok(copy)) {
		size_t place = place_of(list, copy);
		if (!is_at(list, place, copy)) {
			result = insert(list, place, copy);
			if (result == 0)
				return 0;
		}
	}
	free(copy);
	return result;
}

bool name_list_has(const struct name_list *list, const char *name)
{
	return is_at(list, place_of(list, name), name);
}

bool name_list_equal(const struct name_list *a, const struct name_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->names[i], b->names[i]) != 0)
			return false;
	return true;
}

void name_list_clear(struct name_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->names[i]);
	free(list->names);
	*list = (struct name_list){0};
}
