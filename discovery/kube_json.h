/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_KUBE_JSON_H
#define KEPMD_DISCOVERY_KUBE_JSON_H

/* A reader of parsed JSON with a sticky error: read all fields, then look at
 * FAILED once.  A member that is absent or null is no error, one of the wrong type
 * is.  For the kube_*.c that read objects, and file_peers.c, only. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "kube_object.h"

struct kube_json {
	char *error; /* the first error's phrase */
	size_t error_size;
	bool failed;
};

/* Sets the error unless there is one. */
__attribute__((format(printf, 2, 3))) void kube_json_fail(struct kube_json *json,
                                                          const char *format, ...);

/* The object that TEXT is; NULL after an error.  To be json_decref'ed. */
json_t *kube_json_load(struct kube_json *json, const char *text, size_t len);

/* Members of PARENT (which may be NULL: it has none), borrowed.  Absent, null and
 * wrong: NULL. */
json_t *kube_json_object(struct kube_json *json, const json_t *parent, const char *name);
json_t *kube_json_array(struct kube_json *json, const json_t *parent, const char *name);
/* The string VALUE, of the member NAME; one with a NUL in it is wrong too. */
const char *kube_json_text(struct kube_json *json, const json_t *value, const char *name);
/* "" counts as absent: so does the API server. */
const char *kube_json_string(struct kube_json *json, const json_t *parent, const char *name);
bool kube_json_bool(struct kube_json *json, const json_t *parent, const char *name, bool absent);
/* 0 when absent; cut to 0..INT_MAX. */
int kube_json_int(struct kube_json *json, const json_t *parent, const char *name);

/* Element I of ARRAY, an object; NULL when it is null. */
json_t *kube_json_element(struct kube_json *json, const json_t *array, size_t i, const char *name);

/* strdup(3); NULL is copied as NULL. */
char *kube_json_copy(struct kube_json *json, const char *text);

/* What both kinds of object share. */

/* Fails when ROOT says that it is of another kind; items of a LIST say nothing. */
void kube_json_expect_kind(struct kube_json *json, const json_t *root, const char *kind);

/* Fills PORTS with the TCP ports of the array "ports" of PARENT. */
void kube_json_ports(struct kube_json *json, const json_t *parent, struct peer *ports);

/* Fills key, address and pod of *PEER and copies NAMESPACE_ and SERVICE.  False,
 * with *PEER untouched, when ADDRESS makes no peer or there was an error. */
bool kube_json_peer(struct kube_json *json, const char *address, const json_t *target_ref,
                    const char *namespace_, const char *service, struct peer *peer);

/* The kinds.  They fill OBJECT's peers and truncated, and fail by JSON->failed. */
void kube_slice_read(struct kube_json *json, const json_t *root, struct kube_object *object);
void kube_endpoints_read(struct kube_json *json, const json_t *root, struct kube_object *object);

/* Reads ROOT as one object of KIND.  After a failure OBJECT is to be cleared all the same. */
void kube_object_read(struct kube_json *json, enum kube_kind kind, const json_t *root,
                      struct kube_object *object);

/* Reads a Status out of ROOT; false when it is none. */
bool kube_status_read(const json_t *root, struct kube_status *status);

#endif
