/* SPDX-License-Identifier: BSD-3-Clause */
#include "curve.h"

#include <errno.h>
#include <stdlib.h>

#define SECOND_US 1000000u

/* The rise before a plateau, in thousandths of its first second: from little to everything. */
static const uint32_t rise[] = {80, 500};

/* Marks a second of a plateau, where the background drowns in the wave. */
#define HELD (1ull << 63)

/* Adds a wave to the levels. Waves come in the order of time: a plateau replaces what is left there
 * of the waves before it, so that its seconds have exactly what the spec says. */
static void
add_wave(uint64_t *level, const struct hb_curve_spec *spec, const struct hb_wave *w)
{
	uint32_t s = w->at, end = w->at + w->hold;

	for (uint32_t i = 0; i < HB_COUNT_OF(rise) && i < s; i++)
		level[s - 1 - i] += w->from * rise[HB_COUNT_OF(rise) - 1 - i] / 1000;
	for (; s < end && s < spec->seconds; s++) {
		uint64_t done = s - w->at, last = w->hold > 1 ? w->hold - 1 : 1;
		level[s] = (w->from * (last - done) + w->to * done) / last | HELD;
	}
	for (uint64_t left = w->to; s < spec->seconds && left > w->to / 1000; s++) {
		left = left * spec->decay / 1000;
		level[s] += left;
	}
}

/* The background's level in a second; *knot remembers the line that it lies on. */
static uint64_t
background(const struct hb_curve_spec *spec, uint32_t second, size_t *knot)
{
	while (spec->knot[*knot + 1].at <= second)
		(*knot)++;
	const struct hb_knot *a = &spec->knot[*knot], *b = a + 1;
	uint64_t span = b->at - a->at, done = second - a->at;

	return (a->level * (span - done) + b->level * done) / span;
}

/* Fills up what the waves leave of the total with the background. */
static void
add_background(uint64_t *level, const struct hb_curve_spec *spec)
{
	unsigned __int128 waves = 0, area = 0;
	size_t knot = 0;

	for (uint32_t s = 0; s < spec->seconds; s++) {
		waves += level[s] & ~HELD;
		if (!(level[s] & HELD))
			area += background(spec, s, &knot);
	}
	if (waves >= spec->total || area == 0)
		return;
	unsigned __int128 rest = spec->total - waves;
	knot = 0;
	for (uint32_t s = 0; s < spec->seconds; s++)
		if (!(level[s] & HELD))
			level[s] += (uint64_t)(rest * background(spec, s, &knot) / area);
}

/* The number of the moments that come before a second. */
static uint64_t
moments_until(const struct hb_curve *c, uint32_t second)
{
	unsigned __int128 share = (unsigned __int128)c->moments * c->until[second];

	return (uint64_t)(share / c->until[c->seconds]);
}

static uint64_t
moments_in(const struct hb_curve *c, uint32_t second)
{
	return moments_until(c, second + 1) - moments_until(c, second);
}

int
hb_curve_open(
	struct hb_curve *c, const struct hb_curve_spec *spec, uint64_t moments, uint64_t start_us)
{
	uint64_t *level = calloc(spec->seconds + 1u, sizeof(*level)), sum = 0;

	if (level == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < spec->waves; i++)
		add_wave(level, spec, &spec->wave[i]);
	if (spec->knots > 0)
		add_background(level, spec);
	for (uint32_t s = 0; s <= spec->seconds; s++) {
		uint64_t here = level[s] & ~HELD;
		level[s] = sum;
		sum += here;
	}
	*c = (struct hb_curve){
		.until = level,
		.moments = moments,
		.start_us = start_us,
		.seconds = spec->seconds,
	};
	c->here = moments_in(c, 0);
	return 0;
}

void
hb_curve_close(struct hb_curve *c)
{
	free(c->until);
	c->until = NULL;
}

uint64_t
hb_curve_next(struct hb_curve *c, uint32_t random)
{
	while (c->given == c->here && c->second + 1 < c->seconds) {
		c->second++;
		c->given = 0;
		c->here = moments_in(c, c->second);
	}
	uint64_t shift = ((uint64_t)random * SECOND_US) >> 32;
	uint64_t into = (c->given++ * SECOND_US + shift) / c->here;

	return c->start_us + (uint64_t)c->second * SECOND_US + into;
}

uint64_t
hb_curve_peak(const struct hb_curve *c)
{
	uint64_t peak = 0;

	for (uint32_t s = 0; s < c->seconds; s++) {
		uint64_t here = moments_in(c, s);
		peak = here > peak ? here : peak;
	}
	return peak;
}
