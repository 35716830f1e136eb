/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "epmd/cluster.h"
#include "proto/nodename.h"

/* Each setting that is wrong, and words that the error must have: the setting, its
 * value, the mend. */
static const struct {
	enum setting setting;
	const char *value;
	const char *words[3];
} wrong[] = {
    {SETTING_DISCOVERY, "k8s", {"ERL_EPMD_DISCOVERY", "k8s", "kubernetes"}},
    {SETTING_DISCOVERY, "kubernetes:x", {"ERL_EPMD_DISCOVERY", "kubernetes:x", "file:PATH"}},
    {SETTING_DISCOVERY, "file:", {"ERL_EPMD_DISCOVERY=file: ", "names no file", "file:/"}},
    {SETTING_DISCOVERY, "file", {"ERL_EPMD_DISCOVERY=file ", "names no file", "file:/"}},
    {SETTING_DISCOVERY, "dns", {"ERL_EPMD_DISCOVERY=dns ", "names nothing", "dns:sample"}},
    {SETTING_DISCOVERY, "dns:", {"ERL_EPMD_DISCOVERY=dns: ", "names nothing", "dns:sample"}},
    {SETTING_DISCOVERY, "dns:10.0.0.7", {"dns:10.0.0.7", "holds an address", "file:PATH"}},
    {SETTING_DISCOVERY, "dns:a/b", {"dns:a/b", "cannot be a name in DNS", "dns:sample"}},
    {SETTING_DISCOVERY, "files:x", {"ERL_EPMD_DISCOVERY=files:x", "no known source", "file:PATH"}},
    {SETTING_HOST_MODE, "fqdn", {"ERL_EPMD_HOST_MODE", "fqdn", "hostname"}},
    {SETTING_BASENAME, "a@b", {"ERL_EPMD_BASENAME", "a@b", "without a host"}},
    {SETTING_BASENAME, ",", {"ERL_EPMD_BASENAME", ",", "names"}},
    {SETTING_DIST, "0", {"ERL_EPMD_DIST", "0", "1 to 65535"}},
    {SETTING_DIST, "65536", {"ERL_EPMD_DIST", "65536", "1 to 65535"}},
    {SETTING_DIST, "Not_a_name", {"ERL_EPMD_DIST", "Not_a_name", "number or the name"}},
    {SETTING_NAMES, "some", {"ERL_EPMD_NAMES", "some", "local, none or all"}},
};

static void wrong_settings_are_named_with_the_mend(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct options options = {0};
		struct cluster cluster;
		char error[512];
		options.settings[wrong[i].setting] = wrong[i].value;
		assert_int_equal(cluster_read(&options, &cluster, error, sizeof(error)), -1);
		for (size_t w = 0; w < 3; w++)
			if (!strstr(error, wrong[i].words[w]))
				fail_msg("\"%s\" lacks \"%s\"", error, wrong[i].words[w]);
		assert_null(cluster.source);
	}
}

static struct options good_options(void)
{
	struct options options = {0};

	options.settings[SETTING_DISCOVERY] = "kubernetes";
	options.settings[SETTING_SELECTOR] = "app=sample";
	return options;
}

static void selector_and_service_exclude_each_other(void **state)
{
	struct options options = good_options();
	struct cluster cluster;
	char error[512];

	(void)state;
	options.settings[SETTING_SERVICE] = "sample";
	assert_int_equal(cluster_read(&options, &cluster, error, sizeof(error)), -1);
	assert_non_null(strstr(error, "exclude each other"));
}

static void read_good(const struct options *options, struct cluster *cluster)
{
	char error[512];

	if (cluster_read(options, cluster, error, sizeof(error)) < 0)
		fail_msg("%s", error);
}

static void defaults(void **state)
{
	struct options nothing = {0}, options = good_options();
	struct cluster cluster;

	(void)state;
	read_good(&nothing, &cluster);
	assert_null(cluster.source);
	assert_null(cluster.basenames);
	cluster_clear(&cluster);

	read_good(&options, &cluster);
	assert_ptr_equal(cluster.source, &kubernetes_source);
	assert_int_equal(cluster.names_shown, NAMES_SHOWN_LOCAL);
	assert_int_equal(cluster.peername.mode, HOST_MODE_IP);
	assert_string_equal(cluster.peername.domain, "cluster.local");
	assert_null(cluster.basenames);
	assert_false(cluster.every_basename);
	cluster_clear(&cluster);
}

static void basenames_and_ports(void **state)
{
	struct options options = good_options();
	struct cluster cluster;

	(void)state;
	options.settings[SETTING_BASENAME] = "web, worker";
	options.settings[SETTING_DIST] = "9100";
	read_good(&options, &cluster);
	assert_string_equal(cluster.basenames[0], "web");
	assert_string_equal(cluster.basenames[1], "worker");
	assert_null(cluster.basenames[2]);
	assert_int_equal(cluster.dist_port, 9100);
	cluster_clear(&cluster);

	options.settings[SETTING_BASENAME] = "*";
	options.settings[SETTING_DIST] = "dist";
	read_good(&options, &cluster);
	assert_true(cluster.every_basename);
	assert_string_equal(cluster.dist_name, "dist");
	cluster_clear(&cluster);
}

/* --- what is looked for ---------------------------------------------------------------- */

static const char long_label[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/* A value of a setting, beside good ones, and whether it can be. */
static const struct {
	enum setting setting;
	const char *value;
	bool good;
} values[] = {
    {SETTING_SELECTOR, "app", true},
    {SETTING_SELECTOR, "!app", true},
    {SETTING_SELECTOR, "app=sample", true},
    {SETTING_SELECTOR, "app==sample", true},
    {SETTING_SELECTOR, "app!=sample", true},
    {SETTING_SELECTOR, "app=", true},
    {SETTING_SELECTOR, "tier>1,tier<9", true},
    {SETTING_SELECTOR, "app.kubernetes.io/name=Sample_1.0,tier", true},
    {SETTING_SELECTOR, "app in (a,b), ! old , tier notin ( x )\n", true},
    {SETTING_SELECTOR, " app = sample ", true},
    {SETTING_SELECTOR, "in=a,notin=b", true},
    {SETTING_SELECTOR, "app in (a,)", true},
    {SETTING_SELECTOR, "app in(a)", true},
    {SETTING_SELECTOR, " ", false},
    {SETTING_SELECTOR, "app=sample web", false},
    {SETTING_SELECTOR, "my app=sample", false},
    {SETTING_SELECTOR, "app: sample", false},
    {SETTING_SELECTOR, "{app: sample}", false},
    {SETTING_SELECTOR, "app=\"sample\"", false},
    {SETTING_SELECTOR, "app=a;tier=b", false},
    {SETTING_SELECTOR, "app=a&limit=1", false},
    {SETTING_SELECTOR, "app=-a", false},
    {SETTING_SELECTOR, "app=a,", false},
    {SETTING_SELECTOR, ",app=a", false},
    {SETTING_SELECTOR, "=a", false},
    {SETTING_SELECTOR, "!", false},
    {SETTING_SELECTOR, "!app=a", false},
    {SETTING_SELECTOR, "app=a=b", false},
    {SETTING_SELECTOR, "a/b/c=d", false},
    {SETTING_SELECTOR, "/b=d", false},
    {SETTING_SELECTOR, "a/=d", false},
    {SETTING_SELECTOR, "app in a", false},
    {SETTING_SELECTOR, "app in ()", false},
    {SETTING_SELECTOR, "app in (a b)", false},
    {SETTING_SELECTOR, "app in (a", false},
    {SETTING_SELECTOR, "app within (a)", false},
    {SETTING_SELECTOR, long_label, false},
    {SETTING_SERVICE, "sample", true},
    {SETTING_SERVICE, "a-1, b,c", true},
    {SETTING_SERVICE, long_label + 1, true},
    {SETTING_SERVICE, long_label, false},
    {SETTING_SERVICE, "Sample", false},
    {SETTING_SERVICE, "my_app", false},
    {SETTING_SERVICE, "sample.prod", false},
    {SETTING_SERVICE, "good,-bad", false},
    {SETTING_SERVICE, "bad-", false},
    {SETTING_SERVICE, ", ,", false},
    {SETTING_NAMESPACE, "prod,stage", true},
    {SETTING_NAMESPACE, "prod/stage", false},
    {SETTING_NAMESPACE, "*", false},
    {SETTING_NAMESPACE, ",", false},
    {SETTING_CLUSTER_DOMAIN, "cluster.local", true},
    {SETTING_CLUSTER_DOMAIN, "Example-1", true},
    {SETTING_CLUSTER_DOMAIN, "..", false},
    {SETTING_CLUSTER_DOMAIN, "cluster.local.", false},
    {SETTING_CLUSTER_DOMAIN, ".cluster.local", false},
    {SETTING_CLUSTER_DOMAIN, "cluster_local", false},
};

static void what_cannot_be_looked_for_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct options options = good_options();
		struct cluster cluster;
		char error[512] = "";
		if (values[i].setting == SETTING_SERVICE)
			options.settings[SETTING_SELECTOR] = NULL;
		options.settings[values[i].setting] = values[i].value;
		bool good = cluster_read(&options, &cluster, error, sizeof(error)) == 0;
		if (good != values[i].good)
			fail_msg("\"%s\" was %s: %s", values[i].value, good ? "taken" : "refused",
			         error);
		if (!good && !strstr(error, options_setting_variable(values[i].setting)))
			fail_msg("\"%s\" names no setting", error);
		cluster_clear(&cluster);
		/* Without discovery nothing of it matters. */
		options.settings[SETTING_DISCOVERY] = NULL;
		read_good(&options, &cluster);
		cluster_clear(&cluster);
	}
}

static void a_domain_of_others_counts_where_it_is_used(void **state)
{
	struct options options = good_options();
	struct cluster cluster;
	char error[512];

	(void)state;
	setenv("CLUSTER_DOMAIN", "https://example.com", 1);
	options.settings[SETTING_CLUSTER_DOMAIN] = getenv("CLUSTER_DOMAIN");
	read_good(&options, &cluster);
	cluster_clear(&cluster);
	options.settings[SETTING_HOST_MODE] = "dns";
	assert_int_equal(cluster_read(&options, &cluster, error, sizeof(error)), -1);
	assert_non_null(strstr(error, "https://example.com is no DNS domain"));
	unsetenv("CLUSTER_DOMAIN");
}

/* --- names ------------------------------------------------------------------------------ */

static const struct {
	const char *variable;
	const char *value;
	const char *basename;
	enum host_mode mode;
} releases[] = {
    {"RELEASE_NODE", "sample@10.0.0.7", "sample", HOST_MODE_IP},
    {"RELEASE_NODE", "sample@10-0-0-7.default.pod.cluster.local", "sample", HOST_MODE_DNS},
    {"RELEASE_NODE", "s@s-0.s.default.svc.cluster.local", "s", HOST_MODE_HOSTNAME},
    {"RELEASE_NODE", "sample", "sample", HOST_MODE_IP},
    {"NAME", "relx@10.0.0.7", "relx", HOST_MODE_IP},
};

static void a_release_says_the_basename_and_the_mode(void **state)
{
	struct options options = good_options();

	(void)state;
	for (size_t i = 0; i < sizeof(releases) / sizeof(releases[0]); i++) {
		struct cluster cluster;
		setenv(releases[i].variable, releases[i].value, 1);
		setenv("RELEASE_NAME", "any", 1);
		read_good(&options, &cluster);
		assert_string_equal(cluster.basenames[0], releases[i].basename);
		assert_int_equal(cluster.peername.mode, releases[i].mode);
		cluster_clear(&cluster);
		unsetenv(releases[i].variable);
		unsetenv("RELEASE_NAME");
	}
}

static void a_word_like_NAME_means_nothing_without_a_release(void **state)
{
	struct options options = good_options();
	struct cluster cluster;

	(void)state;
	setenv("NAME", "somebody", 1);
	read_good(&options, &cluster);
	assert_null(cluster.basenames);
	cluster_clear(&cluster);
	unsetenv("NAME");
}

static void a_release_name_that_cannot_be_used_is_said(void **state)
{
	struct options options = good_options();
	struct cluster cluster;
	char error[512];

	(void)state;
	setenv("RELEASE_NODE", "@10.0.0.7", 1);
	assert_int_equal(cluster_read(&options, &cluster, error, sizeof(error)), -1);
	assert_non_null(strstr(error, "ERL_EPMD_BASENAME"));
	unsetenv("RELEASE_NODE");
}

static char address[] = "10.0.0.7", address6[] = "fd00::7", namespace[] = "prod",
	    service[] = "sample", hostname[] = "sample-0";

static void peers_are_named_by_mode(void **state)
{
	const struct peer full = {.key = address,
	                          .address = address,
	                          .namespace_ = namespace,
	                          .service = service,
	                          .hostname = hostname};
	const struct peer bare = {.key = address6, .address = address6, .namespace_ = namespace};
	struct peername_rule rule = {HOST_MODE_IP, "cluster.local"};
	char name[NODENAME_SIZE];
	const char *why;

	(void)state;
	assert_true(peername_build(&rule, &full, "sample", name, &why));
	assert_string_equal(name, "sample@10.0.0.7");
	assert_true(peername_build(&rule, &bare, "sample", name, &why));
	assert_string_equal(name, "sample@fd00::7");
	rule.mode = HOST_MODE_DNS;
	assert_true(peername_build(&rule, &full, "sample", name, &why));
	assert_string_equal(name, "sample@10-0-0-7.prod.pod.cluster.local");
	assert_true(peername_build(&rule, &bare, "sample", name, &why));
	assert_string_equal(name, "sample@fd00--7.prod.pod.cluster.local");
	rule.mode = HOST_MODE_HOSTNAME;
	assert_true(peername_build(&rule, &full, "sample", name, &why));
	assert_string_equal(name, "sample@sample-0.sample.prod.svc.cluster.local");
	assert_false(peername_build(&rule, &bare, "sample", name, &why));
	assert_non_null(strstr(why, "StatefulSet"));
}

static void settings_for_peers_are_idle_without_a_source(void **state)
{
	struct options options = good_options();

	(void)state;
	assert_null(cluster_idle_setting(&options));
	options.settings[SETTING_DISCOVERY] = "none";
	assert_null(cluster_idle_setting(&options));
	options.settings[SETTING_DISCOVERY] = NULL;
	assert_string_equal(cluster_idle_setting(&options), "ERL_EPMD_SELECTOR");
	options.settings[SETTING_SELECTOR] = NULL;
	assert_null(cluster_idle_setting(&options));
	/* Others may have set this one, and it means nothing by itself. */
	options.settings[SETTING_CLUSTER_DOMAIN] = "cluster.local";
	assert_null(cluster_idle_setting(&options));
}

/* --- a file ----------------------------------------------------------------------------- */

static struct options file_options(void)
{
	struct options options = {0};

	options.settings[SETTING_DISCOVERY] = "file:peers:1";
	return options;
}

static void a_file_is_all_that_it_needs(void **state)
{
	struct options options = file_options();
	struct cluster cluster;

	(void)state;
	read_good(&options, &cluster);
	assert_ptr_equal(cluster.source, &file_source);
	assert_string_equal(cluster.source_settings.path, "peers:1");
	cluster_clear(&cluster);
	assert_null(cluster_idle_setting(&options));
}

static void names_in_dns_are_of_this_cluster(void **state)
{
	struct options options = {0};
	struct cluster cluster;

	(void)state;
	options.settings[SETTING_DISCOVERY] = "dns:sample,_epmd._tcp.b";
	options.settings[SETTING_HOST_MODE] = "hostname";
	setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
	read_good(&options, &cluster);
	unsetenv("KUBERNETES_SERVICE_HOST");
	assert_ptr_equal(cluster.source, &dns_source);
	assert_string_equal(cluster.source_settings.names, "sample,_epmd._tcp.b");
	assert_true(cluster.source_settings.hostnames);
	assert_int_equal(cluster.join, JOIN_ON);
	cluster_clear(&cluster);
}

static void with_a_file_nodes_are_joined_if_that_is_asked_for(void **state)
{
	struct options options = file_options();
	struct cluster cluster;

	(void)state;
	setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
	read_good(&options, &cluster);
	assert_int_equal(cluster.join, JOIN_OFF);
	cluster_clear(&cluster);
	options.settings[SETTING_JOIN] = "on";
	read_good(&options, &cluster);
	assert_int_equal(cluster.join, JOIN_ON);
	cluster_clear(&cluster);
	options = good_options();
	read_good(&options, &cluster);
	assert_int_equal(cluster.join, JOIN_ON);
	cluster_clear(&cluster);
	unsetenv("KUBERNETES_SERVICE_HOST");
}

static void note_variable(void *arg, const char *variable)
{
	strcat(arg, variable);
	strcat(arg, " ");
}

static void what_means_nothing_to_a_file_is_known(void **state)
{
	struct options options = file_options();
	struct cluster cluster;
	char found[256] = "";

	(void)state;
	options.settings[SETTING_SELECTOR] = "app: no selector";
	options.settings[SETTING_SERVICE] = "sample";
	options.settings[SETTING_NAMESPACE] = "prod";
	options.settings[SETTING_BASENAME] = "sample";
	read_good(&options, &cluster);
	cluster_each_foreign(&options, &cluster, note_variable, found);
	assert_string_equal(found, "ERL_EPMD_SELECTOR ERL_EPMD_SERVICE ERL_EPMD_NAMESPACE ");
	cluster_clear(&cluster);

	options = good_options();
	found[0] = '\0';
	read_good(&options, &cluster);
	cluster_each_foreign(&options, &cluster, note_variable, found);
	assert_string_equal(found, "");
	cluster_clear(&cluster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wrong_settings_are_named_with_the_mend),
	    cmocka_unit_test(selector_and_service_exclude_each_other),
	    cmocka_unit_test(defaults),
	    cmocka_unit_test(basenames_and_ports),
	    cmocka_unit_test(what_cannot_be_looked_for_is_named),
	    cmocka_unit_test(a_domain_of_others_counts_where_it_is_used),
	    cmocka_unit_test(a_release_says_the_basename_and_the_mode),
	    cmocka_unit_test(a_word_like_NAME_means_nothing_without_a_release),
	    cmocka_unit_test(a_release_name_that_cannot_be_used_is_said),
	    cmocka_unit_test(peers_are_named_by_mode),
	    cmocka_unit_test(settings_for_peers_are_idle_without_a_source),
	    cmocka_unit_test(a_file_is_all_that_it_needs),
	    cmocka_unit_test(names_in_dns_are_of_this_cluster),
	    cmocka_unit_test(with_a_file_nodes_are_joined_if_that_is_asked_for),
	    cmocka_unit_test(what_means_nothing_to_a_file_is_known),
	};

	/* A developer's own environment must not decide. */
	unsetenv("RELEASE_NODE");
	unsetenv("NAME");
	unsetenv("RELEASE_NAME");
	unsetenv("KUBERNETES_SERVICE_HOST");
	return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
