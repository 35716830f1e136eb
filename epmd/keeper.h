/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_KEEPER_H
#define KEPMD_EPMD_KEEPER_H

/* The keeper: a small process that holds the listening sockets too, and starts the
 * server again when that dies.  It is the server's parent, forked before any library
 * starts, and is not called epmd, so that who kills that by name leaves it.
 *
 * - A server that exits with status 0, or by SIGTERM or SIGINT, was meant to: the keeper
 *   ends as well.  Any other end is a crash: the next server is there within a second,
 *   on the same sockets, where clients have waited in the backlog.
 * - A server that says nothing for KEEPER_HUNG_S hangs, and is killed.  Time counts only
 *   while the keeper itself runs (a suspended machine, a frozen container: no hang), and
 *   not for a server that is stopped or traced: somebody holds it on purpose.
 * - After KEEPER_CRASHES_MAX crashes, each within KEEPER_LIVED_S of a start, the keeper
 *   closes the sockets, says so and ends: no socket stays open with nobody behind it.
 * - SIGTERM or SIGINT to the keeper ends both.
 * - A keeper that is killed leaves a server that goes on without one. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "listener.h"

#define KEEPER_NAME "erl-keeper"

#define KEEPER_PING_S 2
#define KEEPER_HUNG_S 10
#define KEEPER_CRASHES_MAX 10
#define KEEPER_LIVED_S 60

/* What a server says to its keeper, a byte each. */
#define KEEPER_PING '.'
#define KEEPER_LET_GO 'q' /* close the sockets, then this connection: I am about to end */
#define KEEPER_JOIN_ON '+' /* `epmd -join on`: the next server shall know it */
#define KEEPER_JOIN_OFF '-'

/* What a server knows of its keeper. */
struct keeper {
	int fd;    /* to it; -1: there is none (any more) */
	pid_t pid; /* 0: there was none */
	unsigned restarts;
	char last_end[128]; /* of the server before: "was killed by signal 9 (Killed)" */
	char join; /* what -join said last to a server before: KEEPER_JOIN_ON, _OFF; 0: nothing */
};

enum keeper_role {
	KEEPER_IS_SERVER, /* returned in each server, the first and those after it */
	KEEPER_HAS_ENDED  /* in the keeper, with its exit status in *STATUS; SET is closed */
};

/* Makes this process the keeper of a server that is forked here.  Call it before any
 * event loop or thread.  When no process can be had for a keeper, this one is the
 * server, without one, and the log says so. */
enum keeper_role keeper_start(struct listener_set *set, struct keeper *keeper, int *status);

/* For people, as a phrase: "process 7, no restart so far". */
void keeper_describe(const struct keeper *keeper, char *text, size_t size);

/* Pure.  How long, in ms, to wait before the server that follows the CRASHES'th crash in
 * a row is started; -1: not at all.  All of them together are less than five seconds,
 * and each is less than one. */
int keeper_delay_ms(unsigned crashes);

/* Pure.  What became of a server, from its status as of waitpid(2): 0 when it was meant
 * to end; else a crash, described in TEXT. */
int keeper_judge(int wait_status, char *text, size_t size);

#endif
