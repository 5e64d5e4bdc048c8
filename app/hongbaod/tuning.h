/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tuning: the configuration of a running daemon and how it changes. Every change goes the same way:
 * a new configuration is prepared beside the present one, compared with it (what can't change while
 * it runs is refused), money goes in on the control core, the workers are told of bars, then it is
 * published to the workers, written into the log of changes, and answered once every worker has
 * seen it. A worker carries out what it was told before it shows that it sees what was published
 * after: so that is all that has to be waited for. One change at a time, in the order in which they
 * came.
 *
 * Owner: the service thread, but for what says otherwise.
 */
#ifndef HONGBAOD_TUNING_H
#define HONGBAOD_TUNING_H

#include "hb_calls.h"
#include "hb_change.h"
#include "hb_control.h"
#include "hb_publish.h"
#include "hb_service.h"

struct daemon;
struct event;
struct looking;
struct watcher;
struct tuning;

/* How many versions of the configuration are kept. */
#define VERSIONS_KEPT 16

/* A configuration that was in force. */
struct version {
	uint32_t number;
	uint64_t time_us;
	char who[128];
	struct hb_config *config;
	struct hb_changes changes; /* beside the one before it */
};

/* An envelope's worth of money on its way into a running daemon: a new campaign's, or a top-up. */
struct funding {
	uint16_t campaign;
	unsigned slot;
	uint32_t wins_per_user;
	struct hb_terms terms;
	struct hb_lease lease;	       /* of a block of a shared budget, which comes as a top-up */
	uint64_t expires_ns;	       /* from when the block isn't this host's, hb_boot_ns() */
	struct hb_envelopes envelopes; /* made beforehand; the control core's once it has them */
	struct hb_splitter splitter;   /* of what isn't made yet */
	bool mapped;
	bool top_up;
	bool done; /* the control core has journalled it */
};

/* What a campaign gives one user from now on. */
struct quota {
	unsigned slot;
	uint32_t wins;
};

/* One bar that is put up or taken down. */
struct bar {
	uint64_t user;
	bool up;
};

struct change;

/* Works out what a change is to be: sets c->next, a copy of the present configuration with
 * everything in it that is asked for. Returns 0 or -errno with e. */
typedef int change_prepare(struct change *c, struct hb_error *e);

struct change {
	/* What the control core is asked to do. While the call is under way the control core alone
	 * touches the fields of this part. */
	struct hb_call call;
	struct hb_control *control;
	struct funding *funding;
	unsigned fundings, funded;
	struct quota *quota;
	unsigned quotas, quotas_done;
	uint64_t posted_ns;
	uint64_t durable_ns; /* when all of it was in the journal; 0: nothing had to be */
	bool checked;	     /* that all fundings can be done */
	int err;
	struct hb_error e;

	/* The service thread's. */
	struct tuning *t;
	struct hb_ask *ask;  /* NULL: nobody waits for an answer */
	const char *command; /* for the log of changes */
	change_prepare *prepare;
	bool dry;		      /* to be told, not done */
	bool from_file;		      /* what is to be is what the file says */
	struct hb_snapshot *snapshot; /* of `next`, made before anything is done */
	struct hb_config *next;
	struct hb_changes changes; /* for people: settings, and money */
	unsigned differences;	   /* of settings, among them */
	struct bar *bar;
	unsigned bars, barred;
	struct hb_error unkept;		 /* why a new campaign isn't in the file; empty: it is */
	void (*go_on)(struct change *c); /* when the timer runs out */
	bool begun;
	uint64_t asked_ns; /* when it was asked for */
	uint64_t since_ns; /* when the waiting for workers began */
	uint64_t version;  /* of the snapshot; 0: none was published */
	struct change *behind;
};

struct tuning {
	struct daemon *d;
	struct hb_service *service;
	struct hb_calls *calls;
	struct hb_publication *published;
	struct version version[VERSIONS_KEPT]; /* the oldest first */
	unsigned versions;
	uint32_t saved; /* number of the version that the file holds; 0: none of them */
	struct change *first, *last;
	struct watcher *watchers;
	struct looking *looking; /* looks at users that are under way */
	struct event *timer;	 /* goes on with the change that is under way */
	int log;		 /* of changes */
	pthread_t flusher;	 /* of that log; woken for each line */
	int flusher_fd;
	bool flusher_over, flushes;
	bool beginning; /* a change's beginning is under way */
	bool draining;
	bool beside_worker; /* the service thread shares its CPUs with workers */
};

/* Begins with the configuration that the daemon started with, of which it keeps a copy. Returns 0
 * or -errno with e. */
int tuning_begin(struct tuning *t, struct daemon *d, struct hb_service *service,
	struct hb_calls *calls, struct hb_error *e);
/* Frees everything; the service thread has ended, and no worker runs. */
void tuning_end(struct tuning *t);

/* The configuration in force. */
const struct hb_config *tuning_config(const struct tuning *t);

/* Queues a change; it answers `ask` when it is over. dry: only tells what it would be. */
void tuning_submit(struct tuning *t, struct hb_ask *ask, const char *command,
	change_prepare *prepare, bool dry);

/* Puts one line into the log of changes, for what is no configuration. */
void tuning_log(struct tuning *t, const struct hb_peer *peer, const char *command,
	const struct hb_changes *changes);

/* Stops giving: every draw is answered BUSY from now on. */
int tuning_drain(struct tuning *t, struct hb_error *e);

/* Whether every worker works with what was published last. */
bool tuning_seen(const struct tuning *t);

/* "alice (uid 1000, pid 77)", or "hongbaod" for no peer. */
void tuning_who(const struct hb_peer *peer, char *who, size_t bytes);

/* For qsort() and bsearch() over what begins with a user. */
int tuning_compare_users(const void *a, const void *b);

/* A number of a change's changes as an array of {key, before, after}. */
json_t *tuning_changes_json(const struct hb_changes *changes);

#endif
