/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "log_syslog.h"

#define DATAGRAM_MAX 4096

static void disconnect(struct log_syslog *to)
{
	if (to->fd >= 0)
		close(to->fd);
	to->fd = -1;
}

static bool reconnect(struct log_syslog *to)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(to->path);

	disconnect(to);
	if (len >= sizeof(address.sun_path))
		return false;
	memcpy(address.sun_path, to->path, len + 1);
	to->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (to->fd >= 0 && connect(to->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return true;
	disconnect(to);
	return false;
}

bool log_syslog_send(struct log_syslog *to, int priority, const char *line)
{
	char out[DATAGRAM_MAX], when[32];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(when, sizeof(when), "%b %e %T", &tm);
	int n = snprintf(out, sizeof(out), "<%d>%s epmd[%d]: %s", LOG_DAEMON | priority, when,
	                 (int)getpid(), line);
	if (n < 0)
		return false;
	size_t len = (size_t)n < sizeof(out) ? (size_t)n : sizeof(out) - 1;
	if (to->fd >= 0) {
		if (send(to->fd, out, len, MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EAGAIN || errno == ENOBUFS)
			return false;
	}
	return reconnect(to) && send(to->fd, out, len, MSG_NOSIGNAL) >= 0;
}
