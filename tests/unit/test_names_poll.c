/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/clock.h"
#include "epmd/crowd.h"
#include "epmd/names_poll.h"
#include "fake_epmd.h"
#include "log_file.h"

/* The pause between two questions is for peers, not for tests (linked with
 * --wrap=clock_delay). */
struct timeval __real_clock_delay(uint64_t ms);
struct timeval __wrap_clock_delay(uint64_t ms);

struct timeval __wrap_clock_delay(uint64_t ms)
{
	return __real_clock_delay(ms >= 15000 ? ms / 5000 : ms);
}

/* Answers are without the head. */
struct scene {
	struct event_base *base;
	struct fake_epmd epmd;
	char answers[FAKE_EPMD_ANSWERS_MAX][1u << 20];
	struct crowd crowd;
	struct names_poll *poll;
	char told[1024];
	struct log_file log;
};

static void on_told(void *arg, const struct name_list *names)
{
	struct scene *s = arg;
	size_t len = strlen(s->told);

	for (size_t i = 0; i < names->n && names->n < 8; i++)
		len += (size_t)snprintf(s->told + len, sizeof(s->told) - len, "%s ",
		                        names->names[i]);
	snprintf(s->told + len, sizeof(s->told) - len, "(%zu) ", names->n);
}

static int set_up(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	*state = s;
	s->base = event_base_new();
	return fake_epmd_listen(&s->epmd, s->base) | log_file_open(&s->log);
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	names_poll_free(s->poll);
	assert_int_equal(s->crowd.n, 0);
	fake_epmd_close(&s->epmd);
	event_base_free(s->base);
	log_file_remove(&s->log);
	free(s);
	return 0;
}

static void will_answer(struct scene *s, const char *lines)
{
	char *answer = s->answers[s->epmd.n_answers];

	memcpy(answer, "\0\0\x11\x11", 4);
	strcpy(answer + 4, lines);
	fake_epmd_will_answer(&s->epmd, answer, 4 + strlen(lines));
}

static void start(struct scene *s)
{
	s->poll = names_poll_new(s->base, &s->crowd, FAKE_EPMD_ADDRESS, s->epmd.port, on_told, s);
	assert_non_null(s->poll);
}

static void the_names_of_a_peer_are_told(void **state)
{
	struct scene *s = *state;

	will_answer(s, "name web at port 1\nname app at port 2\nname web at port 3\n");
	start(s);
	fake_epmd_run(&s->epmd, 1);
	assert_string_equal(s->told, "app web (2) ");
}

static void a_peer_is_taken_at_its_word_for_so_many_names_only(void **state)
{
	struct scene *s = *state;
	char *answer = calloc(40000, 32), *at = answer;

	for (unsigned i = 0; i < 40000; i++)
		at += sprintf(at, "name %x at port 1\n", i);
	will_answer(s, answer);
	start(s);
	fake_epmd_run(&s->epmd, 2);
	assert_string_equal(s->told, "(64) (64) ");
	assert_int_equal(log_file_count(&s->log, "peer 127.0.0.1: "), 1);
	assert_int_equal(log_file_count(&s->log, "warning"), 1);
	free(answer);
}

static void a_full_crowd_makes_a_question_wait(void **state)
{
	struct scene *s = *state;

	will_answer(s, "name web at port 1\n");
	s->crowd.under_way = CROWD_UNDER_WAY_MAX;
	start(s);
	assert_int_equal(s->crowd.n, 1);
	event_base_loop(s->base, EVLOOP_ONCE);
	event_base_loop(s->base, EVLOOP_ONCE);
	assert_int_equal(s->crowd.under_way, CROWD_UNDER_WAY_MAX);
	assert_int_equal(s->epmd.n_asked, 0);
	s->crowd.under_way = 0;
	fake_epmd_run(&s->epmd, 1);
	assert_string_equal(s->told, "web (1) ");
}

static void an_answer_that_was_cut_is_none(void **state)
{
	struct scene *s = *state;

	will_answer(s, "name web at port 1\nname app at port 2\n");
	will_answer(s, "name web at port 1\nname ap");
	start(s);
	fake_epmd_run(&s->epmd, 3);
	assert_string_equal(s->told, "app web (2) app web (2) ");
}

static void a_name_goes_after_two_answers_without_it(void **state)
{
	struct scene *s = *state;

	will_answer(s, "name web at port 1\nname app at port 2\n");
	will_answer(s, "name web at port 1\n");
	will_answer(s, "");
	will_answer(s, "");
	start(s);
	fake_epmd_run(&s->epmd, 5);
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
