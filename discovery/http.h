/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_DISCOVERY_HTTP_H
#define KEPMD_DISCOVERY_HTTP_H

/* HTTPS GETs that stream, by libcurl's multi interface on the event loop.
 * HTTP/1.1 only, a connection of its own per transfer where asked (a dead
 * HTTP/2 connection would be used again); TLS always verified against the CA
 * given and nothing else; names resolved by resolver.h first. */

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct http_client;
struct http_transfer;

enum http_outcome {
	HTTP_DONE,    /* the whole answer came; its status may still be an error */
	HTTP_REFUSED, /* no connection: name not found, refused, unreachable, connect timeout,
	               * broken off while TLS was being set up */
	HTTP_TLS,     /* the server's certificate was not accepted, or no TLS there, or the CA or
	               * the client certificate given cannot be used */
	HTTP_CUT,     /* the connection broke, a deadline passed, or no HTTP came, in the middle */
	HTTP_STOPPED  /* on_data returned false */
};

struct http_result {
	enum http_outcome outcome;
	int status;        /* HTTP status, 0 when none was seen */
	int retry_after_s; /* Retry-After in seconds, 0 when absent */
	const char *error; /* one phrase for the log that names host and port; "" for HTTP_DONE;
	                         * borrowed for the call */
};

struct http_events {
	/* The final status line and headers have been read; WARNING is the text of a
	 * Warning: 299 header or NULL.  Called once, before any data. */
	void (*on_status)(void *arg, int status, const char *warning);
	/* Body bytes.  False ends the transfer with HTTP_STOPPED. */
	bool (*on_data)(void *arg, const char *bytes, size_t len);
	/* The end, called once, from the loop, never from within http_get.  The
	 * transfer is gone afterwards; a new one may be started from here. */
	void (*on_done)(void *arg, const struct http_result *result);
	void *arg;
};

/* Where to, and how each proves to the other who it is.  NULL: absent. */
struct http_server {
	const char *host; /* name or address, without brackets */
	unsigned port;
	const char *base_path;          /* comes before each path */
	const char *tls_server_name;    /* the certificate is for this name, not for HOST */
	const char *ca_pem;             /* what signs it ... */
	bool system_ca;                 /* ... or the system's store does */
	const char *cert_pem, *key_pem; /* client certificate */
	const char *token;              /* bearer token */
};

struct http_get {
	const struct http_server *server; /* read during the call only */
	const char *path;                 /* begins with '/', already encoded */
	unsigned connect_timeout_s;       /* name, TCP and TLS together */
	unsigned total_timeout_s;         /* hard deadline; 0: none */
	bool own_connection;              /* fresh, and closed afterwards */
};

/* NULL when libcurl or c-ares cannot start.  Takes SSLKEYLOGFILE out of the
 * environment: libcurl would write the session keys there. */
struct http_client *http_client_new(struct event_base *base);
/* Cancels what is under way.  May be called from any callback. */
void http_client_free(struct http_client *client);

/* Starts a GET; strings are copied.  NULL when memory is out.  May be called from
 * any callback. */
struct http_transfer *http_get(struct http_client *client, const struct http_get *get,
                               const struct http_events *events);
/* Ends it without telling anything more; may be called from any callback, also
 * of this transfer. */
void http_cancel(struct http_transfer *transfer);

/* "HTTPS_PROXY" (or the variant) when the environment sends requests to an https
 * host through a proxy, else NULL; NO_PROXY may still exempt a host.  With a proxy
 * libcurl itself resolves the proxy's name, and the API server's where only the
 * proxy knows it. */
const char *http_proxy_variable(void);

#endif
