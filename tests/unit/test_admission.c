/* SPDX-License-Identifier: BSD-3-Clause */
/* Overload control by itself, in a time of the test's own: how the level moves, who is let in, what
 * it costs at the most, whose repeats are known. */
#include "hb_admission.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define HZ 1000000000ull
#define WINDOW (HZ / 1000)
#define CYCLES 400 /* of a request: a full window of 1 ms has 2,500 */

static struct hb_admission *
made(void **state, uint64_t envelopes)
{
	struct hb_admission *a = *state;

	assert_int_equal(hb_wire_init(), 0);
	hb_mem_use_hugepages(false);
	assert_int_equal(hb_admission_make(a, 42, envelopes, NULL), 0);
	hb_admission_begin(a, HZ, 0);
	return a;
}

static int
make_state(void **state)
{
	*state = calloc(1, sizeof(struct hb_admission));
	return *state == NULL;
}

static int
free_state(void **state)
{
	hb_admission_free(*state);
	free(*state);
	return 0;
}

/* A burst in which every fourth is an ANSWER, every eighth a GRAB, every sixteenth a PACK. */
static void
mixed_burst(struct hb_request *r, uint64_t *user)
{
	for (unsigned i = 0; i < HB_BURST; i++) {
		unsigned op = HB_OP_SHAKE;

		if (i % 16 == 0)
			op = HB_OP_PACK;
		else if (i % 8 == 1)
			op = HB_OP_GRAB;
		else if (i % 4 == 2)
			op = HB_OP_ANSWER;
		r[i] = (struct hb_request){.op = (uint8_t)op, .user = ++*user, .seq = 1};
	}
}

/* Bursts of one op, or mixed (0), as a worker would see them in a queue that holds `waiting`, until
 * the window is over. Returns how many were refused of how many. */
struct tally {
	unsigned came, refused;
};

static struct tally
run_window(struct hb_admission *a, unsigned op, uint64_t waiting, uint64_t now)
{
	struct hb_request r[HB_BURST];
	struct tally t = {0};
	static uint64_t user;
	bool over;

	do {
		mixed_burst(r, &user);
		for (unsigned i = 0; op != 0 && i < HB_BURST; i++)
			r[i].op = (uint8_t)op;
		unsigned in =
			a->level == HB_ADMISSION_ALL ? HB_BURST : hb_admission_sort(a, r, HB_BURST);
		t.came += HB_BURST;
		t.refused += HB_BURST - in;
		hb_admission_count(a, r, in, true);
		hb_admission_count(a, r + in, HB_BURST - in, false);
		over = hb_admission_turn(a, HB_BURST * CYCLES, HB_BURST, true);
	} while (!over);
	hb_admission_judge(a, hb_admission_overloaded(a, waiting), now);
	return t;
}

/* ---- the level ----------------------------------------------------------------------- */

static void
falls_by_5_percent_and_rises_by_1(void **state)
{
	struct hb_admission *a = made(state, 0);

	/* A level holds at most 3 of 1,000: the step that it comes to may be so much off. */
	a->unbounded = true;
	for (unsigned i = 0; i < 10; i++) {
		unsigned before = a->admitted;

		run_window(a, 0, 1024, 0);
		assert_in_range(a->admitted, before * 95 / 100 - 4, before * 95 / 100 + 1);
	}
	for (unsigned i = 0; i < 20; i++) {
		unsigned before = a->admitted;

		run_window(a, 0, 0, 0);
		assert_in_range(a->admitted, before + 6, before + 11);
	}
	assert_true(a->level < HB_ADMISSION_ALL);
	for (unsigned i = 0; i < 40; i++)
		run_window(a, 0, 0, 0);
	assert_int_equal(a->level, HB_ADMISSION_ALL);
	assert_int_equal(a->admitted, 1000);
}

static void
a_queue_that_ran_empty_is_no_overload(void **state)
{
	struct hb_admission *a = made(state, 0);

	for (unsigned i = 0; i < 1000; i++)
		assert_false(hb_admission_turn(a, 64 * CYCLES, 64, i % 30 != 0));
	/* Neither is one that stands, but is short: 40 us are 100 requests of 400 cycles. */
	run_window(a, 0, 99, 0);
	assert_int_equal(a->level, HB_ADMISSION_ALL);
	run_window(a, 0, 101, 0);
	assert_true(a->level < HB_ADMISSION_ALL);
}

static void
a_window_is_a_millisecond_and_2048_requests(void **state)
{
	struct hb_admission *a = made(state, 0);
	unsigned turns = 1;

	while (!hb_admission_turn(a, 64 * CYCLES, 64, true))
		turns++;
	assert_int_equal(turns, (WINDOW + 64 * CYCLES - 1) / (64 * CYCLES));
	hb_admission_judge(a, false, 0);
	for (turns = 1; !hb_admission_turn(a, WINDOW, 64, true);)
		turns++;
	assert_int_equal(turns, HB_ADMISSION_WINDOW_REQUESTS / 64);
}

static void
all_are_let_in_again_where_nothing_comes(void **state)
{
	struct hb_admission *a = made(state, 0);
	unsigned windows = 0;

	a->unbounded = true;
	for (unsigned i = 0; i < 10; i++)
		run_window(a, 0, 1024, 0);
	unsigned missing = HB_ADMISSION_ALL - a->level;

	assert_true(missing > 100);
	while (a->level < HB_ADMISSION_ALL) {
		assert_true(hb_admission_turn(a, WINDOW, 0, false));
		hb_admission_judge(a, false, 0);
		windows++;
	}
	/* A hundredth of the levels each time. */
	assert_in_range(windows, missing / 11, missing / 9);
}

/* ---- who is let in ------------------------------------------------------------------- */

static void
the_lowest_class_goes_first(void **state)
{
	struct hb_admission *a = made(state, 0);
	struct hb_request r[HB_BURST];
	uint64_t user = 0;
	bool went[HB_OPS] = {0};

	a->unbounded = true;
	for (unsigned i = 0; i < 200 && a->level > 1; i++) {
		run_window(a, 0, 1024, 0);
		for (unsigned k = 0; k < 20; k++) {
			mixed_burst(r, &user);
			unsigned in = hb_admission_sort(a, r, HB_BURST);
			unsigned highest = 0, lowest = HB_OPS;

			for (unsigned j = in; j < HB_BURST; j++) {
				highest = r[j].op > highest ? r[j].op : highest;
				went[r[j].op] = true;
			}
			for (unsigned j = 0; j < in; j++)
				lowest = r[j].op < lowest ? r[j].op : lowest;
			/* Both only in the class that the level runs through. */
			assert_true(in == HB_BURST || in == 0 || highest <= lowest);
		}
	}
	for (unsigned op = HB_OP_SHAKE; op < HB_OPS; op++)
		assert_true(went[op]);
}

static void
order_is_kept_on_both_sides(void **state)
{
	struct hb_admission *a = made(state, 0);
	struct hb_request r[HB_BURST];
	uint64_t user = 1000;

	a->unbounded = true;
	a->level = HB_ADMISSION_ALL - HB_ADMISSION_USER_LEVELS / 2;
	mixed_burst(r, &user);
	unsigned in = hb_admission_sort(a, r, HB_BURST);

	assert_in_range(in, HB_BURST / 3, HB_BURST - 5);
	for (unsigned i = 1; i < HB_BURST; i++)
		assert_true(i == in || r[i].user > r[i - 1].user);
}

static void
a_user_has_one_fate_for_a_minute(void **state)
{
	struct hb_admission *a = made(state, 0);
	unsigned moved = 0;
	static unsigned first[10000];

	for (unsigned u = 1; u < 10000; u++)
		first[u] = hb_admission_priority(a, HB_OP_SHAKE, u);
	hb_admission_judge(a, false, 60 * HZ - 1);
	for (unsigned u = 1; u < 10000; u++)
		assert_int_equal(hb_admission_priority(a, HB_OP_SHAKE, u), first[u]);
	hb_admission_judge(a, false, 60 * HZ);
	for (unsigned u = 1; u < 10000; u++)
		moved += hb_admission_priority(a, HB_OP_SHAKE, u) != first[u];
	assert_in_range(moved, 9800, 9999);
}

static void
users_stand_on_all_levels_alike(void **state)
{
	struct hb_admission *a = made(state, 0);
	unsigned count[HB_ADMISSION_USER_LEVELS] = {0};

	for (uint64_t u = 1; u <= 256000; u++)
		count[hb_admission_priority(a, HB_OP_PACK, u)]++;
	for (unsigned i = 0; i < HB_ADMISSION_USER_LEVELS; i++)
		assert_in_range(count[i], 1000 - 160, 1000 + 160);
}

/* ---- the budget ---------------------------------------------------------------------- */

static void
no_more_than_the_budget_is_refused(void **state)
{
	struct hb_admission *a = made(state, 0);
	struct tally all = {0};

	/* Whatever comes, and when what comes changes. */
	for (unsigned i = 0; i < 400; i++) {
		struct tally t = run_window(a, i / 7 % HB_OPS, 4096, 0);

		all.came += t.came;
		all.refused += t.refused;
	}
	assert_true(all.refused > all.came / 100);
	/* The credit of a burst stands from before. */
	assert_in_range(all.refused, 0, all.came / (HB_ADMISSION_SHARE + 1) + HB_BURST);
}

static void
refuses_a_batch_when_there_is_credit_for_one(void **state)
{
	struct hb_admission *a = made(state, 0);
	struct hb_request r[HB_BURST];
	uint64_t user = 0;

	a->level = HB_ADMISSION_ALL / 2;
	a->credit = HB_ADMISSION_SHARE * HB_ADMISSION_BATCH - 1;
	mixed_burst(r, &user);
	assert_int_equal(hb_admission_sort(a, r, HB_BURST), HB_BURST);
	for (unsigned i = 0; i < HB_BURST; i++)
		assert_int_equal(r[i].user, i + 1);
	hb_admission_count(a, r, 1, true);
	assert_int_equal(hb_admission_sort(a, r, HB_BURST), HB_BURST - HB_ADMISSION_BATCH);
	/* All of them are still there, once each. */
	uint64_t sum = 0;

	for (unsigned i = 0; i < HB_BURST; i++)
		sum += r[i].user;
	assert_int_equal(sum, HB_BURST * (HB_BURST + 1) / 2);
	hb_admission_count(a, r + HB_BURST - HB_ADMISSION_BATCH, HB_ADMISSION_BATCH, false);
	assert_int_equal(hb_admission_sort(a, r, HB_BURST), HB_BURST);
}

static void
the_level_stays_where_the_budget_ends(void **state)
{
	struct hb_admission *a = made(state, 0);

	for (unsigned i = 0; i < 50; i++)
		run_window(a, HB_OP_SHAKE, 4096, 0);
	/* A batch in each burst that is looked through. */
	assert_in_range(a->admitted, 870, 880);
}

/* ---- waits --------------------------------------------------------------------------- */

static void
waits_are_spread_evenly(void **state)
{
	struct hb_admission *a = made(state, 0);
	unsigned count[100] = {0};
	struct hb_request r = {.op = HB_OP_SHAKE};
	double chi = 0;

	for (unsigned i = 0; i < 100000; i++) {
		r.user = i / 10 + 1;
		r.seq = i % 10 + 1;
		uint32_t wait = hb_admission_wait(a, &r, 1000);

		assert_in_range(wait, 1000, 1999);
		count[(wait - 1000) / 10]++;
	}
	for (unsigned i = 0; i < 100; i++)
		chi += pow(count[i] - 1000.0, 2) / 1000;
	/* 99 degrees of freedom: above 180 once in 10^6. */
	assert_true(chi < 180);
	uint32_t before = hb_admission_wait(a, &r, 1000), differ = 0;

	for (unsigned i = 0; i < 10; i++) {
		hb_admission_judge(a, false, 0);
		differ += hb_admission_wait(a, &r, 1000) != before;
	}
	assert_true(differ >= 8);
	assert_int_equal(hb_admission_wait(a, &r, 0), 0);
	assert_true(hb_admission_wait(a, &r, UINT32_MAX) >= UINT32_MAX - 1);
}

/* ---- told wins ----------------------------------------------------------------------- */

static void
no_told_win_is_forgotten(void **state)
{
	const unsigned wins = 1000000;
	struct hb_admission *a = made(state, wins);
	uint64_t random = 7;
	unsigned wrong = 0;

	for (unsigned i = 0; i < wins; i++) {
		uint64_t user = hb_splitmix64(&random), rest = hb_splitmix64(&random);

		hb_admission_told(a, user, (uint16_t)rest, (uint32_t)(rest >> 32));
	}
	random = 7;
	for (unsigned i = 0; i < wins; i++) {
		uint64_t user = hb_splitmix64(&random), rest = hb_splitmix64(&random);

		assert_true(hb_admission_was_told(a, user, (uint16_t)rest, (uint32_t)(rest >> 32)));
		wrong += hb_admission_was_told(a, user, (uint16_t)rest, (uint32_t)(rest >> 32) + 1);
	}
	/* 8 bits for each: an eighth of the buckets at the most. */
	assert_in_range(wrong, 1, wins / 8);
}

static void
repeats_of_told_wins_are_let_in(void **state)
{
	struct hb_admission *a = made(state, 1000);
	struct hb_request r[HB_BURST];
	uint64_t user = 0;

	a->unbounded = true;
	a->level = 0;
	mixed_burst(r, &user);
	for (unsigned i = 0; i < HB_BURST; i += 3)
		hb_admission_told(a, r[i].user, r[i].campaign, r[i].seq);
	unsigned in = hb_admission_sort(a, r, HB_BURST);

	assert_in_range(in, (HB_BURST + 2) / 3, HB_BURST / 3 + 4);
	for (unsigned i = 0; i < in; i++)
		assert_true(hb_admission_was_told(a, r[i].user, r[i].campaign, r[i].seq));
}

static void
the_set_is_as_large_as_it_needs_to_be(void **state)
{
	(void)state;
	assert_int_equal(hb_admission_bytes(0), 4096);
	assert_int_equal(hb_admission_bytes(4096), 4096);
	assert_int_equal(hb_admission_bytes(4097), 8192);
	assert_int_equal(hb_admission_bytes(120000000), 64 << 20);
	assert_int_equal(hb_admission_bytes(UINT32_MAX), 64 << 20);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_state, free_state)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(falls_by_5_percent_and_rises_by_1),
		TEST(a_queue_that_ran_empty_is_no_overload),
		TEST(a_window_is_a_millisecond_and_2048_requests),
		TEST(all_are_let_in_again_where_nothing_comes),
		TEST(the_lowest_class_goes_first),
		TEST(order_is_kept_on_both_sides),
		TEST(a_user_has_one_fate_for_a_minute),
		TEST(users_stand_on_all_levels_alike),
		TEST(no_more_than_the_budget_is_refused),
		TEST(refuses_a_batch_when_there_is_credit_for_one),
		TEST(the_level_stays_where_the_budget_ends),
		TEST(waits_are_spread_evenly),
		TEST(no_told_win_is_forgotten),
		TEST(repeats_of_told_wins_are_let_in),
		TEST(the_set_is_as_large_as_it_needs_to_be),
	};

	return cmocka_run_group_tests_name("admission", tests, NULL, NULL);
}
