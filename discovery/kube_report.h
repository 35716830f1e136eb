/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_KUBE_REPORT_H
#define KEPMD_DISCOVERY_KUBE_REPORT_H

/* What a watch tells people: each state of affairs once, in words that name the
 * input and the mend. */

#include <stdbool.h>
#include <stddef.h>

#include "kube_access.h"
#include "kube_object.h"
#include "reflector.h"
#include "source.h"

#define KUBE_REPORT_SIZE 512

struct kube_report {
	/* set by the owner, borrowed */
	const struct source_events *events;
	const struct kube_access *access;
	const char *namespace_;
	const char *selector; /* or NULL, then: */
	const char *service;  /* or NULL: those of this host, which are not known yet */

	/* what was said last */
	char problem[KUBE_REPORT_SIZE]; /* "" when all is well */
	enum reflector_op problem_op;
	bool in_answer; /* it came within a 200, so that another 200 does not mend it */
	enum source_fault fault;       /* SOURCE_FINE when PROBLEM is "" */
	enum kube_kind problem_kind;   /* of SOURCE_FORBIDDEN */
	char message[KUBE_REPORT_SIZE]; /* the server's own words, of SOURCE_FORBIDDEN, or "" */
	unsigned errors_in_row; /* in WATCHes that brought nothing else */
	bool said_synced;
	bool said_empty;
	bool said_not_found;
	bool said_truncated;
	bool said_warning;
};

/* Writes what is looked at: "selector app=sample", "Service a", "Services a,b". */
void kube_report_services(const struct kube_report *report, char *text, size_t size);

/* One line, whatever was said before. */
void kube_report_say(const struct kube_report *report, enum report_level level, const char *format,
                     ...) __attribute__((format(printf, 3, 4)));

/* The request OP on KIND was answered by an HTTP status that is an error. */
void kube_report_http(struct kube_report *report, enum reflector_op op, enum kube_kind kind,
                      int http_status, const struct kube_status *status);

/* The request OP ended for WHY; DETAIL is a phrase.  FAULT: which, where no connection was to be
 * had (REFLECTOR_REFUSED). */
void kube_report_end(struct kube_report *report, enum reflector_op op,
                     const struct reflector_end *end, enum source_fault fault, const char *detail);

/* The request OP is answered as it should be: the LIST is whole, the WATCH has brought an event or
 * a bookmark (before that, its status says little). */
void kube_report_fine(struct kube_report *report, enum reflector_op op);

/* A WATCH is answered by 200.  What kept it from that is over, though it may be silent for a minute; what
 * was wrong within an earlier answer may not be. */
void kube_report_opened(struct kube_report *report);

/* A LIST has come whole: N_OBJECTS of KIND with N_ENDPOINTS in all. */
void kube_report_listed(struct kube_report *report, enum kube_kind kind, size_t n_objects,
                        size_t n_endpoints);

/* A LIST in search of this host's Services has come whole, with N_ENDPOINTS in all: FOUND are its
 * Services ("a,b"), or NULL: there are none yet. */
void kube_report_found(struct kube_report *report, const char *found, size_t n_endpoints);

/* The Endpoints object KEY is cut off at its limit. */
void kube_report_truncated(struct kube_report *report, const char *key);

/* The API server sent a Warning header. */
void kube_report_warning(struct kube_report *report, const char *text);

#endif
