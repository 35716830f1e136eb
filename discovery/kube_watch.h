/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_KUBE_WATCH_H
#define KEPMD_DISCOVERY_KUBE_WATCH_H

/* One list+watch: the reflector's requests, sent; their answers, cut, parsed and put
 * into the peer set; the kind of object chosen by what the server serves and permits:
 * EndpointSlices v1, v1beta1, Endpoints. */

#include "http.h"
#include "kube_access.h"
#include "kube_own.h"
#include "peerset.h"
#include "source.h"

struct event_base;
struct kube_watch;

/* What the watches of one source share; outlives them. */
struct kube_shared {
	struct event_base *base;
	struct kube_access *access;
	struct http_client *http;
	struct peerset *peers;
	struct source_events events;
	struct source_stats stats;
	kube_own_fn *is_own;              /* of source_settings */
	void *is_own_arg;
	void (*peers_touched)(void *arg); /* peerset_settle has new work, perhaps */
	/* Found in search, and to be watched by another: Endpoints are watched by one name. */
	void (*found_more)(void *arg, const char *namespace_, const char *service);
	void *arg;
};

/* SCOPE is its own in the peer set.  SELECTOR or SERVICE (one name) is set; with
 * neither, the Services that have this host among their endpoints are found first, by LISTs of the
 * namespace, with backoff until there are some, and then watched by name.  Strings are copied.  Starts by itself, from the loop.  NULL when memory is out. */
struct kube_watch *kube_watch_new(struct kube_shared *shared, unsigned scope,
                                  const char *namespace_, const char *selector,
                                  const char *service);
void kube_watch_free(struct kube_watch *watch);

/* As source_ops.pending, for this one. */
bool kube_watch_pending(const struct kube_watch *watch, char *reason, size_t reason_size);
/* As source_ops.each_state, for this one. */
void kube_watch_tell_state(const struct kube_watch *watch, source_state_fn *fn, void *arg);

#endif
