/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_REFLECTOR_H
#define KEPMD_DISCOVERY_REFLECTOR_H

/* The list+watch protocol as a pure state machine: it says which request comes
 * next and when; whoever owns it does the I/O and tells it how the request
 * ended.  No clock (times are handed in, milliseconds of a monotonic clock), no
 * randomness of its own, no log.
 *
 * Rules: Kubernetes API concepts ("Resource versions", "Efficient detection of
 * changes", "410 Gone responses", "Retrieving large results sets in chunks"), and
 * what client-go's reflector does. */

#include <stdbool.h>
#include <stdint.h>

enum reflector_op { REFLECTOR_LIST, REFLECTOR_WATCH };

#define REFLECTOR_PAGE 500 /* objects per LIST page */

/* The next request.  Strings are borrowed until the reflector is told anything. */
struct reflector_request {
	enum reflector_op op;
	const char *resource_version; /* NULL: do not send the parameter */
	const char *continue_token;   /* a later page, or NULL */
	unsigned limit;               /* 0: unpaged; so are LISTs from a version seen */
	unsigned timeout_s;           /* timeoutSeconds of a WATCH */
	uint64_t not_before_ms;       /* when to send it */
};

enum reflector_failure {
	REFLECTOR_CLEAN,     /* a WATCH ended as the server meant it to */
	REFLECTOR_CUT,       /* connection lost, stream ended in mid-line, deadline passed */
	REFLECTOR_REFUSED,   /* no connection could be made */
	REFLECTOR_HTTP,      /* an HTTP status other than 200: status is set */
	REFLECTOR_IN_STREAM, /* an ERROR event in a WATCH: status is its code */
	REFLECTOR_GARBAGE    /* what came could not be read */
};
struct reflector_end {
	enum reflector_failure why;
	int status;             /* HTTP status or Status code */
	int retry_after_s;      /* Retry-After or retryAfterSeconds; 0: none */
	bool version_too_large; /* cause ResourceVersionTooLarge */
};

/* Uniform random number in 0..bound-1; BOUND > 0. */
typedef uint32_t reflector_random_fn(void *arg, uint32_t bound);

struct reflector;

struct reflector *reflector_new(reflector_random_fn *random, void *arg);
void reflector_free(struct reflector *r);

/* Start again from an empty state (another kind of object is read from now on),
 * keeping the backoff. */
void reflector_restart(struct reflector *r);

/* What to ask next. */
void reflector_next(struct reflector *r, uint64_t now_ms, struct reflector_request *request);

/* What a new reflector asks first: for a LIST of another kind of object, until that is
 * answered and reflector_restart called. */
void reflector_first(struct reflector_request *request);

/* The request that reflector_next gave is under way. */
void reflector_sent(struct reflector *r, uint64_t now_ms);

/* A LIST page came whole: its metadata (strings copied).  Returns true when it
 * was the last page, so that the store is complete; false when a page follows;
 * a missing RESOURCE_VERSION on the last page is the same as "". */
bool reflector_listed(struct reflector *r, const char *resource_version, const char *continue_token,
                      uint64_t now_ms);

/* A WATCH event other than ERROR came, with the resourceVersion it carries. */
void reflector_saw(struct reflector *r, const char *resource_version, bool bookmark);

/* The request under way ended otherwise than by reflector_listed. */
void reflector_ended(struct reflector *r, const struct reflector_end *end, uint64_t now_ms);

/* A bookmark was seen in the WATCH under way, so that silence means death. */
bool reflector_expects_bookmarks(const struct reflector *r);

/* A LIST has been completed since _new or _restart. */
bool reflector_synced(const struct reflector *r);

#endif
