/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "admission.h"
#include "allow.h"
#include "discovery/clock.h"
#include "log.h"
#include "metrics.h"
#include "server.h"
#include "sockaddr.h"
#include "tally.h"

/* How long a client may take to read that the daemon ends. */
#define QUIT_S 5

struct server {
	struct event_base *base;
	const struct admission *admission;
	struct tally shed[CONN_SHED_KINDS];
	struct tally not_allowed;
	struct request_context context;
	struct listings listings;
	struct conn_pool *conns;
	struct listener *listener;
	void (*quit)(void *arg);
	void *quit_arg;
};

/* What is said of connections that had to make way, while it begins and when it is over. */
static const struct {
	enum metric metric;
	const char *begin, *over_before, *over_after;
} shed_kinds[CONN_SHED_KINDS] = {
    [CONN_SHED_STARVED] = {METRIC_CLOSED_SHED,
                           "out of descriptors: the oldest idle connections are closed, and where "
                           "there are none, no connection is served (raise the limit, see ulimit "
                           "-n)",
                           "descriptors suffice again: ",
                           " idle connections were closed for want of them"},
    [CONN_SHED_ALL] = {METRIC_CLOSED_TOO_MANY,
                       "too many connections that register nobody: the oldest are closed "
                       "(ERL_EPMD_MAX_CONNECTIONS)",
                       "no longer too many connections: ", " were closed"},
    [CONN_SHED_ADDRESS] = {METRIC_CLOSED_TOO_MANY_OF_ADDRESS,
                           "too many connections from one address that register nobody: its oldest "
                           "are closed (ERL_EPMD_MAX_PER_ADDRESS)",
                           "no longer too many connections from one address: ", " were closed"},
    [CONN_SHED_SLOW] = {METRIC_CLOSED_UNREAD,
                        "too much waits for clients that do not read their answers: those who wait "
                        "longest are closed (ERL_EPMD_MAX_UNSENT)",
                        "no longer too much that is not read: ", " connections were closed"},
};

/* Before the answer goes out, which says that it is done. */
static void begin_quit(struct server *server)
{
	const struct timeval latest = {.tv_sec = QUIT_S};

	if (server->quit)
		server->quit(server->quit_arg);
	listener_stop(server->listener);
	/* Whether or not the answer can be sent: nobody is accepted any more. */
	event_base_loopexit(server->base, &latest);
}

static void on_request(void *arg, struct conn *conn, const struct epmd_request *request,
                       struct conn_reply *reply)
{
	struct server *server = arg;

	request_handle(&server->context, conn, request, reply);
	if (reply->after == CONN_QUIT)
		begin_quit(server);
}

static void on_bad_request(void *arg, struct conn *conn, enum epmd_decode why)
{
	(void)arg;
	metrics_count(METRIC_REFUSED_MALFORMED);
	log_limited(LOG_LEVEL_INFO, "%s: %s: closed", conn_text(conn), epmd_decode_text(why));
}

static void on_released(void *arg, struct conn *conn)
{
	const struct server *server = arg;

	request_released(&server->context, conn);
}

static void on_quit(void *arg)
{
	const struct server *server = arg;

	event_base_loopbreak(server->base);
}

static void on_shed(void *arg, const struct conn *conn, enum conn_shed why)
{
	struct server *server = arg;

	metrics_count(shed_kinds[why].metric);
	if (tally_count(&server->shed[why]))
		log_warning("%s: %s", conn_text(conn), shed_kinds[why].begin);
}

static bool on_starved(void *arg)
{
	struct server *server = arg;

	if (conn_pool_shed(server->conns))
		return true;
	if (tally_count(&server->shed[CONN_SHED_STARVED]))
		log_warning("%s", shed_kinds[CONN_SHED_STARVED].begin);
	return false;
}

/* The highest numbers are for files and for what discovery dials. */
static bool is_reserved(const struct limits *limits, int fd)
{
	return (unsigned)fd + limits->reserve >= limits->descriptors;
}

static bool may_ask(struct server *server, const struct sockaddr_any *from)
{
	char text[SOCKADDR_TEXT_SIZE];

	if (allow_may_ask(server->admission->allow, from, clock_now_ms()))
		return true;
	metrics_count(METRIC_CLOSED_NOT_ALLOWED);
	if (tally_count(&server->not_allowed))
		log_warning("%s: is none of those that ERL_EPMD_ALLOW names: closed, as are others",
		            sockaddr_text(from, text));
	return false;
}

static void on_accepted(void *arg, int fd, const struct sockaddr_any *from)
{
	struct server *server = arg;

	metrics_count(METRIC_CONNECTIONS);
	if (!may_ask(server, from) ||
	    (is_reserved(&server->admission->limits, fd) && !on_starved(server)))
		close(fd);
	else
		conn_accept(server->conns, fd, from);
}

static int init_tallies(struct server *server)
{
	for (size_t i = 0; i < CONN_SHED_KINDS; i++)
		if (tally_init(&server->shed[i], server->base, shed_kinds[i].over_before,
		               shed_kinds[i].over_after) < 0)
			return -1;
	return tally_init(&server->not_allowed, server->base,
	                  "nobody asks any more who may not: ", " connections were closed");
}

struct server *server_new(struct event_base *base, const struct options *options,
                          const struct listener_set *listeners, enum names_shown names_shown,
                          const struct control *control, const struct admission *admission)
{
	const struct limits *limits = &admission->limits;
	const struct conn_settings conn_settings = {
	    .idle_s = options->packet_timeout_s,
	    .delay_accept_s = options->delay_accept_s,
	    .delay_write_s = options->delay_write_s,
	    .max_connections = limits->max_connections,
	    .max_per_address = limits->max_per_address,
	    .max_of_loopback = limits->max_of_loopback,
	    .max_registered = limits->max_registered,
	    .young_ms = LIMITS_YOUNG_MS,
	    .max_unsent = limits->max_unsent,
	    .allow = admission->allow,
	};
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	const struct conn_events conn_events = {
	    .request = on_request,
	    .bad_request = on_bad_request,
	    .released = on_released,
	    .shed = on_shed,
	    .quit = on_quit,
	    .arg = server,
	};
	server->base = base;
	server->admission = admission;
	server->context = (struct request_context){
	    .registry =
		registry_new(options->debug ? REGISTRY_RELEASED_MAX_DEBUG : REGISTRY_RELEASED_MAX),
	    .listings = &server->listings,
	    .port = options->port,
	    .relaxed = options->relaxed,
	    .names_shown = names_shown,
	    .control = control,
	};
	if (server->context.registry)
		listings_init(&server->listings, server->context.registry);
	server->conns = conn_pool_new(base, &conn_settings, &conn_events);
	if (init_tallies(server) == 0 && server->context.registry && server->conns)
		server->listener = listener_serve(base, listeners, on_accepted, on_starved, server);
	if (server->listener)
		return server;
	server_free(server);
	return NULL;
}

void server_free(struct server *server)
{
	if (!server)
		return;
	listener_free(server->listener);
	conn_pool_free(server->conns);
	listings_clear(&server->listings);
	registry_free(server->context.registry);
	for (size_t i = 0; i < CONN_SHED_KINDS; i++)
		tally_clear(&server->shed[i]);
	tally_clear(&server->not_allowed);
	free(server);
}

void server_on_quit(struct server *server, void (*fn)(void *arg), void *arg)
{
	server->quit = fn;
	server->quit_arg = arg;
}

struct registry *server_registry(struct server *server)
{
	return server->context.registry;
}

struct conn_counts server_connections(const struct server *server)
{
	return conn_pool_count(server->conns);
}
