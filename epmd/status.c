/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <utlist.h>

#include "discovery/clock.h"
#include "log.h"
#include "status.h"

/* Far more than any probe sends. */
#define HEADERS_MAX 8192
#define BODY_MAX 1024

#define BACKLOG 64
/* After so many others have their turn. */
#define ACCEPT_BATCH 16
#define ACCEPT_REST_MS 10
/* When no descriptor is left. */
#define STARVED_REST_MS 1000

/* A page that takes work may be so old. */
#define PAGE_AGE_MS 500

#define REASON_SIZE 1024

#define METHODS                                                                                    \
	(EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | \
	 EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH)

typedef int make_fn(const struct status_view *view, struct evbuffer *out);

struct page {
	const char *path;
	const char *type;
	make_fn *make;
	struct evbuffer *made; /* or NULL */
};

enum { PAGE_METRICS, PAGE_STATUS, PAGES };

/* A connection.  evhttp does not say when one ends, so each has a reference of its own to what
 * evhttp reads from, which keeps the descriptor: until its answer is sent, its time is over, or
 * its place is needed. */
struct visit {
	struct status *status;
	struct bufferevent *stream;
	struct event *over;
	struct visit *prev, *next;
};

struct status {
	struct event_base *base;
	const struct status_view *view;
	struct evhttp *http;
	struct evconnlistener *listener; /* evhttp's */
	struct event *resume;
	struct event *outdated; /* pages that were made */
	struct visit *visits;   /* the oldest first */
	unsigned n_visits, visits_max;
	unsigned n_accepted; /* since the last rest */
	struct page pages[PAGES];
};

/* --- visits ------------------------------------------------------------------------------- */

static void end_visit(struct visit *visit)
{
	struct status *status = visit->status;

	DL_DELETE(status->visits, visit);
	status->n_visits--;
	/* Nothing, if evhttp is through with it. */
	bufferevent_trigger_event(visit->stream, BEV_EVENT_READING | BEV_EVENT_EOF, 0);
	bufferevent_decref(visit->stream);
	event_free(visit->over);
	free(visit);
}

static void on_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end_visit(arg);
}

static bool begin_visit(struct status *status, struct bufferevent *stream)
{
	const struct timeval time = clock_delay(STATUS_VISIT_MS);
	struct visit *visit = calloc(1, sizeof(*visit));

	if (!visit)
		return false;
	visit->status = status;
	visit->stream = stream;
	visit->over = evtimer_new(status->base, on_over, visit);
	if (!visit->over || event_add(visit->over, &time) < 0) {
		if (visit->over)
			event_free(visit->over);
		free(visit);
		return false;
	}
	bufferevent_incref(stream);
	DL_APPEND(status->visits, visit);
	status->n_visits++;
	return true;
}

/* --- accepting ---------------------------------------------------------------------------- */

static void rest(struct status *status, unsigned ms)
{
	const struct timeval delay = clock_delay(ms);

	/* Without its end the rest would be for ever. */
	if (event_add(status->resume, &delay) == 0)
		evconnlistener_disable(status->listener);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct status *status = arg;

	(void)fd;
	(void)what;
	status->n_accepted = 0;
	evconnlistener_enable(status->listener);
}

/* libevent calls back with an argument of evhttp's, not of ours. */
static struct status *only; /* that listens: a process has one */

static void on_accept_failed(struct evconnlistener *listener, void *http)
{
	(void)listener;
	(void)http;
	if (only)
		rest(only, STARVED_REST_MS);
}

/* A connection has been accepted: what shall evhttp read it with? */
static struct bufferevent *on_accepted(struct event_base *base, void *arg)
{
	struct status *status = arg;
	struct bufferevent *stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

	if (++status->n_accepted >= ACCEPT_BATCH)
		rest(status, ACCEPT_REST_MS);
	if (status->n_visits == status->visits_max)
		end_visit(status->visits);
	if (stream && !begin_visit(status, stream)) {
		bufferevent_free(stream);
		stream = NULL;
	}
	return stream;
}

/* --- answering ---------------------------------------------------------------------------- */

static void on_answered(struct evhttp_request *request, void *arg)
{
	struct status *status = arg;
	struct bufferevent *stream =
	    evhttp_connection_get_bufferevent(evhttp_request_get_connection(request));
	struct visit *visit;

	/* Later: evhttp is not through with it. */
	DL_FOREACH (status->visits, visit)
		if (visit->stream == stream)
			event_active(visit->over, EV_TIMEOUT, 0);
}

static void answer(struct status *status, struct evhttp_request *request, int code,
                   const char *phrase, const char *type, struct evbuffer *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	char length[32];

	snprintf(length, sizeof(length), "%zu", evbuffer_get_length(body));
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Content-Length", length);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "Connection", "close");
	evhttp_request_set_on_complete_cb(request, on_answered, status);
	evhttp_send_reply(request, code, phrase,
	                  evhttp_request_get_command(request) == EVHTTP_REQ_HEAD ? NULL : body);
}

static void answer_line(struct status *status, struct evhttp_request *request, int code,
                        const char *phrase, const char *line)
{
	struct evbuffer *body = evbuffer_new();

	if (body) {
		evbuffer_add_printf(body, "%s\n", line);
		answer(status, request, code, phrase, "text/plain; charset=utf-8", body);
		evbuffer_free(body);
	} else {
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
	}
}

static void forget_pages(struct status *status)
{
	for (size_t i = 0; i < PAGES; i++) {
		if (status->pages[i].made)
			evbuffer_free(status->pages[i].made);
		status->pages[i].made = NULL;
	}
}

static void on_outdated(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	forget_pages(arg);
}

static bool make_page(struct status *status, struct page *page)
{
	const struct timeval age = clock_delay(PAGE_AGE_MS);

	if (page->made)
		return true;
	page->made = evbuffer_new();
	if (page->made && page->make(status->view, page->made) == 0 &&
	    (event_pending(status->outdated, EV_TIMEOUT, NULL) ||
	     event_add(status->outdated, &age) == 0))
		return true;
	if (page->made)
		evbuffer_free(page->made);
	page->made = NULL;
	return false;
}

static void answer_page(struct status *status, struct evhttp_request *request, struct page *page)
{
	struct evbuffer *body = evbuffer_new();

	/* By reference: all who read it share one copy, however slowly they do. */
	if (body && make_page(status, page) && evbuffer_add_buffer_reference(body, page->made) == 0)
		answer(status, request, HTTP_OK, "OK", page->type, body);
	else
		answer_line(status, request, HTTP_INTERNAL, "Internal Server Error",
		            "memory is out");
	if (body)
		evbuffer_free(body);
}

static void answer_ready(struct status *status, struct evhttp_request *request)
{
	char reason[REASON_SIZE];

	if (status_is_ready(status->view, reason, sizeof(reason)))
		answer_line(status, request, HTTP_OK, "OK", "ok");
	else
		answer_line(status, request, HTTP_SERVUNAVAIL, "Service Unavailable", reason);
}

static void answer_path(struct status *status, struct evhttp_request *request, const char *path)
{
	if (strcmp(path, "/livez") == 0) {
		answer_line(status, request, HTTP_OK, "OK", "ok");
		return;
	}
	if (strcmp(path, "/readyz") == 0) {
		answer_ready(status, request);
		return;
	}
	for (size_t i = 0; i < PAGES; i++) {
		if (strcmp(path, status->pages[i].path) == 0) {
			answer_page(status, request, &status->pages[i]);
			return;
		}
	}
	answer_line(status, request, HTTP_NOTFOUND, "Not Found",
	            "there are /livez, /readyz, /metrics and /status");
}

static void on_request(struct evhttp_request *request, void *arg)
{
	struct status *status = arg;
	enum evhttp_cmd_type method = evhttp_request_get_command(request);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;

	if (method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD) {
		answer_path(status, request, path ? path : "");
		return;
	}
	evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "GET, HEAD");
	answer_line(status, request, HTTP_BADMETHOD, "Method Not Allowed",
	            "there is nothing but GET and HEAD");
}

/* --- life ---------------------------------------------------------------------------------- */

static int open_socket(const struct sockaddr_any *address)
{
	const int on = 1, off = 0;
	int family = address->storage.ss_family;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* The wildcard is for both families; any other address is of one anyway. */
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (const struct sockaddr *)&address->storage, address->len) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

static bool is_all_ipv6(const struct sockaddr_any *address)
{
	struct sockaddr_any all = sockaddr_wildcard(AF_INET6, 0);

	return sockaddr_same_host(address, &all);
}

/* Where there is no IPv6, all addresses are those of IPv4. */
static int open_address(const struct sockaddr_any *address)
{
	int fd = open_socket(address);

	if (fd < 0 && errno != EADDRINUSE && is_all_ipv6(address)) {
		struct sockaddr_any v4 = sockaddr_wildcard(AF_INET, sockaddr_port(address));
		fd = open_socket(&v4);
	}
	return fd;
}

/* Takes over FD. */
static bool listen_by(struct status *status, int fd)
{
	status->listener = evconnlistener_new(status->base, NULL, NULL,
	                                      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!status->listener) {
		close(fd);
		return false;
	}
	evconnlistener_set_error_cb(status->listener, on_accept_failed);
	if (evhttp_bind_listener(status->http, status->listener))
		return true;
	evconnlistener_free(status->listener);
	return false;
}

/* -1 with errno when it cannot. */
static int serve(struct status *status, const struct sockaddr_any *address)
{
	status->http = evhttp_new(status->base);
	status->resume = evtimer_new(status->base, on_resume, status);
	status->outdated = evtimer_new(status->base, on_outdated, status);
	if (!status->http || !status->resume || !status->outdated) {
		errno = ENOMEM;
		return -1;
	}
	evhttp_set_max_headers_size(status->http, HEADERS_MAX);
	evhttp_set_max_body_size(status->http, BODY_MAX);
	evhttp_set_timeout(status->http, STATUS_VISIT_MS / 1000);
	evhttp_set_allowed_methods(status->http, METHODS);
	evhttp_set_bevcb(status->http, on_accepted, status);
	evhttp_set_gencb(status->http, on_request, status);
	int fd = open_address(address);
	if (fd < 0)
		return -1;
	if (listen_by(status, fd))
		return 0;
	errno = ENOMEM;
	return -1;
}

/* Nodes come first. */
static unsigned visits_allowed(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1;
	rlim_t share = limit.rlim_cur / STATUS_DESCRIPTORS_PER_VISIT;
	return share < 1 ? 1 : share < STATUS_VISITS_MAX ? (unsigned)share : STATUS_VISITS_MAX;
}

struct status *status_new(struct event_base *base, const struct sockaddr_any *address,
                          const struct status_view *view, char *error, size_t error_size)
{
	static const struct page pages[PAGES] = {
	    [PAGE_METRICS] = {"/metrics", "text/plain; version=0.0.4; charset=utf-8",
	                      status_metrics, NULL},
	    [PAGE_STATUS] = {"/status", "application/json", status_json, NULL},
	};
	struct status *status = calloc(1, sizeof(*status));

	if (status) {
		status->base = base;
		status->view = view;
		status->visits_max = visits_allowed();
		memcpy(status->pages, pages, sizeof(pages));
		if (serve(status, address) == 0) {
			only = status;
			return status;
		}
	}
	snprintf(error, error_size, "cannot be listened on: %s", strerror(errno));
	status_free(status);
	return NULL;
}

void status_free(struct status *status)
{
	struct visit *visit, *next;

	if (!status)
		return;
	if (only == status)
		only = NULL;
	/* Which ends the connections. */
	DL_FOREACH_SAFE (status->visits, visit, next)
		end_visit(visit);
	if (status->http)
		evhttp_free(status->http);
	if (status->resume)
		event_free(status->resume);
	if (status->outdated)
		event_free(status->outdated);
	forget_pages(status);
	free(status);
}
