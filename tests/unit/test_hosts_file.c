/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "epmd/hosts_file.h"
#include "epmd/log.h"

struct scene {
	char dir[64];  /* a temporary folder */
	char log[96];  /* where the log goes, elsewhere */
	char path[96]; /* of the file under test, in DIR */
	struct event_base *base;
	struct registry *registry;
	struct hosts_file *hosts_file;
};

/* --- a folder, a loop and a registry --------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static int set_up(void **state)
{
	struct scene *s = calloc(1, sizeof *s);

	*state = s;
	strcpy(s->dir, "/tmp/kepmd-test-XXXXXX");
	if (!mkdtemp(s->dir))
		return -1;
	snprintf(s->path, sizeof s->path, "%s/hosts", s->dir);
	snprintf(s->log, sizeof s->log, "%s.log", s->dir);
	s->base = event_base_new();
	s->registry = registry_new(1);
	log_set_level(LOG_LEVEL_INFO);
	return s->base && s->registry && log_open_file(s->log) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	hosts_file_free(s->hosts_file);
	registry_free(s->registry);
	event_base_free(s->base);
	remove(s->log);
	nftw(s->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(s);
	return 0;
}

static struct wire_bytes bytes(const char *text)
{
	return (struct wire_bytes){(const uint8_t *)text, strlen(text)};
}

static void discover(struct scene *s, const char *name)
{
	const struct epmd_node node = {.port = 1, .name = bytes(name)};

	assert_int_equal(registry_put_discovered(s->registry, &node, s), 0);
}

static void forget(struct scene *s, const char *name)
{
	registry_remove_discovered(s->registry, bytes(name), s);
}

static void start(struct scene *s)
{
	s->hosts_file = hosts_file_new(s->base, s->registry, s->path);
	assert_non_null(s->hosts_file);
}

/* Until no event is awaited. */
static void settle(struct scene *s)
{
	hosts_file_touch(s->hosts_file);
	event_base_dispatch(s->base);
}

/* Until the timer of a change has run, even if another is set then. */
static void settle_once(struct scene *s)
{
	hosts_file_touch(s->hosts_file);
	event_base_loop(s->base, EVLOOP_ONCE);
}

static const char *read_text(const char *path)
{
	static char text[4096];
	FILE *file = fopen(path, "r");

	if (!file)
		fail_msg("%s is not there", path);
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	fclose(file);
	return text;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	while ((text = strchr(text, '\n'))) {
		text++;
		n++;
	}
	return n;
}

/* The log has N lines, and these words. */
static void expect_log(const struct scene *s, size_t n, const char *const *words)
{
	const char *text = read_text(s->log);

	if (count_lines(text) != n)
		fail_msg("%zu lines expected: %s", n, text);
	for (; *words; words++)
		if (!strstr(text, *words))
			fail_msg("\"%s\" lacks \"%s\"", text, *words);
}

#define EXPECT_LOG(s, n, ...) expect_log(s, n, (const char *const[]){__VA_ARGS__, NULL})

static size_t count_entries(const char *path)
{
	DIR *dir = opendir(path);
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

/* --- the timer --------------------------------------------------------------------------- */

struct timer {
	const struct event *event; /* NULL: it is not set */
	long ms;                   /* from now */
};

static int note_timer(const struct event_base *base, const struct event *event, void *arg)
{
	struct timer *timer = arg;
	struct timeval now, due, left;

	(void)base;
	if (!event_pending(event, EV_TIMEOUT, &due))
		return 0;
	evutil_gettimeofday(&now, NULL);
	evutil_timersub(&due, &now, &left);
	*timer = (struct timer){event, (long)left.tv_sec * 1000 + (long)left.tv_usec / 1000};
	return 1;
}

static struct timer timer_of(const struct scene *s)
{
	struct timer timer = {0};

	event_base_foreach_event(s->base, note_timer, &timer);
	return timer;
}

/* What happens when the timer has run, without waiting for it. */
static void run_timer(const struct scene *s)
{
	struct timer timer = timer_of(s);

	assert_non_null(timer.event);
	event_get_callback(timer.event)(-1, EV_TIMEOUT, event_get_callback_arg(timer.event));
}

/* --- what is in the file ---------------------------------------------------------------------- */

static void the_file_is_there_from_the_start(void **state)
{
	struct scene *s = *state;
	struct stat st;

	umask(077);
	start(s);
	umask(022);
	assert_string_equal(read_text(s->path), "");
	assert_int_equal(stat(s->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(count_entries(s->dir), 1);
	assert_null(timer_of(s).event);
	EXPECT_LOG(s, 0, "");
	hosts_file_free(s->hosts_file);
	s->hosts_file = NULL;
	assert_int_equal(access(s->path, F_OK), 0);
}

static void what_was_in_it_goes(void **state)
{
	struct scene *s = *state;
	FILE *file = fopen(s->path, "w");

	fputs("'10.9.9.9'.\n", file);
	fclose(file);
	discover(s, "a@10.0.0.7");
	start(s);
	assert_string_equal(read_text(s->path), "'10.0.0.7'.\n");
}

static void what_was_in_it_stays_until_there_are_nodes(void **state)
{
	struct scene *s = *state;
	FILE *file = fopen(s->path, "w");

	fputs("'10.9.9.9'.\n", file);
	fclose(file);
	start(s);
	assert_string_equal(read_text(s->path), "'10.9.9.9'.\n");
}

static void each_host_has_a_line(void **state)
{
	struct scene *s = *state;
	char too_long[2001];

	memset(too_long, 'x', sizeof too_long);
	memcpy(too_long + sizeof too_long - 3, "@h", 3);
	start(s);
	discover(s, too_long);
	discover(s, "b@10.0.0.9");
	discover(s, "a@10.0.0.10");
	discover(s, "a@10.0.0.9");
	discover(s, "a@web-0.web.default.svc.cluster.local");
	discover(s, "no_host");
	settle(s);
	assert_string_equal(read_text(s->path), "'10.0.0.10'.\n"
	                                        "'10.0.0.9'.\n"
	                                        "'web-0.web.default.svc.cluster.local'.\n");
	forget(s, "b@10.0.0.9");
	forget(s, "a@10.0.0.10");
	settle(s);
	assert_string_equal(read_text(s->path), "'10.0.0.9'.\n"
	                                        "'web-0.web.default.svc.cluster.local'.\n");
	assert_int_equal(count_entries(s->dir), 1);
}

static void a_host_cannot_break_out_of_its_line(void **state)
{
	struct scene *s = *state;

	discover(s, "a@it's\\\n\177h\303\266st");
	start(s);
	assert_string_equal(read_text(s->path), "'it\\'s\\\\\\x{a}\\x{7f}h\303\266st'.\n");
}

/* --- when it is written ------------------------------------------------------------------------ */

static ino_t inode(const struct scene *s)
{
	struct stat st;

	assert_int_equal(stat(s->path, &st), 0);
	return st.st_ino;
}

static void only_a_change_of_hosts_is_written(void **state)
{
	struct scene *s = *state;
	FILE *held;

	discover(s, "a@10.0.0.7");
	start(s);
	held = fopen(s->path, "r"); /* so that its inode is not given to another */
	ino_t before = inode(s);
	discover(s, "b@10.0.0.7");
	settle(s);
	assert_int_equal(inode(s), before);
	discover(s, "a@10.0.0.8");
	settle(s);
	assert_int_not_equal(inode(s), before);
	fclose(held);
}

static void changes_settle_for_100_ms(void **state)
{
	const struct timeval part = {.tv_usec = 20000};
	struct scene *s = *state;

	start(s);
	discover(s, "a@10.0.0.7");
	hosts_file_touch(s->hosts_file);
	assert_in_range(timer_of(s).ms, 50, 110);
	event_base_loopexit(s->base, &part);
	event_base_dispatch(s->base);
	assert_string_equal(read_text(s->path), "");
	discover(s, "a@10.0.0.8");
	long before = timer_of(s).ms;
	hosts_file_touch(s->hosts_file);
	assert_true(timer_of(s).ms <= before); /* not put off */
	event_base_dispatch(s->base);
	assert_string_equal(read_text(s->path), "'10.0.0.7'.\n'10.0.0.8'.\n");
	hosts_file_touch(s->hosts_file);
	assert_in_range(timer_of(s).ms, 50, 110);
}

/* --- links -------------------------------------------------------------------------------------- */

static void a_link_stays_and_its_target_is_written(void **state)
{
	struct scene *s = *state;
	char target[96];
	struct stat st;

	snprintf(target, sizeof target, "%s/target", s->dir);
	fclose(fopen(target, "w"));
	assert_int_equal(symlink("target", s->path), 0);
	discover(s, "a@10.0.0.7");
	start(s);
	assert_int_equal(lstat(s->path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_string_equal(read_text(target), "'10.0.0.7'.\n");
	assert_int_equal(count_entries(s->dir), 2);
}

static void a_link_to_nothing_is_said(void **state)
{
	struct scene *s = *state;

	assert_int_equal(symlink("target", s->path), 0);
	start(s);
	EXPECT_LOG(s, 1, "ERL_EPMD_HOSTS_FILE=", s->path, "leads nowhere", "remove the link");
}

/* --- trouble ------------------------------------------------------------------------------------- */

static void a_folder_that_is_not_there_is_said_once(void **state)
{
	struct scene *s = *state;
	char folder[96];

	snprintf(folder, sizeof folder, "%s/sub", s->dir);
	snprintf(s->path, sizeof s->path, "%s/sub/hosts", s->dir);
	discover(s, "a@10.0.0.7");
	start(s);
	EXPECT_LOG(s, 1, "error: ERL_EPMD_HOSTS_FILE=", s->path, "No such file", "folder must be");
	assert_in_range(timer_of(s).ms, 29000, 30010);
	run_timer(s);
	EXPECT_LOG(s, 1, "");
	assert_in_range(timer_of(s).ms, 29000, 30010);
	/* A change is not put off by that. */
	hosts_file_touch(s->hosts_file);
	assert_in_range(timer_of(s).ms, 50, 110);
	run_timer(s);

	assert_int_equal(mkdir(folder, 0700), 0);
	run_timer(s);
	assert_string_equal(read_text(s->path), "'10.0.0.7'.\n");
	EXPECT_LOG(s, 2, "up to date again");

	/* Another state of affairs. */
	assert_int_equal(remove(s->path), 0);
	assert_int_equal(rmdir(folder), 0);
	fclose(fopen(folder, "w"));
	discover(s, "a@10.0.0.8");
	settle_once(s);
	EXPECT_LOG(s, 3, "Not a directory");
}

static void a_folder_in_its_place_is_said(void **state)
{
	struct scene *s = *state;

	assert_int_equal(mkdir(s->path, 0700), 0);
	start(s);
	EXPECT_LOG(s, 1, s->path, "Is a directory", "remove what is there");
	assert_int_equal(count_entries(s->dir), 1);
}

static void what_is_no_file_is_not_replaced(void **state)
{
	struct scene *s = *state;
	struct stat st;

	assert_int_equal(mkfifo(s->path, 0600), 0);
	start(s);
	EXPECT_LOG(s, 1, s->path, "is no file", "give the path of one");
	assert_int_equal(lstat(s->path, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
}

static void a_file_that_finds_no_room_is_left_as_it_was(void **state)
{
	struct scene *s = *state;
	struct rlimit before, none = {0};

	start(s);
	discover(s, "a@10.0.0.7");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none.rlim_max = before.rlim_max;
	none.rlim_cur = 5;
	signal(SIGXFSZ, SIG_IGN);
	/* The log is a file too: it finds no room either. */
	log_open_file("/dev/null");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	settle_once(s);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(log_open_file(s->log), 0);
	assert_string_equal(read_text(s->path), "");
	assert_int_equal(count_entries(s->dir), 1);
	assert_in_range(timer_of(s).ms, 29000, 30010);
	run_timer(s);
	assert_string_equal(read_text(s->path), "'10.0.0.7'.\n");
	EXPECT_LOG(s, 1, "up to date again");
}

static void a_path_that_is_too_long_is_said(void **state)
{
	struct scene *s = *state;
	char path[6000];

	memset(path, 'x', sizeof path);
	path[0] = '/';
	path[sizeof path - 1] = '\0';
	s->hosts_file = hosts_file_new(s->base, s->registry, path);
	assert_non_null(s->hosts_file);
	EXPECT_LOG(s, 1, "ERL_EPMD_HOSTS_FILE=/xxx");
}

static void nothing_is_freed_as_well(void **state)
{
	(void)state;
	hosts_file_free(NULL);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    IN_FOLDER(the_file_is_there_from_the_start),
	    IN_FOLDER(what_was_in_it_goes),
	    IN_FOLDER(what_was_in_it_stays_until_there_are_nodes),
	    IN_FOLDER(each_host_has_a_line),
	    IN_FOLDER(a_host_cannot_break_out_of_its_line),
	    IN_FOLDER(only_a_change_of_hosts_is_written),
	    IN_FOLDER(changes_settle_for_100_ms),
	    IN_FOLDER(a_link_stays_and_its_target_is_written),
	    IN_FOLDER(a_link_to_nothing_is_said),
	    IN_FOLDER(a_folder_that_is_not_there_is_said_once),
	    IN_FOLDER(a_folder_in_its_place_is_said),
	    IN_FOLDER(what_is_no_file_is_not_replaced),
	    IN_FOLDER(a_file_that_finds_no_room_is_left_as_it_was),
	    IN_FOLDER(a_path_that_is_too_long_is_said),
	    cmocka_unit_test(nothing_is_freed_as_well),
	};

	return cmocka_run_group_tests_name("hosts_file", tests, NULL, NULL);
}
