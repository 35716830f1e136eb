/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_LOG_H
#define KEPMD_EPMD_LOG_H

/* The daemon's log: one line per decision, said by whoever decides.  A line may
 * be lost, never waited for: no call here blocks or raises SIGPIPE.  How many are
 * lost is said with the next that gets through. */

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* ERL_EPMD_LOG_FORMAT; see log_line.h. */
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum log_target {
	LOG_TO_STDERR, /* foreground */
	LOG_TO_SYSLOG, /* -daemon on a host */
	LOG_TO_FILE,   /* a path; for -daemon in a container /proc/1/fd/2 */
	LOG_TO_NOWHERE
};

/* Lines above LEVEL are dropped.  The first state is stderr and warnings. */
void log_set_level(enum log_level level);

/* "error", "warning", "info" or "debug"; false for anything else. */
bool log_level_parse(const char *text, enum log_level *level);

void log_set_format(enum log_format format);
/* "text" or "json"; false for anything else. */
bool log_format_parse(const char *text, enum log_format *format);

/* Writes to the file PATH from now on, opened for appending and without
 * blocking.  Returns 0, or -1 with errno set and the target unchanged. */
int log_open_file(const char *path);

/* Where `epmd -daemon` logs unless told otherwise: syslog where there is one,
 * else PID 1's stderr, which is what `kubectl logs` shows, else nowhere. */
void log_open_daemon(void);

/* Where lines go, for people: "stderr", "syslog", a path, or "nowhere". */
const char *log_where(void);

/* Syslog, under the name "epmd". */
void log_open_syslog(void);

/* A FORMAT that begins with "%s: " names first whom the line is about, a peer or a
 * connection: in JSON that is a field of its own. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_at(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For lines that a client can provoke, one per request: as log_at, but each FORMAT (which is a
 * literal) only so often (log_limit.h).  What is left out is counted and said. */
void log_limited(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
