/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "epmd/join/cookie.h"

/* A cookie and the white space that may follow it. */
#define FILE_MAX 1024

/* What one kind of file must be like. */
struct file_rule {
	const char *name; /* what the user calls it, to stand before the path */
	bool required;
	mode_t forbidden; /* bits of the mode */
	const char *mode_mend;
};

/* A Secret's volume is 0644 unless its pod says otherwise, and who can read it is settled
 * by whom the pod runs.  So what was named outright may be read by others; written by
 * them it is not to be believed. */
static const struct file_rule given_file = {"ERL_EPMD_COOKIE_FILE=", true, 0022,
                                            "others than its owner can write it: chmod go-w it"};
/* As a release's start script reads it. */
static const struct file_rule release_file = {"", false, 0, NULL};
/* As a node reads it. */
static const struct file_rule home_file = {"", false, 0077,
                                           "chmod 400 it, or no node can use it either"};

struct search {
	const struct cookie_places *places;
	const struct owner_args *args; /* of the node, if known */
	struct cookie *cookie;
	char *error;
	size_t error_size;
};

__attribute__((format(printf, 2, 3))) static enum cookie_result wrong(const struct search *search,
                                                                      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(search->error, search->error_size, format, args);
	va_end(args);
	return COOKIE_WRONG;
}

static bool is_given(const char *text)
{
	return text && *text;
}

/* --- a cookie ----------------------------------------------------------------------- */

static bool is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] > 0x7F)
			return false;
	return true;
}

/* Takes the LEN bytes at TEXT, which the place NAME PATH has, for the cookie. */
static enum cookie_result take(const struct search *search, const char *name, const char *path,
                               const char *text, size_t len)
{
	struct cookie *cookie = search->cookie;

	if (len == 0)
		return wrong(search, "%s%s is empty: put the cookie there", name, path);
	if (len > COOKIE_CHARS_MAX)
		return wrong(search, "%s%s is too long: a cookie has at most %d characters", name,
		             path, COOKIE_CHARS_MAX);
	if (!is_ascii(text, len))
		return wrong(search,
		             "%s%s has characters that nodes read in different ways: give a "
		             "cookie of ASCII characters",
		             name, path);
	memcpy(cookie->text, text, len);
	cookie->text[len] = '\0';
	cookie->len = len;
	snprintf(cookie->source, sizeof(cookie->source), "%s", *path ? path : name);
	return COOKIE_FOUND;
}

/* --- in files ------------------------------------------------------------------------- */

/* What a node takes from the LEN bytes of a file: all that is printable, then white
 * space only.  False when anything else follows.  Spaces before the first line end are
 * part of the cookie (auth:check_cookie/2). */
static bool cookie_part(const char *text, size_t len, size_t *part)
{
	size_t end = 0;

	while (end < len && text[end] >= ' ' && text[end] <= '~')
		end++;
	*part = end;
	while (end < len && (text[end] == '\n' || text[end] == '\r' || text[end] == ' '))
		end++;
	return end == len;
}

/* Reads at most SIZE bytes of FD; -1 with errno set. */
static ssize_t read_some(int fd, char *text, size_t size)
{
	size_t used = 0;
	ssize_t n = 1;

	while (used < size && n > 0) {
		n = read(fd, text + used, size - used);
		if (n < 0)
			return -1;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

static enum cookie_result cannot_read(const struct search *search, const struct file_rule *rule,
                                      const char *path)
{
	return wrong(search,
	             "%s%s cannot be read (%s): it must be a file with the cookie that user "
	             "%u may read",
	             rule->name, path, strerror(errno), (unsigned)geteuid());
}

static enum cookie_result take_file(const struct search *search, const struct file_rule *rule,
                                    const char *path, int fd)
{
	char text[FILE_MAX];
	size_t len;
	ssize_t n = read_some(fd, text, sizeof(text));
	enum cookie_result result;

	if (n < 0)
		return cannot_read(search, rule, path);
	if (n < FILE_MAX && !cookie_part(text, (size_t)n, &len))
		result = wrong(search,
		               "%s%s has characters that no cookie has: it must be one line of "
		               "printable ASCII characters",
		               rule->name, path);
	else
		result = take(search, rule->name, path, text, n < FILE_MAX ? len : FILE_MAX);
	explicit_bzero(text, sizeof(text));
	return result;
}

static enum cookie_result judge_file(const struct search *search, const struct file_rule *rule,
                                     const char *path, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return cannot_read(search, rule, path);
	if (!S_ISREG(st.st_mode))
		return wrong(search, "%s%s is no regular file: it must be one with the cookie",
		             rule->name, path);
	if (st.st_mode & rule->forbidden)
		return wrong(search, "%s%s is open to others (mode %04o): %s", rule->name, path,
		             (unsigned)st.st_mode & 07777, rule->mode_mend);
	return take_file(search, rule, path, fd);
}

static enum cookie_result try_file(const struct search *search, const struct file_rule *rule,
                                   const char *path)
{
	/* Without O_NOFOLLOW: what a Secret's volume shows are links.  A FIFO must not
	 * hold the event loop. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 && !rule->required && (errno == ENOENT || errno == ENOTDIR))
		return COOKIE_NONE;
	if (fd < 0)
		return cannot_read(search, rule, path);
	enum cookie_result result = judge_file(search, rule, path, fd);
	close(fd);
	return result;
}

static enum cookie_result try_file_in(const struct search *search, const struct file_rule *rule,
                                      const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (!is_given(dir))
		return COOKIE_NONE;
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
	/* No system call takes a longer path, so nothing can be there. */
	return n > 0 && (size_t)n < sizeof(path) ? try_file(search, rule, path) : COOKIE_NONE;
}

/* --- on a command line ------------------------------------------------------------------ */

/* The VM's init: a flag's values are the arguments up to the next one with a dash,
 * and after -extra there are no flags. */
static size_t count_values(char *const *at)
{
	size_t n = 0;

	while (at[n] && at[n][0] != '-')
		n++;
	return n;
}

const char *cookie_in_args(const struct owner_args *args, const char *node)
{
	const char *cookie = NULL;
	size_t times = 0;

	for (char *const *at = args->at; *at && strcmp(*at, "-extra") != 0; at++) {
		size_t values = strcmp(*at, "-setcookie") == 0 ? count_values(at + 1) : 0;
		if (node ? values != 2 || strcmp(at[1], node) != 0 : values != 1)
			continue;
		cookie = at[values];
		times++;
	}
	return times == 1 ? cookie : NULL;
}

static enum cookie_result try_args(const struct search *search, const char *node)
{
	const char *text = search->args->at ? cookie_in_args(search->args, node) : NULL;

	return text ? take(search, "the node's -setcookie", "", text, strlen(text)) : COOKIE_NONE;
}

/* --- the places ----------------------------------------------------------------------------- */

static enum cookie_result try_variable(const struct search *search, const char *name,
                                       const char *value)
{
	return is_given(value) ? take(search, name, "", value, strlen(value)) : COOKIE_NONE;
}

static enum cookie_result try_given_file(const struct search *search)
{
	const char *path = search->places->cookie_file;

	return is_given(path) ? try_file(search, &given_file, path) : COOKIE_NONE;
}

/* Before RELEASE_COOKIE, which every mix release has: who gives the daemon a cookie of
 * its own means that one. */
static enum cookie_result try_link_cookie(const struct search *search)
{
	const char *node = search->places->link_name;

	return is_given(node) ? try_args(search, node) : COOKIE_NONE;
}

static enum cookie_result try_release_cookie(const struct search *search)
{
	return try_variable(search, "RELEASE_COOKIE", search->places->release_cookie);
}

static enum cookie_result try_relx_cookie(const struct search *search)
{
	return try_variable(search, "RELX_COOKIE", search->places->relx_cookie);
}

static enum cookie_result try_node_cookie(const struct search *search)
{
	return try_args(search, NULL);
}

static enum cookie_result try_release_root(const struct search *search)
{
	return try_file_in(search, &release_file, search->places->release_root, "releases/COOKIE");
}

static enum cookie_result try_root_dir(const struct search *search)
{
	return try_file_in(search, &release_file, search->places->root_dir, "releases/COOKIE");
}

static enum cookie_result try_home(const struct search *search)
{
	return try_file_in(search, &home_file, search->places->home, ".erlang.cookie");
}

static enum cookie_result try_config_home(const struct search *search)
{
	const struct cookie_places *places = search->places;

	if (is_given(places->config_home))
		return try_file_in(search, &home_file, places->config_home,
		                   "erlang/.erlang.cookie");
	return try_file_in(search, &home_file, places->home, ".config/erlang/.erlang.cookie");
}

void cookie_places_read(struct cookie_places *places)
{
	*places = (struct cookie_places){
	    .release_cookie = getenv("RELEASE_COOKIE"),
	    .relx_cookie = getenv("RELX_COOKIE"),
	    .release_root = getenv("RELEASE_ROOT"),
	    .root_dir = getenv("ROOTDIR"),
	    .home = getenv("HOME"),
	    .config_home = getenv("XDG_CONFIG_HOME"),
	};
}

static enum cookie_result search_places(const struct search *search)
{
	static enum cookie_result (*const order[])(const struct search *) = {
	    try_given_file,   try_link_cookie, try_release_cookie, try_relx_cookie, try_node_cookie,
	    try_release_root, try_root_dir,    try_home,           try_config_home,
	};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		enum cookie_result result = order[i](search);
		if (result != COOKIE_NONE)
			return result;
	}
	wrong(search,
	      "no cookie was found: set RELEASE_COOKIE, or ERL_EPMD_COOKIE_FILE to the path "
	      "of a file that has it");
	return COOKIE_NONE;
}

enum cookie_result cookie_find(const struct cookie_places *places, const struct owner *owner,
                               struct cookie *cookie, char *error, size_t error_size)
{
	struct owner_args args = {0};
	/* cppcheck-suppress ctuuninitvar ; it is set two lines on */
	const struct search search = {places, &args, cookie, error, error_size};

	*cookie = (struct cookie){0};
	if (owner && owner->uid == geteuid() && !owner_args_read(owner, &args) &&
	    is_given(places->node_name))
		owner_args_read_named(owner->uid, places->node_name, &args);
	enum cookie_result result = search_places(&search);
	owner_args_clear(&args);
	return result;
}

void cookie_clear(struct cookie *cookie)
{
	explicit_bzero(cookie, sizeof(*cookie));
}
