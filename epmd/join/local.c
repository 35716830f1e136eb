/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "discovery/chance.h"
#include "discovery/clock.h"
#include "epmd/join/cookie.h"
#include "epmd/join/local.h"
#include "epmd/join/look.h"
#include "epmd/join/owner.h"
#include "epmd/log.h"

/* The alive name that links are made under: the same for ever, so that a node can be
 * given a cookie for us (-setcookie kepmd@HOST COOKIE). */
#define LINK_ALIVE "kepmd"

#define ADDRESSES_MAX 16

/* A node answers long before its applications are up. */
#define ASK_AGAIN_MS 50
#define QUESTION_MS 2000
/* Between attempts at a node that cannot be linked to. */
#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS 30000
/* A refused cookie is a line in the node's log: not every half minute.  The first time
 * it may have been something else. */
#define RETRY_REFUSED_FIRST_MS 120000
#define RETRY_REFUSED_MS 3600000
/* So many questions without an answer, and the link is given up. */
#define UNANSWERED_MAX 15
/* A boot that takes long is asked after less often. */
#define ASKED_OFTEN 200
#define ASK_RARELY_MS 1000
/* A link that lived for so long was a good one. */
#define GOOD_LINK_MS 60000

struct local {
	const struct local_settings *settings;
	struct local_registration registration;
	struct local_events events;
	struct local_facts facts;
	struct owner owner;
	bool has_owner;
	bool ready;
	struct event *timer; /* what it is for: on_timer */
	void (*on_timer)(struct local *local);
	unsigned failures;
	unsigned refusals;
	unsigned asked; /* the question at hand */
	unsigned unanswered;
	uint64_t ready_ms;
	struct sockaddr_any addresses[ADDRESSES_MAX];
	size_t n_addresses;
	size_t at; /* the address at hand */
	struct look *look;
	struct link *link;
	size_t question;
	char reason[640];
	enum local_trouble trouble;
	uint64_t trouble_ms;
};

static void find(struct local *local);

/* --- what may come next ---------------------------------------------------------------------- */

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct local *local = arg;

	(void)fd;
	(void)what;
	local->on_timer(local);
}

static void go_on_in(struct local *local, uint64_t ms, void (*next)(struct local *))
{
	const struct timeval delay = clock_delay(ms);

	local->on_timer = next;
	if (event_add(local->timer, &delay) < 0)
		log_error("%s: no memory to go on joining it", local->registration.alive);
}

/* It waits, for REASON, which is said when it is new. */
static void waits(struct local *local, enum local_trouble trouble, enum log_level level,
                  const char *reason)
{
	if (local->trouble != trouble)
		local->trouble_ms = clock_now_ms();
	local->trouble = trouble;
	if (strncmp(local->reason, reason, sizeof(local->reason) - 1) == 0)
		return;
	snprintf(local->reason, sizeof(local->reason), "%s", reason);
	log_at(level, "%s: not joining its peers: %s",
	       local->facts.name[0] ? local->facts.name : local->registration.alive, reason);
}

static void begin_again(struct local *local)
{
	uint64_t ms = RETRY_FIRST_MS;

	for (unsigned i = 0; i < local->failures && ms < RETRY_MAX_MS; i++)
		ms *= 2;
	local->failures++;
	go_on_in(local, ms, find);
}

static void begin_again_late(struct local *local)
{
	go_on_in(local, local->refusals++ ? RETRY_REFUSED_MS : RETRY_REFUSED_FIRST_MS, find);
}

/* --- its first questions ------------------------------------------------------------------------ */

enum heeded { HEEDED, ASK_AGAIN, GIVE_UP };

static enum heeded heed_release(struct local *local, struct etf_reader *answer)
{
	char digits[8] = "";
	struct etf_token release = etf_next(answer);

	if (release.kind == ETF_STRING && release.text.len < sizeof(digits))
		memcpy(digits, release.text.at, release.text.len);
	local->facts.release = (unsigned)strtoul(digits, NULL, 10);
	return HEEDED;
}

/* {ok, WANTED}? */
static bool is_set_to(struct etf_reader *answer, const char *wanted)
{
	struct etf_token tuple = etf_next(answer);

	if (tuple.kind != ETF_TUPLE || tuple.arity != 2)
		return false;
	struct etf_token ok = etf_next(answer), value = etf_next(answer);
	return etf_is_atom(&ok, "ok") && etf_is_atom(&value, wanted);
}

/* net_kernel:connect_node/1 would override the one and mesh the other. */
static enum heeded heed_wish(struct local *local, struct etf_reader answer, const char *value,
                             const char *reason)
{
	if (!is_set_to(&answer, value) || local->settings->demanded)
		return HEEDED;
	waits(local, LOCAL_UNWILLING, LOG_LEVEL_WARNING, reason);
	return GIVE_UP;
}

static enum heeded heed_auto_connect(struct local *local, struct etf_reader *answer)
{
	if (heed_wish(local, *answer, "never",
	              "it is set to \"-kernel dist_auto_connect never\": set "
	              "ERL_EPMD_JOIN=on if it shall join all the same") == GIVE_UP)
		return GIVE_UP;
	return heed_wish(local, *answer, "once",
	                 "it is set to \"-kernel dist_auto_connect once\": set "
	                 "ERL_EPMD_JOIN=on if it shall join all the same");
}

static enum heeded heed_connect_all(struct local *local, struct etf_reader *answer)
{
	return heed_wish(local, *answer, "false",
	                 "it is set to \"-kernel connect_all false\": set ERL_EPMD_JOIN=on if "
	                 "it shall join all the same");
}

/* OTP, kernel(6), "net_setuptime": seconds, 7 unless set, at most 120.  A fraction is not read: it
 * may be as short as a second. */
static enum heeded heed_setup_time(struct local *local, struct etf_reader *answer)
{
	struct etf_token tuple = etf_next(answer), ok = {0}, value = {0};

	if (tuple.kind == ETF_TUPLE && tuple.arity == 2) {
		ok = etf_next(answer);
		value = etf_next(answer);
	}
	bool set = etf_is_atom(&ok, "ok");
	if (set && value.kind == ETF_OPAQUE)
		local->facts.setup_ms = 1000;
	else if (set && value.kind == ETF_INTEGER && value.integer > 0)
		local->facts.setup_ms = 1000 * (value.integer < 120 ? (unsigned)value.integer : 120);
	else
		local->facts.setup_ms = 7000;
	return HEEDED;
}

/* {started, started} */
static enum heeded heed_status(struct local *local, struct etf_reader *answer)
{
	struct etf_token tuple = etf_next(answer);

	if (local->settings->when_registered)
		return HEEDED;
	if (tuple.kind == ETF_TUPLE && tuple.arity == 2) {
		struct etf_token internal = etf_next(answer), provided = etf_next(answer);
		if (etf_is_atom(&internal, "started") && etf_is_atom(&provided, "started"))
			return HEEDED;
	}
	waits(local, LOCAL_STARTING, LOG_LEVEL_DEBUG, "its applications are still starting");
	return ASK_AGAIN;
}

static const struct question {
	struct dist_call call;
	enum heeded (*heed)(struct local *local, struct etf_reader *answer);
} questions[] = {
    {{"erlang", "system_info", {"otp_release"}}, heed_release},
    {{"application", "get_env", {"kernel", "dist_auto_connect"}}, heed_auto_connect},
    {{"application", "get_env", {"kernel", "connect_all"}}, heed_connect_all},
    {{"application", "get_env", {"kernel", "net_setuptime"}}, heed_setup_time},
    {{"init", "get_status", {NULL}}, heed_status},
};
#define N_QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static void on_answer(void *arg, struct etf_reader *answer);

static void ask(struct local *local)
{
	if (link_call(local->link, &questions[local->question].call, QUESTION_MS, on_answer,
	              local) < 0)
		local_give_up_link(local, "no memory to ask it");
}

static void be_ready(struct local *local)
{
	local->ready = true;
	local->ready_ms = clock_now_ms();
	local->refusals = 0;
	local->reason[0] = '\0';
	local->trouble = LOCAL_FINE;
	log_info("%s: linked to it (OTP %u, cookie from %s): joining its peers", local->facts.name,
	         local->facts.release, local->facts.cookie_source);
	local->events.ready(local->events.arg, local);
}

static void on_answer(void *arg, struct etf_reader *answer)
{
	struct local *local = arg;
	/* A node that boots may not run rex yet: then nobody answers. */
	enum heeded heeded = answer ? questions[local->question].heed(local, answer) : ASK_AGAIN;

	local->unanswered = answer ? 0 : local->unanswered + 1;
	if (heeded == GIVE_UP) {
		link_free(local->link);
		local->link = NULL;
	} else if (local->unanswered >= UNANSWERED_MAX) {
		local_give_up_link(local, "it does not answer what it is asked");
	} else if (heeded == ASK_AGAIN) {
		go_on_in(local, local->asked++ < ASKED_OFTEN ? ASK_AGAIN_MS : ASK_RARELY_MS, ask);
	} else if (++local->question < N_QUESTIONS) {
		local->asked = 0;
		ask(local);
	} else {
		be_ready(local);
	}
}

/* --- the link ------------------------------------------------------------------------------------ */

static void on_up(void *arg)
{
	struct local *local = arg;

	local->question = 0;
	local->asked = 0;
	local->unanswered = 0;
	ask(local);
}

static void on_refused(struct local *local)
{
	char reason[sizeof(local->reason)];

	snprintf(reason, sizeof(reason),
	         "it refuses the cookie from %s: give epmd the node's own by "
	         "ERL_EPMD_COOKIE_FILE",
	         local->facts.cookie_source);
	waits(local, LOCAL_REFUSED, LOG_LEVEL_ERROR, reason);
	begin_again_late(local);
}

static void unready(struct local *local)
{
	event_del(local->timer);
	if (!local->ready)
		return;
	local->ready = false;
	if (clock_now_ms() - local->ready_ms >= GOOD_LINK_MS)
		local->failures = 0;
	local->events.unready(local->events.arg, local);
}

static void on_ended(void *arg, enum link_end why, const char *error)
{
	struct local *local = arg;
	char reason[sizeof(local->reason)];

	local->link = NULL;
	unready(local);
	if (why == LINK_REFUSED) {
		on_refused(local);
		return;
	}
	snprintf(reason, sizeof(reason), "%s: %s",
	         why == LINK_NOT_ALLOWED ? "it lets nobody in but those of net_kernel:allow/1"
	                                 : "no link to it",
	         error);
	waits(local, why == LINK_NOT_ALLOWED ? LOCAL_NOT_ALLOWED : LOCAL_NO_LINK,
	      why == LINK_LOST ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, reason);
	begin_again(local);
}

void local_give_up_link(struct local *local, const char *why)
{
	link_free(local->link);
	local->link = NULL;
	unready(local);
	waits(local, LOCAL_NO_LINK, LOG_LEVEL_WARNING, why);
	begin_again(local);
}

/* Finds the cookie into COOKIE; or says why not. */
static bool find_cookie(struct local *local, const char *our_name, struct cookie *cookie)
{
	struct cookie_places places;
	char error[sizeof(local->reason)];

	cookie_places_read(&places);
	places.cookie_file = local->settings->cookie_file;
	places.link_name = our_name;
	places.node_name = local->facts.name;
	/* Root's own files are for root's own nodes: for others' what root was told to use. */
	if (!local->has_owner || local->owner.uid != geteuid())
		places.release_root = places.root_dir = places.home = places.config_home = NULL;
	if (cookie_find(&places, local->has_owner ? &local->owner : NULL, cookie, error,
	                sizeof(error)) == COOKIE_FOUND) {
		snprintf(local->facts.cookie_source, sizeof(local->facts.cookie_source), "%s",
		         cookie->source);
		return true;
	}
	waits(local, LOCAL_NO_COOKIE, LOG_LEVEL_WARNING, error);
	return false;
}

/* Still the node that was looked at, and run by the user who registered it? */
static bool is_trusted(void *arg, int fd, const struct look_result *seen)
{
	const struct local *local = arg;
	struct owner owner;

	if (strcmp(seen->name, local->facts.name) != 0 || !(seen->flags & DIST_FLAG_PUBLISHED))
		return false;
	if (!local->has_owner)
		return geteuid() == 0;
	return owner_find(fd, &owner) && owner.uid == local->owner.uid;
}

static void start_link(struct local *local, const char *our_name, const struct cookie *cookie)
{
	const struct link_settings settings = {
	    .address = local->addresses[local->at],
	    .our_name = our_name,
	    .creation = local->settings->creation,
	    .cookie = cookie->text,
	    .cookie_len = cookie->len,
	};
	const struct link_events events = {
	    .trusted = is_trusted, .up = on_up, .ended = on_ended, .arg = local};

	local->link = link_start(local->settings->base, &settings, &events);
	if (!local->link) {
		waits(local, LOCAL_NO_LINK, LOG_LEVEL_ERROR, "no memory or descriptor for a link to it");
		begin_again(local);
	}
}

/* Under the node's own host part: a node with a short name logs an error about
 * one with a long name, and the other way round. */
static void link_up(struct local *local)
{
	struct cookie cookie;
	struct nodename halves;
	char our_name[NODENAME_SIZE];

	if (!nodename_split(local->facts.name, &halves) ||
	    !nodename_join(LINK_ALIVE, halves.host, our_name)) {
		waits(local, LOCAL_NO_LINK, LOG_LEVEL_WARNING, "its name is none");
		return;
	}
	if (!find_cookie(local, our_name, &cookie)) {
		begin_again(local);
		return;
	}
	start_link(local, our_name, &cookie);
	cookie_clear(&cookie);
}

/* --- finding it ---------------------------------------------------------------------------------- */

/* The same name, before the @, as was registered? */
static bool is_it(const struct local *local, const char *name)
{
	struct nodename halves;

	return nodename_split(name, &halves) &&
	       strlen(local->registration.alive) == halves.alive_len &&
	       strncmp(local->registration.alive, halves.alive, halves.alive_len) == 0;
}

static void try_next(struct local *local, const char *error)
{
	char reason[sizeof(local->reason)];

	if (++local->at < local->n_addresses) {
		go_on_in(local, 0, find);
		return;
	}
	local->at = 0;
	snprintf(reason, sizeof(reason), "no such node listens at port %u of this host: %s",
	         local->registration.port, error);
	waits(local, LOCAL_NOT_FOUND, LOG_LEVEL_WARNING, reason);
	begin_again(local);
}

static void found(struct local *local, const struct look_result *result)
{
	memcpy(local->facts.name, result->name, sizeof(local->facts.name));
	local->facts.flags = result->flags;
	if (!(result->flags & DIST_FLAG_PUBLISHED)) {
		waits(local, LOCAL_HIDDEN, LOG_LEVEL_DEBUG, "it is a hidden node");
		return;
	}
	link_up(local);
}

static void on_looked(void *arg, const struct look_result *result)
{
	struct local *local = arg;

	local->look = NULL;
	switch (result->outcome) {
	case LOOK_NODE:
		if (is_it(local, result->name))
			found(local, result);
		else
			try_next(local, "another node does");
		return;
	case LOOK_TLS:
		waits(local, LOCAL_TLS, LOG_LEVEL_WARNING,
		      "it speaks TLS (-proto_dist inet_tls), which epmd cannot join");
		return;
	case LOOK_NOT_ALLOWED:
		waits(local, LOCAL_NOT_ALLOWED, LOG_LEVEL_WARNING,
		      "it lets nobody in but those of net_kernel:allow/1: allow " LINK_ALIVE
		      "@HOST and " LOOK_ALIVE "@HOST too");
		begin_again_late(local);
		return;
	case LOOK_BUSY:
		begin_again(local);
		return;
	default:
		try_next(local, result->error);
	}
}

static void add_address(struct local *local, const struct sockaddr *address, socklen_t len)
{
	struct sockaddr_any *added = &local->addresses[local->n_addresses];

	if (local->n_addresses == ADDRESSES_MAX)
		return;
	memcpy(&added->storage, address, len);
	added->len = len;
	sockaddr_set_port(added, local->registration.port);
	local->n_addresses++;
}

/* A node may listen on one address only (inet_dist_use_interface). */
static void list_addresses(struct local *local)
{
	static const char *const loopback[] = {"127.0.0.1", "::1"};
	struct sockaddr_any address;
	struct ifaddrs *interfaces;

	local->n_addresses = 0;
	for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++)
		if (sockaddr_parse(loopback[i], 0, &address))
			add_address(local, (struct sockaddr *)&address.storage, address.len);
	if (getifaddrs(&interfaces) < 0)
		return;
	for (struct ifaddrs *i = interfaces; i; i = i->ifa_next)
		if (sockaddr_of_interface(i, &address) && !sockaddr_is_loopback(&address))
			add_address(local, (struct sockaddr *)&address.storage, address.len);
	freeifaddrs(interfaces);
}

static void find(struct local *local)
{
	char host[SOCKADDR_TEXT_SIZE], our_name[NODENAME_SIZE];
	const struct sockaddr_any *address = &local->addresses[local->at];

	if (local->at == 0)
		list_addresses(local);
	sockaddr_host_text(address, host);
	if (nodename_join(LOOK_ALIVE, host, our_name))
		local->look = look_start(local->settings->base, address, our_name,
		                         local->settings->creation, on_looked, local);
	if (!local->look)
		try_next(local, "no memory, descriptor or route");
}

/* --- life -------------------------------------------------------------------------------------------- */

/* Only nodes of our own user: others' cookies and wishes are none of ours.  Root may
 * have anybody's. */
static bool is_ours(const struct local *local)
{
	return geteuid() == 0 || (local->has_owner && local->owner.uid == geteuid());
}

struct local *local_new(const struct local_settings *settings,
                        const struct local_registration *registration,
                        const struct local_events *events)
{
	struct local *local = calloc(1, sizeof(*local));

	if (!local)
		return NULL;
	local->settings = settings;
	local->registration = *registration;
	local->events = *events;
	local->has_owner = owner_find(registration->fd, &local->owner);
	local->registration.fd = -1;
	local->timer = evtimer_new(settings->base, timer_fired, local);
	if (!local->timer) {
		free(local);
		return NULL;
	}
	if (is_ours(local))
		go_on_in(local, 0, find);
	else
		waits(local, LOCAL_FOREIGN, LOG_LEVEL_INFO,
		      local->has_owner ? "it is run by another user than epmd"
		                       : "who runs it is not to be found out: the kernel "
		                         "does not say (sock_diag), nor does /proc/net/tcp");
	return local;
}

void local_free(struct local *local)
{
	if (!local)
		return;
	look_cancel(local->look);
	link_free(local->link);
	event_free(local->timer);
	free(local);
}

const struct local_registration *local_registration(const struct local *local)
{
	return &local->registration;
}

const struct local_facts *local_facts(const struct local *local)
{
	return &local->facts;
}

bool local_is_ready(const struct local *local)
{
	return local->ready;
}

const char *local_reason(const struct local *local)
{
	return local->reason[0] ? local->reason : "linking to it";
}

enum local_trouble local_trouble(const struct local *local)
{
	return local->trouble;
}

uint64_t local_trouble_ms(const struct local *local)
{
	return local->trouble_ms;
}

int local_call(struct local *local, const struct dist_call *call, unsigned timeout_ms,
               link_answer_fn *answer, void *arg)
{
	return local->ready ? link_call(local->link, call, timeout_ms, answer, arg) : -1;
}
