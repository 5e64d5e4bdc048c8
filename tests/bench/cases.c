/* SPDX-License-Identifier: BSD-3-Clause */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>

#define PASSWORD "bench"

/* Users who are barred: in none of the groups. */
#define DENIED_FIRST (UINT64_MAX / 2)

/* What a group's rows are made with; its share of the table is in 1/20. */
static const struct {
	uint16_t campaign;
	uint8_t share;
	uint32_t seq;
} groups[CASE_GROUPS] = {
	[CASE_KNOWN] = {CASE_PLAIN, 6, 1},
	[CASE_TOLD_MISS] = {CASE_PLAIN, 2, 1},
	[CASE_AHEAD] = {CASE_PLAIN, 2, 5},
	[CASE_HASTY] = {CASE_THROTTLE, 2, 1},
	[CASE_LATE] = {CASE_GONE, 2, 1},
	[CASE_TOLD_WIN] = {CASE_ONCE, 1, 1},
	[CASE_SATED] = {CASE_ONCE, 1, 1},
	[CASE_LUCKY] = {CASE_EVERY, 2, 1},
	[CASE_GUESSING] = {CASE_ANSWERED, 2, 1},
};

/* Who asks, beside a group of the table. */
enum {
	WHO_NEW = CASE_GROUPS,
	WHO_BARRED
};

/* ONE: what rows are made with, or less. NEXT: above all that came before. */
enum {
	SEQ_ONE,
	SEQ_NEXT
};

static const struct {
	const char *name;
	uint8_t who;
	uint16_t campaign;
	uint8_t seq;
	enum hb_status status;
} cases[] = {
	{"SHAKE: MISS, known user", CASE_KNOWN, CASE_PLAIN, SEQ_NEXT, HB_MISS},
	{"SHAKE: MISS, new user", WHO_NEW, CASE_PLAIN, SEQ_NEXT, HB_MISS},
	{"SHAKE: MISS again, same seq", CASE_TOLD_MISS, CASE_PLAIN, SEQ_ONE, HB_MISS},
	{"SHAKE: WIN, with its record", CASE_LUCKY, CASE_EVERY, SEQ_NEXT, HB_WIN},
	{"SHAKE: WIN again, same seq", CASE_TOLD_WIN, CASE_ONCE, SEQ_ONE, HB_WIN},
	{"SHAKE: QUOTA", CASE_SATED, CASE_ONCE, SEQ_NEXT, HB_QUOTA},
	{"SHAKE: EMPTY", CASE_LATE, CASE_GONE, SEQ_NEXT, HB_EMPTY},
	{"SHAKE: STALE", CASE_AHEAD, CASE_PLAIN, SEQ_ONE, HB_STALE},
	{"SHAKE: THROTTLED", CASE_HASTY, CASE_THROTTLE, SEQ_NEXT, HB_THROTTLED},
	{"SHAKE: EARLY", CASE_KNOWN, CASE_EARLY, SEQ_NEXT, HB_EARLY},
	{"SHAKE: CLOSED", CASE_KNOWN, CASE_CLOSED, SEQ_NEXT, HB_CLOSED},
	{"SHAKE: BUSY, paused", CASE_KNOWN, CASE_PAUSED, SEQ_NEXT, HB_BUSY},
	{"SHAKE: UNKNOWN campaign", CASE_KNOWN, CASE_NOWHERE, SEQ_NEXT, HB_UNKNOWN},
	{"SHAKE: MOVED", CASE_KNOWN, CASE_PLAIN, SEQ_NEXT, HB_MOVED},
	{"ANSWER: WIN, right", CASE_GUESSING, CASE_ANSWERED, SEQ_NEXT, HB_WIN},
	{"ANSWER: WRONG", CASE_GUESSING, CASE_ANSWERED, SEQ_NEXT, HB_WRONG},
	[CASE_FULL] = {"SHAKE: MISS, new user, table full", WHO_NEW, CASE_PLAIN, SEQ_NEXT, HB_MISS},
	[CASE_DENIED] = {"SHAKE: DENIED", WHO_BARRED, CASE_PLAIN, SEQ_NEXT, HB_DENIED},
};

const char *
cases_name(unsigned which)
{
	return cases[which].name;
}

/* ---- the table ----------------------------------------------------------------------- */

static void
make_campaigns(struct cases *c)
{
	struct hb_campaign_config *of = c->campaign - CASE_PLAIN;
	/* A win takes an envelope each. */
	uint32_t wins = (uint32_t)(c->runs * c->requests + 1000);
	uint32_t winners = (uint32_t)(c->rows / 20 * 2 + 1000);

	for (unsigned i = CASE_PLAIN; i < CASE_CAMPAIGNS_END; i++)
		of[i] = bed_campaign((uint16_t)i, 0, 1);
	of[CASE_THROTTLE].least_interval_ms = HB_LEAST_INTERVAL_MAX_MS;
	of[CASE_GONE].odds = 1;
	of[CASE_ONCE] = bed_campaign(CASE_ONCE, 1, winners);
	of[CASE_ONCE].wins_per_user = 1;
	of[CASE_EVERY] = bed_campaign(CASE_EVERY, 1, wins + winners);
	of[CASE_ANSWERED] = bed_campaign(CASE_ANSWERED, 1, wins + winners);
	snprintf(of[CASE_ANSWERED].password, sizeof(of[CASE_ANSWERED].password), "%s", PASSWORD);
	of[CASE_EARLY].opens_us = UINT64_MAX;
	of[CASE_CLOSED].closes_us = 1;
	of[CASE_PAUSED].paused = true;
	c->digest = hb_answer_digest(CASE_ANSWERED, PASSWORD);
}

/* Everybody asks once: the rows are there. */
static void
fill_group(struct cases *c, unsigned g, struct hb_progress *p)
{
	for (uint64_t i = c->first[g]; i < c->first[g + 1];) {
		uint64_t n = 0;

		for (; n < c->requests && i < c->first[g + 1]; n++, i++) {
			c->r[n] = bed_shake(groups[g].campaign, bed_user(i), groups[g].seq);
			/* A wrong word: who guesses hasn't won yet. */
			if (groups[g].campaign == CASE_ANSWERED)
				c->r[n].op = HB_OP_ANSWER;
		}
		bed_run(c->bed, c->r, n);
		hb_progress_update(p, i);
	}
}

static void
fill_table(struct cases *c)
{
	struct hb_progress p;

	c->first[0] = 1;
	for (unsigned g = 0; g < CASE_GROUPS; g++)
		c->first[g + 1] = c->first[g] + c->rows / 20 * groups[g].share;
	c->next = c->first[CASE_GROUPS];
	c->r[0] = bed_shake(CASE_GONE, bed_user(0), 1);
	bed_run(c->bed, c->r, 1);
	hb_progress_begin(&p, "filling the user table", "users", c->rows);
	for (unsigned g = 0; g < CASE_GROUPS; g++)
		fill_group(c, g, &p);
	hb_progress_end(&p);
}

void
cases_make(struct cases *c)
{
	/* An eighth is left for the new users of each run: of the engine's, and as many of the
	 * table's alone. */
	uint64_t most = c->users / 8 / (2 * c->runs);

	c->rows = c->users - c->users / 8;
	if (c->requests > most)
		c->requests = most;
	c->requests = c->requests / HB_BURST * HB_BURST;
	if (c->requests == 0) {
		fprintf(stderr, "%llu users are too few for %llu runs; ask for at least %llu\n",
			(unsigned long long)c->users, (unsigned long long)c->runs,
			(unsigned long long)(c->runs * 2 * 8 * HB_BURST));
		exit(HB_EXIT_USAGE);
	}
	c->r = bed_alloc(c->requests * sizeof(*c->r), "requests");
	make_campaigns(c);
	c->bed = bed_make(c->users, c->campaign, CASE_CAMPAIGNS);
	fill_table(c);
}

void
cases_free(struct cases *c)
{
	bed_free(c->bed);
	free(c->r);
}

/* ---- one case ------------------------------------------------------------------------ */

static uint64_t
draw_user(struct cases *c, unsigned who)
{
	if (who == WHO_NEW)
		return bed_user(c->next++);
	if (who == WHO_BARRED)
		return bed_user(DENIED_FIRST + bed_draw(c->bed, HB_DENIED_MAX));
	return bed_user(c->first[who] + bed_draw(c->bed, c->first[who + 1] - c->first[who]));
}

void
cases_prepare(struct cases *c, unsigned which)
{
	enum hb_status status = cases[which].status;

	for (uint64_t i = 0; i < c->requests; i++) {
		uint32_t seq = cases[which].seq == SEQ_ONE ? 1 : bed_next_seq(c->bed);

		c->r[i] = bed_shake(cases[which].campaign, draw_user(c, cases[which].who), seq);
		if (cases[which].campaign == CASE_ANSWERED) {
			c->r[i].op = HB_OP_ANSWER;
			c->r[i].arg = status == HB_WIN ? c->digest : 0;
		}
	}
	/* All slices are another host's, then. */
	c->bed->snapshot->slices = status == HB_MOVED ? 0 : UINT32_MAX;
	c->before = bed_replies(c->bed, status);
}

void
cases_check(struct cases *c, unsigned which)
{
	uint64_t got = bed_replies(c->bed, cases[which].status) - c->before;

	c->bed->snapshot->slices = UINT32_MAX;
	if (got == c->requests)
		return;
	fprintf(stderr, "%s: only %llu of %llu were answered %s\n", cases[which].name,
		(unsigned long long)got, (unsigned long long)c->requests,
		hb_status_name(cases[which].status));
	exit(HB_EXIT_FAILED);
}

void
cases_fill_up(struct cases *c)
{
	while (c->bed->engine.users.used < c->users) {
		cases_prepare(c, CASE_FULL);
		bed_run(c->bed, c->r, c->requests);
	}
}

void
cases_deny(struct cases *c)
{
	for (uint64_t i = 0; i < HB_DENIED_MAX; i++)
		hb_engine_deny(&c->bed->engine, bed_user(DENIED_FIRST + i));
}
