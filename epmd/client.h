/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_CLIENT_H
#define KEPMD_EPMD_CLIENT_H

/* The commands that ask a running epmd: -names, -started, -dump, -kill, -stop, whose
 * output and exit status are stock epmd's (OTP 25), which scripts rely on; and ours,
 * -peers, -doctor and -join. */

#include "options.h"

/* Seconds that it waits for what comes next: who accepts and never answers must not hold a script
 * for ever. */
#define CLIENT_PATIENCE_S 10

/* Runs OPTIONS->command and returns the exit status. */
int client_run(const struct options *options);

#endif
