/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leaser: a thread that keeps a running hongbaod in envelopes of budgets that many hosts share: it
 * renews the host's term in the database and then in hongbaod, leases blocks before hongbaod runs
 * dry, gives some back when other hosts want them, and says when nothing is left anywhere. It has a
 * connection of its own, so that settling never holds up a term.
 *
 * What may die at whatever moment: this, hongbaod, the database. A block is hongbaod's once it is
 * in its journal; until then the same block is brought again, which is harmless.
 *
 * Owner: the main thread begins and ends it; all else is the thread's.
 */
#ifndef HONGBAO_SETTLE_LEASER_H
#define HONGBAO_SETTLE_LEASER_H

#include "../hongbaoctl/link.h"
#include "hb_fleet.h"

#include <pthread.h>

struct leaser_terms {
	const char *database; /* conninfo */
	const char *socket;   /* hongbaod's */
	unsigned term_s;      /* a host's term */
	unsigned ahead_s;     /* for so many seconds there is to be stock, at the present rate */
	int wake_fd;	      /* an eventfd that is readable when it is to end */
};

/* What hongbaod says of one campaign. */
struct leaser_campaign {
	uint16_t id;
	uint64_t blocks, given, returned, stock, dry;
	double per_second;
	bool listed; /* hongbaod has it still */
	bool done, closed;
	/* As it was when it was last looked at. */
	uint64_t given_seen, looked_ns;
	uint64_t idle_since_ns; /* nothing was given since */
	uint64_t gave_back_ns;	/* when some was given back last */
};

#define LEASER_CAMPAIGNS 256

struct leaser {
	struct leaser_terms terms;
	struct hb_db db;
	struct link link;
	bool linked;
	uint32_t host;
	uint64_t journal;
	char slices[160]; /* "{0,1,2}" */
	uint32_t slice_bits;
	struct leaser_campaign campaign[LEASER_CAMPAIGNS];
	unsigned campaigns;
	uint64_t asked_ns; /* hb_boot_ns() before the term was last renewed in the database */
	bool renewed;	   /* and it was */
	json_int_t asks;
	pthread_t thread;
	bool running;
};

/* Returns 0 or -errno with e. */
int leaser_begin(struct leaser *l, const struct leaser_terms *t, struct hb_error *e);

/* Once wake_fd is readable. */
void leaser_end(struct leaser *l);

/* ---- for commands that do one thing and end ------------------------------------------- */

/* Connects to both, without a thread, and asks hongbaod for its host, journal and campaigns. */
int leaser_connect(struct leaser *l, const struct leaser_terms *t, struct hb_error *e);
void leaser_disconnect(struct leaser *l);

/* Asks hongbaod. args is taken over. On success *result, if not NULL, is the caller's. -EPERM: it
 * refused, as e says; -ENOTCONN: the connection is gone. */
int leaser_ask(
	struct leaser *l, const char *command, json_t *args, json_t **result, struct hb_error *e);

#endif
