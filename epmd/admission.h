/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_ADMISSION_H
#define KEPMD_EPMD_ADMISSION_H

/* Who is served (allow.h) and how much of everything (limits.h), as the settings say. */

#include <stdbool.h>

#include "limits.h"

struct allow;
struct options;

struct admission {
	struct limits limits;
	struct allow *allow;
	char error[512]; /* what is wrong with a setting, and what holds instead; or empty */
};

/* Raises the limit of descriptors, and reads the settings of OPTIONS.  Returns 0, or -1 with the
 * error set, which a foreground start must not go beyond.  Then defaults stand in for limits that
 * are wrong, and nobody from elsewhere is served where the list of those who are is wrong.  To be
 * cleared in either case. */
int admission_read(struct admission *admission, const struct options *options, bool discovers);
void admission_clear(struct admission *admission);

/* Logs the error, and what too few descriptors mean. */
void admission_warn(const struct admission *admission);

#endif
