/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "answer.h"
#include "listings.h"

static void forget(void *arg)
{
	struct listings *listings = arg;

	for (int kind = 0; kind < LISTING_KINDS; kind++) {
		answer_unref(listings->kept[kind]);
		listings->kept[kind] = NULL;
	}
}

void listings_init(struct listings *listings, struct registry *registry)
{
	*listings = (struct listings){.registry = registry};
	listings->watcher = (struct registry_watcher){.changed = forget, .arg = listings};
	registry_watch(registry, &listings->watcher);
}

void listings_clear(struct listings *listings)
{
	if (!listings->registry)
		return;
	registry_unwatch(listings->registry, &listings->watcher);
	forget(listings);
}

bool listings_give(const struct listings *listings, enum listing kind, struct conn_reply *reply)
{
	if (listings->kept[kind])
		conn_reply_share(reply, listings->kept[kind]);
	return listings->kept[kind] != NULL;
}

void listings_keep(struct listings *listings, enum listing kind, struct conn_reply *reply)
{
	if (!reply->no_memory && reply->answer)
		listings->kept[kind] = conn_reply_keep(reply);
}
