/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "doctor_judge.h"

/* So many peers with one fault are named; the others are counted. */
#define NAMED_MAX 3

/* --- which fault a peer has ------------------------------------------------------------------- */

static const enum fault of_port[TARGET_TROUBLES] = {
    [TARGET_FINE] = FAULTS,
    [TARGET_NO_ANSWER] = FAULT_PEER_EPMD,
    [TARGET_NO_NODE] = FAULT_PEER_NO_NODE,
    [TARGET_NO_PORT_NAME] = FAULT_PORT_NAME,
};

static const enum fault of_outcome[PAIR_OUTCOMES] = {
    [PAIR_UNTRIED] = FAULTS,
    [PAIR_JOINED] = FAULTS,
    [PAIR_BUSY] = FAULTS,
    [PAIR_UNREACHABLE] = FAULT_PEER_PORT,
    [PAIR_NO_NODE] = FAULT_PEER_PORT,
    [PAIR_TLS] = FAULT_PEER_TLS,
    [PAIR_NAME_MISMATCH] = FAULT_PEER_NAME,
    [PAIR_HIDDEN] = FAULT_PEER_HIDDEN,
    [PAIR_NOT_ALLOWED] = FAULT_PEER_NOT_ALLOWED,
    [PAIR_INCOMPATIBLE] = FAULT_RELEASE,
    [PAIR_OLDER] = FAULTS, /* the other side dials */
    [PAIR_SHORT_NAMES] = FAULT_PEER_SHORT_NAME,
    [PAIR_COOKIE] = FAULT_COOKIE,
    [PAIR_UNRESOLVED] = FAULT_UNRESOLVED,
    [PAIR_DIAL_TIMEOUT] = FAULT_PEER_PORT,
    [PAIR_UNSTABLE] = FAULT_UNSTABLE,
};

static bool is_joined(const struct facts_peer *peer)
{
	return peer->outcome == PAIR_JOINED;
}

/* Nothing is held against one that is on its way out, or that is joined all the same. */
static bool counts(const struct facts_peer *peer)
{
	return !peer->terminating && !is_joined(peer);
}

static bool any_joined(const struct facts *facts)
{
	for (size_t i = 0; i < facts->n_peers; i++)
		if (is_joined(&facts->peers[i]))
			return true;
	return false;
}

/* A port that does not answer although others' do is a matter of the two. */
static enum fault fault_of(const struct facts_peer *peer, bool others_joined)
{
	enum fault fault = of_port[peer->trouble];

	/* Who was joined by the other side's doing is still cut off from ours. */
	if (is_joined(peer) && !peer->terminating && !peer->port && fault == FAULT_PEER_EPMD)
		return peer->trouble_s < DOCTOR_PATIENCE_S ? FAULTS : fault;
	if (!counts(peer))
		return FAULTS;
	if (fault != FAULTS)
		return peer->trouble_s < DOCTOR_PATIENCE_S ? FAULTS : fault;
	if (!peer->port || peer->outcome_s < DOCTOR_PATIENCE_S)
		return FAULTS;
	fault = of_outcome[peer->outcome];
	return fault == FAULT_PEER_PORT && others_joined ? FAULT_PAIR : fault;
}

static const char *reason_of(const struct facts_peer *peer)
{
	return of_port[peer->trouble] != FAULTS ? peer->port_reason : peer->reason;
}

/* --- saying it ----------------------------------------------------------------------------------- */

struct tally {
	size_t n;
	char text[FINDING_SIZE - 64];
	size_t len;
};

static void add(struct tally *tally, const struct facts_peer *peer)
{
	size_t room = sizeof(tally->text) - tally->len;

	if (tally->n++ >= NAMED_MAX || room < 2)
		return;
	int len = snprintf(tally->text + tally->len, room, "%s%.100s%s%.60s%s: %.400s",
	                   tally->len ? "; " : "", peer->name, peer->pod ? " (pod " : "",
	                   peer->pod ? peer->pod : "", peer->pod ? ")" : "", reason_of(peer));
	if (len > 0)
		tally->len += (size_t)len < room ? (size_t)len : room - 1;
}

/* How many peers have FAULT. */
static size_t judge_fault(const struct facts *facts, enum fault fault, bool others_joined,
                          const struct verdicts *to)
{
	struct tally tally = {0};

	for (size_t i = 0; i < facts->n_peers; i++)
		if (fault_of(&facts->peers[i], others_joined) == fault)
			add(&tally, &facts->peers[i]);
	if (tally.n > NAMED_MAX)
		verdict_wrong(to, fault, "%s; and %zu more peers", tally.text, tally.n - NAMED_MAX);
	else if (tally.n > 0)
		verdict_wrong(to, fault, "%s", tally.text);
	return tally.n;
}

/* Where no peer is there: is that all there is to say? */
static void judge_nobody(const struct facts *facts, const struct verdicts *to)
{
	size_t others = 0;
	bool known = true, named = facts->basenames || facts->every_basename || facts->n_peers > 0;

	if (facts->n_unnamed > 0)
		return; /* said: peer-unnamed */
	for (size_t i = 0; i < facts->n_sources; i++) {
		const struct facts_source *source = &facts->sources[i];
		if (source->n_endpoints > facts->own_known)
			others += source->n_endpoints - facts->own_known;
		known &= source->listed && source->fault == SOURCE_FINE;
	}
	for (size_t i = 0; i < facts->n_locals; i++)
		named |= facts->locals[i].is_basename && facts->locals[i].visible;
	if (others > 0 && !named)
		verdict_wait(to, "peers",
		             "no name is known to look for at the endpoints: a node that registers "
		             "here gives it, or ERL_EPMD_BASENAME");
	else if (!known)
		verdict_wait(to, "peers", "no peers are known, as long as the above stands");
	else if (others > 0 && facts->every_basename)
		verdict_wait(to, "peers",
		             "%zu endpoints are asked for the names of their nodes, and none has "
		             "given one yet",
		             others);
	else
		verdict_ok(to, "peers", "no peers are there but this one");
}

/* Those without a fault. */
static void sum_up(const struct facts *facts, size_t faulty, const struct verdicts *to)
{
	size_t joined = 0, with_port = 0, all = 0;

	for (size_t i = 0; i < facts->n_peers; i++) {
		const struct facts_peer *peer = &facts->peers[i];
		joined += is_joined(peer);
		with_port += peer->port != 0;
		all += is_joined(peer) || counts(peer);
	}
	if (all == 0)
		judge_nobody(facts, to);
	else if (!facts->joining && with_port + faulty >= all)
		verdict_ok(to, "join",
		           "joining is off: %zu of %zu peers have a port, and are left to the "
		           "application",
		           with_port, all);
	else if (!facts->joining)
		verdict_wait(
		    to, "peers",
		    "%zu of %zu peers have a port, the others are still being asked; joining "
		    "is off",
		    with_port, all);
	else if (joined == all)
		verdict_ok(to, "join", "all peers are joined: %zu", all);
	else if (joined + faulty < all)
		verdict_wait(to, "join",
		             "%zu of %zu peers are joined; others are still being asked, looked "
		             "at or dialled",
		             joined, all);
}

void doctor_judge_peers(const struct facts *facts, const struct verdicts *to)
{
	bool others_joined = any_joined(facts);
	size_t faulty = 0;

	if (facts->n_unnamed > 0)
		verdict_wrong(to, FAULT_PEER_UNNAMED,
		              "no node name can be made for %zu peers, %s for one: %s",
		              facts->n_unnamed, facts->unnamed_address, facts->unnamed_why);
	for (int fault = 0; fault < FAULTS; fault++)
		faulty += judge_fault(facts, (enum fault)fault, others_joined, to);
	sum_up(facts, faulty, to);
}
