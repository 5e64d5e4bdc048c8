/* SPDX-License-Identifier: BSD-3-Clause */
#include "groups.h"

#include "hb_pool.h"

#include <stdlib.h>

/* Grabs for each packet, in the mean. */
#define GRABS 10
/* Packets that are being grabbed at a time: those of this many seconds at the busiest. */
#define OPEN_SECONDS 3
#define OPEN_LEAST 64
/* One packet of so many is hot, has so many grabbers at the most, and takes one grab of so many. */
#define HOT_EVERY 4096
#define HOT_GRABS 100000
#define HOT_SHARE 5
#define HOURS 24
/* What isn't answered is sent again after so long. */
#define RETRY_US 1500000
/* The most that one share holds on average: 200 yuan in ten. */
#define FEN_A_SHARE 2000

/* A packet that members still grab. */
struct open {
	uint64_t number; /* of the packet, from 1 */
	uint32_t grabs;	 /* to come */
};

/* A request that is to be sent again. */
struct again {
	uint64_t due_us;
	struct hb_request request;
};

struct hb_groups {
	struct hb_scenario_options options;
	struct hb_groups_plan left;
	struct hb_curve curve;
	uint32_t *seq;	    /* of each user's last request; 0: none yet */
	struct open *open;  /* in no order */
	struct again *line; /* in the order in which they are due */
	uint64_t open_count, open_most;
	uint64_t line_head, line_tail, line_mask;
	uint64_t packets; /* funded so far */
	uint64_t users;	  /* who have sent something */
	struct open hot;
	uint64_t random;
	uint64_t now_us, moment_us, moments;
};

static uint64_t
draw(struct hb_groups *g, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)hb_splitmix64(&g->random) * n) >> 64);
}

/* ---- packets ------------------------------------------------------------------------- */

/* A packet's id: another one for each number, in no order. */
static uint64_t
id_of(const struct hb_groups *g, uint64_t number)
{
	uint64_t state = number * 0x9E3779B97F4A7C15ULL ^ g->options.seed << 1;

	return hb_splitmix64(&state) | 1;
}

/* What is said of a packet depends on its number alone, so that a repeated PACK says the same. */
static uint64_t
terms_of(const struct hb_groups *g, uint64_t number)
{
	uint64_t random = id_of(g, number) ^ 0x5851F42D4C957F2DULL;
	uint64_t z = hb_splitmix64(&random), most = (z & 7) == 0 ? 100 : (z & 7) < 4 ? 10 : 5;
	uint64_t shares = 1 + (hb_splitmix64(&random) >> 32) * most / (1ull << 32);
	uint64_t total =
		shares + (hb_splitmix64(&random) >> 32) * shares * FEN_A_SHARE / (1ull << 32);
	uint64_t split = (z >> 3 & 3) == 0 ? HB_SPLIT_EQUAL : HB_SPLIT_LUCKY;

	return total << 32 | shares << 16 | split << 8 | HOURS;
}

static struct hb_request
request_of(struct hb_groups *g, uint8_t op, uint64_t number, uint64_t row)
{
	uint64_t id = id_of(g, number);

	g->users += g->seq[row] == 0;
	return (struct hb_request){
		.op = op,
		.user = row + 1,
		.arg = id,
		.terms = op == HB_OP_PACK ? terms_of(g, number) : 0,
		.seq = ++g->seq[row],
		.shard = hb_shard(id),
		.epoch = g->options.epoch,
		.now_us = g->now_us,
	};
}

static struct hb_request
fund(struct hb_groups *g)
{
	uint64_t number = ++g->packets;
	uint32_t shares = (uint16_t)(terms_of(g, number) >> 16);
	uint32_t grabs = 1 + (uint32_t)draw(g, 2 * shares);

	if (number % HOT_EVERY == 1 && g->hot.grabs == 0) {
		g->hot = (struct open){number,
			(uint32_t)(g->options.requests / 20 < HOT_GRABS ? g->options.requests / 20
									: HOT_GRABS)};
	} else if (g->open_count < g->open_most) {
		g->open[g->open_count++] = (struct open){number, grabs};
	}
	return request_of(g, HB_OP_PACK, number, draw(g, g->options.users));
}

static struct hb_request
grab(struct hb_groups *g)
{
	struct open *o = &g->hot;
	bool hot = o->grabs > 0 && (g->open_count == 0 || draw(g, HOT_SHARE) == 0);

	if (!hot)
		o = &g->open[draw(g, g->open_count)];
	uint64_t number = o->number;

	if (--o->grabs == 0 && !hot)
		*o = g->open[--g->open_count];
	return request_of(g, HB_OP_GRAB, number, draw(g, g->options.users));
}

/* ---- the stream ---------------------------------------------------------------------- */

static void
give_fresh(struct hb_groups *g, struct hb_scenario_item *item)
{
	bool any = g->open_count > 0 || g->hot.grabs > 0;
	uint64_t waiting = g->line_tail - g->line_head;

	item->request = any && draw(g, GRABS + 1) != 0 ? grab(g) : fund(g);
	item->flags = 0;
	if (g->left.retries > waiting && waiting <= g->line_mask &&
		draw(g, g->left.fresh) < g->left.retries - waiting) {
		g->line[g->line_tail++ & g->line_mask] =
			(struct again){g->now_us + RETRY_US, item->request};
		item->flags = HB_SCENARIO_REPEATED;
	}
	g->left.fresh--;
}

static void
give_again(struct hb_groups *g, struct hb_scenario_item *item)
{
	const struct again *a = &g->line[g->line_head++ & g->line_mask];

	g->now_us = a->due_us > g->now_us ? a->due_us : g->now_us;
	item->request = a->request;
	item->request.now_us = g->now_us;
	item->flags = HB_SCENARIO_RETRY;
	g->left.retries--;
}

/* Somebody grabs in another's name. */
static void
give_forged(struct hb_groups *g, struct hb_scenario_item *item)
{
	uint64_t id = id_of(g, 1 + draw(g, g->packets + 1));

	item->request = (struct hb_request){.op = HB_OP_GRAB,
		.user = 1 + draw(g, g->options.users),
		.arg = id,
		.seq = 1 + (uint32_t)draw(g, 1u << 30),
		.shard = hb_shard(id),
		.epoch = g->options.epoch,
		.now_us = g->now_us};
	item->flags = HB_SCENARIO_FORGED;
	g->left.forged--;
}

bool
hb_groups_next(struct hb_groups *g, struct hb_scenario_item *item)
{
	uint64_t fresh = g->left.fresh, forged = g->left.forged;
	bool waits = g->line_head != g->line_tail;

	if (waits && (fresh + forged == 0 ||
			     g->line[g->line_head & g->line_mask].due_us <= g->moment_us)) {
		give_again(g, item);
		return true;
	}
	if (fresh + forged == 0) {
		/* Repeats that found no room are made up for. */
		if (g->left.retries == 0)
			return false;
		g->left.retries--;
		g->left.fresh = 1;
		fresh = 1;
	}
	g->now_us = g->moment_us > g->now_us ? g->moment_us : g->now_us;
	if (draw(g, fresh + forged) < forged)
		give_forged(g, item);
	else
		give_fresh(g, item);
	if (g->moments > 0 && --g->moments > 0)
		g->moment_us = hb_curve_next(&g->curve, (uint32_t)hb_splitmix64(&g->random));
	return true;
}

uint64_t
hb_groups_users(const struct hb_groups *g)
{
	return g->users;
}

/* ---- opening ------------------------------------------------------------------------- */

struct hb_groups *
hb_groups_open(const struct hb_scenario_options *o, const struct hb_groups_plan *plan,
	const struct hb_curve *curve)
{
	uint64_t peak = hb_curve_peak(curve), line = 1;
	struct hb_groups *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	*g = (struct hb_groups){.options = *o,
		.left = *plan,
		.curve = *curve,
		.random = o->seed,
		.moments = plan->fresh + plan->forged};
	g->open_most = OPEN_LEAST + OPEN_SECONDS * peak / (GRABS + 1);
	while (line < 2 + (uint64_t)((double)peak * 4 * o->retries))
		line *= 2;
	g->line_mask = line - 1;
	g->seq = calloc(o->users, sizeof(*g->seq));
	g->open = calloc(g->open_most, sizeof(*g->open));
	g->line = calloc(line, sizeof(*g->line));
	if (g->seq == NULL || g->open == NULL || g->line == NULL) {
		hb_groups_close(g);
		return NULL;
	}
	g->moment_us = hb_curve_next(&g->curve, (uint32_t)hb_splitmix64(&g->random));
	return g;
}

void
hb_groups_close(struct hb_groups *g)
{
	if (g == NULL)
		return;
	free(g->seq);
	free(g->open);
	free(g->line);
	free(g);
}
