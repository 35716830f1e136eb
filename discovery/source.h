/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_SOURCE_H
#define KEPMD_DISCOVERY_SOURCE_H

/* The interface between a place that knows peers (Kubernetes, a file, DNS) and the daemon.
 * A source runs on the daemon's event loop, never blocks it, and never takes a
 * peer away because of an error: a peer goes only when the place itself said
 * so. */

#include <stdbool.h>
#include <stddef.h>

#include "peer.h"
#include "source_state.h"
#include "source_stats.h"

struct event_base;

enum report_level { REPORT_ERROR, REPORT_WARNING, REPORT_INFO, REPORT_DEBUG };

/* What a source tells.  All pointers passed are borrowed for the call. */
struct source_events {
	/* BEFORE is NULL for a new peer, AFTER is NULL for one that is gone. */
	void (*peer_changed)(void *arg, const struct peer *before, const struct peer *after);
	/* One line for the log, without a newline.  A source says each state of
	 * affairs once, not once per retry. */
	void (*report)(void *arg, enum report_level level, const char *line);
	void *arg;
};

/* What a source may need to know; strings are borrowed and must outlive it. */
struct source_settings {
	const char *selector;   /* label selector of Services, or NULL */
	const char *services;   /* comma separated Service names, or NULL */
	const char *namespaces; /* comma separated, or NULL: the pod's own */
	const char *kubeconfig; /* path from ERL_EPMD_KUBECONFIG, or NULL */
	const char *path;       /* of the file; for file_source only */
	const char *names;      /* comma separated, good ones (dns_name.h); for dns_source only */
	bool hostnames;         /* peers are known by their pods' hostnames: SRV is asked for */
	/* Whether a literal address is this host's.  With neither selector nor services the peers
	 * are those of the Services that have it. */
	bool (*is_own)(void *arg, const char *address);
	void *is_own_arg;
};

struct source;

/* A kind of source.  START returns NULL and writes one clear sentence to ERROR
 * (of ERROR_SIZE bytes) when the settings cannot work; a service that merely is
 * not there yet is no error.  No peer is told from within START.  STOP frees
 * everything and tells nothing more.  CHECK says beforehand, without a loop, what
 * START would say of the way in: 0, or -1 with ERROR.
 *
 * STATS and PENDING are for those who watch the source.  PENDING is true until the source has been
 * told all peers once, and REASON then is a phrase; whatever happens later, it stays false.
 * EACH_STATE calls FN for each watch, name, or for the file: how things stand now. */
typedef void source_state_fn(void *arg, const struct source_state *state);

struct source_ops {
	const char *name;
	int (*check)(const struct source_settings *settings, char *error, size_t error_size);
	struct source *(*start)(struct event_base *base, const struct source_settings *settings,
	                        const struct source_events *events, char *error, size_t error_size);
	void (*stop)(struct source *source);
	const struct source_stats *(*stats)(const struct source *source);
	bool (*pending)(const struct source *source, char *reason, size_t reason_size);
	void (*each_state)(const struct source *source, source_state_fn *fn, void *arg);
};

extern const struct source_ops kubernetes_source;
extern const struct source_ops file_source; /* see file_peers.h */
extern const struct source_ops dns_source;  /* see dns_found.h */

#endif
