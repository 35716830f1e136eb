/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_KUBE_SPLIT_H
#define KEPMD_DISCOVERY_KUBE_SPLIT_H

/* Cuts the API server's byte stream, fed in chunks of any size, into JSON texts
 * small enough to parse one by one.  Pure.  Two shapes:
 *
 * - a WATCH is one JSON object per line (Kubernetes API concepts, "Efficient
 *   detection of changes"): each line becomes one item;
 * - a LIST is one object with a large top-level array "items" (API concepts,
 *   "Retrieving large results sets in chunks"): each element, which must be an
 *   object, becomes one item, and the rest, with "items" emptied, is the envelope,
 *   handed over at the end.  A body without "items" (a Status) is all envelope.
 *
 * The cutter only follows strings, escapes and nesting; whether an item is
 * valid JSON is for the parser to say. */

#include <stdbool.h>
#include <stddef.h>

#define KUBE_SPLIT_ITEM_MAX (8u << 20)     /* bytes of one item or line */
#define KUBE_SPLIT_ENVELOPE_MAX (1u << 20) /* bytes of a LIST without its items */

enum kube_split_shape { KUBE_SPLIT_WATCH, KUBE_SPLIT_LIST };

enum kube_split_error {
	KUBE_SPLIT_OK = 0,
	KUBE_SPLIT_TOO_LONG,   /* an item or the envelope passed its limit */
	KUBE_SPLIT_NOT_JSON,   /* a LIST body that is no object, or its items no list of objects */
	KUBE_SPLIT_UNFINISHED, /* the end came in the middle */
	KUBE_SPLIT_NO_MEMORY,
	KUBE_SPLIT_STOPPED /* the callback asked to stop */
};

/* One item: LEN bytes at TEXT, not NUL-terminated, borrowed for the call.
 * Returns false to stop (kube_split_feed then returns KUBE_SPLIT_STOPPED).  Must
 * not free the cutter. */
typedef bool kube_split_item_fn(void *arg, const char *text, size_t len);

struct kube_split;

struct kube_split *kube_split_new(enum kube_split_shape shape, kube_split_item_fn *item, void *arg);
void kube_split_free(struct kube_split *split);

/* Feeds LEN bytes.  After anything but KUBE_SPLIT_OK the cutter must only be
 * freed. */
enum kube_split_error kube_split_feed(struct kube_split *split, const void *bytes, size_t len);

/* The stream has ended.  For a LIST, *ENVELOPE and *LEN are the envelope,
 * borrowed until _free.  For a WATCH an unfinished last line is dropped and said
 * by KUBE_SPLIT_UNFINISHED; ENVELOPE and LEN may be NULL. */
enum kube_split_error kube_split_end(struct kube_split *split, const char **envelope, size_t *len);

/* A phrase for a log line, e.g. "a line of more than 8 MiB". */
const char *kube_split_error_text(enum kube_split_error error);

#endif
