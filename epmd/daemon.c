/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "abspath.h"
#include "admission.h"
#include "allow.h"
#include "cluster.h"
#include "daemon.h"
#include "daemonize.h"
#include "discovery/clock.h"
#include "hosts_file.h"
#include "join/join.h"
#include "kept.h"
#include "listener.h"
#include "log.h"
#include "peers.h"
#include "privilege.h"
#include "server.h"
#include "service.h"
#include "status.h"

#define ERROR_SIZE 512

struct daemon {
	const struct options *options;
	struct admission admission;
	struct cluster cluster;
	char *paths[4];                 /* under -daemon: those of settings, from / (keep_paths) */
	char setting_error[ERROR_SIZE]; /* under -daemon: what is wrong with a setting */
	char status_error[ERROR_SIZE];  /* the same of the status listener */
	struct sockaddr_any status_address; /* of no family: there is none */
	struct event_base *base;
	struct event *terminate;
	struct event *interrupt;
	struct keeper keeper;
	struct kept *kept;
	struct server *server;
	struct peers *peers;
	struct source *source;
	struct join *join;
	struct hosts_file *hosts_file;
	struct registry_watcher hosts_changed;
	struct control control;
	struct status_view status_view;
	struct status *status;
};

/* --- the port ---------------------------------------------------------------------------- */

static bool wants_discovery(const struct options *options)
{
	const char *discovery = options->settings[SETTING_DISCOVERY];

	return discovery && strcmp(discovery, "none") != 0;
}

static int port_taken(const struct options *options)
{
	if (options->debug && !options->daemon)
		fprintf(stderr, "epmd: there is already an epmd running at port %u\n",
		        options->port);
	if (options->daemon || !wants_discovery(options))
		return 0;
	fprintf(stderr,
	        "epmd: port %u is taken, so this epmd would discover for nobody: most likely a "
	        "node started its own epmd first; start the node with \"-start_epmd false\", or "
	        "end the other epmd\n",
	        options->port);
	return 1;
}

static enum listener_result take_passed_sockets(struct listener_set *set, int *status)
{
	int first, n = service_sockets(&first);

	if (n > 0 && listener_adopt(first, (size_t)n, set) == 0)
		return LISTENER_OPEN;
	fprintf(stderr, "epmd: -systemd: %s: start epmd.socket, or leave -systemd out\n",
	        n > 0 ? "the sockets passed cannot be used" : "systemd provides no sockets");
	*status = 1;
	return LISTENER_FAILED;
}

/* Returns LISTENER_OPEN, or sets *STATUS to the exit status. */
static enum listener_result open_port(const struct options *options, struct listener_set *set,
                                      int *status)
{
	char error[ERROR_SIZE];

	if (options->systemd)
		return take_passed_sockets(set, status);
	enum listener_result result =
	    listener_open(options->addresses, options->port, set, error, sizeof(error));
	if (result == LISTENER_TAKEN) {
		*status = port_taken(options);
	} else if (result == LISTENER_FAILED) {
		fprintf(stderr, "epmd: %s\n", error);
		*status = 1;
	}
	return result;
}

/* --- the log ----------------------------------------------------------------------------- */

static int set_log_level(const struct options *options, char *error, size_t error_size)
{
	const char *text = options->settings[SETTING_LOG_LEVEL];
	enum log_level level = options->debug             ? LOG_LEVEL_DEBUG
	                       : wants_discovery(options) ? LOG_LEVEL_INFO
	                                                  : LOG_LEVEL_WARNING;
	bool good = !text || log_level_parse(text, &level);

	log_set_level(level);
	if (good)
		return 0;
	snprintf(error, error_size, "%s=%s is wrong: give error, warning, info or debug",
	         options_setting_variable(SETTING_LOG_LEVEL), text);
	return -1;
}

static int set_log_format(const struct options *options, char *error, size_t error_size)
{
	const char *text = options->settings[SETTING_LOG_FORMAT];
	enum log_format format = LOG_FORMAT_TEXT;
	bool good = !text || log_format_parse(text, &format);

	log_set_format(format);
	if (good)
		return 0;
	snprintf(error, error_size, "%s=%s is wrong: give text or json",
	         options_setting_variable(SETTING_LOG_FORMAT), text);
	return -1;
}

static int set_log_target(const struct options *options, char *error, size_t error_size)
{
	const char *where = options->settings[SETTING_LOG];
	int result = 0;

	/* The daemon's own stderr is given up. */
	if (options->daemon)
		log_open_daemon();
	if (!where || strcmp(where, "stderr") == 0)
		return 0;
	if (strcmp(where, "syslog") == 0) {
		log_open_syslog();
	} else if (log_open_file(where) < 0) {
		snprintf(error, error_size,
		         "%s=%s cannot be opened: %s: give stderr, syslog or a path that can be "
		         "written",
		         options_setting_variable(SETTING_LOG), where, strerror(errno));
		result = -1;
	}
	return result;
}

/* Where, how much and how to log.  Returns 0, or -1 with ERROR; what can be used of the
 * settings is used all the same. */
static int set_log(const struct options *options, char *error, size_t error_size)
{
	int target = set_log_target(options, error, error_size);
	int level = set_log_level(options, error, error_size);
	int format = set_log_format(options, error, error_size);

	return target < 0 || level < 0 || format < 0 ? -1 : 0;
}

/* ARG is the stream to say it on, or NULL for the log. */
static void say_unknown(void *arg, const char *variable, const char *like)
{
	char line[256];

	if (like)
		snprintf(line, sizeof(line), "%s is no setting that epmd knows: did you mean %s?",
		         variable, like);
	else
		snprintf(line, sizeof(line),
		         "%s is no setting that epmd knows: unset it (epmd -h lists them)",
		         variable);
	if (arg)
		fprintf(arg, "epmd: %s\n", line);
	else
		log_warning("%s", line);
}

/* --- settings ------------------------------------------------------------------------------ */

static int judge_settings(struct daemon *daemon, char *error)
{
	struct cluster *cluster = &daemon->cluster;

	if (set_log(daemon->options, error, ERROR_SIZE) < 0 ||
	    cluster_read(daemon->options, cluster, error, ERROR_SIZE) < 0)
		return -1;
	if (!cluster->source ||
	    cluster->source->check(&cluster->source_settings, error, ERROR_SIZE) == 0)
		return 0;
	cluster_clear(cluster);
	return -1;
}

/* A wrong setting ends a foreground start.  Under -daemon it must not keep erl from
 * booting: the daemon then serves as stock would, and logs why; it is said here too,
 * because nobody may read that log. */
static int read_settings(struct daemon *daemon)
{
	bool goes_on = daemon->options->daemon;
	char *error = daemon->setting_error;

	error[0] = '\0';
	if (judge_settings(daemon, error) == 0)
		return 0;
	/* A name misspelt may be why. */
	options_each_unknown(say_unknown, stderr);
	fprintf(stderr, "epmd: %s%s\n", goes_on ? "discovery is off: " : "", error);
	return goes_on ? 0 : -1;
}

/* A wrong address costs no more than the status listener.  Returns as read_settings does. */
static int read_status_address(struct daemon *daemon)
{
	const char *text = daemon->options->settings[SETTING_STATUS_ADDRESS];
	char error[ERROR_SIZE / 2];

	if (!text || status_address_parse(text, &daemon->status_address, error, sizeof(error)))
		return 0;
	snprintf(daemon->status_error, sizeof(daemon->status_error), "%s=%.*s %s",
	         options_setting_variable(SETTING_STATUS_ADDRESS), 200, text, error);
	fprintf(stderr, "epmd: %s\n", daemon->status_error);
	return daemon->options->daemon ? 0 : -1;
}

static void warn_foreign(void *arg, const char *variable)
{
	const struct cluster *cluster = arg;

	log_warning("%s is set, but means nothing where peers are %s: unset it", variable,
	            cluster->source == &dns_source ? "found by DNS" : "read from a file");
}

/* The same for who is served, and how many. */
static int read_admission(struct daemon *daemon)
{
	struct admission *admission = &daemon->admission;

	if (admission_read(admission, daemon->options, wants_discovery(daemon->options)) == 0)
		return 0;
	fprintf(stderr, "epmd: %s\n", admission->error);
	return daemon->options->daemon && admission->allow ? 0 : -1;
}

/* Of those that are not wrong but do not do what they are there for. */
static void warn_of_settings(struct daemon *daemon)
{
	const char *idle = cluster_idle_setting(daemon->options);
	const char *allow = getenv(options_setting_variable(SETTING_ALLOW));

	if (allow && !daemon->options->settings[SETTING_ALLOW])
		log_warning("%s is set, but empty: everybody may ask: name addresses like "
		            "10.0.0.0/8, or unset it",
		            options_setting_variable(SETTING_ALLOW));
	options_each_unknown(say_unknown, NULL);
	cluster_each_foreign(daemon->options, &daemon->cluster, warn_foreign,
	                     &daemon->cluster);
	if (idle)
		log_warning("%s is set, but ERL_EPMD_DISCOVERY is not: nothing is discovered: set "
		            "ERL_EPMD_DISCOVERY=kubernetes",
		            idle);
}

/* A relative path is meant from the folder that we were started in, also for what is opened
 * when that is not ours any more. */
static void keep_paths(struct daemon *daemon)
{
	struct cluster *cluster = &daemon->cluster;
	const char **const kept[] = {&cluster->source_settings.kubeconfig,
	                             &cluster->source_settings.path, &cluster->cookie_file,
	                             &cluster->hosts_file};

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		daemon->paths[i] = *kept[i] ? abspath(*kept[i]) : NULL;
		if (daemon->paths[i])
			*kept[i] = daemon->paths[i];
	}
	abspath_variable("KUBECONFIG");
}

static void free_paths(struct daemon *daemon)
{
	for (size_t i = 0; i < sizeof(daemon->paths) / sizeof(daemon->paths[0]); i++)
		free(daemon->paths[i]);
}

static void clear_settings(struct daemon *daemon)
{
	cluster_clear(&daemon->cluster);
	admission_clear(&daemon->admission);
	free_paths(daemon);
}

/* --- discovery ------------------------------------------------------------------------------ */

static void on_peer_changed(void *arg, const struct peer *before, const struct peer *after)
{
	const struct daemon *daemon = arg;

	allow_peer_changed(daemon->admission.allow, before ? before->address : NULL,
	                   after ? after->address : NULL);
	peers_changed(daemon->peers, before, after);
}

static void on_report(void *arg, enum report_level level, const char *line)
{
	static const enum log_level levels[] = {
	    [REPORT_ERROR] = LOG_LEVEL_ERROR,
	    [REPORT_WARNING] = LOG_LEVEL_WARNING,
	    [REPORT_INFO] = LOG_LEVEL_INFO,
	    [REPORT_DEBUG] = LOG_LEVEL_DEBUG,
	};

	(void)arg;
	log_at(levels[level], "%s", line);
}

static void on_discovered_changed(void *arg)
{
	hosts_file_touch(arg);
}

static void start_hosts_file(struct daemon *daemon, struct registry *registry)
{
	const char *path = daemon->cluster.hosts_file;

	daemon->hosts_file = hosts_file_new(daemon->base, registry, path);
	if (!daemon->hosts_file) {
		log_error("%s is not written: out of memory", path);
		return;
	}
	daemon->hosts_changed = (struct registry_watcher){
	    .discovered_changed = on_discovered_changed, .arg = daemon->hosts_file};
	registry_watch(registry, &daemon->hosts_changed);
}

/* What was said at run time, to a server that has crashed. */
static void restore_join(struct daemon *daemon)
{
	bool on = daemon->keeper.join == KEEPER_JOIN_ON;

	log_info("joining stays %s, as epmd -join has said before the crash", on ? "on" : "off");
	join_switch(daemon->join, on);
}

static void start_joining(struct daemon *daemon)
{
	struct registry *registry = server_registry(daemon->server);

	daemon->join = join_new(daemon->base, registry, daemon->peers, &daemon->cluster);
	if (!daemon->join)
		log_error("joining is off: out of memory");
	else if (daemon->keeper.join)
		restore_join(daemon);
	if (daemon->cluster.hosts_file)
		start_hosts_file(daemon, registry);
	daemon->control.peers = daemon->peers;
	daemon->control.join = daemon->join;
	daemon->control.source_ops = daemon->cluster.source;
	daemon->control.source = daemon->source;
}

/* Returns 0, or -1 when a foreground start must end. */
static int start_discovery(struct daemon *daemon)
{
	const struct source_ops *ops = daemon->cluster.source;
	const struct source_events events = {
	    .peer_changed = on_peer_changed, .report = on_report, .arg = daemon};
	char error[ERROR_SIZE] = "out of memory";

	if (!ops)
		return 0;
	daemon->peers = peers_new(daemon->base, server_registry(daemon->server), &daemon->cluster,
	                          daemon->options->port);
	daemon->cluster.source_settings.is_own = peers_is_own_address;
	daemon->cluster.source_settings.is_own_arg = daemon->peers;
	if (daemon->peers)
		daemon->source = ops->start(daemon->base, &daemon->cluster.source_settings, &events,
		                            error, sizeof(error));
	if (daemon->source) {
		start_joining(daemon);
		return 0;
	}
	if (!daemon->options->daemon) {
		fprintf(stderr, "epmd: %s\n", error);
		return -1;
	}
	log_error("discovery is off: %s", error);
	snprintf(daemon->setting_error, sizeof(daemon->setting_error), "%s", error);
	daemon->control.off_because = daemon->setting_error;
	daemon->control.setting_error = daemon->setting_error;
	return 0;
}

/* --- the status listener --------------------------------------------------------------------- */

/* Returns as start_discovery does. */
static int start_status(struct daemon *daemon)
{
	char error[ERROR_SIZE / 2];

	if (daemon->status_error[0])
		log_error("%s", daemon->status_error);
	if (daemon->status_address.storage.ss_family == AF_UNSPEC)
		return 0;
	daemon->status_view = (struct status_view){
	    .server = daemon->server,
	    .control = &daemon->control,
	    .source_ops = daemon->cluster.source,
	    .source = daemon->source,
	    .setting_error = daemon->setting_error,
	    .started_s = time(NULL),
	};
	daemon->status = status_new(daemon->base, &daemon->status_address, &daemon->status_view,
	                            error, sizeof(error));
	if (daemon->status)
		return 0;
	snprintf(daemon->status_error, sizeof(daemon->status_error),
	         "%s=%.*s %s: give another port, or an address of this host",
	         options_setting_variable(SETTING_STATUS_ADDRESS), 200,
	         daemon->options->settings[SETTING_STATUS_ADDRESS], error);
	if (!daemon->options->daemon) {
		fprintf(stderr, "epmd: %s\n", daemon->status_error);
		return -1;
	}
	log_error("%s", daemon->status_error);
	return 0;
}

/* --- running ---------------------------------------------------------------------------------- */

static void on_signal(evutil_socket_t signal, short what, void *arg)
{
	const struct daemon *daemon = arg;

	(void)what;
	log_info("signal %d: ending", (int)signal);
	kept_let_go(daemon->kept);
	event_base_loopbreak(daemon->base);
}

static void on_quit(void *arg)
{
	const struct daemon *daemon = arg;

	kept_let_go(daemon->kept);
}

static struct event *watch_signal(struct daemon *daemon, int signal)
{
	struct event *event = evsignal_new(daemon->base, signal, on_signal, daemon);

	if (event && event_add(event, NULL) < 0) {
		event_free(event);
		event = NULL;
	}
	return event;
}

static void on_libevent_says(int severity, const char *line)
{
	log_limited(severity >= EVENT_LOG_WARN ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG,
	            "libevent: %s", line);
}

static int set_up(struct daemon *daemon, const struct listener_set *set)
{
	event_set_log_callback(on_libevent_says);
	daemon->base = event_base_new();
	if (!daemon->base)
		return -1;
	daemon->terminate = watch_signal(daemon, SIGTERM);
	daemon->interrupt = watch_signal(daemon, SIGINT);
	daemon->server = server_new(daemon->base, daemon->options, set, daemon->cluster.names_shown,
	                            &daemon->control, &daemon->admission);
	daemon->kept = kept_new(daemon->base, &daemon->keeper);
	if (!daemon->terminate || !daemon->interrupt || !daemon->server || !daemon->kept)
		return -1;
	server_on_quit(daemon->server, on_quit, daemon);
	return 0;
}

static void tear_down(struct daemon *daemon)
{
	status_free(daemon->status);
	if (daemon->source)
		daemon->cluster.source->stop(daemon->source);
	join_free(daemon->join);
	if (daemon->hosts_file)
		registry_unwatch(server_registry(daemon->server), &daemon->hosts_changed);
	hosts_file_free(daemon->hosts_file);
	peers_free(daemon->peers);
	server_free(daemon->server);
	kept_free(daemon->kept);
	if (daemon->terminate)
		event_free(daemon->terminate);
	if (daemon->interrupt)
		event_free(daemon->interrupt);
	if (daemon->base)
		event_base_free(daemon->base);
	clear_settings(daemon);
}

/* What there is if something goes wrong. */
static void say_precautions(const struct daemon *daemon)
{
	char privileges[256], keeper[256];

	privilege_describe(privileges, sizeof(privileges));
	keeper_describe(&daemon->keeper, keeper, sizeof(keeper));
	log_info("privileges: %s; keeper: %s", privileges, keeper);
}

static int serve(struct daemon *daemon, struct listener_set *set)
{
	if (set_up(daemon, set) < 0) {
		if (!daemon->server)
			listener_close(set);
		log_error("cannot start: %s", strerror(errno));
		return 1;
	}
	daemon->control.off_because = "set ERL_EPMD_DISCOVERY to have it";
	daemon->control.options = daemon->options;
	daemon->control.cluster = &daemon->cluster;
	daemon->control.registry = server_registry(daemon->server);
	daemon->control.started_ms = clock_now_ms();
	daemon->control.keeper = &daemon->keeper;
	daemon->control.kept = daemon->kept;
	if (daemon->setting_error[0]) {
		log_error("discovery is off: %s", daemon->setting_error);
		daemon->control.off_because = daemon->setting_error;
		daemon->control.setting_error = daemon->setting_error;
	}
	admission_warn(&daemon->admission);
	warn_of_settings(daemon);
	if (start_discovery(daemon) < 0 || start_status(daemon) < 0)
		return 1;
	if (daemon->options->systemd && service_notify("READY=1") < 0)
		log_warning("systemd cannot be told that epmd is ready: %s", strerror(errno));
	say_precautions(daemon);
	log_debug("serving port %u", daemon->options->port);
	event_base_dispatch(daemon->base);
	return 0;
}

/* The port is bound and the log is open; what comes later needs little. */
static void drop_privileges(const struct daemon *daemon)
{
	uint16_t status_port = daemon->status_address.storage.ss_family == AF_UNSPEC
	                           ? 0
	                           : sockaddr_port(&daemon->status_address);
	const struct privilege_needs needs = {
	    .reads_files = daemon->cluster.source != NULL,
	    .writes_files = daemon->cluster.source && daemon->cluster.hosts_file,
	    .binds_ports = status_port > 0 && status_port < IPPORT_RESERVED,
	};

	if (privilege_drop(&needs) < 0)
		log_warning("not all privileges can be given up: %s", strerror(errno));
}

/* Into the background, behind a keeper; under systemd that is the keeper.  Returns 0 in the
 * server.  Else *STATUS is what the process is to end with. */
static int detach(struct daemon *daemon, struct listener_set *set, int *status)
{
	keep_paths(daemon);
	if (daemonize() < 0) {
		fprintf(stderr, "epmd: cannot go into the background: %s\n", strerror(errno));
		listener_close(set);
		*status = 1;
		return -1;
	}
	if (daemon->options->systemd)
		return 0;
	return keeper_start(set, &daemon->keeper, status) == KEEPER_IS_SERVER ? 0 : -1;
}

/* Takes over SET. */
static int run(struct daemon *daemon, struct listener_set *set)
{
	int status = 1;

	if (read_settings(daemon) < 0 || read_admission(daemon) < 0 ||
	    read_status_address(daemon) < 0) {
		listener_close(set);
		clear_settings(daemon);
		return 1;
	}
	drop_privileges(daemon);
	if (daemon->options->daemon && detach(daemon, set, &status) < 0) {
		clear_settings(daemon);
		return status;
	}
	status = serve(daemon, set);
	tear_down(daemon);
	return status;
}

int daemon_run(const struct options *options)
{
	struct daemon daemon = {.options = options, .keeper = {.fd = -1}};
	struct listener_set set;
	int status = 1;

	if (options->daemon && !options->systemd)
		daemonize_close_inherited();
	if (open_port(options, &set, &status) != LISTENER_OPEN)
		return status;
	status = run(&daemon, &set);
	privilege_end();
	return status;
}
