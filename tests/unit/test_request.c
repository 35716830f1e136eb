/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "epmd/request.h"
#include "epmd/sockaddr.h"
#include "log_file.h"

#define NAME "a@10.0.0.7"

struct scene {
	struct event_base *base;
	struct request_context context;
	struct listings listings;
	struct conn_pool *conns;
	int client;
	struct log_file log;
};

static void on_request(void *arg, struct conn *conn, const struct epmd_request *request,
                       struct conn_reply *reply)
{
	const struct scene *s = arg;

	request_handle(&s->context, conn, request, reply);
}

static int set_up(void **state)
{
	static const struct conn_settings settings = {
	    .idle_s = 60,
	    .max_connections = 1,
	    .max_per_address = 1,
	    .max_of_loopback = 1,
	    .max_registered = 1,
	    .max_unsent = 1000000,
	};
	struct scene *s = calloc(1, sizeof(*s));
	const struct conn_events events = {.request = on_request, .arg = s};
	const struct sockaddr_any from = {.len = 0};
	int pair[2];

	*state = s;
	s->base = event_base_new();
	s->context.registry = registry_new(1);
	s->context.listings = &s->listings;
	listings_init(&s->listings, s->context.registry);
	s->conns = conn_pool_new(s->base, &settings, &events);
	if (!s->conns || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return -1;
	evutil_make_socket_nonblocking(pair[0]);
	conn_accept(s->conns, pair[0], &from);
	s->client = pair[1];
	return log_file_open(&s->log);
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	close(s->client);
	conn_pool_free(s->conns);
	listings_clear(&s->listings);
	registry_free(s->context.registry);
	event_base_free(s->base);
	log_file_remove(&s->log);
	free(s);
	return 0;
}

static struct wire_bytes bytes(const char *text)
{
	return (struct wire_bytes){(const uint8_t *)text, strlen(text)};
}

static void discover(struct scene *s, size_t extra_len)
{
	static const uint8_t extra[4000];
	const struct epmd_node node = {
	    .port = 41001, .name = bytes(NAME), .extra = {extra, extra_len}};

	assert_int_equal(registry_put_discovered(s->context.registry, &node, s), 0);
}

/* How many bytes PORT2 is answered for NAME before the connection's end. */
static ssize_t ask(struct scene *s)
{
	const struct epmd_request request = {.code = EPMD_PORT2_REQ, .name = bytes(NAME)};
	uint8_t asked[EPMD_REQUEST_MAX], answer[4096];
	size_t len = epmd_request_encode(&request, asked, sizeof(asked));

	assert_int_equal(write(s->client, asked, len), len);
	event_base_loop(s->base, EVLOOP_ONCE);
	return recv(s->client, answer, sizeof(answer), MSG_DONTWAIT);
}

static void port2_tells_a_discovered_node(void **state)
{
	struct scene *s = *state;

	discover(s, EPMD_EXTRA_MAX);
	assert_int_equal(ask(s), 14 + strlen(NAME) + EPMD_EXTRA_MAX);
}

static void a_node_too_long_for_an_answer_is_said(void **state)
{
	struct scene *s = *state;

	discover(s, 3000);
	assert_int_equal(ask(s), 0);
	assert_int_equal(log_file_count(&s->log, NAME " is too long for an answer"), 1);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(port2_tells_a_discovered_node),
	    TEST(a_node_too_long_for_an_answer_is_said),
	};

	return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
