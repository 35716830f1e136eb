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
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "discovery/clock.h"
#include "epmd/crowd.h"
#include "epmd/log.h"
#include "epmd/names_poll.h"

/* The pause between two questions is for peers, not for tests (linked with
 * --wrap=clock_delay). */
struct timeval __real_clock_delay(uint64_t ms);
struct timeval __wrap_clock_delay(uint64_t ms);

struct timeval __wrap_clock_delay(uint64_t ms)
{
	return __real_clock_delay(ms >= 15000 ? ms / 5000 : ms);
}

/* A peer's epmd that gives ANSWERS one after the other, and what is told of them. */
struct scene {
	struct event_base *base;
	struct evconnlistener *listener;
	uint16_t port;
	const char *answers[4]; /* without the head */
	size_t n_answers;
	size_t n_asked;
	struct crowd crowd;
	struct names_poll *poll;
	char told[1024];
	size_t n_told;
	char log[64];
};

static void on_sent(struct bufferevent *buffered, void *arg)
{
	(void)arg;
	bufferevent_free(buffered);
}

static void on_request(struct bufferevent *buffered, void *arg)
{
	struct scene *s = arg;
	const char *answer = s->answers[s->n_asked++ % s->n_answers];

	evbuffer_drain(bufferevent_get_input(buffered), SIZE_MAX);
	bufferevent_setcb(buffered, NULL, on_sent, NULL, NULL);
	bufferevent_write(buffered, "\0\0\x11\x11", 4);
	bufferevent_write(buffered, answer, strlen(answer));
}

static void on_client(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                      int len, void *arg)
{
	struct scene *s = arg;
	struct bufferevent *buffered = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);

	(void)listener;
	(void)from;
	(void)len;
	bufferevent_setcb(buffered, on_request, NULL, NULL, s);
	bufferevent_enable(buffered, EV_READ);
}

static void on_told(void *arg, const struct name_list *names)
{
	struct scene *s = arg;
	size_t len = strlen(s->told);

	for (size_t i = 0; i < names->n && names->n < 8; i++)
		len += (size_t)snprintf(s->told + len, sizeof(s->told) - len, "%s ",
		                        names->names[i]);
	snprintf(s->told + len, sizeof(s->told) - len, "(%zu) ", names->n);
	s->n_told++;
}

static int set_up(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	struct sockaddr_storage storage = {0};

	*state = s;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memcpy(&storage, &address, sizeof(address));
	s->base = event_base_new();
	s->listener = evconnlistener_new_bind(s->base, on_client, s, LEV_OPT_CLOSE_ON_FREE, -1,
	                                      (const struct sockaddr *)&storage, sizeof(address));
	if (!s->listener)
		return -1;
	getsockname(evconnlistener_get_fd(s->listener), (struct sockaddr *)&storage, &len);
	memcpy(&address, &storage, sizeof(address));
	s->port = ntohs(address.sin_port);
	strcpy(s->log, "/tmp/kepmd-test-XXXXXX");
	close(mkstemp(s->log));
	return log_open_file(s->log);
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	names_poll_free(s->poll);
	evconnlistener_free(s->listener);
	event_base_free(s->base);
	remove(s->log);
	free(s);
	return 0;
}

static void start(struct scene *s)
{
	while (s->n_answers < 4 && s->answers[s->n_answers])
		s->n_answers++;
	s->poll = names_poll_new(s->base, &s->crowd, "127.0.0.1", s->port, on_told, s);
	assert_non_null(s->poll);
}

/* Until N questions have been answered, and what came of it has been told. */
static void run_until_asked(struct scene *s, size_t n)
{
	while (s->n_asked <= n)
		event_base_loop(s->base, EVLOOP_ONCE);
}

static unsigned count_log(const struct scene *s, const char *words)
{
	char text[4096] = "";
	unsigned n = 0;
	FILE *file = fopen(s->log, "r");

	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	for (const char *at = text; (at = strstr(at, words)); at++)
		n++;
	return n;
}

static void the_names_of_a_peer_are_told(void **state)
{
	struct scene *s = *state;

	s->answers[0] = "name web at port 1\nname app at port 2\nname web at port 3\n";
	start(s);
	run_until_asked(s, 1);
	assert_string_equal(s->told, "app web (2) ");
}

static void a_peer_is_taken_at_its_word_for_so_many_names_only(void **state)
{
	struct scene *s = *state;
	char *answer = calloc(40000, 32), *at = answer;

	for (unsigned i = 0; i < 40000; i++)
		at += sprintf(at, "name %x at port 1\n", i);
	s->answers[0] = answer;
	start(s);
	run_until_asked(s, 2);
	assert_string_equal(s->told, "(64) (64) ");
	assert_int_equal(count_log(s, "peer 127.0.0.1: "), 1);
	assert_int_equal(count_log(s, "warning"), 1);
	free(answer);
}

static void a_full_crowd_makes_a_question_wait(void **state)
{
	struct scene *s = *state;

	s->answers[0] = "name web at port 1\n";
	s->crowd.under_way = CROWD_UNDER_WAY_MAX;
	start(s);
	assert_int_equal(s->crowd.n, 1);
	event_base_loop(s->base, EVLOOP_ONCE);
	event_base_loop(s->base, EVLOOP_ONCE);
	assert_int_equal(s->crowd.under_way, CROWD_UNDER_WAY_MAX);
	assert_int_equal(s->n_asked, 0);
	s->crowd.under_way = 0;
	run_until_asked(s, 1);
	assert_string_equal(s->told, "web (1) ");
}

static void an_answer_that_was_cut_is_none(void **state)
{
	struct scene *s = *state;

	s->answers[0] = "name web at port 1\nname app at port 2\n";
	s->answers[1] = "name web at port 1\nname ap";
	start(s);
	run_until_asked(s, 3);
	assert_string_equal(s->told, "app web (2) app web (2) ");
}

static void a_name_goes_after_two_answers_without_it(void **state)
{
	struct scene *s = *state;

	s->answers[0] = "name web at port 1\nname app at port 2\n";
	s->answers[1] = "name web at port 1\n";
	s->answers[2] = "";
	s->answers[3] = "";
	start(s);
	run_until_asked(s, 5);
	assert_string_equal(s->told, "app web (2) app web (2) web (1) (0) app web (2) ");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(the_names_of_a_peer_are_told),
	    TEST(a_peer_is_taken_at_its_word_for_so_many_names_only),
	    TEST(a_full_crowd_makes_a_question_wait),
	    TEST(an_answer_that_was_cut_is_none),
	    TEST(a_name_goes_after_two_answers_without_it),
	};

	return cmocka_run_group_tests_name("names_poll", tests, NULL, NULL);
}
