/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "kube_split.h"

/* Larger buffers are given back after use: a WATCH lives for half an hour. */
#define BUFFER_KEEP (64u << 10)

struct buffer {
	char *bytes;
	size_t len, size;
};

/* Where in a LIST body the next byte stands. */
enum place {
	PLACE_BEFORE,     /* nothing but white space yet */
	PLACE_ENVELOPE,   /* in the object, outside of its items */
	PLACE_ITEM_FIRST, /* behind "items":[ */
	PLACE_ITEM_NEXT,  /* behind a comma between items */
	PLACE_ITEM,       /* in an item */
	PLACE_ITEM_AFTER, /* behind an item */
	PLACE_AFTER       /* behind the object */
};

/* What stands last, at depth 1 of the envelope. */
enum key_state { KEY_NONE, KEY_STRING, KEY_COLON };

struct kube_split {
	kube_split_item_fn *item;
	void *arg;
	enum kube_split_error (*feed)(struct kube_split *split, const char *p, const char *end);
	enum kube_split_error error;
	struct buffer text; /* the beginning of an item or line whose end has not come yet */

	/* of a LIST */
	struct buffer envelope;
	enum place place;
	size_t depth;
	bool in_string;
	bool escaped;         /* the last byte was a backslash that escapes the next one */
	enum key_state items; /* how much of "items": has been seen */
	size_t string_at;     /* in the envelope: where its last string began */
};

/* --- buffers --------------------------------------------------------------------- */

static enum kube_split_error buffer_add(struct buffer *buffer, const char *bytes, size_t len,
                                        size_t max)
{
	if (len > max || buffer->len > max - len)
		return KUBE_SPLIT_TOO_LONG;
	if (buffer->len + len > buffer->size) {
		size_t size = buffer->size ? buffer->size : 256;
		while (size < buffer->len + len)
			size *= 2;
		char *grown = realloc(buffer->bytes, size);
		if (!grown)
			return KUBE_SPLIT_NO_MEMORY;
		buffer->bytes = grown;
		buffer->size = size;
	}
	if (len > 0)
		memcpy(buffer->bytes + buffer->len, bytes, len);
	buffer->len += len;
	return KUBE_SPLIT_OK;
}

static void buffer_empty(struct buffer *buffer)
{
	buffer->len = 0;
	if (buffer->size <= BUFFER_KEEP)
		return;
	free(buffer->bytes);
	*buffer = (struct buffer){0};
}

/* --- items ------------------------------------------------------------------------ */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && is_space(*p))
		p++;
	return p;
}

static enum kube_split_error hand_over(struct kube_split *split, const char *text, size_t len)
{
	if (len > KUBE_SPLIT_ITEM_MAX)
		return KUBE_SPLIT_TOO_LONG;
	if (skip_space(text, text + len) == text + len)
		return KUBE_SPLIT_OK;
	return split->item(split->arg, text, len) ? KUBE_SPLIT_OK : KUBE_SPLIT_STOPPED;
}

static enum kube_split_error keep_part(struct kube_split *split, const char *p, const char *end)
{
	return buffer_add(&split->text, p, (size_t)(end - p), KUBE_SPLIT_ITEM_MAX);
}

/* [P, END) is the last, or only, part of an item. */
static enum kube_split_error finish_item(struct kube_split *split, const char *p, const char *end)
{
	enum kube_split_error error;

	if (split->text.len == 0)
		return hand_over(split, p, (size_t)(end - p));
	error = keep_part(split, p, end);
	if (error == KUBE_SPLIT_OK)
		error = hand_over(split, split->text.bytes, split->text.len);
	buffer_empty(&split->text);
	return error;
}

/* --- a WATCH: lines --------------------------------------------------------------- */

static enum kube_split_error feed_watch(struct kube_split *split, const char *p, const char *end)
{
	const char *newline;

	while ((newline = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		enum kube_split_error error = finish_item(split, p, newline);
		if (error != KUBE_SPLIT_OK)
			return error;
		p = newline + 1;
	}
	return keep_part(split, p, end);
}

/* --- a LIST: an object with items --------------------------------------------------- */

/* Behind the string that P is in, or END.  Backslashes are counted backwards from
 * each quote, so that plain text is only looked at by memchr. */
static const char *skip_string(struct kube_split *split, const char *p, const char *end)
{
	const char *begin = p, *quote;

	if (split->escaped && p < end)
		begin = ++p;
	else if (split->escaped)
		return end;
	split->escaped = false;
	while (p < end) {
		quote = memchr(p, '"', (size_t)(end - p));
		if (!quote)
			quote = end;
		const char *run = quote;
		while (run > begin && run[-1] == '\\')
			run--;
		bool escaped = (quote - run) % 2 != 0;
		if (quote == end) {
			split->escaped = escaped;
			return end;
		}
		p = quote + 1;
		if (!escaped) {
			split->in_string = false;
			return p;
		}
		begin = p;
	}
	return p;
}

enum meaning { PLAIN, QUOTE, OPEN, CLOSE };

static const unsigned char meanings[256] = {
    ['"'] = QUOTE, ['{'] = OPEN, ['['] = OPEN, ['}'] = CLOSE, [']'] = CLOSE,
};

/* Behind the end of the item that P is in, or END; *ENDED says which. */
static const char *skip_item(struct kube_split *split, const char *p, const char *end, bool *ended)
{
	while (p < end) {
		if (split->in_string) {
			p = skip_string(split, p, end);
			continue;
		}
		enum meaning meaning = meanings[(unsigned char)*p++];
		if (meaning == PLAIN)
			continue;
		if (meaning == QUOTE)
			split->in_string = true;
		else if (meaning == OPEN)
			split->depth++;
		else if (--split->depth == 2) {
			*ended = true;
			return p;
		}
	}
	*ended = false;
	return end;
}

static enum kube_split_error feed_item(struct kube_split *split, const char **p, const char *end)
{
	const char *begin = *p;
	bool ended;

	*p = skip_item(split, begin, end, &ended);
	if (!ended)
		return keep_part(split, begin, end);
	split->place = PLACE_ITEM_AFTER;
	return finish_item(split, begin, *p);
}

static enum kube_split_error to_envelope(struct kube_split *split, char c)
{
	return buffer_add(&split->envelope, &c, 1, KUBE_SPLIT_ENVELOPE_MAX);
}

/* Outside of the items and of strings, at a byte that is no white space. */
static enum kube_split_error envelope_byte(struct kube_split *split, char c)
{
	enum key_state before = split->items;

	split->items = KEY_NONE;
	switch (meanings[(unsigned char)c]) {
	case QUOTE:
		split->in_string = true;
		split->string_at = split->envelope.len;
		break;
	case OPEN:
		split->depth++;
		if (before == KEY_COLON && c == '[')
			split->place = PLACE_ITEM_FIRST;
		break;
	case CLOSE:
		split->depth--;
		if (split->depth == 0)
			split->place = PLACE_AFTER;
		if (split->depth == 0 && c != '}')
			return KUBE_SPLIT_NOT_JSON;
		break;
	default:
		if (before == KEY_STRING && c == ':')
			split->items = KEY_COLON;
		break;
	}
	return to_envelope(split, c);
}

/* A value "items" is no key, but what follows it is no colon either. */
static void end_envelope_string(struct kube_split *split)
{
	static const char key[] = "\"items\"";
	size_t len = split->envelope.len - split->string_at;

	if (split->depth == 1 && len == sizeof(key) - 1 &&
	    memcmp(split->envelope.bytes + split->string_at, key, len) == 0)
		split->items = KEY_STRING;
}

static enum kube_split_error feed_envelope(struct kube_split *split, const char **p,
                                           const char *end)
{
	const char *begin = *p;
	enum kube_split_error error;

	if (split->in_string) {
		*p = skip_string(split, begin, end);
		error = buffer_add(&split->envelope, begin, (size_t)(*p - begin),
		                   KUBE_SPLIT_ENVELOPE_MAX);
		if (error == KUBE_SPLIT_OK && !split->in_string)
			end_envelope_string(split);
		return error;
	}
	(*p)++;
	return is_space(*begin) ? to_envelope(split, *begin) : envelope_byte(split, *begin);
}

/* Outside of the object, or between items. */
static enum kube_split_error feed_between(struct kube_split *split, const char **p, const char *end)
{
	*p = skip_space(*p, end);
	if (*p == end)
		return KUBE_SPLIT_OK;

	enum place place = split->place;
	char c = **p;
	if (place == PLACE_BEFORE && c == '{') {
		split->place = PLACE_ENVELOPE;
	} else if ((place == PLACE_ITEM_FIRST || place == PLACE_ITEM_NEXT) && c == '{') {
		split->place = PLACE_ITEM;
	} else if ((place == PLACE_ITEM_FIRST || place == PLACE_ITEM_AFTER) && c == ']') {
		split->place = PLACE_ENVELOPE;
	} else if (place == PLACE_ITEM_AFTER && c == ',') {
		split->place = PLACE_ITEM_NEXT;
		(*p)++;
	} else {
		return KUBE_SPLIT_NOT_JSON;
	}
	return KUBE_SPLIT_OK;
}

static enum kube_split_error feed_list(struct kube_split *split, const char *p, const char *end)
{
	enum kube_split_error error = KUBE_SPLIT_OK;

	while (p < end && error == KUBE_SPLIT_OK) {
		if (split->place == PLACE_ITEM)
			error = feed_item(split, &p, end);
		else if (split->place == PLACE_ENVELOPE)
			error = feed_envelope(split, &p, end);
		else
			error = feed_between(split, &p, end);
	}
	return error;
}

/* --- the interface ------------------------------------------------------------------ */

struct kube_split *kube_split_new(enum kube_split_shape shape, kube_split_item_fn *item, void *arg)
{
	struct kube_split *split = calloc(1, sizeof(*split));

	if (!split)
		return NULL;
	split->item = item;
	split->arg = arg;
	split->feed = shape == KUBE_SPLIT_LIST ? feed_list : feed_watch;
	return split;
}

void kube_split_free(struct kube_split *split)
{
	if (!split)
		return;
	free(split->text.bytes);
	free(split->envelope.bytes);
	free(split);
}

enum kube_split_error kube_split_feed(struct kube_split *split, const void *bytes, size_t len)
{
	const char *p = bytes;

	if (split->error == KUBE_SPLIT_OK && len > 0)
		split->error = split->feed(split, p, p + len);
	return split->error;
}

static bool is_finished(const struct kube_split *split)
{
	if (split->feed == feed_list)
		return split->place == PLACE_AFTER;
	return split->text.len == 0 ||
	       skip_space(split->text.bytes, split->text.bytes + split->text.len) ==
	           split->text.bytes + split->text.len;
}

enum kube_split_error kube_split_end(struct kube_split *split, const char **envelope, size_t *len)
{
	if (split->error == KUBE_SPLIT_OK && !is_finished(split))
		split->error = KUBE_SPLIT_UNFINISHED;
	if (envelope)
		*envelope = split->error == KUBE_SPLIT_OK ? split->envelope.bytes : NULL;
	if (len)
		*len = split->error == KUBE_SPLIT_OK ? split->envelope.len : 0;
	return split->error;
}

const char *kube_split_error_text(enum kube_split_error error)
{
	static const char *const texts[] = {
	    [KUBE_SPLIT_OK] = "no error",
	    [KUBE_SPLIT_TOO_LONG] =
		"an object of more than 8 MiB, or a list's frame of more than 1 MiB",
	    [KUBE_SPLIT_NOT_JSON] = "not a JSON object",
	    [KUBE_SPLIT_UNFINISHED] = "the end came in the middle of an object",
	    [KUBE_SPLIT_NO_MEMORY] = "memory is out",
	    [KUBE_SPLIT_STOPPED] = "reading was stopped",
	};

	return (unsigned)error < sizeof(texts) / sizeof(texts[0]) ? texts[error] : "unknown error";
}
