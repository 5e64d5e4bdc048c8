/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim.h"

#include <rte_ring.h>
#include <stdio.h>

#define SECOND_US 1000000ull
#define HOUR_US (3600 * SECOND_US)
#define DAY_US (24 * HOUR_US)

/* Packets that a worker can remember when they are not to run out. */
#define ENOUGH_PACKETS 1000

/* Records of packets that can wait at a time, beside those of envelopes and bundles. */
#define MORE_RECORDS 600

/* What one step can be. */
enum act {
	ACT_ASK,
	ACT_SERVE,
	ACT_RELEASE,
	ACT_OBEY,
	ACT_EXPIRE,
	ACT_CONTROL,
	ACT_DELIVER,
	ACTS,
};

/* ---- a world ------------------------------------------------------------------------- */

void
make_terms(struct world *w, struct hb_terms *t, uint32_t most)
{
	struct chance *c = &w->chance;

	*t = (struct hb_terms){.count = (uint32_t)between(c, 1, most)};
	if (once_in(c, 3))
		t->count = (uint32_t)between(c, 1, 8);
	t->split = (uint8_t)between(c, HB_SPLIT_EQUAL, HB_SPLIT_TIERS);
	t->total = between(c, t->count, t->count * 1000ull);
	if (t->split != HB_SPLIT_TIERS)
		return;
	t->total = 0;
	for (uint32_t left = t->count; left > 0; t->tiers++) {
		struct hb_tier *tier = &t->tier[t->tiers];

		tier->count = t->tiers == 3 ? left : (uint32_t)between(c, 1, left);
		tier->amount = (uint32_t)between(c, 1, 9999);
		t->total += (uint64_t)tier->count * tier->amount;
		left -= tier->count;
	}
}

static void
make_campaign(struct world *w, unsigned i)
{
	static const double odds[] = {1, 1, 1, 0.5, 0.1};
	struct chance *c = &w->chance;
	struct hb_campaign_config *cc = &w->campaign[i];

	*cc = (struct hb_campaign_config){
		.id = (uint16_t)between(c, 1, 3),
		.slot = i,
		.opens_us = w->now_us,
		.closes_us = w->now_us + 100 * DAY_US,
		.odds = odds[below(c, HB_COUNT_OF(odds))],
		.wins_per_user = (uint32_t)between(c, 1, 3),
		.wait_ms = (uint32_t)between(c, 1, 1000),
	};
	cc->id = (uint16_t)(cc->id + 100 * i + (once_in(c, 8) ? 65000 : 0));
	snprintf(cc->name, sizeof(cc->name), "%u", cc->id);
	make_terms(w, &cc->terms, SIM_ENVELOPES);
	if (once_in(c, 3))
		cc->bundle = (struct hb_bundle){.shares = (uint16_t)between(c, 1, SIM_SHARES / 2),
			.split = (uint8_t)between(c, HB_SPLIT_EQUAL, HB_SPLIT_LUCKY),
			.hours = (uint8_t)between(c, 1, 3)};
	if (once_in(c, 3))
		snprintf(cc->password, sizeof(cc->password), "open");
	if (once_in(c, 3))
		cc->least_interval_ms = (uint32_t)between(c, 1, once_in(c, 2) ? 20 : 2000);
	if (once_in(c, 3))
		cc->release_per_second = (uint32_t)between(c, 1, 500);
	if (once_in(c, 3))
		cc->opens_us += below(c, SECOND_US);
	if (once_in(c, 3))
		cc->closes_us = cc->opens_us + below(c, 2 * SECOND_US) + 1;
}

/* Users anywhere, or all with few lanes, so that few workers have them. */
static void
make_users(struct world *w)
{
	unsigned lanes = once_in(&w->chance, 4) ? (unsigned)between(&w->chance, 1, 16) : HB_LANES;
	bool small = once_in(&w->chance, 2);

	w->users = (unsigned)between(&w->chance, 2, SIM_USERS);
	for (unsigned i = 0; i < w->users;) {
		uint64_t user = small ? between(&w->chance, 1, 100000)
				      : hb_splitmix64(&w->chance.state) | 1;
		bool new = hb_lane(hb_shard(user)) < lanes;

		for (unsigned k = 0; k < i; k++)
			new = new && w->user[k] != user;
		if (new)
			w->user[i++] = user;
	}
}

static void
make_barred(struct world *w)
{
	unsigned some = once_in(&w->chance, 4) ? w->users / 2 + 1 : 0;

	for (unsigned i = 0; i < w->users; i++)
		w->barred[i] = some != 0 && below(&w->chance, w->users) < some / 2;
}

static unsigned
rate(struct world *w, unsigned low, unsigned high)
{
	return once_in(&w->chance, 3) ? 0 : (unsigned)between(&w->chance, low, high);
}

/* Each run has some of the misfortunes, at its own rates. */
static void
make_rates(struct world *w)
{
	w->rates = (struct rates){
		.power = rate(w, 50, 500),
		.kill = rate(w, 50, 500),
		.dies = rate(w, 20, 200),
		.stop = rate(w, 100, 1000),
		.full = rate(w, 50, 500),
		.heal = (unsigned)between(&w->chance, 5, 50),
		.fail = rate(w, 100, 1000),
		.publish = rate(w, 50, 500),
		.change = rate(w, 10, 100),
		.lease = (unsigned)between(&w->chance, 2, 50),
		.leap = rate(w, 20, 500),
		.dies_in_start = rate(w, 2, 6),
		.meanwhile = rate(w, 1, 8),
	};
	for (unsigned i = 0; i < ACTS; i++)
		w->weight[i] = 1u << below(&w->chance, 5);
	/* A control core that is slow has large batches, which can be torn. */
	if (once_in(&w->chance, 2))
		w->weight[ACT_CONTROL] = 1;
}

/* Sometimes just before the milliseconds' 32 bits, or 31, run over. */
static uint64_t
first_time(struct world *w)
{
	uint64_t edge = (uint64_t)between(&w->chance, 810, 825) << 31;

	return once_in(&w->chance, 2) ? between(&w->chance, 1400000000, 1800000000) * SECOND_US
				      : (edge - below(&w->chance, 2000)) * 1000;
}

static void
make_world(struct world *w)
{
	struct hb_config *c = &w->config;

	w->now_us = w->first_us = first_time(w);
	make_users(w);
	*c = (struct hb_config){.host = (uint32_t)below(&w->chance, 100),
		.slices = once_in(&w->chance, 8) ? (uint32_t)hb_splitmix64(&w->chance.state)
						 : UINT32_MAX,
		.campaign = w->campaign,
		.campaigns = (unsigned)between(&w->chance, 1, SIM_CAMPAIGNS)};
	w->envelopes_max = 150;
	w->envelopes = 0;
	w->adding = w->draining = w->looking = w->returns = false;
	w->term_us = 0;
	memset(w->telling, 0, sizeof(w->telling));
	for (unsigned i = 0; i < SIM_CAMPAIGNS; i++) {
		make_campaign(w, i);
		w->bank[i] = (struct bank){0};
		/* One that comes while it runs has a budget of its own. */
		if (i < c->campaigns && once_in(&w->chance, 3)) {
			lease_make(w, i);
			w->envelopes_max += SIM_NUMBERS;
		}
		w->envelopes_max += w->campaign[i].terms.count;
		w->envelopes += i < c->campaigns ? w->campaign[i].terms.count : 0;
	}
	make_barred(w);
	w->workers_max = once_in(&w->chance, 3) ? 1 : (unsigned)between(&w->chance, 2, SIM_WORKERS);
	w->server_users = once_in(&w->chance, 2) ? between(&w->chance, 1, w->users) : 1000;
	w->server_packets = once_in(&w->chance, 3) ? between(&w->chance, 1, 20) : ENOUGH_PACKETS;
	w->keep_us = once_in(&w->chance, 2) ? 1000 * DAY_US : below(&w->chance, 10 * SECOND_US);
	packets_begin(w);
	w->server_seed = hb_splitmix64(&w->chance.state);
	/* A batch of all there can be fits into a segment, and not much more. */
	w->segment_bytes =
		4096 +
		((2 * w->envelopes_max + MORE_RECORDS) * sizeof(struct hb_record) / 4096 + 2) *
			4096;
	w->segment_bytes += below(&w->chance, 4) * 4096;
	make_rates(w);
}

/* ---- life and death of processes ----------------------------------------------------- */

/* The process is no more; the disk is as it was left, or as the outage leaves it. */
static void
end_process(struct world *w, bool power_failed)
{
	SIM_SAY(w, power_failed ? "the power fails" : "the process is gone");
	w->disk.dead = true;
	lease_gone(w);
	server_gone(w);
	sim_disk_restart(&w->disk, power_failed);
	oracle_gone(w);
	if (power_failed)
		w->totals->outages++;
	else
		w->totals->kills++;
}

/* Whether the winners of some worker fill its table, so that a start may be refused. */
static bool
table_too_small(const struct world *w)
{
	unsigned winners[SIM_WORKERS] = {0};

	for (unsigned i = 0; i < SIM_PAIRS; i++) {
		if (w->oracle.asker[i].wins > 0 && ++winners[owner_of(w, i)] > w->server.users)
			return true;
	}
	return false;
}

/* Starts a process, with as many tries as it takes. */
static void
start_process(struct world *w)
{
	struct hb_error e;

	/* Whether it was funded or not, the operator has written it into the configuration. */
	if (w->adding)
		oracle_configured(w, w->config.campaigns++);
	w->adding = false;
	for (unsigned tries = 0;; tries++) {
		w->now_us += below(&w->chance, 1000);
		if (!w->calm && tries < 4 && once_in(&w->chance, w->rates.dies_in_start))
			w->disk.dies_in = (unsigned)between(&w->chance, 1, 14);
		else if (!w->calm && tries < 4 && once_in(&w->chance, 4 * w->rates.fail))
			w->disk.fails_in = (unsigned)between(&w->chance, 1, 14);
		if (tries > 4)
			w->disk.full = false;
		w->totals->starts++;
		if (server_start(w, &e))
			break;
		SIM_SAY(w, "no start: %s", e.text);
		if (!w->disk.dead && !w->disk.broken && !w->disk.unreadable && !w->disk.full) {
			if (!table_too_small(w) && w->server_packets == ENOUGH_PACKETS)
				sim_fail(w, "the start is refused: %s", e.text);
			w->server_users = 1000;
			w->server_packets = ENOUGH_PACKETS;
		}
		/* A process that fails cleans up; one that dies doesn't. */
		server_gone(w);
		bool power_failed = w->disk.dead && below(&w->chance, 2) == 0;
		sim_disk_restart(&w->disk, power_failed);
		oracle_gone(w);
	}
	w->disk.dies_in = w->disk.fails_in = 0;
	oracle_started(w);
	server_publish(w);
}

static void
restart(struct world *w, bool power_failed)
{
	end_process(w, power_failed);
	start_process(w);
}

static void
stop_and_start(struct world *w)
{
	w->draining = w->draining || once_in(&w->chance, 2);
	server_publish(w);
	server_stop(w);
	w->draining = false;
	if (!w->disk.dead && !w->server.journal.failed) {
		SIM_SAY(w, "stopped");
		server_gone(w);
		w->totals->stops++;
	}
	restart(w, w->disk.dead && below(&w->chance, 2) == 0);
}

/* ---- steps --------------------------------------------------------------------------- */

/* Opens, closes, or pauses a campaign. */
static void
change_campaign(struct world *w)
{
	struct hb_campaign_config *c = &w->campaign[below(&w->chance, w->config.campaigns)];

	switch (below(&w->chance, 4)) {
	case 0:
		c->paused = !c->paused;
		break;
	case 1:
		c->opens_us = w->now_us + below(&w->chance, SECOND_US / 4);
		break;
	case 2:
		c->closes_us = w->now_us + below(&w->chance, 2 * SECOND_US);
		break;
	default:
		c->paused = false;
		c->opens_us = w->first_us;
		c->closes_us = w->first_us + 1000 * DAY_US;
		break;
	}
	server_publish(w);
}

/* Whether the next batch takes more than one sector, so that it can be torn. */
static bool
large_batch(const struct world *w)
{
	unsigned n = w->server.control.waiting;

	for (unsigned i = 0; i < w->server.workers; i++)
		n += rte_ring_count(w->server.link[i].records);
	return n > SIM_SECTOR / sizeof(struct hb_record);
}

static void
misfortune(struct world *w)
{
	const struct rates *r = &w->rates;
	struct chance *c = &w->chance;

	if (once_in(c, w->disk.full ? r->heal : r->full))
		w->disk.full = !w->disk.full;
	if (once_in(c, r->fail) && w->disk.fails_in == 0)
		w->disk.fails_in = (unsigned)between(c, 1, 8);
	if (once_in(c, r->publish))
		change_campaign(w);
	if (once_in(c, r->change))
		change_something(w);
	if (w->disk.dead)
		return;
	unsigned leased = (unsigned)below(c, w->config.campaigns);

	if (w->campaign[leased].leased && once_in(c, r->lease))
		lease_something(w, leased);
	if (w->disk.dead)
		return;
	if (once_in(c, r->leap))
		w->now_us += once_in(c, 8) ? below(c, 45 * DAY_US) : below(c, 2 * SECOND_US);
	/* Most often in the middle of what is written next, or between two turns. */
	if (w->disk.dies_in == 0 &&
		(once_in(c, r->dies) || (r->dies != 0 && large_batch(w) && once_in(c, 4))))
		w->disk.dies_in = (unsigned)between(c, 1, 3);
	if (once_in(c, r->stop))
		stop_and_start(w);
	else if (once_in(c, r->power))
		restart(w, true);
	else if (once_in(c, r->kill) || (w->server.journal.failed && once_in(c, 8)))
		restart(w, below(c, 2) == 0);
}

static void
act(struct world *w)
{
	unsigned worker = (unsigned)below(&w->chance, w->server.workers), all = 0, i;

	for (i = 0; i < ACTS; i++)
		all += w->weight[i];
	unsigned drawn = (unsigned)below(&w->chance, all);
	for (i = 0; drawn >= w->weight[i]; i++)
		drawn -= w->weight[i];
	switch (i) {
	case ACT_ASK:
		network_ask(w, false);
		break;
	case ACT_SERVE:
		server_serve(w, worker, (unsigned)between(&w->chance, 1, HB_BURST));
		break;
	case ACT_RELEASE:
		server_release(w, worker);
		break;
	case ACT_OBEY:
		server_obey(w, worker);
		break;
	case ACT_EXPIRE:
		server_expire(w, worker);
		break;
	case ACT_CONTROL:
		server_control(w);
		break;
	default:
		network_deliver(w);
		break;
	}
}

static void
step(struct world *w)
{
	w->now_us += below(&w->chance, 4) == 0 ? below(&w->chance, 5000) : below(&w->chance, 100);
	act(w);
	if (w->disk.dead)
		restart(w, below(&w->chance, 2) == 0);
	misfortune(w);
	if (w->disk.dead)
		restart(w, below(&w->chance, 2) == 0);
	oracle_check(w);
}

/* ---- the end: nothing goes wrong any more -------------------------------------------- */

/* Whether somebody whom the campaign would still give something is there. */
static bool
somebody_left(const struct world *w, unsigned c)
{
	for (unsigned u = 0; u < w->users; u++) {
		unsigned pair = c * SIM_USERS + u;

		if (!w->barred[u] && w->oracle.asker[pair].wins < w->campaign[c].wins_per_user &&
			(w->config.slices >> hb_slice(hb_shard(w->user[u])) & 1))
			return true;
	}
	return false;
}

/* Whether a campaign is given, and those who ask in vain are told so. */
static bool
is_over(const struct world *w, unsigned c)
{
	if (w->campaign[c].odds < 1 || !somebody_left(w, c))
		return true;
	if (w->oracle.left[c] > 0 || lease_left(w, c) > 0)
		return false;
	for (unsigned u = 0; u < w->users; u++) {
		if (w->oracle.asker[c * SIM_USERS + u].final_status == HB_EMPTY)
			return true;
	}
	return false;
}

static void
calm_round(struct world *w)
{
	w->now_us += 3 * SECOND_US;
	lease_calm(w);
	network_ask(w, true);
	for (unsigned i = 0; i < w->server.workers; i++) {
		while (server_serve(w, i, HB_BURST) != 0 || server_release(w, i) != 0)
			server_control(w);
		server_obey(w, i);
		server_expire(w, i);
	}
	/* As often as it takes to move an envelope once around, or less: requests must not always
	 * find it on its way. */
	for (unsigned i = (unsigned)between(&w->chance, 1, 3 * SIM_WORKERS); i > 0; i--) {
		server_control(w);
		for (unsigned k = 0; k < w->server.workers; k++) {
			server_obey(w, k);
			while (server_release(w, k) != 0)
				continue;
		}
	}
	network_deliver(w);
	oracle_check(w);
}

static void
open_all(struct world *w)
{
	w->draining = false;
	for (unsigned c = 0; c < w->config.campaigns; c++) {
		w->campaign[c].paused = false;
		w->campaign[c].opens_us = w->first_us;
		w->campaign[c].closes_us = UINT64_MAX;
	}
	server_publish(w);
}

static void
finish(struct world *w)
{
	unsigned rounds = 0;

	w->calm = true;
	w->disk.full = false;
	w->disk.fails_in = w->disk.dies_in = 0;
	network_calm(w);
	open_all(w);
	if (w->server.journal.failed || w->server_users < 1000 ||
		w->server_packets < ENOUGH_PACKETS) {
		w->server_users = 1000;
		w->server_packets = ENOUGH_PACKETS;
		restart(w, below(&w->chance, 2) == 0);
		/* A campaign may have turned out to be funded that nobody knew of. */
		open_all(w);
	}
	for (unsigned c = 0; c < w->config.campaigns; c++) {
		for (; !is_over(w, c) && rounds < 1000; rounds++)
			calm_round(w);
		if (!is_over(w, c))
			sim_fail(w, "campaign %u: %u envelopes are held back, or EMPTY is",
				w->campaign[c].id, w->oracle.left[c]);
	}
	for (rounds = 0; !packets_calm(w) && rounds < 1000; rounds++)
		calm_round(w);
	if (!packets_calm(w))
		sim_fail(w, "shares of packets are held back");
	server_stop(w);
	server_gone(w);
	oracle_gone(w);
}

void
world_run(struct world *w, uint64_t seed, unsigned steps, bool verbose, struct totals *t)
{
	w->seed = seed;
	w->chance.state = seed * 0x9E3779B97F4A7C15ull;
	w->steps = steps;
	w->verbose = verbose;
	w->totals = t;
	w->calm = false;
	make_world(w);
	sim_disk_begin(&w->disk, w);
	oracle_begin(w);
	network_begin(w);
	start_process(w);
	for (unsigned i = 0; i < steps; i++)
		step(w);
	t->steps += steps;
	finish(w);
}
