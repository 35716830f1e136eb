/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "log_limit.h"

static struct log_kind *find(struct log_limit *limit, const void *kind, uint64_t now_ms)
{
	struct log_kind *found = limit->kinds;
	struct log_kind *last = limit->kinds + LOG_LIMIT_KINDS - 1;

	while (found < last && found->kind && found->kind != kind)
		found++;
	if (!found->kind)
		*found = (struct log_kind){.kind = kind, .since_ms = now_ms};
	return found;
}

static void refill(struct log_kind *kind, uint64_t now_ms)
{
	uint64_t earned = (now_ms - kind->since_ms) / LOG_LIMIT_REFILL_MS;

	kind->spent -= earned < kind->spent ? (unsigned)earned : kind->spent;
	/* What is earned in part is kept; a full bucket earns nothing. */
	kind->since_ms = kind->spent ? kind->since_ms + earned * LOG_LIMIT_REFILL_MS : now_ms;
}

enum log_pass log_limit_ask(struct log_limit *limit, const void *kind, uint64_t now_ms,
                            unsigned long *suppressed)
{
	struct log_kind *found = find(limit, kind, now_ms);

	refill(found, now_ms);
	if (found->spent == LOG_LIMIT_BURST) {
		found->suppressed++;
		return LOG_SUPPRESS;
	}
	*suppressed = found->suppressed;
	found->suppressed = 0;
	return ++found->spent == LOG_LIMIT_BURST ? LOG_PASS_LAST : LOG_PASS;
}
