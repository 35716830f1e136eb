/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"
#include "report.h"
#include "utf8.h"

#define LINE_SIZE 4096
#define COLUMNS 79
#define INDENT 4

/* A line; the newline is added. */
__attribute__((format(printf, 2, 3))) static void say(const struct report_out *out,
                                                      const char *format, ...)
{
	char line[LINE_SIZE];
	va_list values;

	va_start(values, format);
	vsnprintf(line, sizeof(line) - 1, format, values);
	va_end(values);
	size_t len = strlen(line);
	/* What a peer calls itself must not reach a terminal's controls, nor forge a row. */
	utf8_mask(line, len);
	utf8_mask_controls(line);
	line[len] = '\n';
	out->write(out->arg, line, len + 1);
}

/* Words in indented lines of COLUMNS at most. */
__attribute__((format(printf, 2, 3))) static void say_below(const struct report_out *out,
                                                            const char *format, ...)
{
	char text[LINE_SIZE];
	va_list values;

	va_start(values, format);
	vsnprintf(text, sizeof(text), format, values);
	va_end(values);
	for (char *rest = text; *rest;) {
		size_t len = strlen(rest), room = COLUMNS - INDENT, take = len;
		if (len > room) {
			take = room;
			while (take > 0 && rest[take] != ' ')
				take--;
			if (take == 0)
				take = strcspn(rest, " ");
		}
		say(out, "%*s%.*s", INDENT, "", (int)take, rest);
		rest += take;
		rest += strspn(rest, " ");
	}
}

/* --- -peers ----------------------------------------------------------------------------------- */

const char *report_endpoint_word(const struct facts_peer *peer)
{
	return peer->terminating ? "terminating" : peer->ready ? "ready" : "not ready";
}

const char *report_joined_word(const struct facts *facts, const struct facts_peer *peer)
{
	return pair_outcome_word(pair_shown(peer->outcome, facts->joining, peer->port != 0));
}

static void say_settings(const struct facts *facts, const struct report_out *out)
{
	for (size_t i = 0; i < facts->n_settings; i++) {
		const struct facts_setting *setting = &facts->settings[i];
		size_t width = 18 + strlen(setting->value) + strlen(setting->origin);
		if (width <= COLUMNS)
			say(out, "%-14s %s (%s)", setting->name, setting->value, setting->origin);
		else
			say(out, "%-14s %s", setting->name, setting->value);
		if (width > COLUMNS)
			say(out, "%-14s (%s)", "", setting->origin);
	}
}

/* After a colon as in the log, so that no setting is thought of. */
static void say_precautions(const struct facts *facts, const struct report_out *out)
{
	say(out, "privileges: %s", facts->privileges);
	say(out, "keeper: %s", facts->keeper);
}

static void say_source(const struct facts_source *source, const struct report_out *out)
{
	say(out, "%s: %zu endpoints%s", source->place, source->n_endpoints,
	    source->listed ? "" : " (not read as a whole yet)");
	if (source->fault != SOURCE_FINE)
		say_below(out, "%s (peers that are known stay; it is tried again)",
		          source->problem);
}

static void say_peer(const struct facts *facts, const struct facts_peer *peer,
                     const struct report_out *out)
{
	char port[8] = "-";

	if (peer->port)
		snprintf(port, sizeof(port), "%u", peer->port);
	say(out, "%-36s %-5s %-11s %s", peer->name, port, report_endpoint_word(peer),
	    report_joined_word(facts, peer));
	if (peer->pod)
		say(out, "    pod %s", peer->pod);
	if (!peer->port)
		say_below(out, "no port: %s",
		          peer->port_reason[0] ? peer->port_reason : "not asked yet");
	else if (peer->outcome != PAIR_JOINED && peer->reason[0])
		say_below(out, "%s", peer->reason);
}

void report_peers(const struct facts *facts, const struct report_out *out)
{
	size_t joined = 0;

	say_settings(facts, out);
	say_precautions(facts, out);
	if (strcmp(facts->log, "nowhere") == 0)
		say_below(out, "nothing is logged: there is no syslog, and the container's stderr "
		               "cannot be opened: set ERL_EPMD_LOG to a file");
	say(out, "%s", "");
	for (size_t i = 0; i < facts->n_sources; i++)
		say_source(&facts->sources[i], out);
	say(out, "%s", "");
	say(out, "%-36s %-5s %-11s %s", "NODE", "PORT", "ENDPOINT", "JOINED");
	for (size_t i = 0; i < facts->n_peers; i++) {
		joined += facts->peers[i].outcome == PAIR_JOINED;
		say_peer(facts, &facts->peers[i], out);
	}
	say(out, "%zu discovered, %zu joined%s", facts->n_peers, joined,
	    facts->joining ? "" : "; joining is off");
}

/* --- -doctor ---------------------------------------------------------------------------------- */

struct telling {
	const struct report_out *out;
	bool well;
};

static void on_finding(void *arg, const struct finding *finding)
{
	struct telling *telling = arg;

	switch (finding->state) {
	case FINDING_OK:
		say(telling->out, "ok: %s", finding->text);
		break;
	case FINDING_WAIT:
		say(telling->out, "wait: %s", finding->text);
		break;
	case FINDING_WRONG:
		telling->well = false;
		say(telling->out, "wrong: %s; to mend it: %s [%s]", finding->text, finding->mend,
		    finding->fault);
		break;
	}
}

bool report_doctor(const struct facts *facts, const struct report_out *out)
{
	struct telling telling = {out, true};

	doctor_judge(facts, on_finding, &telling);
	return telling.well;
}
