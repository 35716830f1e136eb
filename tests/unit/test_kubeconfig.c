/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discovery/kubeconfig.h"

/* --- the cases in tests/cases/kubeconfig ------------------------------------------------ */

static char *read_case(const char *folder, const char *name, const char *suffix, size_t *len)
{
	const char *root = getenv("KEPMD_CASES");
	char path[1024];
	char *text = calloc(1, 65536);
	FILE *file;

	snprintf(path, sizeof path, "%s/kubeconfig/%s/%s%s", root ? root : "tests/cases", folder,
	         name, suffix);
	file = fopen(path, "rb");
	if (!file)
		fail_msg("%s cannot be read", path);
	*len = fread(text, 1, 65535, file);
	fclose(file);
	return text;
}

/* Calls CHECK for each NAME.yaml in FOLDER. */
static void each_case(const char *folder, void (*check)(const char *name))
{
	const char *root = getenv("KEPMD_CASES");
	char path[1024];
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof path, "%s/kubeconfig/%s", root ? root : "tests/cases", folder);
	dir = opendir(path);
	if (!dir)
		fail_msg("%s cannot be read", path);
	for (struct dirent *entry; (entry = readdir(dir));) {
		char *suffix = strstr(entry->d_name, ".yaml");
		if (!suffix)
			continue;
		*suffix = '\0';
		check(entry->d_name);
		n++;
	}
	closedir(dir);
	printf("%u cases in %s\n", n, folder);
	assert_true(n > 10);
}

static void print_field(char *out, size_t size, const char *name, const char *value)
{
	size_t used = strlen(out);

	if (!value)
		return;
	used += (size_t)snprintf(out + used, size - used, "%s: ", name);
	for (const char *p = value; *p; p++)
		used += (size_t)snprintf(out + used, size - used, *p == '\n' ? "\\n" : "%c", *p);
	snprintf(out + used, size - used, "\n");
}

static void check_valid(const char *name)
{
	size_t len;
	char *text = read_case("valid", name, ".yaml", &len);
	char *expected = read_case("valid", name, ".expect", &(size_t){0});
	char error[300] = "", got[8192] = "";
	struct kubeconfig config;

	if (kubeconfig_parse(text, len, &config, error, sizeof error) != 0)
		fail_msg("%s: %s", name, error);
	print_field(got, sizeof got, "context", config.context);
	print_field(got, sizeof got, "server", config.server);
	print_field(got, sizeof got, "namespace", config.namespace_);
	print_field(got, sizeof got, "tls_server_name", config.tls_server_name);
	print_field(got, sizeof got, "ca_file", config.ca_file);
	print_field(got, sizeof got, "ca_pem", config.ca_pem);
	print_field(got, sizeof got, "cert_file", config.cert_file);
	print_field(got, sizeof got, "cert_pem", config.cert_pem);
	print_field(got, sizeof got, "key_file", config.key_file);
	print_field(got, sizeof got, "key_pem", config.key_pem);
	print_field(got, sizeof got, "token_file", config.token_file);
	print_field(got, sizeof got, "token", config.token);
	if (strcmp(got, expected) != 0)
		fail_msg("%s: got\n%s", name, got);
	kubeconfig_clear(&config);
	free(text);
	free(expected);
}

static void check_invalid(const char *name)
{
	static const struct kubeconfig empty;
	size_t len;
	char *text = read_case("invalid", name, ".yaml", &len);
	char *expected = read_case("invalid", name, ".error", &(size_t){0});
	char error[300] = "";
	struct kubeconfig config;

	expected[strcspn(expected, "\n")] = '\0';
	if (kubeconfig_parse(text, len, &config, error, sizeof error) == 0)
		fail_msg("%s: was taken", name);
	if (strcmp(error, expected) != 0)
		fail_msg("%s: \"%s\", not \"%s\"", name, error, expected);
	if (strcasestr(error, "secret"))
		fail_msg("%s: a secret in \"%s\"", name, error);
	assert_memory_equal(&config, &empty, sizeof config);
	free(text);
	free(expected);
}

static void test_valid(void **state)
{
	(void)state;
	each_case("valid", check_valid);
}

static void test_invalid(void **state)
{
	(void)state;
	each_case("invalid", check_invalid);
}

/* However it is cut, it is refused or taken, and the error stays in its room. */
static void test_cut_anywhere(void **state)
{
	size_t len;
	char *text = read_case("valid", "kind", ".yaml", &len);

	(void)state;
	for (size_t cut = 0; cut <= len; cut++) {
		struct kubeconfig config;
		char *exact = malloc(cut + 1), error[20];

		memcpy(exact, text, cut);
		memset(error, '!', sizeof error);
		if (kubeconfig_parse(exact, cut, &config, error, 10) != 0)
			assert_non_null(memchr(error, '\0', 10));
		assert_int_equal(error[10], '!');
		kubeconfig_clear(&config);
		free(exact);
	}
	free(text);
}

/* --- server URLs ----------------------------------------------------------------------------- */

static void test_split_server(void **state)
{
	static const struct {
		const char *url, *host;
		unsigned port;
		const char *path;
	} rows[] = {
	    {"https://10.0.0.1:6443", "10.0.0.1", 6443, ""},
	    {"https://10.0.0.1", "10.0.0.1", 443, ""},
	    {"HTTPS://Api.Example.org:443/", "Api.Example.org", 443, ""},
	    {"https://[fd00::1]:6443", "fd00::1", 6443, ""},
	    {"https://[fd00::1]", "fd00::1", 443, ""},
	    {"https://[::1]/a", "::1", 443, "/a"},
	    {"https://rancher/k8s/clusters/c-1//", "rancher", 443, "/k8s/clusters/c-1"},
	    {"https://a_b-c.d:65535/x%20y", "a_b-c.d", 65535, "/x%20y"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct kubeconfig_server server;
		char error[100] = "";

		if (kubeconfig_split_server(rows[i].url, &server, error, sizeof error) != 0)
			fail_msg("%s: %s", rows[i].url, error);
		assert_string_equal(server.host, rows[i].host);
		assert_int_equal(server.port, rows[i].port);
		assert_string_equal(server.path, rows[i].path);
		kubeconfig_server_clear(&server);
		assert_null(server.host);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_valid),
	    cmocka_unit_test(test_invalid),
	    cmocka_unit_test(test_cut_anywhere),
	    cmocka_unit_test(test_split_server),
	};

	return cmocka_run_group_tests_name("kubeconfig", tests, NULL, NULL);
}
