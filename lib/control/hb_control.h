/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_control: what the control core does. It drains the workers' settlement rings into the journal,
 * makes each batch durable and tells the workers how far; and it moves envelopes from cores that
 * have some to cores that ran dry.
 *
 * Owner: the control core alone calls everything here. What it shares with workers is in each
 * hb_link. One turn is one call of hb_control_step(), so that a simulator can be the scheduler.
 */
#ifndef HB_CONTROL_H
#define HB_CONTROL_H

#include "hb_engine.h"
#include "hb_journal.h"

/* The control core's book of one campaign. */
struct hb_ledger {
	uint16_t campaign;
	uint32_t funded; /* envelopes; 0: not funded yet */
	uint64_t funded_fen;
	uint64_t recalled; /* envelopes that earlier runs gave */
	uint64_t recalled_fen;
	uint64_t journalled; /* envelopes whose gift is on stable storage, in this and earlier runs
			      */
	uint64_t journalled_fen;
	uint64_t moves;		/* ranges moved between cores */
	struct hb_range *depot; /* ranges that no core has */
	unsigned depot_ranges;
	unsigned depot_room;
	bool order_out; /* a worker has an order that it has not answered */
	bool whole;	/* a lone worker was dealt every envelope that was left */
};

struct hb_control {
	struct hb_journal *journal;
	struct hb_link *const *links;	      /* by worker */
	struct hb_ledger *ledger;	      /* by slot */
	uint64_t (*dry_seen)[HB_WORKERS_MAX]; /* by slot and worker: hb_book.dry when last served */
	/* By slot and worker: when it was last asked for envelopes, and hb_book.given then. */
	struct hb_asked {
		uint64_t ns;
		uint64_t given;
	} (*asked)[HB_WORKERS_MAX];
	uint8_t *drained;  /* by slot; see hb_link. control core: wo; workers: ro */
	uint16_t *slot_of; /* by campaign id: 1 + slot */
	unsigned workers;
	unsigned campaigns;
	unsigned first_worker; /* whose ring is drained first in this turn */
	unsigned level_slot;   /* the campaign that is levelled next */
	bool closing;	       /* no more orders go out */
	unsigned waiting;      /* records in the journal's room that no batch has taken (the disk is
				  full) */
	unsigned share[HB_WORKERS_MAX];	     /* of them, by worker */
	unsigned orders_out[HB_WORKERS_MAX]; /* not answered yet */
	uint64_t now_ns;		     /* of this turn */
	uint64_t retry_ns;		     /* when to try again */
	uint64_t gather_ns;
	uint64_t waiting_since_ns; /* 0: nothing waits */
	uint64_t batches;
	uint64_t records;
	uint64_t worst_flush_ns;
	int disk_error; /* the last commit's: 0, -ENOSPC while the disk is full, else failed for
			   good */
};

struct hb_control_terms {
	struct hb_journal *journal;
	struct hb_link *const *links;
	uint8_t *drained;
	unsigned workers;
	unsigned campaigns;
	uint64_t gather_ns; /* how long a record may wait for others of its batch */
};

/* What hongbaod waits at the most. A flush takes about as long, so that a win's reply comes at most
 * twice as late; and there are 2,000 batches a second at the most, of which each costs some 80 us
 * of a core (README, figures). */
#define HB_GATHER_NS (500 * 1000ull)

int hb_control_make(struct hb_control *c, const struct hb_control_terms *t, struct hb_error *e);
void hb_control_free(struct hb_control *c);

/* Enters a campaign's funding into the journal and the ledger: durable when this returns 0. Before
 * the workers start. wins_per_user is recorded with it. */
int hb_control_fund(struct hb_control *c, unsigned slot, uint16_t campaign,
	const struct hb_terms *t, uint32_t wins_per_user, uint64_t time_us, struct hb_error *e);

/* Enters the seed of the draws into the journal. The same. */
int hb_control_enter_seed(
	struct hb_control *c, uint64_t seed, uint64_t time_us, struct hb_error *e);

/* Enters what an earlier run funded, as the journal has it. */
void hb_control_funded(struct hb_control *c, unsigned slot, const struct hb_fund *f);

/* Deals a campaign's envelopes out to the workers in equal shares, but for those that are given:
 * bit n - 1 of `given` is envelope n's; NULL: none is. Before the workers start. Returns 0 or
 * -ENOMEM. */
int hb_control_deal(struct hb_control *c, unsigned slot, struct hb_engine *const *engines,
	const uint8_t *given, struct hb_error *e);

/* One turn: drain, commit, publish, level. now_ns: any clock that doesn't step back. Returns the
 * number of records that became durable; 0 may mean that there was nothing to do. Blocks as long as
 * the disk takes. */
unsigned hb_control_step(struct hb_control *c, uint64_t now_ns);

/* Sends no more orders from now on; closed when every one has been answered, so that no envelope is
 * on its way between cores. */
void hb_control_close(struct hb_control *c);
bool hb_control_closed(const struct hb_control *c);

/* Whether for each campaign funded = in stocks and depot + journalled, and nothing is parked or on
 * its way: true only when the workers have stopped. The first campaign that is off is named in e.
 */
bool hb_control_balanced(const struct hb_control *c, struct hb_error *e);

#endif
