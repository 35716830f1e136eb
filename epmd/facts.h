/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_FACTS_H
#define KEPMD_EPMD_FACTS_H

/* What -peers and -doctor go by: all that is known of this epmd, its settings, its source, the
 * local nodes and the peers, at one moment.  Plain data, so that what is concluded from it
 * (doctor.h) and how it is shown (report.h) can be tried without a daemon. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discovery/source_state.h"
#include "join/local.h"
#include "join/pair.h"
#include "proto/nodename.h"
#include "target.h"

/* Who answers at the port. */
enum facts_daemon {
	FACTS_KEPMD,
	FACTS_NOBODY,
	FACTS_SILENT, /* somebody who has not answered in time */
	FACTS_STOCK,  /* somebody who does not know our requests */
	FACTS_OLDER   /* a kepmd that does not know this one */
};

#define FACTS_TEXT 640

/* A setting as it is in effect. */
struct facts_setting {
	const char *name; /* "selector": as the flag, without the dash */
	char value[256];
	char origin[128]; /* "ERL_EPMD_SELECTOR", "-selector", "RELEASE_NODE", "default" */
};

struct facts_unknown {
	char variable[128];
	const char *like; /* the known one that may be meant, or NULL */
};

/* As struct source_state, with strings of its own. */
struct facts_source {
	char place[256];
	char namespace_[64];
	char services[200];
	char server[128];
	char origin[128];
	bool in_cluster;
	enum source_fault fault;
	char problem[FACTS_TEXT];
	char message[FACTS_TEXT];
	char verb[8];
	char resource[64];
	bool listed;
	bool searching;
	bool has_objects;
	size_t n_endpoints;
};

struct facts_local {
	char alive[NODENAME_SIZE];
	char name[NODENAME_SIZE]; /* full, or "" where nobody looked at it */
	uint16_t port;
	bool visible;                 /* as it registered */
	bool is_basename;             /* one of the names that peers are looked at for */
	char expected[NODENAME_SIZE]; /* what peers look for it as, or "" where that is not known */
	bool host_is_foreign;         /* its host part is an address, and none of this host's */
	bool known;                   /* joining knows it: then the rest is set */
	bool ready;
	enum local_trouble trouble;
	uint64_t trouble_s; /* for how long */
	char reason[FACTS_TEXT];
	char cookie_source[512]; /* "" while it has not been found */
};

struct facts_peer {
	const char *name;
	const char *address;
	const char *namespace_, *service, *pod; /* or NULL */
	bool ready, terminating;
	uint16_t port; /* 0: not known */
	const char *port_reason;
	enum target_trouble trouble;
	uint64_t trouble_s;
	enum pair_outcome outcome;
	const char *reason;
	uint64_t outcome_s;
};

/* Zero is a client that has found nobody. */
struct facts {
	enum facts_daemon daemon;
	uint16_t port;
	uint64_t age_s; /* of the daemon */

	/* of who asks; the daemon's own environment counts for the second too */
	char port_error[FACTS_TEXT]; /* ERL_EPMD_PORT is wrong: in what way */
	char dist_port[32];          /* ERL_DIST_PORT */
	bool wants_discovery;        /* its environment has ERL_EPMD_DISCOVERY */

	struct facts_setting *settings;
	size_t n_settings;
	struct facts_unknown *unknown;
	size_t n_unknown;
	const char *setting_error; /* or NULL */
	const char *idle;          /* a setting that does nothing, or NULL */
	const char *loopback_only;    /* the -address where all of it is on loopback, or NULL */
	const char *loopback_only_by; /* the variable or flag that says so */
	const char *log;           /* log_where */
	char privileges[256];      /* privilege_describe */
	char keeper[256];          /* keeper_describe */

	const char *source; /* "kubernetes", "file", "dns", or NULL: discovery is off */
	struct facts_source *sources;
	size_t n_sources;
	bool own_known; /* the source has this host among the endpoints */

	bool joining;          /* is on */
	const char *basenames; /* those looked for, separated by commas; NULL: the local ones, or: */
	bool every_basename;   /* peers are asked for all they have */
	struct facts_local *locals;
	size_t n_locals;
	struct facts_peer *peers;
	size_t n_peers;
	size_t n_unnamed;                          /* peers for which no node name can be built */
	const char *unnamed_address, *unnamed_why; /* of one of them */
};

/* Frees the arrays. */
void facts_clear(struct facts *facts);

#endif
