/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "epmd/join/pair.h"

/* Chance at its ends: nothing added, and all that can be. */
#define NONE 0u
#define ALL UINT32_MAX

#define FIRST 7u
#define SECOND 8u

static struct pair pair;
static uint64_t now;

static int set_up(void **state)
{
	(void)state;
	now = 1000000;
	pair_start(&pair, now, 0);
	return 0;
}

static bool look(enum pair_outcome verdict, uint32_t creation)
{
	return pair_looked(&pair, verdict, creation, now, NONE).dial;
}

/* A link that lives for MS; true when its end opens the breaker. */
static bool link_of(uint64_t ms)
{
	pair_up(&pair, now);
	now += ms;
	return pair_down(&pair, now, 100, NONE);
}

/* Falls until the pair is unstable. */
static void trip(void)
{
	for (int i = 1; i < PAIR_FALLS_UNSTABLE; i++)
		assert_false(link_of(1000));
	assert_true(link_of(1000));
}

/* A good look is followed by a dial only after HOLD. */
static void assert_held_for(uint64_t hold)
{
	assert_int_equal(pair.no_dial_ms - now, hold);
	assert_false(look(PAIR_UNTRIED, FIRST));
	now += hold - 1;
	assert_false(look(PAIR_UNTRIED, FIRST));
	assert_int_equal(pair.due_ms, now + 1);
	now += 1;
	assert_true(look(PAIR_UNTRIED, FIRST));
}

static void a_good_look_is_followed_by_a_dial(void **state)
{
	(void)state;
	assert_int_equal(pair.due_ms, now);
	assert_true(look(PAIR_UNTRIED, FIRST));
	assert_int_equal(pair.due_ms, PAIR_NEVER);
	assert_true(pair_up(&pair, now));
	assert_false(pair_up(&pair, now));
	assert_int_equal(pair.outcome, PAIR_JOINED);
	assert_int_equal(pair.due_ms, PAIR_NEVER);
}

static void who_does_not_answer_is_looked_at_ever_more_rarely(void **state)
{
	uint64_t last = 0;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_false(look(PAIR_UNREACHABLE, 0));
		uint64_t wait = pair.due_ms - now;
		assert_true(wait >= last && wait >= PAIR_LOOK_FIRST_MS && wait <= PAIR_LOOK_MAX_MS);
		last = wait;
	}
	assert_int_equal(last, PAIR_LOOK_MAX_MS);
	assert_int_equal(pair.outcome, PAIR_UNREACHABLE);
	pair_looked(&pair, PAIR_UNREACHABLE, 0, now, ALL);
	assert_in_range(pair.due_ms - now, PAIR_LOOK_MAX_MS * 3 / 2 - 1, PAIR_LOOK_MAX_MS * 3 / 2);
}

static void a_verdict_is_kept_and_looked_at_again(void **state)
{
	(void)state;
	assert_false(look(PAIR_HIDDEN, FIRST));
	assert_int_equal(pair.outcome, PAIR_HIDDEN);
	assert_int_equal(pair.due_ms, now + PAIR_LOOK_REFUSED_MS);
	assert_true(look(PAIR_UNTRIED, FIRST));
}

static void a_link_that_falls_though_both_live_is_made_again_late(void **state)
{
	(void)state;
	look(PAIR_UNTRIED, FIRST);
	for (int i = 0; i < 10; i++) {
		assert_false(link_of(PAIR_SETTLED_MS));
		assert_int_equal(pair.due_ms, now + 100);
		assert_int_equal(pair.outcome, PAIR_UNTRIED);
		assert_held_for(PAIR_FIRST_HOLD_MS);
	}
}

static void each_fall_holds_the_pair_longer(void **state)
{
	static const uint64_t holds[] = {PAIR_FIRST_HOLD_MS, PAIR_SECOND_HOLD_MS, PAIR_OPEN_MS,
	                                 PAIR_OPEN_MS * 2,   PAIR_OPEN_MS * 4,    PAIR_OPEN_MAX_MS,
	                                 PAIR_OPEN_MAX_MS};

	(void)state;
	look(PAIR_UNTRIED, FIRST);
	for (size_t i = 0; i < sizeof(holds) / sizeof(holds[0]); i++) {
		assert_int_equal(link_of(1000), i + 1 >= PAIR_FALLS_UNSTABLE);
		assert_int_equal(pair.outcome,
		                 i + 1 >= PAIR_FALLS_UNSTABLE ? PAIR_UNSTABLE : PAIR_UNTRIED);
		assert_held_for(holds[i]);
	}
	assert_false(link_of(PAIR_SETTLED_MS));
	assert_held_for(PAIR_FIRST_HOLD_MS);
}

static void a_hold_has_its_part_of_chance(void **state)
{
	(void)state;
	pair_up(&pair, now);
	pair_down(&pair, now, 0, ALL);
	assert_in_range(pair.no_dial_ms - now, PAIR_FIRST_HOLD_MS * 5 / 4 - 1,
	                PAIR_FIRST_HOLD_MS * 5 / 4);
}

static void a_peer_that_is_gone_and_comes_back_is_not_held(void **state)
{
	(void)state;
	look(PAIR_UNTRIED, FIRST);
	link_of(PAIR_SETTLED_MS);
	look(PAIR_UNREACHABLE, 0);
	assert_true(look(PAIR_UNTRIED, SECOND));
}

static void a_new_creation_closes_the_breaker(void **state)
{
	(void)state;
	look(PAIR_UNTRIED, FIRST);
	trip();
	assert_false(look(PAIR_UNTRIED, FIRST));
	assert_true(look(PAIR_UNTRIED, SECOND));
	assert_false(link_of(1000));
	assert_int_equal(pair.falls, 1);
}

static void another_port_closes_the_breaker(void **state)
{
	(void)state;
	trip();
	pair_renewed(&pair, now, 5);
	assert_int_equal(pair.due_ms, now + 5);
	assert_true(look(PAIR_UNTRIED, FIRST));
}

static void forgiving_closes_the_breaker_and_nothing_else(void **state)
{
	(void)state;
	trip();
	pair_forgive(&pair, now);
	assert_int_equal(pair.due_ms, now);
	assert_true(look(PAIR_UNTRIED, FIRST));
	pair_dial_failed(&pair, PAIR_COOKIE, false, now, NONE);
	pair_forgive(&pair, now);
	assert_false(look(PAIR_UNTRIED, FIRST));
}

static void a_link_from_the_other_side_does_not_close_the_breaker(void **state)
{
	(void)state;
	trip();
	pair_up(&pair, now);
	now += 1000;
	assert_true(pair_down(&pair, now, 0, NONE));
	assert_false(look(PAIR_UNTRIED, FIRST));
}

static void an_open_breaker_is_told_rather_than_silence(void **state)
{
	(void)state;
	trip();
	look(PAIR_UNREACHABLE, 0);
	assert_int_equal(pair.outcome, PAIR_UNSTABLE);
}

/* Silence for MS, and then an answer under CREATION. */
static bool healed_after(uint64_t ms, uint32_t creation)
{
	look(PAIR_UNREACHABLE, 0);
	now += ms;
	look(PAIR_UNREACHABLE, 0);
	return pair_looked(&pair, PAIR_UNTRIED, creation, now, NONE).healed;
}

static void who_was_cut_off_and_answers_again_is_healed(void **state)
{
	(void)state;
	look(PAIR_UNTRIED, FIRST);
	link_of(PAIR_SETTLED_MS);
	assert_true(healed_after(PAIR_CUT_OFF_MS, FIRST));
	assert_false(pair_looked(&pair, PAIR_UNTRIED, FIRST, now, NONE).healed);
	assert_false(healed_after(PAIR_CUT_OFF_MS - 1, FIRST));
}

static void who_never_answered_before_is_healed_too(void **state)
{
	(void)state;
	assert_true(healed_after(PAIR_CUT_OFF_MS, FIRST));
}

static void silence_is_known_until_there_is_a_link(void **state)
{
	(void)state;
	look(PAIR_UNREACHABLE, 0);
	now += PAIR_CUT_OFF_MS - 1;
	assert_false(pair_is_cut_off(&pair, now));
	assert_true(pair_is_cut_off(&pair, now + 1));
	pair_up(&pair, now + 1);
	assert_false(pair_is_cut_off(&pair, now + 1));
}

static void a_busy_peer_is_looked_at_again_soon_and_nothing_else(void **state)
{
	(void)state;
	look(PAIR_UNREACHABLE, 0);
	assert_false(look(PAIR_BUSY, 0));
	assert_int_equal(pair.due_ms, now + PAIR_LOOK_FIRST_MS);
	assert_int_equal(pair.outcome, PAIR_UNREACHABLE);
}

static void a_look_that_is_logged_comes_late(void **state)
{
	(void)state;
	assert_false(look(PAIR_TLS, 0));
	assert_int_equal(pair.due_ms, now + PAIR_LOGGED_MS);
	assert_false(look(PAIR_NOT_ALLOWED, 0));
	assert_int_equal(pair.due_ms, now + PAIR_LOGGED_MS);
}

static void another_node_there_is_not_healed(void **state)
{
	(void)state;
	look(PAIR_UNTRIED, FIRST);
	link_of(PAIR_SETTLED_MS);
	assert_false(healed_after(PAIR_CUT_OFF_MS, SECOND));
}

static void a_refused_cookie_is_tried_again_late(void **state)
{
	(void)state;
	look(PAIR_UNTRIED, FIRST);
	pair_dial_failed(&pair, PAIR_COOKIE, false, now, NONE);
	assert_int_equal(pair.no_dial_ms - now, PAIR_COOKIE_FIRST_MS);
	assert_int_equal(pair.due_ms - now, PAIR_LOOK_REFUSED_MS);
	assert_false(look(PAIR_UNTRIED, FIRST));
	assert_int_equal(pair.outcome, PAIR_COOKIE);
	now = pair.no_dial_ms;
	assert_true(look(PAIR_UNTRIED, FIRST));
	pair_dial_failed(&pair, PAIR_COOKIE, false, now, NONE);
	assert_int_equal(pair.no_dial_ms - now, PAIR_LOGGED_MS);
	look(PAIR_UNREACHABLE, 0);
	now = pair.no_dial_ms;
	assert_true(look(PAIR_UNTRIED, FIRST));
	pair_dial_failed(&pair, PAIR_COOKIE, false, now, ALL);
	assert_int_equal(pair.no_dial_ms - now, PAIR_LOGGED_MS);
	assert_false(look(PAIR_UNTRIED, FIRST));
	assert_true(look(PAIR_UNTRIED, SECOND));
}

static void two_that_dial_each_other_in_vain_meet_no_more(void **state)
{
	(void)state;
	look(PAIR_UNTRIED, FIRST);
	pair_dial_failed(&pair, PAIR_DIAL_TIMEOUT, false, now, ALL);
	uint64_t lesser_at_most = pair.no_dial_ms - now;
	assert_true(lesser_at_most >= PAIR_DIAL_TIMEOUT_MS);
	pair_start(&pair, now, 0);
	pair_dial_failed(&pair, PAIR_DIAL_TIMEOUT, true, now, ALL);
	assert_int_equal(pair.no_dial_ms - now, lesser_at_most * 2);
}

static void failing_dials_come_ever_more_rarely(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		pair_dial_failed(&pair, PAIR_UNRESOLVED, false, now, NONE);
		assert_in_range(pair.no_dial_ms - now, PAIR_DIAL_TIMEOUT_MS, PAIR_DIAL_MAX_MS);
	}
	assert_int_equal(pair.no_dial_ms - now, PAIR_DIAL_MAX_MS);
	pair_up(&pair, now);
	assert_int_equal(pair.failed_dials, 0);
}

static void what_was_interrupted_is_begun_again(void **state)
{
	(void)state;
	assert_true(look(PAIR_UNTRIED, FIRST));
	assert_int_equal(pair.due_ms, PAIR_NEVER);
	pair_interrupted(&pair, now);
	assert_int_equal(pair.due_ms, now);
	pair_up(&pair, now);
	pair_interrupted(&pair, now);
	assert_int_equal(pair.due_ms, PAIR_NEVER);
}

static void what_comes_late_does_not_undo_a_link(void **state)
{
	(void)state;
	pair_up(&pair, now);
	pair_dial_failed(&pair, PAIR_COOKIE, false, now, NONE);
	assert_false(look(PAIR_UNREACHABLE, 0));
	pair_renewed(&pair, now, 0);
	assert_int_equal(pair.outcome, PAIR_JOINED);
	assert_int_equal(pair.due_ms, PAIR_NEVER);
	assert_false(pair_down(&pair, now + PAIR_SETTLED_MS, 0, NONE));
	assert_false(pair_down(&pair, now, 0, NONE));
}

static void what_is_shown_instead(void **state)
{
	(void)state;
	assert_int_equal(pair_shown(PAIR_COOKIE, true, true), PAIR_COOKIE);
	assert_int_equal(pair_shown(PAIR_UNTRIED, true, false), PAIR_NO_PORT);
	assert_int_equal(pair_shown(PAIR_JOINED, true, false), PAIR_JOINED);
	assert_int_equal(pair_shown(PAIR_JOINED, false, true), PAIR_LEFT_ALONE);
}

static void every_outcome_has_a_word(void **state)
{
	(void)state;
	for (int i = 0; i < PAIR_OUTCOMES; i++)
		assert_non_null(pair_outcome_word((enum pair_outcome)i));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup(function, set_up)
	const struct CMUnitTest tests[] = {
	    TEST(a_good_look_is_followed_by_a_dial),
	    TEST(who_does_not_answer_is_looked_at_ever_more_rarely),
	    TEST(a_verdict_is_kept_and_looked_at_again),
	    TEST(a_link_that_falls_though_both_live_is_made_again_late),
	    TEST(each_fall_holds_the_pair_longer),
	    TEST(a_hold_has_its_part_of_chance),
	    TEST(a_peer_that_is_gone_and_comes_back_is_not_held),
	    TEST(a_new_creation_closes_the_breaker),
	    TEST(another_port_closes_the_breaker),
	    TEST(forgiving_closes_the_breaker_and_nothing_else),
	    TEST(an_open_breaker_is_told_rather_than_silence),
	    TEST(who_was_cut_off_and_answers_again_is_healed),
	    TEST(who_never_answered_before_is_healed_too),
	    TEST(silence_is_known_until_there_is_a_link),
	    TEST(a_busy_peer_is_looked_at_again_soon_and_nothing_else),
	    TEST(a_look_that_is_logged_comes_late),
	    TEST(another_node_there_is_not_healed),
	    TEST(a_link_from_the_other_side_does_not_close_the_breaker),
	    TEST(a_refused_cookie_is_tried_again_late),
	    TEST(two_that_dial_each_other_in_vain_meet_no_more),
	    TEST(failing_dials_come_ever_more_rarely),
	    TEST(what_was_interrupted_is_begun_again),
	    TEST(what_comes_late_does_not_undo_a_link),
	    TEST(what_is_shown_instead),
	    TEST(every_outcome_has_a_word),
	};

	return cmocka_run_group_tests_name("pair", tests, NULL, NULL);
}
