/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_JOIN_OWNER_H
#define KEPMD_EPMD_JOIN_OWNER_H

/* Who holds the other end of a connection from this host, as the kernel tells it
 * (sock_diag.h) or shows it in /proc (proc(5): /proc/PID/cmdline, /proc/PID/fd; the kernel's
 * Documentation/networking/proc_net_tcp.rst: the table of sockets).  No call here
 * waits for anybody, and each reads a bounded amount. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct owner {
	uid_t uid;
	unsigned long inode; /* of the socket */
};

/* FD is our end of a connected TCP socket of either family.  False when the other
 * end is not to be found: on another host, in another network namespace, closed,
 * or no /proc. */
bool owner_find(int fd, struct owner *owner);

/* The command line of a process: N strings in AT, then NULL. */
struct owner_args {
	char **at; /* points into TEXT */
	size_t n;
	char *text; /* may hold a cookie */
	size_t size;
};

/* Reads the command line of the process that holds OWNER's socket and runs as its
 * user, to be cleared by the caller.  False when it is not to be found (in another
 * PID namespace, or we may not look into it) or too long. */
bool owner_args_read(const struct owner *owner, struct owner_args *args);

/* The same where we may not see which process holds the socket, as one that has given up
 * capabilities that the other has may not (ptrace(2), "Ptrace access mode checking"):
 * reads the command line of the one process of user UID, in our network namespace, that was
 * started as the node NODE, a full name (erl's -name and -sname).  False when there is none,
 * or several. */
bool owner_args_read_named(uid_t uid, const char *node, struct owner_args *args);

/* Wipes and frees; ARGS may be zeroed or cleared already. */
void owner_args_clear(struct owner_args *args);

/* --- what is pure of it --------------------------------------------------------- */

/* One end of a connection.  IPv4 hosts are mapped into IPv6, so that the same end
 * looks the same, whichever family its socket has. */
struct owner_end {
	struct in6_addr host;
	uint16_t port;
};

/* Reads LINE of /proc/net/tcp or tcp6.  False unless it is that of the socket that
 * goes from LOCAL to REMOTE and belongs to a process still. */
bool owner_parse_line(const char *line, const struct owner_end *local,
                      const struct owner_end *remote, struct owner *owner);

/* ARGS are those of a VM that is told to be the node NODE, a full name. */
bool owner_args_name(const struct owner_args *args, const char *node);

/* Splits the SIZE bytes at TEXT, of malloc, at their NULs, and takes them over.
 * False when memory is out; TEXT is then freed. */
bool owner_args_split(char *text, size_t size, struct owner_args *args);

#endif
