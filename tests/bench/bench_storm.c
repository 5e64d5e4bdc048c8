/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests as a storm brings them, from payload to reply without a port: decode, tag check,
 * decision, record, reply written and sealed, round by round in each kind of storm. The payloads
 * lie in memory 128 bytes apart, signed (or forged) before the clock starts; users are drawn at
 * random from all who are in the table. Records are taken out of the ring outside the clock
 * (bed.h).
 *
 * Exit code 1 when not exactly the good ones were answered.
 */
#include "bed.h"
#include "options.h"
#include "results.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>

#define STRIDE 128
/* How far back the request lies that a retry repeats, at the most. */
#define RETRY_REACH 65536

enum {
	NIGHT = 7,
	EVERY,
	NEVER
};

enum storm_kind {
	PLAIN,
	RETRIES,
	HOT_USER,
	HOT_DATAGRAM
};

struct storm {
	const char *name;
	const char *good_name;
	uint16_t campaign;
	unsigned good, of; /* so many good requests of so many */
	enum storm_kind kind;
};

static const struct storm storms[] = {
	{"2% wins", "2% wins: good ones", NIGHT, 1, 1, PLAIN},
	{"all wins", "all wins: good ones", EVERY, 1, 1, PLAIN},
	{"all forged", NULL, NIGHT, 0, 1, PLAIN},
	{"10 forged for each good one", "10 forged for each good one: good ones", NIGHT, 1, 11,
		PLAIN},
	{"50% retries", "50% retries: good ones", NIGHT, 1, 1, RETRIES},
	{"one user, each time with a new seq", "one user: good ones", NEVER, 1, 1, HOT_USER},
	{"one datagram, again and again", "one datagram: good ones", NEVER, 1, 1, HOT_DATAGRAM},
};

struct bench {
	struct bed *bed;
	struct hb_campaign_config campaign[3];
	struct hb_keyring *keys;
	uint64_t users, rounds, requests;
	double tsc_hz;
	uint64_t good; /* in this run's payloads */
	uint8_t *payload;
	struct hb_request *made; /* what the payloads were made from, for retries */
	struct results results;
};

/* The users of a campaign: the winners stay in the table for ever, so these are fewer. */
static uint64_t
users_of(const struct bench *b, uint16_t campaign)
{
	return campaign == NIGHT ? b->users / 8 * 6 : b->users / 8;
}

static void
fill(struct bench *b, uint16_t campaign)
{
	struct hb_progress p;
	uint64_t all = users_of(b, campaign);

	hb_progress_begin(&p, "filling the user table", "users", all);
	for (uint64_t i = 0; i < all;) {
		uint64_t n = 0;

		for (; n < b->requests && i < all; n++, i++)
			b->made[n] = bed_shake(campaign, bed_user(i), 1);
		bed_run(b->bed, b->made, n);
		hb_progress_update(&p, i);
	}
	hb_progress_end(&p);
}

/* ---- payloads ------------------------------------------------------------------------ */

static struct hb_request
next_request(struct bench *b, const struct storm *s, uint64_t i)
{
	bool again = (s->kind == RETRIES && i % 2 == 1) || (s->kind == HOT_DATAGRAM && i > 0);
	uint64_t user = s->kind == PLAIN || s->kind == RETRIES
				? bed_draw(b->bed, users_of(b, s->campaign))
				: 0;

	if (again) {
		/* One that isn't a retry itself. */
		uint64_t back =
			s->kind == HOT_DATAGRAM ? i : 2 * bed_draw(b->bed, RETRY_REACH / 2) + 1;

		return b->made[back > i ? 0 : i - back];
	}
	return bed_shake(s->campaign, bed_user(user), bed_next_seq(b->bed));
}

static void
make_payloads(struct bench *b, const struct storm *s)
{
	b->good = 0;
	for (uint64_t i = 0; i < b->requests; i++) {
		uint8_t *p = b->payload + i * STRIDE, key[HB_KEY_BYTES];
		bool good = i % s->of < s->good;

		b->made[i] = next_request(b, s, i);
		hb_user_key(key, b->keys->epoch_key[0], b->made[i].user);
		p[hb_wire_encode(&b->made[i], key, p) - 1] ^= good ? 0 : 1;
		b->good += good;
	}
}

/* ---- the clock ----------------------------------------------------------------------- */

/* Takes n payloads in, as a worker does with frames. Returns how many are left. */
static unsigned
take(struct bench *b, uint64_t at, unsigned n, struct hb_request *r)
{
	unsigned decoded = 0, good = 0;

	for (unsigned i = 0; i < n; i++) {
		if (hb_wire_decode(&r[decoded], b->payload + (at + i) * STRIDE, 24) == HB_DROP_NONE)
			r[decoded++].now_us = BED_NOW_US;
	}
	hb_wire_verify(b->keys, r, decoded);
	for (unsigned i = 0; i < decoded; i++) {
		if (HB_UNLIKELY(r[i].drop != HB_DROP_NONE))
			continue;
		if (good++ != i)
			r[good - 1] = r[i];
	}
	return good;
}

static uint64_t
run_stretch(struct bench *b, uint64_t at, uint64_t end, uint64_t *answered)
{
	struct hb_request r[HB_BURST];
	struct hb_reply reply[HB_BURST];

	uint64_t start = rte_rdtsc();
	for (; at < end; at += HB_BURST) {
		unsigned n = take(b, at, end - at < HB_BURST ? (unsigned)(end - at) : HB_BURST, r);

		bed_burst(b->bed, r, reply, n);
		for (unsigned i = 0; i < n; i++)
			hb_wire_reply(&r[i], &reply[i]);
		*answered += n;
	}
	return rte_rdtsc() - start;
}

static void
run(struct bench *b, const struct storm *s)
{
	uint64_t cycles = 0, answered = 0;

	make_payloads(b, s);
	for (uint64_t at = 0; at < b->requests; at += BED_STRETCH * HB_BURST) {
		uint64_t end = at + BED_STRETCH * HB_BURST;

		cycles += run_stretch(b, at, end < b->requests ? end : b->requests, &answered);
		bed_settle(b->bed);
	}
	if (answered != b->good) {
		fprintf(stderr, "bench_storm: %s: %llu of %llu good ones were answered\n", s->name,
			(unsigned long long)answered, (unsigned long long)b->good);
		exit(HB_EXIT_FAILED);
	}
	results_add(&b->results, s->name, "cycles", (double)cycles / (double)b->requests);
	if (s->good_name != NULL)
		results_add(&b->results, s->good_name, "requests/s",
			(double)b->good * b->tsc_hz / (double)cycles);
}

static void
set_up(struct bench *b)
{
	uint32_t wins = (uint32_t)((b->rounds + 1) * b->requests + b->users / 8);

	b->payload = bed_alloc(b->requests * STRIDE, "payloads");
	b->made = bed_alloc(b->requests * sizeof(*b->made), "requests");
	b->keys = bed_alloc(sizeof(*b->keys), "keys");
	b->keys->epoch_held[0] = true;
	b->campaign[0] = bed_campaign(NIGHT, 0.02, wins);
	b->campaign[1] = bed_campaign(EVERY, 1, wins);
	b->campaign[2] = bed_campaign(NEVER, 0, 1);
	b->bed = bed_make(b->users, b->campaign, 3);
	fill(b, NIGHT);
	fill(b, EVERY);
	b->tsc_hz = bed_tsc_hz();
}

int
main(int argc, char **argv)
{
	struct bench *b = bed_alloc(sizeof(*b), "itself");
	struct hb_progress p;
	char users[32];
	bool json;

	b->users = 699050;
	b->rounds = 10;
	b->requests = 262144;
	options_read(argc, argv,
		(struct option_number[]){{"--users", &b->users, 1000, 400000000},
			{"--rounds", &b->rounds, 1, 1000},
			{"--requests", &b->requests, HB_BURST, 1 << 24}},
		3, &json);
	if (hb_wire_init() != 0)
		return HB_EXIT_HOST;
	results_begin(&b->results, (unsigned)b->rounds);
	set_up(b);
	hb_progress_begin(&p, "measuring", "rounds", b->rounds);
	for (uint64_t i = 0; i < b->rounds; i++) {
		for (unsigned k = 0; k < HB_COUNT_OF(storms); k++)
			run(b, &storms[k]);
		hb_progress_update(&p, i + 1);
	}
	hb_progress_end(&p);
	results_note(
		json, "%s users in %s pages", hb_thousands(b->users, users), bed_pages(b->bed));
	results_end(&b->results, json);
	bed_free(b->bed);
	free(b->payload);
	free(b->made);
	free(b->keys);
	free(b);
	return HB_EXIT_OK;
}
