/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters with rates, in all and per worker; the line a second. */
#include "views_internal.h"

#include <errno.h>

#define AT(field) offsetof(struct hb_worker_stats, field)

const struct hb_counter hb_counters[] = {
	{"received", AT(received)},
	{"sent", AT(sent)},
	{"wins", AT(wins)},
	{"given_fen", AT(fen)},
	{"handed_over", AT(handed_over)},
	{"taken_in", AT(taken_in)},
	{"misdirected", AT(misdirected)},
	{"to_control", AT(to_control)},
	{"polls", AT(polls)},
	{"busy_polls", AT(busy_polls)},
	{"sleeps", AT(sleeps)},
	{"overloaded_windows", AT(overloaded)},
};
const unsigned hb_counters_count = HB_COUNT_OF(hb_counters);

/* What the rows of a view's tables are made from: a worker's counters, or the sum, and their rates.
 */
struct rows {
	const struct hb_worker_stats *stats;
	struct hb_span second, ten;
	unsigned worker; /* n_workers: the sum */
};

static struct rows
rows_of(const struct hb_view *v, const struct hb_worker_stats *stats, unsigned worker)
{
	return (struct rows){
		.stats = stats,
		.second = hb_span_of(v, 1),
		.ten = hb_span_of(v, 10),
		.worker = worker,
	};
}

static void
add_row(json_t *table, const struct rows *r, const char *kind, const char *name, size_t at)
{
	json_t *row = json_object();

	hb_put_text(row, kind, name);
	hb_put(row, "count", hb_counter_of(r->stats, at));
	hb_put_real(row, "last_1s_per_second", hb_rate_of(&r->second, r->worker, at));
	hb_put_real(row, "last_10s_per_second", hb_rate_of(&r->ten, r->worker, at));
	json_array_append_new(table, row);
}

/* A table of counters by name, without those that are 0. */
static json_t *
named(const struct rows *r, const char *kind, size_t first, unsigned n,
	const char *(*name)(unsigned))
{
	json_t *table = json_array();

	for (unsigned i = 0; i < n; i++) {
		size_t at = first + i * sizeof(uint64_t);

		if (hb_counter_of(r->stats, at) != 0)
			add_row(table, r, kind, name(i), at);
	}
	return table;
}

static json_t *
replies_table(const struct rows *r)
{
	return named(r, "status", AT(replies), HB_STATUSES, hb_status_name);
}

static json_t *
dropped_table(const struct rows *r)
{
	return named(r, "reason", AT(dropped), HB_DROPS, hb_drop_name);
}

static json_t *
shed_table(const struct rows *r)
{
	return named(r, "op", AT(shed), HB_OPS, hb_op_name);
}

static json_t *
of_all(const struct hb_view *v, json_t *(*table)(const struct rows *r))
{
	struct hb_worker_stats sum;
	struct rows r;

	hb_sum_workers(&sum, v);
	r = rows_of(v, &sum, v->n_workers);
	return table(&r);
}

json_t *
hb_replies_table(const struct hb_view *v)
{
	return of_all(v, replies_table);
}

json_t *
hb_dropped_table(const struct hb_view *v)
{
	return of_all(v, dropped_table);
}

json_t *
hb_shed_table(const struct hb_view *v)
{
	return of_all(v, shed_table);
}

static void
put_tables(json_t *o, const struct rows *r)
{
	json_t *table = json_array();

	for (unsigned i = 0; i < hb_counters_count; i++)
		add_row(table, r, "counter", hb_counters[i].name, hb_counters[i].at);
	json_object_set_new(o, "counters", table);
	json_object_set_new(o, "replies", replies_table(r));
	json_object_set_new(o, "dropped", dropped_table(r));
	json_object_set_new(o, "shed", shed_table(r));
}

/* ---- how a worker does --------------------------------------------------------------- */

/* Cycles a request over the last 10 s, or since the start where none is known. */
static double
cycles_per_request(const struct hb_worker_stats *s, const struct hb_span *ten, unsigned worker)
{
	double received = hb_rate_of(ten, worker, AT(received));
	uint64_t all = hb_read(&s->received);

	if (received > 0)
		return hb_rate_of(ten, worker, AT(busy_cycles)) / received;
	return all == 0 ? 0 : (double)hb_read(&s->busy_cycles) / (double)all;
}

static void
put_worker(json_t *o, const struct hb_view *v, const struct rows *r)
{
	const struct hb_worker *w = v->workers[r->worker];

	hb_put_real(o, "load_percent", hb_load_percent(v, &r->second, r->worker));
	hb_put_real(o, "cycles_per_request", cycles_per_request(&w->stats, &r->ten, r->worker));
	hb_put_bool(o, "overloaded", hb_admission_of(&w->stats) < 1000);
	hb_put_real(o, "admission_percent", (double)hb_admission_of(&w->stats) / 10);
	hb_put(o, "config_version", HB_SEE(w->stats.version));
	hb_put(o, "parked", HB_SEE(w->link.parked));
}

/* A row of the table of workers: the counters that tell them apart. */
static json_t *
worker_row(const struct hb_view *v, unsigned worker)
{
	const struct hb_worker_stats *s = &v->workers[worker]->stats;
	struct rows r = rows_of(v, s, worker);
	json_t *row = json_object();

	hb_put(row, "worker", worker);
	hb_put(row, "received", hb_read(&s->received));
	hb_put_real(row, "received_per_second", hb_rate_of(&r.second, worker, AT(received)));
	hb_put(row, "sent", hb_read(&s->sent));
	hb_put(row, "wins", hb_read(&s->wins));
	hb_put(row, "given_fen", hb_read(&s->fen));
	hb_put(row, "dropped", hb_all_dropped(s));
	hb_put(row, "shed", hb_all_shed(s));
	hb_put(row, "handed_over", hb_read(&s->handed_over));
	hb_put(row, "taken_in", hb_read(&s->taken_in));
	hb_put(row, "misdirected", hb_read(&s->misdirected));
	put_worker(row, v, &r);
	return row;
}

/* ---- stats --------------------------------------------------------------------------- */

static json_t *
stats_of_all(const struct hb_view *v)
{
	json_t *o = json_object(), *table = json_array();
	struct hb_worker_stats sum;
	struct rows r = rows_of(v, &sum, v->n_workers);

	hb_sum_workers(&sum, v);
	hb_put(o, "time_us", hb_wall_us());
	hb_put_real(o, "load_percent", hb_load_percent(v, &r.second, v->n_workers));
	hb_put_real(o, "cycles_per_request", cycles_per_request(&sum, &r.ten, v->n_workers));
	put_tables(o, &r);
	for (unsigned w = 0; w < v->n_workers; w++)
		json_array_append_new(table, worker_row(v, w));
	json_object_set_new(o, "workers", table);
	return o;
}

static json_t *
stats_of_one(const struct hb_view *v, unsigned worker)
{
	const struct hb_worker *w = v->workers[worker];
	struct rows r = rows_of(v, &w->stats, worker);
	json_t *o = json_object(), *table = json_array();

	hb_put(o, "time_us", hb_wall_us());
	hb_put(o, "worker", worker);
	put_worker(o, v, &r);
	put_tables(o, &r);
	for (unsigned to = 0; to < v->n_workers; to++) {
		json_t *row = json_object();

		hb_put(row, "to_worker", to);
		hb_put(row, "requests", hb_read(&w->handed_to[to]));
		json_array_append_new(table, row);
	}
	json_object_set_new(o, "handed_to", table);
	return o;
}

json_t *
hb_view_stats(const struct hb_view *v, uint32_t worker, struct hb_error *e)
{
	if (worker == HB_VIEW_ALL)
		return stats_of_all(v);
	if (worker < v->n_workers)
		return stats_of_one(v, worker);
	hb_fail(e, ENOENT, "worker %u: there are workers 0 to %u", worker, v->n_workers - 1);
	return NULL;
}

/* ---- watch --------------------------------------------------------------------------- */

/* The sum of rates of n counters that stand side by side. */
static double
rate_of_all(const struct hb_span *s, unsigned worker, size_t first, unsigned n)
{
	double all = 0;

	for (unsigned i = 0; i < n; i++)
		all += hb_rate_of(s, worker, first + i * sizeof(uint64_t));
	return all;
}

/* What of the workers is one figure: the busiest, the lowest admission, how many are overloaded. */
static void
put_extremes(json_t *o, const struct hb_view *v, const struct hb_span *second)
{
	uint64_t admission = 1000, overloaded = 0, parked = 0;
	double busiest = 0;

	for (unsigned w = 0; w < v->n_workers; w++) {
		const struct hb_worker *of = v->workers[w];
		double load = hb_load_percent(v, second, w);
		uint64_t level = hb_admission_of(&of->stats);

		busiest = load > busiest ? load : busiest;
		admission = level < admission ? level : admission;
		overloaded += level < 1000;
		parked += HB_SEE(of->link.parked);
	}
	hb_put_real(o, "load_percent", hb_load_percent(v, second, v->n_workers));
	hb_put_real(o, "busiest_percent", busiest);
	hb_put_real(o, "admission_percent", (double)admission / 10);
	hb_put(o, "overloaded", overloaded);
	hb_put(o, "parked", parked);
}

json_t *
hb_view_watch(const struct hb_view *v, const struct hb_config *c)
{
	struct hb_span s = hb_span_of(v, 1);
	unsigned all = v->n_workers;
	json_t *o = json_object();

	hb_put(o, "time_us", hb_wall_us());
	hb_put_real(o, "received_per_second", hb_rate_of(&s, all, AT(received)));
	hb_put_real(o, "sent_per_second", hb_rate_of(&s, all, AT(sent)));
	hb_put_real(o, "wins_per_second", hb_rate_of(&s, all, AT(wins)));
	hb_put_real(o, "given_fen_per_second", hb_rate_of(&s, all, AT(fen)));
	hb_put_real(o, "dropped_per_second", rate_of_all(&s, all, AT(dropped), HB_DROPS));
	hb_put_real(o, "shed_per_second", rate_of_all(&s, all, AT(shed), HB_OPS));
	put_extremes(o, v, &s);
	hb_put(o, "waiting", HB_SEE(v->control->waiting));
	hb_put_text(o, "disk", hb_disk_state(v));
	hb_put(o, "open_campaigns", hb_campaigns_open(v, c));
	hb_put(o, "config_version", hb_view_version(v));
	hb_put_bool(o, "draining", hb_view_draining(v));
	return o;
}
