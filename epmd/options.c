/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "proto/epmd_msg.h"

#define PREFIX "ERL_EPMD_"
#define PACKET_TIMEOUT_S 60
#define SECONDS_MAX INT32_MAX /* what stock's atoi(3) reads */

static const struct {
	const char *variable;
	const char *flag;
	const char *argument;
	const char *help;
} settings[SETTING_COUNT] = {
    [SETTING_DISCOVERY] = {PREFIX "DISCOVERY", "-discovery", "SOURCE",
                           "where peers are found: none (default), kubernetes, file:PATH or dns:NAME"},
    [SETTING_SELECTOR] = {PREFIX "SELECTOR", "-selector", "LABELS",
                          "label selector of the Services whose endpoints are peers"},
    [SETTING_SERVICE] = {PREFIX "SERVICE", "-service", "NAME,..", "or: names of those Services"},
    [SETTING_NAMESPACE] = {PREFIX "NAMESPACE", "-namespace", "NAME,..",
                           "namespaces to look in (default: the pod's own)"},
    [SETTING_BASENAME] = {PREFIX "BASENAME", "-basename", "NAME,..",
                          "names before the @ to look for on peers; * for all visible"},
    [SETTING_HOST_MODE] = {PREFIX "HOST_MODE", "-host_mode", "MODE",
                           "host part of peers' names: ip, dns or hostname"},
    [SETTING_CLUSTER_DOMAIN] = {PREFIX "CLUSTER_DOMAIN", "-cluster_domain", "DOMAIN",
                                "for dns and hostname (default: cluster.local)"},
    [SETTING_DIST] = {PREFIX "DIST", "-dist", "PORT",
                      "peers' distribution port: a number or an endpoint port's name"},
    [SETTING_JOIN] = {PREFIX "JOIN", "-join_mode", "MODE",
                      "make local nodes connect to peers: on, off or initial"},
    [SETTING_JOIN_WHEN] = {PREFIX "JOIN_WHEN", "-join_when", "WHEN",
                           "once its applications are started (default), or registered"},
    [SETTING_COOKIE_FILE] = {PREFIX "COOKIE_FILE", "-cookie_file", "FILE",
                             "the cookie (default: found as the node finds it)"},
    [SETTING_HOSTS_FILE] = {PREFIX "HOSTS_FILE", "-hosts_file", "FILE",
                            "keep a .hosts.erlang of the peers' hosts there"},
    [SETTING_NAMES] = {PREFIX "NAMES", "-show_names", "WHOM",
                       "who sees discovered nodes: local (default), none or all"},
    [SETTING_KUBECONFIG] = {PREFIX "KUBECONFIG", "-kubeconfig", "FILE",
                            "API access (default: service account, then $KUBECONFIG)"},
    [SETTING_ALLOW] = {PREFIX "ALLOW", "-allow", "WHO,..",
                       "who may ask from elsewhere: CIDRs, peers (default: all)"},
    [SETTING_REMOTE_LOOPBACK] = {PREFIX "REMOTE_LOOPBACK", "-remote_loopback", "ADDRESS,..",
                                 "where a service mesh comes from (default: 127.0.0.6)"},
    [SETTING_MAX_CONNECTIONS] = {PREFIX "MAX_CONNECTIONS", "-max_connections", "NUMBER",
                                 "connections that register nobody, in all"},
    [SETTING_MAX_PER_ADDRESS] = {PREFIX "MAX_PER_ADDRESS", "-max_per_address", "NUMBER",
                                 "the same, from one address elsewhere"},
    [SETTING_MAX_UNSENT] = {PREFIX "MAX_UNSENT", "-max_unsent", "MIB",
                            "answers that wait for their readers, in all (64)"},
    [SETTING_LOG] = {PREFIX "LOG", "-log", "WHERE", "stderr, syslog or a file"},
    [SETTING_LOG_LEVEL] = {PREFIX "LOG_LEVEL", "-log_level", "LEVEL",
                           "error, warning, info (default with discovery, else warning), debug"},
    [SETTING_LOG_FORMAT] = {PREFIX "LOG_FORMAT", "-log_format", "FORM",
                            "text (default), or json: an object a line"},
    [SETTING_STATUS_ADDRESS] = {PREFIX "STATUS_ADDRESS", "-status_address", "HOST:PORT",
                                "HTTP listener: /livez, /readyz, /metrics and /status"},
};

/* Read by OTP or by us, without a row above. */
static const char *const other_variables[] = {PREFIX "PORT", PREFIX "ADDRESS",
                                              PREFIX "RELAXED_COMMAND_CHECK"};
#define N_OTHER (sizeof(other_variables) / sizeof(other_variables[0]))

const char *options_address_origin(const struct options *options)
{
	return options->addresses_origin == ORIGIN_FLAG ? "-address" : PREFIX "ADDRESS";
}

const char *options_setting_variable(enum setting setting)
{
	return settings[setting].variable;
}

const char *options_setting_flag(enum setting setting)
{
	return settings[setting].flag;
}

/* --- numbers -------------------------------------------------------------------- */

static bool parse_number(const char *text, unsigned long max, unsigned long *value)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	*value = strtoul(text, &end, 10);
	return *end == '\0' && *value >= 1 && *value <= max;
}

static bool parse_port(const char *text, uint16_t *port)
{
	unsigned long value;

	if (!parse_number(text, UINT16_MAX, &value))
		return false;
	*port = (uint16_t)value;
	return true;
}

static bool parse_seconds(const char *text, unsigned *seconds)
{
	unsigned long value;

	if (!parse_number(text, SECONDS_MAX, &value))
		return false;
	*seconds = (unsigned)value;
	return true;
}

/* --- the environment -------------------------------------------------------------- */

/* Kubernetes tells pods of a Service "erl-epmd" by these variables (Kubernetes,
 * "Service", "Environment variables"), of which the first is OTP's own. */
static bool is_service_link(const char *value)
{
	return strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0;
}

static enum options_result read_port(struct options *options, char *error, size_t error_size)
{
	const char *text = getenv(PREFIX "PORT");

	options->port = EPMD_DEFAULT_PORT;
	if (!text || !*text)
		return OPTIONS_OK;
	options->port_origin = ORIGIN_VARIABLE;
	if (parse_port(text, &options->port))
		return OPTIONS_OK;
	if (is_service_link(text))
		snprintf(error, error_size,
		         PREFIX
		         "PORT=%s was set by Kubernetes for a Service named \"erl-epmd\": "
		         "put \"enableServiceLinks: false\" into the pod's spec, or set " PREFIX
		         "PORT=%d yourself",
		         text, EPMD_DEFAULT_PORT);
	else
		snprintf(error, error_size,
		         PREFIX "PORT=%s is not a port: give a number from 1 to 65535", text);
	return OPTIONS_WRONG;
}

static enum options_result read_environment(struct options *options, char *error, size_t error_size)
{
	options->addresses = getenv(PREFIX "ADDRESS");
	options->addresses_origin = ORIGIN_VARIABLE;
	options->relaxed = getenv(PREFIX "RELAXED_COMMAND_CHECK") != NULL;
	for (int i = 0; i < SETTING_COUNT; i++) {
		const char *value = getenv(settings[i].variable);
		options->settings[i] = value && *value ? value : NULL;
		options->origins[i] = options->settings[i] ? ORIGIN_VARIABLE : ORIGIN_NOBODY;
	}
	/* libcluster's users know this one without our prefix. */
	const char *domain = getenv("CLUSTER_DOMAIN");
	if (!options->settings[SETTING_CLUSTER_DOMAIN] && domain && *domain) {
		options->settings[SETTING_CLUSTER_DOMAIN] = domain;
		options->origins[SETTING_CLUSTER_DOMAIN] = ORIGIN_OTHER_VARIABLE;
	}
	return read_port(options, error, error_size);
}

/* --- the command line -------------------------------------------------------------- */

struct arguments {
	char *const *at;
	int left;
};

/* Reads the flag at hand, if it is of the kind the function knows.  1: read; 0:
 * not of this kind; -1: its argument is missing or wrong. */
typedef int read_flag_fn(struct arguments *arguments, struct options *options);

static int consume(struct arguments *arguments, int n)
{
	arguments->at += n;
	arguments->left -= n;
	return 1;
}

static int read_switch(struct arguments *arguments, struct options *options)
{
	const char *flag = arguments->at[0];

	if (strcmp(flag, "-d") == 0 || strcmp(flag, "-debug") == 0)
		options->debug++;
	else if (strcmp(flag, "-daemon") == 0)
		options->daemon = true;
	else if (strcmp(flag, "-relaxed_command_check") == 0)
		options->relaxed = true;
	else if (strcmp(flag, "-systemd") == 0)
		options->systemd = true;
	else
		return 0;
	return consume(arguments, 1);
}

static int read_value(struct arguments *arguments, struct options *options)
{
	const char *flag = arguments->at[0];
	const char *value = arguments->left > 1 ? arguments->at[1] : NULL;
	bool good;

	if (strcmp(flag, "-port") == 0)
		good = value && parse_port(value, &options->port);
	else if (strcmp(flag, "-packet_timeout") == 0)
		good = value && parse_seconds(value, &options->packet_timeout_s);
	else if (strcmp(flag, "-delay_accept") == 0)
		good = value && parse_seconds(value, &options->delay_accept_s);
	else if (strcmp(flag, "-delay_write") == 0)
		good = value && parse_seconds(value, &options->delay_write_s);
	else if (strcmp(flag, "-address") == 0)
		good = (options->addresses = value) != NULL;
	else
		return 0;
	if (strcmp(flag, "-port") == 0)
		options->port_origin = ORIGIN_FLAG;
	else if (strcmp(flag, "-address") == 0)
		options->addresses_origin = ORIGIN_FLAG;
	return good ? consume(arguments, 2) : -1;
}

static int read_setting(struct arguments *arguments, struct options *options)
{
	for (int i = 0; i < SETTING_COUNT; i++) {
		if (strcmp(arguments->at[0], settings[i].flag) != 0)
			continue;
		if (arguments->left < 2)
			return -1;
		/* Whom an empty -allow allows is not to be guessed: allow.c says that it is wrong. */
		bool given = *arguments->at[1] || i == SETTING_ALLOW;
		options->settings[i] = given ? arguments->at[1] : NULL;
		options->origins[i] = options->settings[i] ? ORIGIN_FLAG : ORIGIN_NOBODY;
		return consume(arguments, 2);
	}
	return 0;
}

static bool is_on_or_off(const char *text)
{
	return strcmp(text, "on") == 0 || strcmp(text, "off") == 0;
}

/* Interactive commands must come last, as with stock. */
static int read_command(struct arguments *arguments, struct options *options)
{
	static const struct {
		const char *flag;
		enum command command;
		int arguments;
		bool in_json; /* knows -json */
	} commands[] = {
	    {"-names", COMMAND_NAMES, 0, false},
	    {"-started", COMMAND_STARTED, 0, false},
	    {"-dump", COMMAND_DUMP, 0, false},
	    {"-kill", COMMAND_KILL, 0, false},
	    {"-stop", COMMAND_STOP, 1, false},
	    {"-version", COMMAND_VERSION, 0, false},
	    {"-peers", COMMAND_PEERS, 0, true},
	    {"-doctor", COMMAND_DOCTOR, 0, true},
	    {"-join", COMMAND_JOIN, 1, false},
	    {"-h", COMMAND_HELP, 0, false},
	    {"-help", COMMAND_HELP, 0, false},
	    {"--help", COMMAND_HELP, 0, false},
	    {"--version", COMMAND_VERSION, 0, false},
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(arguments->at[0], commands[i].flag) != 0)
			continue;
		options->json = commands[i].in_json && arguments->left == 2 &&
		                strcmp(arguments->at[1], "-json") == 0;
		if (arguments->left != 1 + commands[i].arguments + options->json)
			return -1;
		options->command = commands[i].command;
		if (commands[i].arguments)
			options->command_argument = arguments->at[1];
		if (options->command == COMMAND_JOIN && !is_on_or_off(arguments->at[1]))
			return -1;
		return consume(arguments, arguments->left);
	}
	return 0;
}

static enum options_result read_arguments(struct arguments *arguments, struct options *options,
                                          char *error, size_t error_size)
{
	static read_flag_fn *const kinds[] = {read_switch, read_value, read_setting, read_command};

	while (arguments->left > 0) {
		int result = 0;
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && result == 0; i++)
			result = kinds[i](arguments, options);
		if (result > 0)
			continue;
		snprintf(error, error_size, "%s %s",
		         result < 0 ? "missing, wrong or surplus argument at" : "unknown flag",
		         arguments->at[0]);
		return OPTIONS_USAGE;
	}
	return OPTIONS_OK;
}

static bool has_flag(int argc, char *const argv[], const char *flag)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], flag) == 0)
			return true;
	return false;
}

enum options_result options_read(int argc, char *const argv[], struct options *options, char *error,
                                 size_t error_size)
{
	struct arguments arguments = {argv + 1, argc - 1};

	*options = (struct options){.packet_timeout_s = PACKET_TIMEOUT_S};
	error[0] = '\0';
	enum options_result environment = read_environment(options, error, error_size);
	/* A flag beats its variable, a wrong one too. */
	if (environment != OPTIONS_OK && !has_flag(argc, argv, "-port")) {
		char surplus[1];
		read_arguments(&arguments, options, surplus, sizeof(surplus));
		return environment;
	}
	error[0] = '\0';
	return read_arguments(&arguments, options, error, error_size);
}

/* --- the usage text ------------------------------------------------------------------ */

void options_print_usage(void *stdio_file)
{
	FILE *out = stdio_file;

	fputs(
	    "usage: epmd [-d|-debug] [-port No] [-address List] [-daemon] [-systemd]\n"
	    "            [-relaxed_command_check] [-packet_timeout Sec]\n"
	    "            [-delay_accept Sec] [-delay_write Sec] [setting ...]\n"
	    "       epmd [-d|-debug] [-port No] -names|-started|-dump|-kill|-stop Name\n"
	    "       epmd [-port No] -peers [-json]|-doctor [-json]|-join on|-join off\n"
	    "       epmd -version|-h\n"
	    "\n"
	    "Serves Erlang's port mapper protocol, and finds peers in Kubernetes, DNS or a file.\n"
	    "\n"
	    "  -d, -debug               say what happens, on stderr; twice: more\n"
	    "  -port No                 listen there, or ask there (default 4369, $ERL_EPMD_PORT)\n"
	    "  -address List            listen on these addresses and on loopback only\n"
	    "                           ($ERL_EPMD_ADDRESS)\n"
	    "  -daemon                  go into the background once the port is bound\n"
	    "  -systemd                 serve the sockets that systemd passes\n"
	    "  -relaxed_command_check   allow -kill with living nodes, and -stop\n"
	    "                           ($ERL_EPMD_RELAXED_COMMAND_CHECK)\n"
	    "  -packet_timeout Sec      close idle connections that register nobody (60)\n"
	    "  -delay_accept Sec        wait before reading a request (for tests)\n"
	    "  -delay_write Sec         wait before answering (for tests)\n"
	    "\n"
	    "Asking a running epmd (these come last):\n"
	    "  -names                   the names that are registered\n"
	    "  -started                 the same without output: exit 0 if epmd runs\n"
	    "  -dump                    also those that were\n"
	    "  -kill                    end it, if no node is registered\n"
	    "  -stop Name               forget a node (relaxed only)\n"
	    "  -peers                   the settings, the nodes discovered, and whether they are\n"
	    "                           joined; -json: for programs\n"
	    "  -doctor                  what is wrong, and how to mend it: exit 1 if anything is;\n"
	    "                           -json: for programs\n"
	    "  -join on|off             make local nodes join them, or leave them alone\n"
	    "\n"
	    "Settings, each with its variable:\n",
	    out);
	for (int i = 0; i < SETTING_COUNT; i++) {
		char flag[64];
		snprintf(flag, sizeof(flag), "%s %s", settings[i].flag, settings[i].argument);
		fprintf(out, "  %-24s $%s\n%27s%s\n", flag, settings[i].variable, "",
		        settings[i].help);
	}
}

/* --- unknown variables ----------------------------------------------------------------- */

static bool same_name(const char *entry, size_t len, const char *name)
{
	return strlen(name) == len && strncmp(entry, name, len) == 0;
}

static bool is_known(const char *entry, size_t len)
{
	for (int i = 0; i < SETTING_COUNT; i++)
		if (same_name(entry, len, settings[i].variable))
			return true;
	for (size_t i = 0; i < N_OTHER; i++)
		if (same_name(entry, len, other_variables[i]))
			return true;
	return false;
}

/* ERL_EPMD_SERVICE_HOST, ERL_EPMD_SERVICE_PORT*, ERL_EPMD_PORT_4369_TCP*: what
 * Kubernetes injects.  No setting of ours ends in _PORT or _HOST. */
static bool is_injected(const char *entry)
{
	return strncmp(entry, PREFIX "SERVICE_", strlen(PREFIX "SERVICE_")) == 0 ||
	       strncmp(entry, PREFIX "PORT_", strlen(PREFIX "PORT_")) == 0;
}

/* The number of single-letter changes between A (of LEN letters) and B. */
static size_t distance(const char *a, size_t len, const char *b)
{
	enum { WIDTH = 64 };
	size_t row[WIDTH + 1], b_len = strlen(b);

	if (b_len > WIDTH)
		return WIDTH;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= len; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t swap = diagonal + (a[i - 1] != b[j - 1]);
			size_t drop = row[j] + 1, insert = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = swap < drop ? swap : drop;
			if (insert < row[j])
				row[j] = insert;
		}
	}
	return row[b_len];
}

static const char *nearest(const char *entry, size_t len)
{
	const char *best = NULL;
	size_t best_distance = 4;

	for (size_t i = 0; i < SETTING_COUNT + N_OTHER; i++) {
		const char *name =
		    i < SETTING_COUNT ? settings[i].variable : other_variables[i - SETTING_COUNT];
		size_t d = distance(entry, len, name);
		if (d < best_distance) {
			best_distance = d;
			best = name;
		}
	}
	return best;
}

void options_each_unknown(options_unknown_fn *fn, void *arg)
{
	for (char **entry = environ; *entry; entry++) {
		size_t len = strcspn(*entry, "=");
		char name[128];
		if (strncmp(*entry, PREFIX, strlen(PREFIX)) != 0 || is_known(*entry, len) ||
		    is_injected(*entry))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)len, *entry);
		fn(arg, name, nearest(*entry, len));
	}
}
