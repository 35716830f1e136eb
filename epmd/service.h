/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_SERVICE_H
#define KEPMD_EPMD_SERVICE_H

/* Under systemd: sockets that it passes, and telling it that we serve.
 * Rules: sd_listen_fds(3), sd_notify(3); the two are so small that libsystemd would
 * be the larger risk in a static binary. */

#include <stddef.h>

/* The number of sockets passed to this process, from descriptor *FIRST on, or -1
 * when the environment that announces them is malformed.  The variables are
 * removed, so that no child believes them. */
int service_sockets(int *first);

/* Sends STATE ("READY=1") to $NOTIFY_SOCKET.  Returns 0 when sent or when nobody
 * wants to know, else -1 with errno. */
int service_notify(const char *state);

/* How often, in ms, systemd is to be sent "WATCHDOG=1", with time to spare; 0: not at all
 * (sd_watchdog_enabled(3)).  The variables are removed. */
unsigned service_watchdog_ms(void);

#endif
