/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_HASH_H
#define KEPMD_DISCOVERY_HASH_H

/* uthash, for all who use it.  Without memory for its table it would end the process; so it
 * leaves the item out and says so in the item's `bool hash_add_failed`, false at first, which
 * whoever adds must look at. */

#include <stdbool.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(item) ((item)->hash_add_failed = true)
#include <uthash.h>

#endif
