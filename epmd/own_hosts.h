/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_OWN_HOSTS_H
#define KEPMD_EPMD_OWN_HOSTS_H

/* The addresses of this host's interfaces, kept so that a thousand questions read them
 * once. */

#include <stddef.h>
#include <stdint.h>

#include "sockaddr.h"

/* How old an answer may be. */
#define OWN_HOSTS_FRESH_MS 1000

/* All zero at first. */
struct own_hosts {
	struct sockaddr_any *list;
	size_t n;
	uint64_t fresh_until_ms;
	int error; /* errno of the last attempt to read them, or 0 */
};

/* It takes a descriptor and memory to know: without them only what was known stays known. */
enum own_verdict { OWN_NO, OWN_YES, OWN_UNKNOWN };

/* Is TEXT, a literal address, one of this host's?  NOW_MS: of clock_now_ms. */
enum own_verdict own_hosts_ask(struct own_hosts *own, const char *text, uint64_t now_ms);

void own_hosts_clear(struct own_hosts *own);

#endif
