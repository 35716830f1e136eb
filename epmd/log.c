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
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "discovery/clock.h"
#include "log.h"
#include "log_limit.h"
#include "log_line.h"
#include "log_syslog.h"
#include "metrics.h"
#include "utf8.h"

/* A pipe that can take anything takes so much. */
#define LINE_SIZE PIPE_BUF
_Static_assert(LOG_LINE_MESSAGE_SIZE + LOG_LINE_MISSING_SIZE + 64 <= LINE_SIZE,
               "a line must fit into a pipe");

/* What a container's runtime reads, and `kubectl logs` shows. */
#define CONTAINER_STDERR "/proc/1/fd/2"

/* How formats begin that name first whom the line is about. */
#define ABOUT_FIRST "%s: "

/* The log is the one thing that every part writes to, so it is the one global. */
static struct {
	enum log_level level;
	enum log_target target;
	int fd;
	bool no_socket; /* as the kernel has said of FD */
	struct log_syslog syslog;
	enum log_format format;
	struct log_limit limit;
	unsigned long lost; /* lines since one got through */
	char path[256];     /* of LOG_TO_FILE, as it was given */
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

void log_set_format(enum log_format format)
{
	state.format = format;
}

bool log_format_parse(const char *text, enum log_format *format)
{
	bool json = strcmp(text, "json") == 0;

	*format = json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
	return json || strcmp(text, "text") == 0;
}

static void set_target(enum log_target target, int fd)
{
	if (state.target == LOG_TO_FILE)
		close(state.fd);
	state.target = target;
	state.fd = fd;
	state.no_socket = false;
}

int log_open_file(const char *path)
{
	int fd =
	    open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);

	if (fd < 0)
		return -1;
	set_target(LOG_TO_FILE, fd);
	snprintf(state.path, sizeof(state.path), "%s", path);
	return 0;
}

const char *log_where(void)
{
	switch (state.target) {
	case LOG_TO_STDERR:
		return "stderr";
	case LOG_TO_SYSLOG:
		return "syslog";
	case LOG_TO_FILE:
		return state.path;
	case LOG_TO_NOWHERE:
		break;
	}
	return "nowhere";
}

void log_open_syslog(void)
{
	set_target(LOG_TO_SYSLOG, -1);
}

/* A socket cannot be opened, but may be what we have inherited.  Anything else that we have must
 * not be kept: whoever started us may wait for its end. */
static int inherited_from_container(void)
{
	struct stat own, container;

	if (fstat(STDERR_FILENO, &own) < 0 || stat(CONTAINER_STDERR, &container) < 0 ||
	    own.st_dev != container.st_dev || own.st_ino != container.st_ino)
		return -1;
	return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

void log_open_daemon(void)
{
	if (access(_PATH_LOG, W_OK) == 0) {
		log_open_syslog();
		return;
	}
	/* Without O_CREAT: nothing may appear where PID 1 has no stderr. */
	int fd = open(CONTAINER_STDERR, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		fd = inherited_from_container();
	if (fd >= 0)
		set_target(LOG_TO_FILE, fd);
	else
		set_target(LOG_TO_NOWHERE, -1);
	snprintf(state.path, sizeof(state.path), "%s", "the container's stderr");
}

/* Standard error may be a pipe that others share, so it is not for us to set O_NONBLOCK. */
static bool has_room(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLOUT);
}

/* A socket that has room may have too little. */
static ssize_t write_bytes(const char *bytes, size_t n)
{
	if (!state.no_socket) {
		ssize_t sent = send(state.fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent >= 0 || errno != ENOTSOCK)
			return sent;
		state.no_socket = true;
	}
	return write(state.fd, bytes, n);
}

/* One write per line, so that lines of several writers do not mix. */
static bool write_line(const struct log_line *line)
{
	char out[LINE_SIZE];
	size_t n = state.format == LOG_FORMAT_JSON ? log_line_json(line, out, sizeof(out))
	                                           : log_line_text(line, out, sizeof(out));

	if (n == 0 || !has_room(state.fd))
		return false;
	return write_bytes(out, n) == (ssize_t)n;
}

/* Syslog has a time and a level of its own. */
static bool send_to_syslog(enum log_level level, const struct log_line *line)
{
	char out[LINE_SIZE], missing[LOG_LINE_MISSING_SIZE];

	if (state.format == LOG_FORMAT_JSON) {
		size_t n = log_line_json(line, out, sizeof(out));
		out[n - 1] = '\0'; /* without the newline */
	} else {
		log_line_missing(line, missing);
		snprintf(out, sizeof(out), "%s%s", line->message, missing);
	}
	return log_syslog_send(&state.syslog, levels[level].priority, out);
}

static void send_line(enum log_level level, struct log_line *line)
{
	clock_gettime(CLOCK_REALTIME, &line->at);
	line->level = levels[level].name;
	line->lost = state.lost;
	if (state.target == LOG_TO_SYSLOG ? send_to_syslog(level, line) : write_line(line)) {
		state.lost = 0;
	} else {
		state.lost++;
		metrics_count(METRIC_LOG_LOST);
	}
}

static bool is_wanted(enum log_level level)
{
	return level <= state.level && state.target != LOG_TO_NOWHERE;
}

/* Fills in all of LINE that the caller has not, and sends it. */
__attribute__((format(printf, 3, 0))) static void say(enum log_level level, struct log_line *line,
                                                      const char *format, va_list args)
{
	char message[LOG_LINE_MESSAGE_SIZE], about[LOG_LINE_ABOUT_SIZE] = "";
	va_list again;

	va_copy(again, args);
	if (strncmp(format, ABOUT_FIRST, strlen(ABOUT_FIRST)) == 0)
		snprintf(about, sizeof(about), "%s", va_arg(again, const char *));
	va_end(again);
	vsnprintf(message, sizeof(message), format, args);
	/* A peer's text may be in it, and must not be able to forge another line. */
	utf8_mask_controls(message);
	utf8_mask_controls(about);
	line->message = message;
	line->about = about;
	send_line(level, line);
}

static void say_limited(enum log_level level, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void say_limited(enum log_level level, const char *format, va_list args)
{
	struct log_line line = {0};
	enum log_pass pass = log_limit_ask(&state.limit, format, clock_now_ms(), &line.suppressed);

	line.last = pass == LOG_PASS_LAST;
	if (pass == LOG_SUPPRESS)
		metrics_count(METRIC_LOG_SUPPRESSED);
	else
		say(level, &line, format, args);
}

#define SAY(level)                                       \
	do {                                             \
		struct log_line line = {0};              \
		va_list args;                            \
		va_start(args, format);                  \
		if (is_wanted(level))                    \
			say(level, &line, format, args); \
		va_end(args);                            \
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

void log_limited(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (is_wanted(level))
		say_limited(level, format, args);
	va_end(args);
}
