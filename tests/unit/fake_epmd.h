/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_TESTS_FAKE_EPMD_H
#define KEPMD_TESTS_FAKE_EPMD_H

/* A peer's epmd, on the test's own loop: whatever it is asked, it gives its answers one after
 * the other, and begins again. */

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <event2/listener.h>

#define FAKE_EPMD_ADDRESS "127.0.0.1"
#define FAKE_EPMD_ANSWERS_MAX 4
#define FAKE_EPMD_CLIENTS_MAX 8

struct bufferevent;

struct fake_epmd {
	struct event_base *base;
	struct evconnlistener *listener;
	uint16_t port;
	struct {
		const void *bytes; /* borrowed */
		size_t len;
	} answers[FAKE_EPMD_ANSWERS_MAX];
	size_t n_answers;
	size_t n_asked;
	struct bufferevent *clients[FAKE_EPMD_CLIENTS_MAX]; /* NULL: free */
};

/* Returns 0, or -1. */
int fake_epmd_listen(struct fake_epmd *fake, struct event_base *base);
void fake_epmd_will_answer(struct fake_epmd *fake, const void *bytes, size_t len);
/* Runs the loop until N questions have been answered, and what came of it has been heeded: the
 * next question has come. */
void fake_epmd_run(struct fake_epmd *fake, size_t n);
void fake_epmd_close(struct fake_epmd *fake);

#endif
