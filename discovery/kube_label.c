/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <string.h>

#include "kube_label.h"

/* RFC 1035, 2.3.4. */
#define DNS_LABEL_MAX 63
#define DNS_NAME_MAX 253

/* A label's value, and its key behind the prefix. */
#define WORD_MAX 63

static bool is_alnum(char c)
{
	return isalnum((unsigned char)c);
}

/* --- DNS ------------------------------------------------------------------------- */

static bool label_ok(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(text[i]) && text[i] != '-')
			return false;
	return len >= 1 && len <= DNS_LABEL_MAX && is_alnum(text[0]) && is_alnum(text[len - 1]);
}

bool kube_dns_label_ok(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (isupper((unsigned char)text[i]))
			return false;
	return label_ok(text, len);
}

bool kube_domain_ok(const char *text, size_t len)
{
	const char *end = text + len, *dot;

	if (len > DNS_NAME_MAX)
		return false;
	for (; (dot = memchr(text, '.', (size_t)(end - text))); text = dot + 1)
		if (!label_ok(text, (size_t)(dot - text)))
			return false;
	return label_ok(text, (size_t)(end - text));
}

/* --- selectors --------------------------------------------------------------------- */

#define WORD_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
#define BLANKS " \t\r\n"

static void skip_blanks(const char **at)
{
	*at += strspn(*at, BLANKS);
}

static bool skip(const char **at, const char *token)
{
	size_t len = strlen(token);

	skip_blanks(at);
	if (strncmp(*at, token, len) != 0)
		return false;
	*at += len;
	return true;
}

static bool word_ok(const char *text, size_t len)
{
	return len >= 1 && len <= WORD_MAX && is_alnum(text[0]) && is_alnum(text[len - 1]);
}

/* [PREFIX/]WORD, the prefix a domain. */
static bool take_key(const char **at)
{
	skip_blanks(at);
	const char *text = *at;
	size_t len = strspn(text, WORD_CHARACTERS);
	if (text[len] == '/') {
		if (!kube_domain_ok(text, len))
			return false;
		text += len + 1;
		len = strspn(text, WORD_CHARACTERS);
	}
	*at = text + len;
	return word_ok(text, len);
}

/* A word, or nothing: labels may be empty. */
static bool take_value(const char **at)
{
	skip_blanks(at);
	size_t len = strspn(*at, WORD_CHARACTERS);
	const char *text = *at;
	*at += len;
	return len == 0 || word_ok(text, len);
}

static bool take_set(const char **at)
{
	const char *values;

	if (!skip(at, "("))
		return false;
	values = *at;
	if (skip(&values, ")"))
		return false;
	do
		if (!take_value(at))
			return false;
	while (skip(at, ","));
	return skip(at, ")");
}

static bool take_requirement(const char **at)
{
	if (skip(at, "!"))
		return take_key(at);
	if (!take_key(at))
		return false;
	if (skip(at, "==") || skip(at, "!=") || skip(at, "=") || skip(at, "<") || skip(at, ">"))
		return take_value(at);
	if (skip(at, "notin") || skip(at, "in"))
		return take_set(at);
	return true;
}

bool kube_selector_ok(const char *text)
{
	do
		if (!take_requirement(&text))
			return false;
	while (skip(&text, ","));
	skip_blanks(&text);
	return *text == '\0';
}
