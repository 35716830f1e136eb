/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "doctor_judge.h"
#include "proto/nodename.h"

/* Of the troubles that joining has with a node: the fault, or FAULTS where it is none. */
static const enum fault faults[LOCAL_TROUBLES] = {
    [LOCAL_FINE] = FAULTS,
    [LOCAL_STARTING] = FAULTS,
    [LOCAL_FOREIGN] = FAULT_FOREIGN_NODE,
    [LOCAL_NOT_FOUND] = FAULT_NODE_SILENT,
    [LOCAL_TLS] = FAULT_TLS_NODE,
    [LOCAL_HIDDEN] = FAULT_HIDDEN_NODE,
    [LOCAL_NOT_ALLOWED] = FAULT_NOT_ALLOWED,
    [LOCAL_UNWILLING] = FAULTS,
    [LOCAL_NO_COOKIE] = FAULT_NO_COOKIE,
    [LOCAL_REFUSED] = FAULT_OWN_COOKIE,
    [LOCAL_NO_LINK] = FAULT_NO_LINK,
};

static const char *name_of(const struct facts_local *local)
{
	return local->name[0] ? local->name : local->alive;
}

/* As net_kernel tells long names: a dot, or a literal address. */
static bool is_short(const char *name)
{
	const char *host = strchr(name, '@');

	return host && !strpbrk(host, ".:");
}

/* True when the name is fine, as far as it is known. */
static bool judge_name(const struct facts_local *local, const struct verdicts *to)
{
	const char *host = strchr(local->name, '@');

	if (!host)
		return true;
	if (is_short(local->name)) {
		verdict_wrong(to, FAULT_SHORT_NAME,
		              "%s has a short name, by which no other pod can reach it",
		              local->name);
		return false;
	}
	if (local->expected[0] && strcmp(local->expected, local->name) != 0) {
		verdict_wrong(to, FAULT_HOST_PART, "%s is what peers look for as %s", local->name,
		              local->expected);
		return false;
	}
	if (!local->expected[0] && local->host_is_foreign) {
		verdict_wrong(to, FAULT_HOST_PART,
		              "%s is named by an address that this host does not have",
		              local->name);
		return false;
	}
	return true;
}

static void judge_trouble(const struct facts *facts, const struct facts_local *local,
                          const struct verdicts *to)
{
	enum fault fault = faults[local->trouble];
	/* The node may be on its way up, or down. */
	bool passing = local->trouble == LOCAL_NOT_FOUND || local->trouble == LOCAL_NO_LINK;

	if (local->ready)
		verdict_ok(to, "node", "%s is linked to epmd (cookie from %s)", local->name,
		           local->cookie_source);
	else if (!facts->joining)
		verdict_ok(to, "node", "%s is registered; joining is off, so epmd leaves it alone",
		           name_of(local));
	else if (local->trouble == LOCAL_UNWILLING)
		verdict_ok(to, "node", "%s is left alone: %s", name_of(local), local->reason);
	else if (fault == FAULTS || (passing && local->trouble_s < DOCTOR_PATIENCE_S))
		verdict_wait(to, "node", "%s: %s", name_of(local), local->reason);
	else
		verdict_wrong(to, fault, "%s: %s", name_of(local), local->reason);
}

/* A hidden node beside a visible one is a shell, or such: it need not join. */
static bool is_beside(const struct facts *facts, const struct facts_local *local)
{
	for (size_t i = 0; i < facts->n_locals; i++) {
		const struct facts_local *other = &facts->locals[i];
		if (other != local && other->is_basename && other->visible &&
		    other->trouble != LOCAL_HIDDEN)
			return true;
	}
	return false;
}

static bool is_hidden(const struct facts_local *local)
{
	return !local->visible || local->trouble == LOCAL_HIDDEN;
}

static void judge_one(const struct facts *facts, const struct facts_local *local,
                      const struct verdicts *to)
{
	if (is_hidden(local)) {
		if (!is_beside(facts, local))
			verdict_wrong(
			    to, FAULT_HIDDEN_NODE,
			    "%s is a hidden node: peers do not see it, and it is not joined",
			    name_of(local));
		return;
	}
	if (judge_name(local, to) || local->trouble != LOCAL_FINE)
		judge_trouble(facts, local, to);
}

static void list_names(const struct facts *facts, char *text, size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < facts->n_locals && i < 3 && len < size; i++)
		len += (size_t)snprintf(text + len, size - len, "%s%.64s", i ? ", " : "",
		                        facts->locals[i].alive);
}

void doctor_judge_locals(const struct facts *facts, const struct verdicts *to)
{
	char names[256];
	size_t n = 0;

	for (size_t i = 0; i < facts->n_locals; i++) {
		if (!facts->locals[i].is_basename)
			continue;
		judge_one(facts, &facts->locals[i], to);
		n++;
	}
	if (n > 0)
		return;
	if (facts->n_locals == 0 && facts->dist_port[0])
		return; /* said: dist-port */
	if (facts->n_locals == 0) {
		if (facts->age_s < DOCTOR_PATIENCE_S)
			verdict_wait(to, "node", "no node has registered here yet");
		else
			verdict_wrong(to, FAULT_NO_NODE, "no node has registered with this epmd");
		return;
	}
	list_names(facts, names, sizeof(names));
	verdict_wrong(
	    to, FAULT_OTHER_NAME,
	    "the nodes registered here (%s) are none of those that peers are looked at for "
	    "(%s)",
	    names, facts->basenames ? facts->basenames : "visible ones");
}
