/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_STRANGERS_H
#define KEPMD_EPMD_STRANGERS_H

/* Connections that have registered nobody, in the order in which they came, in all and by the
 * address they came from: who makes way when there are too many.  Loopback is one address. */

#include <stdbool.h>
#include <stdint.h>

struct sockaddr_any;
struct strangers_host;

/* Within the connection.  All zero while it is in no list. */
struct stranger {
	struct stranger *prev, *next;
	struct stranger *host_prev, *host_next;
	struct strangers_host *host;
	uint64_t since_ms; /* when it was added */
};

/* All zero at first. */
struct strangers {
	struct stranger *all; /* the oldest first */
	struct strangers_host *hosts;
	struct strangers_host *loopback; /* is not one of them */
	unsigned n;
};

/* Adds the newest, at NOW_MS.  Without memory it is counted in all, but for no address. */
void strangers_add(struct strangers *strangers, struct stranger *stranger,
                   const struct sockaddr_any *from, uint64_t now_ms);
void strangers_remove(struct strangers *strangers, struct stranger *stranger);
/* Frees what is left when all have been removed. */
void strangers_clear(struct strangers *strangers);

/* It is in the list. */
static inline bool strangers_has(const struct stranger *stranger)
{
	return stranger->prev;
}

/* How many there are of the address that STRANGER comes from, itself included; whether that is
 * loopback; and the oldest of them. */
unsigned strangers_of_host(const struct stranger *stranger);
bool strangers_on_loopback(const struct strangers *strangers, const struct stranger *stranger);
struct stranger *strangers_oldest_of_host(const struct stranger *stranger);

/* The oldest of all or, where loopback has more than OF_LOOPBACK, of loopback; NULL: nobody. */
struct stranger *strangers_first_to_go(const struct strangers *strangers, unsigned of_loopback);

#endif
