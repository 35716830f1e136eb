/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "epmd/listener.h"
#include "epmd/sockaddr.h"

/* libevent without memory (linked with --wrap=event_add): how many calls fail. */
static unsigned failing;
int __real_event_add(struct event *event, const struct timeval *timeout);
int __wrap_event_add(struct event *event, const struct timeval *timeout);

int __wrap_event_add(struct event *event, const struct timeval *timeout)
{
	if (failing == 0)
		return __real_event_add(event, timeout);
	failing--;
	return -1;
}

/* A listener without a descriptor to accept with, and a client that waits for it. */
struct place {
	struct event_base *base;
	struct listener *listener;
	struct rlimit limit;
	int client;
	unsigned accepted;
	unsigned starved;
};

static void on_accepted(void *arg, int fd, const struct sockaddr_any *from)
{
	struct place *p = arg;

	(void)from;
	close(fd);
	p->accepted++;
}

static bool on_starved(void *arg)
{
	struct place *p = arg;

	p->starved++;
	return false;
}

static void connect_client(struct place *p, int listening)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	p->client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&name, &len), 0);
	assert_int_equal(connect(p->client, (const struct sockaddr *)&name, len), 0);
}

static void set_limit(struct place *p, rlim_t descriptors)
{
	struct rlimit limit = p->limit;

	limit.rlim_cur = descriptors;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct sockaddr_in any = {.sin_family = AF_INET};
	struct listener_set set;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (!p)
		return -1;
	alarm(10);
	getrlimit(RLIMIT_NOFILE, &p->limit);
	p->base = event_base_new();
	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) != 0 || listen(fd, 5) != 0 ||
	    listener_adopt(fd, 1, &set) != 0)
		return -1;
	p->listener = listener_serve(p->base, &set, on_accepted, on_starved, p);
	connect_client(p, fd);
	*state = p;
	return p->listener ? 0 : -1;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	close(p->client);
	listener_free(p->listener);
	event_base_free(p->base);
	free(p);
	alarm(0);
	return 0;
}

static void turn(struct place *p)
{
	event_base_loop(p->base, EVLOOP_ONCE);
}

static void it_rests_and_goes_on(void **state)
{
	struct place *p = *state;

	set_limit(p, 3);
	turn(p);
	turn(p);
	set_limit(p, p->limit.rlim_cur);
	assert_int_equal(p->starved, 1);
	while (p->accepted == 0)
		turn(p);
}

/* Better no rest than one without an end. */
static void without_memory_it_does_not_rest(void **state)
{
	struct place *p = *state;

	set_limit(p, 3);
	failing = 1;
	turn(p);
	set_limit(p, p->limit.rlim_cur);
	assert_int_equal(failing, 0);
	while (p->accepted == 0)
		turn(p);
}

static void without_memory_it_rests_again(void **state)
{
	struct place *p = *state;

	set_limit(p, 3);
	turn(p);
	set_limit(p, p->limit.rlim_cur);
	failing = 1;
	turn(p);
	assert_int_equal(failing, 0);
	while (p->accepted == 0)
		turn(p);
}

/* Rather than leave it in the queue until it gives up by itself. */
static void who_cannot_be_served_is_turned_away(void **state)
{
	struct place *p = *state;
	int fds[64], n = 0;
	char byte;

	set_limit(p, 64);
	while (n < 64 && (fds[n] = dup(p->client)) >= 0)
		n++;
	turn(p);
	assert_int_equal(p->starved, 2); /* once for it, once for whether there are more */
	assert_int_equal(p->accepted, 0);
	assert_int_equal(recv(p->client, &byte, 1, 0), 0);
	while (n > 0)
		close(fds[--n]);
	set_limit(p, p->limit.rlim_cur);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(it_rests_and_goes_on),
	    TEST(without_memory_it_does_not_rest),
	    TEST(without_memory_it_rests_again),
	    TEST(who_cannot_be_served_is_turned_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
