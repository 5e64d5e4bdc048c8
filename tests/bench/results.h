/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * results: what a benchmark measured, one figure a line with a value for each round: as JSON for
 * tests/bench/bench.py, or as median and spread for people.
 *
 * One thread calls everything.
 */
#ifndef HB_BENCH_RESULTS_H
#define HB_BENCH_RESULTS_H

#include "hb_base.h"

#define RESULTS_MAX 256

struct result {
	const char *name;
	const char *unit;
	double *value;
	unsigned values;
};

struct results {
	struct result of[RESULTS_MAX];
	unsigned count;
	unsigned rounds; /* values that a figure has at the most */
};

void results_begin(struct results *r, unsigned rounds);

/* A figure's name put together, printf-like: there for as long as the program runs. */
const char *results_name(const char *fmt, ...) HB_PRINTF(1, 2);

/* Adds a round's value to the figure of that name, which must outlive r. */
void results_add(struct results *r, const char *name, const char *unit, double value);

/* Prints a line that belongs to the figures: how they came about. */
void results_note(bool json, const char *fmt, ...) HB_PRINTF(2, 3);

/* Prints every figure in the order in which they first came; and lets go of them. */
void results_end(struct results *r, bool json);

#endif
