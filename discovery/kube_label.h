/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_KUBE_LABEL_H
#define KEPMD_DISCOVERY_KUBE_LABEL_H

/* What the API server would refuse anyway, known beforehand.  Pure. */

#include <stdbool.h>
#include <stddef.h>

/* Whether the LEN bytes at TEXT can name a Service or a namespace: a DNS label
 * (RFC 1123) in lower case. */
bool kube_dns_label_ok(const char *text, size_t len);

/* Whether the LEN bytes at TEXT are DNS labels with a dot between each two, in
 * either case. */
bool kube_domain_ok(const char *text, size_t len);

/* Whether TEXT can be a label selector (Kubernetes, "Labels and Selectors"): key,
 * !key, key=value, key==value, key!=value, key<1, key>1, key in (a,b), key notin (a,b),
 * with commas between them and blanks around any of their parts. */
bool kube_selector_ok(const char *text);

#endif
