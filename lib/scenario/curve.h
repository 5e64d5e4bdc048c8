/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shape of an event in time, and the moments at which its requests are made. Internal to
 * lib/scenario; a curve belongs to one stream.
 *
 * Moments are not drawn, they are laid out along the curve and only shifted within their own
 * share of a second. So a minute's share of the requests comes out as the curve has it, however few
 * requests there are.
 */
#ifndef HB_SCENARIO_CURVE_H
#define HB_SCENARIO_CURVE_H

#include "hb_base.h"

/* A call to the audience: two seconds of rise, a plateau, a decay. */
struct hb_wave {
	uint32_t at;	   /* the plateau's first second */
	uint32_t hold;	   /* its length in seconds */
	uint64_t from, to; /* requests in its first and in its last second */
};

/* The background between the calls: straight lines between these points. */
struct hb_knot {
	uint32_t at;
	uint32_t level; /* in any unit */
};

/* An event, in the figures of the real one. */
struct hb_curve_spec {
	uint64_t total;	  /* all requests of the event: the background fills up what waves leave */
	uint32_t seconds; /* how long it lasts */
	uint32_t decay;	  /* what is left of a wave after each second, in thousandths */
	const struct hb_wave *wave;
	size_t waves;
	const struct hb_knot *knot; /* the first at 0, the last at `seconds`; none: no background */
	size_t knots;
};

struct hb_curve {
	uint64_t *until;  /* until[i]: the weight of the seconds before second i */
	uint64_t moments; /* how many there are to be in all */
	uint64_t start_us;
	uint32_t seconds;
	uint32_t second; /* the one that we are in */
	uint64_t given;	 /* of the moments of this second */
	uint64_t here;	 /* moments of this second */
};

/* Lays `moments` out along the curve. Returns 0 or -ENOMEM. */
int hb_curve_open(
	struct hb_curve *c, const struct hb_curve_spec *spec, uint64_t moments, uint64_t start_us);
void hb_curve_close(struct hb_curve *c);

/* The next moment, never before the last one. `random`: any 32 random bits. To be called no more
 * often than there are moments. */
uint64_t hb_curve_next(struct hb_curve *c, uint32_t random);

/* The most moments that any one second has. */
uint64_t hb_curve_peak(const struct hb_curve *c);

#endif
