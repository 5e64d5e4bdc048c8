/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_internal.h"

#include <errno.h>
#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- into the journal ---------------------------------------------------------------- */

struct hb_record *
control_room(struct hb_control *c, unsigned n)
{
	unsigned most;
	struct hb_record *room = hb_journal_room(c->journal, &most);

	if (c->waiting + n > most && control_commit(c, 0) != 0)
		return NULL;
	return room + c->waiting;
}

int
control_say_disk(const struct hb_control *c, const char *what, int err, struct hb_error *e)
{
	if (c->journal->failed)
		return hb_fail(e, EIO,
			"journal: cannot write %s: the disk failed; mend it and start again, which "
			"tells whether it got there",
			what);
	return hb_fail(e, -err,
		"journal: cannot write %s: %s; look at the disk, and try again when there is room",
		what, strerror(-err));
}

int
control_enter(struct hb_control *c, unsigned n, const char *what, struct hb_error *e)
{
	int err = control_commit(c, n);

	return err == 0 ? 0 : control_say_disk(c, what, err, e);
}

/* Enters a funding as one batch, so that a crash leaves all of it or nothing. */
static int
enter_funding(struct hb_control *c, uint16_t campaign, const struct hb_lease *lease,
	const struct hb_terms *t, uint32_t wins_per_user, uint64_t time_us, struct hb_error *e)
{
	struct hb_record *room = control_room(c, HB_FUND_RECORDS_MAX);
	char what[48];

	snprintf(what, sizeof(what), "the funding of campaign %u", campaign);
	if (room == NULL)
		return control_say_disk(c, what, c->disk_error, e);
	return control_enter(
		c, hb_lease_encode(room, campaign, lease, t, wins_per_user, time_us), what, e);
}

int
hb_control_enter_seed(struct hb_control *c, uint64_t seed, uint64_t time_us, struct hb_error *e)
{
	const char *what = "the seed of its draws";
	struct hb_record *room = control_room(c, 1);

	if (room == NULL)
		return control_say_disk(c, what, c->disk_error, e);
	*room = (struct hb_record){.type = HB_RECORD_SEED, .id = seed, .time_us = time_us};
	return control_enter(c, 1, what, e);
}

/* ---- into the ledger ----------------------------------------------------------------- */

void
hb_control_funded(struct hb_control *c, unsigned slot, const struct hb_fund *f)
{
	struct hb_ledger *l = &c->ledger[slot];

	__atomic_store_n(&l->campaign, f->campaign, __ATOMIC_RELAXED);
	l->wins_per_user = f->wins_per_user;
	hb_count(&l->funded_fen, f->terms.total);
	hb_count(&l->funded, f->terms.count);
	c->slot_of[f->campaign] = (uint16_t)(slot + 1);
	if (c->slots_used <= slot)
		c->slots_used = slot + 1;
}

void
hb_control_foreign(struct hb_control *c, uint16_t campaign)
{
	c->foreign[campaign] = 1;
}

/* Whether the terms make sense and the envelopes are theirs. */
static int
check_envelopes(const struct hb_terms *t, const struct hb_envelopes *v, uint16_t campaign,
	struct hb_error *e)
{
	struct hb_error why;

	if (hb_terms_check(t, &why) != 0)
		return hb_fail(e, EINVAL, "campaign %u: %s", campaign, why.text);
	if (v->count == t->count && v->fen == t->total)
		return 0;
	return hb_fail(e, EINVAL,
		"campaign %u: %u envelopes of %llu fen were made, not %u of %llu; make them of the "
		"same terms",
		campaign, v->count, (unsigned long long)v->fen, t->count,
		(unsigned long long)t->total);
}

/* Whether a campaign may become so much larger. */
static int
check_size(const struct hb_ledger *l, const struct hb_terms *t, struct hb_error *e)
{
	if (l->top_ups == HB_TRANCHES_MAX)
		return hb_fail(e, ERANGE,
			"campaign %u: it was topped up %u times, which is the most; add a campaign "
			"instead",
			l->campaign, HB_TRANCHES_MAX);
	uint64_t most = (l->leased ? HB_MOVED_FIRST - 1 : HB_COUNT_MAX) - l->funded;
	if (t->count > most)
		return hb_fail(e, ERANGE,
			"campaign %u: %u envelopes more than its %llu are too many; top up with at "
			"most %llu",
			l->campaign, t->count, (unsigned long long)l->funded,
			(unsigned long long)most);
	if (t->total > HB_TOTAL_MAX - l->funded_fen)
		return hb_fail(e, ERANGE,
			"campaign %u: %llu fen more than its %llu are too much; top up with at "
			"most "
			"%llu",
			l->campaign, (unsigned long long)t->total,
			(unsigned long long)l->funded_fen,
			(unsigned long long)(HB_TOTAL_MAX - l->funded_fen));
	return 0;
}

static int
reserve_tranche(struct hb_ledger *l, struct hb_error *e)
{
	if (l->tranches == NULL)
		l->tranches = calloc(1, sizeof(*l->tranches));
	return l->tranches != NULL
		       ? 0
		       : hb_fail(e, ENOMEM, "no memory to top up campaign %u", l->campaign);
}

static void
append_tranche(struct hb_ledger *l, const struct hb_lease *lease, const struct hb_terms *t,
	uint32_t wins_per_user, struct hb_envelopes *v)
{
	uint32_t first = (uint32_t)l->funded + 1;

	hb_tranches_add(
		l->tranches, first, lease->block != 0 ? lease->first : first, v, t, lease->block);
	l->wins_per_user = wins_per_user;
	hb_count(&l->top_ups, 1);
	hb_count(&l->funded_fen, v->fen);
	hb_count(&l->funded, v->count);
	*v = (struct hb_envelopes){0};
}

/* Whether a funding is what the campaign takes: blocks or top-ups, and no number twice. */
static int
check_lease(
	const struct hb_ledger *l, const struct hb_lease *lease, uint32_t count, struct hb_error *e)
{
	if (l->leased != (lease->block != 0))
		return hb_fail(e, EINVAL,
			l->leased ? "campaign %u: its budget is shared by many hosts; add to that "
				    "in the database"
				  : "campaign %u: has a budget of its own; top it up",
			l->campaign);
	if (!l->leased || (lease->first != 0 && count - 1 <= UINT32_MAX - lease->first &&
				  (l->tranches == NULL ||
					  hb_tranches_apart(l->tranches, lease->first, count))))
		return 0;
	return hb_fail(e, EEXIST,
		"campaign %u: block %u: envelopes %u to %llu: there are such numbers here already",
		l->campaign, lease->block, lease->first,
		(unsigned long long)lease->first + count - 1);
}

int
hb_control_topped(struct hb_control *c, unsigned slot, const struct hb_fund *f,
	struct hb_envelopes *v, struct hb_error *e)
{
	struct hb_ledger *l = &c->ledger[slot];
	const struct hb_terms *t = &f->terms;
	int err;

	if ((err = check_size(l, t, e)) != 0 ||
		(err = check_lease(l, &f->lease, t->count, e)) != 0 ||
		(err = reserve_tranche(l, e)) != 0)
		return err;
	append_tranche(l, &f->lease, t, f->wins_per_user, v);
	return 0;
}

/* ---- before the workers start --------------------------------------------------------- */

int
hb_control_fund(struct hb_control *c, unsigned slot, uint16_t campaign, const struct hb_terms *t,
	uint32_t wins_per_user, uint64_t time_us, struct hb_error *e)
{
	struct hb_fund fund = {.campaign = campaign, .terms = *t, .wins_per_user = wins_per_user};
	int err = enter_funding(c, campaign, &(struct hb_lease){0}, t, wins_per_user, time_us, e);

	if (err == 0)
		hb_control_funded(c, slot, &fund);
	return err;
}

/* ---- while the workers run ------------------------------------------------------------ */

int
control_check_disk(const struct hb_control *c, const char *what, struct hb_error *e)
{
	if (c->closing)
		return hb_fail(
			e, EBUSY, "journal: cannot write %s: hongbaod is about to end", what);
	return c->disk_error == 0 ? 0 : control_say_disk(c, what, c->disk_error, e);
}

/* Whether each worker can be told where envelopes are and be sent some, and send them back. */
static int
check_workers(
	const struct hb_control *c, struct hb_ledger *l, uint16_t campaign, struct hb_error *e)
{
	for (unsigned w = 0; w < c->workers; w++) {
		if (!control_order_room(c, w, 2))
			return hb_fail(e, EAGAIN,
				"campaign %u: worker %u has not carried out its last orders; try "
				"again",
				campaign, w);
	}
	return control_depot_reserve(l, c->workers) == 0
		       ? 0
		       : hb_fail(e, ENOMEM, "no memory for the envelopes of campaign %u", campaign);
}

static void
order_all(struct hb_control *c, const struct hb_order *o)
{
	for (unsigned w = 0; w < c->workers; w++)
		control_order(c, w, o);
}

/* Nobody says EMPTY any more by the time that anybody can have one of the new envelopes. */
static void
send_out(struct hb_control *c, unsigned slot, const struct hb_order *where, struct hb_range range)
{
	__atomic_store_n(&c->drained[slot], HB_DRAINED_COMING, __ATOMIC_SEQ_CST);
	order_all(c, where);
	control_deal_out(c, slot, range);
}

static int
check_new(const struct hb_control *c, unsigned slot, uint16_t campaign, struct hb_error *e)
{
	if (slot >= c->campaigns || control_has_campaign(c, slot))
		return hb_fail(e, EEXIST,
			"campaign %u: there is no free place %u among %u for it; write a larger "
			"campaign_room and start again",
			campaign, slot, c->campaigns);
	if (campaign == 0 || c->slot_of[campaign] != 0)
		return hb_fail(
			e, EEXIST, "campaign %u: is there already; take another id", campaign);
	if (c->foreign[campaign])
		return hb_fail(e, EEXIST,
			"campaign %u: the journal has it from an earlier run; write it into the "
			"configuration and start again, or take another id",
			campaign);
	return 0;
}

int
hb_control_may_add(const struct hb_control *c, unsigned slot, uint16_t campaign, struct hb_error *e)
{
	int err = check_new(c, slot, campaign, e);

	return err != 0 ? err : control_check_disk(c, "the funding of a new campaign", e);
}

/* Whether a campaign has had that block. */
static int
check_block_repeat(const struct hb_ledger *l, const struct hb_lease *lease,
	const struct hb_terms *t, struct hb_error *e)
{
	const struct hb_tranches *all = l->tranches;
	int i = all == NULL ? -1 : hb_tranches_block(all, lease->block);

	if (i < 0)
		return 0;
	if (all->first[i] + all->shift[i] == lease->first && all->of[i].count == t->count &&
		all->of[i].fen == t->total)
		return hb_fail(e, EALREADY, "campaign %u: block %u is here already", l->campaign,
			lease->block);
	return hb_fail(e, EEXIST,
		"campaign %u: block %u is here already, of %u envelopes and %llu fen; look into "
		"the database",
		l->campaign, lease->block, all->of[i].count, (unsigned long long)all->of[i].fen);
}

/* Whether a campaign has a top-up of that seed. */
static int
check_repeat(const struct hb_ledger *l, const struct hb_terms *t, struct hb_error *e)
{
	for (unsigned i = 0; l->tranches != NULL && i < l->tranches->count; i++) {
		const struct hb_envelopes *v = &l->tranches->of[i];

		if (l->tranches->seed[i] != t->seed)
			continue;
		if (v->count == t->count && v->fen == t->total)
			return hb_fail(e, EALREADY, "campaign %u: that top-up was made already",
				l->campaign);
		return hb_fail(e, EEXIST,
			"campaign %u: a top-up with that token was made already, of %u envelopes "
			"and %llu fen; take another token",
			l->campaign, v->count, (unsigned long long)v->fen);
	}
	return 0;
}

int
hb_control_may_take_block(const struct hb_control *c, unsigned slot, const struct hb_lease *lease,
	const struct hb_terms *t, struct hb_error *e)
{
	int err;

	if (slot >= c->campaigns || !control_has_campaign(c, slot))
		return hb_fail(e, ENOENT, "there is no campaign in place %u to be topped up", slot);
	err = lease->block != 0 ? check_block_repeat(&c->ledger[slot], lease, t, e)
				: check_repeat(&c->ledger[slot], t, e);
	if (err != 0)
		return err;
	if ((err = check_size(&c->ledger[slot], t, e)) != 0)
		return err;
	if ((err = check_lease(&c->ledger[slot], lease, t->count, e)) != 0)
		return err;
	return control_check_disk(c, lease->block != 0 ? "a block" : "a top-up", e);
}

int
hb_control_may_top_up(
	const struct hb_control *c, unsigned slot, const struct hb_terms *t, struct hb_error *e)
{
	return hb_control_may_take_block(c, slot, &(struct hb_lease){0}, t, e);
}

int
hb_control_add(struct hb_control *c, unsigned slot, uint16_t campaign, const struct hb_terms *t,
	uint32_t wins_per_user, uint64_t time_us, struct hb_envelopes *v, struct hb_error *e)
{
	struct hb_ledger *l = &c->ledger[slot];
	int err;

	if ((err = hb_control_may_add(c, slot, campaign, e)) != 0 ||
		(err = check_envelopes(t, v, campaign, e)) != 0 ||
		(err = check_workers(c, l, campaign, e)) != 0 ||
		(err = hb_control_fund(c, slot, campaign, t, wins_per_user, time_us, e)) != 0)
		return err;
	l->own = *v;
	*v = (struct hb_envelopes){0};
	send_out(c, slot,
		&(struct hb_order){.type = HB_ORDER_BIND, .slot = slot, .envelopes = &l->own},
		(struct hb_range){1, t->count});
	return 0;
}

int
hb_control_take_block(struct hb_control *c, unsigned slot, const struct hb_lease *lease,
	const struct hb_terms *t, uint64_t time_us, struct hb_envelopes *v, struct hb_error *e)
{
	struct hb_ledger *l = &c->ledger[slot];
	int err;

	if ((err = hb_control_may_take_block(c, slot, lease, t, e)) != 0 ||
		(err = check_envelopes(t, v, l->campaign, e)) != 0 ||
		(err = check_workers(c, l, l->campaign, e)) != 0 ||
		(err = reserve_tranche(l, e)) != 0 ||
		(err = enter_funding(c, l->campaign, lease, t, l->wins_per_user, time_us, e)) != 0)
		return err;
	struct hb_range range = {(uint32_t)l->funded + 1, t->count};
	append_tranche(l, lease, t, l->wins_per_user, v);
	__atomic_store_n(&l->done, false, __ATOMIC_RELAXED);
	send_out(c, slot,
		&(struct hb_order){.type = HB_ORDER_TRANCHE,
			.slot = slot,
			.range = {.count = l->tranches->count},
			.tranches = l->tranches},
		range);
	return 0;
}

int
hb_control_top_up(struct hb_control *c, unsigned slot, const struct hb_terms *t, uint64_t time_us,
	struct hb_envelopes *v, struct hb_error *e)
{
	return hb_control_take_block(c, slot, &(struct hb_lease){0}, t, time_us, v, e);
}

int
hb_control_quota(struct hb_control *c, unsigned slot, uint32_t wins_per_user, uint64_t time_us,
	struct hb_error *e)
{
	struct hb_ledger *l = &c->ledger[slot];
	const char *what = "what a campaign gives one user";
	struct hb_record *room;
	int err;

	if (slot >= c->campaigns || !control_has_campaign(c, slot))
		return hb_fail(e, ENOENT, "there is no campaign in place %u", slot);
	/* The first block says it. */
	if (l->funded == 0)
		l->wins_per_user = wins_per_user;
	if (l->wins_per_user == wins_per_user)
		return 0;
	if ((err = control_check_disk(c, what, e)) != 0)
		return err;
	if ((room = control_room(c, 1)) == NULL)
		return control_say_disk(c, what, c->disk_error, e);
	*room = (struct hb_record){.type = HB_RECORD_QUOTA,
		.campaign = l->campaign,
		.aux = wins_per_user,
		.time_us = time_us};
	if ((err = control_enter(c, 1, what, e)) == 0)
		l->wins_per_user = wins_per_user;
	return err;
}
