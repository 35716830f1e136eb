/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_JOIN_LOCAL_H
#define KEPMD_EPMD_JOIN_LOCAL_H

/* One node of this host that shall join its peers: from its registration to the
 * moment at which it may be asked to dial.  Looks at it, links to it, asks it what
 * must be known first, waits for its applications, and begins again when the link
 * ends; gives up with its registration only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "epmd/join/link.h"
#include "proto/nodename.h"

struct event_base;
struct local;

/* What is the same for all local nodes. */
struct local_settings {
	struct event_base *base;
	const char *cookie_file; /* ERL_EPMD_COOKIE_FILE, or NULL */
	uint32_t creation;       /* what we show for ours */
	bool when_registered;    /* do not wait for applications */
	bool demanded;           /* joining was asked for in so many words: it beats the node's own
	                            dist_auto_connect never and connect_all false */
};

/* As the registry has it. */
struct local_registration {
	char alive[NODENAME_SIZE];
	uint16_t port;
	uint32_t creation;
	int fd; /* the registering connection, for the owner; not used after local_new */
};

struct local_events {
	/* It may be asked to dial from now on: see local_call. */
	void (*ready)(void *arg, struct local *local);
	/* It may not any more, for the link has ended. */
	void (*unready)(void *arg, struct local *local);
	void *arg;
};

/* SETTINGS are borrowed and must outlive it.  NULL when memory is out. */
struct local *local_new(const struct local_settings *settings,
                        const struct local_registration *registration,
                        const struct local_events *events);
/* Tells nothing. */
void local_free(struct local *local);

const struct local_registration *local_registration(const struct local *local);

/* What is known once it is ready. */
struct local_facts {
	char name[NODENAME_SIZE]; /* full */
	uint64_t flags;           /* DIST_FLAG_* */
	unsigned release;         /* OTP's, or 0 when it does not say */
	char cookie_source[512];  /* where its cookie was found, for log lines */
	unsigned setup_ms;        /* how long its dials wait for a peer: net_setuptime */
};
const struct local_facts *local_facts(const struct local *local);

bool local_is_ready(const struct local *local);

/* Why it is not ready, as a phrase. */
const char *local_reason(const struct local *local);

/* The same, for programs. */
enum local_trouble {
	LOCAL_FINE, /* ready, or on the way */
	LOCAL_STARTING,
	LOCAL_FOREIGN,     /* run by another user, or nobody knows by whom */
	LOCAL_NOT_FOUND,   /* no such node listens where it said */
	LOCAL_TLS,         /* -proto_dist inet_tls */
	LOCAL_HIDDEN,      /* -hidden */
	LOCAL_NOT_ALLOWED, /* net_kernel:allow/1 */
	LOCAL_UNWILLING,   /* its own dist_auto_connect, connect_all */
	LOCAL_NO_COOKIE,
	LOCAL_REFUSED, /* the cookie that was found */
	LOCAL_NO_LINK, /* any other */
	LOCAL_TROUBLES
};
enum local_trouble local_trouble(const struct local *local);
/* Since when, by clock_now_ms. */
uint64_t local_trouble_ms(const struct local *local);

/* As link_call; only when ready.  The answer may be NULL, but always comes before
 * `unready`, or never if that or local_free came first. */
int local_call(struct local *local, const struct dist_call *call, unsigned timeout_ms,
               link_answer_fn *answer, void *arg);

/* The node does not answer any more: begin again with it. */
void local_give_up_link(struct local *local, const char *why);

#endif
