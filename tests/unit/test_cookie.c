/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "epmd/join/cookie.h"

struct scene {
	char dir[64]; /* a temporary folder */
	struct cookie_places places;
	const struct owner *owner;
	struct cookie cookie;
	char error[512];
};

/* --- a folder to play in ------------------------------------------------------------------ */

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
	return mkdtemp(s->dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	nftw(s->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(s);
	return 0;
}

static const char *in(const struct scene *s, const char *name)
{
	static char paths[32][256];
	static unsigned turn;
	char *path = paths[turn++ % 32];

	snprintf(path, sizeof paths[0], "%s/%s", s->dir, name);
	return path;
}

/* Writes the file NAME and the folders before it. */
static const char *put_bytes(const struct scene *s, const char *name, const char *text, size_t len,
                             mode_t mode)
{
	const char *path = in(s, name);

	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		char folder[128];
		snprintf(folder, sizeof folder, "%.*s", (int)(slash - name), name);
		mkdir(in(s, folder), 0700);
	}
	remove(path);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static const char *put(const struct scene *s, const char *name, const char *text, mode_t mode)
{
	return put_bytes(s, name, text, strlen(text), mode);
}

static enum cookie_result find(struct scene *s)
{
	*s->error = '\0';
	return cookie_find(&s->places, s->owner, &s->cookie, s->error, sizeof s->error);
}

static void expect_found(struct scene *s, const char *text, const char *source)
{
	if (find(s) != COOKIE_FOUND)
		fail_msg("%s is not found: %s", text, s->error);
	assert_string_equal(s->cookie.text, text);
	assert_int_equal(s->cookie.len, strlen(text));
	assert_string_equal(s->cookie.source, source);
}

static void expect_words(const struct scene *s, const char *const *words)
{
	for (; *words; words++)
		if (!strstr(s->error, *words))
			fail_msg("\"%s\" lacks \"%s\"", s->error, *words);
}

#define EXPECT_WRONG(s, ...)                                               \
	do {                                                               \
		assert_int_equal(find(s), COOKIE_WRONG);                   \
		assert_int_equal((s)->cookie.len, 0);                      \
		assert_string_equal((s)->cookie.text, "");                 \
		expect_words(s, (const char *const[]){__VA_ARGS__, NULL}); \
	} while (0)

static char *string_of(char c, size_t n)
{
	static char text[4096];

	assert_true(n < sizeof text);
	memset(text, c, n);
	text[n] = '\0';
	return text;
}

/* --- a node that has registered ------------------------------------------------------------ */

/* A process with the command line of a node, which holds the other end of a connection. */
struct node {
	pid_t pid;
	int talk;
	struct owner owner;
};

static void become_node(const int talk[2], uid_t uid, const char *const flags[5])
{
	if (setuid(uid) < 0)
		_exit(126);
	close(talk[0]);
	dup2(talk[1], STDIN_FILENO);
	dup2(talk[1], STDOUT_FILENO);
	execlp("sh", "sh", "-c", "echo; read -r end", "beam.smp", flags[0], flags[1], flags[2],
	       flags[3], flags[4], NULL);
	_exit(127);
}

static void connect_pair(int *client, int *server)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_storage address;
	socklen_t len = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	memset(&address, 0, sizeof address);
	memcpy(&address, &in4, sizeof in4);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof in4), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	*client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(*client, (struct sockaddr *)&address, len), 0);
	*server = accept(listener, NULL, NULL);
	assert_true(*server >= 0);
	close(listener);
}

static void start_node(struct node *node, uid_t uid, const char *const flags[5])
{
	int client, server, talk[2];
	uid_t ours = geteuid();
	char byte;

	assert_int_equal(seteuid(uid), 0); /* a socket is its maker's */
	connect_pair(&client, &server);
	assert_int_equal(seteuid(ours), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, talk), 0);
	node->pid = fork();
	assert_true(node->pid >= 0);
	if (node->pid == 0)
		become_node(talk, uid, flags);
	close(client);
	close(talk[1]);
	node->talk = talk[0];
	assert_int_equal(read(node->talk, &byte, 1), 1);
	assert_true(owner_find(server, &node->owner));
	close(server);
}

static void end_node(struct node *node)
{
	close(node->talk);
	waitpid(node->pid, NULL, 0);
}

/* --- the order ------------------------------------------------------------------------------ */

/* Every place has a cookie; the first is taken away, and so on. */
static void the_first_place_decides(void **state)
{
	static const char *const flags[5] = {"-setcookie", "kepmd@h", "pair", "-setcookie",
	                                     "plain"};
	struct scene *s = *state;
	struct node node;

	start_node(&node, geteuid(), flags);
	s->owner = &node.owner;
	s->places = (struct cookie_places){
	    .cookie_file = put(s, "given", "given", 0400),
	    .link_name = "kepmd@h",
	    .release_cookie = "release",
	    .relx_cookie = "relx",
	    .release_root = in(s, "mix"),
	    .root_dir = in(s, "relx"),
	    .home = in(s, "home"),
	    .config_home = in(s, "config"),
	};
	put(s, "mix/releases/COOKIE", "mix", 0644);
	put(s, "relx/releases/COOKIE", "rootdir", 0644);
	put(s, "home/.erlang.cookie", "home", 0400);
	put(s, "config/erlang/.erlang.cookie", "config", 0400);
	put(s, "home/.config/erlang/.erlang.cookie", "default", 0400);

	expect_found(s, "given", in(s, "given"));
	s->places.cookie_file = NULL;
	expect_found(s, "pair", "the node's -setcookie");
	s->places.link_name = NULL;
	expect_found(s, "release", "RELEASE_COOKIE");
	s->places.release_cookie = "";
	expect_found(s, "relx", "RELX_COOKIE");
	s->places.relx_cookie = NULL;
	expect_found(s, "plain", "the node's -setcookie");
	s->owner = NULL;
	expect_found(s, "mix", in(s, "mix/releases/COOKIE"));
	remove(in(s, "mix/releases/COOKIE"));
	expect_found(s, "rootdir", in(s, "relx/releases/COOKIE"));
	s->places.root_dir = NULL;
	expect_found(s, "home", in(s, "home/.erlang.cookie"));
	remove(in(s, "home/.erlang.cookie"));
	expect_found(s, "config", in(s, "config/erlang/.erlang.cookie"));
	s->places.config_home = "";
	expect_found(s, "default", in(s, "home/.config/erlang/.erlang.cookie"));
	s->places.home = NULL;
	assert_int_equal(find(s), COOKIE_NONE);
	assert_int_equal(s->cookie.len, 0);
	expect_words(s, (const char *const[]){"RELEASE_COOKIE", "ERL_EPMD_COOKIE_FILE", NULL});
	end_node(&node);
}

static void the_command_line_of_our_user_counts(void **state)
{
	static const char *const flags[5] = {"-setcookie", "plain"};
	struct scene *s = *state;
	struct node node;

	start_node(&node, geteuid(), flags);
	s->owner = &node.owner;
	expect_found(s, "plain", "the node's -setcookie");
	end_node(&node);
}

/* Even if we could read it. */
static void the_command_line_of_another_user_does_not_count(void **state)
{
	static const char *const flags[5] = {"-setcookie", "plain"};
	struct scene *s = *state;
	struct owner_args args;
	struct node node;

	if (geteuid() != 0)
		skip();
	start_node(&node, 65534, flags);
	assert_int_equal(node.owner.uid, 65534);
	assert_true(owner_args_read(&node.owner, &args));
	owner_args_clear(&args);
	s->owner = &node.owner;
	assert_int_equal(find(s), COOKIE_NONE);
	end_node(&node);
}

static void the_environment_is_read(void **state)
{
	static const char *const names[] = {"RELEASE_COOKIE", "RELX_COOKIE", "RELEASE_ROOT",
	                                    "ROOTDIR",        "HOME",        "XDG_CONFIG_HOME"};
	struct cookie_places places;

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		setenv(names[i], names[i], 1);
	memset(&places, 1, sizeof places);
	cookie_places_read(&places);
	assert_null(places.cookie_file);
	assert_null(places.link_name);
	assert_string_equal(places.release_cookie, "RELEASE_COOKIE");
	assert_string_equal(places.relx_cookie, "RELX_COOKIE");
	assert_string_equal(places.release_root, "RELEASE_ROOT");
	assert_string_equal(places.root_dir, "ROOTDIR");
	assert_string_equal(places.home, "HOME");
	assert_string_equal(places.config_home, "XDG_CONFIG_HOME");
}

/* --- -setcookie --------------------------------------------------------------------------------- */

/* What OTP 25 was seen to expect of any node, and of kepmd@h. */
static const struct {
	const char *args[8];
	const char *own, *of_link;
} command_lines[] = {
    {{"beam.smp", "--", "-setcookie", "A"}, "A", NULL},
    {{"beam.smp", "--", "-setcookie", "A", "-name", "x"}, "A", NULL},
    {{"beam.smp", "-setcookie", "A", "--", "B"}, "A", NULL},
    {{"beam.smp", "-setcookie", "A", "-setcookie", "B"}, NULL, NULL},
    {{"beam.smp", "-setcookie", "A", "-setcookie", "A"}, NULL, NULL},
    {{"beam.smp", "-setcookie", "A", "--", "-setcookie", "B"}, NULL, NULL},
    {{"beam.smp", "-setcookie", "A", "-extra", "-setcookie", "B"}, "A", NULL},
    {{"beam.smp", "-extra", "-setcookie", "A"}, NULL, NULL},
    {{"beam.smp", "-setcookie", "kepmd@h", "O"}, NULL, "O"},
    {{"beam.smp", "-setcookie", "other@h", "O"}, NULL, NULL},
    {{"beam.smp", "-setcookie", "kepmd@h", "O", "-setcookie", "A"}, "A", "O"},
    {{"beam.smp", "-setcookie", "A", "-setcookie", "kepmd@h", "O"}, "A", "O"},
    {{"beam.smp", "-setcookie", "kepmd@h", "O", "-setcookie", "kepmd@h", "P"}, NULL, NULL},
    {{"beam.smp", "-setcookie", "A", "B", "C"}, NULL, NULL},
    {{"beam.smp", "-setcookie", "-A"}, NULL, NULL},
    {{"beam.smp", "-setcookie"}, NULL, NULL},
    {{"beam.smp", "--setcookie", "A"}, NULL, NULL},
    {{"beam.smp", "-setcookie", ""}, "", NULL},
    {{"beam.smp", "setcookie", "A"}, NULL, NULL},
    {{NULL}, NULL, NULL},
};

static void check_told(size_t i, const char *told, const char *wanted)
{
	if (told == wanted || (told && wanted && strcmp(told, wanted) == 0))
		return;
	fail_msg("line %zu: %s, not %s", i, told ? told : "none", wanted ? wanted : "none");
}

static void setcookie_is_read_as_the_vm_does(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof command_lines / sizeof *command_lines; i++) {
		char *at[9] = {0};
		struct owner_args args = {.at = at};
		for (; command_lines[i].args[args.n]; args.n++)
			at[args.n] = strdup(command_lines[i].args[args.n]);
		check_told(i, cookie_in_args(&args, NULL), command_lines[i].own);
		check_told(i, cookie_in_args(&args, "kepmd@h"), command_lines[i].of_link);
		for (size_t n = 0; n < args.n; n++)
			free(at[n]);
	}
}

static void a_wrong_setcookie_is_said(void **state)
{
	static const char *const flags[5] = {"-setcookie", ""};
	struct scene *s = *state;
	struct node node;

	start_node(&node, geteuid(), flags);
	s->owner = &node.owner;
	EXPECT_WRONG(s, "-setcookie", "empty");
	end_node(&node);
}

/* --- variables ------------------------------------------------------------------------------- */

static void a_variable_is_the_cookie_byte_by_byte(void **state)
{
	struct scene *s = *state;

	s->places.release_cookie = " a b\n";
	expect_found(s, " a b\n", "RELEASE_COOKIE");
	s->places.release_cookie = string_of('x', 255);
	expect_found(s, s->places.release_cookie, "RELEASE_COOKIE");
	cookie_clear(&s->cookie);
	for (size_t i = 0; i < sizeof s->cookie; i++)
		assert_int_equal(((const char *)&s->cookie)[i], 0);
}

static void a_wrong_variable_is_said_and_not_its_value(void **state)
{
	struct scene *s = *state;

	s->places.relx_cookie = "good";
	s->places.release_cookie = string_of('x', 256);
	EXPECT_WRONG(s, "RELEASE_COOKIE", "255");
	assert_null(strstr(s->error, "xx"));
	s->places.release_cookie = "caf\303\251";
	EXPECT_WRONG(s, "RELEASE_COOKIE", "ASCII");
	assert_null(strstr(s->error, "caf"));
}

/* --- files --------------------------------------------------------------------------------------- */

/* What OTP 25 was seen to make of such an .erlang.cookie; NULL: it refuses it. */
static const struct {
	const char *content;
	size_t len;
	const char *cookie;
} contents[] = {
    {"abc", 3, "abc"},         {"abc\n", 4, "abc"},   {"abc\r\n\n", 6, "abc"},
    {"  abc  ", 7, "  abc  "}, {"abc \n", 5, "abc "}, {"abc\n \r\n", 7, "abc"},
    {"a b", 3, "a b"},         {"  ", 2, "  "},       {"a\tb", 3, NULL},
    {"a\nb", 3, NULL},         {"\nabc", 4, NULL},    {"abc\303\251", 5, NULL},
    {"abc\0", 4, NULL},        {"abc\177", 4, NULL},  {"", 0, NULL},
    {"\n", 1, NULL},
};

static void a_file_is_read_as_the_vm_does(void **state)
{
	struct scene *s = *state;
	const char *path = in(s, ".erlang.cookie");

	s->places.home = s->dir;
	for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
		put_bytes(s, ".erlang.cookie", contents[i].content, contents[i].len, 0400);
		if (contents[i].cookie)
			expect_found(s, contents[i].cookie, path);
		else
			EXPECT_WRONG(s, path, contents[i].len > 1 ? "printable" : "empty");
	}
}

static void a_cookie_in_a_file_has_its_length(void **state)
{
	struct scene *s = *state;

	s->places.home = s->dir;
	put(s, ".erlang.cookie", string_of('x', 255), 0400);
	expect_found(s, string_of('x', 255), in(s, ".erlang.cookie"));
	for (size_t n = 256; n < 3000; n = n * 2) {
		put(s, ".erlang.cookie", string_of('x', n), 0400);
		EXPECT_WRONG(s, in(s, ".erlang.cookie"), "255");
	}
	for (const char *c = "\n\t"; *c; c++) {
		put(s, ".erlang.cookie", string_of(*c, 3000), 0400);
		EXPECT_WRONG(s, in(s, ".erlang.cookie"), "too long");
	}
}

/* Each kind of file, modes, and whether it may have them. */
static const struct {
	const char *name;
	mode_t mode;
	bool good;
} modes[] = {
    {"given", 0400, true},
    {"given", 0440, true},
    {"given", 0600, true},
    {"given", 0644, true},
    {"given", 0460, false},
    {"given", 0402, false},
    {"home/.erlang.cookie", 0400, true},
    {"home/.erlang.cookie", 0700, true},
    {"home/.erlang.cookie", 0440, false},
    {"home/.erlang.cookie", 0404, false},
    {"mix/releases/COOKIE", 0644, true},
};

static void a_file_that_is_too_open_is_said(void **state)
{
	struct scene *s = *state;

	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		const char *path = put(s, modes[i].name, "abc", modes[i].mode);
		s->places = (struct cookie_places){
		    .cookie_file = *modes[i].name == 'g' ? path : NULL,
		    .release_root = *modes[i].name == 'm' ? in(s, "mix") : NULL,
		    .home = *modes[i].name == 'h' ? in(s, "home") : NULL};
		if (modes[i].good)
			expect_found(s, "abc", path);
		else
			EXPECT_WRONG(s, path, "open to others", "chmod");
	}
}

static void a_given_file_must_be_there(void **state)
{
	struct scene *s = *state;

	s->places.release_cookie = "good";
	s->places.cookie_file = in(s, "none");
	EXPECT_WRONG(s, "ERL_EPMD_COOKIE_FILE=", in(s, "none"), "No such file", "must be a file");
	s->places.cookie_file = put(s, "empty", "\n", 0400);
	EXPECT_WRONG(s, "ERL_EPMD_COOKIE_FILE=", in(s, "empty"), "is empty", "put the cookie");
}

static void what_is_no_regular_file_is_not_read(void **state)
{
	struct scene *s = *state;

	s->places.cookie_file = in(s, "fifo");
	assert_int_equal(mkfifo(s->places.cookie_file, 0600), 0);
	EXPECT_WRONG(s, "ERL_EPMD_COOKIE_FILE=", in(s, "fifo"), "regular");
	s->places.cookie_file = "/dev/zero";
	EXPECT_WRONG(s, "/dev/zero", "regular");
	s->places.cookie_file = s->dir;
	EXPECT_WRONG(s, s->dir, "regular");
}

static void a_file_that_cannot_be_read_is_said(void **state)
{
	struct scene *s = *state;

	/* Opened, yet not to be read at its start: by no user. */
	s->places.cookie_file = "/proc/self/mem";
	EXPECT_WRONG(s, "ERL_EPMD_COOKIE_FILE=/proc/self/mem", "cannot be read");
	/* Neither absent nor readable. */
	assert_int_equal(symlink("loop", in(s, "loop")), 0);
	s->places = (struct cookie_places){.release_root = in(s, "loop")};
	EXPECT_WRONG(s, in(s, "loop/releases/COOKIE"), "cannot be read", "must be a file");
}

static void links_are_followed(void **state)
{
	struct scene *s = *state;

	/* as a Secret's volume is laid out */
	put(s, "..2024/cookie", "abc\n", 0440);
	assert_int_equal(symlink("..2024", in(s, "..data")), 0);
	assert_int_equal(symlink("..data/cookie", in(s, "cookie")), 0);
	s->places.cookie_file = in(s, "cookie");
	expect_found(s, "abc", in(s, "cookie"));
}

static void places_that_cannot_be_are_passed_over(void **state)
{
	struct scene *s = *state;

	put(s, "file", "no folder", 0400);
	s->places.release_root = in(s, "file");
	s->places.root_dir = in(s, "none");
	s->places.home = string_of('x', 4090);
	assert_int_equal(find(s), COOKIE_NONE);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    IN_FOLDER(the_first_place_decides),
	    IN_FOLDER(the_command_line_of_our_user_counts),
	    IN_FOLDER(the_command_line_of_another_user_does_not_count),
	    cmocka_unit_test(the_environment_is_read),
	    cmocka_unit_test(setcookie_is_read_as_the_vm_does),
	    IN_FOLDER(a_wrong_setcookie_is_said),
	    IN_FOLDER(a_variable_is_the_cookie_byte_by_byte),
	    IN_FOLDER(a_wrong_variable_is_said_and_not_its_value),
	    IN_FOLDER(a_file_is_read_as_the_vm_does),
	    IN_FOLDER(a_cookie_in_a_file_has_its_length),
	    IN_FOLDER(a_file_that_is_too_open_is_said),
	    IN_FOLDER(a_given_file_must_be_there),
	    IN_FOLDER(what_is_no_regular_file_is_not_read),
	    IN_FOLDER(a_file_that_cannot_be_read_is_said),
	    IN_FOLDER(links_are_followed),
	    IN_FOLDER(places_that_cannot_be_are_passed_over),
	};

	return cmocka_run_group_tests_name("cookie", tests, NULL, NULL);
}
