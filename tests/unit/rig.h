/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rig: engines of one or more workers with a control core on a disk of memory, put together as
 * hongbaod does, driven by a test in one thread.
 */
#ifndef HB_TEST_RIG_H
#define HB_TEST_RIG_H

#include "hb_control.h"
#include "memory_disk.h"

#define RIG_WORKERS_MAX 8
#define RIG_SLOTS 4 /* for campaigns, most of which are not configured */

struct rig {
	struct hb_config config;
	struct hb_campaign_config campaign[RIG_SLOTS];
	struct hb_snapshot *snapshot;
	struct hb_envelopes envelopes[RIG_SLOTS];
	uint8_t drained[RIG_SLOTS];
	struct hb_link link[RIG_WORKERS_MAX];
	struct hb_link *links[RIG_WORKERS_MAX];
	struct hb_engine engine[RIG_WORKERS_MAX];
	struct hb_engine *engines[RIG_WORKERS_MAX];
	struct hb_worker_stats stats[RIG_WORKERS_MAX];
	struct memory_disk disk;
	struct hb_journal journal;
	struct hb_control control;
	uint64_t now_us;
	uint64_t segment_bytes;
	uint64_t gather_ns; /* 0 after rig_prepare() */
};

#define RIG_NOW 1000000000000000ull

/* A rig for a group of tests: set-up and teardown of cmocka's. Returns 0 or 1. */
int rig_make(void **state);
int rig_free(void **state);

/* A configuration of one shaken campaign, id 7, open at RIG_NOW: 100 envelopes of 10 fen, odds 1.
 * To be changed by the test before rig_start(). */
void rig_prepare(struct rig *r);

/* Starts everything with the configuration as it stands. */
void rig_start(struct rig *r);

/* The same but for the campaigns' money, which the test funds. */
void rig_begin(struct rig *r);

/* Workers and a control core alone, as fresh as a start has them before it reads a journal. */
void rig_make_workers(struct rig *r);

/* Makes the snapshot anew after the test changed the configuration. */
void rig_publish(struct rig *r);

void rig_stop(struct rig *r);

/* A turn of the control core at r->now_us. Returns the records that became durable. */
unsigned rig_step(struct rig *r);

/* A verified request at r->now_us. */
struct hb_request rig_shake(const struct rig *r, uint16_t campaign, uint64_t user, uint32_t seq);
struct hb_request rig_answer(
	const struct rig *r, uint16_t campaign, uint64_t user, uint32_t seq, const char *text);

/* Decides one request on a worker. A reply with a ticket is not parked: the ticket says when. */
struct hb_reply rig_ask(struct rig *r, unsigned worker, const struct hb_request *q);
struct hb_reply rig_ask_shake(struct rig *r, uint64_t user, uint32_t seq);

/* Has the workers carry out their orders, and the control core take in what they say. */
void rig_obey(struct rig *r);

/* The worker that owns a user. */
unsigned rig_owner(const struct rig *r, uint64_t user);

/* Envelopes of a slot that are in stocks or underway between cores, counted one by one by their
 * numbers; fails the test when one is there twice. */
uint64_t rig_count_stock(const struct rig *r, unsigned slot);

#endif
