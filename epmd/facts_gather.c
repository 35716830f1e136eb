/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "discovery/clock.h"
#include "facts_gather.h"
#include "join/join.h"
#include "keeper.h"
#include "log.h"
#include "own_hosts.h"
#include "peers.h"
#include "privilege.h"
#include "proto/nodename.h"
#include "registry.h"
#include "sockaddr.h"

/* What is gathered, and into which array the next item goes. */
struct gathering {
	const struct control *control;
	struct facts *facts;
	struct own_hosts own;
	uint64_t now_ms;
	bool no_memory;
};

#define COPY(to, from) snprintf(to, sizeof(to), "%s", (from) ? (from) : "")

/* Room for one more behind the N items of SIZE bytes in *ARRAY, zeroed; NULL when memory is
 * out.  It grows by doubling: at each power of two. */
static void *next_item(void **array, size_t *n, size_t size)
{
	if ((*n & (*n - 1)) == 0) {
		void *grown = realloc(*array, (*n ? *n * 2 : 1) * size);
		if (!grown)
			return NULL;
		*array = grown;
	}
	return memset((char *)*array + (*n)++ * size, 0, size);
}

#define NEXT(gathering, array)                                                         \
	next_item((void **)&(gathering)->facts->array, &(gathering)->facts->n_##array, \
	          sizeof(*(gathering)->facts->array))

static uint64_t seconds_since(const struct gathering *gathering, uint64_t ms)
{
	return gathering->now_ms > ms ? (gathering->now_ms - ms) / 1000 : 0;
}

/* --- settings --------------------------------------------------------------------------------- */

static void on_unknown(void *arg, const char *variable, const char *like)
{
	struct gathering *gathering = arg;
	struct facts_unknown *unknown = NEXT(gathering, unknown);

	gathering->no_memory |= !unknown;
	if (!unknown)
		return;
	COPY(unknown->variable, variable);
	unknown->like = like;
}

/* The whole of LIST is on loopback.  One that names no address means all of them. */
static bool is_loopback_only(const char *list)
{
	static const char blanks[] = ", \t\n";
	char word[SOCKADDR_TEXT_SIZE];
	struct sockaddr_any address;
	bool any = false;

	for (list += strspn(list, blanks); *list; list += strspn(list, blanks)) {
		size_t len = strcspn(list, blanks);
		snprintf(word, sizeof(word), "%.*s", (int)len, list);
		if (!sockaddr_parse(word, 0, &address) || !sockaddr_is_loopback(&address))
			return false;
		list += len;
		any = true;
	}
	return any;
}

static void gather_environment(struct gathering *gathering)
{
	struct facts *facts = gathering->facts;

	COPY(facts->dist_port, getenv("ERL_DIST_PORT"));
	options_each_unknown(on_unknown, gathering);
}

/* --- the source ---------------------------------------------------------------------------------- */

static void on_state(void *arg, const struct source_state *state)
{
	struct gathering *gathering = arg;
	struct facts_source *source = NEXT(gathering, sources);

	gathering->no_memory |= !source;
	if (!source)
		return;
	COPY(source->place, state->place);
	COPY(source->namespace_, state->namespace_);
	COPY(source->services, state->services);
	COPY(source->server, state->server);
	COPY(source->origin, state->origin);
	COPY(source->problem, state->problem);
	COPY(source->message, state->message);
	COPY(source->verb, state->verb);
	COPY(source->resource, state->resource);
	source->in_cluster = state->in_cluster;
	source->fault = state->fault;
	source->listed = state->listed;
	source->searching = state->searching;
	source->has_objects = state->has_objects;
	source->n_endpoints = state->n_endpoints;
}

/* --- this host's nodes ---------------------------------------------------------------------------- */

static void add_local(struct gathering *gathering, struct facts_local *facts,
                      const struct local *local)
{
	const struct local_facts *known = local_facts(local);

	facts->known = true;
	COPY(facts->name, known->name);
	facts->ready = local_is_ready(local);
	facts->trouble = local_trouble(local);
	facts->trouble_s = seconds_since(gathering, local_trouble_ms(local));
	COPY(facts->reason, facts->ready ? "" : local_reason(local));
	COPY(facts->cookie_source, known->cookie_source);
}

/* What peers look for it as. */
static void expect(struct gathering *gathering, struct facts_local *facts)
{
	const struct control *control = gathering->control;
	const struct peer *own = control->peers ? peers_own(control->peers) : NULL;
	struct sockaddr_any address;
	struct nodename halves;
	const char *why;

	if (own)
		peername_build(&control->cluster->peername, own, facts->alive, facts->expected,
		               &why);
	if (nodename_split(facts->name, &halves) && sockaddr_parse(halves.host, 0, &address))
		facts->host_is_foreign =
		    sockaddr_is_loopback(&address) ||
		    own_hosts_ask(&gathering->own, halves.host, gathering->now_ms) == OWN_NO;
}

static void on_local(void *arg, const struct local_view *view)
{
	struct gathering *gathering = arg;
	const struct control *control = gathering->control;
	const struct local *local = NULL;
	struct facts_local *facts = NULL;

	if (view->node.name.len >= sizeof(facts->alive))
		return;
	facts = NEXT(gathering, locals);
	gathering->no_memory |= !facts;
	if (!facts)
		return;
	memcpy(facts->alive, view->node.name.at, view->node.name.len);
	facts->port = view->node.port;
	facts->visible = view->node.type == EPMD_NODE_VISIBLE;
	facts->is_basename = join_is_basename(control->cluster, facts->alive);
	if (control->join)
		local = join_find_local(control->join, facts->alive, view->creation);
	if (local)
		add_local(gathering, facts, local);
	expect(gathering, facts);
}

/* --- peers ---------------------------------------------------------------------------------------- */

static void on_peer(void *arg, const struct peer_node *node)
{
	struct gathering *gathering = arg;
	const struct join *join = gathering->control->join;
	struct facts_peer *facts = NEXT(gathering, peers);

	gathering->no_memory |= !facts;
	if (!facts)
		return;
	*facts = (struct facts_peer){
	    .name = node->name,
	    .address = node->peer->address,
	    .namespace_ = node->peer->namespace_,
	    .service = node->peer->service,
	    .pod = node->peer->pod,
	    .ready = node->peer->ready,
	    .terminating = node->peer->terminating,
	    .port = node->port,
	    .port_reason = node->reason,
	    .trouble = node->trouble,
	    .trouble_s = seconds_since(gathering, node->trouble_ms),
	    .outcome = PAIR_UNTRIED,
	    .reason = "",
	};
	if (!join)
		return;
	facts->outcome = join_outcome(join, node->name, &facts->reason);
	facts->outcome_s = seconds_since(gathering, join_trouble_ms(join, node->name));
}

/* --- all -------------------------------------------------------------------------------------------- */

static void gather_cluster(struct gathering *gathering)
{
	const struct control *control = gathering->control;
	struct facts *facts = gathering->facts;
	const struct peer *unnamed = NULL;

	facts->source = control->source_ops->name;
	control->source_ops->each_state(control->source, on_state, gathering);
	facts->own_known = peers_own(control->peers) != NULL;
	facts->joining = control->join && join_is_on(control->join);
	peers_each_node(control->peers, on_peer, gathering);
	facts->every_basename = control->cluster->every_basename;
	facts->n_unnamed = peers_unnamed(control->peers, &unnamed, &facts->unnamed_why);
	facts->unnamed_address = unnamed ? unnamed->address : NULL;
}

int facts_gather(const struct control *control, struct facts *facts)
{
	const struct options *options = control->options;
	struct gathering gathering = {.control = control, .facts = facts, .now_ms = clock_now_ms()};

	*facts = (struct facts){
	    .daemon = FACTS_KEPMD,
	    .port = options->port,
	    .age_s = seconds_since(&gathering, control->started_ms),
	    .setting_error = control->setting_error,
	    .idle = cluster_idle_setting(options),
	    .log = log_where(),
	};
	privilege_describe(facts->privileges, sizeof(facts->privileges));
	keeper_describe(control->keeper, facts->keeper, sizeof(facts->keeper));
	if (options->addresses && is_loopback_only(options->addresses)) {
		facts->loopback_only = options->addresses;
		facts->loopback_only_by = options_address_origin(options);
	}
	gather_environment(&gathering);
	if (control->source)
		gather_cluster(&gathering);
	registry_each_local(control->registry, false, on_local, &gathering);
	own_hosts_clear(&gathering.own);
	if (facts_list_settings(control, facts) < 0)
		gathering.no_memory = true;
	return gathering.no_memory ? -1 : 0;
}

int facts_of_client(const struct options *options, struct facts *facts)
{
	struct gathering gathering = {.facts = facts};

	*facts = (struct facts){
	    .daemon = FACTS_NOBODY,
	    .port = options->port,
	    .wants_discovery = options->settings[SETTING_DISCOVERY] &&
	                       strcmp(options->settings[SETTING_DISCOVERY], "none") != 0,
	};
	gather_environment(&gathering);
	return gathering.no_memory ? -1 : 0;
}
