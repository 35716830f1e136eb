/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "dist_msg.h"

#define FRAME_LENGTH_FIELD 2
#define MESSAGE_LENGTH_FIELD 4

/* The first byte of a frame's body says what it is. */
enum frame_tag {
	TAG_NAME = 'N', /* send_name, and the challenge that comes back */
	TAG_STATUS = 's',
	TAG_CHALLENGE_REPLY = 'r',
	TAG_CHALLENGE_ACK = 'a'
};

#define PASS_THROUGH 'p' /* the first byte of a message that is no tick */

/* Control messages: {SEND, Unused, ToPid}, {REG_SEND, FromPid, Unused, ToName} and
 * {SEND_SENDER, FromPid, ToPid}. */
enum control { SEND = 2, REG_SEND = 6, SEND_SENDER = 22 };

/* A TLS record: its content type (alert, handshake) and the major version.  As a
 * length either is far beyond DIST_FRAME_MAX. */
static bool is_tls(const uint8_t *bytes, size_t len)
{
	return len >= 2 && (bytes[0] == 0x15 || bytes[0] == 0x16) && bytes[1] == 0x03;
}

enum dist_decode dist_frame_decode(const uint8_t *bytes, size_t len, struct wire_bytes *body,
                                   size_t *used)
{
	struct wire_reader in = wire_reader_of(bytes, len);
	size_t body_len = wire_get16(&in);

	if (in.short_of)
		return DIST_NEED_MORE;
	if (is_tls(bytes, len))
		return DIST_TLS;
	if (body_len == 0 || body_len > DIST_FRAME_MAX)
		return DIST_MALFORMED;
	*body = wire_get_bytes(&in, body_len);
	*used = FRAME_LENGTH_FIELD + body_len;
	return in.short_of ? DIST_NEED_MORE : DIST_DECODED;
}

static struct wire_writer frame_start(uint8_t tag, uint8_t *buffer, size_t size)
{
	struct wire_writer out = wire_writer_on(buffer, size);

	wire_put16(&out, 0);
	wire_put8(&out, tag);
	return out;
}

/* Writes the length, now that it is known. */
static size_t frame_end(const struct wire_writer *out)
{
	size_t len = wire_written(out);

	if (len == 0 || len - FRAME_LENGTH_FIELD > DIST_FRAME_MAX)
		return 0;
	struct wire_writer head = wire_writer_on(out->start, FRAME_LENGTH_FIELD);
	wire_put16(&head, (uint16_t)(len - FRAME_LENGTH_FIELD));
	return len;
}

size_t dist_send_name_encode(const char *name, uint64_t flags, uint32_t creation, uint8_t *buffer,
                             size_t size)
{
	struct wire_writer out = frame_start(TAG_NAME, buffer, size);
	size_t len = strlen(name);

	wire_put64(&out, flags);
	wire_put32(&out, creation);
	wire_put16(&out, (uint16_t)len);
	wire_put_bytes(&out, name, len);
	return frame_end(&out);
}

size_t dist_alive_reply_encode(bool go_on, uint8_t *buffer, size_t size)
{
	struct wire_writer out = frame_start(TAG_STATUS, buffer, size);
	const char *text = go_on ? "true" : "false";

	wire_put_bytes(&out, text, strlen(text));
	return frame_end(&out);
}

size_t dist_challenge_reply_encode(uint32_t challenge, const uint8_t digest[DIST_DIGEST_SIZE],
                                   uint8_t *buffer, size_t size)
{
	struct wire_writer out = frame_start(TAG_CHALLENGE_REPLY, buffer, size);

	wire_put32(&out, challenge);
	wire_put_bytes(&out, digest, DIST_DIGEST_SIZE);
	return frame_end(&out);
}

size_t dist_challenge_text(uint32_t challenge, char text[DIST_CHALLENGE_TEXT_SIZE])
{
	return (size_t)snprintf(text, DIST_CHALLENGE_TEXT_SIZE, "%lu", (unsigned long)challenge);
}

static bool is_text(struct wire_bytes bytes, const char *text)
{
	return bytes.len == strlen(text) && memcmp(bytes.at, text, bytes.len) == 0;
}

enum dist_decode dist_status_decode(struct wire_bytes body, enum dist_status *status)
{
	static const char *const texts[] = {
	    [DIST_STATUS_OK] = "ok",
	    [DIST_STATUS_OK_SIMULTANEOUS] = "ok_simultaneous",
	    [DIST_STATUS_NOK] = "nok",
	    [DIST_STATUS_NOT_ALLOWED] = "not_allowed",
	    [DIST_STATUS_ALIVE] = "alive",
	};
	struct wire_reader in = wire_reader_of(body.at, body.len);
	unsigned i = 0;

	if (wire_get8(&in) != TAG_STATUS)
		return DIST_MALFORMED;
	struct wire_bytes text = wire_get_rest(&in);
	while (i < DIST_STATUS_OTHER && !is_text(text, texts[i]))
		i++;
	*status = (enum dist_status)i;
	return DIST_DECODED;
}

enum dist_decode dist_challenge_decode(struct wire_bytes body, struct dist_challenge *challenge)
{
	struct wire_reader in = wire_reader_of(body.at, body.len);

	if (wire_get8(&in) != TAG_NAME)
		return DIST_MALFORMED;
	challenge->flags = wire_get64(&in);
	challenge->challenge = wire_get32(&in);
	challenge->creation = wire_get32(&in);
	challenge->name = wire_get_bytes(&in, wire_get16(&in));
	/* What follows is for later versions: nodes ignore it. */
	return challenge->name.len ? DIST_DECODED : DIST_MALFORMED;
}

enum dist_decode dist_challenge_ack_decode(struct wire_bytes body, uint8_t digest[DIST_DIGEST_SIZE])
{
	struct wire_reader in = wire_reader_of(body.at, body.len);

	if (wire_get8(&in) != TAG_CHALLENGE_ACK)
		return DIST_MALFORMED;
	struct wire_bytes sum = wire_get_rest(&in);
	if (sum.len != DIST_DIGEST_SIZE)
		return DIST_MALFORMED;
	memcpy(digest, sum.at, DIST_DIGEST_SIZE);
	return DIST_DECODED;
}

static void put_pid(struct wire_writer *out, const struct dist_pid *pid)
{
	etf_put_pid(out, pid->node, pid->id, pid->serial, pid->creation);
}

/* {REG_SEND, FromPid, Unused, ToName} */
static void put_control(struct wire_writer *out, const struct dist_pid *from)
{
	etf_put_version(out);
	etf_put_tuple(out, 4);
	etf_put_integer(out, REG_SEND);
	put_pid(out, from);
	etf_put_atom(out, "");
	etf_put_atom(out, "rex");
}

static void put_arguments(struct wire_writer *out, const char *const *arguments)
{
	uint32_t arity = 0;

	while (arity < DIST_CALL_ARGUMENTS_MAX && arguments[arity])
		arity++;
	etf_put_list(out, arity);
	for (uint32_t i = 0; i < arity; i++)
		etf_put_atom(out, arguments[i]);
	etf_put_nil(out);
}

/* {FromPid, {call, Module, Function, Arguments, user}}: user, a process on every node, is
 * to be the group leader of what runs. */
static void put_request(struct wire_writer *out, const struct dist_pid *from,
                        const struct dist_call *call)
{
	etf_put_version(out);
	etf_put_tuple(out, 2);
	put_pid(out, from);
	etf_put_tuple(out, 5);
	etf_put_atom(out, "call");
	etf_put_atom(out, call->module);
	etf_put_atom(out, call->function);
	put_arguments(out, call->arguments);
	etf_put_atom(out, "user");
}

size_t dist_call_encode(const struct dist_pid *from, const struct dist_call *call, uint8_t *buffer,
                        size_t size)
{
	struct wire_writer out = wire_writer_on(buffer, size);

	wire_put32(&out, 0);
	wire_put8(&out, PASS_THROUGH);
	put_control(&out, from);
	put_request(&out, from, call);

	size_t len = wire_written(&out);
	if (len == 0)
		return 0;
	struct wire_writer head = wire_writer_on(buffer, MESSAGE_LENGTH_FIELD);
	wire_put32(&head, (uint32_t)(len - MESSAGE_LENGTH_FIELD));
	return len;
}

/* Reads a version byte and stands at the term behind it. */
static void get_version(struct etf_reader *in)
{
	if (wire_get8(&in->wire) != ETF_VERSION)
		in->bad = true;
}

/* Reads the rest of SEND or SEND_SENDER.  False when it is to no pid. */
static bool get_receiver(struct etf_reader *in, struct dist_answer *answer)
{
	etf_skip(in);
	struct etf_token to = etf_next(in);

	answer->id = (uint32_t)to.integer;
	answer->serial = to.serial;
	return to.kind == ETF_PID;
}

/* Reads the head of {rex, Result}. */
static bool get_rex(struct etf_reader *in)
{
	struct etf_token tuple = etf_next(in);

	if (tuple.kind != ETF_TUPLE || tuple.arity != 2)
		return false;
	struct etf_token tag = etf_next(in);
	return etf_is_atom(&tag, "rex");
}

static bool is_last(struct etf_reader in)
{
	return etf_skip(&in) && in.wire.at == in.wire.end;
}

/* Reads what follows the control message SEND. */
static bool get_answer(struct etf_reader *in, struct dist_answer *answer)
{
	if (!get_receiver(in, answer))
		return false;
	get_version(in);
	if (!get_rex(in))
		return false;
	in->bad = in->bad || !is_last(*in);
	answer->result = *in;
	return true;
}

enum dist_decode dist_message_decode(const uint8_t *body, size_t len, enum dist_message *kind,
                                     struct dist_answer *answer)
{
	*kind = DIST_MESSAGE_TICK;
	if (len == 0)
		return DIST_DECODED;
	if (body[0] != PASS_THROUGH)
		return DIST_MALFORMED;

	struct etf_reader in = etf_reader_of(body + 1, len - 1);
	get_version(&in);
	struct etf_token control = etf_next(&in);
	struct etf_token operation = etf_next(&in);
	if (control.kind != ETF_TUPLE || control.arity == 0 || operation.kind != ETF_INTEGER)
		return DIST_MALFORMED;
	bool is_send = operation.integer == SEND || operation.integer == SEND_SENDER;
	bool is_answer = is_send && control.arity == 3 && get_answer(&in, answer);
	*kind = is_answer ? DIST_MESSAGE_ANSWER : DIST_MESSAGE_OTHER;
	return in.bad ? DIST_MALFORMED : DIST_DECODED;
}

size_t dist_tick_encode(uint8_t *buffer, size_t size)
{
	struct wire_writer out = wire_writer_on(buffer, size);

	wire_put32(&out, 0);
	return wire_written(&out);
}
