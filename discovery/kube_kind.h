/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_KUBE_KIND_H
#define KEPMD_DISCOVERY_KUBE_KIND_H

/* Which kind of object is read: the first of EndpointSlices v1, v1beta1 and Endpoints that the
 * server serves and permits.  Pure.
 *
 * - 404 means that it serves no such version: the next is asked for;
 * - 403 means that slices are forbidden, in every version, since rights are given for a group: at
 *   once to Endpoints (an API that is not served may answer 403 as well, to those without rights);
 * - once a LIST of slices has worked, neither leads from them to Endpoints: a server
 *   that starts, or a Role that loses a verb, must look like trouble, not like
 *   another cluster;
 * - a choice is for one whole LIST only, so that an API that comes, or a right
 *   that is granted, is found by the next. */

#include <stdbool.h>

#include "kube_object.h"

struct kube_kind_choice {
	enum kube_kind kind;   /* to be asked for next */
	enum kube_kind lowest; /* what is never gone below */
};

struct kube_kind_choice kube_kind_choice(void);

/* A whole LIST is due: the best kind is asked for first. */
void kube_kind_begin(struct kube_kind_choice *choice);

/* The LIST of KIND was answered with the HTTP status STATUS, not 200.  Returns true when
 * KIND is another now, to be asked for at once; else it is an error. */
bool kube_kind_refused(struct kube_kind_choice *choice, int status);

/* A LIST of KIND has come whole. */
void kube_kind_listed(struct kube_kind_choice *choice);

#endif
