/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_CLUSTER_H
#define KEPMD_EPMD_CLUSTER_H

/* The settings that concern the cluster, judged: options.h says what was given,
 * this says what it means. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discovery/source.h"
#include "options.h"
#include "peername.h"
#include "settings.h"

struct cluster {
	const struct source_ops *source; /* NULL: discovery is off */
	struct source_settings source_settings;
	enum names_shown names_shown;
	struct peername_rule peername;
	char **basenames;      /* NULL-terminated; NULL: the local visible nodes' names */
	bool every_basename;   /* "*" */
	uint16_t dist_port;    /* fixed distribution port, or 0 */
	const char *dist_name; /* or the endpoint port's name, or NULL */
	enum join_mode join;
	bool join_demanded; /* asked for in so many words */
	bool join_when_registered;
	const char *cookie_file; /* or NULL: see epmd/join/cookie.h */
	const char *hosts_file;  /* or NULL */
	char *strings;         /* what BASENAMES points into */
};

/* Judges OPTIONS and, where they are silent, what a release exports (RELEASE_NODE,
 * NAME).  Returns 0; or -1 with one line in ERROR that names the setting, its value
 * and the mend; *CLUSTER is then as with discovery off.  Strings are borrowed from
 * OPTIONS and the environment. */
int cluster_read(const struct options *options, struct cluster *cluster, char *error,
                 size_t error_size);
void cluster_clear(struct cluster *cluster);

/* The variable of a setting that is about peers although nobody said where these are
 * found (a source of "none" says so), or NULL. */
const char *cluster_idle_setting(const struct options *options);

/* Calls FN with the variable of each setting that is given and means nothing to the
 * cluster's source. */
typedef void cluster_foreign_fn(void *arg, const char *variable);
void cluster_each_foreign(const struct options *options, const struct cluster *cluster,
                          cluster_foreign_fn *fn, void *arg);

#endif
