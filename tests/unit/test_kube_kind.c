/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "discovery/kube_kind.h"

/* Answers to whole LISTs, in turn; 200 ends one, and so does what is an error.  Asked for are 1
 * (v1), b (v1beta1) and e (Endpoints); '!' is an error, ' ' the end of a LIST. */
static const struct {
	const char *what;
	int answers[12];
	const char *asked;
} rows[] = {
    {"v1 is served", {200, 200}, "1 1 "},
    {"v1beta1 is served", {404, 200, 404, 200}, "1b 1b "},
    {"no slices are served", {404, 404, 200, 404, 404, 200}, "1be 1be "},
    {"slices are forbidden", {403, 200, 403, 200}, "1e 1e "},
    {"an unserved version says 404, the other 403", {404, 403, 200}, "1be "},
    {"slices are granted", {403, 200, 200, 200}, "1e 1 1 "},
    {"slices come later", {404, 404, 200, 404, 200, 404, 200}, "1be 1b 1b "},
    {"nothing is allowed, then slices are", {403, 403, 403, 403, 200}, "1e! 1e! 1 "},
    {"Endpoints fail, slices come", {404, 404, 500, 200}, "1be! 1 "},
    {"404 for a moment", {200, 404, 404, 404, 404, 200}, "1 1b! 1b! 1 "},
    {"a verb is lost", {200, 403, 403, 200}, "1 1! 1! 1 "},
    {"v1beta1 for a moment", {404, 200, 404, 404, 404, 200}, "1b 1b! 1b "},
    {"v1beta1 is replaced by v1", {404, 200, 404, 404, 200, 200}, "1b 1b! 1 1 "},
    {"the server goes back to v1beta1", {200, 404, 200, 404, 200}, "1 1b 1b "},
    {"v1beta1 loses a verb", {404, 200, 403, 404, 200}, "1b 1! 1b "},
    {"other errors choose nothing", {500, 429, 401, 503, 410, 200}, "1! 1! 1! 1! 1! 1 "},
};

static void kinds_asked_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kube_kind_choice choice = kube_kind_choice();
		char asked[64] = "";
		size_t n = 0;

		for (const int *answer = rows[i].answers; *answer; answer++) {
			asked[n++] = "1be"[choice.kind];
			if (*answer == 200)
				kube_kind_listed(&choice);
			else if (kube_kind_refused(&choice, *answer))
				continue;
			else
				asked[n++] = '!';
			asked[n++] = ' ';
			kube_kind_begin(&choice);
		}
		print_message("%s\n", rows[i].what);
		assert_string_equal(asked, rows[i].asked);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(kinds_asked_for)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
