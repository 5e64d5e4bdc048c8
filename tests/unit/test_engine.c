/* SPDX-License-Identifier: BSD-3-Clause */
/* What the engine decides: every status that SHAKE and ANSWER can have, and what a client may rely
 * on. */
#include "rig.h"

#include <math.h>
#include <rte_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MS 1000ull
#define S 1000000ull

static struct rig *
prepared(void **state)
{
	rig_prepare(*state);
	return *state;
}

static struct rig *
started(void **state)
{
	struct rig *r = prepared(state);

	rig_start(r);
	return r;
}

static void
assert_reply(struct hb_reply got, enum hb_status status, uint32_t value)
{
	assert_string_equal(hb_status_name(got.status), hb_status_name(status));
	assert_int_equal(got.value, value);
	assert_int_equal(got.id, 0);
	assert_int_equal(got.ticket, 0);
}

/* BUSY for something that will be there soon: 10 ms, spread. */
static void
assert_soon(struct hb_reply got)
{
	assert_in_range(got.value, 10, 19);
	assert_reply(got, HB_BUSY, got.value);
}

static void
assert_same(struct hb_reply a, struct hb_reply b)
{
	assert_int_equal(a.status, b.status);
	assert_int_equal(a.id, b.id);
	assert_int_equal(a.value, b.value);
}

/* ---- wins ---------------------------------------------------------------------------- */

static void
win_names_envelope_and_waits_for_its_record(void **state)
{
	struct rig *r = started(state);
	struct hb_reply win = rig_ask_shake(r, 1, 1);

	assert_int_equal(win.status, HB_WIN);
	assert_int_equal(win.value, 10);
	assert_int_equal(win.id >> 32, 7);
	assert_int_equal(win.ticket, 1);
	assert_int_equal(rte_ring_count(r->link[0].records), 1);
	assert_int_equal(r->link[0].durable, 0);
	assert_int_equal(rig_step(r), 1);
	assert_int_equal(r->link[0].durable, 1);
	rig_stop(r);
}

static void
repeat_of_a_win_waits_while_its_record_does(void **state)
{
	struct rig *r = started(state);
	struct hb_reply win = rig_ask_shake(r, 1, 1), again = rig_ask_shake(r, 1, 1);

	assert_same(win, again);
	assert_true(again.ticket >= win.ticket);
	rig_step(r);
	again = rig_ask_shake(r, 1, 1);
	assert_same(win, again);
	assert_int_equal(again.ticket, 0);
	/* Another user's open record doesn't hold up a win that is durable. */
	rig_ask_shake(r, 2, 1);
	assert_int_equal(rig_ask_shake(r, 1, 1).ticket, 0);
	assert_int_equal(rig_ask_shake(r, 2, 1).ticket, 2);
	rig_stop(r);
}

/* Whatever the campaign has become since: the draw of that seq would be lost now, and the quota
 * isn't reached any more. */
static void
what_was_told_is_told_again_after_a_change(void **state)
{
	struct rig *r = prepared(state);

	r->campaign[0].wins_per_user = 1;
	rig_start(r);
	struct hb_reply win = rig_ask_shake(r, 1, 1);

	rig_ask_shake(r, 2, 1);
	rig_step(r);
	assert_reply(rig_ask_shake(r, 2, 2), HB_QUOTA, 0);
	r->campaign[0].odds = 0;
	r->campaign[0].wins_per_user = 2;
	rig_publish(r);
	assert_same(rig_ask_shake(r, 1, 1), win);
	assert_reply(rig_ask_shake(r, 2, 2), HB_QUOTA, 0);
	assert_reply(rig_ask_shake(r, 1, 2), HB_MISS, 1000);
	rig_stop(r);
}

static void
record_says_who_won_what(void **state)
{
	struct rig *r = started(state);
	struct hb_reply win = rig_ask_shake(r, 0xABCDEF0123456789, 77);
	struct hb_record record;

	assert_int_equal(rte_ring_dequeue_elem(r->link[0].records, &record, sizeof(record)), 0);
	assert_int_equal(record.type, HB_RECORD_WIN);
	assert_int_equal(record.op, HB_OP_SHAKE);
	assert_int_equal(record.campaign, 7);
	assert_int_equal(record.seq, 77);
	assert_int_equal(record.user, 0xABCDEF0123456789);
	assert_int_equal(record.id, win.id);
	assert_int_equal(record.amount, 10);
	assert_int_equal(record.time_us, RIG_NOW);
	rig_stop(r);
}

static void
everything_is_given_and_nothing_twice(void **state)
{
	struct rig *r = prepared(state);
	uint8_t seen[101] = {0};
	uint64_t fen = 0;

	r->campaign[0].terms =
		(struct hb_terms){.count = 100, .total = 12345, .split = HB_SPLIT_LUCKY, .seed = 5};
	rig_start(r);
	for (uint64_t user = 1; user <= 100; user++) {
		struct hb_reply win = rig_ask_shake(r, user, 1);

		assert_int_equal(win.status, HB_WIN);
		assert_in_range(hb_envelope_number(win.id), 1, 100);
		assert_int_equal(seen[hb_envelope_number(win.id)]++, 0);
		assert_true(win.value >= 1);
		fen += win.value;
	}
	assert_int_equal(fen, 12345);
	rig_step(r);
	assert_reply(rig_ask_shake(r, 101, 1), HB_EMPTY, 0);
	assert_true(hb_control_balanced(&r->control, NULL));
	rig_stop(r);
}

/* What a crash would take back must not have been told: that all is given, or that one has won. */
static void
empty_and_quota_wait_for_the_wins_they_rest_on(void **state)
{
	struct rig *r = prepared(state);

	r->campaign[0].terms.count = 2;
	rig_start(r);
	rig_ask_shake(r, 1, 1);
	rig_ask_shake(r, 2, 1);
	for (int twice = 0; twice < 2; twice++) {
		struct hb_reply empty = rig_ask_shake(r, 3, 1), quota = rig_ask_shake(r, 1, 2);

		assert_int_equal(empty.status, HB_EMPTY);
		assert_int_equal(empty.ticket, 2);
		assert_int_equal(quota.status, HB_QUOTA);
		assert_int_equal(quota.ticket, 2);
	}
	rig_step(r);
	assert_reply(rig_ask_shake(r, 3, 1), HB_EMPTY, 0);
	assert_reply(rig_ask_shake(r, 1, 2), HB_QUOTA, 0);
	rig_stop(r);
}

/* ---- what else a request can be answered --------------------------------------------- */

static void
miss_tells_the_campaigns_wait(void **state)
{
	struct rig *r = prepared(state);

	r->campaign[0].odds = 0;
	r->campaign[0].wait_ms = 1234;
	rig_start(r);
	for (uint64_t user = 1; user < 500; user++)
		assert_reply(rig_ask_shake(r, user, 1), HB_MISS, 1234);
	rig_stop(r);
}

static void
odds_are_kept(void **state)
{
	struct rig *r = prepared(state);
	uint64_t wins = 0, draws = 1000000;
	double odds = 0.017;

	r->config.users = 1000;
	r->campaign[0].odds = odds;
	r->campaign[0].wins_per_user = HB_USER_WINS_MAX;
	r->campaign[0].terms.count = 100000;
	r->campaign[0].terms.total = 100000;
	rig_start(r);
	for (uint64_t i = 0; i < draws; i++) {
		wins += rig_ask_shake(r, 1 + i % 1000, (uint32_t)(1 + i / 1000)).status == HB_WIN;
		rig_step(r);
	}
	/* Five standard deviations. */
	double expected = odds * (double)draws;
	assert_true(fabs((double)wins - expected) < 5 * sqrt(expected * (1 - odds)));
	rig_stop(r);
}

static void
early_and_closed_are_exact(void **state)
{
	struct rig *r = started(state);
	uint64_t opens = r->campaign[0].opens_us, closes = r->campaign[0].closes_us;

	r->now_us = opens - 1;
	assert_reply(rig_ask_shake(r, 1, 1), HB_EARLY, 1);
	r->now_us = opens - 5 * S;
	assert_reply(rig_ask_shake(r, 1, 1), HB_EARLY, 5000);
	r->now_us = 0;
	assert_reply(rig_ask_shake(r, 1, 1), HB_EARLY, UINT32_MAX);
	r->now_us = closes;
	assert_reply(rig_ask_shake(r, 1, 1), HB_CLOSED, 0);
	r->now_us = closes - 1;
	assert_int_equal(rig_ask_shake(r, 1, 1).status, HB_WIN);
	r->now_us = opens;
	assert_int_equal(rig_ask_shake(r, 2, 1).status, HB_WIN);
	/* A win is told again after the campaign is over. */
	rig_step(r);
	r->now_us = closes + S;
	assert_int_equal(rig_ask_shake(r, 1, 1).status, HB_WIN);
	assert_reply(rig_ask_shake(r, 1, 2), HB_CLOSED, 0);
	rig_stop(r);
}

static void
quota_is_for_each_user_and_campaign(void **state)
{
	struct rig *r = prepared(state);

	r->campaign[0].wins_per_user = 3;
	r->campaign[1] = r->campaign[0];
	r->campaign[1].id = 8;
	r->campaign[1].wins_per_user = 1;
	r->config.campaigns = 2;
	rig_start(r);
	for (uint32_t seq = 1; seq <= 3; seq++)
		assert_int_equal(rig_ask_shake(r, 1, seq).status, HB_WIN);
	rig_step(r);
	assert_reply(rig_ask_shake(r, 1, 4), HB_QUOTA, 0);
	assert_reply(rig_ask_shake(r, 1, 4), HB_QUOTA, 0);
	struct hb_request q = rig_shake(r, 8, 1, 1);
	struct hb_reply win = rig_ask(r, 0, &q);
	assert_int_equal(win.status, HB_WIN);
	assert_int_equal(win.id >> 32, 8);
	rig_step(r);
	q.seq = 2;
	assert_reply(rig_ask(r, 0, &q), HB_QUOTA, 0);
	rig_stop(r);
}

static void
stale_is_below_the_last_final_answer(void **state)
{
	struct rig *r = prepared(state);

	r->campaign[0].odds = 0;
	rig_start(r);
	assert_reply(rig_ask_shake(r, 1, 5), HB_MISS, 1000);
	assert_reply(rig_ask_shake(r, 1, 4), HB_STALE, 0);
	assert_reply(rig_ask_shake(r, 1, 5), HB_MISS, 1000);
	assert_reply(rig_ask_shake(r, 1, UINT32_MAX), HB_MISS, 1000);
	assert_reply(rig_ask_shake(r, 1, UINT32_MAX - 1), HB_STALE, 0);
	rig_stop(r);
}

static void
unknown_campaign_or_op_that_does_not_fit(void **state)
{
	struct rig *r = started(state);
	struct hb_request q = rig_shake(r, 8, 1, 1), a = rig_answer(r, 7, 1, 1, "x");
	struct hb_request none = rig_shake(r, 0, 1, 1),
			  grab = {.op = HB_OP_GRAB, .user = 1, .seq = 1};

	assert_reply(rig_ask(r, 0, &q), HB_UNKNOWN, 0);
	assert_reply(rig_ask(r, 0, &a), HB_UNKNOWN, 0);
	assert_reply(rig_ask(r, 0, &none), HB_UNKNOWN, 0);
	assert_reply(rig_ask(r, 0, &grab), HB_UNKNOWN, 0);
	rig_stop(r);
}

static void
answers_win_with_the_password_alone(void **state)
{
	struct rig *r = prepared(state);

	strcpy(r->campaign[0].password, "我");
	rig_start(r);
	struct hb_request wrong = rig_answer(r, 7, 1, 1, "你"),
			  right = rig_answer(r, 7, 1, 2, " 我\n");
	struct hb_request shake = rig_shake(r, 7, 1, 3);

	assert_reply(rig_ask(r, 0, &wrong), HB_WRONG, 0);
	assert_reply(rig_ask(r, 0, &wrong), HB_WRONG, 0);
	assert_int_equal(rig_ask(r, 0, &right).status, HB_WIN);
	assert_reply(rig_ask(r, 0, &wrong), HB_STALE, 0);
	assert_reply(rig_ask(r, 0, &shake), HB_UNKNOWN, 0);
	rig_stop(r);
}

static void
throttled_says_what_is_left_and_leaves_the_seq(void **state)
{
	struct rig *r = prepared(state);

	r->campaign[0].odds = 0;
	r->campaign[0].least_interval_ms = 500;
	rig_start(r);
	assert_reply(rig_ask_shake(r, 1, 1), HB_MISS, 1000);
	r->now_us += 200 * MS;
	assert_reply(rig_ask_shake(r, 1, 2), HB_THROTTLED, 300);
	/* A repeat of what was answered is no new request. */
	assert_reply(rig_ask_shake(r, 1, 1), HB_MISS, 1000);
	r->now_us += 299 * MS;
	assert_reply(rig_ask_shake(r, 1, 2), HB_THROTTLED, 1);
	r->now_us += 1 * MS;
	assert_reply(rig_ask_shake(r, 1, 2), HB_MISS, 1000);
	assert_reply(rig_ask_shake(r, 1, 3), HB_THROTTLED, 500);
	/* Others are not concerned. */
	assert_reply(rig_ask_shake(r, 2, 1), HB_MISS, 1000);
	/* A clock that steps back lets nobody starve. */
	r->now_us -= 400 * MS;
	assert_reply(rig_ask_shake(r, 1, 3), HB_THROTTLED, 500);
	rig_stop(r);
}

static void
throttle_ends_however_late_one_returns(void **state)
{
	struct rig *r = prepared(state);

	r->campaign[0].odds = 0;
	r->campaign[0].least_interval_ms = 500;
	r->campaign[0].closes_us = RIG_NOW + 100 * 86400 * S;
	rig_start(r);
	for (uint64_t days = 1; days < 49; days++) {
		r->now_us = RIG_NOW;
		assert_reply(rig_ask_shake(r, days, 1), HB_MISS, 1000);
		r->now_us += days * 86400 * S;
		assert_reply(rig_ask_shake(r, days, 2), HB_MISS, 1000);
	}
	rig_stop(r);
}

static void
busy_leaves_no_trace(void **state)
{
	struct rig *r = prepared(state);

	r->campaign[0].least_interval_ms = 500;
	rig_start(r);
	for (unsigned i = 0; i < HB_PARK_SLOTS; i++)
		hb_park_push(&r->engine[0].park, NULL, 1);
	assert_soon(rig_ask_shake(r, 1, 1));
	assert_int_equal(r->engine[0].users.used, 0);
	void *frame[HB_BURST];
	while (hb_park_pop(&r->engine[0].park, 1, frame, HB_BURST) != 0)
		;
	assert_int_equal(rig_ask_shake(r, 1, 1).status, HB_WIN);
	rig_stop(r);
}

static void
winners_are_throttled_too(void **state)
{
	struct rig *r = prepared(state);

	r->campaign[0].wins_per_user = 2;
	r->campaign[0].least_interval_ms = 500;
	rig_start(r);
	assert_int_equal(rig_ask_shake(r, 1, 1).status, HB_WIN);
	r->now_us += 100 * MS;
	assert_reply(rig_ask_shake(r, 1, 2), HB_THROTTLED, 400);
	r->now_us += 400 * MS;
	struct hb_reply second = rig_ask_shake(r, 1, 2);
	assert_int_equal(second.status, HB_WIN);
	rig_step(r);
	r->now_us += 500 * MS;
	assert_reply(rig_ask_shake(r, 1, 3), HB_QUOTA, 0);
	r->now_us += 100 * MS;
	assert_reply(rig_ask_shake(r, 1, 4), HB_THROTTLED, 400);
	/* The envelope of the last win is still known. */
	assert_int_equal(*hb_users_detail(&r->engine[0].users,
				 hb_users_find(&r->engine[0].users,
					 hb_users_hash(&r->engine[0].users, 7, 1), 7, 1)),
		hb_envelope_number(second.id));
	rig_stop(r);
}

static void
paused_is_busy_and_leaves_the_seq(void **state)
{
	struct rig *r = prepared(state);

	r->campaign[0].paused = true;
	rig_start(r);
	assert_reply(rig_ask_shake(r, 1, 1), HB_BUSY, 1000);
	r->campaign[0].paused = false;
	rig_publish(r);
	assert_int_equal(rig_ask_shake(r, 1, 1).status, HB_WIN);
	rig_stop(r);
}

static void
barred_users_are_denied(void **state)
{
	struct rig *r = started(state);

	struct hb_reply win = rig_ask_shake(r, 5, 1);
	for (uint64_t user = 1; user <= 20; user++)
		hb_engine_deny(&r->engine[0], user);
	for (uint64_t user = 1; user <= 20; user++)
		assert_reply(rig_ask_shake(r, user, 2), HB_DENIED, 0);
	assert_int_equal(rig_ask_shake(r, 21, 1).status, HB_WIN);
	/* What was told before is told again. */
	assert_same(rig_ask_shake(r, 5, 1), win);
	rig_stop(r);
}

/* Users come and go in any order, and many share places of the set. */
/* Whoever stands before them in the burst. */
static void
the_barred_are_denied_among_others(void **state)
{
	struct rig *r = prepared(state);
	struct hb_request q[HB_BURST];
	struct hb_reply out[HB_BURST];

	r->campaign[0].odds = 0;
	rig_start(r);
	for (unsigned i = 0; i < HB_BURST; i++) {
		q[i] = rig_shake(r, 7, 1 + i, 1);
		if (i % 8 == 3)
			hb_engine_deny(&r->engine[0], q[i].user);
	}
	hb_engine_decide(&r->engine[0], r->snapshot, q, out, HB_BURST);
	for (unsigned i = 0; i < HB_BURST; i++)
		assert_reply(out[i], i % 8 == 3 ? HB_DENIED : HB_MISS, i % 8 == 3 ? 0 : 1000);
	rig_stop(r);
}

static void
barring_ends(void **state)
{
	struct rig *r = started(state);
	bool barred[3001] = {false};
	uint64_t random = 1;
	unsigned count = 0;

	/* A small set, so that it is half full. */
	r->engine[0].denied_mask = 4095;
	for (unsigned i = 0; i < 60000; i++) {
		uint64_t user = 1 + hb_splitmix64(&random) % 3000;
		bool deny = count < 2000 && hb_splitmix64(&random) % 2 == 0;

		if (deny)
			hb_engine_deny(&r->engine[0], user);
		else
			hb_engine_undeny(&r->engine[0], user);
		count += deny - barred[user];
		barred[user] = deny;
		assert_int_equal(r->engine[0].denied_count, count);
		for (unsigned k = 0; i % 1000 == 0 && k < 3000; k++) {
			struct hb_look look = {.user = 1 + k};

			hb_engine_look(&r->engine[0], &look);
			assert_int_equal(look.denied, barred[1 + k]);
		}
	}
	hb_engine_undeny(&r->engine[0], 0);
	assert_int_equal(r->engine[0].denied_count, count);
	rig_stop(r);
}

static void
draining_tells_again_and_gives_nothing(void **state)
{
	struct rig *r = started(state);
	struct hb_reply win = rig_ask_shake(r, 1, 5);
	struct hb_request grab = rig_shake(r, 0, 4, 1), pack = grab;

	grab.op = HB_OP_GRAB;
	pack.op = HB_OP_PACK;
	rig_step(r);
	hb_engine_deny(&r->engine[0], 3);
	r->snapshot->draining = true;
	assert_same(rig_ask_shake(r, 1, 5), win);
	assert_reply(rig_ask_shake(r, 1, 4), HB_STALE, 0);
	assert_reply(rig_ask_shake(r, 1, 6), HB_BUSY, 1000);
	assert_reply(rig_ask_shake(r, 2, 1), HB_BUSY, 1000);
	assert_reply(rig_ask_shake(r, 3, 1), HB_DENIED, 0);
	grab.arg = pack.arg = 5;
	pack.terms = 100ull << 32 | 1 << 16 | 1 << 8;
	assert_reply(rig_ask(r, 0, &grab), HB_UNKNOWN, 0);
	assert_soon(rig_ask(r, 0, &pack));
	struct hb_request other = rig_shake(r, 8, 2, 1);
	assert_reply(rig_ask(r, 0, &other), HB_UNKNOWN, 0);
	/* BUSY leaves the seq unused. */
	r->snapshot->draining = false;
	assert_int_equal(rig_ask_shake(r, 2, 1).status, HB_WIN);
	rig_stop(r);
}

static void
a_look_shows_what_is_known(void **state)
{
	struct rig *r = prepared(state);
	struct hb_look look = {.user = 1, .rows = 2, .row = {{.campaign = 7}, {.campaign = 8}}};

	r->campaign[0].wins_per_user = 2;
	r->campaign[0].least_interval_ms = 1;
	rig_start(r);
	struct hb_reply win = rig_ask_shake(r, 1, 5);
	hb_engine_look(&r->engine[0], &look);
	assert_true(look.row[0].known);
	assert_false(look.row[1].known);
	assert_int_equal(look.row[0].wins, 1);
	assert_int_equal(look.row[0].seq, 5);
	assert_int_equal(look.row[0].outcome, HB_OUTCOME_WIN);
	assert_int_equal(look.row[0].number, hb_envelope_number(win.id));
	assert_int_equal(look.row[0].amount, win.value);
	assert_int_equal(look.row[0].asked_ms, (uint32_t)(r->now_us / 1000));
	assert_false(look.row[0].durable);
	assert_false(look.denied);
	rig_step(r);
	hb_engine_deny(&r->engine[0], 1);
	hb_engine_look(&r->engine[0], &look);
	assert_true(look.row[0].durable);
	assert_true(look.denied);
	/* Somebody who never won. */
	r->campaign[0].odds = 0;
	rig_publish(r);
	rig_ask_shake(r, 2, 9);
	look.user = 2;
	hb_engine_look(&r->engine[0], &look);
	assert_int_equal(look.row[0].outcome, HB_OUTCOME_MISS);
	assert_int_equal(look.row[0].seq, 9);
	assert_int_equal(look.row[0].number, 0);
	assert_int_equal(look.row[0].asked_ms, (uint32_t)(r->now_us / 1000));
	rig_stop(r);
}

static void
slices_of_others_have_moved(void **state)
{
	struct rig *r = prepared(state);
	unsigned moved = 0;

	r->config.slices = 0x0000FFFF;
	r->campaign[0].odds = 0;
	rig_start(r);
	for (uint64_t user = 1; user <= 1000; user++) {
		struct hb_reply reply = rig_ask_shake(r, user, 1);

		if (hb_shard(user) >> 7 < 16)
			assert_reply(reply, HB_MISS, 1000);
		else
			assert_reply(reply, HB_MOVED, 0);
		moved += reply.status == HB_MOVED;
	}
	assert_in_range(moved, 400, 600);
	rig_stop(r);
}

/* Wins in ten seconds of asking more often than 100 a second are released. */
static uint64_t
wins_of_ten_seconds(struct rig *r, unsigned workers, uint64_t *user)
{
	uint64_t wins = 0;

	r->config.workers = workers;
	r->config.users = 100000;
	r->campaign[0].release_per_second = 100;
	r->campaign[0].terms.count = 10000;
	r->campaign[0].terms.total = 10000;
	rig_start(r);
	for (uint64_t end = r->now_us + 10 * S; r->now_us < end; r->now_us += 300) {
		wins += rig_ask_shake(r, (*user)++, 1).status == HB_WIN;
		rig_step(r);
	}
	return wins;
}

static void
release_is_a_token_bucket(void **state)
{
	struct rig *r = prepared(state);
	uint64_t wins, user = 1;

	assert_in_range(wins_of_ten_seconds(r, 1, &user), 995, 1001);
	/* Silence saves up a tenth of a second's worth, not more. */
	r->now_us += 100 * S;
	for (wins = 0; wins < 50 && rig_ask_shake(r, user++, 1).status == HB_WIN; wins++)
		;
	assert_int_equal(wins, 10);
	rig_stop(r);
}

static void
release_is_shared_by_the_workers(void **state)
{
	struct rig *r = prepared(state);
	uint64_t user = 1;

	assert_in_range(wins_of_ten_seconds(r, 4, &user), 980, 1004);
	rig_stop(r);
}

/* ---- bounds -------------------------------------------------------------------------- */

static void
win_is_busy_when_the_disk_cannot_take_it(void **state)
{
	struct rig *r = started(state);

	r->disk.fail_flush = -EIO;
	rig_ask_shake(r, 1, 1);
	rig_step(r);
	assert_int_equal(r->link[0].durable, 0);
	assert_soon(rig_ask_shake(r, 2, 1));
	r->disk.fail_flush = 0;
	/* A failed flush is never forgiven. */
	for (int i = 0; i < 100; i++)
		assert_int_equal(rig_step(r), 0);
	assert_int_equal(r->link[0].durable, 0);
	assert_soon(rig_ask_shake(r, 2, 1));
	/* The win that was decided before is not told. */
	assert_int_not_equal(rig_ask_shake(r, 1, 1).ticket, 0);
	rig_stop(r);
}

/* So that those who were told it together don't come back together. */
static void
waits_of_busy_differ(void **state)
{
	struct rig *r = started(state);
	unsigned count[20] = {0};

	for (unsigned i = 0; i < HB_PARK_SLOTS; i++)
		hb_park_push(&r->engine[0].park, NULL, 1);
	for (uint64_t user = 1; user <= 1000; user++) {
		struct hb_reply busy = rig_ask_shake(r, user, 1);

		assert_soon(busy);
		count[busy.value]++;
	}
	for (unsigned ms = 10; ms < 20; ms++)
		assert_in_range(count[ms], 50, 150);
	rig_stop(r);
}

/* Overload control knows every win that was told, in this run or an earlier one. */
static void
told_wins_are_known(void **state)
{
	struct rig *r = started(state);
	const struct hb_admission *a = &r->engine[0].admission;
	struct hb_recall win = {.user = 77, .seq = 5, .number = 1, .campaign = 7};

	assert_false(hb_admission_was_told(a, 1, 7, 1));
	assert_int_equal(rig_ask_shake(r, 1, 1).status, HB_WIN);
	assert_true(hb_admission_was_told(a, 1, 7, 1));
	assert_false(hb_admission_was_told(a, 1, 7, 2));
	assert_false(hb_admission_was_told(a, 77, 7, 5));
	assert_int_equal(hb_engine_recall(&r->engine[0], &win), 0);
	assert_true(hb_admission_was_told(a, 77, 7, 5));
	rig_stop(r);
}

static void
win_is_busy_when_the_ring_is_full(void **state)
{
	struct rig *r = prepared(state);
	uint64_t user = 1;

	r->config.users = 100000;
	r->campaign[0].terms.count = 50000;
	r->campaign[0].terms.total = 50000;
	rig_start(r);
	while (rig_ask_shake(r, user, 1).status == HB_WIN)
		user++;
	assert_int_equal(user - 1, rte_ring_get_capacity(r->link[0].records));
	assert_soon(rig_ask_shake(r, user, 1));
	uint64_t stock = rig_count_stock(r, 0);
	assert_int_equal(stock, 50000 - (user - 1));
	rig_step(r);
	assert_int_equal(rig_ask_shake(r, user, 1).status, HB_WIN);
	rig_stop(r);
}

static void
win_is_busy_when_the_fifo_is_full(void **state)
{
	struct rig *r = started(state);

	for (unsigned i = 0; i < HB_PARK_SLOTS - 1; i++)
		hb_park_push(&r->engine[0].park, NULL, 1);
	struct hb_request q[2] = {rig_shake(r, 7, 1, 1), rig_shake(r, 7, 2, 1)};
	struct hb_reply out[2];
	hb_engine_decide(&r->engine[0], r->snapshot, q, out, 2);
	assert_int_equal(out[0].status, HB_WIN);
	assert_soon(out[1]);
	hb_park_push(&r->engine[0].park, NULL, out[0].ticket);
	/* Not even a repeat finds room, while its record is not durable; then it needs none. */
	assert_soon(rig_ask_shake(r, 1, 1));
	rig_step(r);
	assert_int_equal(rig_ask_shake(r, 1, 1).ticket, 0);
	rig_stop(r);
}

static void
parked_frames_leave_in_order_and_not_one_too_many(void **state)
{
	struct rig *r = started(state);
	struct hb_park *p = &r->engine[0].park;
	void *frame[8];
	int names[6];

	for (unsigned i = 0; i < 6; i++)
		hb_park_push(p, &names[i], i + 1);
	assert_int_equal(hb_park_pop(p, 0, frame, 8), 0);
	assert_int_equal(hb_park_pop(p, 3, frame, 8), 3);
	assert_ptr_equal(frame[2], &names[2]);
	assert_int_equal(hb_park_pop(p, 3, frame, 8), 0);
	assert_int_equal(hb_park_pop(p, 6, frame, 2), 2);
	assert_int_equal(hb_park_pop(p, 6, frame, 8), 1);
	assert_int_equal(hb_park_used(p), 0);
	rig_stop(r);
}

static void
full_table_forgets_losers_and_keeps_winners(void **state)
{
	struct rig *r = prepared(state);
	struct hb_reply win[50];

	r->config.users = 100;
	rig_start(r);
	for (uint64_t user = 1; user <= 50; user++)
		win[user - 1] = rig_ask_shake(r, user, 1);
	rig_step(r);
	r->campaign[0].odds = 0;
	rig_publish(r);
	for (uint64_t user = 1000; user < 101000; user++)
		assert_reply(rig_ask_shake(r, user, 1), HB_MISS, 1000);
	assert_true(r->engine[0].users.forgotten > 90000);
	for (uint64_t user = 1; user <= 50; user++)
		assert_same(rig_ask_shake(r, user, 1), win[user - 1]);
	rig_stop(r);
}

static void
table_full_of_winners_makes_new_wins_busy(void **state)
{
	struct rig *r = prepared(state);
	uint64_t user, wins = 0;

	r->config.users = 100;
	r->campaign[0].terms.count = 10000;
	r->campaign[0].terms.total = 10000;
	rig_start(r);
	for (user = 1; user <= 9000; user++) {
		struct hb_reply reply = rig_ask_shake(r, user, 1);

		assert_true(reply.status == HB_WIN || reply.status == HB_BUSY);
		wins += reply.status == HB_WIN;
	}
	assert_in_range(wins, 100, 200);
	assert_int_equal(rig_count_stock(r, 0), 10000 - wins);
	assert_int_equal(r->link[0].books[0].given, wins);
	rig_stop(r);
}

/* ---- repeatability ------------------------------------------------------------------- */

static void
draw_depends_on_who_asks_for_what_alone(void **state)
{
	struct rig *r = prepared(state);
	uint8_t first[2000];

	for (int pass = 0; pass < 2; pass++) {
		rig_prepare(r);
		r->config.users = 10000;
		r->campaign[0].odds = 0.3;
		r->campaign[0].terms.count = 5000;
		r->campaign[0].terms.total = 5000;
		/* Another number of workers, and the other way round. */
		r->config.workers = pass == 0 ? 1 : 3;
		rig_start(r);
		for (unsigned i = 0; i < 2000; i++) {
			uint64_t user = pass == 0 ? i + 1 : 2000 - i;
			uint8_t status = rig_ask_shake(r, user, 1).status;

			if (pass == 0)
				first[user - 1] = status;
			else
				assert_int_equal(status, first[user - 1]);
		}
		rig_stop(r);
	}
}

static void
burst_decides_like_one_by_one(void **state)
{
	struct rig *r = *state;
	struct hb_reply one[640], many[640];

	for (int pass = 0; pass < 2; pass++) {
		struct hb_request q[640];

		rig_prepare(r);
		r->campaign[0].odds = 0.5;
		r->campaign[0].wins_per_user = 2;
		rig_start(r);
		for (unsigned i = 0; i < 640; i++)
			q[i] = rig_shake(r, 7, 1 + i % 100, 1 + i / 150);
		for (unsigned i = 0; pass == 0 && i < 640; i++)
			one[i] = rig_ask(r, 0, &q[i]);
		for (unsigned i = 0; pass == 1 && i < 640; i += HB_BURST)
			hb_engine_decide(&r->engine[0], r->snapshot, q + i, many + i, HB_BURST);
		rig_stop(r);
	}
	for (unsigned i = 0; i < 640; i++)
		assert_same(one[i], many[i]);
}

/* What is different from round to round, in both rigs. */
static void
draw_terms(struct rig *r, uint64_t v)
{
	r->config.slices = v % 4 == 0 ? 0xFFFF00FF : UINT32_MAX;
	r->config.users = v >> 2 & 1 ? 60 : 1000;
	r->config.campaigns = 3;
	for (unsigned i = 0; i < 3; i++)
		r->campaign[i] = (struct hb_campaign_config){.id = (uint16_t)(7 + i),
			.opens_us = RIG_NOW,
			.closes_us = RIG_NOW + 1000,
			.terms = {.count = v >> 3 & 1 ? 20 : 5000,
				.total = 10000,
				.split = HB_SPLIT_EQUAL,
				.seed = 1},
			.odds = v >> 4 & 1 ? 0.5 : 0.05,
			.wins_per_user = 1 + (v >> 5 & 1),
			.wait_ms = 1000 + i,
			.paused = i == 1 && (v >> 6 & 1),
			.least_interval_ms = i == 1 && (v >> 7 & 1) ? 1 : 0,
			.release_per_second = v >> 8 & 1 ? 1000 : 0};
	snprintf(r->campaign[2].password, sizeof(r->campaign[2].password), "red");
}

/* Requests of all kinds, mostly of one campaign and of one time, which may be on either side of the
 * opening or the end. */
static void
draw_requests(const struct rig *r, struct hb_request *q, unsigned n, uint64_t *random)
{
	static const uint64_t after[] = {0, 0, 1, 500, 999, 1000, (uint64_t)-1};
	uint64_t time = hb_splitmix64(random);

	for (unsigned i = 0; i < n; i++) {
		uint64_t v = hb_splitmix64(random);
		uint16_t campaign = v % 4 != 0 ? 7 : (uint16_t)(6 + (v >> 2) % 5);

		q[i] = rig_shake(r, campaign, 1 + (v >> 8) % 90, 1 + (uint32_t)(v >> 20) % 6);
		if (campaign == 9 && v >> 24 & 1)
			q[i] = rig_answer(r, 9, q[i].user, q[i].seq, v >> 25 & 1 ? "red" : "blue");
		if ((v >> 28) % 16 == 0)
			q[i].op = (uint8_t)(1 + (v >> 32) % 4);
		if ((v >> 36) % 4 == 0)
			time = v >> 40;
		q[i].now_us = RIG_NOW + after[time % HB_COUNT_OF(after)];
	}
}

static void
assert_same_stats(const struct hb_worker_stats *a, const struct hb_worker_stats *b)
{
	assert_memory_equal(a->replies, b->replies, sizeof(a->replies));
	assert_int_equal(a->wins, b->wins);
	assert_int_equal(a->fen, b->fen);
}

/* What nearly every request comes to has a short way. Where anybody at all is barred, nobody goes
 * it: so one rig bars somebody who never asks, and the other nobody, and all else is the same, what
 * is remembered included. */
static void
the_short_way_decides_like_the_long_one(void **state)
{
	const uint64_t never_asks = 1ull << 50;
	struct rig *r[2] = {*state};
	unsigned seen[HB_STATUSES] = {0};
	uint64_t random = 17;
	void *other;

	assert_int_equal(rig_make(&other), 0);
	r[1] = other;
	for (unsigned round = 0; round < 400; round++) {
		uint64_t v = hb_splitmix64(&random);
		bool bars = v >> 16 & 1;

		for (unsigned i = 0; i < 2; i++) {
			rig_prepare(r[i]);
			draw_terms(r[i], v);
			rig_start(r[i]);
		}
		hb_engine_deny(&r[1]->engine[0], never_asks);
		for (unsigned burst = 0; burst < 12; burst++) {
			unsigned n = 1 + (unsigned)(hb_splitmix64(&random) % HB_BURST);
			struct hb_request q[HB_BURST];
			struct hb_reply out[2][HB_BURST];

			draw_requests(r[0], q, n, &random);
			for (unsigned i = 0; i < 2; i++) {
				/* What was told is told again, though it would come out otherwise
				 * now. */
				if (burst == 4) {
					r[i]->campaign[0].odds = 0.01;
					r[i]->campaign[0].wins_per_user = 3;
					rig_publish(r[i]);
				}
				if (bars && burst == 6)
					hb_engine_deny(&r[i]->engine[0], 5);
				r[i]->snapshot->draining = burst == 10;
				hb_engine_expect(&r[i]->engine[0], r[i]->snapshot, q, n);
				hb_engine_decide(&r[i]->engine[0], r[i]->snapshot, q, out[i], n);
			}
			for (unsigned i = 0; i < n; i++) {
				assert_same(out[0][i], out[1][i]);
				assert_int_equal(out[0][i].ticket, out[1][i].ticket);
				seen[out[0][i].status]++;
			}
			assert_same_stats(&r[0]->stats[0], &r[1]->stats[0]);
			rig_step(r[0]);
			rig_step(r[1]);
		}
		assert_int_equal(r[0]->engine[0].users.used, r[1]->engine[0].users.used);
		assert_int_equal(rig_count_stock(r[0], 0), rig_count_stock(r[1], 0));
		rig_stop(r[0]);
		rig_stop(r[1]);
	}
	rig_free(&other);
	/* The tests of each say why. */
	for (enum hb_status s = HB_WIN; s <= HB_MOVED; s++) {
		if (s != HB_EXPIRED && s < HB_BUNDLE)
			assert_true(seen[s] > 0);
	}
	assert_true(seen[HB_MOVED] > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(win_names_envelope_and_waits_for_its_record),
		cmocka_unit_test(repeat_of_a_win_waits_while_its_record_does),
		cmocka_unit_test(what_was_told_is_told_again_after_a_change),
		cmocka_unit_test(record_says_who_won_what),
		cmocka_unit_test(everything_is_given_and_nothing_twice),
		cmocka_unit_test(empty_and_quota_wait_for_the_wins_they_rest_on),
		cmocka_unit_test(miss_tells_the_campaigns_wait),
		cmocka_unit_test(odds_are_kept),
		cmocka_unit_test(early_and_closed_are_exact),
		cmocka_unit_test(quota_is_for_each_user_and_campaign),
		cmocka_unit_test(stale_is_below_the_last_final_answer),
		cmocka_unit_test(unknown_campaign_or_op_that_does_not_fit),
		cmocka_unit_test(answers_win_with_the_password_alone),
		cmocka_unit_test(throttled_says_what_is_left_and_leaves_the_seq),
		cmocka_unit_test(throttle_ends_however_late_one_returns),
		cmocka_unit_test(busy_leaves_no_trace),
		cmocka_unit_test(winners_are_throttled_too),
		cmocka_unit_test(paused_is_busy_and_leaves_the_seq),
		cmocka_unit_test(barred_users_are_denied),
		cmocka_unit_test(the_barred_are_denied_among_others),
		cmocka_unit_test(barring_ends),
		cmocka_unit_test(draining_tells_again_and_gives_nothing),
		cmocka_unit_test(a_look_shows_what_is_known),
		cmocka_unit_test(slices_of_others_have_moved),
		cmocka_unit_test(release_is_a_token_bucket),
		cmocka_unit_test(release_is_shared_by_the_workers),
		cmocka_unit_test(win_is_busy_when_the_disk_cannot_take_it),
		cmocka_unit_test(waits_of_busy_differ),
		cmocka_unit_test(told_wins_are_known),
		cmocka_unit_test(win_is_busy_when_the_ring_is_full),
		cmocka_unit_test(win_is_busy_when_the_fifo_is_full),
		cmocka_unit_test(parked_frames_leave_in_order_and_not_one_too_many),
		cmocka_unit_test(full_table_forgets_losers_and_keeps_winners),
		cmocka_unit_test(table_full_of_winners_makes_new_wins_busy),
		cmocka_unit_test(draw_depends_on_who_asks_for_what_alone),
		cmocka_unit_test(burst_decides_like_one_by_one),
		cmocka_unit_test(the_short_way_decides_like_the_long_one),
	};

	return cmocka_run_group_tests_name("engine", tests, rig_make, rig_free);
}
