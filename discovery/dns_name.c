/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "dns_name.h"

#define SEPARATORS ", "
#define LABEL_MAX 63
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

/* Without the dot at its end, if it has one. */
static size_t bare_length(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && name[len - 1] == '.' ? len - 1 : len;
}

static bool labels_ok(const char *name)
{
	size_t left = bare_length(name);

	while (true) {
		size_t len = strspn(name, LETTERS);
		if (len == 0 || len > LABEL_MAX || name[0] == '-' || name[len - 1] == '-')
			return false;
		if (len == left)
			return true;
		if (name[len] != '.')
			return false;
		name += len + 1;
		left -= len + 1;
	}
}

bool dns_names_next(const char **list, char name[DNS_NAME_SIZE])
{
	*list += strspn(*list, SEPARATORS);
	size_t len = strcspn(*list, SEPARATORS);
	snprintf(name, DNS_NAME_SIZE, "%.*s", (int)(len < DNS_NAME_SIZE ? len : DNS_NAME_SIZE - 1),
	         *list);
	*list += len;
	return len > 0;
}

int dns_names_check(const char *list, const char **why)
{
	char name[DNS_NAME_SIZE];
	int n = 0;

	while (dns_names_next(&list, name)) {
		*why = "holds an address: give a name, or a file with the addresses (file:PATH)";
		if (address_is_literal(name))
			return -1;
		*why =
		    "cannot be a name in DNS: give that of a headless Service, as in dns:sample, "
		    "dns:sample.default.svc.cluster.local or dns:_epmd._tcp.sample; several are "
		    "separated by commas";
		if (bare_length(name) >= DNS_NAME_SIZE - 2 || !labels_ok(name))
			return -1;
		*why = "has more than 16 names: give those that count";
		if (++n > DNS_NAMES_MAX)
			return -1;
	}
	*why = "names nothing: give the name of a headless Service, as in dns:sample";
	return n > 0 ? n : -1;
}

bool dns_name_is_srv(const char *name)
{
	return name[0] == '_';
}

static int count_dots(const char *name)
{
	int n = 0;

	for (; *name; name++)
		n += *name == '.';
	return n;
}

bool dns_name_candidate(const char *name, char *const *domains, size_t n_domains, int ndots,
                        size_t n, char full[DNS_NAME_SIZE])
{
	size_t bare = bare_length(name);
	bool absolute = name[bare] == '.', first = count_dots(name) >= ndots;
	/* At which turn it is taken as it is. */
	size_t as_is = absolute || first ? 0 : n_domains;
	size_t domain = n > as_is ? n - 1 : n;

	if (n == as_is)
		return snprintf(full, DNS_NAME_SIZE, "%.*s", (int)bare, name) < DNS_NAME_SIZE;
	if (absolute || domain >= n_domains)
		return false;
	size_t len = bare_length(domains[domain]);
	int written = snprintf(full, DNS_NAME_SIZE, "%s.%.*s", name, (int)len, domains[domain]);
	if (written >= DNS_NAME_SIZE - 2)
		full[0] = '\0';
	return true;
}

static const char *copy_label(const char *at, char to[64])
{
	size_t len = strcspn(at, ".");

	snprintf(to, 64, "%.*s", (int)(len < 64 ? len : 0), at);
	return at[len] ? at + len + 1 : at + len;
}

/* AT is "svc.DOMAIN". */
static bool is_svc(const char *at)
{
	return strncasecmp(at, "svc.", 4) == 0;
}

void dns_name_split(const char *full, struct dns_name_parts *parts)
{
	char labels[3][64] = {"", "", ""};
	const char *at = full;

	*parts = (struct dns_name_parts){0};
	if (dns_name_is_srv(full)) {
		at = copy_label(at, parts->port);
		memmove(parts->port, parts->port + 1, strlen(parts->port));
		if (dns_name_is_srv(at))
			at = copy_label(at, labels[0]);
	}
	at = copy_label(at, labels[0]);
	at = copy_label(at, labels[1]);
	if (is_svc(at)) {
		memcpy(parts->service, labels[0], 64);
		memcpy(parts->namespace_, labels[1], 64);
		return;
	}
	at = copy_label(at, labels[2]);
	if (!is_svc(at))
		return;
	memcpy(parts->host, labels[0], 64);
	memcpy(parts->service, labels[1], 64);
	memcpy(parts->namespace_, labels[2], 64);
}
