/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "admission.h"
#include "allow.h"
#include "log.h"
#include "options.h"

static void add_consequence(struct admission *admission, const char *words)
{
	size_t len = strlen(admission->error);

	snprintf(admission->error + len, sizeof(admission->error) - len, "%s", words);
}

int admission_read(struct admission *admission, const struct options *options, bool discovers)
{
	char *error = admission->error;
	const size_t size = sizeof(admission->error);
	/* Who asks for the status needs descriptors too. */
	bool reserves = discovers || options->settings[SETTING_STATUS_ADDRESS];
	int result = 0;

	error[0] = '\0';
	if (limits_read(options, limits_raise_descriptors(), reserves, &admission->limits, error,
	                size) < 0)
		result = -1;
	if (result < 0 && options->daemon)
		add_consequence(admission, "; until then the limits are those by default");
	admission->allow =
	    allow_new(options->settings[SETTING_ALLOW], options->settings[SETTING_REMOTE_LOOPBACK],
	              discovers, error, size);
	if (admission->allow)
		return result;
	if (options->daemon)
		add_consequence(admission, "; until then nobody from elsewhere is served");
	admission->allow = allow_new_closed();
	return -1;
}

void admission_clear(struct admission *admission)
{
	allow_free(admission->allow);
	admission->allow = NULL;
}

void admission_warn(const struct admission *admission)
{
	const struct limits *limits = &admission->limits;

	if (admission->error[0])
		log_error("%s", admission->error);
	if (limits->descriptors < LIMITS_DESCRIPTORS_FEW)
		log_warning("only %u descriptors may be open, so that no more than %u nodes can "
		            "register: raise the hard limit (ulimit -Hn, LimitNOFILE=)",
		            limits->descriptors, limits->max_registered);
	else if (limits->max_connections > limits->descriptors - limits->reserve)
		log_warning("%s=%u is more than %u descriptors allow: raise the hard limit (ulimit "
		            "-Hn, LimitNOFILE=)",
		            options_setting_variable(SETTING_MAX_CONNECTIONS),
		            limits->max_connections, limits->descriptors);
}
