/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "epmd/log.h"
#include "log_file.h"

int log_file_open(struct log_file *file)
{
	strcpy(file->path, "/tmp/kepmd-test-XXXXXX");
	int fd = mkstemp(file->path);
	if (fd < 0)
		return -1;
	close(fd);
	log_set_level(LOG_LEVEL_INFO);
	return log_open_file(file->path);
}

unsigned log_file_count(const struct log_file *file, const char *words)
{
	char text[16384] = "";
	unsigned n = 0;
	FILE *stream = fopen(file->path, "r");

	if (!stream)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, stream)] = '\0';
	fclose(stream);
	for (const char *at = text; (at = strstr(at, words)); at++)
		n++;
	return n;
}

void log_file_remove(struct log_file *file)
{
	remove(file->path);
}
