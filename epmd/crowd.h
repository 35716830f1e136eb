/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_CROWD_H
#define KEPMD_EPMD_CROWD_H

/* All who ask peers' epmds, and the pace at which they may: no newcomer among a thousand
 * is met by a thousand questions at once, nor do we have so many under way. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero at first. */
struct crowd {
	size_t n;           /* who ask */
	unsigned under_way; /* questions */
};

/* Questions under way at once; more wait. */
#define CROWD_UNDER_WAY_MAX 64

bool crowd_is_full(const struct crowd *crowd);

/* All in milliseconds, and by chance: how long who asks for the first time waits, who
 * finds the crowd full, and who has an answer that is to be doubted after FOR_MS or, in a
 * great crowd, later. */
uint64_t crowd_first_wait(const struct crowd *crowd);
uint64_t crowd_full_wait(void);
uint64_t crowd_doubt_wait(const struct crowd *crowd, uint32_t for_ms);

#endif
