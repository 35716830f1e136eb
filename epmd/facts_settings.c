/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "facts_gather.h"
#include "join/join.h"
#include "log.h"
#include "options.h"
#include "proto/epmd_msg.h"

#define SETTINGS_MAX (SETTING_COUNT + 4)

struct list {
	const struct control *control;
	struct facts *facts;
};

static void add(const struct list *list, const char *name, const char *value, const char *origin)
{
	struct facts_setting *setting = &list->facts->settings[list->facts->n_settings++];

	setting->name = name;
	snprintf(setting->value, sizeof(setting->value), "%s", value);
	snprintf(setting->origin, sizeof(setting->origin), "%s", origin);
}

static const char *given(const struct list *list, enum setting setting)
{
	return list->control->options->settings[setting];
}

/* Who has said it, or IF_NOBODY. */
static const char *origin_of(const struct list *list, enum setting setting, const char *if_nobody)
{
	switch (list->control->options->origins[setting]) {
	case ORIGIN_VARIABLE:
		return options_setting_variable(setting);
	case ORIGIN_OTHER_VARIABLE:
		return "CLUSTER_DOMAIN";
	case ORIGIN_FLAG:
		return options_setting_flag(setting);
	case ORIGIN_NOBODY:
		break;
	}
	return if_nobody;
}

/* SETTING, if somebody gave it, else VALUE from ORIGIN; not at all with neither. */
static void list_one(const struct list *list, enum setting setting, const char *value,
                     const char *origin)
{
	const char *text = given(list, setting);

	if (text || value)
		add(list, options_setting_flag(setting) + 1, text ? text : value,
		    origin_of(list, setting, origin));
}

/* As cluster.c has it: RELEASE_NODE, or NAME where there is RELEASE_NAME. */
static const char *release_variable(void)
{
	const char *node = getenv("RELEASE_NODE"), *name = getenv("NAME");

	if (node && *node)
		return "RELEASE_NODE";
	return getenv("RELEASE_NAME") && name && *name ? "NAME" : NULL;
}

static void list_basenames_found(const struct list *list, const char *text)
{
	struct facts *facts = list->facts;
	size_t before = facts->n_settings;

	list_one(list, SETTING_BASENAME, text, release_variable());
	if (facts->n_settings > before)
		facts->basenames = facts->settings[before].value;
}

static void list_basenames(const struct list *list)
{
	char *const *name = list->control->cluster->basenames;
	char text[256] = "";
	size_t len = 0;

	for (; name && *name && len < sizeof(text); name++)
		len +=
		    (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? "," : "", *name);
	if (text[0])
		list_basenames_found(list, text);
	else
		list_one(list, SETTING_BASENAME, "those of visible local nodes", "default");
}

static void list_names(const struct list *list)
{
	static const char *const modes[] = {
	    [HOST_MODE_IP] = "ip", [HOST_MODE_DNS] = "dns", [HOST_MODE_HOSTNAME] = "hostname"};
	const struct peername_rule *rule = &list->control->cluster->peername;
	const char *release = release_variable(), *node = release ? getenv(release) : NULL;

	list_basenames(list);
	list_one(list, SETTING_HOST_MODE, modes[rule->mode],
	         node && strchr(node, '@') ? release : "default");
	if (rule->mode != HOST_MODE_IP)
		list_one(list, SETTING_CLUSTER_DOMAIN, rule->domain, "default");
	list_one(list, SETTING_DIST, "each peer's epmd is asked", "default");
}

static const char *default_join_origin(const struct list *list)
{
	const struct cluster *cluster = list->control->cluster;

	if (cluster->join == JOIN_ON)
		return "default in a pod";
	return cluster->source == &kubernetes_source ? "default with a kubeconfig" : "default";
}

static void list_join(const struct list *list)
{
	static const char *const modes[] = {
	    [JOIN_OFF] = "off", [JOIN_ON] = "on", [JOIN_INITIAL] = "initial"};
	const struct control *control = list->control;
	bool meant = control->cluster->join != JOIN_OFF;
	bool on = control->join && join_is_on(control->join);

	if (on != meant)
		add(list, "join_mode", on ? "on" : "off", "epmd -join");
	else
		list_one(list, SETTING_JOIN, modes[control->cluster->join],
		         default_join_origin(list));
	if (!on)
		return;
	list_one(list, SETTING_JOIN_WHEN, "started", "default");
	list_one(list, SETTING_COOKIE_FILE, NULL, NULL);
	for (size_t i = 0; !given(list, SETTING_COOKIE_FILE) && i < list->facts->n_locals; i++) {
		if (!list->facts->locals[i].cookie_source[0])
			continue;
		add(list, "cookie", "found as the node finds it",
		    list->facts->locals[i].cookie_source);
		break;
	}
}

static void list_source(const struct list *list)
{
	const struct facts *facts = list->facts;
	const struct facts_source *source = facts->n_sources ? &facts->sources[0] : NULL;

	list_one(list, SETTING_SELECTOR, NULL, NULL);
	list_one(list, SETTING_SERVICE, NULL, NULL);
	if (!source || !source->server[0])
		return;
	list_one(list, SETTING_NAMESPACE, source->namespace_, source->origin);
	add(list, "api", source->server, source->origin);
}

static void list_log(const struct list *list)
{
	const struct options *options = list->control->options;
	const char *level = options->debug ? "debug" : list->facts->source ? "info" : "warning";

	add(list, "log", log_where(),
	    origin_of(list, SETTING_LOG, options->daemon ? "default with -daemon" : "default"));
	list_one(list, SETTING_LOG_LEVEL, level, options->debug ? "-d" : "default");
}

static void list_port(const struct list *list)
{
	const struct options *options = list->control->options;
	char port[8];

	snprintf(port, sizeof(port), "%u", options->port);
	add(list, "port", port,
	    options->port_origin == ORIGIN_FLAG       ? "-port"
	    : options->port_origin == ORIGIN_VARIABLE ? "ERL_EPMD_PORT"
	                                              : "default");
	if (options->addresses && *options->addresses)
		add(list, "address", options->addresses, options_address_origin(options));
}

/* Shown where they are set, and say nothing else. */
static const enum setting plain[] = {
    SETTING_ALLOW,      SETTING_REMOTE_LOOPBACK, SETTING_MAX_CONNECTIONS, SETTING_MAX_PER_ADDRESS,
    SETTING_MAX_UNSENT, SETTING_STATUS_ADDRESS,  SETTING_LOG_FORMAT};

int facts_list_settings(const struct control *control, struct facts *facts)
{
	const struct list list = {control, facts};

	facts->settings = calloc(SETTINGS_MAX + 2, sizeof(*facts->settings));
	if (!facts->settings)
		return -1;
	list_port(&list);
	list_one(&list, SETTING_DISCOVERY, "none", "default");
	if (control->source) {
		list_source(&list);
		list_names(&list);
		list_join(&list);
		list_one(&list, SETTING_HOSTS_FILE, NULL, NULL);
		list_one(&list, SETTING_NAMES, "local", "default");
	}
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		list_one(&list, plain[i], NULL, NULL);
	list_log(&list);
	return 0;
}
