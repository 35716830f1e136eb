/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <uthash.h>

#include "discovery/chance.h"
#include "discovery/clock.h"
#include "log.h"
#include "own_hosts.h"
#include "peers.h"
#include "proto/nodename.h"
#include "query.h"
#include "target.h"

/* How often a peer is asked for all its names (ERL_EPMD_BASENAME=*). */
#define NAMES_AGAIN_MS 15000
/* When this host's own addresses could not be read. */
#define OWN_AGAIN_MS 200

/* A list of alive names that owns its strings; NULL-terminated. */
struct name_list {
	char **names;
	size_t n;
};

struct peer_entry {
	struct peers *peers;
	char *key; /* of the hash: PEER is replaced when it changes */
	struct peer *peer;
	struct target **targets;
	size_t n_targets;
	bool unnamed; /* that no name can be built was said */
	bool waiting; /* until it is known whether its address is ours */
	/* ERL_EPMD_BASENAME=*: asking for its names */
	struct event *names_timer;
	struct query *names_query;
	UT_hash_handle hh;
};

struct peers {
	struct event_base *base;
	struct registry *registry;
	const struct cluster *cluster;
	struct target_context context;
	struct peer_entry *entries; /* by peer key */
	struct name_list local;     /* names of local visible nodes, when those count */
	struct event *local_changed;
	struct registry_watcher watcher;
	struct own_hosts own;
	struct event *own_timer; /* some entries wait */
	struct peers_events events;
};

static void ask_names(evutil_socket_t fd, short what, void *arg);

/* --- lists of names --------------------------------------------------------------------- */

static void name_list_clear(struct name_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->names[i]);
	free(list->names);
	*list = (struct name_list){0};
}

static bool has_name(char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

/* Adds a copy of NAME if it can be an alive name and is not there yet. */
static void name_list_add(struct name_list *list, struct wire_bytes name)
{
	char *copy = strndup((const char *)name.at, name.len);

	if (!copy || !nodename_alive_ok(copy) || has_name(list->names, copy)) {
		free(copy);
		return;
	}
	char **names = realloc(list->names, (list->n + 2) * sizeof(*names));
	if (!names) {
		free(copy);
		return;
	}
	names[list->n++] = copy;
	names[list->n] = NULL;
	list->names = names;
}

/* --- telling of nodes ---------------------------------------------------------------------- */

static struct peer_node node_of(const struct peer_entry *entry, struct target *target)
{
	return (struct peer_node){
	    .target = target,
	    .name = target_name(target),
	    .label = target_label(target),
	    .peer = entry->peer,
	    .port = target_port(target),
	    .reason = target_reason(target),
	};
}

/* Whose port the registry shows for NAME, or NULL.  Several peers may give one name: an
 * address that two slices have, or one that goes from pod to pod. */
static struct target *holder_of(const struct peers *peers, const char *name)
{
	const struct wire_bytes bytes = {(const uint8_t *)name, strlen(name)};

	return registry_discovered_owner(peers->registry, bytes);
}

static void tell_of(const struct peers *peers, struct target *target)
{
	const struct peers_events *events = &peers->events;
	const struct peer_node node = node_of(target_owner(target), target);

	if (events->node_changed)
		events->node_changed(events->arg, &node);
}

/* Tells of the name of TARGET: whoever holds it stands for it. */
static void tell_changed(const struct peer_entry *entry, struct target *target)
{
	struct target *holder = holder_of(entry->peers, target_name(target));

	tell_of(entry->peers, holder ? holder : target);
}

static void on_port_changed(void *owner, struct target *target)
{
	tell_changed(owner, target);
}

void peers_each_node(const struct peers *peers, peers_node_fn *fn, void *arg)
{
	for (const struct peer_entry *entry = peers->entries; entry; entry = entry->hh.next) {
		for (size_t i = 0; i < entry->n_targets; i++) {
			const struct peer_node node = node_of(entry, entry->targets[i]);
			fn(arg, &node);
		}
	}
}

void peers_watch(struct peers *peers, const struct peers_events *events)
{
	peers->events = events ? *events : (struct peers_events){0};
	if (events)
		peers_each_node(peers, events->node_changed, events->arg);
}

/* --- the targets of one peer -------------------------------------------------------------- */

static void drop_target(const struct peer_entry *entry, struct target *target)
{
	const struct peers_events *events = &entry->peers->events;
	const struct peer_node node = node_of(entry, target);
	char name[NODENAME_SIZE];

	snprintf(name, sizeof(name), "%s", target_name(target));
	if (events->node_gone)
		events->node_gone(events->arg, &node);
	target_free(target);
	struct target *heir = holder_of(entry->peers, name);
	if (!heir)
		return;
	/* What it was told of links may be old. */
	target_set_connected(heir, false);
	tell_of(entry->peers, heir);
}

static struct target *find_target(const struct peer_entry *entry, const char *alive)
{
	for (size_t i = 0; i < entry->n_targets; i++)
		if (strcmp(target_alive(entry->targets[i]), alive) == 0)
			return entry->targets[i];
	return NULL;
}

static void drop_targets_except(struct peer_entry *entry, char *const *names)
{
	size_t kept = 0;

	for (size_t i = 0; i < entry->n_targets; i++) {
		if (has_name(names, target_alive(entry->targets[i])))
			entry->targets[kept++] = entry->targets[i];
		else
			drop_target(entry, entry->targets[i]);
	}
	entry->n_targets = kept;
}

static void say_unnamed(struct peer_entry *entry, const char *why)
{
	if (entry->unnamed)
		return;
	entry->unnamed = true;
	log_warning("peer %s (pod %s): no node name: %s", entry->peer->address,
	            entry->peer->pod ? entry->peer->pod : "?", why);
}

static void add_target(struct peer_entry *entry, const char *alive)
{
	struct peers *peers = entry->peers;
	char name[NODENAME_SIZE];
	const char *why;

	if (!peername_build(&peers->cluster->peername, entry->peer, alive, name, &why)) {
		say_unnamed(entry, why);
		return;
	}
	struct target **targets =
	    realloc(entry->targets, (entry->n_targets + 1) * sizeof(*targets));
	if (targets)
		entry->targets = targets;
	struct target *target = targets ? target_new(&peers->context, entry->peer, alive, name,
	                                             peers->cluster->every_basename, entry)
	                                : NULL;
	if (!target) {
		log_error("%s: no memory to look for its port", name);
		return;
	}
	entry->targets[entry->n_targets++] = target;
	tell_changed(entry, target);
}

/* Looks for NAMES (NULL-terminated, or NULL for none) on the peer, and no others. */
static void set_names(struct peer_entry *entry, char *const *names)
{
	drop_targets_except(entry, names);
	for (; names && *names; names++)
		if (!find_target(entry, *names))
			add_target(entry, *names);
}

/* --- ERL_EPMD_BASENAME=*: asking the peer for its names --------------------------------------- */

static void ask_names_in(struct peer_entry *entry, uint64_t ms)
{
	struct timeval delay = clock_delay(ms);

	event_add(entry->names_timer, &delay);
}

static void on_names(void *arg, const uint8_t *bytes, size_t len, const char *error)
{
	struct peer_entry *entry = arg;
	struct epmd_names_walk walk;
	struct name_list list = {0};
	struct wire_bytes name;
	uint16_t port;

	entry->names_query = NULL;
	ask_names_in(entry, NAMES_AGAIN_MS + chance_below(NAMES_AGAIN_MS));
	if (error || !epmd_names_walk_start(&walk, bytes, len)) {
		log_debug("peer %s: its epmd does not tell its names: %s", entry->peer->address,
		          error ? error : "what answers there is no epmd");
		return;
	}
	while (epmd_names_walk_next(&walk, &name, &port))
		name_list_add(&list, name);
	set_names(entry, list.names);
	name_list_clear(&list);
}

static void ask_names(evutil_socket_t fd, short what, void *arg)
{
	struct peer_entry *entry = arg;
	const struct epmd_request request = {.code = EPMD_NAMES_REQ};
	struct sockaddr_any address;

	(void)fd;
	(void)what;
	if (entry->names_query ||
	    !sockaddr_parse(entry->peer->address, entry->peers->context.epmd_port, &address))
		return;
	entry->names_query = query_start(entry->peers->base, &address, &request, on_names, entry);
	if (!entry->names_query)
		ask_names_in(entry, NAMES_AGAIN_MS);
}

/* --- the peers ---------------------------------------------------------------------------- */

/* The names that every peer is looked at for. */
static char *const *common_names(const struct peers *peers)
{
	return peers->cluster->basenames ? peers->cluster->basenames : peers->local.names;
}

static void free_entry(struct peer_entry *entry)
{
	drop_targets_except(entry, NULL);
	free(entry->targets);
	if (entry->names_timer)
		event_free(entry->names_timer);
	query_cancel(entry->names_query);
	peer_free(entry->peer);
	free(entry->key);
	free(entry);
}

static const char *pod_of(const struct peer_entry *entry)
{
	return entry->peer->pod ? entry->peer->pod : "?";
}

static void forget_entry(struct peers *peers, struct peer_entry *entry)
{
	HASH_DEL(peers->entries, entry);
	free_entry(entry);
}

static void remove_entry(struct peers *peers, struct peer_entry *entry)
{
	if (!entry->waiting)
		log_info("peer %s (pod %s) is gone", entry->peer->address, pod_of(entry));
	forget_entry(peers, entry);
}

static struct peer_entry *new_entry(struct peers *peers, const struct peer *peer)
{
	struct peer_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->peers = peers;
	entry->key = strdup(peer->key);
	entry->peer = peer_clone(peer);
	entry->names_timer = evtimer_new(peers->base, ask_names, entry);
	if (entry->key && entry->peer && entry->names_timer)
		return entry;
	free_entry(entry);
	return NULL;
}

/* Begins to look for its nodes. */
static void begin(struct peer_entry *entry)
{
	const struct peers *peers = entry->peers;

	log_info("peer %s (pod %s)%s", entry->peer->address, pod_of(entry),
	         entry->peer->terminating ? " is terminating" : "");
	if (peers->cluster->every_basename)
		ask_names_in(entry, 0);
	else
		set_names(entry, common_names(peers));
}

static bool some_wait(const struct peers *peers)
{
	return event_pending(peers->own_timer, EV_TIMEOUT, NULL);
}

static void wait_for_own(struct peers *peers)
{
	const struct timeval delay = clock_delay(OWN_AGAIN_MS);

	if (!some_wait(peers) && event_add(peers->own_timer, &delay) < 0)
		log_error("no memory to look for new peers");
}

/* Were it not left out, this host would be its own peer. */
static void admit(struct peer_entry *entry)
{
	struct peers *peers = entry->peers;
	enum own_verdict own = own_hosts_ask(&peers->own, entry->peer->address, clock_now_ms());

	entry->waiting = own == OWN_UNKNOWN;
	if (own == OWN_NO) {
		begin(entry);
	} else if (own == OWN_UNKNOWN) {
		wait_for_own(peers);
	} else {
		log_debug("peer %s is this host", entry->peer->address);
		forget_entry(peers, entry);
	}
}

static void admit_new(struct peers *peers, struct peer_entry *entry)
{
	bool said = some_wait(peers);

	admit(entry);
	if (!said && some_wait(peers))
		log_warning("this host's own addresses cannot be read (%s), so new peers wait: "
		            "raise the limit of open files (ulimit -n) or of memory",
		            strerror(peers->own.error));
}

static void admit_waiting(evutil_socket_t fd, short what, void *arg)
{
	struct peers *peers = arg;
	struct peer_entry *entry, *next;

	(void)fd;
	(void)what;
	HASH_ITER (hh, peers->entries, entry, next)
		if (entry->waiting)
			admit(entry);
}

static void add_entry(struct peers *peers, const struct peer *peer)
{
	struct peer_entry *entry = new_entry(peers, peer);

	if (!entry) {
		log_error("peer %s: no memory for it", peer->address);
		return;
	}
	HASH_ADD_KEYPTR(hh, peers->entries, entry->key, strlen(entry->key), entry);
	admit_new(peers, entry);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* What a node's name and the way to it are made of. */
static bool same_place(const struct peer *a, const struct peer *b)
{
	return same_text(a->address, b->address) && same_text(a->namespace_, b->namespace_) &&
	       same_text(a->service, b->service) && same_text(a->hostname, b->hostname) &&
	       same_text(a->pod, b->pod);
}

static void update_entry(struct peer_entry *entry, const struct peer *after)
{
	bool doubt = entry->peer->ready != after->ready || entry->peer->serving != after->serving ||
	             entry->peers->cluster->dist_name != NULL;
	struct peer *copy = peer_clone(after);

	if (!copy) {
		log_error("peer %s: no memory for its change", after->address);
		return;
	}
	peer_free(entry->peer);
	entry->peer = copy;
	/* A container that starts again keeps its address and changes its port. */
	for (size_t i = 0; i < entry->n_targets; i++) {
		if (doubt)
			target_doubt(entry->targets[i], copy);
		tell_changed(entry, entry->targets[i]);
	}
}

void peers_changed(struct peers *peers, const struct peer *before, const struct peer *after)
{
	const char *key = (after ? after : before)->key;
	struct peer_entry *entry;

	HASH_FIND_STR(peers->entries, key, entry);
	if (entry && after && same_place(entry->peer, after)) {
		update_entry(entry, after);
		return;
	}
	if (entry)
		remove_entry(peers, entry);
	if (after)
		add_entry(peers, after);
}

/* --- names of local nodes ----------------------------------------------------------------- */

static void add_visible(void *arg, const struct local_view *view)
{
	if (view->node.type == EPMD_NODE_VISIBLE)
		name_list_add(arg, view->node.name);
}

static void read_local_names(evutil_socket_t fd, short what, void *arg)
{
	struct peers *peers = arg;
	struct peer_entry *entry, *next;

	(void)fd;
	(void)what;
	name_list_clear(&peers->local);
	registry_each_local(peers->registry, false, add_visible, &peers->local);
	HASH_ITER (hh, peers->entries, entry, next)
		if (!entry->waiting)
			set_names(entry, peers->local.names);
}

/* Deferred, for it is told from within a client's request. */
static void on_registry_change(void *arg)
{
	const struct peers *peers = arg;

	event_active(peers->local_changed, EV_TIMEOUT, 1);
}

/* --- life ---------------------------------------------------------------------------------- */

struct peers *peers_new(struct event_base *base, struct registry *registry,
                        const struct cluster *cluster, uint16_t epmd_port)
{
	struct peers *peers = calloc(1, sizeof(*peers));

	if (!peers)
		return NULL;
	peers->base = base;
	peers->registry = registry;
	peers->cluster = cluster;
	peers->context = (struct target_context){
	    .base = base,
	    .registry = registry,
	    .epmd_port = epmd_port,
	    .dist_port = cluster->dist_port,
	    .dist_name = cluster->dist_name,
	    .port_changed = on_port_changed,
	};
	peers->local_changed = evtimer_new(base, read_local_names, peers);
	peers->own_timer = evtimer_new(base, admit_waiting, peers);
	if (!peers->local_changed || !peers->own_timer) {
		peers_free(peers);
		return NULL;
	}
	if (!cluster->basenames && !cluster->every_basename) {
		peers->watcher =
		    (struct registry_watcher){.local_changed = on_registry_change, .arg = peers};
		registry_watch(registry, &peers->watcher);
	}
	return peers;
}

void peers_free(struct peers *peers)
{
	struct peer_entry *entry, *next;

	if (!peers)
		return;
	if (peers->watcher.local_changed)
		registry_unwatch(peers->registry, &peers->watcher);
	HASH_ITER (hh, peers->entries, entry, next) {
		HASH_DEL(peers->entries, entry);
		free_entry(entry);
	}
	name_list_clear(&peers->local);
	own_hosts_clear(&peers->own);
	if (peers->local_changed)
		event_free(peers->local_changed);
	if (peers->own_timer)
		event_free(peers->own_timer);
	free(peers);
}
