/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "join/join.h"
#include "metrics.h"
#include "peers.h"
#include "status_view.h"

/* The text format 0.0.4 of Prometheus ("Exposition formats"); names and labels after its
 * "Metric and label naming". */

struct text {
	struct evbuffer *out;
	bool no_memory;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	va_list values;

	va_start(values, format);
	if (evbuffer_add_vprintf(text->out, format, values) < 0)
		text->no_memory = true;
	va_end(values);
}

static void add_head(struct text *text, const char *name, const char *type, const char *help)
{
	add(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_gauge(struct text *text, const char *name, const char *help, double value)
{
	add_head(text, name, "gauge", help);
	add(text, "%s %.15g\n", name, value);
}

/* --- what is counted ------------------------------------------------------------------------- */

struct family {
	const char *name;
	const char *help;
	const char *label; /* NULL: it has one row */
	bool of_discovery; /* nothing to see without */
	struct {
		enum metric metric;
		const char *value; /* of the label; NULL ends the rows */
	} rows[8];
};

static const struct family families[] = {
    {"epmd_registrations_total",
     "Nodes of this host that were registered.",
     NULL,
     false,
     {{METRIC_REGISTRATIONS, ""}}},
    {"epmd_requests_total",
     "Requests that could be read.",
     "kind",
     false,
     {{METRIC_REQUEST_ALIVE2, "alive2"},
      {METRIC_REQUEST_PORT2, "port2"},
      {METRIC_REQUEST_NAMES, "names"},
      {METRIC_REQUEST_DUMP, "dump"},
      {METRIC_REQUEST_KILL, "kill"},
      {METRIC_REQUEST_STOP, "stop"},
      {METRIC_REQUEST_CONTROL, "control"}}},
    {"epmd_refusals_total",
     "Requests that were refused.",
     "reason",
     false,
     {{METRIC_REFUSED_MALFORMED, "malformed"},
      {METRIC_REFUSED_NAME_TAKEN, "name_taken"},
      {METRIC_REFUSED_BAD_NAME, "bad_name"},
      {METRIC_REFUSED_NOT_LOCAL, "not_local"},
      {METRIC_REFUSED_NOT_ALLOWED, "not_allowed"},
      {METRIC_REFUSED_NO_MEMORY, "no_memory"}}},
    {"epmd_connections_total",
     "Connections that were accepted.",
     NULL,
     false,
     {{METRIC_CONNECTIONS, ""}}},
    {"epmd_connections_closed_total",
     "Connections that epmd closed before a request was answered.",
     "reason",
     false,
     {{METRIC_CLOSED_IDLE, "idle"}, {METRIC_CLOSED_SHED, "descriptors"}}},
    {"epmd_log_lines_lost_total",
     "Log lines that the log's reader did not take in time.",
     NULL,
     false,
     {{METRIC_LOG_LOST, ""}}},
    {"epmd_log_lines_suppressed_total",
     "Log lines of one kind that came too fast.",
     NULL,
     false,
     {{METRIC_LOG_SUPPRESSED, ""}}},
    {"epmd_port_questions_total",
     "Questions to peers' epmds for the port of a node.",
     "outcome",
     true,
     {{METRIC_PORT_KNOWN, "port"},
      {METRIC_PORT_NO_NODE, "no_node"},
      {METRIC_PORT_NO_ANSWER, "no_answer"}}},
    {"epmd_join_dials_total",
     "Dials that local nodes were asked for.",
     "outcome",
     true,
     {{METRIC_DIAL_JOINED, "joined"},
      {METRIC_DIAL_COOKIE, "cookie"},
      {METRIC_DIAL_SILENCE, "silence"},
      {METRIC_DIAL_UNRESOLVED, "unresolved"}}},
    {"epmd_join_links_up_total",
     "Links to peers' nodes that came up, whoever dialled.",
     NULL,
     true,
     {{METRIC_LINKS_JOINED, ""}}},
    {"epmd_join_links_down_total",
     "Links to peers' nodes that fell.",
     NULL,
     true,
     {{METRIC_LINKS_FELL, ""}}},
};

static void add_family(struct text *text, const struct family *family)
{
	add_head(text, family->name, "counter", family->help);
	for (size_t i = 0; i < sizeof(family->rows) / sizeof(family->rows[0]); i++) {
		const char *value = family->rows[i].value;
		uint64_t count = metrics_counters[family->rows[i].metric];
		if (!value)
			break;
		if (family->label)
			add(text, "%s{%s=\"%s\"} %ju\n", family->name, family->label, value,
			    (uintmax_t)count);
		else
			add(text, "%s %ju\n", family->name, (uintmax_t)count);
	}
}

static void add_join_latency(struct text *text)
{
	static const char name[] = "epmd_join_duration_seconds";
	uint64_t n = 0;

	add_head(text, name, "histogram",
	         "From when two nodes could first be joined to when they were.");
	for (size_t i = 0; i < METRICS_JOIN_BOUNDS; i++) {
		n += metrics_join.buckets[i];
		add(text, "%s_bucket{le=\"%g\"} %ju\n", name, metrics_join_bounds_ms[i] / 1e3,
		    (uintmax_t)n);
	}
	n += metrics_join.buckets[METRICS_JOIN_BOUNDS];
	add(text, "%s_bucket{le=\"+Inf\"} %ju\n%s_sum %.15g\n%s_count %ju\n", name, (uintmax_t)n,
	    name, (double)metrics_join.sum_ms / 1e3, name, (uintmax_t)n);
}

/* --- what there is ---------------------------------------------------------------------------- */

struct nodes {
	const struct status_view *view;
	unsigned with_port, without_port;
	unsigned joined[PAIR_OUTCOMES];
	unsigned left_alone;
};

static void count_node(void *arg, const struct peer_node *node)
{
	struct nodes *nodes = arg;
	const struct join *join = nodes->view->control->join;
	const char *reason;

	nodes->with_port += node->port != 0;
	nodes->without_port += node->port == 0;
	if (join && join_is_on(join))
		nodes->joined[join_outcome(join, node->name, &reason)]++;
	else
		nodes->left_alone++;
}

struct states {
	unsigned ready, not_ready, terminating;
};

static void count_peer(void *arg, const struct peer *peer)
{
	struct states *states = arg;

	if (peer->terminating)
		states->terminating++;
	else if (peer->ready)
		states->ready++;
	else
		states->not_ready++;
}

/* Several outcomes may have one word. */
static bool is_said_before(enum pair_outcome outcome)
{
	for (enum pair_outcome i = 0; i < outcome; i++)
		if (strcmp(pair_outcome_word(i), pair_outcome_word(outcome)) == 0)
			return true;
	return false;
}

static unsigned with_word(const struct nodes *nodes, enum pair_outcome outcome)
{
	unsigned n = 0;

	for (enum pair_outcome i = 0; i < PAIR_OUTCOMES; i++)
		if (strcmp(pair_outcome_word(i), pair_outcome_word(outcome)) == 0)
			n += nodes->joined[i];
	return n;
}

static void add_nodes(struct text *text, const struct nodes *nodes)
{
	add_head(text, "epmd_discovered_nodes", "gauge",
	         "Nodes looked for on peers, by whether their port is known.");
	add(text,
	    "epmd_discovered_nodes{port=\"known\"} %u\n"
	    "epmd_discovered_nodes{port=\"unknown\"} %u\n",
	    nodes->with_port, nodes->without_port);
	add_head(text, "epmd_join_nodes", "gauge",
	         "Nodes looked for on peers, by how joining them stands (as epmd -peers has it).");
	for (enum pair_outcome i = 0; i < PAIR_OUTCOMES; i++)
		if (!is_said_before(i))
			add(text, "epmd_join_nodes{state=\"%s\"} %u\n", pair_outcome_word(i),
			    with_word(nodes, i));
	add(text, "epmd_join_nodes{state=\"left alone\"} %u\n", nodes->left_alone);
}

static void add_peers(struct text *text, const struct status_view *view)
{
	struct nodes nodes = {.view = view};
	struct states states = {0};

	peers_each(view->control->peers, count_peer, &states);
	peers_each_node(view->control->peers, count_node, &nodes);
	add_head(text, "epmd_peers", "gauge", "Peers discovered, without this host.");
	add(text,
	    "epmd_peers{state=\"ready\"} %u\n"
	    "epmd_peers{state=\"not ready\"} %u\n"
	    "epmd_peers{state=\"terminating\"} %u\n",
	    states.ready, states.not_ready, states.terminating);
	add_nodes(text, &nodes);
}

/* --- the source of peers ----------------------------------------------------------------------- */

static void add_requests(struct text *text, const struct source_stats *stats)
{
	static const char *const requests[] = {[SOURCE_LIST] = "list", [SOURCE_WATCH] = "watch"};
	static const char *const outcomes[] = {
	    [SOURCE_OK] = "ok",
	    [SOURCE_UNREACHABLE] = "unreachable",
	    [SOURCE_DENIED] = "denied",
	    [SOURCE_EXPIRED] = "expired",
	    [SOURCE_ERROR] = "error",
	    [SOURCE_CUT] = "cut",
	    [SOURCE_UNREADABLE] = "unreadable",
	};

	add_head(text, "epmd_discovery_requests_total", "counter",
	         "Requests for peers that ended, to the API server or for a file.");
	for (size_t i = 0; i < SOURCE_REQUESTS; i++)
		for (size_t j = 0; j < SOURCE_OUTCOMES; j++)
			add(text,
			    "epmd_discovery_requests_total{request=\"%s\",outcome=\"%s\"} %ju\n",
			    requests[i], outcomes[j], (uintmax_t)stats->ended[i][j]);
	add_head(text, "epmd_discovery_watch_restarts_total", "counter",
	         "Watches that were begun again.");
	add(text, "epmd_discovery_watch_restarts_total %ju\n", (uintmax_t)stats->watch_restarts);
}

static void add_source(struct text *text, const struct status_view *view)
{
	char reason[8];
	bool ready = status_is_ready(view, reason, sizeof(reason));

	add_gauge(text, "epmd_discovery_complete", "1 when all peers were told once.", ready);
	add_gauge(text, "epmd_discovery_last_event_timestamp_seconds",
	          "When the source of peers was last heard of, since 1970; 0: never.",
	          status_heard_at(view));
	if (view->source_ops->stats)
		add_requests(text, view->source_ops->stats(view->source));
}

/* --- the process -------------------------------------------------------------------------------- */

static double resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (file) {
		if (fscanf(file, "%*s %ld", &pages) != 1)
			pages = 0;
		fclose(file);
	}
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double seconds_of(const struct timeval *time)
{
	return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static void add_process(struct text *text)
{
	struct rusage usage;
	struct rlimit limit;

	if (getrusage(RUSAGE_SELF, &usage) == 0) {
		add_head(text, "process_cpu_seconds_total", "counter",
		         "CPU time, user and system.");
		add(text, "process_cpu_seconds_total %.15g\n",
		    seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime));
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		add_gauge(text, "process_max_fds", "Descriptors that may be open.",
		          (double)limit.rlim_cur);
	add_gauge(text, "process_resident_memory_bytes", "Memory that is resident.",
	          resident_bytes());
}

static void add_connections(struct text *text, const struct status_view *view)
{
	const struct conn_counts counts = server_connections(view->server);

	add_head(text, "epmd_connections", "gauge",
	         "Connections that are open: those of registered nodes, and all others.");
	add(text,
	    "epmd_connections{state=\"registered\"} %zu\n"
	    "epmd_connections{state=\"other\"} %zu\n",
	    counts.held, counts.open);
	add_gauge(text, "epmd_registered_nodes", "Nodes of this host that are registered.",
	          (double)registry_local_count(server_registry(view->server)));
}

int status_metrics(const struct status_view *view, struct evbuffer *out)
{
	struct text text = {out, false};

	add_head(&text, "epmd_build_info", "gauge", "Which epmd this is.");
	add(&text, "epmd_build_info{name=\"%s\",version=\"%s\"} 1\n", PACKAGE_NAME,
	    PACKAGE_VERSION);
	add_gauge(&text, "process_start_time_seconds", "When it began, since 1970.",
	          (double)view->started_s);
	add_process(&text);
	add_connections(&text, view);
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (view->source || !families[i].of_discovery)
			add_family(&text, &families[i]);
	if (view->source) {
		add_join_latency(&text);
		add_source(&text, view);
		add_peers(&text, view);
	}
	return text.no_memory ? -1 : 0;
}
