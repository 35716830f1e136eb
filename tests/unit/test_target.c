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
#include "epmd/target.h"
#include "fake_epmd.h"
#include "log_file.h"

/* The pause between two questions is for peers, not for tests (linked with
 * --wrap=clock_delay); that of a query, 5 s, stays. */
struct timeval __real_clock_delay(uint64_t ms);
struct timeval __wrap_clock_delay(uint64_t ms);

static uint64_t last_delay_ms;

struct timeval __wrap_clock_delay(uint64_t ms)
{
	last_delay_ms = ms;
	return __real_clock_delay(ms == 5000 ? ms : ms / 100);
}

#define NAME "sample@127.0.0.1"

struct scene {
	struct event_base *base;
	struct registry *registry;
	struct fake_epmd epmd;
	struct crowd crowd;
	struct target_context context;
	struct target *target;
	uint8_t answers[FAKE_EPMD_ANSWERS_MAX][4096];
	struct log_file log;
};

static void on_port_changed(void *owner, struct target *target)
{
	(void)owner;
	(void)target;
}

static int set_up(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	*state = s;
	s->base = event_base_new();
	s->registry = registry_new(1);
	if (fake_epmd_listen(&s->epmd, s->base) < 0)
		return -1;
	s->context = (struct target_context){.base = s->base,
	                                     .registry = s->registry,
	                                     .epmd_port = s->epmd.port,
	                                     .crowd = &s->crowd,
	                                     .port_changed = on_port_changed};
	return log_file_open(&s->log);
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	target_free(s->target);
	fake_epmd_close(&s->epmd);
	registry_free(s->registry);
	event_base_free(s->base);
	log_file_remove(&s->log);
	free(s);
	return 0;
}

static void start(struct scene *s)
{
	const struct peer peer = {.address = (char[]){FAKE_EPMD_ADDRESS}};

	s->target = target_new(&s->context, &peer, "sample", NAME, false, s);
	assert_non_null(s->target);
}

/* An answer to PORT2 with an extra field of EXTRA_LEN bytes. */
static void will_answer(struct scene *s, uint16_t port, size_t extra_len)
{
	static const uint8_t extra[3000];
	uint8_t *answer = s->answers[s->epmd.n_answers];
	const struct epmd_node node = {.port = port,
	                               .type = EPMD_NODE_VISIBLE,
	                               .highest = 6,
	                               .lowest = 5,
	                               .name = {(const uint8_t *)"sample", 6},
	                               .extra = {extra, extra_len}};

	fake_epmd_will_answer(&s->epmd, answer,
	                      epmd_port2_reply_encode(&node, answer, sizeof(s->answers[0])));
}

static const struct epmd_node *found(const struct scene *s)
{
	return registry_find(s->registry,
	                     (struct wire_bytes){(const uint8_t *)NAME, strlen(NAME)});
}

static void the_port_that_the_peers_epmd_gives_is_known(void **state)
{
	struct scene *s = *state;

	will_answer(s, 41001, EPMD_EXTRA_MAX);
	start(s);
	fake_epmd_run(&s->epmd, 1);
	assert_int_equal(target_port(s->target), 41001);
	assert_int_equal(found(s)->port, 41001);
	assert_int_equal(found(s)->extra.len, EPMD_EXTRA_MAX);
}

static void port_0_is_none(void **state)
{
	struct scene *s = *state;

	will_answer(s, 0, 0);
	start(s);
	fake_epmd_run(&s->epmd, 1);
	assert_null(found(s));
	assert_non_null(strstr(target_reason(s->target), "port 0"));
}

static void an_extra_field_that_nobody_could_be_told_is_refused(void **state)
{
	struct scene *s = *state;

	will_answer(s, 41001, EPMD_EXTRA_MAX + 1);
	start(s);
	fake_epmd_run(&s->epmd, 1);
	assert_null(found(s));
	assert_non_null(strstr(target_reason(s->target), "extra"));
}

static void a_port_stays_while_the_epmd_does_not_answer_and_that_is_said(void **state)
{
	struct scene *s = *state;

	will_answer(s, 41001, 0);
	fake_epmd_will_answer(&s->epmd, "?", 1);
	start(s);
	fake_epmd_run(&s->epmd, 4);
	assert_int_equal(found(s)->port, 41001);
	assert_int_equal(log_file_count(&s->log, "no port"), 0);
	assert_int_equal(log_file_count(&s->log, NAME ": its epmd does not answer (the port that is "
	                                              "known stays): epmd at 127.0.0.1, port "),
	                 2);
}

/* Nobody is asked, so that no newcomer is met by all at once. */
static void a_port_that_is_given_waits_for_nobody(void **state)
{
	struct scene *s = *state;

	s->crowd.n = 1000;
	s->context.dist_port = 9100;
	last_delay_ms = UINT64_MAX;
	start(s);
	assert_int_equal(last_delay_ms, 0);
	event_base_loop(s->base, EVLOOP_ONCE);
	assert_int_equal(found(s)->port, 9100);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(the_port_that_the_peers_epmd_gives_is_known),
	    TEST(port_0_is_none),
	    TEST(a_port_that_is_given_waits_for_nobody),
	    TEST(an_extra_field_that_nobody_could_be_told_is_refused),
	    TEST(a_port_stays_while_the_epmd_does_not_answer_and_that_is_said),
	};

	return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
