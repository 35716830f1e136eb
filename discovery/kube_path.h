/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_KUBE_PATH_H
#define KEPMD_DISCOVERY_KUBE_PATH_H

/* Paths and queries of the requests that a reflector asks for.  Pure. */

#include <stddef.h>

#include "kube_object.h"
#include "reflector.h"

/* What one reflector reads: objects of KIND in one namespace, chosen by label
 * selector or by Service name. */
struct kube_target {
	enum kube_kind kind;
	const char *namespace_;
	const char *selector; /* label selector of the Services, or NULL */
	const char *services; /* or: "a" or "a,b" */
};

/* "/apis/discovery.k8s.io/v1/namespaces/NS/endpointslices?labelSelector=..&.."
 * for REQUEST; everything is percent-encoded.  For slices chosen by Service the
 * selector is kubernetes.io/service-name in (...); for Endpoints it is
 * fieldSelector=metadata.name=NAME, which takes one service only.  With selector and
 * services both must hold; with neither it is all objects of the namespace.
 * Returns a string to free(3), or NULL when memory is out. */
char *kube_path(const struct kube_target *target, const struct reflector_request *request);

/* "endpointslices.discovery.k8s.io" or "endpoints", for log lines. */
const char *kube_kind_resource(enum kube_kind kind);

#endif
