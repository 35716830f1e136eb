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
#include <dirent.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "discovery/resolver.h"

/* --- a name server on the same loop ------------------------------------------------------ */

enum { TYPE_A = 1, TYPE_AAAA = 28 };
enum { NO_ERROR = 0, SERVER_FAILURE = 2, NO_SUCH_NAME = 3 };

static const struct {
	const char *name;
	unsigned type;
	const char *address;
} records[] = {
    {"two.kepmd.test", TYPE_A, "192.0.2.1"},      {"two.kepmd.test", TYPE_A, "192.0.2.2"},
    {"two.kepmd.test", TYPE_AAAA, "2001:db8::1"}, {"six.kepmd.test", TYPE_AAAA, "2001:db8::6"},
    {"loop.kepmd.test", TYPE_A, "127.0.0.1"},
};

struct name_server {
	int socket;
	struct event *readable;
	unsigned questions;
};

/* Writes the question's name in dotted form; returns where the name ends. */
static size_t read_name(const unsigned char *packet, size_t at, char *name)
{
	*name = '\0';
	while (packet[at]) {
		if (*name)
			strcat(name, ".");
		strncat(name, (const char *)packet + at + 1, packet[at]);
		at += packet[at] + 1u;
	}
	return at + 1;
}

static size_t add_record(unsigned char *out, unsigned type, const char *address)
{
	const unsigned char head[] = {0xC0, 12, 0, (unsigned char)type, 0, 1, 0, 0, 0, 60, 0};
	size_t len = type == TYPE_A ? 4 : 16;

	memcpy(out, head, sizeof head);
	out[sizeof head] = (unsigned char)len;
	assert_int_equal(
	    inet_pton(type == TYPE_A ? AF_INET : AF_INET6, address, out + sizeof head + 1), 1);
	return sizeof head + 1 + len;
}

static void on_question(evutil_socket_t fd, short what, void *arg)
{
	struct name_server *server = arg;
	unsigned char packet[1500];
	char name[256];
	struct sockaddr_storage from;
	socklen_t from_len = sizeof from;
	ssize_t len = recvfrom(fd, packet, 512, 0, (struct sockaddr *)&from, &from_len);
	unsigned status = NO_SUCH_NAME;

	(void)what;
	assert_true(len > 12);
	server->questions++;
	size_t end = read_name(packet, 12, name);
	unsigned type = packet[end + 1];
	end += 4;
	if (strstr(name, "silent.kepmd.test"))
		return;
	packet[7] = 0;
	packet[9] = packet[11] = 0;
	for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
		if (strcasecmp(records[i].name, name) != 0)
			continue;
		status = NO_ERROR;
		if (records[i].type != type)
			continue;
		end += add_record(packet + end, type, records[i].address);
		packet[7]++;
	}
	if (strstr(name, "broken.kepmd.test"))
		status = SERVER_FAILURE;
	packet[2] = 0x81;
	packet[3] = (unsigned char)(0x80 | status);
	assert_int_equal(sendto(fd, packet, end, 0, (struct sockaddr *)&from, from_len), end);
}

/* --- the place of a test --------------------------------------------------------------------- */

struct place {
	struct event_base *base;
	struct resolver *resolver;
	struct name_server server;
	unsigned files;

	unsigned n_done;
	size_t n;
	char addresses[16][64];
	char error[128];
};

static unsigned count_entries(const char *folder)
{
	DIR *dir = opendir(folder);
	unsigned n = 0;

	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));)
		n += *entry->d_name != '.';
	closedir(dir);
	return n;
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	struct sockaddr_in name = {.sin_family = AF_INET,
	                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof name;
	char address[32];

	*state = p;
	alarm(60);
	p->files = count_entries("/proc/self/fd");
	p->base = event_base_new();
	p->server.socket = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(p->server.socket, (struct sockaddr *)&name, len), 0);
	assert_int_equal(getsockname(p->server.socket, (struct sockaddr *)&name, &len), 0);
	p->server.readable =
	    event_new(p->base, p->server.socket, EV_READ | EV_PERSIST, on_question, &p->server);
	event_add(p->server.readable, NULL);
	p->resolver = resolver_new(p->base);
	snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(name.sin_port));
	return p->resolver ? resolver_set_servers(p->resolver, address) : -1;
}

/* Nothing is left on the loop, no file and no thread. */
static int tear_down(void **state)
{
	struct place *p = *state;
	unsigned files = p->files;

	resolver_free(p->resolver);
	event_free(p->server.readable);
	close(p->server.socket);
	assert_int_equal(event_base_get_num_events(p->base, EVENT_BASE_COUNT_ADDED), 0);
	event_base_free(p->base);
	free(p);
	assert_int_equal(count_entries("/proc/self/fd"), files);
	assert_int_equal(count_entries("/proc/self/task"), 1);
	alarm(0);
	return 0;
}

static void on_done(void *arg, const char *const *addresses, size_t n, const char *error)
{
	struct place *p = arg;

	p->n_done++;
	p->n = n;
	for (size_t i = 0; i < n; i++)
		snprintf(p->addresses[i], sizeof p->addresses[i], "%s", addresses[i]);
	assert_true((n == 0) == (error != NULL));
	snprintf(p->error, sizeof p->error, "%s", error ? error : "");
	event_base_loopbreak(p->base);
}

static void look_up(struct place *p, const char *host)
{
	p->n_done = 0;
	assert_non_null(resolver_lookup(p->resolver, host, on_done, p));
	assert_int_equal(p->n_done, 0);
	event_base_dispatch(p->base);
	assert_int_equal(p->n_done, 1);
	assert_int_equal(count_entries("/proc/self/task"), 1);
}

static bool has(const struct place *p, const char *address)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->addresses[i], address) == 0)
			return true;
	return false;
}

static void settle(struct place *p)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(p->base, EVLOOP_NONBLOCK);
}

/* --- tests --------------------------------------------------------------------------------------
 */

static void test_literals(void **state)
{
	struct place *p = *state;
	static const char *const hosts[] = {"10.96.0.1", "::1", "2001:db8::443"};

	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		unsigned before = count_entries("/proc/self/fd");
		struct resolver_query *query = resolver_lookup(p->resolver, hosts[i], on_done, p);

		assert_int_equal(count_entries("/proc/self/fd"), before);
		resolver_cancel(query);
		look_up(p, hosts[i]);
		assert_int_equal(p->n, 1);
		assert_string_equal(p->addresses[0], hosts[i]);
	}
	assert_int_equal(p->server.questions, 0);
}

static void test_hosts_file(void **state)
{
	struct place *p = *state;

	look_up(p, "localhost");
	assert_true(has(p, "127.0.0.1") || has(p, "::1"));
	assert_int_equal(p->server.questions, 0);
}

static void test_several_addresses(void **state)
{
	struct place *p = *state;

	look_up(p, "two.kepmd.test.");
	assert_int_equal(p->n, 3);
	assert_true(has(p, "192.0.2.1") && has(p, "192.0.2.2") && has(p, "2001:db8::1"));
	assert_int_equal(p->server.questions, 2);
}

static void test_ipv6_only(void **state)
{
	struct place *p = *state;

	look_up(p, "six.kepmd.test.");
	assert_int_equal(p->n, 1);
	assert_string_equal(p->addresses[0], "2001:db8::6");
}

static void test_no_such_name(void **state)
{
	struct place *p = *state;

	look_up(p, "nobody.kepmd.test.");
	assert_int_equal(p->n, 0);
	assert_string_equal(p->error, "no such host name");
	look_up(p, "not..a.name");
	assert_int_equal(p->n, 0);
	look_up(p, "");
	assert_int_equal(p->n, 0);
}

static void test_server_failure(void **state)
{
	struct place *p = *state;

	look_up(p, "broken.kepmd.test.");
	assert_int_equal(p->n, 0);
	assert_true(*p->error);
}

static void note_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	++*(unsigned *)arg;
}

/* While a name server says nothing, the loop does its other work; another lookup
 * is answered; and what is cancelled never comes back. */
static void test_silent_server(void **state)
{
	struct place *p = *state;
	unsigned ticks = 0;
	struct event *tick = event_new(p->base, -1, EV_PERSIST, note_tick, &ticks);
	const struct timeval soon = {0, 1000};
	struct resolver_query *query =
	    resolver_lookup(p->resolver, "silent.kepmd.test.", on_done, p);

	assert_non_null(query);
	event_add(tick, &soon);
	while (ticks < 3 || p->server.questions < 2)
		event_base_loop(p->base, EVLOOP_ONCE);
	assert_int_equal(p->n_done, 0);
	look_up(p, "loop.kepmd.test.");
	assert_string_equal(p->addresses[0], "127.0.0.1");
	p->n_done = 0;
	resolver_cancel(query);
	event_free(tick);
	settle(p);
	assert_int_equal(p->n_done, 0);
}

static void test_cancel_in_every_stage(void **state)
{
	struct place *p = *state;
	static const char *const hosts[] = {"10.0.0.1", "localhost", "two.kepmd.test",
	                                    "nobody.kepmd.test", "no..name"};

	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		for (int turns = 0;; turns++) {
			struct resolver_query *query =
			    resolver_lookup(p->resolver, hosts[i], on_done, p);

			p->n_done = 0;
			for (int turn = 0; turn < turns && p->n_done == 0; turn++)
				event_base_loop(p->base, EVLOOP_ONCE);
			if (p->n_done > 0)
				break;
			resolver_cancel(query);
			settle(p);
			assert_int_equal(p->n_done, 0);
		}
	}
	resolver_cancel(NULL);
}

static void free_resolver(void *arg, const char *const *addresses, size_t n, const char *error)
{
	struct place *p = arg;

	resolver_free(p->resolver);
	p->resolver = NULL;
	on_done(arg, addresses, n, error);
}

static void test_freed_from_done(void **state)
{
	struct place *p = *state;

	assert_non_null(resolver_lookup(p->resolver, "two.kepmd.test.", free_resolver, p));
	event_base_dispatch(p->base);
	assert_int_equal(p->n, 3);
}

/* Many at once, each with its own answer. */
static void test_many(void **state)
{
	struct place *p = *state;

	for (int i = 0; i < 50; i++)
		assert_non_null(resolver_lookup(p->resolver, "two.kepmd.test.", on_done, p));
	while (p->n_done < 50)
		event_base_loop(p->base, EVLOOP_ONCE);
	assert_int_equal(p->n, 3);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_literals),          TEST(test_hosts_file),
	    TEST(test_several_addresses), TEST(test_ipv6_only),
	    TEST(test_no_such_name),      TEST(test_server_failure),
	    TEST(test_silent_server),     TEST(test_cancel_in_every_stage),
	    TEST(test_freed_from_done),   TEST(test_many),
	};

	return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
