/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "kube_kind.h"

struct kube_kind_choice kube_kind_choice(void)
{
	return (struct kube_kind_choice){.kind = KUBE_SLICES_V1, .lowest = KUBE_ENDPOINTS};
}

void kube_kind_begin(struct kube_kind_choice *choice)
{
	choice->kind = KUBE_SLICES_V1;
}

bool kube_kind_refused(struct kube_kind_choice *choice, int status)
{
	if (choice->kind == choice->lowest)
		return false;
	if (status == 403 && choice->lowest == KUBE_ENDPOINTS)
		choice->kind = KUBE_ENDPOINTS;
	else if (status == 404)
		choice->kind =
		    choice->kind == KUBE_SLICES_V1 ? KUBE_SLICES_V1BETA1 : KUBE_ENDPOINTS;
	else
		return false;
	return true;
}

void kube_kind_listed(struct kube_kind_choice *choice)
{
	if (choice->kind != KUBE_ENDPOINTS)
		choice->lowest = KUBE_SLICES_V1BETA1;
}
