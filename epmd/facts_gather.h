/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_FACTS_GATHER_H
#define KEPMD_EPMD_FACTS_GATHER_H

#include "control.h"
#include "facts.h"

/* What the daemon behind CONTROL knows at this moment.  Looks at its own memory and this host's
 * addresses only.  Returns 0, or -1 when memory is out.  FACTS is to be cleared in either case,
 * and good until the loop runs again. */
int facts_gather(const struct control *control, struct facts *facts);

/* What can be known without a daemon: the environment. */
int facts_of_client(const struct options *options, struct facts *facts);

/* The settings in effect, into FACTS.  -1 when memory is out. */
int facts_list_settings(const struct control *control, struct facts *facts);

#endif
