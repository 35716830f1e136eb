/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_DAEMON_H
#define KEPMD_EPMD_DAEMON_H

/* The daemon from its start to its end: binds, judges the settings, detaches,
 * serves. */

#include "options.h"

/* Runs until SIGTERM, SIGINT or an allowed KILL; returns the exit status.  A port
 * that is taken ends it with 0, as with stock, unless it runs in the foreground with
 * discovery on: a sidecar that does nothing must not look alive. */
int daemon_run(const struct options *options);

#endif
