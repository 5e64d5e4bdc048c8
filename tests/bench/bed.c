/* SPDX-License-Identifier: BSD-3-Clause */
#include "bed.h"

#include <errno.h>
#include <rte_cycles.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void
must(int err, const struct hb_error *e)
{
	if (err == 0)
		return;
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, e->text);
	exit(HB_EXIT_HOST);
}

void *
bed_alloc(size_t bytes, const char *what)
{
	size_t rounded = (bytes + HB_CACHE_LINE - 1) / HB_CACHE_LINE * HB_CACHE_LINE;
	void *p = aligned_alloc(HB_CACHE_LINE, rounded);

	if (p == NULL) {
		fprintf(stderr, "%s: no memory for %s: %zu bytes\n", program_invocation_short_name,
			what, bytes);
		exit(HB_EXIT_HOST);
	}
	memset(p, 0, rounded);
	return p;
}

struct hb_campaign_config
bed_campaign(uint16_t id, double odds, uint32_t envelopes)
{
	return (struct hb_campaign_config){.id = id,
		.name = "bench",
		.closes_us = UINT64_MAX,
		.odds = odds,
		.wins_per_user = HB_USER_WINS_MAX,
		.wait_ms = 1000,
		.terms = {.count = envelopes,
			.total = envelopes * 100ull,
			.split = HB_SPLIT_EQUAL,
			.seed = id}};
}

static void
stock_campaign(struct bed *b, unsigned slot)
{
	struct hb_campaign_config *c = &b->config.campaign[slot];
	struct hb_error e;

	c->slot = slot;
	must(hb_envelopes_make(&b->envelopes[slot], &c->terms, c->name, &e), &e);
	hb_engine_bind(&b->engine, slot, &b->envelopes[slot]);
	hb_engine_stock(&b->engine, slot, (struct hb_range){1, c->terms.count});
	hb_engine_whole(&b->engine, slot);
}

struct bed *
bed_make(uint64_t users, struct hb_campaign_config *campaign, unsigned campaigns)
{
	struct bed *b = bed_alloc(sizeof(*b), "the engine");
	struct hb_engine_terms terms = {
		.campaigns = campaigns, .workers = 1, .users = users, .seed = 1};
	struct hb_error e;

	b->config = (struct hb_config){.slices = UINT32_MAX,
		.campaign = campaign,
		.campaigns = campaigns,
		.workers = 1,
		.users = users};
	b->envelopes = bed_alloc(campaigns * sizeof(*b->envelopes), "campaigns");
	b->drained = bed_alloc(campaigns, "campaigns");
	must(hb_link_make(&b->link, campaigns, b->drained, &e), &e);
	must(hb_engine_make(&b->engine, &terms, &b->link, &b->stats, &e), &e);
	for (unsigned i = 0; i < campaigns; i++)
		stock_campaign(b, i);
	b->snapshot = hb_snapshot_make(&b->config);
	if (b->snapshot == NULL)
		exit(HB_EXIT_HOST);
	return b;
}

void
bed_free(struct bed *b)
{
	hb_snapshot_free(b->snapshot);
	hb_engine_free(&b->engine);
	hb_link_free(&b->link);
	for (unsigned i = 0; i < b->config.campaigns; i++)
		hb_envelopes_free(&b->envelopes[i]);
	free(b->envelopes);
	free(b->drained);
	free(b);
}

uint64_t
bed_user(uint64_t i)
{
	/* Multiplying by an odd number is a permutation; so is xor-shifting. */
	uint64_t z = (i + 1) * 0x9E3779B97F4A7C15ULL;

	z = (z ^ (z >> 29)) * 0xBF58476D1CE4E5B9ULL;
	return z ^ (z >> 32);
}

uint64_t
bed_draw(struct bed *b, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)hb_splitmix64(&b->random) * n) >> 64);
}

uint32_t
bed_next_seq(struct bed *b)
{
	/* The first few are the ones that rows are made with. */
	return 16 + ++b->seq;
}

struct hb_request
bed_shake(uint16_t campaign, uint64_t user, uint32_t seq)
{
	return (struct hb_request){.user = user,
		.now_us = BED_NOW_US,
		.seq = seq,
		.campaign = campaign,
		.shard = hb_shard(user),
		.op = HB_OP_SHAKE};
}

void
bed_burst(struct bed *b, const struct hb_request *r, struct hb_reply *reply, unsigned n)
{
	struct hb_engine *e = &b->engine;
	void *gone[HB_BURST];

	hb_park_pop(&e->park, __atomic_load_n(&b->link.durable, __ATOMIC_ACQUIRE), gone, HB_BURST);
	hb_engine_expect(e, b->snapshot, r, n);
	hb_engine_decide(e, b->snapshot, r, reply, n);
	for (unsigned i = 0; i < n; i++) {
		if (reply[i].ticket != 0)
			hb_park_push(&e->park, (void *)(uintptr_t)&r[i], reply[i].ticket);
	}
}

void
bed_settle(struct bed *b)
{
	struct hb_record record[HB_BURST];
	unsigned n;

	while ((n = rte_ring_sc_dequeue_burst_elem(
			b->link.records, record, sizeof(record[0]), HB_BURST, NULL)) != 0)
		b->link.durable += n;
}

uint64_t
bed_run(struct bed *b, const struct hb_request *r, uint64_t n)
{
	struct hb_reply reply[HB_BURST];
	uint64_t cycles = 0;

	for (uint64_t at = 0; at < n;) {
		uint64_t end = at + BED_STRETCH * HB_BURST, start = rte_rdtsc();

		for (end = end < n ? end : n; at < end; at += HB_BURST)
			bed_burst(b, &r[at], reply,
				(unsigned)(end - at < HB_BURST ? end - at : HB_BURST));
		cycles += rte_rdtsc() - start;
		bed_settle(b);
	}
	return cycles;
}

uint64_t
bed_replies(const struct bed *b, enum hb_status status)
{
	return hb_read(&b->stats.replies[status]);
}

const char *
bed_pages(const struct bed *b)
{
	static const char *const name[] = {"ordinary", "transparent huge", "2 MiB", "1 GiB"};

	return name[b->engine.users.rows_mem.pages];
}

double
bed_tsc_hz(void)
{
	uint64_t ns = hb_mono_ns(), tsc = rte_rdtsc();

	usleep(50000);
	tsc = rte_rdtsc() - tsc;
	return (double)tsc * 1e9 / (double)(hb_mono_ns() - ns);
}
