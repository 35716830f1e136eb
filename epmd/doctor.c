/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "client.h"
#include "doctor.h"
#include "doctor_judge.h"

/* --- who answers ---------------------------------------------------------------------------- */

static void judge_dist_port(const struct facts *facts, const struct verdicts *to)
{
	if (facts->dist_port[0] && facts->n_locals == 0)
		verdict_wrong(
		    to, FAULT_DIST_PORT,
		    "ERL_DIST_PORT=%s is set: relx' start script then starts the node with "
		    "\"-erl_epmd_port\" and without epmd, so that nobody is discovered or "
		    "joined",
		    facts->dist_port);
}

static void age_text(uint64_t s, char text[32])
{
	if (s < 120)
		snprintf(text, 32, "%u s", (unsigned)s);
	else if (s < 7200)
		snprintf(text, 32, "%u min", (unsigned)(s / 60));
	else
		snprintf(text, 32, "%u h", (unsigned)(s / 3600));
}

/* False when there is nothing more to judge. */
static bool judge_daemon(const struct facts *facts, const struct verdicts *to)
{
	char age[32];

	if (facts->port_error[0]) {
		verdict_wrong(to, FAULT_PORT_VARIABLE, "%s", facts->port_error);
		return false;
	}
	switch (facts->daemon) {
	case FACTS_KEPMD:
		age_text(facts->age_s, age);
		verdict_ok(to, "daemon", "epmd (%s %s) serves port %u, for %s", PACKAGE_NAME,
		           PACKAGE_VERSION, facts->port, age);
		return true;
	case FACTS_NOBODY:
		verdict_wrong(to, FAULT_NO_DAEMON, "nobody answers at port %u of this host",
		              facts->port);
		break;
	case FACTS_SILENT:
		verdict_wrong(to, FAULT_SILENT_DAEMON,
		              "the epmd at port %u has not answered within %d s", facts->port,
		              CLIENT_PATIENCE_S);
		break;
	case FACTS_STOCK:
		verdict_wrong(
		    to, FAULT_STOCK_EPMD,
		    "what answers at port %u is Erlang's own epmd, which discovers and joins "
		    "nobody%s",
		    facts->port,
		    facts->wants_discovery ? ", whatever ERL_EPMD_DISCOVERY says" : "");
		break;
	case FACTS_OLDER:
		verdict_wrong(
		    to, FAULT_OLDER_EPMD,
		    "the epmd that answers at port %u is older than this program, and does "
		    "not know -doctor",
		    facts->port);
		break;
	}
	judge_dist_port(facts, to);
	return false;
}

/* --- settings ------------------------------------------------------------------------------- */

static void judge_unknown(const struct facts *facts, const struct verdicts *to)
{
	for (size_t i = 0; i < facts->n_unknown; i++) {
		const struct facts_unknown *unknown = &facts->unknown[i];
		if (unknown->like)
			verdict_wrong(to, FAULT_UNKNOWN_SETTING,
			              "%s is no setting that epmd knows: %s may be meant",
			              unknown->variable, unknown->like);
		else
			verdict_wrong(to, FAULT_UNKNOWN_SETTING, "%s is no setting that epmd knows",
			              unknown->variable);
	}
}

static void judge_settings(const struct facts *facts, const struct verdicts *to)
{
	judge_unknown(facts, to);
	if (facts->setting_error)
		verdict_wrong(to, FAULT_WRONG_SETTING, "discovery is off: %s",
		              facts->setting_error);
	else if (facts->idle)
		verdict_wrong(to, FAULT_IDLE_SETTING,
		              "%s is set, but ERL_EPMD_DISCOVERY is not: nothing is discovered",
		              facts->idle);
	else if (!facts->source && facts->wants_discovery)
		verdict_wrong(
		    to, FAULT_OTHER_ENVIRONMENT,
		    "ERL_EPMD_DISCOVERY is set here, but not in the environment of the epmd "
		    "that runs, which discovers nothing");
	else if (!facts->source)
		verdict_ok(to, "settings",
		           "discovery is off (ERL_EPMD_DISCOVERY is not set): a plain epmd");
	else if (facts->n_unknown == 0)
		verdict_ok(to, "settings", "all settings can be used; peers are found by: %s",
		           facts->source);
}

static void judge_address(const struct facts *facts, const struct verdicts *to)
{
	if (facts->source && facts->loopback_only)
		verdict_wrong(
		    to, FAULT_LOOPBACK_ONLY,
		    "%s%c%s keeps this epmd on loopback, where no peer can ask it for the port of "
		    "this host's nodes",
		    facts->loopback_only_by, *facts->loopback_only_by == '-' ? ' ' : '=',
		    facts->loopback_only);
}

/* --- the source ------------------------------------------------------------------------------- */

static void judge_forbidden(const struct facts_source *source, const struct verdicts *to)
{
	bool list = strcmp(source->verb, "list") == 0;

	verdict_wrong(to, list ? FAULT_RBAC_LIST : FAULT_RBAC_WATCH,
	              "the API server does not allow \"%s\" on endpointslices.discovery.k8s.io in "
	              "namespace %s (403: %s)",
	              source->verb, source->namespace_, source->message);
}

static void judge_fault(const struct facts_source *source, const struct verdicts *to)
{
	switch (source->fault) {
	case SOURCE_FINE:
		break;
	case SOURCE_NO_CREDENTIALS:
		verdict_wrong(to, FAULT_NO_CREDENTIALS, "%s", source->problem);
		break;
	case SOURCE_NO_ANSWER:
		verdict_wrong(to, FAULT_NO_API, "the API server at %s cannot be reached: %s",
		              source->server, source->problem);
		break;
	case SOURCE_DISTRUSTED:
		verdict_wrong(to, FAULT_WRONG_CA, "TLS with the API server at %s fails: %s",
		              source->server, source->problem);
		break;
	case SOURCE_UNAUTHORIZED:
		verdict_wrong(to, FAULT_UNAUTHORIZED,
		              "the API server at %s does not accept the token of the %s (401)",
		              source->server, source->origin);
		break;
	case SOURCE_FORBIDDEN:
		judge_forbidden(source, to);
		break;
	case SOURCE_NAME_TROUBLE:
		verdict_wrong(to, FAULT_DNS_NAME, "%s %s", source->place, source->problem);
		break;
	case SOURCE_TROUBLE:
		if (source->server[0])
			verdict_wrong(to, FAULT_API_ERROR, "%s: %s", source->place,
			              source->problem);
		else
			verdict_wrong(to, FAULT_PEERS_FILE, "%s %s", source->place,
			              source->problem);
		break;
	}
}

static void judge_found(const struct facts *facts, const struct facts_source *source,
                        const struct verdicts *to)
{
	bool by_name = strcmp(facts->source, "dns") == 0;
	const char *check = source->server[0] ? "services" : facts->source;

	if (source->searching && facts->age_s < DOCTOR_OWN_PATIENCE_S)
		verdict_wait(to, check, "no Service in namespace %s has this host yet",
		             source->namespace_);
	else if (source->searching)
		verdict_wrong(to, FAULT_OWN_POD,
		              "no Service in namespace %s has this host's address among its "
		              "endpoints, so that it is not known whose peers count",
		              source->namespace_);
	else if (!source->listed)
		verdict_wait(to, check, "%s: not read as a whole yet", source->place);
	else if (!source->has_objects && source->n_endpoints == 0)
		verdict_wrong(to, FAULT_NO_SERVICE, "nothing in namespace %s matches %s",
		              source->namespace_, source->services);
	else if (source->n_endpoints == 0 && source->server[0])
		verdict_wrong(to, FAULT_NO_ENDPOINTS,
		              "%s in namespace %s selects no pods: it has no endpoints",
		              source->services, source->namespace_);
	else if (source->n_endpoints == 0 && by_name && source->fault == SOURCE_FINE)
		verdict_wrong(to, FAULT_NO_ENDPOINTS, "%s has no addresses in DNS", source->place);
	else if (source->fault != SOURCE_FINE)
		verdict_wait(to, check, "%s: %zu endpoints, as they were known before that",
		             source->place, source->n_endpoints);
	else
		verdict_ok(to, check, "%s: %zu endpoints%s", source->place, source->n_endpoints,
		           source->server[0] ? ", this pod's own included" : "");
}

/* The same fault of several watches is one. */
static bool said_before(const struct facts *facts, size_t at)
{
	const struct facts_source *source = &facts->sources[at];

	for (size_t i = 0; i < at; i++)
		if (facts->sources[i].fault == source->fault &&
		    strcmp(facts->sources[i].namespace_, source->namespace_) == 0 &&
		    strcmp(facts->sources[i].problem, source->problem) == 0)
			return true;
	return false;
}

static bool judge_api(const struct facts *facts, const struct verdicts *to)
{
	bool fine = true;

	for (size_t i = 0; i < facts->n_sources; i++) {
		if (facts->sources[i].fault == SOURCE_FINE)
			continue;
		fine = false;
		if (!said_before(facts, i))
			judge_fault(&facts->sources[i], to);
	}
	if (fine && facts->n_sources > 0 && facts->sources[0].server[0])
		verdict_ok(to, "api", "the API server at %s answers, by the %s",
		           facts->sources[0].server, facts->sources[0].origin);
	return fine;
}

static void judge_own(const struct facts *facts, const struct verdicts *to)
{
	bool in_cluster = false, all_listed = true, any = false;

	for (size_t i = 0; i < facts->n_sources; i++) {
		in_cluster |= facts->sources[i].in_cluster;
		all_listed &= facts->sources[i].listed;
		any |= facts->sources[i].n_endpoints > 0;
	}
	/* Where there are no endpoints at all that is the fault. */
	if (!in_cluster || !all_listed || !any)
		return;
	if (facts->own_known)
		verdict_ok(to, "services", "this pod is among the endpoints");
	else if (facts->age_s < DOCTOR_OWN_PATIENCE_S)
		verdict_wait(to, "services", "this pod is not among the endpoints yet");
	else
		verdict_wrong(to, FAULT_OWN_POD,
		              "this pod is not among the endpoints that were found, so that peers "
		              "which look for the same do not find it");
}

static void judge_source(const struct facts *facts, const struct verdicts *to)
{
	judge_api(facts, to);
	for (size_t i = 0; i < facts->n_sources; i++)
		if (facts->sources[i].listed || facts->sources[i].fault == SOURCE_FINE)
			judge_found(facts, &facts->sources[i], to);
	judge_own(facts, to);
}

/* --- all ---------------------------------------------------------------------------------------- */

void doctor_judge(const struct facts *facts, finding_fn *fn, void *arg)
{
	const struct verdicts to = {fn, arg};

	if (!judge_daemon(facts, &to)) {
		judge_unknown(facts, &to);
		return;
	}
	judge_settings(facts, &to);
	judge_address(facts, &to);
	if (strcmp(facts->log, "nowhere") == 0)
		verdict_ok(
		    &to, "log",
		    "nothing is logged: there is no syslog, and the container's stderr cannot "
		    "be opened (ERL_EPMD_LOG names a file)");
	if (!facts->source)
		return;
	judge_source(facts, &to);
	judge_dist_port(facts, &to);
	doctor_judge_locals(facts, &to);
	doctor_judge_peers(facts, &to);
}
