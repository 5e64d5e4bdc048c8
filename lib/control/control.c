/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_control.h"

#include <errno.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdio.h>
#include <stdlib.h>

/* Campaigns that are looked at in one turn. */
#define LEVEL_SLOTS 256

/* How long a worker gives nothing until its stock is taken for one that it doesn't need. */
#define IDLE_NS (10 * 1000000ull)

/* How long a full disk is left alone before the batch is tried again. */
#define RETRY_NS (100 * 1000000ull)

/* ---- making -------------------------------------------------------------------------- */

int
hb_control_make(struct hb_control *c, const struct hb_control_terms *t, struct hb_error *e)
{
	*c = (struct hb_control){
		.journal = t->journal,
		.links = t->links,
		.drained = t->drained,
		.workers = t->workers,
		.campaigns = t->campaigns,
		.gather_ns = t->gather_ns,
	};
	c->ledger = calloc(t->campaigns, sizeof(*c->ledger));
	c->dry_seen = calloc(t->campaigns, sizeof(*c->dry_seen));
	c->asked = calloc(t->campaigns, sizeof(*c->asked));
	c->slot_of = calloc(65536, sizeof(*c->slot_of));
	if (c->ledger != NULL && c->dry_seen != NULL && c->asked != NULL && c->slot_of != NULL)
		return 0;
	hb_control_free(c);
	return hb_fail(e, ENOMEM, "no memory for the books of %u campaigns", t->campaigns);
}

void
hb_control_free(struct hb_control *c)
{
	for (unsigned slot = 0; c->ledger != NULL && slot < c->campaigns; slot++)
		free(c->ledger[slot].depot);
	free(c->ledger);
	free(c->dry_seen);
	free(c->asked);
	free(c->slot_of);
	*c = (struct hb_control){0};
}

/* Writes the first n records of the journal's room at once. */
static int
enter(struct hb_control *c, unsigned n, const char *what, struct hb_error *e)
{
	int err = hb_journal_commit(c->journal, n);

	if (err == 0)
		return 0;
	return hb_fail(
		e, -err, "journal: cannot write %s: %s; look at the disk", what, strerror(-err));
}

int
hb_control_enter_seed(struct hb_control *c, uint64_t seed, uint64_t time_us, struct hb_error *e)
{
	unsigned most;

	*hb_journal_room(c->journal, &most) =
		(struct hb_record){.type = HB_RECORD_SEED, .id = seed, .time_us = time_us};
	return enter(c, 1, "the seed of its draws", e);
}

int
hb_control_fund(struct hb_control *c, unsigned slot, uint16_t campaign, const struct hb_terms *t,
	uint32_t wins_per_user, uint64_t time_us, struct hb_error *e)
{
	unsigned most, n;
	int err;
	struct hb_record *room = hb_journal_room(c->journal, &most);
	char what[48];

	snprintf(what, sizeof(what), "the funding of campaign %u", campaign);
	n = hb_fund_encode(room, campaign, t, wins_per_user, time_us);
	if ((err = enter(c, n, what, e)) != 0)
		return err;
	hb_control_funded(c, slot, &(struct hb_fund){.campaign = campaign, .terms = *t});
	return 0;
}

void
hb_control_funded(struct hb_control *c, unsigned slot, const struct hb_fund *f)
{
	c->ledger[slot].campaign = f->campaign;
	c->ledger[slot].funded = f->terms.count;
	c->ledger[slot].funded_fen = f->terms.total;
	c->slot_of[f->campaign] = (uint16_t)(slot + 1);
}

/* ---- dealing out --------------------------------------------------------------------- */

/* Makes room for one more range. */
static int
depot_reserve(struct hb_ledger *l)
{
	unsigned room = l->depot_room == 0 ? 8 : 2 * l->depot_room;

	if (l->depot_ranges < l->depot_room)
		return 0;
	struct hb_range *more = realloc(l->depot, room * sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	l->depot = more;
	l->depot_room = room;
	return 0;
}

static int
depot_add(struct hb_ledger *l, struct hb_range range)
{
	if (depot_reserve(l) != 0)
		return -ENOMEM;
	l->depot[l->depot_ranges++] = range;
	return 0;
}

/* The next envelopes from `from` on that are not given, as one range; of none behind the last. */
static struct hb_range
next_free(const uint8_t *given, uint32_t from, uint32_t count)
{
	struct hb_range r = {.first = from};

	if (given == NULL) {
		r.count = count - (from - 1);
		return r;
	}
	while (r.first <= count && (given[(r.first - 1) / 8] >> ((r.first - 1) % 8) & 1))
		r.first++;
	while (r.first + r.count <= count &&
		!(given[(r.first + r.count - 1) / 8] >> ((r.first + r.count - 1) % 8) & 1))
		r.count++;
	return r;
}

/* Gives a range to workers, each up to what it still lacks of its share. */
static int
deal_range(struct hb_control *c, unsigned slot, struct hb_engine *const *engines,
	struct hb_range range, uint64_t *lacks)
{
	for (unsigned w = 0; w < c->workers && range.count > 0; w++) {
		struct hb_range part = range;

		if (part.count > lacks[w])
			part.count = (uint32_t)lacks[w];
		/* A list that is full of ranges: the depot keeps it until somebody runs dry. */
		if (hb_engine_stock(engines[w], slot, part) != 0)
			continue;
		lacks[w] -= part.count;
		range.first += part.count;
		range.count -= part.count;
	}
	return range.count == 0 ? 0 : depot_add(&c->ledger[slot], range);
}

int
hb_control_deal(struct hb_control *c, unsigned slot, struct hb_engine *const *engines,
	const uint8_t *given, struct hb_error *e)
{
	struct hb_ledger *l = &c->ledger[slot];
	uint64_t left = l->funded - l->recalled, lacks[HB_WORKERS_MAX];
	struct hb_range range = {.first = 1};
	int err = 0;

	for (unsigned w = 0; w < c->workers; w++)
		lacks[w] = left * (w + 1) / c->workers - left * w / c->workers;
	while (err == 0 && range.first <= l->funded) {
		range = next_free(given, range.first, l->funded);
		if (range.count > 0)
			err = deal_range(c, slot, engines, range, lacks);
		range.first += range.count;
	}
	l->whole = c->workers == 1 && l->depot_ranges == 0;
	if (l->whole)
		hb_engine_whole(engines[0], slot);
	if (err != 0)
		return hb_fail(e, -err, "no memory for the envelopes of campaign %u", l->campaign);
	return 0;
}

/* ---- settlements into the journal ---------------------------------------------------- */

/* Takes what the workers have, behind what already waits in the journal's room. */
static void
drain_rings(struct hb_control *c)
{
	unsigned most;
	struct hb_record *room = hb_journal_room(c->journal, &most);

	/* Another worker comes first each time: a batch may not hold what all of them have. */
	c->first_worker = (c->first_worker + 1) % c->workers;
	for (unsigned i = 0; i < c->workers && c->waiting < most; i++) {
		unsigned w = (c->first_worker + i) % c->workers;
		unsigned n = rte_ring_sc_dequeue_burst_elem(c->links[w]->records, room + c->waiting,
			sizeof(*room), most - c->waiting, NULL);

		c->share[w] += n;
		c->waiting += n;
	}
	if (c->waiting > 0 && c->waiting_since_ns == 0)
		c->waiting_since_ns = c->now_ns;
}

/* Only now may the workers tell of them. */
static void
publish(struct hb_control *c, const struct hb_record *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct hb_ledger *l = &c->ledger[c->slot_of[r[i].campaign] - 1];

		if (r[i].type != HB_RECORD_WIN)
			continue;
		l->journalled++;
		l->journalled_fen += r[i].amount;
	}
	for (unsigned w = 0; w < c->workers; w++) {
		if (c->share[w] == 0)
			continue;
		__atomic_store_n(&c->links[w]->durable, c->links[w]->durable + c->share[w],
			__ATOMIC_RELEASE);
		c->share[w] = 0;
	}
}

static void
set_giving(struct hb_control *c, bool giving)
{
	for (unsigned w = 0; w < c->workers; w++)
		__atomic_store_n(&c->links[w]->giving, giving, __ATOMIC_RELAXED);
}

/* Whether what waits is to wait for more: a batch costs as much whether it holds few records or
 * many, and the core that it costs may be a worker's too. */
static bool
gathers(const struct hb_control *c)
{
	unsigned most;

	hb_journal_room(c->journal, &most);
	return c->waiting < most / 2 && c->now_ns - c->waiting_since_ns < c->gather_ns &&
	       !c->closing;
}

static unsigned
settle(struct hb_control *c)
{
	unsigned most, n;

	if (c->disk_error != 0 && (c->journal->failed || c->now_ns < c->retry_ns))
		return 0;
	drain_rings(c);
	if ((n = c->waiting) == 0 || gathers(c))
		return 0;
	int err = hb_journal_commit(c->journal, n);
	if (err != c->disk_error)
		set_giving(c, err == 0);
	c->disk_error = err;
	if (err != 0) {
		c->retry_ns = c->now_ns + RETRY_NS;
		return 0;
	}
	publish(c, hb_journal_room(c->journal, &most), n);
	c->waiting = 0;
	c->waiting_since_ns = 0;
	c->batches++;
	c->records += n;
	if (c->journal->flush_ns > c->worst_flush_ns)
		c->worst_flush_ns = c->journal->flush_ns;
	return n;
}

/* ---- levelling the stocks ------------------------------------------------------------ */

static void
order(struct hb_control *c, unsigned worker, enum hb_order_type type, unsigned slot,
	struct hb_range range)
{
	struct hb_order o = {.type = type, .slot = slot, .range = range};

	rte_ring_sp_enqueue_elem(c->links[worker]->orders, &o, sizeof(o));
	c->ledger[slot].order_out = true;
	c->orders_out[worker]++;
}

/* Each order is answered by an offer, so this many never overflow either ring. */
static bool
order_room(const struct hb_control *c, unsigned worker)
{
	return c->orders_out[worker] < HB_ORDERS - 1;
}

/* Takes in what workers gave up, or could not take. One order for a campaign is out at a time, so
 * there is always room in the depot: a range was asked for only when that had been made. */
static void
take_offers(struct hb_control *c)
{
	struct hb_offer o;

	for (unsigned w = 0; w < c->workers; w++) {
		while (rte_ring_sc_dequeue_elem(c->links[w]->offers, &o, sizeof(o)) == 0) {
			c->orders_out[w]--;
			c->ledger[o.slot].order_out = false;
			if (o.range.count != 0)
				depot_add(&c->ledger[o.slot], o.range);
		}
	}
}

/* The worker with the largest stock, and how large it is. */
static unsigned
richest(const struct hb_control *c, unsigned slot, uint64_t *stock)
{
	unsigned best = 0;

	*stock = 0;
	for (unsigned w = 0; w < c->workers; w++) {
		uint64_t s = hb_read(&c->links[w]->books[slot].stock);

		if (s > *stock) {
			*stock = s;
			best = w;
		}
	}
	return best;
}

/* A worker that has seen a win find its stock empty since it was last served, or -1. */
static int
find_dry(const struct hb_control *c, unsigned slot)
{
	for (unsigned w = 0; w < c->workers; w++) {
		const struct hb_book *b = &c->links[w]->books[slot];

		if (hb_read(&b->dry) != c->dry_seen[slot][w] && hb_read(&b->stock) == 0)
			return (int)w;
	}
	return -1;
}

/* How much of its stock a worker is to give up: half, so that it goes on while the other does; all
 * where it has given nothing for a while since it was last asked, so that the last envelopes come
 * to the one core that needs them in one move, and not in halves of halves. */
static uint32_t
share_of(struct hb_control *c, unsigned slot, unsigned worker, uint64_t stock)
{
	struct hb_asked now = {
		.ns = c->now_ns, .given = hb_read(&c->links[worker]->books[slot].given)};
	struct hb_asked last = c->asked[slot][worker];

	c->asked[slot][worker] = now;
	if (now.given == last.given && now.ns - last.ns >= IDLE_NS)
		return (uint32_t)stock;
	return (uint32_t)((stock + 1) / 2);
}

/* Whoever ran dry gets a range of the depot, which is filled with a share of what the richest has.
 */
static void
level_one(struct hb_control *c, unsigned slot)
{
	struct hb_ledger *l = &c->ledger[slot];
	uint64_t stock;
	int dry;

	if (l->order_out || (dry = find_dry(c, slot)) < 0)
		return;
	if (l->depot_ranges > 0) {
		if (!order_room(c, (unsigned)dry))
			return;
		c->dry_seen[slot][dry] = hb_read(&c->links[dry]->books[slot].dry);
		order(c, (unsigned)dry, HB_ORDER_STOCK, slot, l->depot[--l->depot_ranges]);
		l->moves++;
		return;
	}
	unsigned from = richest(c, slot, &stock);
	if (stock == 0 || !order_room(c, from) || depot_reserve(l) != 0)
		return;
	order(c, from, HB_ORDER_GIVE_UP, slot,
		(struct hb_range){.count = share_of(c, slot, from, stock)});
}

/* Looks at some campaigns a turn, so that many of them don't hold up the journal. */
static void
level(struct hb_control *c)
{
	unsigned looks = c->campaigns < LEVEL_SLOTS ? c->campaigns : LEVEL_SLOTS;

	take_offers(c);
	for (; looks > 0; looks--) {
		unsigned slot = c->level_slot;

		c->level_slot = slot + 1 == c->campaigns ? 0 : slot + 1;
		/* A lone worker that was dealt everything needs nobody to tell it. */
		if (c->drained[slot] || c->ledger[slot].whole)
			continue;
		/* What was journalled only grows, and nothing of it can be taken back. */
		if (c->ledger[slot].journalled == c->ledger[slot].funded)
			__atomic_store_n(&c->drained[slot], 1, __ATOMIC_RELEASE);
		else if (!c->closing)
			level_one(c, slot);
	}
}

void
hb_control_close(struct hb_control *c)
{
	c->closing = true;
}

bool
hb_control_closed(const struct hb_control *c)
{
	for (unsigned w = 0; w < c->workers; w++) {
		if (c->orders_out[w] != 0)
			return false;
	}
	return c->closing;
}

unsigned
hb_control_step(struct hb_control *c, uint64_t now_ns)
{
	c->now_ns = now_ns;
	unsigned n = settle(c);

	level(c);
	return n;
}

/* ---- the books ----------------------------------------------------------------------- */

bool
hb_control_balanced(const struct hb_control *c, struct hb_error *e)
{
	for (unsigned slot = 0; slot < c->campaigns; slot++) {
		const struct hb_ledger *l = &c->ledger[slot];
		uint64_t given = l->recalled, given_fen = l->recalled_fen, stock = 0;

		for (unsigned i = 0; i < l->depot_ranges; i++)
			stock += l->depot[i].count;

		for (unsigned w = 0; w < c->workers; w++) {
			const struct hb_book *b = &c->links[w]->books[slot];

			given += hb_read(&b->given);
			given_fen += hb_read(&b->given_fen);
			stock += hb_read(&b->stock);
		}
		if (l->funded == given + stock && given == l->journalled &&
			given_fen == l->journalled_fen)
			continue;
		hb_fail(e, EINVAL,
			"campaign %u: funded %u envelopes, but %llu in stock, %llu given (%llu "
			"fen), %llu journalled (%llu fen)",
			l->campaign, l->funded, (unsigned long long)stock,
			(unsigned long long)given, (unsigned long long)given_fen,
			(unsigned long long)l->journalled, (unsigned long long)l->journalled_fen);
		return false;
	}
	return true;
}
