/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_CONN_H
#define KEPMD_EPMD_CONN_H

/* Client connections: bytes in, one request, bytes out; then closed or, for a
 * registration, held.  Knows the framing of requests and nothing of what they
 * mean.  Never blocks, and nobody waits for a client that does not read.
 *
 * Rules: an unregistered connection that is idle for the packet timeout is closed;
 * any byte on a held connection, or its end, closes it (OTP, "Distribution
 * Protocol", section "Register a Node in EPMD"). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/epmd_msg.h"

struct allow;
struct answer;
struct conn;
struct conn_pool;
struct event_base;
struct sockaddr_any;

enum conn_after {
	CONN_DROP,  /* close without an answer */
	CONN_CLOSE, /* answer, then close */
	CONN_HOLD,  /* answer, then keep open until the other side ends it */
	CONN_QUIT   /* answer, close, then end the daemon */
};

/* An answer in the making.  Grows as needed; short ones need no allocation. */
struct conn_reply {
	enum conn_after after;
	struct answer *answer; /* what has outgrown SMALL, or is shared; else NULL */
	uint8_t *bytes;        /* at SMALL, or ANSWER's */
	size_t len;
	size_t size;
	bool no_memory; /* something could not be added: the answer is not sent */
	uint8_t small[EPMD_REPLY_MAX];
};

/* Room for SIZE more bytes, or NULL (no_memory is set).  Follow it by
 * conn_reply_added with what was used. */
uint8_t *conn_reply_room(struct conn_reply *reply, size_t size);
void conn_reply_added(struct conn_reply *reply, size_t len);

/* The whole of REPLY, to which nothing is added any more, with a reference that is the caller's.
 * NULL when memory is out. */
struct answer *conn_reply_keep(struct conn_reply *reply);
/* Makes ANSWER the whole of REPLY, which must be empty. */
void conn_reply_share(struct conn_reply *reply, struct answer *answer);

/* Why a connection that has registered nobody had to make way. */
enum conn_shed {
	CONN_SHED_STARVED, /* descriptors or memory */
	CONN_SHED_ALL,     /* too many in all */
	CONN_SHED_ADDRESS, /* too many of its address */
	CONN_SHED_SLOW,    /* too much waits to be read */
	CONN_SHED_KINDS
};

struct conn_events {
	/* A whole request came.  Fill in REPLY, whose AFTER is CONN_DROP at first. */
	void (*request)(void *arg, struct conn *conn, const struct epmd_request *request,
	                struct conn_reply *reply);
	/* What came is no request; the connection is about to be dropped. */
	void (*bad_request)(void *arg, struct conn *conn, enum epmd_decode why);
	/* A held connection is about to be closed. */
	void (*released)(void *arg, struct conn *conn);
	/* The connection is about to be closed for the sake of others. */
	void (*shed)(void *arg, const struct conn *conn, enum conn_shed why);
	/* A reply with CONN_QUIT has been sent. */
	void (*quit)(void *arg);
	void *arg;
};

struct conn_settings {
	unsigned idle_s;         /* -packet_timeout */
	unsigned delay_accept_s; /* -delay_accept: wait before the first read */
	unsigned delay_write_s;  /* -delay_write: wait before the answer */

	/* See limits.h; all at least 1. */
	unsigned max_connections;
	unsigned max_per_address;
	unsigned max_of_loopback;
	unsigned max_registered;
	unsigned young_ms;
	size_t max_unsent;         /* bytes of answers that wait for their readers */
	const struct allow *allow; /* borrowed; NULL: all of loopback is this host */
};

struct conn_pool *conn_pool_new(struct event_base *base, const struct conn_settings *settings,
                                const struct conn_events *events);
/* Closes all connections, without telling. */
void conn_pool_free(struct conn_pool *pool);

/* Serves the accepted, non-blocking socket FD, which the pool takes over. */
void conn_accept(struct conn_pool *pool, int fd, const struct sockaddr_any *from);

/* Closes the oldest connection that has registered nobody, to free its descriptor; if it has asked
 * by now, it is answered first.  False when there is none. */
bool conn_pool_shed(struct conn_pool *pool);

/* How many there are. */
struct conn_counts {
	size_t open; /* have registered nobody */
	size_t held; /* have */
};
struct conn_counts conn_pool_count(const struct conn_pool *pool);

/* Room for the owner of the events: what a held connection stands for.  One without a tag has
 * registered nobody. */
void conn_set_tag(struct conn *conn, void *tag);
void *conn_tag(const struct conn *conn);

int conn_fd(const struct conn *conn);

/* There is room for one more that registers a node. */
bool conn_may_register(const struct conn *conn);
/* Closes the oldest connection other than CONN that has registered nobody, for its memory. */
bool conn_shed_other(const struct conn *conn);

/* The other side is this host: loopback, or source address == destination. */
bool conn_is_local(const struct conn *conn);
/* The other side is 127/8 or ::1. */
bool conn_is_loopback(const struct conn *conn);

/* Closes a connection other than the one whose request is being handled. */
void conn_end(struct conn *conn);

/* The other side has already ended a held connection, though its end has not
 * been read yet; if so, the connection is closed (and told as released). */
bool conn_reap_if_ended(struct conn *conn);

/* "10.0.0.7:51234", for log lines; borrowed until the next call. */
const char *conn_text(const struct conn *conn);

#endif
