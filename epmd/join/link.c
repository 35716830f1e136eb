/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <utlist.h>

#include "discovery/chance.h"
#include "discovery/clock.h"
#include "epmd/join/link.h"
#include "epmd/join/look.h"

/* A pid's serial has 13 bits where a node is not told otherwise. */
#define SERIAL_MAX 0x1fff
#define PID_ID 1

struct call {
	struct link *link;
	uint32_t serial;
	struct event *deadline;
	link_answer_fn *answer;
	void *arg;
	struct call *prev, *next;
};

struct link {
	struct event_base *base;
	struct link_events events;
	struct dist_pid pid; /* NODE is OUR_NAME */
	char *our_name;
	char *cookie; /* until the handshake is over */
	size_t cookie_len;
	uint32_t our_challenge;
	struct look *look; /* the first half of the handshake */
	struct bufferevent *stream;
	struct event *deadline; /* of the second half */
	struct call *calls;
	uint64_t replied_ms; /* when our digest went out */
	bool up;
	bool busy; /* within one of our callbacks */
	bool over; /* free it when that is done */
};

/* --- life ------------------------------------------------------------------------------------- */

static void forget_cookie(struct link *link)
{
	if (link->cookie)
		OPENSSL_cleanse(link->cookie, link->cookie_len);
	free(link->cookie);
	link->cookie = NULL;
}

static void free_call(struct call *call)
{
	DL_DELETE(call->link->calls, call);
	event_free(call->deadline);
	free(call);
}

static void really_free(struct link *link)
{
	struct call *call, *next;

	DL_FOREACH_SAFE (link->calls, call, next)
		free_call(call);
	forget_cookie(link);
	look_cancel(link->look);
	if (link->stream)
		bufferevent_free(link->stream);
	if (link->deadline)
		event_free(link->deadline);
	free(link->our_name);
	free(link);
}

void link_free(struct link *link)
{
	if (!link)
		return;
	link->over = true;
	if (!link->busy)
		really_free(link);
}

static void end(struct link *link, enum link_end why, const char *error)
{
	link->busy = true;
	link->events.ended(link->events.arg, why, error);
	really_free(link);
}

/* Every callback of the event library begins and ends with these. */
static void enter(struct link *link)
{
	link->busy = true;
}

static void leave(struct link *link)
{
	link->busy = false;
	if (link->over)
		really_free(link);
}

/* --- the second half of the handshake ---------------------------------------------------------- */

/* MD5 of the cookie and the challenge in digits. */
static int make_digest(const struct link *link, uint32_t challenge,
                       uint8_t digest[DIST_DIGEST_SIZE])
{
	char digits[DIST_CHALLENGE_TEXT_SIZE];
	size_t n = dist_challenge_text(challenge, digits);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int good = context && EVP_DigestInit_ex(context, EVP_md5(), NULL) &&
	           EVP_DigestUpdate(context, link->cookie, link->cookie_len) &&
	           EVP_DigestUpdate(context, digits, n) &&
	           EVP_DigestFinal_ex(context, digest, NULL);

	EVP_MD_CTX_free(context);
	return good ? 0 : -1;
}

static int send_reply(struct link *link, uint32_t challenge)
{
	uint8_t digest[DIST_DIGEST_SIZE], frame[64];

	if (make_digest(link, challenge, digest) < 0)
		return -1;
	size_t len = dist_challenge_reply_encode(link->our_challenge, digest, frame, sizeof(frame));
	return bufferevent_write(link->stream, frame, len);
}

/* False when the link is over. */
static bool heed_ack(struct link *link, struct wire_bytes body)
{
	uint8_t said[DIST_DIGEST_SIZE], right[DIST_DIGEST_SIZE];

	if (dist_challenge_ack_decode(body, said) != DIST_DECODED ||
	    make_digest(link, link->our_challenge, right) < 0 ||
	    CRYPTO_memcmp(said, right, sizeof(right)) != 0) {
		end(link, LINK_REFUSED, "the node's own digest is wrong");
		return false;
	}
	forget_cookie(link);
	event_del(link->deadline);
	link->up = true;
	link->events.up(link->events.arg);
	return true;
}

/* --- messages ---------------------------------------------------------------------------------- */

static void deliver(struct link *link, struct dist_answer *answer)
{
	struct call *call;

	DL_SEARCH_SCALAR(link->calls, call, serial, answer->serial);
	if (!call || answer->id != PID_ID)
		return;
	link_answer_fn *fn = call->answer;
	void *arg = call->arg;
	free_call(call);
	fn(arg, &answer->result);
}

static bool heed_message(struct link *link, const uint8_t *body, size_t len)
{
	uint8_t tick[4];
	enum dist_message kind;
	struct dist_answer answer;

	if (dist_message_decode(body, len, &kind, &answer) != DIST_DECODED) {
		end(link, LINK_LOST, "it sends what is no message of the protocol");
		return false;
	}
	struct evbuffer *out = bufferevent_get_output(link->stream);
	/* What still waits to be sent is as good as a tick. */
	if (kind == DIST_MESSAGE_TICK && evbuffer_get_length(out) == 0)
		bufferevent_write(link->stream, tick, dist_tick_encode(tick, sizeof(tick)));
	else if (kind == DIST_MESSAGE_ANSWER)
		deliver(link, &answer);
	return true;
}

/* Each of these reads one frame: 1: read; 0: more must come; -1: the link is over. */

static int read_ack(struct link *link, struct evbuffer *in)
{
	struct wire_bytes body;
	size_t used;

	switch (dist_frame_decode(evbuffer_pullup(in, -1), evbuffer_get_length(in), &body, &used)) {
	case DIST_NEED_MORE:
		return 0;
	case DIST_DECODED:
		if (!heed_ack(link, body))
			return -1;
		evbuffer_drain(in, used);
		return 1;
	default:
		end(link, LINK_LOST, "it breaks the handshake");
		return -1;
	}
}

static int read_message(struct link *link, struct evbuffer *in)
{
	uint8_t head[4];

	if (evbuffer_copyout(in, head, sizeof(head)) < (ev_ssize_t)sizeof(head))
		return 0;
	struct wire_reader reader = wire_reader_of(head, sizeof(head));
	size_t len = wire_get32(&reader);
	if (len > LINK_MESSAGE_MAX) {
		end(link, LINK_LOST, "it sends a message that is too long");
		return -1;
	}
	if (evbuffer_get_length(in) < sizeof(head) + len)
		return 0;
	const uint8_t *whole = evbuffer_pullup(in, (ev_ssize_t)(sizeof(head) + len));
	if (!heed_message(link, whole + sizeof(head), len))
		return -1;
	evbuffer_drain(in, sizeof(head) + len);
	return 1;
}

static void on_read(struct bufferevent *stream, void *arg)
{
	struct link *link = arg;
	struct evbuffer *in = bufferevent_get_input(stream);
	int got;

	enter(link);
	do
		got = link->up ? read_message(link, in) : read_ack(link, in);
	while (got > 0 && !link->over);
	if (got >= 0)
		leave(link);
}

static void give_up(struct link *link, uint64_t after_ms)
{
	char error[128];

	snprintf(error, sizeof(error),
	         "it gave the handshake up after %u ms: it is overloaded, or its net_setuptime is "
	         "too short",
	         (unsigned)after_ms);
	end(link, LINK_UNREACHABLE, error);
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	/* Who closes before all is read resets the connection. */
	bool unread = (what & BEV_EVENT_ERROR) && errno == ECONNRESET;
	struct link *link = arg;
	uint64_t after_ms = clock_now_ms() - link->replied_ms;

	(void)stream;
	if (link->up)
		end(link, LINK_LOST, "it closed the connection");
	else if (after_ms > LINK_REFUSAL_MS)
		give_up(link, after_ms);
	else if (unread)
		end(link, LINK_UNREACHABLE, "it hung up before it had read our digest");
	else
		end(link, LINK_REFUSED, "it hung up on our digest");
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end(arg, LINK_UNREACHABLE, "no end of the handshake (timed out)");
}

/* --- the first half ---------------------------------------------------------------------------- */

static void on_looked(void *arg, const struct look_result *result)
{
	const struct timeval timeout = clock_delay(LINK_HANDSHAKE_MS);
	struct link *link = arg;
	struct look *look = link->look;

	link->look = NULL;
	if (result->outcome != LOOK_NODE) {
		end(link, result->outcome == LOOK_NOT_ALLOWED ? LINK_NOT_ALLOWED : LINK_UNREACHABLE,
		    result->error ? result->error : "it does not let us in");
		return;
	}
	link->stream = look_take(look);
	if (!link->events.trusted(link->events.arg, bufferevent_getfd(link->stream), result)) {
		end(link, LINK_DISTRUSTED, "what listens there is not run by who registered");
		return;
	}
	link->replied_ms = clock_now_ms();
	bufferevent_setcb(link->stream, on_read, NULL, on_event, link);
	if (send_reply(link, result->challenge) < 0 || event_add(link->deadline, &timeout) < 0 ||
	    bufferevent_enable(link->stream, EV_READ | EV_WRITE) < 0)
		end(link, LINK_UNREACHABLE, "no memory, or no MD5 in this OpenSSL");
}

struct link *link_start(struct event_base *base, const struct link_settings *settings,
                        const struct link_events *events)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->base = base;
	link->events = *events;
	link->our_challenge = chance_below(UINT32_MAX);
	link->our_name = strdup(settings->our_name);
	link->pid =
	    (struct dist_pid){.node = link->our_name, .id = PID_ID, .creation = settings->creation};
	link->cookie = malloc(settings->cookie_len + 1);
	link->deadline = evtimer_new(base, on_deadline, link);
	if (link->our_name && link->cookie && link->deadline) {
		memcpy(link->cookie, settings->cookie, settings->cookie_len);
		link->cookie_len = settings->cookie_len;
		link->look = look_start(base, &settings->address, link->our_name,
		                        settings->creation, on_looked, link);
		if (link->look)
			return link;
	}
	really_free(link);
	return NULL;
}

/* --- calls ----------------------------------------------------------------------------------- */

static void on_call_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct call *call = arg;
	struct link *link = call->link;
	link_answer_fn *answer = call->answer;
	void *answer_arg = call->arg;

	(void)fd;
	(void)what;
	free_call(call);
	enter(link);
	answer(answer_arg, NULL);
	leave(link);
}

static struct call *new_call(struct link *link, unsigned timeout_ms, link_answer_fn *answer,
                             void *arg)
{
	const struct timeval timeout = clock_delay(timeout_ms);
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	link->pid.serial = (link->pid.serial + 1) & SERIAL_MAX;
	*call =
	    (struct call){.link = link, .serial = link->pid.serial, .answer = answer, .arg = arg};
	call->deadline = evtimer_new(link->base, on_call_deadline, call);
	if (call->deadline && event_add(call->deadline, &timeout) == 0) {
		DL_APPEND(link->calls, call);
		return call;
	}
	if (call->deadline)
		event_free(call->deadline);
	free(call);
	return NULL;
}

int link_call(struct link *link, const struct dist_call *call, unsigned timeout_ms,
              link_answer_fn *answer, void *arg)
{
	uint8_t message[DIST_CALL_MAX];
	struct call *made = link->up ? new_call(link, timeout_ms, answer, arg) : NULL;

	if (!made)
		return -1;
	size_t len = dist_call_encode(&link->pid, call, message, sizeof(message));
	if (len > 0 && bufferevent_write(link->stream, message, len) == 0)
		return 0;
	free_call(made);
	return -1;
}
