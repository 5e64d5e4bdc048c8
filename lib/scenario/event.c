/* SPDX-License-Identifier: BSD-3-Clause */
#include "event.h"

#define MINUTES(n) ((n)*60)

/* 18 February 2015, 20:00 at UTC+8. */
#define GALA_START_US (1424260800ull * 1000000)
#define GALA_SECONDS MINUTES(288)

/*
 * What is known: 11.0 billion from 20:00 to 00:48; 810 million in the minute of 22:34, 14 million
 * in its busiest second; a wave at 22:30; traffic comes within a second or two of each call and
 * decays over a minute. A minute whose mean second is 13.5 million and whose best is 14 million is
 * nearly flat: the decay of that wave comes after it. The other calls' times and heights, and the
 * background's slopes, are assumptions.
 */
static const struct hb_wave gala_wave[] = {
	{MINUTES(42), 5, 3500000, 3500000}, {MINUTES(81), 5, 4000000, 4000000},
	{MINUTES(112), 5, 4500000, 4500000}, {MINUTES(150), 20, 10000000, 9000000}, /* 22:30 */
	{MINUTES(154), 60, 14000000, 13000000},					    /* 22:34 */
	{MINUTES(191), 5, 6000000, 6000000}, {MINUTES(223), 5, 5000000, 5000000},
	{MINUTES(240), 10, 7000000, 7000000}, /* midnight */
};

static const struct hb_knot gala_knot[] = {
	{0, 30}, {MINUTES(150), 100}, {MINUTES(241), 90}, {GALA_SECONDS, 20}};

/*
 * What is known: 99.9 million answers of 29.98 million users, the last envelope gone after 156 s.
 * The two seconds before them are the rise, and what comes after them those who didn't hear.
 */
static const struct hb_wave password_wave[] = {{2, 156, 800000, 480000}};

#define PASSWORD_SECONDS (2 + 156 + 140)

/* 7 February 2016, 23:55 at UTC+8. */
#define GROUPS_START_US (1454860500ull * 1000000)
#define GROUPS_SECONDS MINUTES(10)

/*
 * What is known: 409,000 packets a second at the peak of New Year's Eve 2016; 1 to 100 shares,
 * grabbed within seconds. With ten grabs each that is 4.5 million requests a second. That it comes
 * at midnight, and how fast it goes, are assumptions.
 */
static const struct hb_wave groups_wave[] = {{MINUTES(5), 10, 4500000, 4500000}};
static const struct hb_knot groups_knot[] = {{0, 60}, {MINUTES(5), 100}, {GROUPS_SECONDS, 80}};

/*
 * A sponsor's calls, three in half an hour, each a tenth of the gala's largest: assumptions. What
 * the shakes give, and what friends make of it, is the server's and the replayer's.
 */
static const struct hb_wave sponsors_wave[] = {{MINUTES(5), 5, 1400000, 1300000},
	{MINUTES(15), 5, 1400000, 1300000}, {MINUTES(25), 5, 1400000, 1300000}};
static const struct hb_knot sponsors_knot[] = {{0, 20}, {MINUTES(30), 20}};

static const struct hb_scenario_info info[] = {
	{
		.name = "gala-2015",
		.summary = "the night of 18 February 2015: shakes in waves, 22 times the mean at "
			   "22:34",
		.requests = 11000000000,
		.start_us = GALA_START_US,
		.seconds = GALA_SECONDS,
	},
	{
		.name = "password-2015",
		.summary =
			"one password for everybody, the same night: wrong answers and right ones",
		.requests = 99900000,
		.users = 29980000,
		.start_us = GALA_START_US + MINUTES(150) * 1000000ull,
		.seconds = PASSWORD_SECONDS,
	},
	{
		.name = "groups",
		.summary =
			"group packets around midnight of New Year's Eve 2016: funded and grabbed, "
			"one of 4,096 by a crowd",
		.requests = 1200000000,
		.start_us = GROUPS_START_US,
		.seconds = GROUPS_SECONDS,
	},
	{
		.name = "sponsors",
		.summary = "shakes for bundles, in three waves; hongbao-replay has winners pass "
			   "them on",
		.requests = 500000000,
		.start_us = GALA_START_US,
		.seconds = MINUTES(30),
	},
};

const struct hb_event hb_event[] = {
	{
		.curve = {.total = 11000000000,
			.seconds = GALA_SECONDS,
			.decay = 950,
			.wave = gala_wave,
			.waves = HB_COUNT_OF(gala_wave),
			.knot = gala_knot,
			.knots = HB_COUNT_OF(gala_knot)},
		.gap_least_us = 150000,
		.gap_step_us = 50000,
		.run = 4 * 256,
		.op = HB_OP_SHAKE,
	},
	{
		.curve = {.seconds = PASSWORD_SECONDS,
			.decay = 950,
			.wave = password_wave,
			.waves = HB_COUNT_OF(password_wave)},
		.gap_least_us = 2000000,
		.gap_step_us = 500000,
		.run = 2 * 256,
		.op = HB_OP_ANSWER,
	},
	{
		.curve = {.total = 1200000000,
			.seconds = GROUPS_SECONDS,
			.decay = 980,
			.wave = groups_wave,
			.waves = HB_COUNT_OF(groups_wave),
			.knot = groups_knot,
			.knots = HB_COUNT_OF(groups_knot)},
		.op = HB_OP_GRAB,
	},
	{
		.curve = {.total = 500000000,
			.seconds = MINUTES(30),
			.decay = 950,
			.wave = sponsors_wave,
			.waves = HB_COUNT_OF(sponsors_wave),
			.knot = sponsors_knot,
			.knots = HB_COUNT_OF(sponsors_knot)},
		.gap_least_us = 150000,
		.gap_step_us = 50000,
		.run = 4 * 256,
		.op = HB_OP_SHAKE,
	},
};

_Static_assert(HB_COUNT_OF(hb_event) == HB_COUNT_OF(info), "one event for each name");

const struct hb_scenario_info *
hb_scenario_list(size_t *n)
{
	*n = HB_COUNT_OF(info);
	return info;
}
