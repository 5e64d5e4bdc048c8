/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The war room without pages: the history and its minutes, trails, alerts, what operators changed,
 * and the present state of a daemon made by hand.
 */
#include "view_rig.h"
#include "warroom_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <math.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKERS 2
/* A second that begins a minute: its end is the minute's first second's end but one. */
#define BASE (1000000020ull / 60 * 60)

/* ---- history ------------------------------------------------------------------------- */

static void
add(struct hb_history *h, uint64_t id, double x)
{
	double load[WORKERS] = {x, 100 - x};
	struct hb_second s = {.load_percent = load};

	for (unsigned c = 0; c < HB_COLUMNS; c++)
		s.column[c] = x;
	for (unsigned i = 0; i < HB_CURVES; i++)
		s.left[i] = i == 0 ? x : NAN;
	hb_history_add(h, id, &s);
}

static json_t *
history(const struct hb_history *h, unsigned step_s)
{
	struct hb_history_facts f = {
		.time_us = 2000000000000000, .curves = 1, .curve = {{7, "a \"name\"\n"}}};
	struct hb_text t = {0};
	json_error_t e;
	size_t bytes;

	hb_history_write(h, step_s, &f, &t);
	char *text = must(hb_text_end(&t, &bytes));
	json_t *o = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &e);
	if (o == NULL)
		fail_msg("%s: %.200s", e.text, text);
	free(text);
	return o;
}

static const json_t *
column(const json_t *o, const char *key)
{
	const json_t *list = json_object_get(o, key);

	assert_int_equal(json_array_size(list), json_number_of(o, "rows"));
	return list;
}

/* A value, NAN for null. */
static double
value(const json_t *list, size_t i)
{
	const json_t *v = json_array_get(list, i);

	assert_true(json_is_number(v) || json_is_null(v));
	return json_is_number(v) ? json_number_value(v) : NAN;
}

static void
an_hour_is_kept_and_no_more(void **state)
{
	struct hb_history *h = must(hb_history_make(WORKERS));
	json_t *o = history(h, 1);

	(void)state;
	assert_int_equal(json_number_of(o, "rows"), 0);
	json_decref(o);
	for (unsigned i = 1; i <= HB_HOUR_S + 100; i++)
		add(h, BASE + i, i);
	o = history(h, 1);
	assert_int_equal(json_number_of(o, "rows"), HB_HOUR_S);
	assert_int_equal(
		json_number_of(o, "first_us"), 2000000000000000 - (HB_HOUR_S - 1) * 1000000ll);
	const json_t *shakes = column(o, "shakes_per_second");
	for (unsigned i = 0; i < HB_HOUR_S; i++)
		assert_true(value(shakes, i) == i + 101);
	assert_null(json_object_get(o, "busiest_shakes_per_second"));
	assert_null(json_object_get(o, "unsettled"));
	/* Curves and workers have as many. */
	const json_t *curve = json_array_get(json_object_get(o, "campaigns"), 0);
	assert_int_equal(json_number_of(curve, "id"), 7);
	assert_string_equal(json_text_of(curve, "name"), "a \"name\"\n");
	assert_true(value(json_object_get(curve, "left"), HB_HOUR_S - 1) == HB_HOUR_S + 100);
	assert_int_equal(json_array_size(json_object_get(curve, "left")), HB_HOUR_S);
	const json_t *worker = json_array_get(json_object_get(o, "workers"), 1);
	assert_int_equal(json_number_of(worker, "worker"), 1);
	assert_int_equal(json_array_size(json_object_get(worker, "load_percent")), HB_HOUR_S);
	json_decref(o);
	hb_history_free(h);
}

static void
a_gap_is_nothing_known(void **state)
{
	struct hb_history *h = must(hb_history_make(WORKERS));

	(void)state;
	add(h, BASE + 1, 1.5);
	add(h, BASE + 5, 5.25);
	/* Neither twice nor back in time. */
	add(h, BASE + 5, 7);
	add(h, BASE + 3, 7);
	json_t *o = history(h, 1);
	const json_t *wins = column(o, "wins_per_second");
	assert_int_equal(json_array_size(wins), 5);
	assert_true(value(wins, 0) == 1.5 && value(wins, 4) == 5.25);
	for (unsigned i = 1; i < 4; i++)
		assert_true(isnan(value(wins, i)));
	json_decref(o);
	/* A gap that is longer than all that is kept. */
	add(h, BASE + 5 + 10 * HB_HOUR_S, 9);
	o = history(h, 1);
	wins = column(o, "wins_per_second");
	assert_int_equal(json_array_size(wins), HB_HOUR_S);
	for (unsigned i = 0; i + 1 < HB_HOUR_S; i++)
		assert_true(isnan(value(wins, i)));
	assert_true(value(wins, HB_HOUR_S - 1) == 9);
	json_decref(o);
	hb_history_free(h);
}

static void
seconds_become_minutes(void **state)
{
	struct hb_history *h = must(hb_history_make(WORKERS));

	(void)state;
	/* The second that ends with a minute is its last. */
	for (unsigned i = 1; i <= 90; i++)
		add(h, BASE + i, i);
	hb_history_minute(h, HB_COLUMN_DURABLE_P99, 12);
	json_t *o = history(h, 60);
	assert_int_equal(json_number_of(o, "rows"), 2);
	assert_int_equal(json_number_of(o, "first_us"), BASE * 1000000);
	assert_true(value(column(o, "shakes_per_second"), 0) == 30.5);
	assert_true(value(column(o, "shakes_per_second"), 1) == 75.5);
	assert_true(value(column(o, "busiest_shakes_per_second"), 0) == 60);
	assert_true(value(column(o, "busiest_percent"), 1) == 90);
	assert_true(value(column(o, "admission_percent"), 1) == 61);
	assert_true(value(column(o, "undurable"), 0) == 60);
	assert_true(isnan(value(column(o, "durable_p99_ms"), 0)));
	assert_true(value(column(o, "durable_p99_ms"), 1) == 12);
	const json_t *curve = json_array_get(json_object_get(o, "campaigns"), 0);
	assert_true(value(json_object_get(curve, "left"), 0) == 60);
	const json_t *worker = json_array_get(json_object_get(o, "workers"), 1);
	assert_true(value(json_object_get(worker, "load_percent"), 0) == 69.5);
	json_decref(o);
	/* Minutes that are left out, and a day that is over. */
	add(h, BASE + 60 * 5 + 1, 3);
	o = history(h, 60);
	assert_int_equal(json_number_of(o, "rows"), 6);
	assert_true(isnan(value(column(o, "load_percent"), 3)));
	assert_true(value(column(o, "load_percent"), 5) == 3);
	json_decref(o);
	for (unsigned m = 6; m < HB_DAY_MIN + 10; m++)
		add(h, BASE + 60ull * m + 1, m);
	o = history(h, 60);
	assert_int_equal(json_number_of(o, "rows"), HB_DAY_MIN);
	assert_true(value(column(o, "load_percent"), 0) == 10);
	assert_true(value(column(o, "load_percent"), HB_DAY_MIN - 1) == HB_DAY_MIN + 9);
	json_decref(o);
	hb_history_free(h);
}

/* What isn't known in a second doesn't spoil its minute. */
static void
a_minute_is_of_what_is_known(void **state)
{
	struct hb_history *h = must(hb_history_make(WORKERS));

	(void)state;
	add(h, BASE + 1, NAN);
	add(h, BASE + 2, 10);
	add(h, BASE + 3, NAN);
	add(h, BASE + 4, 20);
	json_t *o = history(h, 60);
	assert_true(value(column(o, "shakes_per_second"), 0) == 15);
	assert_true(value(column(o, "busiest_percent"), 0) == 20);
	assert_true(value(column(o, "admission_percent"), 0) == 10);
	json_decref(o);
	hb_history_free(h);
}

static void
numbers_are_short_and_right(void **state)
{
	static const struct {
		double x;
		const char *text;
	} of[] = {
		{0, "[0]"},
		{0.0004, "[0]"},
		{0.5, "[0.5]"},
		{12.25, "[12.25]"},
		{1.006, "[1.006]"},
		{99.9996, "[100]"},
		{13500000.125, "[13500000.125]"},
		{-3, "[0]"},
		{1e30, "[1000000000000000]"},
		{NAN, "[null]"},
	};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(of); i++) {
		struct hb_history *h = must(hb_history_make(WORKERS));
		char wanted[64];
		struct hb_history_facts f = {0};
		struct hb_text t = {0};

		add(h, BASE + 1, of[i].x);
		hb_history_write(h, 1, &f, &t);
		char *text = must(hb_text_end(&t, NULL));
		snprintf(wanted, sizeof(wanted), "\"wins_per_second\":%s,", of[i].text);
		if (strstr(text, wanted) == NULL)
			fail_msg("%g: no %s in %.300s", of[i].x, wanted, text);
		free(text);
		hb_history_free(h);
	}
}

/* ---- trails -------------------------------------------------------------------------- */

static void
a_trail_tells_how_old_the_oldest_is(void **state)
{
	struct hb_trail *t = must(calloc(1, sizeof(*t)));

	(void)state;
	assert_int_equal(hb_trail_age_s(t, 0), 0);
	/* Ten a second. */
	for (unsigned i = 1; i <= 5000; i++)
		hb_trail_add(t, BASE + i, 10 * i);
	assert_int_equal(hb_trail_age_s(t, 50000), 0);
	assert_int_equal(hb_trail_age_s(t, 60000), 0);
	assert_int_equal(hb_trail_age_s(t, 49999), 0);
	assert_int_equal(hb_trail_age_s(t, 49990), 0);
	assert_int_equal(hb_trail_age_s(t, 49989), 1);
	assert_int_equal(hb_trail_age_s(t, 50000 - 10 * 100 - 1), 100);
	assert_int_equal(hb_trail_age_s(t, 50000 - 10 * (HB_HOUR_S - 1)), HB_HOUR_S - 2);
	/* Beyond the hour to a minute, downwards. */
	for (unsigned age = HB_HOUR_S; age < 5000; age += 77) {
		uint64_t told = hb_trail_age_s(t, 50000 - 10 * age - 1);

		assert_true(told <= age && told + 60 > age);
	}
	assert_true(hb_trail_age_s(t, 0) <= 4999 && hb_trail_age_s(t, 0) > 4999 - 60);
	/* A second that is left out is as the one before. */
	hb_trail_add(t, BASE + 5100, 60000);
	assert_int_equal(hb_trail_age_s(t, 50000), 0);
	assert_int_equal(hb_trail_age_s(t, 49999), 100);
	/* And a gap longer than all. */
	hb_trail_add(t, BASE + 5100 + 100000, 70000);
	assert_int_equal(hb_trail_age_s(t, 60000), 0);
	assert_true(hb_trail_age_s(t, 59999) >= HB_DAY_MIN * 60 - 60);
	free(t);
}

/* ---- alerts -------------------------------------------------------------------------- */

#define SECOND_US 1000000

static void
second(struct hb_alerts *a, uint64_t id, const char *what)
{
	hb_alerts_begin(a, id, id * SECOND_US);
	if (what != NULL)
		hb_alerts_raise(
			a, what, HB_WARNING, "do it", "second %llu", (unsigned long long)id);
	hb_alerts_end(a);
}

static json_t *
alerts(const struct hb_alerts *a)
{
	json_t *o = json_object();

	hb_alerts_put(a, o);
	return o;
}

static void
an_alert_rises_and_clears(void **state)
{
	struct hb_alerts *a = must(calloc(1, sizeof(*a)));

	(void)state;
	second(a, 10, NULL);
	assert_int_equal(a->count, 0);
	second(a, 11, "ill");
	second(a, 12, "ill");
	assert_true(hb_alerts_open(a, "ill") && !hb_alerts_open(a, "il"));
	json_t *o = alerts(a);
	const json_t *one = json_row_of(o, "alerts", "id", "ill");
	assert_int_equal(json_number_of(one, "since_us"), 11 * SECOND_US);
	assert_string_equal(json_text_of(one, "severity"), "warning");
	assert_string_equal(json_text_of(one, "text"), "second 12");
	assert_string_equal(json_text_of(one, "try"), "do it");
	assert_null(json_object_get(one, "until_us"));
	assert_int_equal(json_number_of(o, "alerts_not_shown"), 0);
	json_decref(o);
	/* What comes and goes is one. */
	for (unsigned i = 13; i < 12 + HB_ALERT_HOLD_S; i++) {
		second(a, i, NULL);
		assert_true(hb_alerts_open(a, "ill"));
	}
	second(a, 17, "ill");
	assert_int_equal(a->incidents, 0);
	for (unsigned i = 18; i < 17 + HB_ALERT_HOLD_S; i++)
		second(a, i, NULL);
	assert_true(hb_alerts_open(a, "ill"));
	second(a, 17 + HB_ALERT_HOLD_S, NULL);
	assert_false(hb_alerts_open(a, "ill"));
	json_t *over = hb_alerts_incidents(a);
	assert_int_equal(json_array_size(over), 1);
	assert_int_equal(json_number_of(json_array_get(over, 0), "since_us"), 11 * SECOND_US);
	assert_int_equal(json_number_of(json_array_get(over, 0), "until_us"),
		(17 + HB_ALERT_HOLD_S) * SECOND_US);
	json_decref(over);
	free(a);
}

static void
the_worst_comes_first_and_is_remembered(void **state)
{
	struct hb_alerts *a = must(calloc(1, sizeof(*a)));

	(void)state;
	hb_alerts_begin(a, 1, 1);
	hb_alerts_raise(a, "a", HB_NOTICE, NULL, "so wanted");
	hb_alerts_raise(a, "b", HB_WARNING, NULL, "bad");
	hb_alerts_end(a);
	hb_alerts_begin(a, 2, 2);
	hb_alerts_raise(a, "a", HB_NOTICE, NULL, "so wanted");
	hb_alerts_raise(a, "b", HB_CRITICAL, "x", "worse");
	hb_alerts_raise(a, "b", HB_WARNING, NULL, "bad, too");
	hb_alerts_raise(a, "c", HB_WARNING, NULL, "bad");
	hb_alerts_end(a);
	/* In a second the worst counts, whatever comes after it. */
	json_t *o = alerts(a);
	const json_t *list = json_object_get(o, "alerts");
	static const char *const ids[] = {"b", "c", "a"};
	for (unsigned i = 0; i < HB_COUNT_OF(ids); i++)
		assert_string_equal(json_text_of(json_array_get(list, i), "id"), ids[i]);
	assert_string_equal(json_text_of(json_array_get(list, 0), "text"), "worse");
	assert_string_equal(json_text_of(json_array_get(list, 0), "severity"), "critical");
	assert_null(json_object_get(json_array_get(list, 2), "try"));
	json_decref(o);
	/* What is open is shown as it is. */
	hb_alerts_begin(a, 3, 3);
	hb_alerts_raise(a, "b", HB_WARNING, NULL, "bad again");
	hb_alerts_end(a);
	o = alerts(a);
	const json_t *b = json_row_of(o, "alerts", "id", "b");
	assert_string_equal(json_text_of(b, "text"), "bad again");
	assert_string_equal(json_text_of(b, "severity"), "warning");
	assert_null(json_object_get(b, "try"));
	json_decref(o);
	/* What is over, as it was at its worst. */
	hb_alerts_begin(a, 3 + HB_ALERT_HOLD_S, 9);
	hb_alerts_end(a);
	o = json_pack("{s:o}", "incidents", hb_alerts_incidents(a));
	b = json_row_of(o, "incidents", "id", "b");
	assert_string_equal(json_text_of(b, "text"), "worse");
	assert_string_equal(json_text_of(b, "severity"), "critical");
	assert_string_equal(json_text_of(b, "try"), "x");
	json_decref(o);
	free(a);
}

static void
alerts_and_incidents_are_bounded(void **state)
{
	struct hb_alerts *a = must(calloc(1, sizeof(*a)));
	char id[32];

	(void)state;
	for (unsigned round = 0; round < 4; round++) {
		hb_alerts_begin(a, 100 * round + 1, SECOND_US);
		for (unsigned i = 0; i < 1000; i++) {
			snprintf(id, sizeof(id), "ill.%u", 1000 * round + i);
			hb_alerts_raise(a, id, HB_WARNING, NULL, "x");
		}
		hb_alerts_end(a);
		assert_int_equal(a->count, HB_ALERTS_MAX);
		json_t *o = alerts(a);
		assert_int_equal(json_array_size(json_object_get(o, "alerts")), HB_ALERTS_SHOWN);
		assert_int_equal(json_number_of(o, "alerts_not_shown"), 1000 - HB_ALERTS_SHOWN);
		json_decref(o);
		second(a, 100 * round + 50, NULL);
		assert_int_equal(a->count, 0);
	}
	assert_int_equal(a->incidents, 4 * HB_ALERTS_MAX);
	json_t *over = hb_alerts_incidents(a);
	assert_int_equal(json_array_size(over), HB_INCIDENTS_MAX);
	assert_string_equal(json_text_of(json_array_get(over, 0), "id"), "ill.2000");
	json_decref(over);
	free(a);
}

/* ---- a daemon ------------------------------------------------------------------------ */

struct room {
	struct view_rig *rig;
	struct hb_warroom *w;
	struct hb_settlement settled;
};

static const struct hb_config *
config(void *context)
{
	return &((struct view_rig *)context)->config;
}

static void
open_room(struct room *m, unsigned workers, unsigned campaigns)
{
	m->rig = view_rig_make(workers, campaigns);
	m->settled = (struct hb_settlement){0};
	struct hb_warroom_terms t = {.view = &m->rig->view, .config = config, .context = m->rig};
	struct hb_error e;

	for (unsigned i = 0; i < workers; i++)
		m->rig->workers[i]->stats.version = 3;
	hb_rates_sample(m->rig->view.rates, &m->rig->view, m->rig->now_ns);
	assert_int_equal(hb_warroom_make(&m->w, &t, &e), 0);
}

/* A second goes by; every worker turns. */
static void
pass(struct room *m)
{
	for (unsigned i = 0; i < m->rig->config.workers; i++)
		m->rig->workers[i]->stats.polls += 1000;
	m->rig->now_ns += SECOND_NS;
	hb_rates_sample(m->rig->view.rates, &m->rig->view, m->rig->now_ns);
	hb_warroom_second(m->w, &m->settled, m->rig->now_ns);
}

static void
pass_many(struct room *m, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++)
		pass(m);
}

static int
set_up(void **state)
{
	struct room *m = must(calloc(1, sizeof(*m)));

	open_room(m, WORKERS, 3);
	*state = m;
	return 0;
}

static int
tear_down(void **state)
{
	struct room *m = *state;

	hb_warroom_free(m->w);
	view_rig_free(m->rig);
	free(m);
	return 0;
}

static void
answer(struct room *m, unsigned worker, unsigned n)
{
	struct hb_worker_stats *s = &m->rig->workers[worker]->stats;

	s->received += n;
	s->replies[HB_MISS] += n;
	s->sent += n;
}

static const json_t *
part(const json_t *o, const char *key)
{
	const json_t *of = json_object_get(o, key);

	if (!json_is_object(of))
		fail_msg("%s: no object", key);
	return of;
}

static void
the_present_is_told(void **state)
{
	struct room *m = *state;

	pass(m);
	answer(m, 0, 900);
	answer(m, 1, 300);
	m->rig->workers[1]->stats.dropped[HB_DROP_TAG] += 7;
	view_rig_give(m->rig, 0, 1, 40, true);
	view_rig_give(m->rig, 1, 1, 2, false);
	hb_histogram_add(m->rig->control.durable_us, 800);
	hb_histogram_add(m->rig->workers[0]->service_ns, 1200);
	pass(m);
	json_t *o = warroom_now(m->w);
	assert_int_equal(json_number_of(o, "format"), 1);
	assert_int_equal(json_number_of(o, "host"), 5);
	assert_string_equal(json_text_of(o, "state"), "running");
	assert_string_equal(json_text_of(o, "version"), "1.2.3");
	assert_int_equal(json_number_of(o, "config_version"), 3);
	const json_t *rates = part(o, "rates"), *totals = part(o, "totals");
	assert_int_equal(json_number_of(rates, "shakes_per_minute"), 1200);
	assert_true(json_real_of(rates, "shakes_per_second") == 1200);
	assert_true(json_real_of(rates, "received_per_second") == 1200);
	assert_true(json_real_of(rates, "wins_per_second") == 42);
	assert_true(json_real_of(rates, "given_fen_per_second") == 2100);
	assert_true(json_real_of(rates, "dropped_per_second") == 7);
	assert_int_equal(json_number_of(totals, "received"), 1200);
	assert_int_equal(json_number_of(totals, "wins"), 42);
	assert_int_equal(json_number_of(totals, "dropped"), 7);
	const json_t *money = part(o, "money");
	assert_int_equal(json_number_of(money, "funded"), 3000);
	assert_int_equal(json_number_of(money, "given_fen"), 2000);
	assert_int_equal(json_number_of(money, "left"), 2960);
	const json_t *settlement = part(o, "settlement");
	assert_int_equal(json_number_of(settlement, "undurable"), 2);
	assert_int_equal(json_number_of(settlement, "undurable_age_s"), 0);
	assert_null(json_object_get(settlement, "settled"));
	assert_null(json_object_get(settlement, "unsettled_age_s"));
	const json_t *load = part(o, "load");
	assert_true(fabs(json_real_of(load, "balance_percent") - 66.667) < 0.01);
	const json_t *worker = json_array_get(json_object_get(o, "workers"), 0);
	assert_true(json_real_of(worker, "share_percent") == 75);
	assert_true(json_real_of(worker, "turns_per_second") == 1000);
	const json_t *latency = part(o, "latency");
	assert_true(json_real_of(part(latency, "durable"), "p50_ms") == 0.8);
	assert_true(json_real_of(part(latency, "service"), "max_ns") == 1200);
	const json_t *drop = json_row_of(o, "drops", "reason", "tag");
	assert_int_equal(json_number_of(drop, "count"), 7);
	const json_t *campaign = json_array_get(json_object_get(o, "campaigns"), 1);
	assert_int_equal(json_number_of(campaign, "id"), 8);
	assert_int_equal(json_number_of(campaign, "left"), 958);
	assert_true(json_real_of(campaign, "given_per_second") > 0);
	assert_true(json_number_of(campaign, "empty_us") > json_number_of(o, "time_us"));
	assert_int_equal(json_number_of(campaign, "closes_us"), 4000000000000000);
	/* In it there is no line end: it is one line of an event. */
	char *text = json_dumps(o, JSON_COMPACT);
	assert_null(strchr(text, '\n'));
	free(text);
	json_decref(o);
	/* What was timed more than 10 s ago isn't recent. */
	pass_many(m, RECENT_S + 1);
	o = warroom_now(m->w);
	assert_int_equal(json_object_size(part(o, "latency")), 0);
	json_decref(o);
}

static void
the_peak_stays(void **state)
{
	struct room *m = *state;
	json_t *o = warroom_now(m->w);

	assert_null(json_object_get(o, "peak"));
	json_decref(o);
	/* 100 a second for a minute, then one second of 500, then less. */
	for (unsigned i = 0; i < 70; i++) {
		answer(m, 0, 100);
		pass(m);
	}
	answer(m, 0, 500);
	pass(m);
	uint64_t id = m->w->id, time_us = m->w->time_us;
	for (unsigned i = 0; i < 130; i++) {
		answer(m, 1, 10);
		pass(m);
	}
	o = warroom_now(m->w);
	const json_t *peak = part(o, "peak");
	assert_int_equal(json_number_of(peak, "shakes_per_minute"), 59 * 100 + 500);
	assert_int_equal(json_number_of(peak, "minute_us"), time_us);
	assert_true(json_real_of(peak, "shakes_per_second") == 500);
	assert_int_equal(json_number_of(peak, "since_us"), 1700000000000000);
	assert_int_equal(json_number_of(part(o, "rates"), "shakes_per_minute"), 600);
	assert_int_equal(json_number_of(o, "id"), id + 130);
	json_decref(o);
}

/* A minute's times are its own, though the second that ends the one before is left out. */
static void
a_minute_begins_without_its_second(void **state)
{
	struct room *m = *state;
	size_t bytes;

	do {
		hb_histogram_add(m->rig->workers[0]->service_ns, 1000000);
		pass(m);
	} while (m->w->id % 60 != 59);
	m->rig->now_ns += SECOND_NS;
	hb_histogram_add(m->rig->workers[0]->service_ns, 1200);
	pass(m);
	assert_int_equal(m->w->id % 60, 1);
	char *text = must(warroom_history(m->w, 60, &bytes));
	json_t *o = must(json_loadb(text, bytes, 0, NULL));
	const json_t *p99 = column(o, "service_p99_ns");

	assert_true(value(p99, (unsigned)json_array_size(p99) - 2) > 900000);
	assert_true(value(p99, (unsigned)json_array_size(p99) - 1) < 1500);
	json_decref(o);
	free(text);
}

static void
what_waits_grows_old(void **state)
{
	struct room *m = *state;

	pass(m);
	view_rig_give(m->rig, 0, 0, 5, false);
	pass(m);
	assert_int_equal(m->w->undurable, 5);
	assert_int_equal(m->w->undurable_age_s, 0);
	assert_false(hb_alerts_open(&m->w->alerts, "undurable"));
	pass_many(m, 3);
	assert_int_equal(m->w->undurable_age_s, 3);
	assert_true(hb_alerts_open(&m->w->alerts, "undurable"));
	m->rig->control.ledger[0].journalled += 5;
	pass(m);
	assert_int_equal(m->w->undurable, 0);
	assert_int_equal(m->w->undurable_age_s, 0);
}

static void
settlement_is_told_where_it_is_known(void **state)
{
	struct room *m = *state;

	m->settled = (struct hb_settlement){.known = true, .journalled = 1000, .settled = 1000};
	pass(m);
	m->settled.journalled = 5000;
	pass(m);
	for (unsigned i = 0; i < 61; i++) {
		m->settled.settled += 10;
		pass(m);
	}
	json_t *o = warroom_now(m->w);
	const json_t *s = part(o, "settlement");
	assert_int_equal(json_number_of(s, "settled"), 1610);
	assert_int_equal(json_number_of(s, "unsettled"), 3390);
	assert_int_equal(json_number_of(s, "unsettled_age_s"), 61);
	assert_true(json_real_of(s, "settled_per_second") == 10);
	assert_non_null(json_row_of(o, "alerts", "id", "settlement_lag"));
	json_decref(o);
	json_t *report = must(hb_warroom_report(m->w));
	assert_non_null(json_object_get(json_object_get(report, "seconds"), "unsettled"));
	json_decref(report);
}

/* ---- what is wrong ------------------------------------------------------------------- */

/* Whether an alert is open once a few seconds have gone by. */
static void
must_rise(struct room *m, const char *id)
{
	pass_many(m, 4);
	if (!hb_alerts_open(&m->w->alerts, id))
		fail_msg("%s: no alert", id);
}

static void
must_clear(struct room *m, const char *id)
{
	pass_many(m, RECENT_S + HB_ALERT_HOLD_S + 1);
	if (hb_alerts_open(&m->w->alerts, id))
		fail_msg("%s: still there", id);
}

static void
a_good_night_has_no_alert(void **state)
{
	struct room *m = *state;

	for (unsigned i = 0; i < 30; i++) {
		answer(m, i % WORKERS, 1000);
		view_rig_give(m->rig, 0, 0, 1, true);
		pass(m);
	}
	assert_int_equal(m->w->alerts.count, 0);
	assert_int_equal(m->w->alerts.incidents, 0);
}

static void
each_thing_that_is_wrong_is_told(void **state)
{
	struct room *m = *state;
	struct view_rig *r = m->rig;
	struct hb_worker_stats *s = &r->workers[1]->stats;

	pass(m);
	r->control.disk_error = -ENOSPC;
	must_rise(m, "disk_full");
	r->control.disk_error = -EIO;
	must_rise(m, "disk_failed");
	must_clear(m, "disk_full");
	r->control.disk_error = 0;
	must_clear(m, "disk_failed");
	struct hb_watch watch = {.known = true, .room = HB_ROOM_SHORT};

	r->view.watch = &watch;
	must_rise(m, "disk_room");
	watch.room = HB_ROOM_GOOD;
	must_clear(m, "disk_room");
	r->view.watch = NULL;
	s->admission = 950;
	must_rise(m, "overload.1");
	assert_false(hb_alerts_open(&m->w->alerts, "overload.0"));
	s->admission = 1000;
	must_clear(m, "overload.1");
	s->version = 2;
	must_rise(m, "behind.1");
	s->version = 3;
	must_clear(m, "behind.1");
	r->ports.port[0].up = false;
	must_rise(m, "link_down.0");
	r->ports.port[0].up = true;
	must_clear(m, "link_down.0");
	r->config.campaign[2].paused = true;
	must_rise(m, "campaign_paused.9");
	r->config.campaign[2].paused = false;
	must_clear(m, "campaign_paused.9");
	r->snapshot->draining = true;
	must_rise(m, "draining");
	r->snapshot->draining = false;
	must_clear(m, "draining");
	r->workers[0]->engine.users.refused++;
	pass(m);
	assert_true(hb_alerts_open(&m->w->alerts, "users_full.0"));
	must_clear(m, "users_full.0");
	r->workers[1]->engine.packets.refused++;
	pass(m);
	assert_true(hb_alerts_open(&m->w->alerts, "packets_full.1"));
	must_clear(m, "packets_full.1");
	assert_int_equal(m->w->alerts.count, 0);
	/* Each of them is remembered. */
	assert_int_equal(m->w->alerts.incidents, 10);
}

static void
drops_that_nobody_wants_are_told(void **state)
{
	static const struct {
		unsigned reason;
		const char *id;
	} of[] = {
		{HB_DROP_HANDOVER, "ring_full"},
		{HB_DROP_PASS, "pass_full"},
		{HB_DROP_CONTROL, "control_full"},
		{HB_DROP_TX, "transmit_full"},
	};
	struct room *m = *state;

	pass(m);
	/* Malformed and forged requests are daily bread. */
	m->rig->workers[0]->stats.dropped[HB_DROP_TAG] += 100000;
	pass(m);
	assert_int_equal(m->w->alerts.count, 0);
	for (unsigned i = 0; i < HB_COUNT_OF(of); i++) {
		m->rig->workers[0]->stats.dropped[of[i].reason] += 3;
		must_rise(m, of[i].id);
		must_clear(m, of[i].id);
	}
}

static void
a_worker_that_stands_still_is_told(void **state)
{
	struct room *m = *state;

	pass_many(m, 5);
	for (unsigned i = 0; i < 4; i++) {
		m->rig->workers[0]->stats.polls -= 1000;
		pass(m);
	}
	assert_true(hb_alerts_open(&m->w->alerts, "silent.0"));
	assert_false(hb_alerts_open(&m->w->alerts, "silent.1"));
	must_clear(m, "silent.0");
}

static void
requests_that_go_astray_are_told(void **state)
{
	struct room *m = *state;

	for (unsigned i = 0; i < 12; i++) {
		answer(m, 0, 1000);
		m->rig->workers[0]->stats.misdirected += 9;
		pass(m);
	}
	assert_false(hb_alerts_open(&m->w->alerts, "misdirected"));
	for (unsigned i = 0; i < 12; i++) {
		answer(m, 0, 1000);
		m->rig->workers[0]->stats.misdirected += 12;
		pass(m);
	}
	assert_true(hb_alerts_open(&m->w->alerts, "misdirected"));
	must_clear(m, "misdirected");
}

static void
a_campaign_runs_out(void **state)
{
	struct room *m = *state;

	/* 1,000 at 20 a second last for 50 s; the first 20 are seen late. */
	for (unsigned i = 0; i < 12; i++) {
		view_rig_give(m->rig, 0, 0, 2, true);
		pass(m);
	}
	assert_false(hb_alerts_open(&m->w->alerts, "campaign_low.7"));
	for (unsigned i = 0; i < 12; i++) {
		view_rig_give(m->rig, 0, 0, 40, true);
		pass(m);
	}
	assert_true(hb_alerts_open(&m->w->alerts, "campaign_low.7"));
	view_rig_give(m->rig, 0, 0, 1000 - 24 - 480, true);
	pass(m);
	json_t *o = warroom_now(m->w);
	const json_t *one = json_row_of(o, "alerts", "id", "campaign_empty.7");
	assert_non_null(strstr(json_text_of(one, "try"), "campaign top-up 7"));
	/* Those that are open come first. */
	assert_int_equal(
		json_number_of(json_array_get(json_object_get(o, "campaigns"), 2), "id"), 7);
	json_decref(o);
}

static void
dry_cores_are_told(void **state)
{
	struct room *m = *state;

	pass_many(m, 12);
	for (unsigned i = 0; i < 3; i++) {
		m->rig->workers[1]->link.books[1].dry++;
		pass(m);
	}
	assert_true(hb_alerts_open(&m->w->alerts, "campaign_dry.8"));
	/* As long as something is given, it is only that envelopes are on their way. */
	must_clear(m, "campaign_dry.8");
	for (unsigned i = 0; i < 8; i++) {
		m->rig->workers[1]->link.books[1].dry++;
		view_rig_give(m->rig, 0, 1, 1, true);
		pass(m);
	}
	assert_false(hb_alerts_open(&m->w->alerts, "campaign_dry.8"));
}

static void
a_late_thread_leaves_a_gap(void **state)
{
	struct room *m = *state;

	pass_many(m, 3);
	m->rig->now_ns += 5 * SECOND_NS;
	pass(m);
	assert_true(hb_alerts_open(&m->w->alerts, "late"));
	size_t bytes;
	char *text = must(warroom_history(m->w, 1, &bytes));
	assert_non_null(strstr(text, "\"rows\":9,"));
	assert_non_null(
		strstr(text, "\"admission_percent\":[100,100,100,null,null,null,null,null,100]"));
	free(text);
	/* The same second is no other one. */
	uint64_t id = m->w->id;
	hb_warroom_second(m->w, NULL, m->rig->now_ns + SECOND_NS / 3);
	assert_int_equal(m->w->id, id);
}

/* ---- many ---------------------------------------------------------------------------- */

static void
many_campaigns_are_bounded(void **state)
{
	struct room m;

	(void)state;
	open_room(&m, 1, 300);
	/* The first ones are over. */
	for (unsigned i = 0; i < 280; i++)
		m.rig->config.campaign[i].closes_us = 1500000000000000;
	m.rig->config.campaign[290].paused = true;
	pass(&m);
	json_t *o = warroom_now(m.w);
	const json_t *list = json_object_get(o, "campaigns");
	assert_int_equal(json_array_size(list), CAMPAIGNS_SHOWN);
	assert_int_equal(json_number_of(o, "campaigns_not_shown"), 300 - CAMPAIGNS_SHOWN);
	assert_int_equal(json_number_of(json_array_get(list, 0), "id"), 7 + 280);
	assert_string_equal(json_text_of(json_array_get(list, 10), "state"), "paused");
	assert_int_equal(json_number_of(json_array_get(list, 20), "id"), 7);
	json_decref(o);
	json_t *report = must(hb_warroom_report(m.w));
	const json_t *curves = json_object_get(json_object_get(report, "seconds"), "campaigns");
	assert_int_equal(json_array_size(curves), HB_CURVES);
	json_decref(report);
	hb_warroom_free(m.w);
	view_rig_free(m.rig);
}

/* ---- changes ------------------------------------------------------------------------- */

static void
mark(struct room *m, unsigned n, const char *before, const char *after)
{
	json_t *line = json_pack("{s:I, s:s, s:s, s:i, s:[{s:s, s:s, s:s}, {s:s, s:s, s:s}]}",
		"time_us", (json_int_t)(1700000000000000 + n), "who", "alice (uid 1000, pid 77)",
		"command", "config apply", "version", (int)n, "changes", "key", "campaign 7 odds",
		"before", before, "after", after, "key", "campaign 8", "before", "", "after",
		"added: encore");

	hb_warroom_mark(m->w, line);
	json_decref(line);
}

static void
changes_are_kept_and_bounded(void **state)
{
	struct room *m = *state;
	char han[1200] = "";

	mark(m, 1, "0.02", "0.01");
	json_t *list = marks_json(&m->w->marks, 10);
	const json_t *one = json_array_get(list, 0);
	assert_string_equal(json_text_of(one, "who"), "alice (uid 1000, pid 77)");
	assert_string_equal(json_text_of(one, "what"),
		"campaign 7 odds: 0.02 -> 0.01; campaign 8: added: encore");
	assert_int_equal(json_number_of(one, "version"), 1);
	json_decref(list);
	/* What is long is cut, and not within a character. */
	for (unsigned i = 0; i < 300; i++)
		strcat(han, "红");
	mark(m, 2, han, "x");
	list = marks_json(&m->w->marks, 1);
	const char *what = json_text_of(json_array_get(list, 0), "what");
	assert_true(strlen(what) > 390 && strlen(what) <= 400);
	assert_string_equal(what + strlen(what) - 3, "红");
	json_decref(list);
	/* What is no line of the log leaves nothing. */
	json_t *strange = json_pack("{s:s}", "time_us", "now");
	hb_warroom_mark(m->w, strange);
	hb_warroom_mark(m->w, NULL);
	json_decref(strange);
	assert_int_equal(m->w->marks.count, 2);
	for (unsigned i = 3; i < 1000; i++)
		mark(m, i, "a", "b");
	list = marks_json(&m->w->marks, 10000);
	assert_int_equal(json_array_size(list), MARKS_MAX);
	assert_int_equal(json_number_of(json_array_get(list, MARKS_MAX - 1), "version"), 999);
	json_decref(list);
	pass(m);
	json_t *o = warroom_now(m->w);
	assert_int_equal(json_array_size(json_object_get(o, "changes")), MARKS_SHOWN);
	json_decref(o);
}

/* ---- pages --------------------------------------------------------------------------- */

/* The room served, its thread this one: nothing happens but in turn(). */
struct house {
	struct room m;
	struct hb_service *service;
	char directory[64];
	char path[96];
};

static void
open_house(struct house *h, unsigned workers)
{
	struct hb_service_terms t = {.socket = h->path, .http = "127.0.0.1:0"};
	struct hb_error e;

	open_room(&h->m, workers, 3);
	strcpy(h->directory, "/tmp/hb-warroom-XXXXXX");
	assert_non_null(mkdtemp(h->directory));
	snprintf(h->path, sizeof(h->path), "%s/s", h->directory);
	if (hb_service_start(&h->service, &t, &e) != 0 ||
		hb_warroom_serve(h->m.w, h->service, &e) != 0)
		fail_msg("%s", e.text);
}

static void
close_house(struct house *h)
{
	hb_service_free(h->service);
	/* Nobody has any of its texts any more, but those that it made itself. */
	hb_pages_drop(&h->m.w->pages);
	assert_int_equal(h->m.w->pages.held, 0);
	hb_warroom_free(h->m.w);
	view_rig_free(h->m.rig);
	assert_int_equal(rmdir(h->directory), 0);
}

static void
turn(struct house *h)
{
	for (unsigned i = 0; i < 20; i++)
		event_base_loop(hb_service_base(h->service), EVLOOP_NONBLOCK);
}

/* A client that takes little at a time. */
static int
ask_for(struct house *h, const char *path)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)hb_service_http_port(h->service)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096, n;
	char request[128];

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
	assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
	turn(h);
	return fd;
}

/* What has come, behind what came before. */
static void
hear(struct house *h, int fd, char *out, size_t bytes)
{
	size_t n = strlen(out);
	ssize_t got;

	turn(h);
	while ((got = recv(fd, out + n, bytes - 1 - n, MSG_DONTWAIT)) > 0) {
		n += (size_t)got;
		out[n] = '\0';
		turn(h);
	}
}

static unsigned
status(const char *answer)
{
	unsigned n = 0;

	assert_int_equal(sscanf(answer, "HTTP/1.1 %u", &n), 1);
	return n;
}

/* The data of the event that begins at `at`, and its number. */
static json_t *
event(const char *at, uint64_t *id)
{
	unsigned long long n;
	const char *data = strstr(at, "\ndata: ");

	assert_int_equal(sscanf(at, "id: %llu\n", &n), 1);
	assert_non_null(data);
	/* Nothing but a line of data, and an empty one. */
	assert_ptr_equal(strchr(at, '\n'), data);
	const char *end = strchr(data + 1, '\n');
	assert_non_null(end);
	assert_int_equal(end[1], '\n');
	json_t *o = json_loadb(data + 7, (size_t)(end - data - 7), 0, NULL);
	assert_non_null(o);
	*id = n;
	return o;
}

static void
pages_are_told_each_second(void **state)
{
	static char told[2][65536];
	struct house h;
	uint64_t id[2], first;
	int fd[2];

	(void)state;
	open_house(&h, WORKERS);
	pass(&h.m);
	for (unsigned i = 0; i < 2; i++) {
		told[i][0] = '\0';
		fd[i] = ask_for(&h, "/api/live");
		hear(&h, fd[i], told[i], sizeof(told[i]));
		assert_int_equal(status(told[i]), 200);
		assert_non_null(strstr(told[i], "\r\nretry: 2000\n\n"));
	}
	/* One text for both: in a second one would read that one page is open. */
	assert_string_equal(strstr(told[0], "id: "), strstr(told[1], "id: "));
	size_t held = h.m.w->pages.held;
	json_t *o = event(strstr(told[0], "id: "), &first);
	assert_int_equal(first, h.m.w->id);
	json_decref(o);
	for (unsigned k = 1; k <= 3; k++) {
		answer(&h.m, 0, 100);
		pass(&h.m);
		for (unsigned i = 0; i < 2; i++) {
			told[i][0] = '\0';
			hear(&h, fd[i], told[i], sizeof(told[i]));
			o = event(strstr(told[i], "id: "), &id[i]);
			assert_int_equal(json_number_of(o, "id"), id[i]);
			assert_int_equal(json_number_of(part(o, "totals"), "shakes"), 100 * k);
			assert_int_equal(json_number_of(part(o, "pages"), "open"), 2);
			json_decref(o);
			assert_int_equal(id[i], first + k);
		}
		assert_string_equal(told[0], told[1]);
	}
	assert_true(h.m.w->pages.held < held + 4096);
	hb_warroom_stopping(h.m.w);
	told[0][0] = '\0';
	hear(&h, fd[0], told[0], sizeof(told[0]));
	assert_non_null(strstr(told[0], "\nevent: end\ndata: {\"reason\":\"stopping\"}\n\n"));
	close(fd[0]);
	close(fd[1]);
	close_house(&h);
}

/* Each second another history, and nobody takes any of them. */
static void
what_pages_do_not_take_is_bounded(void **state)
{
	static char told[8192];
	struct house h;
	int fd[64];
	unsigned asked = 0;

	(void)state;
	open_house(&h, 64);
	pass(&h.m);
	double load[64];
	struct hb_second s = {.load_percent = load};
	for (unsigned i = 0; i < 64; i++)
		load[i] = 12.345;
	for (unsigned i = 0; i < HB_HOUR_S; i++)
		hb_history_add(h.m.w->history, h.m.w->id + 1 + i, &s);
	h.m.w->id += HB_HOUR_S;
	for (unsigned refused = 0; !refused; asked++) {
		assert_true(asked < HB_COUNT_OF(fd));
		h.m.w->pages.id = ++h.m.w->id;
		fd[asked] = ask_for(&h, "/api/history?step=1");
		if (h.m.w->pages.held > HB_PAGES_HELD_MAX) {
			h.m.w->pages.id = ++h.m.w->id;
			fd[++asked] = ask_for(&h, "/api/history?step=1");
			told[0] = '\0';
			hear(&h, fd[asked], told, sizeof(told));
			refused = status(told);
			assert_int_equal(refused, 503);
			assert_non_null(strstr(told, "Retry-After: 2"));
		}
	}
	assert_true(h.m.w->pages.held < HB_PAGES_HELD_MAX + (4 << 20));
	/* The present is told all the same; and of the second that was made, whoever asks. */
	int now = ask_for(&h, "/api/now");
	told[0] = '\0';
	hear(&h, now, told, sizeof(told));
	assert_int_equal(status(told), 200);
	close(now);
	for (unsigned i = 0; i < asked; i++)
		close(fd[i]);
	/* What was theirs goes with the next look at who is there. */
	for (unsigned i = 0; i < 1000 && h.m.w->pages.held > 8 << 20; i++) {
		turn(&h);
		usleep(10000);
	}
	assert_true(h.m.w->pages.held < 8 << 20);
	fd[0] = ask_for(&h, "/api/history?step=1");
	told[0] = '\0';
	hear(&h, fd[0], told, 1024);
	assert_int_equal(status(told), 200);
	close(fd[0]);
	close_house(&h);
}

/* ---- how long it takes --------------------------------------------------------------- */

/* Not a test: `test_warroom time` says what a second costs the service thread at the most. */
static void
print_times(void)
{
	struct room m;
	size_t bytes;

	open_room(&m, 64, 10000);
	uint64_t start = hb_mono_ns();
	pass_many(&m, 100);
	printf("a second with 64 workers and 10,000 campaigns: %.2f ms\n",
		(double)(hb_mono_ns() - start) / 100e6);
	start = hb_mono_ns();
	json_t *o = warroom_now(m.w);
	char *text = json_dumps(o, JSON_COMPACT);
	printf("its JSON: %.2f ms, %zu bytes\n", (double)(hb_mono_ns() - start) / 1e6,
		strlen(text));
	free(text);
	json_decref(o);
	for (unsigned i = 0; i < 3600; i++)
		add(m.w->history, m.w->id + 1 + i, 12345.678);
	start = hb_mono_ns();
	text = warroom_history(m.w, 1, &bytes);
	printf("an hour: %.2f ms, %zu bytes\n", (double)(hb_mono_ns() - start) / 1e6, bytes);
	free(text);
	hb_warroom_free(m.w);
	view_rig_free(m.rig);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_hour_is_kept_and_no_more),
		cmocka_unit_test(a_gap_is_nothing_known),
		cmocka_unit_test(seconds_become_minutes),
		cmocka_unit_test(a_minute_is_of_what_is_known),
		cmocka_unit_test(numbers_are_short_and_right),
		cmocka_unit_test(a_trail_tells_how_old_the_oldest_is),
		cmocka_unit_test(an_alert_rises_and_clears),
		cmocka_unit_test(the_worst_comes_first_and_is_remembered),
		cmocka_unit_test(alerts_and_incidents_are_bounded),
		T(the_present_is_told),
		T(the_peak_stays),
		T(a_minute_begins_without_its_second),
		T(what_waits_grows_old),
		T(settlement_is_told_where_it_is_known),
		T(a_good_night_has_no_alert),
		T(each_thing_that_is_wrong_is_told),
		T(drops_that_nobody_wants_are_told),
		T(a_worker_that_stands_still_is_told),
		T(requests_that_go_astray_are_told),
		T(a_campaign_runs_out),
		T(dry_cores_are_told),
		T(a_late_thread_leaves_a_gap),
		cmocka_unit_test(many_campaigns_are_bounded),
		T(changes_are_kept_and_bounded),
		cmocka_unit_test(pages_are_told_each_second),
		cmocka_unit_test(what_pages_do_not_take_is_bounded),
	};

	if (argc > 1 && strcmp(argv[1], "time") == 0) {
		print_times();
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
