/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include <event2/event.h>

#include "discovery/clock.h"
#include "log.h"
#include "server.h"

/* How long a client may take to read that the daemon ends. */
#define QUIT_S 5
/* Descriptors suffice again when none was missing for so long. */
#define STARVED_OVER_MS 5000

struct server {
	struct event_base *base;
	struct event *starved_over; /* pending while descriptors are out */
	unsigned n_shed;            /* connections closed for want of them */
	struct request_context context;
	struct conn_pool *conns;
	struct listener *listener;
	void (*quit)(void *arg);
	void *quit_arg;
};

/* Before the answer goes out, which says that it is done. */
static void begin_quit(struct server *server)
{
	const struct timeval latest = {.tv_sec = QUIT_S};

	if (server->quit)
		server->quit(server->quit_arg);
	listener_free(server->listener);
	server->listener = NULL;
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
	log_info("%s: %s: closed", conn_text(conn), epmd_decode_text(why));
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

static void on_accepted(void *arg, int fd)
{
	const struct server *server = arg;

	conn_accept(server->conns, fd);
}

static void on_starved_over(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;

	(void)fd;
	(void)what;
	log_warning("descriptors suffice again: %u idle connections were closed for want of them",
	            server->n_shed);
	server->n_shed = 0;
}

/* Said when it begins and when it ends: whoever takes all descriptors must not fill the log
 * too. */
static bool on_starved(void *arg)
{
	struct server *server = arg;
	const struct timeval delay = clock_delay(STARVED_OVER_MS);
	bool freed = conn_pool_shed(server->conns);

	server->n_shed += freed;
	if (!event_pending(server->starved_over, EV_TIMEOUT, NULL))
		log_warning("out of descriptors: the oldest idle connections are closed, and where "
		            "there are none, no connection is accepted (raise the limit, see "
		            "ulimit -n)");
	event_add(server->starved_over, &delay);
	return freed;
}

struct server *server_new(struct event_base *base, const struct options *options,
                          const struct listener_set *listeners, enum names_shown names_shown,
                          const struct control *control)
{
	const struct conn_settings conn_settings = {
	    .idle_s = options->packet_timeout_s,
	    .delay_accept_s = options->delay_accept_s,
	    .delay_write_s = options->delay_write_s,
	};
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	const struct conn_events conn_events = {
	    .request = on_request,
	    .bad_request = on_bad_request,
	    .released = on_released,
	    .quit = on_quit,
	    .arg = server,
	};
	server->base = base;
	server->context = (struct request_context){
	    .registry =
		registry_new(options->debug ? REGISTRY_RELEASED_MAX_DEBUG : REGISTRY_RELEASED_MAX),
	    .port = options->port,
	    .relaxed = options->relaxed,
	    .names_shown = names_shown,
	    .control = control,
	};
	server->conns = conn_pool_new(base, &conn_settings, &conn_events);
	server->starved_over = evtimer_new(base, on_starved_over, server);
	if (server->context.registry && server->conns && server->starved_over)
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
	registry_free(server->context.registry);
	if (server->starved_over)
		event_free(server->starved_over);
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
