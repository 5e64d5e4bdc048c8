/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim.h"

#include "format.h"

#include <rte_ring.h>
#include <rte_ring_elem.h>

#define FAIL_ASK(w, a, what, ...)                                                                  \
	sim_fail(w, "campaign %u, user %llu, seq %u: " what,                                       \
		(w)->campaign[campaign_of((a)->pair)].id,                                          \
		(unsigned long long)user_of(w, (a)->pair), (a)->seq __VA_OPT__(, ) __VA_ARGS__)

void
oracle_begin(struct world *w)
{
	struct oracle *o = &w->oracle;

	/* Parcels are cleared as they are added. */
	memset(o, 0, offsetof(struct oracle, parcel));
	for (unsigned c = 0; c < w->config.campaigns; c++) {
		if (w->campaign[c].leased)
			continue;
		oracle_funding(w, c, &w->campaign[c].terms);
		oracle_configured(w, c);
	}
}

/* ---- fundings ------------------------------------------------------------------------ */

void
oracle_funding(struct world *w, unsigned c, const struct hb_terms *t)
{
	struct oracle *o = &w->oracle;

	o->part[c][o->parts[c]++] =
		(struct part){.first = o->count[c] + 1, .count = t->count, .total = t->total};
}

void
oracle_leasing(struct world *w, unsigned c, const struct hb_lease *l, const struct hb_terms *t)
{
	struct oracle *o = &w->oracle;

	oracle_funding(w, c, t);
	o->part[c][o->parts[c] - 1].block = l->block;
	o->part[c][o->parts[c] - 1].issued = l->first;
}

bool
oracle_has_block(const struct world *w, unsigned c, uint32_t block)
{
	const struct oracle *o = &w->oracle;

	for (unsigned i = 0; i < o->parts[c]; i++) {
		if (o->part[c][i].block == block)
			return true;
	}
	return false;
}

/* The number here of an envelope on the wire: of a block it is another. 0: there is none. */
static uint32_t
number_of(const struct world *w, unsigned c, uint32_t issued)
{
	const struct oracle *o = &w->oracle;

	if (!w->campaign[c].leased)
		return issued;
	for (unsigned i = 0; i < o->parts[c]; i++) {
		const struct part *p = &o->part[c][i];

		if (p->valid && issued - p->issued < p->count)
			return p->first + (issued - p->issued);
	}
	return 0;
}

static void
validate(struct oracle *o, unsigned c, struct part *p)
{
	if (p->valid)
		return;
	p->valid = true;
	o->count[c] += p->count;
	o->left[c] += p->count;
}

void
oracle_configured(struct world *w, unsigned c)
{
	validate(&w->oracle, c, &w->oracle.part[c][0]);
}

/* Takes the last one back. */
static void
invalidate(struct world *w, unsigned c)
{
	struct oracle *o = &w->oracle;
	const struct part *p = &o->part[c][--o->parts[c]];

	if (p->durable)
		sim_fail(w, "campaign %u: a funding of %u envelopes is lost", w->campaign[c].id,
			p->count);
	if (!p->valid)
		return;
	o->count[c] -= p->count;
	o->left[c] -= p->count;
}

void
oracle_funded(struct world *w, unsigned c, int err, bool unsure)
{
	struct part *p = &w->oracle.part[c][w->oracle.parts[c] - 1];

	if (unsure)
		return;
	if (err != 0) {
		invalidate(w, c);
		return;
	}
	validate(&w->oracle, c, p);
	p->durable = true;
}

static struct part *
part_of(struct oracle *o, unsigned c, uint32_t number)
{
	unsigned i = o->parts[c] - 1u;

	while (o->part[c][i].first > number)
		i--;
	return &o->part[c][i];
}

/* ---- the journal, read by its own rules ---------------------------------------------- */

/* Whether the next segment is there and was begun. */
static bool
next_segment(const struct world *w, struct walk *k)
{
	struct segment_header h;
	uint64_t bytes;
	const uint8_t *p = sim_disk_look(&w->disk, k->segment + 1, k->stable, &bytes);

	if (p == NULL || bytes < SEGMENT_HEADER_BYTES)
		return false;
	memcpy(&h, p, sizeof(h));
	if (h.magic != SEGMENT_MAGIC || h.crc != journal_crc(&h, offsetof(typeof(h), crc)) ||
		h.number != k->segment + 1 || h.first_batch != k->batch)
		return false;
	k->segment++;
	k->journal = h.journal;
	k->at = SEGMENT_HEADER_BYTES;
	return true;
}

/* The next whole batch's records, or NULL. */
static const struct hb_record *
next_batch(const struct world *w, struct walk *k, uint32_t *count)
{
	struct batch_header h;
	uint64_t bytes, size;

	do {
		const uint8_t *p = sim_disk_look(&w->disk, k->segment, k->stable, &bytes);

		if (k->segment == 0 || p == NULL || bytes < k->at + sizeof(h))
			continue;
		memcpy(&h, p + k->at, sizeof(h));
		size = batch_bytes(h.count, w->disk.disk.block);
		if (h.magic != BATCH_MAGIC || h.number != k->batch || h.journal != k->journal ||
			h.crc != journal_crc(&h, offsetof(typeof(h), crc)) ||
			k->at + size > bytes ||
			h.records_crc != journal_crc(p + k->at + sizeof(h), size - sizeof(h)))
			continue;
		*count = h.count;
		p += k->at + sizeof(h);
		k->at += size;
		k->batch++;
		return (const struct hb_record *)p;
	} while (next_segment(w, k));
	return NULL;
}

static unsigned
slot_of(const struct world *w, uint16_t campaign)
{
	for (unsigned c = 0; c < w->config.campaigns + w->adding; c++) {
		if (w->campaign[c].id == campaign)
			return c;
	}
	sim_fail(w, "the journal has a record of campaign %u, which is none", campaign);
}

static void
read_win(struct world *w, const struct hb_record *r, uint32_t rest, bool durable)
{
	unsigned c = slot_of(w, r->campaign);
	uint32_t n = number_of(w, c, hb_envelope_number(r->id));
	struct gift *g = &w->oracle.gift[c][n];

	if (n == 0 || n > w->oracle.count[c])
		sim_fail(w, "the journal gives envelope %u of campaign %u", n, r->campaign);
	if (!g->given || user_of(w, g->pair) != r->user || g->seq != r->seq ||
		g->amount != r->amount)
		sim_fail(w,
			"the journal gives envelope %u of campaign %u to user %llu at seq %u, "
			"whom nobody gave it",
			n, r->campaign, (unsigned long long)r->user, r->seq);
	if (g->seen)
		sim_fail(w, "the journal gives envelope %u of campaign %u twice", n, r->campaign);
	if ((r->aux == HB_WIN_BUNDLE) != (g->parcel != 0) ||
		(g->parcel != 0 && (rest < 2 || r[1].type != HB_RECORD_PACK ||
					   r[1].id != w->oracle.parcel[g->parcel].id)))
		sim_fail(w, "the journal has envelope %u of campaign %u without its packet", n,
			r->campaign);
	g->seen = true;
	g->durable |= durable;
}

/* Each was asked for, and stands there as a whole. */
static void
read_fund(struct world *w, const struct hb_record *r, uint32_t rest, bool stable)
{
	struct oracle *o = &w->oracle;
	unsigned c = slot_of(w, r->campaign), nth = o->funded[c]++;
	struct part *p = &o->part[c][nth];

	if (nth >= o->parts[c] || p->count != r->seq || p->total != r->user)
		sim_fail(w, "campaign %u: funding %u, of %u envelopes, is none that was asked for",
			r->campaign, nth + 1, r->seq);
	if (rest <= r->amount)
		sim_fail(w, "campaign %u: funding %u breaks off at a batch's end", r->campaign,
			nth + 1);
	for (unsigned i = 1; i <= r->amount; i++) {
		if (r[i].type != HB_RECORD_TIER || r[i].campaign != r->campaign)
			sim_fail(w, "campaign %u: funding %u lacks a tier", r->campaign, nth + 1);
	}
	p->durable |= stable;
}

/* Nobody has what goes back, and nobody had it. */
static void
read_return(struct world *w, const struct hb_record *r, uint32_t rest, bool stable)
{
	struct oracle *o = &w->oracle;
	unsigned c = slot_of(w, r->campaign), nth = o->returns[c]++;
	const struct part *p = NULL;

	for (unsigned i = 0; i < o->parts[c]; i++) {
		if (o->part[c][i].block == r->id && r->id != 0)
			p = &o->part[c][i];
	}
	if (p == NULL || (uint64_t)r->aux + r->seq > p->count || r->user > p->total)
		sim_fail(w,
			"the journal gives back of block %llu of campaign %u what it hasn't got",
			(unsigned long long)r->id, r->campaign);
	if (rest <= r->amount)
		sim_fail(w, "campaign %u: what goes back breaks off at a batch's end", r->campaign);
	for (uint32_t i = 0; i < r->seq; i++) {
		struct gift *g = &o->gift[c][p->first + r->aux + i];

		if (g->returned || (g->given && (g->durable || stable)))
			sim_fail(w, "envelope %u of campaign %u goes back, but it is %s",
				p->first + r->aux + i, r->campaign, g->given ? "given" : "gone");
		g->returned = true;
		o->left[c]--;
	}
	if (stable)
		lease_returned(w, c, nth, r);
}

static void
read_on(struct world *w, struct walk *k)
{
	const struct hb_record *r;
	uint32_t count;

	while ((r = next_batch(w, k, &count)) != NULL) {
		for (uint32_t i = 0; i < count; i++) {
			if (r[i].type == HB_RECORD_WIN)
				read_win(w, &r[i], count - i, k->stable);
			else if (r[i].type == HB_RECORD_FUND)
				read_fund(w, &r[i], count - i, k->stable);
			else if (r[i].type == HB_RECORD_RETURN)
				read_return(w, &r[i], count - i, k->stable);
			else
				packets_read(w, &r[i], i == 0, k->stable);
		}
	}
}

static void
read_all(struct world *w, struct walk *k, bool stable)
{
	struct oracle *o = &w->oracle;

	memset(o->funded, 0, sizeof(o->funded));
	memset(o->returns, 0, sizeof(o->returns));
	for (unsigned c = 0; c < w->config.campaigns; c++) {
		for (uint32_t n = 1; n <= o->count[c]; n++) {
			o->gift[c][n].seen = false;
			o->left[c] += o->gift[c][n].returned;
			o->gift[c][n].returned = false;
		}
	}
	packets_read_begin(w);
	*k = (struct walk){.stable = stable, .batch = 1};
	read_on(w, k);
}

void
oracle_stable(struct world *w)
{
	if (w->server.running)
		read_on(w, &w->oracle.stable);
}

/* ---- from one process to the next ---------------------------------------------------- */

/* What nobody knew is known now, until the power fails once more. The first funding of a campaign
 * that is configured will come in any case. */
static void
settle_fundings(struct world *w, unsigned c)
{
	struct oracle *o = &w->oracle;

	if (o->funded[c] == 0 && o->parts[c] > 0 && o->part[c][0].durable)
		sim_fail(w, "campaign %u: its funding is lost", w->campaign[c].id);
	while (o->parts[c] > !w->campaign[c].leased && o->parts[c] > o->funded[c])
		invalidate(w, c);
	for (unsigned i = 0; i < o->parts[c]; i++)
		validate(o, c, &o->part[c][i]);
}

void
oracle_gone(struct world *w)
{
	struct oracle *o = &w->oracle;
	struct walk all;

	read_all(w, &all, false);
	for (unsigned c = 0; c < w->config.campaigns; c++) {
		settle_fundings(w, c);
		for (uint32_t n = 1; n <= o->count[c]; n++) {
			struct gift *g = &o->gift[c][n];

			if (!g->given || g->seen)
				continue;
			if (g->told || g->durable)
				sim_fail(w, "envelope %u of campaign %u, %s user %llu, is lost", n,
					w->campaign[c].id, g->told ? "told to" : "journalled for",
					(unsigned long long)user_of(w, g->pair));
			g->given = false;
			o->asker[g->pair].wins--;
			o->left[c]++;
		}
	}
	packets_gone(w);
}

/* What the server knows of a user after a start: the last win. */
static void
remember_winners(struct world *w)
{
	struct oracle *o = &w->oracle;

	for (unsigned i = 0; i < SIM_PAIRS; i++)
		o->asker[i].final_status = 0;
	for (unsigned c = 0; c < w->config.campaigns; c++) {
		for (uint32_t n = 1; n <= o->count[c]; n++) {
			const struct gift *g = &o->gift[c][n];
			struct asker *k = &o->asker[g->pair];

			if (!g->given || (k->final_status != 0 && k->final_seq > g->seq))
				continue;
			k->final_status = g->parcel != 0 ? HB_BUNDLE : HB_WIN;
			k->final_seq = g->seq;
			k->rests = 0;
			k->epoch = o->epoch;
			if (k->row_epoch != o->epoch)
				o->rows[owner_of(w, g->pair)]++;
			k->row_epoch = o->epoch;
		}
	}
}

void
oracle_started(struct world *w)
{
	struct oracle *o = &w->oracle;

	read_all(w, &o->stable, true);
	for (unsigned c = 0; c < w->config.campaigns; c++) {
		if (o->funded[c] != o->parts[c])
			sim_fail(w, "campaign %u is funded %u times, not %u", w->campaign[c].id,
				o->funded[c], o->parts[c]);
		for (uint32_t n = 1; n <= o->count[c]; n++) {
			const struct gift *g = &o->gift[c][n];

			if (g->durable && !g->seen)
				sim_fail(w, "envelope %u of campaign %u is lost by the start", n,
					w->campaign[c].id);
		}
	}
	o->epoch++;
	memset(o->rows, 0, sizeof(o->rows));
	remember_winners(w);
	oracle_check(w);
}

/* ---- a decision ---------------------------------------------------------------------- */

/* Whether the server must know what it last answered this user finally. */
static bool
must_know(const struct world *w, unsigned pair)
{
	const struct asker *k = &w->oracle.asker[pair];

	return k->final_status != 0 &&
	       (k->wins > 0 || w->oracle.rows[owner_of(w, pair)] <= w->server.users);
}

static void
take_row(struct world *w, unsigned pair)
{
	struct asker *k = &w->oracle.asker[pair];

	if (k->row_epoch != w->oracle.epoch)
		w->oracle.rows[owner_of(w, pair)]++;
	k->row_epoch = w->oracle.epoch;
}

static struct gift *
gift_of(struct world *w, const struct ask *a, const struct hb_reply *r)
{
	const struct hb_campaign_config *c = &w->campaign[campaign_of(a->pair)];
	uint32_t issued = hb_envelope_number(r->id);
	uint32_t n = number_of(w, campaign_of(a->pair), issued);

	if (r->id != hb_envelope_id(c->id, issued) || n == 0 ||
		n > w->oracle.count[campaign_of(a->pair)])
		FAIL_ASK(w, a, "WIN of envelope %llu, which is none", (unsigned long long)r->id);
	return &w->oracle.gift[campaign_of(a->pair)][n];
}

static void
check_same(struct world *w, const struct ask *a, const struct hb_reply *r, const struct gift *g)
{
	if (!g->given || g->pair != a->pair || g->seq != a->seq || g->amount != r->value)
		FAIL_ASK(w, a, "WIN of envelope %llu, which is another's or another time's",
			(unsigned long long)r->id);
}

/* The gift that a user's seq won as a bundle. */
static struct gift *
gift_of_bundle(struct world *w, const struct ask *a, const struct hb_reply *r)
{
	struct oracle *o = &w->oracle;
	unsigned c = campaign_of(a->pair);

	for (uint32_t n = 1; n <= o->count[c]; n++) {
		struct gift *g = &o->gift[c][n];

		if (g->given && g->pair == a->pair && g->seq == a->seq && g->parcel != 0 &&
			o->parcel[g->parcel].id == r->id)
			return g;
	}
	FAIL_ASK(w, a, "BUNDLE %llx, which is another's or another time's",
		(unsigned long long)r->id);
}

static void
check_same_bundle(struct world *w, const struct ask *a, const struct hb_reply *r)
{
	if (gift_of_bundle(w, a, r)->amount != r->value)
		FAIL_ASK(w, a, "BUNDLE %llx holds %u fen now", (unsigned long long)r->id, r->value);
}

/* An envelope's amount is what it was when it was first seen. */
static void
learn_amount(struct world *w, const struct ask *a, struct gift *g, uint32_t amount)
{
	struct oracle *o = &w->oracle;
	unsigned c = campaign_of(a->pair);
	struct part *p = part_of(o, c, (uint32_t)(g - o->gift[c]));

	if (g->amount != 0 && g->amount != amount)
		FAIL_ASK(w, a, "WIN of %u fen in an envelope of %u", amount, g->amount);
	if (g->amount == 0) {
		p->fen += amount;
		p->known++;
	}
	g->amount = amount;
	if (amount == 0 || p->fen > p->total || (p->known == p->count && p->fen != p->total))
		FAIL_ASK(w, a, "%u envelopes hold %llu of %llu fen", p->known,
			(unsigned long long)p->fen, (unsigned long long)p->total);
}

/* A BUNDLE names its packet, not its envelope: that stands in the record before the packet's, which
 * is in the worker's ring: each is taken out and put back. */
static struct hb_reply
win_of_bundle(struct world *w, unsigned worker, const struct hb_reply *r)
{
	struct rte_ring *ring = w->server.link[worker].records;
	struct hb_reply win = *r;
	struct hb_record record, before = {0};

	win.id = 0;
	win.status = HB_WIN;
	for (unsigned i = rte_ring_count(ring); i > 0; i--) {
		rte_ring_dequeue_elem(ring, &record, sizeof(record));
		rte_ring_enqueue_elem(ring, &record, sizeof(record));
		if (record.type == HB_RECORD_PACK && record.id == r->id)
			win.id = before.id;
		before = record;
	}
	return win;
}

static void
judge_gift(struct world *w, const struct ask *a, const struct hb_reply *r)
{
	const struct hb_campaign_config *c = &w->campaign[campaign_of(a->pair)];
	struct asker *k = &w->oracle.asker[a->pair];
	struct gift *g = gift_of(w, a, r);

	if (g->given || g->returned)
		FAIL_ASK(w, a, "envelope %llu is given twice", (unsigned long long)r->id);
	if (k->wins >= c->wins_per_user)
		FAIL_ASK(w, a, "a WIN over the quota of %u", c->wins_per_user);
	if (r->ticket == 0)
		FAIL_ASK(w, a, "a new WIN is told at once");
	learn_amount(w, a, g, r->value);
	g->given = true;
	g->durable = g->told = g->seen = false;
	g->parcel = 0;
	g->pair = a->pair;
	g->seq = a->seq;
	k->wins++;
	w->oracle.left[campaign_of(a->pair)]--;
}

/* Whether all workers know what was said of a user last. */
static bool
all_know(const struct world *w, unsigned u)
{
	return !w->telling[u] || hb_links_reached(w->server.links, w->server.workers, &w->told[u]);
}

bool
oracle_barred(const struct world *w, unsigned pair)
{
	return w->barred[pair % SIM_USERS] && all_know(w, pair % SIM_USERS);
}

bool
oracle_free(const struct world *w, unsigned pair)
{
	return !w->barred[pair % SIM_USERS] && all_know(w, pair % SIM_USERS);
}

static bool
is_throttled(const struct world *w, const struct ask *a, uint64_t *left_ms)
{
	const struct hb_campaign_config *c = &w->campaign[campaign_of(a->pair)];
	const struct asker *k = &w->oracle.asker[a->pair];
	uint64_t since = w->now_us / 1000 - k->final_us / 1000;

	if (k->final_us == 0 || since >= c->least_interval_ms)
		return false;
	*left_ms = c->least_interval_ms - since;
	return true;
}

/* What must hold for any new final answer. */
static void
check_final(struct world *w, const struct ask *a, unsigned status)
{
	const struct hb_campaign_config *c = &w->campaign[campaign_of(a->pair)];
	const struct asker *k = &w->oracle.asker[a->pair];
	const char *name = hb_status_name(status);
	uint64_t left;

	if (oracle_barred(w, a->pair))
		FAIL_ASK(w, a, "%s for a barred user", name);
	if (w->draining)
		FAIL_ASK(w, a, "%s while it drains", name);
	if (w->now_us < c->opens_us || w->now_us >= c->closes_us || c->paused)
		FAIL_ASK(w, a, "%s while the campaign is not open", name);
	if ((status == HB_WRONG) != (is_answered(c) && !a->right))
		FAIL_ASK(w, a, "%s for a %s answer", name, a->right ? "right" : "wrong");
	if (must_know(w, a->pair) && k->us_epoch == w->oracle.epoch && is_throttled(w, a, &left))
		FAIL_ASK(w, a, "%s %llu ms too soon", name, (unsigned long long)left);
}

static void
judge_bundle(struct world *w, unsigned worker, const struct ask *a, const struct hb_reply *r)
{
	struct hb_reply win = win_of_bundle(w, worker, r);

	judge_gift(w, a, &win);
	gift_of(w, a, &win)->parcel = packets_bundle(w, a->pair, r);
}

/* Envelopes that somebody has; the others went back. */
static uint32_t
count_given(const struct world *w, unsigned c)
{
	uint32_t count = 0;

	for (uint32_t n = 1; n <= w->oracle.count[c]; n++)
		count += w->oracle.gift[c][n].given;
	return count;
}

static void
judge_final(struct world *w, unsigned worker, const struct ask *a, const struct hb_reply *r)
{
	const struct hb_campaign_config *c = &w->campaign[campaign_of(a->pair)];
	struct asker *k = &w->oracle.asker[a->pair];

	check_final(w, a, r->status);
	if ((r->status == HB_WIN && c->bundle.shares != 0) ||
		(r->status == HB_BUNDLE && c->bundle.shares == 0))
		FAIL_ASK(w, a, "%s in a campaign of the other kind", hb_status_name(r->status));
	if (r->status == HB_WIN)
		judge_gift(w, a, r);
	if (r->status == HB_BUNDLE)
		judge_bundle(w, worker, a, r);
	if (c->leased && w->now_us >= w->term_us &&
		(r->status == HB_WIN || r->status == HB_BUNDLE || r->status == HB_EMPTY))
		FAIL_ASK(w, a, "%s when the term is over", hb_status_name(r->status));
	if (r->status == HB_EMPTY && lease_left(w, campaign_of(a->pair)) > 0)
		FAIL_ASK(w, a, "EMPTY while %u envelopes are left on other hosts",
			lease_left(w, campaign_of(a->pair)));
	if (r->status == HB_MISS && c->odds >= 1 && c->release_per_second == 0)
		FAIL_ASK(w, a, "MISS where every draw wins");
	if (r->status == HB_QUOTA && k->wins < c->wins_per_user)
		FAIL_ASK(w, a, "QUOTA after %u of %u wins", k->wins, c->wins_per_user);
	if (r->status == HB_EMPTY && w->oracle.left[campaign_of(a->pair)] > 0)
		FAIL_ASK(w, a, "EMPTY while %u envelopes are left",
			w->oracle.left[campaign_of(a->pair)]);
	k->final_us = w->now_us;
	k->us_epoch = k->epoch = w->oracle.epoch;
	k->final_seq = a->seq;
	k->final_status = r->status;
	k->rests = r->status == HB_EMPTY ? count_given(w, campaign_of(a->pair)) : k->wins;
	if (a->seq > k->highest_final)
		k->highest_final = a->seq;
}

static void
judge_refusal(struct world *w, const struct ask *a, const struct hb_reply *r)
{
	const struct hb_campaign_config *c = &w->campaign[campaign_of(a->pair)];
	uint64_t wait = r->value, left = 0;
	bool right;

	switch (r->status) {
	case HB_EARLY:
		right = w->now_us < c->opens_us && wait == (c->opens_us - w->now_us + 999) / 1000;
		break;
	case HB_CLOSED:
		right = w->now_us >= c->closes_us;
		break;
	case HB_THROTTLED:
		right = is_throttled(w, a, &left) && wait > 0 && wait <= left;
		break;
	case HB_BUSY:
		right = wait > 0;
		break;
	case HB_DENIED:
		right = !oracle_free(w, a->pair);
		break;
	case HB_STALE:
		right = w->oracle.asker[a->pair].highest_final > a->seq;
		break;
	default:
		right = false;
		break;
	}
	if (!right)
		FAIL_ASK(w, a, "%s (%u) is not true", hb_status_name(r->status), r->value);
}

/* The answer to a seq that was answered before. BUSY, where the reply found no place to wait. */
static void
judge_repeat(struct world *w, const struct ask *a, const struct hb_reply *r)
{
	struct asker *k = &w->oracle.asker[a->pair];
	bool waits = k->final_status == HB_WIN || k->final_status == HB_EMPTY ||
		     k->final_status == HB_QUOTA || k->final_status == HB_BUNDLE;

	/* Who may have been forgotten may as well have been answered anew. */
	if (!must_know(w, a->pair))
		k->final_us = w->now_us;
	if (r->status == HB_BUSY && waits)
		return;
	if (r->status != k->final_status)
		FAIL_ASK(w, a, "%s, and before it was %s", hb_status_name(r->status),
			hb_status_name(k->final_status));
	if (r->status == HB_WIN)
		check_same(w, a, r, gift_of(w, a, r));
	if (r->status == HB_BUNDLE)
		check_same_bundle(w, a, r);
}

static bool
is_final(unsigned status)
{
	return status == HB_WIN || status == HB_MISS || status == HB_QUOTA || status == HB_EMPTY ||
	       status == HB_WRONG || status == HB_BUNDLE;
}

void
oracle_judge(struct world *w, unsigned worker, struct ask *a, const struct hb_reply *r)
{
	if (a->op >= HB_OP_GRAB) {
		packets_judge(w, worker, a, r);
		return;
	}
	const struct hb_campaign_config *c = &w->campaign[campaign_of(a->pair)];
	const struct asker *k = &w->oracle.asker[a->pair];
	bool known = must_know(w, a->pair);

	SIM_SAY(w, "worker %u: campaign %u user %llu seq %u: %s %llu %u, ticket %llu", worker,
		c->id, (unsigned long long)user_of(w, a->pair), a->seq, hb_status_name(r->status),
		(unsigned long long)r->id, r->value, (unsigned long long)r->ticket);
	if (!(w->config.slices >> hb_slice(hb_shard(user_of(w, a->pair))) & 1)) {
		if (r->status != HB_MOVED)
			FAIL_ASK(w, a, "%s, but it is another host's", hb_status_name(r->status));
		return;
	}
	if (is_answered(c) != (a->op == HB_OP_ANSWER)) {
		if ((r->status != HB_DENIED || oracle_free(w, a->pair)) &&
			(r->status != HB_UNKNOWN || oracle_barred(w, a->pair)))
			FAIL_ASK(w, a, "%s for an op that does not fit", hb_status_name(r->status));
		return;
	}
	if (known && a->seq < k->final_seq && r->status != HB_STALE)
		FAIL_ASK(w, a, "%s, but seq %u was answered", hb_status_name(r->status),
			k->final_seq);
	take_row(w, a->pair);
	if (k->final_status != 0 && a->seq == k->final_seq &&
		(known || r->status == k->final_status))
		judge_repeat(w, a, r);
	else if (is_final(r->status))
		judge_final(w, worker, a, r);
	else
		judge_refusal(w, a, r);
}

/* ---- a reply leaves ------------------------------------------------------------------ */

/* How many envelopes of a campaign are durably given, to one user or to anybody. */
static uint32_t
count_durable(const struct world *w, unsigned c, int pair)
{
	uint32_t count = 0;

	for (uint32_t n = 1; n <= w->oracle.count[c]; n++) {
		const struct gift *g = &w->oracle.gift[c][n];

		count += g->given && g->durable && (pair < 0 || g->pair == pair);
	}
	return count;
}

void
oracle_tell(struct world *w, const struct ask *a, const struct hb_reply *r)
{
	unsigned c = campaign_of(a->pair);
	struct gift *g;

	if (a->op >= HB_OP_GRAB) {
		packets_tell(w, a, r);
		return;
	}
	if (r->status == HB_BUNDLE) {
		g = gift_of_bundle(w, a, r);
		struct parcel *p = &w->oracle.parcel[g->parcel];

		if (!g->durable || !p->durable)
			FAIL_ASK(w, a, "BUNDLE %llx is told before it is durable",
				(unsigned long long)r->id);
		w->totals->told += !g->told;
		g->told = p->told = true;
	}
	if (r->status == HB_WIN) {
		g = gift_of(w, a, r);
		check_same(w, a, r, g);
		if (!g->durable)
			FAIL_ASK(w, a, "WIN of envelope %llu is told before it is durable",
				(unsigned long long)r->id);
		w->totals->told += !g->told;
		g->told = true;
	}
	/* What a crash would take back must not have been told. */
	if (r->status == HB_EMPTY && count_durable(w, c, -1) < a->rests)
		FAIL_ASK(w, a, "EMPTY is told before the last envelope is durable");
	if (r->status == HB_QUOTA && count_durable(w, c, a->pair) < a->rests)
		FAIL_ASK(w, a, "QUOTA is told before the last win is durable");
}

/* ---- conservation -------------------------------------------------------------------- */

struct places {
	uint8_t count[SIM_CAMPAIGNS][SIM_NUMBERS + 1];
};

static void
put_range(struct world *w, struct places *p, unsigned c, struct hb_range r)
{
	for (uint64_t n = r.first; n < (uint64_t)r.first + r.count; n++) {
		if (n == 0 || n > w->oracle.count[c])
			sim_fail(w, "envelope %llu of campaign %u does not exist",
				(unsigned long long)n, w->campaign[c].id);
		p->count[c][n]++;
	}
}

/* What lies in a worker's rings: taken out and put back. */
static void
put_rings(struct world *w, struct places *p, struct hb_link *l)
{
	struct hb_offer offer;
	struct hb_order order;

	for (unsigned i = rte_ring_count(l->offers); i > 0; i--) {
		rte_ring_dequeue_elem(l->offers, &offer, sizeof(offer));
		put_range(w, p, offer.slot, offer.range);
		rte_ring_enqueue_elem(l->offers, &offer, sizeof(offer));
	}
	for (unsigned i = rte_ring_count(l->orders); i > 0; i--) {
		rte_ring_dequeue_elem(l->orders, &order, sizeof(order));
		if (order.type == HB_ORDER_STOCK)
			put_range(w, p, order.slot, order.range);
		rte_ring_enqueue_elem(l->orders, &order, sizeof(order));
	}
}

static void
put_campaign(struct world *w, struct places *p, unsigned c)
{
	const struct hb_ledger *l = &w->server.control.ledger[c];

	for (unsigned i = 0; i < l->depot_ranges; i++)
		put_range(w, p, c, l->depot[i]);
	for (unsigned k = 0; k < w->server.workers; k++) {
		const struct hb_stock *s = &w->server.engine[k].campaign[c].stock;

		for (unsigned i = 0; i < s->ranges; i++)
			put_range(w, p, c, s->range[i]);
	}
}

void
oracle_check(struct world *w)
{
	struct places p = {0};

	for (unsigned k = 0; k < w->server.workers; k++)
		put_rings(w, &p, &w->server.link[k]);
	for (unsigned c = 0; c < w->config.campaigns; c++) {
		put_campaign(w, &p, c);
		for (uint32_t n = 1; n <= w->oracle.count[c]; n++) {
			bool given = w->oracle.gift[c][n].given || w->oracle.gift[c][n].returned;

			if (p.count[c][n] + given != 1)
				sim_fail(w, "envelope %u of campaign %u is in %u stocks and %s", n,
					w->campaign[c].id, p.count[c][n],
					given ? "given" : "not given");
		}
	}
}

/* ---- looks --------------------------------------------------------------------------- */

void
oracle_looked(struct world *w, unsigned pair, const struct hb_look *look)
{
	const struct asker *k = &w->oracle.asker[pair];
	const struct hb_look_row *row = &look->row[0];
	const struct gift *g = &w->oracle.gift[campaign_of(pair)][row->number];
	unsigned long long user = look->user;

	if (look->denied ? w->look_denied : w->look_free)
		sim_fail(w, "a look at user %llu says %s", user, look->denied ? "barred" : "free");
	if (!row->known && must_know(w, pair))
		sim_fail(w, "a look at user %llu finds nobody", user);
	if (row->wins != k->wins || (must_know(w, pair) && row->seq != k->final_seq))
		sim_fail(w, "a look at user %llu says %u wins, seq %u, not %u and %u", user,
			row->wins, row->seq, k->wins, k->final_seq);
	if ((row->number != 0) != (k->wins > 0) ||
		(row->number != 0 && (!g->given || g->pair != pair || g->amount != row->amount)))
		sim_fail(w, "a look at user %llu says envelope %u of %u fen", user, row->number,
			row->amount);
	if (row->durable && !g->durable)
		sim_fail(w, "a look at user %llu says that envelope %u is durable", user,
			row->number);
}
