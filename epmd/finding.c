/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>

#include "finding.h"

__attribute__((format(printf, 3, 0))) static void
tell(const struct verdicts *to, struct finding *finding, const char *format, va_list values)
{
	vsnprintf(finding->text, sizeof(finding->text), format, values);
	to->fn(to->arg, finding);
}

void verdict_ok(const struct verdicts *to, const char *check, const char *format, ...)
{
	struct finding finding = {.state = FINDING_OK, .check = check};
	va_list values;

	va_start(values, format);
	tell(to, &finding, format, values);
	va_end(values);
}

void verdict_wait(const struct verdicts *to, const char *check, const char *format, ...)
{
	struct finding finding = {.state = FINDING_WAIT, .check = check};
	va_list values;

	va_start(values, format);
	tell(to, &finding, format, values);
	va_end(values);
}

void verdict_wrong(const struct verdicts *to, enum fault fault, const char *format, ...)
{
	const struct fault_text *known = &fault_texts[fault];
	struct finding finding = {.state = FINDING_WRONG,
	                          .check = known->check,
	                          .fault = known->name,
	                          .mend = known->mend};
	va_list values;

	va_start(values, format);
	tell(to, &finding, format, values);
	va_end(values);
}
