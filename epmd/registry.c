/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "discovery/hash.h"
#include "registry.h"

#define CREATION_MIN 4u

/* NODE's name and extra stand behind the struct, in one allocation. */
struct local_node {
	struct epmd_node node;
	uint32_t creation;
	int fd;
	void *owner; /* NULL: released */
	struct local_node *prev, *next;
	UT_hash_handle hh;
	bool hash_add_failed;
	uint8_t bytes[];
};

/* What one owner has put under a name.  NODE's name and extra stand behind it. */
struct claim {
	struct epmd_node node;
	void *owner;
	struct claim *next;
	uint8_t bytes[];
};

/* A name is there as long as it has claims. */
struct discovered_name {
	struct claim *claims; /* the last to come is the first, and the one that is shown */
	UT_hash_handle hh;
	bool hash_add_failed;
	size_t len;
	uint8_t name[];
};

struct registry {
	struct local_node *by_name;  /* registered and released */
	struct local_node *locals;   /* registered, the newest first */
	struct local_node *released; /* the oldest first */
	size_t n_locals;
	size_t n_released;
	size_t released_max;
	struct discovered_name *discovered; /* uthash keeps the order of insertion */
	struct registry_watcher *watchers;
};

struct registry *registry_new(size_t released_max)
{
	struct registry *registry = calloc(1, sizeof(*registry));

	if (registry)
		registry->released_max = released_max;
	return registry;
}

static void forget_discovered(struct registry *registry, struct discovered_name *found)
{
	struct claim *claim, *next;

	LL_FOREACH_SAFE (found->claims, claim, next)
		free(claim);
	HASH_DEL(registry->discovered, found);
	free(found);
}

void registry_free(struct registry *registry)
{
	struct local_node *local, *next_local;
	struct discovered_name *found, *next_found;

	if (!registry)
		return;
	HASH_ITER (hh, registry->by_name, local, next_local) {
		HASH_DEL(registry->by_name, local);
		free(local);
	}
	HASH_ITER (hh, registry->discovered, found, next_found)
		forget_discovered(registry, found);
	free(registry);
}

void registry_watch(struct registry *registry, struct registry_watcher *watcher)
{
	DL_APPEND(registry->watchers, watcher);
}

void registry_unwatch(struct registry *registry, struct registry_watcher *watcher)
{
	DL_DELETE(registry->watchers, watcher);
}

static void tell_change(const struct registry *registry)
{
	for (const struct registry_watcher *w = registry->watchers; w; w = w->next)
		if (w->changed)
			w->changed(w->arg);
}

static void tell_local(const struct registry *registry)
{
	tell_change(registry);
	for (const struct registry_watcher *w = registry->watchers; w; w = w->next)
		if (w->local_changed)
			w->local_changed(w->arg);
}

static void tell_discovered(const struct registry *registry)
{
	for (const struct registry_watcher *w = registry->watchers; w; w = w->next)
		if (w->discovered_changed)
			w->discovered_changed(w->arg);
}

/* Copies FROM with its name and extra into TO, whose bytes are at BYTES. */
static void copy_node(struct epmd_node *to, uint8_t *bytes, const struct epmd_node *from)
{
	*to = *from;
	if (from->name.len)
		memcpy(bytes, from->name.at, from->name.len);
	if (from->extra.len)
		memcpy(bytes + from->name.len, from->extra.at, from->extra.len);
	to->name.at = bytes;
	to->extra.at = bytes + from->name.len;
}

static size_t node_bytes(const struct epmd_node *node)
{
	return node->name.len + node->extra.len;
}

/* --- local nodes ------------------------------------------------------------- */

static struct local_node *find_local(const struct registry *registry, struct wire_bytes name)
{
	struct local_node *local;

	HASH_FIND(hh, registry->by_name, name.at, name.len, local);
	return local;
}

static void forget_released(struct registry *registry, struct local_node *local)
{
	DL_DELETE(registry->released, local);
	registry->n_released--;
	HASH_DEL(registry->by_name, local);
	free(local);
}

static struct local_node *new_local(const struct epmd_node *node, uint32_t creation)
{
	struct local_node *local = calloc(1, sizeof(*local) + node_bytes(node));

	if (!local)
		return NULL;
	copy_node(&local->node, local->bytes, node);
	local->creation = creation < CREATION_MIN ? CREATION_MIN : creation;
	return local;
}

enum registry_result registry_register(struct registry *registry, const struct epmd_node *node,
                                       int fd, void *owner, uint32_t clock_s,
                                       struct local_node **result)
{
	struct local_node *old = find_local(registry, node->name);

	if (old && old->owner)
		return REGISTRY_TAKEN;

	struct local_node *local = new_local(node, old ? old->creation + 1 : clock_s);
	if (!local)
		return REGISTRY_NO_MEMORY;
	if (old)
		forget_released(registry, old);
	else if (registry->n_released >= registry->released_max)
		forget_released(registry, registry->released);
	HASH_ADD_KEYPTR(hh, registry->by_name, local->node.name.at, local->node.name.len, local);
	if (local->hash_add_failed) {
		free(local);
		tell_change(registry);
		return REGISTRY_NO_MEMORY;
	}
	local->fd = fd;
	local->owner = owner;
	DL_PREPEND(registry->locals, local);
	registry->n_locals++;
	*result = local;
	tell_local(registry);
	return REGISTRY_OK;
}

void registry_release(struct registry *registry, struct local_node *local)
{
	DL_DELETE(registry->locals, local);
	registry->n_locals--;
	local->owner = NULL;
	DL_APPEND(registry->released, local);
	registry->n_released++;
	if (registry->n_released > registry->released_max)
		forget_released(registry, registry->released);
	tell_local(registry);
}

uint32_t registry_creation(const struct local_node *local)
{
	return local->creation;
}

void *registry_owner(const struct registry *registry, struct wire_bytes name)
{
	const struct local_node *local = find_local(registry, name);

	return local ? local->owner : NULL;
}

size_t registry_local_count(const struct registry *registry)
{
	return registry->n_locals;
}

static void show_all(const struct local_node *list, registry_local_fn *fn, void *arg)
{
	for (const struct local_node *local = list; local; local = local->next) {
		struct local_view view = {local->node, local->fd, local->creation,
		                          local->owner != NULL};
		fn(arg, &view);
	}
}

void registry_each_local(const struct registry *registry, bool released, registry_local_fn *fn,
                         void *arg)
{
	show_all(registry->locals, fn, arg);
	if (released)
		show_all(registry->released, fn, arg);
}

/* --- discovered nodes -------------------------------------------------------- */

static struct discovered_name *find_discovered(const struct registry *registry,
                                               struct wire_bytes name)
{
	struct discovered_name *found;

	HASH_FIND(hh, registry->discovered, name.at, name.len, found);
	return found;
}

/* Without claims yet.  NULL when memory is out. */
static struct discovered_name *add_discovered(struct registry *registry, struct wire_bytes name)
{
	struct discovered_name *added = calloc(1, sizeof(*added) + name.len);

	if (!added)
		return NULL;
	added->len = name.len;
	memcpy(added->name, name.at, name.len);
	HASH_ADD_KEYPTR(hh, registry->discovered, added->name, added->len, added);
	if (!added->hash_add_failed)
		return added;
	free(added);
	return NULL;
}

static struct claim *new_claim(const struct epmd_node *node, void *owner)
{
	struct claim *claim = calloc(1, sizeof(*claim) + node_bytes(node));

	if (!claim)
		return NULL;
	copy_node(&claim->node, claim->bytes, node);
	claim->owner = owner;
	return claim;
}

static struct claim *find_claim(const struct discovered_name *found, const void *owner)
{
	struct claim *claim = found->claims;

	while (claim && claim->owner != owner)
		claim = claim->next;
	return claim;
}

/* In the place of the one that its owner has, if any: who is shown must not change with each
 * answer. */
static void put_claim(struct discovered_name *found, struct claim *claim)
{
	struct claim *old = find_claim(found, claim->owner);

	if (old)
		LL_REPLACE_ELEM(found->claims, old, claim);
	else
		LL_PREPEND(found->claims, claim);
	free(old);
}

int registry_put_discovered(struct registry *registry, const struct epmd_node *node, void *owner)
{
	struct discovered_name *found = find_discovered(registry, node->name);
	bool is_new = !found;
	struct claim *claim = new_claim(node, owner);

	if (claim && is_new)
		found = add_discovered(registry, node->name);
	if (!claim || !found) {
		free(claim);
		return -1;
	}
	put_claim(found, claim);
	tell_change(registry);
	if (is_new)
		tell_discovered(registry);
	return 0;
}

void registry_remove_discovered(struct registry *registry, struct wire_bytes name,
                                const void *owner)
{
	struct discovered_name *found = find_discovered(registry, name);
	struct claim *claim = found ? find_claim(found, owner) : NULL;

	if (!claim)
		return;
	LL_DELETE(found->claims, claim);
	free(claim);
	bool is_gone = !found->claims;
	if (is_gone)
		forget_discovered(registry, found);
	tell_change(registry);
	if (is_gone)
		tell_discovered(registry);
}

void *registry_discovered_owner(const struct registry *registry, struct wire_bytes name)
{
	const struct discovered_name *found = find_discovered(registry, name);

	return found ? found->claims->owner : NULL;
}

void registry_each_discovered(const struct registry *registry, registry_discovered_fn *fn,
                              void *arg)
{
	for (const struct discovered_name *found = registry->discovered; found;
	     found = found->hh.next)
		fn(arg, &found->claims->node);
}

/* --- both --------------------------------------------------------------------- */

const struct epmd_node *registry_find(const struct registry *registry, struct wire_bytes name)
{
	const struct local_node *local = find_local(registry, name);

	if (local && local->owner)
		return &local->node;
	const struct discovered_name *found = find_discovered(registry, name);
	return found ? &found->claims->node : NULL;
}
