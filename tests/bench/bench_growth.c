/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a request costs the engine when there are more users or more campaigns: the same stream, 2%
 * wins and users drawn at random from all who are in the table, on an engine of --users users in
 * --campaigns campaigns and, in the same rounds, on one of a million users in one campaign. bed.h
 * says what the clock sees.
 */
#include "bed.h"
#include "options.h"
#include "results.h"

#include <stdio.h>
#include <stdlib.h>

#define BASE_USERS 1000000
#define ODDS 0.02

struct side {
	const char *name;
	struct bed *bed;
	struct hb_campaign_config *campaign;
	uint64_t users;
	uint64_t campaigns;
};

struct bench {
	struct side side[2];
	uint64_t rounds, requests;
	struct hb_request *r;
	struct results results;
};

/* A user asks in one campaign only. */
static uint16_t
campaign_of(const struct side *s, uint64_t i)
{
	return (uint16_t)(1 + i % s->campaigns);
}

static void
make_side(struct bench *b, struct side *s)
{
	struct hb_progress p;
	/* Three times what 2% comes to, in each campaign; wins are dealt to them by chance. */
	uint64_t asked = s->users + b->rounds * b->requests;
	uint32_t each = (uint32_t)((double)asked * ODDS * 3 / (double)s->campaigns) + 100;

	s->campaign = bed_alloc(s->campaigns * sizeof(*s->campaign), "campaigns");
	for (uint64_t i = 0; i < s->campaigns; i++)
		s->campaign[i] = bed_campaign(campaign_of(s, i), ODDS, each);
	s->bed = bed_make(s->users, s->campaign, (unsigned)s->campaigns);
	hb_progress_begin(&p, "filling the user table", "users", s->users);
	for (uint64_t i = 0; i < s->users;) {
		uint64_t n = 0;

		for (; n < b->requests && i < s->users; n++, i++)
			b->r[n] = bed_shake(campaign_of(s, i), bed_user(i), 1);
		bed_run(s->bed, b->r, n);
		hb_progress_update(&p, i);
	}
	hb_progress_end(&p);
}

static void
run(struct bench *b, struct side *s)
{
	uint64_t told = bed_replies(s->bed, HB_MISS) + bed_replies(s->bed, HB_WIN);

	for (uint64_t i = 0; i < b->requests; i++) {
		uint64_t user = bed_draw(s->bed, s->users);

		b->r[i] = bed_shake(campaign_of(s, user), bed_user(user), bed_next_seq(s->bed));
	}
	uint64_t cycles = bed_run(s->bed, b->r, b->requests);
	told = bed_replies(s->bed, HB_MISS) + bed_replies(s->bed, HB_WIN) - told;
	if (told != b->requests) {
		fprintf(stderr, "bench_growth: %llu of %llu were answered MISS or WIN\n",
			(unsigned long long)told, (unsigned long long)b->requests);
		exit(HB_EXIT_FAILED);
	}
	results_add(&b->results, s->name, "cycles", (double)cycles / (double)b->requests);
}

int
main(int argc, char **argv)
{
	struct bench *b = bed_alloc(sizeof(*b), "itself");
	struct side *base = &b->side[0], *grown = &b->side[1];
	struct hb_progress p;
	char users[32];
	bool json;

	*base = (struct side){.name = "base", .users = BASE_USERS, .campaigns = 1};
	*grown = (struct side){.name = "grown", .users = BASE_USERS, .campaigns = 1};
	b->rounds = 10;
	b->requests = 262144;
	options_read(argc, argv,
		(struct option_number[]){{"--users", &grown->users, 1000, 400000000},
			{"--campaigns", &grown->campaigns, 1, HB_CAMPAIGNS_MAX},
			{"--rounds", &b->rounds, 1, 1000},
			{"--requests", &b->requests, HB_BURST, 1 << 24}},
		4, &json);
	b->r = bed_alloc(b->requests * sizeof(*b->r), "requests");
	results_begin(&b->results, (unsigned)b->rounds);
	/* The big one first: it takes the hugepages that it needs. */
	make_side(b, grown);
	make_side(b, base);
	hb_progress_begin(&p, "measuring", "rounds", b->rounds);
	for (uint64_t i = 0; i < b->rounds; i++) {
		run(b, base);
		run(b, grown);
		hb_progress_update(&p, i + 1);
	}
	hb_progress_end(&p);
	results_note(json, "%s users in %s pages", hb_thousands(grown->users, users),
		bed_pages(grown->bed));
	results_end(&b->results, json);
	for (unsigned i = 0; i < HB_COUNT_OF(b->side); i++) {
		bed_free(b->side[i].bed);
		free(b->side[i].campaign);
	}
	free(b->r);
	free(b);
	return HB_EXIT_OK;
}
