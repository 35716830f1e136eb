/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_JOIN_SOCK_DIAG_H
#define KEPMD_EPMD_JOIN_SOCK_DIAG_H

/* The kernel asked for one TCP socket by its two ends (sock_diag(7)): however many
 * sockets there are, it costs the same, and none is missed because others come and go
 * meanwhile. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The socket from LOCAL to REMOTE; IPv4 hosts are mapped into IPv6; ports in host
 * order.  Fills in UID and INODE (0: no process has it yet, or any more).  False
 * when there is none or the kernel cannot be asked. */
bool sock_diag_find(const struct in6_addr *local, uint16_t local_port,
                    const struct in6_addr *remote, uint16_t remote_port, uid_t *uid,
                    unsigned long *inode);

#endif
