/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_KUBE_ACCESS_H
#define KEPMD_DISCOVERY_KUBE_ACCESS_H

/* Where the API server is and how to prove to it who we are: from a kubeconfig
 * named by setting, else the pod's service account, else $KUBECONFIG (a
 * colon-separated list: the files that exist, merged as
 * kubectl does).  The service account is it
 * where KUBERNETES_SERVICE_HOST is set; only where no token folder is mounted
 * does $KUBECONFIG go before it.  Reads files, opens no connection.
 * Rules: Kubernetes, "Accessing the Kubernetes API from a Pod"; tokens are
 * swapped by symlink about hourly, so they are opened by path each time. */

#include <stdbool.h>
#include <stddef.h>

/* Strings are owned by the struct and valid until the next _refresh or _free. */
struct kube_access {
	char *origin;    /* "service account" or the kubeconfigs' path or list, for log lines */
	bool in_cluster; /* by service account */
	char *host;      /* name or address, without brackets */
	unsigned port;
	char *base_path;  /* comes before each path: "", or what the kubeconfig's server URL has */
	char *namespace_; /* the pod's own or the context's; "default" if unsaid */
	char *tls_server_name;    /* verify the certificate against this name, or NULL */
	char *ca_pem;             /* NULL: not readable (yet), or system_ca */
	bool system_ca;           /* a kubeconfig that names no CA: the system's store */
	char *cert_pem, *key_pem; /* client certificate, or NULL */
	char *token;              /* bearer token, or NULL */

	/* where they come from; NULL: given inline */
	char *ca_file, *cert_file, *key_file, *token_file;
	/* changes with each _refresh that changed a credential */
	unsigned generation;
};

/* Finds the way in.  KUBECONFIG is the path given by setting, or NULL.
 * SERVICE_ACCOUNT_DIR is where a pod's token is mounted; NULL means
 * /var/run/secrets/kubernetes.io/serviceaccount.
 * Returns NULL with one sentence in ERROR naming the input and the mend when no
 * way is configured or the kubeconfig cannot be read; a token or CA file that is
 * not there yet is no error. */
struct kube_access *kube_access_open(const char *kubeconfig, const char *service_account_dir,
                                     char *error, size_t error_size);
void kube_access_free(struct kube_access *access);

/* Reads the token, and the CA and client certificate where their files changed,
 * again; called before each request.  What cannot be read, is empty, or is not
 * PEM keeps its old value.  Returns 0 when there is all that a request needs; -1
 * with one sentence in ERROR that names the file when something was never
 * readable.  Token, CA and key are never in an error text. */
int kube_access_refresh(struct kube_access *access, char *error, size_t error_size);

#endif
