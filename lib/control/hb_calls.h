/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_calls: how another thread has something done on the control core, which alone may touch what
 * is there. The other thread, the caller (hongbaod's service thread), posts calls; the control core
 * runs them in its loop, in the order in which they were posted; the caller is told through a file
 * descriptor and finishes them.
 *
 * Owners: hb_calls_post(), hb_calls_fd() and hb_calls_finish() are the caller's, hb_calls_run() is
 * the control core's; make and free belong to whoever has both at rest. A call is the caller's
 * until it is posted and again when its done() runs; in between it is the control core's. No lock:
 * neither side ever waits for the other.
 */
#ifndef HB_CALLS_H
#define HB_CALLS_H

#include "hb_base.h"

/* To be put first into what the call is about. */
struct hb_call {
	void (*run)(struct hb_call *);	/* on the control core */
	void (*done)(struct hb_call *); /* on the caller's thread, afterwards; may free the call */
	bool again; /* set by run(): the call isn't over, run it in the next turn too; calls that
		       came after it don't wait for it */
};

/* Calls that can be under way at a time. */
#define HB_CALLS_MAX 256

struct hb_calls;

/* Returns 0 or -errno with a line in e. */
int hb_calls_make(struct hb_calls **out, struct hb_error *e);
/* Calls that are still under way are forgotten: neither run nor done. NULL is allowed. */
void hb_calls_free(struct hb_calls *c);

/* Has a call run. Returns 0, or -EBUSY where HB_CALLS_MAX are under way. */
int hb_calls_post(struct hb_calls *c, struct hb_call *call);

/* Runs what was posted, and what is to be run again. Returns how many calls were run; costs a few
 * cycles where there is none. */
unsigned hb_calls_run(struct hb_calls *c);

/* Readable when something is done. */
int hb_calls_fd(const struct hb_calls *c);

/* Calls done() of all calls that are. Returns how many. May post. */
unsigned hb_calls_finish(struct hb_calls *c);

#endif
