/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "limits.h"
#include "options.h"

#define CONNECTIONS_MAX 10000
#define UNSENT_MAX_MIB 64
#define MIB ((size_t)1024 * 1024)
/* What libevent, the log and the listening sockets take, and some. */
#define RESERVE 16
#define RESERVE_MAX 256

static unsigned between(unsigned low, unsigned value, unsigned high)
{
	return value < low ? low : value > high ? high : value;
}

/* What follows from max_connections. */
static void set_shares(struct limits *limits)
{
	limits->max_per_address = between(1, limits->max_connections / 4, limits->max_connections);
	limits->max_of_loopback = between(1, limits->max_connections / 2, limits->max_connections);
}

struct limits limits_default(unsigned descriptors, bool more_in_reserve)
{
	struct limits limits = {.descriptors = descriptors, .max_unsent = UNSENT_MAX_MIB * MIB};

	limits.reserve = more_in_reserve ? between(RESERVE, descriptors / 8, RESERVE_MAX) : RESERVE;
	unsigned left = descriptors > limits.reserve + 8 ? descriptors - limits.reserve : 8;
	limits.max_connections = between(4, left / 2, CONNECTIONS_MAX);
	limits.max_registered = left - between(4, left / 4, LIMITS_ROOM_MAX);
	set_shares(&limits);
	return limits;
}

/* Reads SETTING, a number from 1 to MAX, into *VALUE if it is set.  Returns 0, or -1 with ERROR. */
static int read_number(const struct options *options, enum setting setting, unsigned max,
                       unsigned *value, char *error, size_t error_size)
{
	const char *text = options->settings[setting];
	char *end;

	if (!text)
		return 0;
	unsigned long number = isdigit((unsigned char)*text) ? strtoul(text, &end, 10) : 0;
	if (number >= 1 && number <= max && *end == '\0') {
		*value = (unsigned)number;
		return 0;
	}
	snprintf(error, error_size, "%s=%s is wrong: give a number from 1 to %u",
	         options_setting_variable(setting), text, max);
	return -1;
}

int limits_read(const struct options *options, unsigned descriptors, bool more_in_reserve,
                struct limits *limits, char *error, size_t error_size)
{
	struct limits read = limits_default(descriptors, more_in_reserve);
	unsigned unsent_mib = UNSENT_MAX_MIB;

	*limits = read;
	if (read_number(options, SETTING_MAX_CONNECTIONS, 1000000, &read.max_connections, error,
	                error_size) < 0)
		return -1;
	set_shares(&read);
	if (read_number(options, SETTING_MAX_PER_ADDRESS, 1000000, &read.max_per_address, error,
	                error_size) < 0 ||
	    read_number(options, SETTING_MAX_UNSENT, 4095, &unsent_mib, error, error_size) < 0)
		return -1;
	read.max_unsent = unsent_mib * MIB;
	*limits = read;
	return 0;
}

unsigned limits_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return LIMITS_DESCRIPTORS_FEW;
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t before = limit.rlim_cur;
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			limit.rlim_cur = before;
	}
	/* "unlimited" is no number of descriptors; the kernel's own end is far below. */
	return limit.rlim_cur < 1u << 30 ? (unsigned)limit.rlim_cur : 1u << 30;
}
