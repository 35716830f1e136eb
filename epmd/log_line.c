/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "log_line.h"
#include "utf8.h"

#define STAMP_SIZE 32

/* What comes behind the message: two numbers, their names, and the end. */
#define TAIL_ROOM 96

static void stamp(const struct timespec *at, char out[STAMP_SIZE])
{
	struct tm tm;
	char seconds[STAMP_SIZE];

	gmtime_r(&at->tv_sec, &tm);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, STAMP_SIZE, "%.24s.%03dZ", seconds, (int)(at->tv_nsec / 1000000));
}

void log_line_missing(const struct log_line *line, char text[LOG_LINE_MISSING_SIZE])
{
	size_t len = 0;

	text[0] = '\0';
	if (line->lost)
		len = (size_t)snprintf(text, LOG_LINE_MISSING_SIZE,
		                       " (%lu lines before it are lost)", line->lost);
	if (line->suppressed)
		len += (size_t)snprintf(text + len, LOG_LINE_MISSING_SIZE - len,
		                        " (%lu like it were not logged)", line->suppressed);
	if (line->last)
		snprintf(text + len, LOG_LINE_MISSING_SIZE - len,
		         " (more like it are counted, not logged)");
}

size_t log_line_text(const struct log_line *line, char *out, size_t size)
{
	char when[STAMP_SIZE], missing[LOG_LINE_MISSING_SIZE];

	stamp(&line->at, when);
	log_line_missing(line, missing);
	int n = snprintf(out, size, "%s epmd %s: %.*s%s\n", when, line->level,
	                 LOG_LINE_MESSAGE_SIZE, line->message, missing);
	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

/* --- JSON ----------------------------------------------------------------------------------- */

struct json {
	char *out;
	size_t len, size;
};

/* False, and nothing is added, when it does not fit. */
static bool add(struct json *json, const char *bytes, size_t len)
{
	if (json->size - json->len < len)
		return false;
	memcpy(json->out + json->len, bytes, len);
	json->len += len;
	return true;
}

static bool add_text(struct json *json, const char *text)
{
	return add(json, text, strlen(text));
}

/* One character, LEN bytes, as it stands in a string (RFC 8259, section 7). */
static bool add_char(struct json *json, const char *at, size_t len)
{
	char escaped[8];

	if (len == 0)
		return add_text(json, "\xEF\xBF\xBD"); /* U+FFFD */
	if (*at == '"' || *at == '\\')
		return add(json, (char[]){'\\', *at}, 2);
	if ((unsigned char)*at >= ' ')
		return add(json, at, len);
	snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned)(unsigned char)*at);
	return add_text(json, escaped);
}

/* As much of TEXT as leaves ROOM behind it. */
static void add_string(struct json *json, const char *name, const char *text, size_t room)
{
	size_t left = strlen(text);
	struct json inside = *json;

	add_text(&inside, ",\"");
	add_text(&inside, name);
	add_text(&inside, "\":\"");
	inside.size -= room + 1;
	while (left > 0) {
		size_t n = utf8_char(text, left);
		if (!add_char(&inside, text, n))
			break;
		text += n ? n : 1;
		left -= n ? n : 1;
	}
	inside.size += room + 1;
	add_text(&inside, "\"");
	json->len = inside.len;
}

static void add_number(struct json *json, const char *name, unsigned long number)
{
	char text[64];

	snprintf(text, sizeof(text), ",\"%s\":%lu", name, number);
	if (number)
		add_text(json, text);
}

size_t log_line_json(const struct log_line *line, char *out, size_t size)
{
	struct json json = {out, 0, size};
	char when[STAMP_SIZE];

	stamp(&line->at, when);
	add_text(&json, "{\"time\":\"");
	add_text(&json, when);
	add_text(&json, "\",\"level\":\"");
	add_text(&json, line->level);
	add_text(&json, "\"");
	if (line->about[0])
		add_string(&json, "about", line->about, LOG_LINE_MESSAGE_SIZE / 2 + TAIL_ROOM);
	add_string(&json, "message", line->message, TAIL_ROOM);
	add_number(&json, "lost", line->lost);
	add_number(&json, "suppressed", line->suppressed);
	add_text(&json, "}\n");
	return json.len;
}
