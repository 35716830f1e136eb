/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_DAEMONIZE_H
#define KEPMD_EPMD_DAEMONIZE_H

/* Detaches the process: a session of its own, no terminal, / as its folder,
 * /dev/null as its standard streams.  Returns 0 in the daemon; the caller's process
 * ends with status 0 within this call and has reaped the one in between, so that
 * no zombie is left whoever is PID 1.  Returns -1 with errno set, in the caller's
 * process, when it cannot fork.  Call it before any thread or event loop. */
int daemonize(void);

/* Closes all descriptors but the standard streams: a daemon that kept its starter's
 * pipe open would keep whoever reads it waiting. */
void daemonize_close_inherited(void);

#endif
