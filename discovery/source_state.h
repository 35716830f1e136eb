/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_SOURCE_STATE_H
#define KEPMD_DISCOVERY_SOURCE_STATE_H

/* How a source stands with the place that it reads, at this moment. */

#include <stdbool.h>
#include <stddef.h>

enum source_fault {
	SOURCE_FINE,
	SOURCE_NO_CREDENTIALS, /* the token, the CA or a client certificate is not there, or no good */
	SOURCE_NO_ANSWER,      /* nobody there, or it breaks off */
	SOURCE_DISTRUSTED,     /* the server's certificate, or no TLS */
	SOURCE_UNAUTHORIZED, /* 401 */
	SOURCE_FORBIDDEN,    /* 403 to VERB on RESOURCE */
	SOURCE_NAME_TROUBLE, /* a name cannot be resolved, or is none */
	SOURCE_TROUBLE       /* any other */
};

/* One watch or name of several, or the file.  All strings are borrowed for the call; PROBLEM and
 * MESSAGE may be "", others NULL where there is no such thing. */
struct source_state {
	const char *place; /* "namespace default, selector app=sample", the file's path, or a name in DNS */
	const char *namespace_;
	const char *services; /* "selector app=sample", "Service sample", "Services a,b" */
	const char *server;   /* "10.96.0.1:443" */
	const char *origin;   /* of the way in: "service account", or a kubeconfig */
	bool in_cluster;      /* by service account */
	enum source_fault fault;
	const char *problem;  /* as it was logged */
	const char *message;  /* what the server says itself, of a 403 */
	const char *verb;     /* "list" or "watch" */
	const char *resource; /* that was asked for last: "endpointslices.discovery.k8s.io" */
	bool listed;          /* it was read as a whole once */
	bool searching;       /* Services of this host are looked for; none was there at the last look */
	bool has_objects;     /* the Services are there, as far as is known */
	size_t n_endpoints;   /* in all objects, this host's own included */
};

#endif
