/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * archiver: a thread that moves segments into the archive once they are settled, so that a slow
 * archive holds up nothing. What cannot be moved stays where it is and is tried again.
 *
 * Owner: the main thread begins, tells how far it may go, and ends it.
 */
#ifndef HONGBAO_SETTLE_ARCHIVER_H
#define HONGBAO_SETTLE_ARCHIVER_H

#include "hb_base.h"

#include <limits.h>
#include <pthread.h>

struct archiver {
	char journal[PATH_MAX];
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* under the lock */
	uint32_t below; /* segments with lower numbers are settled whole */
	bool ending;
	/* archiver: wo; all others: ro, by relaxed __atomic_load_n() */
	uint64_t moved;	 /* segments */
	uint64_t failed; /* tries */
	bool running;	 /* owner: the main thread */
};

/* Prepares the archive and starts the thread. Returns 0 or -errno with e. */
int archiver_begin(
	struct archiver *a, const char *journal, const char *archive, struct hb_error *e);

/* Segments below that number are settled. */
void archiver_tell(struct archiver *a, uint32_t below);

/* Ends the thread: at once, or (`all`) when everything that it was told of is moved or one was
 * tried and failed. Returns whether all is moved. */
bool archiver_end(struct archiver *a, bool all);

#endif
