/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "reflector.h"

#define BACKOFF_FIRST_MS 800u
#define BACKOFF_MAX_MS 30000u
#define BACKOFF_DOUBLINGS_MAX 6u   /* 800 << 6 is past the maximum */
#define QUIET_MS (2 * 60 * 1000u)  /* without a failure: the backoff begins anew */
#define RETRY_AFTER_MAX_S (5 * 60) /* no server may silence us for longer */

#define WATCH_MIN_S 900u
#define WATCH_MAX_S 1800u
#define WATCH_CUT_MIN_S 60u /* a WATCH shorter than this is not worth a LIST's delay */
#define WATCH_ALIVE_MS 1000u

#define RELIST_MIN_MS (30 * 60 * 1000u)
#define RELIST_MAX_MS (60 * 60 * 1000u)

/* Whatever the server has at hand. */
#define ANY_VERSION "0"

struct reflector {
	reflector_random_fn *random;
	void *arg;

	enum reflector_op op; /* of the next request, or of the one under way */
	uint64_t not_before_ms;
	bool synced;

	char *version; /* the last seen that can be gone on from, or NULL */
	bool latest;   /* it is of no use: the next LIST asks for the latest state */
	char *continue_token;
	bool unpaged;
	uint64_t relist_at_ms; /* when the periodic LIST is due; set when SYNCED */

	uint64_t sent_at_ms;
	bool saw_event;
	bool saw_bookmark;
	bool was_short; /* the WATCH before was over in no time, after an event */

	unsigned doublings;
	uint64_t quiet_from_ms; /* end of the last delay after a failure */
	uint64_t gone_at_ms;    /* of the last 410 */
	bool was_gone;
};

/* What comes after a request that failed, or a WATCH that ended. */
enum step {
	RESUME,       /* WATCH from the last version, unless the periodic LIST is due */
	RESUME_LATER, /* the same after the backoff */
	RELIST,       /* LIST */
	RELIST_LATER,
};

struct reflector *reflector_new(reflector_random_fn *random, void *arg)
{
	struct reflector *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->random = random;
	r->arg = arg;
	r->op = REFLECTOR_LIST;
	return r;
}

static void set_string(char **string, char *value)
{
	free(*string);
	*string = value;
}

void reflector_free(struct reflector *r)
{
	if (!r)
		return;
	free(r->version);
	free(r->continue_token);
	free(r);
}

void reflector_restart(struct reflector *r)
{
	set_string(&r->version, NULL);
	set_string(&r->continue_token, NULL);
	r->op = REFLECTOR_LIST;
	r->synced = false;
	r->latest = false;
	r->unpaged = false;
	r->saw_event = false;
	r->saw_bookmark = false;
	r->was_short = false;
	r->was_gone = false;
}

/* --- what is asked next -------------------------------------------------------------- */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Seconds so that the last WATCH before the periodic LIST ends when that is due
 * and none of them is short: requests at rest stay few. */
static unsigned watch_timeout(const struct reflector *r, uint64_t start_ms)
{
	uint64_t left_ms = r->relist_at_ms > start_ms ? r->relist_at_ms - start_ms : 0;
	unsigned left = (unsigned)((left_ms + 999) / 1000);
	unsigned low = WATCH_MIN_S, high = WATCH_MAX_S;

	if (left <= WATCH_CUT_MIN_S)
		return WATCH_CUT_MIN_S;
	if (left <= WATCH_MAX_S)
		return left;
	if (left < 2 * WATCH_MAX_S) {
		if (left - WATCH_MAX_S > low)
			low = left - WATCH_MAX_S;
		if (left - WATCH_MIN_S < high)
			high = left - WATCH_MIN_S;
	}
	return low + r->random(r->arg, high - low + 1);
}

/* The first LIST may come from any cache; later ones must not be older than what
 * was seen, which a lagging server's would be. */
static const char *list_version(const struct reflector *r)
{
	if (r->continue_token || r->latest)
		return NULL;
	if (r->version)
		return r->version;
	return r->synced ? NULL : ANY_VERSION;
}

/* With a version and a limit a LIST would show exactly that old state, and not
 * what is there by now (API concepts, "Semantics for get and list"). */
static unsigned list_limit(const struct reflector *r)
{
	bool dated = r->version && !r->latest && !r->continue_token;

	return r->unpaged || dated ? 0 : REFLECTOR_PAGE;
}

void reflector_next(struct reflector *r, uint64_t now_ms, struct reflector_request *request)
{
	*request = (struct reflector_request){.op = r->op, .not_before_ms = r->not_before_ms};
	if (r->op == REFLECTOR_WATCH) {
		request->resource_version = r->version;
		request->timeout_s = watch_timeout(r, later(now_ms, r->not_before_ms));
	} else {
		request->resource_version = list_version(r);
		request->continue_token = r->continue_token;
		request->limit = list_limit(r);
	}
}

void reflector_first(struct reflector_request *request)
{
	*request = (struct reflector_request){
	    .op = REFLECTOR_LIST, .resource_version = ANY_VERSION, .limit = REFLECTOR_PAGE};
}

void reflector_sent(struct reflector *r, uint64_t now_ms)
{
	r->sent_at_ms = now_ms;
	r->saw_event = false;
	r->saw_bookmark = false;
}

/* --- what came --------------------------------------------------------------------------- */

/* The version to go on from; NULL for those that name no state. */
static char *copy_version(const char *version)
{
	return version && *version && strcmp(version, "0") != 0 ? strdup(version) : NULL;
}

/* How long to wait after this failure. */
static uint64_t backoff(struct reflector *r, int retry_after_s, uint64_t now_ms)
{
	if (now_ms >= r->quiet_from_ms + QUIET_MS)
		r->doublings = 0;

	unsigned base = BACKOFF_FIRST_MS << r->doublings;
	unsigned delay = base + r->random(r->arg, base + 1);
	if (delay > BACKOFF_MAX_MS)
		delay = BACKOFF_MAX_MS;
	if (r->doublings < BACKOFF_DOUBLINGS_MAX)
		r->doublings++;

	if (retry_after_s > RETRY_AFTER_MAX_S)
		retry_after_s = RETRY_AFTER_MAX_S;
	return later(delay, retry_after_s > 0 ? (uint64_t)retry_after_s * 1000 : 0);
}

static void delay_next(struct reflector *r, int retry_after_s, uint64_t now_ms)
{
	r->not_before_ms = now_ms + backoff(r, retry_after_s, now_ms);
	r->quiet_from_ms = r->not_before_ms;
}

static void begin_list(struct reflector *r)
{
	r->op = REFLECTOR_LIST;
	set_string(&r->continue_token, NULL);
}

bool reflector_listed(struct reflector *r, const char *resource_version, const char *continue_token,
                      uint64_t now_ms)
{
	r->not_before_ms = 0;
	if (continue_token && *continue_token) {
		set_string(&r->continue_token, strdup(continue_token));
		if (!r->continue_token)
			delay_next(r, 0, now_ms); /* without memory: from the first page again */
		return false;
	}
	set_string(&r->continue_token, NULL);
	set_string(&r->version, copy_version(resource_version));
	r->latest = false;
	r->unpaged = false;
	r->synced = true;
	r->relist_at_ms =
	    now_ms + RELIST_MIN_MS + r->random(r->arg, RELIST_MAX_MS - RELIST_MIN_MS + 1);
	r->op = REFLECTOR_WATCH;
	return true;
}

void reflector_saw(struct reflector *r, const char *resource_version, bool bookmark)
{
	char *version = copy_version(resource_version);

	r->saw_event = true;
	if (bookmark)
		r->saw_bookmark = true;
	if (version)
		set_string(&r->version, version);
}

/* --- what went wrong ------------------------------------------------------------------------ */

/* The version is gone from the server's memory: at once, unless that happens
 * again and again. */
static enum step after_gone(struct reflector *r, uint64_t now_ms)
{
	bool again = r->was_gone && now_ms < r->gone_at_ms + QUIET_MS;

	r->was_gone = true;
	r->gone_at_ms = now_ms;
	r->latest = true;
	if (r->continue_token)
		r->unpaged = true;
	return again ? RELIST_LATER : RELIST;
}

/* A server that ends each WATCH after one event must not make us spin. */
static enum step after_short_watch(struct reflector *r)
{
	bool again = r->was_short;

	if (!r->saw_event)
		return RELIST_LATER;
	r->was_short = true;
	return again ? RESUME_LATER : RESUME;
}

static bool is_overload(int status)
{
	return status == 429 || status == 500 || status == 504;
}

static enum step after_watch(struct reflector *r, const struct reflector_end *end, uint64_t now_ms)
{
	bool was_short = now_ms < r->sent_at_ms + WATCH_ALIVE_MS;

	if (!was_short)
		r->was_short = false;
	switch (end->why) {
	case REFLECTOR_CLEAN:
		return was_short ? after_short_watch(r) : RESUME;
	case REFLECTOR_CUT:
		return was_short ? RELIST_LATER : RESUME;
	case REFLECTOR_REFUSED:
		return RESUME_LATER;
	case REFLECTOR_HTTP:
		return end->status == 429 ? RESUME_LATER : RELIST_LATER;
	case REFLECTOR_IN_STREAM:
		return is_overload(end->status) ? RESUME_LATER : RELIST_LATER;
	case REFLECTOR_GARBAGE:
		break;
	}
	return RELIST_LATER;
}

/* What is true of LIST and WATCH alike comes first. */
static enum step decide(struct reflector *r, const struct reflector_end *end, uint64_t now_ms)
{
	bool said = end->why == REFLECTOR_HTTP || end->why == REFLECTOR_IN_STREAM;

	if (said && end->status == 410)
		return after_gone(r, now_ms);
	if (said && end->version_too_large) {
		r->latest = true;
		return RELIST_LATER;
	}
	return r->op == REFLECTOR_WATCH ? after_watch(r, end, now_ms) : RELIST_LATER;
}

/* Soon enough that a WATCH until then would be shorter than is allowed. */
static bool is_relist_due(const struct reflector *r, uint64_t at_ms)
{
	return at_ms + WATCH_CUT_MIN_S * 1000 > r->relist_at_ms;
}

void reflector_ended(struct reflector *r, const struct reflector_end *end, uint64_t now_ms)
{
	enum step step = decide(r, end, now_ms);

	r->not_before_ms = 0;
	if (step == RESUME_LATER || step == RELIST_LATER)
		delay_next(r, end->retry_after_s, now_ms);
	if (step == RELIST || step == RELIST_LATER ||
	    is_relist_due(r, later(now_ms, r->not_before_ms)))
		begin_list(r);
}

bool reflector_expects_bookmarks(const struct reflector *r)
{
	return r->op == REFLECTOR_WATCH && r->saw_bookmark;
}

bool reflector_synced(const struct reflector *r)
{
	return r->synced;
}
