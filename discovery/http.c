/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <limits.h>
#include <openssl/x509_vfy.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "clock.h"
#include "http.h"
#include "http_request.h"
#include "resolver.h"

#define IDLE_CONNECTIONS 4L
#define WARNING_SIZE 512
/* What on_data gets before the loop has its turn: libcurl alone would go on for
 * 1.6 MB, which takes a reader of JSON 50 ms. */
#define TURN_BYTES (32u << 10)

struct http_client {
	CURLM *multi;
	struct event_base *base;
	struct resolver *resolver;
	struct event *timer; /* libcurl's one timer */
	struct http_transfer *transfers;
	/* How many of our functions stand between the loop and here.  Above 0 libcurl
	 * or a drain loop may be under way, so nothing is freed: it is marked, and
	 * client_leave() frees it. */
	unsigned depth;
	bool dying;
};

struct http_transfer {
	struct http_transfer *prev, *next;
	struct http_client *client;
	struct http_events events;

	struct resolver_query *query; /* while the name is being looked up */
	struct event *timer;          /* the lookup's deadline; later, the end of a pause */
	struct http_request request;
	bool in_multi;
	uint64_t started_ms;

	size_t turn_bytes; /* told since the last pause */
	bool told_status;
	bool stopped;   /* on_data said so */
	bool ending;    /* on_done is being called */
	bool cancelled; /* nothing more is told; freed by client_leave() */
	char warning[WARNING_SIZE];
	char error[CURL_ERROR_SIZE + 300];
};

/* --- ends ------------------------------------------------------------------------------ */

static void free_transfer(struct http_transfer *t)
{
	DL_DELETE(t->client->transfers, t);
	resolver_cancel(t->query);
	if (t->timer)
		event_free(t->timer);
	if (t->in_multi)
		curl_multi_remove_handle(t->client->multi, t->request.easy);
	http_request_clear(&t->request);
	free(t);
}

static void destroy_client(struct http_client *client)
{
	/* tells on_timer_wanted() and on_socket_wanted() for what it closes */
	if (client->multi)
		curl_multi_cleanup(client->multi);
	if (client->timer)
		event_free(client->timer);
	resolver_free(client->resolver);
	free(client);
	curl_global_cleanup();
}

static void client_enter(struct http_client *client)
{
	client->depth++;
}

/* Frees what was cancelled meanwhile; CLIENT may be gone afterwards. */
static void client_leave(struct http_client *client)
{
	struct http_transfer *t, *next;

	if (client->depth == 1) {
		DL_FOREACH_SAFE (client->transfers, t, next)
			if (t->cancelled)
				free_transfer(t);
	}
	client->depth--;
	if (client->depth == 0 && client->dying)
		destroy_client(client);
}

void http_cancel(struct http_transfer *transfer)
{
	if (!transfer || transfer->cancelled || transfer->ending)
		return;
	client_enter(transfer->client);
	transfer->cancelled = true;
	client_leave(transfer->client);
}

void http_client_free(struct http_client *client)
{
	struct http_transfer *t;

	if (!client || client->dying)
		return;
	client_enter(client);
	client->dying = true;
	DL_FOREACH (client->transfers, t)
		t->cancelled = true;
	client_leave(client);
}

/* Tells the end, and marks the transfer to be freed. */
static void tell_done(struct http_transfer *t, enum http_outcome outcome)
{
	struct http_result result = {.outcome = outcome, .error = t->error};
	long status = 0;
	curl_off_t wait = 0;

	if (t->told_status)
		curl_easy_getinfo(t->request.easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(t->request.easy, CURLINFO_RETRY_AFTER, &wait);
	result.status = (int)status;
	result.retry_after_s = wait > INT_MAX ? INT_MAX : wait > 0 ? (int)wait : 0;
	if (t->in_multi)
		curl_multi_remove_handle(t->client->multi, t->request.easy);
	t->in_multi = false;
	t->ending = true;
	t->events.on_done(t->events.arg, &result);
	t->cancelled = true;
}

__attribute__((format(printf, 2, 3))) static void say(struct http_transfer *t, const char *format,
                                                      ...)
{
	int used = snprintf(t->error, sizeof t->error, "%s: ", t->request.label);
	va_list args;

	if (used < 0 || (size_t)used >= sizeof t->error)
		return;
	va_start(args, format);
	vsnprintf(t->error + used, sizeof t->error - (size_t)used, format, args);
	va_end(args);
}

/* --- why libcurl failed ------------------------------------------------------------------- */

struct reason {
	long code;
	const char *text;
};

static const struct reason verify_reasons[] = {
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "is signed by an unknown authority"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "is signed by an unknown authority"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "is signed by an unknown authority"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "is signed by an unknown authority"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "is self-signed, by none that the CA vouches for"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE,
     "has a signature that is not of the CA given, though the names agree"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "is not valid yet (is this host's clock right?)"},
    {X509_V_ERR_CERT_HAS_EXPIRED, "has expired (or this host's clock is wrong)"},
};

static void say_unverified(struct http_transfer *t)
{
	long code = X509_V_OK;

	curl_easy_getinfo(t->request.easy, CURLINFO_SSL_VERIFYRESULT, &code);
	for (size_t i = 0; i < sizeof verify_reasons / sizeof *verify_reasons; i++) {
		if (verify_reasons[i].code == code) {
			say(t, "the server's certificate %s", verify_reasons[i].text);
			return;
		}
	}
	/* the chain was good, and libcurl has not got round to saying so: it is the name */
	if (code == X509_V_OK || code == X509_V_ERR_UNSPECIFIED)
		say(t, "the server's certificate is not for %s", t->request.url_host);
	else
		say(t, "the server's certificate is not valid: %s",
		    X509_verify_cert_error_string(code));
}

/* libcurl has one code for a handshake that fails and one that is cut off; its
 * words tell them apart. */
static bool was_cut_off(const struct http_transfer *t)
{
	static const char *const words[] = {
	    "Recv failure:", /* a reset */
	    "Send failure:",
	    "SSL_connect:", /* "OpenSSL SSL_connect: Connection reset by peer in ..." */
	    "unexpected eof",
	};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strstr(t->request.curl_error, words[i]))
			return true;
	return false;
}

static enum http_outcome say_handshake(struct http_transfer *t)
{
	if (was_cut_off(t)) {
		say(t, "the connection was closed during the TLS handshake");
		return HTTP_REFUSED;
	}
	say(t, "the TLS handshake failed: %s", t->request.curl_error);
	return HTTP_TLS;
}

static enum http_outcome say_unconnected(struct http_transfer *t)
{
	long os_error = 0;

	curl_easy_getinfo(t->request.easy, CURLINFO_OS_ERRNO, &os_error);
	say(t, "%s", os_error ? strerror((int)os_error) : "no connection");
	return HTTP_REFUSED;
}

/* Whether the request was sent: before that, it is the way to the server that
 * failed. */
static bool was_sent(const struct http_transfer *t)
{
	long sent = 0;

	curl_easy_getinfo(t->request.easy, CURLINFO_REQUEST_SIZE, &sent);
	return sent > 0;
}

/* libcurl's words have milliseconds and bytes in them, which would make each failure look like
 * a new one. */
static const char *plain_words(const struct http_transfer *t, CURLcode code)
{
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return was_sent(t) ? "no whole answer in time" : "no connection in time";
	case CURLE_PARTIAL_FILE:
		return "the connection was closed in the middle of the answer";
	default:
		return *t->request.curl_error ? t->request.curl_error : curl_easy_strerror(code);
	}
}

/* Maps libcurl's code to an outcome, with the phrase for it in t->error. */
static enum http_outcome judge(struct http_transfer *t, CURLcode code)
{
	if (t->stopped)
		code = CURLE_WRITE_ERROR;
	switch (code) {
	case CURLE_OK:
		return HTTP_DONE;
	case CURLE_WRITE_ERROR:
		say(t, "stopped in the middle of the answer");
		return HTTP_STOPPED;
	case CURLE_PEER_FAILED_VERIFICATION:
		say_unverified(t);
		return HTTP_TLS;
	case CURLE_SSL_CONNECT_ERROR:
		return say_handshake(t);
	case CURLE_SSL_CACERT_BADFILE:
		say(t, "the CA certificate cannot be used: %s", t->request.curl_error);
		return HTTP_TLS;
	case CURLE_SSL_CERTPROBLEM:
		say(t, "the client certificate cannot be used: %s", t->request.curl_error);
		return HTTP_TLS;
	case CURLE_COULDNT_CONNECT:
		return say_unconnected(t);
	default:
		say(t, "%s", plain_words(t, code));
		return was_sent(t) ? HTTP_CUT : HTTP_REFUSED;
	}
}

/* --- libcurl on the event loop ------------------------------------------------------------ */

/* A message is gone once another is read or its handle removed. */
static void drain(struct http_client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left))) {
		struct http_transfer *t = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
		if (t && !t->cancelled)
			tell_done(t, judge(t, code));
	}
}

/* What curl_multi_socket_action() returns is left aside: it is about the handle
 * as a whole, and each transfer that it breaks ends with a message. */
static void act(struct http_client *client, curl_socket_t socket, int what)
{
	int running;

	client_enter(client);
	curl_multi_socket_action(client->multi, socket, what, &running);
	drain(client);
	client_leave(client);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	act(arg, fd,
	    (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *arg)
{
	struct http_client *client = arg;
	struct timeval in = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

	(void)multi;
	/* 0 means at once, but from the loop: libcurl must not be entered from here */
	return timeout_ms < 0 ? evtimer_del(client->timer) : evtimer_add(client->timer, &in);
}

static int on_socket_wanted(CURL *easy, curl_socket_t socket, int wanted, void *arg, void *assigned)
{
	struct http_client *client = arg;
	struct event *event = assigned;
	short what = EV_PERSIST;

	(void)easy;
	if (event)
		event_free(event);
	event = NULL;
	if (wanted != CURL_POLL_REMOVE) {
		what = (short)(what | (wanted & CURL_POLL_IN ? EV_READ : 0) |
		               (wanted & CURL_POLL_OUT ? EV_WRITE : 0));
		event = event_new(client->base, socket, what, on_socket, client);
		if (event && event_add(event, NULL) != 0) {
			event_free(event);
			event = NULL;
		}
	}
	curl_multi_assign(client->multi, socket, event);
	/* -1 would end every transfer, now and later; so one that cannot be watched ends with
	 * its deadline */
	return 0;
}

struct http_client *http_client_new(struct event_base *base)
{
	struct http_client *client;

	unsetenv("SSLKEYLOGFILE");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return NULL;
	client = calloc(1, sizeof *client);
	if (!client) {
		curl_global_cleanup();
		return NULL;
	}
	client->base = base;
	client->timer = evtimer_new(base, on_timer, client);
	client->resolver = resolver_new(base);
	client->multi = curl_multi_init();
	if (!client->timer || !client->resolver || !client->multi) {
		destroy_client(client);
		return NULL;
	}
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS);
	return client;
}

/* --- what the server sends ------------------------------------------------------------- */

/* Takes the text of `Warning: 299 - "text"` (RFC 7234, section 5.5), the first one. */
static void take_warning(struct http_transfer *t, const char *value, size_t len)
{
	size_t used = 0;
	const char *p, *end = value + len;

	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	p = memchr(value, '"', (size_t)(end - value));
	if (*t->warning || !p || end - value < 4 || strncmp(value, "299 ", 4) != 0)
		return;
	for (p++; p < end && *p != '"' && used < sizeof t->warning - 1; p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		t->warning[used++] = (unsigned char)*p < ' ' || *p == 0x7F ? ' ' : *p;
	}
	t->warning[used] = '\0';
}

static void tell_status(struct http_transfer *t)
{
	long status = 0;

	curl_easy_getinfo(t->request.easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200) {
		*t->warning = '\0';
		return; /* 100 Continue and its like: the final answer follows */
	}
	t->told_status = true;
	t->events.on_status(t->events.arg, (int)status, *t->warning ? t->warning : NULL);
}

/* One line, CRLF included.  Trailers come here too, after the body. */
static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	static const char warning[] = "warning:";
	struct http_transfer *t = arg;
	size_t len = size * n;

	if (t->cancelled)
		return 0;
	if (t->told_status)
		return len;
	if (len > strlen(warning) && strncasecmp(line, warning, strlen(warning)) == 0)
		take_warning(t, line + strlen(warning), len - strlen(warning));
	if (len <= 2 && (*line == '\r' || *line == '\n'))
		tell_status(t);
	return t->cancelled ? 0 : len;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	static const struct timeval at_once;
	struct http_transfer *t = arg;
	size_t len = size * n;

	if (t->cancelled || t->stopped)
		return 0;
	if (t->turn_bytes >= TURN_BYTES && evtimer_add(t->timer, &at_once) == 0)
		return CURL_WRITEFUNC_PAUSE; /* the same bytes come again */
	t->turn_bytes += len;
	if (!t->events.on_data(t->events.arg, bytes, len))
		t->stopped = true;
	return t->cancelled || t->stopped ? 0 : len;
}

/* --- starting ------------------------------------------------------------------------------- */

static void on_resolved(void *arg, const char *const *addresses, size_t n, const char *error)
{
	struct http_transfer *t = arg;
	struct http_client *client = t->client;

	client_enter(client);
	t->query = NULL;
	evtimer_del(t->timer);
	if (n == 0 && !http_proxy_variable()) {
		say(t, "%s", error);
		tell_done(t, HTTP_REFUSED);
	} else if (http_request_give_addresses(&t->request, addresses, n) != 0 ||
	           http_request_set_deadlines(&t->request, clock_now_ms() - t->started_ms) != 0 ||
	           curl_multi_add_handle(client->multi, t->request.easy) != CURLM_OK) {
		say(t, "memory is out");
		tell_done(t, HTTP_REFUSED);
	} else {
		t->in_multi = true;
	}
	client_leave(client);
}

static void lookup_failed(struct http_transfer *t)
{
	if (t->query) {
		say(t, "the host name was not resolved in time");
		tell_done(t, HTTP_REFUSED);
	} else {
		say(t, "there is no CA certificate to verify the server with");
		tell_done(t, HTTP_TLS);
	}
}

/* Calls on_body() with what was held back.  When that ends the transfer, libcurl
 * says so only here. */
static void resume(struct http_transfer *t)
{
	CURLcode code;

	t->turn_bytes = 0;
	code = curl_easy_pause(t->request.easy, CURLPAUSE_CONT);
	if (!t->cancelled && (t->stopped || code != CURLE_OK))
		tell_done(t, judge(t, code));
	drain(t->client);
}

static void on_transfer_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http_transfer *t = arg;
	struct http_client *client = t->client;

	(void)fd;
	(void)what;
	client_enter(client);
	if (t->in_multi)
		resume(t);
	else
		lookup_failed(t);
	client_leave(client);
}

/* Looks the host up, also a literal one, so that all begins from the loop. */
static int start(struct http_transfer *t, const struct http_server *server)
{
	unsigned limit_s = t->request.connect_timeout_s;
	struct timeval in = {0, 0};

	t->timer = evtimer_new(t->client->base, on_transfer_timer, t);
	if (!t->timer)
		return -1;
	if (!server->ca_pem && !server->system_ca)
		return evtimer_add(t->timer, &in);
	if (limit_s == 0 || (t->request.total_timeout_s && t->request.total_timeout_s < limit_s))
		limit_s = t->request.total_timeout_s;
	in.tv_sec = (time_t)limit_s;
	if (limit_s > 0 && evtimer_add(t->timer, &in) != 0)
		return -1;
	t->query = resolver_lookup(t->client->resolver, server->host, on_resolved, t);
	return t->query ? 0 : -1;
}

static int set_callbacks(struct http_transfer *t)
{
	CURL *easy = t->request.easy;

	return curl_easy_setopt(easy, CURLOPT_PRIVATE, t) == CURLE_OK &&
	               curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
	               curl_easy_setopt(easy, CURLOPT_HEADERDATA, t) == CURLE_OK &&
	               curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	               curl_easy_setopt(easy, CURLOPT_WRITEDATA, t) == CURLE_OK
	           ? 0
	           : -1;
}

struct http_transfer *http_get(struct http_client *client, const struct http_get *get,
                               const struct http_events *events)
{
	struct http_transfer *t = client->dying ? NULL : calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->client = client;
	t->events = *events;
	t->started_ms = clock_now_ms();
	DL_APPEND(client->transfers, t);
	if (http_request_open(&t->request, get) != 0 || set_callbacks(t) != 0 ||
	    start(t, get->server) != 0) {
		free_transfer(t);
		return NULL;
	}
	return t;
}

const char *http_proxy_variable(void)
{
	static const char *const variables[] = {"https_proxy", "HTTPS_PROXY", "all_proxy",
	                                        "ALL_PROXY"};
	const char *exempt = getenv("no_proxy");

	if (!exempt || !*exempt)
		exempt = getenv("NO_PROXY");
	if (exempt && strcmp(exempt, "*") == 0)
		return NULL;
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
		const char *value = getenv(variables[i]);
		if (value && *value)
			return variables[i];
	}
	return NULL;
}
