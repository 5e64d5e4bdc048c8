/* SPDX-License-Identifier: BSD-3-Clause */
/* The events that there are, as constants. Internal to lib/scenario. */
#ifndef HB_SCENARIO_EVENT_H
#define HB_SCENARIO_EVENT_H

#include "curve.h"
#include "hb_scenario.h"

struct hb_event {
	struct hb_curve_spec curve;
	uint64_t gap_least_us; /* between two requests of a run: 8 lengths from this one up, */
	uint64_t gap_step_us;  /* each this much longer */
	uint32_t run;	       /* mean length of a run of requests by one user, in 1/256 */
	uint8_t op; /* HB_OP_SHAKE or HB_OP_ANSWER; HB_OP_GRAB: group packets, and then the
		       three above don't matter */
};

/* hb_event[i] goes with hb_scenario_list()[i]. */
extern const struct hb_event hb_event[];

#endif
