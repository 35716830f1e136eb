/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <string.h>

#include "answer.h"
#include "conn.h"
#include "conn_reply.h"

void conn_reply_init(struct conn_reply *reply)
{
	reply->after = CONN_DROP;
	reply->answer = NULL;
	reply->bytes = reply->small;
	reply->len = 0;
	reply->size = sizeof(reply->small);
	reply->no_memory = false;
}

static bool reply_grow(struct conn_reply *reply, size_t need)
{
	size_t size = reply->size;
	while (size < need)
		size *= 2;

	struct answer *answer =
	    reply->answer ? answer_resize(reply->answer, size) : answer_new(size);
	if (!answer) {
		reply->no_memory = true;
		return false;
	}
	if (!reply->answer)
		memcpy(answer->bytes, reply->small, reply->len);
	reply->answer = answer;
	reply->bytes = answer->bytes;
	reply->size = size;
	return true;
}

uint8_t *conn_reply_room(struct conn_reply *reply, size_t size)
{
	if (reply->no_memory)
		return NULL;
	if (reply->size - reply->len < size && !reply_grow(reply, reply->len + size))
		return NULL;
	return reply->bytes + reply->len;
}

void conn_reply_added(struct conn_reply *reply, size_t len)
{
	reply->len += len;
}

struct answer *conn_reply_keep(struct conn_reply *reply)
{
	struct answer *answer = reply->answer;

	if (!answer) {
		answer = answer_new(reply->len);
		if (answer)
			memcpy(answer->bytes, reply->small, reply->len);
		return answer;
	}
	if (answer->refs == 1) {
		/* Without the room that it grew into. */
		struct answer *trimmed = answer_resize(answer, reply->len);
		if (trimmed)
			answer = trimmed;
		answer->len = reply->len;
		reply->answer = answer;
		reply->bytes = answer->bytes;
		reply->size = reply->len;
	}
	return answer_ref(answer);
}

void conn_reply_share(struct conn_reply *reply, struct answer *answer)
{
	reply->answer = answer_ref(answer);
	reply->bytes = answer->bytes;
	reply->len = answer->len;
	reply->size = answer->len;
}

void conn_reply_clear(struct conn_reply *reply)
{
	answer_unref(reply->answer);
}
