/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "dns_found.h"
#include "dns_name.h"
#include "hash.h"

/* As many as an EndpointSlice has by default. */
#define PEERS_PER_OBJECT 100

struct target {
	char *name;
	uint16_t port;
	bool asked; /* for its addresses */
	bool has[DNS_FAMILIES];
	UT_hash_handle hh;
	bool hash_add_failed;
};

struct found_address {
	char text[DNS_ADDRESS_SIZE];
	enum dns_family family;
	struct target *target; /* NULL: of the name itself */
	bool first;            /* of its target and family */
	UT_hash_handle hh;
	bool hash_add_failed;
};

struct dns_found {
	char full[DNS_NAME_SIZE];
	bool srv;
	uint32_t ttl_s;
	struct target *targets;
	struct target *next_bare;
	bool bare_begun;
	struct found_address *addresses;
	size_t n[DNS_FAMILIES];
};

struct dns_found *dns_found_new(const char *full, bool srv)
{
	struct dns_found *found = calloc(1, sizeof(*found));

	if (!found)
		return NULL;
	strncpy(found->full, full, sizeof(found->full) - 1);
	found->srv = srv;
	found->ttl_s = UINT32_MAX;
	return found;
}

static void free_target(struct target *target)
{
	if (target)
		free(target->name);
	free(target);
}

void dns_found_free(struct dns_found *found)
{
	struct target *target, *next_target;
	struct found_address *address, *next;

	if (!found)
		return;
	HASH_ITER (hh, found->addresses, address, next) {
		HASH_DEL(found->addresses, address);
		free(address);
	}
	HASH_ITER (hh, found->targets, target, next_target) {
		HASH_DEL(found->targets, target);
		free_target(target);
	}
	free(found);
}

/* --- records ------------------------------------------------------------------------------- */

static void lower(char *text)
{
	for (; *text; text++)
		*text = (char)tolower((unsigned char)*text);
}

static struct target *find_target(const struct dns_found *found, const char *name)
{
	char key[DNS_NAME_SIZE];
	struct target *target;

	strncpy(key, name, sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	lower(key);
	HASH_FIND_STR(found->targets, key, target);
	return target;
}

static bool add_target(struct dns_found *found, const struct dns_record *record)
{
	struct target *target = find_target(found, record->target);

	if (target || record->target[0] == '\0' || strlen(record->target) >= DNS_NAME_SIZE)
		return true;
	target = calloc(1, sizeof(*target));
	if (target)
		target->name = strdup(record->target);
	if (!target || !target->name) {
		free_target(target);
		return false;
	}
	lower(target->name);
	target->port = record->port;
	HASH_ADD_KEYPTR(hh, found->targets, target->name, strlen(target->name), target);
	if (!target->hash_add_failed)
		return true;
	free_target(target);
	return false;
}

static bool add_address(struct dns_found *found, struct target *target,
                        const struct dns_record *record)
{
	enum dns_family family = record->type == DNS_TYPE_A ? DNS_IPV4 : DNS_IPV6;
	struct found_address *address;

	HASH_FIND_STR(found->addresses, record->address, address);
	if (address)
		return true;
	address = calloc(1, sizeof(*address));
	if (!address)
		return false;
	memcpy(address->text, record->address, sizeof(address->text));
	address->family = family;
	address->target = target;
	address->first = target && !target->has[family];
	HASH_ADD_STR(found->addresses, text, address);
	if (address->hash_add_failed) {
		free(address);
		return false;
	}
	found->n[family]++;
	if (target)
		target->has[family] = true;
	return true;
}

static bool is_address(const struct dns_record *record)
{
	return record->type == DNS_TYPE_A || record->type == DNS_TYPE_AAAA;
}

static void count_ttl(struct dns_found *found, const struct dns_record *record)
{
	if (record->ttl_s < found->ttl_s)
		found->ttl_s = record->ttl_s;
}

/* Of a reply to the question for the addresses of TARGET, or of the name itself. */
struct answer {
	struct dns_found *found;
	struct target *target;
};

static bool on_address(void *arg, const struct dns_record *record)
{
	const struct answer *answer = arg;

	if (record->additional)
		return true;
	if (is_address(record) || record->type == DNS_TYPE_CNAME)
		count_ttl(answer->found, record);
	return !is_address(record) || add_address(answer->found, answer->target, record);
}

/* The targets come before the additional records. */
static bool on_srv(void *arg, const struct dns_record *record)
{
	struct dns_found *found = ((const struct answer *)arg)->found;

	if (!record->additional && record->type == DNS_TYPE_SRV) {
		count_ttl(found, record);
		return add_target(found, record);
	}
	if (!record->additional || !is_address(record))
		return true;
	struct target *target = find_target(found, record->owner);
	if (!target)
		return true;
	count_ttl(found, record);
	return add_address(found, target, record);
}

int dns_found_add(struct dns_found *found, const void *reply, size_t len)
{
	struct answer answer = {.found = found};

	return dns_reply_each(reply, len, found->srv ? on_srv : on_address, &answer);
}

int dns_found_add_target(struct dns_found *found, const char *target, const void *reply, size_t len)
{
	struct answer answer = {.found = found, .target = find_target(found, target)};

	return dns_reply_each(reply, len, on_address, &answer);
}

const char *dns_found_next_bare(struct dns_found *found)
{
	struct target *target;

	if (!found->bare_begun)
		found->next_bare = found->targets;
	found->bare_begun = true;
	while ((target = found->next_bare)) {
		found->next_bare = target->hh.next;
		if (!target->has[DNS_IPV4] && !target->has[DNS_IPV6] && !target->asked) {
			target->asked = true;
			return target->name;
		}
	}
	return NULL;
}

uint32_t dns_found_ttl(const struct dns_found *found)
{
	return found->ttl_s;
}

/* --- peers ------------------------------------------------------------------------------------ */

/* Whether HOST is ADDRESS with dashes. */
static bool is_dashed(const char *host, const char *address)
{
	for (; *host && *address; host++, address++)
		if (*address == '.' || *address == ':' ? *host != '-' : *host != *address)
			return false;
	return !*host && !*address;
}

static char *copy_word(const char *word, bool *good)
{
	char *copy = *word ? strdup(word) : NULL;

	*good &= copy || !*word;
	return copy;
}

static bool add_port(struct peer *peer, const char *name, uint16_t port)
{
	if (!*name || !port)
		return true;
	peer->ports = calloc(1, sizeof(*peer->ports));
	if (!peer->ports)
		return false;
	peer->ports[0] = (struct peer_port){.name = strdup(name), .port = port};
	peer->n_ports = 1;
	return peer->ports[0].name;
}

static bool write_peer(const struct dns_found *found, const struct found_address *address,
                       struct peer *peer)
{
	const struct target *target = address->target;
	struct dns_name_parts of_name, parts;
	bool good = true;

	dns_name_split(found->full, &of_name);
	dns_name_split(target ? target->name : found->full, &parts);
	if (!target || is_dashed(parts.host, address->text))
		parts.host[0] = '\0';
	*peer = (struct peer){.ready = true, .serving = true};
	peer->key = copy_word(target && address->first ? target->name : address->text, &good);
	peer->address = copy_word(address->text, &good);
	peer->namespace_ = copy_word(parts.namespace_, &good);
	peer->service = copy_word(parts.service, &good);
	peer->pod = copy_word(parts.host, &good);
	peer->hostname = copy_word(parts.host, &good);
	return good && (!target || add_port(peer, of_name.port, target->port));
}

/* Room for one more in the last of OBJECTS, of which there are *N. */
static struct peer *next_peer(struct kube_object *objects, int *n)
{
	struct kube_object *object = *n > 0 ? &objects[*n - 1] : NULL;

	if (!object || object->n_peers == PEERS_PER_OBJECT) {
		object = &objects[*n];
		object->peers = calloc(PEERS_PER_OBJECT, sizeof(*object->peers));
		if (!object->peers)
			return NULL;
		++*n;
	}
	return &object->peers[object->n_peers++];
}

int dns_found_take(const struct dns_found *found, enum dns_family family,
                   struct kube_object **objects)
{
	struct kube_object *made =
	    calloc(found->n[family] / PEERS_PER_OBJECT + 1, sizeof(struct kube_object));
	const struct found_address *address;
	bool good = made;
	int n = 0;

	for (address = found->addresses; good && address; address = address->hh.next) {
		if (address->family != family)
			continue;
		struct peer *peer = next_peer(made, &n);
		good = peer && write_peer(found, address, peer);
	}
	*objects = made;
	if (good)
		return n;
	while (n > 0)
		kube_object_clear(&made[--n]);
	free(made);
	*objects = NULL;
	return -1;
}

size_t dns_found_count(const struct dns_found *found, enum dns_family family)
{
	return found->n[family];
}
