/* SPDX-License-Identifier: BSD-3-Clause */
/* What a budget that many hosts share needs beside its blocks, which come as top-ups do (fund.c).
 */
#include "control_internal.h"

#include <errno.h>
#include <rte_ring.h>
#include <stdlib.h>

/* Records of one batch of what goes back, and envelopes whose fen are added up for it: well under a
 * millisecond. */
#define RETURN_RECORDS 256
#define RETURN_AT_ONCE (1u << 18)

void
hb_control_leased(struct hb_control *c, unsigned slot, uint16_t campaign)
{
	struct hb_ledger *l = &c->ledger[slot];

	__atomic_store_n(&l->campaign, campaign, __ATOMIC_RELAXED);
	__atomic_store_n(&l->leased, true, __ATOMIC_RELAXED);
	c->slot_of[campaign] = (uint16_t)(slot + 1);
	if (c->slots_used <= slot)
		c->slots_used = slot + 1;
}

void
hb_control_renew(struct hb_control *c, uint64_t until_ns)
{
	__atomic_store_n(&c->term.until_ns, until_ns, __ATOMIC_RELEASE);
}

static int
check_leased(const struct hb_control *c, unsigned slot, struct hb_error *e)
{
	if (slot < c->campaigns && c->ledger[slot].leased)
		return 0;
	return hb_fail(e, EINVAL,
		"the campaign in place %u has a budget of its own; write envelopes: { leased: true "
		"} for one that many hosts share",
		slot);
}

int
hb_control_done(struct hb_control *c, unsigned slot, bool done, struct hb_error *e)
{
	int err = check_leased(c, slot, e);

	if (err != 0)
		return err;
	__atomic_store_n(&c->ledger[slot].done, done, __ATOMIC_RELAXED);
	/* control_level() says that it is drained, once it is. */
	if (!done && c->drained[slot] == HB_DRAINED_ALL)
		__atomic_store_n(&c->drained[slot], HB_DRAINED_NOT, __ATOMIC_SEQ_CST);
	return 0;
}

/* ---- what goes back ------------------------------------------------------------------ */

static uint64_t
in_depot(const struct hb_ledger *l)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < l->depot_ranges; i++)
		n += l->depot[i].count;
	return n;
}

static uint64_t
in_stocks(const struct hb_control *c, unsigned slot)
{
	uint64_t n = 0;

	for (unsigned w = 0; w < c->workers; w++)
		n += hb_read(&c->links[w]->books[slot].stock);
	return n;
}

/* Asks each worker for its share of so many envelopes. Returns whether any was asked. */
static bool
call_in(struct hb_control *c, unsigned slot, uint64_t wanted)
{
	struct hb_ledger *l = &c->ledger[slot];
	uint64_t all = in_stocks(c, slot);
	bool asked = false;

	for (unsigned w = 0; w < c->workers && all > 0; w++) {
		uint64_t stock = hb_read(&c->links[w]->books[slot].stock);
		uint64_t share = wanted >= all ? stock : (stock * wanted + all - 1) / all;

		if (share == 0 || !control_order_room(c, w, 1) || control_depot_reserve(l, 1) != 0)
			continue;
		control_order(c, w,
			&(struct hb_order){.type = HB_ORDER_GIVE_UP,
				.slot = slot,
				.range = {.count = (uint32_t)share}});
		asked = true;
	}
	return asked;
}

/* Counts an amount among the tiers. There are no more amounts than a block can have tiers. */
static void
note_tier(struct hb_tier *tier, unsigned *tiers, uint32_t amount)
{
	unsigned i = 0;

	while (i < *tiers && tier[i].amount != amount)
		i++;
	if (i == *tiers)
		tier[(*tiers)++] = (struct hb_tier){.amount = amount};
	tier[i].count++;
}

/* Writes what goes back of a range: of one block, and not too much of it at once. Takes it out of
 * the range; returns how many records it took. */
static unsigned
cut_return(struct hb_record *out, const struct hb_ledger *l, struct hb_range *range, uint32_t most,
	uint64_t time_us)
{
	const struct hb_tranches *t = l->tranches;
	unsigned i = hb_tranches_find(t, t->count, range->first), tiers = 0;
	uint32_t offset = range->first - t->first[i], n = range->count;
	struct hb_tier tier[HB_TIERS_MAX];
	uint64_t fen = 0;

	n = n < most ? n : most;
	n = n < t->of[i].count - offset ? n : t->of[i].count - offset;
	for (uint32_t k = 0; k < n; k++) {
		fen += t->of[i].of[offset + k].amount;
		if (t->tiered[i])
			note_tier(tier, &tiers, t->of[i].of[offset + k].amount);
	}
	range->first += n;
	range->count -= n;
	out[0] = (struct hb_record){
		.type = HB_RECORD_RETURN,
		.campaign = l->campaign,
		.seq = n,
		.user = fen,
		.id = t->block[i],
		.amount = tiers,
		.aux = offset,
		.time_us = time_us,
	};
	for (unsigned k = 0; k < tiers; k++)
		out[1 + k] = (struct hb_record){
			.type = HB_RECORD_TIER,
			.op = (uint8_t)k,
			.campaign = l->campaign,
			.seq = tier[k].count,
			.amount = tier[k].amount,
			.time_us = time_us,
		};
	return 1 + tiers;
}

/* Enters what is in the depot, up to `wanted` envelopes; they are in no stock, so that nobody gives
 * them meanwhile. Returns how many went back, or -errno. */
static int64_t
enter_returns(
	struct hb_control *c, unsigned slot, uint64_t wanted, uint64_t time_us, struct hb_error *e)
{
	struct hb_ledger *l = &c->ledger[slot];
	unsigned ranges = l->depot_ranges, n = 0;
	struct hb_record *room = control_room(c, RETURN_RECORDS);
	struct hb_range last = {0};
	uint64_t count = 0, fen = 0, most = wanted < RETURN_AT_ONCE ? wanted : RETURN_AT_ONCE;
	int err;

	if (room == NULL)
		return control_say_disk(c, "what goes back", c->disk_error, e);
	while (n + HB_RETURN_RECORDS_MAX <= RETURN_RECORDS && count < most &&
		(last.count > 0 || ranges > 0)) {
		if (last.count == 0)
			last = l->depot[--ranges];
		unsigned wrote = cut_return(room + n, l, &last, (uint32_t)(most - count), time_us);
		count += room[n].seq;
		fen += room[n].user;
		n += wrote;
	}
	if ((err = control_enter(c, n, "what goes back", e)) != 0)
		return err;
	l->depot_ranges = ranges;
	if (last.count > 0)
		l->depot[l->depot_ranges++] = last;
	hb_count(&l->returned, count);
	hb_count(&l->returned_fen, fen);
	return (int64_t)count;
}

/* One step. Returns 0 when it is over. */
static int
return_some(struct hb_control *c, unsigned slot, struct hb_returning *r, uint64_t time_us,
	struct hb_error *e)
{
	struct hb_ledger *l = &c->ledger[slot];
	uint64_t wanted = r->asked - r->returned, here;
	int64_t n;

	if (l->orders_out > 0)
		return -EAGAIN;
	here = in_depot(l);
	if (here < wanted && call_in(c, slot, wanted - here))
		return -EAGAIN;
	if (here == 0 || wanted == 0)
		return here < wanted && in_stocks(c, slot) > 0 ? -EAGAIN : 0;
	if ((n = enter_returns(c, slot, wanted, time_us, e)) < 0)
		return (int)n;
	r->returned += (uint64_t)n;
	return r->returned < r->asked ? -EAGAIN : 0;
}

int
hb_control_return(struct hb_control *c, unsigned slot, struct hb_returning *r, uint64_t time_us,
	struct hb_error *e)
{
	struct hb_ledger *l = &c->ledger[slot];
	int err;

	if ((err = check_leased(c, slot, e)) != 0)
		return err;
	if (l->returning && !r->begun)
		return hb_fail(e, EBUSY, "campaign %u: something goes back already; try again",
			l->campaign);
	r->begun = l->returning = true;
	if ((err = control_check_disk(c, "what goes back", e)) == 0)
		err = return_some(c, slot, r, time_us, e);
	l->returning = err == -EAGAIN;
	return err == -EAGAIN ? hb_fail(e, EAGAIN, "campaign %u: the workers are not done yet",
					l->campaign)
			      : err;
}

void
hb_control_return_over(struct hb_control *c, unsigned slot)
{
	c->ledger[slot].returning = false;
}

/* ---- users from other hosts ---------------------------------------------------------- */

static struct hb_record
row_record(uint16_t campaign, const struct hb_row *row)
{
	return (struct hb_record){
		.type = HB_RECORD_ROW,
		.op = row->outcome,
		.campaign = campaign,
		.seq = row->seq,
		.user = row->user,
		.id = row->id,
		.amount = row->amount,
		.aux = row->wins,
		.time_us = row->won_us,
	};
}

uint32_t
control_add_row(struct hb_moved *m, const struct hb_record *r)
{
	struct hb_moved_win *win = hb_moved_room(m, 0);

	*win = (struct hb_moved_win){
		.envelope = {.amount = r->amount, .asked_ms = (uint32_t)(r->time_us / 1000)},
		.wins = r->aux,
		.id = r->id,
		.user = r->user,
		.seq = r->seq,
		.outcome = r->op,
	};
	return HB_MOVED_FIRST + m->count++;
}

bool
control_row_fits(const struct hb_record *r)
{
	return r->user != 0 && r->seq != 0 && r->aux != 0 && r->aux <= HB_USER_WINS_MAX &&
	       r->amount != 0 && (r->op == HB_OUTCOME_WIN || r->op == HB_OUTCOME_BUNDLE);
}

int
control_reserve_rows(struct hb_ledger *l, unsigned n, struct hb_error *e)
{
	if (l->moved == NULL)
		l->moved = calloc(1, sizeof(*l->moved));
	if (l->moved != NULL && (n == 0 || (hb_moved_room(l->moved, 0) != NULL &&
						   hb_moved_room(l->moved, n - 1) != NULL)))
		return 0;
	return hb_fail(e, ENOMEM, "campaign %u: no memory for users from other hosts", l->campaign);
}

/* Whether everything that they need is there. */
static int
check_rows(struct hb_control *c, unsigned slot, const struct hb_row *row, unsigned n,
	struct hb_error *e)
{
	struct hb_ledger *l = &c->ledger[slot];
	int err;

	if ((err = check_leased(c, slot, e)) != 0)
		return err;
	for (unsigned i = 0; i < n; i++) {
		struct hb_record r = row_record(l->campaign, &row[i]);

		/* Of a bundle the user was told the packet's id. */
		if (!control_row_fits(&r) ||
			(row[i].outcome == HB_OUTCOME_WIN && row[i].id >> 32 != l->campaign))
			return hb_fail(e, EINVAL, "campaign %u: user %llu: no such win",
				l->campaign, (unsigned long long)row[i].user);
	}
	if (n > HB_ROWS_MAX)
		return hb_fail(e, EINVAL,
			"campaign %u: %u users are too many at once; send at most "
			"%u",
			l->campaign, n, HB_ROWS_MAX);
	for (unsigned w = 0; w < c->workers; w++) {
		if (rte_ring_free_count(c->links[w]->orders) < n)
			return hb_fail(e, EAGAIN,
				"campaign %u: worker %u has not carried out its last orders; try "
				"again",
				l->campaign, w);
	}
	if ((err = control_reserve_rows(l, n, e)) != 0)
		return err;
	return control_check_disk(c, "users from other hosts", e);
}

int
hb_control_rows(struct hb_control *c, unsigned slot, const struct hb_row *row, unsigned n,
	struct hb_error *e)
{
	const char *what = "users from other hosts";
	struct hb_ledger *l = &c->ledger[slot];
	struct hb_record *room, record[HB_ROWS_MAX];
	int err;

	if ((err = check_rows(c, slot, row, n, e)) != 0 || n == 0)
		return err;
	for (unsigned i = 0; i < n; i++)
		record[i] = row_record(l->campaign, &row[i]);
	if ((room = control_room(c, n)) == NULL)
		return control_say_disk(c, what, c->disk_error, e);
	memcpy(room, record, n * sizeof(*room));
	if ((err = control_enter(c, n, what, e)) != 0)
		return err;
	for (unsigned i = 0; i < n; i++) {
		unsigned owner = hb_owner(hb_lane(hb_shard(row[i].user)), c->workers);

		control_order(c, owner,
			&(struct hb_order){.type = HB_ORDER_ROW,
				.slot = slot,
				.range = {control_add_row(l->moved, &record[i]), l->campaign},
				.moved = l->moved});
	}
	hb_count(&l->rows, n);
	return 0;
}

void
hb_control_rows_left(const struct hb_control *c, unsigned slot, uint32_t n, uint32_t *underway,
	uint32_t *refused)
{
	const struct hb_moved *m = c->ledger[slot].moved;

	*underway = *refused = 0;
	for (uint32_t i = m == NULL || m->count < n ? 0 : m->count - n; m != NULL && i < m->count;
		i++) {
		const struct hb_moved_win *win = hb_moved_win(m, HB_MOVED_FIRST + i);
		uint8_t taken = __atomic_load_n(&win->taken, __ATOMIC_ACQUIRE);

		*underway += taken == HB_MOVED_UNDERWAY;
		*refused += taken == HB_MOVED_REFUSED;
	}
}
