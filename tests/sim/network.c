/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim.h"

/* Statuses that leave the seq unused. */
static bool
is_final(unsigned status)
{
	return status == HB_WIN || status == HB_MISS || status == HB_QUOTA || status == HB_EMPTY ||
	       status == HB_WRONG || status == HB_BUNDLE;
}

void
network_begin(struct world *w)
{
	struct network *n = &w->network;

	n->asks = n->letters = 0;
	n->lose = below(&w->chance, 3) == 0 ? 0 : (unsigned)between(&w->chance, 2, 20);
	n->twice = below(&w->chance, 3) == 0 ? 0 : (unsigned)between(&w->chance, 2, 10);
	n->op_wrong = 64;
	n->delay_us = below(&w->chance, 2) == 0 ? 0 : between(&w->chance, 1, 200000);
	n->think_us = between(&w->chance, 1, 20000);
	for (unsigned i = 0; i < SIM_PAIRS; i++)
		n->client[i] = (struct client){
			.seq = (uint32_t)between(&w->chance, 1, 3), .next_us = w->now_us};
}

void
network_calm(struct world *w)
{
	struct network *n = &w->network;

	n->lose = n->twice = n->op_wrong = 0;
	n->delay_us = 0;
}

/* ---- requests ------------------------------------------------------------------------ */

static uint64_t
arrival(struct world *w)
{
	return w->now_us + (w->network.delay_us == 0 ? 0 : below(&w->chance, w->network.delay_us));
}

void
network_post(struct world *w, struct ask a)
{
	struct network *n = &w->network;

	if (once_in(&w->chance, n->lose))
		return;
	do {
		if (n->asks == SIM_UNDERWAY)
			return;
		a.due_us = arrival(w);
		n->ask[n->asks++] = a;
	} while (once_in(&w->chance, n->twice));
}

/* Asks once more, or for the first time. Whether a user knows the password depends on who it is
 * and which time it is, so that a repeated request is the same. */
static void
ask(struct world *w, unsigned pair)
{
	const struct hb_campaign_config *c = &w->campaign[campaign_of(pair)];
	struct client *k = &w->network.client[pair];
	struct ask a = {.seq = k->seq, .pair = (uint16_t)pair};
	bool answered = is_answered(c) != once_in(&w->chance, w->network.op_wrong);

	a.op = answered ? HB_OP_ANSWER : HB_OP_SHAKE;
	a.right = (k->seq + pair) % 4 != 0;
	k->next_us = w->now_us + 2 * w->network.delay_us + between(&w->chance, 1000, 20000);
	network_post(w, a);
}

void
network_ask(struct world *w, bool all)
{
	unsigned pairs = w->config.campaigns * w->users;
	unsigned n = all ? pairs : (unsigned)between(&w->chance, 1, w->users);
	unsigned from = (unsigned)below(&w->chance, pairs);

	for (unsigned i = 0; i < n; i++) {
		unsigned nth = (from + i) % pairs;
		unsigned pair = nth / w->users * SIM_USERS + nth % w->users;

		if (all || w->network.client[pair].next_us <= w->now_us)
			ask(w, pair);
	}
	packets_ask(w);
}

unsigned
network_take(struct world *w, unsigned worker, struct ask *out, unsigned most)
{
	struct network *n = &w->network;
	unsigned taken = 0;

	if (n->asks == 0)
		return 0;
	/* From any place on: what was sent first need not come first. */
	unsigned i = n->delay_us == 0 ? 0 : (unsigned)below(&w->chance, n->asks);
	for (unsigned looked = 0, all = n->asks; looked < all && taken < most; looked++) {
		if (i >= n->asks)
			i = 0;
		if (n->asks == 0)
			break;
		if (n->ask[i].due_us > w->now_us || owner_of_ask(w, &n->ask[i]) != worker) {
			i++;
			continue;
		}
		out[taken++] = n->ask[i];
		n->ask[i] = n->ask[--n->asks];
	}
	return taken;
}

/* ---- replies ------------------------------------------------------------------------- */

void
network_reply(struct world *w, const struct ask *a, const struct hb_reply *reply)
{
	struct network *n = &w->network;

	if (once_in(&w->chance, n->lose))
		return;
	do {
		if (n->letters == SIM_UNDERWAY)
			return;
		struct letter *l = &n->letter[n->letters++];
		*l = (struct letter){.ask = *a, .reply = *reply};
		l->ask.due_us = arrival(w);
	} while (once_in(&w->chance, n->twice));
}

static void
read_letter(struct world *w, const struct letter *l)
{
	struct client *k = &w->network.client[l->ask.pair];
	uint64_t wait_us = l->reply.value * 1000ull;

	if (l->ask.op >= HB_OP_GRAB || l->ask.seq != k->seq)
		return;
	if (is_final(l->reply.status)) {
		k->seq += once_in(&w->chance, 8) ? (uint32_t)between(&w->chance, 2, 4) : 1;
		k->next_us = w->now_us + below(&w->chance, w->network.think_us);
	} else if (l->reply.status == HB_STALE) {
		k->seq++;
	} else {
		/* Not everybody waits as long as they are asked to. */
		k->next_us = w->now_us + (once_in(&w->chance, 3) ? wait_us / 2 : wait_us);
	}
}

void
network_deliver(struct world *w)
{
	struct network *n = &w->network;

	for (unsigned i = 0; i < n->letters;) {
		if (n->letter[i].ask.due_us > w->now_us) {
			i++;
			continue;
		}
		read_letter(w, &n->letter[i]);
		n->letter[i] = n->letter[--n->letters];
	}
}
