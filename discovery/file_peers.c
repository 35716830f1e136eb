/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file_peers.h"
#include "kube_json.h"
#include "kube_label.h"
#include "kube_split.h"

/* How much of a wrong word is quoted. */
#define QUOTE_MAX 40

/* As many as an EndpointSlice has by default, so that they can be handled bit by bit. */
#define LINES_PER_OBJECT 100

#define BLANKS " \t\r"
#define N_BLANKS (sizeof(BLANKS) - 1)

struct reading {
	const char *text;
	size_t len;
	struct file_peers *found;
	char *error;
	size_t error_size;
	bool failed;

	/* of a LIST */
	const struct shape *shape; /* of items that do not say their kind, or NULL */
	size_t n_items;            /* read */
};

/* --- errors ---------------------------------------------------------------------------- */

static size_t line_of(const struct reading *reading, const char *at)
{
	size_t line = 1;

	for (const char *p = reading->text; p < at; p++)
		line += *p == '\n';
	return line;
}

/* What is quoted may hold anything. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* Something is wrong in the line in which AT is; AT is NULL where it is wrong as a whole. */
__attribute__((format(printf, 3, 4))) static void fail(struct reading *reading, const char *at,
                                                       const char *format, ...)
{
	va_list args;
	int n = 0;

	if (reading->failed)
		return;
	reading->failed = true;
	if (at)
		n = snprintf(reading->error, reading->error_size,
		             "line %zu: ", line_of(reading, at));
	va_start(args, format);
	if (n >= 0 && (size_t)n < reading->error_size)
		vsnprintf(reading->error + n, reading->error_size - (size_t)n, format, args);
	va_end(args);
	if (reading->error_size > 0)
		make_printable(reading->error);
}

static void fail_memory(struct reading *reading)
{
	fail(reading, NULL, "memory is out");
}

/* --- what is found --------------------------------------------------------------------- */

/* Room for one more element in *ARRAY, which has N of SIZE bytes. */
static bool make_room(struct reading *reading, void **array, size_t n, size_t size)
{
	/* Grown at each power of two. */
	if ((n & (n - 1)) != 0)
		return true;
	void *grown = realloc(*array, (n ? 2 * n : 1) * size);
	if (grown)
		*array = grown;
	else
		fail_memory(reading);
	return grown != NULL;
}

/* An empty object more; NULL after a failure. */
static struct kube_object *add_object(struct reading *reading)
{
	struct file_peers *found = reading->found;
	void *objects = found->objects;

	if (!make_room(reading, &objects, found->n_objects, sizeof(*found->objects)))
		return NULL;
	found->objects = objects;
	found->objects[found->n_objects] = (struct kube_object){0};
	return &found->objects[found->n_objects++];
}

/* --- JSON ------------------------------------------------------------------------------- */

static const struct shape {
	const char *kind;
	const char *list;
	enum kube_kind parsed_as;
} shapes[] = {
    {"EndpointSlice", "EndpointSliceList", KUBE_SLICES_V1},
    {"Endpoints", "EndpointsList", KUBE_ENDPOINTS},
};
#define N_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

#define JSON_MEND "give what \"kubectl get endpointslices -o json\" prints"

static const struct shape *shape_of(const char *kind)
{
	for (size_t i = 0; kind && i < N_SHAPES; i++)
		if (strcmp(kind, shapes[i].kind) == 0)
			return &shapes[i];
	return NULL;
}

static const char *kind_of(const json_t *root)
{
	const char *kind = json_string_value(json_object_get(root, "kind"));

	return kind ? kind : "absent";
}

/* Null is as none, as everywhere in the API. */
static bool has_kind(const json_t *root)
{
	const json_t *kind = json_object_get(root, "kind");

	return kind && !json_is_null(kind);
}

/* The JSON text of LEN bytes at AT, a part of the file. */
static json_t *load(struct reading *reading, const char *at, size_t len)
{
	json_error_t error;
	json_t *root = json_loadb(at, len, JSON_ALLOW_NUL, &error);

	if (!root)
		fail(reading, at + error.position, "no JSON: %s: " JSON_MEND, error.text);
	return root;
}

/* ROOT, which begins at AT, is an EndpointSlice or an Endpoints. */
static void read_object(struct reading *reading, const char *at, const json_t *root,
                        const struct shape *shape)
{
	char phrase[200] = "";
	struct kube_json json = {.error = phrase, .error_size = sizeof(phrase)};
	struct kube_object *object = add_object(reading);

	if (!object)
		return;
	kube_object_read(&json, shape->parsed_as, root, object);
	if (json.failed)
		fail(reading, at, "the %s that begins here: %s: " JSON_MEND, shape->kind, phrase);
}

/* Called for each item of a list; TEXT is in the file, which is cut as a whole. */
static bool on_item(void *arg, const char *text, size_t len)
{
	struct reading *reading = arg;
	json_t *root = load(reading, text, len);
	const struct shape *shape = reading->shape;

	if (root && has_kind(root))
		shape = shape_of(kind_of(root));
	if (root && shape)
		read_object(reading, text, root, shape);
	else if (root)
		fail(reading, text,
		     "items[%zu], whose \"kind\" is %.40s, is no EndpointSlice: " JSON_MEND,
		     reading->n_items, kind_of(root));
	reading->n_items++;
	json_decref(root);
	return !reading->failed;
}

static bool skip_item(void *arg, const char *text, size_t len)
{
	(void)arg;
	(void)text;
	(void)len;
	return true;
}

/* Has ITEM called for each item.  Returns what is left without them, or NULL with the
 * reason in *ERROR. */
static json_t *cut(struct reading *reading, kube_split_item_fn *item, enum kube_split_error *error)
{
	struct kube_split *cutter = kube_split_new(KUBE_SPLIT_LIST, item, reading);
	const char *envelope = NULL;
	size_t len = 0;
	json_t *root = NULL;

	*error = KUBE_SPLIT_NO_MEMORY;
	if (cutter)
		*error = kube_split_feed(cutter, reading->text, reading->len);
	if (*error == KUBE_SPLIT_OK)
		*error = kube_split_end(cutter, &envelope, &len);
	if (*error == KUBE_SPLIT_OK)
		root = json_loadb(envelope, len, JSON_ALLOW_NUL, NULL);
	kube_split_free(cutter);
	return root;
}

/* Sets the shape of the items of the list ROOT, if it can be read. */
static bool read_list_kind(struct reading *reading, const json_t *root)
{
	const char *kind = kind_of(root);
	bool known = strcmp(kind, "List") == 0;

	for (size_t i = 0; i < N_SHAPES; i++) {
		if (strcmp(kind, shapes[i].list) != 0)
			continue;
		reading->shape = &shapes[i];
		known = true;
	}
	if (!known)
		fail(reading, NULL, "its \"kind\" is %.40s, not a List: " JSON_MEND, kind);
	return known;
}

/* A list in parts must not be taken for the whole. */
static bool is_whole(struct reading *reading, const json_t *root)
{
	const char *token =
	    json_string_value(json_object_get(json_object_get(root, "metadata"), "continue"));

	if (token && *token)
		fail(reading, NULL,
		     "it is the first part of a list only (metadata.continue): give all of it in "
		     "one");
	return !reading->failed;
}

static void read_items(struct reading *reading)
{
	enum kube_split_error error;

	json_decref(cut(reading, on_item, &error));
	if (error != KUBE_SPLIT_OK)
		fail(reading, NULL, "%s: " JSON_MEND, kube_split_error_text(error));
}

/* CUT_ERROR is why it could not be cut. */
static void read_list(struct reading *reading, const json_t *root, enum kube_split_error cut_error)
{
	const json_t *items = json_object_get(root, "items");

	if (!read_list_kind(reading, root) || !is_whole(reading, root) || json_is_null(items))
		return;
	if (!json_is_array(items) || cut_error == KUBE_SPLIT_NOT_JSON)
		fail(reading, NULL, "its \"items\" are no list of objects: " JSON_MEND);
	else if (cut_error != KUBE_SPLIT_OK)
		fail(reading, NULL, "%s: " JSON_MEND, kube_split_error_text(cut_error));
	else
		read_items(reading);
}

static void read_single(struct reading *reading, const json_t *root)
{
	const struct shape *shape = shape_of(kind_of(root));

	if (shape)
		read_object(reading, reading->text, root, shape);
	else
		fail(reading, NULL,
		     "its \"kind\" is %.40s, not EndpointSlice or a List: " JSON_MEND,
		     kind_of(root));
}

/* A list is cut twice: kubectl puts its kind, which items may need, behind them. */
static void read_json(struct reading *reading)
{
	enum kube_split_error error;
	json_t *root = cut(reading, skip_item, &error);

	/* To know where it is wrong; or one object longer than an envelope. */
	if (!root)
		root = load(reading, reading->text, reading->len);
	if (root && json_object_get(root, "items"))
		read_list(reading, root, error);
	else if (root)
		read_single(reading, root);
	json_decref(root);
}

/* --- lines ------------------------------------------------------------------------------- */

struct word {
	const char *at;
	size_t len;
};

#define QUOTED(word) (int)((word).len < QUOTE_MAX ? (word).len : QUOTE_MAX), (word).at

static bool is_blank(char c)
{
	return memchr(BLANKS, c, N_BLANKS) != NULL;
}

/* The next word between *P and END, of no length if there is none. */
static struct word next_word(const char **p, const char *end)
{
	while (*p < end && is_blank(**p))
		(*p)++;
	struct word word = {.at = *p};
	while (*p < end && !is_blank(**p))
		(*p)++;
	word.len = (size_t)(*p - word.at);
	return word;
}

/* Writes the address that WORD is as inet_ntop prints it. */
static bool normalize(struct word word, char text[INET6_ADDRSTRLEN])
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr binary;

	if (word.len >= sizeof(copy) || memchr(word.at, '\0', word.len))
		return false;
	memcpy(copy, word.at, word.len);
	copy[word.len] = '\0';
	int family = strchr(copy, ':') ? AF_INET6 : AF_INET;
	return inet_pton(family, copy, &binary) == 1 &&
	       inet_ntop(family, &binary, text, INET6_ADDRSTRLEN);
}

/* The object that the next line's peer goes to; NULL after a failure. */
static struct kube_object *object_for_line(struct reading *reading)
{
	struct file_peers *found = reading->found;
	struct kube_object *last = found->n_objects ? &found->objects[found->n_objects - 1] : NULL;

	return last && last->n_peers < LINES_PER_OBJECT ? last : add_object(reading);
}

static void add_peer(struct reading *reading, const char *address, struct word pod)
{
	struct kube_object *object = object_for_line(reading);
	struct peer peer = {.ready = true, .serving = true};
	void *peers = object ? object->peers : NULL;

	if (!object || !make_room(reading, &peers, object->n_peers, sizeof(peer)))
		return;
	object->peers = peers;
	peer.key = strdup(address);
	peer.address = strdup(address);
	if (pod.len > 0)
		peer.pod = strndup(pod.at, pod.len);
	object->peers[object->n_peers++] = peer;
	if (!peer.key || !peer.address || (pod.len > 0 && !peer.pod))
		fail_memory(reading);
}

static bool is_pod_name(struct word word)
{
	char text[INET6_ADDRSTRLEN];

	/* A second address could be one, but is not meant so. */
	return kube_domain_ok(word.at, word.len) && !normalize(word, text);
}

/* Fails where ADDRESS, POD and what is BEHIND them are none. */
static bool check_words(struct reading *reading, struct word address, struct word pod,
                        struct word behind, char text[INET6_ADDRSTRLEN])
{
	if (!normalize(address, text))
		fail(reading, address.at,
		     "\"%.*s\" is no address: give one IPv4 or IPv6 address a line, without "
		     "brackets and port, or what \"kubectl get endpointslices -o json\" prints",
		     QUOTED(address));
	else if (pod.len > 0 && !is_pod_name(pod))
		fail(reading, pod.at,
		     "\"%.*s\" cannot be a pod's name: give each address a line of its own, and "
		     "behind it a pod's name at most; # begins a comment",
		     QUOTED(pod));
	else if (behind.len > 0)
		fail(reading, behind.at,
		     "\"%.*s\" is too much: give an address and its pod's name at most; # begins "
		     "a comment",
		     QUOTED(behind));
	return !reading->failed;
}

static void read_line(struct reading *reading, const char *p, const char *end)
{
	const char *comment = memchr(p, '#', (size_t)(end - p));
	char text[INET6_ADDRSTRLEN];

	if (comment)
		end = comment;
	struct word address = next_word(&p, end);
	struct word pod = next_word(&p, end);
	struct word behind = next_word(&p, end);
	if (address.len > 0 && check_words(reading, address, pod, behind, text))
		add_peer(reading, text, pod);
}

static const char *line_end(const char *p, const char *end)
{
	const char *newline = memchr(p, '\n', (size_t)(end - p));

	return newline ? newline : end;
}

static void read_lines(struct reading *reading)
{
	const char *p = reading->text, *end = p + reading->len;

	while (p < end && !reading->failed) {
		const char *line = p;
		p = line_end(line, end);
		read_line(reading, line, p);
		p += p < end;
	}
}

/* --- the interface ------------------------------------------------------------------------- */

static bool looks_like_json(const char *text, size_t len)
{
	while (len > 0 && (is_blank(*text) || *text == '\n')) {
		text++;
		len--;
	}
	return len > 0 && *text == '{';
}

void file_peers_clear(struct file_peers *found)
{
	for (size_t i = 0; i < found->n_objects; i++)
		kube_object_clear(&found->objects[i]);
	free(found->objects);
	*found = (struct file_peers){0};
}

int file_peers_parse(const char *text, size_t len, struct file_peers *found, char *error,
                     size_t error_size)
{
	struct reading reading = {
	    .text = text, .len = len, .found = found, .error = error, .error_size = error_size};

	*found = (struct file_peers){0};
	if (looks_like_json(text, len))
		read_json(&reading);
	else
		read_lines(&reading);
	if (!reading.failed)
		return 0;
	file_peers_clear(found);
	return -1;
}

size_t file_peers_count(const struct file_peers *found)
{
	size_t n = 0;

	for (size_t i = 0; i < found->n_objects; i++)
		n += found->objects[i].n_peers;
	return n;
}
