/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "kubeconfig.h"
#include "secret.h"

void kubeconfig_clear(struct kubeconfig *config)
{
	free(config->context);
	free(config->server);
	free(config->namespace_);
	free(config->tls_server_name);
	free(config->ca_file);
	free(config->ca_pem);
	free(config->cert_file);
	free(config->cert_pem);
	free(config->key_file);
	secret_free(config->key_pem);
	free(config->token_file);
	secret_free(config->token);
	*config = (struct kubeconfig){0};
}

/* --- the server's URL ------------------------------------------------------- */

void kubeconfig_server_clear(struct kubeconfig_server *server)
{
	free(server->host);
	free(server->path);
	*server = (struct kubeconfig_server){0};
}

static bool is_ipv6(const char *text)
{
	struct in6_addr address;

	return inet_pton(AF_INET6, text, &address) == 1;
}

/* It goes into a URL and into lists that libcurl cuts at ':' and ','. */
static bool is_host_name(const char *text)
{
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
			return false;
	return *text != '\0';
}

static const char *read_port(const char *text, unsigned *port)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long value = digits >= 1 && digits <= 5 ? strtoul(text, NULL, 10) : 0;

	if (text[digits] || value < 1 || value > 65535)
		return "has no port between 1 and 65535 after its host";
	*port = (unsigned)value;
	return NULL;
}

/* AUTHORITY is what stands between "https://" and the path; it is cut in place. */
static const char *split_authority(char *authority, const char **host, unsigned *port)
{
	char *rest;

	*port = 443;
	if (strchr(authority, '@'))
		return "has a user name in it, which is not supported: use a token or a client "
		       "certificate";
	if (*authority == '[') {
		rest = strchr(authority, ']');
		if (!rest)
			return "has a '[' without a ']'";
		*rest++ = '\0';
		*host = authority + 1;
		if (!is_ipv6(*host))
			return "has no IPv6 address between its brackets";
	} else {
		rest = authority + strcspn(authority, ":");
		if (*rest && strchr(rest + 1, ':'))
			return "needs brackets around its IPv6 address, as in "
			       "https://[fd00::1]:6443";
		*host = authority;
	}
	if (*rest) {
		if (*rest != ':')
			return "has no ':' between its host and its port";
		*rest = '\0';
		const char *problem = read_port(rest + 1, port);
		if (problem)
			return problem;
	}
	if (!is_ipv6(*host) && !is_host_name(*host))
		return "has no host name or address in it";
	return NULL;
}

static bool is_visible_ascii(const char *text)
{
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return true;
}

static const char *split_url(const char *url, char *copy, struct kubeconfig_server *server)
{
	static const char https[] = "https://";
	const char *host, *problem;

	if (strncasecmp(url, "http://", strlen("http://")) == 0)
		return "begins with http://, which would send the token in clear: it must be "
		       "https://";
	if (strncasecmp(url, https, strlen(https)) != 0)
		return "must begin with https://";
	memcpy(copy, url + strlen(https), strlen(url + strlen(https)) + 1);
	if (!is_visible_ascii(copy) || strpbrk(copy, "?#"))
		return "may only have a host, a port and a path";
	char *path = copy + strcspn(copy, "/");
	size_t path_len = strlen(path);
	while (path_len > 0 && path[path_len - 1] == '/')
		path_len--;
	server->path = strndup(path, path_len);
	*path = '\0';
	problem = split_authority(copy, &host, &server->port);
	if (problem)
		return problem;
	server->host = strdup(host);
	return server->host && server->path ? NULL : "could not be read: memory is out";
}

int kubeconfig_split_server(const char *url, struct kubeconfig_server *server, char *error,
                            size_t error_size)
{
	char *copy = malloc(strlen(url) + 1);
	const char *problem;

	*server = (struct kubeconfig_server){0};
	problem = copy ? split_url(url, copy, server) : "could not be read: memory is out";
	free(copy);
	if (!problem)
		return 0;
	kubeconfig_server_clear(server);
	snprintf(error, error_size, "%s", problem);
	return -1;
}

/* --- YAML nodes --------------------------------------------------------------- */

/* What is being read, and where the first error goes; later ones are dropped, so
 * that readers need not check after each step. */
struct reader {
	yaml_document_t *documents;
	size_t n;
	size_t at;                 /* N: an error is about all */
	yaml_document_t *document; /* that at AT */
	char *error;
	size_t error_size;
	bool failed;
};

static void turn_to(struct reader *r, size_t at)
{
	r->at = at;
	r->document = &r->documents[at];
}

__attribute__((format(printf, 3, 4))) static int fail(struct reader *r, const yaml_node_t *where,
                                                      const char *format, ...)
{
	va_list args;
	int used = 0;

	if (r->failed)
		return -1;
	r->failed = true;
	if (where)
		used = snprintf(r->error, r->error_size, "line %zu: ", where->start_mark.line + 1);
	if (used < 0 || (size_t)used >= r->error_size)
		return -1;
	va_start(args, format);
	vsnprintf(r->error + used, r->error_size - (size_t)used, format, args);
	va_end(args);
	return -1;
}

static const char *scalar_text(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

static bool scalar_is(const yaml_node_t *node, const char *text)
{
	return node->type == YAML_SCALAR_NODE && node->data.scalar.length == strlen(text) &&
	       memcmp(node->data.scalar.value, text, strlen(text)) == 0;
}

/* Absent, null and "" mean the same, as for the client-go types ("omitempty"). */
static bool is_nothing(const yaml_node_t *node)
{
	if (scalar_is(node, ""))
		return true;
	return node->type == YAML_SCALAR_NODE &&
	       node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (scalar_is(node, "~") || scalar_is(node, "null") || scalar_is(node, "Null") ||
	        scalar_is(node, "NULL"));
}

/* The pair KEY, or NULL where its value is nothing; MAP may be NULL or no mapping at
 * all. */
static const yaml_node_pair_t *find_pair(const struct reader *r, const yaml_node_t *map,
                                         const char *key)
{
	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start;
	     pair < map->data.mapping.pairs.top; pair++)
		if (scalar_is(yaml_document_get_node(r->document, pair->key), key))
			return is_nothing(yaml_document_get_node(r->document, pair->value)) ? NULL
			                                                                    : pair;
	return NULL;
}

/* The value of KEY, or NULL. */
static const yaml_node_t *member(const struct reader *r, const yaml_node_t *map, const char *key)
{
	const yaml_node_pair_t *pair = find_pair(r, map, key);

	return pair ? yaml_document_get_node(r->document, pair->value) : NULL;
}

/* Copies the string at KEY to *OUT, which stays NULL when it is absent. */
static int take_string(struct reader *r, const yaml_node_t *map, const char *key, char **out)
{
	const yaml_node_t *node = member(r, map, key);

	if (!node)
		return 0;
	if (node->type != YAML_SCALAR_NODE)
		return fail(r, node, "%s must be a string", key);
	if (memchr(scalar_text(node), '\0', node->data.scalar.length))
		return fail(r, node, "%s has a NUL character in it", key);
	*out = strdup(scalar_text(node));
	return *out ? 0 : fail(r, NULL, "memory is out");
}

/* The element of SEQUENCE whose name is NAME, or NULL. */
static const yaml_node_t *find_entry(const struct reader *r, const yaml_node_t *sequence,
                                     const char *name)
{
	if (!sequence || sequence->type != YAML_SEQUENCE_NODE)
		return NULL;
	for (yaml_node_item_t *item = sequence->data.sequence.items.start;
	     item < sequence->data.sequence.items.top; item++) {
		const yaml_node_t *entry = yaml_document_get_node(r->document, *item);
		const yaml_node_t *its_name = member(r, entry, "name");

		if (its_name && scalar_is(its_name, name))
			return entry;
	}
	return NULL;
}

/* The element of the list LIST whose name is NAME, in the first text that has one, which is
 * then turned to: what it has under KEY; NULL after fail(). */
static const yaml_node_t *find_named(struct reader *r, const char *list, const char *key,
                                     const char *name)
{
	const yaml_node_t *sequence = NULL;

	for (size_t i = 0; i < r->n; i++) {
		turn_to(r, i);
		sequence = member(r, yaml_document_get_root_node(r->document), list);
		const yaml_node_t *entry = find_entry(r, sequence, name);
		const yaml_node_t *value = member(r, entry, key);

		if (value && value->type == YAML_MAPPING_NODE)
			return value;
		if (entry) {
			fail(r, entry, "the entry \"%s\" of %s has no %s in it", name, list, key);
			return NULL;
		}
	}
	if (r->n > 1)
		r->at = r->n;
	fail(r, r->n > 1 ? NULL : sequence,
	     "%s has no entry named \"%s\"; `kubectl config get-contexts` shows what there is",
	     list, name);
	return NULL;
}

/* --- base64 and PEM ------------------------------------------------------------ */

static int base64_value(char c)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(alphabet, c) : NULL;

	return p ? (int)(p - alphabet) : -1;
}

/* RFC 4648, section 4, padded; white space is skipped, as folded YAML brings it.
 * Decodes TEXT in place and returns the length, or -1. */
static long base64_decode(char *text)
{
	unsigned bits = 0;
	size_t digits = 0, padding = 0;
	char *out = text;

	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): take_string found it */
	for (const char *p = text; *p; p++) {
		int value = base64_value(*p);

		if (isspace((unsigned char)*p))
			continue;
		if (*p == '=')
			padding++;
		else if (value < 0 || padding > 0)
			return -1;
		if (*p != '=') {
			bits = (bits << 6 | (unsigned)value) & 0xFFFFFF;
			if (digits++ % 4 != 0)
				*out++ = (char)(bits >> (6 - 2 * ((digits - 1) % 4)) & 0xFF);
		}
	}
	if (padding > 2 || (digits + padding) % 4 != 0)
		return -1;
	return out - text;
}

/* Copies the decoded PEM text at KEY to *OUT. */
static int take_pem(struct reader *r, const yaml_node_t *map, const char *key, char **out)
{
	const yaml_node_t *node = member(r, map, key);
	long len;

	if (!node)
		return 0;
	if (take_string(r, map, key, out) != 0)
		return -1;
	len = base64_decode(*out);
	if (len < 0)
		return fail(r, node, "%s is not base64", key);
	if (memchr(*out, '\0', (size_t)len))
		return fail(r, node, "%s is not a PEM text in base64", key);
	/* what is left of the longer base64 text may be a secret */
	explicit_bzero(*out + len, strlen(*out + len));
	if (!strstr(*out, "-----BEGIN "))
		return fail(r, node, "%s is not a PEM text in base64", key);
	return 0;
}

/* KEY-data beats the file KEY. */
static int take_credential(struct reader *r, const yaml_node_t *map, const char *key, char **pem,
                           char **file)
{
	char data_key[64];

	snprintf(data_key, sizeof data_key, "%s-data", key);
	if (take_pem(r, map, data_key, pem) != 0)
		return -1;
	return *pem ? 0 : take_string(r, map, key, file);
}

/* --- the current context ---------------------------------------------------------- */

struct unsupported {
	const char *key;
	const char *mend;
};

static const struct unsupported unsupported_in_cluster[] = {
    {"insecure-skip-tls-verify",
     "the server is always verified: remove it and give certificate-authority"},
    {"proxy-url", "set HTTPS_PROXY instead"},
};

static const struct unsupported unsupported_in_user[] = {
    {"exec", "use a service account's token (`kubectl create token`) or a client certificate"},
    {"auth-provider",
     "use a service account's token (`kubectl create token`) or a client certificate"},
    {"username", "use a token or a client certificate"},
    {"password", "use a token or a client certificate"},
    {"as", "use the credentials of the identity itself"},
};

static int refuse_unsupported(struct reader *r, const yaml_node_t *map,
                              const struct unsupported *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const yaml_node_pair_t *pair = find_pair(r, map, table[i].key);

		if (pair && !scalar_is(yaml_document_get_node(r->document, pair->value), "false"))
			return fail(r, yaml_document_get_node(r->document, pair->key),
			            "%s is not supported: %s", table[i].key, table[i].mend);
	}
	return 0;
}

static int read_cluster(struct reader *r, const yaml_node_t *cluster, struct kubeconfig *config)
{
	struct kubeconfig_server parts;
	char problem[160];

	if (refuse_unsupported(r, cluster, unsupported_in_cluster,
	                       sizeof unsupported_in_cluster / sizeof *unsupported_in_cluster) !=
	        0 ||
	    take_string(r, cluster, "server", &config->server) != 0 ||
	    take_string(r, cluster, "tls-server-name", &config->tls_server_name) != 0 ||
	    take_credential(r, cluster, "certificate-authority", &config->ca_pem,
	                    &config->ca_file) != 0)
		return -1;
	if (!config->server)
		return fail(r, cluster,
		            "the cluster has no server: give it, as in server: https://host:6443");
	if (kubeconfig_split_server(config->server, &parts, problem, sizeof problem) != 0)
		return fail(r, member(r, cluster, "server"), "server %s", problem);
	kubeconfig_server_clear(&parts);
	if (config->tls_server_name && !is_host_name(config->tls_server_name) &&
	    !is_ipv6(config->tls_server_name))
		return fail(r, member(r, cluster, "tls-server-name"),
		            "tls-server-name must be a host name or an address");
	return 0;
}

static int read_user(struct reader *r, const yaml_node_t *user, struct kubeconfig *config)
{
	if (refuse_unsupported(r, user, unsupported_in_user,
	                       sizeof unsupported_in_user / sizeof *unsupported_in_user) != 0 ||
	    take_credential(r, user, "client-certificate", &config->cert_pem, &config->cert_file) !=
	        0 ||
	    take_credential(r, user, "client-key", &config->key_pem, &config->key_file) != 0 ||
	    take_string(r, user, "tokenFile", &config->token_file) != 0 ||
	    (!config->token_file && take_string(r, user, "token", &config->token) != 0))
		return -1;

	bool cert = config->cert_pem || config->cert_file;
	bool key = config->key_pem || config->key_file;
	if (cert != key)
		return fail(r, user, "the user has a client-%s but no client-%s",
		            cert ? "certificate" : "key", cert ? "key" : "certificate");
	if (config->token && !is_visible_ascii(config->token))
		return fail(r, member(r, user, "token"),
		            "token has a space or a character in it that no token has");
	if (!cert && !config->token && !config->token_file)
		return fail(r, user,
		            "the user has neither token, tokenFile nor client-certificate");
	return 0;
}

/* The first that is set counts. */
static int read_current(struct reader *r, struct kubeconfig *config)
{
	for (size_t i = 0; i < r->n; i++) {
		turn_to(r, i);
		if (take_string(r, yaml_document_get_root_node(r->document), "current-context",
		                &config->context) != 0)
			return -1;
		if (config->context)
			return 0;
	}
	if (r->n > 1)
		r->at = r->n;
	return fail(r, NULL, "current-context is not set: run `kubectl config use-context NAME`");
}

static int read_context(struct reader *r, struct kubeconfig *config)
{
	const yaml_node_t *context, *node;
	char *cluster = NULL, *user = NULL;
	int result = -1;

	if (read_current(r, config) != 0)
		return -1;
	context = find_named(r, "contexts", "context", config->context);
	if (!context || take_string(r, context, "namespace", &config->namespace_) != 0 ||
	    take_string(r, context, "cluster", &cluster) != 0 ||
	    take_string(r, context, "user", &user) != 0)
		goto out;
	if (!cluster || !user) {
		fail(r, context, "the context \"%s\" names no %s", config->context,
		     cluster ? "user" : "cluster");
		goto out;
	}
	node = find_named(r, "clusters", "cluster", cluster);
	if (!node || read_cluster(r, node, config) != 0)
		goto out;
	config->cluster_from = r->at;
	node = find_named(r, "users", "user", user);
	if (!node || read_user(r, node, config) != 0)
		goto out;
	config->user_from = r->at;
	result = 0;
out:
	free(cluster);
	free(user);
	return result;
}

/* Among several an empty one is as good as none, as for kubectl. */
static int check_document(struct reader *r)
{
	const yaml_node_t *root = yaml_document_get_root_node(r->document);
	const yaml_node_t *kind = member(r, root, "kind");

	if (!root)
		return r->n > 1 ? 0 : fail(r, NULL, "it is empty");
	if (root->type != YAML_MAPPING_NODE)
		return fail(r, root, "it is not a kubeconfig: no \"key: value\" pairs");
	if (kind && !scalar_is(kind, "Config"))
		return fail(r, kind, "it is not a kubeconfig: kind is not Config");
	return 0;
}

static int fail_yaml(struct reader *r, const yaml_parser_t *parser)
{
	const char *problem = parser->problem ? parser->problem : "memory is out";

	/* while decoding bytes, libyaml knows no line yet */
	if (parser->error == YAML_READER_ERROR)
		return fail(r, NULL, "it is not YAML: %s at byte %zu", problem,
		            parser->problem_offset);
	return fail(r, NULL, "line %zu: it is not YAML: %s", parser->problem_mark.line + 1,
	            problem);
}

static void wipe_document(yaml_document_t *document)
{
	for (yaml_node_t *node = document->nodes.start; node < document->nodes.top; node++)
		if (node->type == YAML_SCALAR_NODE)
			explicit_bzero(node->data.scalar.value, node->data.scalar.length);
	yaml_document_delete(document);
}

/* Loads TEXT as the document turned to, which is to be wiped after a 0. */
static int load_document(struct reader *r, const struct kubeconfig_text *text)
{
	yaml_parser_t parser;
	int result = 0;

	if (!yaml_parser_initialize(&parser))
		return fail(r, NULL, "memory is out");
	/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): there are as many as documents */
	yaml_parser_set_input_string(&parser, (const unsigned char *)text->text, text->len);
	if (!yaml_parser_load(&parser, r->document))
		result = fail_yaml(r, &parser);
	yaml_parser_delete(&parser);
	return result;
}

static int read_texts(struct reader *r, const struct kubeconfig_text *texts,
                      struct kubeconfig *config)
{
	size_t loaded = 0;
	int result = 0;

	while (result == 0 && loaded < r->n) {
		turn_to(r, loaded);
		result = load_document(r, &texts[loaded]);
		if (result != 0)
			break;
		loaded++;
		result = check_document(r);
	}
	if (result == 0)
		result = read_context(r, config);
	for (size_t i = 0; i < loaded; i++)
		wipe_document(&r->documents[i]);
	return result;
}

int kubeconfig_merge(const struct kubeconfig_text *texts, size_t n, struct kubeconfig *config,
                     size_t *at, char *error, size_t error_size)
{
	struct reader r = {.n = n, .at = n, .error = error, .error_size = error_size};
	int result;

	*config = (struct kubeconfig){0};
	r.documents = calloc(n, sizeof *r.documents);
	result = r.documents ? read_texts(&r, texts, config) : fail(&r, NULL, "memory is out");
	free(r.documents);
	*at = r.at;
	if (result != 0)
		kubeconfig_clear(config);
	return result;
}

int kubeconfig_parse(const char *text, size_t len, struct kubeconfig *config, char *error,
                     size_t error_size)
{
	size_t at;

	return kubeconfig_merge(&(struct kubeconfig_text){text, len}, 1, config, &at, error,
	                        error_size);
}
