/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_KUBE_OBJECT_H
#define KEPMD_DISCOVERY_KUBE_OBJECT_H

/* Reads the API server's JSON texts: EndpointSlices (v1 and v1beta1), Endpoints,
 * watch events, list metadata, Status.  Pure.
 *
 * Rules, from the API reference and its traps:
 * - items, endpoints, ports, subsets, conditions, addresses may be null or absent;
 * - EndpointSlice: nil ready means true; nil serving means as ready; nil
 *   terminating means false; only addresses[0] counts; addressType FQDN has no
 *   peers; hostname is endpoints[].hostname; the Service is the label
 *   kubernetes.io/service-name; v1beta1 has "topology" instead of nodeName and
 *   no serving/terminating on old servers;
 * - Endpoints: subsets[] are (addresses + notReadyAddresses) x ports; an address
 *   in several subsets is one peer with the union of ports, ready if it is ready
 *   in any; the Service is metadata.name; never terminating; serving = ready;
 * - targetRef counts when its kind is Pod: uid is the peer's key, name its pod;
 * - ports are TCP ones (no protocol means TCP) with a number;
 * - an address that is not a literal IPv4/IPv6 one makes no peer;
 * - a field of the wrong type, or a kind that is another, makes the object
 *   unreadable; but a Status is read as far as it can be. */

#include <stdbool.h>
#include <stddef.h>

#include "peer.h"

enum kube_kind { KUBE_SLICES_V1, KUBE_SLICES_V1BETA1, KUBE_ENDPOINTS };

/* One EndpointSlice or Endpoints object. */
struct kube_object {
	char *key;              /* "namespace/name" */
	char *resource_version; /* may be NULL inside a LIST */
	struct peer *peers;
	size_t n_peers;
	bool
	    truncated; /* Endpoints over capacity (annotation endpoints.kubernetes.io/over-capacity) */
};
void kube_object_clear(struct kube_object *object);

/* Reads LEN bytes at TEXT as one object of KIND.  Returns 0; or -1 with a phrase
 * in ERROR that quotes what was wrong (never more than ERROR_SIZE bytes) and
 * *OBJECT empty. */
int kube_object_parse(enum kube_kind kind, const char *text, size_t len, struct kube_object *object,
                      char *error, size_t error_size);

/* A meta.k8s.io/v1 Status, as in error bodies and ERROR events.  Strings may be
 * NULL. */
struct kube_status {
	int code;     /* 0 when it has none */
	char *reason; /* "Expired", "Forbidden", ... */
	char *message;
	int retry_after_s;      /* details.retryAfterSeconds, else 0 */
	bool version_too_large; /* a details.causes[].reason is ResourceVersionTooLarge */
};
void kube_status_clear(struct kube_status *status);

/* False when the text is no Status (HTML, plain text, ...): *STATUS is empty. */
bool kube_status_parse(const char *text, size_t len, struct kube_status *status);

enum kube_event_type {
	KUBE_EVENT_UPSERT,   /* ADDED, MODIFIED: object is set */
	KUBE_EVENT_DELETED,  /* object.key is set, it has no peers any more */
	KUBE_EVENT_BOOKMARK, /* object.resource_version only */
	KUBE_EVENT_ERROR,    /* status is set */
	KUBE_EVENT_UNKNOWN   /* a type of the future: skip; type_name says which */
};
struct kube_event {
	enum kube_event_type type;
	char type_name[32];
	struct kube_object object;
	struct kube_status status;
};
void kube_event_clear(struct kube_event *event);

/* Reads one line of a WATCH; as kube_object_parse. */
int kube_event_parse(enum kube_kind kind, const char *text, size_t len, struct kube_event *event,
                     char *error, size_t error_size);

/* The envelope of a LIST (see kube_split.h): its resourceVersion and continue
 * token ("" or absent: NULL).  Its "kind" must end in List and "items" be there:
 * what else is answered with 200 must not be taken for an empty list. */
struct kube_list_meta {
	char *resource_version;
	char *continue_token;
};
void kube_list_meta_clear(struct kube_list_meta *meta);
int kube_list_meta_parse(const char *text, size_t len, struct kube_list_meta *meta, char *error,
                         size_t error_size);

#endif
