/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_OPTIONS_H
#define KEPMD_EPMD_OPTIONS_H

/* The command line and the environment, read but not yet judged: a flag beats its
 * variable.  Stock's flags and variables mean exactly what they mean to stock epmd
 * (epmd(1) of OTP); ours are one table, which the usage text, the warning about
 * unknown variables and the documentation test read too. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum command {
	COMMAND_SERVE,
	COMMAND_NAMES,
	COMMAND_STARTED,
	COMMAND_DUMP,
	COMMAND_KILL,
	COMMAND_STOP,
	COMMAND_PEERS,
	COMMAND_DOCTOR,
	COMMAND_JOIN,
	COMMAND_VERSION,
	COMMAND_HELP
};

/* Settings of ours, each a variable and a flag. */
enum setting {
	SETTING_DISCOVERY,
	SETTING_SELECTOR,
	SETTING_SERVICE,
	SETTING_NAMESPACE,
	SETTING_BASENAME,
	SETTING_HOST_MODE,
	SETTING_CLUSTER_DOMAIN,
	SETTING_DIST,
	SETTING_JOIN,
	SETTING_JOIN_WHEN,
	SETTING_COOKIE_FILE,
	SETTING_HOSTS_FILE,
	SETTING_NAMES,
	SETTING_KUBECONFIG,
	SETTING_ALLOW,
	SETTING_REMOTE_LOOPBACK,
	SETTING_MAX_CONNECTIONS,
	SETTING_MAX_PER_ADDRESS,
	SETTING_MAX_UNSENT,
	SETTING_LOG,
	SETTING_LOG_LEVEL,
	SETTING_LOG_FORMAT,
	SETTING_STATUS_ADDRESS,
	SETTING_COUNT
};

/* Who has said what a setting is. */
enum setting_origin {
	ORIGIN_NOBODY,
	ORIGIN_VARIABLE,
	ORIGIN_OTHER_VARIABLE, /* CLUSTER_DOMAIN */
	ORIGIN_FLAG
};

/* All strings are borrowed from argv and the environment. */
struct options {
	enum command command;
	bool json; /* COMMAND_PEERS, COMMAND_DOCTOR */
	const char *command_argument; /* COMMAND_STOP: the name; COMMAND_JOIN: "on" or "off" */

	uint16_t port;
	enum setting_origin port_origin;
	const char *addresses; /* NULL: all */
	enum setting_origin addresses_origin;
	bool daemon;
	bool systemd;
	bool relaxed;
	unsigned debug; /* how many -d */
	unsigned packet_timeout_s;
	unsigned delay_accept_s;
	unsigned delay_write_s;

	const char *settings[SETTING_COUNT]; /* NULL: not set, or empty (but for -allow "") */
	enum setting_origin origins[SETTING_COUNT];
};

enum options_result {
	OPTIONS_OK,
	OPTIONS_USAGE, /* print the usage on stderr, exit 1 */
	OPTIONS_WRONG  /* print ERROR on stderr, exit 1 */
};

/* Reads ARGV and the environment.  For OPTIONS_USAGE, ERROR says which argument it
 * was about, or is empty; for OPTIONS_WRONG it names the input and the mend, and the command is
 * read all the same: -doctor has more to say. */
enum options_result options_read(int argc, char *const argv[], struct options *options, char *error,
                                 size_t error_size);

/* "ERL_EPMD_DISCOVERY" and "-discovery". */
const char *options_setting_variable(enum setting setting);
/* Who has said where to listen: the flag or the variable. */
const char *options_address_origin(const struct options *options);
const char *options_setting_flag(enum setting setting);

/* The usage text, ending in a newline. */
void options_print_usage(void *stdio_file);

/* Calls FN for each variable of the environment that begins with ERL_EPMD_ and
 * that neither OTP nor we know; those that Kubernetes injects for a Service named
 * "erl-epmd" are left out.  LIKE is the known variable nearest to it, or NULL. */
typedef void options_unknown_fn(void *arg, const char *variable, const char *like);
void options_each_unknown(options_unknown_fn *fn, void *arg);

#endif
