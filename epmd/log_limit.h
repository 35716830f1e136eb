/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_LOG_LIMIT_H
#define KEPMD_EPMD_LOG_LIMIT_H

/* How many lines of one kind may be said: a few at once, then one a second (a token bucket
 * for each kind).  Pure: times are handed in, milliseconds of a monotonic clock. */

#include <stddef.h>
#include <stdint.h>

#define LOG_LIMIT_BURST 50
#define LOG_LIMIT_REFILL_MS 1000
#define LOG_LIMIT_KINDS 32

struct log_kind {
	const void *kind;         /* NULL: free */
	unsigned spent;           /* of the burst */
	uint64_t since_ms;        /* when what is spent was last reckoned */
	unsigned long suppressed; /* since one was said */
};

/* All zero at first. */
struct log_limit {
	struct log_kind kinds[LOG_LIMIT_KINDS];
};

enum log_pass {
	LOG_PASS,
	LOG_PASS_LAST, /* the next one, now, would not */
	LOG_SUPPRESS
};

/* May a line of KIND (any address that stands for it) be said now?  *SUPPRESSED is how many could
 * not since the last that could.  Where there are too many kinds, the last ones share a bucket. */
enum log_pass log_limit_ask(struct log_limit *limit, const void *kind, uint64_t now_ms,
                            unsigned long *suppressed);

#endif
