/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_SOURCE_STATS_H
#define KEPMD_DISCOVERY_SOURCE_STATS_H

/* What a source counts of itself. */

#include <stdint.h>

enum source_request {
	SOURCE_LIST, /* asking for all peers; a file is read, a name resolved */
	SOURCE_WATCH,
	SOURCE_REQUESTS
};

/* How a request ended. */
enum source_outcome {
	SOURCE_OK,
	SOURCE_UNREACHABLE, /* no connection, or TLS that is not to be trusted; no file */
	SOURCE_DENIED,      /* 401, 403 */
	SOURCE_EXPIRED,     /* 410: the server has forgotten that version */
	SOURCE_ERROR,       /* another status that is an error */
	SOURCE_CUT,         /* it broke off, or fell silent */
	SOURCE_UNREADABLE,  /* what came is not what was asked for */
	SOURCE_OUTCOMES
};

struct source_stats {
	uint64_t ended[SOURCE_REQUESTS][SOURCE_OUTCOMES];
	uint64_t watch_restarts; /* WATCHes begun that were not a watch's first */
	uint64_t heard_ms;       /* clock_now_ms() of the last news or sign of life; 0: none yet */
};

#endif
