/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "epmd/join/pair.h"

/* A random number in 0..BOUND-1. */
static uint64_t part_of(uint64_t bound, uint32_t chance)
{
	return bound * chance >> 32;
}

static uint64_t doubled(uint64_t first, unsigned times, uint64_t max)
{
	for (; times > 0 && first < max; times--)
		first *= 2;
	return first < max ? first : max;
}

void pair_start(struct pair *pair, uint64_t now_ms, uint64_t delay_ms)
{
	*pair = (struct pair){.due_ms = now_ms + delay_ms};
}

/* What was held against a node that is no more. */
static void absolve(struct pair *pair)
{
	pair->no_dial_ms = 0;
	pair->failed_looks = 0;
	pair->failed_dials = 0;
	pair->refusals = 0;
	pair->falls = 0;
	pair->held = false;
}

bool pair_is_cut_off(const struct pair *pair, uint64_t now_ms)
{
	return pair->silent_ms && now_ms - pair->silent_ms >= PAIR_CUT_OFF_MS;
}

bool pair_up(struct pair *pair, uint64_t now_ms)
{
	pair->due_ms = PAIR_NEVER;
	pair->silent_ms = 0;
	if (pair->outcome == PAIR_JOINED)
		return false;
	if (!pair->held)
		pair->no_dial_ms = 0;
	pair->outcome = PAIR_JOINED;
	pair->up_since_ms = now_ms;
	pair->failed_looks = 0;
	pair->failed_dials = 0;
	pair->refusals = 0;
	pair->ever_joined = true;
	return true;
}

/* How long a pair is kept apart after so many falls. */
static uint64_t hold_ms(unsigned falls)
{
	if (falls < PAIR_FALLS_UNSTABLE)
		return falls == 1 ? PAIR_FIRST_HOLD_MS : PAIR_SECOND_HOLD_MS;
	return doubled(PAIR_OPEN_MS, falls - PAIR_FALLS_UNSTABLE, PAIR_OPEN_MAX_MS);
}

static bool is_unstable(const struct pair *pair)
{
	return pair->held && pair->falls >= PAIR_FALLS_UNSTABLE;
}

bool pair_down(struct pair *pair, uint64_t now_ms, uint64_t delay_ms, uint32_t chance)
{
	if (pair->outcome != PAIR_JOINED)
		return false;
	if (now_ms - pair->up_since_ms >= PAIR_SETTLED_MS)
		pair->falls = 0;
	pair->falls++;
	pair->held = true;
	uint64_t hold = hold_ms(pair->falls);
	pair->no_dial_ms = now_ms + hold + part_of(hold / 4, chance);
	pair->due_ms = now_ms + delay_ms;
	pair->outcome = is_unstable(pair) ? PAIR_UNSTABLE : PAIR_UNTRIED;
	return is_unstable(pair);
}

static void not_answered(struct pair *pair, uint64_t now_ms, uint32_t chance)
{
	uint64_t wait = doubled(PAIR_LOOK_FIRST_MS, pair->failed_looks++, PAIR_LOOK_MAX_MS);

	if (!pair->silent_ms)
		pair->silent_ms = now_ms;
	pair->due_ms = now_ms + wait + part_of(wait / 2, chance);
}

/* It answers: what is known of it now?  True if it had been cut off. */
static bool answered(struct pair *pair, uint32_t creation, uint64_t now_ms)
{
	bool is_new = creation && pair->creation && creation != pair->creation;
	bool cut_off = pair_is_cut_off(pair, now_ms);

	if (is_new) {
		absolve(pair);
		pair->outcome = PAIR_UNTRIED;
	}
	if (creation)
		pair->creation = creation;
	pair->silent_ms = 0;
	pair->failed_looks = 0;
	return cut_off && !is_new;
}

static uint64_t next_look_ms(enum pair_outcome verdict, uint32_t chance)
{
	if (verdict == PAIR_TLS || verdict == PAIR_NOT_ALLOWED)
		return PAIR_LOGGED_MS;
	if (verdict == PAIR_BUSY)
		return PAIR_LOOK_FIRST_MS + part_of(PAIR_LOOK_FIRST_MS, chance);
	return PAIR_LOOK_REFUSED_MS + part_of(PAIR_LOOK_REFUSED_MS / 2, chance);
}

struct pair_next pair_looked(struct pair *pair, enum pair_outcome verdict, uint32_t creation,
                             uint64_t now_ms, uint32_t chance)
{
	struct pair_next next = {0};

	if (pair->outcome == PAIR_JOINED)
		return next;
	if (verdict == PAIR_UNREACHABLE) {
		if (!is_unstable(pair))
			pair->outcome = verdict;
		not_answered(pair, now_ms, chance);
		return next;
	}
	pair->due_ms = now_ms + next_look_ms(verdict, chance);
	if (verdict == PAIR_BUSY)
		return next;
	next.healed = answered(pair, creation, now_ms);
	if (verdict != PAIR_UNTRIED) {
		pair->outcome = verdict;
		return next;
	}
	if (pair->no_dial_ms > now_ms) {
		if (pair->due_ms > pair->no_dial_ms)
			pair->due_ms = pair->no_dial_ms;
		return next;
	}
	next.dial = true;
	pair->due_ms = PAIR_NEVER;
	return next;
}

void pair_dial_failed(struct pair *pair, enum pair_outcome why, bool greater, uint64_t now_ms,
                      uint32_t chance)
{
	uint64_t wait;

	if (pair->outcome == PAIR_JOINED)
		return;
	if (why == PAIR_COOKIE)
		wait = pair->refusals++ ? PAIR_LOGGED_MS : PAIR_COOKIE_FIRST_MS;
	else
		wait = doubled(PAIR_DIAL_TIMEOUT_MS, pair->failed_dials++, PAIR_DIAL_MAX_MS);
	wait += why == PAIR_COOKIE ? 0 : part_of(wait, chance);
	if (greater && why == PAIR_DIAL_TIMEOUT)
		wait *= 2;
	pair->outcome = why;
	pair->held = false;
	pair->no_dial_ms = now_ms + wait;
	pair->due_ms = now_ms + (wait < PAIR_LOOK_REFUSED_MS ? wait : PAIR_LOOK_REFUSED_MS);
}

void pair_interrupted(struct pair *pair, uint64_t now_ms)
{
	if (pair->outcome != PAIR_JOINED)
		pair->due_ms = now_ms;
}

void pair_forgive(struct pair *pair, uint64_t now_ms)
{
	if (!pair->held || pair->outcome == PAIR_JOINED)
		return;
	absolve(pair);
	pair->outcome = PAIR_UNTRIED;
	pair->due_ms = now_ms;
}

void pair_renewed(struct pair *pair, uint64_t now_ms, uint64_t delay_ms)
{
	if (pair->outcome == PAIR_JOINED)
		return;
	absolve(pair);
	pair->outcome = PAIR_UNTRIED;
	pair->silent_ms = 0;
	pair->due_ms = now_ms + delay_ms;
}

enum pair_outcome pair_shown(enum pair_outcome outcome, bool joining, bool has_port)
{
	if (!joining)
		return PAIR_LEFT_ALONE;
	return has_port || outcome == PAIR_JOINED ? outcome : PAIR_NO_PORT;
}

const char *pair_outcome_word(enum pair_outcome outcome)
{
	static const char *const words[PAIR_OUTCOMES] = {
	    [PAIR_UNTRIED] = "not yet",
	    [PAIR_JOINED] = "joined",
	    [PAIR_BUSY] = "not yet",
	    [PAIR_UNREACHABLE] = "unreachable",
	    [PAIR_NO_NODE] = "no node",
	    [PAIR_TLS] = "tls",
	    [PAIR_NAME_MISMATCH] = "name mismatch",
	    [PAIR_HIDDEN] = "hidden",
	    [PAIR_NOT_ALLOWED] = "not allowed",
	    [PAIR_INCOMPATIBLE] = "incompatible release",
	    [PAIR_OLDER] = "older release",
	    [PAIR_SHORT_NAMES] = "short names",
	    [PAIR_COOKIE] = "cookie",
	    [PAIR_UNRESOLVED] = "unresolved",
	    [PAIR_DIAL_TIMEOUT] = "unreachable",
	    [PAIR_UNSTABLE] = "unstable",
	    [PAIR_LEFT_ALONE] = "left alone",
	    [PAIR_NO_PORT] = "no port",
	};

	return words[outcome];
}
