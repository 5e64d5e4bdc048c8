/* SPDX-License-Identifier: BSD-3-Clause */
/* What the engine decides of group packets: every status that PACK and GRAB can have, bundles,
 * time, what waits for its record, what a restart brings back, and the books. */
#include "rig.h"

#include "engine_internal.h"
#include "hb_recovery.h"

#include <rte_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define S 1000000ull
#define HOUR (3600 * S)

static struct rig *
prepared(void **state)
{
	struct rig *r = *state;

	rig_prepare(r);
	r->config.packets = 100;
	r->config.packet_shares = 1000;
	r->config.packet_keep_s = 60;
	return r;
}

static struct rig *
started(void **state)
{
	struct rig *r = prepared(state);

	rig_start(r);
	return r;
}

static struct hb_request
a_pack(const struct rig *r, uint64_t id, uint64_t user, uint32_t total, uint16_t shares,
	uint8_t split, uint8_t hours)
{
	return (struct hb_request){
		.op = HB_OP_PACK,
		.user = user,
		.seq = 1,
		.arg = id,
		.terms = (uint64_t)total << 32 | (uint64_t)shares << 16 | (uint64_t)split << 8 |
			 hours,
		.shard = hb_shard(id),
		.now_us = r->now_us,
	};
}

static struct hb_reply
pack(struct rig *r, uint64_t id, uint64_t user, uint32_t total, uint16_t shares, uint8_t split,
	uint8_t hours)
{
	struct hb_request q = a_pack(r, id, user, total, shares, split, hours);

	return rig_ask(r, rig_owner(r, id), &q);
}

/* 1000 fen, 4 lucky shares, an hour, by user 900. */
static struct hb_reply
pack_one(struct rig *r, uint64_t id)
{
	return pack(r, id, 900, 1000, 4, HB_SPLIT_LUCKY, 1);
}

static struct hb_reply
grab_as(struct rig *r, uint64_t id, uint64_t user, uint32_t seq)
{
	struct hb_request q = {.op = HB_OP_GRAB,
		.user = user,
		.seq = seq,
		.arg = id,
		.shard = hb_shard(id),
		.now_us = r->now_us};

	return rig_ask(r, rig_owner(r, id), &q);
}

static struct hb_reply
grab(struct rig *r, uint64_t id, uint64_t user)
{
	return grab_as(r, id, user, 1);
}

#define assert_status(reply, is)                                                                   \
	assert_string_equal(hb_status_name((reply).status), hb_status_name(is))

static void
assert_same(struct hb_reply a, struct hb_reply b)
{
	assert_status(a, b.status);
	assert_int_equal(a.id, b.id);
	assert_int_equal(a.value, b.value);
}

/* A reply that gives nothing and goes at once. */
static void
assert_plain(struct hb_reply got, enum hb_status status)
{
	assert_status(got, status);
	assert_int_equal(got.id, 0);
	assert_int_equal(got.value, 0);
	assert_int_equal(got.ticket, 0);
}

static unsigned
expire_all(struct rig *r)
{
	unsigned refunds = 0;

	for (unsigned w = 0; w < r->config.workers; w++) {
		for (unsigned i = 0; i < 10000; i++)
			refunds += hb_engine_expire(&r->engine[w], r->now_us);
	}
	return refunds;
}

/* The records that wait in a worker's ring, all taken out. */
static unsigned
take_records(struct rig *r, unsigned worker, struct hb_record *out, unsigned most)
{
	return rte_ring_dequeue_burst_elem(r->link[worker].records, out, sizeof(*out), most, NULL);
}

/* ---- PACK ----------------------------------------------------------------------------- */

static void
pack_is_told_once_its_record_is_durable(void **state)
{
	struct rig *r = started(state);
	struct hb_reply first = pack_one(r, 5), again = pack_one(r, 5);

	assert_status(first, HB_PACKED);
	assert_int_equal(first.id, 5);
	assert_int_equal(first.value, 1000);
	assert_int_equal(first.ticket, 1);
	assert_same(first, again);
	assert_int_equal(again.ticket, 1);
	assert_int_equal(rig_step(r), 1);
	again = pack_one(r, 5);
	assert_same(first, again);
	assert_int_equal(again.ticket, 0);
	rig_stop(r);
}

static void
other_terms_or_sender_conflict(void **state)
{
	struct rig *r = started(state);

	pack_one(r, 5);
	/* It rests on a record that isn't durable yet. */
	assert_int_equal(pack(r, 5, 901, 1000, 4, HB_SPLIT_LUCKY, 1).ticket, 1);
	rig_step(r);
	assert_plain(pack(r, 5, 901, 1000, 4, HB_SPLIT_LUCKY, 1), HB_CONFLICT);
	assert_plain(pack(r, 5, 900, 1001, 4, HB_SPLIT_LUCKY, 1), HB_CONFLICT);
	assert_plain(pack(r, 5, 900, 1000, 5, HB_SPLIT_LUCKY, 1), HB_CONFLICT);
	assert_plain(pack(r, 5, 900, 1000, 4, HB_SPLIT_EQUAL, 1), HB_CONFLICT);
	assert_plain(pack(r, 5, 900, 1000, 4, HB_SPLIT_LUCKY, 2), HB_CONFLICT);
	assert_plain(pack(r, 5, 900, 1000, 0, HB_SPLIT_LUCKY, 1), HB_CONFLICT);
	assert_status(pack_one(r, 5), HB_PACKED);
	rig_stop(r);
}

static void
terms_without_sense_conflict(void **state)
{
	struct rig *r = started(state);

	assert_plain(pack(r, 5, 900, 1000, 0, HB_SPLIT_LUCKY, 1), HB_CONFLICT);
	assert_plain(pack(r, 5, 900, 3, 4, HB_SPLIT_LUCKY, 1), HB_CONFLICT);
	assert_plain(pack(r, 5, 900, 0, 1, HB_SPLIT_LUCKY, 1), HB_CONFLICT);
	assert_plain(pack(r, 5, 900, 1000, 4, 0, 1), HB_CONFLICT);
	assert_plain(pack(r, 5, 900, 1000, 4, 3, 1), HB_CONFLICT);
	assert_plain(pack(r, 5, 900, 1000, 4, 255, 1), HB_CONFLICT);
	assert_status(pack(r, 5, 900, 4, 4, HB_SPLIT_LUCKY, 1), HB_PACKED);
	assert_status(pack(r, 6, 900, UINT32_MAX, 1, HB_SPLIT_EQUAL, 255), HB_PACKED);
	rig_stop(r);
}

static void
full_memory_is_busy_and_nothing_else_suffers(void **state)
{
	struct rig *r = prepared(state);

	r->config.packets = 2;
	rig_start(r);
	pack_one(r, 5);
	pack_one(r, 6);
	assert_status(pack_one(r, 7), HB_BUSY);
	assert_int_equal(r->engine[0].packets.refused, 1);
	assert_status(pack_one(r, 6), HB_PACKED);
	for (unsigned u = 1; u <= 4; u++) {
		assert_status(grab(r, 5, u), HB_WIN);
		assert_status(grab(r, 6, u), HB_WIN);
	}
	assert_status(pack_one(r, 7), HB_BUSY);
	assert_status(rig_ask_shake(r, 1, 1), HB_WIN);
	/* Until one that is done has been remembered for long enough. */
	r->now_us += 62 * S;
	assert_status(pack_one(r, 7), HB_PACKED);
	assert_status(grab(r, 7, 1), HB_WIN);
	rig_stop(r);
}

static void
without_memory_for_packets_there_are_none(void **state)
{
	struct rig *r = prepared(state);

	r->config.packets = 0;
	rig_start(r);
	assert_status(pack_one(r, 5), HB_BUSY);
	assert_plain(pack(r, 5, 900, 1, 2, HB_SPLIT_EQUAL, 1), HB_CONFLICT);
	assert_plain(grab(r, 5, 1), HB_UNKNOWN);
	assert_int_equal(expire_all(r), 0);
	rig_stop(r);
}

/* ---- GRAB ----------------------------------------------------------------------------- */

static void
each_share_is_given_once_and_told_again(void **state)
{
	struct rig *r = started(state);
	struct hb_reply share[4];
	uint64_t sum = 0;

	pack_one(r, 5);
	for (unsigned i = 0; i < 4; i++) {
		/* The sender may have one too. */
		share[i] = grab(r, 5, i == 3 ? 900 : i + 1);
		assert_status(share[i], HB_WIN);
		assert_int_equal(share[i].id, 5);
		assert_true(share[i].value >= 1);
		assert_int_equal(share[i].ticket, i + 2);
		sum += share[i].value;
	}
	assert_int_equal(sum, 1000);
	/* The last one waits for the record that made it empty; so does who has a share. */
	struct hb_reply empty = grab(r, 5, 10), again = grab_as(r, 5, 1, 77);
	assert_status(empty, HB_EMPTY);
	assert_int_equal(empty.ticket, 5);
	assert_same(again, share[0]);
	assert_int_equal(again.ticket, 5);
	rig_step(r);
	assert_plain(grab(r, 5, 10), HB_EMPTY);
	for (unsigned i = 0; i < 4; i++) {
		again = grab_as(r, 5, i == 3 ? 900 : i + 1, 100 + i);
		assert_same(again, share[i]);
		assert_int_equal(again.ticket, 0);
	}
	rig_stop(r);
}

static void
barred_users_get_no_share_but_keep_theirs(void **state)
{
	struct rig *r = started(state);

	pack_one(r, 5);
	struct hb_reply first = grab(r, 5, 1);
	hb_engine_deny(&r->engine[0], 1);
	hb_engine_deny(&r->engine[0], 2);
	hb_engine_deny(&r->engine[0], 900);
	assert_same(grab(r, 5, 1), first);
	assert_plain(grab(r, 5, 2), HB_DENIED);
	assert_plain(grab(r, 6, 2), HB_DENIED);
	/* A sender is never DENIED: the contract has it not for PACK. */
	assert_status(pack_one(r, 7), HB_PACKED);
	rig_stop(r);
}

static void
what_is_not_there_is_unknown(void **state)
{
	struct rig *r = started(state);

	assert_plain(grab(r, 5, 1), HB_UNKNOWN);
	rig_stop(r);
}

static void
other_slices_are_moved(void **state)
{
	struct rig *r = prepared(state);

	r->config.slices = ~(1u << hb_slice(hb_shard(5)));
	rig_start(r);
	assert_plain(pack_one(r, 5), HB_MOVED);
	assert_plain(grab(r, 5, 1), HB_MOVED);
	rig_stop(r);
}

static void
while_draining_only_what_was_told_is_told(void **state)
{
	struct rig *r = started(state);

	pack_one(r, 5);
	struct hb_reply share = grab(r, 5, 1);
	rig_publish(r);
	r->snapshot->draining = true;
	assert_same(grab(r, 5, 1), share);
	assert_status(pack_one(r, 5), HB_PACKED);
	assert_status(grab(r, 5, 2), HB_BUSY);
	assert_status(pack_one(r, 6), HB_BUSY);
	assert_plain(grab(r, 6, 1), HB_UNKNOWN);
	rig_stop(r);
}

static void
without_disk_or_room_nothing_is_given(void **state)
{
	struct rig *r = started(state);

	pack_one(r, 5);
	r->link[0].giving = false;
	assert_status(grab(r, 5, 1), HB_BUSY);
	assert_status(pack_one(r, 6), HB_BUSY);
	r->link[0].giving = true;
	assert_status(grab(r, 5, 1), HB_WIN);
	/* No place in the FIFO. */
	r->engine[0].park.tail = r->engine[0].park.mask + 1;
	assert_status(grab(r, 5, 2), HB_BUSY);
	assert_status(grab(r, 5, 1), HB_BUSY);
	assert_status(pack_one(r, 6), HB_BUSY);
	r->engine[0].park.tail = 0;
	/* No place in the ring. */
	struct hb_record some = {.type = HB_RECORD_GRAB};
	while (rte_ring_enqueue_elem(r->link[0].records, &some, sizeof(some)) == 0)
		continue;
	r->engine[0].records_room = 0;
	assert_status(grab(r, 5, 2), HB_BUSY);
	assert_status(pack_one(r, 6), HB_BUSY);
	assert_int_equal(r->engine[0].packets.used, 1);
	assert_int_equal(hb_packets_look(&r->engine[0].packets, 5)->taken, 1);
	rig_stop(r);
}

static void
records_say_who_has_what(void **state)
{
	struct rig *r = started(state);
	struct hb_record record[4];

	pack_one(r, 5);
	struct hb_reply share = grab_as(r, 5, 77, 9);
	r->now_us += HOUR + 2 * S;
	assert_int_equal(expire_all(r), 1);
	assert_int_equal(take_records(r, 0, record, 4), 3);
	assert_memory_equal(&record[0],
		(&(struct hb_record){.type = HB_RECORD_PACK,
			.op = HB_SPLIT_LUCKY,
			.seq = 1,
			.user = 900,
			.id = 5,
			.amount = 1000,
			.aux = 4 << 8 | 1,
			.time_us = RIG_NOW}),
		sizeof(record[0]));
	assert_memory_equal(&record[1],
		(&(struct hb_record){.type = HB_RECORD_GRAB,
			.op = HB_OP_GRAB,
			.seq = 9,
			.user = 77,
			.id = 5,
			.amount = share.value,
			.aux = 1,
			.time_us = RIG_NOW}),
		sizeof(record[0]));
	assert_memory_equal(&record[2],
		(&(struct hb_record){.type = HB_RECORD_REFUND,
			.user = 900,
			.id = 5,
			.amount = 1000 - share.value,
			.aux = 3,
			.time_us = r->now_us}),
		sizeof(record[0]));
	rig_stop(r);
}

/* ---- time ----------------------------------------------------------------------------- */

static void
after_its_hours_it_is_expired_and_refunded_once(void **state)
{
	struct rig *r = started(state);

	pack_one(r, 5);
	struct hb_reply share = grab(r, 5, 1);
	rig_step(r);
	r->now_us += HOUR - 1;
	assert_status(grab(r, 5, 2), HB_WIN);
	assert_int_equal(expire_all(r), 0);
	rig_step(r);
	r->now_us++;
	assert_plain(grab(r, 5, 3), HB_EXPIRED);
	/* The clock steps back: over is over. */
	r->now_us -= 10 * S;
	assert_plain(grab(r, 5, 3), HB_EXPIRED);
	r->now_us += 12 * S;
	assert_int_equal(expire_all(r), 1);
	assert_int_equal(expire_all(r), 0);
	/* What was refunded is told once it is durable. */
	assert_int_equal(grab(r, 5, 3).ticket, r->engine[0].issued);
	rig_step(r);
	assert_plain(grab(r, 5, 3), HB_EXPIRED);
	assert_same(grab(r, 5, 1), share);
	assert_status(pack_one(r, 5), HB_PACKED);
	assert_int_equal(r->control.packets.refunded, 1);
	assert_true(hb_control_balanced(&r->control, NULL));
	/* Then it is forgotten. */
	r->now_us += 62 * S;
	assert_plain(grab(r, 5, 1), HB_UNKNOWN);
	assert_int_equal(expire_all(r), 0);
	assert_int_equal(r->engine[0].packets.used, 0);
	rig_stop(r);
}

static void
no_hours_are_over_at_once(void **state)
{
	struct rig *r = started(state);

	assert_status(pack(r, 5, 900, 1000, 4, HB_SPLIT_LUCKY, 0), HB_PACKED);
	rig_step(r);
	assert_plain(grab(r, 5, 1), HB_EXPIRED);
	r->now_us += 2 * S;
	assert_int_equal(expire_all(r), 1);
	rig_step(r);
	assert_int_equal(r->control.packets.refunded_fen, 1000);
	assert_status(pack(r, 5, 900, 1000, 4, HB_SPLIT_LUCKY, 0), HB_PACKED);
	rig_stop(r);
}

static void
an_empty_packet_never_expires(void **state)
{
	struct rig *r = prepared(state);

	r->config.packet_keep_s = 3 * 3600;
	rig_start(r);
	pack_one(r, 5);
	for (unsigned u = 1; u <= 4; u++)
		grab(r, 5, u);
	rig_step(r);
	r->now_us += HOUR + 2 * S;
	assert_int_equal(expire_all(r), 0);
	assert_plain(grab(r, 5, 9), HB_EMPTY);
	rig_stop(r);
}

static void
refunds_wait_for_room_and_disk(void **state)
{
	struct rig *r = started(state);

	for (unsigned id = 1; id <= 50; id++)
		pack_one(r, id);
	rig_step(r);
	r->now_us += HOUR + 2 * S;
	r->link[0].giving = false;
	assert_int_equal(expire_all(r), 0);
	r->link[0].giving = true;
	/* A few a call. */
	assert_in_range(hb_engine_expire(&r->engine[0], r->now_us), 1, 16);
	assert_true(expire_all(r) > 0);
	rig_step(r);
	assert_int_equal(r->control.packets.refunded, 50);
	assert_int_equal(r->control.packets.refunded_fen, 50000);
	assert_true(hb_control_balanced(&r->control, NULL));
	rig_stop(r);
}

/* ---- bundles -------------------------------------------------------------------------- */

static struct rig *
bundling(void **state, unsigned workers)
{
	struct rig *r = prepared(state);

	r->config.workers = workers;
	r->campaign[0].bundle =
		(struct hb_bundle){.shares = 3, .split = HB_SPLIT_LUCKY, .hours = 2};
	rig_start(r);
	return r;
}

static void restart(struct rig *r, unsigned workers, int want, struct hb_error *e);

static int
by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
a_win_becomes_a_packet_of_the_winners_core(void **state)
{
	struct rig *r = bundling(state, 3);
	uint64_t seen[20];

	for (uint64_t user = 1; user <= 20; user++) {
		struct hb_reply won = rig_ask_shake(r, user, 1), again = rig_ask_shake(r, user, 1);

		assert_status(won, HB_BUNDLE);
		assert_int_equal(won.value, 10);
		assert_int_equal(hb_shard(won.id), hb_shard(user));
		assert_same(won, again);
		assert_true(again.ticket >= won.ticket && won.ticket != 0);
		seen[user - 1] = won.id;
		for (unsigned i = 0; i + 1 < user; i++)
			assert_int_not_equal(seen[i], won.id);
		/* A friend comes before the record is durable, and waits no longer than that. */
		assert_status(grab(r, won.id, user + 1000), HB_WIN);
		assert_status(grab(r, won.id, user), HB_WIN);
		assert_status(grab(r, won.id, user + 2000), HB_WIN);
		assert_status(grab(r, won.id, user + 3000), HB_EMPTY);
		assert_status(pack(r, won.id, user, 10, 3, HB_SPLIT_LUCKY, 2), HB_CONFLICT);
	}
	while (rig_step(r) != 0)
		continue;
	assert_int_equal(rig_ask_shake(r, 7, 1).ticket, 0);
	assert_int_equal(r->control.ledger[0].bundled, 20);
	assert_int_equal(r->control.ledger[0].bundled_fen, 200);
	assert_int_equal(r->control.ledger[0].journalled, 20);
	assert_true(hb_control_balanced(&r->control, NULL));
	rig_stop(r);
}

/* Somebody packed a packet of the very id that the next bundle would have. */
static void
a_bundle_whose_id_is_taken_is_a_plain_win(void **state)
{
	struct rig *r = bundling(state, 1);
	uint64_t id = engine_bundle_id(&r->engine[0], 7, 1, 1);

	assert_status(pack_one(r, id), HB_PACKED);
	struct hb_reply won = rig_ask_shake(r, 1, 1);
	assert_status(won, HB_WIN);
	assert_int_equal(hb_envelope_number(won.id), 1);
	assert_same(rig_ask_shake(r, 1, 1), won);
	while (rig_step(r) != 0)
		continue;
	restart(r, 1, 0, NULL);
	assert_same(rig_ask_shake(r, 1, 1), won);
	assert_status(pack_one(r, id), HB_PACKED);
	assert_status(rig_ask_shake(r, 2, 1), HB_BUNDLE);
	assert_int_equal(r->control.ledger[0].bundled, 0);
	rig_stop(r);
}

/* No two envelopes share an id, of any campaign, and none is the one before with something added.
 */
static void
ids_of_bundles_differ_and_have_no_order(void **state)
{
	enum {
		MANY = 20000
	};
	struct rig *r = bundling(state, 1);
	uint64_t *id = calloc(2 * MANY, sizeof(*id)), ones = 0, before = 0;

	for (uint32_t i = 0; i < MANY; i++) {
		id[2 * i] = engine_bundle_id(&r->engine[0], 7, i + 1, 5);
		id[2 * i + 1] = engine_bundle_id(&r->engine[0], 8, i + 1, 5);
		assert_int_equal(hb_shard(id[2 * i]), hb_shard(5));
		/* Of the 52 bits below the shard about half change from one to the next. */
		uint64_t below_shard = id[2 * i] * 0x9E3779B97F4A7C15ULL << 12;

		ones += i > 0 ? (unsigned)__builtin_popcountll(below_shard ^ before) : 0;
		before = below_shard;
	}
	assert_in_range(ones / (MANY - 1), 22, 30);
	qsort(id, 2 * MANY, sizeof(*id), by_id);
	for (uint32_t i = 1; i < 2 * MANY; i++)
		assert_int_not_equal(id[i], id[i - 1]);
	uint64_t first = engine_bundle_id(&r->engine[0], 7, 1, 5);
	hb_engine_seed(&r->engine[0], 2);
	assert_int_not_equal(engine_bundle_id(&r->engine[0], 7, 1, 5), first);
	free(id);
	rig_stop(r);
}

static void
a_bundle_has_no_more_shares_than_fen(void **state)
{
	struct rig *r = prepared(state);

	r->campaign[0].terms.total = 200;
	r->campaign[0].bundle =
		(struct hb_bundle){.shares = 3, .split = HB_SPLIT_EQUAL, .hours = 2};
	rig_start(r);
	struct hb_reply won = rig_ask_shake(r, 1, 1);
	assert_status(won, HB_BUNDLE);
	assert_int_equal(won.value, 2);
	assert_int_equal(grab(r, won.id, 2).value, 1);
	assert_int_equal(grab(r, won.id, 3).value, 1);
	assert_status(grab(r, won.id, 4), HB_EMPTY);
	rig_stop(r);
}

static void
what_is_left_of_a_bundle_goes_back_to_the_campaign(void **state)
{
	struct rig *r = bundling(state, 1);
	struct hb_record record[8];
	struct hb_reply won = rig_ask_shake(r, 1, 1);
	struct hb_reply share = grab(r, won.id, 2);

	r->now_us += 2 * HOUR + 2 * S;
	assert_int_equal(expire_all(r), 1);
	assert_int_equal(take_records(r, 0, record, 8), 4);
	assert_int_equal(record[0].type, HB_RECORD_WIN);
	assert_int_equal(record[0].aux, HB_WIN_BUNDLE);
	assert_int_equal(record[1].type, HB_RECORD_PACK);
	assert_int_equal(record[3].type, HB_RECORD_REFUND);
	for (unsigned i = 1; i < 4; i++) {
		assert_int_equal(record[i].campaign, 7);
		assert_int_equal(record[i].id, won.id);
	}
	assert_int_equal(record[3].user, 1);
	assert_int_equal(record[3].amount, won.value - share.value);
	rig_stop(r);
}

static void
without_room_for_its_packet_nobody_wins(void **state)
{
	struct rig *r = prepared(state);

	r->config.packets = 1;
	r->campaign[0].wins_per_user = 5;
	r->campaign[0].closes_us += 100 * HOUR;
	r->campaign[0].bundle =
		(struct hb_bundle){.shares = 3, .split = HB_SPLIT_LUCKY, .hours = 2};
	rig_start(r);
	assert_status(rig_ask_shake(r, 1, 1), HB_BUNDLE);
	assert_status(rig_ask_shake(r, 2, 1), HB_BUSY);
	assert_status(rig_ask_shake(r, 1, 2), HB_BUSY);
	assert_int_equal(rig_count_stock(r, 0), 99);
	/* Two records, or none. */
	struct hb_record some = {.type = HB_RECORD_GRAB};
	while (rte_ring_free_count(r->link[0].records) > 1)
		rte_ring_enqueue_elem(r->link[0].records, &some, sizeof(some));
	r->engine[0].records_room = 0;
	r->now_us += 3 * HOUR;
	assert_status(rig_ask_shake(r, 2, 1), HB_BUSY);
	rig_stop(r);
}

/* A burst looks again at the ring's room where it could run out of what it knows of. */
static void
a_burst_of_bundles_finds_the_rings_room(void **state)
{
	struct rig *r = bundling(state, 1);
	struct hb_request q[20];
	struct hb_reply reply[20];

	for (unsigned i = 0; i < HB_COUNT_OF(q); i++)
		q[i] = (struct hb_request){.op = HB_OP_SHAKE,
			.campaign = 7,
			.seq = 1,
			.user = i + 1,
			.shard = hb_shard(i + 1),
			.now_us = r->now_us};
	r->engine[0].records_room = HB_COUNT_OF(q);
	hb_engine_decide(&r->engine[0], r->snapshot, q, reply, HB_COUNT_OF(q));
	for (unsigned i = 0; i < HB_COUNT_OF(q); i++)
		assert_status(reply[i], HB_BUNDLE);
	rig_stop(r);
}

/* A batch that is full ends before a bundle or behind it. */
static void
a_bundles_records_share_a_batch(void **state)
{
	struct rig *r = prepared(state);
	unsigned most, left;

	r->segment_bytes = 4 << 20;
	r->campaign[0].bundle =
		(struct hb_bundle){.shares = 3, .split = HB_SPLIT_LUCKY, .hours = 2};
	rig_start(r);
	struct hb_record *room = hb_journal_room(&r->journal, &most);
	for (unsigned odd = 0; odd < 2; odd++) {
		/* As if so many waited already. */
		left = most - 6 - odd;
		for (unsigned i = 0; i < left; i++)
			room[i] = (struct hb_record){.type = HB_RECORD_SEED};
		r->control.waiting = left;
		r->gather_ns = 0;
		for (uint64_t user = 1; user <= 5; user++)
			assert_status(rig_ask_shake(r, user + 10 * odd, 1), HB_BUNDLE);
		rig_step(r);
		/* The last one in the batch that was written. */
		const struct hb_record *last = &room[most - 1];
		while (last->type == 0)
			last--;
		assert_int_equal(rte_ring_count(r->link[0].records) % 2, 0);
		while (rig_step(r) != 0)
			continue;
	}
	rig_stop(r);
}

/* ---- what a restart brings back -------------------------------------------------------- */

/* Ends the run and starts another with so many workers on the same disk. */
static void
restart(struct rig *r, unsigned workers, int want, struct hb_error *e)
{
	struct hb_journal_reader reader;
	struct hb_recovery recovery;

	hb_journal_end(&r->journal);
	for (unsigned w = 0; w < r->config.workers; w++) {
		hb_engine_free(&r->engine[w]);
		hb_link_free(&r->link[w]);
	}
	hb_envelopes_free(&r->envelopes[0]);
	hb_control_free(&r->control);
	memset(r->drained, 0, sizeof(r->drained));
	r->config.workers = workers;
	rig_make_workers(r);
	assert_int_equal(hb_recovery_begin(&recovery, &r->control, r->engines, r->envelopes,
				 r->campaign, 1, NULL),
		0);
	assert_int_equal(hb_journal_read_disk(&reader, &r->disk.disk, "test", NULL), 0);
	int err = hb_recovery_read(&recovery, &reader, false, NULL, e);
	assert_int_equal(err, want);
	if (err == 0) {
		assert_int_equal(hb_journal_resume(&r->journal, &r->disk.disk, &reader,
					 r->segment_bytes, NULL),
			0);
		assert_int_equal(hb_recovery_finish(&recovery, 1, r->now_us, NULL), 0);
	}
	hb_recovery_free(&recovery);
	hb_journal_read_end(&reader);
}

static void
packets_come_back_to_whoever_owns_them_now(void **state)
{
	struct rig *r = bundling(state, 2);
	struct hb_reply packed[9], share[9][4], won[9];
	static const unsigned workers[] = {1, 3, 5, 2};

	for (unsigned id = 1; id < 9; id++) {
		packed[id] = pack_one(r, id * 7919);
		won[id] = rig_ask_shake(r, id, 1);
		assert_status(won[id], HB_BUNDLE);
		for (unsigned u = 0; u < id % 5 && u < 4; u++)
			share[id][u] = grab(r, id * 7919, u + 1);
		assert_status(grab(r, won[id].id, 50), HB_WIN);
	}
	while (rig_step(r) != 0)
		continue;
	for (unsigned i = 0; i < HB_COUNT_OF(workers); i++) {
		restart(r, workers[i], 0, NULL);
		for (unsigned id = 1; id < 9; id++) {
			assert_same(pack_one(r, id * 7919), packed[id]);
			assert_same(rig_ask_shake(r, id, 1), won[id]);
			assert_int_equal(rig_ask_shake(r, id, 1).ticket, 0);
			for (unsigned u = 0; u < id % 5 && u < 4; u++)
				assert_same(grab(r, id * 7919, u + 1), share[id][u]);
			assert_status(grab(r, won[id].id, 50), HB_WIN);
			assert_plain(pack(r, won[id].id, id, 10, 3, 2, 2), HB_CONFLICT);
		}
		assert_true(hb_control_balanced(&r->control, NULL));
		assert_int_equal(r->control.ledger[0].bundled, 8);
	}
	/* Time goes on as if there had been no restart: what is left goes back, once. */
	assert_int_equal(r->control.packets.refunded, 0);
	r->now_us += HOUR + 2 * S;
	assert_int_equal(expire_all(r), 7);
	r->now_us += HOUR;
	assert_int_equal(expire_all(r), 8);
	while (rig_step(r) != 0)
		continue;
	assert_true(hb_control_balanced(&r->control, NULL));
	uint64_t refunded = r->control.packets.refunded_fen;
	restart(r, 4, 0, NULL);
	assert_int_equal(expire_all(r), 0);
	assert_int_equal(r->control.packets.refunded_fen, refunded);
	assert_int_equal(r->control.packets.packed_fen,
		r->control.packets.taken_fen + r->control.packets.refunded_fen);
	rig_stop(r);
}

/* Shares go on as they would have: who replays gets the same. */
static void
shares_after_a_restart_are_those_of_one_run(void **state)
{
	struct rig *r = started(state);
	uint32_t fen[4];

	pack_one(r, 5);
	for (unsigned u = 0; u < 4; u++)
		fen[u] = grab(r, 5, u + 1).value;
	rig_stop(r);
	r = started(state);
	pack_one(r, 5);
	for (unsigned u = 0; u < 4; u++) {
		assert_int_equal(grab(r, 5, u + 1).value, fen[u]);
		while (rig_step(r) != 0)
			continue;
		restart(r, 1 + u, 0, NULL);
	}
	rig_stop(r);
}

static void
too_little_memory_for_the_journals_packets_is_said(void **state)
{
	struct rig *r = started(state);
	struct hb_error e;

	for (unsigned id = 1; id <= 50; id++)
		pack_one(r, id);
	while (rig_step(r) != 0)
		continue;
	r->config.packets = 49;
	restart(r, 1, -EINVAL, &e);
	assert_non_null(strstr(e.text, "packets"));
	rig_stop(r);
}

/* What was done is forgotten along the way, so that a long journal needs no more memory. */
static void
a_long_journal_needs_no_more_memory(void **state)
{
	struct rig *r = prepared(state);

	r->config.packets = 10;
	rig_start(r);
	for (unsigned id = 1; id <= 200; id++) {
		assert_status(pack_one(r, id), HB_PACKED);
		for (unsigned u = 1; u <= 4; u++)
			grab(r, id, u);
		r->now_us += 10 * S;
		rig_step(r);
	}
	restart(r, 1, 0, NULL);
	assert_int_equal(r->control.packets.packed, 200);
	assert_true(r->engine[0].packets.used <= 10);
	assert_plain(grab(r, 200, 9), HB_EMPTY);
	rig_stop(r);
}

/* The wheel of whoever reads is far behind when memory is out: further than it turns for a record.
 */
static void
what_was_forgotten_in_a_quiet_time_makes_room(void **state)
{
	enum {
		MANY = 8000
	};
	struct rig *r = prepared(state);

	r->config.packets = r->config.packet_shares = MANY;
	rig_start(r);
	for (unsigned id = 1; id <= MANY; id++) {
		assert_status(pack(r, id, 900, 5, 1, HB_SPLIT_EQUAL, 1), HB_PACKED);
		assert_status(grab(r, id, 1), HB_WIN);
		rig_step(r);
	}
	/* Its round is 128 seconds: those that are due come 71 after where it begins. */
	r->now_us += 3060 * S;
	expire_all(r);
	assert_int_equal(r->engine[0].packets.used, 0);
	assert_status(pack_one(r, MANY + 1), HB_PACKED);
	while (rig_step(r) != 0)
		continue;
	restart(r, 1, 0, NULL);
	assert_status(grab(r, MANY + 1, 1), HB_WIN);
	assert_plain(grab(r, 1, 1), HB_UNKNOWN);
	rig_stop(r);
}

/* An id that was forgotten and used again, read back by a run that remembers for longer. */
static void
an_id_that_was_used_again_comes_back(void **state)
{
	struct rig *r = started(state);

	pack_one(r, 5);
	for (unsigned u = 1; u <= 4; u++)
		grab(r, 5, u);
	r->now_us += 62 * S;
	assert_status(pack(r, 5, 901, 500, 2, HB_SPLIT_EQUAL, 1), HB_PACKED);
	struct hb_reply share = grab(r, 5, 3);
	while (rig_step(r) != 0)
		continue;
	r->config.packet_keep_s = 86400;
	restart(r, 2, 0, NULL);
	assert_same(grab(r, 5, 3), share);
	assert_status(pack(r, 5, 901, 500, 2, HB_SPLIT_EQUAL, 1), HB_PACKED);
	assert_status(grab(r, 5, 4), HB_WIN);
	assert_status(grab(r, 5, 1), HB_EMPTY);
	rig_stop(r);
}

/* One record more than the journal may have. */
static void
contradictions_stop_the_start(void **state)
{
	static const struct {
		struct hb_record record;
		const char *said;
	} bad[] = {
		{{.type = HB_RECORD_PACK, .op = 1, .user = 1, .id = 5, .amount = 9, .aux = 1 << 8},
			"second time"},
		{{.type = HB_RECORD_PACK, .op = 1, .user = 1, .id = 9, .amount = 9, .aux = 0},
			"no sense"},
		{{.type = HB_RECORD_PACK, .op = 3, .user = 1, .id = 9, .amount = 9, .aux = 1 << 8},
			"no sense"},
		{{.type = HB_RECORD_GRAB, .user = 2, .id = 6, .amount = 9, .aux = 1}, "no share"},
		{{.type = HB_RECORD_GRAB, .user = 1, .id = 5, .amount = 9, .aux = 2},
			"second share"},
		{{.type = HB_RECORD_GRAB, .user = 2, .id = 5, .amount = 9, .aux = 3},
			"out of order"},
		{{.type = HB_RECORD_GRAB, .user = 2, .id = 5, .amount = 999, .aux = 2},
			"too little"},
		{{.type = HB_RECORD_GRAB, .user = 2, .id = 5, .amount = 0, .aux = 2}, "too little"},
		{{.type = HB_RECORD_REFUND, .user = 900, .id = 5, .amount = 1000, .aux = 3},
			"not left"},
		{{.type = HB_RECORD_REFUND, .user = 900, .id = 6, .amount = 1, .aux = 1},
			"nothing"},
		{{.type = HB_RECORD_WIN,
			 .campaign = 7,
			 .user = 3,
			 .seq = 1,
			 .aux = HB_WIN_BUNDLE,
			 .id = 7ull << 32 | 1,
			 .amount = 10},
			"not behind"},
	};
	struct hb_error e;
	unsigned most;

	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		struct rig *r = started(state);

		pack_one(r, 5);
		grab(r, 5, 1);
		rig_step(r);
		struct hb_record *room = hb_journal_room(&r->journal, &most);
		*room = bad[i].record;
		room->time_us = r->now_us;
		assert_int_equal(hb_journal_commit(&r->journal, 1), 0);
		restart(r, 1, -EILSEQ, &e);
		if (strstr(e.text, bad[i].said) == NULL)
			fail_msg("%u: %s", i, e.text);
		rig_stop(r);
	}
}

/* ---- looks ---------------------------------------------------------------------------- */

static void
a_look_shows_who_has_what(void **state)
{
	struct rig *r = started(state);
	struct hb_packet_look look = {.id = 5};
	struct hb_mark mark;

	pack_one(r, 5);
	struct hb_reply share = grab(r, 5, 77);
	assert_int_equal(hb_link_look_at_packet(r->links[0], &look), 0);
	hb_links_mark(r->links, 1, &mark);
	assert_false(hb_links_reached(r->links, 1, &mark));
	rig_obey(r);
	assert_true(hb_links_reached(r->links, 1, &mark));
	assert_true(look.done);
	assert_int_equal(look.packet.id, 5);
	assert_int_equal(look.packet.left, 1000 - share.value);
	assert_int_equal(look.shares, 1);
	assert_int_equal(look.share[0].user, 77);
	assert_int_equal(look.share[0].fen, share.value);
	look = (struct hb_packet_look){.id = 6};
	assert_int_equal(hb_link_look_at_packet(r->links[0], &look), 0);
	rig_obey(r);
	assert_true(look.done);
	assert_int_equal(look.packet.id, 0);
	/* A full ring takes no more. */
	unsigned told = 0;
	while (told <= HB_ORDERS && hb_link_look_at_packet(r->links[0], &look) == 0)
		told++;
	assert_in_range(told, 1, HB_ORDERS);
	assert_int_equal(hb_link_look_at_packet(r->links[0], &look), -EAGAIN);
	rig_stop(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pack_is_told_once_its_record_is_durable),
		cmocka_unit_test(other_terms_or_sender_conflict),
		cmocka_unit_test(terms_without_sense_conflict),
		cmocka_unit_test(full_memory_is_busy_and_nothing_else_suffers),
		cmocka_unit_test(without_memory_for_packets_there_are_none),
		cmocka_unit_test(each_share_is_given_once_and_told_again),
		cmocka_unit_test(barred_users_get_no_share_but_keep_theirs),
		cmocka_unit_test(what_is_not_there_is_unknown),
		cmocka_unit_test(other_slices_are_moved),
		cmocka_unit_test(while_draining_only_what_was_told_is_told),
		cmocka_unit_test(without_disk_or_room_nothing_is_given),
		cmocka_unit_test(records_say_who_has_what),
		cmocka_unit_test(after_its_hours_it_is_expired_and_refunded_once),
		cmocka_unit_test(no_hours_are_over_at_once),
		cmocka_unit_test(an_empty_packet_never_expires),
		cmocka_unit_test(refunds_wait_for_room_and_disk),
		cmocka_unit_test(a_win_becomes_a_packet_of_the_winners_core),
		cmocka_unit_test(a_bundle_whose_id_is_taken_is_a_plain_win),
		cmocka_unit_test(ids_of_bundles_differ_and_have_no_order),
		cmocka_unit_test(a_bundle_has_no_more_shares_than_fen),
		cmocka_unit_test(what_is_left_of_a_bundle_goes_back_to_the_campaign),
		cmocka_unit_test(without_room_for_its_packet_nobody_wins),
		cmocka_unit_test(a_burst_of_bundles_finds_the_rings_room),
		cmocka_unit_test(a_bundles_records_share_a_batch),
		cmocka_unit_test(packets_come_back_to_whoever_owns_them_now),
		cmocka_unit_test(shares_after_a_restart_are_those_of_one_run),
		cmocka_unit_test(too_little_memory_for_the_journals_packets_is_said),
		cmocka_unit_test(a_long_journal_needs_no_more_memory),
		cmocka_unit_test(what_was_forgotten_in_a_quiet_time_makes_room),
		cmocka_unit_test(an_id_that_was_used_again_comes_back),
		cmocka_unit_test(contradictions_stop_the_start),
		cmocka_unit_test(a_look_shows_who_has_what),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, rig_make, rig_free);
}
