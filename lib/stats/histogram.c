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

uint64_t
hb_histogram_percentile(const struct hb_histogram *h, double percent)
{
	uint64_t values = hb_read(&h->values), max = hb_read(&h->max), seen = 0;
	double wanted = (double)values * percent / 100;

	if (values == 0)
		return 0;
	for (unsigned i = 0; i < HB_HISTOGRAM_COUNTS; i++) {
		seen += hb_read(&h->count[i]);
		/* A quotient that comes out above a whole number by rounding isn't a value more. */
		if (seen > 0 && (double)seen >= wanted * (1 - 1e-15)) {
			uint64_t top = hb_histogram_top(i);
			return top < max ? top : max;
		}
	}
	return max;
}

uint64_t
hb_histogram_above(const struct hb_histogram *h, uint64_t v)
{
	uint64_t n = 0;

	for (unsigned i = hb_histogram_index(v) + 1; i < HB_HISTOGRAM_COUNTS; i++)
		n += hb_read(&h->count[i]);
	return n;
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
	uint64_t max = hb_read(&h->max);

	sum->values += hb_read(&h->values);
	sum->sum += hb_read(&h->sum);
	sum->max = max > sum->max ? max : sum->max;
	for (unsigned i = 0; i < HB_HISTOGRAM_COUNTS; i++)
		sum->count[i] += hb_read(&h->count[i]);
}
