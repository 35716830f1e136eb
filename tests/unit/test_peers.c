/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <event2/event.h>

#include "discovery/hash.h"
#include "epmd/peers.h"

/* Memory that is out (linked with --wrap=calloc and --wrap=malloc): how many calls of calloc
 * fail, and whether there is none for the table of a hash.  A compiler may make one of the two
 * functions of the other. */
static unsigned failing_callocs;
static bool without_tables;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	if (without_tables && n * size == sizeof(UT_hash_table))
		return NULL;
	if (failing_callocs == 0)
		return __real_calloc(n, size);
	failing_callocs--;
	return NULL;
}

void *__wrap_malloc(size_t size)
{
	return without_tables && size == sizeof(UT_hash_table) ? NULL : __real_malloc(size);
}

/* Peers whose ports are fixed, so that nobody need be asked, and what is told of them. */
struct scene {
	struct event_base *base;
	struct registry *registry;
	struct cluster cluster;
	char *basenames[2];
	struct peers *peers;
	char told[1024];
};

static void note(struct scene *s, char sign, const struct peer_node *node)
{
	size_t len = strlen(s->told);

	snprintf(s->told + len, sizeof(s->told) - len, "%c%s:%u %s\n", sign, node->name, node->port,
	         node->peer->key);
}

static void on_changed(void *arg, const struct peer_node *node)
{
	note(arg, '+', node);
}

static void on_gone(void *arg, const struct peer_node *node)
{
	note(arg, '-', node);
}

static int set_up(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	const struct peers_events events = {
	    .node_changed = on_changed, .node_gone = on_gone, .arg = s};

	*state = s;
	s->base = event_base_new();
	s->registry = registry_new(1);
	s->basenames[0] = strdup("sample");
	s->cluster = (struct cluster){.basenames = s->basenames, .dist_port = 9100};
	s->peers = peers_new(s->base, s->registry, &s->cluster, 4369);
	if (!s->peers)
		return -1;
	peers_watch(s->peers, &events);
	return 0;
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	peers_watch(s->peers, NULL);
	peers_free(s->peers);
	registry_free(s->registry);
	event_base_free(s->base);
	free(s->basenames[0]);
	free(s);
	return 0;
}

static char uid[] = "uid", address[] = "192.0.2.7";

static void come(struct scene *s, char *key)
{
	const struct peer after = {.key = key, .address = address, .ready = true};

	peers_changed(s->peers, NULL, &after);
}

static void go(struct scene *s, char *key)
{
	const struct peer before = {.key = key, .address = address, .ready = true};

	peers_changed(s->peers, &before, NULL);
}

static uint16_t port_of(const struct scene *s, const char *name)
{
	const struct wire_bytes bytes = {(const uint8_t *)name, strlen(name)};
	const struct epmd_node *node = registry_find(s->registry, bytes);

	return node ? node->port : 0;
}

/* Until all that is due soon is done. */
static void run(struct scene *s)
{
	event_base_loop(s->base, 0);
}

static void the_end_of_one_of_two_peers_leaves_the_name_to_the_other(void **state)
{
	struct scene *s = *state;

	come(s, uid);
	run(s);
	come(s, address);
	run(s);
	s->told[0] = '\0';
	go(s, address);
	assert_int_equal(port_of(s, "sample@192.0.2.7"), 9100);
	assert_string_equal(s->told, "-sample@192.0.2.7:9100 192.0.2.7\n"
	                             "+sample@192.0.2.7:9100 uid\n");
	s->told[0] = '\0';
	go(s, uid);
	assert_int_equal(port_of(s, "sample@192.0.2.7"), 0);
	assert_string_equal(s->told, "-sample@192.0.2.7:9100 uid\n");
}

static void who_has_the_port_stands_for_the_name(void **state)
{
	struct scene *s = *state;

	come(s, uid);
	run(s);
	s->told[0] = '\0';
	come(s, address);
	assert_string_equal(s->told, "+sample@192.0.2.7:9100 uid\n");
	go(s, address);
	assert_string_equal(s->told, "+sample@192.0.2.7:9100 uid\n");
}

static void who_watches_later_is_told_of_the_same(void **state)
{
	struct scene *s = *state;
	const struct peers_events events = {
	    .node_changed = on_changed, .node_gone = on_gone, .arg = s};

	come(s, uid);
	run(s);
	come(s, address);
	s->told[0] = '\0';
	peers_watch(s->peers, &events);
	assert_string_equal(s->told, "+sample@192.0.2.7:9100 uid\n+sample@192.0.2.7:9100 uid\n");
}

/* Without a descriptor this host's addresses cannot be read. */
static void without_descriptors(struct scene *s, char *at)
{
	struct rlimit before, none;
	const struct peer after = {.key = uid, .address = at, .ready = true};

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	peers_changed(s->peers, NULL, &after);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_string_equal(s->told, "");
}

static void a_peer_waits_until_own_addresses_are_known(void **state)
{
	struct scene *s = *state;

	without_descriptors(s, address);
	run(s);
	assert_int_equal(port_of(s, "sample@192.0.2.7"), 9100);
}

static void this_host_never_becomes_its_own_peer(void **state)
{
	struct scene *s = *state;

	without_descriptors(s, (char[]){"127.0.0.1"});
	run(s);
	assert_string_equal(s->told, "");
	assert_int_equal(port_of(s, "sample@127.0.0.1"), 0);
}

static void a_peer_that_waits_may_leave(void **state)
{
	struct scene *s = *state;

	without_descriptors(s, address);
	go(s, uid);
	run(s);
	assert_string_equal(s->told, "");
}

/* No basename is set: those of the local nodes count. */
static void of_local_nodes(struct scene *s)
{
	const struct peers_events events = {
	    .node_changed = on_changed, .node_gone = on_gone, .arg = s};

	peers_free(s->peers);
	s->cluster.basenames = NULL;
	s->peers = peers_new(s->base, s->registry, &s->cluster, 4369);
	assert_non_null(s->peers);
	peers_watch(s->peers, &events);
}

static struct local_node *enroll(struct scene *s, const char *name)
{
	const struct epmd_node node = {.type = EPMD_NODE_VISIBLE,
	                               .port = 1,
	                               .name = {(const uint8_t *)name, strlen(name)}};
	struct local_node *local = NULL;

	assert_int_equal(registry_register(s->registry, &node, 7, s, 1, &local), REGISTRY_OK);
	return local;
}

static void count_node(void *arg, const struct peer_node *node)
{
	(void)node;
	++*(unsigned *)arg;
}

static unsigned count_nodes(const struct scene *s)
{
	unsigned n = 0;

	peers_each_node(s->peers, count_node, &n);
	return n;
}

static void a_burst_of_registrations_is_looked_at_once(void **state)
{
	struct scene *s = *state;

	of_local_nodes(s);
	come(s, uid);
	struct local_node *a = enroll(s, "a");
	event_base_loop(s->base, EVLOOP_NONBLOCK);
	assert_string_equal(s->told, "");
	registry_release(s->registry, a);
	enroll(s, "b");
	run(s);
	assert_string_equal(s->told, "+b@192.0.2.7:0 uid\n+b@192.0.2.7:9100 uid\n");
}

static void only_so_many_local_names_are_looked_for(void **state)
{
	struct scene *s = *state;
	struct local_node *locals[100];
	char name[8];

	of_local_nodes(s);
	come(s, uid);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "n%02u", i);
		locals[i] = enroll(s, name);
	}
	run(s);
	assert_int_equal(count_nodes(s), 64);
	/* Those that are looked for stay, whoever else comes. */
	s->told[0] = '\0';
	enroll(s, "late");
	run(s);
	assert_string_equal(s->told, "");
	for (unsigned i = 10; i < 100; i++)
		registry_release(s->registry, locals[i]);
	run(s);
	assert_int_equal(count_nodes(s), 11);
	assert_int_equal(port_of(s, "late@192.0.2.7"), 9100);
}

static void without_memory_for_its_table_a_peer_is_left_out(void **state)
{
	struct scene *s = *state;

	without_tables = true;
	come(s, uid);
	without_tables = false;
	run(s);
	assert_string_equal(s->told, "");
	come(s, uid);
	run(s);
	assert_int_equal(port_of(s, "sample@192.0.2.7"), 9100);
}

static void a_port_that_there_was_no_memory_for_is_put_again(void **state)
{
	struct scene *s = *state;

	come(s, uid);
	failing_callocs = 1;
	run(s);
	assert_int_equal(failing_callocs, 0);
	assert_int_equal(port_of(s, "sample@192.0.2.7"), 9100);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(the_end_of_one_of_two_peers_leaves_the_name_to_the_other),
	    TEST(who_has_the_port_stands_for_the_name),
	    TEST(who_watches_later_is_told_of_the_same),
	    TEST(a_peer_waits_until_own_addresses_are_known),
	    TEST(this_host_never_becomes_its_own_peer),
	    TEST(a_peer_that_waits_may_leave),
	    TEST(a_burst_of_registrations_is_looked_at_once),
	    TEST(only_so_many_local_names_are_looked_for),
	    TEST(without_memory_for_its_table_a_peer_is_left_out),
	    TEST(a_port_that_there_was_no_memory_for_is_put_again),
	};

	return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
