/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_internal.h"

#include <errno.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdlib.h>

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
		.wall_clock = t->wall_clock,
	};
	c->term.now_ns = t->term_ns != NULL ? t->term_ns : hb_boot_ns;
	for (unsigned w = 0; w < t->workers; w++)
		c->links[w]->term = &c->term;
	c->ledger = calloc(t->campaigns, sizeof(*c->ledger));
	c->dry_seen = calloc(t->campaigns, sizeof(*c->dry_seen));
	c->asked = calloc(t->campaigns, sizeof(*c->asked));
	c->slot_of = calloc(65536, sizeof(*c->slot_of));
	c->foreign = calloc(65536, sizeof(*c->foreign));
	c->flush_ns = calloc(2, sizeof(*c->flush_ns));
	c->durable_us = c->flush_ns + 1;
	if (c->ledger != NULL && c->dry_seen != NULL && c->asked != NULL && c->slot_of != NULL &&
		c->foreign != NULL && c->flush_ns != NULL)
		return 0;
	hb_control_free(c);
	return hb_fail(e, ENOMEM, "no memory for the books of %u campaigns", t->campaigns);
}

static void
free_ledger(struct hb_ledger *l)
{
	for (unsigned i = 0; l->tranches != NULL && i < l->tranches->count; i++)
		hb_envelopes_free(&l->tranches->of[i]);
	free(l->tranches);
	hb_moved_free(l->moved);
	hb_envelopes_free(&l->own);
	free(l->depot);
}

void
hb_control_free(struct hb_control *c)
{
	for (unsigned slot = 0; c->ledger != NULL && slot < c->campaigns; slot++)
		free_ledger(&c->ledger[slot]);
	free(c->ledger);
	free(c->dry_seen);
	free(c->asked);
	free(c->slot_of);
	free(c->foreign);
	free(c->flush_ns);
	*c = (struct hb_control){0};
}

/* ---- settlements into the journal ---------------------------------------------------- */

static void
set_waiting(struct hb_control *c, unsigned n)
{
	__atomic_store_n(&c->waiting, n, __ATOMIC_RELAXED);
}

/* A WIN that was made a packet and the PACK of that packet go into one batch: they came into the
 * ring together. */
static void
keep_together(struct hb_control *c, unsigned worker, struct hb_record *room)
{
	const struct hb_record *last = room + c->waiting - 1;

	if (c->waiting == 0 || last->type != HB_RECORD_WIN || last->aux != HB_WIN_BUNDLE)
		return;
	unsigned n = rte_ring_sc_dequeue_burst_elem(
		c->links[worker]->records, room + c->waiting, sizeof(*room), 1, NULL);

	c->share[worker] += n;
	set_waiting(c, c->waiting + n);
}

/* Takes what the workers have, behind what already waits in the journal's room. */
static void
drain_rings(struct hb_control *c)
{
	unsigned most;
	struct hb_record *room = hb_journal_room(c->journal, &most);

	/* Another worker comes first each time: a batch may not hold what all of them have. */
	c->first_worker = (c->first_worker + 1) % c->workers;
	/* One place is for the second half of a bundle. */
	for (unsigned i = 0; i < c->workers && c->waiting + 1 < most; i++) {
		unsigned w = (c->first_worker + i) % c->workers;
		unsigned n = rte_ring_sc_dequeue_burst_elem(c->links[w]->records, room + c->waiting,
			sizeof(*room), most - 1 - c->waiting, NULL);

		c->share[w] += n;
		set_waiting(c, c->waiting + n);
		keep_together(c, w, room);
	}
	if (c->waiting > 0 && c->waiting_since_ns == 0)
		c->waiting_since_ns = c->now_ns;
}

void
control_enter_record(struct hb_control *c, const struct hb_record *r)
{
	struct hb_packet_ledger *p = &c->packets;
	/* NULL: a packet of no campaign, or of one that isn't configured any more. */
	struct hb_ledger *l =
		c->slot_of[r->campaign] == 0 ? NULL : &c->ledger[c->slot_of[r->campaign] - 1];

	switch (r->type) {
	case HB_RECORD_WIN:
		hb_count(&l->journalled, 1);
		hb_count(&l->journalled_fen, r->amount);
		break;
	case HB_RECORD_PACK:
		hb_count(&p->packed, 1);
		hb_count(&p->packed_fen, r->amount);
		if (l != NULL) {
			hb_count(&l->bundled, 1);
			hb_count(&l->bundled_fen, r->amount);
		}
		break;
	case HB_RECORD_GRAB:
		hb_count(&p->taken, 1);
		hb_count(&p->taken_fen, r->amount);
		break;
	case HB_RECORD_REFUND:
		hb_count(&p->refunded, 1);
		hb_count(&p->refunded_fen, r->amount);
		if (l != NULL)
			hb_count(&l->refunded_fen, r->amount);
		break;
	}
}

/* Only now may the workers tell of them. */
static void
publish(struct hb_control *c, const struct hb_record *r, unsigned n)
{
	uint64_t now_us = c->wall_clock && n > 0 ? hb_wall_us() : 0;

	for (unsigned i = 0; i < n; i++) {
		control_enter_record(c, &r[i]);
		if (c->wall_clock && r[i].type != HB_RECORD_REFUND)
			hb_histogram_add(
				c->durable_us, now_us > r[i].time_us ? now_us - r[i].time_us : 0);
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

/* The disk's state, and what follows from it. A full disk that keeps no win waiting stops none. */
static void
note_disk(struct hb_control *c, int err)
{
	if (err == -ENOSPC && c->waiting == 0)
		return;
	if (err != c->disk_error)
		set_giving(c, err == 0);
	__atomic_store_n(&c->disk_error, err, __ATOMIC_RELAXED);
	if (err != 0)
		c->retry_ns = c->now_ns + RETRY_NS;
}

int
control_commit(struct hb_control *c, unsigned more)
{
	unsigned most, n = c->waiting;
	int err = hb_journal_commit(c->journal, n + more);

	note_disk(c, err);
	if (err != 0)
		return err;
	publish(c, hb_journal_room(c->journal, &most), n);
	set_waiting(c, 0);
	c->waiting_since_ns = 0;
	hb_count(&c->batches, n > 0);
	hb_count(&c->records, n);
	hb_histogram_add(c->flush_ns, c->journal->flush_ns);
	if (c->journal->flush_ns > c->worst_flush_ns)
		__atomic_store_n(&c->worst_flush_ns, c->journal->flush_ns, __ATOMIC_RELAXED);
	return 0;
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
	unsigned n;

	if (c->disk_error != 0 && (c->journal->failed || c->now_ns < c->retry_ns))
		return 0;
	drain_rings(c);
	if ((n = c->waiting) == 0 || gathers(c))
		return 0;
	return control_commit(c, 0) == 0 ? n : 0;
}

/* ---- the turn ------------------------------------------------------------------------- */

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

	control_level(c);
	return n;
}

/* ---- the books ----------------------------------------------------------------------- */

/* Whether each count of this run's by all workers, and those of earlier runs, are what is in the
 * journal; and what was put into packets is taken, left or refunded. */
static bool
packets_balanced(const struct hb_control *c, struct hb_error *e)
{
	struct hb_packet_ledger sum = c->recalled;
	const struct hb_packet_ledger *j = &c->packets;
	uint64_t left = 0;

	for (unsigned w = 0; w < c->workers; w++) {
		const struct hb_packet_book *b = &c->links[w]->packets;

		sum.packed += hb_read(&b->packed);
		sum.packed_fen += hb_read(&b->packed_fen);
		sum.taken += hb_read(&b->taken);
		sum.taken_fen += hb_read(&b->taken_fen);
		sum.refunded += hb_read(&b->refunded);
		sum.refunded_fen += hb_read(&b->refunded_fen);
		left += hb_read(&b->left_fen);
	}
	if (memcmp(&sum, j, sizeof(sum)) == 0 &&
		j->packed_fen == j->taken_fen + j->refunded_fen + left)
		return true;
	hb_fail(e, EINVAL,
		"packets: %llu of %llu fen are journalled, %llu fen taken, %llu refunded, %llu "
		"left; the workers have %llu of %llu fen, %llu taken, %llu refunded",
		(unsigned long long)j->packed, (unsigned long long)j->packed_fen,
		(unsigned long long)j->taken_fen, (unsigned long long)j->refunded_fen,
		(unsigned long long)left, (unsigned long long)sum.packed,
		(unsigned long long)sum.packed_fen, (unsigned long long)sum.taken_fen,
		(unsigned long long)sum.refunded_fen);
	return false;
}

bool
hb_control_balanced(const struct hb_control *c, struct hb_error *e)
{
	/* A slot that none has yet is all zeros. */
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
		if (l->funded == given + stock + l->returned && given == l->journalled &&
			given_fen == l->journalled_fen)
			continue;
		hb_fail(e, EINVAL,
			"campaign %u: funded %llu envelopes, but %llu in stock, %llu given (%llu "
			"fen), %llu journalled (%llu fen), %llu returned",
			l->campaign, (unsigned long long)l->funded, (unsigned long long)stock,
			(unsigned long long)given, (unsigned long long)given_fen,
			(unsigned long long)l->journalled, (unsigned long long)l->journalled_fen,
			(unsigned long long)l->returned);
		return false;
	}
	return packets_balanced(c, e);
}
