/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "epmd/join/verdict.h"
#include "proto/dist_msg.h"
#include "proto/nodename.h"

/* OTP keeps a release compatible with the two before it. */
#define RELEASES_APART_MAX 2

__attribute__((format(printf, 3, 4))) static enum pair_outcome
say(enum pair_outcome outcome, char why[VERDICT_SIZE], const char *format, ...)
{
	va_list values;

	va_start(values, format);
	vsnprintf(why, VERDICT_SIZE, format, values);
	va_end(values);
	return outcome;
}

/* --- releases ------------------------------------------------------------------------------- */

/* The oldest release that FLAGS can be of, and the newest, or 0 for no bound. */
static unsigned oldest(uint64_t flags)
{
	return flags & DIST_FLAG_SINCE_29 ? 29 : flags & DIST_FLAG_SINCE_28 ? 28 : 0;
}

static unsigned newest(uint64_t flags)
{
	return flags & DIST_FLAG_SINCE_29 ? 0 : flags & DIST_FLAG_SINCE_28 ? 28 : 27;
}

/* The oldest release that joining is known to work with. */
#define OLDEST_SUPPORTED 25

static enum pair_outcome judge_releases(const struct local_facts *facts, uint64_t theirs,
                                        char why[VERDICT_SIZE])
{
	unsigned ours = facts->release, from = oldest(theirs), to = newest(theirs);

	if (ours == 0)
		return PAIR_UNTRIED;
	if (from > ours + RELEASES_APART_MAX)
		return say(PAIR_INCOMPATIBLE, why,
		           "incompatible release: it runs OTP %u or later, this node OTP %u: no "
		           "more than two releases may be apart, or the older one crashes",
		           from, ours);
	if (to && to + RELEASES_APART_MAX < ours)
		return say(PAIR_INCOMPATIBLE, why,
		           "incompatible release: it runs OTP %u or earlier, this node OTP %u: no "
		           "more than two releases may be apart, or the older one crashes",
		           to, ours);
	if (from == 0 && OLDEST_SUPPORTED + RELEASES_APART_MAX < ours)
		return say(
		    PAIR_OLDER, why,
		    "older release: it does not show which one, so whether it may meet OTP %u "
		    "is for its own epmd to judge, and to dial",
		    ours);
	return PAIR_UNTRIED;
}

/* --- names ------------------------------------------------------------------------------------ */

/* As net_kernel tells long names: a dot, or a literal address. */
static bool is_long(const char *name)
{
	const char *host = strchr(name, '@');

	return host && strpbrk(host, ".:");
}

static enum pair_outcome judge_node(const struct local_facts *facts, const struct remote *remote,
                                    const struct look_result *seen, char why[VERDICT_SIZE])
{
	if (strcmp(seen->name, remote->name) != 0)
		return say(PAIR_NAME_MISMATCH, why,
		           "name mismatch: the node there calls itself %.100s: name it by the "
		           "address of its pod, or set ERL_EPMD_HOST_MODE to the form it uses",
		           seen->name);
	if (!(seen->flags & DIST_FLAG_PUBLISHED))
		return say(PAIR_HIDDEN, why, "hidden: it was started with -hidden");
	if (is_long(facts->name) != is_long(seen->name))
		return say(PAIR_SHORT_NAMES, why,
		           "short names: %s has a %s name: start all nodes with -name (in a mix "
		           "release RELEASE_DISTRIBUTION=name)",
		           is_long(facts->name) ? "it" : "this node", "short");
	return judge_releases(facts, seen->flags, why);
}

enum pair_outcome verdict_of_look(const struct local_facts *facts, const struct remote *remote,
                                  const struct look_result *seen, char why[VERDICT_SIZE])
{
	const char *error = seen->error ? seen->error : "?";

	why[0] = '\0';
	switch (seen->outcome) {
	case LOOK_NODE:
		return judge_node(facts, remote, seen, why);
	case LOOK_UNREACHABLE:
		return say(PAIR_UNREACHABLE, why, "unreachable: %s, port %u: %s", remote->address,
		           remote->port, error);
	case LOOK_NO_NODE:
		return say(PAIR_NO_NODE, why, "no node: %s, port %u: %s", remote->address,
		           remote->port, error);
	case LOOK_TLS:
		return say(PAIR_TLS, why,
		           "tls: it speaks TLS (-proto_dist inet_tls), which epmd "
		           "cannot join");
	case LOOK_NOT_ALLOWED:
		return say(PAIR_NOT_ALLOWED, why,
		           "not allowed: it lets in only those that it was told of by "
		           "net_kernel:allow/1");
	case LOOK_BUSY:
		break;
	}
	return say(PAIR_BUSY, why, "it is busy with an earlier look");
}

/* --- where a node's own epmd client finds the peer ------------------------------------------------ */

enum pair_outcome verdict_of_whereabouts(struct etf_reader *answer, const char *name,
                                         char why[VERDICT_SIZE])
{
	const char *at = strchr(name, '@');
	struct etf_token first = {0}, tag = {0};

	why[0] = '\0';
	if (answer)
		first = tag = etf_next(answer);
	if (first.kind == ETF_TUPLE)
		tag = etf_next(answer);
	if (etf_is_atom(&tag, "port"))
		return PAIR_COOKIE;
	if (etf_is_atom(&tag, "noport"))
		return say(PAIR_UNRESOLVED, why,
		           "unresolved: the epmd that the node finds at %.100s knows no such node",
		           at ? at + 1 : name);
	if (answer && first.kind == ETF_TUPLE && first.arity == 2)
		tag = etf_next(answer);
	return say(PAIR_UNRESOLVED, why,
	           "unresolved: the node cannot ask the epmd of %.100s for its port (%.*s): "
	           "can its host name be resolved there?",
	           at ? at + 1 : name, tag.kind == ETF_ATOM ? (int)tag.text.len : 1,
	           tag.kind == ETF_ATOM ? (const char *)tag.text.at : "?");
}
