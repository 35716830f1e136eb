/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "discovery/clock.h"
#include "epmd/join/look.h"
#include "proto/dist_msg.h"

enum look_state { LOOK_AWAITS_STATUS, LOOK_AWAITS_CHALLENGE };

struct look {
	struct bufferevent *stream;
	struct event *deadline;
	enum look_state state;
	bool connected;
	look_done_fn *done;
	void *arg;
	struct look_result result;
};

static void free_look(struct look *look)
{
	if (look->stream)
		bufferevent_free(look->stream);
	if (look->deadline)
		event_free(look->deadline);
	free(look);
}

static void finish(struct look *look, enum look_outcome outcome, const char *error)
{
	look->result.outcome = outcome;
	look->result.error = error;
	if (look->stream)
		bufferevent_disable(look->stream, EV_READ);
	look->done(look->arg, &look->result);
	free_look(look);
}

/* --- what the node says ------------------------------------------------------------------- */

/* Each returns false when the look is over (and gone). */

static bool heed_status(struct look *look, struct wire_bytes body)
{
	uint8_t go_on[8];
	enum dist_status status;

	if (dist_status_decode(body, &status) != DIST_DECODED || status == DIST_STATUS_OTHER) {
		finish(look, LOOK_NO_NODE, "what answers is no Erlang node");
		return false;
	}
	if (status == DIST_STATUS_NOT_ALLOWED || status == DIST_STATUS_NOK) {
		finish(look, status == DIST_STATUS_NOK ? LOOK_BUSY : LOOK_NOT_ALLOWED, NULL);
		return false;
	}
	if (status == DIST_STATUS_ALIVE)
		bufferevent_write(look->stream, go_on,
		                  dist_alive_reply_encode(true, go_on, sizeof(go_on)));
	look->state = LOOK_AWAITS_CHALLENGE;
	return true;
}

/* What is shown to people later.  NAME may have come with a NUL inside. */
static bool is_presentable(const char *name, size_t len)
{
	struct nodename halves;

	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7F)
			return false;
	return strlen(name) == len && nodename_split(name, &halves);
}

static bool heed_challenge(struct look *look, struct wire_bytes body)
{
	struct dist_challenge challenge;

	if (dist_challenge_decode(body, &challenge) != DIST_DECODED ||
	    challenge.name.len >= sizeof(look->result.name)) {
		finish(look, LOOK_NO_NODE, "what answers is no node of OTP 23 or later");
		return false;
	}
	memcpy(look->result.name, challenge.name.at, challenge.name.len);
	look->result.name[challenge.name.len] = '\0';
	if (!is_presentable(look->result.name, challenge.name.len)) {
		finish(look, LOOK_NO_NODE, "what answers gives a name that is none");
		return false;
	}
	look->result.flags = challenge.flags;
	look->result.challenge = challenge.challenge;
	look->result.creation = challenge.creation;
	return true;
}

static void on_read(struct bufferevent *stream, void *arg)
{
	struct look *look = arg;
	struct evbuffer *in = bufferevent_get_input(stream);

	for (;;) {
		size_t len = evbuffer_get_length(in), used;
		struct wire_bytes body;
		enum dist_decode got =
		    dist_frame_decode(evbuffer_pullup(in, -1), len, &body, &used);
		if (got == DIST_NEED_MORE)
			return;
		if (got != DIST_DECODED) {
			finish(look, got == DIST_TLS ? LOOK_TLS : LOOK_NO_NODE,
			       "what answers is no Erlang node");
			return;
		}
		bool last = look->state == LOOK_AWAITS_CHALLENGE;
		if (!(last ? heed_challenge : heed_status)(look, body))
			return;
		evbuffer_drain(in, used);
		if (last) {
			finish(look, LOOK_NODE, NULL);
			return;
		}
	}
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	struct look *look = arg;

	(void)stream;
	if (what & BEV_EVENT_CONNECTED) {
		look->connected = true;
		return;
	}
	int error = EVUTIL_SOCKET_ERROR();
	look->result.refused = !look->connected && error == ECONNREFUSED;
	if (!look->connected)
		finish(look, LOOK_UNREACHABLE, strerror(error));
	else
		finish(look, LOOK_NO_NODE, "what answers hangs up");
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct look *look = arg;

	(void)fd;
	(void)what;
	finish(look, LOOK_UNREACHABLE,
	       look->connected ? "silence after the connection" : "no answer (timed out)");
}

/* --- life -------------------------------------------------------------------------------------- */

static int send_name(struct look *look, const char *our_name, uint32_t creation)
{
	uint8_t frame[DIST_FRAME_MAX];
	size_t len =
	    dist_send_name_encode(our_name, DIST_FLAGS_OURS, creation, frame, sizeof(frame));

	return len > 0 ? bufferevent_write(look->stream, frame, len) : -1;
}

struct look *look_start(struct event_base *base, const struct sockaddr_any *address,
                        const char *our_name, uint32_t creation, look_done_fn *done, void *arg)
{
	const struct timeval timeout = clock_delay(LOOK_TIMEOUT_MS);
	struct look *look = calloc(1, sizeof(*look));

	if (!look)
		return NULL;
	look->done = done;
	look->arg = arg;
	look->deadline = evtimer_new(base, on_deadline, look);
	/* Deferred: a connection that fails at once is told from the loop. */
	look->stream =
	    bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (look->deadline && look->stream && event_add(look->deadline, &timeout) == 0) {
		bufferevent_setcb(look->stream, on_read, NULL, on_event, look);
		if (bufferevent_enable(look->stream, EV_READ | EV_WRITE) == 0 &&
		    send_name(look, our_name, creation) == 0 &&
		    bufferevent_socket_connect(look->stream,
		                               (const struct sockaddr *)&address->storage,
		                               (int)address->len) == 0)
			return look;
	}
	free_look(look);
	return NULL;
}

void look_cancel(struct look *look)
{
	if (look)
		free_look(look);
}

struct bufferevent *look_take(struct look *look)
{
	struct bufferevent *stream = look->stream;

	look->stream = NULL;
	return stream;
}
