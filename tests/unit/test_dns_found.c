/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/dns_found.h"

#define NAME "sample.default.svc.cluster.local"

/* --- messages -------------------------------------------------------------------------------- */

struct message {
	unsigned char bytes[16384];
	size_t len;
};

static void put16(struct message *message, unsigned value)
{
	message->bytes[message->len++] = (unsigned char)(value >> 8);
	message->bytes[message->len++] = (unsigned char)value;
}

static void put_name(struct message *message, const char *name)
{
	while (*name) {
		size_t len = strcspn(name, ".");
		message->bytes[message->len++] = (unsigned char)len;
		memcpy(message->bytes + message->len, name, len);
		message->len += len;
		name += len + (name[len] == '.');
	}
	message->bytes[message->len++] = 0;
}

/* With one question, for NAME. */
static struct message begin(unsigned answers, unsigned additional)
{
	struct message message = {.len = 0};

	put16(&message, 1);
	put16(&message, 0x8400);
	put16(&message, 1);
	put16(&message, answers);
	put16(&message, 0);
	put16(&message, additional);
	put_name(&message, NAME);
	put16(&message, DNS_TYPE_A);
	put16(&message, DNS_CLASS_IN);
	return message;
}

static void put_head(struct message *message, const char *owner, unsigned type, uint32_t ttl,
                     size_t len)
{
	if (owner)
		put_name(message, owner);
	else
		put16(message, 0xC00C); /* back to the question */
	put16(message, type);
	put16(message, DNS_CLASS_IN);
	put16(message, ttl >> 16);
	put16(message, ttl & 0xFFFF);
	put16(message, (unsigned)len);
}

static void put_address(struct message *message, const char *owner, const char *text, uint32_t ttl)
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	size_t len = family == AF_INET ? 4 : 16;

	put_head(message, owner, family == AF_INET ? DNS_TYPE_A : DNS_TYPE_AAAA, ttl, len);
	assert_int_equal(inet_pton(family, text, message->bytes + message->len), 1);
	message->len += len;
}

static void put_srv(struct message *message, const char *target, unsigned port, uint32_t ttl)
{
	put_head(message, NULL, DNS_TYPE_SRV, ttl, 6 + strlen(target) + (*target ? 2 : 1));
	put16(message, 0);
	put16(message, 50);
	put16(message, port);
	put_name(message, target);
}

/* --- what is found ------------------------------------------------------------------------------ */

/* Takes the peers of FAMILY, at most a hundred. */
static struct kube_object take(const struct dns_found *found, enum dns_family family)
{
	struct kube_object *objects, first = {0};
	int n = dns_found_take(found, family, &objects);

	assert_in_range(n, 0, 1);
	if (n == 1)
		first = objects[0];
	free(objects);
	return first;
}

static void addresses_are_peers(void **state)
{
	struct dns_found *found = dns_found_new(NAME, false);
	struct message message = begin(4, 1);

	(void)state;
	put_address(&message, NULL, "10.0.0.1", 30);
	put_address(&message, NULL, "10.0.0.2", 20);
	put_address(&message, NULL, "10.0.0.2", 20);
	put_address(&message, "alias.example.org", "fd00::1", 40);
	put_address(&message, "ns.example.org", "10.0.0.53", 1); /* additional: is not asked for */
	assert_int_equal(dns_found_add(found, message.bytes, message.len), 0);
	assert_int_equal(dns_found_ttl(found), 20);
	assert_int_equal(dns_found_count(found, DNS_IPV4), 2);
	assert_int_equal(dns_found_count(found, DNS_IPV6), 1);
	struct kube_object object = take(found, DNS_IPV4);
	assert_int_equal(object.n_peers, 2);
	assert_string_equal(object.peers[0].key, "10.0.0.1");
	assert_string_equal(object.peers[1].address, "10.0.0.2");
	assert_string_equal(object.peers[0].service, "sample");
	assert_string_equal(object.peers[0].namespace_, "default");
	assert_null(object.peers[0].hostname);
	assert_true(object.peers[0].ready && object.peers[0].serving);
	kube_object_clear(&object);
	dns_found_free(found);
}

static void targets_are_peers_by_their_names(void **state)
{
	struct dns_found *found = dns_found_new("_dist._tcp." NAME, true);
	struct message message = begin(3, 5);

	(void)state;
	put_srv(&message, "sample-0." NAME, 9100, 30);
	put_srv(&message, "10-0-0-2." NAME, 9101, 30);
	put_srv(&message, "", 9102, 30); /* "decidedly not" */
	put_address(&message, "SAMPLE-0." NAME, "10.0.0.1", 30);
	put_address(&message, "sample-0." NAME, "fd00::1", 10);
	put_address(&message, "sample-0." NAME, "10.0.0.9", 30);
	put_address(&message, "10-0-0-2." NAME, "10.0.0.2", 30);
	put_address(&message, "stranger.example.org", "10.0.0.53", 1);
	assert_int_equal(dns_found_add(found, message.bytes, message.len), 0);
	assert_int_equal(dns_found_ttl(found), 10);
	assert_null(dns_found_next_bare(found));
	struct kube_object v4 = take(found, DNS_IPV4), v6 = take(found, DNS_IPV6);
	assert_int_equal(v4.n_peers, 3);
	assert_int_equal(v6.n_peers, 1);
	assert_string_equal(v4.peers[0].key, "sample-0." NAME);
	assert_string_equal(v6.peers[0].key, v4.peers[0].key);
	assert_string_equal(v4.peers[0].hostname, "sample-0");
	assert_string_equal(v4.peers[0].pod, "sample-0");
	assert_int_equal(peer_named_port(&v4.peers[0], "dist"), 9100);
	assert_string_equal(v4.peers[1].key, "10.0.0.9");
	assert_null(v4.peers[2].hostname);
	assert_int_equal(peer_named_port(&v4.peers[2], "dist"), 9101);
	kube_object_clear(&v4);
	kube_object_clear(&v6);
	dns_found_free(found);
}

static void targets_without_addresses_are_asked_for(void **state)
{
	struct dns_found *found = dns_found_new("_dist._tcp." NAME, true);
	struct message message = begin(2, 1), reply = begin(1, 0);

	(void)state;
	put_srv(&message, "a." NAME, 1, 30);
	put_srv(&message, "b." NAME, 1, 30);
	put_address(&message, "a." NAME, "10.0.0.1", 30);
	assert_int_equal(dns_found_add(found, message.bytes, message.len), 0);
	assert_string_equal(dns_found_next_bare(found), "b." NAME);
	assert_null(dns_found_next_bare(found));
	put_address(&reply, NULL, "10.0.0.2", 7);
	assert_int_equal(dns_found_add_target(found, "b." NAME, reply.bytes, reply.len), 0);
	assert_int_equal(dns_found_count(found, DNS_IPV4), 2);
	assert_int_equal(dns_found_ttl(found), 7);
	dns_found_free(found);
}

static void many_are_cut_into_hundreds(void **state)
{
	struct dns_found *found = dns_found_new(NAME, false);
	struct message message = begin(250, 0);
	struct kube_object *objects;
	char address[32];

	(void)state;
	for (int i = 0; i < 250; i++) {
		snprintf(address, sizeof(address), "10.0.1.%d", i);
		put_address(&message, NULL, address, 30);
	}
	assert_int_equal(dns_found_add(found, message.bytes, message.len), 0);
	assert_int_equal(dns_found_take(found, DNS_IPV6, &objects), 0);
	free(objects);
	assert_int_equal(dns_found_take(found, DNS_IPV4, &objects), 3);
	assert_int_equal(objects[0].n_peers, 100);
	assert_int_equal(objects[2].n_peers, 50);
	for (int i = 0; i < 3; i++)
		kube_object_clear(&objects[i]);
	free(objects);
	dns_found_free(found);
}

/* --- messages that are wrong ------------------------------------------------------------------- */

/* Cut anywhere it is refused, and nothing is read behind its end. */
static void a_message_that_is_cut_off_is_refused(void **state)
{
	struct message message = begin(1, 1);

	(void)state;
	put_srv(&message, "sample-0." NAME, 9100, 30);
	put_address(&message, "sample-0." NAME, "10.0.0.1", 30);
	for (size_t len = 0; len <= message.len; len++) {
		struct dns_found *found = dns_found_new("_dist._tcp." NAME, true);
		unsigned char *exact = malloc(len ? len : 1);
		memcpy(exact, message.bytes, len);
		assert_int_equal(dns_found_add(found, exact, len), len == message.len ? 0 : -1);
		free(exact);
		dns_found_free(found);
	}
}

static void assert_refused(struct message *message)
{
	struct dns_found *found = dns_found_new(NAME, true);

	assert_int_equal(dns_found_add(found, message->bytes, message->len), -1);
	dns_found_free(found);
}

static void nonsense_is_refused(void **state)
{
	struct message loop = begin(1, 0), length = begin(1, 0), target = begin(1, 0);

	(void)state;
	put16(&loop, 0xC000 | (unsigned)loop.len); /* a name that is itself */
	put_head(&length, NULL, DNS_TYPE_SRV, 1, 3);
	put_name(&length, "a");
	put_srv(&target, "a", 1, 1);
	target.bytes[target.len - 3] = 40; /* a label that goes on behind the end */
	assert_refused(&loop);
	assert_refused(&length);
	assert_refused(&target);
}

static void an_address_of_another_length_is_refused(void **state)
{
	struct message message = begin(1, 0);
	struct dns_found *found = dns_found_new(NAME, false);

	(void)state;
	put_head(&message, NULL, DNS_TYPE_A, 1, 5);
	put_name(&message, "abc");
	assert_int_equal(dns_found_add(found, message.bytes, message.len), -1);
	dns_found_free(found);
}

static void a_ttl_with_its_top_bit_set_is_none(void **state)
{
	struct dns_found *found = dns_found_new(NAME, false);
	struct message message = begin(1, 0);

	(void)state;
	assert_int_equal(dns_found_ttl(found), UINT32_MAX);
	put_address(&message, NULL, "10.0.0.1", 0x80000001u);
	assert_int_equal(dns_found_add(found, message.bytes, message.len), 0);
	assert_int_equal(dns_found_ttl(found), 0);
	dns_found_free(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(addresses_are_peers),
	    cmocka_unit_test(targets_are_peers_by_their_names),
	    cmocka_unit_test(targets_without_addresses_are_asked_for),
	    cmocka_unit_test(many_are_cut_into_hundreds),
	    cmocka_unit_test(a_message_that_is_cut_off_is_refused),
	    cmocka_unit_test(nonsense_is_refused),
	    cmocka_unit_test(an_address_of_another_length_is_refused),
	    cmocka_unit_test(a_ttl_with_its_top_bit_set_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
