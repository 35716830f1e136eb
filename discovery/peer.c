/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "peer.h"

/* Every string of a peer, so that none is forgotten in one of the functions. */
static const size_t strings[] = {
    offsetof(struct peer, key),        offsetof(struct peer, address),
    offsetof(struct peer, namespace_), offsetof(struct peer, service),
    offsetof(struct peer, pod),        offsetof(struct peer, hostname),
};
#define N_STRINGS (sizeof(strings) / sizeof(strings[0]))

static char **string_of(struct peer *peer, size_t i)
{
	return (char **)(void *)((char *)peer + strings[i]);
}

static const char *const_string_of(const struct peer *peer, size_t i)
{
	return *(const char *const *)(const void *)((const char *)peer + strings[i]);
}

static bool copy_string(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return *to || !from;
}

bool peer_copy_ports(struct peer *to, const struct peer *from)
{
	if (from->n_ports == 0)
		return true;
	to->ports = calloc(from->n_ports, sizeof(*to->ports));
	if (!to->ports)
		return false;
	to->n_ports = from->n_ports;
	for (size_t i = 0; i < from->n_ports; i++) {
		to->ports[i].port = from->ports[i].port;
		if (!copy_string(&to->ports[i].name, from->ports[i].name))
			return false;
	}
	return true;
}

struct peer *peer_clone(const struct peer *peer)
{
	struct peer *clone = calloc(1, sizeof(*clone));
	bool whole = clone && peer_copy_ports(clone, peer);

	for (size_t i = 0; whole && i < N_STRINGS; i++)
		whole = copy_string(string_of(clone, i), const_string_of(peer, i));
	if (!whole) {
		peer_free(clone);
		return NULL;
	}
	clone->ready = peer->ready;
	clone->serving = peer->serving;
	clone->terminating = peer->terminating;
	return clone;
}

void peer_free(struct peer *peer)
{
	if (peer)
		peer_clear(peer);
	free(peer);
}

void peer_clear(struct peer *peer)
{
	for (size_t i = 0; i < N_STRINGS; i++)
		free(*string_of(peer, i));
	for (size_t i = 0; i < peer->n_ports; i++)
		free(peer->ports[i].name);
	free(peer->ports);
	*peer = (struct peer){0};
}

static bool string_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool port_equal(const struct peer_port *a, const struct peer_port *b)
{
	return a->port == b->port && string_equal(a->name, b->name);
}

static bool has_port(const struct peer *peer, const struct peer_port *port)
{
	for (size_t i = 0; i < peer->n_ports; i++)
		if (port_equal(&peer->ports[i], port))
			return true;
	return false;
}

/* The order of ports says nothing: controllers do not keep it. */
static bool ports_equal(const struct peer *a, const struct peer *b)
{
	if (a->n_ports != b->n_ports)
		return false;
	for (size_t i = 0; i < a->n_ports; i++)
		if (!port_equal(&a->ports[i], &b->ports[i]) &&
		    (!has_port(b, &a->ports[i]) || !has_port(a, &b->ports[i])))
			return false;
	return true;
}

bool peer_equal(const struct peer *a, const struct peer *b)
{
	if (a->ready != b->ready || a->serving != b->serving || a->terminating != b->terminating)
		return false;
	for (size_t i = 0; i < N_STRINGS; i++)
		if (!string_equal(const_string_of(a, i), const_string_of(b, i)))
			return false;
	return ports_equal(a, b);
}

uint16_t peer_named_port(const struct peer *peer, const char *name)
{
	for (size_t i = 0; i < peer->n_ports; i++)
		if (string_equal(peer->ports[i].name, name))
			return peer->ports[i].port;
	return 0;
}
