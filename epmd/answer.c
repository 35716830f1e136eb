/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "answer.h"

struct answer *answer_new(size_t len)
{
	struct answer *answer = malloc(sizeof(*answer) + len);

	if (answer)
		*answer = (struct answer){.refs = 1, .len = len};
	return answer;
}

struct answer *answer_resize(struct answer *answer, size_t len)
{
	struct answer *resized = realloc(answer, sizeof(*answer) + len);

	if (resized)
		resized->len = len;
	return resized;
}

struct answer *answer_ref(struct answer *answer)
{
	answer->refs++;
	return answer;
}

void answer_unref(struct answer *answer)
{
	if (answer && --answer->refs == 0)
		free(answer);
}
