/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes on each second: figures from the views' samples into the history, and what is wrong. */
#include "warroom_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define AT(field) offsetof(struct hb_worker_stats, field)

/* ---- life ---------------------------------------------------------------------------- */

static uint64_t
thread_cpu_ns(void)
{
	struct timespec t;

	return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0
		       ? 0
		       : (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* What was timed up to now. */
static void
copy_timed(struct hb_warroom *w)
{
	struct hb_histogram *service = timed_next(&w->service_ns);
	struct hb_histogram *durable = timed_next(&w->durable_us);

	for (unsigned i = 0; i < w->view->n_workers; i++) {
		if (w->view->workers[i]->service_ns != NULL)
			hb_histogram_merge(service, w->view->workers[i]->service_ns);
	}
	if (w->view->control->durable_us != NULL)
		hb_histogram_merge(durable, w->view->control->durable_us);
}

/* From here on it is counted. */
static void
take_first(struct hb_warroom *w)
{
	w->now_ns = hb_mono_ns();
	w->time_us = hb_wall_us();
	w->id = w->time_us / 1000000;
	w->past[0].ns = w->now_ns;
	hb_sum_workers(&w->totals, w->view);
	w->past[0].shakes = hb_all_replies(&w->totals);
	w->pasts = 1;
	w->facts.started_us = w->view->started_us;
	w->facts.time_us = w->time_us;
	for (unsigned c = 0; c < HB_COLUMNS; c++)
		w->rate[c] = NAN;
	copy_timed(w);
	hb_alerts_begin(&w->alerts, w->id, w->time_us);
}

int
hb_warroom_make(struct hb_warroom **out, const struct hb_warroom_terms *t, struct hb_error *e)
{
	/* Workers' counters lie in cache lines of their own, so in a copy too. */
	struct hb_warroom *w = aligned_alloc(HB_CACHE_LINE, sizeof(*w));

	*out = NULL;
	if (w == NULL)
		return hb_fail(e, ENOMEM, "no memory for the war room");
	memset(w, 0, sizeof(*w));
	w->view = t->view;
	w->config = t->config;
	w->context = t->context;
	w->history = hb_history_make(t->view->n_workers);
	w->load = calloc(t->view->n_workers + 1u, sizeof(*w->load));
	if (w->history == NULL || w->load == NULL || timed_make(&w->durable_us) != 0 ||
		timed_make(&w->service_ns) != 0 || watch_make(&w->watch, t->view) != 0) {
		hb_warroom_free(w);
		return hb_fail(e, ENOMEM, "no memory for the war room's history");
	}
	take_first(w);
	*out = w;
	return 0;
}

void
hb_warroom_free(struct hb_warroom *w)
{
	if (w == NULL)
		return;
	hb_pages_drop(&w->pages);
	hb_history_free(w->history);
	timed_free(&w->durable_us);
	timed_free(&w->service_ns);
	watch_free(&w->watch);
	free(w->load);
	free(w);
}

static json_t *
make_now(void *context)
{
	return warroom_now(context);
}

static void
make_history(void *context, unsigned step_s, struct hb_text *out)
{
	struct hb_warroom *w = context;

	hb_history_write(w->history, step_s, &w->facts, out);
}

int
hb_warroom_serve(struct hb_warroom *w, struct hb_service *s, struct hb_error *e)
{
	struct hb_pages_terms terms = {.now = make_now, .history = make_history, .context = w};

	w->pages.id = w->id;
	return hb_pages_serve(&w->pages, &terms, s, e);
}

void
hb_warroom_stopping(struct hb_warroom *w)
{
	if (w != NULL)
		hb_pages_stopping(&w->pages);
}

void
hb_warroom_mark(struct hb_warroom *w, const json_t *line)
{
	if (w != NULL)
		marks_add(&w->marks, line);
}

/* ---- a second ------------------------------------------------------------------------ */

/* Its number, by the clock that doesn't step: whole seconds from the one before, however early or
 * late the timer is. Returns whether it is a new one. */
static bool
begin_second(struct hb_warroom *w, uint64_t now_ns)
{
	uint64_t wall_us = hb_wall_us(), since_ns = now_ns - w->now_ns;

	/* A rate over less says too much. */
	if (since_ns < 500000000)
		return false;
	uint64_t seconds = (since_ns + 500000000) / 1000000000;

	if (w->first_id == 0) {
		w->id = wall_us / 1000000 > w->id ? wall_us / 1000000 : w->id + 1;
		w->first_id = w->id;
		w->first_us = wall_us;
		w->late_s = 0;
	} else {
		w->id += seconds;
		w->late_s = seconds - 1;
	}
	w->now_ns = now_ns;
	w->time_us = w->facts.time_us = wall_us;
	/* What the clock was set by since, in whole seconds, so that the history's minutes are its
	 * own. */
	int64_t set_us =
		(int64_t)(wall_us - w->first_us) - (int64_t)((w->id - w->first_id) * 1000000);
	w->facts.ahead_us = llround((double)set_us / 1e6) * (int64_t)1000000;
	return true;
}

static void
count_shakes(struct hb_warroom *w)
{
	uint64_t shakes = hb_all_replies(&w->totals), from = shakes;

	for (unsigned i = 0; i < w->pasts && i < HB_COUNT_OF(w->past); i++) {
		/* A timer is never exact. */
		bool within = w->now_ns - w->past[i].ns <= MINUTE_S * 1000000000ull + 400000000;

		if (within && w->past[i].shakes < from)
			from = w->past[i].shakes;
	}
	w->shakes_per_minute = shakes - from;
	w->past[w->pasts % HB_COUNT_OF(w->past)].ns = w->now_ns;
	w->past[w->pasts++ % HB_COUNT_OF(w->past)].shakes = shakes;
	if (w->shakes_per_minute > w->peak.shakes_per_minute) {
		w->peak.shakes_per_minute = w->shakes_per_minute;
		w->peak.minute_us = w->time_us;
	}
	if (w->rate[HB_COLUMN_SHAKES] > w->peak.shakes_per_second) {
		w->peak.shakes_per_second = w->rate[HB_COLUMN_SHAKES];
		w->peak.second_us = w->time_us;
	}
}

/* The rate of n counters that stand side by side, over all workers. */
static double
rate_of(const struct hb_warroom *w, const struct hb_span *s, size_t at, unsigned n)
{
	double all = 0;

	for (unsigned i = 0; i < n; i++)
		all += hb_rate_of(s, w->view->n_workers, at + i * sizeof(uint64_t));
	return all;
}

static void
take_rates(struct hb_warroom *w)
{
	struct hb_span s = hb_span_of(w->view, 1);
	double busiest = 0, admission = 1000;

	w->totals = hb_last_sample(w->view)->worker[w->view->n_workers];
	w->rate[HB_COLUMN_SHAKES] = rate_of(w, &s, AT(replies), HB_STATUSES);
	w->rate[HB_COLUMN_RECEIVED] = rate_of(w, &s, AT(received), 1);
	w->rate[HB_COLUMN_WINS] = rate_of(w, &s, AT(wins), 1);
	w->rate[HB_COLUMN_FEN] = rate_of(w, &s, AT(fen), 1);
	w->rate[HB_COLUMN_DROPPED] = rate_of(w, &s, AT(dropped), HB_DROPS);
	w->rate[HB_COLUMN_SHED] = rate_of(w, &s, AT(shed), HB_OPS);
	w->rate[HB_COLUMN_HANDED_OVER] = rate_of(w, &s, AT(handed_over), 1);
	w->rate[HB_COLUMN_BUSIEST_SHAKES] = w->rate[HB_COLUMN_SHAKES];
	w->rate[HB_COLUMN_LOAD] = hb_load_percent(w->view, &s, w->view->n_workers);
	for (unsigned i = 0; i < w->view->n_workers; i++) {
		double level = (double)hb_admission_of(&s.to->worker[i]);

		w->load[i] = hb_load_percent(w->view, &s, i);
		busiest = w->load[i] > busiest ? w->load[i] : busiest;
		admission = level < admission ? level : admission;
	}
	w->rate[HB_COLUMN_BUSIEST] = busiest;
	w->rate[HB_COLUMN_ADMISSION] = admission / 10;
}

/* What is decided and not durable yet. Workers count a win
 * before its record can be journalled, so what is journalled is read first. */
static void
take_durable(struct hb_warroom *w, double seconds)
{
	const struct hb_control *c = w->view->control;
	uint64_t durable = 0, wins = 0, records = HB_SEE(c->records);

	w->records_per_second = (double)(records - w->records) / seconds;
	w->records = records;

	for (unsigned slot = 0; slot < c->campaigns; slot++)
		durable += HB_SEE(c->ledger[slot].journalled) - HB_SEE(c->ledger[slot].recalled);
	for (unsigned i = 0; i < w->view->n_workers; i++)
		wins += hb_read(&w->view->workers[i]->stats.wins);
	w->undurable = wins > durable ? wins - durable : 0;
	hb_trail_add(&w->durable, w->id, wins);
	w->undurable_age_s = hb_trail_age_s(&w->durable, durable);
	w->rate[HB_COLUMN_UNDURABLE] = (double)w->undurable;
	w->rate[HB_COLUMN_UNDURABLE_AGE] = (double)w->undurable_age_s;
}

static void
take_settled(struct hb_warroom *w, const struct hb_settlement *settled, double seconds)
{
	struct hb_settlement before = w->settlement;

	w->settlement = settled == NULL ? (struct hb_settlement){0} : *settled;
	w->rate[HB_COLUMN_UNSETTLED] = w->rate[HB_COLUMN_UNSETTLED_AGE] = NAN;
	if (!w->settlement.known)
		return;
	const struct hb_settlement *of = &w->settlement;
	uint64_t open = of->journalled > of->settled ? of->journalled - of->settled : 0;

	w->settled_per_second = before.known && of->settled > before.settled
					? (double)(of->settled - before.settled) / seconds
					: 0;
	w->facts.settles = true;
	hb_trail_add(&w->settled, w->id, of->journalled);
	w->unsettled_age_s = hb_trail_age_s(&w->settled, of->settled);
	w->rate[HB_COLUMN_UNSETTLED] = (double)open;
	w->rate[HB_COLUMN_UNSETTLED_AGE] = (double)w->unsettled_age_s;
}

static void
put_timed(double *rate, unsigned p50, const struct timed_figures *f, double scale)
{
	rate[p50] = f->count == 0 ? NAN : (double)f->p50 * scale;
	rate[p50 + 1] = f->count == 0 ? NAN : (double)f->p99 * scale;
}

/* A minute's times are from the last sample before it on, whichever seconds are left out. */
static void
begin_minute(struct hb_warroom *w)
{
	uint64_t minute = (w->id - 1) / MINUTE_S;

	if (minute == w->minute)
		return;
	w->minute = minute;
	timed_begin_minute(&w->durable_us);
	timed_begin_minute(&w->service_ns);
}

static void
take_latency(struct hb_warroom *w)
{
	struct timed_figures f;

	begin_minute(w);
	copy_timed(w);
	f = timed_recent(&w->durable_us, 1);
	put_timed(w->rate, HB_COLUMN_DURABLE_P50, &f, 1e-3);
	f = timed_recent(&w->service_ns, 1);
	put_timed(w->rate, HB_COLUMN_SERVICE_P50, &f, 1);
}

static void
take_minute(struct hb_warroom *w)
{
	double rate[HB_COLUMNS];
	struct timed_figures f = timed_minute(&w->durable_us);

	put_timed(rate, HB_COLUMN_DURABLE_P50, &f, 1e-3);
	f = timed_minute(&w->service_ns);
	put_timed(rate, HB_COLUMN_SERVICE_P50, &f, 1);
	for (unsigned c = HB_COLUMN_DURABLE_P50; c <= HB_COLUMN_SERVICE_P99; c++)
		hb_history_minute(w->history, c, rate[c]);
}

/* A campaign's curve; one that it hasn't had yet, while there are some. */
static unsigned
curve_of(struct hb_history_facts *f, const struct hb_campaign_config *of)
{
	unsigned i = 0;

	while (i < f->curves && f->curve[i].id != of->id)
		i++;
	if (i == f->curves && f->curves < HB_CURVES)
		f->curve[f->curves++].id = of->id;
	if (i < HB_CURVES)
		snprintf(f->curve[i].name, sizeof(f->curve[i].name), "%s", of->name);
	return i;
}

static void
take_history(struct hb_warroom *w, const struct hb_config *c)
{
	struct hb_second s = {.load_percent = w->load};

	memcpy(s.column, w->rate, sizeof(s.column));
	for (unsigned i = 0; i < HB_CURVES; i++)
		s.left[i] = NAN;
	for (unsigned i = 0, curve; i < c->campaigns && i < HB_VIEW_ROWS_MAX; i++) {
		if ((curve = curve_of(&w->facts, &c->campaign[i])) < HB_CURVES)
			s.left[curve] =
				(double)hb_campaign_facts(w->view, c->campaign[i].slot).left;
		else if (i >= HB_CURVES)
			break;
	}
	hb_history_add(w->history, w->id, &s);
}

void
hb_warroom_second(struct hb_warroom *w, const struct hb_settlement *settled, uint64_t now_ns)
{
	const struct hb_config *c = w->config(w->context);
	uint64_t cpu_ns = thread_cpu_ns(), before_ns = w->now_ns;

	if (!begin_second(w, now_ns))
		return;
	double seconds = (double)(now_ns - before_ns) / 1e9;

	if (w->cpu_ns != 0)
		w->cpu_percent = (double)(cpu_ns - w->cpu_ns) / 1e7 / seconds;
	w->cpu_ns = cpu_ns;
	take_rates(w);
	count_shakes(w);
	take_durable(w, seconds);
	take_settled(w, settled, seconds);
	take_latency(w);
	take_history(w, c);
	take_minute(w);
	hb_alerts_begin(&w->alerts, w->id, w->time_us);
	watch_second(w, c);
	hb_alerts_end(&w->alerts);
	hb_pages_second(&w->pages, w->id);
}

/* ---- the night ----------------------------------------------------------------------- */

char *
warroom_history(struct hb_warroom *w, unsigned step_s, size_t *bytes)
{
	struct hb_text t = {0};

	make_history(w, step_s, &t);
	return hb_text_end(&t, bytes);
}

static json_t *
history_json(struct hb_warroom *w, unsigned step_s)
{
	size_t bytes = 0;
	char *text = warroom_history(w, step_s, &bytes);
	json_t *o = text == NULL ? NULL : json_loadb(text, bytes, 0, NULL);

	free(text);
	return o;
}

json_t *
hb_warroom_report(struct hb_warroom *w)
{
	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o}", "format", 1, "now", warroom_now(w),
		"seconds", history_json(w, 1), "minutes", history_json(w, 60), "incidents",
		hb_alerts_incidents(&w->alerts), "changes", marks_json(&w->marks, MARKS_MAX));
}
