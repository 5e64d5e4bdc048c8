/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_recovery: a journal's records back into the state that they came from: envelopes that are
 * given leave the stocks, users who won are remembered with the last seq that they won with.
 *
 * Called by the control core while no worker runs. What it reads may have been written by any
 * number of workers: the rows go to the engines that own them now.
 */
#ifndef HB_RECOVERY_H
#define HB_RECOVERY_H

#include "hb_control.h"

/* A campaign's amounts, made by a thread while its wins are read already. */
struct hb_maker {
	const struct hb_envelopes *envelopes;
	struct hb_terms terms;
	pthread_t thread;
	uint32_t made; /* envelopes that have their amount. thread: wo; reader: ro */
	bool running;  /* owner: the reader */
};

/* The control core's alone. What the first four point at is the caller's, by slot or by worker. */
struct hb_recovery {
	struct hb_control *control;
	struct hb_engine *const *engines;
	struct hb_envelopes *envelopes;
	struct hb_campaign_config *campaign; /* terms.seed is taken from the journal */
	unsigned campaigns;  /* that are configured: slots behind them are for later */
	uint8_t **given;     /* by slot: bit n - 1 is set when envelope n is given */
	struct hb_fund fund; /* the funding that is being read */
	unsigned back_tiers; /* TIER records of the last RETURN that are still to come */
	uint16_t *slot_of;   /* by campaign id: 1 + slot, 0 for one that isn't configured */
	uint64_t records;    /* read so far: the next one's number */
	uint64_t wins;
	uint64_t seed; /* the journal's */
	bool seeded;   /* whether it has one */
	bool refused;  /* the reading stopped at a record, not at the journal's bytes */
	bool threads;  /* whether threads may help */
	bool rows;     /* the last record was a ROW: the tables are this thread's */
	struct hb_maker maker;
	struct recall *recall; /* winners on their way into the tables, while reading */
	uint64_t strangers; /* wins of campaigns that the configuration doesn't have (any more) */
};

/* Begins with a control core and engines as fresh as hb_control_make() and hb_engine_make() leave
 * them. campaigns: how many are configured, in the first slots; envelopes of their first fundings,
 * as many. Returns 0 or -ENOMEM. */
int hb_recovery_begin(struct hb_recovery *r, struct hb_control *c, struct hb_engine *const *engines,
	struct hb_envelopes *envelopes, struct hb_campaign_config *campaign, unsigned campaigns,
	struct hb_error *e);

/* Reads a journal to its end and applies its records. Returns 0; what hb_journal_read() returns for
 * a journal that can't be read; or, with r->refused set, -EINVAL when the configuration has other
 * money terms than the campaign's first funding (both are shown; its top-ups are the journal's
 * alone, and what one user may win is the configuration's) or too few users for the winners,
 * -EILSEQ for a record that contradicts those before it (with its number), or -ENOMEM; with the
 * line in e.
 *
 * threads: one thread reads segments ahead, see hb_journal_read_ahead(), one makes amounts, and one
 * puts the winners into the engines' tables. All are gone when this returns, but for the reader's
 * after an error; errors and state are the same without them. what: for the line of progress, or
 * NULL. */
int hb_recovery_read(struct hb_recovery *r, struct hb_journal_reader *reader, bool threads,
	const char *what, struct hb_error *e);

/* Goes on with the journal's seed, or enters `seed` where it has none; funds the campaigns that the
 * journal doesn't have, from seeds derived from it and their ids; enters what one user may win
 * where that is another by now; and deals everything that is left out to the workers. The journal
 * must be open for writing. Returns 0 or -errno with e. */
int hb_recovery_finish(struct hb_recovery *r, uint64_t seed, uint64_t time_us, struct hb_error *e);

void hb_recovery_free(struct hb_recovery *r);

#endif
