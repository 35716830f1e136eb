/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discovery/peer.h"
#include "discovery/peerset.h"

/* What the set has told: "+key address" new, "-key address" gone, and for a
 * change "key address>address" with the conditions after it. */
struct story {
	char text[4096];
	size_t told;
	bool quiet;
};

static void add_text(struct story *story, const char *text)
{
	strncat(story->text, text, sizeof(story->text) - strlen(story->text) - 1);
}

static void add_peer_text(struct story *story, const struct peer *peer)
{
	add_text(story, peer->address);
	if (!peer->ready)
		add_text(story, " notready");
	if (peer->terminating)
		add_text(story, " terminating");
}

static void on_changed(void *arg, const struct peer *before, const struct peer *after)
{
	struct story *story = arg;

	story->told++;
	if (story->quiet)
		return;
	if (story->text[0])
		add_text(story, "; ");
	add_text(story, !before ? "+" : !after ? "-" : "");
	add_text(story, before ? before->key : after->key);
	add_text(story, " ");
	if (before)
		add_text(story, before->address);
	if (before && after)
		add_text(story, ">");
	if (after)
		add_peer_text(story, after);
}

#define assert_story(story, expected)                         \
	do {                                                  \
		assert_string_equal((story)->text, expected); \
		(story)->text[0] = '\0';                      \
	} while (0)

static struct peer make_peer(const char *key, const char *address)
{
	return (struct peer){
	    .key = strdup(key),
	    .address = strdup(address),
	    .namespace_ = strdup("default"),
	    .ready = true,
	    .serving = true,
	};
}

static void give_port(struct peer *peer, const char *name, uint16_t port)
{
	peer->ports = realloc(peer->ports, (peer->n_ports + 1) * sizeof(*peer->ports));
	assert_non_null(peer->ports);
	peer->ports[peer->n_ports++] = (struct peer_port){strdup(name), port};
}

/* Puts the peers of TEXT, "key address [flags], ..."; flags: n not ready, s not ready
 * but serving, t terminating. */
static void put(struct peerset *set, unsigned scope, const char *object, const char *text,
                uint64_t now_ms)
{
	struct peer peers[16];
	size_t n = 0;
	char copy[1024], *rest = copy, *part;

	snprintf(copy, sizeof(copy), "%s", text);
	while (*text && (part = strsep(&rest, ",")) != NULL) {
		char key[64], address[64], flags[8] = "";
		assert_true(sscanf(part, " %63s %63s %7s", key, address, flags) >= 2);
		peers[n] = make_peer(key, address);
		peers[n].serving = !strchr(flags, 'n');
		peers[n].ready = peers[n].serving && !strchr(flags, 's');
		peers[n].terminating = strchr(flags, 't') != NULL;
		n++;
	}
	assert_int_equal(peerset_put(set, scope, object, peers, n, now_ms), 0);
}

struct fixture {
	struct story story;
	struct peerset *set;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->set = peerset_new(false, on_changed, &f->story);
	*state = f;
	return f->set ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	peerset_free(f->set);
	free(f);
	return 0;
}

/* --- peers ------------------------------------------------------------------------- */

static struct peer full_peer(void)
{
	struct peer peer = make_peer("u1", "10.0.0.1");

	peer.service = strdup("sample");
	peer.pod = strdup("sample-0");
	peer.hostname = strdup("host-0");
	peer.terminating = true;
	give_port(&peer, "dist", 9100);
	give_port(&peer, "", 80);
	return peer;
}

static void clone_is_equal_and_its_own(void **state)
{
	struct peer peer = full_peer();
	struct peer *clone = peer_clone(&peer);

	(void)state;
	assert_non_null(clone);
	assert_true(peer_equal(&peer, clone));
	assert_ptr_not_equal(peer.key, clone->key);
	peer_clear(&peer);
	assert_null(peer.key);
	assert_int_equal(peer.n_ports, 0);
	assert_string_equal(clone->hostname, "host-0");
	assert_int_equal(peer_named_port(clone, "dist"), 9100);
	peer_free(clone);
	peer_free(NULL);
}

static void replace_string(char **string, const char *text)
{
	free(*string);
	*string = text ? strdup(text) : NULL;
}

static void each_field_counts_for_equality(void **state)
{
	struct peer original = full_peer();

	(void)state;
	for (int field = 0; field < 12; field++) {
		struct peer *changed = peer_clone(&original);
		char **strings[] = {&changed->key,     &changed->address, &changed->namespace_,
		                    &changed->service, &changed->pod,     &changed->hostname};
		if (field < 6)
			replace_string(strings[field], field % 2 ? "other" : NULL);
		else if (field == 6)
			changed->ready = !changed->ready;
		else if (field == 7)
			changed->serving = !changed->serving;
		else if (field == 8)
			changed->terminating = !changed->terminating;
		else if (field == 9)
			changed->ports[0].port = 1;
		else if (field == 10)
			replace_string(&changed->ports[0].name, "other");
		else
			give_port(changed, "more", 1);
		assert_false(peer_equal(&original, changed));
		assert_false(peer_equal(changed, &original));
		peer_free(changed);
	}
	peer_clear(&original);
}

static void order_of_ports_says_nothing(void **state)
{
	struct peer a = full_peer(), b = full_peer();
	struct peer_port first = b.ports[0];

	(void)state;
	b.ports[0] = b.ports[1];
	b.ports[1] = first;
	assert_true(peer_equal(&a, &b));
	peer_clear(&a);
	peer_clear(&b);
}

static void named_port_of_a_service_without_port_names(void **state)
{
	struct peer peer = full_peer();

	(void)state;
	assert_int_equal(peer_named_port(&peer, ""), 80);
	assert_int_equal(peer_named_port(&peer, "none"), 0);
	peer_clear(&peer);
}

/* --- one object -------------------------------------------------------------------- */

static void new_changed_and_gone(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1, u2 10.0.0.2", 0);
	assert_story(&f->story, "+u1 10.0.0.1; +u2 10.0.0.2");
	put(f->set, 0, "d/a", "u1 10.0.0.1 n, u2 10.0.0.2", 10);
	assert_story(&f->story, "u1 10.0.0.1>10.0.0.1 notready");
	put(f->set, 0, "d/a", "", 20);
	assert_story(&f->story, "");
	assert_int_equal(peerset_count(f->set), 2);
	assert_int_equal(peerset_settle(f->set, 20), PEERSET_SETTLE_MS);
	assert_int_equal(peerset_settle(f->set, 20 + PEERSET_SETTLE_MS), -1);
	assert_story(&f->story, "-u1 10.0.0.1; -u2 10.0.0.2");
	assert_int_equal(peerset_count(f->set), 0);
}

static void same_again_tells_nothing(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1, u2 10.0.0.2 t", 0);
	f->story.text[0] = '\0';
	put(f->set, 0, "d/a", "u2 10.0.0.2 t, u1 10.0.0.1", 1);
	assert_story(&f->story, "");
	assert_int_equal(peerset_settle(f->set, 10000), -1);
}

static void deleting_an_unknown_object_is_nothing(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/none", "", 0);
	put(f->set, 7, "d/none", "", 0);
	peerset_drop_scope(f->set, 7, 0);
	peerset_replace_begin(f->set, 7);
	peerset_replace_end(f->set, 7, 0);
	assert_story(&f->story, "");
	assert_int_equal(peerset_settle(f->set, 0), -1);
}

static void who_comes_back_in_time_never_left(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1", 0);
	put(f->set, 0, "d/a", "", 100);
	f->story.text[0] = '\0';
	put(f->set, 0, "d/b", "u1 10.0.0.1", 100 + PEERSET_SETTLE_MS - 1);
	assert_int_equal(peerset_settle(f->set, 100 + PEERSET_SETTLE_MS - 1), -1);
	assert_int_equal(peerset_settle(f->set, 5000), -1);
	assert_story(&f->story, "");
	assert_int_equal(peerset_count(f->set), 1);
}

static void each_waits_for_its_own_time(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1, u2 10.0.0.2", 0);
	f->story.text[0] = '\0';
	put(f->set, 0, "d/a", "u2 10.0.0.2", 100);
	put(f->set, 0, "d/a", "", 400);
	assert_int_equal(peerset_settle(f->set, 1100), 300);
	assert_story(&f->story, "-u1 10.0.0.1");
	assert_int_equal(peerset_settle(f->set, 1399), 1);
	assert_int_equal(peerset_settle(f->set, 1400), -1);
	assert_story(&f->story, "-u2 10.0.0.2");
}

static void one_key_twice_in_an_object_is_one_peer(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1, u1 10.0.0.1", 0);
	assert_story(&f->story, "+u1 10.0.0.1");
	put(f->set, 0, "d/a", "u1 10.0.0.1", 1);
	assert_story(&f->story, "");
	assert_int_equal(peerset_count(f->set), 1);
}

/* --- several objects (fault 18) ------------------------------------------------------ */

static void endpoint_in_two_slices_one_deleted(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1", 0);
	put(f->set, 0, "d/b", "u1 10.0.0.1", 1);
	put(f->set, 0, "d/a", "", 2);
	assert_int_equal(peerset_settle(f->set, 5000), -1);
	assert_story(&f->story, "+u1 10.0.0.1");
	assert_int_equal(peerset_count(f->set), 1);
}

static void copy_that_is_not_terminating_wins(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1 t", 0);
	assert_story(&f->story, "+u1 10.0.0.1 terminating");
	put(f->set, 0, "d/b", "u1 10.0.0.1 n", 1);
	assert_story(&f->story, "u1 10.0.0.1>10.0.0.1 notready");
	put(f->set, 0, "d/c", "u1 10.0.0.1 t", 2);
	assert_story(&f->story, "");
	put(f->set, 0, "d/b", "", 3);
	assert_story(&f->story, "u1 10.0.0.1>10.0.0.1 terminating");
}

static void ready_copy_wins(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1 n", 0);
	put(f->set, 0, "d/b", "u1 10.0.0.1", 1);
	put(f->set, 0, "d/a", "u1 10.0.0.1 s", 2);
	assert_story(&f->story, "+u1 10.0.0.1 notready; u1 10.0.0.1>10.0.0.1");
}

static void serving_copy_wins_among_those_not_ready(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1 n", 0);
	f->story.told = 0;
	put(f->set, 0, "d/b", "u1 10.0.0.1 s", 1);
	assert_int_equal(f->story.told, 1);
	put(f->set, 0, "d/a", "u1 10.0.0.1 n", 2);
	assert_int_equal(f->story.told, 1);
}

static void same_name_in_two_scopes_is_two_objects(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1", 0);
	put(f->set, 1, "d/a", "u1 10.0.0.1", 0);
	put(f->set, 0, "d/a", "", 1);
	assert_int_equal(peerset_settle(f->set, 5000), -1);
	assert_int_equal(peerset_count(f->set), 1);
}

/* --- ports of several Services ------------------------------------------------------- */

static void put_with_port(struct peerset *set, const char *object, const char *service,
                          const char *port_name, uint16_t port)
{
	struct peer peer = make_peer("u1", "10.0.0.1");

	peer.service = strdup(service);
	give_port(&peer, port_name, port);
	assert_int_equal(peerset_put(set, 0, object, &peer, 1, 0), 0);
	assert_null(peer.key);
}

static void keep_last(void *arg, const struct peer *before, const struct peer *after)
{
	struct peer **last = arg;

	(void)before;
	peer_free(*last);
	*last = after ? peer_clone(after) : NULL;
}

static void ports_of_all_services_are_known(void **state)
{
	struct peer *last = NULL;
	struct peerset *set = peerset_new(false, keep_last, &last);

	(void)state;
	put_with_port(set, "d/app-1", "app", "http", 4000);
	put_with_port(set, "d/app-dist-1", "app-dist", "dist", 9100);
	assert_int_equal(peer_named_port(last, "http"), 4000);
	assert_int_equal(peer_named_port(last, "dist"), 9100);
	assert_string_equal(last->service, "app");
	peerset_free(set);
	peer_free(last);
}

static void equal_copies_do_not_take_turns(void **state)
{
	struct fixture *f = *state;

	put_with_port(f->set, "d/one", "one", "http", 4000);
	put_with_port(f->set, "d/two", "two", "dist", 9100);
	f->story.told = 0;
	put_with_port(f->set, "d/one", "one", "http", 4000);
	put_with_port(f->set, "d/two", "two", "dist", 9100);
	put_with_port(f->set, "d/one", "one", "http", 4000);
	assert_int_equal(f->story.told, 0);
}

/* --- dual stack ------------------------------------------------------------------------ */

static void dual_stack_pod_is_one_peer_of_the_preferred_family(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/four", "u1 10.0.0.1", 0);
	put(f->set, 0, "d/six", "u1 fd00::1", 1);
	assert_story(&f->story, "+u1 10.0.0.1");
	assert_int_equal(peerset_count(f->set), 1);
}

static void preferred_family_may_come_later(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/six", "u1 fd00::1", 0);
	put(f->set, 0, "d/four", "u1 10.0.0.1", 1);
	assert_story(&f->story, "+u1 fd00::1; u1 fd00::1>10.0.0.1");
}

static void ipv6_can_be_preferred(void **state)
{
	struct story story = {0};
	struct peerset *set = peerset_new(true, on_changed, &story);

	(void)state;
	put(set, 0, "d/four", "u1 10.0.0.1", 0);
	put(set, 0, "d/six", "u1 fd00::1", 1);
	assert_story(&story, "+u1 10.0.0.1; u1 10.0.0.1>fd00::1");
	peerset_free(set);
}

static void address_is_kept_while_families_disagree(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/four", "u1 10.0.0.1", 0);
	put(f->set, 0, "d/six", "u1 fd00::1", 0);
	put(f->set, 0, "d/four", "u1 10.0.0.1 t", 0);
	assert_story(&f->story, "+u1 10.0.0.1; u1 10.0.0.1>10.0.0.1 terminating");
}

static void losing_the_preferred_family_settles_first(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/four", "u1 10.0.0.1, u2 10.0.0.2", 0);
	put(f->set, 0, "d/six", "u1 fd00::1, u2 fd00::2", 0);
	f->story.text[0] = '\0';
	put(f->set, 0, "d/four", "", 10);
	put(f->set, 0, "d/six", "u2 fd00::2", 20);
	assert_story(&f->story, "");
	assert_int_equal(peerset_settle(f->set, 10 + PEERSET_SETTLE_MS), -1);
	assert_story(&f->story, "-u1 10.0.0.1; u2 10.0.0.2>fd00::2");
}

/* --- an address taken over (fault 18) --------------------------------------------------- */

static void new_pod_evicts_the_settling_holder_of_its_address(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1", 0);
	put(f->set, 0, "d/a", "", 10);
	put(f->set, 0, "d/b", "u2 10.0.0.1", 20);
	assert_story(&f->story, "+u1 10.0.0.1; -u1 10.0.0.1; +u2 10.0.0.1");
	assert_int_equal(peerset_settle(f->set, 20), -1);
	assert_int_equal(peerset_count(f->set), 1);
}

static void pod_replaced_within_one_object(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1", 0);
	put(f->set, 0, "d/a", "u2 10.0.0.1", 10);
	assert_story(&f->story, "+u1 10.0.0.1; -u1 10.0.0.1; +u2 10.0.0.1");
}

static void old_holder_listed_after_the_new_one_leaves_at_once(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1", 0);
	put(f->set, 0, "d/b", "u2 10.0.0.1", 10);
	assert_int_equal(peerset_count(f->set), 2);
	put(f->set, 0, "d/a", "", 20);
	assert_story(&f->story, "+u1 10.0.0.1; +u2 10.0.0.1; -u1 10.0.0.1");
	assert_int_equal(peerset_settle(f->set, 20), -1);
}

static void evicted_dual_stack_pod_falls_back_on_its_other_address(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/four", "u1 10.0.0.1", 0);
	put(f->set, 0, "d/six", "u1 fd00::1", 0);
	put(f->set, 0, "d/four", "u2 10.0.0.1", 10);
	assert_story(&f->story, "+u1 10.0.0.1; u1 10.0.0.1>fd00::1; +u2 10.0.0.1");
}

static void settling_pod_loses_the_rest_to_who_takes_its_address(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/four", "u1 10.0.0.1", 0);
	put(f->set, 0, "d/six", "u1 fd00::1", 0);
	put(f->set, 0, "d/four", "", 10);
	put(f->set, 0, "d/six", "u2 10.0.0.1", 20);
	assert_story(&f->story, "+u1 10.0.0.1; -u1 10.0.0.1; +u2 10.0.0.1");
	assert_int_equal(peerset_settle(f->set, 20), -1);
}

/* --- lists -------------------------------------------------------------------------------- */

static void complete_list_takes_away_what_it_has_not(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1", 0);
	put(f->set, 0, "d/b", "u2 10.0.0.2", 0);
	put(f->set, 1, "e/a", "u3 10.0.0.3", 0);
	f->story.text[0] = '\0';
	peerset_replace_begin(f->set, 0);
	put(f->set, 0, "d/b", "u2 10.0.0.2", 10);
	put(f->set, 0, "d/c", "u4 10.0.0.4", 10);
	peerset_replace_end(f->set, 0, 10);
	assert_story(&f->story, "+u4 10.0.0.4");
	peerset_settle(f->set, 10 + PEERSET_SETTLE_MS);
	assert_story(&f->story, "-u1 10.0.0.1");
	assert_int_equal(peerset_count(f->set), 3);
}

static void list_that_fails_half_way_takes_nothing_away(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1", 0);
	put(f->set, 0, "d/b", "u2 10.0.0.2", 0);
	peerset_replace_begin(f->set, 0);
	put(f->set, 0, "d/a", "u1 10.0.0.1", 10);
	peerset_replace_begin(f->set, 0);
	put(f->set, 0, "d/b", "u2 10.0.0.2", 20);
	assert_int_equal(peerset_settle(f->set, 90000), -1);
	assert_int_equal(peerset_count(f->set), 2);
	peerset_replace_end(f->set, 0, 90000);
	peerset_settle(f->set, 99000);
	assert_int_equal(peerset_count(f->set), 1);
}

static void object_that_shrank_loses_nothing_before_the_end(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1, u2 10.0.0.2", 0);
	put(f->set, 0, "d/b", "u3 10.0.0.3", 0);
	f->story.text[0] = '\0';
	peerset_replace_begin(f->set, 0);
	put(f->set, 0, "d/a", "u1 10.0.0.1 n, u4 10.0.0.4", 10);
	put(f->set, 0, "d/b", "", 10);
	assert_int_equal(peerset_settle(f->set, 5000), -1);
	/* broken off there, and begun again: what came adds up */
	peerset_replace_begin(f->set, 0);
	put(f->set, 0, "d/a", "u1 10.0.0.1 n", 6000);
	assert_int_equal(peerset_settle(f->set, 9000), -1);
	assert_story(&f->story, "+u4 10.0.0.4; u1 10.0.0.1>10.0.0.1 notready");
	put(f->set, 0, "d/c", "u2 10.0.0.2", 9000);
	peerset_replace_end(f->set, 0, 9000);
	assert_int_equal(peerset_settle(f->set, 9000 + PEERSET_SETTLE_MS), -1);
	assert_int_equal(peerset_count(f->set), 2);
	/* a WATCH takes away again */
	f->story.text[0] = '\0';
	put(f->set, 0, "d/c", "", 11000);
	peerset_settle(f->set, 11000 + PEERSET_SETTLE_MS);
	assert_story(&f->story, "-u2 10.0.0.2");
}

static void address_taken_over_within_a_list(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1", 0);
	peerset_replace_begin(f->set, 0);
	put(f->set, 0, "d/a", "u2 10.0.0.1", 10);
	peerset_replace_end(f->set, 0, 10);
	assert_story(&f->story, "+u1 10.0.0.1; +u2 10.0.0.1; -u1 10.0.0.1");
}

static void all_that_a_scope_holds_is_counted(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(peerset_held(f->set, 0), 0);
	put(f->set, 0, "d/a", "u1 10.0.0.1, u2 10.0.0.2", 0);
	put(f->set, 0, "d/b", "u1 10.0.0.1", 0);
	put(f->set, 1, "e/a", "u3 10.0.0.3", 0);
	assert_int_equal(peerset_held(f->set, 0), 3);
	peerset_replace_begin(f->set, 0);
	put(f->set, 0, "d/a", "u4 10.0.0.4", 10);
	assert_int_equal(peerset_held(f->set, 0), 4);
	peerset_replace_end(f->set, 0, 10);
	assert_int_equal(peerset_held(f->set, 0), 1);
	put(f->set, 0, "d/a", "", 20);
	assert_int_equal(peerset_held(f->set, 0), 0);
	assert_int_equal(peerset_held(f->set, 1), 1);
}

static void peer_moved_between_slices_by_a_list_stays(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1", 0);
	peerset_replace_begin(f->set, 0);
	put(f->set, 0, "d/b", "u1 10.0.0.1", 10);
	peerset_replace_end(f->set, 0, 10);
	assert_int_equal(peerset_settle(f->set, 9000), -1);
	assert_story(&f->story, "+u1 10.0.0.1");
}

static void empty_list_empties_its_scope_only(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/a", "u1 10.0.0.1", 0);
	put(f->set, 1, "e/a", "u2 10.0.0.2", 0);
	peerset_replace_begin(f->set, 0);
	peerset_replace_end(f->set, 0, 0);
	peerset_settle(f->set, 9000);
	assert_story(&f->story, "+u1 10.0.0.1; +u2 10.0.0.2; -u1 10.0.0.1");
}

static void dropped_scope_settles_too(void **state)
{
	struct fixture *f = *state;

	put(f->set, 0, "d/slice", "u1 10.0.0.1, u2 10.0.0.2", 0);
	peerset_drop_scope(f->set, 0, 10);
	put(f->set, 0, "d/endpoints", "u1 10.0.0.1", 20);
	f->story.text[0] = '\0';
	peerset_settle(f->set, 9000);
	assert_story(&f->story, "-u2 10.0.0.2");
}

/* --- many ------------------------------------------------------------------------------------ */

static uint32_t draw(uint32_t *seed, uint32_t bound)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 8) % bound;
}

#define OBJECTS 20
#define KEYS 40

/* Random objects over few keys and addresses, against counting by hand. */
static void union_is_what_the_objects_hold(void **state)
{
	struct story story = {.quiet = true};
	struct peerset *set = peerset_new(false, on_changed, &story);
	bool holds[OBJECTS][KEYS] = {{false}};
	uint32_t seed = 1;

	(void)state;
	for (uint64_t now = 0; now < 20000; now += 7) {
		struct peer peers[KEYS];
		size_t n = 0, distinct = 0;
		uint32_t which = draw(&seed, OBJECTS);
		char name[16];

		for (uint32_t key = 0; key < KEYS; key++) {
			char text[16], address[16];
			holds[which][key] = draw(&seed, 8) == 0;
			if (!holds[which][key])
				continue;
			snprintf(text, sizeof(text), "u%u", key);
			snprintf(address, sizeof(address), "10.0.0.%u", key / 2);
			peers[n] = make_peer(text, address);
			peers[n].terminating = draw(&seed, 2) == 0;
			peers[n++].ready = draw(&seed, 2) == 0;
		}
		snprintf(name, sizeof(name), "d/%u", which);
		assert_int_equal(peerset_put(set, which % 3, name, peers, n, now), 0);
		if (draw(&seed, 50) == 0)
			peerset_settle(set, now + PEERSET_SETTLE_MS);
		else
			continue;
		for (size_t key = 0; key < KEYS; key++) {
			bool held = false;
			for (size_t object = 0; object < OBJECTS; object++)
				held |= holds[object][key];
			distinct += held;
		}
		assert_int_equal(peerset_count(set), distinct);
	}
	peerset_free(set);
}

static void one_change_among_many_tells_one_peer(void **state)
{
	struct fixture *f = *state;
	char name[32], text[64];

	f->story.quiet = true;
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "d/%u", i);
		snprintf(text, sizeof(text), "u%u 10.1.%u.%u", i, i / 256, i % 256);
		put(f->set, 0, name, text, 0);
	}
	assert_int_equal(f->story.told, 5000);
	put(f->set, 0, "d/17", "u17 10.1.0.17 n", 1);
	assert_int_equal(f->story.told, 5001);
	assert_int_equal(peerset_count(f->set), 5000);
}

#define set_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(clone_is_equal_and_its_own),
	    cmocka_unit_test(each_field_counts_for_equality),
	    cmocka_unit_test(order_of_ports_says_nothing),
	    cmocka_unit_test(named_port_of_a_service_without_port_names),
	    set_test(new_changed_and_gone),
	    set_test(same_again_tells_nothing),
	    set_test(deleting_an_unknown_object_is_nothing),
	    set_test(who_comes_back_in_time_never_left),
	    set_test(each_waits_for_its_own_time),
	    set_test(one_key_twice_in_an_object_is_one_peer),
	    set_test(endpoint_in_two_slices_one_deleted),
	    set_test(copy_that_is_not_terminating_wins),
	    set_test(ready_copy_wins),
	    set_test(serving_copy_wins_among_those_not_ready),
	    set_test(same_name_in_two_scopes_is_two_objects),
	    cmocka_unit_test(ports_of_all_services_are_known),
	    set_test(equal_copies_do_not_take_turns),
	    set_test(dual_stack_pod_is_one_peer_of_the_preferred_family),
	    set_test(preferred_family_may_come_later),
	    cmocka_unit_test(ipv6_can_be_preferred),
	    set_test(address_is_kept_while_families_disagree),
	    set_test(losing_the_preferred_family_settles_first),
	    set_test(new_pod_evicts_the_settling_holder_of_its_address),
	    set_test(pod_replaced_within_one_object),
	    set_test(old_holder_listed_after_the_new_one_leaves_at_once),
	    set_test(evicted_dual_stack_pod_falls_back_on_its_other_address),
	    set_test(settling_pod_loses_the_rest_to_who_takes_its_address),
	    set_test(complete_list_takes_away_what_it_has_not),
	    set_test(list_that_fails_half_way_takes_nothing_away),
	    set_test(object_that_shrank_loses_nothing_before_the_end),
	    set_test(address_taken_over_within_a_list),
	    set_test(all_that_a_scope_holds_is_counted),
	    set_test(peer_moved_between_slices_by_a_list_stays),
	    set_test(empty_list_empties_its_scope_only),
	    set_test(dropped_scope_settles_too),
	    cmocka_unit_test(union_is_what_the_objects_hold),
	    set_test(one_change_among_many_tells_one_peer),
	};

	return cmocka_run_group_tests_name("peerset", tests, NULL, NULL);
}
