/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_pace: so many a second and no more, on any clock. What wasn't used is lost after a moment, so
 * that a pause is not made up for by a burst; but a transaction that took long is.
 *
 * Owner: one thread.
 */
#ifndef HB_PACE_H
#define HB_PACE_H

#include "hb_base.h"

/* For how long the rate may be gathered, and for one more beyond that. */
#define HB_PACE_GATHERED_NS (500 * 1000000ull)

struct hb_pace {
	uint64_t rate; /* a second; 0: no limit */
	uint64_t from_ns;
	uint64_t taken; /* since then */
};

/* Sets the rate, from now on. */
void hb_pace_set(struct hb_pace *p, uint64_t rate, uint64_t now_ns);

/* How many may go now; UINT64_MAX: as many as there are. */
uint64_t hb_pace_may(struct hb_pace *p, uint64_t now_ns);

/* So many went. */
void hb_pace_take(struct hb_pace *p, uint64_t n);

/* In how many nanoseconds so many may go. */
uint64_t hb_pace_wait_ns(const struct hb_pace *p, uint64_t n, uint64_t now_ns);

#endif
