/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_FINDING_H
#define KEPMD_EPMD_FINDING_H

/* What a check of the doctor found, and how to say it. */

#include "doctor_fault.h"

enum finding_state {
	FINDING_OK,
	FINDING_WAIT, /* not right yet, and too early to call it wrong */
	FINDING_WRONG
};

#define FINDING_SIZE 1024

struct finding {
	enum finding_state state;
	const char *check; /* what was looked at: "api", "node", .. */
	const char *fault; /* of FINDING_WRONG: its name, as in doc/troubleshooting.md; else NULL */
	char text[FINDING_SIZE];
	const char *mend; /* of FINDING_WRONG; else NULL */
};

/* FINDING is borrowed for the call. */
typedef void finding_fn(void *arg, const struct finding *finding);

/* To whom findings are told. */
struct verdicts {
	finding_fn *fn;
	void *arg;
};

void verdict_ok(const struct verdicts *to, const char *check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void verdict_wait(const struct verdicts *to, const char *check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void verdict_wrong(const struct verdicts *to, enum fault fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
