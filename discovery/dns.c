/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ares.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "chance.h"
#include "clock.h"
#include "dns_channel.h"
#include "dns_lookup.h"
#include "dns_name.h"
#include "peerset.h"
#include "peerset_feed.h"
#include "peerset_timer.h"
#include "source.h"

/* An answer is good for as long as its TTL says, but whoever keeps name servers thinks of names that
 * stay: no less, for the servers' sake, and no more, for ours. */
#define TTL_MIN_S 5
#define TTL_MAX_S 30

/* After failures, and while there is nobody: doubled from one to the other. */
#define RETRY_MIN_MS 5000
#define RETRY_MAX_MS 30000

/* That there is nobody any more is believed when DNS has said nothing else for so long: a server
 * that has just started, or has lost its own source, may say so of every name. */
#define NONE_PATIENCE_MS 60000

#define TROUBLE_SIZE (DNS_NAME_SIZE + 400)

/* What one name gives, by family a scope of the peer set. */
struct watch {
	struct source *source;
	unsigned index;
	char name[DNS_NAME_SIZE];
	char full[DNS_NAME_SIZE]; /* as it was found last, or asked for; "" at first */
	bool srv;
	struct dns_lookup *lookup;
	struct event *timer; /* the next one */
	unsigned bad;        /* answers with nobody, one after the other */
	struct peerset_feed *feed[DNS_FAMILIES];
	uint64_t none_since_ms[DNS_FAMILIES]; /* DNS says that peers are gone; 0: does not */
	char trouble[TROUBLE_SIZE];
	bool said;       /* how many peers there are */
	bool said_empty; /* that there are none */
	bool complete;   /* DNS has given an answer that counts once */
};

struct source {
	struct source_events events;
	struct event_base *base;
	struct peerset *peers;
	struct peerset_timer *settle;
	struct watch *watches;
	size_t n;
	bool has_library;
	struct source_stats stats;
};

/* --- the peer set ------------------------------------------------------------------------- */

static void on_peer(void *arg, const struct peer *before, const struct peer *after)
{
	const struct source *source = arg;

	source->events.peer_changed(source->events.arg, before, after);
}

static unsigned scope_of(const struct watch *watch, int family)
{
	return watch->index * DNS_FAMILIES + (unsigned)family;
}

static size_t held(const struct watch *watch, int family)
{
	return peerset_held(watch->source->peers, scope_of(watch, family));
}

static size_t held_in_all(const struct watch *watch)
{
	return held(watch, DNS_IPV4) + held(watch, DNS_IPV6);
}

/* --- what is said --------------------------------------------------------------------------- */

static void say(const struct watch *watch, enum report_level level, const char *text)
{
	char line[DNS_NAME_SIZE + TROUBLE_SIZE + 128];

	snprintf(line, sizeof(line), "ERL_EPMD_DISCOVERY=dns:%s %s", watch->name, text);
	watch->source->events.report(watch->source->events.arg, level, line);
}

static void say_trouble(struct watch *watch, const char *trouble)
{
	char text[TROUBLE_SIZE + 64];
	size_t n = held_in_all(watch);

	if (strcmp(watch->trouble, trouble) == 0)
		return;
	snprintf(watch->trouble, sizeof(watch->trouble), "%s", trouble);
	if (n == 0)
		snprintf(text, sizeof(text), "%s (peers until then: none)", trouble);
	else
		snprintf(text, sizeof(text), "%s (peers until then: the %zu that are known)",
		         trouble, n);
	say(watch, REPORT_ERROR, text);
}

/* N peers are there. */
static void say_well(struct watch *watch, size_t n)
{
	bool again = watch->trouble[0] != '\0';
	char text[DNS_NAME_SIZE + 64], count[24] = "none";

	watch->trouble[0] = '\0';
	if (!again && watch->said && watch->said_empty == (n == 0))
		return;
	watch->said = true;
	watch->said_empty = n == 0;
	if (n > 0)
		snprintf(count, sizeof(count), "%zu", n);
	snprintf(text, sizeof(text), "is %s as %s, peers: %s", again ? "found again" : "found",
	         watch->full, count);
	say(watch, REPORT_INFO, text);
}

/* --- putting what was found into the set ------------------------------------------------------- */

static void on_touched(void *arg)
{
	peerset_timer_touch(((struct watch *)arg)->source->settle);
}

static void on_fed(void *arg, bool good)
{
	if (!good)
		say_trouble(arg, "cannot be kept: memory is out: it is tried again");
}

/* FOUND is NULL when nobody is there. */
static bool put(struct watch *watch, int family, const struct dns_found *found)
{
	struct kube_object *objects = NULL;
	int n = found ? dns_found_take(found, (enum dns_family)family, &objects) : 0;

	if (n >= 0)
		peerset_feed_begin(watch->feed[family], objects, (size_t)n);
	return n >= 0;
}

/* DNS says that nobody of FAMILY is there. */
static void take_none(struct watch *watch, int family, uint64_t now)
{
	uint64_t *since = &watch->none_since_ms[family];

	if (held(watch, family) == 0)
		return;
	if (*since == 0)
		*since = now;
	if (now - *since >= NONE_PATIENCE_MS)
		put(watch, family, NULL);
}

static void take_found(struct watch *watch, int family, const struct dns_result *result)
{
	watch->none_since_ms[family] = 0;
	if (!put(watch, family, result->found))
		on_fed(watch, false);
}

/* --- answers ----------------------------------------------------------------------------------- */

/* What counts of the two: a failure of one family is none where it has given nobody yet and the
 * other has, for there are servers that are not fit for AAAA. */
static int status_of(const struct watch *watch, const struct dns_result *result)
{
	int status = result->status[DNS_IPV4];
	bool any = status == ARES_SUCCESS || result->status[DNS_IPV6] == ARES_SUCCESS;

	for (int f = 0; f < DNS_FAMILIES; f++) {
		bool failed =
		    result->status[f] != ARES_SUCCESS && !dns_status_is_none(result->status[f]);
		if (failed && (!any || held(watch, f) > 0))
			return result->status[f];
	}
	if (any)
		return ARES_SUCCESS;
	return result->status[DNS_IPV6] == ARES_ENODATA ? ARES_ENODATA : status;
}

static enum source_outcome outcome_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
		return SOURCE_OK;
	case ARES_EREFUSED:
		return SOURCE_DENIED;
	case ARES_ETIMEOUT:
	case ARES_ECONNREFUSED:
		return SOURCE_UNREACHABLE;
	case ARES_EBADRESP:
		return SOURCE_UNREADABLE;
	default:
		return SOURCE_ERROR;
	}
}

static void say_failure(struct watch *watch, int status)
{
	char text[TROUBLE_SIZE];

	snprintf(text, sizeof(text),
	         "cannot be resolved: %s: see /etc/resolv.conf and the name servers there",
	         dns_status_text(status));
	say_trouble(watch, text);
}

static void say_missing(struct watch *watch)
{
	char text[TROUBLE_SIZE];

	snprintf(text, sizeof(text),
	         "is no name in DNS (looked for as %s%s): give that of a headless Service in this "
	         "namespace, or its full name",
	         watch->full,
	         watch->full[0] && strcmp(watch->full, watch->name) != 0 ? ", .." : "");
	say_trouble(watch, text);
}

static void say_status(struct watch *watch, const struct dns_result *result, int status)
{
	size_t n = 0;

	for (int f = 0; f < DNS_FAMILIES && result->found; f++)
		n += dns_found_count(result->found, (enum dns_family)f);
	if (status == ARES_SUCCESS || (status == ARES_ENODATA && held_in_all(watch) == 0))
		say_well(watch, n);
	else if (status == ARES_ENODATA)
		say_trouble(watch, "has no addresses any more: if that stays so for a minute, the "
		                   "peers go");
	else if (status == ARES_ENOTFOUND)
		say_missing(watch);
	else
		say_failure(watch, status);
}

/* In milliseconds, a little spread, so that pods that were started together do not ask together. */
static uint64_t wait_after(struct watch *watch, const struct dns_result *result, int status)
{
	uint64_t wait = RETRY_MIN_MS;

	if (status == ARES_SUCCESS) {
		uint32_t ttl = dns_found_ttl(result->found);
		watch->bad = 0;
		wait = 1000u * (ttl < TTL_MIN_S ? TTL_MIN_S : ttl > TTL_MAX_S ? TTL_MAX_S : ttl);
	} else {
		for (unsigned i = 0; i < watch->bad && wait < RETRY_MAX_MS; i++)
			wait *= 2;
		watch->bad += wait < RETRY_MAX_MS;
	}
	wait = wait > RETRY_MAX_MS ? RETRY_MAX_MS : wait;
	return wait + chance_below((uint32_t)wait / 10);
}

static void ask_in(struct watch *watch, uint64_t ms)
{
	struct timeval delay = clock_delay(ms);

	event_add(watch->timer, &delay);
}

static void take_families(struct watch *watch, const struct dns_result *result)
{
	uint64_t now = clock_now_ms();

	for (int f = 0; f < DNS_FAMILIES; f++) {
		if (result->status[f] == ARES_SUCCESS)
			take_found(watch, f, result);
		else if (dns_status_is_none(result->status[f]))
			take_none(watch, f, now);
	}
}

static void on_result(void *arg, const struct dns_result *result)
{
	struct watch *watch = arg;
	struct source_stats *stats = &watch->source->stats;
	int status = status_of(watch, result);

	watch->lookup = NULL;
	stats->ended[SOURCE_LIST][outcome_of(status)]++;
	if (outcome_of(status) == SOURCE_OK) {
		stats->heard_ms = clock_now_ms();
		watch->complete = true;
	}
	if (result->full[0])
		snprintf(watch->full, sizeof(watch->full), "%s", result->full);
	ask_in(watch, wait_after(watch, result, status));
	say_status(watch, result, status);
	take_families(watch, result);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;

	(void)fd;
	(void)what;
	say(watch, REPORT_DEBUG, "is being asked for");
	watch->lookup =
	    dns_lookup_begin(watch->source->base, NULL, watch->name, watch->srv, on_result, watch);
	if (watch->lookup)
		return;
	say_failure(watch, ARES_ENOMEM);
	ask_in(watch, RETRY_MIN_MS);
}

/* --- life ------------------------------------------------------------------------------------------ */

static void free_watch(struct watch *watch)
{
	dns_lookup_cancel(watch->lookup);
	if (watch->timer)
		event_free(watch->timer);
	for (int f = 0; f < DNS_FAMILIES; f++)
		peerset_feed_free(watch->feed[f]);
}

static void stop(struct source *source)
{
	for (size_t i = 0; source->watches && i < source->n; i++)
		free_watch(&source->watches[i]);
	free(source->watches);
	peerset_timer_free(source->settle);
	peerset_free(source->peers);
	if (source->has_library)
		dns_library_end();
	free(source);
}

/* A name that is not there may come to be. */
static int check(const struct source_settings *settings, char *error, size_t error_size)
{
	(void)settings;
	(void)error;
	(void)error_size;
	return 0;
}

static bool open_watch(struct source *source, const char *name, bool hostnames)
{
	struct watch *watch = &source->watches[source->n];
	const struct peerset_feed_events events = {on_touched, on_fed, watch};
	bool good = true;

	watch->source = source;
	watch->index = (unsigned)source->n++;
	snprintf(watch->name, sizeof(watch->name), "%s", name);
	watch->srv = hostnames || dns_name_is_srv(name);
	watch->timer = evtimer_new(source->base, on_timer, watch);
	for (int f = 0; f < DNS_FAMILIES; f++) {
		watch->feed[f] =
		    peerset_feed_new(source->base, source->peers, scope_of(watch, f), &events);
		good &= watch->feed[f] != NULL;
	}
	if (good && watch->timer)
		ask_in(watch, 0);
	return good && watch->timer;
}

static bool open_watches(struct source *source, const struct source_settings *settings)
{
	const char *list = settings->names;
	char name[DNS_NAME_SIZE];
	bool good = true;

	while (good && source->n < DNS_NAMES_MAX && dns_names_next(&list, name))
		good = open_watch(source, name, settings->hostnames);
	return good;
}

static struct source *start(struct event_base *base, const struct source_settings *settings,
                            const struct source_events *events, char *error, size_t error_size)
{
	struct source *source = calloc(1, sizeof(*source));

	snprintf(error, error_size, "out of memory");
	if (!source)
		return NULL;
	source->events = *events;
	source->base = base;
	source->has_library = dns_library_start();
	source->peers = peerset_new(false, on_peer, source);
	source->settle = source->peers ? peerset_timer_new(base, source->peers) : NULL;
	source->watches = calloc(DNS_NAMES_MAX, sizeof(*source->watches));
	if (source->has_library && source->settle && source->watches &&
	    open_watches(source, settings))
		return source;
	stop(source);
	return NULL;
}

/* --- how it does ----------------------------------------------------------------------------------- */

static const struct source_stats *stats(const struct source *source)
{
	return &source->stats;
}

static bool pending(const struct source *source, char *reason, size_t reason_size)
{
	for (size_t i = 0; i < source->n; i++) {
		const struct watch *watch = &source->watches[i];
		if (watch->complete)
			continue;
		snprintf(reason, reason_size, "%s %s", watch->name,
		         watch->trouble[0] ? watch->trouble : "is not resolved yet");
		return true;
	}
	return false;
}

static void each_state(const struct source *source, source_state_fn *fn, void *arg)
{
	for (size_t i = 0; i < source->n; i++) {
		const struct watch *watch = &source->watches[i];
		const struct source_state state = {
		    .place = watch->name,
		    .fault = watch->trouble[0] ? SOURCE_NAME_TROUBLE : SOURCE_FINE,
		    .problem = watch->trouble,
		    .message = "",
		    .listed = watch->complete,
		    .has_objects = true,
		    .n_endpoints = held_in_all(watch),
		};
		fn(arg, &state);
	}
}

const struct source_ops dns_source = {.name = "dns",
                                      .check = check,
                                      .start = start,
                                      .stop = stop,
                                      .stats = stats,
                                      .pending = pending,
                                      .each_state = each_state};
