/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_DOCTOR_JUDGE_H
#define KEPMD_EPMD_DOCTOR_JUDGE_H

/* The parts of doctor_judge. */

#include "doctor.h"

/* This host's nodes. */
void doctor_judge_locals(const struct facts *facts, const struct verdicts *to);
/* The others', and the way to them. */
void doctor_judge_peers(const struct facts *facts, const struct verdicts *to);

#endif
