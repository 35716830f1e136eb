/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>

#include "facts.h"

void facts_clear(struct facts *facts)
{
	free(facts->settings);
	free(facts->unknown);
	free(facts->sources);
	free(facts->locals);
	free(facts->peers);
	*facts = (struct facts){0};
}
