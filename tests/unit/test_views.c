/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Views of a state made by hand: figures, names, the syntax of metrics.
 *
 * usage: test_views            the tests
 *        test_views readme     the README's table of metrics
 *        test_views open       metrics of the state, as OpenMetrics; `classic` as the older format
 *        test_views time       how long views take with 64 workers and 1,000 campaigns
 */
#include "view_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static int
set_up(void **state)
{
	*state = view_rig_make(2, 3);
	return 0;
}

static int
tear_down(void **state)
{
	view_rig_free(*state);
	return 0;
}

/* ---- JSON ------------------------------------------------------------------------- */

static bool
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

/* A number's key says what it is of. */
static void
check_number(const char *key, const json_t *n)
{
	static const char *const of_reals[] = {
		"_per_second", "_percent", "_ms", "_ns", "_s", "odds", "cycles_per_request"};
	bool known = json_is_integer(n);

	for (unsigned i = 0; i < HB_COUNT_OF(of_reals); i++)
		known = known || ends_with(key, of_reals[i]);
	if (!known)
		fail_msg("%s: a real whose name says nothing of its unit", key);
	if (strstr(key, "fen") != NULL && !ends_with(key, "_fen") && !ends_with(key, "_per_second"))
		fail_msg("%s: money whose name doesn't end with _fen", key);
	/* A time since 1970, not a duration. */
	if (ends_with(key, "_us") && (json_integer_value(n) < 1000000000000000 ||
					     json_integer_value(n) > 5000000000000000))
		fail_msg("%s: no time since 1970", key);
}

/* Every key follows the conventions, and every array is a table of flat objects. */
static void
check_names(const json_t *o, bool may_nest)
{
	const char *key;
	json_t *v, *r;
	size_t i;

	json_object_foreach((json_t *)o, key, v)
	{
		if (strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(key))
			fail_msg("%s: not in lower case", key);
		if (json_is_number(v))
			check_number(key, v);
		if (json_is_object(v) || (json_is_array(v) && !may_nest))
			fail_msg("%s: a table in a table, or an object", key);
		json_array_foreach(v, i, r) check_names(r, false);
	}
}

/* Whether it can be written and read, and its names are as they should be. */
static json_t *
checked(json_t *o)
{
	json_error_t e;

	assert_non_null(o);
	char *dump = json_dumps(o, 0);
	assert_non_null(dump);
	json_t *again = json_loads(dump, 0, &e);
	assert_non_null(again);
	assert_true(json_equal(o, again));
	free(dump);
	json_decref(again);
	check_names(o, true);
	return o;
}

static void
stats_have_counters_and_rates(void **state)
{
	struct view_rig *s = *state;

	for (unsigned i = 0; i <= 20; i++) {
		s->workers[0]->stats.received = i < 20 ? i * 100 : 20 * 100 + 900;
		s->workers[1]->stats.received = i * 10;
		s->workers[1]->stats.busy_cycles = i * 500000000ull;
		s->workers[1]->stats.dropped[HB_DROP_TAG] = i;
		s->workers[0]->stats.shed[HB_OP_SHAKE] = 2 * i;
		s->workers[0]->stats.replies[HB_WIN] = 3 * i;
		view_rig_tick(s);
	}
	json_t *o = checked(hb_view_stats(&s->view, HB_VIEW_ALL, NULL));
	const json_t *received = json_row_of(o, "counters", "counter", "received");

	assert_int_equal(json_number_of(received, "count"), 2900 + 200);
	assert_float_equal(json_real_of(received, "last_1s_per_second"), 1000 + 10, 1e-6);
	assert_float_equal(json_real_of(received, "last_10s_per_second"), 190 + 10, 1e-6);
	assert_int_equal(json_number_of(json_row_of(o, "dropped", "reason", "tag"), "count"), 20);
	assert_int_equal(json_array_size(json_object_get(o, "dropped")), 1);
	assert_int_equal(json_number_of(json_row_of(o, "shed", "op", "SHAKE"), "count"), 40);
	assert_int_equal(json_number_of(json_row_of(o, "replies", "status", "WIN"), "count"), 60);
	assert_float_equal(json_real_of(o, "load_percent"), 25, 1e-6);
	assert_float_equal(json_real_of(o, "cycles_per_request"), 500000000. / 200, 1);
	assert_int_equal(json_array_size(json_object_get(o, "workers")), 2);
	const json_t *second = json_array_get(json_object_get(o, "workers"), 1);
	assert_int_equal(json_number_of(second, "received"), 200);
	assert_int_equal(json_number_of(second, "dropped"), 20);
	assert_float_equal(json_real_of(second, "load_percent"), 50, 1e-6);
	json_decref(o);
}

/* A worker that lets everything in isn't overloaded, nor is one that hasn't begun. */
static void
overload_is_told(void **state)
{
	struct view_rig *s = *state;

	s->workers[0]->stats.admission = 0;
	s->workers[1]->stats.admission = 1000;
	json_t *o = checked(hb_view_watch(&s->view, &s->config));
	assert_int_equal(json_number_of(o, "overloaded"), 0);
	assert_float_equal(json_real_of(o, "admission_percent"), 100, 0);
	json_decref(o);
	s->workers[0]->stats.admission = 950;
	o = checked(hb_view_watch(&s->view, &s->config));
	assert_int_equal(json_number_of(o, "overloaded"), 1);
	assert_float_equal(json_real_of(o, "admission_percent"), 95, 1e-9);
	json_decref(o);
	o = checked(hb_view_stats(&s->view, HB_VIEW_ALL, NULL));
	const json_t *workers = json_object_get(o, "workers");
	assert_true(json_is_false(json_object_get(json_array_get(workers, 1), "overloaded")));
	assert_true(json_is_true(json_object_get(json_array_get(workers, 0), "overloaded")));
	json_decref(o);
}

static void
stats_of_one_worker(void **state)
{
	struct view_rig *s = *state;
	struct hb_error e;

	s->workers[1]->stats.received = 42;
	s->workers[1]->handed_to[0] = 6;
	json_t *o = checked(hb_view_stats(&s->view, 1, NULL));

	assert_int_equal(
		json_number_of(json_row_of(o, "counters", "counter", "received"), "count"), 42);
	/* Without two samples there is no rate. */
	assert_float_equal(json_real_of(json_row_of(o, "counters", "counter", "received"),
				   "last_1s_per_second"),
		0, 0);
	assert_int_equal(
		json_number_of(json_array_get(json_object_get(o, "handed_to"), 0), "requests"), 6);
	json_decref(o);
	assert_null(hb_view_stats(&s->view, 2, &e));
	assert_non_null(strstr(e.text, "worker 2"));
}

/* Samples that come late give the same rate. */
static void
rates_know_when_samples_were_taken(void **state)
{
	struct view_rig *s = *state;

	view_rig_tick(s);
	s->now_ns += 3 * SECOND_NS;
	s->workers[0]->stats.received = 400;
	view_rig_tick(s);
	json_t *o = checked(hb_view_watch(&s->view, &s->config));

	assert_float_equal(json_real_of(o, "received_per_second"), 100, 1e-6);
	json_decref(o);
}

static void
campaigns_are_told_with_their_burn_down(void **state)
{
	struct view_rig *s = *state;
	const unsigned slot = 1;

	s->workers[0]->link.books[slot].stock = 600;
	s->workers[1]->link.books[slot].stock = 150;
	s->control.ledger[slot].recalled = 200;
	s->control.ledger[slot].journalled = 200;
	s->control.ledger[slot].moves = 4;
	view_rig_tick(s);
	view_rig_give(s, 0, slot, 40, true);
	view_rig_give(s, 1, slot, 10, false);
	view_rig_tick(s);
	json_t *o = checked(hb_view_campaign(&s->view, &s->config, 8, NULL));

	assert_string_equal(json_text_of(o, "state"), "open");
	assert_string_equal(json_text_of(o, "kind"), "shaken");
	assert_int_equal(json_number_of(o, "funded"), 1000);
	assert_int_equal(json_number_of(o, "given"), 240);
	assert_int_equal(json_number_of(o, "decided"), 250);
	assert_int_equal(json_number_of(o, "left"), 750);
	assert_int_equal(json_number_of(o, "stock"), 700);
	assert_int_equal(json_number_of(o, "elsewhere"), 50);
	assert_int_equal(json_number_of(o, "given_fen"), 40 * 50);
	assert_int_equal(json_number_of(o, "moves"), 4);
	assert_float_equal(json_real_of(o, "given_per_second"), 40, 1e-6);
	assert_float_equal(json_real_of(o, "empty_in_s"), 750. / 40, 1e-6);
	assert_int_equal(
		json_number_of(json_array_get(json_object_get(o, "workers"), 1), "stock"), 140);
	json_decref(o);

	o = checked(hb_view_pool(&s->view, &s->config, 8, NULL));
	assert_int_equal(json_number_of(o, "elsewhere"), 50);
	json_decref(o);
	o = checked(hb_view_pool(&s->view, &s->config, HB_VIEW_ALL, NULL));
	assert_int_equal(json_array_size(json_object_get(o, "campaigns")), 3);
	json_decref(o);
}

/* What is topped up counts. */
static void
a_top_up_is_funded(void **state)
{
	struct view_rig *s = *state;

	s->control.ledger[0].funded += 500;
	s->control.ledger[0].funded_fen += 1;
	s->control.ledger[0].top_ups = 1;
	json_t *o = checked(hb_view_campaign(&s->view, &s->config, 7, NULL));

	assert_int_equal(json_number_of(o, "funded"), 1500);
	assert_int_equal(json_number_of(o, "funded_fen"), 50001);
	assert_int_equal(json_number_of(o, "first_count"), 1000);
	assert_int_equal(json_number_of(o, "top_ups"), 1);
	json_decref(o);
}

static const char *
state_of(struct view_rig *s, unsigned i)
{
	static char out[16];
	json_t *o = checked(hb_view_campaigns(&s->view, &s->config));

	snprintf(out, sizeof(out), "%s",
		json_text_of(json_array_get(json_object_get(o, "campaigns"), i), "state"));
	json_decref(o);
	return out;
}

static void
campaigns_have_states(void **state)
{
	struct view_rig *s = *state;
	struct hb_campaign_config *c = &s->config.campaign[0];

	assert_string_equal(state_of(s, 0), "open");
	c->opens_us = 3999999999999999;
	assert_string_equal(state_of(s, 0), "early");
	s->config.clock = HB_CLOCK_PACKET;
	assert_string_equal(state_of(s, 0), "open");
	s->config.clock = HB_CLOCK_WALL;
	view_rig_give(s, 0, 0, 1000, true);
	assert_string_equal(state_of(s, 0), "empty");
	c->paused = true;
	assert_string_equal(state_of(s, 0), "paused");
	s->snapshot->draining = true;
	assert_string_equal(state_of(s, 0), "draining");
	c->closes_us = c->opens_us = 1400000000000000;
	assert_string_equal(state_of(s, 0), "closed");
	json_t *o = checked(hb_view_status(&s->view, &s->config));
	assert_string_equal(json_text_of(o, "state"), "draining");
	assert_int_equal(json_number_of(o, "open_campaigns"), 0);
	json_decref(o);
}

/* Its place in the configuration is not its slot; a slot that isn't funded yet is none. */
static void
campaigns_are_found_by_slot(void **state)
{
	struct view_rig *s = *state;
	struct hb_error e;

	s->config.campaign[0].slot = 2;
	s->config.campaign[2].slot = 99;
	s->control.ledger[2].funded = 77;
	json_t *o = checked(hb_view_campaign(&s->view, &s->config, 7, NULL));
	assert_int_equal(json_number_of(o, "funded"), 77);
	json_decref(o);
	o = checked(hb_view_campaign(&s->view, &s->config, 9, NULL));
	assert_int_equal(json_number_of(o, "funded"), 0);
	json_decref(o);
	assert_null(hb_view_campaign(&s->view, &s->config, 4711, &e));
	assert_non_null(strstr(e.text, "4711"));
	assert_null(hb_view_pool(&s->view, &s->config, 4711, &e));
}

static void
the_password_is_not_told(void **state)
{
	struct view_rig *s = *state;

	snprintf(s->config.campaign[0].password, 16, "sesame");
	json_t *o = checked(hb_view_campaign(&s->view, &s->config, 7, NULL));
	char *dump = json_dumps(o, 0);

	assert_string_equal(json_text_of(o, "kind"), "answered");
	assert_null(strstr(dump, "sesame"));
	free(dump);
	json_decref(o);
}

static void
latency_has_percentiles(void **state)
{
	struct view_rig *s = *state;

	for (unsigned i = 1; i <= 1000; i++) {
		hb_histogram_add(s->workers[0]->service_ns, i);
		hb_histogram_add(s->workers[1]->service_ns, 1000 + i);
		hb_histogram_add(s->control.durable_us, i);
	}
	json_t *o = checked(hb_view_latency(&s->view));
	const json_t *all = json_row_of(o, "service", "what", "all workers");
	const json_t *durable = json_row_of(o, "journal", "what", "win to durable");

	assert_float_equal(json_real_of(all, "p50_ns"), 1000, 0);
	assert_float_equal(json_real_of(all, "p99_9_ns"), 1998, 0);
	assert_float_equal(json_real_of(all, "max_ns"), 2000, 0);
	assert_int_equal(json_number_of(all, "count"), 2000);
	assert_float_equal(
		json_real_of(json_row_of(o, "service", "what", "worker 1"), "p50_ns"), 1500, 0);
	assert_float_equal(json_real_of(durable, "p90_ms"), 0.9, 1e-9);
	assert_float_equal(json_real_of(durable, "mean_ms"), 0.5005, 1e-9);
	assert_float_equal(
		json_real_of(json_row_of(o, "journal", "what", "flush"), "max_ms"), 0, 0);
	json_decref(o);
}

static void
the_disk_has_a_state(void **state)
{
	struct view_rig *s = *state;
	json_t *o = checked(hb_view_journal(&s->view, &s->config));

	assert_string_equal(json_text_of(o, "disk"), "good");
	assert_int_equal(json_number_of(o, "segment"), 2);
	assert_int_equal(json_number_of(o, "segment_used_bytes"), 8192);
	json_decref(o);
	s->control.disk_error = -ENOSPC;
	o = checked(hb_view_journal(&s->view, &s->config));
	assert_string_equal(json_text_of(o, "disk"), "full");
	json_decref(o);
	s->control.disk_error = -EIO;
	o = checked(hb_view_watch(&s->view, &s->config));
	assert_string_equal(json_text_of(o, "disk"), "failed");
	json_decref(o);
}

/* The journal's disk and its settlement, in the command and in metrics; nothing of what isn't
 * known. */
static void
the_journal_tells_room_and_settlement(void **state)
{
	struct view_rig *s = *state;
	struct hb_watch w = {.known = true,
		.used_bytes = 5 << 20,
		.segments = 3,
		.free_bytes = 7ull << 30,
		.bytes_per_second = 1 << 20,
		.seconds_left = UINT64_MAX,
		.journal = &s->journal};
	size_t bytes;

	s->journal.record = 1000;
	s->view.watch = &w;
	json_t *o = checked(hb_view_journal(&s->view, &s->config));

	assert_int_equal(json_number_of(o, "used_bytes"), 5 << 20);
	assert_int_equal(json_number_of(o, "free_bytes"), 7ull << 30);
	assert_int_equal(json_number_of(o, "all_records"), 1000);
	assert_null(json_object_get(o, "full_in_s"));
	assert_null(json_object_get(o, "settled"));
	json_decref(o);
	char *t = must(hb_view_metrics(&s->view, &s->config, HB_METRICS_OPEN, &bytes));
	assert_non_null(strstr(t, "\nhongbao_journal_free_bytes 7516192768\n"));
	assert_non_null(strstr(t, "\nhongbao_journal_full_seconds +Inf\n"));
	assert_null(strstr(t, "\nhongbao_unsettled_records "));
	free(t);
	w.seconds_left = 7168;
	w.room = HB_ROOM_SHORT;
	w.settled = 400;
	w.settled_us = 1700000000500000;
	o = checked(hb_view_journal(&s->view, &s->config));
	assert_int_equal(json_number_of(o, "full_in_s"), 7168);
	assert_string_equal(json_text_of(o, "room"), "short");
	assert_int_equal(json_number_of(o, "settled"), 400);
	assert_int_equal(json_number_of(o, "unsettled"), 600);
	json_decref(o);
	t = must(hb_view_metrics(&s->view, &s->config, HB_METRICS_OPEN, &bytes));
	assert_non_null(strstr(t, "\nhongbao_journal_full_seconds 7168\n"));
	assert_non_null(strstr(t, "\nhongbao_settled_records 400\n"));
	assert_non_null(strstr(t, "\nhongbao_unsettled_records 600\n"));
	assert_non_null(strstr(t, "\nhongbao_settled_timestamp_seconds 1700000000.500000\n"));
	free(t);
	s->view.watch = NULL;
}

static void
steering_and_users(void **state)
{
	struct view_rig *s = *state;

	s->workers[0]->stats.received = 200;
	s->workers[1]->stats.misdirected = 3;
	s->workers[0]->engine.users.used = 30;
	s->workers[0]->engine.users.limit = 40;
	s->workers[1]->engine.users.limit = 20;
	json_t *o = checked(hb_view_steering(&s->view));
	const json_t *port = json_row_of(o, "devices", "device", "0000:01:00.0");

	assert_float_equal(json_real_of(o, "misdirected_percent"), 1.5, 1e-9);
	assert_string_equal(json_text_of(port, "key"), "ab01");
	assert_string_equal(json_text_of(port, "steering"), "rss");
	assert_string_equal(json_text_of(port, "link"), "up");
	json_decref(o);
	o = checked(hb_view_users(&s->view));
	assert_int_equal(json_number_of(o, "rows"), 30);
	assert_float_equal(json_real_of(o, "filled_percent"), 50, 1e-9);
	json_decref(o);
}

static void
status_knows_who_is_behind(void **state)
{
	struct view_rig *s = *state;

	s->workers[0]->stats.version = 3;
	s->workers[1]->stats.version = 2;
	s->ports.port[0].up = false;
	json_t *o = checked(hb_view_status(&s->view, &s->config));

	assert_int_equal(json_number_of(o, "workers_current"), 1);
	assert_int_equal(json_number_of(o, "config_version"), 3);
	assert_int_equal(json_number_of(o, "links_down"), 1);
	assert_int_equal(json_number_of(o, "open_campaigns"), 3);
	assert_string_equal(json_text_of(o, "state"), "running");
	json_decref(o);
}

/* ---- metrics ------------------------------------------------------------------------- */

/* What a checker of the text knows. */
struct checker {
	bool open; /* OpenMetrics */
	char family[96], type[16], unit[16];
	bool helped;
	char *seen[65536]; /* series, and families behind "# " */
	unsigned count;
	double bucket; /* the last one's value; -1: none */
	double infinity;
};

static void
note(struct checker *k, const char *series, size_t n)
{
	assert_true(k->count < HB_COUNT_OF(k->seen));
	k->seen[k->count++] = must(strndup(series, n));
}

/* "# TYPE name word" and the like: the metadata of a family come before its samples, once. */
static void
check_meta(struct checker *k, const char *line)
{
	char what[8], name[96];
	int at = 0;

	assert_int_equal(sscanf(line, "# %7s %95s %n", what, name, &at), 2);
	if (strcmp(what, "HELP") == 0) {
		char family[128];

		snprintf(family, sizeof(family), "# %s", name);
		note(k, family, strlen(family));
		*k->type = *k->unit = '\0';
		snprintf(k->family, sizeof(k->family), "%s", name);
		assert_true(strlen(line + at) > 3);
		return;
	}
	assert_string_equal(name, k->family);
	if (strcmp(what, "TYPE") == 0)
		snprintf(k->type, sizeof(k->type), "%s", line + at);
	else if (strcmp(what, "UNIT") == 0)
		snprintf(k->unit, sizeof(k->unit), "%s", line + at);
	else
		fail_msg("%s", line);
	if (*k->unit != '\0') {
		char end[32];

		snprintf(end, sizeof(end), "_%s", k->unit);
		assert_true(k->open && ends_with(name, end));
	}
	/* OpenMetrics names a counter without the suffix of its samples. */
	if (strcmp(k->type, "counter") == 0)
		assert_int_equal(ends_with(name, "_total"), !k->open);
}

/* Labels from the brace on; returns what is behind them. */
static const char *
check_labels(const char *p)
{
	do {
		size_t n = strspn(++p, "abcdefghijklmnopqrstuvwxyz_");

		assert_true(n > 0);
		p += n;
		assert_int_equal(*p++, '=');
		assert_int_equal(*p++, '"');
		while (*p != '"') {
			assert_true((unsigned char)*p >= ' ');
			if (*p == '\\')
				assert_non_null(strchr("\\\"n", *++p));
			p++;
		}
		p++;
	} while (*p == ',');
	assert_int_equal(*p, '}');
	return p + 1;
}

/* Buckets rise, and the last of them is the count. */
static void
check_histogram(struct checker *k, const char *suffix, const char *line, double v)
{
	if (strcmp(suffix, "_bucket") == 0) {
		assert_true(v >= k->bucket);
		k->bucket = k->infinity = v;
		if (strstr(line, "le=\"+Inf\"") != NULL)
			k->bucket = -1;
	} else if (strcmp(suffix, "_count") == 0) {
		assert_true(v == k->infinity && k->bucket == -1);
	} else {
		assert_string_equal(suffix, "_sum");
	}
}

static void
check_sample(struct checker *k, const char *line)
{
	size_t n = strspn(line, "abcdefghijklmnopqrstuvwxyz_");
	const char *p = line + n;
	char suffix[32], *end;

	assert_true(n >= strlen(k->family) && memcmp(line, k->family, strlen(k->family)) == 0);
	snprintf(suffix, sizeof(suffix), "%.*s", (int)(n - strlen(k->family)),
		line + strlen(k->family));
	if (*p == '{')
		p = check_labels(p);
	note(k, line, (size_t)(p - line));
	assert_int_equal(*p++, ' ');
	double v = strtod(p, &end);
	assert_true(end > p && *end == '\0' && v >= 0);
	if (strcmp(k->type, "histogram") == 0)
		check_histogram(k, suffix, line, v);
	else
		assert_string_equal(
			suffix, strcmp(k->type, "counter") == 0 && k->open ? "_total" : "");
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The grammar of the formats, as far as we use it, and that no series is there twice. */
static void
check_syntax(const char *all, enum hb_metrics_format format)
{
	static struct checker k;
	char *copy = must(strdup(all)), *save = NULL;

	k = (struct checker){.open = format == HB_METRICS_OPEN, .bucket = -1};
	assert_int_equal(ends_with(all, "\n# EOF\n"), k.open);
	assert_true(ends_with(all, "\n") && strstr(all, "\n\n") == NULL);
	for (char *line = strtok_r(copy, "\n", &save); line != NULL;
		line = strtok_r(NULL, "\n", &save)) {
		if (strcmp(line, "# EOF") == 0)
			break;
		if (*line == '#')
			check_meta(&k, line);
		else
			check_sample(&k, line);
	}
	qsort(k.seen, k.count, sizeof(*k.seen), by_text);
	for (unsigned i = 1; i < k.count; i++)
		assert_string_not_equal(k.seen[i - 1], k.seen[i]);
	for (unsigned i = 0; i < k.count; i++)
		free(k.seen[i]);
	free(copy);
}

static char *
metrics(const struct view_rig *s, enum hb_metrics_format format)
{
	size_t bytes;
	char *t = must(hb_view_metrics(&s->view, &s->config, format, &bytes));

	assert_int_equal(bytes, strlen(t));
	check_syntax(t, format);
	return t;
}

/* A line of the metrics is exactly this. */
static void
has_line(const char *all, const char *line)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (strstr(all, whole) == NULL)
		fail_msg("no line %s", line);
}

/* Something of everything. */
static void
fill(struct view_rig *s)
{
	s->workers[0]->stats.received = 1234567890123;
	s->workers[1]->stats.dropped[HB_DROP_TAG] = 17;
	s->workers[1]->stats.replies[HB_MISS] = 18;
	s->workers[1]->stats.shed[HB_OP_GRAB] = 19;
	s->workers[1]->stats.busy_cycles = 2500000000ull;
	s->workers[1]->stats.admission = 45;
	s->control.ledger[1].funded_fen = 50001;
	view_rig_give(s, 0, 1, 40, true);
	hb_histogram_add(s->workers[1]->service_ns, 250);
	hb_histogram_add(s->workers[1]->service_ns, 251);
	hb_histogram_add(s->workers[1]->service_ns, 3000000000ull);
	hb_histogram_add(s->control.durable_us, 900);
	s->control.disk_error = -ENOSPC;
	view_rig_tick(s);
}

static void
metrics_have_the_figures(void **state)
{
	struct view_rig *s = *state;

	fill(s);
	char *t = metrics(s, HB_METRICS_OPEN);

	has_line(t, "hongbao_received_frames_total{worker=\"0\"} 1234567890123");
	has_line(t, "hongbao_dropped_frames_total{worker=\"1\",reason=\"tag\"} 17");
	has_line(t, "hongbao_dropped_frames_total{worker=\"0\",reason=\"tx\"} 0");
	has_line(t, "hongbao_replies_total{worker=\"1\",status=\"MISS\"} 18");
	has_line(t, "hongbao_shed_requests_total{worker=\"1\",op=\"GRAB\"} 19");
	has_line(t, "hongbao_busy_seconds_total{worker=\"1\"} 2.500000");
	has_line(t, "hongbao_admission_ratio{worker=\"1\"} 0.045");
	has_line(t, "hongbao_start_time_seconds 1700000000.000000");
	has_line(t, "hongbao_campaign_info{campaign=\"8\",name=\"gala \\\"1\\\" \\\\\"} 1");
	has_line(t, "hongbao_campaign_given_envelopes_total{campaign=\"8\"} 40");
	has_line(t, "hongbao_campaign_funded_fen{campaign=\"8\"} 50001");
	has_line(t, "hongbao_campaign_left_envelopes{campaign=\"8\"} 960");
	has_line(t, "hongbao_campaign_odds_ratio{campaign=\"8\"} 0.250000000");
	has_line(t, "hongbao_service_seconds_bucket{worker=\"1\",le=\"2.5e-07\"} 1");
	has_line(t, "hongbao_service_seconds_bucket{worker=\"1\",le=\"5e-07\"} 2");
	has_line(t, "hongbao_service_seconds_bucket{worker=\"1\",le=\"+Inf\"} 3");
	has_line(t, "hongbao_service_seconds_sum{worker=\"1\"} 3.000000501");
	has_line(t, "hongbao_win_durable_seconds_sum 0.000900");
	has_line(t, "hongbao_win_durable_seconds_bucket{le=\"0.0005\"} 0");
	has_line(t, "hongbao_win_durable_seconds_bucket{le=\"0.001\"} 1");
	has_line(t, "hongbao_journal_disk{state=\"full\"} 1");
	has_line(t, "hongbao_journal_disk{state=\"good\"} 0");
	has_line(t, "hongbao_port_lost_frames_total{port=\"0000:01:00.0\",reason=\"missed\"} 0");
	has_line(t, "# UNIT hongbao_busy_seconds seconds");
	free(t);
	free(metrics(s, HB_METRICS_CLASSIC));
}

/* Every reason, whether it happened or not. */
static void
every_drop_has_its_series(void **state)
{
	struct view_rig *s = *state;
	char *t = metrics(s, HB_METRICS_OPEN), line[128];

	for (unsigned i = 1; i < HB_DROPS; i++) {
		snprintf(line, sizeof(line),
			"hongbao_dropped_frames_total{worker=\"1\",reason=\"%s\"} 0",
			hb_drop_name(i));
		has_line(t, line);
	}
	assert_null(strstr(t, "reason=\"none\""));
	assert_null(strstr(t, "\"?\""));
	free(t);
}

static void
many_campaigns_are_summed_up(void **state)
{
	struct view_rig *s = view_rig_make(1, HB_METRICS_CAMPAIGNS + 3);

	(void)state;
	view_rig_give(s, 0, HB_METRICS_CAMPAIGNS, 5, true);
	view_rig_give(s, 0, HB_METRICS_CAMPAIGNS + 2, 6, true);
	s->config.campaign[HB_METRICS_CAMPAIGNS + 1].paused = true;
	char *t = metrics(s, HB_METRICS_OPEN);

	has_line(t, "hongbao_campaign_given_envelopes_total{campaign=\"other\"} 11");
	has_line(t, "hongbao_campaign_open{campaign=\"other\"} 2");
	has_line(t, "hongbao_campaigns 1003");
	assert_non_null(strstr(t, "campaign=\"1006\""));
	assert_null(strstr(t, "campaign=\"1007\""));
	free(t);
	view_rig_free(s);
}

static void
the_format_is_negotiated(void **state)
{
	static const struct {
		const char *accept;
		enum hb_metrics_format format;
	} of[] = {
		{NULL, HB_METRICS_CLASSIC},
		{"", HB_METRICS_CLASSIC},
		{"*/*", HB_METRICS_CLASSIC},
		{"text/plain", HB_METRICS_CLASSIC},
		{"application/openmetrics-text", HB_METRICS_OPEN},
		{"Application/OpenMetrics-Text; version=1.0.0", HB_METRICS_OPEN},
		/* Prometheus 2.42 */
		{"application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
		 "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
			HB_METRICS_OPEN},
		{"text/plain;q=0.9, application/openmetrics-text;q=0.1", HB_METRICS_CLASSIC},
		{"application/openmetrics-text;q=0", HB_METRICS_CLASSIC},
		{"application/openmetrics-textual", HB_METRICS_CLASSIC},
		{";;q=,,q=1;", HB_METRICS_CLASSIC},
	};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(of); i++)
		assert_int_equal(hb_metrics_wanted(of[i].accept), of[i].format);
}

/* The README's table is the program's. */
static void
the_readme_has_the_table(void **state)
{
	const char *path = getenv("HONGBAO_README");
	char *table = must(hb_metrics_readme()), *readme = NULL;
	size_t room = 0;

	(void)state;
	if (path == NULL)
		skip();
	FILE *f = must(fopen(path, "r"));
	assert_true(getdelim(&readme, &room, '\0', f) > 0);
	fclose(f);
	const char *at = strstr(readme, table);
	/* All of it, and not a row more. */
	if (at == NULL || at[strlen(table)] != '\n')
		fail_msg("%s: its table of metrics isn't what `test_views readme` prints", path);
	free(readme);
	free(table);
}

/* ---- the program --------------------------------------------------------------------- */

static void
print_text(const char *what)
{
	struct view_rig *s = view_rig_make(2, 3);
	size_t bytes;

	fill(s);
	char *t =
		strcmp(what, "readme") == 0
			? hb_metrics_readme()
			: hb_view_metrics(&s->view, &s->config,
				  strcmp(what, "open") == 0 ? HB_METRICS_OPEN : HB_METRICS_CLASSIC,
				  &bytes);

	fputs(must(t), stdout);
	free(t);
	view_rig_free(s);
}

static void
do_sample(struct view_rig *s)
{
	view_rig_tick(s);
}

static void
do_metrics(struct view_rig *s)
{
	size_t bytes;

	free(hb_view_metrics(&s->view, &s->config, HB_METRICS_OPEN, &bytes));
}

/* As an answer is: made, written, freed. */
static void
answer(json_t *o)
{
	free(json_dumps(o, JSON_COMPACT));
	json_decref(o);
}

static void
do_stats(struct view_rig *s)
{
	answer(hb_view_stats(&s->view, HB_VIEW_ALL, NULL));
}

static void
do_status(struct view_rig *s)
{
	answer(hb_view_status(&s->view, &s->config));
}

static void
do_watch(struct view_rig *s)
{
	answer(hb_view_watch(&s->view, &s->config));
}

static void
do_campaigns(struct view_rig *s)
{
	answer(hb_view_campaigns(&s->view, &s->config));
}

static void
do_latency(struct view_rig *s)
{
	answer(hb_view_latency(&s->view));
}

static uint64_t
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* The fastest of 20: of the CPU's time, since a machine has other things to do. */
static void
print_times(void)
{
	static const struct {
		const char *name;
		void (*run)(struct view_rig *);
	} of[] = {
		{"sample", do_sample},
		{"metrics", do_metrics},
		{"stats", do_stats},
		{"status", do_status},
		{"watch", do_watch},
		{"campaigns", do_campaigns},
		{"latency", do_latency},
	};
	struct view_rig *s = view_rig_make(64, 1000);

	for (unsigned w = 0; w < 64; w++) {
		for (unsigned i = 0; i < 1000; i++)
			hb_histogram_add(s->workers[w]->service_ns, 1ull << (i % 21));
	}
	view_rig_tick(s);
	for (unsigned i = 0; i < HB_COUNT_OF(of); i++) {
		uint64_t best = UINT64_MAX;

		for (unsigned k = 0; k < 20; k++) {
			uint64_t start = cpu_ns();

			of[i].run(s);
			uint64_t ns = cpu_ns() - start;
			best = ns < best ? ns : best;
		}
		printf("%-10s %8.1f us\n", of[i].name, (double)best / 1e3);
	}
	view_rig_free(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(stats_have_counters_and_rates),
		TEST(overload_is_told),
		TEST(stats_of_one_worker),
		TEST(rates_know_when_samples_were_taken),
		TEST(campaigns_are_told_with_their_burn_down),
		TEST(a_top_up_is_funded),
		TEST(campaigns_have_states),
		TEST(campaigns_are_found_by_slot),
		TEST(the_password_is_not_told),
		TEST(latency_has_percentiles),
		TEST(the_disk_has_a_state),
		TEST(the_journal_tells_room_and_settlement),
		TEST(steering_and_users),
		TEST(status_knows_who_is_behind),
		TEST(metrics_have_the_figures),
		TEST(every_drop_has_its_series),
		TEST(the_format_is_negotiated),
		cmocka_unit_test(many_campaigns_are_summed_up),
		cmocka_unit_test(the_readme_has_the_table),
	};

	if (argc > 1 && strcmp(argv[1], "time") == 0)
		print_times();
	else if (argc > 1)
		print_text(argv[1]);
	else
		return cmocka_run_group_tests(tests, NULL, NULL);
	return 0;
}
