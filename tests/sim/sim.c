/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim.h"

#include <getopt.h>
#include <malloc.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define STEPS 300

static struct world the_world;
static const char *program;

void
sim_say(const struct world *w, const char *fmt, ...)
{
	va_list ap;

	printf("%12.6f ", (double)(w->now_us - w->first_us) / 1e6);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

void
sim_fail(const struct world *w, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "\nseed %llu, %.6f s in: ", (unsigned long long)w->seed,
		(double)(w->now_us - w->first_us) / 1e6);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nagain: %s --seed %llu --runs 1 --steps %u -v\n", program,
		(unsigned long long)w->seed, w->steps);
	exit(HB_EXIT_FAILED);
}

/* ---- a journal's random id, from the seed too ---------------------------------------- */

static const char *
random_name(void)
{
	return "simulated";
}

static uint32_t
random_word(void)
{
	return (uint32_t)hb_splitmix64(&the_world.chance.state);
}

static void
random_bytes(void *buffer, size_t n)
{
	for (uint8_t *p = buffer; n > 0; n--)
		*p++ = (uint8_t)random_word();
}

static struct randombytes_implementation simulated_random = {
	.implementation_name = random_name,
	.random = random_word,
	.buf = random_bytes,
};

/* ---- options ------------------------------------------------------------------------- */

struct options {
	uint64_t seed, runs, steps;
	bool verbose;
};

static int
usage(const char *problem, const char *value)
{
	fprintf(stderr,
		"%s: %s%s\n"
		"usage: %s [--seed N] [--runs N] [--steps N] [-v]\n"
		"Runs seeds N, N + 1, ... until one fails; -v says what happens.\n",
		program, problem, value, program);
	return HB_EXIT_USAGE;
}

static int
parse_options(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {
		{"seed", required_argument, NULL, 's'},
		{"runs", required_argument, NULL, 'r'},
		{"steps", required_argument, NULL, 'n'},
		{0},
	};
	int c, bad = 0;

	while ((c = getopt_long(argc, argv, "v", known, NULL)) != -1) {
		if (c == 's')
			bad = hb_parse_u64(optarg, 0, UINT64_MAX / 2, &o->seed);
		else if (c == 'r')
			bad = hb_parse_u64(optarg, 1, UINT32_MAX, &o->runs);
		else if (c == 'n')
			bad = hb_parse_u64(optarg, 0, 1000000, &o->steps);
		else if (c == 'v')
			o->verbose = true;
		else
			return usage("no such option", "");
		if (bad != 0)
			return usage("not a number that fits: ", optarg);
	}
	return optind == argc ? 0 : usage("what is this: ", argv[optind]);
}

static void
say_totals(const struct options *o, const struct totals *t, double seconds)
{
	char n[19][32];

	printf("%s runs, %s steps, %s requests, %s starts, %s crashes (%s with the power), %s torn "
	       "tails, %s top-ups and %s campaigns added (%s refused, %s in the dark), %s blocks "
	       "leased (%s came again, %s envelopes went back), "
	       "%s packets and %s bundles, %s shares, %s refunds; %s wins told: all kept; "
	       "%.0f runs a second\n",
		hb_thousands(o->runs, n[0]), hb_thousands(t->steps, n[1]),
		hb_thousands(t->asked, n[2]), hb_thousands(t->starts, n[3]),
		hb_thousands(t->outages + t->kills, n[4]), hb_thousands(t->outages, n[5]),
		hb_thousands(t->torn, n[6]), hb_thousands(t->topped, n[8]),
		hb_thousands(t->added, n[9]), hb_thousands(t->refused, n[10]),
		hb_thousands(t->unsure, n[11]), hb_thousands(t->leased, n[16]),
		hb_thousands(t->again, n[17]), hb_thousands(t->returned, n[18]),
		hb_thousands(t->packed, n[12]), hb_thousands(t->bundled, n[13]),
		hb_thousands(t->shares, n[14]), hb_thousands(t->refunds, n[15]),
		hb_thousands(t->told, n[7]), (double)o->runs / seconds);
}

int
main(int argc, char **argv)
{
	struct options o = {.seed = 1, .runs = 1000, .steps = STEPS};
	struct hb_progress progress;
	struct totals totals = {0};
	int rc;

	program = argv[0];
	if ((rc = parse_options(&o, argc, argv)) != 0)
		return rc;
	/* Fresh zeros of half a megabyte come cheaper from the kernel than from memset. */
	mallopt(M_MMAP_THRESHOLD, 400 << 10);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	randombytes_set_implementation(&simulated_random);
	if (hb_wire_init() != 0)
		return HB_EXIT_HOST;
	uint64_t start = hb_mono_ns();
	hb_progress_begin(&progress, "sim", "runs", o.runs);
	for (uint64_t i = 0; i < o.runs; i++) {
		world_run(&the_world, o.seed + i, (unsigned)o.steps, o.verbose, &totals);
		hb_progress_update(&progress, i + 1);
	}
	hb_progress_end(&progress);
	say_totals(&o, &totals, (double)(hb_mono_ns() - start) / 1e9);
	return HB_EXIT_OK;
}
