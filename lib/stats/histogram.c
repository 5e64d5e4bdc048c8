/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_histogram.h"

uint64_t
hb_histogram_top(unsigned index)
{
	unsigned shift = index >> HB_HISTOGRAM_HALF_BITS;

	if (shift <= 1)
		return index;
	shift--;
	uint64_t high = index - (shift << HB_HISTOGRAM_HALF_BITS);
	return ((high + 1) << shift) - 1;
}

void
hb_histogram_percentiles(
	const struct hb_histogram *h, const double *percent, uint64_t *out, unsigned n)
{
	uint64_t values = hb_read(&h->values), max = hb_read(&h->max), seen = 0;
	unsigned i = 0;

	for (unsigned k = 0; k < n; k++) {
		/* A quotient that comes out above a whole number by rounding isn't a value more. */
		double wanted = (double)values * percent[k] / 100 * (1 - 1e-15);

		while (values != 0 && i < HB_HISTOGRAM_COUNTS &&
			(seen == 0 || (double)seen < wanted))
			seen += hb_read(&h->count[i++]);
		out[k] = i == 0 ? 0 : hb_histogram_top(i - 1);
		out[k] = out[k] < max ? out[k] : max;
	}
}

uint64_t
hb_histogram_percentile(const struct hb_histogram *h, double percent)
{
	uint64_t v;

	hb_histogram_percentiles(h, &percent, &v, 1);
	return v;
}

uint64_t
hb_histogram_buckets(
	const struct hb_histogram *h, const uint64_t *bound, uint64_t *upto, unsigned n)
{
	unsigned end = hb_histogram_index(hb_read(&h->max)) + 1, i = 0;
	uint64_t seen = 0;

	for (unsigned b = 0; b < n; b++) {
		unsigned beyond = hb_histogram_index(bound[b] + 1);

		for (; i < beyond && i < end; i++)
			seen += hb_read(&h->count[i]);
		upto[b] = seen;
	}
	for (; i < end; i++)
		seen += hb_read(&h->count[i]);
	return seen;
}

uint64_t
hb_histogram_above(const struct hb_histogram *h, uint64_t v)
{
	uint64_t n = 0;

	for (unsigned i = hb_histogram_index(v) + 1; i < HB_HISTOGRAM_COUNTS; i++)
		n += hb_read(&h->count[i]);
	return n;
}

uint64_t
hb_histogram_between(const struct hb_histogram *from, const struct hb_histogram *to,
	const double *percent, uint64_t *out, unsigned n)
{
	unsigned end = hb_histogram_index(to->max) + 1, i = 0;
	uint64_t values = 0, seen = 0;

	for (unsigned k = 0; k < end; k++)
		values += to->count[k] - from->count[k];
	for (unsigned k = 0; k < n; k++) {
		double wanted = (double)values * percent[k] / 100 * (1 - 1e-15);

		for (; values != 0 && i < end && (seen == 0 || (double)seen < wanted); i++)
			seen += to->count[i] - from->count[i];
		out[k] = i == 0 ? 0 : hb_histogram_top(i - 1);
		out[k] = out[k] < to->max ? out[k] : to->max;
	}
	return values;
}

double
hb_histogram_mean(const struct hb_histogram *h)
{
	uint64_t values = hb_read(&h->values);

	return values == 0 ? 0 : (double)hb_read(&h->sum) / (double)values;
}

void
hb_histogram_merge(struct hb_histogram *sum, const struct hb_histogram *h)
{
	/* In this order: no value that is counted in `values` is above max. */
	uint64_t values = __atomic_load_n(&h->values, __ATOMIC_ACQUIRE), max = hb_read(&h->max);
	unsigned last = hb_histogram_index(max);

	sum->values += values;
	sum->sum += hb_read(&h->sum);
	sum->max = max > sum->max ? max : sum->max;
	for (unsigned i = 0; i <= last; i++)
		sum->count[i] += hb_read(&h->count[i]);
}
