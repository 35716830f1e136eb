/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "epmd/join/connections.h"

const struct dist_call connections_call = {"erlang", "system_info", {"dist_ctrl"}};

/* A number for the term that READER stands at, a port or a pid, by its bytes (FNV-1a). */
static uint64_t fingerprint(struct etf_reader *reader)
{
	const uint8_t *at = reader->wire.at;
	uint64_t hash = UINT64_C(14695981039346656037);

	if (!etf_skip(reader))
		return 0;
	for (; at < reader->wire.at; at++)
		hash = (hash ^ *at) * UINT64_C(1099511628211);
	return hash ? hash : 1;
}

bool connections_each(struct etf_reader *answer, connections_fn *fn, void *arg)
{
	struct etf_token list = etf_next(answer);

	if (list.kind != ETF_LIST && list.kind != ETF_NIL)
		return false;
	for (uint32_t i = 0; list.kind == ETF_LIST && i < list.arity; i++) {
		struct etf_token pair = etf_next(answer), name = etf_next(answer);
		if (pair.kind != ETF_TUPLE || pair.arity != 2 || name.kind != ETF_ATOM)
			return false;
		uint64_t connection = fingerprint(answer);
		if (!connection)
			return false;
		fn(arg, name.text, connection);
	}
	return true;
}
