/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_DOCTOR_JUDGE_H
#define KEPMD_EPMD_DOCTOR_JUDGE_H

/* What the parts of doctor_judge share. */

#include "doctor.h"
#include "doctor_fault.h"

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

/* This host's nodes. */
void doctor_judge_locals(const struct facts *facts, const struct verdicts *to);
/* The others', and the way to them. */
void doctor_judge_peers(const struct facts *facts, const struct verdicts *to);

#endif
