/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/kube_object.h"
#include "discovery/kube_split.h"
#include "discovery/peerset.h"

/* What an API server sends, from bytes to peers.  The first byte chooses what it is
 * taken for: '0' and '1' are a WATCH and a LIST of slices, '2' and '3' of v1beta1
 * slices, '4' and '5' of Endpoints. */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct run {
	enum kube_split_shape shape;
	enum kube_kind kind;
	bool parse;
	struct peerset *peers;
	uint64_t now_ms;
	size_t shown;  /* peers told of and not told gone */
	uint64_t hash; /* of what the cutter gave */
};

static void hash_text(struct run *run, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		run->hash = (run->hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	run->hash = (run->hash ^ 0x100) * UINT64_C(0x100000001b3);
}

static void check_peer(const struct peer *peer)
{
	struct in6_addr address;

	if (!peer->key || !*peer->key || !peer->address)
		abort();
	if (inet_pton(AF_INET, peer->address, &address) != 1 &&
	    inet_pton(AF_INET6, peer->address, &address) != 1)
		abort();
	for (size_t i = 0; i < peer->n_ports; i++)
		if (!peer->ports[i].name || peer->ports[i].port == 0)
			abort();
}

static void on_changed(void *arg, const struct peer *before, const struct peer *after)
{
	struct run *run = arg;

	if ((!before && !after) || (before && after && strcmp(before->key, after->key) != 0))
		abort();
	if (!before)
		run->shown++;
	if (!after)
		run->shown--;
}

static void take_object(struct run *run, struct kube_object *object)
{
	if (!object->key || !strchr(object->key, '/'))
		abort();
	for (size_t i = 0; i < object->n_peers; i++)
		check_peer(&object->peers[i]);
	run->now_ms += 300;
	if (peerset_put(run->peers, 0, object->key, object->peers, object->n_peers, run->now_ms))
		abort();
	peerset_settle(run->peers, run->now_ms);
	if (peerset_count(run->peers) != run->shown)
		abort();
}

static void parse_event(struct run *run, const char *text, size_t len)
{
	struct kube_event event;
	char error[60] = "";
	int result = kube_event_parse(run->kind, text, len, &event, error, sizeof(error));

	if (result != 0 && (!*error || event.object.key || event.object.n_peers > 0))
		abort();
	if (result == 0 && (event.type == KUBE_EVENT_UPSERT || event.type == KUBE_EVENT_DELETED))
		take_object(run, &event.object);
	kube_event_clear(&event);
}

static void parse_object(struct run *run, const char *text, size_t len)
{
	struct kube_object object;
	char error[60] = "";
	int result = kube_object_parse(run->kind, text, len, &object, error, sizeof(error));

	if (result != 0 && (!*error || object.key || object.n_peers > 0))
		abort();
	if (result == 0)
		take_object(run, &object);
	kube_object_clear(&object);
}

static bool on_item(void *arg, const char *text, size_t len)
{
	struct run *run = arg;

	hash_text(run, text, len);
	if (!run->parse)
		return true;
	if (run->shape == KUBE_SPLIT_WATCH)
		parse_event(run, text, len);
	else
		parse_object(run, text, len);
	return true;
}

static void parse_envelope(const char *text, size_t len)
{
	struct kube_list_meta meta;
	struct kube_status status;
	char error[60] = "";

	if (kube_list_meta_parse(text, len, &meta, error, sizeof(error)) != 0 && !*error)
		abort();
	kube_list_meta_clear(&meta);
	kube_status_parse(text, len, &status);
	kube_status_clear(&status);
}

/* Feeds all in chunks of CHUNK bytes. */
static void split(struct run *run, const char *text, size_t len, size_t chunk)
{
	struct kube_split *cutter = kube_split_new(run->shape, on_item, run);
	enum kube_split_error error = KUBE_SPLIT_OK;
	const char *envelope;

	if (!cutter)
		abort();
	for (size_t at = 0; at < len && error == KUBE_SPLIT_OK; at += chunk)
		error = kube_split_feed(cutter, text + at, len - at < chunk ? len - at : chunk);
	error = kube_split_end(cutter, &envelope, &len);
	hash_text(run, envelope, len);
	run->hash ^= (uint64_t)error;
	if (run->parse && run->shape == KUBE_SPLIT_LIST && error == KUBE_SPLIT_OK)
		parse_envelope(envelope, len);
	kube_split_free(cutter);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len == 0)
		return 0;
	struct run whole = {
	    .shape = bytes[0] & 1 ? KUBE_SPLIT_LIST : KUBE_SPLIT_WATCH,
	    .kind = (enum kube_kind)((bytes[0] >> 1) % 3),
	    .parse = true,
	};
	struct run pieces = {.shape = whole.shape, .kind = whole.kind};
	const char *text = (const char *)bytes + 1;

	whole.peers = peerset_new(false, on_changed, &whole);
	if (!whole.peers)
		abort();
	peerset_replace_begin(whole.peers, 0);
	split(&whole, text, len - 1, len);
	peerset_replace_end(whole.peers, 0, whole.now_ms);
	peerset_settle(whole.peers, whole.now_ms + PEERSET_SETTLE_MS);
	peerset_free(whole.peers);

	split(&pieces, text, len - 1, 1 + bytes[0] % 7);
	if (pieces.hash != whole.hash)
		abort();
	return 0;
}
