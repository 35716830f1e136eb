/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What was taken must be usable: a server that can be cut into pieces, a way to
 * prove who we are, and never two forms of one thing. */
static void check(const struct kubeconfig *config)
{
	struct kubeconfig_server server;
	char error[100];

	if (!config->context || !config->server ||
	    kubeconfig_split_server(config->server, &server, error, sizeof error) != 0)
		abort();
	if (!*server.host || server.port < 1 || server.port > 65535)
		abort();
	if (!config->token && !config->token_file && !config->cert_file && !config->cert_pem)
		abort();
	if ((config->ca_pem && config->ca_file) || (config->token && config->token_file))
		abort();
	kubeconfig_server_clear(&server);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kubeconfig config;
	char error[200] = "";

	if (kubeconfig_parse((const char *)bytes, len, &config, error, sizeof error) == 0)
		check(&config);
	else if (!*error || !memchr(error, '\0', sizeof error))
		abort();
	kubeconfig_clear(&config);
	return 0;
}
