/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_STATUS_VIEW_H
#define KEPMD_EPMD_STATUS_VIEW_H

/* What the pages of the status listener show. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control.h"
#include "discovery/source.h"
#include "options.h"
#include "server.h"

struct evbuffer;

/* All borrowed. */
struct status_view {
	const struct options *options;
	struct server *server;
	const struct control *control; /* the peers, and joining, where discovery is on */
	const struct source_ops *source_ops;
	const struct source *source; /* NULL: discovery is off ... */
	const char *setting_error;   /* ... because of this, or "" */
	int64_t started_s;           /* since 1970 */
};

/* True when this epmd does all that it is asked to; else REASON is a phrase.  An API server that
 * fails later changes nothing: what is known stays served.  Nor do peers that are not joined:
 * a node that is gone elsewhere must not take this one out of its Service. */
bool status_is_ready(const struct status_view *view, char *reason, size_t reason_size);

/* Seconds since 1970 of SOURCE's last news, or 0. */
double status_heard_at(const struct status_view *view);

/* The pages, added to OUT.  -1 when memory is out.  The JSON is that of `epmd -peers -json` (doc/json.md). */
int status_metrics(const struct status_view *view, struct evbuffer *out);
int status_json(const struct status_view *view, struct evbuffer *out);

#endif
