/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_ADDRESS_H
#define KEPMD_DISCOVERY_ADDRESS_H

#include <stdbool.h>

/* Whether HOST is an IPv4 or IPv6 address, without brackets, and so needs no lookup. */
bool address_is_literal(const char *host);

#endif
