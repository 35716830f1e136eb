/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_ALLOW_H
#define KEPMD_EPMD_ALLOW_H

/* Who may ask, and who counts as this host: ERL_EPMD_ALLOW and ERL_EPMD_REMOTE_LOOPBACK. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sockaddr.h"

struct allow;

/* WHO: CIDRs, addresses and the word "peers", separated by commas or blanks; NULL: everybody.
 * REMOTE_LOOPBACK: addresses or CIDRs of loopback, or "none"; NULL: 127.0.0.6, from where Istio's
 * proxy delivers what it got from elsewhere (Istio, "Traffic redirection", InboundPassthrough).
 * DISCOVERS: there will be peers.  NULL with ERROR, which names the setting and the mend. */
struct allow *allow_new(const char *who, const char *remote_loopback, bool discovers, char *error,
                        size_t error_size);
/* After a wrong setting: nobody from elsewhere; NULL when memory is out. */
struct allow *allow_new_closed(void);
void allow_free(struct allow *allow);

/* FROM is 127/8 or ::1, and what comes from there really is this host. */
bool allow_is_loopback(const struct allow *allow, const struct sockaddr_any *from);

/* FROM may ask: it is loopback or another address of this host, or WHO names it.  NOW_MS: of
 * clock_now_ms. */
bool allow_may_ask(struct allow *allow, const struct sockaddr_any *from, uint64_t now_ms);

/* Literal addresses of peers as they come and go, for "peers"; either may be NULL.  An address is
 * known as long as one peer has it. */
void allow_peer_changed(struct allow *allow, const char *before, const char *after);

#endif
