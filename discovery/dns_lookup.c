/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "dns_channel.h"
#include "dns_lookup.h"
#include "dns_name.h"

/* Questions for targets that are under way at once. */
#define TARGETS_AT_ONCE 16

enum { NOT_ASKED = -1 };

struct dns_lookup {
	struct dns_channel *channel;
	struct event *turn; /* nothing is under way: what comes next */
	char name[DNS_NAME_SIZE];
	bool srv;
	dns_lookup_fn *done;
	void *arg;

	struct ares_options resolv; /* what c-ares has read */
	int resolv_mask;
	size_t turn_number;        /* of dns_name_candidate */
	char full[DNS_NAME_SIZE];  /* asked for */
	char first[DNS_NAME_SIZE]; /* of those */
	struct dns_found *found;   /* of it */
	bool found_it;             /* targets are what is left */
	int status[DNS_FAMILIES];  /* of it */
	int none[DNS_FAMILIES];    /* of those before it, the one that counts */
	bool silent;               /* a server did not answer at all */
	size_t under_way;          /* questions */
	int target_status;         /* of what has failed among targets */
	int no_channel;            /* why there is none */
};

/* A question under way. */
struct question {
	struct dns_lookup *lookup;
	enum dns_family family;
	char target[DNS_NAME_SIZE]; /* "" for FULL */
};

bool dns_status_is_none(int status)
{
	return status == ARES_ENODATA || status == ARES_ENOTFOUND;
}

/* --- questions ------------------------------------------------------------------------------- */

static int read_reply(const struct question *question, const unsigned char *reply, int len)
{
	struct dns_found *found = question->lookup->found;

	return question->target[0]
	           ? dns_found_add_target(found, question->target, reply, (size_t)len)
	           : dns_found_add(found, reply, (size_t)len);
}

static void note_status(const struct question *question, int status)
{
	struct dns_lookup *lookup = question->lookup;

	if (!question->target[0])
		lookup->status[question->family] = status;
	else if (status != ARES_SUCCESS && !dns_status_is_none(status))
		lookup->target_status = status;
}

/* c-ares may be anywhere in its own code here: only note the result.  It also comes here from
 * ares_destroy(). */
static void on_reply(void *arg, int status, int timeouts, unsigned char *reply, int len)
{
	struct question *question = arg;
	struct dns_lookup *lookup = question->lookup;

	(void)timeouts;
	if (status != ARES_EDESTRUCTION) {
		if (status == ARES_SUCCESS && read_reply(question, reply, len) < 0)
			status = ARES_EBADRESP;
		note_status(question, status);
		if (--lookup->under_way == 0)
			event_active(lookup->turn, EV_TIMEOUT, 1);
	}
	free(question);
}

static void ask(struct dns_lookup *lookup, const char *target, enum dns_family family, int type)
{
	struct question *question = calloc(1, sizeof(*question));

	lookup->under_way++;
	if (!question) {
		const struct question lost = {.lookup = lookup, .family = family};
		note_status(&lost, ARES_ENOMEM);
		if (--lookup->under_way == 0)
			event_active(lookup->turn, EV_TIMEOUT, 1);
		return;
	}
	question->lookup = lookup;
	question->family = family;
	if (target)
		strncpy(question->target, target, sizeof(question->target) - 1);
	ares_query(dns_channel_ares(lookup->channel), target ? target : lookup->full, DNS_CLASS_IN,
	           type, on_reply, question);
	dns_channel_touch(lookup->channel);
}

static void ask_addresses(struct dns_lookup *lookup, const char *target)
{
	ask(lookup, target, DNS_IPV4, DNS_TYPE_A);
	ask(lookup, target, DNS_IPV6, DNS_TYPE_AAAA);
}

/* --- the end -------------------------------------------------------------------------------------- */

static void end(struct dns_lookup *lookup)
{
	dns_lookup_fn *done = lookup->done;
	void *arg = lookup->arg;
	struct dns_result result = {
	    .full = lookup->found_it ? lookup->full : lookup->first,
	    .found = lookup->found_it ? lookup->found : NULL,
	};

	memcpy(result.status, lookup->found_it ? lookup->status : lookup->none,
	       sizeof(result.status));
	done(arg, &result);
	dns_lookup_cancel(lookup);
}

/* What is known of the targets counts only as a whole. */
static void end_targets(struct dns_lookup *lookup)
{
	for (int f = 0; f < DNS_FAMILIES; f++)
		lookup->status[f] = lookup->target_status != ARES_SUCCESS ? lookup->target_status
		                    : dns_found_count(lookup->found, (enum dns_family)f) > 0
		                        ? ARES_SUCCESS
		                        : ARES_ENODATA;
	end(lookup);
}

/* --- the search -------------------------------------------------------------------------------- */

/* Failures count more than none, and "no addresses" more than "no such name". */
static int worse(int a, int b)
{
	if (a == NOT_ASKED || b == NOT_ASKED)
		return a == NOT_ASKED ? b : a;
	if (!dns_status_is_none(a) || !dns_status_is_none(b))
		return dns_status_is_none(a) ? b : a;
	return a == ARES_ENODATA ? a : b;
}

/* The next full name, in FULL; false when there is none. */
static bool next_name(struct dns_lookup *lookup)
{
	const struct ares_options *resolv = &lookup->resolv;
	bool more;

	do
		more = dns_name_candidate(lookup->name, resolv->domains, (size_t)resolv->ndomains,
		                          resolv->ndots, lookup->turn_number++, lookup->full);
	while (more && !lookup->full[0]);
	if (more && !lookup->first[0])
		memcpy(lookup->first, lookup->full, sizeof(lookup->first));
	return more;
}

static void fail(struct dns_lookup *lookup, int status)
{
	for (int f = 0; f < DNS_FAMILIES; f++)
		lookup->none[f] = status;
	end(lookup);
}

static void ask_next(struct dns_lookup *lookup)
{
	if (lookup->silent || !next_name(lookup)) {
		end(lookup);
		return;
	}
	dns_found_free(lookup->found);
	lookup->found = dns_found_new(lookup->full, lookup->srv);
	if (!lookup->found)
		fail(lookup, ARES_ENOMEM);
	else if (lookup->srv)
		ask(lookup, NULL, DNS_IPV4, DNS_TYPE_SRV);
	else
		ask_addresses(lookup, NULL);
}

static void ask_targets(struct dns_lookup *lookup)
{
	const char *target;

	for (int i = 0; i < TARGETS_AT_ONCE && (target = dns_found_next_bare(lookup->found)); i++)
		ask_addresses(lookup, target);
	if (lookup->under_way == 0)
		end_targets(lookup);
}

/* Of SRV one status stands for both. */
static bool has_found(struct dns_lookup *lookup)
{
	bool any = false;

	if (lookup->srv) {
		lookup->status[DNS_IPV6] = lookup->status[DNS_IPV4];
		return lookup->status[DNS_IPV4] == ARES_SUCCESS;
	}
	for (int f = 0; f < DNS_FAMILIES; f++) {
		bool some = dns_found_count(lookup->found, (enum dns_family)f) > 0;
		/* An alias may lead to nothing. */
		if (lookup->status[f] == ARES_SUCCESS && !some)
			lookup->status[f] = ARES_ENODATA;
		any |= some;
	}
	return any;
}

/* The answers for one full name are there. */
static void judge(struct dns_lookup *lookup)
{
	lookup->found_it = has_found(lookup);
	if (lookup->found_it && lookup->srv) {
		ask_targets(lookup);
		return;
	}
	if (lookup->found_it) {
		end(lookup);
		return;
	}
	for (int f = 0; f < DNS_FAMILIES; f++) {
		lookup->silent |= lookup->status[f] == ARES_ETIMEOUT;
		lookup->none[f] = worse(lookup->none[f], lookup->status[f]);
	}
	ask_next(lookup);
}

static void take_turn(struct dns_lookup *lookup)
{
	if (lookup->found_it)
		ask_targets(lookup);
	else if (lookup->first[0])
		judge(lookup);
	else
		ask_next(lookup);
}

/* Unless c-ares answered one question from within, before the next was asked. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct dns_lookup *lookup = arg;

	(void)fd;
	(void)what;
	if (lookup->under_way > 0)
		return;
	if (lookup->no_channel != ARES_SUCCESS)
		fail(lookup, lookup->no_channel);
	else
		take_turn(lookup);
}

/* --- life -------------------------------------------------------------------------------------- */

static int open_channel(struct dns_lookup *lookup, struct event_base *base, const char *servers)
{
	int status;

	lookup->channel = dns_channel_new(base, servers, &status);
	if (!lookup->channel)
		return status;
	return ares_save_options(dns_channel_ares(lookup->channel), &lookup->resolv,
	                         &lookup->resolv_mask);
}

struct dns_lookup *dns_lookup_begin(struct event_base *base, const char *servers, const char *name,
                                    bool srv, dns_lookup_fn *done, void *arg)
{
	struct dns_lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup)
		return NULL;
	strncpy(lookup->name, name, sizeof(lookup->name) - 1);
	lookup->srv = srv;
	lookup->done = done;
	lookup->arg = arg;
	for (int f = 0; f < DNS_FAMILIES; f++)
		lookup->none[f] = NOT_ASKED;
	lookup->turn = evtimer_new(base, on_turn, lookup);
	if (!lookup->turn) {
		dns_lookup_cancel(lookup);
		return NULL;
	}
	lookup->no_channel = open_channel(lookup, base, servers);
	event_active(lookup->turn, EV_TIMEOUT, 1);
	return lookup;
}

void dns_lookup_cancel(struct dns_lookup *lookup)
{
	if (!lookup)
		return;
	dns_channel_free(lookup->channel);
	if (lookup->resolv_mask)
		ares_destroy_options(&lookup->resolv);
	if (lookup->turn)
		event_free(lookup->turn);
	dns_found_free(lookup->found);
	free(lookup);
}
