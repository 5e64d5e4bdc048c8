/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Money: what is split sums to what was funded, to the fen, and can be made again. Stocks: no
 * number is lost and none is there twice. Seeds are fixed, so that the statistics can't flicker.
 */
#include "hb_pool.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- terms ----------------------------------------------------------------------------- */

static struct hb_terms
equal_terms(uint32_t count, uint64_t total)
{
	return (struct hb_terms){
		.count = count, .total = total, .split = HB_SPLIT_EQUAL, .seed = 1};
}

static struct hb_terms
lucky_terms(uint32_t count, uint64_t total, uint64_t seed)
{
	return (struct hb_terms){
		.count = count, .total = total, .split = HB_SPLIT_LUCKY, .seed = seed};
}

/* Terms of tiers, count and total added up. */
static struct hb_terms
tier_terms(const struct hb_tier *tier, unsigned tiers, uint64_t seed)
{
	struct hb_terms t = {.split = HB_SPLIT_TIERS, .tiers = (uint8_t)tiers, .seed = seed};

	for (unsigned i = 0; i < tiers; i++) {
		t.tier[i] = tier[i];
		t.count += tier[i].count;
		t.total += (uint64_t)tier[i].count * tier[i].amount;
	}
	return t;
}

static void
check(const struct hb_terms *t, int want)
{
	struct hb_error e = {""};

	if (hb_terms_check(t, &e) != want)
		fail_msg("split %u, count %u, total %llu: not %d (%s)", t->split, t->count,
			(unsigned long long)t->total, want, e.text);
	assert_int_equal(hb_terms_check(t, NULL), want);
	assert_int_equal(e.text[0] != '\0', want != 0);
}

static void
terms_that_make_sense_are_taken(void **state)
{
	struct hb_terms t;

	(void)state;
	for (uint8_t split = HB_SPLIT_EQUAL; split <= HB_SPLIT_LUCKY; split++) {
		static const struct {
			uint32_t count;
			uint64_t total;
		} good[] = {{1, 1}, {1, UINT32_MAX}, {7, 7}, {UINT32_MAX, UINT32_MAX},
			{1000, 1000ull * UINT32_MAX}, {UINT32_MAX, 1000000000000000000},
			{232830644, 1000000000000000000}};

		for (unsigned i = 0; i < HB_COUNT_OF(good); i++) {
			t = equal_terms(good[i].count, good[i].total);
			t.split = split;
			check(&t, 0);
		}
	}
	struct hb_tier tier[HB_TIERS_MAX];
	for (unsigned i = 0; i < HB_TIERS_MAX; i++)
		tier[i] = (struct hb_tier){.count = i + 1, .amount = UINT32_MAX - i};
	for (unsigned tiers = 1; tiers <= HB_TIERS_MAX; tiers++) {
		t = tier_terms(tier, tiers, 1);
		check(&t, 0);
	}
}

static void
terms_that_make_no_sense_are_refused(void **state)
{
	struct hb_tier tier[HB_TIERS_MAX + 1] = {{3, 500}, {1, 200}};
	struct hb_terms t;

	(void)state;
	for (uint8_t split = HB_SPLIT_EQUAL; split <= HB_SPLIT_LUCKY; split++) {
		static const struct {
			uint32_t count;
			uint64_t total;
		} bad[] = {{0, 0}, {0, 100}, {1, 0}, {10, 9}, {1, (uint64_t)UINT32_MAX + 1},
			{1000, 1000ull * UINT32_MAX + 1}, {UINT32_MAX, UINT32_MAX - 1},
			{UINT32_MAX, 1000000000000000001}, {UINT32_MAX, UINT64_MAX},
			{232830643, 1000000000000000000}, {1, UINT64_MAX}};

		for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
			t = equal_terms(bad[i].count, bad[i].total);
			t.split = split;
			check(&t, -EINVAL);
		}
		/* Tiers belong to a split in tiers alone. */
		t = tier_terms(tier, 2, 1);
		t.split = split;
		check(&t, -EINVAL);
		t.tiers = 255;
		check(&t, -EINVAL);
	}
	for (unsigned split = 0; split < 256; split++) {
		t = tier_terms(tier, 2, 1);
		t.split = (uint8_t)split;
		if (split < HB_SPLIT_EQUAL || split > HB_SPLIT_TIERS)
			check(&t, -EINVAL);
	}
	t = tier_terms(tier, 2, 1);
	t.tiers = 0;
	check(&t, -EINVAL);
	t.tiers = HB_TIERS_MAX + 1;
	check(&t, -EINVAL);
	for (int off = -1; off <= 1; off += 2) {
		t = tier_terms(tier, 2, 1);
		t.count += (uint32_t)off;
		check(&t, -EINVAL);
		t = tier_terms(tier, 2, 1);
		t.total += (uint64_t)off;
		check(&t, -EINVAL);
	}
	t = tier_terms((struct hb_tier[]){{3, 500}, {0, 200}}, 2, 1);
	check(&t, -EINVAL);
	t = tier_terms((struct hb_tier[]){{3, 500}, {1, 0}}, 2, 1);
	check(&t, -EINVAL);
	/* Counts and totals that would be right modulo 2^32. */
	t = tier_terms((struct hb_tier[]){{0x80000000, 1}, {0x80000005, 1}}, 2, 1);
	assert_int_equal(t.count, 5);
	check(&t, -EINVAL);
	t.total = 5;
	check(&t, -EINVAL);
	t = tier_terms((struct hb_tier[]){{2, 0x80000004}}, 1, 1);
	t.total = 8;
	check(&t, -EINVAL);
}

static void
splits_have_their_names(void **state)
{
	(void)state;
	assert_string_equal(hb_split_name(HB_SPLIT_EQUAL), "equal");
	assert_string_equal(hb_split_name(HB_SPLIT_LUCKY), "lucky");
	assert_string_equal(hb_split_name(HB_SPLIT_TIERS), "tiers");
	assert_string_equal(hb_split_name(0), "?");
	assert_string_equal(hb_split_name(4), "?");
}

/* ---- sums ------------------------------------------------------------------------------ */

/* Makes all amounts, into a block to be freed; they sum up and each is 1 fen or more. */
static uint32_t *
split_all(const struct hb_terms *t)
{
	uint32_t *amount = malloc((size_t)t->count * sizeof(*amount));
	struct hb_splitter s;
	uint64_t sum = 0;

	assert_non_null(amount);
	assert_int_equal(hb_terms_check(t, NULL), 0);
	hb_splitter_begin(&s, t);
	for (uint32_t i = 0; i < t->count; i++) {
		amount[i] = hb_splitter_next(&s);
		if (amount[i] == 0)
			fail_msg("envelope %u of %u is empty", i + 1, t->count);
		sum += amount[i];
	}
	assert_int_equal(sum, t->total);
	return amount;
}

static void
equal_gives_the_rest_to_the_first(void **state)
{
	static const struct {
		uint32_t count;
		uint64_t total;
	} cases[] = {{1, 1}, {1, UINT32_MAX}, {3, 10}, {7, 7}, {7, 13}, {100, 100}, {1000, 123457},
		{3, 3ull * UINT32_MAX}, {3, 3ull * UINT32_MAX - 1},
		{100000, 100000ull * UINT32_MAX - 99999}};

	(void)state;
	for (unsigned c = 0; c < HB_COUNT_OF(cases); c++) {
		struct hb_terms t = equal_terms(cases[c].count, cases[c].total);
		uint32_t *amount = split_all(&t);
		uint64_t rest = t.total % t.count;

		for (uint32_t i = 0; i < t.count; i++)
			assert_int_equal(amount[i], t.total / t.count + (i < rest));
		free(amount);
	}
}

static void
lucky_sums_to_the_fen(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (uint32_t count = 1; count <= 40; count++) {
		for (uint64_t total = count; total <= count + 60; total++) {
			struct hb_terms t = lucky_terms(count, total, hb_splitmix64(&random));

			free(split_all(&t));
		}
	}
	for (unsigned i = 0; i < 2000; i++) {
		uint32_t count = 1 + (uint32_t)(hb_splitmix64(&random) >> (44 + i % 20));
		uint64_t most = (uint64_t)count * UINT32_MAX;
		uint64_t total = count + hb_splitmix64(&random) % (most - count + 1);

		count = count > 100000 ? 100000 : count;
		total = total > (uint64_t)count * UINT32_MAX ? count : total;
		struct hb_terms t = lucky_terms(count, total, hb_splitmix64(&random));
		free(split_all(&t));
	}
}

/* Where all, or nearly all, must be as large as the wire can carry. */
static void
lucky_fits_the_wire_at_its_fullest(void **state)
{
	static const uint32_t counts[] = {1, 2, 3, 10, 1000};

	(void)state;
	for (unsigned c = 0; c < HB_COUNT_OF(counts); c++) {
		uint64_t full = (uint64_t)counts[c] * UINT32_MAX;

		for (uint64_t below = 0; below < full - counts[c];
			below = below < 4 ? below + 1 : below * 3) {
			for (uint64_t seed = 0; seed < 20; seed++) {
				struct hb_terms t = lucky_terms(counts[c], full - below, seed);
				uint32_t *amount = split_all(&t);

				for (uint32_t i = 0; below == 0 && i < counts[c]; i++)
					assert_int_equal(amount[i], UINT32_MAX);
				free(amount);
			}
		}
	}
}

static void
one_fen_each_is_one_fen_each(void **state)
{
	(void)state;
	for (uint32_t count = 1; count <= 3000; count += count < 100 ? 1 : 911) {
		struct hb_terms t = lucky_terms(count, count, count);
		uint32_t *amount = split_all(&t);

		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(amount[i], 1);
		free(amount);
	}
}

/* The first of the largest campaigns that there can be; walking them all would take too long. */
static void
the_largest_campaigns_begin_as_they_should(void **state)
{
	static const uint64_t totals[] = {UINT32_MAX, 2ull * UINT32_MAX, 1000000000000000000};
	struct hb_splitter s;

	(void)state;
	for (unsigned c = 0; c < HB_COUNT_OF(totals); c++) {
		struct hb_terms t = lucky_terms(UINT32_MAX, totals[c], 9);
		uint64_t mean = totals[c] / UINT32_MAX, sum = 0;

		assert_int_equal(hb_terms_check(&t, NULL), 0);
		hb_splitter_begin(&s, &t);
		for (unsigned i = 0; i < 100000; i++) {
			uint32_t amount = hb_splitter_next(&s);

			assert_true(amount >= 1);
			sum += amount;
		}
		assert_int_equal(s.fen_left, totals[c] - sum);
		assert_true(sum > 98000 * mean && sum < 102000 * (mean + 1));
	}
	struct hb_terms t =
		tier_terms((struct hb_tier[]){{1, UINT32_MAX}, {UINT32_MAX - 1, 200000000}}, 2, 1);
	check(&t, 0);
	hb_splitter_begin(&s, &t);
	for (unsigned i = 0; i < 100000; i++) {
		uint32_t amount = hb_splitter_next(&s);

		assert_true(amount == UINT32_MAX || amount == 200000000);
	}
}

/* ---- seeds ----------------------------------------------------------------------------- */

static struct hb_terms
seeded(unsigned split, uint64_t seed)
{
	static const struct hb_tier tier[] = {{900, 100}, {90, 1000}, {10, 8888}};

	return split == HB_SPLIT_LUCKY ? lucky_terms(1000, 123456, seed)
				       : tier_terms(tier, HB_COUNT_OF(tier), seed);
}

static void
a_seed_makes_the_same_again_and_another_does_not(void **state)
{
	(void)state;
	for (unsigned split = HB_SPLIT_LUCKY; split <= HB_SPLIT_TIERS; split++) {
		for (unsigned bit = 0; bit < 64; bit++) {
			struct hb_terms a = seeded(split, 77), b = seeded(split, 77 ^ 1ull << bit);
			uint32_t *first = split_all(&a), *again = split_all(&a);
			uint32_t *other = split_all(&b);

			assert_memory_equal(first, again, 1000 * sizeof(*first));
			assert_memory_not_equal(first, other, 1000 * sizeof(*first));
			free(first);
			free(again);
			free(other);
		}
	}
}

/* A journal holds seeds, not amounts: what a seed gave once it must give in every later version. */
static void
lucky_amounts_are_what_they_always_were(void **state)
{
	struct hb_terms t = lucky_terms(10, 10000, 20150218);
	static const uint32_t want[10] = {1583, 427, 814, 576, 465, 962, 1774, 1223, 1826, 350};
	uint32_t *amount = split_all(&t);

	(void)state;
	assert_memory_equal(amount, want, sizeof(want));
	free(amount);
}

/* Of a campaign as large as they come: where the mean hardly moves, where it runs, and at the end.
 */
static void
lucky_amounts_of_many_are_what_they_always_were(void **state)
{
	static const struct {
		uint32_t count;
		uint64_t total, seed, want;
	} cases[] = {{5000000, 500000000, 1, 0x20603C8DC5653151ull},
		{3000000, 3000000, 2, 0x1AB572FB051CC04Aull},
		{3000000, 3000017, 3, 0xC9FCB58C1306B175ull},
		{1000000, 4000000000000000, 4, 0x44F2F27060CC8BD7ull},
		{1000000, 4294967294987655, 5, 0x07D8265382C1E311ull},
		{2000000, 199982000007, 6, 0xAD9A659863ABA90Cull},
		{40, 400000, 7, 0x26368D029F501C85ull}, {2, 3, 8, 0xDFAEDF6B19052021ull},
		{1, 77, 9, 0x96AF9CCB4967527Eull}};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(cases); i++) {
		struct hb_terms t = lucky_terms(cases[i].count, cases[i].total, cases[i].seed);
		uint64_t digest = 0;
		struct hb_splitter s;

		hb_splitter_begin(&s, &t);
		for (uint32_t k = 0; k < t.count; k++)
			digest = hb_mix64(digest + hb_splitter_next(&s), 0x9E3779B97F4A7C15ull);
		assert_int_equal(digest, cases[i].want);
	}
}

/* The splitter goes on from one division to the next; each amount is the one that it replaces. */
static void
lucky_splitter_gives_what_hb_lucky_gives(void **state)
{
	uint64_t random = 17;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		uint32_t count = 1 + (uint32_t)(hb_splitmix64(&random) >> (32 + round % 32)) % 2000;
		uint64_t mean = 1 + (hb_splitmix64(&random) >> (33 + round * 7 % 31));
		struct hb_terms t =
			lucky_terms(count, count * mean - hb_splitmix64(&random) % mean % count,
				hb_splitmix64(&random));
		uint64_t fen = t.total, state_of_lucky = t.seed;
		struct hb_splitter s;

		if (t.total < count)
			continue;
		hb_splitter_begin(&s, &t);
		for (uint32_t left = count; left > 0; left--) {
			uint64_t amount = hb_lucky(fen, left, &state_of_lucky);

			/* From here on amounts are cut to what travels in 32 bits. */
			if (amount > UINT32_MAX ||
				(left > 1 && fen > (left - 1) * (uint64_t)UINT32_MAX))
				break;
			assert_int_equal(hb_splitter_next(&s), amount);
			fen -= amount;
		}
	}
}

static void
tiers_lie_where_they_always_lay(void **state)
{
	static const struct hb_tier tier[] = {{5, 10}, {4, 200}, {2, 3000}, {1, 8888}};
	static const uint32_t want[12] = {3000, 10, 10, 3000, 200, 10, 10, 200, 200, 10, 8888, 200};
	struct hb_terms t = tier_terms(tier, HB_COUNT_OF(tier), 20150218);
	uint32_t *amount = split_all(&t);

	(void)state;
	assert_memory_equal(amount, want, sizeof(want));
	free(amount);
}

/* ---- luck ------------------------------------------------------------------------------ */

static void
lucky_leaves_one_fen_for_each_other(void **state)
{
	uint64_t random = 3;

	(void)state;
	for (uint64_t fen = 1; fen <= 60; fen++) {
		for (uint32_t shares = 1; shares <= fen; shares++) {
			uint64_t least = UINT64_MAX, most = 0;

			for (unsigned i = 0; i < 300; i++) {
				uint64_t amount = hb_lucky(fen, shares, &random);

				assert_in_range(amount, 1, fen - (shares - 1));
				if (shares > 1)
					assert_true(amount * shares < 2 * fen);
				least = amount < least ? amount : least;
				most = amount > most ? amount : most;
			}
			/* And the bounds are reached, where few amounts are possible. */
			if (shares > 1 && fen <= 10)
				assert_int_equal(least, 1);
			if (shares > 1 && fen <= 10 && 2 * fen % shares == 0)
				assert_int_equal(most, 2 * fen / shares - 1);
			if (shares == 1)
				assert_int_equal(least, fen);
		}
	}
	for (unsigned i = 0; i < 300000; i++) {
		uint32_t shares = 1 + (uint32_t)(hb_splitmix64(&random) >> (33 + i % 31));
		uint64_t fen = shares + hb_splitmix64(&random) % (1000000000000000000 - shares);
		uint64_t amount = hb_lucky(fen, shares, &random);

		assert_in_range(amount, 1, fen - (shares - 1));
		assert_true(shares == 1 ||
			    (unsigned __int128)amount * shares < 2 * (unsigned __int128)fen);
	}
}

/* Whether counts are what they are expected to be: chi squared, 6 sigma. */
static void
assert_fits(const uint64_t *got, const double *expected, unsigned n, const char *what)
{
	double x = 0, freedom = n - 1;

	for (unsigned i = 0; i < n; i++)
		x += ((double)got[i] - expected[i]) * ((double)got[i] - expected[i]) / expected[i];
	if (x > freedom + 6 * sqrt(2 * freedom) + 12)
		fail_msg("%s: chi squared %.0f at %.0f degrees of freedom", what, x, freedom);
}

/* 8 fen for 4: 1, 2 or 3. 11 fen for 4: 1 to 4 or 1 to 5, evenly, since 5.5 is twice the mean. */
static void
lucky_is_uniform(void **state)
{
	const unsigned draws = 400000;
	const double even[3] = {draws / 3.0, draws / 3.0, draws / 3.0};
	const double half[5] = {.225 * draws, .225 * draws, .225 * draws, .225 * draws, .1 * draws};
	uint64_t random = 4, of8[3] = {0}, of11[5] = {0};

	(void)state;
	for (unsigned i = 0; i < draws; i++) {
		of8[hb_lucky(8, 4, &random) - 1]++;
		of11[hb_lucky(11, 4, &random) - 1]++;
	}
	assert_fits(of8, even, 3, "8 fen for 4");
	assert_fits(of11, half, 5, "11 fen for 4");
	/* Over a range that is no power of two, and far above 32 bits. */
	uint64_t wide[8] = {0};
	double eighth[8];
	for (unsigned i = 0; i < 8; i++)
		eighth[i] = draws / 8.0;
	for (unsigned i = 0; i < draws; i++)
		wide[(hb_lucky(400000000000000001, 2, &random) - 1) / 50000000000000000]++;
	assert_fits(wide, eighth, 8, "4 * 10^17 fen for 2");
}

/* Nobody is better off for being early or late: the mean is the same at each place. */
static void
lucky_has_the_same_mean_at_each_place(void **state)
{
	static const struct {
		uint32_t count;
		uint64_t total;
		unsigned rounds;
	} cases[] = {{10, 25, 100000}, {10, 10000, 40000}, {7, 8, 100000}, {5, 11, 100000},
		{2, 3, 100000}, {50, 4321, 10000}};

	(void)state;
	for (unsigned c = 0; c < HB_COUNT_OF(cases); c++) {
		double sum[64] = {0}, squares[64] = {0}, n = cases[c].rounds;
		double mean = (double)cases[c].total / cases[c].count;

		for (unsigned round = 0; round < cases[c].rounds; round++) {
			struct hb_terms t = lucky_terms(cases[c].count, cases[c].total, round);
			struct hb_splitter s;

			hb_splitter_begin(&s, &t);
			for (unsigned i = 0; i < t.count; i++) {
				double amount = hb_splitter_next(&s);

				sum[i] += amount;
				squares[i] += amount * amount;
			}
		}
		for (unsigned i = 0; i < cases[c].count; i++) {
			double got = sum[i] / n, spread = squares[i] / n - got * got;

			if (fabs(got - mean) > 5.5 * sqrt(spread / n) + 1e-9)
				fail_msg("%u of %u with %llu fen: mean %.4f, not %.4f", i + 1,
					cases[c].count, (unsigned long long)cases[c].total, got,
					mean);
		}
	}
}

/* ---- tiers ----------------------------------------------------------------------------- */

static int
by_amount(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Each tier is given out to the last envelope, whatever the count and the seed. */
static void
tiers_give_exactly_what_they_say(void **state)
{
	uint64_t random = 5;

	(void)state;
	for (unsigned round = 0; round < 1500; round++) {
		unsigned tiers = 1 + round % HB_TIERS_MAX;
		struct hb_tier tier[HB_TIERS_MAX];

		for (unsigned i = 0; i < tiers; i++)
			tier[i] = (struct hb_tier){
				.count = 1 + (uint32_t)(hb_splitmix64(&random) >> (55 + round % 9)),
				.amount = 1000 * (i + 1)};
		struct hb_terms t = tier_terms(tier, tiers, hb_splitmix64(&random));
		uint32_t *amount = split_all(&t), at = 0;

		qsort(amount, t.count, sizeof(*amount), by_amount);
		for (unsigned i = 0; i < tiers; i++) {
			for (uint32_t k = 0; k < tier[i].count; k++)
				assert_int_equal(amount[at++], tier[i].amount);
		}
		free(amount);
	}
	/* Counts around the powers of two and four, where the shuffle's domain steps. */
	for (unsigned bits = 0; bits < 17; bits++) {
		for (int off = -1; off <= 1; off++) {
			int64_t count = (1ll << bits) + off;

			if (count < 2)
				continue;
			struct hb_terms t = tier_terms(
				(struct hb_tier[]){{1, 7}, {(uint32_t)count - 1, 5}}, 2, bits);
			uint32_t *amount = split_all(&t);
			uint32_t prizes = 0;
			for (uint32_t i = 0; i < t.count; i++)
				prizes += amount[i] == 7;
			assert_int_equal(prizes, 1);
			free(amount);
		}
	}
}

/* Where the one prize stands is anybody's guess: over many seeds it stands everywhere as often. */
static void
the_prize_may_stand_anywhere(void **state)
{
	static const uint32_t counts[] = {2, 3, 4, 5, 8, 16, 17, 100, 1000};

	(void)state;
	for (unsigned c = 0; c < HB_COUNT_OF(counts); c++) {
		uint32_t count = counts[c];
		unsigned cells = count < 20 ? count : 20;
		uint64_t at[20] = {0}, rounds = count <= 100 ? 20000 : 2000;
		double expected[20];
		char what[64];

		for (uint64_t seed = 0; seed < rounds; seed++) {
			struct hb_terms t =
				tier_terms((struct hb_tier[]){{1, 9999}, {count - 1, 1}}, 2, seed);
			struct hb_splitter s;

			hb_splitter_begin(&s, &t);
			for (uint32_t i = 0; i < count; i++) {
				if (hb_splitter_next(&s) == 9999)
					at[(uint64_t)i * cells / count]++;
			}
		}
		for (unsigned i = 0; i < cells; i++)
			expected[i] = (double)rounds / cells;
		snprintf(what, sizeof(what), "the prize of %u", count);
		assert_fits(at, expected, cells, what);
	}
}

/* As many runs of one tier, and as many of it in the first half, as chance would have: 6 sigma. */
static void
tiers_are_well_shuffled(void **state)
{
	static const uint32_t counts[] = {1000, 10000};

	(void)state;
	for (unsigned c = 0; c < HB_COUNT_OF(counts); c++) {
		uint32_t half = counts[c] / 2;
		double sigma = sqrt(counts[c]) / 2;

		for (uint64_t seed = 0; seed < 200; seed++) {
			struct hb_terms t =
				tier_terms((struct hb_tier[]){{half, 1}, {half, 2}}, 2, seed);
			uint32_t *amount = split_all(&t), runs = 1, early = 0;

			for (uint32_t i = 1; i < t.count; i++)
				runs += amount[i] != amount[i - 1];
			for (uint32_t i = 0; i < half; i++)
				early += amount[i] == 1;
			free(amount);
			if (fabs(runs - (half + 1.0)) > 6 * sigma)
				fail_msg("seed %u: %u runs of %u", (unsigned)seed, runs, counts[c]);
			if (fabs(early - half / 2.0) > 3 * sigma)
				fail_msg("seed %u: %u of %u in the first half", (unsigned)seed,
					early, half);
		}
	}
}

/* ---- envelopes ------------------------------------------------------------------------- */

static void
envelopes_are_what_the_splitter_makes(void **state)
{
	(void)state;
	for (unsigned split = HB_SPLIT_EQUAL; split <= HB_SPLIT_TIERS; split++) {
		struct hb_terms t =
			split == HB_SPLIT_EQUAL ? equal_terms(1001, 99999) : seeded(split, 5);
		struct hb_envelopes v;
		struct hb_error e;
		uint32_t *amount = split_all(&t);
		uint64_t sum = 0;

		assert_int_equal(hb_envelopes_make(&v, &t, "gala", &e), 0);
		assert_int_equal(v.count, t.count);
		assert_int_equal(v.fen, t.total);
		for (uint32_t i = 0; i < v.count; i++) {
			assert_int_equal(v.of[i].amount, amount[i]);
			assert_int_equal(v.of[i].ticket, 0);
			assert_int_equal(v.of[i].asked_ms, 0);
			sum += v.of[i].amount;
		}
		assert_int_equal(sum, v.fen);
		hb_envelopes_free(&v);
		assert_null(v.of);
		assert_int_equal(v.count, 0);
		hb_envelopes_free(&v);
		free(amount);
	}
}

static void
envelopes_of_senseless_terms_are_not_made(void **state)
{
	struct hb_terms t = lucky_terms(10, 9, 1);
	struct hb_envelopes v;
	struct hb_error e = {""};

	(void)state;
	memset(&v, 0xA5, sizeof(v));
	assert_int_equal(hb_envelopes_make(&v, &t, "gala", &e), -EINVAL);
	assert_true(e.text[0] != '\0');
	assert_null(v.of);
	hb_envelopes_free(&v);
}

static void
each_tranche_is_found(void **state)
{
	struct hb_tranches *t = calloc(1, sizeof(*t));
	uint32_t next = 101;

	(void)state;
	for (unsigned n = 1; n <= HB_TRANCHES_MAX; n++) {
		uint32_t count = 1 + n * 7 % 5;

		t->first[n - 1] = next;
		t->of[n - 1].count = count;
		t->of[n - 1].of = calloc(count, sizeof(struct hb_envelope));
		next += count;
		for (unsigned i = 0; i < n; i++) {
			for (uint32_t k = 0; k < t->of[i].count; k++)
				assert_ptr_equal(
					hb_tranches_entry(t, n, t->first[i] + k), &t->of[i].of[k]);
		}
	}
	for (unsigned i = 0; i < HB_TRANCHES_MAX; i++)
		free(t->of[i].of);
	free(t);
}

static void
ids_tell_campaign_and_number(void **state)
{
	static const uint32_t numbers[] = {1, 2, 0x80000000, UINT32_MAX};

	(void)state;
	for (unsigned campaign = 1; campaign < 65536; campaign += 13) {
		for (unsigned i = 0; i < HB_COUNT_OF(numbers); i++) {
			uint64_t id = hb_envelope_id((uint16_t)campaign, numbers[i]);

			assert_int_equal(hb_envelope_number(id), numbers[i]);
			assert_int_equal(id >> 32, campaign);
		}
	}
}

/* ---- stocks ---------------------------------------------------------------------------- */

/* The list is sound: no empty range, no overlap, the counts add up. */
static void
assert_sound(const struct hb_stock *s)
{
	uint64_t count = 0;

	assert_true(s->ranges <= HB_STOCK_RANGES);
	for (unsigned i = 0; i < s->ranges; i++) {
		const struct hb_range *a = &s->range[i];

		assert_true(a->count > 0);
		count += a->count;
		for (unsigned k = 0; k < i; k++) {
			const struct hb_range *b = &s->range[k];

			assert_true((uint64_t)a->first + a->count <= b->first ||
				    (uint64_t)b->first + b->count <= a->first);
		}
	}
	assert_int_equal(s->count, count);
}

static void
add(struct hb_stock *s, uint32_t first, uint32_t count, int want)
{
	assert_int_equal(hb_stock_add(s, (struct hb_range){first, count}), want);
	assert_sound(s);
}

static void
a_stock_is_popped_in_order_and_cut_from_the_other_end(void **state)
{
	struct hb_stock s = {0};
	struct hb_range r;

	(void)state;
	add(&s, 1, 100, 0);
	assert_int_equal(hb_stock_pop(&s), 1);
	assert_int_equal(hb_stock_pop(&s), 2);
	r = hb_stock_cut(&s, 10);
	assert_int_equal(r.first, 91);
	assert_int_equal(r.count, 10);
	assert_int_equal(hb_stock_pop(&s), 3);
	/* What comes later waits its turn. */
	add(&s, 500, 3, 0);
	assert_int_equal(hb_stock_pop(&s), 4);
	r = hb_stock_cut(&s, 2);
	assert_int_equal(r.first, 501);
	assert_int_equal(r.count, 2);
	r = hb_stock_cut(&s, 50);
	assert_int_equal(r.first, 500);
	assert_int_equal(r.count, 1);
	assert_int_equal(hb_stock_pop(&s), 5);
	r = hb_stock_cut(&s, 0);
	assert_int_equal(r.count, 0);
	assert_int_equal(s.count, 85);
	r = hb_stock_cut(&s, UINT32_MAX);
	assert_int_equal(r.first, 6);
	assert_int_equal(r.count, 85);
	assert_sound(&s);
	assert_int_equal(s.count, 0);
	assert_int_equal(s.ranges, 0);
	r = hb_stock_cut(&s, 1);
	assert_int_equal(r.count, 0);
	add(&s, 7, 1, 0);
	assert_int_equal(hb_stock_pop(&s), 7);
	assert_int_equal(s.count, 0);
}

static void
ranges_that_touch_are_joined(void **state)
{
	struct hb_stock s = {0};

	(void)state;
	add(&s, 100, 10, 0);
	add(&s, 110, 10, 0); /* behind */
	add(&s, 90, 10, 0);  /* before */
	assert_int_equal(s.ranges, 1);
	assert_int_equal(s.range[0].first, 90);
	assert_int_equal(s.range[0].count, 30);
	add(&s, 121, 1, 0); /* one number between them */
	add(&s, 88, 1, 0);
	assert_int_equal(s.ranges, 3);
	add(&s, 200, 0, 0); /* nothing */
	assert_int_equal(s.ranges, 3);
	add(&s, 120, 1, 0); /* closes a gap: to one neighbour at the least */
	assert_in_range(s.ranges, 2, 3);
	assert_int_equal(s.count, 33);
}

/* At both ends of what a number can be nothing joins around the corner. */
static void
the_last_number_is_not_beside_the_first(void **state)
{
	struct hb_stock s = {0};

	(void)state;
	add(&s, UINT32_MAX, 1, 0);
	add(&s, 1, 1, 0);
	assert_int_equal(s.ranges, 2);
	assert_int_equal(hb_stock_pop(&s), UINT32_MAX);
	assert_int_equal(hb_stock_pop(&s), 1);
	assert_int_equal(s.count, 0);
	add(&s, 1, UINT32_MAX, 0);
	struct hb_range r = hb_stock_cut(&s, 1);
	assert_int_equal(r.first, UINT32_MAX);
	assert_int_equal(hb_stock_pop(&s), 1);
	add(&s, UINT32_MAX, 1, 0);
	assert_int_equal(s.ranges, 1);
	assert_int_equal(s.count, UINT32_MAX - 1);
}

static void
a_full_list_keeps_what_it_has(void **state)
{
	struct hb_stock s = {0}, before;

	(void)state;
	for (uint32_t i = 0; i < HB_STOCK_RANGES; i++)
		add(&s, 1 + 10 * i, 5, 0);
	before = s;
	add(&s, 1000, 5, -ENOSPC);
	assert_memory_equal(&s, &before, sizeof(s));
	add(&s, 1000, 0, 0);
	assert_memory_equal(&s, &before, sizeof(s));
	/* What touches one still finds its place. */
	add(&s, 6, 2, 0);
	assert_int_equal(s.ranges, HB_STOCK_RANGES);
	/* One range emptied makes room for one, either way of emptying it. */
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(hb_stock_pop(&s), 1 + i);
	add(&s, 1000, 5, 0);
	add(&s, 2000, 5, -ENOSPC);
	assert_int_equal(hb_stock_cut(&s, 5).first, 1000);
	add(&s, 2000, 5, 0);
	add(&s, 3000, 5, -ENOSPC);
}

#define CORES 5
#define ENVELOPES 20000
#define OPERATIONS 100000
#define FLIGHTS 64

/* The owner of each number: a core, in flight, or given. */
enum {
	IN_FLIGHT = CORES,
	GIVEN,
};

static void
nothing_is_lost_or_given_twice(void **state)
{
	static uint8_t owner[ENVELOPES + 1];
	struct hb_stock core[CORES] = {0};
	struct hb_range flight[FLIGHTS];
	uint32_t held[CORES] = {0}, given = 0, full = 0, largest = 0;
	unsigned flights = 0;
	uint64_t random = 6;

	(void)state;
	for (unsigned c = 0; c < CORES; c++) {
		uint32_t first = 1 + c * (ENVELOPES / CORES);

		add(&core[c], first, ENVELOPES / CORES, 0);
		memset(owner + first, (int)c, ENVELOPES / CORES);
		held[c] = ENVELOPES / CORES;
	}
	for (unsigned i = 0; i < OPERATIONS || flights > 0; i++) {
		uint64_t draw = hb_splitmix64(&random);
		unsigned c = (unsigned)(draw >> 8) % CORES, what = (unsigned)draw % 16;
		struct hb_stock *s = &core[c];

		if (i >= OPERATIONS)
			what = s->count > 0 && s->ranges == HB_STOCK_RANGES ? 0 : 15;
		if (what < 3 && s->count > 0) {
			uint32_t number = hb_stock_pop(s);

			assert_in_range(number, 1, ENVELOPES);
			assert_int_equal(owner[number], c);
			owner[number] = GIVEN;
			held[c]--;
			given++;
		} else if (what < 9 && flights < FLIGHTS) {
			uint32_t ask = (uint32_t)(draw >> 16) % 40 + 1;
			struct hb_range r = hb_stock_cut(s, ask);

			assert_true(r.count <= ask);
			assert_int_equal(r.count == 0, held[c] == 0);
			for (uint32_t k = 0; k < r.count; k++) {
				assert_int_equal(owner[r.first + k], c);
				owner[r.first + k] = IN_FLIGHT;
			}
			held[c] -= r.count;
			if (r.count > 0)
				flight[flights++] = r;
		} else if (flights > 0) {
			unsigned f = (unsigned)(draw >> 16) % flights;
			struct hb_range r = flight[f];
			int err = hb_stock_add(s, r);

			if (err == 0) {
				memset(owner + r.first, (int)c, r.count);
				held[c] += r.count;
				flight[f] = flight[--flights];
			} else {
				assert_int_equal(err, -ENOSPC);
				full++;
			}
		}
		assert_int_equal(s->count, held[c]);
		assert_sound(s);
		largest = s->ranges > largest ? s->ranges : largest;
	}
	/* The walk went where it hurts. */
	assert_int_equal(largest, HB_STOCK_RANGES);
	assert_true(full > 100);
	for (unsigned c = 0; c < CORES; c++) {
		while (core[c].count > 0) {
			uint32_t number = hb_stock_pop(&core[c]);

			assert_int_equal(owner[number], c);
			owner[number] = GIVEN;
			given++;
		}
	}
	assert_int_equal(given, ENVELOPES);
	for (uint32_t number = 1; number <= ENVELOPES; number++)
		assert_int_equal(owner[number], GIVEN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(terms_that_make_sense_are_taken),
		cmocka_unit_test(terms_that_make_no_sense_are_refused),
		cmocka_unit_test(splits_have_their_names),
		cmocka_unit_test(equal_gives_the_rest_to_the_first),
		cmocka_unit_test(lucky_sums_to_the_fen),
		cmocka_unit_test(lucky_fits_the_wire_at_its_fullest),
		cmocka_unit_test(one_fen_each_is_one_fen_each),
		cmocka_unit_test(the_largest_campaigns_begin_as_they_should),
		cmocka_unit_test(a_seed_makes_the_same_again_and_another_does_not),
		cmocka_unit_test(tiers_lie_where_they_always_lay),
		cmocka_unit_test(lucky_amounts_are_what_they_always_were),
		cmocka_unit_test(lucky_amounts_of_many_are_what_they_always_were),
		cmocka_unit_test(lucky_splitter_gives_what_hb_lucky_gives),
		cmocka_unit_test(lucky_leaves_one_fen_for_each_other),
		cmocka_unit_test(lucky_is_uniform),
		cmocka_unit_test(lucky_has_the_same_mean_at_each_place),
		cmocka_unit_test(tiers_give_exactly_what_they_say),
		cmocka_unit_test(the_prize_may_stand_anywhere),
		cmocka_unit_test(tiers_are_well_shuffled),
		cmocka_unit_test(envelopes_are_what_the_splitter_makes),
		cmocka_unit_test(envelopes_of_senseless_terms_are_not_made),
		cmocka_unit_test(each_tranche_is_found),
		cmocka_unit_test(ids_tell_campaign_and_number),
		cmocka_unit_test(a_stock_is_popped_in_order_and_cut_from_the_other_end),
		cmocka_unit_test(ranges_that_touch_are_joined),
		cmocka_unit_test(the_last_number_is_not_beside_the_first),
		cmocka_unit_test(a_full_list_keeps_what_it_has),
		cmocka_unit_test(nothing_is_lost_or_given_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
