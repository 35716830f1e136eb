/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_DNS_FOUND_H
#define KEPMD_DISCOVERY_DNS_FOUND_H

/* What the records of one name add up to: its addresses, or the addresses of its SRV targets.
 * Pure.
 *
 * Rules:
 * - an address of a name is a peer, its key the address; with that of the other family a pod of
 *   two families is two peers, for a name does not say which belong together;
 * - a target of SRV is a peer by its name, of two families or not, and only a further address
 *   of the same family is one by address; the target "." is none (RFC 2782);
 * - a target HOST.SERVICE.NAMESPACE.svc.DOMAIN gives the pod's hostname, unless HOST is merely
 *   the address with dashes, as a pod without a hostname has it;
 * - the port of _PORT._PROTO.NAME is the peer's port of that name;
 * - the TTL is the least of all that was used, aliases (CNAME) included;
 * - DNS knows ready pods only, or does not know: all are ready. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns_reply.h"
#include "kube_object.h"

enum dns_family { DNS_IPV4, DNS_IPV6, DNS_FAMILIES };

struct dns_found;

/* For the records of FULL, a name without a dot at its end; SRV: of its SRV records.  NULL when
 * memory is out. */
struct dns_found *dns_found_new(const char *full, bool srv);
void dns_found_free(struct dns_found *found);

/* Takes a reply to the question for FULL.  Returns 0; or -1 when it is malformed, or memory out. */
int dns_found_add(struct dns_found *found, const void *reply, size_t len);
/* Takes a reply to that for the addresses of TARGET. */
int dns_found_add_target(struct dns_found *found, const char *target, const void *reply,
                         size_t len);

/* The next target that no address is known of, each once; NULL: no more. */
const char *dns_found_next_bare(struct dns_found *found);

/* Seconds; UINT32_MAX where nothing was found. */
uint32_t dns_found_ttl(const struct dns_found *found);

/* Moves the peers of FAMILY into *OBJECTS (malloc(3)), a hundred in each so that they can be put
 * bit by bit.  Returns how many objects there are; -1 when memory is out. */
int dns_found_take(const struct dns_found *found, enum dns_family family,
                   struct kube_object **objects);
/* How many peers that would be. */
size_t dns_found_count(const struct dns_found *found, enum dns_family family);

#endif
