/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_LISTENER_H
#define KEPMD_EPMD_LISTENER_H

/* The listening sockets: opened before the daemon detaches, so that its caller
 * knows how that went, and served by the event loop afterwards. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct sockaddr_any;

#define LISTENER_MAX 64

struct listener_set {
	int fds[LISTENER_MAX];
	size_t n;
};

enum listener_result {
	LISTENER_OPEN,
	LISTENER_TAKEN, /* somebody, most likely an epmd, listens there already */
	LISTENER_FAILED
};

/* Listens on PORT of every address in ADDRESSES (literal ones, separated by
 * commas or white space, as ERL_EPMD_ADDRESS has them) and of the loopback
 * addresses; on all addresses when ADDRESSES is NULL or has none.  IPv4 and IPv6 have sockets of
 * their own.  A loopback address or, without ADDRESSES, a family that this host
 * lacks is no failure as long as one socket is open.  On LISTENER_TAKEN and
 * LISTENER_FAILED nothing is open and ERROR is a sentence that names the address. */
enum listener_result listener_open(const char *addresses, uint16_t port, struct listener_set *set,
                                   char *error, size_t error_size);

/* Takes over sockets that a service manager has opened.  Returns 0, or -1 when
 * there are more than LISTENER_MAX or one of them does not listen. */
int listener_adopt(int first_fd, size_t n, struct listener_set *set);

void listener_close(struct listener_set *set);

/* Called for each accepted, non-blocking, close-on-exec socket, and where it comes FROM. */
typedef void listener_accepted_fn(void *arg, int fd, const struct sockaddr_any *from);
/* No descriptor is left: free one.  False when none can be freed: then whoever comes is accepted
 * and closed, with a descriptor that is kept for that, rather than left without an answer. */
typedef bool listener_starved_fn(void *arg);

struct listener;

/* Accepts on the sockets of SET, which it takes over.  NULL when memory is out. */
struct listener *listener_serve(struct event_base *base, const struct listener_set *set,
                                listener_accepted_fn *accepted, listener_starved_fn *starved,
                                void *arg);
/* Closes the sockets; nobody is accepted any more.  May be called by what ACCEPTED leads to. */
void listener_stop(struct listener *listener);
/* Closes the sockets. */
void listener_free(struct listener *listener);

#endif
