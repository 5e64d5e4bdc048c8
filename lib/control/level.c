/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_internal.h"

#include <errno.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdlib.h>

/* Campaigns that are looked at in one turn. */
#define LEVEL_SLOTS 256

/* How long a worker gives nothing until its stock is taken for one that it doesn't need. */
#define IDLE_NS (10 * 1000000ull)

/* ---- dealing out --------------------------------------------------------------------- */

int
control_depot_reserve(struct hb_ledger *l, unsigned n)
{
	unsigned need = l->depot_ranges + l->orders_out + n, room = 2 * need < 8 ? 8 : 2 * need;

	if (need <= l->depot_room)
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
	if (control_depot_reserve(l, 1) != 0)
		return -ENOMEM;
	l->depot[l->depot_ranges++] = range;
	return 0;
}

/* The next envelopes from `from` on that are not given, as one range; of none behind the last. */
static struct hb_range
next_free(const uint8_t *given, uint64_t from, uint64_t count)
{
	uint64_t end;

	if (given == NULL)
		return (struct hb_range){(uint32_t)from, (uint32_t)(count - (from - 1))};
	while (from <= count && (given[(from - 1) / 8] >> ((from - 1) % 8) & 1))
		from++;
	for (end = from; end <= count; end++) {
		if (given[(end - 1) / 8] >> ((end - 1) % 8) & 1)
			break;
	}
	return (struct hb_range){(uint32_t)from, (uint32_t)(end - from)};
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
	int err = 0;

	for (unsigned w = 0; w < c->workers; w++)
		lacks[w] = left * (w + 1) / c->workers - left * w / c->workers;
	for (uint64_t next = 1; err == 0 && next <= l->funded;) {
		struct hb_range range = next_free(given, next, l->funded);

		if (range.count == 0)
			break;
		next = (uint64_t)range.first + range.count;
		err = deal_range(c, slot, engines, range, lacks);
	}
	l->whole = c->workers == 1 && l->depot_ranges == 0 && !l->leased;
	if (l->whole)
		hb_engine_whole(engines[0], slot);
	if (err != 0)
		return hb_fail(e, -err, "no memory for the envelopes of campaign %u", l->campaign);
	return 0;
}

/* ---- levelling the stocks ------------------------------------------------------------ */

bool
control_order_room(const struct hb_control *c, unsigned worker, unsigned orders)
{
	const struct hb_link *l = c->links[worker];

	return rte_ring_free_count(l->orders) >= orders &&
	       c->orders_out[worker] < rte_ring_get_capacity(l->offers);
}

void
control_order(struct hb_control *c, unsigned worker, const struct hb_order *o)
{
	struct hb_order copy = *o;

	rte_ring_sp_enqueue_elem(c->links[worker]->orders, &copy, sizeof(copy));
	if (o->type != HB_ORDER_STOCK && o->type != HB_ORDER_GIVE_UP)
		return;
	c->ledger[o->slot].orders_out++;
	c->orders_out[worker]++;
}

void
control_deal_out(struct hb_control *c, unsigned slot, struct hb_range range)
{
	uint64_t n = range.count;

	for (unsigned w = 0; w < c->workers; w++) {
		uint64_t from = n * w / c->workers, to = n * (w + 1) / c->workers;
		struct hb_order o = {.type = HB_ORDER_STOCK,
			.slot = slot,
			.range = {range.first + (uint32_t)from, (uint32_t)(to - from)}};

		if (to > from)
			control_order(c, w, &o);
	}
}

/* Takes in what workers gave up, or could not take. There is always room in the depot: that was
 * made before the order went out. */
static void
take_offers(struct hb_control *c)
{
	struct hb_offer o;

	for (unsigned w = 0; w < c->workers; w++) {
		while (rte_ring_sc_dequeue_elem(c->links[w]->offers, &o, sizeof(o)) == 0) {
			struct hb_ledger *l = &c->ledger[o.slot];

			c->orders_out[w]--;
			l->orders_out--;
			if (o.range.count == 0)
				continue;
			depot_add(l, o.range);
			l->whole = false;
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

	if (l->orders_out > 0 || l->returning || (dry = find_dry(c, slot)) < 0)
		return;
	if (l->depot_ranges > 0) {
		if (!control_order_room(c, (unsigned)dry, 1))
			return;
		c->dry_seen[slot][dry] = hb_read(&c->links[dry]->books[slot].dry);
		control_order(c, (unsigned)dry,
			&(struct hb_order){.type = HB_ORDER_STOCK,
				.slot = slot,
				.range = l->depot[--l->depot_ranges]});
		hb_count(&l->moves, 1);
		return;
	}
	unsigned from = richest(c, slot, &stock);
	if (stock == 0 || !control_order_room(c, from, 1) || control_depot_reserve(l, 1) != 0)
		return;
	control_order(c, from,
		&(struct hb_order){.type = HB_ORDER_GIVE_UP,
			.slot = slot,
			.range = {.count = share_of(c, slot, from, stock)}});
}

/* Says whether a campaign is drained, where that isn't said yet. Returns whether nobody there needs
 * anything from others. */
static bool
at_rest(struct hb_control *c, unsigned slot)
{
	const struct hb_ledger *l = &c->ledger[slot];

	/* What was on its way to the workers is with them, or in the depot. */
	if (c->drained[slot] == HB_DRAINED_COMING && l->orders_out == 0)
		__atomic_store_n(&c->drained[slot], HB_DRAINED_NOT, __ATOMIC_RELEASE);
	/* A lone worker that was dealt everything needs nobody to tell it. */
	if (c->drained[slot] == HB_DRAINED_ALL || l->whole || !control_has_campaign(c, slot))
		return true;
	/* What was journalled only grows, and nothing of it can be taken back. */
	if (l->journalled + l->returned != l->funded)
		return false;
	/* Other hosts may have some. */
	if (l->leased && !l->done)
		return true;
	__atomic_store_n(&c->drained[slot], HB_DRAINED_ALL, __ATOMIC_RELEASE);
	return true;
}

/* Looks at some campaigns a turn, so that many of them don't hold up the journal. */
void
control_level(struct hb_control *c)
{
	unsigned looks = c->slots_used < LEVEL_SLOTS ? c->slots_used : LEVEL_SLOTS;

	take_offers(c);
	for (; looks > 0; looks--) {
		unsigned slot = c->level_slot;

		c->level_slot = slot + 1 >= c->slots_used ? 0 : slot + 1;
		if (!at_rest(c, slot) && !c->closing)
			level_one(c, slot);
	}
}
