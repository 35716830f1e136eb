/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "hash.h"
#include "peer_union.h"

/* All that has one key.  It lives while it has contributions or is shown. */
struct member {
	char *key;
	struct contribution *contributions;
	struct peer *shown; /* what the listener was told last; NULL: nothing yet */

	struct spot *spot; /* of the address shown */
	struct member *spot_prev, *spot_next;

	bool settling;
	uint64_t settled_at_ms;
	struct member *settling_prev, *settling_next;

	bool touched;
	struct member *next_touched;

	UT_hash_handle hh;
	bool hash_add_failed;
};

/* An address and the members shown by it: more than one only while a pod's
 * address is being taken over by another pod. */
struct spot {
	char *address;
	struct member *members;
	UT_hash_handle hh;
	bool hash_add_failed;
};

struct peer_union {
	bool prefer_ipv6;
	peerset_changed_fn *changed;
	void *arg;
	struct member *members;
	struct spot *spots;
	struct member *settling; /* the first due first: all wait equally long */
	struct member *touched;
	size_t n_shown;
};

/* --- which copy of a member is shown ------------------------------------------ */

static bool of_preferred_family(const struct peer_union *u, const struct peer *peer)
{
	return (strchr(peer->address, ':') != NULL) == u->prefer_ipv6;
}

/* Above 0 when A is to be shown rather than B.  The family comes first, so that a
 * pod keeps its address while its copies disagree; the names come last, so that
 * equal copies do not take turns as their objects are rewritten. */
static int compare_contributions(const struct peer_union *u, const struct contribution *a,
                                 const struct contribution *b)
{
	int better = of_preferred_family(u, &a->peer) - of_preferred_family(u, &b->peer);

	if (better == 0)
		better = b->peer.terminating - a->peer.terminating;
	if (better == 0)
		better = a->peer.ready - b->peer.ready;
	if (better == 0)
		better = a->peer.serving - b->peer.serving;
	if (better == 0)
		better = strcmp(b->object, a->object);
	if (better == 0)
		better = strcmp(b->peer.address, a->peer.address);
	return better;
}

static const struct contribution *best_contribution(const struct peer_union *u,
                                                    const struct member *member)
{
	const struct contribution *best = member->contributions, *other;

	DL_FOREACH (member->contributions, other) {
		if (compare_contributions(u, other, best) > 0)
			best = other;
	}
	return best;
}

static bool has_port_name(const struct peer *peer, const char *name)
{
	for (size_t i = 0; i < peer->n_ports; i++)
		if (strcmp(peer->ports[i].name, name) == 0)
			return true;
	return false;
}

static bool add_port(struct peer *peer, const struct peer_port *port)
{
	struct peer_port *ports = realloc(peer->ports, (peer->n_ports + 1) * sizeof(*ports));

	if (!ports)
		return false;
	peer->ports = ports;
	ports[peer->n_ports] = (struct peer_port){strdup(port->name), port->port};
	if (!ports[peer->n_ports].name)
		return false;
	peer->n_ports++;
	return true;
}

static bool add_missing_ports(struct peer *peer, const struct peer *other)
{
	for (size_t i = 0; i < other->n_ports; i++)
		if (!has_port_name(peer, other->ports[i].name) && !add_port(peer, &other->ports[i]))
			return false;
	return true;
}

/* The best copy, with the named ports that only other copies know: a pod may
 * stand behind a Service for its users and one for distribution. */
static struct peer *merge_contributions(const struct member *member,
                                        const struct contribution *best)
{
	struct peer *merged = peer_clone(&best->peer);
	const struct contribution *other;

	if (!merged)
		return NULL;
	DL_FOREACH (member->contributions, other) {
		if (!add_missing_ports(merged, &other->peer)) {
			peer_free(merged);
			return NULL;
		}
	}
	return merged;
}

/* --- members ------------------------------------------------------------------- */

static void member_touch(struct peer_union *u, struct member *member)
{
	if (member->touched)
		return;
	member->touched = true;
	member->next_touched = u->touched;
	u->touched = member;
}

struct member *peer_union_find(struct peer_union *u, const char *key)
{
	struct member *member;

	HASH_FIND_STR(u->members, key, member);
	if (member)
		return member;
	member = calloc(1, sizeof(*member));
	if (!member)
		return NULL;
	member->key = strdup(key);
	if (member->key)
		HASH_ADD_KEYPTR(hh, u->members, member->key, strlen(member->key), member);
	if (!member->key || member->hash_add_failed) {
		free(member->key);
		free(member);
		return NULL;
	}
	member_touch(u, member);
	return member;
}

static void member_free(struct peer_union *u, struct member *member)
{
	HASH_DEL(u->members, member);
	peer_free(member->shown);
	free(member->key);
	free(member);
}

static void stop_settling(struct peer_union *u, struct member *member)
{
	if (member->settling)
		DL_DELETE2(u->settling, member, settling_prev, settling_next);
	member->settling = false;
}

static struct spot *spot_get(struct peer_union *u, const char *address)
{
	struct spot *spot;

	HASH_FIND_STR(u->spots, address, spot);
	if (spot)
		return spot;
	spot = calloc(1, sizeof(*spot));
	if (!spot)
		return NULL;
	spot->address = strdup(address);
	if (spot->address)
		HASH_ADD_KEYPTR(hh, u->spots, spot->address, strlen(spot->address), spot);
	if (spot->address && !spot->hash_add_failed)
		return spot;
	free(spot->address);
	free(spot);
	return NULL;
}

static void spot_free_unused(struct peer_union *u, struct spot *spot)
{
	if (!spot || spot->members)
		return;
	HASH_DEL(u->spots, spot);
	free(spot->address);
	free(spot);
}

static void move_to_spot(struct peer_union *u, struct member *member, struct spot *spot)
{
	struct spot *old = member->spot;

	if (old == spot)
		return;
	if (old)
		DL_DELETE2(old->members, member, spot_prev, spot_next);
	member->spot = spot;
	if (spot)
		DL_APPEND2(spot->members, member, spot_prev, spot_next);
	spot_free_unused(u, old);
}

/* --- telling --------------------------------------------------------------------- */

static int finish_settling(struct peer_union *u, struct member *member);

/* Another member of SPOT than MEMBER that settles, or does not. */
static struct member *other_at_spot(const struct spot *spot, const struct member *member,
                                    bool settling)
{
	struct member *other;

	DL_FOREACH2 (spot->members, other, spot_next) {
		if (other != member && other->settling == settling)
			return other;
	}
	return NULL;
}

/* Takes over PEER. */
static int show(struct peer_union *u, struct member *member, struct peer *peer)
{
	struct peer *before = member->shown;
	struct spot *spot = spot_get(u, peer->address);
	struct member *evicted;
	int result = 0;

	if (!spot) {
		peer_free(peer);
		return -1;
	}
	stop_settling(u, member);
	move_to_spot(u, member, spot);
	while ((evicted = other_at_spot(spot, member, true)) != NULL)
		if (finish_settling(u, evicted) != 0)
			result = -1;
	member->shown = peer;
	if (!before)
		u->n_shown++;
	u->changed(u->arg, before, peer);
	peer_free(before);
	return result;
}

static void withdraw(struct peer_union *u, struct member *member)
{
	struct peer *before = member->shown;

	stop_settling(u, member);
	move_to_spot(u, member, NULL);
	member->shown = NULL;
	if (before) {
		u->n_shown--;
		u->changed(u->arg, before, NULL);
	}
	peer_free(before);
	member_free(u, member);
}

static int show_best(struct peer_union *u, struct member *member, const struct contribution *best)
{
	struct peer *merged = merge_contributions(member, best);

	if (!merged)
		return -1;
	if (!member->shown || !peer_equal(member->shown, merged))
		return show(u, member, merged);
	stop_settling(u, member);
	peer_free(merged);
	return 0;
}

/* What is left of MEMBER is believed now. */
static int finish_settling(struct peer_union *u, struct member *member)
{
	const struct contribution *best = best_contribution(u, member);

	stop_settling(u, member);
	if (best)
		return show_best(u, member, best);
	withdraw(u, member);
	return 0;
}

static int start_settling(struct peer_union *u, struct member *member, uint64_t now_ms)
{
	if (member->settling)
		return 0;
	member->settling = true;
	member->settled_at_ms = now_ms + PEERSET_SETTLE_MS;
	DL_APPEND2(u->settling, member, settling_prev, settling_next);
	if (other_at_spot(member->spot, member, false))
		return finish_settling(u, member);
	return 0;
}

/* Nothing left, or only an address of the other family: that may be half of a
 * change across slices. */
static bool is_loss(const struct peer_union *u, const struct member *member,
                    const struct contribution *best)
{
	return !best || (member->shown && of_preferred_family(u, member->shown) &&
	                 !of_preferred_family(u, &best->peer));
}

static int refresh(struct peer_union *u, struct member *member, uint64_t now_ms)
{
	const struct contribution *best = best_contribution(u, member);

	if (!best && !member->shown) {
		member_free(u, member);
		return 0;
	}
	if (is_loss(u, member, best))
		return start_settling(u, member, now_ms);
	return show_best(u, member, best);
}

/* Losses go first: who took over an address within one object then finds its
 * former holder settling.  Those without contributions go before all others: no
 * member still in a list is freed by an eviction. */
enum turn { TURN_GONE, TURN_LOSS, TURN_REST, N_TURNS };

static enum turn turn_of(const struct peer_union *u, const struct member *member)
{
	const struct contribution *best = best_contribution(u, member);

	return !best ? TURN_GONE : is_loss(u, member, best) ? TURN_LOSS : TURN_REST;
}

int peer_union_refresh(struct peer_union *u, uint64_t now_ms)
{
	struct member *member, *waiting[N_TURNS] = {NULL};
	int result = 0;

	while ((member = u->touched) != NULL) {
		enum turn turn = turn_of(u, member);
		u->touched = member->next_touched;
		member->touched = false;
		member->next_touched = waiting[turn];
		waiting[turn] = member;
	}
	for (unsigned turn = 0; turn < N_TURNS; turn++) {
		while ((member = waiting[turn]) != NULL) {
			waiting[turn] = member->next_touched;
			if (refresh(u, member, now_ms) != 0)
				result = -1;
		}
	}
	return result;
}

void peer_union_add(struct peer_union *u, struct contribution *contribution)
{
	DL_APPEND(contribution->member->contributions, contribution);
	member_touch(u, contribution->member);
}

void peer_union_remove(struct peer_union *u, struct contribution *contribution)
{
	DL_DELETE(contribution->member->contributions, contribution);
	member_touch(u, contribution->member);
}

bool peer_union_has(const struct member *member, const char *object)
{
	const struct contribution *contribution;

	DL_FOREACH (member->contributions, contribution) {
		if (contribution->object == object && !contribution->missing)
			return true;
	}
	return false;
}

int64_t peer_union_settle(struct peer_union *u, uint64_t now_ms)
{
	struct member *first;

	while ((first = u->settling) != NULL) {
		if (first->settled_at_ms > now_ms)
			return (int64_t)(first->settled_at_ms - now_ms);
		(void)finish_settling(u, first);
	}
	return -1;
}

size_t peer_union_count(const struct peer_union *u)
{
	return u->n_shown;
}

struct peer_union *peer_union_new(bool prefer_ipv6, peerset_changed_fn *changed, void *arg)
{
	struct peer_union *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->prefer_ipv6 = prefer_ipv6;
	u->changed = changed;
	u->arg = arg;
	return u;
}

void peer_union_free(struct peer_union *u)
{
	struct member *member, *next;

	if (!u)
		return;
	HASH_ITER (hh, u->members, member, next) {
		move_to_spot(u, member, NULL);
		member_free(u, member);
	}
	free(u);
}
