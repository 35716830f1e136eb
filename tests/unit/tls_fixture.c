/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tls_fixture.h"

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "tls_fixture: %s failed\n", what);
	ERR_print_errors_fp(stderr);
	_exit(99);
}

/* --- certificates ------------------------------------------------------------------- */

void tls_identity_clear(struct tls_identity *identity)
{
	free(identity->cert_pem);
	free(identity->key_pem);
	*identity = (struct tls_identity){0};
}

static char *bio_text(BIO *bio)
{
	char *bytes, *text;
	long len = BIO_get_mem_data(bio, &bytes);

	must(len > 0, "BIO_get_mem_data");
	text = strndup(bytes, (size_t)len);
	must(text != NULL, "strndup");
	BIO_free(bio);
	return text;
}

static X509 *read_certificate(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	must(certificate != NULL, "PEM_read_bio_X509");
	BIO_free(bio);
	return certificate;
}

static EVP_PKEY *read_key(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

	must(key != NULL, "PEM_read_bio_PrivateKey");
	BIO_free(bio);
	return key;
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	must(extension && X509_add_ext(certificate, extension, -1) == 1, "X509_add_ext");
	X509_EXTENSION_free(extension);
}

static X509 *new_certificate(EVP_PKEY *key, const char *name, int days)
{
	static long serial;
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);
	long end_s = (long)days * 86400;

	must(X509_set_version(certificate, 2) == 1, "X509_set_version");
	must(ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial) == 1, "serial");
	must(X509_gmtime_adj(X509_getm_notBefore(certificate), (end_s < 0 ? end_s : 0) - 3600) &&
	         X509_gmtime_adj(X509_getm_notAfter(certificate), end_s),
	     "X509_gmtime_adj");
	must(X509_set_pubkey(certificate, key) == 1, "X509_set_pubkey");
	must(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name,
	                                -1, -1, 0) == 1,
	     "X509_NAME_add_entry_by_txt");
	return certificate;
}

static struct tls_identity sign(X509 *certificate, EVP_PKEY *key, EVP_PKEY *ca_key)
{
	BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());
	struct tls_identity identity;

	must(X509_sign(certificate, ca_key, EVP_sha256()) > 0, "X509_sign");
	must(PEM_write_bio_X509(cert_bio, certificate) == 1, "PEM_write_bio_X509");
	must(PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1,
	     "PEM_write_bio_PrivateKey");
	identity = (struct tls_identity){bio_text(cert_bio), bio_text(key_bio)};
	X509_free(certificate);
	EVP_PKEY_free(key);
	return identity;
}

struct tls_identity tls_fixture_ca(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = new_certificate(key, name, 30);

	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(certificate, NID_key_usage, "critical,keyCertSign");
	return sign(certificate, key, key);
}

struct tls_identity tls_fixture_issue(const struct tls_identity *ca, const char *name,
                                      const char *sans, int days)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *ca_key = read_key(ca->key_pem);
	X509 *certificate = new_certificate(key, name, days),
	     *issuer = read_certificate(ca->cert_pem);
	struct tls_identity identity;

	X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
	if (sans)
		add_extension(certificate, NID_subject_alt_name, sans);
	identity = sign(certificate, key, ca_key);
	X509_free(issuer);
	EVP_PKEY_free(ca_key);
	return identity;
}

/* --- the server ----------------------------------------------------------------------- */

void tls_exchange_write(struct tls_exchange *exchange, const void *bytes, size_t len)
{
	if (SSL_write(exchange->tls, bytes, (int)len) != (int)len)
		_exit(0); /* the client has gone */
}

void tls_exchange_print(struct tls_exchange *exchange, const char *format, ...)
{
	char *text;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	must(len >= 0, "vasprintf");
	tls_exchange_write(exchange, text, (size_t)len);
	free(text);
}

static SSL_CTX *server_context(const struct tls_server_settings *settings)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	X509 *certificate = read_certificate(settings->identity->cert_pem);
	EVP_PKEY *key = read_key(settings->identity->key_pem);

	must(SSL_CTX_use_certificate(context, certificate) == 1 &&
	         SSL_CTX_use_PrivateKey(context, key) == 1,
	     "SSL_CTX_use_certificate");
	if (settings->client_ca_pem) {
		X509 *client_ca = read_certificate(settings->client_ca_pem);
		must(X509_STORE_add_cert(SSL_CTX_get_cert_store(context), client_ca) == 1,
		     "X509_STORE_add_cert");
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
		                   NULL);
		X509_free(client_ca);
	}
	X509_free(certificate);
	EVP_PKEY_free(key);
	return context;
}

static bool read_head(struct tls_exchange *exchange)
{
	size_t used = 0;

	*exchange->text = '\0';
	while (!strstr(exchange->text, "\r\n\r\n")) {
		int n = SSL_read(exchange->tls, exchange->text + used,
		                 (int)(sizeof exchange->text - 1 - used));
		if (n <= 0)
			return false;
		used += (size_t)n;
		exchange->text[used] = '\0';
	}
	return sscanf(exchange->text, "GET %1023s HTTP/1.1", exchange->path) == 1;
}

static void serve(const struct tls_server_settings *settings, SSL_CTX *context, int socket,
                  unsigned number)
{
	struct tls_exchange exchange = {.socket = socket, .connection = number};
	SSL *tls = SSL_new(context);
	X509 *client;

	exchange.tls = tls;
	SSL_set_fd(tls, socket);
	if (SSL_accept(tls) != 1)
		_exit(0);
	client = SSL_get1_peer_certificate(tls);
	if (client)
		X509_NAME_get_text_by_NID(X509_get_subject_name(client), NID_commonName,
		                          exchange.client_name, sizeof exchange.client_name);
	do {
		exchange.request++;
	} while (read_head(&exchange) && settings->answer(&exchange));
	_exit(0);
}

/* Each connection has a process of its own, which may stay silent for ever. */
static void serve_all(const struct tls_server_settings *settings, int listener)
{
	SSL_CTX *context = settings->identity ? server_context(settings) : NULL;

	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (unsigned number = 1;; number++) {
		int socket = accept(listener, NULL, NULL);
		if (socket < 0)
			_exit(0);
		if (context && fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(listener);
			serve(settings, context, socket, number);
		}
		close(socket);
	}
}

static int listen_on(const char *address, unsigned *port)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	bool is_v6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
	struct sockaddr *name = is_v6 ? (void *)&v6 : (void *)&v4;
	socklen_t len = is_v6 ? sizeof v6 : sizeof v4;
	int listener = socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, address, &v4.sin_addr);
	if (listener < 0 || bind(listener, name, len) != 0 || listen(listener, 64) != 0 ||
	    getsockname(listener, name, &len) != 0) {
		if (listener >= 0)
			close(listener);
		return -1;
	}
	*port = ntohs(is_v6 ? v6.sin6_port : v4.sin_port);
	return listener;
}

struct tls_server tls_server_start(const struct tls_server_settings *settings)
{
	struct tls_server server = {0};
	int listener = listen_on(settings->address ? settings->address : "127.0.0.1", &server.port);

	if (listener < 0)
		return server;
	server.pid = fork();
	must(server.pid >= 0, "fork");
	if (server.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve_all(settings, listener);
	}
	close(listener);
	return server;
}

void tls_server_stop(struct tls_server *server)
{
	if (server->pid > 0) {
		kill(server->pid, SIGKILL);
		waitpid(server->pid, NULL, 0);
	}
	server->pid = 0;
}
