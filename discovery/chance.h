/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_CHANCE_H
#define KEPMD_DISCOVERY_CHANCE_H

#include <stdint.h>

/* Jitter: uniform in 0..bound-1, and 0 for a BOUND of 0. */
uint32_t chance_below(uint32_t bound);

#endif
