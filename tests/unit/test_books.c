/* SPDX-License-Identifier: BSD-3-Clause */
/* hongbao-audit's books: fundings that add up, and what doesn't balance. */
#include "books.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ID 7
#define TIME_US 1424269800000000ull

static struct books b;
static char said[8][256];
static unsigned lines;

static void
say(const char *line)
{
	if (lines < HB_COUNT_OF(said))
		snprintf(said[lines], sizeof(said[0]), "%s", line);
	lines++;
}

static int
begin(void **state)
{
	(void)state;
	memset(&b, 0, sizeof(b));
	b.say = say;
	lines = 0;
	return 0;
}

static int
end(void **state)
{
	(void)state;
	books_free(&b);
	return 0;
}

static void
enter(struct hb_record r)
{
	assert_int_equal(books_enter(&b, &r), 0);
}

static const struct hb_terms first = {
	.count = 10, .total = 100, .split = HB_SPLIT_EQUAL, .seed = 1};
static const struct hb_terms more = {.count = 5,
	.total = 3 * 7 + 2 * 500,
	.split = HB_SPLIT_TIERS,
	.seed = 4,
	.tiers = 2,
	.tier = {{3, 7}, {2, 500}}};

static void
fund(const struct hb_terms *t, uint32_t quota, uint64_t time_us)
{
	struct hb_record r[HB_FUND_RECORDS_MAX];
	unsigned n = hb_fund_encode(r, ID, t, quota, time_us);

	for (unsigned i = 0; i < n; i++)
		enter(r[i]);
}

static void
win(uint32_t number, uint32_t amount, uint64_t user, uint32_t seq)
{
	enter((struct hb_record){.type = HB_RECORD_WIN,
		.campaign = ID,
		.seq = seq,
		.user = user,
		.id = hb_envelope_id(ID, number),
		.amount = amount,
		.time_us = TIME_US});
}

/* The amount of a top-up's envelope. */
static uint32_t
amount_of(const struct hb_terms *t, uint32_t nth)
{
	struct hb_splitter s;

	hb_splitter_begin(&s, t);
	for (uint32_t i = 1; i < nth; i++)
		hb_splitter_next(&s);
	return hb_splitter_next(&s);
}

static void
top_ups_add_up(void **state)
{
	(void)state;
	fund(&first, 1, TIME_US);
	for (uint32_t n = 1; n <= 10; n++)
		win(n, 10, n, 1);
	fund(&more, 1, TIME_US + 5);
	for (uint32_t n = 1; n <= 5; n++)
		win(10 + n, amount_of(&more, n), 10 + n, 1);
	fund(&first, 1, TIME_US + 9);
	win(25, 10, 99, 1);
	books_close(&b);
	if (b.faults != 0)
		fail_msg("%s", said[0]);
	const struct book *book = b.of[ID];
	assert_int_equal(book->funded, 25);
	assert_int_equal(book->total_fen, 200 + 1021);
	assert_int_equal(book->wins, 16);
	assert_int_equal(book->fen, 100 + 1021 + 10);
	assert_int_equal(book->top_ups, 2);
	assert_int_equal(book->top_up[0].envelopes, 5);
	assert_int_equal(book->top_up[0].fen, 1021);
	assert_int_equal(book->top_up[0].time_us, TIME_US + 5);
	assert_int_equal(book->top_up[1].envelopes, 10);
}

static void
assert_fault(const char *line)
{
	books_close(&b);
	assert_int_equal(b.faults, 1);
	assert_string_equal(said[0], line);
}

static void
an_envelope_before_its_top_up_is_a_fault(void **state)
{
	(void)state;
	fund(&first, 1, TIME_US);
	win(11, amount_of(&more, 1), 5, 1);
	fund(&more, 1, TIME_US);
	assert_fault("record 1: campaign 7 has no envelope 30064771083");
}

static void
a_top_ups_amounts_are_its_own(void **state)
{
	(void)state;
	fund(&first, 1, TIME_US);
	fund(&more, 1, TIME_US);
	win(12, amount_of(&more, 2) + 1, 5, 1);
	books_close(&b);
	assert_int_equal(b.faults, 1);
	assert_non_null(strstr(said[0], "envelope 30064771084 holds"));
}

static void
a_top_ups_envelope_is_given_once(void **state)
{
	(void)state;
	fund(&first, 1, TIME_US);
	win(9, 10, 4, 1);
	fund(&more, 1, TIME_US);
	win(11, amount_of(&more, 1), 5, 1);
	win(11, amount_of(&more, 1), 6, 1);
	assert_fault("record 6: envelope 30064771083 of campaign 7 is given a second time");
}

static void
a_campaign_beyond_count_is_a_fault(void **state)
{
	struct hb_terms large = {
		.count = 1, .total = UINT32_MAX, .split = HB_SPLIT_EQUAL, .seed = 1};

	(void)state;
	fund(&first, 1, TIME_US);
	/* As if there were so many: making them would take the memory of a host. */
	b.of[ID]->total_fen = HB_TOTAL_MAX;
	fund(&large, 1, TIME_US);
	assert_int_equal(b.faults, 1);
	assert_string_equal(
		said[0], "record 1: campaign 7 is topped up beyond what can be counted");
	b.of[ID]->total_fen = 100;
}

/* The most that was ever allowed is what nobody may have more of. */
static void
the_quota_may_change(void **state)
{
	struct hb_record quota = {.type = HB_RECORD_QUOTA, .campaign = ID, .aux = 3};

	(void)state;
	fund(&first, 1, TIME_US);
	enter(quota);
	quota.aux = 2;
	enter(quota);
	for (uint32_t n = 1; n <= 3; n++)
		win(n, 10, 5, n);
	for (uint32_t n = 4; n <= 7; n++)
		win(n, 10, 6, n);
	assert_fault("campaign 7: user 6 won 4 times, 3 are allowed");
}

/* ---- packets -------------------------------------------------------------------------- */

#define HOUR_US 3600000000ull

static struct hb_record
pack_record(uint64_t id, uint32_t total, uint32_t shares, uint8_t split)
{
	return (struct hb_record){.type = HB_RECORD_PACK,
		.op = split,
		.seq = 1,
		.user = 900,
		.id = id,
		.amount = total,
		.aux = shares << 8 | 1,
		.time_us = TIME_US};
}

static struct hb_record
grab_record(uint64_t id, uint64_t user, uint32_t fen, uint32_t number)
{
	return (struct hb_record){.type = HB_RECORD_GRAB,
		.op = 3,
		.seq = 1,
		.user = user,
		.id = id,
		.amount = fen,
		.aux = number,
		.time_us = TIME_US + 5};
}

static struct hb_record
refund_record(uint64_t id, uint32_t fen, uint32_t shares)
{
	return (struct hb_record){.type = HB_RECORD_REFUND,
		.user = 900,
		.id = id,
		.amount = fen,
		.aux = shares,
		.time_us = TIME_US + HOUR_US};
}

static void
packets_balance(void **state)
{
	(void)state;
	/* One that is emptied, one that is refunded, one that is open, and one with the id of the
	 * first again. */
	enter(pack_record(5, 100, 2, HB_SPLIT_LUCKY));
	enter(grab_record(5, 1, 99, 1));
	enter(grab_record(5, 900, 1, 2));
	enter(pack_record(6, 10, 3, HB_SPLIT_EQUAL));
	enter(grab_record(6, 1, 4, 1));
	enter(refund_record(6, 6, 2));
	enter(pack_record(7, 10, 3, HB_SPLIT_EQUAL));
	enter(grab_record(7, 1, 4, 1));
	enter(pack_record(5, 50, 1, HB_SPLIT_LUCKY));
	/* A bundle: a win and its packet. */
	fund(&first, 1, TIME_US);
	struct hb_record w = {.type = HB_RECORD_WIN,
		.op = 1,
		.campaign = ID,
		.seq = 1,
		.user = 900,
		.id = hb_envelope_id(ID, 1),
		.amount = 10,
		.aux = HB_WIN_BUNDLE,
		.time_us = TIME_US};
	enter(w);
	struct hb_record bundle = pack_record(8, 10, 2, HB_SPLIT_EQUAL);
	bundle.campaign = ID;
	enter(bundle);
	struct hb_record back = refund_record(8, 10, 2);
	back.campaign = ID;
	enter(back);
	books_close(&b);
	assert_int_equal(b.faults, 0);
	assert_int_equal(b.packets.packets, 5);
	assert_int_equal(b.packets.fen, 180);
	assert_int_equal(b.packets.taken_fen, 108);
	assert_int_equal(b.packets.refunded_fen, 16);
	assert_int_equal(b.packets.open, 2);
	assert_int_equal(b.packets.left_fen, 56);
	assert_int_equal(b.packets.used_again, 1);
	assert_int_equal(b.of[ID]->bundles_fen, 10);
	assert_int_equal(b.of[ID]->refunded_fen, 10);
}

/* Many at a time, closed in another order than they were opened in. */
static void
many_packets_are_told_apart(void **state)
{
	enum {
		MANY = 20000
	};
	uint64_t random = 1, open = 0;
	static bool is_open[MANY + 1];

	(void)state;
	for (unsigned step = 0; step < 10 * MANY; step++) {
		uint64_t id = 1 + hb_splitmix64(&random) % MANY;

		if (!is_open[id])
			enter(pack_record(id, 30, 3, HB_SPLIT_EQUAL));
		else if (step % 2 == 0)
			enter(refund_record(id, 30, 3));
		else
			continue;
		is_open[id] = !is_open[id];
		open += is_open[id] ? 1 : -1ull;
	}
	books_close(&b);
	assert_int_equal(b.faults, 0);
	assert_int_equal(b.packets.open, open);
	assert_int_equal(b.packets.left_fen, 30 * open);
}

/* Each is entered behind a packet of 100 fen in 3 lucky shares, of which user 1 has 20. */
static void
what_packets_must_not_be_is_a_fault(void **state)
{
	static const uint8_t lucky = HB_SPLIT_LUCKY;
	struct hb_record late = grab_record(5, 2, 30, 2), early = refund_record(5, 80, 2),
			 other = refund_record(5, 80, 2), nobody = grab_record(5, 0, 30, 2),
			 foreign = grab_record(5, 2, 30, 2), bundle = pack_record(9, 10, 2, 1);

	(void)state;
	late.time_us += HOUR_US;
	early.time_us--;
	other.user = 901;
	foreign.campaign = ID;
	bundle.campaign = ID;
	struct hb_record bad[] = {
		pack_record(5, 100, 3, lucky), pack_record(6, 2, 3, lucky),
		pack_record(6, 2, 0, lucky), pack_record(6, 9, 3, 3), grab_record(6, 2, 1, 1),
		grab_record(5, 2, 30, 3), grab_record(5, 2, 0, 2), grab_record(5, 2, 80, 2),
		grab_record(5, 2, 81, 2), refund_record(5, 79, 2), refund_record(5, 80, 1),
		refund_record(6, 80, 2), late, early, other, nobody, foreign, bundle,
		grab_record(5, 1, 30, 2), /* seen at the end */
	};
	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		begin(NULL);
		enter(pack_record(5, 100, 3, lucky));
		enter(grab_record(5, 1, 20, 1));
		enter(bad[i]);
		books_close(&b);
		if (b.faults == 0)
			fail_msg("%u goes unnoticed", i);
		books_free(&b);
	}
	/* Twice refunded; a share over twice the mean of what is left; unequal; a win without its
	 * packet. */
	struct hb_record win_alone = {.type = HB_RECORD_WIN,
		.campaign = ID,
		.seq = 1,
		.user = 9,
		.id = hb_envelope_id(ID, 1),
		.amount = 10,
		.aux = HB_WIN_BUNDLE};
	struct hb_record pairs[][2] = {
		{refund_record(5, 80, 2), refund_record(5, 80, 2)},
		{pack_record(6, 100, 5, lucky), grab_record(6, 1, 41, 1)},
		{pack_record(6, 100, 5, HB_SPLIT_EQUAL), grab_record(6, 1, 21, 1)},
		{win_alone, grab_record(5, 2, 30, 2)},
		/* The last one makes it done. */
		{grab_record(5, 2, 30, 2), grab_record(5, 1, 50, 3)},
	};
	for (unsigned i = 0; i < HB_COUNT_OF(pairs); i++) {
		begin(NULL);
		fund(&first, 1, TIME_US);
		enter(pack_record(5, 100, 3, lucky));
		enter(grab_record(5, 1, 20, 1));
		enter(pairs[i][0]);
		enter(pairs[i][1]);
		books_close(&b);
		if (b.faults == 0)
			fail_msg("pair %u goes unnoticed", i);
		books_free(&b);
	}
	begin(NULL);
}

/* ---- a budget that many hosts share --------------------------------------------------- */

static void
lease(uint32_t block, uint32_t number, const struct hb_terms *t)
{
	struct hb_lease l = {.block = block, .first = number};
	struct hb_record r[HB_FUND_RECORDS_MAX];
	unsigned n = hb_lease_encode(r, ID, &l, t, 1, TIME_US);

	for (unsigned i = 0; i < n; i++)
		enter(r[i]);
}

static void
give_back(uint32_t block, uint32_t offset, uint32_t n, uint64_t fen, uint32_t tiers)
{
	enter((struct hb_record){.type = HB_RECORD_RETURN,
		.campaign = ID,
		.seq = n,
		.user = fen,
		.id = block,
		.amount = tiers,
		.aux = offset,
		.time_us = TIME_US});
}

static void
tier_back(uint32_t count, uint32_t amount)
{
	enter((struct hb_record){.type = HB_RECORD_TIER,
		.campaign = ID,
		.seq = count,
		.amount = amount,
		.time_us = TIME_US});
}

static void
come(uint64_t user, uint32_t seq, uint32_t wins)
{
	enter((struct hb_record){.type = HB_RECORD_ROW,
		.op = 1,
		.campaign = ID,
		.seq = seq,
		.user = user,
		.id = hb_envelope_id(ID, 77777),
		.amount = 5,
		.aux = wins,
		.time_us = TIME_US});
}

static void
blocks_and_what_goes_back_add_up(void **state)
{
	(void)state;
	lease(9, 501, &first);
	lease(2, 301, &more);
	win(501, 10, 1, 1);
	win(301, amount_of(&more, 1), 2, 1);
	win(510, 10, 3, 1);
	give_back(9, 1, 8, 80, 0);
	/* All of the tiers but the one that was given. */
	uint32_t given = amount_of(&more, 1);
	give_back(2, 1, 4, 1021 - given, 2);
	tier_back(given == 7 ? 2 : 3, 7);
	tier_back(given == 7 ? 2 : 1, 500);
	come(8, 5, 1);
	books_close(&b);
	if (b.faults != 0)
		fail_msg("%s", said[0]);
	const struct book *book = b.of[ID];
	assert_int_equal(book->funded, 15);
	assert_int_equal(book->returned, 12);
	assert_int_equal(book->returned_fen, 80 + 1021 - given);
	assert_int_equal(book->wins, 3);
	assert_int_equal(book->users, 3);
	assert_int_equal(book->rows, 1);
	assert_int_equal(book->blocks, 2);
	assert_int_equal(book->top_ups, 0);
}

static void
a_user_who_came_has_what_was_won_elsewhere(void **state)
{
	(void)state;
	lease(9, 501, &first);
	come(8, 5, 1);
	win(503, 10, 8, 6);
	assert_fault("campaign 7: user 8 won 2 times, 1 are allowed");
}

/* Each of these is the only thing that is wrong. */
static void
what_blocks_must_not_be_is_a_fault(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 14; i++) {
		begin(NULL);
		lease(9, 501, &first);
		win(501, 10, 1, 1);
		switch (i) {
		case 0: /* given back though it is given */
			give_back(9, 0, 1, 10, 0);
			break;
		case 1: /* and given after it went back */
			give_back(9, 1, 1, 10, 0);
			win(502, 10, 2, 1);
			break;
		case 2:
			give_back(9, 1, 1, 10, 0);
			give_back(9, 1, 1, 10, 0);
			break;
		case 3:
			give_back(8, 1, 1, 10, 0);
			break;
		case 4:
			give_back(9, 1, 10, 100, 0);
			break;
		case 5:
			give_back(9, 1, 2, 21, 0);
			break;
		case 6: /* a number that another block has */
			lease(10, 510, &first);
			break;
		case 7:
			lease(9, 601, &first);
			break;
		case 8: /* a top-up beside blocks */
			fund(&first, 1, TIME_US);
			break;
		case 9: /* a number between two blocks */
			lease(10, 601, &first);
			win(555, 10, 2, 1);
			break;
		case 10: /* tiers that are not all of it */
			lease(10, 601, &more);
			give_back(10, 0, 5, 1021, 2);
			tier_back(3, 7);
			tier_back(1, 500);
			break;
		case 11:
			lease(10, 601, &more);
			give_back(10, 0, 5, 1021, 2);
			tier_back(3, 7);
			break;
		case 12: /* a LEASE without its FUND */
			enter((struct hb_record){.type = HB_RECORD_LEASE,
				.campaign = ID,
				.seq = 10,
				.id = 601,
				.time_us = TIME_US});
			win(502, 10, 2, 1);
			break;
		default:
			come(8, 0, 1);
			break;
		}
		books_close(&b);
		if (b.faults == 0)
			fail_msg("case %u goes unnoticed", i);
		books_free(&b);
	}
	begin(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(blocks_and_what_goes_back_add_up, begin, end),
		cmocka_unit_test_setup_teardown(
			a_user_who_came_has_what_was_won_elsewhere, begin, end),
		cmocka_unit_test_setup_teardown(what_blocks_must_not_be_is_a_fault, begin, end),
		cmocka_unit_test_setup_teardown(top_ups_add_up, begin, end),
		cmocka_unit_test_setup_teardown(
			an_envelope_before_its_top_up_is_a_fault, begin, end),
		cmocka_unit_test_setup_teardown(a_top_ups_amounts_are_its_own, begin, end),
		cmocka_unit_test_setup_teardown(a_top_ups_envelope_is_given_once, begin, end),
		cmocka_unit_test_setup_teardown(a_campaign_beyond_count_is_a_fault, begin, end),
		cmocka_unit_test_setup_teardown(the_quota_may_change, begin, end),
		cmocka_unit_test_setup_teardown(packets_balance, begin, end),
		cmocka_unit_test_setup_teardown(many_packets_are_told_apart, begin, end),
		cmocka_unit_test_setup_teardown(what_packets_must_not_be_is_a_fault, begin, end),
	};

	return cmocka_run_group_tests_name("books", tests, NULL, NULL);
}
