/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_stats: the counters of a worker. The worker alone writes them, with plain stores; anybody may
 * read them at any time, and sees each counter whole. A reader that wants differences keeps a copy.
 */
#ifndef HB_STATS_H
#define HB_STATS_H

#include "hb_base.h"

#define HB_STATS_STATUSES 32
#define HB_STATS_DROPS 32
#define HB_STATS_OPS 8

/* worker: wo; all others: ro */
struct hb_worker_stats {
	uint64_t received;		     /* frames from the NIC */
	uint64_t replies[HB_STATS_STATUSES]; /* sent or parked, by status */
	uint64_t dropped[HB_STATS_DROPS];    /* by reason */
	uint64_t wins; /* envelopes given: repeats of a win are replies, not wins */
	uint64_t fen;
	uint64_t handed_over; /* requests given to the core that owns them */
	uint64_t taken_in;    /* requests that other cores gave us */
	uint64_t misdirected; /* of those handed over, what RSS should have brought to its core */
	uint64_t to_control;  /* ARP, neighbour discovery and ping, given to the control core */
	uint64_t sent;	      /* replies that the NIC took */
	uint64_t polls;	      /* turns of the loop */
	uint64_t busy_polls;  /* turns that had work */
	uint64_t busy_cycles; /* TSC cycles of those */
	uint64_t first_tsc;   /* when the first frame came, 0: none yet */
	uint64_t last_tsc;    /* when the last frame or parked reply had been worked off */
	uint64_t shed[HB_STATS_OPS]; /* requests answered BUSY for overload, by op */
	uint64_t overloaded;	     /* windows that saw overload */
	uint64_t admission;	     /* requests let in now, of 1000; 0: not begun yet */
	uint64_t version;	     /* of the snapshot seen last; with release */
	uint64_t version_ns;	     /* when that was, by hb_mono_ns() */
	uint64_t sleeps;	     /* short ones, taken while idle */
} HB_ALIGNED;

/* Adds to a counter of one's own so that readers never see a torn or cached value. */
static inline void
hb_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline uint64_t
hb_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Adds one worker's counters, as they are now, to a sum (times: the earliest first, the latest
 * last; admission and version: the lowest). */
void hb_stats_add(struct hb_worker_stats *sum, const struct hb_worker_stats *w);

#endif
