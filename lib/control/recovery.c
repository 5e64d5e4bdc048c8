/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_internal.h"
#include "hb_recovery.h"
#include "recall.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

/* Amounts that are made before the reader of the wins is told. */
#define MAKE_AT_ONCE 65536

int
hb_recovery_begin(struct hb_recovery *r, struct hb_control *c, struct hb_engine *const *engines,
	struct hb_envelopes *envelopes, struct hb_campaign_config *campaign, unsigned campaigns,
	struct hb_error *e)
{
	*r = (struct hb_recovery){
		.control = c,
		.engines = engines,
		.envelopes = envelopes,
		.campaign = campaign,
		.campaigns = campaigns,
	};
	r->given = calloc(campaigns, sizeof(*r->given));
	r->slot_of = calloc(65536, sizeof(*r->slot_of));
	if (r->given == NULL || r->slot_of == NULL)
		return hb_fail(e, ENOMEM, "no memory to read the journal back");
	for (unsigned slot = 0; slot < campaigns; slot++) {
		r->slot_of[campaign[slot].id] = (uint16_t)(slot + 1);
		if (!campaign[slot].leased)
			continue;
		hb_control_leased(c, slot, campaign[slot].id);
		if ((r->given[slot] = calloc(1, 1)) == NULL)
			return hb_fail(e, ENOMEM, "no memory to read the journal back");
	}
	return 0;
}

void
hb_recovery_free(struct hb_recovery *r)
{
	for (unsigned slot = 0; r->given != NULL && slot < r->campaigns; slot++)
		free(r->given[slot]);
	free(r->given);
	free(r->slot_of);
	*r = (struct hb_recovery){0};
}

/* ---- fundings ------------------------------------------------------------------------ */

static void
describe(const struct hb_terms *t, char *out, size_t bytes)
{
	size_t at = (size_t)snprintf(out, bytes, "%u envelopes, %llu fen, %s", t->count,
		(unsigned long long)t->total, hb_split_name(t->split));

	for (unsigned i = 0; i < t->tiers && at < bytes; i++)
		at += (size_t)snprintf(out + at, bytes - at, "%s%u of %u", i == 0 ? ": " : ", ",
			t->tier[i].count, t->tier[i].amount);
}

/* The seed is the journal's: a configuration doesn't state it. */
static bool
same_terms(const struct hb_terms *a, const struct hb_terms *b)
{
	return a->count == b->count && a->total == b->total && a->split == b->split &&
	       a->tiers == b->tiers && memcmp(a->tier, b->tier, a->tiers * sizeof(a->tier[0])) == 0;
}

static void *
make_amounts(void *arg)
{
	struct hb_maker *m = arg;
	struct hb_envelopes v = *m->envelopes;
	uint32_t left = v.count, made = 0;
	struct hb_splitter s;

	hb_splitter_begin(&s, &m->terms);
	while (left > 0) {
		uint32_t n = left < MAKE_AT_ONCE ? left : MAKE_AT_ONCE;

		left -= n;
		made += n;
		hb_envelopes_fill(&v, &s, made);
		__atomic_store_n(&m->made, made, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void
end_maker(struct hb_recovery *r)
{
	if (r->maker.running)
		pthread_join(r->maker.thread, NULL);
	r->maker.running = false;
}

/* One funding's at a time. v stays where it is. */
static void
begin_maker(struct hb_recovery *r, const struct hb_envelopes *v, const struct hb_terms *terms)
{
	struct hb_maker *m = &r->maker;

	end_maker(r);
	*m = (struct hb_maker){.envelopes = v, .terms = *terms};
	m->running = r->threads && pthread_create(&m->thread, NULL, make_amounts, m) == 0;
	if (!m->running)
		make_amounts(m);
}

/* Waits until v's entry i has its amount. */
static uint32_t
amount_of(const struct hb_recovery *r, const struct hb_envelopes *v, uint32_t i)
{
	if (r->maker.running && r->maker.envelopes == v) {
		while (__atomic_load_n(&r->maker.made, __ATOMIC_ACQUIRE) <= i)
			sched_yield();
	}
	return v->of[i].amount;
}

static int
no_memory(struct hb_error *e)
{
	return hb_fail(e, ENOMEM, "no memory to read the journal back");
}

/* Makes a campaign's envelopes and tells the engines where they are. */
static int
make_envelopes(struct hb_recovery *r, unsigned slot, struct hb_error *e)
{
	struct hb_campaign_config *cc = &r->campaign[slot];
	int err = hb_envelopes_map(&r->envelopes[slot], &cc->terms, cc->name, e);

	if (err != 0)
		return err;
	begin_maker(r, &r->envelopes[slot], &cc->terms);
	for (unsigned w = 0; w < r->control->workers; w++)
		hb_engine_bind(r->engines[w], slot, &r->envelopes[slot]);
	r->given[slot] = calloc(cc->terms.count / 8 + 1, 1);
	return r->given[slot] != NULL ? 0 : no_memory(e);
}

/* Makes room for more envelopes' bits. */
static int
widen_given(struct hb_recovery *r, unsigned slot, uint64_t count, struct hb_error *e)
{
	uint64_t funded = r->control->ledger[slot].funded;
	uint64_t had = funded / 8 + 1, bytes = (funded + count) / 8 + 1;
	uint8_t *given = realloc(r->given[slot], bytes);

	if (given == NULL)
		return no_memory(e);
	memset(given + had, 0, bytes - had);
	r->given[slot] = given;
	return 0;
}

/* A second funding and those after it. */
static int
apply_top_up(struct hb_recovery *r, unsigned slot, struct hb_error *e)
{
	struct hb_ledger *l = &r->control->ledger[slot];
	const struct hb_terms *t = &r->fund.terms;
	struct hb_envelopes v;
	struct hb_error why;
	int err;

	if ((err = hb_envelopes_map(&v, t, r->campaign[slot].name, e)) != 0 ||
		(err = widen_given(r, slot, t->count, e)) != 0) {
		hb_envelopes_free(&v);
		return err;
	}
	err = hb_control_topped(r->control, slot, &r->fund, &v, &why);
	if (err != 0) {
		hb_envelopes_free(&v);
		return hb_fail(e, err == -ENOMEM ? ENOMEM : EILSEQ, "record %llu: %s",
			(unsigned long long)r->records, why.text);
	}
	unsigned n = l->tranches->count;
	begin_maker(r, &l->tranches->of[n - 1], t);
	for (unsigned w = 0; w < r->control->workers; w++)
		hb_engine_tranches(r->engines[w], slot, l->tranches, n);
	return 0;
}

static int
apply_funding(struct hb_recovery *r, struct hb_error *e)
{
	uint16_t place = r->slot_of[r->fund.campaign];
	char theirs[256], ours[256];

	if (place == 0) {
		hb_control_foreign(r->control, r->fund.campaign);
		return 0;
	}
	struct hb_campaign_config *cc = &r->campaign[place - 1];
	if (cc->leased != (r->fund.lease.block != 0))
		return hb_fail(e, EINVAL,
			cc->leased
				? "campaign %u: the journal has a budget of its own for it; write "
				  "that, or give the campaign a new id"
				: "campaign %u: the journal has blocks of a shared budget for "
				  "it; write envelopes: { leased: true }",
			cc->id);
	if (control_has_campaign(r->control, place - 1u))
		return apply_top_up(r, place - 1u, e);
	if (!same_terms(&cc->terms, &r->fund.terms)) {
		describe(&r->fund.terms, theirs, sizeof(theirs));
		describe(&cc->terms, ours, sizeof(ours));
		return hb_fail(e, EINVAL,
			"campaign %u: the journal was funded with %s, the configuration says %s; "
			"write "
			"what the journal has, or give the campaign a new id",
			cc->id, theirs, ours);
	}
	cc->terms.seed = r->fund.terms.seed;
	hb_control_funded(r->control, place - 1, &r->fund);
	return make_envelopes(r, place - 1, e);
}

static int
apply_fund_record(struct hb_recovery *r, const struct hb_record *record, struct hb_error *e)
{
	int rc;

	if (record->type == HB_RECORD_TIER && r->back_tiers > 0) {
		r->back_tiers--;
		return 0;
	}
	rc = hb_fund_decode(&r->fund, record);
	if (rc < 0)
		return hb_fail(e, EILSEQ, "record %llu: the funding of campaign %u makes no sense",
			(unsigned long long)r->records, record->campaign);
	return rc == 0 ? 0 : apply_funding(r, e);
}

/* ---- wins ---------------------------------------------------------------------------- */

/* The funding that an envelope is of, and its place in there. */
static const struct hb_envelopes *
holder_of(const struct hb_recovery *r, unsigned slot, uint32_t number, uint32_t *i)
{
	const struct hb_tranches *t = r->control->ledger[slot].tranches;
	unsigned n = t == NULL ? 0 : t->count;

	if (HB_LIKELY(number <= r->envelopes[slot].count)) {
		*i = number - 1;
		return &r->envelopes[slot];
	}
	while (t->first[n - 1] > number)
		n--;
	*i = number - t->first[n - 1];
	return &t->of[n - 1];
}

/* The number that an envelope has here, or 0 where it is none of the campaign's. */
static uint32_t
number_of(const struct hb_recovery *r, unsigned slot, const struct hb_record *win)
{
	const struct hb_ledger *l = &r->control->ledger[slot];
	uint32_t number = hb_envelope_number(win->id);

	if (win->id != hb_envelope_id(win->campaign, number))
		return 0;
	if (HB_LIKELY(!l->leased))
		return number > l->funded ? 0 : number;
	int i = l->tranches == NULL ? -1 : hb_tranches_holder(l->tranches, number);
	return i < 0 ? 0 : number - l->tranches->shift[i];
}

static bool
is_given(const struct hb_recovery *r, unsigned slot, uint32_t number)
{
	return r->given[slot][(number - 1) / 8] >> ((number - 1) % 8) & 1;
}

static void
mark_given(struct hb_recovery *r, unsigned slot, uint32_t number)
{
	r->given[slot][(number - 1) / 8] |= (uint8_t)(1u << ((number - 1) % 8));
}

/* Marks the envelope as given, once and with its amount. */
static int
take_envelope(struct hb_recovery *r, unsigned slot, const struct hb_record *win, uint32_t number,
	struct hb_error *e)
{
	const struct hb_envelopes *v = NULL;
	const char *wrong = NULL;
	uint32_t i = 0;

	if (number == 0)
		wrong = "is none of the campaign's";
	else if (is_given(r, slot, number))
		wrong = "is given a second time";
	else if (v = holder_of(r, slot, number, &i), amount_of(r, v, i) != win->amount)
		wrong = "holds another amount";
	if (wrong != NULL)
		return hb_fail(e, EILSEQ, "record %llu: envelope %llu of campaign %u %s",
			(unsigned long long)r->records, (unsigned long long)win->id, win->campaign,
			wrong);
	mark_given(r, slot, number);
	/* Its ticket, 0, is durable from the start. */
	v->of[i].asked_ms = (uint32_t)(win->time_us / 1000);
	return 0;
}

static int
apply_win(struct hb_recovery *r, const struct hb_record *win, struct hb_error *e)
{
	uint16_t place = r->slot_of[win->campaign];
	int err;

	if (place == 0) {
		r->strangers++;
		return 0;
	}
	struct hb_ledger *l = &r->control->ledger[place - 1];
	if (l->funded == 0 || win->user == 0 || win->seq == 0)
		return hb_fail(e, EILSEQ, "record %llu: a win of user %llu in campaign %u, %s",
			(unsigned long long)r->records, (unsigned long long)win->user,
			win->campaign, l->funded == 0 ? "which is not funded" : "with no seq");
	uint32_t number = number_of(r, place - 1u, win);
	if ((err = take_envelope(r, place - 1u, win, number, e)) != 0)
		return err;
	if (HB_UNLIKELY(r->rows) && (err = recall_pause(r->recall)) != 0)
		return err;
	r->rows = false;
	/* What went wrong there is said when all of them are in. */
	if ((err = recall_push(r->recall, win, number)) != 0)
		return err;
	l->recalled++;
	l->recalled_fen += win->amount;
	l->journalled++;
	l->journalled_fen += win->amount;
	r->wins++;
	return 0;
}

/* ---- a budget that many hosts share --------------------------------------------------- */

/* The block that envelopes go back of, or -1. */
static int
block_of(const struct hb_ledger *l, const struct hb_record *back)
{
	const struct hb_tranches *t = l->tranches;
	int i = t == NULL ? -1 : hb_tranches_block(t, back->id);

	if (i >= 0 && (back->seq > t->of[i].count || back->aux > t->of[i].count - back->seq))
		return -1;
	return i;
}

static int
apply_return(struct hb_recovery *r, const struct hb_record *back, struct hb_error *e)
{
	uint16_t place = r->slot_of[back->campaign];
	uint64_t fen = 0;

	r->back_tiers = back->amount;
	if (place == 0)
		return 0;
	struct hb_ledger *l = &r->control->ledger[place - 1];
	int i = block_of(l, back);
	bool twice = false;
	for (uint32_t k = 0; i >= 0 && k < back->seq; k++) {
		uint32_t number = l->tranches->first[i] + back->aux + k;

		twice |= is_given(r, place - 1u, number);
		mark_given(r, place - 1u, number);
		fen += amount_of(r, &l->tranches->of[i], back->aux + k);
	}
	if (i < 0 || twice || fen != back->user)
		return hb_fail(e, EILSEQ, "record %llu: %u envelopes of campaign %u go back %s",
			(unsigned long long)r->records, back->seq, back->campaign,
			i < 0	? "of no block that it has"
			: twice ? "that are not there"
				: "with other amounts");
	l->returned += back->seq;
	l->returned_fen += fen;
	return 0;
}

static int
apply_row(struct hb_recovery *r, const struct hb_record *record, struct hb_error *e)
{
	uint16_t place = r->slot_of[record->campaign];
	unsigned owner = hb_owner(hb_lane(hb_shard(record->user)), r->control->workers);
	int err;

	if (place == 0)
		return 0;
	struct hb_ledger *l = &r->control->ledger[place - 1];
	if (!l->leased || !control_row_fits(record))
		return hb_fail(e, EILSEQ,
			"record %llu: user %llu of campaign %u comes from another host without a "
			"win",
			(unsigned long long)r->records, (unsigned long long)record->user,
			record->campaign);
	if (!r->rows && (err = recall_pause(r->recall)) != 0)
		return err;
	r->rows = true;
	if ((err = control_reserve_rows(l, 1, e)) != 0)
		return err;
	uint32_t number = control_add_row(l->moved, record);
	l->rows++;
	if (hb_engine_row(r->engines[owner], place - 1u, record->campaign, l->moved, number) == 0)
		return 0;
	return hb_fail(e, EINVAL,
		"users: the table cannot hold the winners of the journal, of whom %llu are read; "
		"write more users",
		(unsigned long long)r->wins);
}

/* ---- packets ------------------------------------------------------------------------- */

/* The record goes to the worker that owns the packet now. */
static int
apply_packet(struct hb_recovery *r, const struct hb_record *record, struct hb_error *e)
{
	unsigned owner = hb_owner(hb_lane(hb_shard(record->id)), r->control->workers);
	const char *wrong;
	int err = hb_engine_recall_packet(r->engines[owner], record, &wrong);

	if (err == -ENOSPC)
		return hb_fail(e, EINVAL,
			"packets: worker %u cannot hold the packets of the journal, of which %llu "
			"are read; write larger packets: { open: N, shares: N }",
			owner, (unsigned long long)r->control->packets.packed);
	if (err != 0)
		return hb_fail(e, EILSEQ, "record %llu: packet %llu %s",
			(unsigned long long)r->records, (unsigned long long)record->id, wrong);
	control_enter_record(r->control, record);
	return 0;
}

/* Whether a bundle's two records stand together. */
static bool
halves_fit(const struct hb_record *win, const struct hb_record *pack)
{
	return pack->type == HB_RECORD_PACK && pack->campaign == win->campaign &&
	       pack->user == win->user && pack->seq == win->seq && pack->amount == win->amount;
}

static int
check_bundle(const struct hb_recovery *r, const struct hb_record *record, unsigned left,
	struct hb_error *e)
{
	if (record->aux != HB_WIN_BUNDLE || (left > 1 && halves_fit(record, record + 1)))
		return 0;
	return hb_fail(e, EILSEQ,
		"record %llu: envelope %llu of campaign %u was made a packet, which is not behind "
		"it",
		(unsigned long long)r->records, (unsigned long long)record->id, record->campaign);
}

/* What the journal has last is all that matters here: the configuration says what goes on. */
static void
apply_quota(struct hb_recovery *r, const struct hb_record *record)
{
	uint16_t place = r->slot_of[record->campaign];

	if (place != 0)
		r->control->ledger[place - 1].wins_per_user = record->aux;
}

static int
apply_records(struct hb_recovery *r, const struct hb_record *record, unsigned n, struct hb_error *e)
{
	int err = 0;

	for (unsigned i = 0; err == 0 && i < n; i++, r->records++) {
		if (hb_fund_breaks(&r->fund, &record[i]))
			return hb_fail(e, EILSEQ,
				"record %llu: the funding of campaign %u breaks off",
				(unsigned long long)r->records, r->fund.campaign);
		switch (record[i].type) {
		case HB_RECORD_LEASE:
		case HB_RECORD_FUND:
		case HB_RECORD_TIER:
			err = apply_fund_record(r, &record[i], e);
			break;
		case HB_RECORD_WIN:
			err = check_bundle(r, &record[i], n - i, e);
			if (err == 0)
				err = apply_win(r, &record[i], e);
			break;
		case HB_RECORD_PACK:
		case HB_RECORD_GRAB:
		case HB_RECORD_REFUND:
			err = apply_packet(r, &record[i], e);
			break;
		case HB_RECORD_RETURN:
			err = apply_return(r, &record[i], e);
			break;
		case HB_RECORD_ROW:
			err = apply_row(r, &record[i], e);
			break;
		case HB_RECORD_SEED:
			r->seed = record[i].id;
			r->seeded = true;
			break;
		case HB_RECORD_QUOTA:
			apply_quota(r, &record[i]);
			break;
		default:
			return hb_fail(e, EILSEQ,
				"record %llu: of type %u, which this program doesn't know; a newer "
				"one wrote it",
				(unsigned long long)r->records, record[i].type);
		}
	}
	return err;
}

/* ---- all of a journal ----------------------------------------------------------------- */

/* Reads and applies until the end or the first fault. */
static int
read_records(struct hb_recovery *r, struct hb_journal_reader *reader, const char *what,
	struct hb_error *e)
{
	const struct hb_record *record;
	struct hb_progress progress;
	int n, err = 0;

	if (what != NULL)
		hb_progress_begin(&progress, what, "bytes", reader->total_bytes);
	while ((n = hb_journal_read(reader, &record, e)) > 0) {
		if ((err = apply_records(r, record, (unsigned)n, e)) != 0)
			break;
		if (what != NULL)
			hb_progress_update(&progress, reader->read_bytes);
	}
	r->refused = err != 0;
	if (what != NULL)
		hb_progress_end(&progress);
	return err != 0 ? err : n;
}

int
hb_recovery_read(struct hb_recovery *r, struct hb_journal_reader *reader, bool threads,
	const char *what, struct hb_error *e)
{
	uint64_t wins;
	int err;

	r->recall = recall_make(r->engines, r->control->workers, threads);
	if (r->recall == NULL)
		return hb_fail(e, ENOMEM, "no memory to read the journal back");
	r->threads = threads;
	if (threads)
		hb_journal_read_ahead(reader);
	err = read_records(r, reader, what, e);
	r->control->recalled = r->control->packets;
	end_maker(r);
	r->threads = false;
	/* A win without a row came before whatever stopped the reading. */
	if (recall_finish(r->recall, &wins) != 0) {
		r->refused = true;
		err = hb_fail(e, EINVAL,
			"users: the table cannot hold the winners of the journal, of whom %llu are "
			"read; write more users",
			(unsigned long long)wins);
	}
	recall_free(r->recall);
	r->recall = NULL;
	return err;
}

/* ---- the end ------------------------------------------------------------------------- */

/* The same draws as before, or from now on. */
static int
settle_seed(struct hb_recovery *r, uint64_t seed, uint64_t time_us, struct hb_error *e)
{
	int err = 0;

	if (!r->seeded) {
		r->seed = seed;
		err = hb_control_enter_seed(r->control, seed, time_us, e);
	}
	for (unsigned w = 0; w < r->control->workers; w++)
		hb_engine_seed(r->engines[w], r->seed);
	return err;
}

static int
fund_new(struct hb_recovery *r, unsigned slot, uint64_t time_us, struct hb_error *e)
{
	struct hb_campaign_config *cc = &r->campaign[slot];
	int err;

	cc->terms.seed = hb_derive(r->seed, "fund", cc->id);
	if ((err = make_envelopes(r, slot, e)) != 0)
		return err;
	return hb_control_fund(r->control, slot, cc->id, &cc->terms, cc->wins_per_user, time_us, e);
}

int
hb_recovery_finish(struct hb_recovery *r, uint64_t seed, uint64_t time_us, struct hb_error *e)
{
	int err;

	if (hb_fund_begun(&r->fund))
		return hb_fail(
			e, EILSEQ, "the funding of campaign %u breaks off", r->fund.campaign);
	err = settle_seed(r, seed, time_us, e);
	for (unsigned slot = 0; err == 0 && slot < r->campaigns; slot++) {
		if (!control_has_campaign(r->control, slot))
			err = fund_new(r, slot, time_us, e);
		if (err == 0)
			err = hb_control_quota(
				r->control, slot, r->campaign[slot].wins_per_user, time_us, e);
		if (err == 0)
			err = hb_control_deal(r->control, slot, r->engines, r->given[slot], e);
	}
	return err;
}
