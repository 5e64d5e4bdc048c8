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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(top_ups_add_up, begin, end),
		cmocka_unit_test_setup_teardown(
			an_envelope_before_its_top_up_is_a_fault, begin, end),
		cmocka_unit_test_setup_teardown(a_top_ups_amounts_are_its_own, begin, end),
		cmocka_unit_test_setup_teardown(a_top_ups_envelope_is_given_once, begin, end),
		cmocka_unit_test_setup_teardown(a_campaign_beyond_count_is_a_fault, begin, end),
		cmocka_unit_test_setup_teardown(the_quota_may_change, begin, end),
	};

	return cmocka_run_group_tests_name("books", tests, NULL, NULL);
}
