/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "client.h"
#include "control.h"
#include "doctor_client.h"
#include "proto/epmd_msg.h"
#include "sockaddr.h"

/* The longest name that stock sends in a STOP. */
#define STOP_NAME_MAX 1000

/* Returns -1 with errno EINPROGRESS where nothing at all came back: the queue of who listens is
 * full (socket(7), SO_SNDTIMEO), as it gets when it does not accept. */
static int dial(const char *host, uint16_t port)
{
	struct sockaddr_any address;

	sockaddr_parse(host, port, &address);
	int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	const struct timeval patience = {.tv_sec = CLIENT_PATIENCE_S};
	const struct timeval half = {.tv_sec = CLIENT_PATIENCE_S / 2};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &half, sizeof(half));
	if (connect(fd, (const struct sockaddr *)&address.storage, address.len) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* What 127.0.0.1 says counts: where a host has no IPv6 on its loopback device, nothing may come
 * back from ::1 although nobody is there. */
static int dial_local(uint16_t port)
{
	int fd = dial("::1", port);

	return fd >= 0 ? fd : dial("127.0.0.1", port);
}

static ssize_t read_some(int fd, void *buffer, size_t len)
{
	ssize_t n;

	do
		n = read(fd, buffer, len);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Reads until LEN bytes are there or the other side has ended.  Returns how many, or
 * -1 when that was not its end: what came before does not count then. */
static ssize_t read_up_to(int fd, void *buffer, size_t len)
{
	size_t got = 0;
	ssize_t n = 1;

	while (got < len && n > 0) {
		n = read_some(fd, (char *)buffer + got, len - got);
		if (n < 0)
			return -1;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* --- NAMES and DUMP ------------------------------------------------------------------ */

static int print_list(int fd, bool silent)
{
	char buffer[4096];
	uint8_t head[4];
	ssize_t n;

	if (read_up_to(fd, head, sizeof(head)) != (ssize_t)sizeof(head)) {
		if (!silent)
			printf("epmd: no response from local epmd\n");
		return 1;
	}
	if (silent)
		return 0;
	struct wire_reader in = wire_reader_of(head, sizeof(head));
	/* With its sign, as stock prints what no epmd would answer. */
	printf("epmd: up and running on port %d with data:\n", (int)wire_get32(&in));
	while ((n = read_some(fd, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, (size_t)n, stdout);
	return 0;
}

/* --- KILL and STOP ------------------------------------------------------------------- */

/* Less came than an answer has.  Stock shows none of it. */
static int print_unexpected(ssize_t len)
{
	if (len < 0)
		printf("epmd: failed to read answer from local epmd\n");
	else
		printf("epmd: local epmd responded with <>\n");
	return 1;
}

static int print_kill(int fd)
{
	char answer[2];
	ssize_t n = read_up_to(fd, answer, sizeof(answer));

	if (n != (ssize_t)sizeof(answer))
		return print_unexpected(n);
	if (memcmp(answer, "OK", sizeof(answer)) == 0) {
		printf("Killed\n");
		return 0;
	}
	printf("Killing not allowed - living nodes in database.\n");
	return 1;
}

static int print_stop(int fd)
{
	char answer[7];
	ssize_t n = read_up_to(fd, answer, sizeof(answer));

	if (n != (ssize_t)sizeof(answer))
		return print_unexpected(n);
	printf("%.*s\n", (int)n, answer);
	return 0;
}

/* --- commands of ours ------------------------------------------------------------------ */

static bool is_ours(enum command command)
{
	return command == COMMAND_PEERS || command == COMMAND_DOCTOR || command == COMMAND_JOIN;
}

static int say_silent(const struct options *options)
{
	if (options->command == COMMAND_DOCTOR)
		return doctor_client_run(options, FACTS_SILENT, "");
	fprintf(stderr,
	        "epmd: the epmd at port %u has not answered within %d s: it is stopped, or hangs; "
	        "end it, and start a node or epmd anew\n",
	        options->port, CLIENT_PATIENCE_S);
	return 1;
}

static int print_control(const struct options *options, int fd)
{
	char buffer[4096];
	ssize_t n = read_up_to(fd, buffer, 1);
	bool doctor = options->command == COMMAND_DOCTOR;

	if (n < 0 && errno == EAGAIN)
		return say_silent(options);
	if (doctor && (n < 1 || buffer[0] == CONTROL_FAILED))
		return doctor_client_run(options, n < 1 ? FACTS_STOCK : FACTS_OLDER, "");
	if (n < 1) {
		fprintf(stderr,
		        "epmd: what answers at port %u does not know this command: most likely "
		        "Erlang's own epmd, which a node started; put this one in its place\n",
		        options->port);
		return 1;
	}
	int status = buffer[0] == CONTROL_OK ? 0 : 1;
	FILE *out = buffer[0] == CONTROL_FAILED ? stderr : stdout;
	while ((n = read_some(fd, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, (size_t)n, out);
	if (n < 0 && errno == EAGAIN)
		fprintf(stderr, "epmd: the answer was cut off: no more came for %d s\n",
		        CLIENT_PATIENCE_S);
	else if (n < 0)
		fprintf(stderr, "epmd: the answer was cut off: %s\n", strerror(errno));
	return n < 0 ? 1 : status;
}

/* --- all ------------------------------------------------------------------------------ */

static struct wire_bytes text_bytes(const char *text)
{
	return (struct wire_bytes){(const uint8_t *)text, strlen(text)};
}

static size_t encode_request(const struct options *options, uint8_t *buffer, size_t size)
{
	static const enum epmd_code codes[] = {
	    [COMMAND_NAMES] = EPMD_NAMES_REQ,  [COMMAND_STARTED] = EPMD_NAMES_REQ,
	    [COMMAND_DUMP] = EPMD_DUMP_REQ,    [COMMAND_KILL] = EPMD_KILL_REQ,
	    [COMMAND_STOP] = EPMD_STOP_REQ,    [COMMAND_PEERS] = EPMD_CONTROL_REQ,
	    [COMMAND_JOIN] = EPMD_CONTROL_REQ,
	    [COMMAND_DOCTOR] = EPMD_CONTROL_REQ,
	};
	struct epmd_request request = {.code = codes[options->command]};
	char words[64];

	if (options->command == COMMAND_STOP) {
		request.name = text_bytes(options->command_argument);
	} else if (options->command == COMMAND_PEERS) {
		request.name = text_bytes(options->json ? "peers json" : "peers");
	} else if (options->command == COMMAND_DOCTOR) {
		doctor_client_words(options, words, sizeof(words));
		request.name = text_bytes(words);
	} else if (options->command == COMMAND_JOIN) {
		snprintf(words, sizeof(words), "join %s", options->command_argument);
		request.name = text_bytes(words);
	}
	return epmd_request_encode(&request, buffer, size);
}

static int print_answer(const struct options *options, int fd)
{
	switch (options->command) {
	case COMMAND_KILL:
		return print_kill(fd);
	case COMMAND_STOP:
		return print_stop(fd);
	case COMMAND_PEERS:
	case COMMAND_DOCTOR:
	case COMMAND_JOIN:
		return print_control(options, fd);
	default:
		return print_list(fd, options->command == COMMAND_STARTED);
	}
}

int client_run(const struct options *options)
{
	uint8_t request[EPMD_REQUEST_MAX];
	size_t len = encode_request(options, request, sizeof(request));

	if (len == 0 || (options->command == COMMAND_STOP &&
	                 strlen(options->command_argument) > STOP_NAME_MAX)) {
		printf("epmd: Name too long!\n");
		return 1;
	}
	int fd = dial_local(options->port);
	if (fd < 0 && errno == EINPROGRESS && is_ours(options->command))
		return say_silent(options);
	if (fd < 0 && options->command == COMMAND_DOCTOR)
		return doctor_client_run(options, FACTS_NOBODY, "");
	if (fd < 0) {
		if (options->command != COMMAND_STARTED)
			fprintf(stderr, "epmd: Cannot connect to local epmd\n");
		return 1;
	}
	int status = 1;
	if (send(fd, request, len, MSG_NOSIGNAL) == (ssize_t)len)
		status = print_answer(options, fd);
	else
		printf("epmd: Can't write to epmd\n");
	close(fd);
	return fflush(stdout) == 0 ? status : 1;
}
