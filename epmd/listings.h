/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_LISTINGS_H
#define KEPMD_EPMD_LISTINGS_H

/* The answers to NAMES and DUMP, kept until the registry changes: with 20,000 nodes one is megabytes
 * and milliseconds, and many may ask at once. */

#include <stdbool.h>

#include "conn.h"
#include "registry.h"

enum listing { LISTING_LOCAL, LISTING_ALL, LISTING_DUMP, LISTING_KINDS };

struct listings {
	struct registry *registry; /* borrowed */
	struct registry_watcher watcher;
	struct answer *kept[LISTING_KINDS];
};

/* LISTINGS must not move until listings_clear, which comes before registry_free. */
void listings_init(struct listings *listings, struct registry *registry);
void listings_clear(struct listings *listings);

/* Makes the answer that is kept REPLY's, which must be empty.  False when there is none. */
bool listings_give(const struct listings *listings, enum listing kind, struct conn_reply *reply);
/* Keeps what REPLY has, unless it is so small that it is sooner written than kept. */
void listings_keep(struct listings *listings, enum listing kind, struct conn_reply *reply);

#endif
