/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_ANSWER_H
#define KEPMD_EPMD_ANSWER_H

/* The bytes of an answer that outlives its request: because its reader is slow, or because the
 * next who ask the same are given the same.  Whoever keeps one has a reference; it is there once,
 * however many wait for it. */

#include <stddef.h>
#include <stdint.h>

struct answer {
	unsigned refs;
	unsigned waiting; /* conn.c's: how many slow readers it is kept for */
	size_t len;
	uint8_t bytes[];
};

/* LEN bytes, to be written, and the first reference.  NULL when memory is out. */
struct answer *answer_new(size_t len);
/* The same with LEN bytes instead, when there is one reference: what ANSWER was is no more.  NULL
 * when memory is out, and then ANSWER is as it was. */
struct answer *answer_resize(struct answer *answer, size_t len);

struct answer *answer_ref(struct answer *answer);
/* NULL is allowed. */
void answer_unref(struct answer *answer);

#endif
