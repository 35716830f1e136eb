/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <utlist.h>

#include "discovery/chance.h"
#include "discovery/clock.h"
#include "epmd/join/join.h"
#include "epmd/join/local.h"
#include "epmd/join/mesh.h"
#include "epmd/join/remote.h"
#include "epmd/log.h"
#include "epmd/target.h"

/* No host has so many Erlang nodes that shall all join; what registers more is no such
 * node, and must not cost the others anything. */
#define MEMBERS_MAX 64
/* The registry is read at most so often. */
#define READ_AGAIN_MS 20

/* OTP, "Distribution Protocol": creations below 4 are those of old nodes. */
#define CREATION_MIN 4

/* A local node that shall join. */
struct member {
	struct join *join;
	struct local *local;
	struct mesh *mesh;
	bool registered; /* found while reading the registry */
	struct member *prev, *next;
};

struct join {
	struct event_base *base;
	struct registry *registry;
	struct peers *peers;
	const struct cluster *cluster;
	struct local_settings local_settings;
	struct mesh_settings mesh_settings;
	struct remotes *remotes;
	struct member *members;
	struct event *registry_changed;
	struct registry_watcher watcher;
	uint64_t read_ms;
	size_t n_members;
	bool too_many; /* was said */
	bool on;
};

/* --- local nodes -------------------------------------------------------------------------- */

static void free_member(struct member *member)
{
	DL_DELETE(member->join->members, member);
	member->join->n_members--;
	mesh_free(member->mesh);
	local_free(member->local);
	free(member);
}

static void on_ready(void *arg, struct local *local)
{
	struct member *member = arg;
	struct nodename halves;

	if (nodename_split(local_facts(local)->name, &halves))
		remotes_set_host(member->join->remotes, halves.host);
	mesh_start(member->mesh);
}

static void on_unready(void *arg, struct local *local)
{
	struct member *member = arg;

	(void)local;
	mesh_stop(member->mesh);
}

static bool is_joined_by_any(const struct join *join, const struct remote *remote)
{
	const char *reason;

	for (const struct member *member = join->members; member; member = member->next)
		if (mesh_outcome(member->mesh, remote, &reason) == PAIR_JOINED)
			return true;
	return false;
}

/* A peer that is connected need not be asked for its port; one that was is asked at
 * once. */
static void on_connected(void *arg, const struct remote *remote, bool connected)
{
	const struct member *member = arg;

	target_set_connected(remote->target, connected || is_joined_by_any(member->join, remote));
}

static void add_member(struct join *join, const struct local_registration *registration)
{
	struct member *member = calloc(1, sizeof(*member));

	if (member) {
		const struct local_events events = {
		    .ready = on_ready, .unready = on_unready, .arg = member};
		member->join = join;
		member->registered = true;
		DL_APPEND(join->members, member);
		join->n_members++;
		member->local = local_new(&join->local_settings, registration, &events);
		if (member->local)
			member->mesh =
			    mesh_new(&join->mesh_settings, member->local, on_connected, member);
	}
	if (member && member->mesh)
		return;
	log_error("%s: no memory to join its peers", registration->alive);
	if (member)
		free_member(member);
}

/* The names that count: those that are looked for on peers. */
bool join_is_basename(const struct cluster *cluster, const char *alive)
{
	if (!cluster->basenames)
		return true;
	for (char *const *name = cluster->basenames; *name; name++)
		if (strcmp(*name, alive) == 0)
			return true;
	return false;
}

static struct member *find_member(const struct join *join,
                                  const struct local_registration *registration)
{
	for (struct member *member = join->members; member; member = member->next) {
		const struct local_registration *known = local_registration(member->local);
		if (known->creation == registration->creation &&
		    known->port == registration->port &&
		    strcmp(known->alive, registration->alive) == 0)
			return member;
	}
	return NULL;
}

static void on_local(void *arg, const struct local_view *view)
{
	struct join *join = arg;
	struct local_registration registration = {
	    .port = view->node.port, .creation = view->creation, .fd = view->fd};

	if (view->node.type != EPMD_NODE_VISIBLE ||
	    view->node.name.len >= sizeof(registration.alive))
		return;
	memcpy(registration.alive, view->node.name.at, view->node.name.len);
	if (!join_is_basename(join->cluster, registration.alive))
		return;
	struct member *member = find_member(join, &registration);
	if (member)
		member->registered = true;
	else if (join->n_members < MEMBERS_MAX)
		add_member(join, &registration);
	else if (!join->too_many)
		log_warning(
		    "%s: more than %d local nodes: not joining the peers of this one and of "
		    "others (set ERL_EPMD_BASENAME to the names that shall)",
		    registration.alive, MEMBERS_MAX);
	join->too_many = join->n_members >= MEMBERS_MAX;
}

static void read_registry(evutil_socket_t fd, short what, void *arg)
{
	struct join *join = arg;
	struct member *member, *next;

	(void)fd;
	(void)what;
	join->read_ms = clock_now_ms();
	DL_FOREACH (join->members, member)
		member->registered = false;
	if (join->on)
		registry_each_local(join->registry, false, on_local, join);
	DL_FOREACH_SAFE (join->members, member, next)
		if (!member->registered)
			free_member(member);
}

/* Deferred, for it is told from within a client's request. */
static void on_registry_changed(void *arg)
{
	const struct join *join = arg;
	uint64_t since = clock_now_ms() - join->read_ms;
	const struct timeval delay = clock_delay(since < READ_AGAIN_MS ? READ_AGAIN_MS - since : 0);

	if (!evtimer_pending(join->registry_changed, NULL))
		event_add(join->registry_changed, &delay);
}

/* --- peers' nodes --------------------------------------------------------------------------- */

typedef void mesh_fn(struct mesh *mesh, struct remote *remote);

static void tell(const struct join *join, mesh_fn *fn, struct remote *remote)
{
	for (const struct member *member = join->members; member; member = member->next)
		fn(member->mesh, remote);
}

static void on_renewed(void *arg, struct remote *remote)
{
	tell(arg, mesh_renewed, remote);
}

static void on_changed(void *arg, struct remote *remote)
{
	tell(arg, mesh_changed, remote);
}

static void on_removed(void *arg, struct remote *remote)
{
	tell(arg, mesh_removed, remote);
}

static void on_looked(void *arg, struct remote *remote, const struct look_result *seen)
{
	const struct join *join = arg;

	for (const struct member *member = join->members; member; member = member->next)
		mesh_looked(member->mesh, remote, seen);
}

static void on_node_changed(void *arg, const struct peer_node *node)
{
	const struct join *join = arg;

	remotes_changed(join->remotes, node);
}

static void on_node_gone(void *arg, const struct peer_node *node)
{
	const struct join *join = arg;

	remotes_gone(join->remotes, node);
}

/* --- life ----------------------------------------------------------------------------------- */

static void switch_to(struct join *join, bool on)
{
	if (join->on == on)
		return;
	join->on = on;
	log_info("joining is %s", !on                           ? "off: nodes are left alone"
	                          : join->mesh_settings.initial ? "initial: each pair once"
	                                                        : "on");
	read_registry(-1, 0, join);
}

void join_switch(struct join *join, bool on)
{
	join->local_settings.demanded |= on;
	/* Who says on at run time wants what is missing to be dialled now. */
	if (on && join->mesh_settings.initial) {
		join->mesh_settings.initial = false;
		switch_to(join, false);
	}
	switch_to(join, on);
}

bool join_is_on(const struct join *join)
{
	return join->on;
}

const struct local *join_find_local(const struct join *join, const char *alive, uint32_t creation)
{
	for (const struct member *member = join->members; member; member = member->next) {
		const struct local_registration *known = local_registration(member->local);
		if (known->creation == creation && strcmp(known->alive, alive) == 0)
			return member->local;
	}
	return NULL;
}

uint64_t join_trouble_ms(const struct join *join, const char *name)
{
	const struct remote *remote = remotes_find(join->remotes, name, strlen(name));
	uint64_t since = clock_now_ms();
	const char *reason;

	for (const struct member *member = join->members; member && remote; member = member->next) {
		if (mesh_outcome(member->mesh, remote, &reason) == PAIR_JOINED)
			continue;
		since = mesh_trouble_ms(member->mesh, remote);
		break;
	}
	return since;
}

enum pair_outcome join_outcome(const struct join *join, const char *name, const char **reason)
{
	const struct remote *remote = remotes_find(join->remotes, name, strlen(name));
	enum pair_outcome outcome = PAIR_UNTRIED;

	*reason = join->on ? "no local node to join it with" : "joining is off";
	for (const struct member *member = join->members; member && remote; member = member->next) {
		outcome = mesh_outcome(member->mesh, remote, reason);
		if (!local_is_ready(member->local))
			*reason = local_reason(member->local);
		/* Of several local nodes the one in trouble counts. */
		if (outcome != PAIR_JOINED)
			break;
	}
	return outcome;
}

struct join *join_new(struct event_base *base, struct registry *registry, struct peers *peers,
                      const struct cluster *cluster)
{
	struct join *join = calloc(1, sizeof(*join));

	if (!join)
		return NULL;
	const struct remotes_events remotes_events = {.renewed = on_renewed,
	                                              .changed = on_changed,
	                                              .removed = on_removed,
	                                              .looked = on_looked,
	                                              .arg = join};
	const struct peers_events peers_events = {
	    .node_changed = on_node_changed, .node_gone = on_node_gone, .arg = join};
	uint32_t creation = CREATION_MIN + chance_below(UINT32_MAX - CREATION_MIN);

	join->base = base;
	join->registry = registry;
	join->peers = peers;
	join->cluster = cluster;
	join->local_settings = (struct local_settings){
	    .base = base,
	    .cookie_file = cluster->cookie_file,
	    .creation = creation,
	    .when_registered = cluster->join_when_registered,
	    .demanded = cluster->join_demanded,
	};
	join->remotes = remotes_new(base, creation, &remotes_events);
	join->mesh_settings = (struct mesh_settings){
	    .base = base, .remotes = join->remotes, .initial = cluster->join == JOIN_INITIAL};
	join->registry_changed = evtimer_new(base, read_registry, join);
	if (!join->remotes || !join->registry_changed) {
		join_free(join);
		return NULL;
	}
	join->watcher =
	    (struct registry_watcher){.local_changed = on_registry_changed, .arg = join};
	registry_watch(registry, &join->watcher);
	peers_watch(peers, &peers_events);
	switch_to(join, cluster->join != JOIN_OFF);
	return join;
}

void join_free(struct join *join)
{
	struct member *member, *next;

	if (!join)
		return;
	if (join->watcher.local_changed) {
		registry_unwatch(join->registry, &join->watcher);
		peers_watch(join->peers, NULL);
	}
	DL_FOREACH_SAFE (join->members, member, next)
		free_member(member);
	remotes_free(join->remotes);
	if (join->registry_changed)
		event_free(join->registry_changed);
	free(join);
}
