/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_fleet.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Cuts terms, and holds the blocks against them. */
static void
check(const struct hb_terms *t, uint32_t size)
{
	uint64_t count = 0, fen = 0, of_tier[HB_TIERS_MAX] = {0};
	struct hb_terms one;
	struct hb_blocks b, again;
	struct hb_error e;

	hb_blocks_begin(&b, t, size);
	hb_blocks_begin(&again, t, size);
	while (hb_blocks_next(&b, &one)) {
		struct hb_terms same;

		assert_true(hb_blocks_next(&again, &same));
		assert_memory_equal(&one, &same, sizeof(one));
		assert_int_equal(hb_terms_check(&one, &e), 0);
		assert_int_equal(one.split, t->split);
		assert_true(one.count == size || count + one.count == t->count);
		count += one.count;
		fen += one.total;
		for (unsigned i = 0; i < one.tiers; i++) {
			for (unsigned k = 0; k < t->tiers; k++)
				of_tier[k] += one.tier[i].amount == t->tier[k].amount
						      ? one.tier[i].count
						      : 0;
		}
	}
	assert_int_equal(count, t->count);
	assert_int_equal(fen, t->total);
	for (unsigned k = 0; k < t->tiers; k++)
		assert_int_equal(of_tier[k], t->tier[k].count);
}

static void
blocks_are_together_the_budget_to_the_fen(void **state)
{
	static const uint32_t sizes[] = {1, 2, 7, 1000, 99999, 100000, UINT32_MAX};
	uint64_t random = 3;

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		struct hb_terms t = {.count = (uint32_t)(1 + hb_splitmix64(&random) % 20000),
			.seed = hb_splitmix64(&random),
			.split = i % 2 == 0 ? HB_SPLIT_EQUAL : HB_SPLIT_LUCKY};

		t.total = t.count + hb_splitmix64(&random) % (t.count * 1000ull);
		if (i % 8 == 0)
			t.total = t.count;
		if (i % 8 == 1)
			t.total = t.count * (uint64_t)UINT32_MAX;
		for (unsigned k = 0; k < HB_COUNT_OF(sizes); k++)
			check(&t, sizes[k]);
	}
}

static void
blocks_of_tiers_have_each_tier_whole(void **state)
{
	uint64_t random = 4;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct hb_terms t = {.split = HB_SPLIT_TIERS, .seed = hb_splitmix64(&random)};

		for (; t.tiers <= i; t.tiers++) {
			t.tier[t.tiers] = (struct hb_tier){
				.count = (uint32_t)(1 + hb_splitmix64(&random) % 500),
				.amount = 1 + 13u * t.tiers};
			t.count += t.tier[t.tiers].count;
			t.total += (uint64_t)t.tier[t.tiers].count * t.tier[t.tiers].amount;
		}
		check(&t, 1);
		check(&t, 64);
		check(&t, 5000);
	}
}

static void
budgets_are_read(void **state)
{
	struct hb_error e;
	struct hb_terms t;
	uint16_t campaign;
	uint32_t size;

	(void)state;
	assert_int_equal(hb_budget_parse("campaign=7 count=100 total=5000 split=equal block=10",
				 &campaign, &t, &size, &e),
		0);
	assert_int_equal(campaign, 7);
	assert_int_equal(size, 10);
	assert_int_equal(t.count, 100);
	assert_int_equal(t.total, 5000);
	assert_int_equal(t.split, HB_SPLIT_EQUAL);
	assert_int_equal(
		hb_budget_parse("campaign=8 tiers=20*500,1*8800", &campaign, &t, &size, &e), 0);
	assert_int_equal(size, 1000);
	assert_int_equal(t.tiers, 2);
	assert_int_equal(t.count, 21);
	assert_int_equal(t.total, 18800);
}

static void
budgets_that_make_no_sense_are_refused(void **state)
{
	static const char *const bad[] = {"", "campaign=7", "campaign=0 count=1 total=1",
		"campaign=65536 count=1 total=1", "campaign=7 count=2 total=1",
		"campaign=7 count=4294967296 total=4294967296", "campaign=7 count=-1 total=1",
		"campaign=7 count=1 total=1 block=0", "campaign=7 count=1 total=1 split=tiers",
		"campaign=7 tiers=5", "campaign=7 tiers=5*3,", "campaign=7 tiers=5*3;1*1",
		"campaign=7 count=1x total=1", "campaign=7 colour=1", "campaign 7"};
	struct hb_error e;
	struct hb_terms t;
	uint16_t campaign;
	uint32_t size;

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		e.text[0] = '\0';
		if (hb_budget_parse(bad[i], &campaign, &t, &size, &e) != -EINVAL ||
			e.text[0] == '\0')
			fail_msg("'%s' is taken", bad[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_together_the_budget_to_the_fen),
		cmocka_unit_test(blocks_of_tiers_have_each_tier_whole),
		cmocka_unit_test(budgets_are_read),
		cmocka_unit_test(budgets_that_make_no_sense_are_refused),
	};

	return cmocka_run_group_tests_name("fleet", tests, NULL, NULL);
}
