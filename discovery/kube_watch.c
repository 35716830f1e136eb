/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "chance.h"
#include "clock.h"
#include "kube_kind.h"
#include "kube_object.h"
#include "kube_path.h"
#include "kube_report.h"
#include "kube_split.h"
#include "kube_watch.h"
#include "reflector.h"

#define CONNECT_TIMEOUT_S 10
#define LIST_TIMEOUT_S 60
/* A WATCH that outlives its timeoutSeconds by so much is dead. */
#define WATCH_GRACE_S 10
/* A WATCH begins to be answered before anything happens, but may stand in a queue first. */
#define WATCH_ANSWER_S 60
/* Bookmarks come about once a minute; silence for so long after one is death. */
#define SILENCE_S 150
/* Many pods start at once. */
#define START_JITTER_MS 100

/* Far more than Erlang nodes can be: whoever sends more is to blame, not to be remembered. */
#define ENDPOINTS_MAX 50000u
#define PAGES_MAX 100u

#define ERROR_BODY_MAX 16384
#define DETAIL_SIZE 256
#define PLACE_SIZE 512

/* Between two looks for this host's Services. */
#define LOOK_AGAIN_MIN_MS 1000u
#define LOOK_AGAIN_MAX_MS 60000u

struct kube_watch {
	struct kube_shared *shared;
	unsigned scope;
	char *namespace_;
	char *selector;
	char *service;       /* or several, found: "a,b" */
	struct kube_own own; /* found so far, with neither */
	bool searched;       /* one look was whole */
	uint64_t look_again_ms;
	uint64_t pause_ms; /* before the next request */
	struct kube_kind_choice choice;
	bool going_on;       /* the next LIST goes on with the choice made, or repeats it */
	enum kube_kind kept; /* the kind that the reflector knows a version of */
	bool retried_401;
	bool listed;  /* a LIST was whole once */
	bool has_objects; /* in the last LIST or since */
	bool watched; /* a WATCH was sent once */
	struct kube_report report;
	struct reflector *reflector;
	struct event *timer;
	struct event *silence;

	/* the request under way */
	struct http_transfer *transfer;
	enum reflector_op op;
	bool later_page;
	struct kube_split *split;
	int status;
	char *body; /* of an answer other than 200 */
	size_t body_len;
	bool ended; /* END says why: decided while the answer was being read */
	struct reflector_end end;
	enum source_fault fault; /* with REFLECTOR_REFUSED */
	char detail[DETAIL_SIZE]; /* what was wrong with what came */

	unsigned n_pages; /* of the LIST under way */
	size_t n_objects;
	size_t n_endpoints;
};

static void schedule(struct kube_watch *watch, uint64_t extra_ms);

/* --- what is counted ------------------------------------------------------------------------ */

static void count(struct kube_watch *watch, enum source_outcome outcome)
{
	bool list = watch->op == REFLECTOR_LIST;

	watch->shared->stats.ended[list ? SOURCE_LIST : SOURCE_WATCH][outcome]++;
}

static enum source_outcome outcome_of_status(int status)
{
	if (status == 401 || status == 403)
		return SOURCE_DENIED;
	return status == 410 ? SOURCE_EXPIRED : SOURCE_ERROR;
}

static enum source_outcome outcome_of_end(const struct reflector_end *end)
{
	static const enum source_outcome outcomes[] = {
	    [REFLECTOR_CLEAN] = SOURCE_OK,
	    [REFLECTOR_CUT] = SOURCE_CUT,
	    [REFLECTOR_REFUSED] = SOURCE_UNREACHABLE,
	    [REFLECTOR_GARBAGE] = SOURCE_UNREADABLE,
	};

	if (end->why == REFLECTOR_HTTP || end->why == REFLECTOR_IN_STREAM)
		return outcome_of_status(end->status);
	return outcomes[end->why];
}

static void count_watch(struct kube_watch *watch)
{
	watch->shared->stats.watch_restarts += watch->watched;
	watch->watched = true;
}

static void heard(const struct kube_watch *watch)
{
	watch->shared->stats.heard_ms = clock_now_ms();
}

static bool searching(const struct kube_watch *watch)
{
	return !watch->selector && !watch->service;
}

/* --- objects and events --------------------------------------------------------------------- */

static void set_end(struct kube_watch *watch, enum reflector_failure why, const char *detail)
{
	watch->ended = true;
	watch->end = (struct reflector_end){.why = why};
	snprintf(watch->detail, sizeof(watch->detail), "%s", detail);
}

static bool put_object(struct kube_watch *watch, struct kube_object *object)
{
	char error[DETAIL_SIZE];

	if (object->truncated)
		kube_report_truncated(&watch->report, object->key);
	if (peerset_held(watch->shared->peers, watch->scope) + object->n_peers > ENDPOINTS_MAX) {
		snprintf(error, sizeof(error), "more than %u endpoints", ENDPOINTS_MAX);
		set_end(watch, REFLECTOR_GARBAGE, error);
		return false;
	}
	if (peerset_put(watch->shared->peers, watch->scope, object->key, object->peers,
	                object->n_peers, clock_now_ms()) == 0) {
		object->n_peers = 0;
		return true;
	}
	object->n_peers = 0;
	set_end(watch, REFLECTOR_GARBAGE, "no memory for it");
	return false;
}

/* Takes OBJECT's peers, or only the names of this host's Services. */
static bool take_object(struct kube_watch *watch, struct kube_object *object)
{
	if (!searching(watch))
		return put_object(watch, object);
	if (kube_own_look(&watch->own, object, watch->shared->is_own, watch->shared->is_own_arg))
		return true;
	set_end(watch, REFLECTOR_GARBAGE, "no memory for it");
	return false;
}

static bool on_list_item(void *arg, const char *text, size_t len)
{
	struct kube_watch *watch = arg;
	struct kube_object object;
	char error[DETAIL_SIZE];

	if (kube_object_parse(watch->choice.kind, text, len, &object, error, sizeof(error)) < 0) {
		set_end(watch, REFLECTOR_GARBAGE, error);
		return false;
	}
	watch->n_objects++;
	watch->n_endpoints += object.n_peers;
	bool taken = take_object(watch, &object);
	kube_object_clear(&object);
	return taken;
}

static bool error_event(struct kube_watch *watch, const struct kube_status *status)
{
	set_end(watch, REFLECTOR_IN_STREAM, status->message ? status->message : "no reason given");
	watch->end.status = status->code;
	watch->end.retry_after_s = status->retry_after_s;
	watch->end.version_too_large = status->version_too_large;
	return false;
}

/* Returns whether the watch goes on. */
static bool act_on_event(struct kube_watch *watch, struct kube_event *event)
{
	switch (event->type) {
	case KUBE_EVENT_ERROR:
		return error_event(watch, &event->status);
	case KUBE_EVENT_UNKNOWN:
		kube_report_say(&watch->report, REPORT_DEBUG,
		                "an event of unknown type %s is skipped", event->type_name);
		return true;
	case KUBE_EVENT_UPSERT:
	case KUBE_EVENT_DELETED:
		if (!put_object(watch, &event->object))
			return false;
		watch->has_objects |= event->type == KUBE_EVENT_UPSERT;
		break;
	case KUBE_EVENT_BOOKMARK:
		break;
	}
	heard(watch);
	kube_report_fine(&watch->report, watch->op);
	reflector_saw(watch->reflector, event->object.resource_version,
	              event->type == KUBE_EVENT_BOOKMARK);
	return true;
}

static bool on_watch_line(void *arg, const char *text, size_t len)
{
	struct kube_watch *watch = arg;
	struct kube_event event;
	char error[DETAIL_SIZE];

	if (kube_event_parse(watch->choice.kind, text, len, &event, error, sizeof(error)) < 0) {
		set_end(watch, REFLECTOR_GARBAGE, error);
		return false;
	}
	bool go_on = act_on_event(watch, &event);
	kube_event_clear(&event);
	return go_on;
}

/* --- a LIST that came whole -------------------------------------------------------------------- */

/* The next look comes after a pause: pods and their endpoints are made in any order. */
static void look_again(struct kube_watch *watch)
{
	uint64_t ms = watch->look_again_ms ? watch->look_again_ms : LOOK_AGAIN_MIN_MS;

	watch->pause_ms = ms / 2 + chance_below((uint32_t)ms);
	watch->look_again_ms = ms * 2 < LOOK_AGAIN_MAX_MS ? ms * 2 : LOOK_AGAIN_MAX_MS;
}

/* From now on they are watched by name; all in one watch where they are chosen by label. */
static void watch_found(struct kube_watch *watch)
{
	bool one_only = watch->choice.kind == KUBE_ENDPOINTS;
	char *services = kube_own_list(&watch->own);
	char *first = services && one_only ? strdup(watch->own.names[0]) : NULL;

	if (!services || (one_only && !first)) {
		free(services);
		look_again(watch);
		return;
	}
	kube_report_found(&watch->report, services, watch->n_endpoints);
	if (watch->own.more)
		kube_report_say(&watch->report, REPORT_WARNING,
		                "there are more than %d of them: name those that count in "
		                "ERL_EPMD_SERVICE",
		                KUBE_OWN_MAX);
	for (size_t i = 1; one_only && i < watch->own.n; i++)
		watch->shared->found_more(watch->shared->arg, watch->namespace_,
		                          watch->own.names[i]);
	watch->service = one_only ? first : services;
	watch->report.service = watch->service;
	if (one_only)
		free(services);
}

static void search_complete(struct kube_watch *watch)
{
	watch->searched = true;
	reflector_restart(watch->reflector);
	if (watch->own.n > 0) {
		watch_found(watch);
		return;
	}
	kube_report_found(&watch->report, NULL, watch->n_endpoints);
	look_again(watch);
}

static void list_complete(struct kube_watch *watch)
{
	heard(watch);
	kube_kind_listed(&watch->choice);
	kube_report_fine(&watch->report, watch->op);
	if (searching(watch)) {
		search_complete(watch);
		return;
	}
	peerset_replace_end(watch->shared->peers, watch->scope, clock_now_ms());
	watch->listed = true;
	watch->has_objects = watch->n_objects > 0;
	kube_report_listed(&watch->report, watch->choice.kind, watch->n_objects,
	                   watch->n_endpoints);
}

/* Returns false when the envelope cannot be read: END is then set. */
static bool list_page(struct kube_watch *watch)
{
	struct kube_list_meta meta;
	const char *envelope;
	size_t len;
	char error[DETAIL_SIZE];
	enum kube_split_error split = kube_split_end(watch->split, &envelope, &len);

	if (split != KUBE_SPLIT_OK) {
		set_end(watch, REFLECTOR_GARBAGE, kube_split_error_text(split));
		return false;
	}
	if (kube_list_meta_parse(envelope, len, &meta, error, sizeof(error)) < 0) {
		set_end(watch, REFLECTOR_GARBAGE, error);
		return false;
	}
	if (reflector_listed(watch->reflector, meta.resource_version, meta.continue_token,
	                     clock_now_ms()))
		list_complete(watch);
	kube_list_meta_clear(&meta);
	return true;
}

/* --- which kind of object ---------------------------------------------------------------------- */

/* Each whole LIST asks for the best kind first; the version of the one that has been read is
 * kept for when none better is to be had. */
static void choose_kind(struct kube_watch *watch, struct reflector_request *request)
{
	if (request->op == REFLECTOR_LIST && !request->continue_token && !watch->going_on)
		kube_kind_begin(&watch->choice);
	watch->going_on = false;
	if (watch->choice.kind != watch->kept)
		reflector_first(request);
}

/* A LIST of the kind chosen is being answered: only now is the other's version of no use. */
static void keep_kind(struct kube_watch *watch)
{
	if (watch->choice.kind == watch->kept)
		return;
	watch->kept = watch->choice.kind;
	reflector_restart(watch->reflector);
}

/* True when another kind is to be asked for instead of the one refused. */
static bool fall_back(struct kube_watch *watch)
{
	if (watch->op != REFLECTOR_LIST || !kube_kind_refused(&watch->choice, watch->status))
		return false;
	watch->going_on = true;
	kube_report_say(&watch->report, REPORT_DEBUG, "%d: asking for %s instead", watch->status,
	                kube_kind_resource(watch->choice.kind));
	return true;
}

/* --- how a request ended -------------------------------------------------------------------------- */

static void http_status_ended(struct kube_watch *watch, const struct http_result *result)
{
	struct kube_status status;

	count(watch, outcome_of_status(watch->status));
	if (fall_back(watch)) {
		schedule(watch, 0);
		return;
	}
	if (watch->status == 401 && !watch->retried_401) {
		/* The token may have been swapped while the request was under way. */
		watch->retried_401 = true;
		watch->going_on = true;
		schedule(watch, 0);
		return;
	}
	kube_status_parse(watch->body ? watch->body : "", watch->body_len, &status);
	bool expired = watch->status == 410;
	if (!expired && !status.version_too_large)
		kube_report_http(&watch->report, watch->op, watch->choice.kind, watch->status,
		                 &status);
	watch->end = (struct reflector_end){
	    .why = REFLECTOR_HTTP,
	    .status = watch->status,
	    .retry_after_s = result->retry_after_s ? result->retry_after_s : status.retry_after_s,
	    .version_too_large = status.version_too_large,
	};
	kube_status_clear(&status);
	reflector_ended(watch->reflector, &watch->end, clock_now_ms());
	schedule(watch, 0);
}

static void broken(struct kube_watch *watch)
{
	count(watch, outcome_of_end(&watch->end));
	kube_report_end(&watch->report, watch->op, &watch->end, watch->fault, watch->detail);
	reflector_ended(watch->reflector, &watch->end, clock_now_ms());
	schedule(watch, 0);
}

static void answered(struct kube_watch *watch)
{
	if (watch->op == REFLECTOR_LIST) {
		if (list_page(watch)) {
			count(watch, SOURCE_OK);
			schedule(watch, watch->pause_ms);
			watch->pause_ms = 0;
		} else {
			broken(watch);
		}
		return;
	}
	if (kube_split_end(watch->split, NULL, NULL) == KUBE_SPLIT_OK)
		set_end(watch, REFLECTOR_CLEAN, "");
	else
		set_end(watch, REFLECTOR_CUT, "it ended in the middle of a line");
	broken(watch);
}

static void set_transport_end(struct kube_watch *watch, const struct http_result *result)
{
	bool never_there = result->outcome == HTTP_REFUSED || result->outcome == HTTP_TLS;

	watch->fault = result->outcome == HTTP_TLS ? SOURCE_DISTRUSTED : SOURCE_NO_ANSWER;
	set_end(watch, never_there ? REFLECTOR_REFUSED : REFLECTOR_CUT, result->error);
}

static void on_done(void *arg, const struct http_result *result)
{
	struct kube_watch *watch = arg;

	watch->transfer = NULL;
	event_del(watch->silence);
	if (watch->status != 401)
		watch->retried_401 = watch->retried_401 && watch->status == 0;
	if (watch->ended) {
		broken(watch);
	} else if (result->outcome != HTTP_DONE) {
		set_transport_end(watch, result);
		broken(watch);
	} else if (watch->status == 200) {
		answered(watch);
	} else {
		http_status_ended(watch, result);
	}
	watch->shared->peers_touched(watch->shared->arg);
}

/* --- what comes ------------------------------------------------------------------------------------ */

static void begin_page(struct kube_watch *watch)
{
	char error[DETAIL_SIZE];

	keep_kind(watch);
	if (watch->later_page) {
		if (++watch->n_pages <= PAGES_MAX)
			return;
		snprintf(error, sizeof(error), "a list of more than %u pages", PAGES_MAX);
		set_end(watch, REFLECTOR_GARBAGE, error);
		return;
	}
	watch->n_pages = 1;
	watch->n_objects = 0;
	watch->n_endpoints = 0;
	kube_own_clear(&watch->own);
	if (!searching(watch))
		peerset_replace_begin(watch->shared->peers, watch->scope);
}

static void on_status(void *arg, int status, const char *warning)
{
	struct kube_watch *watch = arg;
	bool list = watch->op == REFLECTOR_LIST;

	watch->status = status;
	if (warning)
		kube_report_warning(&watch->report, warning);
	if (status != 200)
		return;
	event_del(watch->silence);
	watch->split = list ? kube_split_new(KUBE_SPLIT_LIST, on_list_item, watch)
	                    : kube_split_new(KUBE_SPLIT_WATCH, on_watch_line, watch);
	if (!watch->split)
		set_end(watch, REFLECTOR_GARBAGE, "no memory to read it");
	else if (list)
		begin_page(watch);
	else
		kube_report_opened(&watch->report);
}

static bool keep_body(struct kube_watch *watch, const char *bytes, size_t len)
{
	size_t room = ERROR_BODY_MAX - watch->body_len;

	if (len > room)
		len = room;
	char *body = len ? realloc(watch->body, watch->body_len + len) : NULL;
	if (body) {
		memcpy(body + watch->body_len, bytes, len);
		watch->body = body;
		watch->body_len += len;
	}
	return true;
}

static void await_bookmark(struct kube_watch *watch)
{
	struct timeval silence = {.tv_sec = SILENCE_S};

	if (watch->op == REFLECTOR_WATCH && reflector_expects_bookmarks(watch->reflector))
		event_add(watch->silence, &silence);
}

static bool on_data(void *arg, const char *bytes, size_t len)
{
	struct kube_watch *watch = arg;

	if (watch->ended)
		return false;
	if (!watch->split)
		return keep_body(watch, bytes, len);
	enum kube_split_error error = kube_split_feed(watch->split, bytes, len);
	if (error != KUBE_SPLIT_OK && !watch->ended)
		set_end(watch, REFLECTOR_GARBAGE, kube_split_error_text(error));
	await_bookmark(watch);
	watch->shared->peers_touched(watch->shared->arg);
	return error == KUBE_SPLIT_OK;
}

static void begin_watch(struct kube_watch *watch)
{
	struct timeval answer = {.tv_sec = WATCH_ANSWER_S};

	count_watch(watch);
	event_add(watch->silence, &answer);
}

static void set_unanswered(struct kube_watch *watch)
{
	const struct kube_access *access = watch->shared->access;
	char text[DETAIL_SIZE];

	snprintf(text, sizeof(text), "%s:%u: no answer to \"watch\" in %d s", access->host,
	         access->port, WATCH_ANSWER_S);
	watch->fault = SOURCE_NO_ANSWER;
	set_end(watch, REFLECTOR_REFUSED, text);
}

static void on_silence(evutil_socket_t fd, short what, void *arg)
{
	struct kube_watch *watch = arg;

	(void)fd;
	(void)what;
	http_cancel(watch->transfer);
	watch->transfer = NULL;
	if (watch->status == 200)
		set_end(watch, REFLECTOR_CUT, "it fell silent");
	else
		set_unanswered(watch);
	broken(watch);
}

/* --- sending ------------------------------------------------------------------------------------------ */

static void forget_request(struct kube_watch *watch)
{
	kube_split_free(watch->split);
	watch->split = NULL;
	free(watch->body);
	watch->body = NULL;
	watch->body_len = 0;
	watch->status = 0;
	watch->ended = false;
	watch->detail[0] = '\0';
}

static struct http_server server_of(const struct kube_access *access)
{
	return (struct http_server){
	    .host = access->host,
	    .port = access->port,
	    .base_path = access->base_path,
	    .tls_server_name = access->tls_server_name,
	    .ca_pem = access->ca_pem,
	    .system_ca = access->system_ca,
	    .cert_pem = access->cert_pem,
	    .key_pem = access->key_pem,
	    .token = access->token,
	};
}

static struct http_transfer *send_request(struct kube_watch *watch,
                                          const struct reflector_request *request)
{
	const struct kube_target target = {
	    .kind = watch->choice.kind,
	    .namespace_ = watch->namespace_,
	    .selector = watch->selector,
	    .services = watch->service,
	};
	const struct http_events events = {on_status, on_data, on_done, watch};
	const struct http_server server = server_of(watch->shared->access);
	bool list = request->op == REFLECTOR_LIST;
	char *path = kube_path(&target, request);
	const struct http_get get = {
	    .server = &server,
	    .path = path,
	    .connect_timeout_s = CONNECT_TIMEOUT_S,
	    .total_timeout_s = list ? LIST_TIMEOUT_S : request->timeout_s + WATCH_GRACE_S,
	    .own_connection = !list,
	};
	struct http_transfer *transfer = path ? http_get(watch->shared->http, &get, &events) : NULL;

	if (transfer)
		kube_report_say(&watch->report, REPORT_DEBUG, "GET %s", path);
	free(path);
	return transfer;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct kube_watch *watch = arg;
	struct reflector_request request;
	char error[DETAIL_SIZE] = "out of memory";

	(void)fd;
	(void)what;
	forget_request(watch);
	reflector_next(watch->reflector, clock_now_ms(), &request);
	choose_kind(watch, &request);
	watch->op = request.op;
	watch->later_page = request.continue_token != NULL;
	watch->fault = SOURCE_NO_CREDENTIALS;
	if (kube_access_refresh(watch->shared->access, error, sizeof(error)) == 0) {
		watch->fault = SOURCE_TROUBLE;
		watch->transfer = send_request(watch, &request);
	}
	reflector_sent(watch->reflector, clock_now_ms());
	if (watch->transfer) {
		if (watch->op == REFLECTOR_WATCH)
			begin_watch(watch);
		return;
	}
	set_end(watch, REFLECTOR_REFUSED, error);
	broken(watch);
}

static void schedule(struct kube_watch *watch, uint64_t extra_ms)
{
	struct reflector_request request;
	uint64_t now = clock_now_ms();

	reflector_next(watch->reflector, now, &request);
	uint64_t wait = request.not_before_ms > now ? request.not_before_ms - now : 0;
	struct timeval delay = clock_delay(wait + extra_ms);
	event_add(watch->timer, &delay);
}

/* --- life ------------------------------------------------------------------------------------------------ */

static uint32_t reflector_chance(void *arg, uint32_t bound)
{
	(void)arg;
	return chance_below(bound);
}

static bool copy_text(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return !from || *to;
}

struct kube_watch *kube_watch_new(struct kube_shared *shared, unsigned scope,
                                  const char *namespace_, const char *selector, const char *service)
{
	struct kube_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->shared = shared;
	watch->scope = scope;
	watch->choice = kube_kind_choice();
	watch->kept = watch->choice.kind;
	watch->reflector = reflector_new(reflector_chance, NULL);
	watch->timer = evtimer_new(shared->base, on_timer, watch);
	watch->silence = evtimer_new(shared->base, on_silence, watch);
	if (!copy_text(&watch->namespace_, namespace_) || !copy_text(&watch->selector, selector) ||
	    !copy_text(&watch->service, service) || !watch->reflector || !watch->timer ||
	    !watch->silence) {
		kube_watch_free(watch);
		return NULL;
	}
	watch->report = (struct kube_report){
	    .events = &shared->events,
	    .access = shared->access,
	    .namespace_ = watch->namespace_,
	    .selector = watch->selector,
	    .service = watch->service,
	};
	schedule(watch, chance_below(START_JITTER_MS));
	return watch;
}

void kube_watch_free(struct kube_watch *watch)
{
	if (!watch)
		return;
	if (watch->transfer)
		http_cancel(watch->transfer);
	forget_request(watch);
	if (watch->timer)
		event_free(watch->timer);
	if (watch->silence)
		event_free(watch->silence);
	reflector_free(watch->reflector);
	kube_own_clear(&watch->own);
	free(watch->namespace_);
	free(watch->selector);
	free(watch->service);
	free(watch);
}

bool kube_watch_pending(const struct kube_watch *watch, char *reason, size_t reason_size)
{
	const struct kube_report *report = &watch->report;
	char services[PLACE_SIZE];

	if (watch->listed)
		return false;
	kube_report_services(report, services, sizeof(services));
	snprintf(reason, reason_size, "no complete list yet of namespace %s, %s%s%s",
	         watch->namespace_, services, report->problem[0] ? ": " : "", report->problem);
	return true;
}

void kube_watch_tell_state(const struct kube_watch *watch, source_state_fn *fn, void *arg)
{
	const struct kube_access *access = watch->shared->access;
	const struct kube_report *report = &watch->report;
	enum source_fault fault = report->fault;
	char place[PLACE_SIZE], services[PLACE_SIZE], server[PLACE_SIZE];

	kube_report_services(report, services, sizeof(services));
	snprintf(place, sizeof(place), "namespace %s, %.*s", watch->namespace_, PLACE_SIZE - 80,
	         services);
	snprintf(server, sizeof(server), strchr(access->host, ':') ? "[%s]:%u" : "%s:%u",
	         access->host, access->port);
	const struct source_state state = {
	    .place = place,
	    .namespace_ = watch->namespace_,
	    .services = services,
	    .server = server,
	    .origin = access->origin,
	    .in_cluster = access->in_cluster,
	    .fault = fault,
	    .problem = report->problem,
	    .message = fault == SOURCE_FORBIDDEN ? report->message : "",
	    .verb = report->problem_op == REFLECTOR_WATCH ? "watch" : "list",
	    .resource = kube_kind_resource(fault == SOURCE_FORBIDDEN ? report->problem_kind
	                                                                     : watch->choice.kind),
	    .listed = watch->listed,
	    .searching = searching(watch) && watch->searched,
	    .has_objects = watch->has_objects,
	    .n_endpoints = peerset_held(watch->shared->peers, watch->scope),
	};
	fn(arg, &state);
}
