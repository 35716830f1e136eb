/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_FILE_PEERS_H
#define KEPMD_DISCOVERY_FILE_PEERS_H

/* Reads what a file of peers holds.  Pure.  Two forms, told apart by the first byte that
 * is not white space:
 *
 * - '{': JSON as `kubectl get endpointslices -o json` prints it: a List of EndpointSlices
 *   or Endpoints, or one of them; also the API server's own EndpointSliceList and
 *   EndpointsList, if they are whole (no metadata.continue).  What counts of each object
 *   is said in kube_object.h;
 * - anything else: a line for each peer, an IPv4 or IPv6 address and, if wanted, behind
 *   blanks the pod's name, which is only shown.  '#' begins a comment; empty lines are
 *   none.  Such a peer is ready, and has neither namespace nor Service.
 *
 * A file that lists nobody is valid; one wrong item makes the whole file wrong. */

#include <stddef.h>

#include "kube_object.h"

/* Bytes of a file that is read: some twenty thousand endpoints as kubectl prints them. */
#define FILE_PEERS_MAX (16u << 20)

/* Owns its objects.  Lines are put together to objects whose key is NULL. */
struct file_peers {
	struct kube_object *objects;
	size_t n_objects;
};
void file_peers_clear(struct file_peers *found);

/* Reads LEN bytes at TEXT.  Returns 0; or -1 with a phrase in ERROR, in printable ASCII,
 * that names the line (but where the whole is wrong) and the mend, and *FOUND empty. */
int file_peers_parse(const char *text, size_t len, struct file_peers *found, char *error,
                     size_t error_size);

/* How many peers there are, doubles included. */
size_t file_peers_count(const struct file_peers *found);

#endif
