/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discovery/reflector.h"

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)

/* A reflector, its clock, and a chance that is told what to say: a share of the
 * bound in per cent. */
struct fixture {
	struct reflector *r;
	uint64_t now;
	unsigned chance;
	struct reflector_request request;
};

static uint32_t chance(void *arg, uint32_t bound)
{
	const struct fixture *f = arg;

	assert_true(bound > 0);
	return (uint32_t)((uint64_t)(bound - 1) * f->chance / 100);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->now = 5000 * MINUTE; /* a host that has been up for a while */
	f->r = reflector_new(chance, f);
	*state = f;
	return f->r ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	reflector_free(f->r);
	free(f);
	return 0;
}

/* --- steps of a story ---------------------------------------------------------------------- */

static const struct reflector_request *next(struct fixture *f)
{
	reflector_next(f->r, f->now, &f->request);
	return &f->request;
}

/* Waits as long as is asked for, and sends. */
static void send_next(struct fixture *f)
{
	next(f);
	if (f->request.not_before_ms > f->now)
		f->now = f->request.not_before_ms;
	next(f);
	reflector_sent(f->r, f->now);
}

static void fail_with(struct fixture *f, struct reflector_end end)
{
	reflector_ended(f->r, &end, f->now);
}

static void end_as(struct fixture *f, enum reflector_failure why)
{
	fail_with(f, (struct reflector_end){.why = why});
}

static void http(struct fixture *f, int status)
{
	fail_with(f, (struct reflector_end){.why = REFLECTOR_HTTP, .status = status});
}

static void in_stream(struct fixture *f, int status)
{
	fail_with(f, (struct reflector_end){.why = REFLECTOR_IN_STREAM, .status = status});
}

/* The LIST is over, and a WATCH from VERSION is under way. */
static void watch_from(struct fixture *f, const char *version)
{
	send_next(f);
	assert_int_equal(f->request.op, REFLECTOR_LIST);
	assert_true(reflector_listed(f->r, version, NULL, f->now));
	send_next(f);
	assert_int_equal(f->request.op, REFLECTOR_WATCH);
}

static void expect_version(const struct fixture *f, const char *version)
{
	if (!version)
		assert_null(f->request.resource_version);
	else if (!f->request.resource_version)
		fail_msg("no version is asked for");
	else
		assert_string_equal(f->request.resource_version, version);
}

static void expect_watch(struct fixture *f, const char *version)
{
	next(f);
	assert_int_equal(f->request.op, REFLECTOR_WATCH);
	assert_null(f->request.continue_token);
	assert_int_equal(f->request.limit, 0);
	expect_version(f, version);
}

static void expect_list(struct fixture *f, const char *version, unsigned limit)
{
	next(f);
	assert_int_equal(f->request.op, REFLECTOR_LIST);
	assert_null(f->request.continue_token);
	assert_int_equal(f->request.timeout_s, 0);
	assert_int_equal(f->request.limit, limit);
	expect_version(f, version);
}

static void expect_at_once(struct fixture *f)
{
	assert_true(next(f)->not_before_ms <= f->now);
}

static void expect_delay(struct fixture *f, uint64_t ms)
{
	assert_int_equal(next(f)->not_before_ms, f->now + ms);
}

/* --- LIST ------------------------------------------------------------------------------------ */

static void first_list_takes_any_state_by_pages(void **state)
{
	struct fixture *f = *state;

	expect_list(f, "0", REFLECTOR_PAGE);
	expect_at_once(f);
	assert_false(reflector_synced(f->r));
}

static void asking_twice_changes_nothing(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	next(f);
	expect_watch(f, "7");
}

static void watch_goes_on_from_the_version_of_the_list(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	expect_version(f, "7");
	assert_true(reflector_synced(f->r));
}

static void later_page_sends_its_token_and_no_version(void **state)
{
	struct fixture *f = *state;

	send_next(f);
	assert_false(reflector_listed(f->r, "7", "page2", f->now));
	assert_false(reflector_synced(f->r));
	next(f);
	assert_int_equal(f->request.op, REFLECTOR_LIST);
	assert_string_equal(f->request.continue_token, "page2");
	assert_int_equal(f->request.limit, REFLECTOR_PAGE);
	expect_version(f, NULL);
	expect_at_once(f);
	send_next(f);
	assert_false(reflector_listed(f->r, "7", "page3", f->now));
	assert_string_equal(next(f)->continue_token, "page3");
	send_next(f);
	assert_true(reflector_listed(f->r, "7", "", f->now));
	expect_watch(f, "7");
}

static void list_that_fails_at_a_later_page_begins_again(void **state)
{
	struct fixture *f = *state;

	send_next(f);
	reflector_listed(f->r, "7", "page2", f->now);
	send_next(f);
	end_as(f, REFLECTOR_CUT);
	expect_list(f, "0", REFLECTOR_PAGE);
	expect_delay(f, 800);
}

static void later_list_is_not_older_than_what_was_seen(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	reflector_saw(f->r, "9", false);
	end_as(f, REFLECTOR_GARBAGE);
	/* With a limit the server would show exactly version 9, however old. */
	expect_list(f, "9", 0);
}

static void list_without_a_version_is_gone_on_from_without_one(void **state)
{
	static const char *const none[] = {NULL, "", "0"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++) {
		reflector_restart(f->r);
		watch_from(f, none[i]);
		expect_version(f, NULL);
		end_as(f, REFLECTOR_GARBAGE);
		expect_list(f, NULL, REFLECTOR_PAGE);
	}
}

static void failed_list_is_asked_again_after_the_backoff(void **state)
{
	static const enum reflector_failure failures[] = {
	    REFLECTOR_CLEAN, REFLECTOR_CUT, REFLECTOR_REFUSED, REFLECTOR_HTTP, REFLECTOR_GARBAGE,
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		send_next(f);
		fail_with(f, (struct reflector_end){.why = failures[i], .status = 403});
		expect_list(f, "0", REFLECTOR_PAGE);
		expect_delay(f, UINT64_C(800) << i);
		assert_false(reflector_synced(f->r));
	}
}

/* --- 410 and versions that are too large (faults 2, 3, 4, 11, 20) -------------------------------
 */

static void fault_02_error_410_in_stream_lists_at_once(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	reflector_saw(f->r, "9", false);
	in_stream(f, 410);
	expect_list(f, NULL, REFLECTOR_PAGE);
	expect_at_once(f);
	assert_true(reflector_synced(f->r));
}

static void fault_03_http_410_on_watch_lists_at_once(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	http(f, 410);
	expect_list(f, NULL, REFLECTOR_PAGE);
	expect_at_once(f);
}

static void fault_04_410_on_a_later_page_lists_whole(void **state)
{
	struct fixture *f = *state;

	send_next(f);
	reflector_listed(f->r, "7", "page2", f->now);
	send_next(f);
	http(f, 410);
	expect_list(f, NULL, 0);
	expect_at_once(f);
	send_next(f);
	end_as(f, REFLECTOR_CUT);
	expect_list(f, NULL, 0);
	watch_from(f, "8");
	http(f, 500);
	expect_list(f, "8", 0);
}

static void list_of_410_asks_for_the_latest_by_pages(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	end_as(f, REFLECTOR_GARBAGE);
	send_next(f);
	http(f, 410);
	expect_list(f, NULL, REFLECTOR_PAGE);
	expect_at_once(f);
}

static void list_and_410_again_and_again_back_off(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	in_stream(f, 410);
	expect_at_once(f);
	for (unsigned i = 0; i < 4; i++) {
		watch_from(f, "8");
		in_stream(f, 410);
		expect_list(f, NULL, REFLECTOR_PAGE);
		expect_delay(f, UINT64_C(800) << i);
	}
	watch_from(f, "9");
	f->now += 10 * MINUTE;
	in_stream(f, 410);
	expect_at_once(f);
}

static void fault_11_too_large_version_is_forgotten(void **state)
{
	static const enum reflector_failure failures[] = {REFLECTOR_HTTP, REFLECTOR_IN_STREAM};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		f->now += 10 * MINUTE;
		watch_from(f, "999");
		fail_with(f, (struct reflector_end){
				 .why = failures[i], .status = 504, .version_too_large = true});
		expect_list(f, NULL, REFLECTOR_PAGE);
		expect_delay(f, 800);
	}
}

static void fault_20_versions_gone_backwards(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "999");
	end_as(f, REFLECTOR_GARBAGE);
	send_next(f);
	expect_version(f, "999");
	fail_with(f, (struct reflector_end){.why = REFLECTOR_HTTP,
	                                    .status = 504,
	                                    .retry_after_s = 1,
	                                    .version_too_large = true});
	expect_list(f, NULL, REFLECTOR_PAGE);
	watch_from(f, "12");
	expect_version(f, "12");
}

/* --- the end of a WATCH (faults 7, 8, 9, 13)
 * ------------------------------------------------------ */

static void fault_08_clean_end_watches_again_at_once(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	reflector_saw(f->r, "9", false);
	f->now += 900 * SECOND;
	end_as(f, REFLECTOR_CLEAN);
	expect_watch(f, "9");
	expect_at_once(f);
}

static void quiet_watch_goes_on_too(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	f->now += SECOND;
	end_as(f, REFLECTOR_CLEAN);
	expect_watch(f, "7");
	expect_at_once(f);
}

static void fault_09_watches_that_end_at_once_back_off_and_list(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 4; i++) {
		watch_from(f, "7");
		f->now += 999;
		end_as(f, REFLECTOR_CLEAN);
		expect_list(f, "7", 0);
		expect_delay(f, UINT64_C(800) << i);
	}
}

static void short_watch_with_an_event_goes_on_at_once(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	reflector_saw(f->r, "8", false);
	end_as(f, REFLECTOR_CLEAN);
	expect_watch(f, "8");
	expect_at_once(f);
}

static void short_watches_with_an_event_each_do_not_spin(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	reflector_saw(f->r, "8", false);
	end_as(f, REFLECTOR_CLEAN);
	send_next(f);
	reflector_saw(f->r, "8", true);
	end_as(f, REFLECTOR_CLEAN);
	expect_watch(f, "8");
	expect_delay(f, 800);
	send_next(f);
	f->now += 2 * SECOND;
	end_as(f, REFLECTOR_CLEAN);
	send_next(f);
	reflector_saw(f->r, "9", false);
	end_as(f, REFLECTOR_CLEAN);
	expect_at_once(f);
}

static void fault_07_cut_in_mid_line_resumes_at_once(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	reflector_saw(f->r, "8", false);
	f->now += SECOND;
	end_as(f, REFLECTOR_CUT);
	expect_watch(f, "8");
	expect_at_once(f);
}

static void watch_cut_within_a_second_backs_off_and_lists(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	f->now += 999;
	end_as(f, REFLECTOR_CUT);
	expect_list(f, "7", 0);
	expect_delay(f, 800);
}

static void fault_13_bookmark_is_gone_on_from(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	assert_false(reflector_expects_bookmarks(f->r));
	reflector_saw(f->r, "8", false);
	assert_false(reflector_expects_bookmarks(f->r));
	reflector_saw(f->r, "50", true);
	assert_true(reflector_expects_bookmarks(f->r));
	f->now += MINUTE;
	end_as(f, REFLECTOR_CLEAN);
	send_next(f);
	expect_watch(f, "50");
	assert_false(reflector_expects_bookmarks(f->r));
}

static void version_that_names_no_state_replaces_none(void **state)
{
	static const char *const none[] = {NULL, "", "0"};
	struct fixture *f = *state;

	watch_from(f, "7");
	for (size_t i = 0; i < 3; i++)
		reflector_saw(f->r, none[i], i == 1);
	f->now += MINUTE;
	end_as(f, REFLECTOR_CLEAN);
	expect_watch(f, "7");
}

/* --- trouble with a WATCH (faults 6, 10, 11, 16)
 * -------------------------------------------------- */

static void fault_06_refused_watch_backs_off_with_its_version(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	for (unsigned i = 0; i < 3; i++) {
		end_as(f, REFLECTOR_REFUSED);
		expect_watch(f, "7");
		expect_delay(f, UINT64_C(800) << i);
		send_next(f);
	}
}

static void fault_10_http_429_on_watch_keeps_the_version(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	fail_with(f,
	          (struct reflector_end){.why = REFLECTOR_HTTP, .status = 429, .retry_after_s = 7});
	expect_watch(f, "7");
	expect_delay(f, 7 * SECOND);
}

static void fault_10_http_429_on_list_waits_as_told(void **state)
{
	struct fixture *f = *state;

	send_next(f);
	fail_with(f,
	          (struct reflector_end){.why = REFLECTOR_HTTP, .status = 429, .retry_after_s = 7});
	expect_list(f, "0", REFLECTOR_PAGE);
	expect_delay(f, 7 * SECOND);
}

static void fault_10_error_429_in_stream_keeps_the_version(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	reflector_saw(f->r, "8", false);
	fail_with(f, (struct reflector_end){
			 .why = REFLECTOR_IN_STREAM, .status = 429, .retry_after_s = 3});
	expect_watch(f, "8");
	expect_delay(f, 3 * SECOND);
}

static void fault_11_error_500_or_504_in_stream_keeps_the_version(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	in_stream(f, 500);
	expect_watch(f, "7");
	expect_delay(f, 800);
	send_next(f);
	in_stream(f, 504);
	expect_watch(f, "7");
	expect_delay(f, 1600);
}

static void other_error_in_stream_lists(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	in_stream(f, 0);
	expect_list(f, "7", 0);
	expect_delay(f, 800);
}

static void fault_16_watch_denied_backs_off_and_lists(void **state)
{
	static const int statuses[] = {403, 404, 500, 503};
	struct fixture *f = *state;

	for (unsigned i = 0; i < 4; i++) {
		watch_from(f, "7");
		http(f, statuses[i]);
		expect_list(f, "7", 0);
		expect_delay(f, UINT64_C(800) << i);
		assert_true(reflector_synced(f->r));
	}
}

static void garbage_in_a_watch_backs_off_and_lists(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	f->now += MINUTE;
	end_as(f, REFLECTOR_GARBAGE);
	expect_list(f, "7", 0);
	expect_delay(f, 800);
}

/* --- the backoff
 * ------------------------------------------------------------------------------------ */

static void backoff_doubles_up_to_its_cap(void **state)
{
	static const uint64_t delays[] = {800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		send_next(f);
		end_as(f, REFLECTOR_REFUSED);
		expect_delay(f, delays[i]);
	}
}

static void backoff_is_jittered_by_up_to_its_double(void **state)
{
	static const uint64_t delays[] = {1600, 3200, 6400, 12800, 25600, 30000, 30000};
	struct fixture *f = *state;

	f->chance = 100;
	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		send_next(f);
		end_as(f, REFLECTOR_REFUSED);
		expect_delay(f, delays[i]);
	}
}

static void fail_three_times(struct fixture *f)
{
	for (unsigned i = 0; i < 3; i++) {
		send_next(f);
		end_as(f, REFLECTOR_REFUSED);
	}
	expect_delay(f, 3200);
	send_next(f);
}

static void backoff_begins_anew_after_two_quiet_minutes(void **state)
{
	struct fixture *f = *state;

	fail_three_times(f);
	f->now += 2 * MINUTE;
	end_as(f, REFLECTOR_REFUSED);
	expect_delay(f, 800);
}

static void backoff_goes_on_before_two_quiet_minutes(void **state)
{
	struct fixture *f = *state;

	fail_three_times(f);
	f->now += 2 * MINUTE - 1;
	end_as(f, REFLECTOR_REFUSED);
	expect_delay(f, 6400);
}

static void success_alone_does_not_reset_the_backoff(void **state)
{
	struct fixture *f = *state;

	fail_three_times(f);
	reflector_listed(f->r, "7", NULL, f->now);
	expect_at_once(f);
	send_next(f);
	in_stream(f, 500);
	expect_delay(f, 6400);
}

static void retry_after_shorter_than_the_backoff_does_not_shorten_it(void **state)
{
	struct fixture *f = *state;

	f->chance = 100;
	send_next(f);
	fail_with(f,
	          (struct reflector_end){.why = REFLECTOR_HTTP, .status = 503, .retry_after_s = 1});
	expect_delay(f, 1600);
}

static void retry_after_is_bounded(void **state)
{
	struct fixture *f = *state;

	send_next(f);
	fail_with(f, (struct reflector_end){
			 .why = REFLECTOR_HTTP, .status = 503, .retry_after_s = 86400});
	expect_delay(f, 5 * MINUTE);
	send_next(f);
	fail_with(
	    f, (struct reflector_end){.why = REFLECTOR_HTTP, .status = 503, .retry_after_s = -1});
	expect_delay(f, 1600);
}

/* --- the periodic LIST
 * --------------------------------------------------------------------------------- */

static void watch_lasts_900_to_1800_seconds(void **state)
{
	struct fixture *f = *state;

	f->chance = 100; /* the next LIST is due in 60 minutes */
	watch_from(f, "7");
	assert_int_equal(f->request.timeout_s, 1800);
	f->chance = 0;
	next(f);
	assert_true(f->request.timeout_s >= 900);
}

static void last_watch_before_the_list_is_cut(void **state)
{
	struct fixture *f = *state;

	f->chance = 50; /* due in 45 minutes */
	watch_from(f, "7");
	f->now += 40 * MINUTE;
	end_as(f, REFLECTOR_CLEAN);
	expect_watch(f, "7");
	assert_in_range(f->request.timeout_s, 300, 301);
	send_next(f);
	f->now += f->request.timeout_s * SECOND;
	end_as(f, REFLECTOR_CLEAN);
	expect_list(f, "7", 0);
	expect_at_once(f);
}

static void no_watch_is_shorter_than_a_minute(void **state)
{
	struct fixture *f = *state;

	f->chance = 0; /* due in 30 minutes */
	watch_from(f, "7");
	f->now += 29 * MINUTE;
	end_as(f, REFLECTOR_CLEAN);
	expect_watch(f, "7");
	assert_int_equal(f->request.timeout_s, 60);
	send_next(f);
	f->now += 1;
	fail_with(f, (struct reflector_end){.why = REFLECTOR_HTTP, .status = 429});
	expect_list(f, "7", 0);
}

static void cut_watch_lists_when_the_list_is_due(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	f->now += 30 * MINUTE + 10 * SECOND;
	end_as(f, REFLECTOR_CUT);
	expect_list(f, "7", 0);
	expect_at_once(f);
}

static void refused_watch_lists_when_the_list_is_due(void **state)
{
	struct fixture *f = *state;

	watch_from(f, "7");
	f->now += 31 * MINUTE;
	end_as(f, REFLECTOR_REFUSED);
	expect_list(f, "7", 0);
	expect_delay(f, 800);
}

/* Hours at rest, whatever chance says: at most six requests in each. */
static void at_rest_six_requests_an_hour_at_most(void **state)
{
	struct fixture *f = *state;
	const uint64_t hours = 1000;
	uint64_t requests = 0, begin = f->now;
	uint32_t seed = 7;

	while (f->now - begin < hours * 60 * MINUTE) {
		seed = seed * 1664525u + 1013904223u;
		f->chance = (seed >> 8) % 101;
		send_next(f);
		requests++;
		if (f->request.op == REFLECTOR_LIST) {
			reflector_listed(f->r, "7", NULL, f->now);
			continue;
		}
		assert_in_range(f->request.timeout_s, 900, 1800);
		f->now += f->request.timeout_s * SECOND;
		end_as(f, REFLECTOR_CLEAN);
	}
	assert_in_range(requests, 3 * hours, 6 * hours);
}

/* --- starting again
 * ---------------------------------------------------------------------------------------- */

static void restart_forgets_all_but_the_backoff(void **state)
{
	struct fixture *f = *state;

	fail_three_times(f);
	reflector_listed(f->r, "7", NULL, f->now);
	send_next(f);
	reflector_saw(f->r, "8", true);
	reflector_restart(f->r);
	expect_list(f, "0", REFLECTOR_PAGE);
	assert_false(reflector_synced(f->r));
	assert_false(reflector_expects_bookmarks(f->r));
	send_next(f);
	http(f, 403);
	expect_delay(f, 6400);
}

static void restart_in_the_middle_of_pages(void **state)
{
	struct fixture *f = *state;

	send_next(f);
	reflector_listed(f->r, "7", "page2", f->now);
	reflector_restart(f->r);
	expect_list(f, "0", REFLECTOR_PAGE);
	send_next(f);
	reflector_listed(f->r, "7", "page2", f->now);
	send_next(f);
	http(f, 410);
	reflector_restart(f->r);
	expect_list(f, "0", REFLECTOR_PAGE);
}

#define reflector_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    reflector_test(first_list_takes_any_state_by_pages),
	    reflector_test(asking_twice_changes_nothing),
	    reflector_test(watch_goes_on_from_the_version_of_the_list),
	    reflector_test(later_page_sends_its_token_and_no_version),
	    reflector_test(list_that_fails_at_a_later_page_begins_again),
	    reflector_test(later_list_is_not_older_than_what_was_seen),
	    reflector_test(list_without_a_version_is_gone_on_from_without_one),
	    reflector_test(failed_list_is_asked_again_after_the_backoff),
	    reflector_test(fault_02_error_410_in_stream_lists_at_once),
	    reflector_test(fault_03_http_410_on_watch_lists_at_once),
	    reflector_test(fault_04_410_on_a_later_page_lists_whole),
	    reflector_test(list_of_410_asks_for_the_latest_by_pages),
	    reflector_test(list_and_410_again_and_again_back_off),
	    reflector_test(fault_11_too_large_version_is_forgotten),
	    reflector_test(fault_20_versions_gone_backwards),
	    reflector_test(fault_08_clean_end_watches_again_at_once),
	    reflector_test(quiet_watch_goes_on_too),
	    reflector_test(fault_09_watches_that_end_at_once_back_off_and_list),
	    reflector_test(short_watch_with_an_event_goes_on_at_once),
	    reflector_test(short_watches_with_an_event_each_do_not_spin),
	    reflector_test(fault_07_cut_in_mid_line_resumes_at_once),
	    reflector_test(watch_cut_within_a_second_backs_off_and_lists),
	    reflector_test(fault_13_bookmark_is_gone_on_from),
	    reflector_test(version_that_names_no_state_replaces_none),
	    reflector_test(fault_06_refused_watch_backs_off_with_its_version),
	    reflector_test(fault_10_http_429_on_watch_keeps_the_version),
	    reflector_test(fault_10_http_429_on_list_waits_as_told),
	    reflector_test(fault_10_error_429_in_stream_keeps_the_version),
	    reflector_test(fault_11_error_500_or_504_in_stream_keeps_the_version),
	    reflector_test(other_error_in_stream_lists),
	    reflector_test(fault_16_watch_denied_backs_off_and_lists),
	    reflector_test(garbage_in_a_watch_backs_off_and_lists),
	    reflector_test(backoff_doubles_up_to_its_cap),
	    reflector_test(backoff_is_jittered_by_up_to_its_double),
	    reflector_test(backoff_begins_anew_after_two_quiet_minutes),
	    reflector_test(backoff_goes_on_before_two_quiet_minutes),
	    reflector_test(success_alone_does_not_reset_the_backoff),
	    reflector_test(retry_after_shorter_than_the_backoff_does_not_shorten_it),
	    reflector_test(retry_after_is_bounded),
	    reflector_test(watch_lasts_900_to_1800_seconds),
	    reflector_test(last_watch_before_the_list_is_cut),
	    reflector_test(no_watch_is_shorter_than_a_minute),
	    reflector_test(cut_watch_lists_when_the_list_is_due),
	    reflector_test(refused_watch_lists_when_the_list_is_due),
	    reflector_test(at_rest_six_requests_an_hour_at_most),
	    reflector_test(restart_forgets_all_but_the_backoff),
	    reflector_test(restart_in_the_middle_of_pages),
	};

	return cmocka_run_group_tests_name("reflector", tests, NULL, NULL);
}
