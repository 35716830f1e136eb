/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "epmd/registry.h"

/* Memory that is out (linked with --wrap=calloc): how many calls fail. */
static unsigned failing_callocs;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	if (failing_callocs == 0)
		return __real_calloc(n, size);
	failing_callocs--;
	return NULL;
}

#define CLOCK 1700000000u

static int owner_a, owner_b;

static struct wire_bytes text(const char *s)
{
	return (struct wire_bytes){(const uint8_t *)s, strlen(s)};
}

static struct epmd_node node(const char *name, uint16_t port)
{
	return (struct epmd_node){
	    .port = port, .type = EPMD_NODE_VISIBLE, .highest = 6, .lowest = 5, .name = text(name)};
}

static struct local_node *enroll(struct registry *registry, const char *name, uint16_t port,
                                 void *owner)
{
	struct epmd_node n = node(name, port);
	struct local_node *local = NULL;

	registry_register(registry, &n, 7, owner, CLOCK, &local);
	return local;
}

static int set_up(void **state)
{
	*state = registry_new(3);
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	registry_free(*state);
	return 0;
}

static void a_name_is_taken_until_released(void **state)
{
	struct registry *registry = *state;
	struct local_node *a = enroll(registry, "a", 1, &owner_a);
	struct epmd_node again = node("a", 2);
	struct local_node *other;

	assert_non_null(a);
	assert_int_equal(registry_register(registry, &again, 8, &owner_b, CLOCK, &other),
	                 REGISTRY_TAKEN);
	assert_ptr_equal(registry_owner(registry, text("a")), &owner_a);
	assert_int_equal(registry_local_count(registry), 1);
	assert_int_equal(registry_find(registry, text("a"))->port, 1);

	registry_release(registry, a);
	assert_null(registry_find(registry, text("a")));
	assert_null(registry_owner(registry, text("a")));
	assert_int_equal(registry_local_count(registry), 0);
	assert_non_null(enroll(registry, "a", 2, &owner_b));
}

static void a_creation_counts_registrations_of_a_name(void **state)
{
	struct registry *registry = *state;
	struct local_node *a = enroll(registry, "a", 1, &owner_a);

	assert_int_equal(registry_creation(a), CLOCK);
	registry_release(registry, a);
	a = enroll(registry, "a", 1, &owner_a);
	assert_int_equal(registry_creation(a), CLOCK + 1);

	struct epmd_node b = node("b", 1);
	struct local_node *local;
	assert_int_equal(registry_register(registry, &b, 7, &owner_b, 0, &local), REGISTRY_OK);
	assert_int_equal(registry_creation(local), 4);
	registry_release(registry, local);
	b.port = 2;
	assert_int_equal(registry_register(registry, &b, 7, &owner_b, 0, &local), REGISTRY_OK);
	assert_int_equal(registry_creation(local), 5);
}

static void the_oldest_released_name_is_forgotten(void **state)
{
	struct registry *registry = *state;
	static const char *const names[] = {"a", "b", "c", "d"};

	for (size_t i = 0; i < 4; i++)
		registry_release(registry, enroll(registry, names[i], 1, &owner_a));
	assert_int_equal(registry_creation(enroll(registry, "b", 1, &owner_a)), CLOCK + 1);
	assert_int_equal(registry_creation(enroll(registry, "a", 1, &owner_a)), CLOCK);
}

static void append_view(void *arg, const struct local_view *view)
{
	char *line = arg;

	sprintf(line + strlen(line), "%s%.*s ", view->registered ? "" : "-",
	        (int)view->node.name.len, (const char *)view->node.name.at);
}

static void local_nodes_are_shown_newest_first(void **state)
{
	struct registry *registry = *state;
	char line[64] = "";

	enroll(registry, "a", 1, &owner_a);
	struct local_node *b = enroll(registry, "b", 1, &owner_a);
	enroll(registry, "c", 1, &owner_a);
	registry_release(registry, b);
	registry_each_local(registry, false, append_view, line);
	assert_string_equal(line, "c a ");
	line[0] = '\0';
	registry_each_local(registry, true, append_view, line);
	assert_string_equal(line, "c a -b ");
}

static void append_discovered(void *arg, const struct epmd_node *found)
{
	char *line = arg;

	sprintf(line + strlen(line), "%.*s:%u ", (int)found->name.len, (const char *)found->name.at,
	        found->port);
}

static void discovered_nodes_stand_apart(void **state)
{
	struct registry *registry = *state;
	struct epmd_node far = node("a@10.0.0.7", 41463), other = node("b@10.0.0.8", 2);
	char line[64] = "";

	enroll(registry, "a", 1, &owner_a);
	assert_int_equal(registry_put_discovered(registry, &far, &owner_a), 0);
	assert_int_equal(registry_put_discovered(registry, &other, &owner_a), 0);
	assert_int_equal(registry_find(registry, text("a"))->port, 1);
	assert_int_equal(registry_find(registry, text("a@10.0.0.7"))->port, 41463);
	assert_int_equal(registry_local_count(registry), 1);

	far.port = 5;
	assert_int_equal(registry_put_discovered(registry, &far, &owner_a), 0);
	far.extra = text("more");
	assert_int_equal(registry_put_discovered(registry, &far, &owner_b), 0);
	assert_int_equal(registry_find(registry, text("a@10.0.0.7"))->extra.len, 4);
	registry_each_discovered(registry, append_discovered, line);
	assert_string_equal(line, "a@10.0.0.7:5 b@10.0.0.8:2 ");

	registry_remove_discovered(registry, text("a@10.0.0.7"), &owner_a);
	assert_non_null(registry_find(registry, text("a@10.0.0.7")));
	registry_remove_discovered(registry, text("a@10.0.0.7"), &owner_b);
	assert_null(registry_find(registry, text("a@10.0.0.7")));
}

static void a_name_stays_until_the_last_owner_takes_it_out(void **state)
{
	struct registry *registry = *state;
	struct epmd_node far = node("a@10.0.0.7", 41463), late = node("a@10.0.0.7", 41464);

	assert_null(registry_discovered_owner(registry, far.name));
	registry_put_discovered(registry, &far, &owner_a);
	registry_put_discovered(registry, &late, &owner_b);
	assert_int_equal(registry_find(registry, far.name)->port, 41464);
	assert_ptr_equal(registry_discovered_owner(registry, far.name), &owner_b);
	registry_put_discovered(registry, &far, &owner_a);
	assert_ptr_equal(registry_discovered_owner(registry, far.name), &owner_b);
	registry_remove_discovered(registry, far.name, &owner_b);
	assert_int_equal(registry_find(registry, far.name)->port, 41463);
	assert_ptr_equal(registry_discovered_owner(registry, far.name), &owner_a);
	registry_remove_discovered(registry, far.name, &owner_a);
	assert_null(registry_find(registry, far.name));
}

static void without_memory_for_the_new_node_the_old_one_stays(void **state)
{
	struct registry *registry = *state;
	struct epmd_node far = node("a@10.0.0.7", 41463);

	registry_put_discovered(registry, &far, &owner_a);
	far.extra = text("more");
	failing_callocs = 1;
	assert_int_equal(registry_put_discovered(registry, &far, &owner_a), -1);
	assert_int_equal(failing_callocs, 0);
	assert_int_equal(registry_find(registry, far.name)->port, 41463);
	assert_int_equal(registry_find(registry, far.name)->extra.len, 0);
}

static void a_local_node_wins_over_a_discovered_one(void **state)
{
	struct registry *registry = *state;
	struct epmd_node far = node("a@10.0.0.7", 41463);

	registry_put_discovered(registry, &far, &owner_a);
	enroll(registry, "a@10.0.0.7", 1, &owner_b);
	assert_int_equal(registry_find(registry, text("a@10.0.0.7"))->port, 1);
}

static void count_change(void *arg)
{
	++*(int *)arg;
}

static void changes_of_local_nodes_are_told(void **state)
{
	struct registry *registry = *state;
	int first = 0, second = 0;
	struct registry_watcher a = {.local_changed = count_change, .arg = &first};
	struct registry_watcher b = {.local_changed = count_change, .arg = &second};

	registry_watch(registry, &a);
	registry_watch(registry, &b);
	registry_release(registry, enroll(registry, "a", 1, &owner_a));
	registry_unwatch(registry, &a);
	enroll(registry, "a", 1, &owner_a);
	assert_int_equal(first, 2);
	assert_int_equal(second, 3);
}

static void changes_of_discovered_nodes_are_told(void **state)
{
	struct registry *registry = *state;
	int locals = 0, changes = 0;
	struct registry_watcher watcher = {
	    .discovered_changed = count_change, .arg = &changes};
	struct registry_watcher other = {.local_changed = count_change, .arg = &locals};
	const struct epmd_node far = node("a@10.0.0.7", 41463);

	registry_watch(registry, &watcher);
	registry_watch(registry, &other);
	registry_put_discovered(registry, &far, &owner_a);
	registry_put_discovered(registry, &far, &owner_a);
	assert_int_equal(changes, 1);
	registry_remove_discovered(registry, far.name, &owner_b);
	assert_int_equal(changes, 1);
	registry_remove_discovered(registry, far.name, &owner_a);
	assert_int_equal(changes, 2);
	assert_int_equal(locals, 0);
}

/* What NAMES and DUMP say is written anew only then. */
static void whatever_is_shown_is_told_when_it_changes(void **state)
{
	struct registry *registry = *state;
	int changes = 0;
	struct registry_watcher watcher = {.changed = count_change, .arg = &changes};
	const struct epmd_node far = node("a@10.0.0.7", 41463);
	struct local_node *local;

	registry_watch(registry, &watcher);
	registry_put_discovered(registry, &far, &owner_a);
	registry_put_discovered(registry, &far, &owner_b);
	registry_remove_discovered(registry, far.name, &owner_a);
	registry_remove_discovered(registry, far.name, &owner_a);
	assert_int_equal(changes, 3);
	local = enroll(registry, "a", 1, &owner_a);
	assert_int_equal(changes, 4);
	registry_release(registry, local);
	assert_int_equal(changes, 5);
	registry_remove_discovered(registry, far.name, &owner_b);
	assert_int_equal(changes, 6);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_name_is_taken_until_released),
	    TEST(a_creation_counts_registrations_of_a_name),
	    TEST(the_oldest_released_name_is_forgotten),
	    TEST(local_nodes_are_shown_newest_first),
	    TEST(discovered_nodes_stand_apart),
	    TEST(a_name_stays_until_the_last_owner_takes_it_out),
	    TEST(without_memory_for_the_new_node_the_old_one_stays),
	    TEST(a_local_node_wins_over_a_discovered_one),
	    TEST(changes_of_local_nodes_are_told),
	    TEST(changes_of_discovered_nodes_are_told),
	    TEST(whatever_is_shown_is_told_when_it_changes),
	};

	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
