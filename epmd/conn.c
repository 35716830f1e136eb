/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <utlist.h>

#include "conn.h"
#include "sockaddr.h"

/* What is read away from a held connection before it is closed: as much as stock
 * reads, so that the other side sees an end and not a reset. */
#define HELD_READ_MAX (EPMD_REQUEST_MAX + 1)

enum conn_state {
	CONN_WAITING, /* -delay_accept */
	CONN_READING,
	CONN_DELAYED, /* -delay_write */
	CONN_WRITING,
	CONN_HELD
};

struct conn {
	struct conn_pool *pool;
	struct conn *prev, *next; /* in pool->open, or in pool->held */
	struct event event;       /* what this state waits for */
	enum conn_state state;
	enum conn_after after;
	int fd;
	void *tag;
	uint8_t *bytes; /* unfinished request, or unsent answer; NULL when there is none */
	size_t len;
	size_t sent;
};

struct conn_pool {
	struct event_base *base;
	struct conn_settings settings;
	struct conn_events events;
	/* The same timeout for all: libevent then keeps them in a queue, not a heap. */
	const struct timeval *idle;
	struct conn *open; /* not held, the oldest first */
	struct conn *held;
};

static void on_event(evutil_socket_t fd, short what, void *arg);

/* --- the answer ---------------------------------------------------------------- */

static void reply_init(struct conn_reply *reply)
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

static void reply_clear(struct conn_reply *reply)
{
	if (reply->bytes != reply->small)
		free(reply->bytes);
}

/* --- states -------------------------------------------------------------------- */

/* The one place where a connection changes its state.  WHAT is what libevent is
 * to wait for; DELAY_S, if any, a time to wait instead. */
static int conn_enter(struct conn *conn, enum conn_state state, short what, unsigned delay_s)
{
	struct conn_pool *pool = conn->pool;
	struct timeval delay = {.tv_sec = (time_t)delay_s};
	const struct timeval *timeout = delay_s ? &delay : state == CONN_HELD ? NULL : pool->idle;

	conn->state = state;
	event_del(&conn->event);
	event_assign(&conn->event, pool->base, delay_s ? -1 : conn->fd,
	             delay_s ? 0 : (short)(what | EV_PERSIST), on_event, conn);
	return event_add(&conn->event, timeout);
}

static void conn_close(struct conn *conn)
{
	struct conn_pool *pool = conn->pool;

	event_del(&conn->event);
	if (conn->state == CONN_HELD)
		DL_DELETE(pool->held, conn);
	else
		DL_DELETE(pool->open, conn);
	/* What it stands for exists since the request, not since the answer. */
	if (conn->after == CONN_HOLD)
		pool->events.released(pool->events.arg, conn);
	close(conn->fd);
	free(conn->bytes);
	free(conn);
}

/* The other side has ended, or sent what it should not: either way it is over. */
static void conn_close_held(struct conn *conn)
{
	uint8_t bytes[HELD_READ_MAX];
	ssize_t ignored = recv(conn->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	(void)ignored;
	conn_close(conn);
}

static void conn_hold(struct conn *conn)
{
	DL_DELETE(conn->pool->open, conn);
	DL_APPEND(conn->pool->held, conn);
	free(conn->bytes);
	conn->bytes = NULL;
	conn->len = 0;
	if (conn_enter(conn, CONN_HELD, EV_READ, 0) < 0)
		conn_close(conn);
}

static void conn_answered(struct conn *conn)
{
	struct conn_pool *pool = conn->pool;

	if (conn->after == CONN_HOLD) {
		conn_hold(conn);
		return;
	}
	enum conn_after after = conn->after;
	conn_close(conn);
	if (after == CONN_QUIT)
		pool->events.quit(pool->events.arg);
}

/* --- writing ------------------------------------------------------------------- */

/* Sends what the socket takes of LEN bytes.  Returns how much that was, or -1 when
 * the connection is broken. */
static ssize_t send_some(const struct conn *conn, const uint8_t *bytes, size_t len)
{
	/* The end follows at once: the last bytes travel with it, in one segment for two
	 * (a tenth of what a lookup costs). */
	int flags = MSG_NOSIGNAL | (conn->after == CONN_CLOSE ? MSG_MORE : 0);
	size_t sent = 0;

	while (sent < len) {
		ssize_t n = send(conn->fd, bytes + sent, len - sent, flags);
		if (n >= 0)
			sent += (size_t)n;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)sent;
}

static void conn_write_more(struct conn *conn)
{
	ssize_t n = send_some(conn, conn->bytes + conn->sent, conn->len - conn->sent);

	if (n < 0) {
		/* A registration stands even if its answer does not arrive: the
		 * end of the connection is what ends it, and it is read next. */
		if (conn->after == CONN_HOLD)
			conn_hold(conn);
		else
			conn_close(conn);
		return;
	}
	conn->sent += (size_t)n;
	if (conn->sent == conn->len)
		conn_answered(conn);
	else if (conn->state != CONN_WRITING && conn_enter(conn, CONN_WRITING, EV_WRITE, 0) < 0)
		conn_close(conn);
}

/* Keeps the answer with the connection, for what cannot be sent at once. */
static bool conn_keep_reply(struct conn *conn, struct conn_reply *reply, size_t sent)
{
	uint8_t *bytes = reply->bytes;

	if (bytes == reply->small) {
		bytes = malloc(reply->len);
		if (!bytes)
			return false;
		memcpy(bytes, reply->small, reply->len);
	}
	reply->bytes = reply->small;
	free(conn->bytes);
	conn->bytes = bytes;
	conn->len = reply->len;
	conn->sent = sent;
	return true;
}

static void conn_send(struct conn *conn, struct conn_reply *reply)
{
	unsigned delay_s = conn->pool->settings.delay_write_s;
	ssize_t sent = 0;

	if (!delay_s) {
		sent = send_some(conn, reply->bytes, reply->len);
		if (sent < 0 || (size_t)sent == reply->len) {
			conn_answered(conn);
			return;
		}
	}
	if (!conn_keep_reply(conn, reply, (size_t)sent) ||
	    conn_enter(conn, delay_s ? CONN_DELAYED : CONN_WRITING, EV_WRITE, delay_s) < 0)
		conn_close(conn);
}

/* --- reading ------------------------------------------------------------------- */

static void conn_handle(struct conn *conn, const struct epmd_request *request)
{
	struct conn_pool *pool = conn->pool;
	struct conn_reply reply;

	reply_init(&reply);
	pool->events.request(pool->events.arg, conn, request, &reply);
	conn->after = reply.after;
	if (reply.after == CONN_DROP || reply.no_memory)
		conn_close(conn);
	else
		conn_send(conn, &reply);
	reply_clear(&reply);
}

/* Keeps LEN bytes of an unfinished request until more comes. */
static void conn_wait_more(struct conn *conn, const uint8_t *bytes, size_t len, bool listening)
{
	if (len && !conn->bytes) {
		conn->bytes = malloc(EPMD_REQUEST_MAX);
		if (!conn->bytes) {
			conn_close(conn);
			return;
		}
	}
	if (len)
		memcpy(conn->bytes, bytes, len);
	conn->len = len;
	if (!listening && conn_enter(conn, CONN_READING, EV_READ, 0) < 0)
		conn_close(conn);
}

/* Reads once and acts on what has come so far.  LISTENING: the event is set. */
static void conn_read(struct conn *conn, bool listening)
{
	struct conn_pool *pool = conn->pool;
	uint8_t bytes[EPMD_REQUEST_MAX];
	struct epmd_request request;

	if (conn->len)
		memcpy(bytes, conn->bytes, conn->len);
	ssize_t n = recv(conn->fd, bytes + conn->len, epmd_request_room(bytes, conn->len), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		conn_wait_more(conn, bytes, conn->len, listening);
		return;
	}
	if (n <= 0) {
		conn_close(conn);
		return;
	}
	size_t len = conn->len + (size_t)n;
	enum epmd_decode result = epmd_request_decode(bytes, len, &request);
	if (result == EPMD_DECODED) {
		conn_handle(conn, &request);
	} else if (result == EPMD_NEED_MORE) {
		conn_wait_more(conn, bytes, len, listening);
	} else {
		pool->events.bad_request(pool->events.arg, conn, result);
		conn_close(conn);
	}
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	switch (conn->state) {
	case CONN_WAITING:
		conn_read(conn, false);
		break;
	case CONN_DELAYED:
		conn_write_more(conn);
		break;
	case CONN_READING:
		if (what & EV_TIMEOUT)
			conn_close(conn);
		else
			conn_read(conn, true);
		break;
	case CONN_WRITING:
		if (what & EV_TIMEOUT)
			conn_close(conn);
		else
			conn_write_more(conn);
		break;
	case CONN_HELD:
		conn_close_held(conn);
		break;
	}
}

/* --- the pool ------------------------------------------------------------------ */

struct conn_pool *conn_pool_new(struct event_base *base, const struct conn_settings *settings,
                                const struct conn_events *events)
{
	struct conn_pool *pool = calloc(1, sizeof(*pool));
	struct timeval idle = {.tv_sec = (time_t)settings->idle_s};

	if (!pool)
		return NULL;
	pool->base = base;
	pool->settings = *settings;
	pool->events = *events;
	pool->idle = event_base_init_common_timeout(base, &idle);
	if (!pool->idle) {
		free(pool);
		return NULL;
	}
	return pool;
}

static void close_all(struct conn *list)
{
	struct conn *conn, *next;

	DL_FOREACH_SAFE (list, conn, next) {
		event_del(&conn->event);
		close(conn->fd);
		free(conn->bytes);
		free(conn);
	}
}

void conn_pool_free(struct conn_pool *pool)
{
	if (!pool)
		return;
	close_all(pool->open);
	close_all(pool->held);
	free(pool);
}

void conn_accept(struct conn_pool *pool, int fd)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn) {
		close(fd);
		return;
	}
	conn->pool = pool;
	conn->fd = fd;
	conn->state = CONN_READING;
	event_assign(&conn->event, pool->base, fd, EV_READ | EV_PERSIST, on_event, conn);
	DL_APPEND(pool->open, conn);

	unsigned delay_s = pool->settings.delay_accept_s;
	if (!delay_s)
		/* The request has often come with the connection; when it has,
		 * this connection never needs the event loop. */
		conn_read(conn, false);
	else if (conn_enter(conn, CONN_WAITING, 0, delay_s) < 0)
		conn_close(conn);
}

bool conn_pool_shed(struct conn_pool *pool)
{
	if (!pool->open)
		return false;
	conn_close(pool->open);
	return true;
}

/* --- what others ask ------------------------------------------------------------ */

void conn_set_tag(struct conn *conn, void *tag)
{
	conn->tag = tag;
}

void *conn_tag(const struct conn *conn)
{
	return conn->tag;
}

int conn_fd(const struct conn *conn)
{
	return conn->fd;
}

static bool get_peer(const struct conn *conn, struct sockaddr_any *peer)
{
	peer->len = sizeof(peer->storage);
	return getpeername(conn->fd, (struct sockaddr *)&peer->storage, &peer->len) == 0;
}

bool conn_is_loopback(const struct conn *conn)
{
	struct sockaddr_any peer;

	return get_peer(conn, &peer) && sockaddr_is_loopback(&peer);
}

bool conn_is_local(const struct conn *conn)
{
	struct sockaddr_any peer, own = {.len = sizeof(own.storage)};

	if (!get_peer(conn, &peer))
		return false;
	if (sockaddr_is_loopback(&peer))
		return true;
	return getsockname(conn->fd, (struct sockaddr *)&own.storage, &own.len) == 0 &&
	       sockaddr_same_host(&peer, &own);
}

void conn_end(struct conn *conn)
{
	conn_close(conn);
}

bool conn_reap_if_ended(struct conn *conn)
{
	uint8_t byte;
	ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	conn_close_held(conn);
	return true;
}

const char *conn_text(const struct conn *conn)
{
	static char text[SOCKADDR_TEXT_SIZE];
	struct sockaddr_any peer;

	return get_peer(conn, &peer) ? sockaddr_text(&peer, text) : "a closed connection";
}
