/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discovery/file_peers.h"

/* tests/cases/file_peers/{valid,invalid}/NAME, each with a NAME.expect beside it: what
 * describe() below writes, or what the error begins with. */

/* --- what was read, as text -------------------------------------------------------------- */

static void describe_string(FILE *out, const char *name, const char *text)
{
	if (text)
		fprintf(out, " %s=%s", name, text);
}

static void describe_peer(FILE *out, const struct peer *peer)
{
	fprintf(out, "peer %s %s", peer->key, peer->address);
	describe_string(out, "namespace", peer->namespace_);
	describe_string(out, "service", peer->service);
	describe_string(out, "pod", peer->pod);
	describe_string(out, "hostname", peer->hostname);
	for (size_t i = 0; i < peer->n_ports; i++)
		fprintf(out, " %s:%u", peer->ports[i].name, peer->ports[i].port);
	fprintf(out, "%s%s%s\n", peer->ready ? " ready" : "", peer->serving ? " serving" : "",
	        peer->terminating ? " terminating" : "");
}

static void describe_found(FILE *out, const struct file_peers *found)
{
	fprintf(out, "%zu peers\n", file_peers_count(found));
	for (size_t i = 0; i < found->n_objects; i++) {
		if (found->objects[i].key)
			fprintf(out, "object %s\n", found->objects[i].key);
		for (size_t j = 0; j < found->objects[i].n_peers; j++)
			describe_peer(out, &found->objects[i].peers[j]);
	}
}

/* A text may not be read past its end: each gets a copy that ends where it does. */
static bool describe(const char *text, size_t len, char **described)
{
	struct file_peers found;
	char error[400] = "", *copy = malloc(len + !len);
	size_t size;
	FILE *out = open_memstream(described, &size);

	assert_true(out && copy);
	memcpy(copy, text, len);
	bool good = file_peers_parse(copy, len, &found, error, sizeof(error)) == 0;
	free(copy);
	if (good)
		describe_found(out, &found);
	else
		fprintf(out, "%s\n", error);
	if (!good)
		assert_true(!found.objects && found.n_objects == 0);
	file_peers_clear(&found);
	fclose(out);
	return good;
}

/* --- the case files ---------------------------------------------------------------------- */

static char *read_file(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	char *text = NULL;

	if (!file)
		fail_msg("%s cannot be read", path);
	*len = 0;
	for (size_t n = 1; n > 0; *len += n) {
		text = realloc(text, *len + 4097);
		assert_non_null(text);
		n = fread(text + *len, 1, 4096, file);
	}
	fclose(file);
	text[*len] = '\0';
	return text;
}

static void check_case(const char *expect_path, bool valid)
{
	size_t len, expected_len;
	char path[512], *text, *expected, *found;

	snprintf(path, sizeof(path), "%.*s", (int)(strlen(expect_path) - strlen(".expect")),
	         expect_path);
	text = read_file(path, &len);
	expected = read_file(expect_path, &expected_len);
	bool good = describe(text, len, &found);
	bool as_expected =
	    valid ? strcmp(found, expected) == 0 : strncmp(found, expected, expected_len - 1) == 0;
	if (good != valid || !as_expected)
		fail_msg("%s:\nexpected %s\n%sfound\n%s", path, valid ? "to be read" : "an error",
		         expected, found);
	free(text);
	free(expected);
	free(found);
}

static void check_folder(const char *folder, bool valid)
{
	const char *cases = getenv("KEPMD_CASES");
	char pattern[512];
	glob_t paths;

	snprintf(pattern, sizeof(pattern), "%s/file_peers/%s/*.expect",
	         cases ? cases : "tests/cases", folder);
	if (glob(pattern, 0, NULL, &paths) != 0)
		fail_msg("no cases at %s", pattern);
	for (size_t i = 0; i < paths.gl_pathc; i++)
		check_case(paths.gl_pathv[i], valid);
	globfree(&paths);
}

static void valid_files_are_read(void **state)
{
	(void)state;
	check_folder("valid", true);
}

static void invalid_files_are_refused_with_the_line(void **state)
{
	(void)state;
	check_folder("invalid", false);
}

/* --- what no case file should hold ----------------------------------------------------------- */

static char *refused(const char *text, size_t len)
{
	char *found;

	if (describe(text, len, &found))
		fail_msg("read as\n%s", found);
	return found;
}

static void what_is_quoted_is_printable(void **state)
{
	static const char text[] = "10.0.0.7\n\x1b\x7f[31m\0\xc3\xb6\n";
	char *error = refused(text, sizeof(text) - 1);

	(void)state;
	/* printf ends at a NUL. */
	assert_int_equal(strncmp(error, "line 2: \"??[31m\" is no address", 30), 0);
	free(error);
}

static void an_address_with_a_nul_is_none(void **state)
{
	static const char text[] = "10.0.0.7\0x\n";
	char *error = refused(text, sizeof(text) - 1);

	(void)state;
	assert_non_null(strstr(error, "is no address"));
	free(error);
}

static void an_error_is_cut_to_its_room(void **state)
{
	char error[12];
	struct file_peers found;

	(void)state;
	memset(error, 'x', sizeof(error));
	assert_int_equal(file_peers_parse("nobody", 6, &found, error, 8), -1);
	assert_string_equal(error, "line 1:");
	assert_int_equal(error[8], 'x');
	assert_int_equal(file_peers_parse("nobody", 6, &found, error, 0), -1);
	assert_int_equal(file_peers_parse("{", 1, &found, NULL, 0), -1);
}

static void many_lines_are_several_objects(void **state)
{
	struct file_peers found;
	char *text = NULL, error[100];
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	for (int i = 0; i < 250; i++)
		fprintf(out, "10.0.0.%d\n# and\n", i);
	fclose(out);
	assert_int_equal(file_peers_parse(text, len, &found, error, sizeof(error)), 0);
	assert_int_equal(found.n_objects, 3);
	assert_int_equal(file_peers_count(&found), 250);
	assert_string_equal(found.objects[2].peers[49].address, "10.0.0.249");
	file_peers_clear(&found);
	free(text);
}

/* A list without items, or a single object, made longer by PAD bytes. */
static char *make_long(const char *kind, size_t pad, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	assert_non_null(out);
	fprintf(out, "{\"kind\":\"%s\",\"note\":\"", kind);
	for (size_t i = 0; i < pad; i++)
		fputc('x', out);
	fputs("\",\"metadata\":{\"namespace\":\"d\",\"name\":\"a\"},\"endpoints\":["
	      "{\"addresses\":[\"10.0.0.7\"]}],\"subsets\":[]",
	      out);
	if (strcmp(kind, "List") == 0)
		fputs(",\"items\":[]", out);
	fputs("}", out);
	fclose(out);
	return text;
}

static void a_single_object_may_be_longer_than_an_envelope(void **state)
{
	size_t len;
	char *text = make_long("EndpointSlice", 2u << 20, &len), *found;

	(void)state;
	assert_true(describe(text, len, &found));
	assert_string_equal(
	    found, "1 peers\nobject d/a\npeer 10.0.0.7 10.0.0.7 namespace=d ready serving\n");
	free(found);
	free(text);
}

static void a_list_with_a_frame_that_is_too_long_is_refused(void **state)
{
	size_t len;
	char *text = make_long("List", 2u << 20, &len), *error = refused(text, len);

	(void)state;
	assert_non_null(strstr(error, "more than 1 MiB"));
	free(error);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(valid_files_are_read),
	    cmocka_unit_test(invalid_files_are_refused_with_the_line),
	    cmocka_unit_test(what_is_quoted_is_printable),
	    cmocka_unit_test(an_address_with_a_nul_is_none),
	    cmocka_unit_test(an_error_is_cut_to_its_room),
	    cmocka_unit_test(many_lines_are_several_objects),
	    cmocka_unit_test(a_single_object_may_be_longer_than_an_envelope),
	    cmocka_unit_test(a_list_with_a_frame_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests_name("file_peers", tests, NULL, NULL);
}
