/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_TESTS_TLS_FIXTURE_H
#define KEPMD_TESTS_TLS_FIXTURE_H

/* For tests: certificates made at run time, and a small HTTPS server in a process
 * of its own on a free port of the loopback address. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls_identity {
	char *cert_pem;
	char *key_pem;
};
void tls_identity_clear(struct tls_identity *identity);

/* A new self-signed CA.  Whatever fails here ends the test program. */
struct tls_identity tls_fixture_ca(const char *name);

/* A certificate by CA for NAME, with SANS as in openssl's subjectAltName
 * ("IP:127.0.0.1,DNS:localhost") or NULL, valid from now until DAYS from now (in the past
 * when negative). */
struct tls_identity tls_fixture_issue(const struct tls_identity *ca, const char *name,
                                      const char *sans, int days);

/* One request to the server. */
struct tls_exchange {
	void *tls; /* SSL * */
	int socket;
	unsigned connection; /* 1 for the first that the server accepted, ... */
	unsigned request;    /* 1 for the first on this connection, ... */
	char text[16384];    /* the request's head */
	char path[1024];
	char client_name[64]; /* CN of the client's certificate, or "" */
};
void tls_exchange_write(struct tls_exchange *exchange, const void *bytes, size_t len);
void tls_exchange_print(struct tls_exchange *exchange, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct tls_server {
	pid_t pid;
	unsigned port;
};

struct tls_server_settings {
	const struct tls_identity *identity; /* NULL: closes each connection at once */
	const char *client_ca_pem;           /* NULL: asks for no client certificate */
	const char *address;                 /* NULL: 127.0.0.1 */
	/* Answers one request, in a process of its own.  True: the connection may
	 * carry another; false: it is closed without a farewell. */
	bool (*answer)(struct tls_exchange *exchange);
};

/* port is 0 when the address cannot be listened on. */
struct tls_server tls_server_start(const struct tls_server_settings *settings);
void tls_server_stop(struct tls_server *server);

#endif
