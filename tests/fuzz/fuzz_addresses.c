/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/address.h"
#include "epmd/allow.h"
#include "epmd/sockaddr.h"
#include "epmd/status.h"

/* Addresses as people write them: one, lists with prefixes (ERL_EPMD_ALLOW,
 * ERL_EPMD_REMOTE_LOOPBACK), and HOST:PORT (ERL_EPMD_STATUS_ADDRESS).  The first byte
 * chooses. */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check(int holds)
{
	if (!holds)
		abort();
}

static void check_error(const char *error, size_t size)
{
	check(*error && memchr(error, 0, size));
}

/* What is shown of an address is an address, and the same one. */
static void one(const char *text)
{
	char shown[SOCKADDR_TEXT_SIZE];
	uint8_t key[SOCKADDR_KEY_SIZE], key_again[SOCKADDR_KEY_SIZE];
	struct sockaddr_any address, again;

	if (!sockaddr_parse(text, 4369, &address))
		return;
	check(sockaddr_port(&address) == 4369);
	check(sockaddr_parse(sockaddr_host_text(&address, shown), 4369, &again));
	check(address_is_literal(shown));
	check(sockaddr_same_host(&address, &again));
	sockaddr_key(&address, key);
	sockaddr_key(&again, key_again);
	check(memcmp(key, key_again, sizeof(key)) == 0);
}

/* Whatever the list is, this host may ask. */
static void check_local(struct allow *allow)
{
	struct sockaddr_any local;

	check(sockaddr_parse("127.0.0.1", 4369, &local));
	check(!allow_is_loopback(allow, &local) || allow_may_ask(allow, &local, 1));
}

static void who(const char *text)
{
	char error[300] = "";
	struct allow *allow = allow_new(text, NULL, true, error, sizeof(error));

	if (!allow)
		check_error(error, sizeof(error));
	else
		check_local(allow);
	allow_free(allow);
}

static void remote_loopback(const char *text)
{
	char error[300] = "";
	struct allow *allow = allow_new("10.0.0.0/8", text, false, error, sizeof(error));

	if (!allow)
		check_error(error, sizeof(error));
	else
		check_local(allow);
	allow_free(allow);
}

static void status(const char *text)
{
	char error[300] = "", shown[SOCKADDR_TEXT_SIZE];
	struct sockaddr_any address, again;

	if (!status_address_parse(text, &address, error, sizeof(error))) {
		check_error(error, sizeof(error));
		return;
	}
	check(sockaddr_port(&address) > 0);
	check(status_address_parse(sockaddr_text(&address, shown), &again, error, sizeof(error)));
	check(sockaddr_same_host(&address, &again));
	check(sockaddr_port(&address) == sockaddr_port(&again));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static void (*const readers[])(const char *) = {one, who, remote_loopback, status};

	if (len == 0)
		return 0;
	char *text = malloc(len);
	check(text != NULL);
	memcpy(text, bytes + 1, len - 1);
	text[len - 1] = '\0';
	readers[bytes[0] % 4](text);
	free(text);
	return 0;
}
