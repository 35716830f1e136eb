/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_METRICS_H
#define KEPMD_EPMD_METRICS_H

/* What is counted, for whoever asks /metrics.  Only events are: what there is (nodes,
 * connections, peers) is asked of its owner when somebody looks.  Counting is one addition, whether
 * or not anybody looks; like the log, the counters are one for the process.
 *
 * A counter more is a line here and a row in metrics.c. */

#include <stdint.h>

enum metric {
	METRIC_REGISTRATIONS,

	/* requests that could be read, by kind */
	METRIC_REQUEST_ALIVE2,
	METRIC_REQUEST_PORT2,
	METRIC_REQUEST_NAMES,
	METRIC_REQUEST_DUMP,
	METRIC_REQUEST_KILL,
	METRIC_REQUEST_STOP,
	METRIC_REQUEST_CONTROL,

	/* what was refused, by reason */
	METRIC_REFUSED_MALFORMED,   /* it was no request */
	METRIC_REFUSED_NAME_TAKEN,  /* a registration */
	METRIC_REFUSED_BAD_NAME,    /* a registration or a question: no UTF-8, or too long */
	METRIC_REFUSED_NOT_LOCAL,   /* for this host only */
	METRIC_REFUSED_NOT_ALLOWED, /* KILL with living nodes, STOP without -relaxed_command_check */
	METRIC_REFUSED_NO_MEMORY,
	METRIC_REFUSED_FULL, /* a registration: descriptors allow no more */

	METRIC_CONNECTIONS,                /* accepted */
	METRIC_CLOSED_IDLE,                /* sent no request for the packet timeout */
	METRIC_CLOSED_SHED,                /* gave its descriptor, or memory, to a newer one */
	METRIC_CLOSED_TOO_MANY,            /* the oldest of more than may be open */
	METRIC_CLOSED_TOO_MANY_OF_ADDRESS, /* the same, of one address */
	METRIC_CLOSED_UNREAD,              /* did not read its answer, and too much waited */
	METRIC_CLOSED_NOT_ALLOWED,         /* not one of those that ERL_EPMD_ALLOW names */

	/* questions to peers' epmds for the port of a node */
	METRIC_PORT_KNOWN,     /* it was told */
	METRIC_PORT_NO_NODE,   /* that epmd has no such node */
	METRIC_PORT_NO_ANSWER, /* or none that can be used */

	/* dials that local nodes were asked for */
	METRIC_DIAL_JOINED,
	METRIC_DIAL_COOKIE, /* refused */
	METRIC_DIAL_SILENCE,
	METRIC_DIAL_UNRESOLVED, /* the local node does not find the way */
	METRIC_LINKS_JOINED,    /* whoever has dialled */
	METRIC_LINKS_FELL,

	METRIC_LOG_LOST,       /* lines that the log's reader did not take */
	METRIC_LOG_SUPPRESSED, /* lines of a kind that came too fast */
	METRIC_COUNT
};

extern uint64_t metrics_counters[METRIC_COUNT];

static inline void metrics_count(enum metric metric)
{
	metrics_counters[metric]++;
}

static inline void metrics_count_more(enum metric metric, uint64_t n)
{
	metrics_counters[metric] += n;
}

/* How long it took to join two nodes that could be joined, in milliseconds: a histogram.  Bucket
 * i counts those of metrics_join_bounds_ms[i] at most, the last one the longer ones. */
#define METRICS_JOIN_BOUNDS 10
struct metrics_join {
	uint64_t buckets[METRICS_JOIN_BOUNDS + 1];
	uint64_t sum_ms;
};
extern const uint32_t metrics_join_bounds_ms[METRICS_JOIN_BOUNDS];
extern struct metrics_join metrics_join;

void metrics_joined_after(uint64_t ms);

#endif
