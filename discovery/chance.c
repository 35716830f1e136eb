/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <event2/util.h>

#include "chance.h"

uint32_t chance_below(uint32_t bound)
{
	uint32_t bits;

	evutil_secure_rng_get_bytes(&bits, sizeof(bits));
	return (uint32_t)((uint64_t)bits * bound >> 32);
}
