/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "discovery/hash.h"
#include "sockaddr.h"
#include "strangers.h"

#include <utlist.h>

struct strangers_host {
	uint8_t key[SOCKADDR_KEY_SIZE];
	struct stranger *list; /* the oldest first */
	unsigned n;
	bool hash_add_failed;
	UT_hash_handle hh;
};

/* Loopback, where most come from, is found without a look, and stays when nobody is there. */
static struct strangers_host *loopback_of(struct strangers *strangers)
{
	if (!strangers->loopback)
		strangers->loopback = calloc(1, sizeof(*strangers->loopback));
	return strangers->loopback;
}

static struct strangers_host *find_or_add(struct strangers *strangers,
                                          const struct sockaddr_any *from)
{
	uint8_t key[SOCKADDR_KEY_SIZE];
	struct strangers_host *host;

	if (sockaddr_is_loopback(from))
		return loopback_of(strangers);
	sockaddr_key(from, key);
	HASH_FIND(hh, strangers->hosts, key, sizeof(key), host);
	if (host)
		return host;
	host = calloc(1, sizeof(*host));
	if (!host)
		return NULL;
	memcpy(host->key, key, sizeof(key));
	HASH_ADD(hh, strangers->hosts, key, sizeof(host->key), host);
	if (host->hash_add_failed) {
		free(host);
		return NULL;
	}
	return host;
}

void strangers_add(struct strangers *strangers, struct stranger *stranger,
                   const struct sockaddr_any *from, uint64_t now_ms)
{
	struct strangers_host *host = find_or_add(strangers, from);

	stranger->since_ms = now_ms;
	DL_APPEND(strangers->all, stranger);
	strangers->n++;
	stranger->host = host;
	if (!host)
		return;
	DL_APPEND2(host->list, stranger, host_prev, host_next);
	host->n++;
}

void strangers_remove(struct strangers *strangers, struct stranger *stranger)
{
	struct strangers_host *host = stranger->host;

	DL_DELETE(strangers->all, stranger);
	strangers->n--;
	if (host) {
		DL_DELETE2(host->list, stranger, host_prev, host_next);
		if (--host->n == 0 && host != strangers->loopback) {
			HASH_DEL(strangers->hosts, host);
			free(host);
		}
	}
	*stranger = (struct stranger){0};
}

void strangers_clear(struct strangers *strangers)
{
	free(strangers->loopback);
	strangers->loopback = NULL;
}

unsigned strangers_of_host(const struct stranger *stranger)
{
	return stranger->host ? stranger->host->n : 0;
}

bool strangers_on_loopback(const struct strangers *strangers, const struct stranger *stranger)
{
	return stranger->host && stranger->host == strangers->loopback;
}

struct stranger *strangers_oldest_of_host(const struct stranger *stranger)
{
	return stranger->host ? stranger->host->list : NULL;
}

struct stranger *strangers_first_to_go(const struct strangers *strangers, unsigned of_loopback)
{
	const struct strangers_host *loopback = strangers->loopback;

	return loopback && loopback->n > of_loopback ? loopback->list : strangers->all;
}
