/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/file_peers.h"
#include "discovery/peerset.h"

/* A file of peers, from bytes to the peer set. */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void on_changed(void *arg, const struct peer *before, const struct peer *after)
{
	size_t *shown = arg;

	if (!before && !after)
		abort();
	*shown += !before;
	*shown -= !after;
}

static void check_peer(const struct peer *peer)
{
	struct in6_addr address;

	if (!peer->key || !*peer->key || !peer->address)
		abort();
	if (inet_pton(AF_INET, peer->address, &address) != 1 &&
	    inet_pton(AF_INET6, peer->address, &address) != 1)
		abort();
}

static void check_error(const char *error)
{
	if (!*error)
		abort();
	for (; *error; error++)
		if (*error < ' ' || *error > '~')
			abort();
}

static void put(struct peerset *set, struct file_peers *found)
{
	char name[32];

	for (size_t i = 0; i < found->n_objects; i++) {
		struct kube_object *object = &found->objects[i];
		for (size_t j = 0; j < object->n_peers; j++)
			check_peer(&object->peers[j]);
		snprintf(name, sizeof(name), "%zu", i);
		if (peerset_put(set, 0, name, object->peers, object->n_peers, 0) != 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	size_t shown = 0;
	struct peerset *set = peerset_new(false, on_changed, &shown);
	struct file_peers found;
	char error[100] = "";

	if (!set)
		abort();
	if (file_peers_parse((const char *)bytes, len, &found, error, sizeof(error)) == 0)
		put(set, &found);
	else if (check_error(error), found.objects || found.n_objects > 0)
		abort();
	if (peerset_count(set) != shown)
		abort();
	file_peers_clear(&found);
	peerset_free(set);
	return 0;
}
