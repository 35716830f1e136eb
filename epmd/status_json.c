/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <jansson.h>

#include "join/join.h"
#include "peers.h"
#include "status_view.h"
#include "utf8.h"

/* Texts may come from peers: what is no UTF-8 in them is masked. */
static json_t *text_of(const void *bytes, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	utf8_mask(copy, len);
	json_t *text = json_stringn(copy, len);
	free(copy);
	return text;
}

static json_t *text_or_null(const char *text)
{
	return text && *text ? text_of(text, strlen(text)) : json_null();
}

/* --- settings ----------------------------------------------------------------------------- */

static json_t *settings_of(const struct options *options)
{
	json_t *settings = json_object();

	for (int i = 0; settings && i < SETTING_COUNT; i++)
		if (options->settings[i])
			json_object_set_new(settings, options_setting_variable((enum setting)i),
			                    text_or_null(options->settings[i]));
	return settings;
}

/* --- nodes --------------------------------------------------------------------------------- */

static void add_local(void *arg, const struct local_view *view)
{
	json_array_append_new(arg, json_pack("{so si}", "name",
	                                     text_of(view->node.name.at, view->node.name.len),
	                                     "port", (int)view->node.port));
}

static json_t *local_nodes(const struct status_view *view)
{
	json_t *nodes = json_array();

	if (nodes)
		registry_each_local(server_registry(view->server), false, add_local, nodes);
	return nodes;
}

struct rows {
	const struct status_view *view;
	json_t *array;
};

static void add_peer_node(void *arg, const struct peer_node *node)
{
	const struct rows *rows = arg;
	const struct peer *peer = node->peer;
	const char *reason, *state = status_join_state(rows->view, node->name, &reason);

	json_array_append_new(
	    rows->array,
	    json_pack("{so so so so sb sb sb so so so so}", "node", text_or_null(node->name),
	              "address", text_or_null(peer->address), "namespace",
	              text_or_null(peer->namespace_), "pod", text_or_null(peer->pod), "ready",
	              peer->ready, "serving", peer->serving, "terminating", peer->terminating,
	              "port", node->port ? json_integer(node->port) : json_null(), "port_reason",
	              text_or_null(node->port ? NULL : node->reason), "join", text_or_null(state),
	              "join_reason", text_or_null(reason)));
}

static json_t *peer_nodes(const struct status_view *view)
{
	struct rows rows = {view, json_array()};

	if (rows.array && view->control->peers)
		peers_each_node(view->control->peers, add_peer_node, &rows);
	return rows.array;
}

/* --- the page ------------------------------------------------------------------------------- */

static json_t *discovery_of(const struct status_view *view)
{
	double heard_at = status_heard_at(view);
	const char *source = view->source ? view->source_ops->name : NULL;

	return json_pack("{so so}", "source", text_or_null(source), "last_event_at",
	                 heard_at > 0 ? json_real(heard_at) : json_null());
}

static void free_text(const void *data, size_t len, void *text)
{
	(void)data;
	(void)len;
	free(text);
}

int status_json(const struct status_view *view, struct evbuffer *out)
{
	char reason[1024] = "";
	bool ready = status_is_ready(view, reason, sizeof(reason));
	json_t *page = json_pack("{ss ss si sI sb so so so so so}", "name", PACKAGE_NAME, "version",
	                         PACKAGE_VERSION, "pid", (int)getpid(), "started_at",
	                         (json_int_t)view->started_s, "ready", ready, "not_ready_reason",
	                         text_or_null(ready ? NULL : reason), "settings",
	                         settings_of(view->options), "discovery", discovery_of(view),
	                         "registered", local_nodes(view), "discovered", peer_nodes(view));
	char *text = page ? json_dumps(page, JSON_INDENT(1)) : NULL;

	json_decref(page);
	if (text && evbuffer_add_reference(out, text, strlen(text), free_text, text) == 0)
		return evbuffer_add(out, "\n", 1);
	free(text);
	return -1;
}
