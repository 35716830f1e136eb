/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stddef.h>

#include <event2/event.h>

#include "discovery/clock.h"
#include "log.h"
#include "tally.h"

static void on_over(evutil_socket_t fd, short what, void *arg)
{
	struct tally *tally = arg;

	(void)fd;
	(void)what;
	log_warning("%s%u%s", tally->before, tally->n, tally->after);
	tally->n = 0;
}

int tally_init(struct tally *tally, struct event_base *base, const char *before, const char *after)
{
	*tally = (struct tally){
	    .over = evtimer_new(base, on_over, tally), .before = before, .after = after};
	return tally->over ? 0 : -1;
}

void tally_clear(struct tally *tally)
{
	if (tally->over)
		event_free(tally->over);
	tally->over = NULL;
}

bool tally_count(struct tally *tally)
{
	const struct timeval delay = clock_delay(TALLY_OVER_MS);

	event_add(tally->over, &delay);
	return tally->n++ == 0;
}
