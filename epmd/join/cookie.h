/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_JOIN_COOKIE_H
#define KEPMD_EPMD_JOIN_COOKIE_H

/* The cookie that a local node expects of us.  Sources of the rules: OTP Reference
 * Manual, "Distributed Erlang", section "Security", and kernel's auth module, tried
 * on OTP 25 (-setcookie, .erlang.cookie); mix release and relx (the environment,
 * releases/COOKIE).
 *
 * The first of these that is there decides, even when it is wrong:
 *   1. ERL_EPMD_COOKIE_FILE
 *   2. -setcookie LINK COOKIE of the node, where LINK is the name that we connect as
 *   3. RELEASE_COOKIE, RELX_COOKIE
 *   4. -setcookie COOKIE of the node
 *   5. releases/COOKIE in RELEASE_ROOT, in ROOTDIR
 *   6. .erlang.cookie in HOME, in erlang/ of XDG_CONFIG_HOME (or HOME/.config)
 * The node's command line counts only when our own user runs it.
 *
 * A cookie is ASCII: of other characters each node makes bytes as its locale says. */

#include <stdbool.h>
#include <stddef.h>

#include "epmd/join/owner.h"

/* A cookie is an atom (Efficiency Guide, "System Limits"). */
#define COOKIE_CHARS_MAX 255
#define COOKIE_SOURCE_SIZE 512

/* To be cleared when it is no longer needed, and never to be logged. */
struct cookie {
	char text[COOKIE_CHARS_MAX + 1]; /* the bytes that the digest is made of, then NUL */
	size_t len;
	char source[COOKIE_SOURCE_SIZE]; /* for people: "RELEASE_COOKIE", a path, ... */
};

/* Where to look.  All borrowed; NULL and "" mean that there is no such place. */
struct cookie_places {
	const char *cookie_file;    /* ERL_EPMD_COOKIE_FILE: a path */
	const char *link_name;      /* the full node name that we connect as */
	const char *node_name;      /* the node's own; finds its command line if OWNER does not */
	const char *release_cookie; /* RELEASE_COOKIE: a cookie */
	const char *relx_cookie;    /* RELX_COOKIE: a cookie */
	const char *release_root;   /* RELEASE_ROOT and so on: folders */
	const char *root_dir;
	const char *home;
	const char *config_home;
};

/* Fills in what the environment says; COOKIE_FILE, LINK_NAME and
 * NODE_NAME become NULL. */
void cookie_places_read(struct cookie_places *places);

enum cookie_result {
	COOKIE_FOUND,
	COOKIE_NONE, /* no place has one */
	COOKIE_WRONG /* the place that decides has none that can be used */
};

/* OWNER is who holds the connection of the node's registration, or NULL when that is
 * not known.  Unless COOKIE_FOUND, *COOKIE is empty, and ERROR has one line that names
 * the place and the mend.  Reads files, but no more than a few kilobytes, and waits
 * for nothing. */
enum cookie_result cookie_find(const struct cookie_places *places, const struct owner *owner,
                               struct cookie *cookie, char *error, size_t error_size);

void cookie_clear(struct cookie *cookie);

/* Pure: the cookie that a VM with the command line ARGS was told to expect of NODE
 * or, with NULL, of any node.  NULL when it was told none, or several: those cancel
 * each other. */
const char *cookie_in_args(const struct owner_args *args, const char *node);

#endif
