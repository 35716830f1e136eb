/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "crowd.h"
#include "discovery/chance.h"
#include "discovery/clock.h"
#include "log.h"
#include "metrics.h"
#include "query.h"
#include "target.h"

/* Backoff while there is no port. */
#define RETRY_FIRST_MS 250
#define RETRY_MAX_MS 15000
/* How long a port is believed, at least. */
#define DOUBT_MIN_MS 10000

#define REASON_SIZE 160

struct target {
	struct target_context *context;
	char *alive;
	char *name;
	char *label; /* for log lines: the name and the pod */
	char *address;
	uint16_t named_port;
	bool visible_only;
	bool connected;
	void *owner;
	struct event timer;
	struct query *query;
	unsigned failures;
	uint16_t port;            /* 0: not known */
	char reason[REASON_SIZE]; /* why it is not */
	enum target_trouble trouble;
	uint64_t trouble_ms;
};

static void on_timer(evutil_socket_t fd, short what, void *arg);

static struct wire_bytes bytes_of(const char *text)
{
	return (struct wire_bytes){(const uint8_t *)text, strlen(text)};
}

/* --- when to ask -------------------------------------------------------------------- */

static void ask_in(struct target *target, uint64_t ms)
{
	struct timeval delay = clock_delay(ms);

	if (event_add(&target->timer, &delay) < 0)
		log_error("%s: no memory to ask for its port again", target->label);
}

static void ask_after_failure(struct target *target)
{
	unsigned doublings = target->failures < 8 ? target->failures : 8;
	uint32_t ms = (uint32_t)RETRY_FIRST_MS << doublings;

	if (ms > RETRY_MAX_MS)
		ms = RETRY_MAX_MS;
	target->failures++;
	ask_in(target, ms + chance_below(ms / 2));
}

/* --- what is known ------------------------------------------------------------------- */

/* Says REASON once, not at each retry. */
static void unresolved(struct target *target, enum target_trouble trouble, const char *reason)
{
	if (target->trouble != trouble)
		target->trouble_ms = clock_now_ms();
	target->trouble = trouble;
	if (strncmp(target->reason, reason, REASON_SIZE - 1) == 0)
		return;
	snprintf(target->reason, sizeof(target->reason), "%s", reason);
	log_info("%s: %s: %s", target->label,
	         target->port ? "its epmd does not answer (the port that is known stays)"
	                      : "no port",
	         reason);
}

static void set_port(struct target *target, uint16_t port)
{
	bool is_new = target->port != port;

	target->port = port;
	if (is_new)
		target->context->port_changed(target->owner, target);
}

static void forget(struct target *target)
{
	registry_remove_discovered(target->context->registry, bytes_of(target->name), target);
	set_port(target, 0);
}

/* False when memory is out: then all is as before. */
static bool resolved(struct target *target, const struct epmd_node *answer)
{
	struct epmd_node node = *answer;

	node.name = bytes_of(target->name);
	if (registry_put_discovered(target->context->registry, &node, target) < 0) {
		log_error("%s: no memory for its port", target->label);
		return false;
	}
	if (target->port != node.port)
		log_info("%s: port %u", target->label, node.port);
	target->failures = 0;
	target->trouble = TARGET_FINE;
	target->reason[0] = '\0';
	set_port(target, node.port);
	return true;
}

/* --- fixed ports ----------------------------------------------------------------------- */

static bool has_fixed_port(const struct target *target)
{
	return target->context->dist_port || target->context->dist_name;
}

static void resolve_fixed(struct target *target)
{
	const struct target_context *context = target->context;
	/* What erl_epmd itself assumes where a port is given: a visible node that
	 * speaks versions 5 and 6. */
	struct epmd_node node = {
	    .port = context->dist_port ? context->dist_port : target->named_port,
	    .type = EPMD_NODE_VISIBLE,
	    .highest = 6,
	    .lowest = 5,
	};
	char reason[REASON_SIZE];

	if (node.port) {
		if (!resolved(target, &node))
			ask_after_failure(target);
		return;
	}
	snprintf(reason, sizeof(reason), "its endpoint has no port named \"%s\"",
	         context->dist_name);
	forget(target);
	unresolved(target, TARGET_NO_PORT_NAME, reason);
}

/* --- asking the peer's epmd --------------------------------------------------------------- */

static void no_answer(struct target *target, const char *error)
{
	char reason[REASON_SIZE];

	metrics_count(METRIC_PORT_NO_ANSWER);
	snprintf(reason, sizeof(reason), "epmd at %s, port %u: %s", target->address,
	         target->context->epmd_port, error);
	unresolved(target, TARGET_NO_ANSWER, reason);
	ask_after_failure(target);
}

/* What the peer's epmd says of the name: FACT. */
static void negative(struct target *target, const char *fact)
{
	char reason[REASON_SIZE];

	metrics_count(METRIC_PORT_NO_NODE);
	snprintf(reason, sizeof(reason), "its epmd knows %s \"%.64s\"", fact, target->alive);
	forget(target);
	unresolved(target, TARGET_NO_NODE, reason);
	ask_after_failure(target);
}

/* Why the answer, LEN bytes, cannot be used, as a phrase; NULL when it can: then *RESULT and,
 * when that is 0, *NODE are what it says. */
static const char *fault_of(const uint8_t *bytes, size_t len, uint8_t *result,
                            struct epmd_node *node)
{
	if (epmd_port2_reply_decode(bytes, len, result, node) != EPMD_DECODED)
		return "what answers there is no epmd";
	if (*result != 0)
		return NULL;
	if (node->port == 0)
		return "it gives port 0, where no node can be";
	if (node->extra.len > EPMD_EXTRA_MAX)
		return "it gives an extra field longer than any node may have";
	return NULL;
}

static void heed(struct target *target, uint8_t result, const struct epmd_node *node)
{
	if (result != 0) {
		negative(target, "no node");
	} else if (target->visible_only && node->type != EPMD_NODE_VISIBLE) {
		negative(target, "only a hidden node");
	} else if (!resolved(target, node)) {
		ask_after_failure(target);
	} else {
		metrics_count(METRIC_PORT_KNOWN);
		/* A node may restart without its endpoint showing it. */
		if (!target->connected)
			ask_in(target, crowd_doubt_wait(target->context->crowd, DOUBT_MIN_MS));
	}
}

static void on_answer(void *arg, const uint8_t *bytes, size_t len, const char *error)
{
	struct target *target = arg;
	struct epmd_node node;
	uint8_t result = 0;

	target->query = NULL;
	if (!error)
		error = fault_of(bytes, len, &result, &node);
	if (error)
		no_answer(target, error);
	else
		heed(target, result, &node);
}

static void ask(struct target *target)
{
	struct target_context *context = target->context;
	struct epmd_request request = {.code = EPMD_PORT2_REQ, .name = bytes_of(target->alive)};
	struct sockaddr_any address;

	if (target->query)
		return;
	if (crowd_is_full(context->crowd)) {
		ask_in(target, crowd_full_wait());
		return;
	}
	if (!sockaddr_parse(target->address, context->epmd_port, &address)) {
		unresolved(target, TARGET_NO_ANSWER, "its address is none");
		return;
	}
	target->query = query_start(context->base, context->crowd, &address, &request, on_answer,
	                            target);
	if (!target->query)
		no_answer(target, "no memory or descriptor to ask it");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct target *target = arg;

	(void)fd;
	(void)what;
	if (has_fixed_port(target))
		resolve_fixed(target);
	else
		ask(target);
}

/* A question keeps the pace of the crowd; a port that is given needs none. */
static void ask_soon(struct target *target)
{
	ask_in(target, has_fixed_port(target) ? 0 : crowd_first_wait(target->context->crowd));
}

/* --- life ----------------------------------------------------------------------------------- */

static char *make_label(const char *name, const struct peer *peer)
{
	char *label;

	if (peer->pod)
		return asprintf(&label, "%s (pod %s)", name, peer->pod) < 0 ? NULL : label;
	return strdup(name);
}

static uint16_t named_port(const struct target_context *context, const struct peer *peer)
{
	return context->dist_name ? peer_named_port(peer, context->dist_name) : 0;
}

struct target *target_new(struct target_context *context, const struct peer *peer,
                          const char *alive, const char *name, bool visible_only, void *owner)
{
	struct target *target = calloc(1, sizeof(*target));

	if (!target)
		return NULL;
	target->context = context;
	context->crowd->n++;
	evtimer_assign(&target->timer, context->base, on_timer, target);
	target->alive = strdup(alive);
	target->name = strdup(name);
	target->address = strdup(peer->address);
	target->label = make_label(name, peer);
	target->named_port = named_port(context, peer);
	target->visible_only = visible_only;
	target->owner = owner;
	if (!target->alive || !target->name || !target->address || !target->label) {
		target_free(target);
		return NULL;
	}
	ask_soon(target);
	return target;
}

void target_free(struct target *target)
{
	if (!target)
		return;
	query_cancel(target->query);
	event_del(&target->timer);
	if (target->name)
		registry_remove_discovered(target->context->registry, bytes_of(target->name), target);
	target->context->crowd->n--;
	free(target->alive);
	free(target->name);
	free(target->label);
	free(target->address);
	free(target);
}

void *target_owner(const struct target *target)
{
	return target->owner;
}

const char *target_alive(const struct target *target)
{
	return target->alive;
}

const char *target_name(const struct target *target)
{
	return target->name;
}

const char *target_label(const struct target *target)
{
	return target->label;
}

uint16_t target_port(const struct target *target)
{
	return target->port;
}

const char *target_reason(const struct target *target)
{
	return target->reason;
}

enum target_trouble target_trouble(const struct target *target)
{
	return target->trouble;
}

uint64_t target_trouble_ms(const struct target *target)
{
	return target->trouble_ms;
}

void target_set_connected(struct target *target, bool connected)
{
	if (target->connected == connected || has_fixed_port(target))
		return;
	target->connected = connected;
	if (!connected)
		ask_soon(target);
	else if (target->port)
		event_del(&target->timer);
}

void target_port_refused(struct target *target)
{
	if (!has_fixed_port(target))
		ask_soon(target);
}

void target_doubt(struct target *target, const struct peer *peer)
{
	target->named_port = named_port(target->context, peer);
	target->failures = 0;
	ask_soon(target);
}
