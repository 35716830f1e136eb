/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "epmd/keeper.h"
#include "epmd/listener.h"

/* --- what the keeper calls ------------------------------------------------------------------ */

static int forks_left;
static unsigned polls;
static void (*on_poll)(void);

pid_t __real_fork(void);
pid_t __wrap_fork(void);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);

pid_t __wrap_fork(void)
{
	if (forks_left-- > 0)
		return __real_fork();
	errno = EAGAIN;
	return -1;
}

/* Time goes faster, so that nobody waits. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	polls++;
	if (on_poll)
		on_poll();
	return __real_poll(fds, n, timeout > 5 ? 5 : timeout);
}

/* --- what is pure ---------------------------------------------------------------------------- */

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
	pid_t child = __real_fork();

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

/* --- a keeper and its servers ------------------------------------------------------------------ */

static int tell = -1; /* a pipe */

/* A process of its own becomes the keeper of servers that do SERVE, whose result is their
 * exit status.  Returns the keeper's; SAID is what the servers wrote to TELL. */
static int run_keeper(int (*serve)(const struct keeper *), int forks, char *said, size_t size)
{
	int ends[2], status;

	assert_int_equal(pipe(ends), 0);
	pid_t child = __real_fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct listener_set set = {.n = 0};
		struct keeper keeper;
		close(ends[0]);
		tell = ends[1];
		forks_left = forks;
		if (keeper_start(&set, &keeper, &status) == KEEPER_IS_SERVER)
			_exit(serve(&keeper));
		_exit(status);
	}
	close(ends[1]);
	size_t len = 0;
	ssize_t n;
	while (len + 1 < size && (n = read(ends[0], said + len, size - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void say(const char *text)
{
	ssize_t ignored = write(tell, text, strlen(text));

	(void)ignored;
}

static int say_how_it_stands(const struct keeper *keeper)
{
	say(keeper->pid == 0 ? "none" : keeper->restarts ? keeper->last_end : "first");
	return 0;
}

static void one_that_ends_ends_the_keeper(void **state)
{
	char said[256];

	(void)state;
	assert_int_equal(run_keeper(say_how_it_stands, 1, said, sizeof(said)), 0);
	assert_string_equal(said, "first");
}

static int hang_first(const struct keeper *keeper)
{
	while (keeper->restarts == 0)
		pause();
	return say_how_it_stands(keeper);
}

static void one_that_hangs_is_killed_and_followed(void **state)
{
	char said[256];

	(void)state;
	assert_int_equal(run_keeper(hang_first, 2, said, sizeof(said)), 0);
	assert_string_equal(said, "hung for 10 s and was killed");
}

static int stop_first(const struct keeper *keeper)
{
	if (keeper->restarts == 0)
		raise(SIGSTOP);
	return say_how_it_stands(keeper);
}

/* In the keeper, whose only child is the server. */
static void continue_late(void)
{
	siginfo_t info = {0};

	if (polls < 10 * KEEPER_HUNG_S / KEEPER_PING_S)
		return;
	if (waitid(P_ALL, 0, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
		kill(info.si_pid, SIGCONT);
}

static void one_that_is_stopped_is_left_alone(void **state)
{
	char said[256];

	(void)state;
	on_poll = continue_late;
	assert_int_equal(run_keeper(stop_first, 2, said, sizeof(said)), 0);
	on_poll = NULL;
	assert_string_equal(said, "first");
}

static int say_and_fail(const struct keeper *keeper)
{
	(void)keeper;
	say(".");
	return 1;
}

static void a_server_that_always_fails_is_given_up(void **state)
{
	char said[256];

	(void)state;
	assert_int_equal(run_keeper(say_and_fail, 100, said, sizeof(said)), 1);
	assert_string_equal(said, "..........");
}

static void a_server_that_cannot_be_started_again_is_given_up(void **state)
{
	char said[256];

	(void)state;
	assert_int_equal(run_keeper(say_and_fail, 1, said, sizeof(said)), 1);
	assert_string_equal(said, ".");
}

static int fail_at_first(const struct keeper *keeper)
{
	if (keeper->restarts < KEEPER_CRASHES_MAX - 1)
		return 1;
	say("last");
	return 0;
}

static void the_last_attempt_counts(void **state)
{
	char said[256];

	(void)state;
	assert_int_equal(run_keeper(fail_at_first, 100, said, sizeof(said)), 0);
	assert_string_equal(said, "last");
}

static void without_processes_there_is_no_keeper(void **state)
{
	char said[256];

	(void)state;
	assert_int_equal(run_keeper(say_how_it_stands, 0, said, sizeof(said)), 0);
	assert_string_equal(said, "none");
}

/* The pipe's reading end, which the keeper closes, leaves room for one descriptor: its signals',
 * not its socket's. */
static void without_descriptors_there_is_no_keeper(void **state)
{
	struct rlimit before, limit;
	char said[256];
	int next = dup(STDIN_FILENO);

	(void)state;
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)next + 2;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(run_keeper(say_how_it_stands, 1, said, sizeof(said)), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_string_equal(said, "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_crash_is_mended_at_once),
	    cmocka_unit_test(later_ones_take_longer_but_less_than_a_second),
	    cmocka_unit_test(a_loop_is_given_up),
	    cmocka_unit_test(ends_are_told_from_crashes),
	    cmocka_unit_test(it_is_described),
	    cmocka_unit_test(one_that_ends_ends_the_keeper),
	    cmocka_unit_test(one_that_hangs_is_killed_and_followed),
	    cmocka_unit_test(one_that_is_stopped_is_left_alone),
	    cmocka_unit_test(a_server_that_always_fails_is_given_up),
	    cmocka_unit_test(a_server_that_cannot_be_started_again_is_given_up),
	    cmocka_unit_test(the_last_attempt_counts),
	    cmocka_unit_test(without_processes_there_is_no_keeper),
	    cmocka_unit_test(without_descriptors_there_is_no_keeper),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
