/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * settler: hongbao-settle put together from the libraries: settler.c is what goes on from start to
 * end, pending.c the records on their way, archiver.c the thread that moves settled segments,
 * show.c what people and Prometheus see.
 *
 * Threads: the main thread settles, and owns everything but what is said otherwise. The service
 * thread reads the figures; the archiver's thread has its own state.
 */
#ifndef HONGBAO_SETTLE_SETTLER_H
#define HONGBAO_SETTLE_SETTLER_H

#include "archiver.h"
#include "leaser.h"
#include "hb_pace.h"
#include "hb_settle.h"
#include "hb_settle_config.h"
#include "pending.h"

#include <signal.h>

struct hb_service;

struct settle_options {
	const char *config; /* NULL: none */
	const char *journal, *database, *archive, *metrics;
	uint64_t rate, batch, set_aside;
	bool rate_given, batch_given, set_aside_given;
	bool once, migrate, adopt, help, version;
	/* A budget that many hosts share. */
	bool lease, rejoin;
	const char *socket, *budget, *take_slices;
	uint64_t term_s, ahead_s;
	uint64_t lost; /* a host that is declared lost */
	bool lost_given;
};

/* Figures. Main thread: wo; the others: ro, by relaxed __atomic_load_n(). */
struct settle_figures {
	uint64_t next_record;		  /* as the database has it */
	uint64_t known;			  /* records that the journal has, as last seen */
	uint64_t settled;		  /* records, by this process */
	uint64_t settled_fen;		  /* of wins that aren't bundles, shares and refunds */
	uint64_t transactions;		  /* that were committed */
	uint64_t transaction_ns;	  /* in all */
	uint64_t refused;		  /* records set aside, of this journal */
	uint64_t errors[HB_DB_OTHER + 1]; /* by enum hb_db_fault */
	uint64_t connects;
	uint64_t committed_us; /* since 1970, the last; 0: none */
	uint64_t rate_limit;
	uint64_t per_second; /* records, lately */
	bool up;	     /* the database answers and this settler has the journal */
};

/* What signals have come; written by their handler. */
struct settle_signals {
	volatile sig_atomic_t stop, reload;
	int wake_fd; /* an eventfd that is written when it is to stop */
};

struct settler {
	struct settle_options options;
	struct hb_settle_config config;
	const struct settle_signals *signals;
	struct hb_db db;
	struct hb_settle settle;
	struct hb_follower follower;
	struct hb_follower scout; /* looks how much there is behind what is pending */
	struct pending pending;
	struct hb_pace pace;
	struct hb_backoff backoff;
	struct archiver archiver;
	struct leaser leaser;
	struct settle_figures figures;
	struct hb_service *service; /* NULL: no metrics */
	uint64_t goal;		    /* with --once: records that the journal had at the start */
	uint64_t scouted_ns, told_ns, noted_ns, shown_ns;
	uint64_t failing_ns;   /* since when the database fails; 0: it doesn't */
	uint64_t noted_record; /* as the file `settled` has it */
	uint64_t shown_settled;
	unsigned trial; /* how many records the next transaction may have, after one was refused */
	int reloads_seen;
	bool at_end;	/* the follower found nothing more */
	bool damaged;	/* and never will */
	bool connected; /* once at least */
	bool terminal;
	bool standby_said;
	struct hb_error fault; /* why it ends, where it isn't good */
};

/* Sets all up but the database. Returns an exit code, with a line in s->fault unless it is good. */
enum hb_exit settler_begin(struct settler *s);

/* Applies migrations; for --migrate. */
enum hb_exit settler_migrate(struct settler *s);

/* Settles until it is told to stop, or with --once until all is settled. */
enum hb_exit settler_run(struct settler *s);

void settler_end(struct settler *s);

/* ---- fleet.c -------------------------------------------------------------------------- */

/* What is done once and ends: --budget, --declare-lost, --take-slices, --rejoin. Whether one of
 * them was asked for, and what came of it. */
bool fleet_asked(const struct settle_options *o);
enum hb_exit fleet_run(struct settler *s);

/* What the leaser works with. */
struct leaser_terms fleet_terms(const struct settler *s);

/* ---- options.c ------------------------------------------------------------------------ */

/* Reads the command line; HB_EXIT_OK, or what was said is wrong with it. */
enum hb_exit settle_options_read(struct settle_options *o, int argc, char **argv);
void settle_options_help(void);

/* The file, if one was named, with the command line over it. Returns an exit code and e. */
enum hb_exit settle_options_apply(
	const struct settle_options *o, struct hb_settle_config *c, struct hb_error *e);

/* ---- show.c --------------------------------------------------------------------------- */

/* Serves metrics, if the configuration says where. Returns 0 or -errno with e. */
int show_begin(struct settler *s, struct hb_error *e);

/* The line on a terminal and the rate, once a second. */
void show_progress(struct settler *s, uint64_t now_ns);

/* Wipes the line. */
void show_end(struct settler *s);

#define SEE(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

#endif
