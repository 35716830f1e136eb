/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_SECRET_H
#define KEPMD_DISCOVERY_SECRET_H

/* Overwrites the string SECRET, then frees it; NULL is fine. */
void secret_free(char *secret);

#endif
