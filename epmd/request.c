/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>
#include <time.h>

#include "log.h"
#include "metrics.h"
#include "proto/nodename.h"
#include "request.h"

/* Distribution version from which a creation has 32 bits (OTP 23, version 6). */
#define WIDE_CREATION_VERSION 6

/* The longest name that PORT2 looks for: one character less than can be
 * registered, in stock as here. */
#define PORT2_CHARS_MAX (NODENAME_CHARS_MAX - 1)

static int text_len(struct wire_bytes bytes)
{
	return bytes.len < NODENAME_SIZE ? (int)bytes.len : NODENAME_SIZE;
}

#define TEXT(bytes) text_len(bytes), (const char *)(bytes).at

/* --- ALIVE2 ------------------------------------------------------------------------ */

static bool registrable(const struct epmd_node *node)
{
	long chars = nodename_utf8_length(node->name.at, node->name.len);

	return node->name.len <= EPMD_NAME_MAX && node->extra.len <= EPMD_EXTRA_MAX && chars >= 0 &&
	       chars <= NODENAME_CHARS_MAX;
}

/* Registers NODE for CONN.  A name whose old connection has ended, though that has
 * not been read yet, is free (a node that restarts fast: erlang/otp#11083). */
static struct local_node *enroll(const struct request_context *context, struct conn *conn,
                                 const struct epmd_node *node)
{
	struct local_node *local = NULL;
	struct conn *holder = registry_owner(context->registry, node->name);

	if (holder && !conn_reap_if_ended(holder)) {
		metrics_count(METRIC_REFUSED_NAME_TAKEN);
		log_limited(LOG_LEVEL_INFO, "%s: the name %.*s is taken", conn_text(conn),
		            TEXT(node->name));
		return NULL;
	}
	for (;;) {
		if (registry_register(context->registry, node, conn_fd(conn), conn,
		                      (uint32_t)time(NULL), &local) == REGISTRY_OK) {
			metrics_count(METRIC_REGISTRATIONS);
			return local;
		}
		/* Who only waits gives its memory to a node. */
		if (!conn_shed_other(conn))
			break;
	}
	metrics_count(METRIC_REFUSED_NO_MEMORY);
	log_limited(LOG_LEVEL_ERROR, "%s: no memory to register %.*s", conn_text(conn),
	            TEXT(node->name));
	return NULL;
}

static void answer_alive2(struct conn_reply *reply, const struct epmd_node *node,
                          const struct local_node *local)
{
	struct epmd_alive2_reply answer = {
	    .wide = node->highest >= WIDE_CREATION_VERSION,
	    .result = local ? 0 : 1,
	    .creation = local ? registry_creation(local) : EPMD_REFUSED_CREATION,
	};
	if (local && !answer.wide)
		answer.creation = answer.creation % 3 + 1;

	uint8_t *room = conn_reply_room(reply, EPMD_REPLY_MAX);
	if (room)
		conn_reply_added(reply, epmd_alive2_reply_encode(&answer, room, EPMD_REPLY_MAX));
	/* Stock keeps the connection of a refused node open too. */
	reply->after = CONN_HOLD;
}

static void handle_alive2(const struct request_context *context, struct conn *conn,
                          const struct epmd_request *request, struct conn_reply *reply)
{
	const struct epmd_node *node = &request->node;
	struct local_node *local = NULL;

	if (!conn_may_register(conn)) {
		metrics_count(METRIC_REFUSED_FULL);
		log_limited(LOG_LEVEL_ERROR,
		            "%s: %.*s cannot register: %zu nodes are, and descriptors suffice for "
		            "no more (raise the limit, see ulimit -n)",
		            conn_text(conn), TEXT(node->name),
		            registry_local_count(context->registry));
		return;
	}
	if (registrable(node)) {
		local = enroll(context, conn, node);
	} else {
		metrics_count(METRIC_REFUSED_BAD_NAME);
		log_limited(LOG_LEVEL_WARNING,
		            "%s: a name that is no UTF-8 or too long cannot be registered",
		            conn_text(conn));
	}
	if (local)
		log_debug("%s: registered %.*s at port %u", conn_text(conn), TEXT(node->name),
		          node->port);
	conn_set_tag(conn, local);
	answer_alive2(reply, node, local);
}

void request_released(const struct request_context *context, struct conn *conn)
{
	struct local_node *local = conn_tag(conn);

	if (local)
		registry_release(context->registry, local);
	conn_set_tag(conn, NULL);
}

/* --- PORT2 ------------------------------------------------------------------------- */

static void handle_port2(const struct request_context *context, struct conn *conn,
                         const struct epmd_request *request, struct conn_reply *reply)
{
	long chars = nodename_utf8_length(request->name.at, request->name.len);

	if (chars < 0 || chars > PORT2_CHARS_MAX) {
		metrics_count(METRIC_REFUSED_BAD_NAME);
		log_limited(LOG_LEVEL_INFO, "%s: asks for a name that is no UTF-8 or too long",
		            conn_text(conn));
		return;
	}
	uint8_t *room = conn_reply_room(reply, EPMD_REPLY_MAX);
	if (!room)
		return;
	size_t len = epmd_port2_reply_encode(registry_find(context->registry, request->name), room,
	                                     EPMD_REPLY_MAX);
	if (len == 0) {
		log_limited(LOG_LEVEL_ERROR,
		            "%s: what is known of %.*s is too long for an answer: closed",
		            conn_text(conn), TEXT(request->name));
		return;
	}
	conn_reply_added(reply, len);
	reply->after = CONN_CLOSE;
}

/* --- NAMES and DUMP ------------------------------------------------------------------ */

static bool add_head(const struct request_context *context, struct conn_reply *reply)
{
	uint8_t *room = conn_reply_room(reply, EPMD_LINE_MAX);

	if (room)
		conn_reply_added(reply, epmd_names_head_encode(context->port, room, EPMD_LINE_MAX));
	return room != NULL;
}

static void add_name(struct conn_reply *reply, const struct epmd_node *node)
{
	uint8_t *room = conn_reply_room(reply, EPMD_LINE_MAX);

	if (room)
		conn_reply_added(
		    reply, epmd_names_line_encode(node->name, node->port, room, EPMD_LINE_MAX));
}

static void add_local_name(void *arg, const struct local_view *view)
{
	add_name(arg, &view->node);
}

static void add_discovered_name(void *arg, const struct epmd_node *node)
{
	add_name(arg, node);
}

static bool shows_discovered(const struct request_context *context, const struct conn *conn)
{
	return context->names_shown == NAMES_SHOWN_ALL ||
	       (context->names_shown == NAMES_SHOWN_LOCAL && conn_is_loopback(conn));
}

static void handle_names(const struct request_context *context, struct conn *conn,
                         const struct epmd_request *request, struct conn_reply *reply)
{
	enum listing kind = shows_discovered(context, conn) ? LISTING_ALL : LISTING_LOCAL;

	(void)request;
	reply->after = CONN_CLOSE;
	if (listings_give(context->listings, kind, reply) || !add_head(context, reply))
		return;
	registry_each_local(context->registry, false, add_local_name, reply);
	if (kind == LISTING_ALL)
		registry_each_discovered(context->registry, add_discovered_name, reply);
	listings_keep(context->listings, kind, reply);
}

static void add_dump_line(void *arg, const struct local_view *view)
{
	struct conn_reply *reply = arg;
	uint8_t *room = conn_reply_room(reply, EPMD_LINE_MAX);
	size_t (*encode)(struct wire_bytes, uint16_t, int, uint8_t *, size_t) =
	    view->registered ? epmd_dump_active_encode : epmd_dump_old_encode;

	if (room)
		conn_reply_added(
		    reply, encode(view->node.name, view->node.port, view->fd, room, EPMD_LINE_MAX));
}

static void handle_dump(const struct request_context *context, struct conn *conn,
                        const struct epmd_request *request, struct conn_reply *reply)
{
	(void)conn;
	(void)request;
	reply->after = CONN_CLOSE;
	if (listings_give(context->listings, LISTING_DUMP, reply) || !add_head(context, reply))
		return;
	registry_each_local(context->registry, true, add_dump_line, reply);
	listings_keep(context->listings, LISTING_DUMP, reply);
}

/* --- KILL and STOP ------------------------------------------------------------------- */

static void add_text(struct conn_reply *reply, const char *text)
{
	size_t len = strlen(text);
	uint8_t *room = conn_reply_room(reply, len);

	if (room) {
		memcpy(room, text, len); /* NOLINT(bugprone-not-null-terminated-result): no NUL on the wire */
		conn_reply_added(reply, len);
	}
}

static void handle_kill(const struct request_context *context, struct conn *conn,
                        const struct epmd_request *request, struct conn_reply *reply)
{
	bool allowed = context->relaxed || registry_local_count(context->registry) == 0;

	(void)request;
	log_limited(LOG_LEVEL_INFO, "%s: asked to end: %s", conn_text(conn),
	            allowed ? "done" : "nodes are registered");
	add_text(reply, allowed ? "OK" : "NO");
	reply->after = allowed ? CONN_QUIT : CONN_CLOSE;
	if (!allowed)
		metrics_count(METRIC_REFUSED_NOT_ALLOWED);
}

static void handle_stop(const struct request_context *context, struct conn *conn,
                        const struct epmd_request *request, struct conn_reply *reply)
{
	if (!context->relaxed) {
		metrics_count(METRIC_REFUSED_NOT_ALLOWED);
		log_limited(LOG_LEVEL_INFO, "%s: -stop needs -relaxed_command_check",
		            conn_text(conn));
		return;
	}
	struct conn *holder = registry_owner(context->registry, request->name);
	if (holder)
		conn_end(holder);
	else
		add_text(reply, "NOEXIST");
	add_text(reply, "STOPPED");
	reply->after = CONN_CLOSE;
}

/* --- CONTROL ------------------------------------------------------------------------- */

static void handle_control(const struct request_context *context, struct conn *conn,
                           const struct epmd_request *request, struct conn_reply *reply)
{
	if (!conn_is_loopback(conn)) {
		metrics_count(METRIC_REFUSED_NOT_LOCAL);
		log_limited(LOG_LEVEL_WARNING, "%s: -peers and -join are for this host only",
		            conn_text(conn));
		return;
	}
	control_run(context->control, request->name, conn_fd(conn), reply);
	reply->after = CONN_CLOSE;
}

/* --- all ------------------------------------------------------------------------------ */

typedef void handle_fn(const struct request_context *context, struct conn *conn,
                       const struct epmd_request *request, struct conn_reply *reply);

static const struct {
	enum epmd_code code;
	handle_fn *handle;
	bool local_only; /* may change something, or tells about descriptors */
	enum metric metric;
} handlers[] = {
    {EPMD_PORT2_REQ, handle_port2, false, METRIC_REQUEST_PORT2},
    {EPMD_ALIVE2_REQ, handle_alive2, true, METRIC_REQUEST_ALIVE2},
    {EPMD_NAMES_REQ, handle_names, false, METRIC_REQUEST_NAMES},
    {EPMD_DUMP_REQ, handle_dump, true, METRIC_REQUEST_DUMP},
    {EPMD_KILL_REQ, handle_kill, true, METRIC_REQUEST_KILL},
    {EPMD_STOP_REQ, handle_stop, true, METRIC_REQUEST_STOP},
    {EPMD_CONTROL_REQ, handle_control, true, METRIC_REQUEST_CONTROL},
};

void request_handle(const struct request_context *context, struct conn *conn,
                    const struct epmd_request *request, struct conn_reply *reply)
{
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (handlers[i].code != request->code)
			continue;
		metrics_count(handlers[i].metric);
		if (handlers[i].local_only && !conn_is_local(conn)) {
			metrics_count(METRIC_REFUSED_NOT_LOCAL);
			log_limited(LOG_LEVEL_WARNING, "%s: request '%c' is for this host only",
			            conn_text(conn), (int)request->code);
			return;
		}
		handlers[i].handle(context, conn, request, reply);
		return;
	}
}
