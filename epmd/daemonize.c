/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemonize.h"

/* Descriptors looked at where the kernel has no close_range(2) (before Linux 5.9). */
#define OLD_KERNEL_FDS 1024

void daemonize_close_inherited(void)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, 3u, ~0u, 0u) == 0)
		return;
#endif
	for (int fd = 3; fd < OLD_KERNEL_FDS; fd++)
		close(fd);
}

static void detach_streams(void)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0)
		return;
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

int daemonize(void)
{
	pid_t between = fork();

	if (between < 0)
		return -1;
	if (between > 0) {
		int status;
		while (waitpid(between, &status, 0) < 0 && errno == EINTR)
			;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			_exit(0);
		errno = EAGAIN;
		return -1;
	}
	/* A session leader could get a terminal again, its child cannot. */
	setsid();
	pid_t daemon = fork();
	if (daemon != 0)
		_exit(daemon < 0);
	signal(SIGHUP, SIG_IGN);
	umask(022);
	if (chdir("/") < 0)
		_exit(1);
	detach_streams();
	return 0;
}
