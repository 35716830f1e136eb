/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_PEER_H
#define KEPMD_DISCOVERY_PEER_H

/* A peer: one address where a discovered Erlang node may live, with all that
 * the source knows of it.  A value: whoever holds one owns all its strings.
 * Rules: Kubernetes API, discovery.k8s.io/v1 EndpointSlice ("endpoints",
 * "conditions", "targetRef") and core/v1 Endpoints ("subsets"). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A named endpoint port, e.g. {"dist", 9100}.  NAME is "" where the Service
 * has a single port without a name. */
struct peer_port {
	char *name;
	uint16_t port;
};

/* Strings are NUL-terminated; those the source does not know are NULL, but
 * key and address are always there. */
struct peer {
	char *key;        /* identity: the pod's uid, else the address */
	char *address;    /* IPv4 or IPv6 as inet_ntop(3) prints it */
	char *namespace_; /* of the Service and its pods */
	char *service;    /* name of the Service */
	char *pod;        /* targetRef.name where targetRef.kind is Pod */
	char *hostname;   /* the pod's hostname, set with a subdomain */
	struct peer_port *ports;
	size_t n_ports;
	bool ready;
	bool serving;
	bool terminating;
};

/* A deep copy, or NULL when memory is out. */
struct peer *peer_clone(const struct peer *peer);

/* Gives TO, which has no ports, copies of FROM's.  False when memory is out: TO then has some of
 * them, to be freed by peer_clear. */
bool peer_copy_ports(struct peer *to, const struct peer *from);

/* Frees a peer that peer_clone made; NULL is fine. */
void peer_free(struct peer *peer);

/* Frees what PEER holds, not PEER itself, for peers kept in arrays. */
void peer_clear(struct peer *peer);

/* True when every field says the same. */
bool peer_equal(const struct peer *a, const struct peer *b);

/* The port called NAME, or 0 when the peer has none of that name. */
uint16_t peer_named_port(const struct peer *peer, const char *name);

#endif
