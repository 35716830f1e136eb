/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "epmd/join/remote.h"
#include "epmd/log.h"
#include "proto/nodename.h"

struct remotes {
	struct event_base *base;
	struct remotes_events events;
	uint32_t creation;
	char our_name[NODENAME_SIZE];
	struct remote *by_name;
	unsigned looks;
};

struct remotes *remotes_new(struct event_base *base, uint32_t creation,
                            const struct remotes_events *events)
{
	struct remotes *remotes = calloc(1, sizeof(*remotes));

	if (!remotes)
		return NULL;
	remotes->base = base;
	remotes->creation = creation;
	remotes->events = *events;
	remotes_set_host(remotes, "127.0.0.1");
	return remotes;
}

void remotes_set_host(struct remotes *remotes, const char *host)
{
	char name[NODENAME_SIZE];

	if (nodename_join(LOOK_ALIVE, host, name))
		memcpy(remotes->our_name, name, sizeof(name));
}

static void end_look(struct remote *remote)
{
	if (!remote->look)
		return;
	look_cancel(remote->look);
	remote->look = NULL;
	remote->remotes->looks--;
}

static void free_remote(struct remote *remote)
{
	end_look(remote);
	free(remote->name);
	free(remote->label);
	free(remote->address);
	free(remote);
}

void remotes_free(struct remotes *remotes)
{
	struct remote *remote, *next;

	if (!remotes)
		return;
	HASH_ITER (hh, remotes->by_name, remote, next) {
		HASH_DEL(remotes->by_name, remote);
		free_remote(remote);
	}
	free(remotes);
}

/* --- what the peers' nodes are ------------------------------------------------------------ */

static struct remote *add(struct remotes *remotes, const struct peer_node *node)
{
	struct remote *remote = calloc(1, sizeof(*remote));

	if (!remote)
		return NULL;
	remote->remotes = remotes;
	remote->name = strdup(node->name);
	remote->label = strdup(node->label);
	remote->address = strdup(node->peer->address);
	if (!remote->name || !remote->label || !remote->address) {
		free_remote(remote);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, remotes->by_name, remote->name, strlen(remote->name), remote);
	if (!remote->hash_add_failed)
		return remote;
	free_remote(remote);
	return NULL;
}

static bool set_text(char **text, const char *wanted)
{
	char *copy;

	if (strcmp(*text, wanted) == 0)
		return true;
	copy = strdup(wanted);
	if (!copy)
		return false;
	free(*text);
	*text = copy;
	return true;
}

void remotes_changed(struct remotes *remotes, const struct peer_node *node)
{
	struct remote *remote = remotes_find(remotes, node->name, strlen(node->name));
	bool known = remote != NULL;

	if (!known)
		remote = add(remotes, node);
	if (!remote) {
		log_error("%s: no memory to join it", node->label);
		return;
	}
	bool moved = !known || remote->port != node->port || remote->target != node->target ||
	             strcmp(remote->address, node->peer->address) != 0;
	if (!set_text(&remote->label, node->label) ||
	    !set_text(&remote->address, node->peer->address))
		log_error("%s: no memory for its change", node->label);
	/* What a look finds at the old place is not said of the new one. */
	if (moved)
		end_look(remote);
	remote->port = node->port;
	remote->terminating = node->peer->terminating;
	remote->serving = node->peer->serving;
	remote->target = node->target;
	if (moved)
		remotes->events.renewed(remotes->events.arg, remote);
	else
		remotes->events.changed(remotes->events.arg, remote);
}

void remotes_gone(struct remotes *remotes, const struct peer_node *node)
{
	struct remote *remote = remotes_find(remotes, node->name, strlen(node->name));

	if (!remote || remote->target != node->target)
		return;
	remotes->events.removed(remotes->events.arg, remote);
	HASH_DEL(remotes->by_name, remote);
	free_remote(remote);
}

/* --- looks ------------------------------------------------------------------------------------ */

static void on_looked(void *arg, const struct look_result *result)
{
	struct remote *remote = arg;
	struct remotes *remotes = remote->remotes;

	remote->look = NULL;
	remotes->looks--;
	if (result->refused)
		target_port_refused(remote->target);
	remotes->events.looked(remotes->events.arg, remote, result);
}

static void cannot_begin(struct remote *remote, const char *error)
{
	struct remotes *remotes = remote->remotes;

	remotes->events.looked(remotes->events.arg, remote,
	                       &(struct look_result){.outcome = LOOK_UNREACHABLE, .error = error});
}

bool remote_look(struct remote *remote)
{
	struct remotes *remotes = remote->remotes;
	struct sockaddr_any address;

	if (remote->look)
		return true;
	if (remotes->looks >= REMOTE_LOOKS_MAX)
		return false;
	if (!sockaddr_parse(remote->address, remote->port, &address)) {
		cannot_begin(remote, "its address is none");
		return true;
	}
	errno = ENOMEM;
	remote->look = look_start(remotes->base, &address, remotes->our_name, remotes->creation,
	                          on_looked, remote);
	if (remote->look)
		remotes->looks++;
	else
		cannot_begin(remote, strerror(errno));
	return true;
}

/* --- all of them ---------------------------------------------------------------------------- */

struct remote *remotes_find(const struct remotes *remotes, const void *name, size_t len)
{
	struct remote *found;

	HASH_FIND(hh, remotes->by_name, name, len, found);
	return found;
}

struct remote *remotes_first(const struct remotes *remotes)
{
	return remotes->by_name;
}

struct remote *remotes_next(const struct remote *remote)
{
	return remote->hh.next;
}
