/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "epmd/join/owner.h"
#include "epmd/join/sock_diag.h"

/* What is read at most, so that a crowded host does not hold the event loop: the
 * table of some 100,000 sockets, that many open files, the longest command line
 * that a release has with room to spare. */
#define TABLE_MAX (16u << 20)
#define N_TABLES 2
/* A table that changes while it is read may skip a line. */
#define TABLE_PASSES 8
#define LINKS_MAX 100000
#define ARGS_MAX (512u << 10)

/* A line of tcp6 has some 170 bytes. */
#define LINE_SIZE 512

/* --- the table of sockets --------------------------------------------------------- */

/* The kernel prints an address as words of its own byte order, eight digits each:
 * one for IPv4, four for IPv6. */
static bool parse_words(const char **text, uint32_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char digits[9] = {0};
		for (size_t d = 0; d < 8; d++) {
			if (!isxdigit((unsigned char)(*text)[d]))
				return false;
			digits[d] = (*text)[d];
		}
		words[i] = (uint32_t)strtoul(digits, NULL, 16);
		*text += 8;
	}
	return true;
}

/* "0100007F:1133", or the same with 32 digits before the colon. */
static bool parse_end(const char *text, struct owner_end *end)
{
	size_t digits = strcspn(text, ":");
	uint32_t words[4] = {0, 0, htonl(0xFFFF), 0};
	unsigned long port;
	char *after;

	if (digits != 8 && digits != 32)
		return false;
	if (!parse_words(&text, digits == 8 ? &words[3] : words, digits / 8) || *text++ != ':' ||
	    !isxdigit((unsigned char)*text))
		return false;
	port = strtoul(text, &after, 16);
	if (*after || port > UINT16_MAX)
		return false;
	memcpy(&end->host, words, sizeof(end->host));
	end->port = (uint16_t)port;
	return true;
}

static bool same_end(const struct owner_end *a, const struct owner_end *b)
{
	return a->port == b->port && memcmp(&a->host, &b->host, sizeof(a->host)) == 0;
}

/* "sl: local remote st tx:rx tr:when retrnsmt uid timeout inode ..." */
bool owner_parse_line(const char *line, const struct owner_end *local,
                      const struct owner_end *remote, struct owner *owner)
{
	char local_text[40], remote_text[40];
	struct owner_end from, to;
	unsigned uid;
	unsigned long inode;

	if (sscanf(line, " %*[0-9]: %39s %39s %*x %*x:%*x %*x:%*x %*x %u %*u %lu", local_text,
	           remote_text, &uid, &inode) != 4)
		return false;
	if (!parse_end(local_text, &from) || !parse_end(remote_text, &to))
		return false;
	/* A socket that its process has closed has no inode, and uid 0 whosever it was. */
	if (!same_end(&from, local) || !same_end(&to, remote) || inode == 0)
		return false;
	*owner = (struct owner){.uid = uid, .inode = inode};
	return true;
}

static bool find_in_table(const char *path, const struct owner_end *local,
                          const struct owner_end *remote, struct owner *owner)
{
	FILE *table = fopen(path, "re");
	char line[LINE_SIZE];
	size_t seen = 0;
	bool found = false;

	if (!table)
		return false;
	while (!found && seen < TABLE_MAX && fgets(line, sizeof(line), table)) {
		seen += strlen(line);
		found = owner_parse_line(line, local, remote, owner);
	}
	fclose(table);
	return found;
}

static bool end_of(const struct sockaddr_storage *storage, struct owner_end *end)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (storage->ss_family == AF_INET) {
		memcpy(&in, storage, sizeof(in));
		const uint32_t words[4] = {0, 0, htonl(0xFFFF), in.sin_addr.s_addr};
		memcpy(&end->host, words, sizeof(end->host));
		end->port = ntohs(in.sin_port);
		return true;
	}
	if (storage->ss_family != AF_INET6)
		return false;
	memcpy(&in6, storage, sizeof(in6));
	end->host = in6.sin6_addr;
	end->port = ntohs(in6.sin6_port);
	return true;
}

static bool ends_of(int fd, struct owner_end *ours, struct owner_end *theirs)
{
	struct sockaddr_storage near = {0}, far = {0};
	socklen_t near_len = sizeof(near), far_len = sizeof(far);

	return getsockname(fd, (struct sockaddr *)&near, &near_len) == 0 &&
	       getpeername(fd, (struct sockaddr *)&far, &far_len) == 0 && end_of(&near, ours) &&
	       end_of(&far, theirs);
}

bool owner_find(int fd, struct owner *owner)
{
	/* A socket of IPv6 may speak IPv4: it stands in the second table. */
	static const char *const tables[N_TABLES] = {"/proc/net/tcp", "/proc/net/tcp6"};
	struct owner_end ours, theirs;

	if (!ends_of(fd, &ours, &theirs))
		return false;
	if (sock_diag_find(&theirs.host, theirs.port, &ours.host, ours.port, &owner->uid,
	                   &owner->inode))
		return owner->inode != 0;
	/* Where the kernel answers no such questions (gVisor). */
	for (size_t i = 0; i < N_TABLES * TABLE_PASSES; i++)
		if (find_in_table(tables[i % N_TABLES], &theirs, &ours, owner))
			return true;
	return false;
}

/* --- the process --------------------------------------------------------------------- */

static DIR *open_dir_at(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);

	if (!entries && fd >= 0)
		close(fd);
	return entries;
}

static bool is_number(const char *name)
{
	return *name && name[strspn(name, "0123456789")] == '\0';
}

/* The next entry of DIR whose name is a number; NULL at the end. */
static const char *next_number(DIR *dir)
{
	struct dirent *entry;

	while ((entry = readdir(dir)))
		if (is_number(entry->d_name))
			return entry->d_name;
	return NULL;
}

/* True when one of PROCESS' open files is a link to WANTED.  *LINKS is how many may
 * be read yet, over all processes. */
static bool holds(int process, const char *wanted, size_t *links)
{
	DIR *fds = open_dir_at(process, "fd");
	char target[64];
	const char *name;
	bool found = false;

	while (fds && !found && *links && (name = next_number(fds))) {
		ssize_t n = readlinkat(dirfd(fds), name, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		found = strcmp(target, wanted) == 0;
		--*links;
	}
	if (fds)
		closedir(fds);
	return found;
}

static bool runs_as(int process, uid_t uid)
{
	struct stat st;

	return fstat(process, &st) == 0 && st.st_uid == uid;
}

/* The folder in /proc of the process that holds OWNER's socket, or -1.  The folder
 * stays that process', even when its PID is given to another. */
static int open_process(const struct owner *owner)
{
	DIR *proc = open_dir_at(AT_FDCWD, "/proc");
	size_t links = LINKS_MAX;
	char wanted[64];
	const char *name;
	int found = -1;

	snprintf(wanted, sizeof(wanted), "socket:[%lu]", owner->inode);
	while (proc && found < 0 && links && (name = next_number(proc))) {
		found = openat(dirfd(proc), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (found >= 0 && !(runs_as(found, owner->uid) && holds(found, wanted, &links))) {
			close(found);
			found = -1;
		}
	}
	if (proc)
		closedir(proc);
	return found;
}

/* --- its command line ------------------------------------------------------------------ */

bool owner_args_split(char *text, size_t size, struct owner_args *args)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += text[i] == '\0';
	*args = (struct owner_args){.text = text, .size = size};
	args->at = calloc(n + 1, sizeof(*args->at));
	if (!args->at) {
		owner_args_clear(args);
		return false;
	}
	/* What has no NUL after it was cut off: it is no argument. */
	for (char *arg = text; args->n < n; arg += strlen(arg) + 1)
		args->at[args->n++] = arg;
	return true;
}

void owner_args_clear(struct owner_args *args)
{
	if (args->text)
		explicit_bzero(args->text, args->size);
	free(args->text);
	free(args->at);
	*args = (struct owner_args){0};
}

/* Reads FD to its end; false when that is not within SIZE bytes. */
static bool read_all(int fd, char *text, size_t size, size_t *len)
{
	ssize_t n = 0;

	for (*len = 0; *len < size; *len += (size_t)n) {
		n = read(fd, text + *len, size - *len);
		if (n <= 0)
			return n == 0;
	}
	return false;
}

static bool read_args(int process, struct owner_args *args)
{
	int fd = openat(process, "cmdline", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char *text = malloc(ARGS_MAX);
	size_t len = 0;
	bool whole = fd >= 0 && text && read_all(fd, text, ARGS_MAX, &len);

	if (fd >= 0)
		close(fd);
	if (whole)
		return owner_args_split(text, len, args);
	if (text)
		explicit_bzero(text, len);
	free(text);
	return false;
}

bool owner_args_read(const struct owner *owner, struct owner_args *args)
{
	int process = open_process(owner);
	bool found = process >= 0 && read_args(process, args);

	if (process >= 0)
		close(process);
	return found;
}

/* --- by name ------------------------------------------------------------------------------ */

/* GIVEN may lack the host: the VM adds that. */
static bool is_name(const char *given, const char *node)
{
	size_t alive = strcspn(given, "@");

	if (given[alive])
		return strcmp(given, node) == 0;
	return strncmp(given, node, alive) == 0 && node[alive] == '@';
}

bool owner_args_name(const struct owner_args *args, const char *node)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): each of N is set */
	for (size_t i = 0; i + 1 < args->n && strcmp(args->at[i], "-extra") != 0; i++)
		if ((strcmp(args->at[i], "-name") == 0 || strcmp(args->at[i], "-sname") == 0) &&
		    is_name(args->at[i + 1], node))
			return true;
	return false;
}

/* A node whose connection has come over this host's own addresses is in our network namespace;
 * one of the same name in another (a container beside us) is not it.  The tables there are
 * files of their own in each.  PROCESS' ns/net would say so too, but not to us (ptrace(2)). */
static bool shares_network(int process)
{
	struct stat own, its;

	if (stat("/proc/self/net/tcp", &own) < 0)
		return true;
	return fstatat(process, "net/tcp", &its, 0) == 0 && its.st_dev == own.st_dev &&
	       its.st_ino == own.st_ino;
}

/* Reads into ARGS the command line of the process NAME in PROC if it is one of UID's, in our
 * network, and NODE. */
static bool read_named(int proc, const char *name, uid_t uid, const char *node,
                       struct owner_args *args)
{
	int process = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool found = process >= 0 && runs_as(process, uid) && shares_network(process) &&
	             read_args(process, args);

	if (process >= 0)
		close(process);
	if (found && !owner_args_name(args, node)) {
		owner_args_clear(args);
		return false;
	}
	return found;
}

bool owner_args_read_named(uid_t uid, const char *node, struct owner_args *args)
{
	DIR *proc = open_dir_at(AT_FDCWD, "/proc");
	struct owner_args other;
	unsigned n = 0;
	const char *name;

	while (proc && n < 2 && (name = next_number(proc)))
		n += read_named(dirfd(proc), name, uid, node, n ? &other : args);
	if (proc)
		closedir(proc);
	/* Who of them it is cannot be told. */
	if (n == 2) {
		owner_args_clear(args);
		owner_args_clear(&other);
	}
	return n == 1;
}
