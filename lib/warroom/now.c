/* SPDX-License-Identifier: BSD-3-Clause */
/* The object of /api/now. */
#include "warroom_internal.h"

#include <math.h>

#define AT(field) offsetof(struct hb_worker_stats, field)

/* To 3 decimals: what is behind them is noise, and every page is sent it. */
static void
put_short(json_t *o, const char *key, double x)
{
	hb_put_real(o, key, round(x * 1000) / 1000);
}

static void
put_identity(json_t *o, const struct hb_warroom *w, const struct hb_config *c)
{
	const struct hb_view *v = w->view;

	hb_put(o, "format", 1);
	hb_put(o, "id", w->id);
	hb_put(o, "time_us", w->time_us);
	hb_put(o, "started_us", v->started_us);
	hb_put(o, "uptime_s",
		w->time_us > v->started_us ? (w->time_us - v->started_us) / 1000000 : 0);
	hb_put_text(o, "version", v->version);
	hb_put(o, "host", c->host);
	hb_put_text(o, "state", hb_view_draining(v) ? "draining" : "running");
	hb_put_text(o, "clock", c->clock == HB_CLOCK_PACKET ? "packet" : "wall");
	hb_put(o, "config_version", hb_view_version(v));
}

/* A rate of the last second; 0 before there is one. */
static void
put_rate(json_t *o, const char *key, double x)
{
	put_short(o, key, isnan(x) ? 0 : x);
}

static json_t *
rates_json(const struct hb_warroom *w)
{
	struct hb_span s = hb_span_of(w->view, 1);
	json_t *o = json_object();

	hb_put(o, "shakes_per_minute", w->shakes_per_minute);
	put_rate(o, "shakes_per_second", w->rate[HB_COLUMN_SHAKES]);
	put_rate(o, "received_per_second", w->rate[HB_COLUMN_RECEIVED]);
	put_rate(o, "sent_per_second", hb_rate_of(&s, w->view->n_workers, AT(sent)));
	put_rate(o, "wins_per_second", w->rate[HB_COLUMN_WINS]);
	put_rate(o, "given_fen_per_second", w->rate[HB_COLUMN_FEN]);
	put_rate(o, "dropped_per_second", w->rate[HB_COLUMN_DROPPED]);
	put_rate(o, "shed_per_second", w->rate[HB_COLUMN_SHED]);
	put_rate(o, "handed_over_per_second", w->rate[HB_COLUMN_HANDED_OVER]);
	return o;
}

static json_t *
peak_json(const struct hb_warroom *w)
{
	json_t *o = json_object();

	hb_put(o, "shakes_per_minute", w->peak.shakes_per_minute);
	hb_put(o, "minute_us", w->peak.minute_us);
	put_short(o, "shakes_per_second", w->peak.shakes_per_second);
	hb_put(o, "second_us", w->peak.second_us);
	hb_put(o, "since_us", w->view->started_us);
	return o;
}

static json_t *
totals_json(const struct hb_warroom *w)
{
	const struct hb_worker_stats *t = &w->totals;
	json_t *o = json_object();

	hb_put(o, "received", t->received);
	hb_put(o, "shakes", hb_all_replies(t));
	hb_put(o, "sent", t->sent);
	hb_put(o, "wins", t->wins);
	hb_put(o, "given_fen", t->fen);
	hb_put(o, "dropped", hb_all_dropped(t));
	hb_put(o, "shed", hb_all_shed(t));
	hb_put(o, "handed_over", t->handed_over);
	hb_put(o, "misdirected", t->misdirected);
	return o;
}

/* ---- money --------------------------------------------------------------------------- */

static json_t *
money_json(const struct hb_warroom *w)
{
	struct hb_campaign_facts all = {0};
	json_t *o = json_object();

	for (unsigned slot = 0; slot < w->view->control->campaigns; slot++) {
		struct hb_campaign_facts f = hb_campaign_ledger(w->view, slot);

		all.funded += f.funded;
		all.funded_fen += f.funded_fen;
		all.given += f.given;
		all.given_fen += f.given_fen;
		all.left += f.left;
		all.left_fen += f.left_fen;
	}
	hb_put(o, "funded", all.funded);
	hb_put(o, "funded_fen", all.funded_fen);
	hb_put(o, "given", all.given);
	hb_put(o, "given_fen", all.given_fen);
	hb_put(o, "left", all.left);
	hb_put(o, "left_fen", all.left_fen);
	return o;
}

static void
put_packets(json_t *o, const struct hb_warroom *w)
{
	struct hb_packet_facts f = hb_packet_facts(w->view);
	json_t *packets;

	if (f.funded == 0)
		return;
	packets = json_object();
	hb_put(packets, "funded_fen", f.funded_fen);
	hb_put(packets, "taken_fen", f.taken_fen);
	hb_put(packets, "refunded_fen", f.refunded_fen);
	hb_put(packets, "left_fen", f.left_fen);
	hb_put(packets, "open", f.open);
	json_object_set_new(o, "packets", packets);
}

static json_t *
campaign_json(const struct hb_warroom *w, const struct hb_config *c,
	const struct hb_campaign_config *of, const struct hb_span *ten)
{
	json_t *o = hb_campaign_row(w->view, c, of, ten);
	const json_t *in = json_object_get(o, "empty_in_s");

	hb_put(o, "opens_us", of->opens_us);
	hb_put(o, "closes_us", of->closes_us);
	if (in != NULL)
		hb_put(o, "empty_us", w->time_us + (uint64_t)(json_real_value(in) * 1e6));
	return o;
}

/* Whether it is one of those that somebody looks at first. */
static bool
is_current(
	const struct hb_warroom *w, const struct hb_config *c, const struct hb_campaign_config *of)
{
	uint64_t left = hb_campaign_ledger(w->view, of->slot).left;
	const char *state = hb_campaign_state(w->view, c, of, left);

	return strcmp(state, "open") == 0 || strcmp(state, "paused") == 0 ||
	       strcmp(state, "waiting") == 0;
}

static void
put_campaigns(json_t *o, const struct hb_warroom *w, const struct hb_config *c)
{
	struct hb_span ten = hb_span_of(w->view, RECENT_S);
	json_t *list = json_array();

	for (int others = 0; others <= 1; others++) {
		for (unsigned i = 0; i < c->campaigns; i++) {
			const struct hb_campaign_config *of = &c->campaign[i];

			if (json_array_size(list) == CAMPAIGNS_SHOWN)
				break;
			if (is_current(w, c, of) != (bool)others)
				json_array_append_new(list, campaign_json(w, c, of, &ten));
		}
	}
	hb_put(o, "campaigns_not_shown", c->campaigns - json_array_size(list));
	json_object_set_new(o, "campaigns", list);
}

static json_t *
settlement_json(const struct hb_warroom *w)
{
	const struct hb_control *c = w->view->control;
	int err = HB_SEE(c->disk_error);
	json_t *o = json_object();

	hb_put_text(o, "disk", hb_disk_state(w->view));
	if (err != 0)
		hb_put_text(o, "error", strerror(-err));
	hb_put(o, "records", HB_SEE(c->records));
	put_rate(o, "records_per_second", w->records_per_second);
	hb_put(o, "undurable", w->undurable);
	hb_put(o, "undurable_age_s", w->undurable_age_s);
	uint64_t parked = 0;
	for (unsigned i = 0; i < w->view->n_workers; i++)
		parked += HB_SEE(w->view->workers[i]->link.parked);
	hb_put(o, "parked", parked);
	put_short(o, "slowest_flush_ms", (double)HB_SEE(c->worst_flush_ns) / 1e6);
	if (w->settlement.known) {
		hb_put(o, "settled", w->settlement.settled);
		hb_put(o, "unsettled", (uint64_t)w->rate[HB_COLUMN_UNSETTLED]);
		hb_put(o, "unsettled_age_s", w->unsettled_age_s);
		put_rate(o, "settled_per_second", w->settled_per_second);
	}
	return o;
}

/* ---- workers ------------------------------------------------------------------------- */

static json_t *
worker_json(const struct hb_warroom *w, const struct hb_span *s, unsigned i)
{
	const struct hb_worker *of = w->view->workers[i];
	const struct hb_users *users = &of->engine.users;
	double all = w->rate[HB_COLUMN_RECEIVED], received = hb_rate_of(s, i, AT(received));
	uint64_t level = hb_admission_of(&of->stats), rows = HB_SEE(users->used);
	json_t *o = json_object();

	hb_put(o, "worker", i);
	put_short(o, "load_percent", w->load[i]);
	put_short(o, "received_per_second", received);
	put_short(o, "share_percent", all > 0 ? 100 * received / all : 0);
	put_short(o, "wins_per_second", hb_rate_of(s, i, AT(wins)));
	put_short(o, "handed_over_per_second", hb_rate_of(s, i, AT(handed_over)));
	put_short(o, "taken_in_per_second", hb_rate_of(s, i, AT(taken_in)));
	put_short(o, "admission_percent", (double)level / 10);
	hb_put_bool(o, "overloaded", level < 1000);
	hb_put(o, "parked", HB_SEE(of->link.parked));
	put_short(o, "turns_per_second", hb_rate_of(s, i, AT(polls)));
	put_short(o, "users_percent",
		users->limit == 0 ? 0 : 100 * (double)rows / (double)users->limit);
	return o;
}

static void
put_workers(json_t *o, const struct hb_warroom *w)
{
	struct hb_span s = hb_span_of(w->view, 1);
	unsigned workers = w->view->n_workers, overloaded = 0;
	json_t *list = json_array(), *load = json_object(), *admission = json_object();
	double most = 0;

	for (unsigned i = 0; i < workers; i++) {
		double received = hb_rate_of(&s, i, AT(received));

		json_array_append_new(list, worker_json(w, &s, i));
		most = received > most ? received : most;
		overloaded += hb_admission_of(&w->view->workers[i]->stats) < 1000;
	}
	json_object_set_new(o, "workers", list);
	put_rate(load, "load_percent", w->rate[HB_COLUMN_LOAD]);
	put_rate(load, "busiest_percent", w->rate[HB_COLUMN_BUSIEST]);
	if (most > 0)
		put_short(load, "balance_percent",
			100 * w->rate[HB_COLUMN_RECEIVED] / workers / most);
	json_object_set_new(o, "load", load);
	hb_put_real(admission, "admission_percent",
		isnan(w->rate[HB_COLUMN_ADMISSION]) ? 100 : w->rate[HB_COLUMN_ADMISSION]);
	hb_put(admission, "overloaded", overloaded);
	json_object_set_new(o, "admission", admission);
}

static json_t *
handover_json(const struct hb_warroom *w)
{
	struct hb_span one = hb_span_of(w->view, 1), ten = hb_span_of(w->view, RECENT_S);
	unsigned all = w->view->n_workers;
	double received = hb_rate_of(&ten, all, AT(received));
	json_t *o = json_object();

	put_short(o, "handed_over_per_second", hb_rate_of(&one, all, AT(handed_over)));
	put_short(o, "handed_over_percent",
		received > 0 ? 100 * hb_rate_of(&ten, all, AT(handed_over)) / received : 0);
	put_short(o, "misdirected_per_second", hb_rate_of(&one, all, AT(misdirected)));
	put_short(o, "misdirected_percent",
		received > 0 ? 100 * hb_rate_of(&ten, all, AT(misdirected)) / received : 0);
	return o;
}

/* ---- latency ------------------------------------------------------------------------- */

static void
put_timed(json_t *o, const char *key, const struct timed *t, double scale, const char *unit)
{
	struct timed_figures f = timed_recent(t, RECENT_S);
	json_t *of;
	char name[16];

	if (f.count == 0)
		return;
	of = json_object();
	hb_put(of, "count", f.count);
	snprintf(name, sizeof(name), "p50_%s", unit);
	put_short(of, name, (double)f.p50 * scale);
	snprintf(name, sizeof(name), "p99_%s", unit);
	put_short(of, name, (double)f.p99 * scale);
	snprintf(name, sizeof(name), "max_%s", unit);
	put_short(of, name, (double)f.max * scale);
	json_object_set_new(o, key, of);
}

static json_t *
latency_json(const struct hb_warroom *w)
{
	json_t *o = json_object();

	put_timed(o, "durable", &w->durable_us, 1e-3, "ms");
	put_timed(o, "service", &w->service_ns, 1, "ns");
	return o;
}

/* ---- the whole ----------------------------------------------------------------------- */

static json_t *
pages_json(const struct hb_warroom *w)
{
	json_t *o = json_object();

	hb_pages_put(&w->pages, o);
	put_short(o, "cpu_percent", w->cpu_percent);
	return o;
}

json_t *
warroom_now(struct hb_warroom *w)
{
	const struct hb_config *c = w->config(w->context);
	json_t *o = json_object();

	put_identity(o, w, c);
	json_object_set_new(o, "rates", rates_json(w));
	if (w->peak.shakes_per_minute > 0)
		json_object_set_new(o, "peak", peak_json(w));
	json_object_set_new(o, "totals", totals_json(w));
	json_object_set_new(o, "money", money_json(w));
	put_packets(o, w);
	put_campaigns(o, w, c);
	json_object_set_new(o, "settlement", settlement_json(w));
	put_workers(o, w);
	json_object_set_new(o, "handover", handover_json(w));
	json_object_set_new(o, "drops", hb_dropped_table(w->view));
	json_object_set_new(o, "shed", hb_shed_table(w->view));
	json_object_set_new(o, "replies", hb_replies_table(w->view));
	json_object_set_new(o, "latency", latency_json(w));
	json_object_set_new(o, "changes", marks_json(&w->marks, MARKS_SHOWN));
	hb_alerts_put(&w->alerts, o);
	hb_put(o, "incidents", w->alerts.incidents);
	json_object_set_new(o, "pages", pages_json(w));
	return o;
}
