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

#include "allow.h"
#include "answer.h"
#include "conn.h"
#include "conn_reply.h"
#include "discovery/clock.h"
#include "limits.h"
#include "metrics.h"
#include "sockaddr.h"
#include "strangers.h"

/* Connections closed at once to make memory for a newer one. */
#define SHED_FOR_MEMORY 8
/* Or because there are too many: one for the newcomer, and some of those who were young before. */
#define SHED_SURPLUS 4

/* What is read away from a held connection before it is closed: as much as stock
 * reads, so that the other side sees an end and not a reset. */
#define HELD_READ_MAX (EPMD_REQUEST_MAX + 1)

enum conn_state {
	CONN_WAITING, /* -delay_accept */
	CONN_READING,
	CONN_DELAYED, /* -delay_write */
	CONN_WRITING,
	CONN_HELD /* of a node, or of one whose registration was refused */
};

struct conn {
	struct stranger stranger; /* first: see conn_of.  In pool->strangers, unless registered */
	struct conn_pool *pool;
	struct conn *prev, *next; /* in pool->registered, or while its answer waits in pool->slow */
	struct event event;       /* what this state waits for */
	enum conn_state state;
	enum conn_after after;
	int fd;
	void *tag;
	uint8_t *bytes; /* unfinished request; NULL when there is none */
	size_t len;
	struct answer *answer; /* not all of it is sent; NULL when there is none */
	size_t sent;
	size_t in_kernel; /* of what is sent, when it began to wait */
	bool slow;        /* in pool->slow */
	bool registered;
	bool read_all; /* nothing was left to read when the request was whole */
};

struct conn_pool {
	struct event_base *base;
	struct conn_settings settings;
	struct conn_events events;
	/* The same timeout for all: libevent then keeps them in a queue, not a heap. */
	const struct timeval *idle;
	struct strangers strangers;
	struct conn *registered;
	unsigned n_registered;
	const struct sockaddr_any *accepting; /* where the newest comes from, until it is listed */
	struct conn *slow; /* strangers whose answer waits for them to read, the oldest first */
	/* Bytes of those answers, each counted once, and of what the kernel holds of each. */
	size_t unsent;
};

static void on_event(evutil_socket_t fd, short what, void *arg);
static void keep_limits(struct conn_pool *pool, const struct stranger *newest);

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
	if (event_add(&conn->event, timeout) < 0)
		return -1;
	/* Only now, for most are answered and gone without ever waiting. */
	if (!conn->registered && !strangers_has(&conn->stranger)) {
		strangers_add(&pool->strangers, &conn->stranger, pool->accepting, clock_now_ms());
		/* Last: who makes way may be answered, and CONN have to go for that. */
		keep_limits(pool, &conn->stranger);
	}
	return 0;
}

static struct conn *conn_of(struct stranger *stranger)
{
	return (struct conn *)stranger;
}

/* Its answer waits no longer. */
static void conn_forget_unsent(struct conn *conn)
{
	if (conn->slow) {
		conn->pool->unsent -= conn->in_kernel;
		if (--conn->answer->waiting == 0)
			conn->pool->unsent -= conn->answer->len;
		conn->slow = false;
		DL_DELETE(conn->pool->slow, conn);
	}
	answer_unref(conn->answer);
	conn->answer = NULL;
	free(conn->bytes);
	conn->bytes = NULL;
	conn->len = 0;
}

static void conn_close(struct conn *conn)
{
	struct conn_pool *pool = conn->pool;

	event_del(&conn->event);
	conn_forget_unsent(conn);
	if (conn->registered) {
		DL_DELETE(pool->registered, conn);
		pool->n_registered--;
	} else if (strangers_has(&conn->stranger)) {
		strangers_remove(&pool->strangers, &conn->stranger);
	}
	/* What it stands for exists since the request, not since the answer. */
	if (conn->after == CONN_HOLD)
		pool->events.released(pool->events.arg, conn);
	close(conn->fd);
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

/* A node has registered by it: from now on it makes way for nobody. */
static void conn_register(struct conn *conn)
{
	struct conn_pool *pool = conn->pool;

	if (strangers_has(&conn->stranger))
		strangers_remove(&pool->strangers, &conn->stranger);
	DL_APPEND(pool->registered, conn);
	pool->n_registered++;
	conn->registered = true;
}

static void conn_hold(struct conn *conn)
{
	conn_forget_unsent(conn);
	if (conn_enter(conn, CONN_HELD, EV_READ, 0) < 0)
		conn_close(conn);
}

/* The answer's last bytes can travel with the end that follows at once, in one segment for two: a
 * tenth of what a lookup costs.  Where surplus may be unread, the end is a reset, as stock's
 * is, and the answer must not be among what that drops. */
static bool ends_with_answer(const struct conn *conn)
{
	return conn->after == CONN_CLOSE && conn->read_all;
}

static void conn_answered(struct conn *conn)
{
	struct conn_pool *pool = conn->pool;

	if (conn->after == CONN_HOLD) {
		conn_hold(conn);
		return;
	}
	/* Not left to close: something may have come since. */
	if (ends_with_answer(conn))
		shutdown(conn->fd, SHUT_WR);
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
	int flags = MSG_NOSIGNAL | (ends_with_answer(conn) ? MSG_MORE : 0);
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
	const struct answer *answer = conn->answer;
	ssize_t n = send_some(conn, answer->bytes + conn->sent, answer->len - conn->sent);

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
	if (conn->sent == answer->len)
		conn_answered(conn);
	else if (conn->state != CONN_WRITING && conn_enter(conn, CONN_WRITING, EV_WRITE, 0) < 0)
		conn_close(conn);
}

/* What more CONN's answer makes wait: nothing of one that others wait for already. */
static size_t more_unsent(const struct conn *conn)
{
	return conn->in_kernel + (conn->answer->waiting ? 0 : conn->answer->len);
}

/* Keeps the answer with the connection.  What all connections keep is bounded: the one that has
 * not read for longest makes way.  False when that is this one, or memory is out. */
static bool conn_keep_reply(struct conn *conn, struct conn_reply *reply, size_t sent)
{
	struct conn_pool *pool = conn->pool;
	const size_t max = pool->settings.max_unsent;

	conn->answer = conn_reply_keep(reply);
	if (!conn->answer) {
		metrics_count(METRIC_REFUSED_NO_MEMORY);
		return false;
	}
	conn->sent = sent;
	free(conn->bytes);
	conn->bytes = NULL;
	if (conn->registered || sent == reply->len)
		return true;
	conn->in_kernel = sent < LIMITS_KERNEL_UNREAD ? sent : LIMITS_KERNEL_UNREAD;
	if (conn->in_kernel + reply->len > max) {
		pool->events.shed(pool->events.arg, conn, CONN_SHED_SLOW);
		return false;
	}
	while (pool->unsent + more_unsent(conn) > max) {
		pool->events.shed(pool->events.arg, pool->slow, CONN_SHED_SLOW);
		conn_close(pool->slow);
	}
	pool->unsent += more_unsent(conn);
	conn->answer->waiting++;
	conn->slow = true;
	DL_APPEND(pool->slow, conn);
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

	conn_reply_init(&reply);
	pool->events.request(pool->events.arg, conn, request, &reply);
	conn->after = reply.after;
	/* One that was refused stays open, as with stock, but may have to make way. */
	if (reply.after == CONN_HOLD && conn->tag)
		conn_register(conn);
	if (reply.no_memory)
		metrics_count(METRIC_REFUSED_NO_MEMORY);
	if (reply.after == CONN_DROP || reply.no_memory)
		conn_close(conn);
	else
		conn_send(conn, &reply);
	conn_reply_clear(&reply);
}

/* Keeps LEN bytes of an unfinished request until more comes. */
static void conn_wait_more(struct conn *conn, const uint8_t *bytes, size_t len, bool listening)
{
	if (len > conn->len) {
		uint8_t *kept = malloc(len);
		if (!kept) {
			conn_close(conn);
			return;
		}
		memcpy(kept, bytes, len);
		free(conn->bytes);
		conn->bytes = kept;
		conn->len = len;
	}
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
	size_t room = epmd_request_room(bytes, conn->len);
	ssize_t n = recv(conn->fd, bytes + conn->len, room, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		conn_wait_more(conn, bytes, conn->len, listening);
		return;
	}
	if (n <= 0) {
		conn_close(conn);
		return;
	}
	conn->read_all = (size_t)n < room;
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

static void conn_close_idle(struct conn *conn)
{
	metrics_count(METRIC_CLOSED_IDLE);
	conn_close(conn);
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
			conn_close_idle(conn);
		else
			conn_read(conn, true);
		break;
	case CONN_WRITING:
		if (what & EV_TIMEOUT)
			conn_close_idle(conn);
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

void conn_pool_free(struct conn_pool *pool)
{
	if (!pool)
		return;
	/* NOLINTBEGIN(clang-analyzer-unix.Malloc): who is closed was in one of these, and is no more */
	while (pool->strangers.all || pool->registered) {
		struct conn *conn =
		    pool->registered ? pool->registered : conn_of(pool->strangers.all);
		conn->after = CONN_DROP;
		conn_close(conn);
	}
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
	strangers_clear(&pool->strangers);
	free(pool);
}

/* --- making way ---------------------------------------------------------------- */

/* A whole request has come, which the loop has not seen yet. */
static bool has_asked(const struct conn *conn)
{
	uint8_t bytes[EPMD_REQUEST_MAX];
	struct epmd_request request;

	if (conn->state != CONN_READING)
		return false;
	if (conn->len)
		memcpy(bytes, conn->bytes, conn->len);
	ssize_t n = recv(conn->fd, bytes + conn->len, epmd_request_room(bytes, conn->len),
	                 MSG_PEEK | MSG_DONTWAIT);
	return n > 0 && epmd_request_decode(bytes, conn->len + (size_t)n, &request) == EPMD_DECODED;
}

static void shed(struct conn_pool *pool, struct conn *conn, enum conn_shed why)
{
	pool->events.shed(pool->events.arg, conn, why);
	conn_close(conn);
}

/* Who is answered is gone, or a node, or waits to be read and has had its turn. */
static void answer_or_shed(struct conn_pool *pool, struct stranger *stranger, enum conn_shed why)
{
	struct conn *conn = conn_of(stranger);

	if (has_asked(conn))
		conn_read(conn, true);
	else
		shed(pool, conn, why);
}

bool conn_pool_shed(struct conn_pool *pool)
{
	unsigned before = pool->strangers.n + pool->n_registered;

	while (pool->strangers.all) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): who is shed was in the list, and is no more */
		answer_or_shed(pool, pool->strangers.all, CONN_SHED_STARVED);
		if (pool->strangers.n + pool->n_registered < before)
			return true;
	}
	return false;
}

/* The young have a moment to ask; a node that was refused has its answer. */
static bool may_ask_soon(const struct conn *conn)
{
	return conn->state != CONN_HELD &&
	       clock_now_ms() - conn->stranger.since_ms < conn->pool->settings.young_ms &&
	       !has_asked(conn);
}

/* The oldest, if there are too many; of those who may ask soon, if there are twice as many. */
static struct stranger *surplus(const struct conn_pool *pool)
{
	const struct conn_settings *settings = &pool->settings;
	unsigned n = pool->strangers.n;

	if (n <= settings->max_connections)
		return NULL;
	struct stranger *oldest =
	    strangers_first_to_go(&pool->strangers, settings->max_of_loopback);
	if ((n - 1) / 2 < settings->max_connections && may_ask_soon(conn_of(oldest)))
		return NULL;
	return oldest;
}

/* Whoever has come last is served, and the oldest make way for it.  An address elsewhere harms
 * only itself. */
static void keep_limits(struct conn_pool *pool, const struct stranger *newest)
{
	struct stranger *oldest;

	if (!strangers_on_loopback(&pool->strangers, newest) &&
	    strangers_of_host(newest) > pool->settings.max_per_address)
		answer_or_shed(pool, strangers_oldest_of_host(newest), CONN_SHED_ADDRESS);
	for (int i = 0; i < SHED_SURPLUS && (oldest = surplus(pool)); i++)
		answer_or_shed(pool, oldest, CONN_SHED_ALL);
}

/* Where memory is out, that of those who have come before. */
static struct conn *conn_new(struct conn_pool *pool)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	for (int i = 0; i < SHED_FOR_MEMORY && !conn && conn_pool_shed(pool); i++)
		conn = calloc(1, sizeof(*conn));
	return conn;
}

void conn_accept(struct conn_pool *pool, int fd, const struct sockaddr_any *from)
{
	struct conn *conn = conn_new(pool);

	if (!conn) {
		metrics_count(METRIC_REFUSED_NO_MEMORY);
		close(fd);
		return;
	}
	conn->pool = pool;
	conn->fd = fd;
	conn->state = CONN_READING;
	event_assign(&conn->event, pool->base, fd, EV_READ | EV_PERSIST, on_event, conn);
	pool->accepting = from;

	unsigned delay_s = pool->settings.delay_accept_s;
	if (!delay_s)
		/* The request has often come with the connection; when it has,
		 * this connection never needs the event loop. */
		conn_read(conn, false);
	else if (conn_enter(conn, CONN_WAITING, 0, delay_s) < 0)
		conn_close(conn);
}

/* --- what others ask ------------------------------------------------------------ */

bool conn_shed_other(const struct conn *conn)
{
	struct conn_pool *pool = conn->pool;
	struct stranger *oldest = pool->strangers.all;

	if (oldest == &conn->stranger)
		oldest = oldest->next;
	/* Not answered: a request is being handled. */
	if (oldest)
		shed(pool, conn_of(oldest), CONN_SHED_STARVED);
	return oldest != NULL;
}

struct conn_counts conn_pool_count(const struct conn_pool *pool)
{
	return (struct conn_counts){.open = pool->strangers.n, .held = pool->n_registered};
}

bool conn_may_register(const struct conn *conn)
{
	return conn->pool->n_registered < conn->pool->settings.max_registered;
}

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

	return get_peer(conn, &peer) && allow_is_loopback(conn->pool->settings.allow, &peer);
}

bool conn_is_local(const struct conn *conn)
{
	struct sockaddr_any peer, own = {.len = sizeof(own.storage)};

	if (!get_peer(conn, &peer))
		return false;
	if (sockaddr_is_loopback(&peer))
		return allow_is_loopback(conn->pool->settings.allow, &peer);
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
