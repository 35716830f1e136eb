/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "service.h"

/* sd_listen_fds(3): SD_LISTEN_FDS_START */
#define FIRST_PASSED_FD 3

static long number_of(const char *variable)
{
	const char *text = getenv(variable);
	char *end;

	if (!text || !*text)
		return -1;
	long value = strtol(text, &end, 10);
	return *end ? -1 : value;
}

int service_sockets(int *first)
{
	int n = 0;

	if (getenv("LISTEN_PID") && getenv("LISTEN_FDS")) {
		long pid = number_of("LISTEN_PID"), fds = number_of("LISTEN_FDS");
		if (pid < 0 || fds < 0 || fds > 1024)
			n = -1;
		else if (pid == (long)getpid())
			n = (int)fds;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	*first = FIRST_PASSED_FD;
	return n;
}

unsigned service_watchdog_ms(void)
{
	long pid = number_of("WATCHDOG_PID"), us = number_of("WATCHDOG_USEC");
	bool ours = !getenv("WATCHDOG_PID") || pid == (long)getpid();

	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	/* Twice at least in the time it gives. */
	return ours && us >= 3000 && us / 3000 <= INT_MAX ? (unsigned)(us / 3000) : 0;
}

int service_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (!path || !*path)
		return 0;
	size_t len = strlen(path);
	if (len >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, len);
	/* A leading @ stands for an abstract name. */
	if (path[0] == '@')
		address.sun_path[0] = '\0';

	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
	                      (const struct sockaddr *)&address, size);
	int why = errno;
	close(fd);
	errno = why;
	return sent < 0 ? -1 : 0;
}
