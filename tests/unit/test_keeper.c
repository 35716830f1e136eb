/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "epmd/keeper.h"

static void the_first_crash_is_mended_at_once(void **state)
{
	(void)state;
	assert_int_equal(keeper_delay_ms(1), 0);
}

static void later_ones_take_longer_but_less_than_a_second(void **state)
{
	int all = 0, before = 0;

	(void)state;
	for (unsigned n = 1; n < KEEPER_CRASHES_MAX; n++) {
		int delay = keeper_delay_ms(n);
		assert_true(delay >= before && delay < 1000);
		before = delay;
		all += delay;
	}
	assert_true(all < 5000);
}

static void a_loop_is_given_up(void **state)
{
	(void)state;
	assert_int_equal(keeper_delay_ms(KEEPER_CRASHES_MAX), -1);
	assert_int_equal(keeper_delay_ms(KEEPER_CRASHES_MAX + 1), -1);
}

/* What wait(2) says of a child that ends so. */
static int status_of(void (*end)(int), int number)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		end(number);
		_exit(99);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void end_by_signal(int number)
{
	signal(number, SIG_DFL);
	raise(number);
}

static void ends_are_told_from_crashes(void **state)
{
	static const struct {
		void (*end)(int);
		int number, result;
		const char *text;
	} cases[] = {
	    {_exit, 0, 0, ""},
	    {_exit, 1, -1, "ended with status 1"},
	    {_exit, 255, -1, "ended with status 255"},
	    {end_by_signal, SIGTERM, 0, ""},
	    {end_by_signal, SIGINT, 0, ""},
	    {end_by_signal, SIGKILL, -1, "was killed by signal 9 (Killed)"},
	    {end_by_signal, SIGHUP, -1, "was killed by signal 1 (Hangup)"},
	};
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = status_of(cases[i].end, cases[i].number);
		assert_int_equal(keeper_judge(status, text, sizeof(text)), cases[i].result);
		assert_string_equal(text, cases[i].text);
	}
}

static void it_is_described(void **state)
{
	static const struct {
		struct keeper keeper;
		const char *text;
	} cases[] = {
	    {{.fd = -1}, "none"},
	    {{.fd = -1, .pid = 7}, "gone: a crash will not be mended"},
	    {{.fd = 3, .pid = 7}, "process 7, no restart so far"},
	    {{.fd = 3, .pid = 7, .restarts = 1, .last_end = "ended with status 1"},
	     "process 7, 1 restart so far: the last server ended with status 1"},
	    {{.fd = 3, .pid = 7, .restarts = 2, .last_end = "ended with status 1"},
	     "process 7, 2 restarts so far: the last server ended with status 1"},
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		keeper_describe(&cases[i].keeper, text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_crash_is_mended_at_once),
	    cmocka_unit_test(later_ones_take_longer_but_less_than_a_second),
	    cmocka_unit_test(a_loop_is_given_up),
	    cmocka_unit_test(ends_are_told_from_crashes),
	    cmocka_unit_test(it_is_described),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
