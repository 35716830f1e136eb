/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "metrics.h"

uint64_t metrics_counters[METRIC_COUNT];
