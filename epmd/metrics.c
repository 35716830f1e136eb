/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stddef.h>

#include "metrics.h"

uint64_t metrics_counters[METRIC_COUNT];

const uint32_t metrics_join_bounds_ms[METRICS_JOIN_BOUNDS] = {100,  250,   500,   1000,  2500,
                                                              5000, 10000, 30000, 60000, 300000};
struct metrics_join metrics_join;

void metrics_joined_after(uint64_t ms)
{
	size_t bucket = 0;

	while (bucket < METRICS_JOIN_BOUNDS && ms > metrics_join_bounds_ms[bucket])
		bucket++;
	metrics_join.buckets[bucket]++;
	metrics_join.sum_ms += ms;
}
