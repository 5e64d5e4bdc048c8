/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_admission: overload control of a worker, after DAGOR (Zhou et al., "Overload Control for
 * Scaling WeChat Microservices", SoCC 2018).
 *
 * A worker judges itself, window by window, by how long requests wait for it; no other worker is
 * asked. While it is overloaded it lets in a share less with each window, and else a smaller share
 * more. Who is let in goes by a compound priority: by op first (PACK before GRAB before ANSWER
 * before SHAKE), then by a keyed hash of the user that turns with the minute, so that a user's
 * requests share one fate for as long, and other users have to wait in the next. A repeat of a win
 * that was told is always let in: a set of those without false negatives stands beside.
 *
 * What is not let in gets BUSY, and costs nearly what a decision costs: receiving, parsing,
 * checking its tag, writing and sending are the same. So there is a budget for it. What comes
 * beyond stays in the NIC's queue, where what doesn't fit is dropped at no cost to the worker.
 *
 * Owner: one worker, which alone calls everything but make and free; hb_admission_told() also
 * whoever reads a journal back, before the worker starts. It knows no clock: cycles are told to it.
 */
#ifndef HB_ADMISSION_H
#define HB_ADMISSION_H

#include "hb_base.h"
#include "hb_wire.h"

/* ---- constants ----------------------------------------------------------------------- */

/* Users stand on one of so many levels within a class (DAGOR has 128): a step of 1% of all
 * requests is then more than one level even where nearly all are SHAKEs. */
#define HB_ADMISSION_USER_LEVELS 256 /* the 8 bits of hb_admission_priority()'s hash */

/* PACK 0, GRAB 1, ANSWER 2, SHAKE 3: money that was paid comes first, a free draw last. */
#define HB_ADMISSION_CLASSES 4

/* The level at which everything is let in. */
#define HB_ADMISSION_ALL (HB_ADMISSION_CLASSES * HB_ADMISSION_USER_LEVELS)

/* By how much of what was let in the level falls, and by how much of what came it rises, in
 * percent: DAGOR's alpha of 5% and beta of 1%. */
#define HB_ADMISSION_DOWN 5
#define HB_ADMISSION_UP 1

/* A window lasts for so long, and as long as it sees overload, until so many requests have come:
 * DAGOR's number. A millisecond is several times what working off a full queue of 1,024 takes
 * (1,024 requests of 400 cycles: 160 us), so that a burst which is only caught up with is no
 * overload. */
#define HB_ADMISSION_WINDOW_US 1000
#define HB_ADMISSION_WINDOW_REQUESTS 2048

/* How long a request may wait in a queue that never ran empty for a whole window. The goal for
 * replies is a p99.9 under 40 us: a queue that alone takes as long for everybody is too long. */
#define HB_ADMISSION_TARGET_US 40

/* How long users keep their levels. */
#define HB_ADMISSION_TURN_S 60

/* The budget: one BUSY for so many that were let in. One costs 2/3 to 4/5 of an answer
 * (bench_overload says how much it is here). */
#define HB_ADMISSION_SHARE 64

/* How many are refused in a burst, when there is credit for as many: choosing whom costs a look at
 * everybody in it, which is more than one BUSY does, and what is left still goes eight abreast. The
 * level falls no lower than where a whole burst has as many to refuse. */
#define HB_ADMISSION_BATCH 8

/* ---- state --------------------------------------------------------------------------- */

/* The worker alone touches any of it, but that others read `told`. */
struct hb_admission {
	uint32_t level;	   /* priorities below it are let in */
	uint32_t frames;   /* that came in this window */
	uint64_t cycles;   /* of this window so far */
	uint64_t classes;  /* verified requests of this window, 16 bits a class */
	bool standing;	   /* the queues never ran empty in this window */
	bool unbounded;	   /* no budget: for the benchmark, to see what it is good for */
	uint32_t credit;   /* requests let in, of which HB_ADMISSION_SHARE pay for a BUSY */
	uint32_t admitted; /* share of the requests that the level lets in, in 1/1000 */
	uint64_t windows;  /* judged so far */
	uint64_t turned;   /* when users last got new levels: in cycles */
	uint64_t window_cycles, target_cycles, turn_cycles;
	uint64_t user_key[2], wait_key[2], told_key[2];
	uint64_t random; /* secret: the user keys to come */
	uint64_t *told;	 /* a bit for each bucket. worker: wo; all workers: ro */
	const uint64_t *told_by_lane[HB_LANES]; /* of the worker who owns the lane */
	uint8_t told_shift;
	struct hb_mem mem;
};

/* Bytes that the set of told wins takes for so many envelopes: 8 bits for each, rounded up to a
 * power of two, from 4 KiB to 64 MiB. */
uint64_t hb_admission_bytes(uint64_t envelopes);

/* Lets everything in. seed: secret; envelopes: that this worker will give, about: where there are
 * more, more repeats that aren't any are let in. Returns 0 or -ENOMEM. */
int hb_admission_make(
	struct hb_admission *a, uint64_t seed, uint64_t envelopes, struct hb_error *e);
void hb_admission_free(struct hb_admission *a);

/* Tells it the clock: cycles a second, and now. Before the first turn. */
void hb_admission_begin(struct hb_admission *a, uint64_t hz, uint64_t now);

/* ---- told wins ----------------------------------------------------------------------- */

static inline uint64_t
hb_admission_bucket(const struct hb_admission *a, uint64_t user, uint16_t campaign, uint32_t seq)
{
	uint64_t what = ((uint64_t)campaign << 32 | seq) * 0x9E3779B97F4A7C15ULL;

	return hb_mix64(user ^ a->told_key[0], what ^ a->told_key[1]) >> a->told_shift;
}

/* Fetches what hb_admission_told() will touch. */
HB_FETCH
hb_admission_expect(const struct hb_admission *a, uint64_t user, uint16_t campaign, uint32_t seq)
{
	__builtin_prefetch(&a->told[hb_admission_bucket(a, user, campaign, seq) / 64], 1);
}

/* A win is told, or will be: its repeats are let in from now on. */
static inline void
hb_admission_told(struct hb_admission *a, uint64_t user, uint16_t campaign, uint32_t seq)
{
	uint64_t bucket = hb_admission_bucket(a, user, campaign, seq);
	uint64_t *word = &a->told[bucket / 64];

	__atomic_store_n(word, *word | 1ull << bucket % 64, __ATOMIC_RELAXED);
}

/* Whether this worker may have told a win of that user, campaign and seq: true if it has. */
static inline bool
hb_admission_was_told(const struct hb_admission *a, uint64_t user, uint16_t campaign, uint32_t seq)
{
	uint64_t bucket = hb_admission_bucket(a, user, campaign, seq);

	return __atomic_load_n(&a->told[bucket / 64], __ATOMIC_RELAXED) >> bucket % 64 & 1;
}

/* Whether a request may be the repeat of a win that its owner told, whichever worker that is: true
 * for every one that is. */
static inline bool
hb_admission_repeats(const struct hb_admission *a, const struct hb_request *r)
{
	const uint64_t *told = a->told_by_lane[hb_lane(r->shard)];
	uint64_t bucket = hb_admission_bucket(a, r->user, r->campaign, r->seq);

	return __atomic_load_n(&told[bucket / 64], __ATOMIC_RELAXED) >> bucket % 64 & 1;
}

/* Says that a lane is the owner's, so that repeats of its wins are known here too; both were made
 * with the same seed and number of envelopes. Before the workers start. */
static inline void
hb_admission_share(struct hb_admission *a, unsigned lane, const struct hb_admission *owner)
{
	a->told_by_lane[lane] = owner->told;
}

/* ---- requests ------------------------------------------------------------------------ */

/* A request's compound priority, 0 the first to HB_ADMISSION_ALL - 1 the last. Users come to their
 * levels by multiply-shift hashing (Dietzfelbinger et al., J. Algorithms 25, 1997), which is enough
 * to spread them, and half the cost of hb_mix64(): under overload it is done for everybody. */
static inline unsigned
hb_admission_priority(const struct hb_admission *a, unsigned op, uint64_t user)
{
	uint64_t hash = (user ^ a->user_key[0]) * (a->user_key[1] | 1);

	return (HB_OP_PACK - op) * HB_ADMISSION_USER_LEVELS + (unsigned)(hash >> 56);
}

/* How many requests of a burst the budget lets refuse: none while everybody is let in. */
static inline unsigned
hb_admission_most(const struct hb_admission *a)
{
	if (HB_LIKELY(a->level == HB_ADMISSION_ALL))
		return 0;
	if (a->unbounded)
		return HB_BURST;
	return a->credit < HB_ADMISSION_SHARE * HB_ADMISSION_BATCH ? 0 : HB_ADMISSION_BATCH;
}

/* Puts those of n <= HB_BURST genuine requests that are not let in behind the others, as far as the
 * budget goes. Returns how many are let in. */
unsigned hb_admission_sort(const struct hb_admission *a, struct hb_request *r, unsigned n);

/* Counts n <= HB_BURST verified requests, all of which were let in, or got BUSY. */
void hb_admission_count(
	struct hb_admission *a, const struct hb_request *r, unsigned n, bool let_in);

/* Milliseconds that a BUSY tells this request to wait: from `least` to below twice of it, spread
 * evenly, so that those who were refused together don't come back together. */
static inline uint32_t
hb_admission_wait(const struct hb_admission *a, const struct hb_request *r, uint32_t least)
{
	uint64_t hash = hb_mix64(r->user ^ a->wait_key[0],
		((uint64_t)r->seq << 32 ^ a->windows) * 0x9E3779B97F4A7C15ULL ^ a->wait_key[1]);
	uint64_t wait = least + ((uint64_t)(uint32_t)hash * least >> 32);

	return wait > UINT32_MAX ? UINT32_MAX : (uint32_t)wait;
}

/* ---- windows ------------------------------------------------------------------------- */

/* Begins a window anew. */
void hb_admission_restart(struct hb_admission *a);

/* A turn of the worker's loop took so many cycles, and so many frames came in it. full: at least
 * one queue gave a whole burst, so that it may have held more. Returns whether the window is over;
 * then hb_admission_judge() is to be called. */
static inline bool
hb_admission_turn(struct hb_admission *a, uint64_t cycles, unsigned frames, bool full)
{
	/* The queue is empty and everybody is let in: nothing to judge. */
	if (HB_LIKELY(!full && a->level == HB_ADMISSION_ALL)) {
		if (HB_UNLIKELY(a->frames != 0))
			hb_admission_restart(a);
		return false;
	}
	a->frames += frames;
	a->cycles += cycles;
	a->standing = a->standing && full;
	/* A class has 16 bits. */
	return (a->cycles >= a->window_cycles &&
		       (!a->standing || a->frames >= HB_ADMISSION_WINDOW_REQUESTS)) ||
	       a->frames >= 32768;
}

/* Whether the window saw overload, if so many frames wait in the queues now. */
static inline bool
hb_admission_overloaded(const struct hb_admission *a, uint64_t waiting)
{
	/* In a queue that never ran empty a request waits for all before it. */
	return a->standing && waiting * a->cycles > a->target_cycles * a->frames;
}

/* Ends the window: lowers or raises the level. now: in cycles. */
void hb_admission_judge(struct hb_admission *a, bool overloaded, uint64_t now);

/* Lets everything in again: overload control is off. */
void hb_admission_open(struct hb_admission *a);

#endif
