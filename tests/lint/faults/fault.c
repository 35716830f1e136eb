/* SPDX-License-Identifier: Apache-2.0 */
/* Faults for each checker of C in scripts/lint, and for scripts/memcheck, to find before it is believed to
 * find others: memory that is read after it was freed, and a place that an array does not have. */
#include <stdlib.h>

int main(void)
{
	int pair[2] = {1, 2};
	int *counts = malloc(sizeof(pair));

	if (!counts)
		return 0;
	counts[0] = counts[1] = 1;
	free(counts);
	return counts[1] == 2 && pair[2];
}
