/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_UTF8_H
#define KEPMD_EPMD_UTF8_H

/* What is UTF-8 (RFC 3629) in bytes of unknown origin. */

#include <stddef.h>

/* How many bytes the character at AT has, of LEN; 0 when there is none that is well formed. */
size_t utf8_char(const char *at, size_t len);

/* Each byte that belongs to no character becomes a '?'. */
void utf8_mask(char *text, size_t len);

#endif
