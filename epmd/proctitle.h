/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_PROCTITLE_H
#define KEPMD_EPMD_PROCTITLE_H

/* How this process is called in ps(1), and by those who kill by name: its comm
 * (prctl(2), PR_SET_NAME) and its command line (proc(5), /proc/PID/cmdline).  Both are
 * the process' own, so the state here is one per process. */

/* To be called once, with main's arguments. */
void proctitle_remember(int argc, char *argv[]);

/* The process is called NAME (15 bytes at most), and nothing else, until
 * proctitle_restore.  The arguments are lost meanwhile, and with them whatever points
 * into them.  Does nothing without proctitle_remember or memory. */
void proctitle_set(const char *name);

/* The name and the arguments are again what they were. */
void proctitle_restore(void);

#endif
