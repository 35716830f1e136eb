/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "discovery/chance.h"
#include "discovery/clock.h"
#include "epmd/join/connections.h"
#include "epmd/join/mesh.h"
#include "epmd/join/verdict.h"
#include "epmd/log.h"
#include "epmd/metrics.h"

/* How often the node is asked whom it is connected with: while something is on the
 * move, and at rest. */
#define POLL_BUSY_MS 1000
#define POLL_REST_MS 5000
#define POLL_TIMEOUT_MS 20000
/* When no look could begin. */
#define CROWD_WAIT_MS 50
/* A link is lost for good reasons too: the peer may be on its way back. */
#define DOWN_WAIT_MS 200
/* A peer that comes and goes must not undo the breaker each time. */
#define FORGIVE_AGAIN_MS 60000
/* A dial that fails later than this has met silence: a refusal takes no time. */
#define SILENCE_MS 4000

enum doing { IDLE, LOOKING, QUEUED, DIALLING };

struct mate {
	struct mesh *mesh;
	char *name;
	struct remote *remote; /* NULL: gone */
	struct pair pair;
	enum doing doing;
	bool connected;      /* as the last answer said */
	uint64_t connection; /* which one, 0: not known yet */
	uint64_t seen_connection;
	uint64_t dialled_ms;
	uint64_t since_ms; /* when the two could first be joined; 0: no, or they were */
	char why[VERDICT_SIZE];
	uint64_t why_ms;   /* since when */
	UT_hash_handle hh; /* by NAME */
	bool hash_add_failed;
};

struct mesh {
	const struct mesh_settings *settings;
	struct local *local;
	mesh_connected_fn *connected;
	void *arg;
	struct mate *mates;
	struct event *due_timer;
	struct event *poll_timer;
	unsigned dials;
	bool started;
	bool polling;
	uint64_t polled_ms;
	uint64_t forgiven_ms;
	uint64_t up_ms; /* when its applications were first seen up; 0: not yet */
};

static const char *own_name(const struct mesh *mesh)
{
	return local_facts(mesh->local)->name;
}

static struct mate *find_mate(const struct mesh *mesh, const void *name, size_t len)
{
	struct mate *mate;

	HASH_FIND(hh, mesh->mates, name, len, mate);
	return mate;
}

static struct mate *mate_of(const struct mesh *mesh, const struct remote *remote)
{
	return find_mate(mesh, remote->name, strlen(remote->name));
}

/* With its peer gone, it stays for what is known of it. */
static bool is_remembered(const struct mate *mate)
{
	return mate->mesh->settings->initial && mate->pair.ever_joined;
}

static void free_mate(struct mate *mate)
{
	HASH_DEL(mate->mesh->mates, mate);
	free(mate->name);
	free(mate);
}

/* --- when -------------------------------------------------------------------------------- */

static bool is_newcomer(const struct mesh *mesh)
{
	return !mesh->up_ms || clock_now_ms() - mesh->up_ms < MESH_NEWCOMER_MS;
}

static uint64_t spread_ms(const struct mesh *mesh)
{
	uint64_t spread = MESH_SPREAD_PER_PEER_MS * (uint64_t)HASH_COUNT(mesh->mates);

	return chance_below((uint32_t)(spread < MESH_SPREAD_MAX_MS ? spread : MESH_SPREAD_MAX_MS));
}

/* How long a peer that has just been heard of is left in peace. */
static uint64_t first_wait_ms(const struct mesh *mesh)
{
	return is_newcomer(mesh) ? 0 : MESH_GRACE_MS + spread_ms(mesh);
}

/* May the node be asked to dial it? */
static bool is_wanted(const struct mate *mate)
{
	const struct remote *remote = mate->remote;

	if (!remote || remote->port == 0)
		return false;
	if (mate->mesh->settings->initial && mate->pair.ever_joined)
		return false;
	/* Who never joined a terminating peer leaves it alone; a link that was there
	 * comes back as long as it serves. */
	return !remote->terminating || (mate->pair.ever_joined && remote->serving);
}

static void schedule(struct mesh *mesh)
{
	uint64_t now = clock_now_ms(), next = PAIR_NEVER;

	for (const struct mate *mate = mesh->mates; mate; mate = mate->hh.next)
		if (mate->doing == IDLE && mate->pair.due_ms < next && is_wanted(mate))
			next = mate->pair.due_ms;
	event_del(mesh->due_timer);
	if (!mesh->started || next == PAIR_NEVER)
		return;
	const struct timeval delay = clock_delay(next > now ? next - now : 0);
	event_add(mesh->due_timer, &delay);
}

/* --- what came of it ------------------------------------------------------------------------- */

static void stays(struct mate *mate, enum log_level level, const char *why)
{
	if (strcmp(mate->why, why) == 0)
		return;
	if (!mate->why[0])
		mate->why_ms = clock_now_ms();
	snprintf(mate->why, sizeof(mate->why), "%s", why);
	if (why[0])
		log_at(level, "%s: not joined with %s: %s", own_name(mate->mesh),
		       mate->remote->label, why);
}

static void forgive_all(struct mesh *mesh);

static void goes_up(struct mate *mate)
{
	bool healed = pair_is_cut_off(&mate->pair, clock_now_ms());

	if (!pair_up(&mate->pair, clock_now_ms()))
		return;
	/* It may have been quicker to dial us than we were to look at it again. */
	if (healed)
		forgive_all(mate->mesh);
	metrics_count(METRIC_LINKS_JOINED);
	if (mate->since_ms)
		metrics_joined_after(clock_now_ms() - mate->since_ms);
	mate->since_ms = 0;
	mate->connection = 0;
	mate->why[0] = '\0';
	log_info("%s: joined with %s", own_name(mate->mesh), mate->remote->label);
	mate->mesh->connected(mate->mesh->arg, mate->remote, true);
}

/* WHY a pair whose link has just fallen is not joined; it is held for so many SECONDS. */
static void say_fall(const struct mate *mate, bool unstable, unsigned seconds,
                     char why[VERDICT_SIZE])
{
	time_t now = time(NULL);
	struct tm utc;
	char clock[16] = "";

	if (gmtime_r(&now, &utc))
		strftime(clock, sizeof(clock), "%H:%M:%SZ", &utc);
	if (mate->mesh->settings->initial)
		snprintf(why, VERDICT_SIZE,
		         "the link fell at %s: ERL_EPMD_JOIN=initial leaves healing to the "
		         "application (epmd -join on would dial it)",
		         clock);
	else if (unstable)
		snprintf(
		    why, VERDICT_SIZE,
		    "unstable: the link fell %u times in a row within %d s, last at %s: not "
		    "dialled for %u minutes from then; most likely two other nodes cannot reach "
		    "each other, and global breaks links for that: look for \"unreachable\" on "
		    "all nodes",
		    mate->pair.falls, PAIR_SETTLED_MS / 1000, clock, seconds / 60);
	else
		snprintf(why, VERDICT_SIZE,
		         "the link fell at %s: if the same node still answers, it is dialled %u s "
		         "after that",
		         clock, seconds);
}

static void goes_down(struct mate *mate)
{
	uint64_t now = clock_now_ms();
	char why[VERDICT_SIZE];

	/* An answer may be older than what is known. */
	if (mate->pair.outcome != PAIR_JOINED || mate->pair.up_since_ms >= mate->mesh->polled_ms)
		return;
	bool unstable = pair_down(&mate->pair, now, DOWN_WAIT_MS + spread_ms(mate->mesh),
	                          chance_below(UINT32_MAX));
	metrics_count(METRIC_LINKS_FELL);
	log_info("%s: the link with %s fell", own_name(mate->mesh), mate->remote->label);
	unsigned seconds = (unsigned)((mate->pair.no_dial_ms - now) / 1000);
	say_fall(mate, unstable, seconds, why);
	stays(mate, unstable ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, why);
	mate->mesh->connected(mate->mesh->arg, mate->remote, false);
}

/* --- dialling ----------------------------------------------------------------------------------- */

static void dial_queued(struct mesh *mesh);

/* The call for MATE is answered, or will not be.  False when the peer has gone in
 * the meantime; then so has MATE. */
static bool call_ended(struct mate *mate)
{
	mate->mesh->dials--;
	mate->doing = IDLE;
	if (mate->remote)
		return true;
	if (!is_remembered(mate))
		free_mate(mate);
	return false;
}

static void dial_failed(struct mate *mate, enum pair_outcome outcome, const char *why)
{
	bool greater = strcmp(own_name(mate->mesh), mate->name) > 0;

	metrics_count(outcome == PAIR_COOKIE         ? METRIC_DIAL_COOKIE
	              : outcome == PAIR_DIAL_TIMEOUT ? METRIC_DIAL_SILENCE
	                                             : METRIC_DIAL_UNRESOLVED);
	pair_dial_failed(&mate->pair, outcome, greater, clock_now_ms(), chance_below(UINT32_MAX));
	if (mate->pair.outcome == outcome)
		stays(mate, outcome == PAIR_COOKIE ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, why);
}

static void go_on(struct mesh *mesh)
{
	dial_queued(mesh);
	schedule(mesh);
}

/* Has the node run CALL for MATE; ANSWER may come from within. */
static void call_for(struct mate *mate, const struct dist_call *call, link_answer_fn *answer)
{
	mate->mesh->dials++;
	mate->doing = DIALLING;
	if (local_call(mate->mesh->local, call, LINK_CALL_MS, answer, mate) == 0)
		return;
	if (call_ended(mate))
		dial_failed(mate, PAIR_DIAL_TIMEOUT, "no memory to ask the node to dial it");
}

/* Why was a good peer not joined?  If the node finds the way to it, it was refused. */
static void on_whereabouts(void *arg, struct etf_reader *answer)
{
	struct mate *mate = arg;
	struct mesh *mesh = mate->mesh;
	char why[VERDICT_SIZE];

	if (call_ended(mate)) {
		enum pair_outcome outcome = verdict_of_whereabouts(answer, mate->name, why);
		if (outcome == PAIR_COOKIE)
			snprintf(why, sizeof(why),
			         "cookie: the two refuse each other's: give both nodes the same "
			         "one (this one's is that of %.200s)",
			         local_facts(mesh->local)->cookie_source);
		dial_failed(mate, outcome, why);
	}
	go_on(mesh);
}

static void ask_whereabouts(struct mate *mate)
{
	char alive[NODENAME_SIZE];
	const char *at = strchr(mate->name, '@');

	snprintf(alive, sizeof(alive), "%.*s", (int)(at - mate->name), mate->name);
	const struct dist_call call = {"erl_epmd", "port_please", {alive, at + 1}};
	call_for(mate, &call, on_whereabouts);
}

/* Has the dial taken as long as one takes that nobody answers?  A node that waits shorter than most
 * is believed to have waited to the end, less an eighth for timers. */
static bool met_silence(const struct mate *mate)
{
	unsigned patience = local_facts(mate->mesh->local)->setup_ms;
	unsigned end = patience - patience / 8;

	return clock_now_ms() - mate->dialled_ms > (end < SILENCE_MS ? end : SILENCE_MS);
}

static void heed_dial(struct mate *mate, struct etf_reader *answer)
{
	struct etf_token result = {0};

	if (answer)
		result = etf_next(answer);
	if (answer && etf_is_atom(&result, "true")) {
		metrics_count(METRIC_DIAL_JOINED);
		goes_up(mate);
	} else if (!answer || met_silence(mate)) {
		dial_failed(mate, PAIR_DIAL_TIMEOUT,
		            "unreachable: epmd reaches it, but the node's own attempt to connect "
		            "ended in silence");
	} else {
		ask_whereabouts(mate);
	}
}

static void on_dialled(void *arg, struct etf_reader *answer)
{
	struct mate *mate = arg;
	struct mesh *mesh = mate->mesh;

	if (call_ended(mate))
		heed_dial(mate, answer);
	go_on(mesh);
}

static void dial(struct mate *mate)
{
	const struct dist_call call = {"net_kernel", "connect_node", {mate->name}};

	log_debug("%s: dials %s", own_name(mate->mesh), mate->name);
	mate->dialled_ms = clock_now_ms();
	call_for(mate, &call, on_dialled);
}

static void dial_queued(struct mesh *mesh)
{
	for (struct mate *mate = mesh->mates; mate && mesh->dials < MESH_DIALS_MAX;
	     /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): QUEUED has its peer, so it stays */
	     mate = mate->hh.next)
		if (mate->doing == QUEUED)
			dial(mate);
}

/* --- looking ------------------------------------------------------------------------------------- */

static void look_in_a_moment(struct mate *mate)
{
	mate->doing = IDLE;
	mate->pair.due_ms = clock_now_ms() + CROWD_WAIT_MS + chance_below(CROWD_WAIT_MS);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	struct mesh *mesh = arg;
	uint64_t now = clock_now_ms();

	(void)fd;
	(void)what;
	for (struct mate *mate = mesh->mates; mate; mate = mate->hh.next) {
		if (mate->doing != IDLE || mate->pair.due_ms > now || !is_wanted(mate))
			continue;
		/* Before the look: its end may come from within. */
		mate->doing = LOOKING;
		if (!remote_look(mate->remote))
			look_in_a_moment(mate);
	}
	schedule(mesh);
}

/* The peer whose link was cut answers again: so the flapping of the others may well
 * be over too. */
static void forgive_all(struct mesh *mesh)
{
	uint64_t now = clock_now_ms();

	if (mesh->forgiven_ms && now - mesh->forgiven_ms < FORGIVE_AGAIN_MS)
		return;
	mesh->forgiven_ms = now;
	for (struct mate *mate = mesh->mates; mate; mate = mate->hh.next)
		pair_forgive(&mate->pair, now);
}

void mesh_looked(struct mesh *mesh, struct remote *remote, const struct look_result *seen)
{
	struct mate *mate = mate_of(mesh, remote);
	char why[VERDICT_SIZE];

	if (!mate || mate->doing != LOOKING)
		return;
	mate->doing = IDLE;
	enum pair_outcome verdict = verdict_of_look(local_facts(mesh->local), remote, seen, why);
	struct pair_next next =
	    pair_looked(&mate->pair, verdict, seen->outcome == LOOK_NODE ? seen->creation : 0,
	                clock_now_ms(), chance_below(UINT32_MAX));
	if (verdict == PAIR_BUSY || (verdict != PAIR_UNTRIED && mate->pair.outcome == verdict))
		stays(mate, LOG_LEVEL_WARNING, why);
	if (next.healed) {
		log_info("%s: %s answers again", own_name(mesh), remote->label);
		forgive_all(mesh);
	}
	if (next.dial)
		mate->doing = QUEUED;
	go_on(mesh);
}

/* --- whom the node is connected with ----------------------------------------------------------------- */

static bool is_restless(const struct mesh *mesh)
{
	uint64_t now = clock_now_ms();

	for (const struct mate *mate = mesh->mates; mate; mate = mate->hh.next)
		if (mate->pair.outcome != PAIR_JOINED ||
		    now - mate->pair.up_since_ms < PAIR_SETTLED_MS)
			return true;
	return false;
}

static void poll_in(struct mesh *mesh, uint64_t ms)
{
	const struct timeval delay = clock_delay(ms);

	event_add(mesh->poll_timer, &delay);
}

static void mark(void *arg, struct wire_bytes name, uint64_t connection)
{
	struct mesh *mesh = arg;
	struct mate *mate = find_mate(mesh, name.at, name.len);

	if (mate && mate->remote) {
		mate->connected = true;
		mate->seen_connection = connection;
	}
}

static bool mark_connected(struct mesh *mesh, struct etf_reader *answer)
{
	for (struct mate *mate = mesh->mates; mate; mate = mate->hh.next)
		mate->connected = false;
	return answer && connections_each(answer, mark, mesh);
}

/* A link that fell and came back between two answers is another connection. */
static void heed_connection(struct mate *mate)
{
	if (mate->connected && mate->connection && mate->connection != mate->seen_connection)
		goes_down(mate);
	if (mate->connected) {
		goes_up(mate);
		mate->connection = mate->seen_connection;
	} else if (mate->doing != DIALLING) {
		goes_down(mate);
	}
}

static void on_connections(void *arg, struct etf_reader *answer)
{
	struct mesh *mesh = arg;

	mesh->polling = false;
	if (!mark_connected(mesh, answer)) {
		local_give_up_link(mesh->local, "it does not say whom it is connected with");
		return;
	}
	for (struct mate *mate = mesh->mates; mate; mate = mate->hh.next)
		heed_connection(mate);
	schedule(mesh);
	poll_in(mesh, is_restless(mesh) ? POLL_BUSY_MS : POLL_REST_MS);
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
	struct mesh *mesh = arg;

	(void)fd;
	(void)what;
	if (mesh->polling)
		return;
	mesh->polling = true;
	mesh->polled_ms = clock_now_ms();
	if (local_call(mesh->local, &connections_call, POLL_TIMEOUT_MS, on_connections, mesh) < 0)
		on_connections(mesh, NULL);
}

/* --- the peers ---------------------------------------------------------------------------------- */

static struct mate *add_mate(struct mesh *mesh, const char *name)
{
	struct mate *mate = calloc(1, sizeof(*mate));

	if (!mate)
		return NULL;
	mate->mesh = mesh;
	mate->name = strdup(name);
	if (mate->name)
		HASH_ADD_KEYPTR(hh, mesh->mates, mate->name, strlen(mate->name), mate);
	if (mate->name && !mate->hash_add_failed)
		return mate;
	free(mate->name);
	free(mate);
	return NULL;
}

static void greet(struct mesh *mesh, struct remote *remote)
{
	struct mate *mate = mate_of(mesh, remote);

	if (!mate)
		mate = add_mate(mesh, remote->name);
	if (!mate) {
		log_error("%s: no memory to join it", remote->label);
		return;
	}
	bool joined_before = mate->pair.ever_joined;
	mate->remote = remote;
	pair_start(&mate->pair, clock_now_ms(), first_wait_ms(mesh));
	mate->pair.ever_joined = joined_before;
	mate->since_ms = mesh->started ? clock_now_ms() : 0;
}

void mesh_renewed(struct mesh *mesh, struct remote *remote)
{
	struct mate *mate = mate_of(mesh, remote);

	if (mate && mate->remote) {
		if (mate->doing == LOOKING)
			mate->doing = IDLE;
		pair_renewed(&mate->pair, clock_now_ms(), first_wait_ms(mesh));
	} else {
		greet(mesh, remote);
	}
	schedule(mesh);
}

void mesh_changed(struct mesh *mesh, struct remote *remote)
{
	(void)remote;
	schedule(mesh);
}

void mesh_removed(struct mesh *mesh, struct remote *remote)
{
	struct mate *mate = mate_of(mesh, remote);

	if (!mate)
		return;
	mate->remote = NULL;
	mate->pair.outcome = PAIR_UNTRIED;
	/* A dial that is under way still points at it, and who was joined once is
	 * remembered where that is to be only once. */
	if (mate->doing != DIALLING)
		mate->doing = IDLE;
	if (mate->doing == IDLE && !is_remembered(mate))
		free_mate(mate);
	schedule(mesh);
}

uint64_t mesh_trouble_ms(const struct mesh *mesh, const struct remote *remote)
{
	const struct mate *mate = mate_of(mesh, remote);

	return mate && mate->why[0] ? mate->why_ms : clock_now_ms();
}

enum pair_outcome mesh_outcome(const struct mesh *mesh, const struct remote *remote,
                               const char **reason)
{
	const struct mate *mate = mate_of(mesh, remote);

	*reason = mate ? mate->why : "";
	return mate ? mate->pair.outcome : PAIR_UNTRIED;
}

/* --- life ---------------------------------------------------------------------------------------- */

struct mesh *mesh_new(const struct mesh_settings *settings, struct local *local,
                      mesh_connected_fn *connected, void *arg)
{
	struct mesh *mesh = calloc(1, sizeof(*mesh));

	if (!mesh)
		return NULL;
	mesh->settings = settings;
	mesh->local = local;
	mesh->connected = connected;
	mesh->arg = arg;
	mesh->due_timer = evtimer_new(settings->base, on_due, mesh);
	mesh->poll_timer = evtimer_new(settings->base, on_poll, mesh);
	if (!mesh->due_timer || !mesh->poll_timer) {
		mesh_free(mesh);
		return NULL;
	}
	for (struct remote *remote = remotes_first(settings->remotes); remote;
	     remote = remotes_next(remote))
		greet(mesh, remote);
	return mesh;
}

void mesh_free(struct mesh *mesh)
{
	struct mate *mate, *next;

	if (!mesh)
		return;
	HASH_ITER (hh, mesh->mates, mate, next) {
		/* Nobody will tell of it any more. */
		if (mate->remote && mate->pair.outcome == PAIR_JOINED)
			mesh->connected(mesh->arg, mate->remote, false);
		free_mate(mate);
	}
	if (mesh->due_timer)
		event_free(mesh->due_timer);
	if (mesh->poll_timer)
		event_free(mesh->poll_timer);
	free(mesh);
}

void mesh_start(struct mesh *mesh)
{
	mesh->started = true;
	mesh->polling = false;
	if (!mesh->up_ms)
		mesh->up_ms = clock_now_ms();
	for (struct mate *mate = mesh->mates; mate; mate = mate->hh.next)
		if (!mate->pair.ever_joined)
			mate->since_ms = clock_now_ms();
	on_poll(-1, 0, mesh);
	schedule(mesh);
}

/* Calls that were under way are not answered any more. */
void mesh_stop(struct mesh *mesh)
{
	struct mate *mate, *next;

	mesh->started = false;
	mesh->dials = 0;
	event_del(mesh->due_timer);
	event_del(mesh->poll_timer);
	HASH_ITER (hh, mesh->mates, mate, next) {
		if (mate->doing != IDLE)
			pair_interrupted(&mate->pair, clock_now_ms());
		mate->doing = IDLE;
		if (!mate->remote && !is_remembered(mate))
			free_mate(mate);
	}
}
