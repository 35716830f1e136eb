/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_NAME_LIST_H
#define KEPMD_EPMD_NAME_LIST_H

/* A set of alive names, in order. */

#include <stdbool.h>
#include <stddef.h>

#include "proto/wire.h"

/* Names that are looked for on one peer, at most, where others choose them: each costs
 * questions again and again. */
#define NAME_LIST_MAX 64

/* All zero: empty.  Owns its strings. */
struct name_list {
	char **names; /* sorted by strcmp(3) */
	size_t n;
};

/* Adds a copy of NAME, unless it is there or cannot be an alive name.  Returns 0, or -1 when
 * memory is out. */
int name_list_add(struct name_list *list, struct wire_bytes name);
bool name_list_has(const struct name_list *list, const char *name);
bool name_list_equal(const struct name_list *a, const struct name_list *b);
void name_list_clear(struct name_list *list);

#endif
