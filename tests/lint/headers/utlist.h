/* SPDX-License-Identifier: Apache-2.0 */
/* What the checkers of scripts/lint see in place of utlist, as uthash.h beside it. */
#ifndef KEPMD_LINT_UTLIST_H
#define KEPMD_LINT_UTLIST_H

#include <stddef.h>

void *lint_list_next(const void *head);
void lint_list_put(void *head, const void *item);

#define LINT_EACH(head, item) for ((item) = lint_list_next(head); (item); (item) = lint_list_next(head))
#define LINT_EACH_SAFE(head, item, following)                                                      \
	for ((item) = lint_list_next(head), (following) = (item) ? lint_list_next(head) : NULL;    \
	     (item); (item) = (following), (following) = (item) ? lint_list_next(head) : NULL)

#define DL_FOREACH(head, item) LINT_EACH(head, item)
#define DL_FOREACH2(head, item, next) LINT_EACH(head, item)
#define DL_FOREACH_SAFE(head, item, following) LINT_EACH_SAFE(head, item, following)
#define LL_FOREACH_SAFE(head, item, following) LINT_EACH_SAFE(head, item, following)
#define DL_SEARCH_SCALAR(head, out, field, value) ((void)(value), (out) = lint_list_next(head))
#define DL_APPEND(head, item) lint_list_put(&(head), item)
#define DL_APPEND2(head, item, prev, next) lint_list_put(&(head), item)
#define DL_PREPEND(head, item) lint_list_put(&(head), item)
#define DL_DELETE(head, item) lint_list_put(&(head), item)
#define DL_DELETE2(head, item, prev, next) lint_list_put(&(head), item)
#define LL_PREPEND(head, item) lint_list_put(&(head), item)
#define LL_DELETE(head, item) lint_list_put(&(head), item)
#define LL_REPLACE_ELEM(head, old, item) ((void)(old), lint_list_put(&(head), item))

#endif
