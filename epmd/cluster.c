/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "discovery/dns_name.h"
#include "discovery/kube_label.h"
#include "proto/nodename.h"

#define DEFAULT_DOMAIN "cluster.local"

#define FILE_PREFIX "file:"
#define DNS_PREFIX "dns:"

/* Between the words of a list. */
#define SEPARATORS ", "

/* The longest name of a Service's port (Kubernetes API, ServicePort.name: a DNS
 * label). */
#define PORT_NAME_MAX 63

struct judge {
	const struct options *options;
	struct cluster *cluster;
	char *error;
	size_t error_size;
};

static const char *setting(const struct judge *judge, enum setting which)
{
	return judge->options->settings[which];
}

/* Says that setting WHICH has a wrong value, and what would be right. */
static int wrong(const struct judge *judge, enum setting which, const char *mend)
{
	snprintf(judge->error, judge->error_size, "%s=%s %s", options_setting_variable(which),
	         setting(judge, which), mend);
	return -1;
}

/* The index of TEXT in WORDS, N of them, or -1. */
static int find_word(const char *text, const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	return -1;
}

/* What is behind "file:". */
static int read_path(const struct judge *judge, const char *path)
{
	judge->cluster->source_settings.path = path;
	if (*path)
		return 0;
	return wrong(judge, SETTING_DISCOVERY,
	             "names no file: give its path, as in file:/etc/kepmd/peers");
}

/* What is behind "dns:". */
static int read_dns_names(const struct judge *judge, const char *names)
{
	const char *why;

	judge->cluster->source = &dns_source;
	judge->cluster->source_settings.names = names;
	if (dns_names_check(names, &why) > 0)
		return 0;
	return wrong(judge, SETTING_DISCOVERY, why);
}

static int read_source(const struct judge *judge)
{
	const char *text = setting(judge, SETTING_DISCOVERY);

	if (!text || strcmp(text, "none") == 0)
		return 0;
	if (strcmp(text, kubernetes_source.name) == 0) {
		judge->cluster->source = &kubernetes_source;
		return 0;
	}
	if (strcmp(text, dns_source.name) == 0)
		return read_dns_names(judge, "");
	if (strncmp(text, DNS_PREFIX, strlen(DNS_PREFIX)) == 0)
		return read_dns_names(judge, text + strlen(DNS_PREFIX));
	judge->cluster->source = &file_source;
	if (strcmp(text, FILE_PREFIX) == 0 || strcmp(text, file_source.name) == 0)
		return read_path(judge, "");
	if (strncmp(text, FILE_PREFIX, strlen(FILE_PREFIX)) == 0)
		return read_path(judge, text + strlen(FILE_PREFIX));
	return wrong(judge, SETTING_DISCOVERY,
	             "is no known source of peers: give none, kubernetes, file:PATH or dns:NAME");
}

/* The words of setting WHICH, if it is there, must each be able to name what is
 * looked for. */
static int check_names(const struct judge *judge, enum setting which, const char *if_none,
                       const char *if_wrong)
{
	const char *word = setting(judge, which);
	size_t n = 0;

	if (!word)
		return 0;
	for (; *(word += strspn(word, SEPARATORS)); n++) {
		size_t len = strcspn(word, SEPARATORS);
		if (!kube_dns_label_ok(word, len))
			return wrong(judge, which, if_wrong);
		word += len;
	}
	return n > 0 ? 0 : wrong(judge, which, if_none);
}

static int check_target(const struct judge *judge)
{
	const char *selector = setting(judge, SETTING_SELECTOR);

	if (selector && !kube_selector_ok(selector))
		return wrong(judge, SETTING_SELECTOR,
		             "cannot be a label selector: give key=value, key!=value, key in "
		             "(a,b), key or !key, separated by commas");
	if (check_names(judge, SETTING_SERVICE,
	                "names no Service: give at least one, or ERL_EPMD_SELECTOR",
	                "cannot name Services: give their names, of a-z, 0-9 and -, separated by "
	                "commas (their namespaces go into ERL_EPMD_NAMESPACE)") < 0)
		return -1;
	return check_names(judge, SETTING_NAMESPACE,
	                   "names no namespace: give at least one, or unset it for the pod's own",
	                   "cannot name namespaces: give their names, of a-z, 0-9 and -, separated "
	                   "by commas");
}

static int read_target(const struct judge *judge)
{
	struct source_settings *settings = &judge->cluster->source_settings;

	settings->selector = setting(judge, SETTING_SELECTOR);
	settings->services = setting(judge, SETTING_SERVICE);
	settings->namespaces = setting(judge, SETTING_NAMESPACE);
	settings->kubeconfig = setting(judge, SETTING_KUBECONFIG);
	if (judge->cluster->source != &kubernetes_source)
		return 0;
	if (settings->selector && settings->services)
		return wrong(judge, SETTING_SELECTOR,
		             "and ERL_EPMD_SERVICE exclude each other: unset one of them");
	return check_target(judge);
}

static int read_names_shown(const struct judge *judge)
{
	static const char *const words[] = {
	    [NAMES_SHOWN_LOCAL] = "local", [NAMES_SHOWN_NONE] = "none", [NAMES_SHOWN_ALL] = "all"};
	const char *text = setting(judge, SETTING_NAMES);
	int shown = text ? find_word(text, words, 3) : NAMES_SHOWN_LOCAL;

	if (shown < 0)
		return wrong(judge, SETTING_NAMES, "is wrong: give local, none or all");
	judge->cluster->names_shown = (enum names_shown)shown;
	return 0;
}

/* The node name of the release that we belong to: mix exports RELEASE_NODE; relx
 * NAME, a word that others use too, so only next to RELEASE_NAME.  Either may lack
 * its host part. */
static const char *release_node(void)
{
	const char *name = getenv("RELEASE_NODE");

	if ((!name || !*name) && getenv("RELEASE_NAME"))
		name = getenv("NAME");
	return name && *name ? name : NULL;
}

static int check_domain(const struct judge *judge)
{
	const char *domain = setting(judge, SETTING_CLUSTER_DOMAIN);
	/* A word that others use too, so only where it is used. */
	bool others = domain && domain == getenv("CLUSTER_DOMAIN") &&
	              judge->cluster->peername.mode == HOST_MODE_IP;

	if (!judge->cluster->source || !domain || others || kube_domain_ok(domain, strlen(domain)))
		return 0;
	return wrong(judge, SETTING_CLUSTER_DOMAIN,
	             "is no DNS domain: give one such as cluster.local, without a dot at either end "
	             "(CLUSTER_DOMAIN counts too)");
}

static int read_peername(const struct judge *judge)
{
	struct peername_rule *rule = &judge->cluster->peername;
	const char *domain = setting(judge, SETTING_CLUSTER_DOMAIN);
	const char *mode = setting(judge, SETTING_HOST_MODE);
	const char *node = release_node();
	struct nodename halves;

	rule->domain = domain ? domain : DEFAULT_DOMAIN;
	if (mode && !peername_mode_parse(mode, &rule->mode))
		return wrong(judge, SETTING_HOST_MODE, "is wrong: give ip, dns or hostname");
	if (!mode && node && nodename_split(node, &halves))
		rule->mode = peername_mode_of(halves.host, rule->domain);
	judge->cluster->source_settings.hostnames = rule->mode == HOST_MODE_HOSTNAME;
	return check_domain(judge);
}

/* Cuts the comma separated LIST (changed) into BASENAMES; false when one of them
 * cannot be an alive name. */
static bool cut_basenames(char *list, char **basenames)
{
	char *name;

	while ((name = strsep(&list, SEPARATORS))) {
		if (!*name)
			continue;
		if (!nodename_alive_ok(name))
			return false;
		*basenames++ = name;
	}
	return true;
}

static int set_basenames(const struct judge *judge, const char *text, size_t len)
{
	struct cluster *cluster = judge->cluster;

	cluster->strings = strndup(text, len);
	cluster->basenames = calloc(len / 2 + 2, sizeof(*cluster->basenames));
	if (!cluster->strings || !cluster->basenames) {
		snprintf(judge->error, judge->error_size, "out of memory");
		return -1;
	}
	if (!cut_basenames(cluster->strings, cluster->basenames) || !cluster->basenames[0])
		return 1;
	return 0;
}

static int read_basenames(const struct judge *judge)
{
	const char *text = setting(judge, SETTING_BASENAME);
	const char *node = release_node();
	int result = 0;

	if (text && strcmp(text, "*") == 0)
		judge->cluster->every_basename = true;
	else if (text)
		result = set_basenames(judge, text, strlen(text));
	else if (node && judge->cluster->source)
		result = set_basenames(judge, node, strcspn(node, "@"));
	if (result <= 0)
		return result;
	if (text)
		return wrong(judge, SETTING_BASENAME,
		             "is wrong: give names without a host, separated by commas, or *");
	snprintf(judge->error, judge->error_size,
	         "the release's node name %s has no usable name before the @: set "
	         "ERL_EPMD_BASENAME to the name that peers have there",
	         node);
	return -1;
}

static bool is_port_name(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return len >= 1 && len <= PORT_NAME_MAX && text[len] == '\0';
}

static int read_dist(const struct judge *judge)
{
	const char *text = setting(judge, SETTING_DIST);

	if (!text)
		return 0;
	if (text[strspn(text, "0123456789")] != '\0') {
		judge->cluster->dist_name = text;
		return is_port_name(text) ? 0
		                          : wrong(judge, SETTING_DIST,
		                                  "is wrong: give a port number or the name of an "
		                                  "endpoint port");
	}
	unsigned long port = strtoul(text, NULL, 10);
	if (port < 1 || port > UINT16_MAX)
		return wrong(judge, SETTING_DIST, "is no port: give a number from 1 to 65535");
	judge->cluster->dist_port = (uint16_t)port;
	return 0;
}

/* Where nothing is said: on in a pod; off with a kubeconfig, so that a laptop does not
 * dial production by accident, and with a file, which says nothing of where peers are. */
static enum join_mode default_join(const struct judge *judge)
{
	bool by_file = judge->cluster->source == &file_source;
	bool by_config = judge->cluster->source == &kubernetes_source &&
	                 setting(judge, SETTING_KUBECONFIG);

	return judge->cluster->source && !by_file && !by_config && getenv("KUBERNETES_SERVICE_HOST")
	           ? JOIN_ON
	           : JOIN_OFF;
}

static int read_join(const struct judge *judge)
{
	static const char *const modes[] = {
	    [JOIN_OFF] = "off", [JOIN_ON] = "on", [JOIN_INITIAL] = "initial"};
	static const char *const moments[] = {"started", "registered"};
	const char *mode = setting(judge, SETTING_JOIN), *when = setting(judge, SETTING_JOIN_WHEN);
	int found = mode ? find_word(mode, modes, 3) : (int)default_join(judge);
	int moment = when ? find_word(when, moments, 2) : 0;

	if (found < 0)
		return wrong(judge, SETTING_JOIN, "is wrong: give on, off or initial");
	if (moment < 0)
		return wrong(judge, SETTING_JOIN_WHEN, "is wrong: give started or registered");
	judge->cluster->join = (enum join_mode)found;
	judge->cluster->join_demanded = mode && found == JOIN_ON;
	judge->cluster->join_when_registered = moment == 1;
	judge->cluster->cookie_file = setting(judge, SETTING_COOKIE_FILE);
	judge->cluster->hosts_file = setting(judge, SETTING_HOSTS_FILE);
	return 0;
}

int cluster_read(const struct options *options, struct cluster *cluster, char *error,
                 size_t error_size)
{
	static int (*const readers[])(const struct judge *) = {
	    read_source,    read_target, read_names_shown, read_peername,
	    read_basenames, read_dist,   read_join,
	};
	const struct judge judge = {options, cluster, error, error_size};

	*cluster = (struct cluster){0};
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
		if (readers[i](&judge) == 0)
			continue;
		cluster_clear(cluster);
		return -1;
	}
	return 0;
}

void cluster_clear(struct cluster *cluster)
{
	free(cluster->strings);
	free(cluster->basenames);
	*cluster = (struct cluster){0};
}

const char *cluster_idle_setting(const struct options *options)
{
	/* Not those that others may have set, or that mean something without peers. */
	static const enum setting about_peers[] = {
	    SETTING_SELECTOR,    SETTING_SERVICE,    SETTING_NAMESPACE,  SETTING_BASENAME,
	    SETTING_HOST_MODE,   SETTING_DIST,       SETTING_JOIN,       SETTING_JOIN_WHEN,
	    SETTING_COOKIE_FILE, SETTING_HOSTS_FILE, SETTING_KUBECONFIG,
	};

	if (options->settings[SETTING_DISCOVERY])
		return NULL;
	for (size_t i = 0; i < sizeof(about_peers) / sizeof(about_peers[0]); i++)
		if (options->settings[about_peers[i]])
			return options_setting_variable(about_peers[i]);
	return NULL;
}

void cluster_each_foreign(const struct options *options, const struct cluster *cluster,
                          cluster_foreign_fn *fn, void *arg)
{
	static const enum setting of_kubernetes[] = {SETTING_SELECTOR, SETTING_SERVICE,
	                                             SETTING_NAMESPACE, SETTING_KUBECONFIG};

	if (!cluster->source || cluster->source == &kubernetes_source)
		return;
	for (size_t i = 0; i < sizeof(of_kubernetes) / sizeof(of_kubernetes[0]); i++)
		if (options->settings[of_kubernetes[i]])
			fn(arg, options_setting_variable(of_kubernetes[i]));
}
