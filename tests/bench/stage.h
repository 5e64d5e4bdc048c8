/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stage: one worker with everything behind it, put together as hongbaod does: its loop, on a
 * net_ring device in place of a NIC (see ringed.h), and a control core in a thread of its own that
 * journals on a real disk. The benchmark plays NIC and clients.
 *
 * The main thread, EAL's main lcore, calls everything here. The worker runs in the thread that
 * turns it: the main thread, or the second lcore by stage_launch().
 */
#ifndef HB_BENCH_STAGE_H
#define HB_BENCH_STAGE_H

#include "hb_recovery.h"
#include "ringed.h"

#include <pthread.h>

struct stage_terms {
	struct ringed_terms ring; /* shaken_alone and dealt are set by stage_make() */
	const char *journal;	  /* a new directory */
	unsigned control_cpu;
};

struct stage {
	struct ringed *r;
	struct hb_link *link;	  /* the worker's */
	struct hb_engine *engine; /* the worker's */
	struct hb_disk_directory directory;
	struct hb_journal journal;
	struct hb_control control;
	struct hb_recovery recovery;
	pthread_t thread;
	unsigned control_cpu;
	bool stop; /* main thread: wo; control core: ro; by atomics */
	bool launched;
	struct hb_error e;
};

/* Starts EAL with the main lcore on one CPU and another lcore on a second one (the same number: no
 * other). Ends the program with a line where it doesn't start. */
void stage_begin(const char *program, unsigned main_cpu, unsigned second_cpu);

/* Makes it all and starts the control core. Ends the program with a line where it can't be had. */
void stage_make(struct stage *s, struct stage_terms t);

/* Runs the worker's loop on the second lcore. */
void stage_launch(struct stage *s);

/* When every reply that is wanted has been taken: journals the rest, ends worker and control core,
 * and checks the books. Returns 0 or -errno, with the line in s->e. The journal stays. */
int stage_finish(struct stage *s);
void stage_free(struct stage *s);

#endif
