/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "kube_json.h"

typedef void read_fn(struct kube_json *json, const json_t *root, struct kube_object *object);

static read_fn *const readers[] = {
    [KUBE_SLICES_V1] = kube_slice_read,
    [KUBE_SLICES_V1BETA1] = kube_slice_read, /* differs only in what is not read here */
    [KUBE_ENDPOINTS] = kube_endpoints_read,
};

void kube_object_clear(struct kube_object *object)
{
	free(object->key);
	free(object->resource_version);
	for (size_t i = 0; i < object->n_peers; i++)
		peer_clear(&object->peers[i]);
	free(object->peers);
	*object = (struct kube_object){0};
}

static void read_version(struct kube_json *json, const json_t *root, struct kube_object *object)
{
	const json_t *metadata = kube_json_object(json, root, "metadata");

	object->resource_version =
	    kube_json_copy(json, kube_json_string(json, metadata, "resourceVersion"));
}

static void read_key(struct kube_json *json, const json_t *root, struct kube_object *object)
{
	const json_t *metadata = kube_json_object(json, root, "metadata");
	const char *namespace_ = kube_json_string(json, metadata, "namespace");
	const char *name = kube_json_string(json, metadata, "name");

	if (!namespace_ || !name) {
		kube_json_fail(json, "\"metadata\" has no \"%s\"",
		               namespace_ ? "name" : "namespace");
		return;
	}
	size_t namespace_len = strlen(namespace_), name_len = strlen(name);
	object->key = malloc(namespace_len + name_len + 2);
	if (!object->key) {
		kube_json_fail(json, "memory is out");
		return;
	}
	memcpy(object->key, namespace_, namespace_len);
	object->key[namespace_len] = '/';
	memcpy(object->key + namespace_len + 1, name, name_len + 1);
}

void kube_object_read(struct kube_json *json, enum kube_kind kind, const json_t *root,
                      struct kube_object *object)
{
	read_version(json, root, object);
	read_key(json, root, object);
	if (!json->failed)
		readers[kind](json, root, object);
}

int kube_object_parse(enum kube_kind kind, const char *text, size_t len, struct kube_object *object,
                      char *error, size_t error_size)
{
	struct kube_json json = {.error = error, .error_size = error_size};
	json_t *root = kube_json_load(&json, text, len);

	*object = (struct kube_object){0};
	if (root)
		kube_object_read(&json, kind, root, object);
	json_decref(root);
	if (!json.failed)
		return 0;
	kube_object_clear(object);
	return -1;
}

/* --- events ------------------------------------------------------------------------ */

static const struct {
	const char *name;
	enum kube_event_type type;
} event_types[] = {
    {"ADDED", KUBE_EVENT_UPSERT},    {"MODIFIED", KUBE_EVENT_UPSERT},
    {"DELETED", KUBE_EVENT_DELETED}, {"BOOKMARK", KUBE_EVENT_BOOKMARK},
    {"ERROR", KUBE_EVENT_ERROR},
};

static enum kube_event_type event_type(const char *name)
{
	for (size_t i = 0; i < sizeof(event_types) / sizeof(event_types[0]); i++)
		if (strcmp(event_types[i].name, name) == 0)
			return event_types[i].type;
	return KUBE_EVENT_UNKNOWN;
}

/* For a log line: what is not printable ASCII is not told apart. */
static void copy_type_name(struct kube_event *event, const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(event->type_name) - 1 && name[i]; i++)
		event->type_name[i] = name[i] > ' ' && name[i] <= '~' ? name[i] : '?';
	event->type_name[i] = '\0';
}

void kube_event_clear(struct kube_event *event)
{
	kube_object_clear(&event->object);
	kube_status_clear(&event->status);
	*event = (struct kube_event){0};
}

static void read_event(struct kube_json *json, enum kube_kind kind, const json_t *root,
                       struct kube_event *event)
{
	const char *type = kube_json_string(json, root, "type");
	const json_t *object = kube_json_object(json, root, "object");

	if (!type || !object) {
		kube_json_fail(json, "an event without \"%s\"", type ? "object" : "type");
		return;
	}
	copy_type_name(event, type);
	event->type = event_type(type);
	switch (event->type) {
	case KUBE_EVENT_UPSERT:
		kube_object_read(json, kind, object, &event->object);
		break;
	case KUBE_EVENT_DELETED:
		read_key(json, object, &event->object);
		read_version(json, object, &event->object);
		break;
	case KUBE_EVENT_BOOKMARK:
		read_version(json, object, &event->object);
		break;
	case KUBE_EVENT_ERROR:
		(void)kube_status_read(object, &event->status);
		break;
	case KUBE_EVENT_UNKNOWN:
		break;
	}
}

int kube_event_parse(enum kube_kind kind, const char *text, size_t len, struct kube_event *event,
                     char *error, size_t error_size)
{
	struct kube_json json = {.error = error, .error_size = error_size};
	json_t *root = kube_json_load(&json, text, len);

	*event = (struct kube_event){0};
	if (root)
		read_event(&json, kind, root, event);
	json_decref(root);
	if (!json.failed)
		return 0;
	kube_event_clear(event);
	return -1;
}

/* --- the envelope of a LIST ----------------------------------------------------------- */

void kube_list_meta_clear(struct kube_list_meta *meta)
{
	free(meta->resource_version);
	free(meta->continue_token);
	*meta = (struct kube_list_meta){0};
}

/* Whatever else a server or a proxy answers with 200 must not be taken for a list
 * without items: it would empty the cluster. */
static void expect_list(struct kube_json *json, const json_t *root)
{
	const char *kind = kube_json_string(json, root, "kind");
	size_t len = kind ? strlen(kind) : 0;

	if (len < 4 || strcmp(kind + len - 4, "List") != 0)
		kube_json_fail(json, "\"kind\" is %.40s, not a List", kind ? kind : "absent");
	if (!json_object_get(root, "items"))
		kube_json_fail(json, "a List without \"items\"");
	(void)kube_json_array(json, root, "items");
}

static void read_list_meta(struct kube_json *json, const json_t *root, struct kube_list_meta *meta)
{
	const json_t *metadata = kube_json_object(json, root, "metadata");

	meta->resource_version =
	    kube_json_copy(json, kube_json_string(json, metadata, "resourceVersion"));
	meta->continue_token = kube_json_copy(json, kube_json_string(json, metadata, "continue"));
}

int kube_list_meta_parse(const char *text, size_t len, struct kube_list_meta *meta, char *error,
                         size_t error_size)
{
	struct kube_json json = {.error = error, .error_size = error_size};
	json_t *root = kube_json_load(&json, text, len);

	*meta = (struct kube_list_meta){0};
	if (root) {
		expect_list(&json, root);
		read_list_meta(&json, root, meta);
	}
	json_decref(root);
	if (!json.failed)
		return 0;
	kube_list_meta_clear(meta);
	return -1;
}
