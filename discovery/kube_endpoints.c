/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "kube_json.h"

/* A peer of an earlier subset, to be found by its key. */
struct seen {
	size_t index;
	UT_hash_handle hh;
	bool hash_add_failed;
};

struct reading {
	struct kube_json *json;
	struct kube_object *object;
	const char *namespace_;
	const char *service;
	struct seen *table; /* by key */
	struct seen *seen;  /* N_PEERS used */
};

/* Both fields may hold an address list. */
static const struct {
	const char *name;
	bool ready;
} lists[] = {{"addresses", true}, {"notReadyAddresses", false}};
#define N_LISTS (sizeof(lists) / sizeof(lists[0]))

/* The same pod at the same address, of an earlier subset. */
static struct peer *find_peer(const struct reading *reading, const struct peer *peer)
{
	struct seen *seen;

	HASH_FIND_STR(reading->table, peer->key, seen);
	if (!seen)
		return NULL;
	struct peer *found = &reading->object->peers[seen->index];
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): who is in the table is in the array */
	return strcmp(found->address, peer->address) == 0 ? found : NULL;
}

/* Takes over what PEER holds.  A key that has another address already keeps it in
 * the table: such an object is odd, but each of its addresses is a peer. */
static struct peer *add_peer(struct reading *reading, const struct peer *peer)
{
	struct kube_object *object = reading->object;
	struct seen *seen = &reading->seen[object->n_peers], *before;
	struct peer *added = &object->peers[object->n_peers];

	*added = *peer;
	seen->index = object->n_peers++;
	HASH_FIND_STR(reading->table, added->key, before);
	if (!before)
		HASH_ADD_KEYPTR(hh, reading->table, added->key, strlen(added->key), seen);
	if (seen->hash_add_failed)
		kube_json_fail(reading->json, "memory is out");
	return added;
}

static void read_address(struct reading *reading, const json_t *address, bool ready,
                         const json_t *subset)
{
	struct kube_json *json = reading->json;
	struct peer read = {0}, *peer;

	if (!kube_json_peer(json, kube_json_string(json, address, "ip"),
	                    kube_json_object(json, address, "targetRef"), reading->namespace_,
	                    reading->service, &read))
		return;
	read.hostname = kube_json_copy(json, kube_json_string(json, address, "hostname"));
	peer = find_peer(reading, &read);
	if (peer)
		peer_clear(&read);
	else
		peer = add_peer(reading, &read);
	peer->ready |= ready;
	peer->serving |= ready;
	kube_json_ports(json, subset, peer);
}

static void read_subset(struct reading *reading, const json_t *subset)
{
	for (size_t list = 0; list < N_LISTS; list++) {
		const char *name = lists[list].name;
		const json_t *addresses = kube_json_array(reading->json, subset, name);

		for (size_t i = 0; i < json_array_size(addresses) && !reading->json->failed; i++)
			read_address(reading, kube_json_element(reading->json, addresses, i, name),
			             lists[list].ready, subset);
	}
}

/* As many peers as there can be. */
static size_t count_addresses(struct kube_json *json, const json_t *subsets)
{
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(subsets); i++)
		for (size_t list = 0; list < N_LISTS; list++)
			n += json_array_size(
			    kube_json_array(json, kube_json_element(json, subsets, i, "subsets"),
			                    lists[list].name));
	return n;
}

static void read_subsets(struct reading *reading, const json_t *subsets)
{
	struct kube_object *object = reading->object;
	size_t n = count_addresses(reading->json, subsets);

	if (n == 0 || reading->json->failed)
		return;
	object->peers = calloc(n, sizeof(*object->peers));
	reading->seen = calloc(n, sizeof(*reading->seen));
	if (!object->peers || !reading->seen)
		kube_json_fail(reading->json, "memory is out");
	else
		for (size_t i = 0; i < json_array_size(subsets) && !reading->json->failed; i++)
			read_subset(reading,
			            kube_json_element(reading->json, subsets, i, "subsets"));
	HASH_CLEAR(hh, reading->table);
	free(reading->seen);
}

void kube_endpoints_read(struct kube_json *json, const json_t *root, struct kube_object *object)
{
	const json_t *metadata = kube_json_object(json, root, "metadata");
	const json_t *annotations = kube_json_object(json, metadata, "annotations");
	const json_t *subsets = kube_json_array(json, root, "subsets");
	const char *capacity =
	    kube_json_string(json, annotations, "endpoints.kubernetes.io/over-capacity");
	struct reading reading = {
	    .json = json,
	    .object = object,
	    .namespace_ = kube_json_string(json, metadata, "namespace"),
	    .service = kube_json_string(json, metadata, "name"),
	};

	kube_json_expect_kind(json, root, "Endpoints");
	/* Servers before 1.22 say "warning" where they have left nothing out. */
	object->truncated = capacity && strcmp(capacity, "truncated") == 0;
	read_subsets(&reading, subsets);
}
