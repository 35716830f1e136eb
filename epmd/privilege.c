/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "privilege.h"

/* <linux/capability.h>, which not every C library has: the form of capget(2) and capset(2)
 * for 64 capabilities, and the numbers that have a meaning here. */
#define CAPABILITY_VERSION_3 0x20080522u
#define CAPABILITIES 64
#define CAP_DAC_OVERRIDE 1
#define CAP_DAC_READ_SEARCH 2
#define CAP_SETPCAP 8
#define CAP_NET_BIND_SERVICE 10

struct header {
	uint32_t version;
	int pid; /* 0: this process */
};

struct words {
	uint32_t effective, permitted, inheritable;
};

static unsigned long long bit(int capability)
{
	return 1ull << capability;
}

/* --- what is pure of it --------------------------------------------------------- */

unsigned long long privilege_kept(unsigned long long held, bool root,
                                  const struct privilege_needs *needs)
{
	unsigned long long kept = 0;

	if (needs->binds_ports)
		kept |= bit(CAP_NET_BIND_SERVICE);
	if (root && needs->writes_files)
		kept |= bit(CAP_DAC_OVERRIDE);
	/* The lesser one will do, but a container of Docker's has the greater only. */
	if (root && needs->reads_files)
		kept |= held & bit(CAP_DAC_READ_SEARCH) ? bit(CAP_DAC_READ_SEARCH)
		                                        : bit(CAP_DAC_OVERRIDE);
	return held & kept;
}

void privilege_capabilities_text(unsigned long long held, char *text, size_t size)
{
	static const struct {
		int number;
		const char *name;
	} names[] = {{CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"},
	             {CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"},
	             {CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE"}};
	unsigned others = 0;
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (held & bit(names[i].number) && len < size)
			len += (size_t)snprintf(text + len, size - len, "%s%s", len ? ", " : "",
			                        names[i].name);
		held &= ~bit(names[i].number);
	}
	for (; held; held &= held - 1)
		others++;
	if (others && len < size)
		len += (size_t)snprintf(text + len, size - len, "%s%u %s%s", len ? ", " : "",
		                        others, len ? "other " : "",
		                        others == 1 ? "capability" : "capabilities");
	if (!len)
		snprintf(text, size, "no capabilities");
}

/* --- the process' own ------------------------------------------------------------------- */

static int get_held(struct words held[2])
{
	struct header header = {CAPABILITY_VERSION_3, 0};

	return (int)syscall(SYS_capget, &header, held);
}

/* What we may have at all, effective or not. */
static unsigned long long permitted(const struct words held[2])
{
	return (unsigned long long)held[1].permitted << 32 | held[0].permitted;
}

static int keep_only(unsigned long long kept)
{
	struct header header = {CAPABILITY_VERSION_3, 0};
	struct words words[2];

	for (int i = 0; i < 2; i++) {
		uint32_t word = (uint32_t)(kept >> (32 * i));
		words[i] = (struct words){.effective = word, .permitted = word, .inheritable = 0};
	}
	return (int)syscall(SYS_capset, &header, words);
}

int privilege_drop(const struct privilege_needs *needs)
{
	struct words held[2];
	int result = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		result = -1;
	if (get_held(held) < 0)
		return -1;
	unsigned long long kept = privilege_kept(permitted(held), geteuid() == 0, needs);
	/* Who has nothing to give up may be forbidden to try (a filter of system calls). */
	if (!permitted(held))
		return result;
	/* Nothing is executed, and could gain nothing; yet who looks should find none. */
	for (int i = 0; i < CAPABILITIES && permitted(held) & bit(CAP_SETPCAP); i++)
		if (!(kept & bit(i)))
			(void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	/* Before Linux 4.3 there are none of these. */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return keep_only(kept) < 0 ? -1 : result;
}

void privilege_end(void)
{
#ifdef __SANITIZE_ADDRESS__
	prctl(PR_SET_DUMPABLE, 1);
#endif
}

void privilege_describe(char *text, size_t size)
{
	struct words held[2];
	char capabilities[128] = "capabilities unknown";

	if (get_held(held) == 0)
		privilege_capabilities_text(permitted(held), capabilities, sizeof(capabilities));
	snprintf(text, size, "%s, %s, %s",
	         prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? "no new privileges"
	                                                     : "new privileges possible",
	         capabilities, prctl(PR_GET_DUMPABLE) == 1 ? "dumpable" : "not dumpable");
}
