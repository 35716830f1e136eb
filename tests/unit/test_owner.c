/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

/* clang-format off */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "epmd/join/owner.h"

/* --- lines of the table ------------------------------------------------------------------ */

static struct owner_end end(const char *host, uint16_t port)
{
	struct owner_end e = {.port = port};

	assert_int_equal(inet_pton(AF_INET6, host, &e.host), 1);
	return e;
}

#define V4 "   7: 0100007F:B767 0100007F:1111 "
#define REST "00000000:00000000 00:00000000 00000000  "

/* From 127.0.0.1:46951 to 127.0.0.1:4369. */
static const struct {
	const char *line;
	bool found;
} lines[] = {
    {V4 "01 " REST "1000        0 605003 1 00000000b27cd4ac 20 4 30 10 -1", true},
    {"123456: 0100007F:B767 0100007F:1111 01 " REST "1000 0 605003", true},
    {"   7: 0000000000000000FFFF00000100007F:B767 0000000000000000FFFF00000100007F:1111 01 " REST
     "1000 0 605003 1",
     true},
    /* the socket that we have; other ends */
    {"   7: 0100007F:1111 0100007F:B767 01 " REST "1000 0 605003 1", false},
    {"   7: 0100007F:B768 0100007F:1111 01 " REST "1000 0 605003 1", false},
    {"   7: 0200007F:B767 0100007F:1111 01 " REST "1000 0 605003 1", false},
    {"   7: 0100007F:B767 0200007F:1111 01 " REST "1000 0 605003 1", false},
    {"   7: 00000000000000000000000001000000:B767 00000000000000000000000001000000:1111 01 " REST
     "1000 0 605003 1",
     false},
    /* in TIME_WAIT, or closed by its process */
    {"   7: 0100007F:B767 0100007F:1111 06 00000000:00000000 03:00000E78 00000000     0        0 0 "
     "3 00000000473593c5",
     false},
    /* no lines of the table */
    {"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
     "inode",
     false},
    {"", false},
    {"   7:", false},
    {V4 "01 " REST "1000 0", false},
    {V4 "01 " REST "1000 0 x", false},
    {"   7: 0100007F 0100007F:1111 01 " REST "1000 0 605003 1", false},
    {"   7: 0100007F: 0100007F:1111 01 " REST "1000 0 605003 1", false},
    {"   7: 0100007F:1B767 0100007F:1111 01 " REST "1000 0 605003 1", false},
    {"   7: 0100007F:B767 0100007F:1111x 01 " REST "1000 0 605003 1", false},
    {"   7: 010000G7:B767 0100007F:1111 01 " REST "1000 0 605003 1", false},
    {"   7: +100007F:B767 0100007F:1111 01 " REST "1000 0 605003 1", false},
    {"   7: 0100007F:+B767 0100007F:1111 01 " REST "1000 0 605003 1", false},
    {"   7: 00100007F:B767 0100007F:1111 01 " REST "1000 0 605003 1", false},
    {"   7: 0000000000000000000000000000000000000000000000000100007F:B767 0100007F:1111 01 " REST
     "1000 0 605003 1",
     false},
};

static void a_line_is_that_of_the_socket_or_not(void **state)
{
	const struct owner_end local = end("::ffff:127.0.0.1", 0xB767),
	                       remote = end("::ffff:127.0.0.1", 0x1111);

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct owner owner = {0};
		if (owner_parse_line(lines[i].line, &local, &remote, &owner) != lines[i].found)
			fail_msg("wrong answer to \"%s\"", lines[i].line);
		assert_int_equal(owner.inode, lines[i].found ? 605003 : 0);
		assert_int_equal(owner.uid, lines[i].found ? 1000 : 0);
	}
}

static void a_line_of_ipv6(void **state)
{
	const struct owner_end local = end("2001:db8::1:2", 4369), remote = end("::1", 1);
	struct owner owner;

	(void)state;
	assert_true(owner_parse_line("0: B80D0120000000000000000002000100:1111 "
	                             "00000000000000000000000001000000:0001 01 " REST "7 0 8 1",
	                             &local, &remote, &owner));
	assert_int_equal(owner.uid, 7);
	assert_int_equal(owner.inode, 8);
}

static void an_end_without_a_host_is_none(void **state)
{
	const struct owner_end local = end("::ffff:0.0.0.0", 1), remote = end("::1", 1);
	struct owner owner;

	(void)state;
	assert_false(owner_parse_line("0: :0001 00000000000000000000000001000000:0001 01 " REST
	                              "7 0 8 1",
	                              &local, &remote, &owner));
}

/* --- command lines ------------------------------------------------------------------------- */

static struct owner_args split(const char *text, size_t size)
{
	struct owner_args args;
	char *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, text, size);
	assert_true(owner_args_split(copy, size, &args));
	return args;
}

static void a_command_line_is_cut_at_its_nuls(void **state)
{
	static const char text[] = "beam.smp\0--\0\0-setcookie\0a b\0cut";
	struct owner_args args = split(text, sizeof(text) - 1);

	(void)state;
	assert_int_equal(args.n, 5);
	assert_string_equal(args.at[0], "beam.smp");
	assert_string_equal(args.at[2], "");
	assert_string_equal(args.at[4], "a b");
	assert_null(args.at[5]);
	owner_args_clear(&args);
	owner_args_clear(&args);
	assert_null(args.at);

	args = split("no end", 6);
	assert_int_equal(args.n, 0);
	assert_null(args.at[0]);
	owner_args_clear(&args);
	args = split("", 0);
	assert_int_equal(args.n, 0);
	owner_args_clear(&args);
}

/* --- real sockets ---------------------------------------------------------------------------- */

struct pair {
	int listener, client, server;
};

static const struct {
	int listens, connects;
	const char *listen_host, *connect_host;
} families[] = {
    {AF_INET, AF_INET, "127.0.0.1", "127.0.0.1"},
    {AF_INET6, AF_INET6, "::1", "::1"},
    {AF_INET6, AF_INET, "::", "127.0.0.1"},
    {AF_INET, AF_INET6, "127.0.0.1", "::ffff:127.0.0.1"},
    {AF_INET6, AF_INET6, "::", "::ffff:127.0.0.1"},
};

static socklen_t make_address(int family, const char *host, in_port_t port,
                              struct sockaddr_storage *storage)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = port};

	*storage = (struct sockaddr_storage){0};
	if (family == AF_INET) {
		assert_int_equal(inet_pton(family, host, &in.sin_addr), 1);
		memcpy(storage, &in, sizeof(in));
		return sizeof(in);
	}
	assert_int_equal(inet_pton(family, host, &in6.sin6_addr), 1);
	memcpy(storage, &in6, sizeof(in6));
	return sizeof(in6);
}

/* The port, in network order, stands in the same place in both families. */
static in_port_t port_of(int fd)
{
	struct sockaddr_storage storage;
	struct sockaddr_in in;
	socklen_t len = sizeof(storage);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&storage, &len), 0);
	memcpy(&in, &storage, sizeof(in));
	return in.sin_port;
}

/* False where the host has no such family. */
static bool connect_pair(size_t i, struct pair *pair)
{
	struct sockaddr_storage storage;
	socklen_t len = make_address(families[i].listens, families[i].listen_host, 0, &storage);

	pair->listener = socket(families[i].listens, SOCK_STREAM, 0);
	if (pair->listener < 0 || bind(pair->listener, (struct sockaddr *)&storage, len) < 0)
		return false;
	assert_int_equal(listen(pair->listener, 1), 0);
	len = make_address(families[i].connects, families[i].connect_host, port_of(pair->listener),
	                   &storage);
	pair->client = socket(families[i].connects, SOCK_STREAM, 0);
	assert_int_equal(connect(pair->client, (struct sockaddr *)&storage, len), 0);
	pair->server = accept(pair->listener, NULL, NULL);
	assert_true(pair->server >= 0);
	return true;
}

static void close_pair(struct pair *pair)
{
	close(pair->listener);
	close(pair->client);
	close(pair->server);
}

/* A kernel that answers no questions about sockets (linked with --wrap=sock_diag_find). */
static bool kernel_is_mute;

bool __real_sock_diag_find(const struct in6_addr *local, uint16_t local_port,
                           const struct in6_addr *remote, uint16_t remote_port, uid_t *uid,
                           unsigned long *inode);
bool __wrap_sock_diag_find(const struct in6_addr *local, uint16_t local_port,
                           const struct in6_addr *remote, uint16_t remote_port, uid_t *uid,
                           unsigned long *inode);

bool __wrap_sock_diag_find(const struct in6_addr *local, uint16_t local_port,
                           const struct in6_addr *remote, uint16_t remote_port, uid_t *uid,
                           unsigned long *inode)
{
	return !kernel_is_mute &&
	       __real_sock_diag_find(local, local_port, remote, remote_port, uid, inode);
}

static int mute_kernel(void **state)
{
	(void)state;
	kernel_is_mute = true;
	return 0;
}

static int let_kernel_speak(void **state)
{
	(void)state;
	kernel_is_mute = false;
	return 0;
}

static void the_other_end_is_found_in_every_family(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		struct owner owner = {0};
		struct pair pair;
		struct stat st;
		if (!connect_pair(i, &pair))
			continue;
		assert_int_equal(fstat(pair.client, &st), 0);
		if (!owner_find(pair.server, &owner))
			fail_msg("%s to %s", families[i].connect_host, families[i].listen_host);
		assert_int_equal(owner.uid, getuid());
		assert_int_equal(owner.inode, st.st_ino);
		close_pair(&pair);
	}
}

static void a_closed_end_has_no_owner(void **state)
{
	struct owner owner;
	struct pair pair;

	(void)state;
	assert_true(connect_pair(0, &pair));
	close(pair.client);
	assert_false(owner_find(pair.server, &owner));
	pair.client = -1;
	close_pair(&pair);
}

static void what_is_no_connection_has_no_owner(void **state)
{
	struct owner owner;
	int local[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, local), 0);
	assert_false(owner_find(local[0], &owner));
	assert_false(owner_find(-1, &owner));
	close(local[0]);
	close(local[1]);
}

static void the_command_line_is_that_of_the_holder(void **state)
{
	struct owner_args args;
	struct owner owner;
	struct pair pair;

	(void)state;
	assert_true(connect_pair(0, &pair));
	assert_true(owner_find(pair.server, &owner));
	assert_true(owner_args_read(&owner, &args));
	assert_true(args.n >= 1);
	assert_non_null(strstr(args.at[0], "test_owner"));
	owner_args_clear(&args);

	owner.uid++;
	assert_false(owner_args_read(&owner, &args));
	close_pair(&pair);
}

static void a_socket_that_nobody_holds_has_no_command_line(void **state)
{
	struct owner owner = {.uid = getuid(), .inode = 1};
	struct owner_args args;

	(void)state;
	assert_false(owner_args_read(&owner, &args));
}

/* A process of another program that alone holds the client's end of PAIR. */
struct other {
	struct pair pair;
	int talk;
	pid_t pid;
	struct owner owner;
};

/* Becomes a shell that says a line to TALK and ends when TALK does. */
static void become_shell(const int talk[2], const char *padding)
{
	close(talk[0]);
	dup2(talk[1], STDIN_FILENO);
	dup2(talk[1], STDOUT_FILENO);
	execlp("sh", "sh", "-c", "echo; read -r end", "sh", "-setcookie", "a b", "-name", padding,
	       padding, padding, padding, padding, NULL);
	_exit(127);
}

static void start_other(struct other *other, const char *padding)
{
	int talk[2];
	char byte;

	assert_true(connect_pair(0, &other->pair));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, talk), 0);
	other->pid = fork();
	assert_true(other->pid >= 0);
	if (other->pid == 0)
		become_shell(talk, padding);
	close(talk[1]);
	other->talk = talk[0];
	close(other->pair.client);
	other->pair.client = -1;
	assert_int_equal(read(other->talk, &byte, 1), 1);
	assert_true(owner_find(other->pair.server, &other->owner));
}

static void end_other(struct other *other)
{
	close(other->talk);
	waitpid(other->pid, NULL, 0);
	close_pair(&other->pair);
}

static void the_command_line_of_another_program(void **state)
{
	struct owner_args args;
	struct other other;

	(void)state;
	start_other(&other, "");
	assert_true(owner_args_read(&other.owner, &args));
	assert_int_equal(args.n, 12);
	assert_string_equal(args.at[4], "-setcookie");
	assert_string_equal(args.at[5], "a b");
	assert_string_equal(args.at[11], "");
	owner_args_clear(&args);
	end_other(&other);
}

static void a_command_line_may_be_too_long(void **state)
{
	static char padding[120001];
	struct owner_args args;
	struct other other;

	(void)state;
	memset(padding, 'x', sizeof(padding) - 1);
	start_other(&other, padding);
	assert_false(owner_args_read(&other.owner, &args));
	end_other(&other);
}

static void a_command_line_tells_the_node(void **state)
{
	static const struct {
		const char *args; /* a space stands for the NUL */
		const char *node;
		bool is;
	} cases[] = {
	    {"beam -name a@10.0.0.7 ", "a@10.0.0.7", true},
	    {"beam -noinput -name a@10.0.0.7 -x ", "a@10.0.0.7", true},
	    {"beam -sname a ", "a@host", true},
	    {"beam -sname a@host ", "a@host", true},
	    {"beam -name a@10.0.0.8 ", "a@10.0.0.7", false},
	    {"beam -name a@10.0.0.7x ", "a@10.0.0.7", false},
	    {"beam -sname a ", "ab@host", false},
	    {"beam -sname ab ", "a@host", false},
	    {"beam -remsh a@host ", "a@host", false},
	    {"beam -extra -name a@host ", "a@host", false},
	    {"beam -name ", "a@host", false},
	    {"", "a@host", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t size = strlen(cases[i].args);
		char *text = strdup(cases[i].args);
		struct owner_args args;
		assert_non_null(text);
		for (size_t j = 0; j < size; j++)
			if (text[j] == ' ')
				text[j] = '\0';
		assert_true(owner_args_split(text, size, &args));
		if (owner_args_name(&args, cases[i].node) != cases[i].is)
			fail_msg("%s for %s", cases[i].args, cases[i].node);
		owner_args_clear(&args);
	}
}

static void the_command_line_is_found_by_name(void **state)
{
	struct owner_args args;
	struct other one, two;

	(void)state;
	start_other(&one, "kepmd-test@host");
	assert_false(owner_args_read_named(getuid(), "kepmd-none@host", &args));
	assert_false(owner_args_read_named(getuid() + 1, "kepmd-test@host", &args));
	assert_true(owner_args_read_named(getuid(), "kepmd-test@host", &args));
	assert_string_equal(args.at[5], "a b");
	owner_args_clear(&args);
	/* Of two that say the same neither is believed. */
	start_other(&two, "kepmd-test@host");
	assert_false(owner_args_read_named(getuid(), "kepmd-test@host", &args));
	end_other(&two);
	end_other(&one);
}

/* As from a container beside the other. */
static int look_from_another_network(void)
{
	struct owner_args args;

	if (unshare(CLONE_NEWNET) < 0)
		return 2;
	return owner_args_read_named(getuid(), "kepmd-test@host", &args);
}

static void the_name_in_another_network_is_not_the_node(void **state)
{
	struct other other;
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	start_other(&other, "kepmd-test@host");
	pid_t child = fork();
	if (child == 0)
		_exit(look_from_another_network());
	assert_int_equal(waitpid(child, &status, 0), child);
	end_other(&other);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 2)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int look_without_proc(const char *dir, int server, const struct owner *owner)
{
	struct owner_args args;
	struct owner found;

	if (chroot(dir) < 0)
		return 2;
	return owner_find(server, &found) || owner_args_read(owner, &args) ||
	       owner_args_read_named(owner->uid, "kepmd-test@host", &args);
}

static void without_proc_nothing_is_found(void **state)
{
	char dir[] = "/tmp/kepmd-test-XXXXXX";
	struct owner owner;
	struct pair pair;
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(dir));
	assert_true(connect_pair(0, &pair));
	assert_true(owner_find(pair.server, &owner));
	pid_t child = fork();
	if (child == 0)
		_exit(look_without_proc(dir, pair.server, &owner));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close_pair(&pair);
	rmdir(dir);
}

/* A network of our own, if we may: where others' sockets are many, the table is longer than what is
 * read of it (owner.c). */
static int leave_others(void **state)
{
	struct ifreq device = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		return 0;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int result = fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &device);
	if (fd >= 0)
		close(fd);
	return result;
}

int main(void)
{
#define MUTE(function) cmocka_unit_test_setup_teardown(function, mute_kernel, let_kernel_speak)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_line_is_that_of_the_socket_or_not),
	    cmocka_unit_test(a_line_of_ipv6),
	    cmocka_unit_test(an_end_without_a_host_is_none),
	    cmocka_unit_test(a_command_line_is_cut_at_its_nuls),
	    cmocka_unit_test(the_other_end_is_found_in_every_family),
	    MUTE(the_other_end_is_found_in_every_family),
	    cmocka_unit_test(a_closed_end_has_no_owner),
	    MUTE(a_closed_end_has_no_owner),
	    cmocka_unit_test(what_is_no_connection_has_no_owner),
	    cmocka_unit_test(the_command_line_is_that_of_the_holder),
	    cmocka_unit_test(a_socket_that_nobody_holds_has_no_command_line),
	    cmocka_unit_test(the_command_line_of_another_program),
	    cmocka_unit_test(a_command_line_tells_the_node),
	    cmocka_unit_test(the_command_line_is_found_by_name),
	    cmocka_unit_test(the_name_in_another_network_is_not_the_node),
	    cmocka_unit_test(a_command_line_may_be_too_long),
	    MUTE(without_proc_nothing_is_found),
	};

	return cmocka_run_group_tests_name("owner", tests, leave_others, NULL);
}
