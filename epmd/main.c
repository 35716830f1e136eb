/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "client.h"
#include "daemon.h"
#include "doctor_client.h"
#include "options.h"
#include "proctitle.h"

static int run(const struct options *options)
{
	switch (options->command) {
	case COMMAND_SERVE:
		return daemon_run(options);
	case COMMAND_HELP:
		options_print_usage(stdout);
		return 0;
	case COMMAND_VERSION:
		printf("%s %s\n", PACKAGE_NAME, PACKAGE_VERSION);
		return 0;
	default:
		return client_run(options);
	}
}

/* Where the starter has closed a standard stream, a socket would get its number, and what is
 * printed or redirected later would go to that. */
static void fill_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char *argv[])
{
	struct options options;
	char error[512];

	proctitle_remember(argc, argv);
	fill_streams();
	/* A peer that is gone shows in what write(2) returns. */
	signal(SIGPIPE, SIG_IGN);
	switch (options_read(argc, argv, &options, error, sizeof(error))) {
	case OPTIONS_OK:
		return run(&options);
	case OPTIONS_WRONG:
		if (options.command == COMMAND_DOCTOR)
			return doctor_client_run(&options, FACTS_NOBODY, error);
		fprintf(stderr, "epmd: %s\n", error);
		return 1;
	case OPTIONS_USAGE:
		break;
	}
	options_print_usage(stderr);
	/* Last, where it is seen: the text is longer than a screen. */
	if (error[0])
		fprintf(stderr, "\nepmd: %s\n", error);
	return 1;
}
