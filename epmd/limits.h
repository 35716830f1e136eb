/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_LIMITS_H
#define KEPMD_EPMD_LIMITS_H

/* How much of what everybody needs a single client may take.  Nothing is closed that stock epmd
 * would keep as long as there is enough of it; past a limit the oldest connection that has
 * registered nobody makes way, so that whoever comes now is served.  Who has asked by then is
 * answered first. */

#include <stdbool.h>
#include <stddef.h>

struct options;

/* A registration is a connection too: so many are for those that have none yet. */
#define LIMITS_ROOM_MAX 256
/* Below this many descriptors fewer nodes can register than with stock epmd. */
#define LIMITS_DESCRIPTORS_FEW 1024
/* Who has come so lately may be about to ask: it makes way only when there are twice as many
 * connections as there may be, or no descriptor is left. */
#define LIMITS_YOUNG_MS 2000

/* What the kernel may hold of an answer that is not read, in bytes, for each connection.  Without it
 * that is what tcp_wmem says, 4 MiB. */
#define LIMITS_KERNEL_UNREAD (256 * 1024)

struct limits {
	unsigned descriptors;     /* RLIMIT_NOFILE, once it was raised */
	unsigned reserve;         /* descriptors that no client gets: files, what discovery dials */
	unsigned max_connections; /* that have registered nobody */
	unsigned max_per_address; /* the same, of one address elsewhere */
	unsigned max_of_loopback; /* when there are too many in all: whoever has more makes way */
	unsigned max_registered;
	size_t max_unsent; /* bytes of answers that wait for their readers, in all */
};

/* What is sane for so many DESCRIPTORS.  MORE_IN_RESERVE: discovery is on, or a status address
 * set, which need some. */
struct limits limits_default(unsigned descriptors, bool more_in_reserve);

/* The same with the settings of OPTIONS.  Returns 0; or -1 with ERROR, which names the setting and
 * the mend, and then *LIMITS is limits_default's. */
int limits_read(const struct options *options, unsigned descriptors, bool more_in_reserve,
                struct limits *limits, char *error, size_t error_size);

/* Raises the soft limit of descriptors to the hard one, and returns it. */
unsigned limits_raise_descriptors(void);

#endif
