/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The distribution of lucky shares: so many packets of ten shares are given away, and mean and
 * standard deviation of each position are held against the theory. Beside them extreme terms: every
 * share at least 1 fen, every sum exact.
 *
 * The theory: share k of n is uniform from 1 fen to 2 m - 1 or so, where m, the mean of what is
 * left for each, is a martingale. So every position has the mean total / n; and with L shares left
 * Var(share) = E[m^2] 4/3 - mean/3 - mean^2, where E[m^2] grows from one position to the next by
 * the factor 1 + 1 / (3 (L - 1)^2), less mean / (3 (L - 1)^2).
 *
 * Exit code 1 when a sum is wrong, a share is below 1 fen, or a position is further from the theory
 * than six standard errors of its mean, or a hundredth in its standard deviation.
 */
#include "hb_packets.h"
#include "options.h"
#include "results.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SHARES 10
#define EXTREME_SHARES 65535

static const char *const mean_name[SHARES] = {"mean at 1", "mean at 2", "mean at 3", "mean at 4",
	"mean at 5", "mean at 6", "mean at 7", "mean at 8", "mean at 9", "mean at 10"};
static const char *const sd_name[SHARES] = {"deviation at 1", "deviation at 2", "deviation at 3",
	"deviation at 4", "deviation at 5", "deviation at 6", "deviation at 7", "deviation at 8",
	"deviation at 9", "deviation at 10"};
static const char *const theory_name[SHARES] = {"theory at 1", "theory at 2", "theory at 3",
	"theory at 4", "theory at 5", "theory at 6", "theory at 7", "theory at 8", "theory at 9",
	"theory at 10"};

struct bench {
	struct hb_packets packets;
	uint64_t id, wrong;
	double sum[SHARES], square[SHARES];
};

/* Gives all shares of one packet away. */
static void
give_away(struct bench *b, const struct hb_packet_terms *t, bool counted)
{
	struct hb_packets *p = &b->packets;
	struct hb_packet *k = hb_packets_add(p, ++b->id, t, 1);
	uint64_t sum = 0;

	for (unsigned i = 0; i < t->shares; i++) {
		uint32_t fen = hb_packet_next_fen(p, k);

		b->wrong += fen < 1;
		sum += fen;
		if (counted) {
			b->sum[i] += fen;
			b->square[i] += (double)fen * fen;
		}
		hb_packet_take(p, k, i + 1, fen, 1);
	}
	b->wrong += sum != t->total;
	hb_packet_forget(p, k);
}

static void
give_extremes(struct bench *b)
{
	static const uint16_t shares[] = {1, 2, 3, 10, 100, EXTREME_SHARES};

	for (unsigned split = HB_SPLIT_EQUAL; split <= HB_SPLIT_LUCKY; split++) {
		for (unsigned i = 0; i < HB_COUNT_OF(shares); i++) {
			uint32_t total[] = {shares[i], shares[i] + 1u, 2u * shares[i], UINT32_MAX};

			for (unsigned n = 0; n < 100 * HB_COUNT_OF(total); n++)
				give_away(b,
					&(struct hb_packet_terms){.user = 1,
						.total = total[n % HB_COUNT_OF(total)],
						.shares = shares[i],
						.split = (uint8_t)split},
					false);
		}
	}
}

/* Adds the figures of each position. Returns how many are off. */
static unsigned
judge(const struct bench *b, struct results *r, double packets, double mean)
{
	double second = mean * mean;
	unsigned off = 0;

	for (unsigned i = 0; i < SHARES; i++) {
		double left = SHARES - i, m = b->sum[i] / packets;
		double sd = sqrt(b->square[i] / packets - m * m);
		double theory = sqrt(
			left > 1 ? second * 4 / 3 - mean / 3 - mean * mean : second - mean * mean);

		results_add(r, mean_name[i], "fen", m);
		results_add(r, sd_name[i], "fen", sd);
		results_add(r, theory_name[i], "fen", theory);
		off += fabs(m - mean) > 6 * theory / sqrt(packets) || fabs(sd / theory - 1) > 0.01;
		if (left > 1)
			second += (second - mean) / (3 * (left - 1) * (left - 1));
	}
	return off;
}

int
main(int argc, char **argv)
{
	static struct bench b;
	uint64_t packets = 10000000, mean = 1000, random = 1;
	struct hb_packets_terms terms = {.packets = 1, .shares = EXTREME_SHARES};
	const uint64_t lucky[2] = {hb_splitmix64(&random), hb_splitmix64(&random)};
	struct hb_packet_terms t;
	struct results r;
	struct hb_error e;
	unsigned off;
	bool json;

	options_read(argc, argv,
		(struct option_number[]){{"--packets", &packets, 10000, 1ull << 40},
			{"--mean", &mean, 2, UINT32_MAX / SHARES}},
		2, &json);
	for (unsigned i = 0; i < HB_COUNT_OF(terms.key); i++)
		terms.key[i] = hb_splitmix64(&random);
	if (hb_packets_make(&b.packets, &terms, &e) != 0) {
		fprintf(stderr, "bench_shares: %s\n", e.text);
		return HB_EXIT_HOST;
	}
	hb_packets_seed(&b.packets, lucky);
	t = (struct hb_packet_terms){.user = 1,
		.total = (uint32_t)(SHARES * mean),
		.shares = SHARES,
		.split = HB_SPLIT_LUCKY};
	for (uint64_t i = 0; i < packets; i++)
		give_away(&b, &t, true);
	give_extremes(&b);
	results_begin(&r, 1);
	off = judge(&b, &r, (double)packets, (double)mean);
	results_note(json,
		"%llu packets of 10 lucky shares, %llu fen in the mean; of all and of "
		"4,800 with extreme terms %llu sums or shares were wrong",
		(unsigned long long)packets, (unsigned long long)mean, (unsigned long long)b.wrong);
	results_end(&r, json);
	hb_packets_free(&b.packets);
	return off == 0 && b.wrong == 0 ? HB_EXIT_OK : HB_EXIT_FAILED;
}
