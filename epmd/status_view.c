/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <time.h>

#include "discovery/clock.h"
#include "status_view.h"

bool status_is_ready(const struct status_view *view, char *reason, size_t reason_size)
{
	if (view->setting_error[0]) {
		snprintf(reason, reason_size, "discovery is off: %s", view->setting_error);
		return false;
	}
	return !view->source || !view->source_ops->pending ||
	       !view->source_ops->pending(view->source, reason, reason_size);
}

double status_heard_at(const struct status_view *view)
{
	const struct source_stats *stats =
	    view->source && view->source_ops->stats ? view->source_ops->stats(view->source) : NULL;
	struct timespec now;

	if (!stats || !stats->heard_ms)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	double seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	return seconds - (double)(clock_now_ms() - stats->heard_ms) / 1e3;
}
