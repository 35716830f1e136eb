/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_SERVER_H
#define KEPMD_EPMD_SERVER_H

/* The epmd server: listening sockets, connections, registry and requests put
 * together on one event loop. */

#include "listener.h"
#include "options.h"
#include "request.h"

struct admission;
struct event_base;
struct server;

/* Serves the sockets of LISTENERS, which it takes over when it succeeds.  NULL when memory is
 * out.  CONTROL and ADMISSION are borrowed.  CONN_QUIT ends the loop of BASE. */
struct server *server_new(struct event_base *base, const struct options *options,
                          const struct listener_set *listeners, enum names_shown names_shown,
                          const struct control *control, const struct admission *admission);
void server_free(struct server *server);

/* FN is called when a client has ended the daemon (KILL), before the client is told so: the
 * listening sockets are closed then, so that the port is free as soon as the client knows. */
void server_on_quit(struct server *server, void (*fn)(void *arg), void *arg);

struct registry *server_registry(struct server *server);
struct conn_counts server_connections(const struct server *server);

#endif
