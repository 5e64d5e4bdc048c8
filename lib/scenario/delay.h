/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Users who wait until they send again. Internal to lib/scenario; a delay line belongs to one
 * stream.
 *
 * A priority queue would touch memory all over. Instead there are a few rings, and whoever waits in
 * the same ring waits for the same time: each ring is in order by itself, is written and read
 * from end to end, and the earliest of all is among a handful of heads.
 */
#ifndef HB_SCENARIO_DELAY_H
#define HB_SCENARIO_DELAY_H

#include "hb_base.h"

/* A user who is busy. */
struct hb_session {
	uint64_t due_us; /* when he sends again */
	uint32_t row;	 /* in the order in which users came */
	uint32_t user;	 /* his id, less 1 */
	uint32_t seq;	 /* of his last request */
	uint8_t word;	 /* password: which word he sent last */
	bool right;	 /* password: he has had it right */
};

#define HB_DELAYS 8
#define HB_NEVER UINT64_MAX

struct hb_delay_line {
	struct hb_session *slot; /* all the rings, one after the other */
	uint64_t head[HB_DELAYS], tail[HB_DELAYS];
	uint64_t due_us[HB_DELAYS]; /* of each ring's head, HB_NEVER: empty */
	uint64_t mask;		    /* slots of a ring, less 1 */
	uint64_t least_us;	    /* who waits in ring i waits least_us + i * step_us */
	uint64_t step_us;
	unsigned first; /* the ring with the earliest head */
};

/* A line for about `waiting` sessions at a time. Returns 0 or -ENOMEM. */
int hb_delay_open(struct hb_delay_line *l, uint64_t waiting, uint64_t least_us, uint64_t step_us);
void hb_delay_close(struct hb_delay_line *l);

/* When the first one is due; HB_NEVER if nobody waits. */
static inline uint64_t
hb_delay_due(const struct hb_delay_line *l)
{
	return l->due_us[l->first];
}

/* Lets a session wait from now on, for a time chosen by `random`. False: there is no room. */
bool hb_delay_push(
	struct hb_delay_line *l, const struct hb_session *s, uint64_t now_us, uint32_t random);

/* Takes out the one that is due first. There must be one. */
struct hb_session hb_delay_pop(struct hb_delay_line *l);

#endif
