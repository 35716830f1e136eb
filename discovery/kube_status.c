/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "kube_json.h"

static const char too_large[] = "Too large resource version";

void kube_status_clear(struct kube_status *status)
{
	free(status->reason);
	free(status->message);
	*status = (struct kube_status){0};
}

/* Servers before 1.19 have no cause of that name: they say it in the cause's
 * message or only in that of the Status. */
static bool is_too_large(struct kube_json *json, const json_t *details, const char *message)
{
	const json_t *causes = kube_json_array(json, details, "causes");

	for (size_t i = 0; i < json_array_size(causes); i++) {
		const json_t *cause = kube_json_element(json, causes, i, "causes");
		const char *reason = kube_json_string(json, cause, "reason");
		const char *text = kube_json_string(json, cause, "message");

		if ((reason && strcmp(reason, "ResourceVersionTooLarge") == 0) ||
		    (text && strcmp(text, too_large) == 0))
			return true;
	}
	return message && strstr(message, too_large);
}

/* A Status with a field of the wrong type is still a Status: it goes without. */
bool kube_status_read(const json_t *root, struct kube_status *status)
{
	struct kube_json json = {0};
	const char *kind = kube_json_string(&json, root, "kind");
	const char *message = kube_json_string(&json, root, "message");
	const json_t *details = kube_json_object(&json, root, "details");

	*status = (struct kube_status){0};
	if (!kind || strcmp(kind, "Status") != 0)
		return false;
	status->code = kube_json_int(&json, root, "code");
	status->reason = kube_json_copy(&json, kube_json_string(&json, root, "reason"));
	status->message = kube_json_copy(&json, message);
	status->retry_after_s = kube_json_int(&json, details, "retryAfterSeconds");
	status->version_too_large = is_too_large(&json, details, message);
	return true;
}

bool kube_status_parse(const char *text, size_t len, struct kube_status *status)
{
	struct kube_json json = {0};
	json_t *root = kube_json_load(&json, text, len);
	bool found;

	*status = (struct kube_status){0};
	if (!root)
		return false;
	found = kube_status_read(root, status);
	json_decref(root);
	return found;
}
