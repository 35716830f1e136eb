/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "http_request.h"

#define KEEPALIVE_IDLE_S 30L
#define KEEPALIVE_INTERVAL_S 10L
#define USER_TIMEOUT_MS 30000u

/* Each set_ function returns 0, or something else when libcurl refuses, which
 * means that memory is out. */
#define SET(option, value) ((unsigned)curl_easy_setopt(request->easy, (option), (value)))

static const char *open_bracket(const char *host)
{
	return strchr(host, ':') ? "[" : "";
}

static const char *close_bracket(const char *host)
{
	return strchr(host, ':') ? "]" : "";
}

/* Data in flight to a host that is gone fails after 30 s rather than 15 minutes. */
static int on_new_socket(void *arg, curl_socket_t socket, curlsocktype purpose)
{
	unsigned timeout_ms = USER_TIMEOUT_MS;

	(void)arg;
	(void)purpose;
	fcntl(socket, F_SETFD, FD_CLOEXEC);
	setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
	return CURL_SOCKOPT_OK;
}

static unsigned set_blob(struct http_request *request, CURLoption option, const char *pem)
{
	/* copied, so never written to */
	struct curl_blob blob = {
	    .data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY};

	return SET(option, &blob);
}

/* Where a store is found depends on the distribution, and a static libcurl knows
 * at most the one that it was built on. */
static const char *system_store(void)
{
	static const char *const stores[] = {
	    "/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, distroless */
	    "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL */
	    "/etc/ssl/ca-bundle.pem",             /* openSUSE */
	    "/etc/ssl/cert.pem",
	};
	const char *chosen = getenv("SSL_CERT_FILE");

	if (chosen && *chosen)
		return chosen;
	for (size_t i = 0; i < sizeof stores / sizeof *stores; i++)
		if (access(stores[i], R_OK) == 0)
			return stores[i];
	return NULL;
}

static unsigned set_tls(struct http_request *request, const struct http_server *server)
{
	unsigned bad = SET(CURLOPT_SSL_VERIFYPEER, 1L) | SET(CURLOPT_SSL_VERIFYHOST, 2L) |
	               SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) |
	               SET(CURLOPT_CA_CACHE_TIMEOUT, 0L) |
	               /* a session must not outlive the CA that it was verified with */
	               SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);

	if (server->system_ca) {
		const char *store = system_store();
		if (store)
			bad |= SET(CURLOPT_CAINFO, store);
	} else {
		/* by default libcurl would ask the system's store as well */
		bad |= SET(CURLOPT_CAINFO, NULL) | SET(CURLOPT_CAPATH, NULL);
		if (server->ca_pem)
			bad |= set_blob(request, CURLOPT_CAINFO_BLOB, server->ca_pem);
	}
	if (server->cert_pem && server->key_pem)
		bad |= set_blob(request, CURLOPT_SSLCERT_BLOB, server->cert_pem) |
		       SET(CURLOPT_SSLCERTTYPE, "PEM") |
		       set_blob(request, CURLOPT_SSLKEY_BLOB, server->key_pem) |
		       SET(CURLOPT_SSLKEYTYPE, "PEM");
	return bad;
}

static int append(struct curl_slist **list, const char *text)
{
	struct curl_slist *longer = curl_slist_append(*list, text);

	if (longer)
		*list = longer;
	return longer ? 0 : -1;
}

__attribute__((format(printf, 2, 3))) static int append_formatted(struct curl_slist **list,
                                                                  const char *format, ...)
{
	char *text;
	va_list args;
	int result;

	va_start(args, format);
	result = vasprintf(&text, format, args);
	va_end(args);
	if (result < 0)
		return -1;
	result = append(list, text);
	explicit_bzero(text, strlen(text));
	free(text);
	return result;
}

static unsigned set_headers(struct http_request *request, const struct http_server *server)
{
	if (append(&request->headers, "Accept: application/json") != 0)
		return 1;
	if (server->token &&
	    append_formatted(&request->headers, "Authorization: Bearer %s", server->token) != 0)
		return 1;
	/* the URL has the certificate's name then, the server still goes by its own */
	if (server->tls_server_name &&
	    append_formatted(&request->headers, "Host: %s", request->label) != 0)
		return 1;
	/* not to a proxy (nor does libcurl know of either option where it was built without) */
	SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	return SET(CURLOPT_HTTPHEADER, request->headers) |
	       SET(CURLOPT_USERAGENT, "kepmd/" PACKAGE_VERSION);
}

static unsigned set_url(struct http_request *request, const struct http_server *server,
                        const char *path)
{
	char *url;
	unsigned bad;

	if (asprintf(&url, "https://%s%s%s:%u%s%s", open_bracket(request->url_host),
	             request->url_host, close_bracket(request->url_host), request->port,
	             server->base_path ? server->base_path : "", path) < 0)
		return 1;
	bad = SET(CURLOPT_URL, url) | SET(CURLOPT_PATH_AS_IS, 1L);
	free(url);
	return bad | SET(CURLOPT_PROTOCOLS_STR, "https") | SET(CURLOPT_FOLLOWLOCATION, 0L) |
	       SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) | SET(CURLOPT_HTTPGET, 1L);
}

static unsigned set_connection(struct http_request *request, bool own_connection)
{
	return SET(CURLOPT_FRESH_CONNECT, (long)own_connection) |
	       SET(CURLOPT_FORBID_REUSE, (long)own_connection) | SET(CURLOPT_NOSIGNAL, 1L) |
	       SET(CURLOPT_QUICK_EXIT, 1L) | SET(CURLOPT_TCP_KEEPALIVE, 1L) |
	       SET(CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE_S) |
	       SET(CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S) |
	       SET(CURLOPT_SOCKOPTFUNCTION, on_new_socket);
}

int http_request_open(struct http_request *request, const struct http_get *get)
{
	const struct http_server *server = get->server;

	*request = (struct http_request){
	    .port = server->port,
	    .connect_timeout_s = get->connect_timeout_s,
	    .total_timeout_s = get->total_timeout_s,
	};
	request->url_host =
	    strdup(server->tls_server_name ? server->tls_server_name : server->host);
	if (asprintf(&request->label, "%s%s%s:%u", open_bracket(server->host), server->host,
	             close_bracket(server->host), server->port) < 0)
		request->label = NULL;
	request->easy = curl_easy_init();
	if (request->url_host && request->label && request->easy &&
	    (SET(CURLOPT_ERRORBUFFER, request->curl_error) | set_url(request, server, get->path) |
	     set_headers(request, server) | set_tls(request, server) |
	     set_connection(request, get->own_connection)) == 0)
		return 0;
	http_request_clear(request);
	return -1;
}

void http_request_clear(struct http_request *request)
{
	if (request->easy)
		curl_easy_cleanup(request->easy);
	for (struct curl_slist *header = request->headers; header; header = header->next)
		explicit_bzero(header->data, strlen(header->data));
	curl_slist_free_all(request->headers);
	curl_slist_free_all(request->resolve);
	curl_slist_free_all(request->connect_to);
	free(request->label);
	free(request->url_host);
	*request = (struct http_request){0};
}

int http_request_give_addresses(struct http_request *request, const char *const *addresses,
                                size_t n)
{
	char list[16 * 50] = "";
	size_t used = 0;

	if (n == 0 || strcmp(request->url_host, addresses[0]) == 0)
		return 0;
	if (address_is_literal(request->url_host)) {
		/* the certificate is to be for another address than the one to connect to */
		if (append_formatted(&request->connect_to, "::%s%s%s:", open_bracket(addresses[0]),
		                     addresses[0], close_bracket(addresses[0])) != 0)
			return -1;
		return SET(CURLOPT_CONNECT_TO, request->connect_to) == 0 ? 0 : -1;
	}
	for (size_t i = 0; i < n && sizeof list - used > 50; i++)
		used += (size_t)snprintf(list + used, sizeof list - used, "%s%s%s%s",
		                         i > 0 ? "," : "", open_bracket(addresses[i]), addresses[i],
		                         close_bracket(addresses[i]));
	/* '+': not for ever */
	if (append_formatted(&request->resolve, "+%s:%u:%s", request->url_host, request->port,
	                     list) != 0)
		return -1;
	return SET(CURLOPT_RESOLVE, request->resolve) == 0 ? 0 : -1;
}

int http_request_set_deadlines(struct http_request *request, uint64_t spent_ms)
{
	long connect = (long)request->connect_timeout_s * 1000 - (long)spent_ms;
	long total = (long)request->total_timeout_s * 1000 - (long)spent_ms;
	unsigned bad = 0;

	if (request->connect_timeout_s)
		bad |= SET(CURLOPT_CONNECTTIMEOUT_MS, connect > 1 ? connect : 1L);
	if (request->total_timeout_s)
		bad |= SET(CURLOPT_TIMEOUT_MS, total > 1 ? total : 1L);
	return bad == 0 ? 0 : -1;
}
