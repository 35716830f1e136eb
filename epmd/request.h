/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_REQUEST_H
#define KEPMD_EPMD_REQUEST_H

/* What each request does and is answered.
 * Rules: OTP, "Distribution Protocol", section "EPMD Protocol"; for what that
 * leaves open, stock epmd of OTP 25. */

#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "control.h"
#include "listings.h"
#include "registry.h"
#include "settings.h"

struct request_context {
	struct registry *registry;
	struct listings *listings; /* of that registry */
	uint16_t port; /* what NAMES and DUMP say is ours */
	bool relaxed;  /* -relaxed_command_check */
	enum names_shown names_shown;
	const struct control *control;
};

/* Acts on REQUEST of CONN and fills in REPLY. */
void request_handle(const struct request_context *context, struct conn *conn,
                    const struct epmd_request *request, struct conn_reply *reply);

/* A held connection ends: its node is registered no more. */
void request_released(const struct request_context *context, struct conn *conn);

#endif
