/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "epmd/answer.h"
#include "epmd/conn.h"
#include "epmd/limits.h"
#include "epmd/metrics.h"
#include "epmd/sockaddr.h"

#define HERE "127.0.0.1"
#define ELSEWHERE "192.0.2.1"
#define CLIENTS 16
#define ANSWER_SIZE 3000000

/* Memory that runs out (linked with --wrap=malloc, calloc and realloc): how many calls from now on succeed,
 * and how many fail after those. */
static unsigned good, bad;
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool is_out(void)
{
	if (good > 0) {
		good--;
		return false;
	}
	if (bad == 0)
		return false;
	bad--;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return bad && is_out() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return bad && is_out() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return bad && is_out() ? NULL : __real_realloc(memory, size);
}

/* A pool, and clients of it.  ALIVE2 registers (or, with PORT 0, is refused), NAMES is answered at
 * length. */
struct scene {
	struct event_base *base;
	struct conn_pool *pool;
	int clients[CLIENTS];
	unsigned n;
	unsigned registered;
	unsigned shed[CONN_SHED_KINDS];
	size_t answer_size;
	struct answer *shared; /* the answer for all, if any */
	bool sheds; /* a registration takes all that others have */
};

static void answer_long(struct scene *s, struct conn_reply *reply)
{
	reply->after = CONN_CLOSE;
	if (s->shared) {
		conn_reply_share(reply, s->shared);
		return;
	}
	uint8_t *room = conn_reply_room(reply, s->answer_size);

	if (!room)
		return;
	memset(room, 'x', s->answer_size);
	conn_reply_added(reply, s->answer_size);
}

static void on_request(void *arg, struct conn *conn, const struct epmd_request *request,
                       struct conn_reply *reply)
{
	struct scene *s = arg;

	if (request->code == EPMD_NAMES_REQ) {
		answer_long(s, reply);
		return;
	}
	if (!conn_may_register(conn))
		return;
	while (s->sheds && conn_shed_other(conn))
		;
	if (request->node.port > 0) {
		conn_set_tag(conn, s);
		s->registered++;
	}
	*conn_reply_room(reply, 1) = 'v';
	conn_reply_added(reply, 1);
	reply->after = CONN_HOLD;
}

static void on_bad_request(void *arg, struct conn *conn, enum epmd_decode why)
{
	(void)arg;
	(void)conn;
	(void)why;
}

static void on_released(void *arg, struct conn *conn)
{
	struct scene *s = arg;

	s->registered -= conn_tag(conn) != NULL;
}

static void on_shed(void *arg, const struct conn *conn, enum conn_shed why)
{
	struct scene *s = arg;

	assert_non_null(conn);
	s->shed[why]++;
}

static int set_up_with(void **state, unsigned young_ms)
{
	const struct conn_settings settings = {
	    .idle_s = 60,
	    .max_connections = 6,
	    .max_per_address = 2,
	    .max_of_loopback = 4,
	    .max_registered = 3,
	    .max_unsent = 2 * (ANSWER_SIZE + LIMITS_KERNEL_UNREAD),
	    .young_ms = young_ms,
	};
	struct scene *s = calloc(1, sizeof(*s));
	const struct conn_events events = {.request = on_request,
	                                   .bad_request = on_bad_request,
	                                   .released = on_released,
	                                   .shed = on_shed,
	                                   .arg = s};

	if (!s)
		return -1;
	*state = s;
	s->answer_size = ANSWER_SIZE;
	s->base = event_base_new();
	s->pool = conn_pool_new(s->base, &settings, &events);
	return s->pool ? 0 : -1;
}

static int set_up(void **state)
{
	return set_up_with(state, 0);
}

/* All who come are young. */
static int set_up_young(void **state)
{
	return set_up_with(state, 3600000);
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	for (unsigned i = 0; i < s->n; i++)
		close(s->clients[i]);
	conn_pool_free(s->pool);
	event_base_free(s->base);
	free(s);
	return 0;
}

/* Tells the number of a new client that comes FROM there and has sent TEXT already. */
static unsigned dial(struct scene *s, const char *from, const void *text, size_t len)
{
	struct sockaddr_any address;
	int pair[2];

	assert_in_range(s->n, 0, CLIENTS - 1);
	assert_true(sockaddr_parse(from, 4711, &address));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	evutil_make_socket_nonblocking(pair[0]);
	if (len)
		assert_int_equal(write(pair[1], text, len), len);
	s->clients[s->n] = pair[1];
	conn_accept(s->pool, pair[0], &address);
	return s->n++;
}

static unsigned idle(struct scene *s, const char *from)
{
	return dial(s, from, NULL, 0);
}

static unsigned ask(struct scene *s, const char *from)
{
	return dial(s, from, "\0\1n", 3);
}

static unsigned enroll(struct scene *s, uint16_t port)
{
	const struct epmd_request request = {
	    .code = EPMD_ALIVE2_REQ,
	    .node = {.port = port, .name = {(const uint8_t *)"a", 1}},
	};
	uint8_t bytes[EPMD_REQUEST_MAX];

	return dial(s, HERE, bytes, epmd_request_encode(&request, bytes, sizeof(bytes)));
}

static void turn(struct scene *s)
{
	event_base_loop(s->base, EVLOOP_NONBLOCK);
}

/* The pool has closed it, and all there was to read is read. */
static bool is_closed(struct scene *s, unsigned client)
{
	static char bytes[1000];
	ssize_t n;

	while ((n = recv(s->clients[client], bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		;
	return n == 0 || errno != EAGAIN;
}

static void the_oldest_of_an_address_makes_way(void **state)
{
	struct scene *s = *state;
	unsigned other = idle(s, "192.0.2.2"), first = idle(s, ELSEWHERE),
		 second = idle(s, ELSEWHERE);

	assert_int_equal(s->shed[CONN_SHED_ADDRESS], 0);
	unsigned third = idle(s, ELSEWHERE);
	assert_int_equal(s->shed[CONN_SHED_ADDRESS], 1);
	assert_true(is_closed(s, first));
	assert_false(is_closed(s, second) || is_closed(s, third) || is_closed(s, other));
}

static void loopback_may_have_all_that_others_leave(void **state)
{
	static const char *const from[] = {HERE, "127.9.9.9", "::1", HERE, "::1"};
	struct scene *s = *state;
	unsigned other = idle(s, ELSEWHERE);

	for (size_t i = 0; i < 5; i++)
		assert_false(is_closed(s, idle(s, from[i])));
	assert_false(is_closed(s, other + 1));
	/* Then it is who has most of them. */
	idle(s, HERE);
	assert_true(is_closed(s, other + 1));
	assert_false(is_closed(s, other));
	assert_int_equal(s->shed[CONN_SHED_ALL], 1);
}

static void the_oldest_of_all_makes_way(void **state)
{
	static const char *const from[] = {"192.0.2.1",   "192.0.2.2",   "192.0.2.3",
	                                   "2001:db8::1", "2001:db8::2", "2001:db8::3"};
	struct scene *s = *state;

	for (size_t i = 0; i < 6; i++)
		idle(s, from[i]);
	assert_false(is_closed(s, 0));
	idle(s, "192.0.2.4");
	assert_true(is_closed(s, 0));
	assert_false(is_closed(s, 1));
	assert_int_equal(s->shed[CONN_SHED_ALL], 1);
}

static void who_asks_at_once_is_in_nobodys_way(void **state)
{
	struct scene *s = *state;
	unsigned first = idle(s, ELSEWHERE), second = idle(s, ELSEWHERE);

	s->answer_size = 10;
	assert_true(is_closed(s, ask(s, ELSEWHERE)));
	assert_false(is_closed(s, first) || is_closed(s, second));
}

static void send_names_request(struct scene *s, unsigned client)
{
	assert_int_equal(write(s->clients[client], "\0\1n", 3), 3);
}

/* What it sent has come, but the loop has not seen it yet. */
static void who_has_asked_is_answered_and_not_shed(void **state)
{
	struct scene *s = *state;
	unsigned first = idle(s, ELSEWHERE), second = idle(s, ELSEWHERE);
	char answer[100];

	s->answer_size = 10;
	send_names_request(s, first);
	unsigned third = idle(s, ELSEWHERE);
	assert_int_equal(recv(s->clients[first], answer, sizeof(answer), MSG_DONTWAIT), 10);
	assert_true(is_closed(s, first));
	assert_int_equal(s->shed[CONN_SHED_ADDRESS], 0);

	/* The same for want of a descriptor. */
	send_names_request(s, second);
	assert_true(conn_pool_shed(s->pool));
	assert_int_equal(recv(s->clients[second], answer, sizeof(answer), MSG_DONTWAIT), 10);
	assert_true(is_closed(s, second));
	assert_false(is_closed(s, third));
	assert_int_equal(s->shed[CONN_SHED_STARVED], 0);
}

static void half_a_question_is_none(void **state)
{
	struct scene *s = *state;
	unsigned first = idle(s, HERE);

	assert_int_equal(write(s->clients[first], "\0\1", 2), 2);
	assert_true(conn_pool_shed(s->pool));
	assert_true(is_closed(s, first));
	assert_int_equal(s->shed[CONN_SHED_STARVED], 1);
}

/* Its descriptor is not free then: the next one's is. */
static void one_that_registers_at_the_last_moment_stays(void **state)
{
	const struct epmd_request request = {
	    .code = EPMD_ALIVE2_REQ,
	    .node = {.port = 1, .name = {(const uint8_t *)"a", 1}},
	};
	struct scene *s = *state;
	uint8_t bytes[EPMD_REQUEST_MAX];
	unsigned node = idle(s, HERE), other = idle(s, HERE);
	ssize_t len = (ssize_t)epmd_request_encode(&request, bytes, sizeof(bytes));

	assert_int_equal(write(s->clients[node], bytes, (size_t)len), len);
	assert_true(conn_pool_shed(s->pool));
	assert_false(is_closed(s, node));
	assert_true(is_closed(s, other));
	assert_int_equal(s->registered, 1);
}

/* Its answer is too long for its socket: it has had its turn, and goes with the next. */
static void one_that_does_not_read_its_answer_goes(void **state)
{
	struct scene *s = *state;
	unsigned client = idle(s, HERE);

	send_names_request(s, client);
	assert_true(conn_pool_shed(s->pool));
	assert_true(is_closed(s, client));
	assert_false(conn_pool_shed(s->pool));
	assert_int_equal(s->shed[CONN_SHED_STARVED], 1);
}

/* While there are descriptors: twice as many are too many for them too. */
static void the_young_have_a_moment(void **state)
{
	struct scene *s = *state;

	for (unsigned i = 0; i < 12; i++)
		idle(s, HERE);
	assert_int_equal(s->shed[CONN_SHED_ALL], 0);
	idle(s, HERE);
	assert_int_equal(s->shed[CONN_SHED_ALL], 1);
	assert_true(is_closed(s, 0));
	assert_false(is_closed(s, 1));
	assert_true(conn_pool_shed(s->pool));
	assert_true(is_closed(s, 1));
}

static void the_young_elsewhere_have_none(void **state)
{
	struct scene *s = *state;

	for (unsigned i = 0; i < 3; i++)
		idle(s, ELSEWHERE);
	assert_int_equal(s->shed[CONN_SHED_ADDRESS], 1);
}

static void who_is_gone_is_not_counted(void **state)
{
	struct scene *s = *state;

	for (unsigned i = 0; i < 8; i++) {
		unsigned client = idle(s, ELSEWHERE);
		shutdown(s->clients[client], SHUT_RDWR);
		turn(s);
		assert_true(is_closed(s, client));
	}
	assert_int_equal(s->shed[CONN_SHED_ADDRESS], 0);
}

static void a_registration_never_makes_way(void **state)
{
	struct scene *s = *state;
	unsigned node = enroll(s, 1);

	for (unsigned i = 0; i < 8; i++)
		idle(s, HERE);
	while (conn_pool_shed(s->pool))
		;
	assert_false(is_closed(s, node));
	assert_int_equal(s->registered, 1);
}

static void a_node_may_have_the_memory_of_others(void **state)
{
	struct scene *s = *state;
	unsigned first = idle(s, HERE), second = idle(s, ELSEWHERE);

	s->sheds = true;
	assert_false(is_closed(s, enroll(s, 1)));
	assert_true(is_closed(s, first) && is_closed(s, second));
	assert_int_equal(s->shed[CONN_SHED_STARVED], 2);
}

static void one_that_was_refused_does(void **state)
{
	struct scene *s = *state;
	unsigned node = enroll(s, 0);

	assert_false(is_closed(s, node));
	assert_true(conn_pool_shed(s->pool));
	assert_true(is_closed(s, node));
	assert_false(conn_pool_shed(s->pool));
}

static void registrations_have_an_end(void **state)
{
	struct scene *s = *state;
	unsigned first = enroll(s, 1);

	enroll(s, 2);
	enroll(s, 3);
	assert_true(is_closed(s, enroll(s, 4)));
	shutdown(s->clients[first], SHUT_RDWR);
	turn(s);
	assert_false(is_closed(s, enroll(s, 5)));
	assert_int_equal(s->registered, 3);
}

static void who_waits_longest_to_read_makes_way(void **state)
{
	struct scene *s = *state;
	unsigned first = ask(s, "192.0.2.1"), second = ask(s, "192.0.2.2");

	assert_int_equal(s->shed[CONN_SHED_SLOW], 0);
	unsigned third = ask(s, "192.0.2.3");
	assert_int_equal(s->shed[CONN_SHED_SLOW], 1);
	assert_true(is_closed(s, first));
	for (int i = 0; i < 1000 && !is_closed(s, second); i++)
		turn(s);
	assert_true(is_closed(s, second));
	assert_false(is_closed(s, third));
	/* What was read counts no more. */
	ask(s, "192.0.2.1");
	assert_int_equal(s->shed[CONN_SHED_SLOW], 1);
}

/* What they are told is there once, and counts once; and no more when the last has gone. */
static void who_waits_for_the_same_is_in_nobodys_way(void **state)
{
	struct scene *s = *state;
	char where[] = "192.0.2.1";
	unsigned client = 0;

	s->shared = answer_new(ANSWER_SIZE);
	memset(s->shared->bytes, 'x', ANSWER_SIZE);
	for (; where[8] <= '6'; where[8]++)
		client = ask(s, where);
	assert_int_equal(s->shed[CONN_SHED_SLOW], 0);
	assert_int_equal(s->shared->waiting, 6);
	/* Another's is shed for it; the one that all of them have goes with the last of them. */
	s->answer_size = 2 * ANSWER_SIZE;
	answer_unref(s->shared);
	s->shared = NULL;
	unsigned other = ask(s, HERE);
	assert_true(s->shed[CONN_SHED_SLOW] > 0);
	assert_true(is_closed(s, client));
	assert_false(is_closed(s, other));
}

static void an_answer_over_the_bound_is_not_kept(void **state)
{
	struct scene *s = *state;

	s->answer_size = 3 * ANSWER_SIZE;
	assert_true(is_closed(s, ask(s, ELSEWHERE)));
	assert_int_equal(s->shed[CONN_SHED_SLOW], 1);
}

/* Those who hold memory give it to whoever comes now. */
static void without_memory_the_oldest_makes_way(void **state)
{
	struct scene *s = *state;
	unsigned first = idle(s, ELSEWHERE);

	s->answer_size = 10;
	bad = 1;
	assert_true(is_closed(s, ask(s, HERE)));
	assert_int_equal(bad, 0);
	assert_true(is_closed(s, first));
	assert_int_equal(s->shed[CONN_SHED_STARVED], 1);
}

static void without_memory_at_all_who_comes_is_closed(void **state)
{
	struct scene *s = *state;
	uint64_t before = metrics_counters[METRIC_REFUSED_NO_MEMORY];
	unsigned node = enroll(s, 1);

	bad = 1;
	unsigned client = idle(s, HERE);
	assert_true(is_closed(s, client));
	assert_int_equal(metrics_counters[METRIC_REFUSED_NO_MEMORY], before + 1);
	assert_false(is_closed(s, node));
}

/* Whichever allocation fails: an idle connection, half a request, a long answer.  Nothing else is
 * lost, and the next is served. */
static void whichever_allocation_fails_the_next_is_served(void **state)
{
	struct scene *s = *state;
	unsigned node = enroll(s, 1);

	for (unsigned i = 0; i < 6; i++) {
		static const char *const requests[] = {"", "\0", "\0\1n"};
		for (size_t kind = 0; kind < 3; kind++) {
			good = i;
			bad = 1;
			dial(s, ELSEWHERE, requests[kind], kind == 2 ? 3 : kind);
			turn(s);
			good = bad = 0;
			close(s->clients[--s->n]);
			turn(s);
		}
	}
	s->answer_size = 10;
	assert_true(is_closed(s, ask(s, ELSEWHERE)));
	assert_false(is_closed(s, node));
	assert_int_equal(s->registered, 1);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define YOUNG(function) cmocka_unit_test_setup_teardown(function, set_up_young, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(the_oldest_of_an_address_makes_way),
	    TEST(loopback_may_have_all_that_others_leave),
	    TEST(the_oldest_of_all_makes_way),
	    TEST(who_asks_at_once_is_in_nobodys_way),
	    TEST(who_has_asked_is_answered_and_not_shed),
	    TEST(half_a_question_is_none),
	    TEST(one_that_registers_at_the_last_moment_stays),
	    TEST(one_that_does_not_read_its_answer_goes),
	    YOUNG(the_young_have_a_moment),
	    YOUNG(the_young_elsewhere_have_none),
	    TEST(who_is_gone_is_not_counted),
	    TEST(a_registration_never_makes_way),
	    TEST(a_node_may_have_the_memory_of_others),
	    TEST(one_that_was_refused_does),
	    TEST(registrations_have_an_end),
	    TEST(who_waits_longest_to_read_makes_way),
	    TEST(who_waits_for_the_same_is_in_nobodys_way),
	    TEST(an_answer_over_the_bound_is_not_kept),
	    TEST(without_memory_the_oldest_makes_way),
	    TEST(without_memory_at_all_who_comes_is_closed),
	    TEST(whichever_allocation_fails_the_next_is_served),
	};

	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
