/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "facts_gather.h"
#include "join/join.h"
#include "join/owner.h"
#include "kept.h"
#include "report.h"

#define LINE_MAX_SIZE 1024
#define COMMAND_MAX 256

/* The command being run. */
struct run {
	const struct control *control;
	struct conn_reply *reply;
	bool json;
	bool asker_discovers; /* its environment has ERL_EPMD_DISCOVERY */
	char dist_port[32];   /* its ERL_DIST_PORT */
};

static void write_reply(void *arg, const char *text, size_t len)
{
	struct conn_reply *reply = arg;
	uint8_t *room = conn_reply_room(reply, len);

	if (!room)
		return;
	memcpy(room, text, len);
	conn_reply_added(reply, len);
}

/* STATUS and a line. */
__attribute__((format(printf, 3, 4))) static void answer(struct conn_reply *reply, char status,
                                                         const char *format, ...)
{
	char line[LINE_MAX_SIZE];
	va_list values;

	va_start(values, format);
	vsnprintf(line, sizeof(line), format, values);
	va_end(values);
	write_reply(reply, &status, 1);
	write_reply(reply, line, strlen(line));
	write_reply(reply, "\n", 1);
}

/* --- -peers and -doctor -------------------------------------------------------------------- */

/* How the reply begins is known when its end is. */
static void set_status(const struct conn_reply *reply, size_t at, char status)
{
	if (!reply->no_memory)
		reply->bytes[at] = (uint8_t)status;
}

static void run_peers(const struct run *run)
{
	const struct control *control = run->control;
	const struct report_out out = {write_reply, run->reply};
	struct facts facts;

	if (!control->peers && !run->json) {
		answer(run->reply, CONTROL_FAILED, "discovery is off: %s", control->off_because);
		return;
	}
	if (facts_gather(control, &facts) < 0) {
		answer(run->reply, CONTROL_FAILED, "out of memory");
	} else {
		const char status = control->peers ? CONTROL_OK : CONTROL_WRONG;
		write_reply(run->reply, &status, 1);
		if (run->json)
			report_peers_json(&facts, &out);
		else
			report_peers(&facts, &out);
	}
	facts_clear(&facts);
}

static void run_doctor(const struct run *run)
{
	const struct report_out out = {write_reply, run->reply};
	const char status = CONTROL_OK;
	size_t begin = run->reply->len;
	struct facts facts;

	if (facts_gather(run->control, &facts) < 0) {
		answer(run->reply, CONTROL_FAILED, "out of memory");
		facts_clear(&facts);
		return;
	}
	facts.wants_discovery = run->asker_discovers;
	if (run->dist_port[0])
		memcpy(facts.dist_port, run->dist_port, sizeof(facts.dist_port));
	write_reply(run->reply, &status, 1);
	bool well = run->json ? report_doctor_json(&facts, &out) : report_doctor(&facts, &out);
	if (!well)
		set_status(run->reply, begin, CONTROL_WRONG);
	facts_clear(&facts);
}

/* --- -join ------------------------------------------------------------------------------ */

static void run_join(const struct run *run, bool on)
{
	const struct control *control = run->control;

	if (!control->join) {
		answer(run->reply, CONTROL_FAILED,
		       "discovery is off, so there is nobody to join: %s", control->off_because);
		return;
	}
	join_switch(control->join, on);
	kept_say_join(control->kept, on);
	answer(run->reply, CONTROL_OK, "joining is %s", on ? "on" : "off");
}

static void run_join_on(const struct run *run)
{
	run_join(run, true);
}

static void run_join_off(const struct run *run)
{
	run_join(run, false);
}

/* --- all ---------------------------------------------------------------------------------- */

/* Why who is at FD may change nothing, or NULL if he may. */
static const char *distrust(int fd)
{
	struct owner owner;

	if (!owner_find(fd, &owner))
		return "that is for root and for the user who runs this epmd, and who asks is not "
		       "to be found out: the kernel does not say (sock_diag), nor does "
		       "/proc/net/tcp: start epmd with ERL_EPMD_JOIN=on or off";
	if (owner.uid != 0 && owner.uid != geteuid())
		return "that is for root and for the user who runs this epmd";
	return NULL;
}

/* What follows a command; false when it is not known. */
static bool read_word(struct run *run, const char *word)
{
	static const char dist_port[] = "dist_port=";

	if (strcmp(word, "json") == 0)
		run->json = true;
	else if (strcmp(word, "discovery") == 0)
		run->asker_discovers = true;
	else if (strncmp(word, dist_port, sizeof(dist_port) - 1) == 0)
		snprintf(run->dist_port, sizeof(run->dist_port), "%s",
		         word + sizeof(dist_port) - 1);
	else
		return false;
	return true;
}

static bool read_words(struct run *run, char *text)
{
	char *word;

	while ((word = strsep(&text, " ")))
		if (*word && !read_word(run, word))
			return false;
	return true;
}

void control_run(const struct control *control, struct wire_bytes command, int fd,
                 struct conn_reply *reply)
{
	static const struct {
		const char *text;
		void (*run)(const struct run *run);
		bool changes;
		bool takes_words;
	} commands[] = {{"peers", run_peers, false, true},
	                {"doctor", run_doctor, false, true},
	                {"join on", run_join_on, true, false},
	                {"join off", run_join_off, true, false}};
	struct run run = {.control = control, .reply = reply};
	char text[COMMAND_MAX];

	snprintf(text, sizeof(text), "%.*s", (int)command.len, (const char *)command.at);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		size_t len = strlen(commands[i].text);
		if (strncmp(text, commands[i].text, len) != 0 || (text[len] && text[len] != ' '))
			continue;
		if (text[len] && (!commands[i].takes_words || !read_words(&run, text + len)))
			break;
		const char *no = commands[i].changes ? distrust(fd) : NULL;
		if (no)
			answer(reply, CONTROL_FAILED, "%s", no);
		else
			commands[i].run(&run);
		return;
	}
	answer(reply, CONTROL_FAILED,
	       "this epmd does not know that command: is the running one older?");
}
