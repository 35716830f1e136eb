/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kube_path.h"
#include "kube_report.h"

/* What is left for the words behind a problem. */
#define TAIL_ROOM 64

/* In-stream errors in a row: with so many the problem is said, with more it is known. */
#define ERRORS_SAID 2u
#define ERRORS_KNOWN 3u

void kube_report_services(const struct kube_report *report, char *text, size_t size)
{
	if (report->selector)
		snprintf(text, size, "selector %s", report->selector);
	else if (report->service)
		snprintf(text, size, "%s %s",
		         strchr(report->service, ',') ? "Services" : "Service", report->service);
	else
		snprintf(text, size, "the Services of this host");
}

static void tell(const struct kube_report *report, enum report_level level, const char *text)
{
	char services[KUBE_REPORT_SIZE], line[KUBE_REPORT_SIZE * 3];

	kube_report_services(report, services, sizeof(services));
	snprintf(line, sizeof(line), "kubernetes: namespace %s, %s: %s", report->namespace_,
	         services, text);
	report->events->report(report->events->arg, level, line);
}

void kube_report_say(const struct kube_report *report, enum report_level level, const char *format,
                     ...)
{
	char text[KUBE_REPORT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	tell(report, level, text);
}

/* Says a problem when it is new, not at each retry. */
__attribute__((format(printf, 4, 5))) static void
problem(struct kube_report *report, enum reflector_op op, enum source_fault fault,
        const char *format, ...)
{
	char text[KUBE_REPORT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	bool known = strcmp(text, report->problem) == 0;
	memcpy(report->problem, text, sizeof(text));
	report->problem_op = op;
	report->fault = fault;
	report->in_answer = false;
	kube_report_say(report, known ? REPORT_DEBUG : REPORT_ERROR,
	                "%.*s (peers that are known stay; trying again)",
	                KUBE_REPORT_SIZE - TAIL_ROOM, text);
}

static const char *verb(enum reflector_op op)
{
	return op == REFLECTOR_WATCH ? "watch" : "list";
}

void kube_report_http(struct kube_report *report, enum reflector_op op, enum kube_kind kind,
                      int http_status, const struct kube_status *status)
{
	const struct kube_access *access = report->access;
	const char *message = status->message ? status->message : "it does not say why";

	report->problem_kind = kind;
	snprintf(report->message, sizeof(report->message), "%s", message);
	if (http_status == 401)
		problem(report, op, SOURCE_UNAUTHORIZED,
		        "401: the API server at %s:%u does not accept the token of the %s: is the "
		        "service account deleted, or the token one of another cluster?",
		        access->host, access->port, access->origin);
	else if (http_status == 403)
		problem(
		    report, op, SOURCE_FORBIDDEN,
		    "403 for \"%s\" on %s: %s: a Role in that namespace must allow list and "
		    "watch on endpointslices.discovery.k8s.io, and a RoleBinding give it to this "
		    "pod's service account",
		    verb(op), kube_kind_resource(kind), message);
	else
		problem(report, op, SOURCE_TROUBLE, "the API server at %s:%u answers %d to \"%s\" on %s: %s",
		        access->host, access->port, http_status, verb(op), kube_kind_resource(kind),
		        message);
}

/* The first is what the protocol has them for; those that come in a row are one problem, also
 * where each names another version. */
static void in_stream(struct kube_report *report, enum reflector_op op, int status,
                      const char *detail)
{
	if (report->errors_in_row < ERRORS_KNOWN)
		report->errors_in_row++;
	if (report->errors_in_row != ERRORS_SAID) {
		kube_report_say(report, REPORT_DEBUG, "the watch ended with %d: %s", status,
		                detail);
		return;
	}
	problem(report, op, SOURCE_TROUBLE, "the API server at %s:%u ends each watch with %d: %s",
	        report->access->host, report->access->port, status, detail);
	report->in_answer = true;
}

void kube_report_end(struct kube_report *report, enum reflector_op op,
                     const struct reflector_end *end, enum source_fault fault, const char *detail)
{
	switch (end->why) {
	case REFLECTOR_GARBAGE:
		problem(report, op, SOURCE_TROUBLE,
		        "what %s:%u answers cannot be read: %s: is that the Kubernetes API server?",
		        report->access->host, report->access->port, detail);
		report->in_answer = true;
		break;
	case REFLECTOR_REFUSED:
		problem(report, op, fault, "%s", detail);
		break;
	case REFLECTOR_CUT:
		/* A WATCH that is cut is simply asked for again. */
		if (op == REFLECTOR_LIST)
			problem(report, op, SOURCE_NO_ANSWER, "%s", detail);
		else
			kube_report_say(report, REPORT_DEBUG, "the watch was cut: %s", detail);
		break;
	case REFLECTOR_IN_STREAM:
		in_stream(report, op, end->status, detail);
		break;
	case REFLECTOR_CLEAN:
	case REFLECTOR_HTTP:
		break;
	}
}

static void mended(struct kube_report *report)
{
	report->problem[0] = '\0';
	report->fault = SOURCE_FINE;
	tell(report, REPORT_INFO, "the API answers again");
}

void kube_report_fine(struct kube_report *report, enum reflector_op op)
{
	if (op == REFLECTOR_WATCH)
		report->errors_in_row = 0;
	/* A LIST that works does not mend a WATCH that is forbidden. */
	if (!report->problem[0] || (op == REFLECTOR_LIST && report->problem_op == REFLECTOR_WATCH))
		return;
	mended(report);
}

void kube_report_opened(struct kube_report *report)
{
	if (report->problem[0] && report->problem_op == REFLECTOR_WATCH && !report->in_answer)
		mended(report);
}

void kube_report_listed(struct kube_report *report, enum kube_kind kind, size_t n_objects,
                        size_t n_endpoints)
{
	bool empty = n_endpoints == 0;

	if (report->said_synced && report->said_empty == empty)
		return;
	report->said_synced = true;
	report->said_empty = empty;
	if (!empty)
		kube_report_say(report, REPORT_INFO, "%zu endpoints in %zu %s", n_endpoints,
		                n_objects, kube_kind_resource(kind));
	else if (n_objects)
		tell(report, REPORT_INFO,
		     "no endpoints (yet): does the Service select this application's pods?");
	else
		kube_report_say(report, REPORT_WARNING,
		                "no %s there: it is the Service, not the pods, that must have that "
		                "%s",
		                kube_kind_resource(kind), report->selector ? "label" : "name");
}

void kube_report_found(struct kube_report *report, const char *found, size_t n_endpoints)
{
	if (found) {
		kube_report_say(report, REPORT_INFO, "found by this host's address: %s", found);
		return;
	}
	kube_report_say(report, report->said_not_found ? REPORT_DEBUG : REPORT_WARNING,
	                "none yet: no Service has this host's address among its endpoints (%zu in "
	                "all): looking again; a Service must select this pod, or set "
	                "ERL_EPMD_SELECTOR or ERL_EPMD_SERVICE",
	                n_endpoints);
	report->said_not_found = true;
}

void kube_report_truncated(struct kube_report *report, const char *key)
{
	if (report->said_truncated)
		return;
	report->said_truncated = true;
	kube_report_say(report, REPORT_WARNING,
	                "Endpoints %s is cut off at 1,000 addresses, so peers are missing: allow "
	                "list and watch on endpointslices.discovery.k8s.io",
	                key);
}

void kube_report_warning(struct kube_report *report, const char *text)
{
	if (report->said_warning)
		return;
	report->said_warning = true;
	kube_report_say(report, REPORT_INFO, "the API server warns: %s", text);
}
