/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim.h"

#include <errno.h>

#define SECOND_US 1000000ull

/* Whose clock hb_term has: there is one world at a time. */
static const struct world *clock_of;

uint64_t
lease_clock(void)
{
	return clock_of->now_us * 1000;
}

/* ---- the database -------------------------------------------------------------------- */

static void
add_block(struct world *w, unsigned c, const struct hb_terms *t)
{
	struct bank *b = &w->bank[c];

	if (b->blocks == SIM_FUNDINGS)
		sim_fail(w, "campaign %u has no room for a block", w->campaign[c].id);
	b->block[b->blocks++] = (struct sim_block){
		.lease = {.block = b->blocks + 1, .first = b->next_number},
		.terms = *t,
	};
	b->block[b->blocks - 1].lease.block = b->blocks;
	b->next_number += t->count;
	b->issued += t->count;
}

/* Its numbers on the wire begin anywhere, and aren't those that the host has for itself. */
void
lease_make(struct world *w, unsigned c)
{
	struct bank *b = &w->bank[c];
	struct hb_terms t;

	clock_of = w;
	*b = (struct bank){.next_number = (uint32_t)between(&w->chance, 1, 1000)};
	w->campaign[c].leased = true;
	w->campaign[c].terms = (struct hb_terms){0};
	for (unsigned i = (unsigned)between(&w->chance, 1, 6); i > 0; i--) {
		make_terms(w, &t, 30);
		t.seed = hb_splitmix64(&w->chance.state);
		add_block(w, c, &t);
		b->budget += t.count;
		b->fen += t.total;
	}
}

uint32_t
lease_left(const struct world *w, unsigned c)
{
	const struct bank *b = &w->bank[c];
	uint32_t n = 0;

	for (unsigned i = 0; i < b->blocks; i++)
		n += b->block[i].state == SIM_BLOCK_THERE ? 0 : b->block[i].terms.count;
	return n;
}

void
lease_returned(struct world *w, unsigned c, unsigned nth, const struct hb_record *r)
{
	struct bank *b = &w->bank[c];
	struct hb_terms t = {.count = r->seq, .total = r->user, .split = HB_SPLIT_LUCKY};
	struct hb_error e;

	if (nth < b->booked)
		return;
	b->booked++;
	if (r->amount > 0)
		t.split = HB_SPLIT_TIERS;
	for (unsigned i = 1; i <= r->amount; i++)
		t.tier[t.tiers++] = (struct hb_tier){.count = r[i].seq, .amount = r[i].amount};
	if (hb_terms_check(&t, &e) != 0)
		sim_fail(w, "campaign %u: what goes back is no block: %s", w->campaign[c].id,
			e.text);
	t.seed = hb_splitmix64(&w->chance.state);
	add_block(w, c, &t);
	w->totals->returned += t.count;
}

/* ---- whoever brings blocks ------------------------------------------------------------ */

/* Any block, but in the end one that isn't there. */
static struct sim_block *
pick(struct world *w, unsigned c)
{
	struct bank *b = &w->bank[c];
	unsigned i = 0;

	if (!w->calm && once_in(&w->chance, 4))
		return &b->block[below(&w->chance, b->blocks)];
	while (i + 1 < b->blocks && b->block[i].state == SIM_BLOCK_THERE)
		i++;
	return &b->block[i];
}

/* Brings one of the blocks, sometimes one that is there already. */
static void
bring(struct world *w, unsigned c)
{
	struct sim_block *k = pick(w, c);
	const struct oracle *o = &w->oracle;
	bool failed = w->server.journal.failed, there = oracle_has_block(w, c, k->lease.block);
	struct hb_envelopes v;
	struct hb_error e;

	if (o->parts[c] > 0 && !o->part[c][o->parts[c] - 1].valid)
		return;
	if (o->count[c] + k->terms.count > SIM_NUMBERS ||
		hb_envelopes_make(&v, &k->terms, "block", &e) != 0)
		sim_fail(w, "campaign %u: no room for a block", w->campaign[c].id);
	if (k->state == SIM_BLOCK_FREE)
		k->state = SIM_BLOCK_LEASED;
	change_worry(w);
	if (!there)
		oracle_leasing(w, c, &k->lease, &k->terms);
	int err = hb_control_take_block(
		&w->server.control, c, &k->lease, &k->terms, w->now_us, &v, &e);
	bool unsure = change_in_the_dark(w, err, failed);
	hb_envelopes_free(&v);
	SIM_SAY(w, "campaign %u: block %u of %u envelopes: %s", w->campaign[c].id, k->lease.block,
		k->terms.count, err == 0 ? "done" : e.text);
	if (there) {
		if (err != -EALREADY)
			sim_fail(w, "campaign %u: block %u comes again: %d", w->campaign[c].id,
				k->lease.block, err);
		k->state = SIM_BLOCK_THERE;
		w->totals->again++;
		return;
	}
	if (err == -EALREADY)
		sim_fail(w, "campaign %u: block %u is there, and nobody knows", w->campaign[c].id,
			k->lease.block);
	oracle_funded(w, c, err, unsure);
	if (err == 0 && !unsure)
		k->state = SIM_BLOCK_THERE;
	w->totals->leased += err == 0 && !unsure;
}

static void
renew(struct world *w)
{
	w->term_us =
		once_in(&w->chance, 4) ? w->now_us : w->now_us + below(&w->chance, 2 * SECOND_US);
	hb_control_renew(&w->server.control, w->term_us * 1000);
	SIM_SAY(w, "the term is renewed for %llu us", (unsigned long long)(w->term_us - w->now_us));
}

/* As the database answers, which counts what is durably given. */
static void
say_done(struct world *w, unsigned c)
{
	bool done = lease_left(w, c) == 0 && w->oracle.left[c] == 0 && !w->returns;
	struct hb_error e;

	if (hb_control_done(&w->server.control, c, done, &e) != 0)
		sim_fail(w, "%s", e.text);
}

static void
begin_return(struct world *w, unsigned c)
{
	const struct bank *b = &w->bank[c];

	/* Each stretch that goes back becomes a block, with numbers here of its own. */
	if (w->returns || b->blocks + 30 > SIM_FUNDINGS || b->issued + b->budget > SIM_NUMBERS)
		return;
	w->returns = true;
	w->returning_of = c;
	w->returning = (struct hb_returning){
		.asked = once_in(&w->chance, 3) ? SIM_NUMBERS : between(&w->chance, 1, 20)};
	change_worry(w);
}

void
lease_step(struct world *w)
{
	struct hb_error e;
	int err;

	if (!w->returns)
		return;
	err = hb_control_return(&w->server.control, w->returning_of, &w->returning, w->now_us, &e);
	if (err == -EAGAIN && !once_in(&w->chance, 50))
		return;
	SIM_SAY(w, "campaign %u: %llu envelopes went back: %s", w->campaign[w->returning_of].id,
		(unsigned long long)w->returning.returned, err == 0 ? "done" : e.text);
	hb_control_return_over(&w->server.control, w->returning_of);
	w->returns = false;
}

void
lease_gone(struct world *w)
{
	w->returns = false;
	w->term_us = 0;
}

void
lease_something(struct world *w, unsigned c)
{
	switch (below(&w->chance, 8)) {
	case 0:
	case 1:
	case 2:
		bring(w, c);
		break;
	case 3:
	case 4:
		begin_return(w, c);
		break;
	case 5:
		say_done(w, c);
		break;
	default:
		renew(w);
		break;
	}
}

void
lease_calm(struct world *w)
{
	w->term_us = UINT64_MAX / 1000;
	hb_control_renew(&w->server.control, UINT64_MAX);
	for (unsigned c = 0; c < w->config.campaigns; c++) {
		if (!w->campaign[c].leased)
			continue;
		if (lease_left(w, c) > 0)
			bring(w, c);
		say_done(w, c);
	}
}
