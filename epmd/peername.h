/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_PEERNAME_H
#define KEPMD_EPMD_PEERNAME_H

/* The full node name that a peer's node must have, from its endpoint.  Pure.
 * Rules: libcluster, Cluster.Strategy.Kubernetes, "mode"; Kubernetes, "DNS for
 * Services and Pods" (A records of pods; hostname and subdomain). */

#include <stdbool.h>
#include <stddef.h>

#include "discovery/peer.h"

enum host_mode {
	HOST_MODE_IP,      /* sample@10.0.0.7 */
	HOST_MODE_DNS,     /* sample@10-0-0-7.NAMESPACE.pod.DOMAIN */
	HOST_MODE_HOSTNAME /* sample@HOSTNAME.SERVICE.NAMESPACE.svc.DOMAIN */
};

struct peername_rule {
	enum host_mode mode;
	const char *domain; /* "cluster.local" */
};

/* "ip", "dns" or "hostname"; false for anything else. */
bool peername_mode_parse(const char *text, enum host_mode *mode);

/* The mode that a node whose host part is HOST is named by. */
enum host_mode peername_mode_of(const char *host, const char *domain);

/* Writes the full name of PEER's node ALIVE to NAME of NODENAME_SIZE bytes.  False
 * when there is none; *WHY is then a phrase (static). */
bool peername_build(const struct peername_rule *rule, const struct peer *peer, const char *alive,
                    char *name, const char **why);

#endif
