/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_control: what the control core does. It drains the workers' settlement rings into the journal,
 * makes each batch durable and tells the workers how far; it moves envelopes from cores that have
 * some to cores that ran dry; and it funds, tops up and adds campaigns while the workers run.
 *
 * Owner: the control core alone calls everything here; others come to it through hb_calls.h. What
 * it shares with workers is in each hb_link. One turn is one call of hb_control_step(), so that a
 * simulator can be the scheduler. Counters that say so may be read by any thread (hb_read()).
 *
 * control.c   settlements into the journal, the turn, the books
 * fund.c      money that comes in
 * lease.c     a budget that many hosts share: what goes back, for how long it may be given, users
 *             who come from other hosts
 * level.c     envelopes between the cores
 */
#ifndef HB_CONTROL_H
#define HB_CONTROL_H

#include "hb_engine.h"
#include "hb_histogram.h"
#include "hb_journal.h"

/* The control core's book of one campaign. */
struct hb_ledger {
	/* control core: wo; all others: ro, from here to refunded_fen */
	uint64_t funded; /* envelopes, by all fundings; 0: not funded yet */
	uint64_t funded_fen;
	uint64_t top_ups;
	uint64_t recalled; /* envelopes that earlier runs gave */
	uint64_t recalled_fen;
	uint64_t journalled; /* envelopes whose gift is on stable storage, in this and earlier runs
			      */
	uint64_t journalled_fen;
	uint64_t moves;	  /* ranges moved between cores */
	uint64_t bundled; /* of those journalled: made packets; in this and earlier runs */
	uint64_t bundled_fen;
	uint64_t refunded_fen; /* that nobody took out of those in time */
	uint64_t returned;     /* envelopes of a shared budget that went back to it */
	uint64_t returned_fen;
	uint64_t rows; /* users who came from other hosts */
	bool leased;   /* its budget is shared by many hosts: it comes in blocks */
	bool done;     /* and nothing is left of it, but for what is here */
	/* the control core's alone */
	uint16_t campaign;
	uint32_t wins_per_user;	      /* as the journal has it */
	struct hb_envelopes own;      /* of a campaign that was added while the workers ran */
	struct hb_tranches *tranches; /* NULL: never topped up */
	struct hb_moved *moved;	      /* NULL: no user came from another host */
	struct hb_range *depot;	      /* ranges that no core has */
	unsigned depot_ranges;
	unsigned depot_room;
	unsigned orders_out; /* that workers have not answered */
	bool whole;	     /* a lone worker was dealt every envelope that was left */
	bool returning;	     /* what is in the depot is on its way back, to no worker */
};

/* The control core's book of the group packets. control core: wo; all others: ro */
struct hb_packet_ledger {
	uint64_t packed; /* packets, bundles among them */
	uint64_t packed_fen;
	uint64_t taken; /* shares */
	uint64_t taken_fen;
	uint64_t refunded; /* packets */
	uint64_t refunded_fen;
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
	uint8_t *foreign; /* by campaign id: the journal has it, this run's configuration doesn't */
	unsigned workers;
	unsigned campaigns;		     /* slots */
	unsigned slots_used;		     /* up to the last one that is funded */
	unsigned first_worker;		     /* whose ring is drained first in this turn */
	unsigned level_slot;		     /* the campaign that is levelled next */
	struct hb_term term;		     /* see hb_link */
	bool closing;			     /* no more orders go out */
	unsigned share[HB_WORKERS_MAX];	     /* of the records that wait, by worker */
	unsigned orders_out[HB_WORKERS_MAX]; /* STOCK and GIVE_UP that are not answered yet */
	uint64_t now_ns;		     /* of this turn */
	uint64_t retry_ns;		     /* when to try again */
	uint64_t gather_ns;
	uint64_t waiting_since_ns; /* 0: nothing waits */
	bool wall_clock;	   /* requests carry the wall clock's time */
	/* control core: wo; all others: ro, from here on; ints by a relaxed __atomic_load_n() */
	unsigned waiting; /* records in the journal's room that no batch has taken (the disk is
			     full, or they gather) */
	struct hb_packet_ledger packets;  /* on stable storage, by this and earlier runs */
	struct hb_packet_ledger recalled; /* of those by earlier runs */
	uint64_t batches;
	uint64_t records; /* of wins and packets */
	uint64_t worst_flush_ns;
	int disk_error; /* the last commit's: 0, -ENOSPC while the disk is full, else failed for
			   good */
	struct hb_histogram *flush_ns;	 /* of each batch: its write and flush */
	struct hb_histogram *durable_us; /* of each win: from its request until it was durable, with
					    the wall clock */
};

struct hb_control_terms {
	struct hb_journal *journal;
	struct hb_link *const *links;
	uint8_t *drained;
	unsigned workers;
	unsigned campaigns; /* slots: those in use and room for more */
	uint64_t gather_ns; /* how long a record may wait for others of its batch */
	bool wall_clock;    /* whether requests carry the wall clock's time, for durable_us */
	uint64_t (*term_ns)(void); /* the clock of hb_control_renew(); NULL: CLOCK_BOOTTIME */
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

/* Enters what an earlier run funded, as the journal has it: a campaign's first funding, or with
 * `v`, which are the control core's from then on, one more. Returns 0, or -errno with e and v as it
 * was where the campaign would get too large. Before the workers start. */
void hb_control_funded(struct hb_control *c, unsigned slot, const struct hb_fund *f);
int hb_control_topped(struct hb_control *c, unsigned slot, const struct hb_fund *f,
	struct hb_envelopes *v, struct hb_error *e);

/* Notes that the journal has a campaign that isn't configured, whose id must not be funded anew. */
void hb_control_foreign(struct hb_control *c, uint16_t campaign);

/* Deals a campaign's envelopes out to the workers in equal shares, but for those that are given:
 * bit n - 1 of `given` is envelope n's; NULL: none is. Before the workers start. Returns 0 or
 * -ENOMEM. */
int hb_control_deal(struct hb_control *c, unsigned slot, struct hb_engine *const *engines,
	const uint8_t *given, struct hb_error *e);

/* ---- while the workers run ----------------------------------------------------------- */

/* Each of these is done as a whole or not at all: unless it returns 0, nothing is changed. Common
 * errors, all with a line in e: -EAGAIN: a worker has too many orders to carry out, try again soon;
 * -EBUSY: the control core is closing; -ENOSPC: the disk is full; -EIO: the disk failed, and
 * whether the records got there only the next start can tell; -ENOMEM. What is funded is durable
 * when they return 0, and never given before. Envelopes were made by the caller from the terms,
 * with hb_envelopes_make(); on success they are the control core's, and *v is empty. */

/* Adds a campaign in a slot that none has. The snapshot that names it is to be published after
 * this. Also -EEXIST: the slot or id is taken, or the journal has the campaign from an earlier run;
 * -EINVAL: the terms make no sense. */
int hb_control_add(struct hb_control *c, unsigned slot, uint16_t campaign, const struct hb_terms *t,
	uint32_t wins_per_user, uint64_t time_us, struct hb_envelopes *v, struct hb_error *e);

/* Adds envelopes to a campaign. From when this returns 0, nobody is told EMPTY while they remain.
 * Also -ENOENT: no campaign in that slot; -ERANGE: it would have too many envelopes, too much money
 * or too many top-ups; -EALREADY: it was topped up with these very terms, seed included, and
 * -EEXIST: with that seed, but other terms, in this run or an earlier one; -EINVAL. */
int hb_control_top_up(struct hb_control *c, unsigned slot, const struct hb_terms *t,
	uint64_t time_us, struct hb_envelopes *v, struct hb_error *e);

/* ---- a budget that many hosts share --------------------------------------------------- */

/* Makes a campaign one whose envelopes come in blocks, when it has none yet. Before the workers
 * start. */
void hb_control_leased(struct hb_control *c, unsigned slot, uint16_t campaign);

/* hb_control_top_up() with a block of the budget, whose envelopes are numbered as the lease says.
 * Also -EEXIST: numbers that this host has had already. A campaign takes either blocks or top-ups:
 * -EINVAL. */
int hb_control_take_block(struct hb_control *c, unsigned slot, const struct hb_lease *lease,
	const struct hb_terms *t, uint64_t time_us, struct hb_envelopes *v, struct hb_error *e);
int hb_control_may_take_block(const struct hb_control *c, unsigned slot,
	const struct hb_lease *lease, const struct hb_terms *t, struct hb_error *e);

/* Lets workers give what is here of shared budgets until then, in the time of the terms' clock; 0:
 * no more. It may be put off and brought forward. By one thread at a time, which need not be the
 * control core: that may wait for its disk. */
void hb_control_renew(struct hb_control *c, uint64_t until_ns);

/* Says whether anything is left of a shared budget, but for what this host has: EMPTY is told only
 * when nothing is. A block that comes takes it back. Returns 0, or -EINVAL for a campaign with a
 * budget of its own. */
int hb_control_done(struct hb_control *c, unsigned slot, bool done, struct hb_error *e);

/* Gives up to `count` envelopes back to the shared budget: takes them from the workers, then enters
 * what goes back into the journal. To be called turn after turn for as long as it returns -EAGAIN;
 * then 0, with in *returned how many are durably given back, or -errno as above. Between two calls
 * hb_control_step() must run. */
struct hb_returning {
	uint64_t asked;	   /* how many are to go back */
	uint64_t returned; /* so many did */
	bool begun;
};
int hb_control_return(struct hb_control *c, unsigned slot, struct hb_returning *r, uint64_t time_us,
	struct hb_error *e);

/* Whoever gives up before it is over says so. */
void hb_control_return_over(struct hb_control *c, unsigned slot);

/* Enters users who won on other hosts, whose slices come here: into the journal, then to their
 * workers, who remember them from then on as their own. As many as one batch takes, HB_ROWS_MAX at
 * the most. Returns 0 when all are with their workers' orders; -EAGAIN: nothing was done, try again
 * after a turn. */
#define HB_ROWS_MAX 256
struct hb_row {
	uint64_t user;
	uint64_t id; /* of the last envelope that the user won */
	uint64_t won_us;
	uint32_t amount; /* fen in it */
	uint32_t seq;
	uint32_t wins;
	uint8_t outcome; /* HB_OUTCOME_WIN or HB_OUTCOME_BUNDLE */
};
int hb_control_rows(struct hb_control *c, unsigned slot, const struct hb_row *row, unsigned n,
	struct hb_error *e);

/* How many of a campaign's last n rows the workers have not taken in yet, and how many they could
 * not. */
void hb_control_rows_left(const struct hb_control *c, unsigned slot, uint32_t n, uint32_t *underway,
	uint32_t *refused);

/* Whether one of these would be refused as things are, with the same errors; nothing is changed.
 * For whoever has several things to do, and wants to do all of them or none. */
int hb_control_may_add(
	const struct hb_control *c, unsigned slot, uint16_t campaign, struct hb_error *e);
int hb_control_may_top_up(
	const struct hb_control *c, unsigned slot, const struct hb_terms *t, struct hb_error *e);

/* Enters into the journal what a campaign gives one user from now on, if that isn't what it has. To
 * be called before the snapshot that says so is published, so that an audit knows what was allowed.
 */
int hb_control_quota(struct hb_control *c, unsigned slot, uint32_t wins_per_user, uint64_t time_us,
	struct hb_error *e);

/* ---- a turn --------------------------------------------------------------------------- */

/* One turn: drain, commit, publish, level. now_ns: any clock that doesn't step back. Returns the
 * number of records that became durable; 0 may mean that there was nothing to do. Blocks as long as
 * the disk takes. */
unsigned hb_control_step(struct hb_control *c, uint64_t now_ns);

/* Sends no more orders from now on; closed when every one has been answered, so that no envelope is
 * on its way between cores. */
void hb_control_close(struct hb_control *c);
bool hb_control_closed(const struct hb_control *c);

/* Whether for each campaign funded = in stocks and depot + journalled, and nothing is parked or on
 * its way, and for all packets funded = taken + left + refunded: true only when the workers have
 * stopped. What is off first is named in e. */
bool hb_control_balanced(const struct hb_control *c, struct hb_error *e);

#endif
