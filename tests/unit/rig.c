/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"

#include <rte_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

int
rig_make(void **state)
{
	*state = aligned_alloc(HB_CACHE_LINE,
		(sizeof(struct rig) + HB_CACHE_LINE - 1) / HB_CACHE_LINE * HB_CACHE_LINE);
	return *state == NULL;
}

int
rig_free(void **state)
{
	free(*state);
	return 0;
}

void
rig_prepare(struct rig *r)
{
	*r = (struct rig){.now_us = RIG_NOW, .segment_bytes = 1 << 20};
	r->config.workers = 1;
	r->config.users = 1000;
	r->config.seed = 1;
	r->config.slices = UINT32_MAX;
	r->config.campaign = r->campaign;
	r->config.campaigns = 1;
	r->campaign[0] = (struct hb_campaign_config){
		.id = 7,
		.opens_us = RIG_NOW - 1000000,
		.closes_us = RIG_NOW + 3600 * 1000000ull,
		.terms = {.count = 100, .total = 1000, .split = HB_SPLIT_EQUAL, .seed = 1},
		.odds = 1,
		.wins_per_user = 1,
		.wait_ms = 1000,
	};
}

static void
start_worker(struct rig *r, unsigned w)
{
	struct hb_engine_terms terms = {
		.campaigns = RIG_SLOTS,
		.workers = r->config.workers,
		.users = r->config.users,
		.packets = r->config.packets,
		.packet_shares = r->config.packet_shares,
		.packet_keep_us = r->config.packet_keep_s * 1000000ull,
		.seed = r->config.seed,
	};

	assert_int_equal(hb_link_make(&r->link[w], RIG_SLOTS, r->drained, NULL), 0);
	assert_int_equal(hb_engine_make(&r->engine[w], &terms, &r->link[w], &r->stats[w], NULL), 0);
	r->links[w] = &r->link[w];
	r->engines[w] = &r->engine[w];
}

void
rig_make_workers(struct rig *r)
{
	struct hb_control_terms terms = {
		.journal = &r->journal,
		.links = r->links,
		.drained = r->drained,
		.workers = r->config.workers,
		.campaigns = RIG_SLOTS,
		.gather_ns = r->gather_ns,
	};

	for (unsigned w = 0; w < r->config.workers; w++)
		start_worker(r, w);
	assert_int_equal(hb_control_make(&r->control, &terms, NULL), 0);
}

void
rig_begin(struct rig *r)
{
	assert_int_equal(hb_wire_init(), 0);
	hb_mem_use_hugepages(false);
	rig_publish(r);
	memory_disk_make(&r->disk, 512);
	assert_int_equal(
		hb_journal_begin(&r->journal, &r->disk.disk, 1, r->segment_bytes, NULL), 0);
	rig_make_workers(r);
}

void
rig_start(struct rig *r)
{
	rig_begin(r);
	for (unsigned i = 0; i < r->config.campaigns; i++) {
		struct hb_campaign_config *c = &r->campaign[i];

		assert_int_equal(hb_envelopes_make(&r->envelopes[i], &c->terms, "test", NULL), 0);
		assert_int_equal(hb_control_fund(&r->control, i, c->id, &c->terms, c->wins_per_user,
					 r->now_us, NULL),
			0);
		for (unsigned w = 0; w < r->config.workers; w++)
			hb_engine_bind(&r->engine[w], i, &r->envelopes[i]);
		assert_int_equal(hb_control_deal(&r->control, i, r->engines, NULL, NULL), 0);
	}
}

void
rig_publish(struct rig *r)
{
	for (unsigned i = 0; i < r->config.campaigns; i++)
		r->campaign[i].slot = i;
	hb_snapshot_free(r->snapshot);
	r->snapshot = hb_snapshot_make(&r->config);
	assert_non_null(r->snapshot);
}

void
rig_stop(struct rig *r)
{
	for (unsigned w = 0; w < r->config.workers; w++) {
		hb_engine_free(&r->engine[w]);
		hb_link_free(&r->link[w]);
	}
	for (unsigned i = 0; i < r->config.campaigns; i++)
		hb_envelopes_free(&r->envelopes[i]);
	hb_control_free(&r->control);
	hb_journal_end(&r->journal);
	memory_disk_free(&r->disk);
	hb_snapshot_free(r->snapshot);
}

struct hb_request
rig_shake(const struct rig *r, uint16_t campaign, uint64_t user, uint32_t seq)
{
	return (struct hb_request){
		.op = HB_OP_SHAKE,
		.campaign = campaign,
		.user = user,
		.seq = seq,
		.shard = hb_shard(user),
		.now_us = r->now_us,
	};
}

struct hb_request
rig_answer(const struct rig *r, uint16_t campaign, uint64_t user, uint32_t seq, const char *text)
{
	struct hb_request q = rig_shake(r, campaign, user, seq);

	q.op = HB_OP_ANSWER;
	q.arg = hb_answer_digest(campaign, text);
	return q;
}

struct hb_reply
rig_ask(struct rig *r, unsigned worker, const struct hb_request *q)
{
	struct hb_reply out;

	hb_engine_decide(&r->engine[worker], r->snapshot, q, &out, 1);
	return out;
}

struct hb_reply
rig_ask_shake(struct rig *r, uint64_t user, uint32_t seq)
{
	struct hb_request q = rig_shake(r, r->campaign[0].id, user, seq);

	return rig_ask(r, rig_owner(r, user), &q);
}

unsigned
rig_owner(const struct rig *r, uint64_t user)
{
	return hb_owner(hb_lane(hb_shard(user)), r->config.workers);
}

static uint64_t
mark(uint8_t *seen, uint32_t count, struct hb_range range)
{
	for (uint32_t n = range.first; n < range.first + range.count; n++) {
		assert_in_range(n, 1, count);
		assert_int_equal(seen[n], 0);
		seen[n] = 1;
	}
	return range.count;
}

/* What lies in a ring of orders or offers: looked at by taking each out and putting it back. */
static uint64_t
mark_ring(struct rte_ring *ring, bool offers, unsigned slot, uint8_t *seen, uint32_t count)
{
	uint64_t n = 0;
	struct hb_offer offer;
	struct hb_order order;

	for (unsigned i = rte_ring_count(ring); i > 0; i--) {
		if (offers) {
			rte_ring_dequeue_elem(ring, &offer, sizeof(offer));
			n += offer.slot == slot ? mark(seen, count, offer.range) : 0;
			rte_ring_enqueue_elem(ring, &offer, sizeof(offer));
		} else {
			rte_ring_dequeue_elem(ring, &order, sizeof(order));
			if (order.type == HB_ORDER_STOCK && order.slot == slot)
				n += mark(seen, count, order.range);
			rte_ring_enqueue_elem(ring, &order, sizeof(order));
		}
	}
	return n;
}

uint64_t
rig_count_stock(const struct rig *r, unsigned slot)
{
	uint32_t count = (uint32_t)r->control.ledger[slot].funded;
	uint8_t *seen = calloc(count + 1, 1);
	const struct hb_ledger *l = &r->control.ledger[slot];
	uint64_t n = 0;

	for (unsigned i = 0; i < l->depot_ranges; i++)
		n += mark(seen, count, l->depot[i]);

	for (unsigned w = 0; w < r->config.workers; w++) {
		const struct hb_stock *s = &r->engine[w].campaign[slot].stock;

		for (unsigned i = 0; i < s->ranges; i++)
			n += mark(seen, count, s->range[i]);
		n += mark_ring(r->link[w].offers, true, slot, seen, count);
		n += mark_ring(r->link[w].orders, false, slot, seen, count);
	}
	free(seen);
	return n;
}

void
rig_obey(struct rig *r)
{
	for (unsigned w = 0; w < r->config.workers; w++) {
		while (hb_engine_obey(&r->engine[w]) != 0)
			continue;
	}
	rig_step(r);
}

unsigned
rig_step(struct rig *r)
{
	return hb_control_step(&r->control, r->now_us * 1000);
}
