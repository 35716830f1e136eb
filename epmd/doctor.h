/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_DOCTOR_H
#define KEPMD_EPMD_DOCTOR_H

/* What is wrong, and how to mend it: conclusions from facts, the most fundamental first.
 * Pure. */

#include "facts.h"
#include "finding.h"

/* Calls FN for each check, in the order in which they should be looked at. */
void doctor_judge(const struct facts *facts, finding_fn *fn, void *arg);

/* How long something may be on its way before it is a fault. */
#define DOCTOR_PATIENCE_S 5
/* How long a pod may take to stand in its Service's endpoints. */
#define DOCTOR_OWN_PATIENCE_S 30

#endif
