/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_CLOCK_H
#define KEPMD_DISCOVERY_CLOCK_H

#include <stdint.h>
#include <sys/time.h>

/* Milliseconds of the monotonic clock, which no setting of the time moves. */
uint64_t clock_now_ms(void);

/* MS as libevent takes a delay. */
struct timeval clock_delay(uint64_t ms);

#endif
