/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_KUBE_OWN_H
#define KEPMD_DISCOVERY_KUBE_OWN_H

/* The Services that have this host among their endpoints, ready or not, gathered from one LIST of
 * all objects of a namespace.  Pure. */

#include <stdbool.h>
#include <stddef.h>

#include "kube_object.h"

/* More is no pod's lot; their names must fit into one URL. */
#define KUBE_OWN_MAX 64

/* Whether ADDRESS, a literal one, is this host's. */
typedef bool kube_own_fn(void *arg, const char *address);

/* All zero at first. */
struct kube_own {
	char *names[KUBE_OWN_MAX]; /* of Services, each once, as they came */
	size_t n;
	bool more; /* than there is room for */
};

/* Looks at OBJECT's peers; those that belong to no Service do not count.  Returns false when
 * memory is out. */
bool kube_own_look(struct kube_own *own, const struct kube_object *object, kube_own_fn *is_own,
                   void *arg);

/* "a,b", to free(3), or NULL when memory is out. */
char *kube_own_list(const struct kube_own *own);

void kube_own_clear(struct kube_own *own);

#endif
