/* SPDX-License-Identifier: BSD-3-Clause */
/* Campaigns and their envelopes. */
#include "views_internal.h"

#include <errno.h>

/* ---- facts --------------------------------------------------------------------------- */

static uint64_t
less(uint64_t a, uint64_t b)
{
	/* Figures of different moments may be the wrong way round. */
	return a > b ? a - b : 0;
}

struct hb_campaign_facts
hb_campaign_ledger(const struct hb_view *v, uint32_t slot)
{
	struct hb_campaign_facts f = {0};

	if (slot >= v->control->campaigns)
		return f;
	const struct hb_ledger *l = &v->control->ledger[slot];

	f.given = HB_SEE(l->journalled);
	f.given_fen = HB_SEE(l->journalled_fen);
	f.funded = HB_SEE(l->funded);
	f.funded_fen = HB_SEE(l->funded_fen);
	f.moves = HB_SEE(l->moves);
	f.top_ups = HB_SEE(l->top_ups);
	f.bundles = HB_SEE(l->bundled);
	f.bundles_fen = HB_SEE(l->bundled_fen);
	f.refunded_fen = HB_SEE(l->refunded_fen);
	f.returned = HB_SEE(l->returned);
	f.returned_fen = HB_SEE(l->returned_fen);
	f.left = less(f.funded, f.given + f.returned);
	f.left_fen = less(f.funded_fen, f.given_fen + f.returned_fen);
	return f;
}

struct hb_campaign_facts
hb_campaign_facts(const struct hb_view *v, uint32_t slot)
{
	struct hb_campaign_facts f = hb_campaign_ledger(v, slot);

	if (f.funded == 0)
		return f;
	f.decided = HB_SEE(v->control->ledger[slot].recalled);
	for (unsigned w = 0; w < v->n_workers; w++) {
		const struct hb_book *b = &v->links[w]->books[slot];

		f.stock += hb_read(&b->stock);
		f.decided += hb_read(&b->given);
		f.dry += hb_read(&b->dry);
	}
	/* A gift that is journalled was decided. */
	f.decided = f.decided > f.given ? f.decided : f.given;
	f.left = less(f.funded, f.decided + f.returned);
	f.stock = f.stock < f.left ? f.stock : f.left;
	f.elsewhere = f.left - f.stock;
	return f;
}

const char *
hb_campaign_state(const struct hb_view *v, const struct hb_config *c,
	const struct hb_campaign_config *campaign, uint64_t left)
{
	uint64_t now = hb_wall_us();
	/* The time of a capture is nobody's but the worker's who plays it. */
	bool timed = c->clock == HB_CLOCK_WALL;

	if (timed && now >= campaign->closes_us)
		return "closed";
	if (hb_view_draining(v))
		return "draining";
	if (campaign->paused)
		return "paused";
	if (left == 0 && campaign->leased && !HB_SEE(v->control->ledger[campaign->slot].done))
		return "waiting";
	if (left == 0)
		return "empty";
	return timed && now < campaign->opens_us ? "early" : "open";
}

bool
hb_campaign_open(
	const struct hb_view *v, const struct hb_config *c, const struct hb_campaign_config *of)
{
	uint64_t left = hb_campaign_ledger(v, of->slot).left;

	return strcmp(hb_campaign_state(v, c, of, left), "open") == 0;
}

unsigned
hb_campaigns_open(const struct hb_view *v, const struct hb_config *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->campaigns; i++)
		n += hb_campaign_open(v, c, &c->campaign[i]);
	return n;
}

/* ---- a campaign ---------------------------------------------------------------------- */

static const struct hb_campaign_config *
find(const struct hb_config *c, uint32_t id, struct hb_error *e)
{
	for (unsigned i = 0; i < c->campaigns; i++) {
		if (c->campaign[i].id == id)
			return &c->campaign[i];
	}
	hb_fail(e, ENOENT, "campaign %u: there is none of that id; see campaign list", id);
	return NULL;
}

/* How fast its envelopes go, and when there will be none at this rate. */
static void
put_burn_down(json_t *o, const struct hb_span *ten, uint32_t slot, uint64_t left)
{
	double rate = hb_rate_given(ten, slot);

	hb_put_real(o, "given_per_second", rate);
	if (left != 0 && rate > 0)
		hb_put_real(o, "empty_in_s", (double)left / rate);
}

static void
put_figures(json_t *o, const struct hb_campaign_facts *f)
{
	if (f->returned != 0) {
		hb_put(o, "returned", f->returned);
		hb_put(o, "returned_fen", f->returned_fen);
	}
	hb_put(o, "funded", f->funded);
	hb_put(o, "funded_fen", f->funded_fen);
	hb_put(o, "given", f->given);
	hb_put(o, "given_fen", f->given_fen);
	hb_put(o, "left", f->left);
	hb_put(o, "left_fen", f->left_fen);
	hb_put_real(o, "given_percent",
		f->funded == 0 ? 0 : 100 * (double)f->given / (double)f->funded);
}

json_t *
hb_campaign_row(const struct hb_view *v, const struct hb_config *c,
	const struct hb_campaign_config *of, const struct hb_span *ten)
{
	struct hb_campaign_facts f = hb_campaign_facts(v, of->slot);
	json_t *row = json_object();

	hb_put(row, "id", of->id);
	hb_put_text(row, "name", of->name);
	hb_put_text(row, "state", hb_campaign_state(v, c, of, f.left));
	hb_put_real(row, "odds", of->odds);
	put_figures(row, &f);
	put_burn_down(row, ten, of->slot, f.left);
	return row;
}

json_t *
hb_view_campaigns(const struct hb_view *v, const struct hb_config *c)
{
	unsigned shown = c->campaigns < HB_VIEW_ROWS_MAX ? c->campaigns : HB_VIEW_ROWS_MAX;
	json_t *o = json_object(), *table = json_array();
	struct hb_span ten = hb_span_of(v, 10);

	for (unsigned i = 0; i < shown; i++)
		json_array_append_new(table, hb_campaign_row(v, c, &c->campaign[i], &ten));
	json_object_set_new(o, "campaigns", table);
	if (shown < c->campaigns)
		hb_put(o, "not_shown", c->campaigns - shown);
	return o;
}

static json_t *
tiers(const struct hb_terms *t)
{
	json_t *table = json_array();

	for (unsigned i = 0; i < t->tiers; i++) {
		json_t *row = json_object();

		hb_put(row, "count", t->tier[i].count);
		hb_put(row, "each_fen", t->tier[i].amount);
		json_array_append_new(table, row);
	}
	return table;
}

/* What the configuration says of it. The password is nobody's business. */
static void
put_terms(json_t *o, const struct hb_campaign_config *of)
{
	hb_put_text(o, "kind", of->password[0] == '\0' ? "shaken" : "answered");
	hb_put(o, "opens_us", of->opens_us);
	hb_put(o, "closes_us", of->closes_us);
	hb_put_real(o, "odds", of->odds);
	hb_put(o, "release_per_second", of->release_per_second);
	hb_put(o, "wins_per_user", of->wins_per_user);
	hb_put(o, "least_interval_ms", of->least_interval_ms);
	hb_put(o, "wait_ms", of->wait_ms);
	hb_put_bool(o, "paused", of->paused);
	if (of->leased) {
		hb_put_bool(o, "leased", true);
	} else {
		hb_put_text(o, "split", hb_split_name(of->terms.split));
		hb_put(o, "first_count", of->terms.count);
		hb_put(o, "first_total_fen", of->terms.total);
	}
	if (of->terms.tiers != 0)
		json_object_set_new(o, "tiers", tiers(&of->terms));
	if (of->bundle.shares != 0) {
		hb_put(o, "bundle_shares", of->bundle.shares);
		hb_put_text(o, "bundle_split", hb_split_name(of->bundle.split));
		hb_put(o, "bundle_hours", of->bundle.hours);
	}
}

/* Where its envelopes are. */
static void
put_places(json_t *o, const struct hb_view *v, uint32_t slot, const struct hb_campaign_facts *f)
{
	json_t *table = json_array();

	hb_put(o, "decided", f->decided);
	hb_put(o, "stock", f->stock);
	hb_put(o, "elsewhere", f->elsewhere);
	hb_put(o, "moves", f->moves);
	hb_put(o, "dry", f->dry);
	if (f->bundles != 0) {
		hb_put(o, "bundles", f->bundles);
		hb_put(o, "bundles_fen", f->bundles_fen);
		hb_put(o, "refunded_fen", f->refunded_fen);
	}
	for (unsigned w = 0; slot < v->control->campaigns && w < v->n_workers; w++) {
		const struct hb_book *b = &v->links[w]->books[slot];
		json_t *row = json_object();

		hb_put(row, "worker", w);
		hb_put(row, "stock", hb_read(&b->stock));
		hb_put(row, "given", hb_read(&b->given));
		hb_put(row, "given_fen", hb_read(&b->given_fen));
		hb_put(row, "dry", hb_read(&b->dry));
		json_array_append_new(table, row);
	}
	json_object_set_new(o, "workers", table);
}

json_t *
hb_view_campaign(
	const struct hb_view *v, const struct hb_config *c, uint32_t id, struct hb_error *e)
{
	const struct hb_campaign_config *of = find(c, id, e);
	struct hb_span ten = hb_span_of(v, 10);
	struct hb_campaign_facts f;

	if (of == NULL)
		return NULL;
	json_t *o = json_object();

	f = hb_campaign_facts(v, of->slot);
	hb_put(o, "id", of->id);
	hb_put_text(o, "name", of->name);
	hb_put_text(o, "state", hb_campaign_state(v, c, of, f.left));
	put_terms(o, of);
	hb_put(o, "top_ups", f.top_ups);
	put_figures(o, &f);
	put_burn_down(o, &ten, of->slot, f.left);
	put_places(o, v, of->slot, &f);
	return o;
}

/* ---- the pool ------------------------------------------------------------------------ */

static json_t *
pool_row(const struct hb_view *v, const struct hb_campaign_config *of)
{
	struct hb_campaign_facts f = hb_campaign_facts(v, of->slot);
	json_t *row = json_object();

	hb_put(row, "id", of->id);
	hb_put_text(row, "name", of->name);
	hb_put(row, "funded", f.funded);
	hb_put(row, "decided", f.decided);
	hb_put(row, "left", f.left);
	hb_put(row, "stock", f.stock);
	hb_put(row, "elsewhere", f.elsewhere);
	hb_put(row, "moves", f.moves);
	hb_put(row, "dry", f.dry);
	return row;
}

static json_t *
pool_of_all(const struct hb_view *v, const struct hb_config *c)
{
	unsigned shown = c->campaigns < HB_VIEW_ROWS_MAX ? c->campaigns : HB_VIEW_ROWS_MAX;
	json_t *o = json_object(), *table = json_array();

	for (unsigned i = 0; i < shown; i++)
		json_array_append_new(table, pool_row(v, &c->campaign[i]));
	json_object_set_new(o, "campaigns", table);
	if (shown < c->campaigns)
		hb_put(o, "not_shown", c->campaigns - shown);
	return o;
}

json_t *
hb_view_pool(const struct hb_view *v, const struct hb_config *c, uint32_t id, struct hb_error *e)
{
	const struct hb_campaign_config *of;
	struct hb_campaign_facts f;

	if (id == HB_VIEW_ALL)
		return pool_of_all(v, c);
	if ((of = find(c, id, e)) == NULL)
		return NULL;
	json_t *o = json_object();

	f = hb_campaign_facts(v, of->slot);
	hb_put(o, "id", of->id);
	hb_put_text(o, "name", of->name);
	hb_put(o, "funded", f.funded);
	hb_put(o, "left", f.left);
	put_places(o, v, of->slot, &f);
	return o;
}
