/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_DOCTOR_H
#define KEPMD_EPMD_DOCTOR_H

/* What is wrong, and how to mend it: conclusions from facts, the most fundamental first.
 * Pure. */

#include "facts.h"

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

/* Calls FN for each check, in the order in which they should be looked at. */
void doctor_judge(const struct facts *facts, finding_fn *fn, void *arg);

/* How long something may be on its way before it is a fault. */
#define DOCTOR_PATIENCE_S 5
/* How long a pod may take to stand in its Service's endpoints. */
#define DOCTOR_OWN_PATIENCE_S 30

#endif
