/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_TESTS_LOG_FILE_H
#define KEPMD_TESTS_LOG_FILE_H

/* The log, in a file of its own, for tests that count what is said. */

struct log_file {
	char path[64];
};

/* Logs there from now on.  Returns 0, or -1. */
int log_file_open(struct log_file *file);
/* How often WORDS stand in it. */
unsigned log_file_count(const struct log_file *file, const char *words);
void log_file_remove(struct log_file *file);

#endif
