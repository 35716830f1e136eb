/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_LOG_LINE_H
#define KEPMD_EPMD_LOG_LINE_H

/* A line of the log, in the two forms that ERL_EPMD_LOG_FORMAT has.  Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define LOG_LINE_MESSAGE_SIZE 2048
#define LOG_LINE_ABOUT_SIZE 288

struct log_line {
	struct timespec at;
	const char *level;
	const char *message;      /* without controls */
	const char *about;        /* who it is about, which is also how MESSAGE begins; or "" */
	unsigned long lost;       /* lines before it that nobody took */
	unsigned long suppressed; /* lines like it that came too fast */
	bool last;                /* more like it will be suppressed */
};

/* What is said of lines that are missing, "" or " (...)". */
#define LOG_LINE_MISSING_SIZE 160
void log_line_missing(const struct log_line *line, char text[LOG_LINE_MISSING_SIZE]);

/* Writes LINE to OUT, of SIZE bytes (4096 at least), with a newline at its end, and returns its
 * length.  What does not fit of the message is left out.
 * Text: "2026-01-02T03:04:05.678Z epmd info: MESSAGE".
 * JSON: one object (RFC 8259), and valid UTF-8 whatever bytes the message has. */
size_t log_line_text(const struct log_line *line, char *out, size_t size);
size_t log_line_json(const struct log_line *line, char *out, size_t size);

#endif
