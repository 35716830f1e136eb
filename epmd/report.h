/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_REPORT_H
#define KEPMD_EPMD_REPORT_H

/* Facts, and what is concluded from them, for people and for programs (doc/json.md). */

#include <stdbool.h>
#include <stddef.h>

#include "facts.h"

/* Where text goes, piece by piece. */
typedef void report_write_fn(void *arg, const char *text, size_t len);
struct report_out {
	report_write_fn *write;
	void *arg;
};

/* `epmd -peers`: settings, sources, a row for each peer. */
void report_peers(const struct facts *facts, const struct report_out *out);
void report_peers_json(const struct facts *facts, const struct report_out *out);

/* `epmd -doctor`: a line for each check.  Returns whether all is well. */
bool report_doctor(const struct facts *facts, const struct report_out *out);
bool report_doctor_json(const struct facts *facts, const struct report_out *out);

/* What JSON output says first; grows only when what it says becomes untrue for its readers. */
#define REPORT_JSON_VERSION 1

/* The words of columns. */
const char *report_endpoint_word(const struct facts_peer *peer);
const char *report_joined_word(const struct facts *facts, const struct facts_peer *peer);

#endif
