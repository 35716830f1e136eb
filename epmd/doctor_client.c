/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_client.h"
#include "facts_gather.h"
#include "report.h"

static bool is_number(const char *text)
{
	return text && *text && text[strspn(text, "0123456789")] == '\0' && strlen(text) < 8;
}

void doctor_client_words(const struct options *options, char *words, size_t size)
{
	const char *discovery = options->settings[SETTING_DISCOVERY];
	const char *dist_port = getenv("ERL_DIST_PORT");
	bool number = is_number(dist_port);

	snprintf(words, size, "doctor%s%s%s%s", options->json ? " json" : "",
	         discovery && strcmp(discovery, "none") != 0 ? " discovery" : "",
	         number ? " dist_port=" : "", number ? dist_port : "");
}

static void print_piece(void *arg, const char *text, size_t len)
{
	fwrite(text, 1, len, arg);
}

int doctor_client_run(const struct options *options, enum facts_daemon daemon,
                      const char *port_error)
{
	const struct report_out out = {print_piece, stdout};
	struct facts facts;
	bool well = false;

	if (facts_of_client(options, &facts) < 0) {
		fprintf(stderr, "epmd: out of memory\n");
	} else {
		facts.daemon = daemon;
		snprintf(facts.port_error, sizeof(facts.port_error), "%s", port_error);
		well =
		    options->json ? report_doctor_json(&facts, &out) : report_doctor(&facts, &out);
	}
	facts_clear(&facts);
	return fflush(stdout) == 0 && well ? 0 : 1;
}
