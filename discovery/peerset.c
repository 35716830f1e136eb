/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "peer_union.h"
#include "peerset.h"

/* Links: a scope owns its objects, an object its contributions; each of them
 * points to the member of the union that has its key.  So a changed object leads
 * to the members it touches and to nothing else. */

struct object {
	char *name;
	struct contribution *contributions; /* the missing ones last */
	size_t n;
	size_t n_missing;
	uint64_t round; /* of its scope when it was put last */
	UT_hash_handle hh;
	bool hash_add_failed;
};

struct scope {
	unsigned id;
	uint64_t round; /* counts peerset_replace_begin */
	bool replacing; /* a LIST is under way */
	size_t n_held;
	struct object *objects;
	UT_hash_handle hh;
	bool hash_add_failed;
};

struct peerset {
	struct scope *scopes;
	struct peer_union *peers;
};

static struct scope *scope_find(const struct peerset *set, unsigned id)
{
	struct scope *scope;

	HASH_FIND(hh, set->scopes, &id, sizeof(id), scope);
	return scope;
}

static struct scope *scope_get(struct peerset *set, unsigned id)
{
	struct scope *scope = scope_find(set, id);

	if (scope)
		return scope;
	scope = calloc(1, sizeof(*scope));
	if (!scope)
		return NULL;
	scope->id = id;
	HASH_ADD(hh, set->scopes, id, sizeof(scope->id), scope);
	if (!scope->hash_add_failed)
		return scope;
	free(scope);
	return NULL;
}

static struct object *object_get(struct scope *scope, const char *name)
{
	struct object *object;

	HASH_FIND_STR(scope->objects, name, object);
	if (object)
		return object;
	object = calloc(1, sizeof(*object));
	if (!object)
		return NULL;
	object->name = strdup(name);
	if (object->name)
		HASH_ADD_KEYPTR(hh, scope->objects, object->name, strlen(object->name), object);
	if (object->name && !object->hash_add_failed)
		return object;
	free(object->name);
	free(object);
	return NULL;
}

/* Removes the last contributions, so that N are left. */
static void cut_contributions(struct peerset *set, struct scope *scope, struct object *object,
                              size_t n)
{
	for (size_t i = n; i < object->n; i++) {
		peer_union_remove(set->peers, &object->contributions[i]);
		peer_clear(&object->contributions[i].peer);
	}
	scope->n_held -= object->n - n;
	object->n = n;
	object->n_missing = 0;
}

static void object_drop(struct peerset *set, struct scope *scope, struct object *object)
{
	cut_contributions(set, scope, object, 0);
	free(object->contributions);
	HASH_DEL(scope->objects, object);
	free(object->name);
	free(object);
}

/* Takes over what is in the N peers, unless it fails; there is room for MORE. */
static struct contribution *contributions_new(struct peerset *set, const char *object,
                                              struct peer *peers, size_t n, size_t more)
{
	struct contribution *made = calloc(n + more > 0 ? n + more : 1, sizeof(*made));

	if (!made)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		made[i].object = object;
		made[i].member = peer_union_find(set->peers, peers[i].key);
		if (!made[i].member) {
			free(made);
			return NULL;
		}
	}
	for (size_t i = 0; i < n; i++) {
		made[i].peer = peers[i];
		peers[i] = (struct peer){0};
	}
	return made;
}

/* OBJECT has the N contributions MADE now.  During a LIST those that it had and has no more
 * stay, behind them. */
static void exchange(struct peerset *set, struct scope *scope, struct object *object,
                     struct contribution *made, size_t n)
{
	struct contribution *old = object->contributions;
	size_t n_old = object->n, n_kept = 0;

	for (size_t i = 0; i < n_old; i++)
		old[i].missing = true;
	for (size_t i = 0; i < n; i++)
		peer_union_add(set->peers, &made[i]);
	for (size_t i = 0; i < n_old; i++) {
		peer_union_remove(set->peers, &old[i]);
		if (scope->replacing && !peer_union_has(old[i].member, object->name)) {
			made[n + n_kept] = old[i];
			peer_union_add(set->peers, &made[n + n_kept++]);
		} else {
			peer_clear(&old[i].peer);
		}
	}
	free(old);
	object->contributions = made;
	object->n = n + n_kept;
	scope->n_held += object->n - n_old;
	object->n_missing = n_kept;
}

static int put_some(struct peerset *set, struct scope *scope, const char *name, struct peer *peers,
                    size_t n)
{
	struct object *object = object_get(scope, name);
	struct contribution *made;

	if (!object)
		return -1;
	/* Even if memory is out below: the object exists, so what it had stays. */
	object->round = scope->round;
	made = contributions_new(set, object->name, peers, n, scope->replacing ? object->n : 0);
	if (!made)
		return -1;
	exchange(set, scope, object, made, n);
	return 0;
}

/* A LIST under way takes nothing away, not even from an object that it has already: the
 * object that an endpoint was moved to may come later, or never if the LIST breaks off. */
static int put_none(struct peerset *set, struct scope *scope, const char *name)
{
	struct object *object;

	HASH_FIND_STR(scope->objects, name, object);
	if (!object)
		return 0;
	if (scope->replacing)
		return put_some(set, scope, name, NULL, 0);
	object_drop(set, scope, object);
	return 0;
}

int peerset_put(struct peerset *set, unsigned id, const char *object, struct peer *peers, size_t n,
                uint64_t now_ms)
{
	struct scope *scope = scope_get(set, id);
	int result = -1;

	if (scope)
		result = n > 0 ? put_some(set, scope, object, peers, n)
		               : put_none(set, scope, object);
	for (size_t i = 0; i < n; i++)
		peer_clear(&peers[i]);
	if (peer_union_refresh(set->peers, now_ms) != 0)
		result = -1;
	return result;
}

/* Drops the objects of SCOPE that were not put in ROUND, and what is missing in others. */
static void drop_others(struct peerset *set, struct scope *scope, uint64_t round)
{
	struct object *object, *next;

	HASH_ITER (hh, scope->objects, object, next) {
		if (object->round == round)
			cut_contributions(set, scope, object, object->n - object->n_missing);
		if (object->round != round || object->n == 0)
			object_drop(set, scope, object);
	}
}

void peerset_replace_begin(struct peerset *set, unsigned id)
{
	struct scope *scope = scope_find(set, id);

	if (!scope)
		return;
	scope->round++;
	scope->replacing = true;
}

void peerset_replace_end(struct peerset *set, unsigned id, uint64_t now_ms)
{
	struct scope *scope = scope_find(set, id);

	if (scope) {
		drop_others(set, scope, scope->round);
		scope->replacing = false;
	}
	(void)peer_union_refresh(set->peers, now_ms);
}

static void drop_all(struct peerset *set, struct scope *scope)
{
	drop_others(set, scope, scope->round + 1);
	HASH_DEL(set->scopes, scope);
	free(scope);
}

void peerset_drop_scope(struct peerset *set, unsigned id, uint64_t now_ms)
{
	struct scope *scope = scope_find(set, id);

	if (scope)
		drop_all(set, scope);
	(void)peer_union_refresh(set->peers, now_ms);
}

int64_t peerset_settle(struct peerset *set, uint64_t now_ms)
{
	return peer_union_settle(set->peers, now_ms);
}

size_t peerset_held(const struct peerset *set, unsigned id)
{
	const struct scope *scope = scope_find(set, id);

	return scope ? scope->n_held : 0;
}

size_t peerset_count(const struct peerset *set)
{
	return peer_union_count(set->peers);
}

struct peerset *peerset_new(bool prefer_ipv6, peerset_changed_fn *changed, void *arg)
{
	struct peerset *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	set->peers = peer_union_new(prefer_ipv6, changed, arg);
	if (set->peers)
		return set;
	free(set);
	return NULL;
}

void peerset_free(struct peerset *set)
{
	struct scope *scope, *next;

	if (!set)
		return;
	HASH_ITER (hh, set->scopes, scope, next) {
		drop_all(set, scope);
	}
	peer_union_free(set->peers);
	free(set);
}
