/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_DOCTOR_CLIENT_H
#define KEPMD_EPMD_DOCTOR_CLIENT_H

#include <stddef.h>

#include "facts.h"
#include "options.h"

/* Writes the control command of -doctor to WORDS: with it goes what the asker's environment has
 * to say. */
void doctor_client_words(const struct options *options, char *words, size_t size);

/* -doctor where no daemon can: prints what can be known without it.  DAEMON: who answers.
 * PORT_ERROR: what is wrong with ERL_EPMD_PORT, or "".  Returns the exit status. */
int doctor_client_run(const struct options *options, enum facts_daemon daemon,
                      const char *port_error);

#endif
