/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_KUBECONFIG_H
#define KEPMD_DISCOVERY_KUBECONFIG_H

/* Reads a kubeconfig (v1 Config, YAML) as kubectl, kind and minikube write it.
 * Pure: text in, struct out; files that it points to are not opened here.
 * Rules: Kubernetes, "Organizing Cluster Access Using kubeconfig Files" and the
 * client-go api/v1 Config type: current-context chooses the context, which names
 * the cluster and the user; *-data beats the file of the same name; tokenFile
 * beats token.  Of several files the first that sets current-context, or has an entry of
 * a name, wins, with its whole entry. */

#include <stddef.h>

/* The current context, resolved.  Absent strings are NULL.  Paths are as
 * written (relative ones are relative to the folder of the kubeconfig that has them); *_pem are
 * the decoded *-data.  Where two forms of one thing are given, only the one that
 * wins is here. */
struct kubeconfig {
	char *context;
	char *server; /* an https URL that kubeconfig_split_server accepts */
	char *namespace_;
	char *tls_server_name;
	char *ca_file, *ca_pem;
	char *cert_file, *cert_pem;
	char *key_file, *key_pem;
	char *token_file, *token;
	size_t cluster_from; /* which text has the server and the CA ... */
	size_t user_from;    /* ... and which the rest of the credentials */
};
/* Frees and empties it; the secrets in it are overwritten first. */
void kubeconfig_clear(struct kubeconfig *config);

/* Reads LEN bytes at TEXT.  Returns 0; or -1 with *CONFIG empty and one sentence
 * in ERROR that names the line or the key, and the mend, and never quotes a
 * value that may be secret.  insecure-skip-tls-verify, exec, auth-provider,
 * username/password, as (impersonation), proxy-url are said to be unsupported by
 * name when the current context has them: there is no insecure fallback. */
int kubeconfig_parse(const char *text, size_t len, struct kubeconfig *config, char *error,
                     size_t error_size);

struct kubeconfig_text {
	const char *text;
	size_t len;
};

/* Reads N texts as one kubeconfig, the first counting most; returns as kubeconfig_parse.
 * After an error *AT is the text that it is about, or N: it is about all. */
int kubeconfig_merge(const struct kubeconfig_text *texts, size_t n, struct kubeconfig *config,
                     size_t *at, char *error, size_t error_size);

/* The API server's URL in pieces. */
struct kubeconfig_server {
	char *host; /* name or address, without brackets */
	unsigned port;
	char *path; /* before each request's path: "" or "/k8s/clusters/c-1", no '/' at its end */
};
void kubeconfig_server_clear(struct kubeconfig_server *server);

/* Cuts URL, which must be https.  Returns 0; or -1 with *SERVER empty and in ERROR
 * what is wrong with it, as the end of a sentence about the URL. */
int kubeconfig_split_server(const char *url, struct kubeconfig_server *server, char *error,
                            size_t error_size);

#endif
