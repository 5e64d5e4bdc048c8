/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bed: one worker's engine as a benchmark drives it: no port, no control core, no disk. What the
 * control core would do, taking the records and saying that they are durable, is done here between
 * stretches of bursts, outside the clock.
 *
 * What the clock sees of a burst of 64: letting go of parked replies that became durable, the
 * decisions, their records put into the ring, and parking the new replies. The requests stand in an
 * array that was made before and is read from front to back.
 *
 * One thread calls everything.
 */
#ifndef HB_BENCH_BED_H
#define HB_BENCH_BED_H

#include "hb_engine.h"

/* Time of all requests: 2015, and later than any opening. */
#define BED_NOW_US 1424269800000000ull

struct bed {
	struct hb_config config;
	struct hb_snapshot *snapshot;
	struct hb_envelopes *envelopes; /* by slot */
	uint8_t *drained;
	struct hb_link link;
	struct hb_engine engine;
	struct hb_worker_stats stats;
	uint32_t seq;	 /* the last that bed_next_seq() gave */
	uint64_t random; /* state of bed_draw() */
};

/* A campaign that is open, shaken, without a limit, and of envelopes of 100 fen. */
struct hb_campaign_config bed_campaign(uint16_t id, double odds, uint32_t envelopes);

/* Makes an engine for `users` rows with these campaigns, which stay the caller's; every envelope
 * lies in its stock. Ends the program with a line where that can't be had. */
struct bed *bed_make(uint64_t users, struct hb_campaign_config *campaign, unsigned campaigns);
void bed_free(struct bed *b);

/* The i-th user: any i gives another one, in no order. */
uint64_t bed_user(uint64_t i);

/* A number below n, each as likely, from a seed that is always the same. */
uint64_t bed_draw(struct bed *b, uint64_t n);

/* A seq above all that were given before: with it no request is a repeat. */
uint32_t bed_next_seq(struct bed *b);

/* A verified SHAKE. */
struct hb_request bed_shake(uint16_t campaign, uint64_t user, uint32_t seq);

/* Lets parked replies go as far as they are durable, decides a burst, parks. For whoever has a loop
 * of its own: at most BED_STRETCH bursts between two calls of bed_settle(). */
void bed_burst(struct bed *b, const struct hb_request *r, struct hb_reply *reply, unsigned n);
void bed_settle(struct bed *b);
#define BED_STRETCH 128

/* Decides n requests in bursts of 64. Returns the cycles that it took. */
uint64_t bed_run(struct bed *b, const struct hb_request *r, uint64_t n);

/* Replies of a status so far. */
uint64_t bed_replies(const struct bed *b, enum hb_status status);

/* What pages the user table lies in, for a note. */
const char *bed_pages(const struct bed *b);

/* The TSC's ticks a second, which needs no EAL: looks at the clock for some milliseconds. */
double bed_tsc_hz(void);

/* Memory that could be had, or the end of the program. */
void *bed_alloc(size_t bytes, const char *what);

#endif
