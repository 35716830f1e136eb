/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube_own.h"

static bool is_known(const struct kube_own *own, const char *service)
{
	for (size_t i = 0; i < own->n; i++)
		if (strcmp(own->names[i], service) == 0)
			return true;
	return false;
}

static bool add(struct kube_own *own, const char *service)
{
	if (is_known(own, service))
		return true;
	if (own->n == KUBE_OWN_MAX) {
		own->more = true;
		return true;
	}
	own->names[own->n] = strdup(service);
	return own->names[own->n] && ++own->n;
}

bool kube_own_look(struct kube_own *own, const struct kube_object *object, kube_own_fn *is_own,
                   void *arg)
{
	for (size_t i = 0; i < object->n_peers; i++) {
		const struct peer *peer = &object->peers[i];

		if (peer->service && is_own(arg, peer->address) && !add(own, peer->service))
			return false;
	}
	return true;
}

char *kube_own_list(const struct kube_own *own)
{
	char *list = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&list, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < own->n; i++)
		fprintf(out, "%s%s", i ? "," : "", own->names[i]);
	bool failed = ferror(out);
	if (fclose(out) == 0 && !failed)
		return list;
	free(list);
	return NULL;
}

void kube_own_clear(struct kube_own *own)
{
	for (size_t i = 0; i < own->n; i++)
		free(own->names[i]);
	*own = (struct kube_own){0};
}
