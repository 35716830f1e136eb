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
#include <string.h>

#include "discovery/dns_name.h"

/* --- what may stand behind dns: ---------------------------------------------------------- */

static void names_are_counted_and_cut(void **state)
{
	const char *list = "sample, _epmd._tcp.other.prod,,third.", *why;
	char name[DNS_NAME_SIZE];

	(void)state;
	assert_int_equal(dns_names_check(list, &why), 3);
	assert_true(dns_names_next(&list, name));
	assert_string_equal(name, "sample");
	assert_true(dns_names_next(&list, name));
	assert_string_equal(name, "_epmd._tcp.other.prod");
	assert_true(dns_name_is_srv(name));
	assert_true(dns_names_next(&list, name));
	assert_string_equal(name, "third.");
	assert_false(dns_name_is_srv(name));
	assert_false(dns_names_next(&list, name));
}

static void a_name_that_cannot_be_one_is_refused(void **state)
{
	static const struct {
		const char *list, *why;
	} cases[] = {
	    {"", "names nothing"},
	    {" ,", "names nothing"},
	    {"10.0.0.7", "holds an address"},
	    {"sample,fd00::7", "holds an address"},
	    {"a b/c", "cannot be a name"},
	    {"a..b", "cannot be a name"},
	    {".", "cannot be a name"},
	    {".a", "cannot be a name"},
	    {"-a", "cannot be a name"},
	    {"a-.b", "cannot be a name"},
	    {"a..", "cannot be a name"},
	    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b",
	     "cannot be a name"},
	    {"1a,2a,3a,4a,5a,6a,7a,8a,9a,10a,11a,12a,13a,14a,15a,16a,17a", "more than 16"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *why = NULL;
		assert_int_equal(dns_names_check(cases[i].list, &why), -1);
		assert_non_null(strstr(why, cases[i].why));
	}
}

static void a_name_that_is_too_long_is_refused(void **state)
{
	char list[400];
	const char *why;

	(void)state;
	for (size_t i = 0; i < 300; i++)
		list[i] = i % 50 == 49 ? '.' : 'a';
	list[253] = '\0';
	assert_int_equal(dns_names_check(list, &why), 1);
	list[253] = 'a';
	list[254] = '\0';
	assert_int_equal(dns_names_check(list, &why), -1);
}

/* --- the search -------------------------------------------------------------------------------- */

static char *domains[] = {(char[]){"d1"}, (char[]){"d2."}};

static void assert_search(const char *name, int ndots, const char *const *wanted)
{
	char full[DNS_NAME_SIZE];
	size_t n = 0;

	for (; wanted[n]; n++) {
		assert_true(dns_name_candidate(name, domains, 2, ndots, n, full));
		assert_string_equal(full, wanted[n]);
	}
	assert_false(dns_name_candidate(name, domains, 2, ndots, n, full));
}

static void few_dots_mean_the_domains_first(void **state)
{
	(void)state;
	assert_search("a.b", 5, (const char *const[]){"a.b.d1", "a.b.d2", "a.b", NULL});
}

static void many_dots_mean_the_name_first(void **state)
{
	(void)state;
	assert_search("a.b", 1, (const char *const[]){"a.b", "a.b.d1", "a.b.d2", NULL});
}

static void a_dot_at_the_end_means_no_domains(void **state)
{
	(void)state;
	assert_search("a.", 5, (const char *const[]){"a", NULL});
}

static void what_gets_too_long_is_left_out(void **state)
{
	char name[DNS_NAME_SIZE], full[DNS_NAME_SIZE];

	(void)state;
	memset(name, 'a', 252);
	name[252] = '\0';
	assert_true(dns_name_candidate(name, domains, 2, 1, 0, full));
	assert_string_equal(full, "");
	assert_true(dns_name_candidate(name, domains, 2, 1, 2, full));
	assert_string_equal(full, name);
}

/* --- parts ------------------------------------------------------------------------------------ */

static void a_services_name_says_what_it_is(void **state)
{
	static const struct {
		const char *full, *port, *host, *service, *namespace_;
	} cases[] = {
	    {"s.n.svc.cluster.local", "", "", "s", "n"},
	    {"h.s.n.svc.cluster.local", "", "h", "s", "n"},
	    {"_p._tcp.s.n.svc.example.org", "p", "", "s", "n"},
	    {"_p._tcp.s.example.org", "p", "", "", ""},
	    {"www.example.org", "", "", "", ""},
	    {"s", "", "", "", ""},
	    {"svc.svc.svc", "", "", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns_name_parts parts;
		dns_name_split(cases[i].full, &parts);
		assert_string_equal(parts.port, cases[i].port);
		assert_string_equal(parts.host, cases[i].host);
		assert_string_equal(parts.service, cases[i].service);
		assert_string_equal(parts.namespace_, cases[i].namespace_);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_counted_and_cut),
	    cmocka_unit_test(a_name_that_cannot_be_one_is_refused),
	    cmocka_unit_test(a_name_that_is_too_long_is_refused),
	    cmocka_unit_test(few_dots_mean_the_domains_first),
	    cmocka_unit_test(many_dots_mean_the_name_first),
	    cmocka_unit_test(a_dot_at_the_end_means_no_domains),
	    cmocka_unit_test(what_gets_too_long_is_left_out),
	    cmocka_unit_test(a_services_name_says_what_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
