/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allow.h"
#include "discovery/hash.h"
#include "log.h"
#include "options.h"
#include "own_hosts.h"

#define SEPARATORS ", \t\n"
#define ENTRIES_MAX 256
#define MESH_ADDRESS "127.0.0.6"

struct cidr {
	uint8_t key[SOCKADDR_KEY_SIZE];
	unsigned bits; /* of KEY, from its beginning */
};

struct cidrs {
	struct cidr list[ENTRIES_MAX];
	size_t n;
};

struct known {
	uint8_t key[SOCKADDR_KEY_SIZE];
	unsigned n; /* peers that have it */
	bool hash_add_failed;
	UT_hash_handle hh;
};

struct allow {
	bool everybody;
	bool peers;
	struct cidrs who;
	struct cidrs remote_loopback;
	struct known *known;
	struct own_hosts own;
};

/* --- reading ------------------------------------------------------------------------ */

/* "10.0.0.0/8", "fd00::/8", or an address alone. */
static bool parse_cidr(const char *text, struct cidr *cidr)
{
	char host[SOCKADDR_TEXT_SIZE];
	size_t len = strcspn(text, "/");
	struct sockaddr_any address;

	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (!sockaddr_parse(host, 0, &address))
		return false;
	unsigned long width = address.storage.ss_family == AF_INET ? 32 : 128, bits = width;
	if (text[len]) {
		const char *digits = text + len + 1;
		char *end;
		size_t n = strspn(digits, "0123456789");
		if (n == 0 || n > 3)
			return false;
		bits = strtoul(digits, &end, 10);
		if (*end || bits > width)
			return false;
	}
	sockaddr_key(&address, cidr->key);
	cidr->bits = (unsigned)(8 * SOCKADDR_KEY_SIZE - width + bits);
	return true;
}

static bool cidr_has(const struct cidr *cidr, const uint8_t key[SOCKADDR_KEY_SIZE])
{
	unsigned bytes = cidr->bits / 8, rest = cidr->bits % 8;

	/* IPv4 is within ::ffff:0:0/96, but is not meant by an IPv6 prefix that has all that. */
	if (cidr->bits < SOCKADDR_KEY_V4_BITS && sockaddr_key_is_v4(key))
		return false;
	if (memcmp(cidr->key, key, bytes) != 0)
		return false;
	return rest == 0 || (cidr->key[bytes] ^ key[bytes]) >> (8 - rest) == 0;
}

static bool cidrs_have(const struct cidrs *cidrs, const uint8_t key[SOCKADDR_KEY_SIZE])
{
	for (size_t i = 0; i < cidrs->n; i++)
		if (cidr_has(&cidrs->list[i], key))
			return true;
	return false;
}

/* Reads the words of TEXT into CIDRS; the word WORD sets *SAID.  Returns 0, or -1 with ERROR. */
static int read_list(enum setting setting, const char *text, const char *word, bool *said,
                     struct cidrs *cidrs, char *error, size_t error_size)
{
	const char *variable = options_setting_variable(setting);

	for (text += strspn(text, SEPARATORS); *text; text += strspn(text, SEPARATORS)) {
		size_t len = strcspn(text, SEPARATORS);
		char entry[SOCKADDR_TEXT_SIZE + 8];
		snprintf(entry, sizeof(entry), "%.*s",
		         len < sizeof(entry) ? (int)len : (int)sizeof(entry) - 1, text);
		text += len;
		if (strcmp(entry, word) == 0) {
			*said = true;
			continue;
		}
		if (cidrs->n == ENTRIES_MAX) {
			snprintf(error, error_size, "%s: more than %d entries: join some", variable,
			         ENTRIES_MAX);
			return -1;
		}
		if (!parse_cidr(entry, &cidrs->list[cidrs->n])) {
			snprintf(error, error_size,
			         "%s: \"%s\" is wrong: give addresses like %s, or the word %s",
			         variable, entry,
			         setting == SETTING_ALLOW ? "10.0.0.0/8 or fd00::/8" : MESH_ADDRESS,
			         word);
			return -1;
		}
		cidrs->n++;
	}
	return 0;
}

static int read_who(struct allow *allow, const char *who, bool discovers, char *error,
                    size_t error_size)
{
	allow->everybody = !who;
	if (!who)
		return 0;
	if (read_list(SETTING_ALLOW, who, "peers", &allow->peers, &allow->who, error, error_size) <
	    0)
		return -1;
	if (allow->who.n == 0 && !allow->peers) {
		snprintf(error, error_size,
		         "%s names nobody: give addresses like 10.0.0.0/8 or fd00::/8, or leave it "
		         "out for everybody",
		         options_setting_variable(SETTING_ALLOW));
		return -1;
	}
	if (allow->peers && !discovers) {
		snprintf(error, error_size,
		         "%s: \"peers\" are those that discovery finds, and it is off: set %s",
		         options_setting_variable(SETTING_ALLOW),
		         options_setting_variable(SETTING_DISCOVERY));
		return -1;
	}
	return 0;
}

static int read_remote_loopback(struct allow *allow, const char *text, char *error,
                                size_t error_size)
{
	static const struct cidr v4 = {{[10] = 0xFF, [11] = 0xFF, [12] = 127}, 104};
	static const struct cidr v6 = {{[15] = 1}, 128};
	struct cidrs *list = &allow->remote_loopback;
	bool none = false;

	if (read_list(SETTING_REMOTE_LOOPBACK, text ? text : MESH_ADDRESS, "none", &none, list,
	              error, error_size) < 0)
		return -1;
	for (size_t i = 0; i < list->n; i++) {
		const struct cidr *cidr = &list->list[i];
		if (cidr_has(&v4, cidr->key) ? cidr->bits < v4.bits
		                             : !cidr_has(&v6, cidr->key) || cidr->bits < v6.bits) {
			snprintf(error, error_size,
			         "%s=%s is wrong: give addresses within 127.0.0.0/8, such as "
			         "%s, or the word none",
			         options_setting_variable(SETTING_REMOTE_LOOPBACK), text,
			         MESH_ADDRESS);
			return -1;
		}
	}
	if (none)
		list->n = 0;
	return 0;
}

struct allow *allow_new(const char *who, const char *remote_loopback, bool discovers, char *error,
                        size_t error_size)
{
	struct allow *allow = calloc(1, sizeof(*allow));

	if (!allow) {
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	if (read_who(allow, who, discovers, error, error_size) == 0 &&
	    read_remote_loopback(allow, remote_loopback, error, error_size) == 0)
		return allow;
	allow_free(allow);
	return NULL;
}

struct allow *allow_new_closed(void)
{
	char error[1];
	struct allow *allow = allow_new(NULL, NULL, false, error, sizeof(error));

	if (allow)
		allow->everybody = false;
	return allow;
}

void allow_free(struct allow *allow)
{
	struct known *known, *next;

	if (!allow)
		return;
	HASH_ITER (hh, allow->known, known, next) {
		HASH_DEL(allow->known, known);
		free(known);
	}
	own_hosts_clear(&allow->own);
	free(allow);
}

/* --- asking ------------------------------------------------------------------------- */

bool allow_is_loopback(const struct allow *allow, const struct sockaddr_any *from)
{
	uint8_t key[SOCKADDR_KEY_SIZE];

	if (!sockaddr_is_loopback(from))
		return false;
	if (!allow || allow->remote_loopback.n == 0)
		return true;
	sockaddr_key(from, key);
	return !cidrs_have(&allow->remote_loopback, key);
}

static bool is_known(const struct allow *allow, const uint8_t key[SOCKADDR_KEY_SIZE])
{
	const struct known *known;

	HASH_FIND(hh, allow->known, key, SOCKADDR_KEY_SIZE, known);
	return known != NULL;
}

bool allow_may_ask(struct allow *allow, const struct sockaddr_any *from, uint64_t now_ms)
{
	uint8_t key[SOCKADDR_KEY_SIZE];
	char text[SOCKADDR_TEXT_SIZE];

	if (allow->everybody || allow_is_loopback(allow, from))
		return true;
	sockaddr_key(from, key);
	if (cidrs_have(&allow->who, key) || is_known(allow, key))
		return true;
	/* What a mesh delivers has an address of this host too. */
	return !sockaddr_is_loopback(from) &&
	       own_hosts_ask(&allow->own, sockaddr_host_text(from, text), now_ms) == OWN_YES;
}

/* --- peers -------------------------------------------------------------------------- */

static bool key_of(const char *text, uint8_t key[SOCKADDR_KEY_SIZE])
{
	struct sockaddr_any address;

	if (!text || !sockaddr_parse(text, 0, &address))
		return false;
	sockaddr_key(&address, key);
	return true;
}

static void remember(struct allow *allow, const char *text)
{
	uint8_t key[SOCKADDR_KEY_SIZE];
	struct known *known;

	if (!key_of(text, key))
		return;
	HASH_FIND(hh, allow->known, key, sizeof(key), known);
	if (known) {
		known->n++;
		return;
	}
	known = calloc(1, sizeof(*known));
	if (known) {
		known->n = 1;
		memcpy(known->key, key, sizeof(key));
		HASH_ADD(hh, allow->known, key, sizeof(known->key), known);
	}
	if (!known || known->hash_add_failed) {
		log_error("no memory to allow the peer %s to ask", text);
		free(known);
	}
}

static void forget(struct allow *allow, const char *text)
{
	uint8_t key[SOCKADDR_KEY_SIZE];
	struct known *known;

	if (!key_of(text, key))
		return;
	HASH_FIND(hh, allow->known, key, sizeof(key), known);
	if (known && --known->n == 0) {
		HASH_DEL(allow->known, known);
		free(known);
	}
}

void allow_peer_changed(struct allow *allow, const char *before, const char *after)
{
	if (!allow->peers)
		return;
	/* In this order, so that an address that stays is never forgotten. */
	remember(allow, after);
	forget(allow, before);
}
