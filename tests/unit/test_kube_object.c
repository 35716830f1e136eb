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

#include "discovery/kube_object.h"

/* tests/cases/kube_object/{valid,invalid}/SHAPE.NAME.json, each with an .expect
 * beside it: what describe() below writes, or what the error begins with. */

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

static void describe_object(FILE *out, const struct kube_object *object)
{
	if (object->key)
		fprintf(out, "key %s\n", object->key);
	if (object->resource_version)
		fprintf(out, "version %s\n", object->resource_version);
	if (object->truncated)
		fprintf(out, "truncated\n");
	for (size_t i = 0; i < object->n_peers; i++)
		describe_peer(out, &object->peers[i]);
}

static void describe_status(FILE *out, const struct kube_status *status)
{
	fprintf(out, "code %d\n", status->code);
	if (status->reason)
		fprintf(out, "reason %s\n", status->reason);
	if (status->message)
		fprintf(out, "message %s\n", status->message);
	if (status->retry_after_s)
		fprintf(out, "retry after %d\n", status->retry_after_s);
	if (status->version_too_large)
		fprintf(out, "version too large\n");
}

/* Each reads LEN bytes and writes what it found, or the error, to OUT. */
typedef bool describe_fn(FILE *out, enum kube_kind kind, const char *text, size_t len);

static bool object_case(FILE *out, enum kube_kind kind, const char *text, size_t len)
{
	struct kube_object object;
	char error[200] = "";
	bool good = kube_object_parse(kind, text, len, &object, error, sizeof(error)) == 0;

	if (good)
		describe_object(out, &object);
	else
		fprintf(out, "%s\n", error);
	if (!good)
		assert_true(!object.key && !object.peers && object.n_peers == 0);
	kube_object_clear(&object);
	return good;
}

static bool event_case(FILE *out, enum kube_kind kind, const char *text, size_t len)
{
	static const char *const types[] = {"upsert", "deleted", "bookmark", "error", "unknown"};
	struct kube_event event;
	char error[200] = "";
	bool good = kube_event_parse(kind, text, len, &event, error, sizeof(error)) == 0;

	if (good) {
		fprintf(out, "%s %s\n", types[event.type], event.type_name);
		describe_object(out, &event.object);
		if (event.type == KUBE_EVENT_ERROR)
			describe_status(out, &event.status);
	} else {
		fprintf(out, "%s\n", error);
		assert_true(!event.object.key && !event.status.message);
	}
	kube_event_clear(&event);
	return good;
}

static bool list_case(FILE *out, enum kube_kind kind, const char *text, size_t len)
{
	struct kube_list_meta meta;
	char error[200] = "";
	bool good = kube_list_meta_parse(text, len, &meta, error, sizeof(error)) == 0;

	(void)kind;
	if (good)
		fprintf(out, "version %s\ncontinue %s\n",
		        meta.resource_version ? meta.resource_version : "none",
		        meta.continue_token ? meta.continue_token : "none");
	else
		fprintf(out, "%s\n", error);
	kube_list_meta_clear(&meta);
	return good;
}

static bool status_case(FILE *out, enum kube_kind kind, const char *text, size_t len)
{
	struct kube_status status;
	bool good = kube_status_parse(text, len, &status);

	(void)kind;
	if (good)
		describe_status(out, &status);
	else
		fprintf(out, "no Status\n");
	kube_status_clear(&status);
	return good;
}

static const struct {
	const char *name;
	describe_fn *describe;
	enum kube_kind kind;
} shapes[] = {
    {"slice", object_case, KUBE_SLICES_V1},         {"slicebeta", object_case, KUBE_SLICES_V1BETA1},
    {"endpoints", object_case, KUBE_ENDPOINTS},     {"event", event_case, KUBE_SLICES_V1},
    {"endpointsevent", event_case, KUBE_ENDPOINTS}, {"list", list_case, KUBE_SLICES_V1},
    {"status", status_case, KUBE_SLICES_V1},
};
#define N_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

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

static size_t shape_of(const char *path)
{
	const char *name = strrchr(path, '/') + 1;

	for (size_t i = 0; i < N_SHAPES; i++) {
		size_t len = strlen(shapes[i].name);
		if (strncmp(name, shapes[i].name, len) == 0 && name[len] == '.')
			return i;
	}
	fail_msg("%s has no known shape", path);
	return 0;
}

/* A text may not be read past its end: each gets a copy that ends where it does. */
static bool describe(size_t shape, const char *text, size_t len, char **found)
{
	size_t size;
	FILE *out = open_memstream(found, &size);
	char *copy = malloc(len + !len);
	bool good;

	assert_true(out && copy);
	memcpy(copy, text, len);
	good = shapes[shape].describe(out, shapes[shape].kind, copy, len);
	free(copy);
	fclose(out);
	return good;
}

static void check_case(const char *path, bool valid)
{
	size_t len, expected_len;
	char *text = read_file(path, &len), *expected, *found;
	char expect_path[512];

	snprintf(expect_path, sizeof(expect_path), "%.*s.expect", (int)strlen(path) - 5, path);
	expected = read_file(expect_path, &expected_len);
	bool good = describe(shape_of(path), text, len, &found);
	bool as_expected =
	    valid ? strcmp(found, expected) == 0 : strncmp(found, expected, expected_len - 1) == 0;
	if (good != valid || !as_expected)
		fail_msg("%s:\nexpected %s\n%sfound\n%s", path, valid ? "to be read" : "an error",
		         expected, found);
	free(text);
	free(expected);
	free(found);
}

static void glob_cases(const char *folder, glob_t *paths)
{
	const char *cases = getenv("KEPMD_CASES");
	char pattern[512];

	snprintf(pattern, sizeof(pattern), "%s/kube_object/%s/*.json",
	         cases ? cases : "tests/cases", folder);
	if (glob(pattern, 0, NULL, paths) != 0)
		fail_msg("no cases at %s", pattern);
}

static void check_folder(const char *folder, bool valid)
{
	glob_t paths;

	glob_cases(folder, &paths);
	for (size_t i = 0; i < paths.gl_pathc; i++)
		check_case(paths.gl_pathv[i], valid);
	print_message("%zu %s cases\n", paths.gl_pathc, folder);
	globfree(&paths);
}

static void valid_cases(void **state)
{
	(void)state;
	check_folder("valid", true);
}

static void invalid_cases(void **state)
{
	(void)state;
	check_folder("invalid", false);
}

/* No beginning of a valid text is one itself. */
static void cut_texts_are_refused(void **state)
{
	glob_t paths;

	(void)state;
	glob_cases("valid", &paths);
	for (size_t i = 0; i < paths.gl_pathc; i++) {
		size_t len, shape = shape_of(paths.gl_pathv[i]);
		char *text = read_file(paths.gl_pathv[i], &len), *found;
		while (len > 0 && text[len - 1] != '}')
			len--;
		for (size_t cut = 0; cut < len; cut++) {
			assert_false(describe(shape, text, cut, &found));
			free(found);
		}
		free(text);
	}
	globfree(&paths);
}

/* --- what does not fit a file ---------------------------------------------------------------- */

static void error_fits_its_buffer(void **state)
{
	char error[8] = "unused!";
	struct kube_object object;

	(void)state;
	assert_int_equal(kube_object_parse(KUBE_SLICES_V1, "[]", 2, &object, error, 5), -1);
	assert_string_equal(error, "not ");
	assert_string_equal(error + 5, "d!");
	assert_int_equal(kube_object_parse(KUBE_SLICES_V1, "[]", 2, &object, NULL, 0), -1);
}

static void text_with_a_nul_byte_is_refused(void **state)
{
	static const char text[] = "{\"metadata\":{\"namespace\":\"d\",\"name\":\"a\0b\"}}";
	static const char escaped[] = "{\"metadata\":{\"namespace\":\"d\",\"name\":\"a\\u0000b\"}}";
	struct kube_object object;
	char error[100];

	(void)state;
	assert_int_equal(kube_object_parse(KUBE_SLICES_V1, text, sizeof(text) - 1, &object, error,
	                                   sizeof(error)),
	                 -1);
	assert_int_equal(kube_object_parse(KUBE_SLICES_V1, escaped, sizeof(escaped) - 1, &object,
	                                   error, sizeof(error)),
	                 -1);
}

static void number_of_ports_is_bounded(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct kube_object object;
	char error[100];

	(void)state;
	assert_non_null(out);
	fputs("{\"metadata\":{\"namespace\":\"d\",\"name\":\"a\"},\"subsets\":[", out);
	for (unsigned subset = 0; subset < 3; subset++) {
		fprintf(out, "%s{\"addresses\":[{\"ip\":\"10.0.0.1\"}],\"ports\":[",
		        subset ? "," : "");
		for (unsigned i = 0; i < 100; i++)
			fprintf(out, "%s{\"port\":%u}", i ? "," : "", subset * 100 + i + 1);
		fputs("]}", out);
	}
	fputs("]}", out);
	fclose(out);
	assert_int_equal(
	    kube_object_parse(KUBE_ENDPOINTS, text, size, &object, error, sizeof(error)), 0);
	assert_int_equal(object.n_peers, 1);
	assert_int_equal(object.peers[0].n_ports, 128);
	kube_object_clear(&object);
	free(text);
}

static void clearing_twice_is_fine(void **state)
{
	struct kube_event event = {0};
	struct kube_list_meta meta = {0};

	(void)state;
	kube_event_clear(&event);
	kube_event_clear(&event);
	kube_list_meta_clear(&meta);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(valid_cases),
	    cmocka_unit_test(invalid_cases),
	    cmocka_unit_test(cut_texts_are_refused),
	    cmocka_unit_test(error_fits_its_buffer),
	    cmocka_unit_test(text_with_a_nul_byte_is_refused),
	    cmocka_unit_test(number_of_ports_is_bounded),
	    cmocka_unit_test(clearing_twice_is_fine),
	};

	return cmocka_run_group_tests_name("kube_object", tests, NULL, NULL);
}
