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

#include "epmd/allow.h"

#define DIGITS "1234567890123456789012345678901234567890"
#define LONG_WORD DIGITS DIGITS DIGITS

static struct allow *make(const char *who, const char *remote_loopback)
{
	char error[300] = "";
	struct allow *allow = allow_new(who, remote_loopback, true, error, sizeof(error));

	if (!allow)
		fail_msg("%s", error);
	return allow;
}

static struct sockaddr_any at(const char *text)
{
	struct sockaddr_any address;

	assert_true(sockaddr_parse(text, 4711, &address));
	return address;
}

static bool may(struct allow *allow, const char *from)
{
	struct sockaddr_any address = at(from);

	return allow_may_ask(allow, &address, 1);
}

static void who_is_named_may_ask(void **state)
{
	static const struct {
		const char *who, *from;
		bool may;
	} rows[] = {
	    {NULL, "198.51.100.1", true},
	    {NULL, "127.0.0.6", true},
	    {"10.1.2.3", "10.1.2.3", true},
	    {"10.1.2.3", "10.1.2.4", false},
	    {"10.1.2.3", "127.0.0.1", true},
	    {"10.1.2.3", "127.9.9.9", true},
	    {"10.1.2.3", "::1", true},
	    {"10.1.2.3", "127.0.0.6", false},
	    {"127.0.0.6", "127.0.0.6", true},
	    {"10.0.0.0/8", "10.255.0.1", true},
	    {"10.0.0.0/8", "11.0.0.1", false},
	    {"10.0.0.0/9", "10.127.255.255", true},
	    {"10.0.0.0/9", "10.128.0.0", false},
	    {"10.0.0.7/31", "10.0.0.6", true},
	    {"10.0.0.7/31", "10.0.0.8", false},
	    {"0.0.0.0/0", "198.51.100.1", true},
	    {"0.0.0.0/0", "2001:db8::1", false},
	    {"::/0", "2001:db8::1", true},
	    {"::/0", "198.51.100.1", false}, /* though mapped, it is one of them */
	    {"::ffff:198.51.100.1", "198.51.100.1", true},
	    {"198.51.100.1", "::ffff:198.51.100.1", true},
	    {"fd00::/7", "fc00::1", true},
	    {"fd00::/7", "fe00::1", false},
	    {"fd00:1::/33, 198.51.100.1", "fd00:1:7fff::1", true},
	    {"fd00:1::/33\t198.51.100.1", "fd00:1:8000::1", false},
	    {" ,198.51.100.9,, 198.51.100.1\n", "198.51.100.1", true},
	    {"peers", "198.51.100.1", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct allow *allow = make(rows[i].who, NULL);
		if (may(allow, rows[i].from) != rows[i].may)
			fail_msg("row %zu: %s from %s", i, rows[i].who, rows[i].from);
		allow_free(allow);
	}
}

static void what_is_wrong_is_named(void **state)
{
	static const char *const lists[] = {
	    "10.0.0.0/33", "fd00::/129",      "10.0.0.0/", "10.0.0.0/x",  "10.0.0.0/8x",
	    "10.0.0.0/-1", "10.0.0.0/008008", "peer",      "example.com", "10.0.0",
	    "/8",          "10.0.0.1/8/8",    LONG_WORD};
	char error[300], list[300];

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		snprintf(list, sizeof(list), "10.0.0.1,%s", lists[i]);
		error[0] = '\0';
		assert_null(allow_new(list, NULL, true, error, sizeof(error)));
		assert_non_null(strstr(error, "ERL_EPMD_ALLOW: \""));
	}
}

static void a_list_that_names_nobody_is_refused(void **state)
{
	static const char *const lists[] = {"", " ", ",", " , \t\n,"};

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		char error[300] = "";
		assert_null(allow_new(lists[i], NULL, true, error, sizeof(error)));
		assert_non_null(strstr(error, "ERL_EPMD_ALLOW names nobody"));
	}
}

static void too_many_entries_are_refused(void **state)
{
	char error[300] = "";
	char *list = calloc(300, 24);

	(void)state;
	assert_non_null(list);
	for (int i = 0; i < 257; i++)
		snprintf(list + strlen(list), 24, "10.0.%d.1,", i % 256);
	assert_null(allow_new(list, NULL, true, error, sizeof(error)));
	assert_non_null(strstr(error, "more than 256 entries"));
	free(list);
}

static void without_discovery_there_are_no_peers(void **state)
{
	char error[300] = "";

	(void)state;
	assert_null(allow_new("peers", NULL, false, error, sizeof(error)));
	assert_non_null(strstr(error, "set ERL_EPMD_DISCOVERY"));
}

static void peers_may_ask_while_they_are_known(void **state)
{
	struct allow *allow = make("peers", NULL);

	(void)state;
	allow_peer_changed(allow, NULL, "198.51.100.1");
	allow_peer_changed(allow, NULL, "198.51.100.1");
	allow_peer_changed(allow, NULL, "2001:db8::1");
	assert_true(may(allow, "198.51.100.1"));
	assert_true(may(allow, "2001:db8::1"));
	assert_false(may(allow, "198.51.100.2"));
	allow_peer_changed(allow, "198.51.100.1", "198.51.100.1");
	allow_peer_changed(allow, "198.51.100.1", NULL);
	assert_true(may(allow, "198.51.100.1"));
	allow_peer_changed(allow, "198.51.100.1", "198.51.100.2");
	assert_false(may(allow, "198.51.100.1"));
	assert_true(may(allow, "198.51.100.2"));
	allow_peer_changed(allow, "198.51.100.9", NULL);
	allow_free(allow);
}

static void peers_are_nothing_where_they_are_not_asked_for(void **state)
{
	struct allow *allow = make("198.51.100.1", NULL);

	(void)state;
	allow_peer_changed(allow, NULL, "198.51.100.2");
	assert_false(may(allow, "198.51.100.2"));
	allow_free(allow);
}

static void a_mesh_is_not_loopback(void **state)
{
	static const struct {
		const char *list, *from;
		bool loopback;
	} rows[] = {
	    {NULL, "127.0.0.1", true},
	    {NULL, "127.0.0.6", false},
	    {NULL, "::ffff:127.0.0.6", false},
	    {NULL, "::1", true},
	    {NULL, "198.51.100.1", false},
	    {"none", "127.0.0.6", true},
	    {"127.0.0.5", "127.0.0.6", true},
	    {"127.0.0.5 127.1.0.0/16", "127.1.2.3", false},
	    {"::1", "::1", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct allow *allow = make(NULL, rows[i].list);
		struct sockaddr_any from = at(rows[i].from);
		if (allow_is_loopback(allow, &from) != rows[i].loopback)
			fail_msg("row %zu", i);
		allow_free(allow);
	}
}

static void a_mesh_is_on_loopback(void **state)
{
	static const char *const lists[] = {"10.0.0.1", "126.0.0.0/7", "::2", "0.0.0.0/0", "::/0"};
	char error[300];

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		error[0] = '\0';
		assert_null(allow_new(NULL, lists[i], true, error, sizeof(error)));
		assert_non_null(strstr(error, "give addresses within 127.0.0.0/8"));
	}
}

static void closed_is_for_others(void **state)
{
	struct allow *allow = allow_new_closed();

	(void)state;
	assert_non_null(allow);
	assert_true(may(allow, "127.0.0.1"));
	assert_false(may(allow, "198.51.100.1"));
	assert_false(may(allow, "127.0.0.6"));
	allow_free(allow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_is_named_may_ask),
	    cmocka_unit_test(what_is_wrong_is_named),
	    cmocka_unit_test(too_many_entries_are_refused),
	    cmocka_unit_test(a_list_that_names_nobody_is_refused),
	    cmocka_unit_test(without_discovery_there_are_no_peers),
	    cmocka_unit_test(peers_may_ask_while_they_are_known),
	    cmocka_unit_test(peers_are_nothing_where_they_are_not_asked_for),
	    cmocka_unit_test(a_mesh_is_not_loopback),
	    cmocka_unit_test(a_mesh_is_on_loopback),
	    cmocka_unit_test(closed_is_for_others),
	};

	return cmocka_run_group_tests_name("allow", tests, NULL, NULL);
}
