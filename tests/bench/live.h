/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * live: engines of one or two workers with a control core on a real disk, put together as hongbaod
 * does, without a port: what benchmarks with a journal run on.
 *
 * The main thread makes and frees, and is the control core; each worker's thread alone touches its
 * engine and stats in between.
 */
#ifndef HB_BENCH_LIVE_H
#define HB_BENCH_LIVE_H

#include "hb_recovery.h"

#define LIVE_WORKERS_MAX 2
#define LIVE_CAMPAIGN 7

struct live {
	struct hb_config config;
	struct hb_campaign_config campaign;
	struct hb_snapshot *snapshot;
	struct hb_envelopes envelopes;
	struct hb_disk_directory directory;
	struct hb_journal journal;
	struct hb_control control;
	struct hb_recovery recovery;
	struct hb_link link[LIVE_WORKERS_MAX];
	struct hb_link *links[LIVE_WORKERS_MAX];
	struct hb_engine engine[LIVE_WORKERS_MAX];
	struct hb_engine *engines[LIVE_WORKERS_MAX];
	struct hb_worker_stats stats[LIVE_WORKERS_MAX];
	uint8_t drained[1];
	const char *path;
	unsigned workers;
	struct hb_error e;
};

/* Makes everything, with one campaign of 2% odds and so many envelopes, and a journal in the new
 * directory `path`. Ends the program with a line where that can't be had. */
void live_start(
	struct live *l, const char *path, unsigned workers, uint64_t users, uint32_t envelopes);

/* The control core's loop, as hongbaod has it, until *stop or the time is over. */
void live_control(struct hb_control *c, uint64_t until_ns, const bool *stop);

/* When the workers have ended: journals what they left in their rings, checks the books, and frees
 * everything with the journal's directory. */
void live_stop(struct live *l);

/* Has the calling thread stay on a core. */
void live_pin(unsigned cpu);

#endif
