/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube_watch.h"
#include "peerset_timer.h"
#include "source.h"

/* Namespaces times Services: each is a watch of its own at the API server. */
#define WATCHES_MAX 64

#define SEPARATORS ", "

struct source {
	struct kube_shared shared;
	struct peerset_timer *settle;
	struct kube_watch *watches[WATCHES_MAX];
	unsigned n_watches;
};

/* --- the peer set ------------------------------------------------------------------------- */

static void on_peer(void *arg, const struct peer *before, const struct peer *after)
{
	const struct source *source = arg;
	const struct source_events *events = &source->shared.events;

	events->peer_changed(events->arg, before, after);
}

static void on_touched(void *arg)
{
	const struct source *source = arg;

	peerset_timer_touch(source->settle);
}

/* --- the watches --------------------------------------------------------------------------- */

typedef int word_fn(struct source *source, const char *word, const void *context, char *error,
                    size_t error_size);

/* Calls FN for each word of LIST; stops at the first that is not 0. */
static int each_word(struct source *source, const char *list, word_fn *fn, const void *context,
                     char *error, size_t error_size)
{
	char *copy = strdup(list), *rest = copy, *word;
	int result = copy ? 0 : -1;

	while (result == 0 && (word = strsep(&rest, SEPARATORS)))
		if (*word)
			result = fn(source, word, context, error, error_size);
	free(copy);
	return result;
}

static int add_watch(struct source *source, const char *namespace_, const char *selector,
                     const char *service, char *error, size_t error_size)
{
	if (source->n_watches == WATCHES_MAX) {
		snprintf(error, error_size,
		         "more than %d combinations of namespace and Service: use fewer, or "
		         "ERL_EPMD_SELECTOR",
		         WATCHES_MAX);
		return -1;
	}
	struct kube_watch *watch =
	    kube_watch_new(&source->shared, source->n_watches, namespace_, selector, service);
	if (!watch)
		return -1;
	source->watches[source->n_watches++] = watch;
	return 0;
}

static int add_service(struct source *source, const char *service, const void *context, char *error,
                       size_t error_size)
{
	return add_watch(source, context, NULL, service, error, error_size);
}

static void on_found_more(void *arg, const char *namespace_, const char *service)
{
	struct source *source = arg;
	const struct source_events *events = &source->shared.events;
	char error[256] = "out of memory", line[512];

	if (add_watch(source, namespace_, NULL, service, error, sizeof(error)) == 0)
		return;
	snprintf(line, sizeof(line), "kubernetes: namespace %s: Service %s is not watched: %s",
	         namespace_, service, error);
	events->report(events->arg, REPORT_ERROR, line);
}

static int add_namespace(struct source *source, const char *namespace_, const void *context,
                         char *error, size_t error_size)
{
	const struct source_settings *settings = context;

	if (settings->selector || !settings->services)
		return add_watch(source, namespace_, settings->selector, NULL, error, error_size);
	return each_word(source, settings->services, add_service, namespace_, error, error_size);
}

static int add_watches(struct source *source, const struct source_settings *settings, char *error,
                       size_t error_size)
{
	const char *namespaces =
	    settings->namespaces ? settings->namespaces : source->shared.access->namespace_;

	if (each_word(source, namespaces, add_namespace, settings, error, error_size) < 0)
		return -1;
	if (source->n_watches > 0)
		return 0;
	snprintf(error, error_size, "no namespace, or no Service, is named");
	return -1;
}

/* --- life ----------------------------------------------------------------------------------- */

/* A dual-stack pod is known by the family that its cluster puts first, which is that
 * of the API server's own Service address. */
static bool prefers_ipv6(const struct kube_access *access)
{
	return access->in_cluster && strchr(access->host, ':');
}

static void say_way_in(const struct source *source)
{
	const struct kube_access *access = source->shared.access;
	const struct source_events *events = &source->shared.events;
	const char *proxy = http_proxy_variable();
	char line[512];

	snprintf(line, sizeof(line), "kubernetes: API server %s:%u, by %s%s%s", access->host,
	         access->port, access->origin, proxy ? ", through the proxy of " : "",
	         proxy ? proxy : "");
	events->report(events->arg, REPORT_INFO, line);
}

static void stop(struct source *source)
{
	for (unsigned i = 0; i < source->n_watches; i++)
		kube_watch_free(source->watches[i]);
	http_client_free(source->shared.http);
	kube_access_free(source->shared.access);
	peerset_timer_free(source->settle);
	peerset_free(source->shared.peers);
	free(source);
}

static int check(const struct source_settings *settings, char *error, size_t error_size)
{
	struct kube_access *access = kube_access_open(settings->kubeconfig, NULL, error, error_size);

	if (!access)
		return -1;
	kube_access_free(access);
	return 0;
}

static struct source *start(struct event_base *base, const struct source_settings *settings,
                            const struct source_events *events, char *error, size_t error_size)
{
	struct source *source = calloc(1, sizeof(*source));
	struct kube_shared *shared = source ? &source->shared : NULL;

	snprintf(error, error_size, "out of memory");
	if (!source)
		return NULL;
	*shared = (struct kube_shared){
	    .base = base,
	    .events = *events,
	    .is_own = settings->is_own,
	    .is_own_arg = settings->is_own_arg,
	    .peers_touched = on_touched,
	    .found_more = on_found_more,
	    .arg = source,
	};
	shared->access = kube_access_open(settings->kubeconfig, NULL, error, error_size);
	if (!shared->access)
		goto failed;
	shared->http = http_client_new(base);
	shared->peers = peerset_new(prefers_ipv6(shared->access), on_peer, source);
	source->settle = shared->peers ? peerset_timer_new(base, shared->peers) : NULL;
	if (!shared->http || !source->settle)
		goto failed;
	if (add_watches(source, settings, error, error_size) < 0)
		goto failed;
	say_way_in(source);
	return source;
failed:
	stop(source);
	return NULL;
}

/* --- how it does ---------------------------------------------------------------------------- */

static const struct source_stats *stats(const struct source *source)
{
	return &source->shared.stats;
}

static bool pending(const struct source *source, char *reason, size_t reason_size)
{
	for (unsigned i = 0; i < source->n_watches; i++)
		if (kube_watch_pending(source->watches[i], reason, reason_size))
			return true;
	return false;
}

static void each_state(const struct source *source, source_state_fn *fn, void *arg)
{
	for (unsigned i = 0; i < source->n_watches; i++)
		kube_watch_tell_state(source->watches[i], fn, arg);
}

const struct source_ops kubernetes_source = {.name = "kubernetes",
                                             .check = check,
                                             .start = start,
                                             .stop = stop,
                                             .stats = stats,
                                             .pending = pending,
                                             .each_state = each_state};
