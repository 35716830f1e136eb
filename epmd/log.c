/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <paths.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "log_syslog.h"
#include "metrics.h"

#define LINE_MAX_BYTES 2048
#define STAMP_ROOM 64
#define LOST_ROOM 64

/* A pipe that can take anything takes so much. */
_Static_assert(LINE_MAX_BYTES + STAMP_ROOM <= PIPE_BUF, "a line must fit into a pipe");

/* The log is the one thing that every part writes to, so it is the one global. */
static struct {
	enum log_level level;
	enum log_target target;
	int fd;
	struct log_syslog syslog;
	unsigned long lost; /* lines since one got through */
} state = {
    .level = LOG_LEVEL_WARNING,
    .target = LOG_TO_STDERR,
    .fd = STDERR_FILENO,
    .syslog = {.path = _PATH_LOG, .fd = -1},
};

static const struct {
	const char *name;
	int priority;
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", LOG_ERR},
    [LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
    [LOG_LEVEL_INFO] = {"info", LOG_INFO},
    [LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
};

void log_set_level(enum log_level level)
{
	state.level = level;
}

bool log_level_parse(const char *text, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static void set_target(enum log_target target, int fd)
{
	if (state.target == LOG_TO_FILE)
		close(state.fd);
	state.target = target;
	state.fd = fd;
}

int log_open_file(const char *path)
{
	int fd =
	    open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);

	if (fd < 0)
		return -1;
	set_target(LOG_TO_FILE, fd);
	return 0;
}

void log_open_syslog(void)
{
	set_target(LOG_TO_SYSLOG, -1);
}

void log_open_daemon(void)
{
	if (access(_PATH_LOG, W_OK) == 0) {
		log_open_syslog();
		return;
	}
	/* Without O_CREAT: nothing may appear where PID 1 has no stderr. */
	int fd = open("/proc/1/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0)
		set_target(LOG_TO_FILE, fd);
	else
		set_target(LOG_TO_NOWHERE, -1);
}

/* A peer's text may end up in a line; it must not be able to forge another. */
static void mask_controls(char *line)
{
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7F)
			*p = '?';
}

/* Standard error may be a pipe that others share, so it is not for us to set O_NONBLOCK. */
static bool has_room(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLOUT);
}

/* One write per line, so that lines of several writers do not mix. */
static bool write_line(enum log_level level, const char *line)
{
	char out[LINE_MAX_BYTES + STAMP_ROOM];
	struct timespec now;
	struct tm tm;
	char when[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	int n = snprintf(out, sizeof(out), "%s.%03ldZ epmd %s: %s\n", when, now.tv_nsec / 1000000,
	                 levels[level].name, line);
	return n > 0 && has_room(state.fd) && write(state.fd, out, (size_t)n) == n;
}

static bool send_line(enum log_level level, const char *line)
{
	if (state.target == LOG_TO_SYSLOG)
		return log_syslog_send(&state.syslog, levels[level].priority, line);
	return write_line(level, line);
}

__attribute__((format(printf, 2, 0))) static void say(enum log_level level, const char *format,
                                                      va_list args)
{
	char line[LINE_MAX_BYTES];

	if (level > state.level || state.target == LOG_TO_NOWHERE)
		return;
	vsnprintf(line, sizeof(line) - LOST_ROOM, format, args);
	mask_controls(line);
	if (state.lost > 0)
		snprintf(line + strlen(line), LOST_ROOM, " (%lu lines before it are lost)",
		         state.lost);
	if (send_line(level, line))
		state.lost = 0;
	else
		state.lost++;
}

#define SAY(level)                        \
	do {                              \
		va_list args;             \
		va_start(args, format);   \
		say(level, format, args); \
		va_end(args);             \
	} while (0)

void log_error(const char *format, ...)
{
	SAY(LOG_LEVEL_ERROR);
}

void log_warning(const char *format, ...)
{
	SAY(LOG_LEVEL_WARNING);
}

void log_info(const char *format, ...)
{
	SAY(LOG_LEVEL_INFO);
}

void log_debug(const char *format, ...)
{
	SAY(LOG_LEVEL_DEBUG);
}

void log_at(enum log_level level, const char *format, ...)
{
	SAY(level);
}
