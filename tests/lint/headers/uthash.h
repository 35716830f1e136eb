/* SPDX-License-Identifier: Apache-2.0 */
/* What the checkers of scripts/lint see in place of uthash: its macros do not tell them that an
 * item that is deleted cannot be found again.  What it does, with nothing of how. */
#ifndef KEPMD_LINT_UTHASH_H
#define KEPMD_LINT_UTHASH_H

#include <stddef.h>

typedef struct {
	void *next;
} UT_hash_handle;

void *lint_hash_find(const void *head, const void *key, size_t len);
void *lint_hash_next(const void *head);
void lint_hash_add(void *head, void *item, const void *key, size_t len);
void lint_hash_delete(void *head, const void *item);
unsigned lint_hash_count(const void *head);

#define HASH_FIND(hh, head, key, len, out) ((out) = lint_hash_find(head, key, len))
#define HASH_FIND_STR(head, key, out) ((out) = lint_hash_find(head, key, 0))
#define HASH_ADD_KEYPTR(hh, head, key, len, item) lint_hash_add(&(head), item, key, len)
#define HASH_ADD(hh, head, field, len, item) lint_hash_add(&(head), item, &(item)->field, len)
#define HASH_ADD_STR(head, field, item) lint_hash_add(&(head), item, (item)->field, 0)
#define HASH_DEL(head, item) lint_hash_delete(&(head), item)
#define HASH_CLEAR(hh, head) ((head) = NULL)
#define HASH_COUNT(head) lint_hash_count(head)
#define HASH_ITER(hh, head, item, following)                                                       \
	for ((item) = lint_hash_next(head), (following) = (item) ? lint_hash_next(head) : NULL;    \
	     (item); (item) = (following), (following) = (item) ? lint_hash_next(head) : NULL)

#endif
