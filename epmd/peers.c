/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "crowd.h"
#include "discovery/clock.h"
#include "discovery/hash.h"
#include "log.h"
#include "name_list.h"
#include "names_poll.h"
#include "own_hosts.h"
#include "peers.h"
#include "proto/nodename.h"
#include "target.h"

/* When this host's own addresses could not be read. */
#define OWN_AGAIN_MS 200
/* Local nodes come in bursts. */
#define LOCAL_SETTLE_MS 50

struct peer_entry {
	struct peers *peers;
	char *key; /* of the hash: PEER is replaced when it changes */
	struct peer *peer;
	struct target **targets; /* sorted by alive name */
	size_t n_targets;
	const char *unnamed; /* why no name can be built, once that was said */
	bool waiting; /* until it is known whether its address is ours */
	bool own;     /* it is: it stays for peers_own alone */
	struct names_poll *names_poll; /* ERL_EPMD_BASENAME=* */
	UT_hash_handle hh;
	bool hash_add_failed;
};

struct peers {
	struct event_base *base;
	struct registry *registry;
	const struct cluster *cluster;
	struct crowd crowd;
	struct target_context context;
	struct peer_entry *entries; /* by peer key */
	struct name_list names;     /* that every peer is looked at for */
	struct event *local_changed;
	bool said_many; /* that there are more local names than are looked for */
	struct registry_watcher watcher;
	struct own_hosts own;
	struct event *own_timer; /* some entries wait */
	struct peers_events events;
};

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
	    .trouble = target_trouble(target),
	    .trouble_ms = target_trouble_ms(target),
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

static void tell_each(void *arg, const struct peer_node *node)
{
	(void)arg;
	tell_changed(target_owner(node->target), node->target);
}

static void on_port_changed(void *owner, struct target *target)
{
	tell_changed(owner, target);
}

void peers_each(const struct peers *peers, peers_peer_fn *fn, void *arg)
{
	for (const struct peer_entry *entry = peers->entries; entry; entry = entry->hh.next)
		if (!entry->waiting && !entry->own)
			fn(arg, entry->peer);
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
		peers_each_node(peers, tell_each, NULL);
}

/* --- the targets of one peer -------------------------------------------------------------- */

static void drop_target(const struct peer_entry *entry, struct target *target)
{
	const struct peers_events *events = &entry->peers->events;
	const struct peer_node node = node_of(entry, target);
	const struct target *holder = holder_of(entry->peers, node.name);
	char name[NODENAME_SIZE];

	snprintf(name, sizeof(name), "%s", node.name);
	/* Unless another stands for the name. */
	if (events->node_gone && (!holder || holder == target))
		events->node_gone(events->arg, &node);
	target_free(target);
	struct target *heir = holder_of(entry->peers, name);
	if (!heir || heir == holder)
		return;
	/* What it was told of links may be old. */
	target_set_connected(heir, false);
	tell_of(entry->peers, heir);
}

static int compare_targets(const void *a, const void *b)
{
	struct target *const *left = a, *const *right = b;

	return strcmp(target_alive(*left), target_alive(*right));
}

static int compare_alive(const void *alive, const void *item)
{
	struct target *const *target = item;

	return strcmp(alive, target_alive(*target));
}

/* Among the first N targets. */
static bool has_target(const struct peer_entry *entry, size_t n, const char *alive)
{
	return n && bsearch(alive, entry->targets, n, sizeof(struct target *), compare_alive);
}

static void drop_targets_except(struct peer_entry *entry, const struct name_list *names)
{
	size_t kept = 0;

	for (size_t i = 0; i < entry->n_targets; i++) {
		if (name_list_has(names, target_alive(entry->targets[i])))
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
	entry->unnamed = why;
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
	    realloc(entry->targets, (entry->n_targets + 1) * sizeof(struct target *));
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

/* Looks for NAMES on the peer, and no others. */
static void set_names(struct peer_entry *entry, const struct name_list *names)
{
	drop_targets_except(entry, names);
	size_t kept = entry->n_targets;
	for (size_t i = 0; i < names->n; i++)
		if (!has_target(entry, kept, names->names[i]))
			add_target(entry, names->names[i]);
	if (entry->n_targets)
		qsort(entry->targets, entry->n_targets, sizeof(struct target *), compare_targets);
}

static void on_names(void *arg, const struct name_list *names)
{
	set_names(arg, names);
}

/* --- the peers ---------------------------------------------------------------------------- */

static void free_entry(struct peer_entry *entry)
{
	static const struct name_list none;

	drop_targets_except(entry, &none);
	free(entry->targets);
	names_poll_free(entry->names_poll);
	peer_free(entry->peer);
	free(entry->key);
	free(entry);
}

static const char *pod_of(const struct peer_entry *entry)
{
	return entry->peer->pod ? entry->peer->pod : "?";
}

static void remove_entry(struct peers *peers, struct peer_entry *entry)
{
	if (!entry->waiting && !entry->own)
		log_info("peer %s (pod %s) is gone", entry->peer->address, pod_of(entry));
	HASH_DEL(peers->entries, entry);
	free_entry(entry);
}

static struct peer_entry *new_entry(struct peers *peers, const struct peer *peer)
{
	struct peer_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->peers = peers;
	entry->key = strdup(peer->key);
	entry->peer = peer_clone(peer);
	if (entry->key && entry->peer)
		return entry;
	free_entry(entry);
	return NULL;
}

/* Begins to look for its nodes. */
static void begin(struct peer_entry *entry)
{
	struct peers *peers = entry->peers;

	log_info("peer %s (pod %s)%s", entry->peer->address, pod_of(entry),
	         entry->peer->terminating ? " is terminating" : "");
	if (!peers->cluster->every_basename) {
		set_names(entry, &peers->names);
		return;
	}
	entry->names_poll = names_poll_new(peers->base, &peers->crowd, entry->peer->address,
	                                   peers->context.epmd_port, on_names, entry);
	if (!entry->names_poll)
		log_error("peer %s: no memory to ask for its names", entry->peer->address);
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

bool peers_is_own_address(void *arg, const char *address)
{
	struct peers *peers = arg;

	return own_hosts_ask(&peers->own, address, clock_now_ms()) == OWN_YES;
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
		entry->own = true;
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

	if (entry)
		HASH_ADD_KEYPTR(hh, peers->entries, entry->key, strlen(entry->key), entry);
	if (entry && !entry->hash_add_failed) {
		admit_new(peers, entry);
		return;
	}
	log_error("peer %s: no memory for it", peer->address);
	if (entry)
		free_entry(entry);
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

size_t peers_unnamed(const struct peers *peers, const struct peer **peer, const char **why)
{
	size_t n = 0;

	for (const struct peer_entry *entry = peers->entries; entry; entry = entry->hh.next) {
		if (!entry->unnamed)
			continue;
		*peer = entry->peer;
		*why = entry->unnamed;
		n++;
	}
	return n;
}

const struct peer *peers_own(const struct peers *peers)
{
	for (const struct peer_entry *entry = peers->entries; entry; entry = entry->hh.next)
		if (entry->own)
			return entry->peer;
	return NULL;
}

void peers_changed(struct peers *peers, const struct peer *before, const struct peer *after)
{
	const char *key = (after ? after : before)->key;
	struct peer_entry *entry;

	HASH_FIND_STR(peers->entries, key, entry);
	if (entry && after && !entry->own && same_place(entry->peer, after)) {
		update_entry(entry, after);
		return;
	}
	if (entry)
		remove_entry(peers, entry);
	if (after)
		add_entry(peers, after);
}

/* --- names of local nodes ----------------------------------------------------------------- */

/* What is read from the registry. */
struct reading {
	struct name_list names;
	size_t n_visible;
	bool failed;
};

static void add_name(struct reading *reading, struct wire_bytes name)
{
	if (reading->names.n < NAME_LIST_MAX && name_list_add(&reading->names, name) < 0)
		reading->failed = true;
}

static void add_visible(void *arg, const struct local_view *view)
{
	struct reading *reading = arg;

	if (view->node.type != EPMD_NODE_VISIBLE)
		return;
	reading->n_visible++;
	add_name(reading, view->node.name);
}

/* Names that are looked for already come first: no newcomer takes their place. */
static void add_known(const struct peers *peers, struct reading *reading)
{
	for (size_t i = 0; i < peers->names.n; i++) {
		const char *text = peers->names.names[i];
		const struct wire_bytes name = {(const uint8_t *)text, strlen(text)};
		const struct epmd_node *node = registry_find(peers->registry, name);
		if (node && node->type == EPMD_NODE_VISIBLE)
			add_name(reading, name);
	}
}

static void say_many(struct peers *peers, bool too_many)
{
	if (too_many && !peers->said_many)
		log_warning("more than %d local nodes: peers are not looked at for all their "
		            "names: set ERL_EPMD_BASENAME to those that matter",
		            NAME_LIST_MAX);
	peers->said_many = too_many;
}

/* Takes over NAMES. */
static void look_for(struct peers *peers, struct name_list *names)
{
	struct peer_entry *entry, *next;

	name_list_clear(&peers->names);
	peers->names = *names;
	HASH_ITER (hh, peers->entries, entry, next)
		if (!entry->waiting && !entry->own)
			set_names(entry, &peers->names);
}

static void read_local_names(evutil_socket_t fd, short what, void *arg)
{
	struct peers *peers = arg;
	struct reading reading = {0};

	(void)fd;
	(void)what;
	add_known(peers, &reading);
	registry_each_local(peers->registry, false, add_visible, &reading);
	say_many(peers, reading.n_visible > NAME_LIST_MAX);
	if (reading.failed)
		log_error("no memory for the names of local nodes");
	if (reading.failed || name_list_equal(&reading.names, &peers->names))
		name_list_clear(&reading.names);
	else
		look_for(peers, &reading.names);
}

/* Deferred, for it is told from within a client's request. */
static void on_registry_change(void *arg)
{
	const struct peers *peers = arg;
	const struct timeval delay = clock_delay(LOCAL_SETTLE_MS);

	if (!event_pending(peers->local_changed, EV_TIMEOUT, NULL) &&
	    event_add(peers->local_changed, &delay) < 0)
		log_error("no memory to look for the names of local nodes");
}

/* --- life ---------------------------------------------------------------------------------- */

static int read_basenames(struct peers *peers, char *const *basenames)
{
	int result = 0;

	for (; basenames && *basenames && result == 0; basenames++) {
		const struct wire_bytes name = {(const uint8_t *)*basenames, strlen(*basenames)};
		result = name_list_add(&peers->names, name);
	}
	return result;
}

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
	    .crowd = &peers->crowd,
	    .registry = registry,
	    .epmd_port = epmd_port,
	    .dist_port = cluster->dist_port,
	    .dist_name = cluster->dist_name,
	    .port_changed = on_port_changed,
	};
	peers->local_changed = evtimer_new(base, read_local_names, peers);
	peers->own_timer = evtimer_new(base, admit_waiting, peers);
	if (!peers->local_changed || !peers->own_timer ||
	    read_basenames(peers, cluster->basenames) < 0) {
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
	name_list_clear(&peers->names);
	own_hosts_clear(&peers->own);
	if (peers->local_changed)
		event_free(peers->local_changed);
	if (peers->own_timer)
		event_free(peers->own_timer);
	free(peers);
}
