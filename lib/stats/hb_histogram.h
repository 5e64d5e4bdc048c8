/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_histogram: how often each value came, in fixed memory, to 3 significant digits.
 *
 * Values below 2048 have a count each; above, each doubling has 1024 counts of equal width, so that
 * a value is known to within 1/1024 of itself (the idea of HdrHistogram). From 0 to 2^40 - 1: with
 * nanoseconds that is over 18 minutes; what is more counts as that.
 *
 * One thread adds, with plain stores; anybody may read at any time, and sees each count whole,
 * though the counts of different values may be of slightly different moments. All zero is an empty
 * one.
 */
#ifndef HB_HISTOGRAM_H
#define HB_HISTOGRAM_H

#include "hb_stats.h"

#define HB_HISTOGRAM_HALF_BITS 10 /* 2^10 counts for each doubling */
#define HB_HISTOGRAM_VALUE_BITS 40
#define HB_HISTOGRAM_MAX ((1ull << HB_HISTOGRAM_VALUE_BITS) - 1)
#define HB_HISTOGRAM_COUNTS                                                                        \
	((HB_HISTOGRAM_VALUE_BITS - HB_HISTOGRAM_HALF_BITS + 1ull) << HB_HISTOGRAM_HALF_BITS)

/* adder: wo; all others: ro */
struct hb_histogram {
	uint64_t values; /* how many were added */
	uint64_t sum;	 /* of them */
	uint64_t max;	 /* exact */
	uint64_t count[HB_HISTOGRAM_COUNTS];
};

/* Which count a value is in. */
static inline unsigned
hb_histogram_index(uint64_t v)
{
	if (HB_UNLIKELY(v > HB_HISTOGRAM_MAX))
		v = HB_HISTOGRAM_MAX;
	unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);
	unsigned shift = bits <= HB_HISTOGRAM_HALF_BITS + 1 ? 0 : bits - HB_HISTOGRAM_HALF_BITS - 1;

	/* A value shifted so keeps its highest 11 bits: 1024 to 2047. */
	return (shift << HB_HISTOGRAM_HALF_BITS) + (unsigned)(v >> shift);
}

/* Adds a value. By one thread at a time. */
static inline void
hb_histogram_add(struct hb_histogram *h, uint64_t v)
{
	hb_count(&h->count[hb_histogram_index(v)], 1);
	hb_count(&h->sum, v);
	if (HB_UNLIKELY(v > h->max))
		__atomic_store_n(&h->max, v, __ATOMIC_RELAXED);
	hb_count(&h->values, 1);
}

/* The largest value that is in a count. */
uint64_t hb_histogram_top(unsigned index);

/* The value that so many percent of all are not above, to within 1/1024 upwards, and never above
 * the largest; 0 where there is none. percent: 0 to 100. */
uint64_t hb_histogram_percentile(const struct hb_histogram *h, double percent);

/* The same for n rising percentages, in one walk over the counts, into `out`. */
void hb_histogram_percentiles(
	const struct hb_histogram *h, const double *percent, uint64_t *out, unsigned n);

/* How many values are not above each of n rising bounds, into `upto`: the buckets of a cumulative
 * histogram. A value less than 1/1024 below a bound may count as above it. Returns how many there
 * are in all, never fewer than upto's last. Walks no further than the largest value. */
uint64_t hb_histogram_buckets(
	const struct hb_histogram *h, const uint64_t *bound, uint64_t *upto, unsigned n);

/* How many values are surely above v: those in counts beyond v's own. */
uint64_t hb_histogram_above(const struct hb_histogram *h, uint64_t v);

/* The mean of all values; 0 where there is none. */
double hb_histogram_mean(const struct hb_histogram *h);

/* The same percentiles of what was added between two copies of one, `from` the earlier (100: the
 * largest, to within 1/1024 upwards). Returns how many values that is. */
uint64_t hb_histogram_between(const struct hb_histogram *from, const struct hb_histogram *to,
	const double *percent, uint64_t *out, unsigned n);

/* Adds one's counts, as they are now, to a sum of the caller's own. */
void hb_histogram_merge(struct hb_histogram *sum, const struct hb_histogram *h);

#endif
