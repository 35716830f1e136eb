/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "kube_json.h"

/* What all endpoints of a slice have in common. */
struct slice {
	const char *namespace_;
	const char *service;
	struct peer ports; /* only its ports */
};

static void read_conditions(struct kube_json *json, const json_t *endpoint, struct peer *peer)
{
	const json_t *conditions = kube_json_object(json, endpoint, "conditions");

	peer->ready = kube_json_bool(json, conditions, "ready", true);
	peer->serving = kube_json_bool(json, conditions, "serving", peer->ready);
	peer->terminating = kube_json_bool(json, conditions, "terminating", false);
}

/* "addresses" are interchangeable by definition: the first is as good as any. */
static const char *first_address(struct kube_json *json, const json_t *endpoint)
{
	const json_t *addresses = kube_json_array(json, endpoint, "addresses");
	const json_t *first = json_array_get(addresses, 0);

	if (json_is_string(first))
		return kube_json_text(json, first, "addresses");
	if (first)
		kube_json_fail(json, "an element of \"addresses\" is not a string");
	return NULL;
}

static void read_endpoint(struct kube_json *json, const json_t *endpoint, const struct slice *slice,
                          struct kube_object *object)
{
	struct peer *peer = &object->peers[object->n_peers];

	if (!kube_json_peer(json, first_address(json, endpoint),
	                    kube_json_object(json, endpoint, "targetRef"), slice->namespace_,
	                    slice->service, peer))
		return;
	object->n_peers++;
	peer->hostname = kube_json_copy(json, kube_json_string(json, endpoint, "hostname"));
	read_conditions(json, endpoint, peer);
	if (!peer_copy_ports(peer, &slice->ports))
		kube_json_fail(json, "memory is out");
}

static void read_endpoints(struct kube_json *json, const json_t *endpoints,
                           const struct slice *slice, struct kube_object *object)
{
	size_t n = json_array_size(endpoints);

	if (n == 0)
		return;
	object->peers = calloc(n, sizeof(*object->peers));
	if (!object->peers) {
		kube_json_fail(json, "memory is out");
		return;
	}
	for (size_t i = 0; i < n && !json->failed; i++)
		read_endpoint(json, kube_json_element(json, endpoints, i, "endpoints"), slice,
		              object);
}

void kube_slice_read(struct kube_json *json, const json_t *root, struct kube_object *object)
{
	const json_t *metadata = kube_json_object(json, root, "metadata");
	const json_t *labels = kube_json_object(json, metadata, "labels");
	const json_t *endpoints = kube_json_array(json, root, "endpoints");
	const char *type = kube_json_string(json, root, "addressType");
	struct slice slice = {
	    .namespace_ = kube_json_string(json, metadata, "namespace"),
	    .service = kube_json_string(json, labels, "kubernetes.io/service-name"),
	};

	kube_json_expect_kind(json, root, "EndpointSlice");
	kube_json_ports(json, root, &slice.ports);
	if (!json->failed && !(type && strcmp(type, "FQDN") == 0))
		read_endpoints(json, endpoints, &slice, object);
	peer_clear(&slice.ports);
}
