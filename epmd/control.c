/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "join/join.h"
#include "join/owner.h"
#include "peers.h"
#include "proto/nodename.h"

#define LINE_MAX_SIZE (NODENAME_SIZE + 1024)

/* What a peer calls itself must not reach a terminal's controls, nor forge a row. */
static void mask_controls(uint8_t *line, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++)
		if (line[i] < ' ' || line[i] == 0x7F)
			line[i] = '?';
}

__attribute__((format(printf, 2, 3))) static void add(struct conn_reply *reply, const char *format,
                                                      ...)
{
	uint8_t *room = conn_reply_room(reply, LINE_MAX_SIZE);
	va_list values;

	if (!room)
		return;
	va_start(values, format);
	int len = vsnprintf((char *)room, LINE_MAX_SIZE, format, values);
	va_end(values);
	if (len <= 0)
		return;
	size_t added = (size_t)len < LINE_MAX_SIZE ? (size_t)len : LINE_MAX_SIZE - 1;
	mask_controls(room, added);
	conn_reply_added(reply, added);
}

/* --- -peers ----------------------------------------------------------------------------- */

struct table {
	const struct control *control;
	struct conn_reply *reply;
	unsigned rows;
	unsigned joined;
};

static const char *state_of(const struct peer *peer)
{
	return peer->terminating ? "terminating" : peer->ready ? "ready" : "not ready";
}

/* Whom the nodes are connected with is then not known either. */
static bool is_left_alone(const struct control *control)
{
	return !control->join || !join_is_on(control->join);
}

/* A node without a port is neither looked at nor dialled, whatever stood between the two before. */
static const char *joined_word(const struct control *control, const struct peer_node *node,
                               enum pair_outcome outcome)
{
	if (is_left_alone(control))
		return "left alone";
	if (!node->port && outcome != PAIR_JOINED)
		return "no port";
	return pair_outcome_word(outcome);
}

static void add_row(void *arg, const struct peer_node *node)
{
	struct table *table = arg;
	const char *reason = "";
	enum pair_outcome outcome = PAIR_UNTRIED;
	char port[8] = "-";

	if (table->control->join)
		outcome = join_outcome(table->control->join, node->name, &reason);
	if (node->port)
		snprintf(port, sizeof(port), "%u", node->port);
	table->rows++;
	table->joined += outcome == PAIR_JOINED;
	add(table->reply, "%-36s %-5s %-11s %s\n", node->name, port, state_of(node->peer),
	    joined_word(table->control, node, outcome));
	if (node->peer->pod)
		add(table->reply, "    pod %s\n", node->peer->pod);
	if (!node->port)
		add(table->reply, "    no port: %s\n",
		    node->reason[0] ? node->reason : "not asked yet");
	else if (outcome != PAIR_JOINED && reason[0])
		add(table->reply, "    %s\n", reason);
}

static void run_peers(const struct control *control, struct conn_reply *reply)
{
	struct table table = {.control = control, .reply = reply};

	if (!control->peers) {
		add(reply, "%cdiscovery is off: %s\n", CONTROL_FAILED, control->off_because);
		return;
	}
	add(reply, "%c%-36s %-5s %-11s %s\n", CONTROL_OK, "NODE", "PORT", "ENDPOINT", "JOINED");
	peers_each_node(control->peers, add_row, &table);
	add(reply, "%u discovered, %u joined%s\n", table.rows, table.joined,
	    is_left_alone(control) ? "; joining is off" : "");
}

/* --- -join ------------------------------------------------------------------------------ */

static void run_join(const struct control *control, struct conn_reply *reply, bool on)
{
	if (!control->join) {
		add(reply, "%cdiscovery is off, so there is nobody to join: %s\n", CONTROL_FAILED,
		    control->off_because);
		return;
	}
	join_switch(control->join, on);
	add(reply, "%cjoining is %s\n", CONTROL_OK, on ? "on" : "off");
}

static void run_join_on(const struct control *control, struct conn_reply *reply)
{
	run_join(control, reply, true);
}

static void run_join_off(const struct control *control, struct conn_reply *reply)
{
	run_join(control, reply, false);
}

/* --- all ---------------------------------------------------------------------------------- */

static bool is_trusted(int fd)
{
	struct owner owner;

	return owner_find(fd, &owner) && (owner.uid == 0 || owner.uid == geteuid());
}

void control_run(const struct control *control, struct wire_bytes command, int fd,
                 struct conn_reply *reply)
{
	static const struct {
		const char *text;
		void (*run)(const struct control *control, struct conn_reply *reply);
		bool changes;
	} commands[] = {{"peers", run_peers, false},
	                {"join on", run_join_on, true},
	                {"join off", run_join_off, true}};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strlen(commands[i].text) != command.len ||
		    memcmp(commands[i].text, command.at, command.len) != 0)
			continue;
		if (commands[i].changes && !is_trusted(fd))
			add(reply, "%cthat is for root and for the user who runs this epmd\n",
			    CONTROL_FAILED);
		else
			commands[i].run(control, reply);
		return;
	}
	add(reply, "%cthis epmd does not know that command: is the running one older?\n",
	    CONTROL_FAILED);
}
