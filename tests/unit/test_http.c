/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <dirent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "discovery/http.h"
#include "tls_fixture.h"

#define BIG_BODY (8u << 20)

/* --- the servers -------------------------------------------------------------------- */

static struct tls_identity ca, other_ca, client_identity;
static struct tls_server good, second, nameless, expired, picky, mute, ipv6;

static bool answer_echo(struct tls_exchange *x)
{
	tls_exchange_print(
	    x, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\nconnection=%u client=%s\n%s",
	    strlen(x->text) + strlen(x->client_name) +
		(size_t)snprintf(NULL, 0, "connection=%u client=\n", x->connection),
	    x->connection, x->client_name, x->text);
	return true;
}

static bool answer_chunks(struct tls_exchange *x)
{
	tls_exchange_print(x, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	tls_exchange_print(x, "5\r\nhello\r\n");
	tls_exchange_print(x, "1\r\n,\r\n6\r\n world\r\n");
	tls_exchange_print(x, "0\r\nWarning: 299 - \"in a trailer\"\r\n\r\n");
	return true;
}

static bool answer_forbidden(struct tls_exchange *x)
{
	tls_exchange_print(x, "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nforbidden");
	return true;
}

static bool answer_busy(struct tls_exchange *x)
{
	tls_exchange_print(
	    x, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static bool answer_warned(struct tls_exchange *x)
{
	tls_exchange_print(x,
	                   "HTTP/1.1 103 Early Hints\r\nWarning: 299 - \"too early\"\r\n\r\n"
	                   "HTTP/1.1 200 OK\r\nWarning: 299 - \"v1 Endpoints is \\\"old\\\"\"\r\n"
	                   "warning: 299 - \"second\"\r\nContent-Length: 2\r\n\r\n{}");
	return true;
}

static bool answer_moved(struct tls_exchange *x)
{
	tls_exchange_print(x,
	                   "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:%u/echo\r\n"
	                   "Content-Length: 0\r\n\r\n",
	                   good.port);
	return true;
}

static bool answer_cut(struct tls_exchange *x)
{
	tls_exchange_print(x, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nten bytes.");
	return false;
}

static bool answer_cut_chunks(struct tls_exchange *x)
{
	tls_exchange_print(x,
	                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
	return false;
}

static bool answer_nothing(struct tls_exchange *x)
{
	(void)x;
	return false;
}

static bool answer_garbage(struct tls_exchange *x)
{
	tls_exchange_print(x, "SSH-2.0-OpenSSH_9.2\r\n");
	return false;
}

static bool answer_stall(struct tls_exchange *x)
{
	tls_exchange_print(x,
	                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
	for (;;)
		pause();
	return false;
}

/* The byte at OFFSET of the large answers. */
static char big_byte(size_t offset)
{
	return (char)('a' + offset % 23);
}

static void fill_block(char *block, size_t len, size_t offset)
{
	for (size_t i = 0; i < len; i++)
		block[i] = big_byte(offset + i);
}

/* More than is told in one turn, and then nothing. */
static bool answer_big_stall(struct tls_exchange *x)
{
	char block[16384];

	tls_exchange_print(x, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", BIG_BODY);
	for (size_t sent = 0; sent < 3 * sizeof block; sent += sizeof block) {
		fill_block(block, sizeof block, sent);
		tls_exchange_write(x, block, sizeof block);
	}
	for (;;)
		pause();
	return false;
}

static bool answer_big(struct tls_exchange *x)
{
	char block[16384];

	tls_exchange_print(x, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", BIG_BODY);
	for (size_t sent = 0; sent < BIG_BODY; sent += sizeof block) {
		fill_block(block, sizeof block, sent);
		tls_exchange_write(x, block, sizeof block);
	}
	return true;
}

static bool answer_big_chunks(struct tls_exchange *x)
{
	char block[8192];

	tls_exchange_print(x, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (size_t sent = 0; sent < BIG_BODY; sent += sizeof block) {
		fill_block(block, sizeof block, sent);
		tls_exchange_print(x, "%zx\r\n%.*s\r\n", sizeof block, (int)sizeof block, block);
	}
	tls_exchange_print(x, "0\r\n\r\n");
	return true;
}

static bool answer(struct tls_exchange *x)
{
	static const struct {
		const char *path;
		bool (*answer)(struct tls_exchange *x);
	} pages[] = {
	    {"/chunks", answer_chunks},
	    {"/forbidden", answer_forbidden},
	    {"/busy", answer_busy},
	    {"/warned", answer_warned},
	    {"/moved", answer_moved},
	    {"/cut", answer_cut},
	    {"/cut-chunks", answer_cut_chunks},
	    {"/nothing", answer_nothing},
	    {"/garbage", answer_garbage},
	    {"/stall", answer_stall},
	    {"/big", answer_big},
	    {"/big-stall", answer_big_stall},
	    {"/big-chunks", answer_big_chunks},
	};

	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
		if (strcmp(x->path, pages[i].path) == 0)
			return pages[i].answer(x);
	return answer_echo(x);
}

/* --- one GET and what came of it ----------------------------------------------------- */

enum when { NEVER, AT_STATUS, AT_DATA, AT_DONE };

/* In a large answer AT_DATA means after so many bytes, when it has been paused. */
#define LATE 300000u

struct seen {
	struct event_base *base;
	struct http_client *client;
	struct http_transfer *transfer;
	enum when cancel, free_client;
	bool stop_at_data;
	size_t late; /* bytes to come before AT_DATA */

	unsigned n_status, n_data, n_done;
	int status;
	char warning[256];
	char body[20000];
	size_t body_len, this_turn, wrong_bytes;
	struct http_result result;
	char error[1024];
	struct http_get again; /* another GET to start in on_done */
};

static void interfere(struct seen *s, enum when now)
{
	if (s->cancel == now) {
		http_cancel(s->transfer);
		event_base_loopbreak(s->base);
	}
	if (s->free_client == now) {
		http_client_free(s->client);
		s->client = NULL;
		event_base_loopbreak(s->base);
	}
}

static void on_status(void *arg, int status, const char *warning)
{
	struct seen *s = arg;

	assert_int_equal(s->n_data, 0);
	s->n_status++;
	s->status = status;
	snprintf(s->warning, sizeof s->warning, "%s", warning ? warning : "");
	interfere(s, AT_STATUS);
}

static bool on_data(void *arg, const char *bytes, size_t len)
{
	struct seen *s = arg;

	assert_int_equal(s->n_status, 1);
	s->n_data++;
	for (size_t i = 0; i < len; i++)
		s->wrong_bytes += bytes[i] != big_byte(s->body_len + i);
	if (s->body_len + len < sizeof s->body)
		memcpy(s->body + s->body_len, bytes, len);
	s->body_len += len;
	s->this_turn += len;
	if (s->body_len < s->late)
		return true;
	interfere(s, AT_DATA);
	return !s->stop_at_data;
}

static void on_done(void *arg, const struct http_result *result)
{
	struct seen *s = arg;

	s->n_done++;
	s->result = *result;
	snprintf(s->error, sizeof s->error, "%s", result->error);
	s->result.error = s->error;
	interfere(s, AT_DONE);
	if (!s->again.path) {
		event_base_loopbreak(s->base);
	} else {
		struct http_events events = {on_status, on_data, on_done, s};
		struct http_get again = s->again;

		*s = (struct seen){.base = s->base, .client = s->client};
		s->transfer = http_get(s->client, &again, &events);
		assert_non_null(s->transfer);
	}
}

static unsigned count_entries(const char *folder)
{
	DIR *dir = opendir(folder);
	unsigned n = 0;

	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));)
		n += *entry->d_name != '.';
	closedir(dir);
	return n;
}

struct place {
	struct event_base *base;
	struct http_server server;
	struct http_get get;
	struct seen seen;
	unsigned files;
};

static char host_ip[] = "127.0.0.1", host_name[] = "localhost";

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof *p);

	*state = p;
	alarm(60);
	p->files = count_entries("/proc/self/fd");
	p->base = event_base_new();
	p->server = (struct http_server){.host = host_ip, .port = good.port, .ca_pem = ca.cert_pem};
	p->get = (struct http_get){&p->server, "/echo", 10, 10, true};
	p->seen.base = p->base;
	p->seen.client = http_client_new(p->base);
	return p->seen.client ? 0 : -1;
}

/* No test leaves a thread or an open file behind. */
static int tear_down(void **state)
{
	struct place *p = *state;
	unsigned files;

	assert_int_equal(count_entries("/proc/self/task"), 1);
	http_client_free(p->seen.client);
	assert_int_equal(event_base_get_num_events(p->base, EVENT_BASE_COUNT_ADDED), 0);
	event_base_free(p->base);
	files = p->files;
	free(p);
	assert_int_equal(count_entries("/proc/self/fd"), files);
	alarm(0);
	return 0;
}

static struct seen *run(struct place *p)
{
	struct http_events events = {on_status, on_data, on_done, &p->seen};
	struct seen *s = &p->seen;

	*s = (struct seen){.base = p->base,
	                   .client = s->client,
	                   .cancel = s->cancel,
	                   .free_client = s->free_client,
	                   .stop_at_data = s->stop_at_data,
	                   .late = s->late,
	                   .again = s->again};
	s->transfer = http_get(s->client, &p->get, &events);
	assert_non_null(s->transfer);
	assert_int_equal(s->n_done, 0);
	event_base_dispatch(p->base);
	assert_int_equal(count_entries("/proc/self/task"), 1);
	s->body[s->body_len < sizeof s->body ? s->body_len : 0] = '\0';
	return s;
}

/* Lets the loop do what it still has to do. */
static void settle(struct place *p)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(p->base, EVLOOP_NONBLOCK);
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
	if (strcasestr(text, part))
		fail_msg("\"%s\" is in \"%s\"", part, text);
}

static void assert_failed(const struct seen *s, enum http_outcome outcome, const char *words)
{

	assert_int_equal(s->n_done, 1);
	if (s->result.outcome != outcome)
		fail_msg("outcome %d, not %d: %s", (int)s->result.outcome, (int)outcome, s->error);
	assert_contains(s->error, words);
}

/* --- answers ---------------------------------------------------------------------------- */

static void test_chunks(void **state)
{
	struct place *p = *state;

	p->get.path = "/chunks";
	struct seen *s = run(p);
	assert_int_equal(s->result.outcome, HTTP_DONE);
	assert_string_equal(s->error, "");
	assert_int_equal(s->n_status, 1);
	assert_int_equal(s->result.status, 200);
	assert_string_equal(s->body, "hello, world");
	assert_string_equal(s->warning, "");
}

static void test_request_head(void **state)
{
	struct place *p = *state;
	char token[] = "abc.def", line[64];

	p->server.token = token;
	p->get.path = "/apis/x?watch=1&labelSelector=app%3Dx";
	struct seen *s = run(p);
	assert_int_equal(s->result.outcome, HTTP_DONE);
	assert_contains(s->body, "GET /apis/x?watch=1&labelSelector=app%3Dx HTTP/1.1\r\n");
	assert_contains(s->body, "\r\nAuthorization: Bearer abc.def\r\n");
	assert_contains(s->body, "\r\nAccept: application/json\r\n");
	assert_contains(s->body, "\r\nUser-Agent: kepmd/" PACKAGE_VERSION "\r\n");
	snprintf(line, sizeof line, "\r\nHost: 127.0.0.1:%u\r\n", good.port);
	assert_contains(s->body, line);
	assert_lacks(s->body, "Accept-Encoding");
	assert_lacks(s->body, "Upgrade");
	assert_contains(s->body, "client=\n");
}

static void test_no_token(void **state)
{
	assert_lacks(run(*state)->body, "Authorization");
}

static void test_base_path(void **state)
{
	struct place *p = *state;
	char base_path[] = "/k8s/clusters/c-1";

	p->server.base_path = base_path;
	assert_contains(run(p)->body, "GET /k8s/clusters/c-1/echo HTTP/1.1");
}

static void test_forbidden(void **state)
{
	struct place *p = *state;

	p->get.path = "/forbidden";
	struct seen *s = run(p);
	assert_int_equal(s->result.outcome, HTTP_DONE);
	assert_int_equal(s->status, 403);
	assert_int_equal(s->result.status, 403);
	assert_string_equal(s->body, "forbidden");
}

static void test_retry_after(void **state)
{
	struct place *p = *state;

	p->get.path = "/busy";
	struct seen *s = run(p);
	assert_int_equal(s->result.outcome, HTTP_DONE);
	assert_int_equal(s->result.status, 429);
	assert_int_equal(s->result.retry_after_s, 7);
	assert_int_equal(s->n_data, 0);
}

static void test_warning_after_1xx(void **state)
{
	struct place *p = *state;

	p->get.path = "/warned";
	struct seen *s = run(p);
	assert_int_equal(s->n_status, 1);
	assert_int_equal(s->status, 200);
	assert_string_equal(s->warning, "v1 Endpoints is \"old\"");
	assert_string_equal(s->body, "{}");
}

static void test_redirect_is_not_followed(void **state)
{
	struct place *p = *state;
	char token[] = "secret";

	p->server.token = token;
	p->get.path = "/moved";
	struct seen *s = run(p);
	assert_int_equal(s->result.outcome, HTTP_DONE);
	assert_int_equal(s->result.status, 302);
	assert_int_equal(s->body_len, 0);
}

/* The loop gets its turn, however large the answer. */
static void test_big_body_in_small_turns(void **state)
{
	struct place *p = *state;
	struct http_events events = {on_status, on_data, on_done, &p->seen};
	const char *const paths[] = {"/big", "/big-chunks"};

	for (size_t i = 0; i < 2; i++) {
		size_t largest = 0;

		p->seen = (struct seen){.base = p->base, .client = p->seen.client};
		p->get.path = paths[i];
		p->seen.transfer = http_get(p->seen.client, &p->get, &events);
		while (p->seen.n_done == 0) {
			p->seen.this_turn = 0;
			event_base_loop(p->base, EVLOOP_ONCE);
			if (p->seen.this_turn > largest)
				largest = p->seen.this_turn;
		}
		assert_int_equal(p->seen.result.outcome, HTTP_DONE);
		assert_int_equal(p->seen.body_len, BIG_BODY);
		assert_int_equal(p->seen.wrong_bytes, 0);
		assert_in_range(largest, 1, 64u << 10);
	}
}

static void test_end_it_late_in_big_body(void **state)
{
	struct place *p = *state;

	p->get.path = "/big-chunks";
	p->seen.late = LATE;
	p->seen.stop_at_data = true;
	struct seen *s = run(p);
	assert_int_equal(s->result.outcome, HTTP_STOPPED);
	assert_in_range(s->body_len, LATE, LATE + 32768);
	p->seen.stop_at_data = false;
	p->seen.cancel = AT_DATA;
	s = run(p);
	settle(p);
	assert_int_equal(s->n_done, 0);
	assert_in_range(s->body_len, LATE, LATE + 32768);
	p->seen.cancel = NEVER;
	p->seen.free_client = AT_DATA;
	run(p);
	settle(p);
	assert_int_equal(p->seen.n_done, 0);
	p->seen.client = http_client_new(p->base);
}

/* Ended by what a pause had held back, while the server sends nothing more. */
static void test_end_it_after_pause(void **state)
{
	struct place *p = *state;

	p->get.path = "/big-stall";
	p->get.total_timeout_s = 0;
	p->seen.late = 3 * 16384;
	p->seen.stop_at_data = true;
	struct seen *s = run(p);
	assert_int_equal(s->result.outcome, HTTP_STOPPED);
	assert_int_equal(s->wrong_bytes, 0);
	p->seen.stop_at_data = false;
	p->seen.cancel = AT_DATA;
	s = run(p);
	settle(p);
	assert_int_equal(s->n_done, 0);
}

/* One callback may end another transfer. */
static void cancel_other(void *arg, int status, const char *warning)
{
	struct http_transfer **other = arg;

	(void)status;
	(void)warning;
	http_cancel(*other);
	*other = NULL;
}

static void ignore_status(void *arg, int status, const char *warning)
{
	(void)arg;
	(void)status;
	(void)warning;
}

static bool ignore_data(void *arg, const char *bytes, size_t len)
{
	(void)arg;
	(void)bytes;
	(void)len;
	return true;
}

static void ignore_done(void *arg, const struct http_result *result)
{
	(void)arg;
	(void)result;
}

static void test_cancel_another(void **state)
{
	struct place *p = *state;
	struct http_events events = {on_status, on_data, on_done, &p->seen};
	struct http_transfer *stalled;
	struct http_events killer = {cancel_other, ignore_data, ignore_done, &stalled};

	p->get.path = "/stall";
	stalled = http_get(p->seen.client, &p->get, &events);
	while (p->seen.n_data == 0)
		event_base_loop(p->base, EVLOOP_ONCE);
	p->get.path = "/chunks";
	http_get(p->seen.client, &p->get, &killer);
	while (stalled)
		event_base_loop(p->base, EVLOOP_ONCE);
	settle(p);
	assert_int_equal(p->seen.n_done, 0);
}

/* --- connections ---------------------------------------------------------------------------- */

static unsigned connection_of(struct place *p)
{
	unsigned number = 0;
	struct seen *s = run(p);

	assert_int_equal(s->result.outcome, HTTP_DONE);
	assert_int_equal(sscanf(s->body, "connection=%u", &number), 1);
	return number;
}

static void test_own_connection(void **state)
{
	struct place *p = *state;

	p->get.own_connection = false;
	unsigned first = connection_of(p);
	assert_int_equal(connection_of(p), first);
	p->get.own_connection = true;
	unsigned own = connection_of(p);
	assert_int_not_equal(own, first);
	assert_int_not_equal(connection_of(p), own);
	p->get.own_connection = false;
	assert_int_equal(connection_of(p), first);
}

static void test_another_get_from_done(void **state)
{
	struct place *p = *state;

	p->get.path = "/chunks";
	p->seen.again = p->get;
	p->seen.again.path = "/forbidden";
	struct seen *s = run(p);
	assert_int_equal(s->n_done, 1);
	assert_string_equal(s->body, "forbidden");
}

static void test_host_by_name(void **state)
{
	struct place *p = *state;

	p->server.host = host_name;
	struct seen *s = run(p);
	assert_int_equal(s->result.outcome, HTTP_DONE);
	assert_contains(s->body, "Host: localhost:");
}

static void test_host_by_ipv6(void **state)
{
	struct place *p = *state;
	char host[] = "::1";

	if (ipv6.port == 0)
		skip();
	p->server.host = host;
	p->server.port = ipv6.port;
	struct seen *s = run(p);
	assert_int_equal(s->result.outcome, HTTP_DONE);
	assert_contains(s->body, "Host: [::1]:");
}

static void test_refused(void **state)
{
	struct place *p = *state;
	struct tls_server_settings settings = {0};
	struct tls_server gone = tls_server_start(&settings);
	char words[64];

	tls_server_stop(&gone);
	p->server.port = gone.port;
	struct seen *s = run(p);
	assert_failed(s, HTTP_REFUSED, "Connection refused");
	snprintf(words, sizeof words, "127.0.0.1:%u: ", gone.port);
	assert_contains(s->error, words);
	assert_int_equal(s->result.status, 0);
	assert_int_equal(s->n_status, 0);
}

static void test_closed_during_handshake(void **state)
{
	struct place *p = *state;

	p->server.port = mute.port;
	assert_failed(run(p), HTTP_REFUSED, "closed during the TLS handshake");
}

static void test_no_such_host(void **state)
{
	struct place *p = *state;
	char host[] = "no..such";

	p->server.host = host;
	assert_failed(run(p), HTTP_REFUSED, "no..such:");
}

/* Whether no name server answers or all deny it (RFC 6761, section 6.4): it ends. */
static void test_lookup_ends(void **state)
{
	struct place *p = *state;
	char host[] = "kepmd.invalid.";

	p->server.host = host;
	p->get.connect_timeout_s = 1;
	assert_failed(run(p), HTTP_REFUSED, "kepmd.invalid.:");
}

/* The kernel takes the connection, nobody answers the handshake. */
static void test_connect_deadline(void **state)
{
	struct place *p = *state;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(listen(listener, 1), 0);
	struct sockaddr_storage name;
	socklen_t len = sizeof name;
	getsockname(listener, (struct sockaddr *)&name, &len);
	const unsigned char *port = (const unsigned char *)&name + 2;
	p->server.port = (unsigned)port[0] << 8 | port[1];
	p->get.connect_timeout_s = 1;
	struct seen *s = run(p);
	close(listener);
	assert_failed(s, HTTP_REFUSED, ": no connection in time");
}

/* The kernel takes no more connections.  What is said is the same each time: it is told from
 * other troubles by its words. */
static void test_connect_deadline_of_tcp(void **state)
{
	struct place *p = *state;
	struct sockaddr_in name = {.sin_family = AF_INET};
	socklen_t len = sizeof name;
	int listener = socket(AF_INET, SOCK_STREAM, 0), fillers[4];

	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (const struct sockaddr *)&name, sizeof name), 0);
	assert_int_equal(listen(listener, 0), 0);
	getsockname(listener, (struct sockaddr *)&name, &len);
	for (size_t i = 0; i < 4; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fillers[i], (const struct sockaddr *)&name, sizeof name);
	}
	p->server.port = ntohs(name.sin_port);
	p->get.connect_timeout_s = 1;
	struct seen *s = run(p);
	for (size_t i = 0; i < 4; i++)
		close(fillers[i]);
	close(listener);
	assert_failed(s, HTTP_REFUSED, ": no connection in time");
}

/* libevent without memory, for sockets (linked with --wrap=event_new). */
static bool no_socket_events;
struct event *__real_event_new(struct event_base *base, evutil_socket_t fd, short what,
                               event_callback_fn callback, void *arg);
struct event *__wrap_event_new(struct event_base *base, evutil_socket_t fd, short what,
                               event_callback_fn callback, void *arg);

struct event *__wrap_event_new(struct event_base *base, evutil_socket_t fd, short what,
                               event_callback_fn callback, void *arg)
{
	return fd >= 0 && no_socket_events ? NULL
	                                   : __real_event_new(base, fd, what, callback, arg);
}

/* It costs that transfer, not all that come after it. */
static void test_socket_that_cannot_be_watched(void **state)
{
	struct place *p = *state;

	unsigned usual = p->get.total_timeout_s;
	p->get.total_timeout_s = 1;
	no_socket_events = true;
	struct seen *s = run(p);
	no_socket_events = false;
	p->get.total_timeout_s = usual;
	/* Whether it has seen the connection come depends on the machine's pace. */
	assert_int_not_equal(s->result.outcome, HTTP_DONE);
	assert_contains(s->error, "in time");
	assert_int_equal(run(p)->result.outcome, HTTP_DONE);
}

/* --- TLS ---------------------------------------------------------------------------------------
 */

static void test_wrong_ca(void **state)
{
	struct place *p = *state;

	p->server.ca_pem = other_ca.cert_pem;
	struct seen *s = run(p);
	assert_failed(s, HTTP_TLS, "signed by an unknown authority");
	assert_int_equal(s->n_status, 0);
}

static void test_no_ip_san(void **state)
{
	struct place *p = *state;

	p->server.port = nameless.port;
	assert_failed(run(p), HTTP_TLS, "certificate is not for 127.0.0.1");
}

static void test_expired(void **state)
{
	struct place *p = *state;

	p->server.port = expired.port;
	assert_failed(run(p), HTTP_TLS, "has expired");
}

static void test_ca_rotated(void **state)
{
	struct place *p = *state;

	p->get.own_connection = false;
	assert_int_equal(run(p)->result.outcome, HTTP_DONE);
	p->server.ca_pem = other_ca.cert_pem;
	assert_failed(run(p), HTTP_TLS, "unknown authority");
	p->server.port = second.port;
	assert_int_equal(run(p)->result.outcome, HTTP_DONE);
	p->server.port = good.port;
	p->server.ca_pem = ca.cert_pem;
	assert_int_equal(run(p)->result.outcome, HTTP_DONE);
}

static void test_no_ca(void **state)
{
	struct place *p = *state;

	p->server.ca_pem = NULL;
	assert_failed(run(p), HTTP_TLS, "no CA certificate");
}

static void test_garbage_ca(void **state)
{
	struct place *p = *state;
	char garbage[] = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n";

	p->server.ca_pem = garbage;
	assert_int_equal(run(p)->result.outcome, HTTP_TLS);
}

/* The system's store knows nothing of our CA, unless it is told. */
static void test_system_ca(void **state)
{
	struct place *p = *state;
	char path[] = "/tmp/kepmd-test-XXXXXX";
	int fd = mkstemp(path);

	p->server.ca_pem = NULL;
	p->server.system_ca = true;
	assert_int_equal(run(p)->result.outcome, HTTP_TLS);
	assert_int_equal(write(fd, ca.cert_pem, strlen(ca.cert_pem)), strlen(ca.cert_pem));
	close(fd);
	setenv("SSL_CERT_FILE", path, 1);
	run(p);
	unsetenv("SSL_CERT_FILE");
	unlink(path);
	assert_int_equal(p->seen.result.outcome, HTTP_DONE);
}

static void test_tls_server_name(void **state)
{
	struct place *p = *state;
	char name[] = "kubernetes.default", wrong[] = "kubernetes.other", line[64];

	p->server.port = nameless.port;
	p->server.tls_server_name = name;
	struct seen *s = run(p);
	assert_string_equal(s->error, "");
	snprintf(line, sizeof line, "\r\nHost: 127.0.0.1:%u\r\n", nameless.port);
	assert_contains(s->body, line);
	p->server.tls_server_name = wrong;
	assert_failed(run(p), HTTP_TLS, "certificate is not for kubernetes.other");
}

/* As through a tunnel: connect to localhost, verify against the address. */
static void test_tls_server_name_is_address(void **state)
{
	struct place *p = *state;
	char address[] = "10.1.2.3", wrong[] = "10.1.2.4", address6[] = "fd00::1";

	p->server.tls_server_name = address;
	assert_string_equal(run(p)->error, "");
	p->server.tls_server_name = address6;
	assert_string_equal(run(p)->error, "");
	p->server.tls_server_name = wrong;
	assert_failed(run(p), HTTP_TLS, "certificate is not for 10.1.2.4");
}

static void test_client_certificate(void **state)
{
	struct place *p = *state;

	p->server.port = picky.port;
	assert_int_not_equal(run(p)->result.outcome, HTTP_DONE);
	p->server.cert_pem = client_identity.cert_pem;
	p->server.key_pem = client_identity.key_pem;
	struct seen *s = run(p);
	assert_string_equal(s->error, "");
	assert_contains(s->body, "client=jane\n");
	p->server.key_pem = ca.key_pem;
	assert_failed(run(p), HTTP_TLS, "client certificate cannot be used");
}

static void test_key_log_is_switched_off(void **state)
{
	struct place *p = *state;
	char path[] = "/tmp/kepmd-test-XXXXXX";

	close(mkstemp(path));
	unlink(path);
	setenv("SSLKEYLOGFILE", path, 1);
	http_client_free(p->seen.client);
	p->seen.client = http_client_new(p->base);
	assert_null(getenv("SSLKEYLOGFILE"));
	assert_int_equal(run(p)->result.outcome, HTTP_DONE);
	assert_int_not_equal(access(path, F_OK), 0);
}

/* --- broken off ---------------------------------------------------------------------------------
 */

static void test_cut(void **state)
{
	struct place *p = *state;

	p->get.path = "/cut";
	struct seen *s = run(p);
	assert_failed(s, HTTP_CUT, ": the connection was closed in the middle of the answer");
	assert_int_equal(s->result.status, 200);
	assert_string_equal(s->body, "ten bytes.");
	p->get.path = "/cut-chunks";
	s = run(p);
	assert_failed(s, HTTP_CUT, "127.0.0.1:");
	assert_string_equal(s->body, "hello");
	p->get.path = "/nothing";
	assert_failed(run(p), HTTP_CUT, "127.0.0.1:");
	p->get.path = "/garbage";
	assert_failed(run(p), HTTP_CUT, "127.0.0.1:");
	assert_int_equal(p->seen.n_status, 0);
}

static void test_total_timeout(void **state)
{
	struct place *p = *state;

	p->get.path = "/stall";
	p->get.total_timeout_s = 1;
	struct seen *s = run(p);
	assert_failed(s, HTTP_CUT, ": no whole answer in time");
	assert_int_equal(s->result.status, 200);
	assert_string_equal(s->body, "hello");
}

static void test_stop(void **state)
{
	struct place *p = *state;

	p->get.path = "/stall";
	p->seen.stop_at_data = true;
	struct seen *s = run(p);
	assert_failed(s, HTTP_STOPPED, "127.0.0.1:");
	assert_int_equal(s->n_data, 1);
}

static void test_cancel(void **state)
{
	struct place *p = *state;
	const enum when moments[] = {AT_STATUS, AT_DATA};

	p->get.path = "/chunks";
	for (size_t i = 0; i < 2; i++) {
		p->seen.cancel = moments[i];
		struct seen *s = run(p);
		settle(p);
		assert_int_equal(s->n_done, 0);
		assert_int_equal(s->n_data, moments[i] == AT_DATA);
	}
	p->seen.cancel = AT_DONE;
	assert_int_equal(run(p)->n_done, 1);
}

static void test_cancel_before_start(void **state)
{
	struct place *p = *state;
	struct http_events events = {on_status, on_data, on_done, &p->seen};
	char *hosts[] = {host_ip, host_name};

	for (size_t i = 0; i < 2; i++) {
		p->server.host = hosts[i];
		http_cancel(http_get(p->seen.client, &p->get, &events));
		settle(p);
		assert_int_equal(p->seen.n_done + p->seen.n_status, 0);
	}
}

/* Cancelled from outside while it stands still. */
static void test_cancel_under_way(void **state)
{
	struct place *p = *state;
	struct http_events events = {on_status, on_data, on_done, &p->seen};
	struct http_transfer *t;

	p->get.path = "/stall";
	t = http_get(p->seen.client, &p->get, &events);
	while (p->seen.n_data == 0)
		event_base_loop(p->base, EVLOOP_ONCE);
	http_cancel(t);
	settle(p);
	assert_int_equal(p->seen.n_done, 0);
}

static void test_free_client_from_callbacks(void **state)
{
	struct place *p = *state;
	const enum when moments[] = {AT_STATUS, AT_DATA, AT_DONE};
	struct http_events events = {ignore_status, ignore_data, ignore_done, NULL};

	p->get.path = "/chunks";
	for (size_t i = 0; i < 3; i++) {
		p->seen.free_client = moments[i];
		run(p);
		settle(p);
		assert_null(p->seen.client);
		assert_int_equal(p->seen.n_done, moments[i] == AT_DONE);
		p->seen.client = http_client_new(p->base);
	}
	/* and with transfers in every stage; tear_down frees the client */
	p->seen.free_client = NEVER;
	p->get.path = "/stall";
	for (int i = 0; i < 8; i++) {
		assert_non_null(http_get(p->seen.client, &p->get, &events));
		event_base_loop(p->base, EVLOOP_NONBLOCK);
	}
}

/* --- proxies
 * --------------------------------------------------------------------------------------- */

static void test_proxy_variable(void **state)
{
	(void)state;
	assert_null(http_proxy_variable());
	setenv("http_proxy", "http://proxy:3128", 1);
	assert_null(http_proxy_variable());
	setenv("ALL_PROXY", "http://proxy:3128", 1);
	assert_string_equal(http_proxy_variable(), "ALL_PROXY");
	setenv("HTTPS_PROXY", "http://proxy:3128", 1);
	assert_string_equal(http_proxy_variable(), "HTTPS_PROXY");
	setenv("https_proxy", "", 1);
	assert_string_equal(http_proxy_variable(), "HTTPS_PROXY");
	setenv("NO_PROXY", "*", 1);
	assert_null(http_proxy_variable());
	unsetenv("http_proxy");
	unsetenv("https_proxy");
	unsetenv("HTTPS_PROXY");
	unsetenv("ALL_PROXY");
	unsetenv("NO_PROXY");
}

/* --- the group
 * ------------------------------------------------------------------------------------- */

static struct tls_server serve(const struct tls_identity *issuer, const char *sans, int days,
                               const char *client_ca_pem, const char *address)
{
	struct tls_identity identity = tls_fixture_issue(issuer, "the server", sans, days);
	struct tls_server_settings settings = {&identity, client_ca_pem, address, answer};
	struct tls_server server = tls_server_start(&settings);

	tls_identity_clear(&identity);
	return server;
}

static int start_servers(void **state)
{
	static const char *const variables[] = {"https_proxy", "HTTPS_PROXY", "http_proxy",
	                                        "all_proxy",   "ALL_PROXY",   "SSL_CERT_FILE"};
	static const char sans[] = "IP:127.0.0.1,IP:::1,IP:10.1.2.3,IP:fd00::1,DNS:localhost";
	struct tls_server_settings nothing = {0};

	(void)state;
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
		unsetenv(variables[i]);
	ca = tls_fixture_ca("first CA");
	other_ca = tls_fixture_ca("second CA");
	client_identity = tls_fixture_issue(&ca, "jane", NULL, 1);
	good = serve(&ca, sans, 1, NULL, NULL);
	second = serve(&other_ca, sans, 1, NULL, NULL);
	nameless = serve(&ca, "DNS:kubernetes.default", 1, NULL, NULL);
	expired = serve(&ca, sans, -1, NULL, NULL);
	picky = serve(&ca, sans, 1, ca.cert_pem, NULL);
	ipv6 = serve(&ca, sans, 1, NULL, "::1");
	mute = tls_server_start(&nothing);
	return good.port && mute.port ? 0 : -1;
}

static int stop_servers(void **state)
{
	struct tls_server *servers[] = {&good, &second, &nameless, &expired, &picky, &mute, &ipv6};

	(void)state;
	for (size_t i = 0; i < sizeof servers / sizeof *servers; i++)
		tls_server_stop(servers[i]);
	tls_identity_clear(&ca);
	tls_identity_clear(&other_ca);
	tls_identity_clear(&client_identity);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_chunks),
	    TEST(test_request_head),
	    TEST(test_no_token),
	    TEST(test_base_path),
	    TEST(test_forbidden),
	    TEST(test_retry_after),
	    TEST(test_warning_after_1xx),
	    TEST(test_redirect_is_not_followed),
	    TEST(test_big_body_in_small_turns),
	    TEST(test_end_it_late_in_big_body),
	    TEST(test_end_it_after_pause),
	    TEST(test_cancel_another),
	    TEST(test_own_connection),
	    TEST(test_another_get_from_done),
	    TEST(test_host_by_name),
	    TEST(test_host_by_ipv6),
	    TEST(test_refused),
	    TEST(test_closed_during_handshake),
	    TEST(test_no_such_host),
	    TEST(test_lookup_ends),
	    TEST(test_connect_deadline),
	    TEST(test_connect_deadline_of_tcp),
	    TEST(test_socket_that_cannot_be_watched),
	    TEST(test_wrong_ca),
	    TEST(test_no_ip_san),
	    TEST(test_expired),
	    TEST(test_ca_rotated),
	    TEST(test_no_ca),
	    TEST(test_garbage_ca),
	    TEST(test_system_ca),
	    TEST(test_tls_server_name),
	    TEST(test_tls_server_name_is_address),
	    TEST(test_client_certificate),
	    TEST(test_key_log_is_switched_off),
	    TEST(test_cut),
	    TEST(test_total_timeout),
	    TEST(test_stop),
	    TEST(test_cancel),
	    TEST(test_cancel_before_start),
	    TEST(test_cancel_under_way),
	    TEST(test_free_client_from_callbacks),
	    TEST(test_proxy_variable),
	};

	return cmocka_run_group_tests_name("http", tests, start_servers, stop_servers);
}
