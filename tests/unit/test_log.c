/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "epmd/log.h"
#include "epmd/log_limit.h"
#include "epmd/log_syslog.h"
#include "epmd/metrics.h"

/* --- standard error: a pipe that is read when the test likes ------------------------------- */

struct pipe {
	int reader;
	int kept; /* the standard error that was */
};

static int set_up_pipe(void **state)
{
	struct pipe *p = calloc(1, sizeof(*p));
	int fds[2];

	if (!p || pipe(fds) != 0)
		return -1;
	p->reader = fds[0];
	p->kept = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	fcntl(p->reader, F_SETFL, O_NONBLOCK);
	*state = p;
	return 0;
}

static int tear_down_pipe(void **state)
{
	struct pipe *p = *state;

	dup2(p->kept, STDERR_FILENO);
	close(p->kept);
	close(p->reader);
	free(p);
	return 0;
}

/* Returns the number of lines; what was read last is in *TEXT. */
static unsigned drain(const struct pipe *p, char *text, size_t size)
{
	unsigned lines = 0;
	char byte;
	size_t used = 0;

	while (read(p->reader, &byte, 1) == 1) {
		if (used > 0 && text[used - 1] == '\n')
			used = 0;
		if (used < size - 1)
			text[used++] = byte;
		lines += byte == '\n';
	}
	text[used] = '\0';
	return lines;
}

#define LINES 3000u

static void a_reader_that_does_not_read_costs_lines(void **state)
{
	const struct pipe *p = *state;
	char text[256], expected[64];

	alarm(10); /* where a line is waited for, this ends it */
	for (unsigned i = 0; i < LINES; i++)
		log_warning("line %u: %040u", i, 0u);
	unsigned kept = drain(p, text, sizeof(text));
	assert_in_range(kept, 10, LINES - 10);
	assert_null(strstr(text, "lost"));

	log_warning("again");
	assert_int_equal(drain(p, text, sizeof(text)), 1);
	snprintf(expected, sizeof(expected), "again (%u lines before it are lost)\n", LINES - kept);
	assert_non_null(strstr(text, expected));
	log_warning("and again");
	drain(p, text, sizeof(text));
	assert_non_null(strstr(text, "and again\n"));
	alarm(0);
}

static void a_reader_that_is_gone_costs_lines(void **state)
{
	struct pipe *p = *state;

	close(p->reader);
	for (unsigned i = 0; i < 10; i++)
		log_warning("to nobody");
	p->reader = dup(p->kept);
}

static void a_kind_that_comes_too_fast_is_counted(void **state)
{
	const struct pipe *p = *state;
	char text[512];

	for (unsigned i = 0; i < 2 * LOG_LIMIT_BURST; i++)
		log_limited(LOG_LEVEL_WARNING, "%s: asks %u", "10.0.0.7:5", i);
	/* A second may pass meanwhile, on a slow machine. */
	assert_in_range(drain(p, text, sizeof(text)), LOG_LIMIT_BURST, 2 * LOG_LIMIT_BURST - 1);
	assert_non_null(strstr(text, "10.0.0.7:5: asks "));
	assert_non_null(strstr(text, "(more like it are counted, not logged)\n"));
	log_limited(LOG_LEVEL_WARNING, "%s: another kind", "10.0.0.7:5");
	assert_int_equal(drain(p, text, sizeof(text)), 1);
	assert_true(metrics_counters[METRIC_LOG_SUPPRESSED] > 0);
	/* What is not wanted anyway is not counted. */
	uint64_t before = metrics_counters[METRIC_LOG_SUPPRESSED];
	for (unsigned i = 0; i < 2 * LOG_LIMIT_BURST; i++)
		log_limited(LOG_LEVEL_DEBUG, "%s: asks in vain", "10.0.0.7:5");
	assert_int_equal(metrics_counters[METRIC_LOG_SUPPRESSED], before);
}

static void json_names_whom_a_line_is_about(void **state)
{
	const struct pipe *p = *state;
	log_set_format(LOG_FORMAT_JSON);
	log_warning("%s: joined with %s", "a@b", "c@d\n\xFF");
	log_warning("plain %s", "words");
	log_set_format(LOG_FORMAT_TEXT);
	char byte, all[1024];
	size_t len = 0;
	while (len < sizeof(all) - 1 && read(p->reader, &byte, 1) == 1)
		all[len++] = byte;
	all[len] = '\0';
	assert_non_null(strstr(all, "\"about\":\"a@b\",\"message\":\"a@b: joined with c@d?\xEF\xBF\xBD\"}\n"));
	assert_non_null(strstr(all, "\"level\":\"warning\",\"message\":\"plain words\"}\n"));
}

static void the_longest_line_is_one_write(void **state)
{
	const struct pipe *p = *state;
	char text[8192];
	char *longest = calloc(1, 20000);

	memset(longest, 'x', 19999);
	log_warning("%s", longest);
	assert_int_equal(drain(p, text, sizeof(text)), 1);
	assert_in_range(strlen(text), 2000, 4096);
	free(longest);
}

/* --- syslog: a socket of the test's own ------------------------------------------------------ */

struct place {
	char folder[64];
	struct sockaddr_un address;
	struct log_syslog to;
	int daemon;
};

static void listen_there(struct place *p)
{
	p->daemon = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	unlink(p->address.sun_path);
	assert_int_equal(bind(p->daemon, (const struct sockaddr *)&p->address, sizeof(p->address)),
	                 0);
}

static int set_up_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	strcpy(p->folder, "/tmp/kepmd-log-XXXXXX");
	if (!mkdtemp(p->folder))
		return -1;
	p->address.sun_family = AF_UNIX;
	snprintf(p->address.sun_path, sizeof(p->address.sun_path), "%s/log", p->folder);
	p->to = (struct log_syslog){.path = p->address.sun_path, .fd = -1};
	p->daemon = -1;
	*state = p;
	return 0;
}

static int tear_down_place(void **state)
{
	struct place *p = *state;

	if (p->daemon >= 0)
		close(p->daemon);
	if (p->to.fd >= 0)
		close(p->to.fd);
	unlink(p->address.sun_path);
	rmdir(p->folder);
	free(p);
	return 0;
}

static void assert_received(const struct place *p, const char *priority, const char *tail)
{
	char text[512], pid[32];
	ssize_t n = recv(p->daemon, text, sizeof(text) - 1, 0);

	assert_true(n > 0);
	text[n] = '\0';
	assert_memory_equal(text, priority, strlen(priority));
	snprintf(pid, sizeof(pid), " epmd[%d]: ", (int)getpid());
	assert_non_null(strstr(text, pid));
	assert_string_equal(text + n - strlen(tail), tail);
}

static void syslog_gets_priority_name_and_pid(void **state)
{
	struct place *p = *state;

	listen_there(p);
	assert_true(log_syslog_send(&p->to, LOG_ERR, "something is wrong"));
	assert_received(p, "<27>", ": something is wrong");
	assert_true(log_syslog_send(&p->to, LOG_INFO, "all is well"));
	assert_received(p, "<30>", ": all is well");
}

static void syslog_that_does_not_read_is_not_waited_for(void **state)
{
	struct place *p = *state;
	unsigned sent = 0;

	listen_there(p);
	alarm(10);
	while (sent < 100000 && log_syslog_send(&p->to, LOG_INFO, "line"))
		sent++;
	alarm(0);
	assert_in_range(sent, 1, 99999);
	assert_received(p, "<30>", ": line");
	assert_true(log_syslog_send(&p->to, LOG_INFO, "again"));
}

static void syslog_that_begins_anew_is_found(void **state)
{
	struct place *p = *state;

	assert_false(log_syslog_send(&p->to, LOG_INFO, "not there yet"));
	listen_there(p);
	assert_true(log_syslog_send(&p->to, LOG_INFO, "there"));
	close(p->daemon);
	assert_false(log_syslog_send(&p->to, LOG_INFO, "gone"));
	listen_there(p);
	assert_true(log_syslog_send(&p->to, LOG_INFO, "back"));
	assert_received(p, "<30>", ": back");
}

static void syslog_at_a_path_that_is_too_long(void **state)
{
	char path[300];
	struct log_syslog to = {.path = path, .fd = -1};

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_false(log_syslog_send(&to, LOG_INFO, "to nobody"));
	assert_int_equal(to.fd, -1);
}

#define PIPE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_pipe, tear_down_pipe)
#define SYSLOG_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_place, tear_down_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PIPE_TEST(a_reader_that_does_not_read_costs_lines),
	    PIPE_TEST(a_reader_that_is_gone_costs_lines),
	    PIPE_TEST(a_kind_that_comes_too_fast_is_counted),
	    PIPE_TEST(json_names_whom_a_line_is_about),
	    PIPE_TEST(the_longest_line_is_one_write),
	    SYSLOG_TEST(syslog_gets_priority_name_and_pid),
	    SYSLOG_TEST(syslog_that_does_not_read_is_not_waited_for),
	    SYSLOG_TEST(syslog_that_begins_anew_is_found),
	    cmocka_unit_test(syslog_at_a_path_that_is_too_long),
	};

	signal(SIGPIPE, SIG_IGN); /* as in main */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
