/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_CONN_REPLY_H
#define KEPMD_EPMD_CONN_REPLY_H

/* An answer in the making, for conn.c; those who write it have conn.h. */

struct conn_reply;

/* Nothing yet; to be dropped. */
void conn_reply_init(struct conn_reply *reply);
void conn_reply_clear(struct conn_reply *reply);

#endif
