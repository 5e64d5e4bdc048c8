/* SPDX-License-Identifier: BSD-3-Clause */
/* Group packets: clients who pack and grab, and what the contract says of that. */
#include "sim.h"

#define HOUR_US (3600ull * 1000000)

#define FAIL_PACKET(w, id, what, ...)                                                              \
	sim_fail(w, "packet %llx: " what, (unsigned long long)(id)__VA_OPT__(, ) __VA_ARGS__)

/* ---- clients ------------------------------------------------------------------------- */

void
packets_begin(struct world *w)
{
	static const uint8_t hours[] = {0, 1, 1, 2, 24, 255};
	struct chance *c = &w->chance;

	w->packets = once_in(c, 4) ? 0 : (unsigned)between(c, 1, SIM_PACKETS);
	for (unsigned i = 0; i < w->packets; i++) {
		struct sim_packet *p = &w->packet[i];

		*p = (struct sim_packet){
			.id = hb_splitmix64(&c->state) | 1,
			.user = (uint8_t)below(c, w->users),
			.shares = (uint16_t)between(c, 1, SIM_SHARES),
			.split = (uint8_t)between(c, HB_SPLIT_EQUAL, HB_SPLIT_LUCKY),
			.hours = hours[below(c, HB_COUNT_OF(hours))],
		};
		p->total = (uint32_t)between(c, p->shares, once_in(c, 2) ? 10 : 10000);
		if (p->total < p->shares)
			p->total = p->shares;
	}
}

/* The terms of a PACK: the packet's own, or some that are wrong. */
static uint64_t
terms_of(const struct sim_packet *p, uint8_t variant)
{
	uint64_t total = p->total, shares = p->shares, split = p->split, hours = p->hours;

	switch (variant) {
	case 1:
		total++;
		break;
	case 2:
		shares = 0;
		break;
	case 3:
		split = 3;
		break;
	case 4:
		hours ^= 1;
		break;
	default:
		break;
	}
	return total << 32 | shares << 16 | split << 8 | hours;
}

static void
post_pack(struct world *w)
{
	unsigned i = (unsigned)below(&w->chance, w->packets);
	struct ask a = {.op = HB_OP_PACK,
		.id = w->packet[i].id,
		.pair = w->packet[i].user,
		.plain = (uint8_t)i,
		.seq = (uint32_t)between(&w->chance, 1, 9)};

	if (!w->calm && once_in(&w->chance, 8))
		a.variant = (uint8_t)between(&w->chance, 1, 4);
	if (!w->calm && once_in(&w->chance, 16))
		a.pair = (uint16_t)below(&w->chance, w->users);
	network_post(w, a);
}

static void
post_grab(struct world *w, uint64_t id, unsigned user)
{
	network_post(w, (struct ask){.op = HB_OP_GRAB,
				.id = id,
				.pair = (uint16_t)user,
				.seq = (uint32_t)between(&w->chance, 1, 9)});
}

/* Of what anybody knows of: plain packets, and bundles that somebody won. */
static uint64_t
some_id(struct world *w)
{
	const struct oracle *o = &w->oracle;
	uint64_t n = w->packets + o->parcels;
	uint64_t i = n == 0 ? 0 : below(&w->chance, n);

	if (n == 0)
		return 1;
	return i < w->packets ? w->packet[i].id : o->parcel[i - w->packets + 1].id;
}

void
packets_ask(struct world *w)
{
	for (unsigned n = (unsigned)between(&w->chance, 0, 4); n > 0; n--) {
		if (w->packets > 0 && once_in(&w->chance, 3))
			post_pack(w);
		else if (w->packets > 0 || w->oracle.parcels > 0)
			post_grab(w, some_id(w), (unsigned)below(&w->chance, w->users));
	}
}

struct hb_request
packets_request(const struct world *w, const struct ask *a)
{
	return (struct hb_request){
		.op = a->op,
		.user = user_of(w, a->pair),
		.seq = a->seq,
		.arg = a->id,
		.terms = a->op == HB_OP_PACK ? terms_of(&w->packet[a->plain], a->variant) : 0,
		.shard = hb_shard(a->id),
		.now_us = w->now_us,
	};
}

/* ---- what there is ------------------------------------------------------------------- */

/* The latest packet of an id that wasn't lost, or NULL. */
static struct parcel *
latest(struct oracle *o, uint64_t id)
{
	for (unsigned i = o->parcels; i > 0; i--) {
		if (o->parcel[i].id == id && o->parcel[i].there)
			return &o->parcel[i];
	}
	return NULL;
}

static bool
is_done(const struct parcel *p)
{
	return p->refunded || p->taken == p->shares;
}

static bool
is_forgotten(const struct world *w, const struct parcel *p)
{
	return is_done(p) && w->now_us >= p->done_us + w->keep_us;
}

static struct parcel *
remembered(struct world *w, uint64_t id)
{
	struct parcel *p = latest(&w->oracle, id);

	return p == NULL || is_forgotten(w, p) ? NULL : p;
}

static bool
is_over(const struct world *w, const struct parcel *p)
{
	return p->refunded || w->now_us >= p->packed_us + p->hours * HOUR_US;
}

static struct parcel *
add_parcel(struct world *w, uint64_t id, uint64_t user, uint32_t total, uint16_t shares)
{
	struct oracle *o = &w->oracle;

	if (o->parcels + 1 == SIM_PARCELS)
		sim_fail(w, "more than %u packets", SIM_PARCELS);
	struct parcel *p = &o->parcel[++o->parcels];
	*p = (struct parcel){.id = id,
		.user = user,
		.total = total,
		.left = total,
		.shares = shares,
		.there = true,
		.packed_us = w->now_us};
	return p;
}

static int
share_of(const struct parcel *p, unsigned user)
{
	for (unsigned i = 0; i < p->taken; i++) {
		if (p->share[i].user == user)
			return (int)i;
	}
	return -1;
}

/* ---- decisions ------------------------------------------------------------------------ */

static void
note(const struct world *w, struct ask *a, const struct parcel *p, unsigned rests)
{
	a->entry = p == NULL ? 0 : (uint16_t)(p - w->oracle.parcel);
	a->rests = rests;
	a->refund = p != NULL && p->refunded;
}

static void
judge_pack(struct world *w, struct ask *a, const struct hb_reply *r)
{
	uint64_t terms = terms_of(&w->packet[a->plain], a->variant), user = user_of(w, a->pair);
	struct parcel *p = remembered(w, a->id);
	uint32_t total = (uint32_t)(terms >> 32);
	uint16_t shares = (uint16_t)(terms >> 16);
	uint8_t split = (uint8_t)(terms >> 8), hours = (uint8_t)terms;
	bool sense = shares > 0 && total >= shares && (split == 1 || split == 2);
	bool same = p != NULL && p->campaign == 0 && p->user == user && p->total == total &&
		    p->shares == shares && p->split == split && p->hours == hours;

	note(w, a, p, p == NULL ? 0 : p->taken);
	if (r->status == HB_BUSY && (sense || p != NULL))
		return;
	if (r->status == HB_CONFLICT && ((p != NULL && !same) || (p == NULL && !sense)))
		return;
	if (r->status != HB_PACKED || r->id != a->id || r->value != total || !sense ||
		(p != NULL && !same))
		FAIL_PACKET(w, a->id, "%s for a PACK of %u fen, %u shares",
			hb_status_name(r->status), total, shares);
	if (p != NULL)
		return;
	if (w->draining || r->ticket == 0)
		FAIL_PACKET(w, a->id, "PACKED %s", w->draining ? "while it drains" : "at once");
	p = add_parcel(w, a->id, user, total, shares);
	p->split = split;
	p->hours = hours;
	note(w, a, p, 0);
	w->totals->packed++;
}

/* A new share: within bounds, and never one fen too many. */
static void
judge_share(struct world *w, struct ask *a, const struct hb_reply *r, struct parcel *p)
{
	uint32_t open = (uint32_t)(p->shares - p->taken), fen = r->value;

	if (r->ticket == 0 || r->id != a->id)
		FAIL_PACKET(w, a->id, "a new share is told at once, or of another");
	if (fen == 0 || fen > p->left || p->left - fen < open - 1 || (open == 1 && fen != p->left))
		FAIL_PACKET(w, a->id, "a share of %u fen, of %u for %u", fen, p->left, open);
	if (p->split == HB_SPLIT_EQUAL ? fen != (p->left + open - 1) / open
				       : open > 1 && (uint64_t)fen * open > 2ull * p->left)
		FAIL_PACKET(
			w, a->id, "an unfair share of %u fen, of %u for %u", fen, p->left, open);
	note(w, a, p, p->taken);
	p->share[p->taken++] = (struct parcel_share){.user = (uint8_t)a->pair, .fen = fen};
	p->left -= fen;
	if (p->taken == p->shares)
		p->done_us = w->now_us;
	w->totals->shares++;
}

static void
judge_grab(struct world *w, struct ask *a, const struct hb_reply *r)
{
	struct parcel *p = remembered(w, a->id);
	int share = p == NULL ? -1 : share_of(p, a->pair);
	bool barred = oracle_barred(w, a->pair), right;

	note(w, a, p, p == NULL ? 0 : p->taken);
	if (share >= 0) {
		a->rests = (uint32_t)share;
		right = (r->status == HB_WIN && r->value == p->share[share].fen &&
				r->id == a->id) ||
			r->status == HB_BUSY;
		if (!right)
			FAIL_PACKET(w, a->id, "%s %u for a share of %u", hb_status_name(r->status),
				r->value, p->share[share].fen);
		return;
	}
	if (r->status == HB_DENIED && !oracle_free(w, a->pair))
		return;
	if (barred)
		FAIL_PACKET(w, a->id, "%s for a barred user", hb_status_name(r->status));
	if (p == NULL)
		right = r->status == HB_UNKNOWN;
	else if (p->taken == p->shares)
		right = r->status == HB_EMPTY || r->status == HB_BUSY;
	else if (is_over(w, p))
		right = r->status == HB_EXPIRED || r->status == HB_BUSY;
	else
		right = r->status == HB_BUSY || (r->status == HB_WIN && !w->draining);
	if (!right)
		FAIL_PACKET(w, a->id, "%s: %u of %u shares are taken%s", hb_status_name(r->status),
			p == NULL ? 0 : p->taken, p == NULL ? 0 : p->shares,
			p != NULL && is_over(w, p) ? ", it is over" : "");
	if (r->status == HB_WIN)
		judge_share(w, a, r, p);
}

void
packets_judge(struct world *w, unsigned worker, struct ask *a, const struct hb_reply *r)
{
	SIM_SAY(w, "worker %u: %s of packet %llx by user %llu: %s %u, ticket %llu", worker,
		hb_op_name(a->op), (unsigned long long)a->id,
		(unsigned long long)user_of(w, a->pair), hb_status_name(r->status), r->value,
		(unsigned long long)r->ticket);
	a->entry = 0;
	if (!(w->config.slices >> hb_slice(hb_shard(a->id)) & 1)) {
		if (r->status != HB_MOVED)
			FAIL_PACKET(w, a->id, "%s, but it is another host's",
				hb_status_name(r->status));
		return;
	}
	if (a->op == HB_OP_PACK)
		judge_pack(w, a, r);
	else
		judge_grab(w, a, r);
}

uint16_t
packets_bundle(struct world *w, unsigned pair, const struct hb_reply *r)
{
	const struct hb_campaign_config *c = &w->campaign[campaign_of(pair)];
	const struct hb_bundle *b = &c->bundle;

	if (hb_shard(r->id) != hb_shard(user_of(w, pair)) || latest(&w->oracle, r->id) != NULL)
		FAIL_PACKET(
			w, r->id, "a bundle on another shard than its winner's, or there before");
	struct parcel *p = add_parcel(w, r->id, user_of(w, pair), r->value,
		r->value < b->shares ? (uint16_t)r->value : b->shares);
	p->campaign = c->id;
	p->split = b->split;
	p->hours = b->hours;
	w->totals->bundled++;
	return (uint16_t)(p - w->oracle.parcel);
}

/* A worker's turn at what is over: it refunds what is, and nothing else. */
void
packets_expired(struct world *w, unsigned worker)
{
	const struct hb_packets *table = &w->server.engine[worker].packets;
	struct oracle *o = &w->oracle;

	for (unsigned i = 1; i <= o->parcels; i++) {
		struct parcel *p = &o->parcel[i];

		if (!p->there || is_done(p) || latest(o, p->id) != p ||
			hb_owner(hb_lane(hb_shard(p->id)), w->server.workers) != worker)
			continue;
		const struct hb_packet *k = hb_packets_look(table, p->id);
		if (k == NULL)
			FAIL_PACKET(w, p->id, "is open, but gone");
		if (k->left != p->left || k->taken != p->taken)
			FAIL_PACKET(w, p->id, "has %u fen, not %u", k->left, p->left);
		if (!k->done)
			continue;
		if (!is_over(w, p))
			FAIL_PACKET(w, p->id, "is closed before its time");
		p->refunded = true;
		p->done_us = w->now_us;
		w->totals->refunds++;
	}
}

/* ---- a reply leaves ------------------------------------------------------------------ */

void
packets_tell(struct world *w, const struct ask *a, const struct hb_reply *r)
{
	struct parcel *p = &w->oracle.parcel[a->entry];

	if (a->entry == 0)
		return;
	bool rests = r->status == HB_WIN || r->status == HB_PACKED || r->status == HB_EMPTY ||
		     r->status == HB_EXPIRED || r->status == HB_CONFLICT;
	if (rests && !p->durable)
		FAIL_PACKET(w, p->id, "%s is told before its PACK is durable",
			hb_status_name(r->status));
	if (r->status == HB_PACKED)
		p->told = true;
	if (r->status == HB_WIN) {
		if (!p->share[a->rests].durable)
			FAIL_PACKET(w, p->id, "a share is told before it is durable");
		p->share[a->rests].told = true;
	}
	for (unsigned i = 0; r->status == HB_EMPTY && i < p->shares; i++) {
		if (!p->share[i].durable)
			FAIL_PACKET(w, p->id, "EMPTY is told before share %u is durable", i + 1);
	}
	if (r->status == HB_EXPIRED && a->refund && !p->refund_durable)
		FAIL_PACKET(w, p->id, "EXPIRED is told before its refund is durable");
}

/* ---- the journal ---------------------------------------------------------------------- */

void
packets_read_begin(struct world *w)
{
	struct oracle *o = &w->oracle;

	for (unsigned i = 1; i <= o->parcels; i++) {
		struct parcel *p = &o->parcel[i];

		p->seen = p->refund_seen = false;
		for (unsigned k = 0; k < p->taken; k++)
			p->share[k].seen = false;
	}
}

/* The packet that the record is about: the first of its id that wasn't seen yet, or the last that
 * was. */
static struct parcel *
of_record(struct world *w, const struct hb_record *r, bool seen)
{
	struct oracle *o = &w->oracle;
	struct parcel *found = NULL;

	for (unsigned i = 1; i <= o->parcels; i++) {
		struct parcel *p = &o->parcel[i];

		if (p->there && p->id == r->id && p->seen == seen && (seen || found == NULL))
			found = p;
	}
	if (found == NULL)
		FAIL_PACKET(
			w, r->id, "the journal has a record of type %u that nobody made", r->type);
	return found;
}

static void
read_pack(struct world *w, const struct hb_record *r, bool first, bool stable)
{
	struct parcel *p = of_record(w, r, false);

	if (p->user != r->user || p->total != r->amount || p->split != r->op ||
		r->aux != ((uint32_t)p->shares << 8 | p->hours) || p->campaign != r->campaign ||
		r->time_us != p->packed_us)
		FAIL_PACKET(w, r->id, "the journal has other terms");
	if (r->campaign != 0 &&
		(first || r[-1].type != HB_RECORD_WIN || r[-1].aux != HB_WIN_BUNDLE))
		FAIL_PACKET(w, r->id, "a bundle's packet stands without its win");
	p->seen = true;
	p->durable |= stable;
}

static void
read_share(struct world *w, const struct hb_record *r, bool stable)
{
	struct parcel *p = of_record(w, r, true);
	struct parcel_share *s = &p->share[(r->aux - 1) % SIM_SHARES];

	if (r->aux == 0 || r->aux > p->taken || s->seen || user_of(w, s->user) != r->user ||
		s->fen != r->amount || (r->aux > 1 && !s[-1].seen) || p->refund_seen)
		FAIL_PACKET(w, r->id, "the journal has share %u of %u fen that nobody gave", r->aux,
			r->amount);
	s->seen = true;
	s->durable |= stable;
}

static void
read_refund(struct world *w, const struct hb_record *r, bool stable)
{
	struct parcel *p = of_record(w, r, true);

	if (!p->refunded || p->refund_seen || r->amount != p->left || r->user != p->user ||
		r->campaign != p->campaign || (p->taken > 0 && !p->share[p->taken - 1].seen))
		FAIL_PACKET(w, r->id, "the journal refunds %u fen of %u", r->amount, p->left);
	p->refund_seen = true;
	p->refund_durable |= stable;
}

void
packets_read(struct world *w, const struct hb_record *r, bool first, bool stable)
{
	if (r->type == HB_RECORD_PACK)
		read_pack(w, r, first, stable);
	else if (r->type == HB_RECORD_GRAB)
		read_share(w, r, stable);
	else if (r->type == HB_RECORD_REFUND)
		read_refund(w, r, stable);
}

/* A process is gone: what isn't in the journal never was. */
void
packets_gone(struct world *w)
{
	struct oracle *o = &w->oracle;

	for (unsigned i = 1; i <= o->parcels; i++) {
		struct parcel *p = &o->parcel[i];

		if (!p->there)
			continue;
		if (!p->seen && (p->told || p->durable))
			FAIL_PACKET(
				w, p->id, "is lost, though %s", p->told ? "told" : "journalled");
		p->there = p->seen;
		if (p->refunded && !p->refund_seen) {
			if (p->refund_durable)
				FAIL_PACKET(w, p->id, "its refund is lost");
			p->refunded = false;
		}
		while (p->taken > 0 && !p->share[p->taken - 1].seen) {
			const struct parcel_share *s = &p->share[--p->taken];

			if (s->told || s->durable)
				FAIL_PACKET(w, p->id, "a share of %u fen is lost", s->fen);
			p->left += s->fen;
		}
	}
}

/* ---- the end -------------------------------------------------------------------------- */

/* Whether somebody could still have a share who has none. */
static bool
held_back(struct world *w, const struct parcel *p)
{
	if (!p->there || is_done(p) || is_over(w, p) || latest(&w->oracle, p->id) != p ||
		!(w->config.slices >> hb_slice(hb_shard(p->id)) & 1))
		return false;
	for (unsigned u = 0; u < w->users; u++) {
		if (!w->barred[u] && share_of(p, u) < 0)
			return true;
	}
	return false;
}

/* Everybody grabs until nothing is held back. */
bool
packets_calm(struct world *w)
{
	bool over = true;

	for (unsigned i = 1; i <= w->oracle.parcels; i++) {
		const struct parcel *p = &w->oracle.parcel[i];

		if (!held_back(w, p))
			continue;
		over = false;
		for (unsigned u = 0, n = p->taken; u < w->users && n < p->shares; u++) {
			if (w->barred[u] || share_of(p, u) >= 0)
				continue;
			post_grab(w, p->id, u);
			n++;
		}
	}
	if (w->packets > 0)
		post_pack(w);
	return over;
}
