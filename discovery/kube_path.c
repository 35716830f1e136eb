/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube_path.h"

static const struct {
	const char *group; /* what its API's paths begin with */
	const char *plural;
	const char *resource; /* as RBAC and kubectl name it */
} kinds[] = {
    [KUBE_SLICES_V1] = {"/apis/discovery.k8s.io/v1", "endpointslices",
                        "endpointslices.discovery.k8s.io"},
    [KUBE_SLICES_V1BETA1] = {"/apis/discovery.k8s.io/v1beta1", "endpointslices",
                             "endpointslices.discovery.k8s.io"},
    [KUBE_ENDPOINTS] = {"/api/v1", "endpoints", "endpoints"},
};

const char *kube_kind_resource(enum kube_kind kind)
{
	return kinds[kind].resource;
}

/* RFC 3986, 2.3. */
static bool is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~", c));
}

static void put_encoded(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (is_unreserved(*text))
			putc(*text, out);
		else
			fprintf(out, "%%%02X", (unsigned char)*text);
	}
}

static void put_parameter(FILE *out, char *separator, const char *name, const char *value)
{
	fprintf(out, "%c%s=", *separator, name);
	put_encoded(out, value);
	*separator = '&';
}

static void put_number(FILE *out, char *separator, const char *name, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	put_parameter(out, separator, name, text);
}

/* The Services as they stand in a selector: without blanks. */
static char *without_blanks(const char *services)
{
	char *copy = strdup(services), *to = copy;

	if (!copy)
		return NULL;
	for (const char *from = services; *from; from++)
		if (*from != ' ' && *from != '\t')
			*to++ = *from;
	*to = '\0';
	return copy;
}

/* "SELECTOR,kubernetes.io/service-name in (SERVICES)", or the half that there is. */
static char *slice_selector(const struct kube_target *target, const char *services)
{
	const char *selector = target->selector ? target->selector : "";
	const char *comma = target->selector && services ? "," : "";
	char *text = NULL;
	int n = services ? asprintf(&text, "%s%skubernetes.io/service-name in (%s)", selector,
	                            comma, services)
	                 : asprintf(&text, "%s", selector);

	return n < 0 ? NULL : text;
}

static int put_choice(FILE *out, char *separator, const struct kube_target *target)
{
	bool by_label = target->kind != KUBE_ENDPOINTS;
	char *services = NULL, *selector = NULL;
	int result = -1;

	if (target->services && !(services = without_blanks(target->services)))
		goto out;
	if (by_label && !(selector = slice_selector(target, services)))
		goto out;
	if (by_label && *selector)
		put_parameter(out, separator, "labelSelector", selector);
	if (!by_label && target->selector)
		put_parameter(out, separator, "labelSelector", target->selector);
	if (!by_label && services) {
		fprintf(out, "%cfieldSelector=metadata.name%%3D", *separator);
		put_encoded(out, services);
		*separator = '&';
	}
	result = 0;
out:
	free(services);
	free(selector);
	return result;
}

static void put_request(FILE *out, char *separator, const struct reflector_request *request)
{
	if (request->op == REFLECTOR_WATCH) {
		put_parameter(out, separator, "watch", "1");
		put_parameter(out, separator, "allowWatchBookmarks", "true");
		put_number(out, separator, "timeoutSeconds", request->timeout_s);
	}
	if (request->op == REFLECTOR_LIST && request->limit > 0)
		put_number(out, separator, "limit", request->limit);
	if (request->continue_token)
		put_parameter(out, separator, "continue", request->continue_token);
	if (request->resource_version)
		put_parameter(out, separator, "resourceVersion", request->resource_version);
}

char *kube_path(const struct kube_target *target, const struct reflector_request *request)
{
	char *path = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&path, &size);
	char separator = '?';
	int result;

	if (!out)
		return NULL;
	fprintf(out, "%s/namespaces/", kinds[target->kind].group);
	put_encoded(out, target->namespace_);
	fprintf(out, "/%s", kinds[target->kind].plural);
	result = put_choice(out, &separator, target);
	put_request(out, &separator, request);
	if (ferror(out))
		result = -1;
	if (fclose(out) != 0)
		result = -1;
	if (result == 0)
		return path;
	free(path);
	return NULL;
}
