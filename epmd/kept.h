/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_KEPT_H
#define KEPMD_EPMD_KEPT_H

/* The server's side of its keeper (keeper.h): tells it that the loop turns, and notices
 * when it is gone.  Without one it tells systemd, if that wants to know (WatchdogSec=). */

#include "keeper.h"

struct event_base;
struct kept;

/* KEEPER is borrowed; its FD is taken over, and -1 once the keeper is gone.  NULL when memory is out. */
struct kept *kept_new(struct event_base *base, struct keeper *keeper);
void kept_free(struct kept *kept);

/* What -join has said, for the server after this one, should there be one. */
void kept_say_join(const struct kept *kept, bool on);

/* This server is about to end: when this returns, the keeper has closed the listening
 * sockets, so that the port is free as soon as our own are closed.  Waits for that, a
 * second at most. */
void kept_let_go(struct kept *kept);

#endif
