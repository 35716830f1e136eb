/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_HTTP_REQUEST_H
#define KEPMD_DISCOVERY_HTTP_REQUEST_H

/* One GET as libcurl's options; for http.c only. */

#include <curl/curl.h>
#include <stddef.h>
#include <stdint.h>

#include "http.h"

/* Must stay where it is: libcurl holds a pointer to curl_error. */
struct http_request {
	CURL *easy;
	struct curl_slist *headers, *resolve, *connect_to;
	char *label;    /* "host:port" for error phrases */
	char *url_host; /* the host in the URL, which the certificate must be for */
	unsigned port;
	unsigned connect_timeout_s, total_timeout_s;
	char curl_error[CURL_ERROR_SIZE];
};

/* Sets all but callbacks, addresses and deadlines.  Returns 0, or -1 with *REQUEST
 * empty when memory is out. */
int http_request_open(struct http_request *request, const struct http_get *get);
/* The easy handle must be in no multi handle any more. */
void http_request_clear(struct http_request *request);

/* Hands libcurl the N addresses of the host, so that it resolves nothing itself;
 * N == 0 leaves it to a proxy.  0, or -1 when memory is out. */
int http_request_give_addresses(struct http_request *request, const char *const *addresses,
                                size_t n);
/* Sets what is left of both deadlines after SPENT_MS.  0, or -1 when memory is out. */
int http_request_set_deadlines(struct http_request *request, uint64_t spent_ms);

#endif
