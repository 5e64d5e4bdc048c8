/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_histogram.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct hb_histogram h, other;

static int
empty(void **state)
{
	(void)state;
	memset(&h, 0, sizeof(h));
	memset(&other, 0, sizeof(other));
	return 0;
}

static int
ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Counts follow each other without a gap, and each is narrow. */
static void
counts_are_narrow_and_meet(void **state)
{
	(void)state;
	uint64_t low = 0;

	for (unsigned i = 0; i < HB_HISTOGRAM_COUNTS; i++) {
		uint64_t top = hb_histogram_top(i);

		assert_int_equal(hb_histogram_index(low), i);
		assert_int_equal(hb_histogram_index(top), i);
		assert_true(top >= low && (top - low) * 1024 <= low);
		low = top + 1;
	}
	assert_true(low == HB_HISTOGRAM_MAX + 1);
	assert_int_equal(hb_histogram_index(UINT64_MAX), HB_HISTOGRAM_COUNTS - 1);
}

static void
small_values_are_exact(void **state)
{
	(void)state;
	for (uint64_t v = 1; v <= 2000; v++)
		hb_histogram_add(&h, v);
	assert_int_equal(hb_histogram_percentile(&h, 50), 1000);
	assert_int_equal(hb_histogram_percentile(&h, 90), 1800);
	assert_int_equal(hb_histogram_percentile(&h, 99.9), 1998);
	assert_int_equal(hb_histogram_percentile(&h, 100), 2000);
	assert_int_equal(hb_histogram_percentile(&h, 0), 1);
	assert_int_equal(hb_histogram_above(&h, 1500), 500);
	assert_true(hb_histogram_mean(&h) == 1000.5);
	assert_int_equal(h.max, 2000);
}

static void
nothing_has_no_percentiles(void **state)
{
	(void)state;
	assert_int_equal(hb_histogram_percentile(&h, 50), 0);
	assert_true(hb_histogram_mean(&h) == 0);
	assert_int_equal(hb_histogram_above(&h, 0), 0);
}

/* Against the same values sorted, over many magnitudes. */
static void
percentiles_are_within_a_thousandth(void **state)
{
	static const double percent[] = {0.1, 1, 10, 50, 90, 99, 99.9, 99.99, 100};
	const size_t n = 200000;
	uint64_t *v = malloc(n * sizeof(*v)), random = 5;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		unsigned bits = 1 + (unsigned)(hb_splitmix64(&random) % 39);
		v[i] = hb_splitmix64(&random) >> (64 - bits);
		hb_histogram_add(&h, v[i]);
	}
	qsort(v, n, sizeof(*v), ascending);
	for (size_t i = 0; i < HB_COUNT_OF(percent); i++) {
		size_t rank = (size_t)((double)n * percent[i] / 100 + 0.999999);
		uint64_t right = v[rank - 1], got = hb_histogram_percentile(&h, percent[i]);

		assert_true(got >= right);
		assert_true((double)(got - right) <= (double)right / 1024);
	}
	assert_int_equal(h.max, v[n - 1]);
	assert_int_equal(hb_histogram_percentile(&h, 100), v[n - 1]);
	free(v);
}

static void
what_is_too_large_counts_as_the_largest(void **state)
{
	(void)state;
	hb_histogram_add(&h, 5);
	hb_histogram_add(&h, HB_HISTOGRAM_MAX + 12345);
	assert_int_equal(h.values, 2);
	assert_true(h.max == HB_HISTOGRAM_MAX + 12345);
	assert_true(hb_histogram_percentile(&h, 99) == HB_HISTOGRAM_MAX);
	assert_int_equal(hb_histogram_percentile(&h, 50), 5);
}

static void
merging_is_as_adding_all(void **state)
{
	uint64_t random = 9;
	static struct hb_histogram all;

	(void)state;
	memset(&all, 0, sizeof(all));
	for (unsigned i = 0; i < 50000; i++) {
		uint64_t v = hb_splitmix64(&random) >> (24 + i % 40);
		hb_histogram_add(i % 3 == 0 ? &h : &other, v);
		hb_histogram_add(&all, v);
	}
	hb_histogram_merge(&h, &other);
	assert_memory_equal(&h, &all, sizeof(h));
}

/* Several percentages in one walk are as each alone. */
static void
many_percentiles_are_as_one_at_a_time(void **state)
{
	static const double percent[] = {0, 0.1, 1, 50, 50, 99, 99.99, 100};
	uint64_t out[HB_COUNT_OF(percent)] = {1}, random = 3;

	(void)state;
	hb_histogram_percentiles(&h, percent, out, HB_COUNT_OF(percent));
	assert_int_equal(out[0] | out[7], 0);
	for (unsigned i = 0; i < 10000; i++)
		hb_histogram_add(&h, hb_splitmix64(&random) >> (30 + i % 30));
	hb_histogram_percentiles(&h, percent, out, HB_COUNT_OF(percent));
	for (unsigned i = 0; i < HB_COUNT_OF(percent); i++)
		assert_int_equal(out[i], hb_histogram_percentile(&h, percent[i]));
}

/* Against a count of the values themselves. */
static void
buckets_are_cumulative(void **state)
{
	static const uint64_t bound[] = {0, 5, 100, 100, 2047, 5000, 1000000};
	uint64_t upto[HB_COUNT_OF(bound)], right[HB_COUNT_OF(bound)] = {0}, random = 8;
	const unsigned n = 20000;

	(void)state;
	assert_int_equal(hb_histogram_buckets(&h, bound, upto, HB_COUNT_OF(bound)), 0);
	assert_int_equal(upto[6], 0);
	for (unsigned i = 0; i < n; i++) {
		uint64_t v = hb_splitmix64(&random) >> (40 + i % 24);

		hb_histogram_add(&h, v);
		for (unsigned k = 0; k < HB_COUNT_OF(bound); k++)
			right[k] += v <= bound[k];
	}
	assert_int_equal(hb_histogram_buckets(&h, bound, upto, HB_COUNT_OF(bound)), n);
	for (unsigned k = 0; k < 5; k++)
		assert_int_equal(upto[k], right[k]);
	/* Above 2048 what is just below a bound may count as above it. */
	for (unsigned k = 5; k < HB_COUNT_OF(bound); k++)
		assert_true(upto[k] <= right[k] && right[k] - upto[k] < n / 500);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(counts_are_narrow_and_meet, empty),
		cmocka_unit_test_setup(small_values_are_exact, empty),
		cmocka_unit_test_setup(nothing_has_no_percentiles, empty),
		cmocka_unit_test_setup(percentiles_are_within_a_thousandth, empty),
		cmocka_unit_test_setup(what_is_too_large_counts_as_the_largest, empty),
		cmocka_unit_test_setup(merging_is_as_adding_all, empty),
		cmocka_unit_test_setup(many_percentiles_are_as_one_at_a_time, empty),
		cmocka_unit_test_setup(buckets_are_cumulative, empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
