/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "clock.h"
#include "file_peers.h"
#include "peerset.h"
#include "peerset_feed.h"
#include "peerset_timer.h"
#include "source.h"

/* Changes come in bursts: a file is emptied, then written piece by piece. */
#define DEBOUNCE_MS 100

/* For what inotify does not tell of: other hosts' changes of a shared file system, the
 * target of a link to another folder, a folder that is not there yet. */
#define POLL_MS 3000

/* A file that was changed so shortly before it was read may change again without its times
 * telling (inode(7): they are those of the kernel's last tick, or of another host). */
#define YOUNG_S 2

/* All of a file's peers are of one scope of the peer set. */
#define SCOPE 0

#define TROUBLE_SIZE 400

/* The folder's, not the file's: that is replaced, by rename(2), or is a link into a folder
 * that is (Kubernetes mounts a ConfigMap as links into ..data, a link that it swaps). */
#define FOLDER_CHANGES                                                                      \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE | \
	 IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct source {
	struct source_events events;
	char *path;
	char *folder;
	struct peerset *peers;
	struct peerset_timer *settle;
	struct peerset_feed *feed;

	struct event *timer; /* the next look at the file */
	bool touched;        /* the timer is that of a change */
	int inotify;         /* descriptor, or -1 */
	int watch;           /* of the folder, or -1 */
	struct event *notified;

	struct stat seen; /* what was read last, or is wrong */
	bool trusted;     /* as long as SEEN stays, so does what is in the file */
	char trouble[TROUBLE_SIZE];
	bool said;       /* how many peers there are */
	bool complete;   /* a file was put into the set as a whole once */
	struct source_stats stats;
	bool said_empty; /* that there are none */
};

/* --- the peer set ------------------------------------------------------------------------- */

static void on_peer(void *arg, const struct peer *before, const struct peer *after)
{
	const struct source *source = arg;

	source->events.peer_changed(source->events.arg, before, after);
}

/* --- what is said --------------------------------------------------------------------------- */

static void say(const struct source *source, enum report_level level, const char *text)
{
	char line[PATH_MAX + 2 * TROUBLE_SIZE];

	snprintf(line, sizeof(line), "ERL_EPMD_DISCOVERY=file:%.*s %s", PATH_MAX, source->path,
	         text);
	source->events.report(source->events.arg, level, line);
}

static void say_trouble(struct source *source, const char *trouble)
{
	size_t n = peerset_count(source->peers);
	char text[TROUBLE_SIZE + 64];

	if (strcmp(source->trouble, trouble) == 0)
		return;
	snprintf(source->trouble, sizeof(source->trouble), "%s", trouble);
	if (n == 0)
		snprintf(text, sizeof(text), "%s (peers until then: none)", trouble);
	else
		snprintf(text, sizeof(text), "%s (peers until then: the %zu that are known)",
		         trouble, n);
	say(source, REPORT_ERROR, text);
}

/* N peers are in the file. */
static void say_well(struct source *source, size_t n)
{
	bool again = source->trouble[0] != '\0';
	char text[64];

	source->trouble[0] = '\0';
	if (!again && source->said && source->said_empty == (n == 0))
		return;
	source->said = true;
	source->said_empty = n == 0;
	if (n == 0)
		snprintf(text, sizeof(text), "is %s, peers: none", again ? "good again" : "read");
	else
		snprintf(text, sizeof(text), "is %s, peers: %zu", again ? "good again" : "read", n);
	say(source, REPORT_INFO, text);
}

/* --- putting what was found into the set ------------------------------------------------------- */

static void on_touched(void *arg)
{
	const struct source *source = arg;

	peerset_timer_touch(source->settle);
}

/* If not, nothing has gone, and the file is read again. */
static void on_fed(void *arg, bool good)
{
	struct source *source = arg;

	if (good) {
		source->complete = true;
		return;
	}
	source->trusted = false;
	say_trouble(source, "cannot be kept: memory is out: it is tried again");
}

/* Takes over what is FOUND.  If the last file is still being put, this one is instead. */
static void begin_put(struct source *source, const struct file_peers *found)
{
	source->stats.heard_ms = clock_now_ms();
	say_well(source, file_peers_count(found));
	peerset_feed_begin(source->feed, found->objects, found->n_objects);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Writes to TROUBLE what is wrong, why (errno), and the mend.  Returns false. */
static bool fail(char *trouble, const char *what, const char *mend)
{
	snprintf(trouble, TROUBLE_SIZE, "%s (%s): %s", what, strerror(errno), mend);
	return false;
}

static bool fail_open(char *trouble)
{
	if (errno == ENOENT || errno == ENOTDIR)
		return fail(trouble, "is not there",
		            "make it, with an address a line or what \"kubectl get "
		            "endpointslices -o json\" prints");
	if (errno == EACCES)
		return fail(trouble, "cannot be opened", "let epmd's user read it");
	return fail(trouble, "cannot be opened", "mend that, or name another file");
}

/* Opens what can be read without waiting, and fills SOURCE->seen.  Returns the descriptor, or -1
 * with TROUBLE. */
static int open_file(struct source *source, char *trouble)
{
	/* Without O_NONBLOCK a FIFO would wait for its writer. */
	int fd = open(source->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0) {
		fail_open(trouble);
		return -1;
	}
	if (fstat(fd, &source->seen) < 0)
		fail(trouble, "cannot be looked at", "mend its file system");
	else if (!S_ISREG(source->seen.st_mode))
		snprintf(trouble, TROUBLE_SIZE, "is no regular file: give the path of one");
	else if (source->seen.st_size > FILE_PEERS_MAX)
		snprintf(trouble, TROUBLE_SIZE,
		         "has more than 16 MiB: give the addresses alone, one a line");
	else
		return fd;
	close(fd);
	return -1;
}

/* Reads to the end, SIZE bytes at most.  Returns how many, or -1 with errno. */
static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 && len < size) {
		n = read(fd, text + len, size - len);
		len += n > 0 ? (size_t)n : 0;
	}
	return n < 0 ? -1 : (ssize_t)len;
}

static bool is_young(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec >= st->st_ctim.tv_sec && now.tv_sec - st->st_ctim.tv_sec < YOUNG_S;
}

/* Reads and parses what FD is; closes it. */
static bool read_peers(struct source *source, int fd, struct file_peers *found, char *trouble)
{
	/* Only the pages that are filled are taken. */
	char *text = malloc(FILE_PEERS_MAX + 1), phrase[TROUBLE_SIZE - 32];
	ssize_t len = text ? read_all(fd, text, FILE_PEERS_MAX + 1) : -1;
	bool good = false;

	source->trusted = len >= 0 && !is_young(&source->seen);
	if (len < 0)
		fail(trouble, "cannot be read", "mend its file system, or epmd's memory limit");
	else if ((size_t)len > FILE_PEERS_MAX)
		snprintf(trouble, TROUBLE_SIZE,
		         "has more than 16 MiB: give the addresses alone, one a line");
	else if (file_peers_parse(text, (size_t)len, found, phrase, sizeof(phrase)) < 0)
		snprintf(trouble, TROUBLE_SIZE, "cannot be used: %s", phrase);
	else
		good = true;
	free(text);
	close(fd);
	return good;
}

static void count(struct source *source, enum source_outcome outcome)
{
	source->stats.ended[SOURCE_LIST][outcome]++;
}

static void read_file(struct source *source)
{
	char trouble[TROUBLE_SIZE] = "";
	struct file_peers found;

	say(source, REPORT_DEBUG, "is being read");
	source->trusted = false;
	int fd = open_file(source, trouble);
	bool good = fd >= 0 && read_peers(source, fd, &found, trouble);
	count(source, good ? SOURCE_OK : fd < 0 ? SOURCE_UNREACHABLE : SOURCE_UNREADABLE);
	if (good)
		begin_put(source, &found);
	else
		say_trouble(source, trouble);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_unchanged(const struct source *source)
{
	const struct stat *seen = &source->seen;
	struct stat now;

	return source->trusted && stat(source->path, &now) == 0 && now.st_dev == seen->st_dev &&
	       now.st_ino == seen->st_ino && now.st_size == seen->st_size &&
	       same_time(&now.st_mtim, &seen->st_mtim) && same_time(&now.st_ctim, &seen->st_ctim);
}

/* --- when it is read ----------------------------------------------------------------------------- */

static void add_timer(struct source *source, uint64_t ms)
{
	struct timeval delay = clock_delay(ms);

	event_add(source->timer, &delay);
}

/* The folder may be another one by now, under the same name. */
static void watch_folder(struct source *source)
{
	int before = source->watch;

	if (source->inotify < 0)
		return;
	source->watch = inotify_add_watch(source->inotify, source->folder, FOLDER_CHANGES);
	if (before >= 0 && before != source->watch)
		inotify_rm_watch(source->inotify, before);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct source *source = arg;

	(void)fd;
	(void)what;
	source->touched = false;
	/* First, so that no change is between the two. */
	watch_folder(source);
	if (!is_unchanged(source))
		read_file(source);
	add_timer(source, POLL_MS);
}

static void on_notified(evutil_socket_t fd, short what, void *arg)
{
	struct source *source = arg;
	char events[4096]; /* of which only counts that there are some */

	(void)what;
	while (read(fd, events, sizeof(events)) > 0)
		;
	/* Not put off by the next one: changes may never stop. */
	if (source->touched)
		return;
	source->touched = true;
	add_timer(source, DEBOUNCE_MS);
}

/* --- life ------------------------------------------------------------------------------------------ */

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* Where there is no inotify, the poll is all. */
static void open_inotify(struct source *source, struct event_base *base)
{
	source->watch = -1;
	source->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (source->inotify < 0)
		return;
	source->notified =
	    event_new(base, source->inotify, EV_READ | EV_PERSIST, on_notified, source);
	if (source->notified)
		event_add(source->notified, NULL);
}

static void stop(struct source *source)
{
	if (source->notified)
		event_free(source->notified);
	if (source->inotify >= 0)
		close(source->inotify);
	if (source->timer)
		event_free(source->timer);
	peerset_feed_free(source->feed);
	peerset_timer_free(source->settle);
	peerset_free(source->peers);
	free(source->path);
	free(source->folder);
	free(source);
}

/* A file that is not there, or is no good, may come to be. */
static int check(const struct source_settings *settings, char *error, size_t error_size)
{
	(void)settings;
	(void)error;
	(void)error_size;
	return 0;
}

static struct source *start(struct event_base *base, const struct source_settings *settings,
                            const struct source_events *events, char *error, size_t error_size)
{
	struct source *source = calloc(1, sizeof(*source));

	snprintf(error, error_size, "out of memory");
	if (!source)
		return NULL;
	source->events = *events;
	source->path = strdup(settings->path);
	source->folder = folder_of(settings->path);
	source->peers = peerset_new(false, on_peer, source);
	source->settle = source->peers ? peerset_timer_new(base, source->peers) : NULL;
	source->timer = evtimer_new(base, on_timer, source);
	const struct peerset_feed_events feed_events = {on_touched, on_fed, source};
	if (source->peers)
		source->feed = peerset_feed_new(base, source->peers, SCOPE, &feed_events);
	open_inotify(source, base);
	if (!source->path || !source->folder || !source->settle || !source->feed ||
	    !source->timer) {
		stop(source);
		return NULL;
	}
	add_timer(source, 0);
	return source;
}

/* --- how it does ----------------------------------------------------------------------------------- */

static const struct source_stats *stats(const struct source *source)
{
	return &source->stats;
}

static bool pending(const struct source *source, char *reason, size_t reason_size)
{
	if (source->complete)
		return false;
	snprintf(reason, reason_size, "%s %s", source->path,
	         source->trouble[0] ? source->trouble : "is not read yet");
	return true;
}

static void each_state(const struct source *source, source_state_fn *fn, void *arg)
{
	const struct source_state state = {
	    .place = source->path,
	    .fault = source->trouble[0] ? SOURCE_TROUBLE : SOURCE_FINE,
	    .problem = source->trouble,
	    .message = "",
	    .listed = source->complete,
	    .has_objects = true,
	    .n_endpoints = peerset_count(source->peers),
	};

	fn(arg, &state);
}

const struct source_ops file_source = {.name = "file",
                                       .check = check,
                                       .start = start,
                                       .stop = stop,
                                       .stats = stats,
                                       .pending = pending,
                                       .each_state = each_state};
