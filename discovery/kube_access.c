/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kube_access.h"
#include "kubeconfig.h"
#include "secret.h"

#define SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"
#define KUBECONFIG_MAX (4u << 20)
#define KUBECONFIGS_MAX 32 /* in $KUBECONFIG */
#define CREDENTIAL_MAX (1u << 20)
#define FILE_ROOM (16 << 10) /* memory to read a small file with */

/* Which file it was when it was last read, whether or not it was any good, so
 * that a bad file is not parsed anew for each request. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

/* What callers see comes first, so that the two convert into each other. */
struct access {
	struct kube_access shown;
	struct stamp ca, cert, key;
};

void kube_access_free(struct kube_access *access)
{
	if (!access)
		return;
	free(access->origin);
	free(access->host);
	free(access->base_path);
	free(access->namespace_);
	free(access->tls_server_name);
	free(access->ca_pem);
	free(access->cert_pem);
	secret_free(access->key_pem);
	secret_free(access->token);
	free(access->ca_file);
	free(access->cert_file);
	free(access->key_file);
	free(access->token_file);
	free(access);
}

/* --- files --------------------------------------------------------------------- */

static struct stamp stamp_of(const struct stat *st)
{
	return (struct stamp){st->st_dev, st->st_ino, st->st_size, st->st_mtim};
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* Reads FD to its end.  Returns NULL with errno set when it is longer than MAX
 * bytes, cannot be read, or memory is out. */
static char *read_fd(int fd, size_t max, size_t *len)
{
	char *text = malloc(max + 1);
	size_t used = 0;

	while (text) {
		ssize_t n = read(fd, text + used, max + 1 - used);
		if (n == 0) {
			text[used] = '\0';
			break;
		}
		if (n < 0 && errno == EINTR)
			continue;
		used += n > 0 ? (size_t)n : 0;
		if (n < 0 || used > max) {
			int saved = n < 0 ? errno : EFBIG;
			explicit_bzero(text, used);
			free(text);
			errno = saved;
			return NULL;
		}
	}
	*len = used;
	return text;
}

/* The whole regular file PATH, NUL-terminated; NULL with errno set.  With LAST,
 * the same file as then is not read again: NULL with errno 0. */
static char *read_file(const char *path, size_t max, struct stamp *last, size_t *len)
{
	/* a FIFO must not hold the event loop */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char *text = NULL;
	int saved = 0;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) != 0) {
		saved = errno;
	} else if (!S_ISREG(st.st_mode)) {
		saved = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	} else {
		struct stamp now = stamp_of(&st);
		if (!last || !same_stamp(last, &now)) {
			/* some file systems say 0 for the size of what they make up */
			size_t room = st.st_size < FILE_ROOM ? FILE_ROOM : (size_t)st.st_size + 1;
			text = read_fd(fd, room < max ? room : max, len);
			saved = text ? 0 : errno;
			if (last && text)
				*last = now;
		}
	}
	close(fd);
	errno = saved;
	return text;
}

/* --- what is read again before each request --------------------------------------- */

/* Cuts white space from both ends.  False when nothing is left, or what is left
 * cannot stand in a header. */
static bool trim_token(char *token)
{
	static const char space[] = " \t\r\n";
	size_t lead = strspn(token, space), len = strlen(token + lead);

	while (len > 0 && strchr(space, token[lead + len - 1]))
		len--;
	memmove(token, token + lead, len);
	explicit_bzero(token + len, strlen(token + len));
	for (const char *p = token; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return len > 0;
}

static const char *refresh_token(struct kube_access *access)
{
	size_t len;
	char *token = read_file(access->token_file, CREDENTIAL_MAX, NULL, &len);

	if (!token)
		return strerror(errno);
	if (!trim_token(token)) {
		secret_free(token);
		return "it has no token in it";
	}
	if (access->token && strcmp(access->token, token) == 0) {
		secret_free(token);
		return NULL;
	}
	secret_free(access->token);
	access->token = token;
	access->generation++;
	return NULL;
}

/* True when TEXT is whole certificates, at least one, and nothing broken. */
static bool is_certificates(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	size_t n = 0;
	X509 *certificate;

	if (!bio)
		return false;
	while ((certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL))) {
		X509_free(certificate);
		n++;
	}
	bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	BIO_free(bio);
	return n > 0 && at_end;
}

static bool is_private_key(const char *text)
{
	const char *begin = strstr(text, "-----BEGIN ");

	return begin && strstr(begin, "PRIVATE KEY-----") && strstr(begin, "-----END ");
}

/* Takes FILE for *PEM where it changed and is good. */
static const char *refresh_pem(struct kube_access *access, const char *file, struct stamp *last,
                               bool (*is_good)(const char *text), char **pem)
{
	size_t len;
	char *text = read_file(file, CREDENTIAL_MAX, last, &len);

	if (!text && errno)
		return strerror(errno);
	if (!text)
		return *pem ? NULL : "it is not PEM";
	if (!is_good(text)) {
		secret_free(text);
		return "it is not PEM";
	}
	if (*pem && strcmp(*pem, text) == 0) {
		secret_free(text);
		return NULL;
	}
	secret_free(*pem);
	*pem = text;
	access->generation++;
	return NULL;
}

static int refuse(char *error, size_t error_size, const struct kube_access *access,
                  const char *file, const char *problem)
{
	if (access->in_cluster)
		snprintf(error, error_size,
		         "%s cannot be used: %s; the pod needs its service account's token "
		         "(automountServiceAccountToken: true)",
		         file, problem);
	else
		snprintf(error, error_size, "%s, named by %s, cannot be used: %s", file,
		         access->origin, problem);
	return -1;
}

int kube_access_refresh(struct kube_access *access, char *error, size_t error_size)
{
	struct access *whole = (struct access *)access;
	unsigned before = access->generation;
	const char *problem;
	int result = 0;

	const struct {
		const char *file;
		struct stamp *last;
		bool (*is_good)(const char *text);
		char **pem;
	} pems[] = {
	    {access->ca_file, &whole->ca, is_certificates, &access->ca_pem},
	    {access->cert_file, &whole->cert, is_certificates, &access->cert_pem},
	    {access->key_file, &whole->key, is_private_key, &access->key_pem},
	};
	for (size_t i = 0; i < sizeof pems / sizeof *pems; i++) {
		if (!pems[i].file)
			continue;
		problem =
		    refresh_pem(access, pems[i].file, pems[i].last, pems[i].is_good, pems[i].pem);
		if (!*pems[i].pem)
			result = refuse(error, error_size, access, pems[i].file, problem);
	}
	if (access->token_file) {
		problem = refresh_token(access);
		if (!access->token)
			result = refuse(error, error_size, access, access->token_file, problem);
	}
	if (access->generation != before)
		access->generation = before + 1;
	return result;
}

/* --- where to look ------------------------------------------------------------------ */

static struct kube_access *fail(struct kube_access *access, char *error, size_t error_size,
                                const char *why)
{
	kube_access_free(access);
	snprintf(error, error_size, "%s", why);
	return NULL;
}

static struct kube_access *access_new(const char *origin)
{
	struct access *access = calloc(1, sizeof *access);

	if (!access)
		return NULL;
	access->shown.origin = strdup(origin);
	return &access->shown;
}

/* FOLDER/NAME, or NAME where it is absolute. */
static char *join_path(const char *folder, const char *name)
{
	char *path;

	if (*name == '/')
		return strdup(name);
	return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

static int take_server(struct kube_access *access, const char *url, char *problem, size_t size)
{
	struct kubeconfig_server server;

	if (kubeconfig_split_server(url, &server, problem, size) != 0)
		return -1;
	access->host = server.host;
	access->port = server.port;
	access->base_path = server.path;
	return 0;
}

static bool has_all(const struct kube_access *access)
{
	return access->origin && access->host && access->namespace_;
}

static char *read_namespace(const char *dir)
{
	char *path = join_path(dir, "namespace");
	size_t len;
	char *text = path ? read_file(path, 4096, NULL, &len) : NULL;

	free(path);
	if (text && trim_token(text))
		return text;
	free(text);
	return strdup("default");
}

static struct kube_access *open_service_account(const char *dir, const char *host, const char *port,
                                                char *error, size_t error_size)
{
	struct kube_access *access = access_new("service account");
	char problem[160] = "", url[512];
	bool bare_ipv6 = strchr(host, ':') && *host != '[';

	if (!access)
		return fail(NULL, error, error_size, "memory is out");
	access->in_cluster = true;
	if (snprintf(url, sizeof url, bare_ipv6 ? "https://[%s]:%s" : "https://%s:%s", host,
	             port) >= (int)sizeof url ||
	    take_server(access, url, problem, sizeof problem) != 0 || *access->base_path) {
		kube_access_free(access);
		snprintf(error, error_size,
		         "KUBERNETES_SERVICE_HOST=%.100s and KUBERNETES_SERVICE_PORT=%.100s are no "
		         "address "
		         "and port; Kubernetes sets them in each container",
		         host, port);
		return NULL;
	}
	access->namespace_ = read_namespace(dir);
	access->token_file = join_path(dir, "token");
	access->ca_file = join_path(dir, "ca.crt");
	if (!has_all(access) || !access->token_file || !access->ca_file)
		return fail(access, error, error_size, "memory is out");
	return access;
}

/* Moves a string out of the kubeconfig. */
static char *take(char **from)
{
	char *string = *from;

	*from = NULL;
	return string;
}

/* Takes the path in *FROM, which is relative to FOLDER. */
static int take_path(const char *folder, const char *from, char **to)
{
	if (from && !(*to = join_path(folder, from)))
		return -1;
	return 0;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
}

/* PATHS are those of the texts that CONFIG was made of. */
static int take_config(struct kube_access *access, struct kubeconfig *config, char **paths,
                       char *problem, size_t size)
{
	char *folder = folder_of(paths[config->cluster_from]);
	char *user_folder = folder_of(paths[config->user_from]);
	int result = -1;

	snprintf(problem, size, "memory is out");
	if (!folder || !user_folder || take_path(folder, config->ca_file, &access->ca_file) != 0 ||
	    take_path(user_folder, config->cert_file, &access->cert_file) != 0 ||
	    take_path(user_folder, config->key_file, &access->key_file) != 0 ||
	    take_path(user_folder, config->token_file, &access->token_file) != 0 ||
	    take_server(access, config->server, problem, size) != 0)
		goto out;
	access->namespace_ = config->namespace_ ? take(&config->namespace_) : strdup("default");
	access->tls_server_name = take(&config->tls_server_name);
	access->ca_pem = take(&config->ca_pem);
	access->cert_pem = take(&config->cert_pem);
	access->key_pem = take(&config->key_pem);
	access->token = take(&config->token);
	access->system_ca = !access->ca_pem && !access->ca_file;
	if (!has_all(access))
		goto out;
	/* inline credentials never get better, so say it now */
	snprintf(problem, size, "certificate-authority-data is no PEM certificate");
	if (access->ca_pem && !is_certificates(access->ca_pem))
		goto out;
	snprintf(problem, size, "client-certificate-data is no PEM certificate");
	if (access->cert_pem && !is_certificates(access->cert_pem))
		goto out;
	snprintf(problem, size, "client-key-data is no PEM private key");
	if (access->key_pem && !is_private_key(access->key_pem))
		goto out;
	result = 0;
out:
	free(folder);
	free(user_folder);
	return result;
}

/* Kubeconfigs that count as one. */
struct files {
	char *paths[KUBECONFIGS_MAX];
	char *contents[KUBECONFIGS_MAX]; /* what TEXTS point to */
	struct kubeconfig_text texts[KUBECONFIGS_MAX];
	size_t n;
};

static void files_clear(struct files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		if (files->contents[i])
			explicit_bzero(files->contents[i], files->texts[i].len);
		free(files->contents[i]);
		free(files->paths[i]);
	}
	files->n = 0;
}

/* Takes PATH over, which may be NULL. */
static int files_read(struct files *files, char *path, char *error, size_t error_size)
{
	size_t i = files->n, len = 0;

	if (!path) {
		snprintf(error, error_size, "memory is out");
		return -1;
	}
	files->paths[i] = path;
	files->contents[i] = read_file(path, KUBECONFIG_MAX, NULL, &len);
	files->texts[i] = (struct kubeconfig_text){files->contents[i], len};
	files->n++;
	if (files->contents[i])
		return 0;
	snprintf(error, error_size, "the kubeconfig %s cannot be read: %s", path, strerror(errno));
	return -1;
}

/* ORIGIN is what they are called together. */
static struct kube_access *open_files(struct files *files, const char *origin, char *error,
                                      size_t error_size)
{
	struct kubeconfig config = {0};
	struct kube_access *access = access_new(origin);
	char problem[300] = "memory is out";
	size_t at = files->n;
	int result = -1;

	if (access)
		result = kubeconfig_merge(files->texts, files->n, &config, &at, problem,
		                          sizeof problem);
	if (result == 0)
		result = take_config(access, &config, files->paths, problem, sizeof problem);
	kubeconfig_clear(&config);
	if (result == 0)
		return access;
	if (at < files->n)
		origin = files->paths[at];
	snprintf(error, error_size, "the kubeconfig %s cannot be used: %s", origin, problem);
	kube_access_free(access);
	return NULL;
}

static struct kube_access *open_kubeconfig(const char *path, char *error, size_t error_size)
{
	struct files files = {.n = 0};
	struct kube_access *access = NULL;

	if (files_read(&files, strdup(path), error, error_size) == 0)
		access = open_files(&files, path, error, error_size);
	files_clear(&files);
	return access;
}

/* Reads the files of the colon-separated LIST that exist. */
static int read_listed(struct files *files, const char *list, char *error, size_t error_size)
{
	for (size_t len; *list; list += len + (list[len] == ':')) {
		len = strcspn(list, ":");
		char *path = len > 0 ? strndup(list, len) : NULL;

		if (len == 0 || (path && access(path, F_OK) != 0)) {
			free(path);
			continue;
		}
		if (files->n == KUBECONFIGS_MAX) {
			free(path);
			snprintf(error, error_size,
			         "KUBECONFIG names more than %d files: name fewer, or set "
			         "ERL_EPMD_KUBECONFIG",
			         KUBECONFIGS_MAX);
			return -1;
		}
		if (files_read(files, path, error, error_size) != 0)
			return -1;
	}
	return 0;
}

static struct kube_access *open_listed(const char *list, char *error, size_t error_size)
{
	struct files files = {.n = 0};
	struct kube_access *access = NULL;

	if (read_listed(&files, list, error, error_size) == 0) {
		if (files.n == 0)
			snprintf(error, error_size, "KUBECONFIG=%s names no file that exists",
			         list);
		else
			access = open_files(&files, files.n == 1 ? files.paths[0] : list, error,
			                    error_size);
	}
	files_clear(&files);
	return access;
}

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

struct kube_access *kube_access_open(const char *kubeconfig, const char *service_account_dir,
                                     char *error, size_t error_size)
{
	const char *dir = service_account_dir ? service_account_dir : SERVICE_ACCOUNT_DIR;
	const char *host = environment("KUBERNETES_SERVICE_HOST");
	const char *port = environment("KUBERNETES_SERVICE_PORT");
	const char *list = environment("KUBECONFIG");
	bool mounted = access(dir, F_OK) == 0;

	if (kubeconfig && *kubeconfig)
		return open_kubeconfig(kubeconfig, error, error_size);
	if (host && port && (mounted || !list))
		return open_service_account(dir, host, port, error, error_size);
	if (list)
		return open_listed(list, error, error_size);
	if (mounted)
		return fail(
		    NULL, error, error_size,
		    "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not in the "
		    "environment "
		    "though a service account's token is mounted: start epmd with the container's "
		    "environment, or set ERL_EPMD_KUBECONFIG");
	return fail(
	    NULL, error, error_size,
	    "there is no way to the Kubernetes API: in a pod, set automountServiceAccountToken: "
	    "true (KUBERNETES_SERVICE_HOST and the token are missing); elsewhere, set "
	    "ERL_EPMD_KUBECONFIG to a kubeconfig");
}
