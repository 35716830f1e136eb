/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "epmd/sockaddr.h"
#include "proto/epmd_msg.h"

/* The clients that scripts/bench measures an epmd with, on 127.0.0.1.
 *
 *   load -port PORT ask WHAT CLIENTS COUNT   COUNT requests, CLIENTS of them under way at any time,
 *                                            each on a connection of its own, until its end
 *   load -port PORT storm CLIENTS            as many connections, all open before the first asks
 *   load -port PORT hold FIRST COUNT         registers node FIRST... and keeps them until stdin ends
 *
 * WHAT is a name to look up, or "NAMES", or "ALIVE2": a registration that ends at its answer, or "CHANGE":
 * these two in turn.
 * Prints one line of JSON; for hold once all are registered.  Times are in microseconds.  A request that
 * failed (refused, no answer within 30 s, or none that ends as it should) is counted, and has no time. */

#define REQUEST_MAX 64
#define TIMEOUT_MS 30000
#define EVENTS_MAX 256
/* Held connections come from addresses of their own, so many from each: where most of an address's ports are
 * in use, the kernel takes long to find the next. */
#define HELD_FROM "127.0.1.%zu"
#define HELD_FROM_EACH 4000

enum what { LOOK_UP, NAMES, ALIVE2, CHANGE };

struct client {
	int fd;
	enum what what; /* but CHANGE */
	bool sent;
	size_t got;
	uint64_t begun_ns;
};

struct load {
	struct sockaddr_any server;
	enum what what;
	const char *name;
	int epoll;
	struct client *clients;
	size_t count; /* how many requests there are to be */
	size_t begun, asked, ended, failed;
	uint32_t *times_us; /* of those that did not fail */
	size_t times;
};

static void die(const char *why)
{
	perror(why);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct wire_bytes text(const char *string)
{
	return (struct wire_bytes){(const uint8_t *)string, strlen(string)};
}

static size_t encode_alive2(const char *name, uint8_t *bytes, size_t size)
{
	struct epmd_request request = {
	    .code = EPMD_ALIVE2_REQ,
	    .node = {.port = 40000, .type = EPMD_NODE_VISIBLE, .highest = 6, .lowest = 5},
	};

	request.node.name = text(name);
	return epmd_request_encode(&request, bytes, size);
}

static size_t encode(const struct load *load, enum what what, size_t number, uint8_t *bytes,
                     size_t size)
{
	struct epmd_request request = {.code = EPMD_PORT2_REQ};
	char name[32];

	if (what == ALIVE2) {
		snprintf(name, sizeof(name), "guest%zu", number);
		return encode_alive2(name, bytes, size);
	}
	if (what == NAMES)
		request.code = EPMD_NAMES_REQ;
	else
		request.name = text(load->name);
	return epmd_request_encode(&request, bytes, size);
}

/* From FROM, if any. */
static int open_socket(const struct load *load, int flags, const char *from)
{
	struct sockaddr_any own;
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		die("socket");
	if (from && (!sockaddr_parse(from, 0, &own) ||
	             setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
	             bind(fd, (const struct sockaddr *)&own.storage, own.len) < 0))
		die(from);
	if (connect(fd, (const struct sockaddr *)&load->server.storage, load->server.len) == 0 ||
	    errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

/* --- ask and storm --------------------------------------------------------------- */

static void watch(const struct load *load, struct client *client, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = client};

	if (epoll_ctl(load->epoll, operation, client->fd, &event) < 0)
		die("epoll_ctl");
}

static void begin(struct load *load, struct client *client)
{
	while (load->begun < load->count) {
		load->begun++;
		client->begun_ns = now_ns();
		client->sent = false;
		client->got = 0;
		client->fd = open_socket(load, SOCK_NONBLOCK, NULL);
		if (client->fd >= 0) {
			watch(load, client, EPOLL_CTL_ADD, EPOLLOUT);
			return;
		}
		load->failed++;
		load->ended++;
	}
}

static void end(struct load *load, struct client *client, bool answered)
{
	if (answered)
		load->times_us[load->times++] = (uint32_t)((now_ns() - client->begun_ns) / 1000);
	else
		load->failed++;
	load->ended++;
	close(client->fd);
	client->fd = -1;
}

static bool ask(struct load *load, struct client *client)
{
	uint8_t bytes[REQUEST_MAX];
	size_t number = load->asked++;

	client->what = load->what == CHANGE ? (number % 2 ? NAMES : ALIVE2) : load->what;
	size_t len = encode(load, client->what, number, bytes, sizeof(bytes));
	client->sent = true;
	return send(client->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* True when CLIENT has ended. */
static bool go_on(struct load *load, struct client *client)
{
	static uint8_t bytes[1 << 16];

	if (!client->sent) {
		if (!ask(load, client)) {
			end(load, client, false);
			return true;
		}
		watch(load, client, EPOLL_CTL_MOD, EPOLLIN);
		return false;
	}
	ssize_t n = recv(client->fd, bytes, sizeof(bytes), 0);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n > 0)
		client->got += (size_t)n;
	/* Whoever registered is not closed: the answer is all that is to come. */
	if (n > 0 && client->what != ALIVE2)
		return false;
	end(load, client, client->got > 0 && n >= 0);
	return true;
}

/* Until all requests have ended, or nothing moves any more. */
static void run(struct load *load, bool again)
{
	struct epoll_event events[EVENTS_MAX];

	while (load->ended < load->count) {
		int n = epoll_wait(load->epoll, events, EVENTS_MAX, TIMEOUT_MS);
		if (n == 0) {
			load->failed += load->count - load->ended;
			return;
		}
		for (int i = 0; i < n; i++)
			if (go_on(load, events[i].data.ptr) && again)
				begin(load, events[i].data.ptr);
	}
}

static int by_size(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

static uint32_t quantile(const struct load *load, double part)
{
	if (load->times == 0)
		return 0;
	return load->times_us[(size_t)((double)(load->times - 1) * part)];
}

static void report(struct load *load, uint64_t took_ns)
{
	qsort(load->times_us, load->times, sizeof(*load->times_us), by_size);
	printf("{\"answered\": %zu, \"failed\": %zu, \"took\": %.1f, \"p50\": %u, \"p99\": %u, "
	       "\"p999\": %u, \"max\": %u}\n",
	       load->times, load->failed, (double)took_ns / 1000, quantile(load, 0.5),
	       quantile(load, 0.99), quantile(load, 0.999), quantile(load, 1));
}

static void run_clients(struct load *load, size_t clients, bool storm)
{
	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	load->clients = calloc(clients, sizeof(*load->clients));
	load->times_us = calloc(load->count, sizeof(*load->times_us));
	if (load->epoll < 0 || !load->clients || !load->times_us)
		die("load");

	uint64_t begun_ns = now_ns();
	for (size_t i = 0; i < clients; i++)
		begin(load, &load->clients[i]);
	run(load, !storm);
	report(load, now_ns() - begun_ns);
}

/* --- hold ------------------------------------------------------------------------ */

static bool hold_one(const struct load *load, size_t number)
{
	uint8_t bytes[REQUEST_MAX];
	char name[32], from[32];

	snprintf(from, sizeof(from), HELD_FROM, 1 + number / HELD_FROM_EACH);
	snprintf(name, sizeof(name), "node%zu", number);
	int fd = open_socket(load, 0, from);
	size_t len = encode_alive2(name, bytes, sizeof(bytes));
	return fd >= 0 && send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len &&
	       recv(fd, bytes, sizeof(bytes), 0) > 1 && bytes[1] == 0;
}

static int hold(const struct load *load, size_t first, size_t count)
{
	size_t held = 0;
	char byte;

	while (held < count && hold_one(load, first + held))
		held++;
	printf("{\"answered\": %zu, \"failed\": %zu}\n", held, count - held);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

/* --- all ------------------------------------------------------------------------- */

static size_t number(const char *argument)
{
	char *end;
	unsigned long value = strtoul(argument, &end, 10);

	if (*end || !*argument)
		die(argument);
	return value;
}

static int usage(void)
{
	fputs("usage: load -port PORT ask NAME|NAMES|ALIVE2|CHANGE CLIENTS COUNT\n"
	      "       load -port PORT storm CLIENTS\n"
	      "       load -port PORT hold FIRST COUNT\n",
	      stderr);
	return 2;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("setrlimit");
}

int main(int argc, char *argv[])
{
	struct load load = {.what = LOOK_UP, .name = "node0"};

	if (argc < 4 || strcmp(argv[1], "-port") != 0)
		return usage();
	raise_descriptor_limit();
	if (!sockaddr_parse("127.0.0.1", (uint16_t)number(argv[2]), &load.server))
		return usage();
	if (strcmp(argv[3], "ask") == 0 && argc == 7) {
		load.name = argv[4];
		if (strcmp(load.name, "NAMES") == 0)
			load.what = NAMES;
		else if (strcmp(load.name, "ALIVE2") == 0)
			load.what = ALIVE2;
		else if (strcmp(load.name, "CHANGE") == 0)
			load.what = CHANGE;
		load.count = number(argv[6]);
		run_clients(&load, number(argv[5]), false);
		return 0;
	}
	if (strcmp(argv[3], "storm") == 0 && argc == 5) {
		load.count = number(argv[4]);
		run_clients(&load, load.count, true);
		return 0;
	}
	if (strcmp(argv[3], "hold") == 0 && argc == 6)
		return hold(&load, number(argv[4]), number(argv[5]));
	return usage();
}
