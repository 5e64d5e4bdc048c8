/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_publish: how a new configuration reaches the workers. A snapshot is published by exchanging
 * one pointer; the old one is let go of once every worker has passed a quiescent state (liburcu,
 * QSBR flavour). A worker never waits, and neither does the publisher: what it replaced is freed by
 * liburcu's own thread, one grace period for all that came together.
 *
 * Owners: one thread at a time publishes (the service thread; before it runs, whoever starts the
 * program). Workers call hb_published() once a burst and hb_quiescent() between bursts, or
 * hb_offline() and hb_online() around a sleep, and must be registered with liburcu meanwhile.
 */
#ifndef HB_PUBLISH_H
#define HB_PUBLISH_H

#include "hb_snapshot.h"

#ifndef URCU_INLINE_SMALL_FUNCTIONS
#define URCU_INLINE_SMALL_FUNCTIONS
#endif
#include <urcu-qsbr.h>

/* ThreadSanitizer cannot see liburcu's barriers: it is told that what comes before a quiescent
 * state happens before what is freed after the grace period. */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *);
void __tsan_release(void *);
extern char hb_grace_period;
#define HB_TSAN(call) call(&hb_grace_period)
#else
#define HB_TSAN(call)
#endif

struct hb_spares;

struct hb_publication {
	struct hb_snapshot *now; /* publisher: wo; workers: ro, by RCU */
	uint64_t version;	 /* of the last one published; publisher's */
	struct hb_spares *spares;
};

/* Begins with a first snapshot, which becomes the publication's. Returns 0 or -ENOMEM (the snapshot
 * is then freed). */
int hb_publish_begin(struct hb_publication *p, struct hb_snapshot *first);

/* Makes the snapshot of a configuration in memory that an older one no longer needs, where there is
 * some: thousands a second then ask the system for nothing. NULL when there is no memory. By the
 * publisher. */
struct hb_snapshot *hb_publish_make(struct hb_publication *p, const struct hb_config *c);

/* Gives the snapshot the next version and makes it what workers see. By the publisher, which must
 * not be a reader. Never waits for a worker. */
void hb_publish(struct hb_publication *p, struct hb_snapshot *next);

/* Frees everything, after waiting for the grace periods under way; no worker runs. */
void hb_publish_end(struct hb_publication *p);

/* What is published now: valid until the caller's next hb_quiescent(). */
static inline const struct hb_snapshot *
hb_published(struct hb_snapshot *const *now)
{
	return __atomic_load_n(now, __ATOMIC_CONSUME);
}

/* The caller holds no snapshot any more. */
static inline void
hb_quiescent(void)
{
	HB_TSAN(__tsan_release);
	rcu_quiescent_state();
}

/* The caller sleeps: nobody waits for it meanwhile. It holds no snapshot until hb_online(). */
static inline void
hb_offline(void)
{
	HB_TSAN(__tsan_release);
	rcu_thread_offline();
}

static inline void
hb_online(void)
{
	rcu_thread_online();
}

#endif
