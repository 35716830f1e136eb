/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "proctitle.h"

/* TASK_COMM_LEN of the kernel */
#define COMM_SIZE 16

static struct {
	char *args; /* the arguments, one behind the other, as execve(2) puts them */
	size_t size;
	char *saved; /* what they were; NULL: they still are */
	char comm[COMM_SIZE];
} title;

void proctitle_remember(int argc, char *argv[])
{
	if (argc < 1)
		return;
	title.args = argv[0];
	title.size = strlen(argv[0]) + 1;
	for (int i = 1; i < argc && argv[i] == title.args + title.size; i++)
		title.size += strlen(argv[i]) + 1;
}

void proctitle_set(const char *name)
{
	if (!title.args || title.saved)
		return;
	title.saved = malloc(title.size);
	if (!title.saved)
		return;
	memcpy(title.saved, title.args, title.size);
	memset(title.args, 0, title.size);
	/* One byte stays NUL: else the kernel reads on into the environment. */
	for (size_t i = 0; name[i] && i + 1 < title.size; i++)
		title.args[i] = name[i];
	prctl(PR_GET_NAME, title.comm);
	prctl(PR_SET_NAME, name);
}

void proctitle_restore(void)
{
	if (!title.saved)
		return;
	memcpy(title.args, title.saved, title.size);
	free(title.saved);
	title.saved = NULL;
	prctl(PR_SET_NAME, title.comm);
}
