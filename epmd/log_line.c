/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "log_line.h"
#include "utf8.h"

#define STAMP_SIZE 32

/* What comes behind the message: two numbers, their names, and the end. */
#define TAIL_ROOM 96

/* Writes the last DIGITS digits of NUMBER, and then NEXT; returns where that ends.  (A LIST of
 * ten thousand is twenty thousand lines: by strftime(3) their stamps were an eighth of its cost.) */
static char *put_number(char *out, int number, int digits, char next)
{
	for (int i = digits; i-- > 0; number /= 10)
		out[i] = (char)('0' + number % 10);
	out[digits] = next;
	return out + digits + 1;
}

/* ISO 8601, in UTC. */
static void stamp(const struct timespec *at, char out[STAMP_SIZE])
{
	struct tm tm;

	gmtime_r(&at->tv_sec, &tm);
	out = put_number(out, tm.tm_year + 1900, 4, '-');
	out = put_number(out, tm.tm_mon + 1, 2, '-');
	out = put_number(out, tm.tm_mday, 2, 'T');
	out = put_number(out, tm.tm_hour, 2, ':');
	out = put_number(out, tm.tm_min, 2, ':');
	out = put_number(out, tm.tm_sec, 2, '.');
	out = put_number(out, (int)(at->tv_nsec / 1000000), 3, 'Z');
	*out = '\0';
}

/* What is written to. */
struct text {
	char *out;
	size_t len, size;
};

/* False, and nothing is added, when it does not fit. */
static bool add(struct text *text, const char *bytes, size_t len)
{
	if (text->size - text->len < len)
		return false;
	memcpy(text->out + text->len, bytes, len);
	text->len += len;
	return true;
}

static bool add_string(struct text *text, const char *string)
{
	return add(text, string, strlen(string));
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
	struct text text = {out, 0, size};
	char when[STAMP_SIZE], missing[LOG_LINE_MISSING_SIZE];

	stamp(&line->at, when);
	log_line_missing(line, missing);
	add_string(&text, when);
	add_string(&text, " epmd ");
	add_string(&text, line->level);
	add_string(&text, ": ");
	add(&text, line->message, strnlen(line->message, LOG_LINE_MESSAGE_SIZE));
	add_string(&text, missing);
	add_string(&text, "\n");
	return text.len;
}

/* --- JSON ----------------------------------------------------------------------------------- */

/* One character, LEN bytes, as it stands in a string (RFC 8259, section 7). */
static bool add_char(struct text *json, const char *at, size_t len)
{
	char escaped[8];

	if (len == 0)
		return add_string(json, "\xEF\xBF\xBD"); /* U+FFFD */
	if (*at == '"' || *at == '\\')
		return add(json, (char[]){'\\', *at}, 2);
	if ((unsigned char)*at >= ' ')
		return add(json, at, len);
	snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned)(unsigned char)*at);
	return add_string(json, escaped);
}

/* As much of TEXT as leaves ROOM behind it. */
static void add_member(struct text *json, const char *name, const char *text, size_t room)
{
	size_t left = strlen(text);
	struct text inside = *json;

	add_string(&inside, ",\"");
	add_string(&inside, name);
	add_string(&inside, "\":\"");
	inside.size -= room + 1;
	while (left > 0) {
		size_t n = utf8_char(text, left);
		if (!add_char(&inside, text, n))
			break;
		text += n ? n : 1;
		left -= n ? n : 1;
	}
	inside.size += room + 1;
	add_string(&inside, "\"");
	json->len = inside.len;
}

static void add_number(struct text *json, const char *name, unsigned long number)
{
	char text[64];

	snprintf(text, sizeof(text), ",\"%s\":%lu", name, number);
	if (number)
		add_string(json, text);
}

size_t log_line_json(const struct log_line *line, char *out, size_t size)
{
	struct text json = {out, 0, size};
	char when[STAMP_SIZE];

	stamp(&line->at, when);
	add_string(&json, "{\"time\":\"");
	add_string(&json, when);
	add_string(&json, "\",\"level\":\"");
	add_string(&json, line->level);
	add_string(&json, "\"");
	if (line->about[0])
		add_member(&json, "about", line->about, LOG_LINE_MESSAGE_SIZE / 2 + TAIL_ROOM);
	add_member(&json, "message", line->message, TAIL_ROOM);
	add_number(&json, "lost", line->lost);
	add_number(&json, "suppressed", line->suppressed);
	add_string(&json, "}\n");
	return json.len;
}
