/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "doctor.h"
#include "report.h"
#include "utf8.h"

/* TEXT, also where it is no UTF-8; null for NULL and "". */
static json_t *text_of(const char *text)
{
	if (!text || !*text)
		return json_null();
	json_t *string = json_string(text);
	if (string)
		return string;
	char *masked = strdup(text);
	if (masked)
		utf8_mask(masked, strlen(masked));
	string = masked ? json_string(masked) : NULL;
	free(masked);
	return string;
}

static int write_piece(const char *buffer, size_t size, void *data)
{
	const struct report_out *out = data;

	out->write(out->arg, buffer, size);
	return 0;
}

/* Takes ROOT over.  ASCII alone, so that no terminal takes anything of it for more than text. */
static void write_json(json_t *root, const struct report_out *out)
{
	struct report_out copy = *out;

	if (root)
		json_dump_callback(root, write_piece, &copy, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	out->write(out->arg, "\n", 1);
	json_decref(root);
}

/* --- -peers ----------------------------------------------------------------------------------- */

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *settings_of(const struct facts *facts)
{
	json_t *array = json_array();

	for (size_t i = 0; i < facts->n_settings; i++) {
		const struct facts_setting *setting = &facts->settings[i];
		json_array_append_new(array, json_pack("{s:s,s:o,s:o}", "name", setting->name,
		                                       "value", text_of(setting->value), "origin",
		                                       text_of(setting->origin)));
	}
	return array;
}

static const char *const fault_words[] = {
    [SOURCE_FINE] = "fine",
    [SOURCE_NO_CREDENTIALS] = "no credentials",
    [SOURCE_NO_ANSWER] = "no answer",
    [SOURCE_DISTRUSTED] = "not trusted",
    [SOURCE_UNAUTHORIZED] = "unauthorized",
    [SOURCE_FORBIDDEN] = "forbidden",
    [SOURCE_NAME_TROUBLE] = "name-trouble",
    [SOURCE_TROUBLE] = "trouble",
};

static json_t *sources_of(const struct facts *facts)
{
	json_t *array = json_array();

	for (size_t i = 0; i < facts->n_sources; i++) {
		const struct facts_source *source = &facts->sources[i];
		json_array_append_new(
		    array,
		    json_pack("{s:o,s:o,s:o,s:o,s:s,s:o,s:b,s:o}", "place", text_of(source->place),
		              "namespace", text_of(source->namespace_), "server",
		              text_of(source->server), "origin", text_of(source->origin), "state",
		              fault_words[source->fault], "problem", text_of(source->problem),
		              "listed", source->listed, "endpoints", number(source->n_endpoints)));
	}
	return array;
}

static json_t *locals_of(const struct facts *facts)
{
	json_t *array = json_array();

	for (size_t i = 0; i < facts->n_locals; i++) {
		const struct facts_local *local = &facts->locals[i];
		json_array_append_new(
		    array, json_pack("{s:o,s:o,s:i,s:b,s:b,s:o}", "name", text_of(local->alive),
		                     "node", text_of(local->name), "port", (int)local->port,
		                     "visible", local->visible, "linked", local->ready, "reason",
		                     text_of(local->reason)));
	}
	return array;
}

static json_t *peers_of(const struct facts *facts)
{
	json_t *array = json_array();

	for (size_t i = 0; i < facts->n_peers; i++) {
		const struct facts_peer *peer = &facts->peers[i];
		bool joined = peer->outcome == PAIR_JOINED;
		json_array_append_new(
		    array,
		    json_pack("{s:o,s:o,s:o,s:o,s:o,s:s,s:o,s:o,s:s,s:o}", "node",
		              text_of(peer->name), "address", text_of(peer->address), "namespace",
		              text_of(peer->namespace_), "service", text_of(peer->service), "pod",
		              text_of(peer->pod), "endpoint", report_endpoint_word(peer), "port",
		              peer->port ? number(peer->port) : json_null(), "port_reason",
		              text_of(peer->port_reason), "joined", report_joined_word(facts, peer),
		              "joined_reason", text_of(joined ? NULL : peer->reason)));
	}
	return array;
}

void report_peers_json(const struct facts *facts, const struct report_out *out)
{
	json_t *root = json_pack(
	    "{s:i,s:{s:s,s:i,s:o,s:o,s:o},s:o,s:o,s:o,s:o,s:o,s:b,s:o,s:o}", "version",
	    REPORT_JSON_VERSION, "epmd", "version", PACKAGE_VERSION, "port", (int)facts->port,
	    "running_seconds", number(facts->age_s), "privileges", text_of(facts->privileges),
	    "keeper", text_of(facts->keeper), "discovery", text_of(facts->source),
	    "discovery_error", text_of(facts->setting_error), "log", text_of(facts->log),
	    "settings", settings_of(facts), "sources", sources_of(facts), "joining", facts->joining,
	    "local_nodes", locals_of(facts), "peers", peers_of(facts));

	write_json(root, out);
}

/* --- -doctor ---------------------------------------------------------------------------------- */

struct findings {
	json_t *array;
	bool well;
};

static void on_finding(void *arg, const struct finding *finding)
{
	static const char *const words[] = {
	    [FINDING_OK] = "ok", [FINDING_WAIT] = "wait", [FINDING_WRONG] = "wrong"};
	struct findings *findings = arg;

	findings->well &= finding->state != FINDING_WRONG;
	json_array_append_new(findings->array,
	                      json_pack("{s:s,s:s,s:o,s:o,s:o}", "state", words[finding->state],
	                                "check", finding->check, "fault", text_of(finding->fault),
	                                "text", text_of(finding->text), "mend",
	                                text_of(finding->mend)));
}

bool report_doctor_json(const struct facts *facts, const struct report_out *out)
{
	struct findings findings = {json_array(), true};

	doctor_judge(facts, on_finding, &findings);
	write_json(json_pack("{s:i,s:b,s:o}", "version", REPORT_JSON_VERSION, "ok", findings.well,
	                     "findings", findings.array),
	           out);
	return findings.well;
}
