/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cases: every way in which the engine answers a SHAKE or an ANSWER, as a stream of requests that
 * are all answered like that, by users drawn at random from a full table. For what measures the
 * engine case by case, in cycles or in instructions.
 *
 * One thread calls everything.
 */
#ifndef HB_BENCH_CASES_H
#define HB_BENCH_CASES_H

#include "bed.h"

/* Campaigns of the bed, one for each way to be answered. */
enum case_campaign {
	CASE_PLAIN = 7, /* draws nothing, ever */
	CASE_THROTTLE,
	CASE_GONE,  /* its only envelope is given */
	CASE_ONCE,  /* a win for each user, and no more */
	CASE_EVERY, /* each draw wins */
	CASE_ANSWERED,
	CASE_EARLY,
	CASE_CLOSED,
	CASE_PAUSED,
	CASE_CAMPAIGNS_END,
	CASE_NOWHERE,  /* not configured */
	CASE_STRANGER, /* for users added past the engine */
};
#define CASE_CAMPAIGNS (CASE_CAMPAIGNS_END - CASE_PLAIN)

/* Parts of those who are in the table, each with a row in one campaign. */
enum case_group {
	CASE_KNOWN,
	CASE_TOLD_MISS,
	CASE_AHEAD, /* already at a higher seq */
	CASE_HASTY,
	CASE_LATE,
	CASE_TOLD_WIN,
	CASE_SATED,
	CASE_LUCKY,
	CASE_GUESSING,
	CASE_GROUPS,
};

struct cases {
	struct bed *bed;
	struct hb_campaign_config campaign[CASE_CAMPAIGNS];
	uint64_t users;			 /* that the table is made for */
	uint64_t rows;			 /* that are in it at first */
	uint64_t requests;		 /* of a case, each time */
	uint64_t runs;			 /* of each case, at the most */
	uint64_t first[CASE_GROUPS + 1]; /* a group's first user, where the one before ends */
	uint64_t next;			 /* the next new user */
	uint64_t digest;
	uint64_t before; /* replies of the right status when a case began */
	struct hb_request *r;
};

/* The cases that can be run in any order, again and again; and two for the end, for which the table
 * is filled up and users are barred: by cases_fill_up() and cases_deny(). */
#define CASES 16
#define CASE_FULL CASES
#define CASE_DENIED (CASES + 1)

const char *cases_name(unsigned which);

/* Makes the bed and fills its table. users, requests and runs are set; a table too small for them
 * gets fewer requests, or ends the program with a line. */
void cases_make(struct cases *c);
void cases_free(struct cases *c);

/* Prepares c->r for a case. Whoever has had the bed decide them all calls cases_check(), which ends
 * the program when one was not answered as the case's name says. */
void cases_prepare(struct cases *c, unsigned which);
void cases_check(struct cases *c, unsigned which);

/* New users until the table has as many as it was made for: from then on each takes a row from
 * somebody. */
void cases_fill_up(struct cases *c);

/* Bars as many users as can be. */
void cases_deny(struct cases *c);

#endif
