/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "crowd.h"
#include "discovery/chance.h"

/* A newcomer is met by the first questions of N peers within N * this. */
#define SPREAD_PER_ASKER_MS 5
#define SPREAD_MAX_MS 5000
#define FULL_WAIT_MS 50
/* All together ask some fifteen questions a second at most. */
#define DOUBT_PER_ASKER_MS 60

bool crowd_is_full(const struct crowd *crowd)
{
	return crowd->under_way >= CROWD_UNDER_WAY_MAX;
}

uint64_t crowd_first_wait(const struct crowd *crowd)
{
	size_t spread = crowd->n * SPREAD_PER_ASKER_MS;

	return chance_below((uint32_t)(spread < SPREAD_MAX_MS ? spread : SPREAD_MAX_MS));
}

uint64_t crowd_full_wait(void)
{
	return FULL_WAIT_MS + chance_below(FULL_WAIT_MS);
}

uint64_t crowd_doubt_wait(const struct crowd *crowd, uint32_t for_ms)
{
	uint64_t ms = crowd->n * DOUBT_PER_ASKER_MS;

	if (ms < for_ms)
		ms = for_ms;
	return ms + chance_below((uint32_t)ms);
}
