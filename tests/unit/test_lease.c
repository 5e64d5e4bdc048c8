/* SPDX-License-Identifier: BSD-3-Clause */
/* A budget that many hosts share, on one of them: blocks, what goes back, the term, users who come.
 */
#include "hb_recovery.h"
#include "rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define ID 7

static uint64_t the_time = 1000;

static uint64_t
term_clock(void)
{
	return the_time;
}

/* A leased campaign, no block of it yet; and a term without an end. */
static void
start(struct rig *r, unsigned workers)
{
	rig_prepare(r);
	r->config.workers = workers;
	r->campaign[0].leased = true;
	r->campaign[0].terms = (struct hb_terms){0};
	rig_begin(r);
	r->control.term.now_ns = term_clock;
	hb_control_leased(&r->control, 0, ID);
	assert_int_equal(hb_control_quota(&r->control, 0, 1, r->now_us, NULL), 0);
	hb_control_renew(&r->control, UINT64_MAX);
}

static int
take(struct rig *r, uint32_t block, uint32_t first, const struct hb_terms *t, struct hb_error *e)
{
	struct hb_lease lease = {.block = block, .first = first};
	struct hb_envelopes v;

	assert_int_equal(hb_envelopes_make(&v, t, "block", NULL), 0);
	int err = hb_control_take_block(&r->control, 0, &lease, t, r->now_us, &v, e);
	hb_envelopes_free(&v);
	if (err == 0)
		rig_obey(r);
	return err;
}

static const struct hb_terms ten = {.count = 10, .total = 1000, .split = HB_SPLIT_LUCKY, .seed = 5};

/* What goes back, turn after turn. */
static int
give_back(struct rig *r, uint64_t asked, uint64_t *returned)
{
	struct hb_returning back = {.asked = asked};
	struct hb_error e;
	int err, turns = 0;

	while ((err = hb_control_return(&r->control, 0, &back, r->now_us, &e)) == -EAGAIN) {
		assert_true(++turns < 1000);
		rig_obey(r);
	}
	*returned = back.returned;
	return err;
}

static struct hb_reply
ask(struct rig *r, uint64_t user, uint32_t seq)
{
	struct hb_request q = rig_shake(r, ID, user, seq);

	return rig_ask(r, rig_owner(r, user), &q);
}

/* ---- blocks -------------------------------------------------------------------------- */

static void
a_block_is_taken_once_and_numbered_as_its_lease_says(void **state)
{
	struct rig *r = *state;
	struct hb_error e = {""};
	bool seen[10] = {false};
	uint64_t fen = 0;

	start(r, 1);
	/* Nothing is here, and nobody knows of the others. */
	assert_int_equal(ask(r, 1, 1).status, HB_BUSY);
	assert_int_equal(take(r, 3, 501, &ten, &e), 0);
	uint64_t records = r->journal.record;
	assert_int_equal(take(r, 3, 501, &ten, &e), -EALREADY);
	/* With another seed it is the same block; with other money it isn't. */
	struct hb_terms other = ten;
	other.seed = 6;
	assert_int_equal(take(r, 3, 501, &other, &e), -EALREADY);
	other.total = 1001;
	assert_int_equal(take(r, 3, 501, &other, &e), -EEXIST);
	assert_int_equal(take(r, 3, 502, &ten, &e), -EEXIST);
	/* Nor may another have a number of it. */
	assert_int_equal(take(r, 4, 492, &ten, &e), -EEXIST);
	assert_int_equal(take(r, 4, 510, &ten, &e), -EEXIST);
	assert_int_equal(take(r, 4, UINT32_MAX - 3, &ten, &e), -EEXIST);
	assert_int_equal(r->journal.record, records);
	assert_int_equal(take(r, 4, 491, &ten, &e), 0);
	for (uint64_t user = 1; user <= 20; user++) {
		struct hb_reply win = ask(r, user, 1);

		assert_int_equal(win.status, HB_WIN);
		assert_in_range(win.id, hb_envelope_id(ID, 491), hb_envelope_id(ID, 510));
		if (hb_envelope_number(win.id) >= 501) {
			assert_false(seen[hb_envelope_number(win.id) - 501]);
			seen[hb_envelope_number(win.id) - 501] = true;
		}
		fen += win.value;
		rig_step(r);
		assert_int_equal(ask(r, user, 1).id, win.id);
	}
	assert_int_equal(fen, 2000);
	assert_true(hb_control_balanced(&r->control, &e));
	rig_stop(r);
}

static void
own_budgets_and_shared_ones_don_t_mix(void **state)
{
	struct rig *r = *state;
	struct hb_error e = {""};
	struct hb_envelopes v;

	start(r, 1);
	assert_int_equal(hb_envelopes_make(&v, &ten, "more", NULL), 0);
	assert_int_equal(hb_control_top_up(&r->control, 0, &ten, 1, &v, &e), -EINVAL);
	assert_non_null(strstr(e.text, "shared by many hosts"));
	hb_envelopes_free(&v);
	rig_stop(r);
	rig_prepare(r);
	rig_start(r);
	assert_int_equal(take(r, 1, 1001, &ten, &e), -EINVAL);
	assert_non_null(strstr(e.text, "budget of its own"));
	assert_int_equal(hb_control_done(&r->control, 0, true, &e), -EINVAL);
	rig_stop(r);
}

static void
empty_is_told_only_when_nothing_is_left_anywhere(void **state)
{
	struct rig *r = *state;
	struct hb_error e = {""};

	for (unsigned workers = 1; workers <= 2; workers++) {
		start(r, workers);
		assert_int_equal(take(r, 1, 1, &ten, &e), 0);
		unsigned wins = 0;
		for (uint64_t user = 1; wins < 10; user++) {
			wins += ask(r, user, 1).status == HB_WIN;
			rig_obey(r);
		}
		rig_step(r);
		rig_step(r);
		assert_int_equal(ask(r, 1000, 1).status, HB_BUSY);
		assert_int_equal(hb_control_done(&r->control, 0, true, &e), 0);
		rig_step(r);
		assert_int_equal(ask(r, 1000, 1).status, HB_EMPTY);
		/* The other hosts gave something back. */
		assert_int_equal(hb_control_done(&r->control, 0, false, &e), 0);
		assert_int_equal(ask(r, 1001, 1).status, HB_BUSY);
		assert_int_equal(hb_control_done(&r->control, 0, true, &e), 0);
		rig_step(r);
		assert_int_equal(ask(r, 1002, 1).status, HB_EMPTY);
		/* A block takes it back by itself. */
		assert_int_equal(take(r, 2, 11, &ten, &e), 0);
		assert_int_equal(ask(r, 1003, 1).status, HB_WIN);
		assert_false(r->control.ledger[0].done);
		rig_stop(r);
	}
}

/* ---- the term ------------------------------------------------------------------------ */

static void
nothing_is_given_when_the_term_is_over(void **state)
{
	struct rig *r = *state;
	struct hb_error e = {""};

	start(r, 1);
	assert_int_equal(take(r, 1, 1, &ten, &e), 0);
	struct hb_reply win = ask(r, 1, 1);
	assert_int_equal(win.status, HB_WIN);
	rig_step(r);
	hb_control_renew(&r->control, the_time + 5);
	assert_int_equal(ask(r, 2, 1).status, HB_WIN);
	the_time += 4;
	assert_int_equal(ask(r, 3, 1).status, HB_WIN);
	rig_step(r);
	the_time++;
	/* Nobody has told the worker. */
	assert_int_equal(ask(r, 4, 1).status, HB_BUSY);
	/* What was told is told, and what one may have is known. */
	assert_int_equal(ask(r, 1, 1).id, win.id);
	assert_int_equal(ask(r, 1, 2).status, HB_QUOTA);
	/* Others may have got some by now: so not EMPTY either. */
	hb_control_renew(&r->control, UINT64_MAX);
	for (uint64_t user = 10; user < 17; user++)
		assert_int_equal(ask(r, user, 1).status, HB_WIN);
	rig_step(r);
	assert_int_equal(hb_control_done(&r->control, 0, true, &e), 0);
	rig_step(r);
	assert_int_equal(ask(r, 20, 1).status, HB_EMPTY);
	hb_control_renew(&r->control, the_time);
	assert_int_equal(ask(r, 21, 1).status, HB_BUSY);
	hb_control_renew(&r->control, 0);
	assert_int_equal(ask(r, 21, 1).status, HB_BUSY);
	rig_stop(r);
}

static void
a_campaign_of_its_own_knows_no_term(void **state)
{
	struct rig *r = *state;

	rig_prepare(r);
	rig_start(r);
	hb_control_renew(&r->control, 0);
	assert_int_equal(rig_ask_shake(r, 1, 1).status, HB_WIN);
	rig_stop(r);
}

/* ---- what goes back ------------------------------------------------------------------- */

/* All records of the rig's journal. */
static unsigned
read_journal(struct rig *r, struct hb_record *out, unsigned most)
{
	static struct hb_journal_reader reader;
	const struct hb_record *record;
	unsigned all = 0;
	int n;

	assert_int_equal(hb_journal_read_disk(&reader, &r->disk.disk, "memory", NULL), 0);
	while ((n = hb_journal_read(&reader, &record, NULL)) > 0) {
		assert_true(all + (unsigned)n <= most);
		memcpy(out + all, record, (size_t)n * sizeof(*record));
		all += (unsigned)n;
	}
	assert_int_equal(n, 0);
	hb_journal_read_end(&reader);
	return all;
}

/* What the RETURN records give back, each amount of it. */
static void
check_returns(struct rig *r, uint64_t envelopes, uint64_t fen, bool tiered)
{
	static struct hb_record record[4096];
	unsigned n = read_journal(r, record, HB_COUNT_OF(record));

	for (unsigned i = 0; i < n; i++) {
		if (record[i].type != HB_RECORD_RETURN)
			continue;
		uint64_t count = 0, sum = 0;
		assert_int_equal(record[i].amount != 0, tiered);
		for (unsigned k = 1; k <= record[i].amount; k++) {
			assert_int_equal(record[i + k].type, HB_RECORD_TIER);
			count += record[i + k].seq;
			sum += (uint64_t)record[i + k].seq * record[i + k].amount;
		}
		if (tiered) {
			assert_int_equal(count, record[i].seq);
			assert_int_equal(sum, record[i].user);
		}
		envelopes -= record[i].seq;
		fen -= record[i].user;
	}
	assert_int_equal(envelopes, 0);
	assert_int_equal(fen, 0);
}

static const struct hb_terms tiers = {.count = 60,
	.total = 50 * 3 + 10 * 7,
	.split = HB_SPLIT_TIERS,
	.tiers = 2,
	.tier = {{50, 3}, {10, 7}},
	.seed = 8};

static void
what_was_not_given_goes_back_to_the_fen(void **state)
{
	struct rig *r = *state;
	struct hb_error e = {""};
	uint64_t back;

	for (unsigned workers = 1; workers <= 3; workers++) {
		const struct hb_terms *t = workers == 2 ? &tiers : &ten;
		uint64_t fen = 0, funded;
		unsigned wins = 0;

		start(r, workers);
		for (uint32_t block = 1; block <= 3; block++)
			assert_int_equal(take(r, block, 1 + 100 * (block - 1), t, &e), 0);
		for (uint64_t user = 1; user <= 9; user++) {
			struct hb_reply reply = ask(r, user, 1);

			wins += reply.status == HB_WIN;
			fen += reply.status == HB_WIN ? reply.value : 0;
		}
		rig_step(r);
		funded = r->control.ledger[0].funded;
		/* Some, and the rest. */
		assert_int_equal(give_back(r, 4, &back), 0);
		assert_int_equal(back, 4);
		assert_true(hb_control_balanced(&r->control, &e));
		assert_int_equal(rig_count_stock(r, 0), funded - wins - 4);
		assert_int_equal(give_back(r, UINT32_MAX, &back), 0);
		assert_int_equal(back, funded - wins - 4);
		assert_int_equal(rig_count_stock(r, 0), 0);
		assert_int_equal(r->control.ledger[0].returned, funded - wins);
		assert_int_equal(r->control.ledger[0].returned_fen, 3 * t->total - fen);
		assert_true(hb_control_balanced(&r->control, &e));
		check_returns(r, funded - wins, 3 * t->total - fen, t == &tiers);
		/* Nobody gets them any more. */
		assert_int_equal(ask(r, 100, 1).status, HB_BUSY);
		assert_int_equal(give_back(r, UINT32_MAX, &back), 0);
		assert_int_equal(back, 0);
		rig_stop(r);
	}
}

static void
a_disk_that_refuses_keeps_them_here(void **state)
{
	struct rig *r = *state;
	struct hb_error e = {""};
	uint64_t back;

	start(r, 1);
	assert_int_equal(take(r, 1, 1, &ten, &e), 0);
	r->disk.fail_create = -ENOSPC;
	r->disk.fail_write = -ENOSPC;
	assert_int_equal(give_back(r, 5, &back), -ENOSPC);
	hb_control_return_over(&r->control, 0);
	assert_int_equal(back, 0);
	r->disk.fail_create = r->disk.fail_write = 0;
	r->now_us += 1000000;
	rig_obey(r);
	assert_true(hb_control_balanced(&r->control, &e));
	assert_int_equal(rig_count_stock(r, 0), 10);
	unsigned wins = 0;
	for (uint64_t user = 1; user <= 40 && wins < 10; user++) {
		wins += ask(r, user, 1).status == HB_WIN;
		rig_obey(r);
	}
	assert_int_equal(wins, 10);
	rig_stop(r);
}

/* ---- a restart ----------------------------------------------------------------------- */

/* The same journal, with engines and a control core of a new process. */
static int
restart(struct rig *r, unsigned workers, struct hb_error *e)
{
	static struct hb_journal_reader reader;
	static struct hb_recovery recovery;
	struct hb_error why;

	hb_journal_end(&r->journal);
	for (unsigned w = 0; w < r->config.workers; w++) {
		hb_engine_free(&r->engine[w]);
		hb_link_free(&r->link[w]);
	}
	hb_control_free(&r->control);
	memset(r->drained, 0, sizeof(r->drained));
	r->config.workers = workers;
	rig_make_workers(r);
	r->control.term.now_ns = term_clock;
	assert_int_equal(hb_recovery_begin(&recovery, &r->control, r->engines, r->envelopes,
				 r->campaign, r->config.campaigns, e),
		0);
	assert_int_equal(hb_journal_read_disk(&reader, &r->disk.disk, "memory", &why), 0);
	int err = hb_recovery_read(&recovery, &reader, false, NULL, e);
	if (err == 0) {
		assert_int_equal(
			hb_journal_resume(&r->journal, &r->disk.disk, &reader, r->segment_bytes, e),
			0);
		err = hb_recovery_finish(&recovery, 1, r->now_us, e);
	}
	hb_recovery_free(&recovery);
	hb_journal_read_end(&reader);
	return err;
}

static void
a_restart_knows_blocks_and_what_went_back(void **state)
{
	struct rig *r = *state;
	struct hb_error e = {""};
	struct hb_reply win[6];
	uint64_t back;

	start(r, 2);
	assert_int_equal(take(r, 9, 701, &ten, &e), 0);
	assert_int_equal(take(r, 2, 11, &tiers, &e), 0);
	for (uint64_t user = 1; user <= 5; user++) {
		win[user] = ask(r, user, 1);
		assert_int_equal(win[user].status, HB_WIN);
	}
	rig_step(r);
	assert_int_equal(give_back(r, 30, &back), 0);
	for (unsigned workers = 1; workers <= 3; workers++) {
		assert_int_equal(restart(r, workers, &e), 0);
		assert_true(hb_control_balanced(&r->control, &e));
		assert_int_equal(r->control.ledger[0].returned, 30);
		assert_int_equal(rig_count_stock(r, 0), 70 - 30 - 5);
		/* Nothing is given before somebody renews. */
		assert_int_equal(ask(r, 50, 1).status, HB_BUSY);
		hb_control_renew(&r->control, UINT64_MAX);
		for (uint64_t user = 1; user <= 5; user++) {
			struct hb_reply again = ask(r, user, 1);

			assert_int_equal(again.status, HB_WIN);
			assert_int_equal(again.id, win[user].id);
			assert_int_equal(again.value, win[user].value);
		}
		assert_int_equal(take(r, 9, 701, &ten, &e), -EALREADY);
	}
	assert_int_equal(give_back(r, UINT32_MAX, &back), 0);
	assert_int_equal(back, 35);
	assert_int_equal(restart(r, 1, &e), 0);
	assert_int_equal(rig_count_stock(r, 0), 0);
	/* The configuration must not take it for a budget of its own. */
	r->campaign[0].leased = false;
	r->campaign[0].terms = ten;
	assert_int_equal(restart(r, 1, &e), -EINVAL);
	assert_non_null(strstr(e.text, "leased: true"));
	r->campaign[0].leased = true;
	rig_stop(r);
}

/* ---- users from other hosts ---------------------------------------------------------- */

static struct hb_row
row(uint64_t user, uint32_t seq, uint32_t wins, uint32_t number)
{
	return (struct hb_row){.user = user,
		.id = hb_envelope_id(ID, number),
		.won_us = RIG_NOW - 5,
		.amount = number + 1,
		.seq = seq,
		.wins = wins,
		.outcome = HB_OUTCOME_WIN};
}

/* The user's last win, told again with the bytes of then. */
static void
assert_told(struct rig *r, const struct hb_row *of)
{
	struct hb_reply reply = ask(r, of->user, of->seq);

	assert_int_equal(reply.status, HB_WIN);
	assert_int_equal(reply.id, of->id);
	assert_int_equal(reply.value, of->amount);
	assert_int_equal(reply.ticket, 0);
}

static void
a_user_who_comes_keeps_wins_and_quota(void **state)
{
	struct rig *r = *state;
	struct hb_error e = {""};
	struct hb_row of[3] = {row(1, 12, 1, 900), row(2, 7, 2, 901), row(3, 1, 1, 902)};
	uint32_t underway, refused;

	start(r, 2);
	r->campaign[0].wins_per_user = 2;
	rig_publish(r);
	assert_int_equal(take(r, 1, 1, &ten, &e), 0);
	assert_int_equal(hb_control_rows(&r->control, 0, of, 3, &e), 0);
	hb_control_rows_left(&r->control, 0, 3, &underway, &refused);
	assert_int_equal(underway, 3);
	rig_obey(r);
	hb_control_rows_left(&r->control, 0, 3, &underway, &refused);
	assert_int_equal(underway + refused, 0);
	for (unsigned again = 0; again < 2; again++) {
		for (unsigned i = 0; i < 3; i++)
			assert_told(r, &of[i]);
		assert_int_equal(ask(r, 1, 11).status, HB_STALE);
		/* The same once more changes nothing, nor does a restart. */
		assert_int_equal(hb_control_rows(&r->control, 0, of, 3, &e), 0);
		rig_obey(r);
		assert_int_equal(restart(r, 1 + again, &e), 0);
		hb_control_renew(&r->control, UINT64_MAX);
	}
	assert_int_equal(ask(r, 2, 8).status, HB_QUOTA);
	struct hb_reply win = ask(r, 1, 13);
	assert_int_equal(win.status, HB_WIN);
	assert_in_range(hb_envelope_number(win.id), 1, 10);
	rig_step(r);
	assert_int_equal(ask(r, 1, 14).status, HB_QUOTA);
	/* An older row than what this host knows by now changes nothing that was told. */
	assert_int_equal(hb_control_rows(&r->control, 0, of, 1, &e), 0);
	rig_obey(r);
	assert_int_equal(ask(r, 1, 14).status, HB_QUOTA);
	assert_int_equal(restart(r, 2, &e), 0);
	hb_control_renew(&r->control, UINT64_MAX);
	assert_int_equal(ask(r, 1, 13).id, win.id);
	assert_int_equal(ask(r, 1, 14).status, HB_QUOTA);
	assert_int_equal(ask(r, 3, 2).status, HB_WIN);
	rig_stop(r);
}

static void
rows_that_make_no_sense_are_refused(void **state)
{
	struct rig *r = *state;
	struct hb_error e = {""};
	struct hb_row bad[6];
	uint32_t underway, refused;

	for (unsigned i = 0; i < 6; i++)
		bad[i] = row(1, 1, 1, 5);
	bad[0].user = 0;
	bad[1].seq = 0;
	bad[2].wins = 0;
	bad[3].amount = 0;
	bad[4].outcome = HB_OUTCOME_MISS;
	bad[5].id = hb_envelope_id(8, 5);
	start(r, 1);
	uint64_t records = r->journal.record;
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(hb_control_rows(&r->control, 0, &bad[i], 1, &e), -EINVAL);
	assert_int_equal(r->journal.record, records);
	rig_stop(r);
	/* A table that is full of winners says so. */
	rig_prepare(r);
	start(r, 1);
	for (uint64_t user = 1; user <= 1200; user++) {
		struct hb_row one = row(user, 1, 1, (uint32_t)user);

		assert_int_equal(hb_control_rows(&r->control, 0, &one, 1, &e), 0);
		rig_obey(r);
	}
	hb_control_rows_left(&r->control, 0, 1200, &underway, &refused);
	assert_int_equal(underway, 0);
	assert_in_range(refused, 1, 1200);
	rig_stop(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_is_taken_once_and_numbered_as_its_lease_says),
		cmocka_unit_test(own_budgets_and_shared_ones_don_t_mix),
		cmocka_unit_test(empty_is_told_only_when_nothing_is_left_anywhere),
		cmocka_unit_test(nothing_is_given_when_the_term_is_over),
		cmocka_unit_test(a_campaign_of_its_own_knows_no_term),
		cmocka_unit_test(what_was_not_given_goes_back_to_the_fen),
		cmocka_unit_test(a_disk_that_refuses_keeps_them_here),
		cmocka_unit_test(a_restart_knows_blocks_and_what_went_back),
		cmocka_unit_test(a_user_who_comes_keeps_wins_and_quota),
		cmocka_unit_test(rows_that_make_no_sense_are_refused),
	};

	return cmocka_run_group_tests_name("lease", tests, rig_make, rig_free);
}
