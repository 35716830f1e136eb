/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_LOG_SYSLOG_H
#define KEPMD_EPMD_LOG_SYSLOG_H

/* Lines to the syslog daemon of this host.  syslog(3) waits when that reads too slowly;
 * this never does. */

#include <stdbool.h>

struct log_syslog {
	const char *path; /* of its datagram socket, usually _PATH_LOG; borrowed */
	int fd;           /* connected to it, or -1 */
};

/* Sends LINE with PRIORITY (LOG_ERR, ... as syslog(3) has them) under the name "epmd", in the
 * form of RFC 3164, section 4.1.  Connects first where there is no connection or the daemon has
 * begun anew.  False when the line is lost. */
bool log_syslog_send(struct log_syslog *to, int priority, const char *line);

#endif
