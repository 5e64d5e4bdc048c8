/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * manager: what the service manager (systemd) is told of the daemon: that it serves, how it fares,
 * that it lives, that it ends. The control core's; without a manager nothing is done.
 *
 * It is told that the daemon lives only while every worker turns, so one worker that stands still
 * for longer than the watchdog's time has the service started again.
 */
#ifndef HONGBAOD_MANAGER_H
#define HONGBAOD_MANAGER_H

#include "hb_notify.h"
#include "hb_port.h"

struct manager {
	struct hb_notify notify;
	bool ready; /* it was told */
	bool stopping;
	bool stuck_said;		/* since the last sign of life */
	uint64_t alive_ns;		/* the last sign of life */
	uint64_t polls[HB_WORKERS_MAX]; /* of the workers, then */
	uint64_t status_ns;		/* the last time that the status was made */
	uint64_t received, wins;	/* then, over all workers */
	char status[160];		/* as it was told last */
};

/* Finds the manager, and tells it that the daemon starts. */
void manager_begin(struct manager *m);

/* Tells it what there is to tell: that the daemon is ready, once each worker turns; once a second
 * how it fares, if that has changed; that it lives. disk_error: hb_control's. To be called at least
 * ten times within the watchdog's time; most calls do no more than read the clock. */
void manager_look(struct manager *m, struct hb_worker *const *w, unsigned workers, int disk_error);

/* Tells it that the daemon comes to its end; manager_look() goes on saying that it lives. */
void manager_stopping(struct manager *m);

void manager_end(struct manager *m);

#endif
