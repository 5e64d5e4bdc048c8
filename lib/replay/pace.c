/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_replay.h"

#define SECOND_NS 1000000000ull

/* 146 years: what is due later is as good as never. */
#define LATEST_NS (1ull << 62)

/* Frame i is due at i * SECOND_NS / rate, whole and part, without an error that could grow. */
static uint64_t
next_at_rate(struct hb_pace *p)
{
	uint64_t due_ns = p->ns;

	p->ns += SECOND_NS / p->rate;
	p->part += SECOND_NS % p->rate;
	if (p->part >= p->rate) {
		p->part -= p->rate;
		p->ns++;
	}
	return due_ns;
}

/* Never before the frame before it: a capture's times may go backwards. */
static uint64_t
next_in_capture(struct hb_pace *p, uint64_t at_us)
{
	if (!p->begun) {
		p->first_us = at_us;
		p->begun = true;
	}
	uint64_t since_us = at_us > p->first_us ? at_us - p->first_us : 0;
	double after_ns = (double)since_us * 1000 / p->speed;
	uint64_t due_ns = after_ns < (double)LATEST_NS ? (uint64_t)after_ns : LATEST_NS;

	if (due_ns > p->ns)
		p->ns = due_ns;
	return p->ns;
}

uint64_t
hb_pace_next(struct hb_pace *p, uint64_t at_us)
{
	switch (p->kind) {
	case HB_PACE_CAPTURE:
		return next_in_capture(p, at_us);
	case HB_PACE_RATE:
		return next_at_rate(p);
	default:
		return 0;
	}
}
