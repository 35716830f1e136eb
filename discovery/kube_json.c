/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube_json.h"

/* More than an EndpointSlice may have (API reference: 100). */
#define PORTS_MAX 128

void kube_json_fail(struct kube_json *json, const char *format, ...)
{
	va_list args;

	if (json->failed)
		return;
	json->failed = true;
	if (json->error_size == 0)
		return;
	va_start(args, format);
	vsnprintf(json->error, json->error_size, format, args);
	va_end(args);
}

static const char *type_name(const json_t *value)
{
	static const char *const names[] = {
	    [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
	    [JSON_INTEGER] = "a number", [JSON_REAL] = "a number",  [JSON_TRUE] = "true",
	    [JSON_FALSE] = "false",      [JSON_NULL] = "null",
	};

	return names[json_typeof(value)];
}

static void fail_type(struct kube_json *json, const char *name, const char *expected,
                      const json_t *value)
{
	kube_json_fail(json, "\"%s\" is not %s but %s", name, expected, type_name(value));
}

json_t *kube_json_load(struct kube_json *json, const char *text, size_t len)
{
	json_error_t error;
	/* one in an annotation, which is nothing to us, must not cost a whole LIST */
	json_t *root = json_loadb(text, len, JSON_ALLOW_NUL, &error);

	if (!root) {
		kube_json_fail(json, "no JSON: %s, at byte %d", error.text, error.position);
		return NULL;
	}
	if (json_is_object(root))
		return root;
	kube_json_fail(json, "not an object but %s", type_name(root));
	json_decref(root);
	return NULL;
}

static json_t *member(const json_t *parent, const char *name)
{
	json_t *value = json_object_get(parent, name);

	return json_is_null(value) ? NULL : value;
}

json_t *kube_json_object(struct kube_json *json, const json_t *parent, const char *name)
{
	json_t *value = member(parent, name);

	if (!value || json_is_object(value))
		return value;
	fail_type(json, name, "an object", value);
	return NULL;
}

json_t *kube_json_array(struct kube_json *json, const json_t *parent, const char *name)
{
	json_t *value = member(parent, name);

	if (!value || json_is_array(value))
		return value;
	fail_type(json, name, "an array", value);
	return NULL;
}

const char *kube_json_text(struct kube_json *json, const json_t *value, const char *name)
{
	if (!json_is_string(value)) {
		fail_type(json, name, "a string", value);
		return NULL;
	}
	if (strlen(json_string_value(value)) == json_string_length(value))
		return json_string_value(value);
	kube_json_fail(json, "\"%s\" has a NUL in it", name);
	return NULL;
}

const char *kube_json_string(struct kube_json *json, const json_t *parent, const char *name)
{
	const json_t *value = member(parent, name);

	if (!value)
		return NULL;
	const char *text = kube_json_text(json, value, name);
	return text && *text ? text : NULL;
}

bool kube_json_bool(struct kube_json *json, const json_t *parent, const char *name, bool absent)
{
	const json_t *value = member(parent, name);

	if (!value)
		return absent;
	if (!json_is_boolean(value))
		fail_type(json, name, "true or false", value);
	return json_is_true(value);
}

int kube_json_int(struct kube_json *json, const json_t *parent, const char *name)
{
	const json_t *value = member(parent, name);
	json_int_t number = 0;

	if (json_is_integer(value))
		number = json_integer_value(value);
	else if (value)
		fail_type(json, name, "an integer", value);
	return number < 0 ? 0 : number > INT_MAX ? INT_MAX : (int)number;
}

json_t *kube_json_element(struct kube_json *json, const json_t *array, size_t i, const char *name)
{
	json_t *value = json_array_get(array, i);

	if (json_is_object(value))
		return value;
	if (!json_is_null(value))
		kube_json_fail(json, "an element of \"%s\" is not an object but %s", name,
		               type_name(value));
	return NULL;
}

char *kube_json_copy(struct kube_json *json, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		kube_json_fail(json, "memory is out");
	return copy;
}

void kube_json_expect_kind(struct kube_json *json, const json_t *root, const char *kind)
{
	const char *found = kube_json_string(json, root, "kind");

	if (found && strcmp(found, kind) != 0)
		kube_json_fail(json, "\"kind\" is %.40s, not %s", found, kind);
}

static bool has_port(const struct peer *peer, const char *name, int port)
{
	for (size_t i = 0; i < peer->n_ports; i++)
		if (peer->ports[i].port == port && strcmp(peer->ports[i].name, name) == 0)
			return true;
	return false;
}

/* A port without a number stands for all ports; one that is not TCP is of no use
 * to Erlang. */
static void add_port(struct kube_json *json, const json_t *element, struct peer *ports)
{
	const char *protocol = kube_json_string(json, element, "protocol");
	const char *name = kube_json_string(json, element, "name");
	int number = kube_json_int(json, element, "port");

	if (!name)
		name = "";
	if ((protocol && strcmp(protocol, "TCP") != 0) || number < 1 || number > UINT16_MAX ||
	    ports->n_ports == PORTS_MAX || has_port(ports, name, number))
		return;
	char *copy = kube_json_copy(json, name);
	if (copy)
		ports->ports[ports->n_ports++] = (struct peer_port){copy, (uint16_t)number};
}

void kube_json_ports(struct kube_json *json, const json_t *parent, struct peer *ports)
{
	const json_t *array = kube_json_array(json, parent, "ports");
	size_t n = json_array_size(array);

	if (n == 0 || ports->n_ports >= PORTS_MAX)
		return;
	if (n > PORTS_MAX)
		n = PORTS_MAX;
	struct peer_port *grown =
	    realloc(ports->ports, (ports->n_ports + n) * sizeof(*ports->ports));
	if (!grown) {
		kube_json_fail(json, "memory is out");
		return;
	}
	ports->ports = grown;
	for (size_t i = 0; i < n; i++)
		add_port(json, kube_json_element(json, array, i, "ports"), ports);
}

/* Writes ADDRESS as inet_ntop prints it; false when it is no literal one. */
static bool normalize_address(const char *address, char text[INET6_ADDRSTRLEN])
{
	struct in6_addr binary;
	int family = strchr(address, ':') ? AF_INET6 : AF_INET;

	return inet_pton(family, address, &binary) == 1 &&
	       inet_ntop(family, &binary, text, INET6_ADDRSTRLEN);
}

bool kube_json_peer(struct kube_json *json, const char *address, const json_t *target_ref,
                    const char *namespace_, const char *service, struct peer *peer)
{
	const char *kind = kube_json_string(json, target_ref, "kind");
	const char *uid = NULL, *pod = NULL;
	char text[INET6_ADDRSTRLEN];

	if (kind && strcmp(kind, "Pod") == 0) {
		uid = kube_json_string(json, target_ref, "uid");
		pod = kube_json_string(json, target_ref, "name");
	}
	if (json->failed || !address || !normalize_address(address, text))
		return false;
	struct peer made = {
	    .key = kube_json_copy(json, uid ? uid : text),
	    .address = kube_json_copy(json, text),
	    .namespace_ = kube_json_copy(json, namespace_),
	    .service = kube_json_copy(json, service),
	    .pod = kube_json_copy(json, pod),
	};
	if (json->failed) {
		peer_clear(&made);
		return false;
	}
	*peer = made;
	return true;
}
