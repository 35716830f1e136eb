/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeper.h"
#include "log.h"
#include "proctitle.h"

/* How long a server may take over its end, once that is due. */
#define END_S 5
#define MAX_DELAY_MS 800

enum state {
	SERVING,
	RESTING, /* between a crash and the next server */
	ENDING   /* the sockets are closed, the server is about to end */
};

struct keeping {
	enum state state;
	struct listener_set *set;
	struct keeper *keeper; /* what the next server will know; its FD: that one's end */
	sigset_t signals;      /* those that come by SIGNAL_FD */
	sigset_t mask;         /* what was blocked before */
	int signal_fd;
	int fd;          /* to the server; -1: nothing to hear from it any more */
	pid_t server;    /* 0: none */
	time_t born;     /* when it was started */
	unsigned silent; /* for so many times KEEPER_PING_S it has said nothing */
	unsigned crashes;
	bool rested; /* RESTING is over */
	bool hung;   /* we have killed it */
	int status;
};

/* --- what is pure of it ------------------------------------------------------------------ */

int keeper_delay_ms(unsigned crashes)
{
	int delay = 25;

	if (crashes >= KEEPER_CRASHES_MAX)
		return -1;
	if (crashes <= 1)
		return 0;
	while (--crashes > 1 && delay < MAX_DELAY_MS)
		delay *= 2;
	return delay;
}

int keeper_judge(int wait_status, char *text, size_t size)
{
	text[0] = '\0';
	if (WIFSIGNALED(wait_status)) {
		int number = WTERMSIG(wait_status);
		/* Before its handlers are there, or after. */
		if (number == SIGTERM || number == SIGINT)
			return 0;
		snprintf(text, size, "was killed by signal %d (%s)", number, strsignal(number));
		return -1;
	}
	if (WEXITSTATUS(wait_status) == 0)
		return 0;
	snprintf(text, size, "ended with status %d", WEXITSTATUS(wait_status));
	return -1;
}

void keeper_describe(const struct keeper *keeper, char *text, size_t size)
{
	if (!keeper->pid)
		snprintf(text, size, "none");
	else if (keeper->fd < 0)
		snprintf(text, size, "gone: a crash will not be mended");
	else if (keeper->restarts == 0)
		snprintf(text, size, "process %d, no restart so far", (int)keeper->pid);
	else
		snprintf(text, size, "process %d, %u restart%s so far: the last server %s",
		         (int)keeper->pid, keeper->restarts, keeper->restarts == 1 ? "" : "s",
		         keeper->last_end);
}

/* --- the server ---------------------------------------------------------------------------- */

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void hear_no_more(struct keeping *k)
{
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
}

/* In the server: all as if there were no keeper, but for KEEPER. */
static void become_server(struct keeping *k, int own_end)
{
	close(k->signal_fd);
	close(k->fd);
	k->keeper->fd = own_end;
	proctitle_restore();
	sigprocmask(SIG_SETMASK, &k->mask, NULL);
}

/* Returns 1 in the server, 0 in the keeper, -1 with errno when there is no server. */
static int fork_server(struct keeping *k)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	k->fd = ends[0];
	k->server = fork();
	if (k->server == 0) {
		become_server(k, ends[1]);
		return 1;
	}
	int why = errno;
	close(ends[1]);
	if (k->server < 0) {
		k->server = 0;
		hear_no_more(k);
		errno = why;
		return -1;
	}
	k->state = SERVING;
	k->born = now_s();
	k->silent = 0;
	k->hung = false;
	return 0;
}

/* --- its end ------------------------------------------------------------------------------- */

static void let_go(struct keeping *k)
{
	listener_close(k->set);
	k->state = ENDING;
}

/* What the next server is to know. */
static void note(struct keeper *keeper, const char *said, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (said[i] == KEEPER_JOIN_ON || said[i] == KEEPER_JOIN_OFF)
			keeper->join = said[i];
}

static void hear(struct keeping *k)
{
	char said[64];
	ssize_t n = read(k->fd, said, sizeof(said));

	if (n < 0)
		return;
	k->silent = 0;
	note(k->keeper, said, (size_t)n);
	bool asked = memchr(said, KEEPER_LET_GO, (size_t)n) != NULL;
	if (asked)
		let_go(k);
	/* What it waits for, having asked. */
	if (asked || n == 0)
		hear_no_more(k);
}

static void give_up(struct keeping *k)
{
	log_error("epmd %s, for the %uth time in a row: the port is closed, and nobody serves it "
	          "any more; start epmd again once you know why",
	          k->keeper->last_end, k->crashes);
	let_go(k);
	k->status = 1;
}

/* After a crash, described in keeper->last_end. */
static void plan_next(struct keeping *k)
{
	if (k->state == ENDING)
		return;
	k->crashes++;
	if (keeper_delay_ms(k->crashes) < 0) {
		give_up(k);
		return;
	}
	k->state = RESTING;
	k->rested = keeper_delay_ms(k->crashes) == 0;
	log_error("epmd %s: a new one takes over the port; nodes register again by themselves "
	          "within seconds",
	          k->keeper->last_end);
}

static void on_end(struct keeping *k, int wait_status)
{
	bool crash =
	    keeper_judge(wait_status, k->keeper->last_end, sizeof(k->keeper->last_end)) < 0;

	k->server = 0;
	hear(k); /* what it said last */
	hear_no_more(k);
	if (now_s() - k->born >= KEEPER_LIVED_S)
		k->crashes = 0;
	if (k->hung)
		snprintf(k->keeper->last_end, sizeof(k->keeper->last_end),
		         "hung for %d s and was killed", KEEPER_HUNG_S);
	if (crash)
		plan_next(k);
	else
		let_go(k);
}

static void reap(struct keeping *k)
{
	int status;

	if (k->server && waitpid(k->server, &status, WNOHANG) == k->server)
		on_end(k, status);
}

/* --- hanging ------------------------------------------------------------------------------- */

/* Stopped by a signal, or by who traces it (proc(5), /proc/PID/stat).  A tracer's stops
 * are not told to a parent, so waitpid(2) does not do. */
static bool is_held(pid_t pid)
{
	char path[32], stat[512];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	stat[n > 0 ? n : 0] = '\0';
	/* "PID (comm) STATE": a comm may hold parentheses too. */
	const char *end = strrchr(stat, ')');
	return end && (strncmp(end, ") T", 3) == 0 || strncmp(end, ") t", 3) == 0);
}

static void on_silence(struct keeping *k)
{
	if (++k->silent * KEEPER_PING_S < KEEPER_HUNG_S)
		return;
	k->silent = 0;
	if (is_held(k->server))
		return;
	k->hung = true;
	kill(k->server, SIGKILL);
}

/* --- what comes in ------------------------------------------------------------------------- */

static void take_signals(struct keeping *k)
{
	struct signalfd_siginfo info;

	while (read(k->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		log_info("signal %d: ending", (int)info.ssi_signo);
		let_go(k);
		if (k->server)
			kill(k->server, SIGTERM);
	}
	reap(k);
}

static void on_timeout(struct keeping *k)
{
	if (k->state == ENDING && k->server)
		kill(k->server, SIGKILL);
	else if (k->state == RESTING)
		k->rested = true;
	else if (k->state == SERVING && k->fd >= 0)
		on_silence(k);
}

static int timeout_ms(const struct keeping *k)
{
	if (k->state == ENDING)
		return END_S * 1000;
	if (k->state == RESTING)
		return keeper_delay_ms(k->crashes);
	return k->fd < 0 ? -1 : KEEPER_PING_S * 1000;
}

static void wait_and_act(struct keeping *k)
{
	struct pollfd polls[] = {{.fd = k->signal_fd, .events = POLLIN},
	                         {.fd = k->fd, .events = POLLIN}};
	int n = poll(polls, 2, timeout_ms(k));

	if (n == 0) {
		on_timeout(k);
		return;
	}
	if (n > 0 && polls[1].revents)
		hear(k);
	if (n > 0 && polls[0].revents)
		take_signals(k);
}

/* The next server, when one is due.  Returns true in the server. */
static bool restart(struct keeping *k)
{
	if (k->state != RESTING || !k->rested)
		return false;
	k->keeper->restarts++;
	int forked = fork_server(k);
	if (forked > 0)
		return true;
	if (forked < 0) {
		k->keeper->restarts--;
		snprintf(k->keeper->last_end, sizeof(k->keeper->last_end), "cannot be started: %s",
		         strerror(errno));
		plan_next(k);
	}
	return false;
}

static enum keeper_role keep(struct keeping *k, int *status)
{
	while (k->server || k->state != ENDING) {
		wait_and_act(k);
		if (restart(k))
			return KEEPER_IS_SERVER;
	}
	listener_close(k->set);
	*status = k->status;
	return KEEPER_HAS_ENDED;
}

/* --- the start ----------------------------------------------------------------------------- */

static enum keeper_role go_without(struct keeping *k, const char *what)
{
	log_warning("no keeper: %s: %s: a crash of this epmd will not be mended", what,
	            strerror(errno));
	sigprocmask(SIG_SETMASK, &k->mask, NULL);
	if (k->signal_fd >= 0)
		close(k->signal_fd);
	*k->keeper = (struct keeper){.fd = -1};
	return KEEPER_IS_SERVER;
}

enum keeper_role keeper_start(struct listener_set *set, struct keeper *keeper, int *status)
{
	struct keeping k = {.set = set, .keeper = keeper, .fd = -1, .signal_fd = -1};

	*keeper = (struct keeper){.fd = -1, .pid = getpid()};
	sigemptyset(&k.signals);
	sigaddset(&k.signals, SIGCHLD);
	sigaddset(&k.signals, SIGTERM);
	sigaddset(&k.signals, SIGINT);
	sigprocmask(SIG_BLOCK, &k.signals, &k.mask);
	k.signal_fd = signalfd(-1, &k.signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (k.signal_fd < 0)
		return go_without(&k, "signalfd");
	switch (fork_server(&k)) {
	case 1:
		return KEEPER_IS_SERVER;
	case -1:
		return go_without(&k, "fork");
	}
	proctitle_set(KEEPER_NAME);
	return keep(&k, status);
}
