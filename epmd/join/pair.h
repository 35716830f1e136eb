/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_JOIN_PAIR_H
#define KEPMD_EPMD_JOIN_PAIR_H

/* When a local node is asked to dial a peer's node, and when it is left in peace.
 * Pure: times are handed in (milliseconds of a monotonic clock), chance too.
 *
 * Two things are asked again at different prices.  A look costs a peer a
 * connection and nothing else, so it comes often.  A dial may cost seconds, log
 * lines and, where `global` prevents overlapping partitions, other nodes' links,
 * so it comes only after a good look, and behind a breaker: a pair whose link falls
 * although both nodes live on is kept apart for half a minute, then five minutes, and
 * after the third fall in a row ("unstable") ten, twenty, up to sixty.  What is held
 * against a node ends with it: another creation or port begins anew. */

#include <stdbool.h>
#include <stdint.h>

/* A link that lived so long was a good one. */
#define PAIR_SETTLED_MS 60000
/* After the first fall, the second, and from the third on, where it doubles.  Tried
 * with five nodes of which two could not reach each other: `global` cuts a healthy
 * link some 8 s after it was made again, so each early dial is a nodedown more. */
#define PAIR_FIRST_HOLD_MS 30000
#define PAIR_SECOND_HOLD_MS 300000
#define PAIR_FALLS_UNSTABLE 3
#define PAIR_OPEN_MS 600000
#define PAIR_OPEN_MAX_MS 3600000
/* Between looks at a peer that does not answer. */
#define PAIR_LOOK_FIRST_MS 500
#define PAIR_LOOK_MAX_MS 10000
/* Between looks at one that answers but is not to be dialled, now or with the
 * breaker open. */
#define PAIR_LOOK_REFUSED_MS 30000
/* Between dials at one that refused the cookie, and looks at one that speaks TLS or lets
 * in only whom it was told of: each is a line in its log.  A first refusal may have been
 * something else, a node about to stop for one. */
#define PAIR_COOKIE_FIRST_MS 120000
#define PAIR_LOGGED_MS 3600000
/* Who did not answer for so long and does again was cut off: see pair_forgive. */
#define PAIR_CUT_OFF_MS 20000
/* How long a dial takes that nobody answers (net_setuptime, 7 s by default): two
 * that collide must not meet again at the next try. */
#define PAIR_DIAL_TIMEOUT_MS 7000
#define PAIR_DIAL_MAX_MS 60000

#define PAIR_NEVER UINT64_MAX

/* How things stand between the two. */
enum pair_outcome {
	PAIR_UNTRIED, /* nothing is known; of a look: go on */
	PAIR_JOINED,
	PAIR_BUSY,          /* of a look: the peer has not forgotten an earlier one yet */
	PAIR_UNREACHABLE,   /* nobody answers where the peer's node should listen */
	PAIR_NO_NODE,       /* what answers there is no Erlang node */
	PAIR_TLS,           /* it speaks TLS */
	PAIR_NAME_MISMATCH, /* it calls itself otherwise */
	PAIR_HIDDEN,
	PAIR_NOT_ALLOWED, /* net_kernel:allow/1 */
	PAIR_INCOMPATIBLE,
	PAIR_OLDER,        /* an older release, which must judge itself whether it may dial */
	PAIR_SHORT_NAMES,  /* one has a short name, the other a long one */
	PAIR_COOKIE,       /* the look was fine, the dial refused */
	PAIR_UNRESOLVED,   /* the local node cannot find out where the peer's is */
	PAIR_DIAL_TIMEOUT, /* the look was fine, the dial met silence */
	PAIR_UNSTABLE,     /* the breaker is open */
	/* Of no pair, but shown in its place: see pair_shown. */
	PAIR_LEFT_ALONE,
	PAIR_NO_PORT,
	PAIR_OUTCOMES
};

struct pair {
	enum pair_outcome outcome;
	uint64_t due_ms;       /* when to look next, or PAIR_NEVER */
	uint64_t up_since_ms;  /* while joined */
	uint64_t no_dial_ms;   /* no dial before this */
	unsigned failed_looks; /* in a row */
	unsigned failed_dials;
	unsigned refusals; /* of the cookie */
	unsigned falls;    /* of links, none of which had lived for PAIR_SETTLED_MS */
	bool held;         /* NO_DIAL_MS is because of them */
	uint32_t creation; /* the peer's when it was last seen; 0: never seen */
	bool ever_joined;
	uint64_t silent_ms; /* since when looks are not answered, or 0 */
};

/* CHANCE, here and below: a random number, all 32 bits of it. */
void pair_start(struct pair *pair, uint64_t now_ms, uint64_t delay_ms);

/* It has not answered looks for PAIR_CUT_OFF_MS. */
bool pair_is_cut_off(const struct pair *pair, uint64_t now_ms);

/* The local node has the peer's among its connected ones.  True when that is new. */
bool pair_up(struct pair *pair, uint64_t now_ms);

/* It has not any more, or has it over another link.  DELAY_MS: how long to wait
 * politely before a look.  True when the pair is unstable now. */
bool pair_down(struct pair *pair, uint64_t now_ms, uint64_t delay_ms, uint32_t chance);

/* What a look at the peer gave: PAIR_UNTRIED for a node that may be dialled, with
 * its CREATION, or why not.  A node with another creation is a new one: what was
 * held against the old one is forgotten. */
struct pair_next {
	bool dial;   /* dial now */
	bool healed; /* it was cut off and answers again: see pair_forgive */
};
struct pair_next pair_looked(struct pair *pair, enum pair_outcome verdict, uint32_t creation,
                             uint64_t now_ms, uint32_t chance);

/* A dial failed.  GREATER: the local node's name is greater than the peer's; of two
 * that dial each other, it waits longer. */
void pair_dial_failed(struct pair *pair, enum pair_outcome why, bool greater, uint64_t now_ms,
                      uint32_t chance);

/* A look or dial that was under way will not end: look again. */
void pair_interrupted(struct pair *pair, uint64_t now_ms);

/* The breaker closes early, held falls are forgotten, and a look is due: the trouble was this node's own link
 * to another peer, and that one answers again. */
void pair_forgive(struct pair *pair, uint64_t now_ms);

/* The peer has another address or port: look again, as if never before. */
void pair_renewed(struct pair *pair, uint64_t now_ms, uint64_t delay_ms);

/* What users are told of a pair that stands at OUTCOME: a node without a port is neither looked at
 * nor dialled, and with joining off nobody is, whatever stood between the two before. */
enum pair_outcome pair_shown(enum pair_outcome outcome, bool joining, bool has_port);

/* A word for tables: "joined", "cookie", "unreachable", .. */
const char *pair_outcome_word(enum pair_outcome outcome);

#endif
