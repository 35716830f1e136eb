/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "conn_reply.h"

void conn_reply_init(struct conn_reply *reply)
{
	reply->after = CONN_DROP;
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

	bool was_small = reply->bytes == reply->small;
	uint8_t *bytes = realloc(was_small ? NULL : reply->bytes, size);
	if (!bytes) {
		reply->no_memory = true;
		return false;
	}
	if (was_small)
		memcpy(bytes, reply->small, reply->len);
	reply->bytes = bytes;
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

void conn_reply_clear(struct conn_reply *reply)
{
	if (reply->bytes != reply->small)
		free(reply->bytes);
}
