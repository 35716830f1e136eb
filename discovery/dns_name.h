/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_DNS_NAME_H
#define KEPMD_DISCOVERY_DNS_NAME_H

/* Names as ERL_EPMD_DISCOVERY=dns:NAME has them.  Pure. */

#include <stdbool.h>
#include <stddef.h>

#define DNS_NAMES_MAX 16
/* A name with a dot at its end, and its NUL (RFC 1035, 2.3.4: 255 bytes on the wire). */
#define DNS_NAME_SIZE 256

/* Looks at LIST, "a,b": each must be a host name, or one of SRV records (_epmd._tcp.a), of
 * labels of letters, digits, - and _, with or without a dot at the end, and no address.  Returns
 * how many there are; or -1 with a phrase that says what would be right in *WHY (static text). */
int dns_names_check(const char *list, const char **why);

/* Copies the next name of *LIST to NAME and goes on behind it.  False at the end. */
bool dns_names_next(const char **list, char name[DNS_NAME_SIZE]);

/* Whether its SRV records are meant: it begins with '_' (RFC 2782). */
bool dns_name_is_srv(const char *name);

/* The full name that NAME stands for at turn N (from 0) of a search through DOMAINS, N_DOMAINS
 * of them: as resolv.conf(5) says of "search" and "ndots".  False when there is none any more; FULL is
 * empty where it would be too long for a name. */
bool dns_name_candidate(const char *name, char *const *domains, size_t n_domains, int ndots,
                        size_t n, char full[DNS_NAME_SIZE]);

/* What a full name says where it is one of a Kubernetes Service (Kubernetes DNS-Based Service
 * Discovery, 2.3 and 2.4): [HOST.]SERVICE.NAMESPACE.svc.DOMAIN, or
 * _PORT._PROTO.SERVICE.NAMESPACE.svc.DOMAIN.  Empty where it does not; PORT of every name of SRV. */
struct dns_name_parts {
	char port[64];
	char host[64];
	char service[64];
	char namespace_[64];
};
void dns_name_split(const char *full, struct dns_name_parts *parts);

#endif
