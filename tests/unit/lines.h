/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_TESTS_LINES_H
#define KEPMD_TESTS_LINES_H

/* Case files with one case a line. */

#include <stddef.h>
#include <stdint.h>

/* Calls FN for each line of the case file PATH (below $KEPMD_CASES, by default
 * tests/cases) that is not empty and no comment, without its newline; LINE may be
 * changed.  Fails the test when the file is missing or has no case. */
typedef void lines_fn(char *line);
void lines_each(const char *path, lines_fn *fn);

/* Reads hex digits, with blanks anywhere, up to END.  Returns the bytes read. */
size_t lines_hex(const char *text, const char *end, uint8_t *bytes, size_t size);

#endif
