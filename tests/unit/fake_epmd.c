/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "epmd/sockaddr.h"
#include "fake_epmd.h"

static struct bufferevent **find_client(struct fake_epmd *fake, const struct bufferevent *wanted)
{
	for (size_t i = 0; i < FAKE_EPMD_CLIENTS_MAX; i++)
		if (fake->clients[i] == wanted)
			return &fake->clients[i];
	abort();
}

static void on_sent(struct bufferevent *buffered, void *arg)
{
	*find_client(arg, buffered) = NULL;
	bufferevent_free(buffered);
}

static void on_request(struct bufferevent *buffered, void *arg)
{
	struct fake_epmd *fake = arg;
	size_t turn = fake->n_asked++ % fake->n_answers;

	evbuffer_drain(bufferevent_get_input(buffered), SIZE_MAX);
	bufferevent_setcb(buffered, NULL, on_sent, NULL, fake);
	bufferevent_write(buffered, fake->answers[turn].bytes, fake->answers[turn].len);
}

static void on_client(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                      int len, void *arg)
{
	struct fake_epmd *fake = arg;
	struct bufferevent *buffered =
	    bufferevent_socket_new(fake->base, fd, BEV_OPT_CLOSE_ON_FREE);

	(void)listener;
	(void)from;
	(void)len;
	*find_client(fake, NULL) = buffered;
	bufferevent_setcb(buffered, on_request, NULL, NULL, fake);
	bufferevent_enable(buffered, EV_READ);
}

int fake_epmd_listen(struct fake_epmd *fake, struct event_base *base)
{
	struct sockaddr_any address;

	sockaddr_parse(FAKE_EPMD_ADDRESS, 0, &address);
	fake->base = base;
	fake->listener = evconnlistener_new_bind(base, on_client, fake, LEV_OPT_CLOSE_ON_FREE, -1,
	                                         (const struct sockaddr *)&address.storage,
	                                         (int)address.len);
	if (!fake->listener ||
	    getsockname(evconnlistener_get_fd(fake->listener),
	                (struct sockaddr *)&address.storage, &address.len) < 0)
		return -1;
	fake->port = sockaddr_port(&address);
	return 0;
}

void fake_epmd_will_answer(struct fake_epmd *fake, const void *bytes, size_t len)
{
	fake->answers[fake->n_answers].bytes = bytes;
	fake->answers[fake->n_answers++].len = len;
}

void fake_epmd_run(struct fake_epmd *fake, size_t n)
{
	while (fake->n_asked <= n)
		event_base_loop(fake->base, EVLOOP_ONCE);
}

void fake_epmd_close(struct fake_epmd *fake)
{
	for (size_t i = 0; i < FAKE_EPMD_CLIENTS_MAX; i++)
		if (fake->clients[i])
			bufferevent_free(fake->clients[i]);
	if (fake->listener)
		evconnlistener_free(fake->listener);
	fake->listener = NULL;
}
