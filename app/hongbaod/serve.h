/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serve: the daemon's service thread: the control socket with its commands, HTTP for metrics and
 * the war room, what signals ask for. Begun, launched and ended by the control core; what it runs
 * is the service thread's.
 */
#ifndef HONGBAOD_SERVE_H
#define HONGBAOD_SERVE_H

#include "hb_views.h"
#include "hb_warroom.h"
#include "tuning.h"

#include <sched.h>

/* What a signal asks of the service thread; bits. */
enum wish {
	WISH_DRAIN = 1 << 0,
	WISH_RELOAD = 1 << 1,
	WISH_REOPEN = 1 << 2, /* the log, after it was rotated */
};

struct serving {
	struct hb_service *service;
	struct hb_calls *calls;
	struct tuning tuning; /* service thread's while it runs */
	struct hb_view view;
	struct hb_watch watch; /* of the journal's disk */
	enum hb_room room_said;
	struct event *called; /* a call came back from the control core */
	struct event *wished;
	struct event *second; /* each second */
	struct event *drain;  /* looks whether the drain is over */
	uint64_t drain_until_ns;
	int wish_fd;
	unsigned wishes; /* enum wish. control core: sets; service thread: takes */
	bool over;	 /* drained: the daemon is to end. service thread: wo; control core: ro */
	bool launched;
	struct hb_warroom *warroom;
	cpu_set_t cpus; /* those of the process before EAL gave each lcore its own */
};

/* Makes sockets and state; what is wrong shows here. After the journal's directory is open. Returns
 * 0 or -errno with e. */
int serve_begin(struct daemon *d, struct hb_error *e);

/* Makes what it works with, once the ports are open and the journal is read; before any worker
 * runs, so that what fails here fails in peace. */
int serve_prepare(struct daemon *d, struct hb_error *e);

/* Starts the thread, off the workers' CPUs as far as there are others. Both return 0 or -errno with
 * e. */
int serve_launch(struct daemon *d, struct hb_error *e);

/* Asks the service thread for something; from the control core. */
void serve_wish(struct serving *s, enum wish wish);

/* Whether the daemon is to end. */
bool serve_over(const struct serving *s);

/* Ends the thread; nothing more is changed or answered. The configuration as it is then becomes the
 * daemon's, for its last report. */
void serve_stop(struct daemon *d);

/* Frees everything; no worker runs. */
void serve_free(struct daemon *d);

/* Begins to drain, and ends the daemon when every worker has stopped giving and so many seconds
 * have passed. Service thread. */
int serve_drain(struct serving *s, uint64_t seconds, struct hb_error *e);

#endif
