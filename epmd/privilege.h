/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_PRIVILEGE_H
#define KEPMD_EPMD_PRIVILEGE_H

/* What the process may do beyond serving: given up once the port is bound, for good.
 * Rules: prctl(2), PR_SET_NO_NEW_PRIVS and PR_SET_DUMPABLE; capabilities(7). */

#include <stdbool.h>
#include <stddef.h>

/* What a root daemon goes on doing with files that are not root's own; others than root
 * never could. */
struct privilege_needs {
	bool reads_files;  /* cookies, tokens, lists of peers: CAP_DAC_READ_SEARCH */
	bool writes_files; /* a .hosts.erlang: CAP_DAC_OVERRIDE */
	bool binds_ports;  /* under 1024, after this call: CAP_NET_BIND_SERVICE; not for root only */
};

/* Nothing that is executed from now on can gain a privilege; no core file is written, and
 * nobody of our own user may trace us or look into our memory (cookies, tokens); and all
 * capabilities go but those needed of the ones we have.  Returns 0; or -1 with errno, and then some may be left
 * (privilege_describe says what is so). */
int privilege_drop(const struct privilege_needs *needs);

/* To be called as the last thing of all: a build with AddressSanitizer then looks for leaks,
 * and must be able to trace itself.  Else it does nothing. */
void privilege_end(void);

/* What is so now, for people: "no new privileges, no capabilities, not dumpable". */
void privilege_describe(char *text, size_t size);

/* --- what is pure of it --------------------------------------------------------- */

/* Of the capabilities HELD (bit N: capability N) those that NEEDS wants. */
unsigned long long privilege_kept(unsigned long long held, bool root,
                                  const struct privilege_needs *needs);

/* Describes capabilities, "CAP_SYS_PTRACE" or "no capabilities". */
void privilege_capabilities_text(unsigned long long held, char *text, size_t size);

#endif
