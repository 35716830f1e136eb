/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "epmd/privilege.h"

/* capabilities(7), by <linux/capability.h> */
#define OVERRIDE (1ull << 1)
#define READ_SEARCH (1ull << 2)
#define BIND (1ull << 10)
#define PTRACE (1ull << 19)
#define BPF (1ull << 39)
#define ALL ((1ull << 41) - 1)

static void only_what_is_needed_is_kept(void **state)
{
	static const struct {
		unsigned long long held;
		bool root;
		struct privilege_needs needs;
		unsigned long long kept;
	} cases[] = {
	    {ALL, true, {0}, 0},
	    {ALL, true, {.reads_files = true}, READ_SEARCH},
	    {ALL, true, {.writes_files = true}, OVERRIDE},
	    {ALL, true, {.binds_ports = true}, BIND},
	    {ALL, true, {true, true, true}, OVERRIDE | READ_SEARCH | BIND},
	    /* A container of Docker's has the one that reads and writes, not the one that reads. */
	    {ALL & ~READ_SEARCH, true, {.reads_files = true}, OVERRIDE},
	    /* One that is not root reads what it may, with or without. */
	    {ALL, false, {true, true, false}, 0},
	    {BIND, false, {true, true, true}, BIND},
	    {0, true, {true, true, true}, 0},
	    {PTRACE | BPF, true, {true, true, true}, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(privilege_kept(cases[i].held, cases[i].root, &cases[i].needs),
		                 cases[i].kept);
}

static void capabilities_are_named_or_counted(void **state)
{
	static const struct {
		unsigned long long held;
		const char *text;
	} cases[] = {
	    {0, "no capabilities"},
	    {READ_SEARCH, "CAP_DAC_READ_SEARCH"},
	    {OVERRIDE | READ_SEARCH | BIND,
	     "CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE"},
	    {PTRACE | BPF, "2 capabilities"},
	    {PTRACE | BIND, "CAP_NET_BIND_SERVICE, 1 other capability"},
	};
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		privilege_capabilities_text(cases[i].held, text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
}

static void a_text_that_does_not_fit_is_cut(void **state)
{
	char text[20];

	(void)state;
	privilege_capabilities_text(ALL, text, sizeof(text));
	assert_string_equal(text, "CAP_DAC_OVERRIDE, C");
}

/* In a process of its own: it is for good. */
static int drop_and_look(void)
{
	const struct privilege_needs needs = {.reads_files = true};
	const char *kept = geteuid() == 0 ? "CAP_DAC_READ_SEARCH" : "no capabilities";
	char text[256], expected[256];

	if (privilege_drop(&needs) < 0)
		return 1;
	privilege_describe(text, sizeof(text));
	snprintf(expected, sizeof(expected), "no new privileges, %s, not dumpable", kept);
	if (strcmp(text, expected) != 0)
		return 2;
	/* None can come back. */
	for (int i = 0; i < 41; i++)
		if (geteuid() == 0 && i != 2 && prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			return 3;
	privilege_end();
	return 0;
}

static void they_are_given_up(void **state)
{
	int status;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0)
		_exit(drop_and_look());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_what_is_needed_is_kept),
	    cmocka_unit_test(capabilities_are_named_or_counted),
	    cmocka_unit_test(a_text_that_does_not_fit_is_cut),
	    cmocka_unit_test(they_are_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
