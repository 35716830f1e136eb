/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <string.h>

#include "epmd/limits.h"
#include "epmd/options.h"

/* However few there are: each has its part, and together they never want more than there are. */
static void defaults_fit_into_the_descriptors(void **state)
{
	(void)state;
	for (unsigned n = 40; n < 100000; n = n * 5 / 4) {
		for (int discovers = 0; discovers < 2; discovers++) {
			struct limits limits = limits_default(n, discovers);
			assert_in_range(limits.max_per_address, 1, limits.max_of_loopback);
			assert_in_range(limits.max_of_loopback, 1, limits.max_connections);
			assert_in_range(limits.max_connections, 4, n - limits.reserve);
			/* Nodes leave room for those who ask. */
			assert_in_range(limits.max_registered, n / 4, n - limits.reserve - 4);
			assert_in_range(limits.reserve, 16, 256);
		}
	}
}

static void discovery_needs_descriptors_too(void **state)
{
	(void)state;
	assert_true(limits_default(1024, true).reserve > limits_default(1024, false).reserve);
}

static int read_with(enum setting setting, const char *value, struct limits *limits, char *error)
{
	struct options options = {0};

	options.settings[setting] = value;
	return limits_read(&options, 1024, false, limits, error, 200);
}

static void a_setting_is_heeded(void **state)
{
	struct limits limits;
	char error[200] = "";

	(void)state;
	assert_int_equal(read_with(SETTING_MAX_CONNECTIONS, "40", &limits, error), 0);
	assert_int_equal(limits.max_connections, 40);
	assert_int_equal(limits.max_of_loopback, 20);
	assert_int_equal(limits.max_per_address, 10);
	assert_int_equal(read_with(SETTING_MAX_CONNECTIONS, "1", &limits, error), 0);
	assert_int_equal(limits.max_per_address, 1);
	assert_int_equal(read_with(SETTING_MAX_PER_ADDRESS, "7", &limits, error), 0);
	assert_int_equal(limits.max_per_address, 7);
	assert_int_equal(read_with(SETTING_MAX_UNSENT, "3", &limits, error), 0);
	assert_int_equal(limits.max_unsent, 3 * 1024 * 1024);
}

static void a_wrong_setting_is_named_and_the_defaults_hold(void **state)
{
	static const enum setting all[] = {SETTING_MAX_CONNECTIONS, SETTING_MAX_PER_ADDRESS,
	                                   SETTING_MAX_UNSENT};
	static const char *const wrong[] = {
	    "0", "-1", "+1", " 1", "1 ", "1k", "x", "1000001", "18446744073709551617"};
	const struct limits defaults = limits_default(1024, false);

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (size_t j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++) {
			struct limits limits;
			char error[200] = "";
			assert_int_equal(read_with(all[i], wrong[j], &limits, error), -1);
			assert_non_null(strstr(error, options_setting_variable(all[i])));
			assert_non_null(strstr(error, "give a number from 1 to"));
			assert_int_equal(limits.max_connections, defaults.max_connections);
			assert_int_equal(limits.max_unsent, defaults.max_unsent);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults_fit_into_the_descriptors),
	    cmocka_unit_test(discovery_needs_descriptors_too),
	    cmocka_unit_test(a_setting_is_heeded),
	    cmocka_unit_test(a_wrong_setting_is_named_and_the_defaults_hold),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
