/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "discovery/kube_access.h"
#include "tls_fixture.h"

static struct tls_identity first, second;

struct place {
	char dir[64];     /* a temporary folder */
	char account[96]; /* the service account's folder in it */
	char error[512];
	struct kube_access *access;
};

/* --- a folder to play in ------------------------------------------------------------------ */

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static const char *in(const struct place *p, const char *name)
{
	static char paths[4][256];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof paths[0], "%s/%s", p->dir, name);
	return path;
}

static void write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

/* As a new file each time: the clock that files are stamped with is coarse. */
static void put(const struct place *p, const char *name, const char *text)
{
	write_text(in(p, ".new"), text);
	assert_int_equal(rename(in(p, ".new"), in(p, name)), 0);
}

static int set_up(void **state)
{
	static const char *const variables[] = {"KUBECONFIG", "KUBERNETES_SERVICE_HOST",
	                                        "KUBERNETES_SERVICE_PORT"};
	struct place *p = calloc(1, sizeof *p);

	*state = p;
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
		unsetenv(variables[i]);
	strcpy(p->dir, "/tmp/kepmd-test-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->account, sizeof p->account, "%s/account", p->dir);
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	kube_access_free(p->access);
	nftw(p->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(p);
	return 0;
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void in_pod(void)
{
	setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
}

static void mount_account(struct place *p)
{
	in_pod();
	assert_int_equal(mkdir(p->account, 0700), 0);
	put(p, "account/token", "token-1\n");
	put(p, "account/ca.crt", first.cert_pem);
	put(p, "account/namespace", "team-a\n");
}

static struct kube_access *open_access(struct place *p, const char *kubeconfig)
{
	kube_access_free(p->access);
	*p->error = '\0';
	p->access = kube_access_open(kubeconfig, p->account, p->error, sizeof p->error);
	return p->access;
}

static struct kube_access *must_open(struct place *p, const char *kubeconfig)
{
	if (!open_access(p, kubeconfig))
		fail_msg("%s", p->error);
	return p->access;
}

static int refresh(struct place *p)
{
	*p->error = '\0';
	return kube_access_refresh(p->access, p->error, sizeof p->error);
}

static void must_refresh(struct place *p)
{
	if (refresh(p) != 0)
		fail_msg("%s", p->error);
}

/* --- the service account -------------------------------------------------------------------- */

static void test_service_account(void **state)
{
	struct place *p = *state;

	mount_account(p);
	struct kube_access *access = must_open(p, NULL);
	assert_string_equal(access->origin, "service account");
	assert_true(access->in_cluster);
	assert_string_equal(access->host, "10.96.0.1");
	assert_int_equal(access->port, 443);
	assert_string_equal(access->base_path, "");
	assert_string_equal(access->namespace_, "team-a");
	assert_false(access->system_ca);
	assert_null(access->tls_server_name);
	assert_null(access->token);
	must_refresh(p);
	assert_string_equal(access->token, "token-1");
	assert_string_equal(access->ca_pem, first.cert_pem);
	assert_int_equal(access->generation, 1);
	must_refresh(p);
	assert_int_equal(access->generation, 1);
}

static void test_ipv6_server(void **state)
{
	struct place *p = *state;

	mount_account(p);
	setenv("KUBERNETES_SERVICE_HOST", "fd00:10:96::1", 1);
	assert_string_equal(must_open(p, NULL)->host, "fd00:10:96::1");
	setenv("KUBERNETES_SERVICE_HOST", "[fd00:10:96::1]", 1);
	assert_string_equal(must_open(p, NULL)->host, "fd00:10:96::1");
}

static void test_odd_environment(void **state)
{
	struct place *p = *state;
	static const char *const rows[][2] = {
	    {"10.96.0.1", "tcp://10.96.0.1:443"},
	    {"10.96.0.1", "0"},
	    {"10.96.0.1", "443/x"},
	    {"a b", "443"},
	    {"x/y", "443"},
	    {"u@h", "443"},
	};

	mount_account(p);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		setenv("KUBERNETES_SERVICE_HOST", rows[i][0], 1);
		setenv("KUBERNETES_SERVICE_PORT", rows[i][1], 1);
		assert_null(open_access(p, NULL));
		assert_contains(p->error, "KUBERNETES_SERVICE_PORT=");
	}
}

static void test_nothing_mounted_yet(void **state)
{
	struct place *p = *state;

	in_pod();
	assert_string_equal(must_open(p, NULL)->namespace_, "default");
	assert_int_equal(refresh(p), -1);
	assert_contains(p->error, "account/token cannot be used: No such file or directory");
	assert_contains(p->error, "automountServiceAccountToken");
	assert_int_equal(mkdir(p->account, 0700), 0);
	put(p, "account/token", "token-1");
	assert_int_equal(refresh(p), -1);
	assert_contains(p->error, "account/ca.crt cannot be used");
	put(p, "account/ca.crt", "half");
	assert_int_equal(refresh(p), -1);
	assert_contains(p->error, "account/ca.crt cannot be used: it is not PEM");
	assert_int_equal(refresh(p), -1);
	assert_contains(p->error, "account/ca.crt cannot be used: it is not PEM");
	put(p, "account/ca.crt", first.cert_pem);
	must_refresh(p);
	assert_string_equal(p->access->token, "token-1");
}

/* As the kubelet does it: ..data is swapped for another folder. */
static void test_token_swapped_by_symlink(void **state)
{
	struct place *p = *state;

	in_pod();
	mkdir(p->account, 0700);
	mkdir(in(p, "account/..one"), 0700);
	mkdir(in(p, "account/..two"), 0700);
	put(p, "account/..one/token", "  token-one\r\n\n");
	put(p, "account/..two/token", "token-two");
	put(p, "account/ca.crt", first.cert_pem);
	assert_int_equal(symlink("..one", in(p, "account/..data")), 0);
	assert_int_equal(symlink("..data/token", in(p, "account/token")), 0);
	must_open(p, NULL);
	must_refresh(p);
	assert_string_equal(p->access->token, "token-one");
	assert_int_equal(symlink("..two", in(p, "account/..tmp")), 0);
	assert_int_equal(rename(in(p, "account/..tmp"), in(p, "account/..data")), 0);
	must_refresh(p);
	assert_string_equal(p->access->token, "token-two");
	assert_int_equal(p->access->generation, 2);
}

static void test_bad_token_keeps_the_old(void **state)
{
	struct place *p = *state;
	static const char *const bad[] = {"",     " \n\n",      "two words", "a\r\nX-Evil: 1",
	                                  "\x01", "caf\xc3\xa9"};

	mount_account(p);
	must_open(p, NULL);
	must_refresh(p);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		put(p, "account/token", bad[i]);
		must_refresh(p);
		assert_string_equal(p->access->token, "token-1");
	}
	unlink(in(p, "account/token"));
	must_refresh(p);
	mkdir(in(p, "account/token"), 0700);
	must_refresh(p);
	rmdir(in(p, "account/token"));
	mkfifo(in(p, "account/token"), 0600);
	must_refresh(p);
	assert_string_equal(p->access->token, "token-1");
	assert_int_equal(p->access->generation, 1);
	unlink(in(p, "account/token"));
	put(p, "account/token", "token-2");
	must_refresh(p);
	assert_string_equal(p->access->token, "token-2");
	assert_int_equal(p->access->generation, 2);
}

static void test_long_token(void **state)
{
	struct place *p = *state;
	char *token = malloc(100001);

	memset(token, 't', 100000);
	token[100000] = '\0';
	mount_account(p);
	put(p, "account/token", token);
	must_open(p, NULL);
	must_refresh(p);
	assert_string_equal(p->access->token, token);
	free(token);
}

static void test_ca_rotated(void **state)
{
	struct place *p = *state;
	char *both, *half;

	assert_true(asprintf(&both, "# old and new\n%s\n%s", first.cert_pem, second.cert_pem) > 0);
	assert_true(asprintf(&half, "%s%.200s", second.cert_pem, first.cert_pem) > 0);
	const char *bad[] = {"", "garbage", half,
	                     "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
	                     first.key_pem};
	mount_account(p);
	must_open(p, NULL);
	must_refresh(p);
	put(p, "account/ca.crt", both);
	must_refresh(p);
	assert_string_equal(p->access->ca_pem, both);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		put(p, "account/ca.crt", bad[i]);
		must_refresh(p);
		assert_string_equal(p->access->ca_pem, both);
	}
	unlink(in(p, "account/ca.crt"));
	must_refresh(p);
	assert_string_equal(p->access->ca_pem, both);
	assert_int_equal(p->access->generation, 2);
	put(p, "account/ca.crt", second.cert_pem);
	must_refresh(p);
	assert_string_equal(p->access->ca_pem, second.cert_pem);
	assert_int_equal(p->access->generation, 3);
	free(both);
	free(half);
}

/* What stat(2) shows decides whether the file is read again. */
static void test_unchanged_ca_is_not_read(void **state)
{
	struct place *p = *state;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
	                            {.tv_sec = 1700000000, .tv_nsec = 123}};
	char one[4096], other[4096];

	snprintf(one, sizeof one, "%-4000s", first.cert_pem);
	snprintf(other, sizeof other, "%-4000s", second.cert_pem);
	mount_account(p);
	must_open(p, NULL);
	write_text(in(p, "account/ca.crt"), one);
	utimensat(AT_FDCWD, in(p, "account/ca.crt"), times, 0);
	must_refresh(p);
	assert_string_equal(p->access->ca_pem, one);
	write_text(in(p, "account/ca.crt"), other);
	utimensat(AT_FDCWD, in(p, "account/ca.crt"), times, 0);
	must_refresh(p);
	assert_string_equal(p->access->ca_pem, one);
	times[1].tv_nsec++;
	utimensat(AT_FDCWD, in(p, "account/ca.crt"), times, 0);
	must_refresh(p);
	assert_string_equal(p->access->ca_pem, other);
}

/* A file that could not be read is read again, though it is the same as then. */
static void test_unread_ca_is_read_again(void **state)
{
	struct place *p = *state;
	char error[300];
	char *big = calloc(1, 4u << 20);

	assert_non_null(big);
	memset(big, 'x', (4u << 20) - 1);
	mount_account(p);
	put(p, "account/ca.crt", big);
	free(big);
	must_open(p, NULL);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(kube_access_refresh(p->access, error, sizeof error), -1);
		assert_contains(error, "File too large");
	}
}

/* --- kubeconfigs ------------------------------------------------------------------------------ */

static void put_config(const struct place *p, const char *name, const char *cluster,
                       const char *user)
{
	char text[2048];

	snprintf(text, sizeof text,
	         "current-context: x\n"
	         "contexts: [{name: x, context: {cluster: x, user: x}}]\n"
	         "clusters: [{name: x, cluster: {%s}}]\n"
	         "users: [{name: x, user: {%s}}]\n",
	         cluster, user);
	put(p, name, text);
}

static void test_relative_paths(void **state)
{
	struct place *p = *state;

	mkdir(in(p, "sub"), 0700);
	put_config(p, "config",
	           "server: 'https://api:6443/base/', certificate-authority: sub/ca.crt",
	           "client-certificate: sub/c.crt, client-key: ./sub/c.key, tokenFile: token");
	put(p, "sub/ca.crt", first.cert_pem);
	put(p, "sub/c.crt", second.cert_pem);
	put(p, "sub/c.key", second.key_pem);
	put(p, "token", "from-file");
	struct kube_access *access = must_open(p, in(p, "config"));
	assert_false(access->in_cluster);
	assert_string_equal(access->origin, in(p, "config"));
	assert_string_equal(access->host, "api");
	assert_int_equal(access->port, 6443);
	assert_string_equal(access->base_path, "/base");
	assert_string_equal(access->namespace_, "default");
	must_refresh(p);
	assert_string_equal(access->ca_pem, first.cert_pem);
	assert_string_equal(access->cert_pem, second.cert_pem);
	assert_string_equal(access->key_pem, second.key_pem);
	assert_string_equal(access->token, "from-file");
	assert_int_equal(access->generation, 1);
	/* the client's certificate is renewed */
	put(p, "sub/c.crt", first.cert_pem);
	put(p, "sub/c.key", first.key_pem);
	must_refresh(p);
	assert_string_equal(access->cert_pem, first.cert_pem);
	assert_string_equal(access->key_pem, first.key_pem);
	assert_int_equal(access->generation, 2);
}

static void test_relative_kubeconfig(void **state)
{
	struct place *p = *state;
	char before[1024];

	put_config(p, "config", "server: 'https://api', certificate-authority: ca.crt", "token: t");
	put(p, "ca.crt", first.cert_pem);
	assert_non_null(getcwd(before, sizeof before));
	assert_int_equal(chdir(p->dir), 0);
	must_open(p, "config");
	must_refresh(p);
	assert_string_equal(p->access->ca_pem, first.cert_pem);
	assert_int_equal(chdir(before), 0);
}

static void test_files_named_by_kubeconfig_missing(void **state)
{
	struct place *p = *state;

	put_config(p, "config", "server: 'https://api', certificate-authority: gone.crt",
	           "tokenFile: gone.token");
	must_open(p, in(p, "config"));
	assert_int_equal(refresh(p), -1);
	assert_contains(p->error, "gone.token, named by ");
	assert_contains(p->error, "/config, cannot be used: No such file");
}

static void test_no_ca_means_the_system(void **state)
{
	struct place *p = *state;

	put_config(p, "config", "server: 'https://api.example.org'", "token: t");
	must_open(p, in(p, "config"));
	must_refresh(p);
	assert_true(p->access->system_ca);
	assert_null(p->access->ca_pem);
	assert_string_equal(p->access->token, "t");
}

static void test_inline_data_that_is_no_certificate(void **state)
{
	struct place *p = *state;

	/* "-----BEGIN X-----" */
	put_config(p, "config",
	           "server: 'https://api', certificate-authority-data: LS0tLS1CRUdJTiBYLS0tLS0=",
	           "token: verysecret");
	assert_null(open_access(p, in(p, "config")));
	assert_contains(p->error, "/config cannot be used: certificate-authority-data is no PEM");
	assert_null(strstr(p->error, "verysecret"));
}

static void test_kubeconfig_errors(void **state)
{
	struct place *p = *state;

	assert_null(open_access(p, in(p, "gone")));
	assert_contains(p->error, "/gone cannot be read: No such file or directory");
	assert_null(open_access(p, p->dir));
	assert_contains(p->error, "cannot be read: Is a directory");
	put_config(p, "config", "server: 'http://api'", "token: t");
	assert_null(open_access(p, in(p, "config")));
	assert_contains(p->error, "/config cannot be used: line 3: server begins with http://");
}

/* --- the order of sources ------------------------------------------------------------------------
 */

static void test_order(void **state)
{
	struct place *p = *state;

	put_config(p, "one", "server: 'https://one'", "token: t");
	put_config(p, "two", "server: 'https://two'", "token: t");
	setenv("KUBECONFIG", in(p, "two"), 1);
	/* the setting before all, the service account before $KUBECONFIG */
	mount_account(p);
	assert_string_equal(must_open(p, in(p, "one"))->host, "one");
	assert_string_equal(must_open(p, NULL)->host, "10.96.0.1");
	assert_string_equal(must_open(p, "")->host, "10.96.0.1");
	unsetenv("KUBERNETES_SERVICE_PORT");
	assert_string_equal(must_open(p, NULL)->host, "two");
}

static void test_pod_without_token_but_kubeconfig(void **state)
{
	struct place *p = *state;

	put_config(p, "two", "server: 'https://two'", "token: t");
	setenv("KUBECONFIG", in(p, "two"), 1);
	in_pod();
	assert_string_equal(must_open(p, NULL)->host, "two");
}

static void test_kubeconfig_list(void **state)
{
	struct place *p = *state;
	char list[512];

	put_config(p, "two", "server: 'https://two'", "token: t");
	put_config(p, "three", "server: 'https://three'", "token: t");
	snprintf(list, sizeof list, ":%s::%s:%s:", in(p, "one"), in(p, "two"), in(p, "three"));
	setenv("KUBECONFIG", list, 1);
	assert_string_equal(must_open(p, NULL)->host, "two");
	setenv("KUBECONFIG", "/nowhere/a:/nowhere/b", 1);
	assert_null(open_access(p, NULL));
	assert_string_equal(p->error, "KUBECONFIG=/nowhere/a:/nowhere/b names no file that exists");
}

/* --- several kubeconfigs ------------------------------------------------------------------------- */

#define CONTEXT(name, cluster, user) \
	"contexts: [{name: " name ", context: {cluster: " cluster ", user: " user "}}]\n"
#define CLUSTER(name, rest) "clusters: [{name: " name ", cluster: {" rest "}}]\n"
#define USER(name, rest) "users: [{name: " name ", user: {" rest "}}]\n"

static struct kube_access *open_three(struct place *p)
{
	char list[512];

	snprintf(list, sizeof list, "%s:%s:%s", in(p, "a"), in(p, "sub/b"), in(p, "sub/c"));
	setenv("KUBECONFIG", list, 1);
	return open_access(p, NULL);
}

static void test_kubeconfigs_are_merged(void **state)
{
	struct place *p = *state;

	assert_int_equal(mkdir(in(p, "sub"), 0700), 0);
	put(p, "a", "current-context: x\n" USER("u", "tokenFile: token-a"));
	put(p, "sub/b", "current-context: y\n" CONTEXT("x", "k", "u") USER("u", "token: never"));
	put(p, "sub/c", CLUSTER("k", "server: 'https://c', certificate-authority: ca.crt"));
	if (!open_three(p))
		fail_msg("%s", p->error);
	assert_string_equal(p->access->host, "c");
	assert_null(p->access->token);
	/* each path from its own file's folder */
	assert_string_equal(p->access->token_file, in(p, "/token-a"));
	assert_string_equal(p->access->ca_file, in(p, "sub//ca.crt"));

	/* an empty file is none, a whole entry wins */
	put(p, "a", "");
	put(p, "sub/b", "current-context: x\n" CONTEXT("x", "k", "u") USER("u", "token: t")
	                    CLUSTER("k", "server: 'https://b'"));
	if (!open_three(p))
		fail_msg("%s", p->error);
	assert_string_equal(p->access->host, "b");
	assert_null(p->access->ca_file);
	assert_string_equal(p->access->token, "t");
}

static void test_which_of_several_kubeconfigs_is_wrong_is_said(void **state)
{
	struct place *p = *state;
	char many[40 * 256] = "";

	assert_int_equal(mkdir(in(p, "sub"), 0700), 0);
	put(p, "a", "current-context: x\n");
	put(p, "sub/b", CONTEXT("x", "k", "u") CLUSTER("k", "server: 'http://b'"));
	put(p, "sub/c", USER("u", "token: t"));
	assert_null(open_three(p));
	assert_contains(p->error, "/sub/b cannot be used: line 2: server begins with http://");
	put(p, "sub/b", CONTEXT("x", "k", "u"));
	assert_null(open_three(p));
	assert_contains(p->error, "/sub/c cannot be used: clusters has no entry named \"k\"");
	assert_contains(p->error, "/a:");
	put(p, "a", "");
	assert_null(open_three(p));
	assert_contains(p->error, "/sub/c cannot be used: current-context is not set");
	put(p, "sub/c", "users: [");
	assert_null(open_three(p));
	assert_contains(p->error, "/sub/c cannot be used: line ");
	assert_int_equal(unlink(in(p, "sub/c")), 0);
	assert_int_equal(mkdir(in(p, "sub/c"), 0700), 0);
	assert_null(open_three(p));
	assert_contains(p->error, "/sub/c cannot be read: Is a directory");
	for (int i = 0; i < 40; i++)
		snprintf(many + strlen(many), 256, "%s:", in(p, "a"));
	setenv("KUBECONFIG", many, 1);
	assert_null(open_access(p, NULL));
	assert_contains(p->error, "KUBECONFIG names more than 32 files");
}

static void test_no_way_in(void **state)
{
	struct place *p = *state;

	assert_null(open_access(p, NULL));
	assert_contains(p->error, "automountServiceAccountToken");
	assert_contains(p->error, "ERL_EPMD_KUBECONFIG");
	setenv("KUBECONFIG", "", 1);
	assert_null(open_access(p, NULL));
	mkdir(p->account, 0700);
	assert_null(open_access(p, NULL));
	assert_contains(p->error, "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not in");
	kube_access_free(NULL);
}

/* --- the group
 * -------------------------------------------------------------------------------------- */

static int make_certificates(void **state)
{
	(void)state;
	first = tls_fixture_ca("the first of two authorities");
	second = tls_fixture_ca("second");
	return 0;
}

static int drop_certificates(void **state)
{
	(void)state;
	tls_identity_clear(&first);
	tls_identity_clear(&second);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_service_account),
	    TEST(test_ipv6_server),
	    TEST(test_odd_environment),
	    TEST(test_nothing_mounted_yet),
	    TEST(test_token_swapped_by_symlink),
	    TEST(test_bad_token_keeps_the_old),
	    TEST(test_long_token),
	    TEST(test_ca_rotated),
	    TEST(test_unchanged_ca_is_not_read),
	    TEST(test_unread_ca_is_read_again),
	    TEST(test_relative_paths),
	    TEST(test_relative_kubeconfig),
	    TEST(test_files_named_by_kubeconfig_missing),
	    TEST(test_no_ca_means_the_system),
	    TEST(test_inline_data_that_is_no_certificate),
	    TEST(test_kubeconfig_errors),
	    TEST(test_order),
	    TEST(test_pod_without_token_but_kubeconfig),
	    TEST(test_kubeconfig_list),
	    TEST(test_kubeconfigs_are_merged),
	    TEST(test_which_of_several_kubeconfigs_is_wrong_is_said),
	    TEST(test_no_way_in),
	};

	return cmocka_run_group_tests_name("kube_access", tests, make_certificates,
	                                   drop_certificates);
}
