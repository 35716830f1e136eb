/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "epmd_msg.h"

#define LENGTH_FIELD 2

/* A node's fields stand in this order in ALIVE2 and in the answer to PORT2. */
static void get_node(struct wire_reader *in, struct epmd_node *node)
{
	node->port = wire_get16(in);
	node->type = wire_get8(in);
	node->protocol = wire_get8(in);
	node->highest = wire_get16(in);
	node->lowest = wire_get16(in);
	node->name = wire_get_bytes(in, wire_get16(in));
	node->extra = wire_get_bytes(in, wire_get16(in));
}

static void put_node(struct wire_writer *out, const struct epmd_node *node)
{
	wire_put16(out, node->port);
	wire_put8(out, node->type);
	wire_put8(out, node->protocol);
	wire_put16(out, node->highest);
	wire_put16(out, node->lowest);
	wire_put16(out, (uint16_t)node->name.len);
	wire_put_bytes(out, node->name.at, node->name.len);
	wire_put16(out, (uint16_t)node->extra.len);
	wire_put_bytes(out, node->extra.at, node->extra.len);
}

static bool has_nul(struct wire_bytes bytes)
{
	return bytes.len && memchr(bytes.at, 0, bytes.len);
}

static bool get_alive2(struct wire_reader *in, struct epmd_request *request)
{
	get_node(in, &request->node);
	/* Stock takes 13 bytes, which is neither name nor extra, for too short;
	 * with anything behind them they will do. */
	bool bare = request->node.name.len + request->node.extra.len == 0 && in->at == in->end;
	return !in->short_of && !has_nul(request->node.name) && !bare;
}

/* A bare name; C clients may have sent its NUL along. */
static bool get_port2(struct wire_reader *in, struct epmd_request *request)
{
	struct wire_bytes name = wire_get_rest(in);

	if (name.len && name.at[name.len - 1] == 0)
		name.len--;
	request->name = name;
	return name.len && !has_nul(name);
}

/* Stock takes the name for a C string, whatever follows it. */
static bool get_stop(struct wire_reader *in, struct epmd_request *request)
{
	struct wire_bytes name = wire_get_rest(in);
	const uint8_t *nul = name.len ? memchr(name.at, 0, name.len) : NULL;
	bool sent = name.len > 0;

	if (nul)
		name.len = (size_t)(nul - name.at);
	request->name = name;
	return sent;
}

static bool get_command(struct wire_reader *in, struct epmd_request *request)
{
	request->name = wire_get_rest(in);
	return request->name.len > 0;
}

/* NAMES, DUMP and KILL have no fields; what follows their code is ignored. */
static bool get_nothing(struct wire_reader *in, struct epmd_request *request)
{
	(void)in;
	(void)request;
	return true;
}

static void put_alive2(struct wire_writer *out, const struct epmd_request *request)
{
	put_node(out, &request->node);
}

static void put_name(struct wire_writer *out, const struct epmd_request *request)
{
	wire_put_bytes(out, request->name.at, request->name.len);
}

static void put_nothing(struct wire_writer *out, const struct epmd_request *request)
{
	(void)out;
	(void)request;
}

static const struct request_kind {
	enum epmd_code code;
	bool (*get)(struct wire_reader *in, struct epmd_request *request);
	void (*put)(struct wire_writer *out, const struct epmd_request *request);
} request_kinds[] = {
    {EPMD_PORT2_REQ, get_port2, put_name},      {EPMD_ALIVE2_REQ, get_alive2, put_alive2},
    {EPMD_NAMES_REQ, get_nothing, put_nothing}, {EPMD_DUMP_REQ, get_nothing, put_nothing},
    {EPMD_KILL_REQ, get_nothing, put_nothing},  {EPMD_STOP_REQ, get_stop, put_name},
    {EPMD_CONTROL_REQ, get_command, put_name},
};

static const struct request_kind *find_kind(uint8_t code)
{
	for (size_t i = 0; i < sizeof(request_kinds) / sizeof(request_kinds[0]); i++)
		if (request_kinds[i].code == code)
			return &request_kinds[i];
	return NULL;
}

enum epmd_decode epmd_request_decode(const uint8_t *bytes, size_t len, struct epmd_request *request)
{
	struct wire_reader in = wire_reader_of(bytes, len);
	size_t body = wire_get16(&in);

	if (in.short_of)
		return EPMD_NEED_MORE;
	if (body == 0 || body + LENGTH_FIELD > EPMD_REQUEST_MAX)
		return EPMD_BAD_LENGTH;
	if (len < body + LENGTH_FIELD)
		return EPMD_NEED_MORE;
	if (len > body + LENGTH_FIELD)
		return EPMD_SURPLUS;

	const struct request_kind *kind = find_kind(wire_get8(&in));
	if (!kind)
		return EPMD_UNKNOWN;
	*request = (struct epmd_request){.code = kind->code};
	return kind->get(&in, request) ? EPMD_DECODED : EPMD_MALFORMED;
}

size_t epmd_request_room(const uint8_t *bytes, size_t len)
{
	struct wire_reader in = wire_reader_of(bytes, len);
	size_t whole = LENGTH_FIELD + (size_t)wire_get16(&in);

	if (in.short_of || whole < len)
		return EPMD_REQUEST_MAX - len;
	return whole - len;
}

const char *epmd_decode_text(enum epmd_decode result)
{
	static const char *const texts[] = {
	    [EPMD_DECODED] = "a good request",
	    [EPMD_NEED_MORE] = "an unfinished request",
	    [EPMD_BAD_LENGTH] = "a request of no length or one past 3057 bytes",
	    [EPMD_SURPLUS] = "more bytes than the request's length says",
	    [EPMD_UNKNOWN] = "an unknown request code",
	    [EPMD_MALFORMED] = "a request whose fields do not fit its length",
	};

	return texts[result];
}

size_t epmd_request_encode(const struct epmd_request *request, uint8_t *buffer, size_t size)
{
	const struct request_kind *kind = find_kind((uint8_t)request->code);
	struct wire_writer out = wire_writer_on(buffer, size);

	if (!kind)
		return 0;
	wire_put16(&out, 0);
	wire_put8(&out, (uint8_t)request->code);
	kind->put(&out, request);

	size_t len = wire_written(&out);
	if (len == 0 || len > EPMD_REQUEST_MAX)
		return 0;
	struct wire_writer head = wire_writer_on(buffer, LENGTH_FIELD);
	wire_put16(&head, (uint16_t)(len - LENGTH_FIELD));
	return len;
}

size_t epmd_alive2_reply_encode(const struct epmd_alive2_reply *reply, uint8_t *buffer, size_t size)
{
	struct wire_writer out = wire_writer_on(buffer, size);

	wire_put8(&out, reply->wide ? EPMD_ALIVE2_X_RESP : EPMD_ALIVE2_RESP);
	wire_put8(&out, reply->result);
	if (reply->wide)
		wire_put32(&out, reply->creation);
	else
		wire_put16(&out, (uint16_t)reply->creation);
	return wire_written(&out);
}

enum epmd_decode epmd_alive2_reply_decode(const uint8_t *bytes, size_t len,
                                          struct epmd_alive2_reply *reply)
{
	struct wire_reader in = wire_reader_of(bytes, len);
	uint8_t code = wire_get8(&in);

	if (in.short_of)
		return EPMD_NEED_MORE;
	if (code != EPMD_ALIVE2_RESP && code != EPMD_ALIVE2_X_RESP)
		return EPMD_UNKNOWN;
	reply->wide = code == EPMD_ALIVE2_X_RESP;
	reply->result = wire_get8(&in);
	reply->creation = reply->wide ? wire_get32(&in) : wire_get16(&in);
	return in.short_of ? EPMD_NEED_MORE : EPMD_DECODED;
}

size_t epmd_port2_reply_encode(const struct epmd_node *node, uint8_t *buffer, size_t size)
{
	struct wire_writer out = wire_writer_on(buffer, size);

	wire_put8(&out, EPMD_PORT2_RESP);
	wire_put8(&out, node ? 0 : 1);
	if (node)
		put_node(&out, node);
	return wire_written(&out);
}

enum epmd_decode epmd_port2_reply_decode(const uint8_t *bytes, size_t len, uint8_t *result,
                                         struct epmd_node *node)
{
	struct wire_reader in = wire_reader_of(bytes, len);
	uint8_t code = wire_get8(&in);

	if (in.short_of)
		return EPMD_NEED_MORE;
	if (code != EPMD_PORT2_RESP)
		return EPMD_UNKNOWN;
	*result = wire_get8(&in);
	if (*result == 0)
		get_node(&in, node);
	return in.short_of ? EPMD_NEED_MORE : EPMD_DECODED;
}

size_t epmd_names_head_encode(uint16_t epmd_port, uint8_t *buffer, size_t size)
{
	struct wire_writer out = wire_writer_on(buffer, size);

	wire_put32(&out, epmd_port);
	return wire_written(&out);
}

/* Writes HEAD, NAME and the formatted TAIL of TAIL_LEN bytes. */
static void put_text(struct wire_writer *out, const char *text)
{
	wire_put_bytes(out, text, strlen(text));
}

static size_t put_line(const char *head, struct wire_bytes name, const char *tail, int tail_len,
                       uint8_t *buffer, size_t size)
{
	struct wire_writer out = wire_writer_on(buffer, size);

	put_text(&out, head);
	wire_put_bytes(&out, name.at, name.len);
	wire_put_bytes(&out, tail, (size_t)tail_len);
	return wire_written(&out);
}

size_t epmd_names_line_encode(struct wire_bytes name, uint16_t port, uint8_t *buffer, size_t size)
{
	struct wire_writer out = wire_writer_on(buffer, size);

	/* Without printf: an answer may have thousands of these. */
	put_text(&out, "name ");
	wire_put_bytes(&out, name.at, name.len);
	put_text(&out, " at port ");
	wire_put_decimal(&out, port);
	put_text(&out, "\n");
	return wire_written(&out);
}

size_t epmd_dump_active_encode(struct wire_bytes name, uint16_t port, int fd, uint8_t *buffer,
                               size_t size)
{
	char tail[48];
	int n = snprintf(tail, sizeof(tail), "> at port %u, fd = %d\n", (unsigned)port, fd);

	return put_line("active name     <", name, tail, n + 1, buffer, size);
}

size_t epmd_dump_old_encode(struct wire_bytes name, uint16_t port, int fd, uint8_t *buffer,
                            size_t size)
{
	char tail[48];
	int n = snprintf(tail, sizeof(tail), ">, port = %u, fd = %d \n", (unsigned)port, fd);

	return put_line("old/unused name <", name, tail, n + 1, buffer, size);
}

bool epmd_names_walk_start(struct epmd_names_walk *walk, const uint8_t *bytes, size_t len)
{
	struct wire_reader in = wire_reader_of(bytes, len);
	uint32_t port = wire_get32(&in);

	if (in.short_of || port > UINT16_MAX)
		return false;
	walk->epmd_port = (uint16_t)port;
	walk->rest = wire_get_rest(&in);
	return true;
}

/* Finds the last MARK in LINE: a name may hold the mark itself. */
static const uint8_t *find_last(struct wire_bytes line, const char *mark)
{
	size_t len = strlen(mark);

	for (size_t i = line.len < len ? 0 : line.len - len + 1; i > 0; i--)
		if (memcmp(line.at + i - 1, mark, len) == 0)
			return line.at + i - 1;
	return NULL;
}

static bool get_port(const uint8_t *at, const uint8_t *end, uint16_t *port)
{
	unsigned long value = 0;

	if (at == end)
		return false;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9' || value > UINT16_MAX)
			return false;
		value = value * 10 + (unsigned long)(*at - '0');
	}
	*port = (uint16_t)value;
	return value <= UINT16_MAX;
}

static bool get_line(struct wire_bytes line, struct wire_bytes *name, uint16_t *port)
{
	static const char head[] = "name ", middle[] = " at port ";
	const uint8_t *end = line.at + line.len;
	const uint8_t *mark = find_last(line, middle);

	if (line.len < strlen(head) || memcmp(line.at, head, strlen(head)) != 0)
		return false;
	const uint8_t *start = line.at + strlen(head);
	if (!mark || mark <= start)
		return false;
	*name = (struct wire_bytes){start, (size_t)(mark - start)};
	return get_port(mark + strlen(middle), end, port);
}

bool epmd_names_walk_next(struct epmd_names_walk *walk, struct wire_bytes *name, uint16_t *port)
{
	while (walk->rest.len) {
		const uint8_t *newline = memchr(walk->rest.at, '\n', walk->rest.len);
		size_t len = newline ? (size_t)(newline - walk->rest.at) : walk->rest.len;
		struct wire_bytes line = {walk->rest.at, len};

		walk->rest.at += newline ? len + 1 : len;
		walk->rest.len -= newline ? len + 1 : len;
		if (get_line(line, name, port))
			return true;
	}
	return false;
}
