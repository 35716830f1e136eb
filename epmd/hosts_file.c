/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "discovery/clock.h"
#include "hosts_file.h"
#include "log.h"
#include "proto/nodename.h"

/* Peers come and go in bursts. */
#define SETTLE_MS 100
#define RETRY_MS 30000

#define TROUBLE_SIZE 256

struct hosts_file {
	struct registry *registry;
	char *path;
	char *written; /* what is in the file; NULL: not known */
	struct event *timer;
	bool settling; /* the timer is that of a change */
	char trouble[TROUBLE_SIZE];
};

/* --- the hosts --------------------------------------------------------------------- */

/* Owns its strings. */
struct host_list {
	char **hosts;
	size_t n;
	bool failed; /* memory is out */
};

static void host_list_clear(struct host_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->hosts[i]);
	free(list->hosts);
}

static bool host_list_grow(struct host_list *list, const char *host)
{
	char **hosts = realloc(list->hosts, (list->n + 1) * sizeof(*hosts));

	if (!hosts)
		return false;
	list->hosts = hosts;
	hosts[list->n] = strdup(host);
	return hosts[list->n] && ++list->n;
}

static void add_host(void *arg, const struct epmd_node *node)
{
	struct host_list *list = arg;
	char name[NODENAME_SIZE];
	struct nodename halves;

	if (node->name.len >= sizeof(name))
		return;
	memcpy(name, node->name.at, node->name.len);
	name[node->name.len] = '\0';
	if (nodename_split(name, &halves) && !host_list_grow(list, halves.host))
		list->failed = true;
}

static int compare_hosts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* HOST as an atom in quotes (OTP Reference Manual, "Character Set and Source File
 * Encoding": file:consult/1 reads UTF-8). */
static void print_atom(FILE *out, const char *host)
{
	fputc('\'', out);
	for (const char *p = host; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7F)
			fprintf(out, "\\x{%x}", (unsigned)*p);
		else
			fprintf(out, *p == '\'' || *p == '\\' ? "\\%c" : "%c", *p);
	}
	fputs("'.\n", out);
}

static void print_hosts(FILE *out, const struct host_list *list)
{
	if (list->n)
		qsort(list->hosts, list->n, sizeof(*list->hosts), compare_hosts);
	for (size_t i = 0; i < list->n; i++)
		if (i == 0 || strcmp(list->hosts[i], list->hosts[i - 1]) != 0)
			print_atom(out, list->hosts[i]);
}

/* What the file must hold, or NULL when memory is out. */
static char *hosts_text(const struct registry *registry)
{
	struct host_list list = {0};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	registry_each_discovered(registry, add_host, &list);
	print_hosts(out, &list);
	bool failed = fclose(out) != 0 || list.failed;
	host_list_clear(&list);
	if (!failed)
		return text;
	free(text);
	return NULL;
}

/* --- the file -------------------------------------------------------------------------- */

/* Writes to TROUBLE what is wrong, why (errno), and the mend.  Returns false. */
static bool fail(char *trouble, const char *what, const char *mend)
{
	snprintf(trouble, TROUBLE_SIZE, "%s (%s): %s", what, strerror(errno), mend);
	return false;
}

static bool write_text(int fd, const char *text, char *trouble)
{
	size_t left = strlen(text);

	/* As it is made only its owner may read it; nodes may have another user. */
	bool good = fchmod(fd, 0644) == 0;
	while (good && left > 0) {
		ssize_t n = write(fd, text, left);
		good = n >= 0;
		text += good ? n : 0;
		left -= good ? (size_t)n : 0;
	}
	return good || fail(trouble, "cannot be written", "make room for it");
}

static bool replace(const char *path, const char *text, char *trouble)
{
	char temporary[PATH_MAX + 8];

	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return fail(trouble, "cannot be written",
		            "its folder must be one that our user can make files in");
	bool good = write_text(fd, text, trouble);
	close(fd);
	if (good && rename(temporary, path) < 0)
		good = fail(trouble, "cannot be replaced", "remove what is there");
	if (!good)
		unlink(temporary);
	return good;
}

static bool write_file(const char *path, const char *text, char *trouble)
{
	char target[PATH_MAX];
	struct stat st;

	if (lstat(path, &st) < 0)
		return replace(path, text, trouble);
	/* A link stays; what it leads to is replaced. */
	if (!realpath(path, target) || stat(target, &st) < 0)
		return fail(trouble, "leads nowhere", "remove the link, or make what it leads to");
	/* Nobody wants /dev/null replaced.  A folder rename refuses. */
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		errno = EINVAL;
		return fail(trouble, "is no file", "give the path of one");
	}
	return replace(target, text, trouble);
}

/* --- when it is written ------------------------------------------------------------------ */

/* Says TROUBLE, or with "" that there is none, unless that was said last. */
static void tell(struct hosts_file *hosts_file, const char *trouble)
{
	if (strcmp(trouble, hosts_file->trouble) == 0)
		return;
	snprintf(hosts_file->trouble, TROUBLE_SIZE, "%s", trouble);
	if (*trouble)
		log_error("ERL_EPMD_HOSTS_FILE=%s %s", hosts_file->path, trouble);
	else
		log_info("ERL_EPMD_HOSTS_FILE=%s is up to date again", hosts_file->path);
}

static void write_if_changed(struct hosts_file *hosts_file, char *trouble)
{
	char *text = hosts_text(hosts_file->registry);

	if (!text) {
		errno = ENOMEM;
		fail(trouble, "cannot be written", "it is tried again");
		return;
	}
	if (hosts_file->written && strcmp(text, hosts_file->written) == 0) {
		free(text);
	} else if (write_file(hosts_file->path, text, trouble)) {
		free(hosts_file->written);
		hosts_file->written = text;
	} else {
		free(text);
	}
}

static void add_timer(struct hosts_file *hosts_file, uint64_t ms)
{
	struct timeval delay = clock_delay(ms);

	event_add(hosts_file->timer, &delay);
}

static void bring_up_to_date(evutil_socket_t fd, short what, void *arg)
{
	struct hosts_file *hosts_file = arg;
	char trouble[TROUBLE_SIZE] = "";

	(void)fd;
	(void)what;
	hosts_file->settling = false;
	write_if_changed(hosts_file, trouble);
	tell(hosts_file, trouble);
	if (*trouble)
		add_timer(hosts_file, RETRY_MS);
}

void hosts_file_touch(struct hosts_file *hosts_file)
{
	/* Not put off by the next one: changes may never stop. */
	if (hosts_file->settling)
		return;
	hosts_file->settling = true;
	add_timer(hosts_file, SETTLE_MS);
}

/* --- life ------------------------------------------------------------------------------------ */

static void note(void *arg, const struct epmd_node *node)
{
	(void)node;
	*(bool *)arg = true;
}

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool has_discovered(const struct registry *registry)
{
	bool found = false;

	registry_each_discovered(registry, note, &found);
	return found;
}

struct hosts_file *hosts_file_new(struct event_base *base, struct registry *registry,
                                  const char *path)
{
	struct hosts_file *hosts_file = calloc(1, sizeof(*hosts_file));

	if (!hosts_file)
		return NULL;
	hosts_file->registry = registry;
	hosts_file->path = strdup(path);
	hosts_file->timer = evtimer_new(base, bring_up_to_date, hosts_file);
	if (!hosts_file->path || !hosts_file->timer) {
		hosts_file_free(hosts_file);
		return NULL;
	}
	/* A daemon that starts again while discovery has nobody to ask must not take the
	 * hosts away that an earlier one wrote. */
	if (has_discovered(registry) || !is_file(path))
		bring_up_to_date(-1, 0, hosts_file);
	return hosts_file;
}

void hosts_file_free(struct hosts_file *hosts_file)
{
	if (!hosts_file)
		return;
	if (hosts_file->timer)
		event_free(hosts_file->timer);
	free(hosts_file->path);
	free(hosts_file->written);
	free(hosts_file);
}
