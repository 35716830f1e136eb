/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_TALLY_H
#define KEPMD_EPMD_TALLY_H

/* What others can make happen as often as they like is said when it begins, and with its number
 * when it has ended: whoever does it must not fill the log too. */

#include <stdbool.h>

struct event;
struct event_base;

struct tally {
	struct event *over; /* pending while it goes on */
	unsigned n;
	const char *before, *after; /* the words around the number, borrowed */
};

/* It has ended when it did not happen for so long. */
#define TALLY_OVER_MS 5000

/* Returns 0, or -1 when memory is out. */
int tally_init(struct tally *tally, struct event_base *base, const char *before, const char *after);
void tally_clear(struct tally *tally);

/* It has happened; true if that is the first time, which is for the caller to say. */
bool tally_count(struct tally *tally);

#endif
