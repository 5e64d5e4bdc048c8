/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Group packets: what PACK and GRAB are answered, what becomes of a win of a campaign of bundles,
 * and what happens when a packet's time is over.
 *
 * Which answer comes first:
 *   PACK  MOVED; CONFLICT or PACKED where the packet is there; CONFLICT for terms without sense;
 *         BUSY; PACKED. A barred sender's money is taken: DENIED is not for PACK.
 *   GRAB  MOVED; WIN for whoever has a share, barred or not; DENIED; UNKNOWN; EMPTY; EXPIRED;
 *         BUSY; WIN. EMPTY is final, so a packet that became empty never becomes EXPIRED.
 *
 * The worker that owns a packet ends it too, from a wheel of seconds, a few packets a turn: the
 * control core would need a second copy of every deadline, and an order to and an answer from the
 * worker for each, since a share that is being taken at that moment is decided here.
 *
 * What a reply rests on is the last record about its packet: until that is durable it waits, as any
 * reply that a crash could make untrue.
 */
#include "engine_internal.h"

#include <errno.h>
#include <rte_ring.h>

/* Packets and seconds of the wheel that one call looks at, so that it takes a few microseconds at
 * the most, and refunds among them. */
#define EXPIRE_STEPS 64
#define EXPIRE_REFUNDS 16

/* Rounds of the Feistel network that makes ids of bundles: 4 make it a strong pseudorandom
 * permutation (Luby and Rackoff, 1988), 7 and more hold nearly as long as there are inputs of half
 * the width (Patarin, CRYPTO 2004). */
#define ID_ROUNDS 8
#define ID_HALF_BITS 26
#define ID_HALF_MASK ((1u << ID_HALF_BITS) - 1)

/* The inverse, mod 2^64, of the factor that hb_shard() multiplies by. */
#define SHARD_INVERSE 0xF1DE83E19937733DULL
_Static_assert(0x9E3779B97F4A7C15ULL * SHARD_INVERSE == 1, "it is the inverse");

static void
note_book(struct hb_engine *e)
{
	const struct hb_packets *p = &e->packets;
	struct hb_packet_book *b = &e->link->packets;

	__atomic_store_n(&b->remembered, p->used, __ATOMIC_RELAXED);
	__atomic_store_n(&b->open, p->open, __ATOMIC_RELAXED);
	__atomic_store_n(&b->left_fen, p->left_fen, __ATOMIC_RELAXED);
	__atomic_store_n(&b->places, p->runs.free, __ATOMIC_RELAXED);
}

/* Whether every record about a packet is durable. */
static bool
packet_durable(uint64_t durable, const struct hb_packet *k)
{
	return (int32_t)((uint32_t)durable - k->ticket) >= 0;
}

static void
answer_now(struct hb_reply *out, enum hb_status status, uint32_t value)
{
	*out = (struct hb_reply){.status = (uint8_t)status, .value = value};
}

/* An answer that says what a packet is like. */
static void
answer_of(struct hb_engine *e, const struct hb_packet *k, struct hb_reply *out,
	enum hb_status status, uint32_t value)
{
	struct hb_reply reply = {.status = (uint8_t)status, .value = value};

	if (hb_status_gives(status))
		reply.id = k->id;
	engine_answer_when_durable(e, out, reply, packet_durable(e->durable, k));
}

static void
answer_busy(struct hb_reply *out)
{
	answer_now(out, HB_BUSY, ENGINE_BUSY_WAIT_MS);
}

/* ---- records ------------------------------------------------------------------------- */

/* Whether so many records may be made now. */
static bool
may_record(struct hb_engine *e, unsigned n)
{
	if (HB_UNLIKELY(e->records_room < n))
		e->records_room = rte_ring_free_count(e->link->records) - e->new_records;
	return e->giving && e->records_room >= n;
}

/* Puts a record about a packet on its way. There is room. */
static void
record(struct hb_engine *e, struct hb_packet *k, struct hb_record r)
{
	r.id = k->id;
	r.campaign = k->campaign;
	e->issued++;
	e->records_room--;
	k->ticket = (uint32_t)e->issued;
	e->record[e->new_records++] = r;
}

static void
record_pack(struct hb_engine *e, struct hb_packet *k, const struct hb_request *r)
{
	struct hb_packet_book *b = &e->link->packets;

	record(e, k,
		(struct hb_record){
			.type = HB_RECORD_PACK,
			.op = k->split,
			.seq = r->seq,
			.user = k->user,
			.amount = k->total,
			.aux = (uint32_t)k->shares << 8 | k->hours,
			.time_us = r->now_us,
		});
	hb_count(&b->packed, 1);
	hb_count(&b->packed_fen, k->total);
	note_book(e);
}

/* ---- PACK ---------------------------------------------------------------------------- */

static struct hb_packet_terms
terms_of_request(const struct hb_request *r)
{
	return (struct hb_packet_terms){
		.user = r->user,
		.total = (uint32_t)(r->terms >> 32),
		.shares = (uint16_t)(r->terms >> 16),
		.split = (uint8_t)(r->terms >> 8),
		.hours = (uint8_t)r->terms,
	};
}

static bool
same_terms(const struct hb_packet *k, const struct hb_packet_terms *t)
{
	return k->user == t->user && k->total == t->total && k->shares == t->shares &&
	       k->split == t->split && k->hours == t->hours && k->campaign == t->campaign;
}

/* Whether a packet of so many shares finds room, if need be by forgetting some that are due to be
 * forgotten. */
static bool
make_room(struct hb_engine *e, unsigned shares, uint64_t now_us)
{
	unsigned steps = EXPIRE_STEPS;

	if (HB_LIKELY(hb_packets_room(&e->packets, shares)))
		return true;
	/* One whose time is over stays where it is: hb_engine_expire() will come by. */
	hb_packets_due(&e->packets, now_us, &steps);
	if (hb_packets_room(&e->packets, shares))
		return true;
	hb_count(&e->packets.refused, 1);
	return false;
}

static void
decide_pack(struct hb_engine *e, const struct hb_snapshot *s, const struct hb_request *r,
	struct hb_reply *out)
{
	struct hb_packet_terms t = terms_of_request(r);
	struct hb_packet *k = hb_packets_find(&e->packets, r->arg, r->now_us);

	if (k != NULL && same_terms(k, &t)) {
		answer_of(e, k, out, HB_PACKED, k->total);
	} else if (k != NULL) {
		answer_of(e, k, out, HB_CONFLICT, 0);
	} else if (!hb_packet_terms_good(&t)) {
		answer_now(out, HB_CONFLICT, 0);
	} else if (s->draining || !may_record(e, 1) || !make_room(e, t.shares, r->now_us) ||
		   !engine_promise_room(e)) {
		answer_busy(out);
	} else {
		k = hb_packets_add(&e->packets, r->arg, &t, r->now_us);
		record_pack(e, k, r);
		*out = (struct hb_reply){
			.status = HB_PACKED, .id = k->id, .value = k->total, .ticket = e->issued};
	}
}

/* ---- GRAB ---------------------------------------------------------------------------- */

/* Gives the next share. */
static void
give_share(
	struct hb_engine *e, struct hb_packet *k, const struct hb_request *r, struct hb_reply *out)
{
	struct hb_packet_book *b = &e->link->packets;
	uint32_t fen = hb_packet_next_fen(&e->packets, k);

	hb_packet_take(&e->packets, k, r->user, fen, r->now_us);
	record(e, k,
		(struct hb_record){
			.type = HB_RECORD_GRAB,
			.op = HB_OP_GRAB,
			.seq = r->seq,
			.user = r->user,
			.amount = fen,
			.aux = k->taken,
			.time_us = r->now_us,
		});
	hb_count(&b->taken, 1);
	hb_count(&b->taken_fen, fen);
	note_book(e);
	*out = (struct hb_reply){.status = HB_WIN, .id = k->id, .value = fen, .ticket = e->issued};
}

static void
decide_grab(struct hb_engine *e, const struct hb_snapshot *s, const struct hb_request *r,
	struct hb_reply *out)
{
	struct hb_packet *k = hb_packets_find(&e->packets, r->arg, r->now_us);
	const struct hb_share *share =
		k == NULL ? NULL : hb_packet_share_of(&e->packets, k, r->user);

	if (share != NULL) {
		answer_of(e, k, out, HB_WIN, share->fen);
	} else if (engine_is_denied(e, r->user)) {
		answer_now(out, HB_DENIED, 0);
	} else if (k == NULL) {
		answer_now(out, HB_UNKNOWN, 0);
	} else if (k->taken == k->shares) {
		answer_of(e, k, out, HB_EMPTY, 0);
	} else if (k->done || k->lapsed || r->now_us >= k->due_us) {
		/* Whatever the clock does from now on. */
		k->lapsed = 1;
		answer_of(e, k, out, HB_EXPIRED, 0);
	} else if (s->draining || !may_record(e, 1) || !engine_promise_room(e)) {
		answer_busy(out);
	} else {
		give_share(e, k, r, out);
	}
}

/* Fetches what the packets of a burst need, once. */
static void
expect_packets(struct hb_engine *e, const struct hb_request *r, unsigned n)
{
	uint64_t id[HB_BURST], user[HB_BURST];
	unsigned packets = 0;

	for (unsigned i = 0; i < n; i++) {
		if (r[i].op < HB_OP_GRAB)
			continue;
		id[packets] = r[i].arg;
		user[packets++] = r[i].user;
	}
	e->expected = true;
	if (packets < 2)
		return;
	for (unsigned stage = 0; stage < HB_PACKETS_STAGES; stage++)
		hb_packets_expect(&e->packets, stage, id, user, packets);
}

void
engine_decide_packet(struct hb_engine *e, const struct hb_snapshot *s, const struct hb_request *r,
	unsigned i, unsigned n, struct hb_reply *out)
{
	if (!e->expected && e->packets.rows != 0)
		expect_packets(e, r + i, n - i);
	if (r[i].op == HB_OP_PACK)
		decide_pack(e, s, &r[i], out);
	else
		decide_grab(e, s, &r[i], out);
}

/* ---- bundles ------------------------------------------------------------------------- */

void
engine_seed_packets(struct hb_engine *e, uint64_t seed)
{
	uint64_t lucky[2] = {hb_derive(seed, "shares", 0), hb_derive(seed, "shares", 1)};

	e->bundle_key = hb_derive(seed, "bundles", 0);
	hb_packets_seed(&e->packets, lucky);
}

/* A permutation of the 52 bits below the shard, of which campaign and number are 48: so no two
 * envelopes ever share an id, and who knows millions of them learns nothing of the next one. */
uint64_t
engine_bundle_id(const struct hb_engine *e, uint16_t campaign, uint32_t number, uint64_t user)
{
	uint64_t what = (uint64_t)campaign << 32 | number;
	uint32_t left = (uint32_t)(what >> ID_HALF_BITS), right = what & ID_HALF_MASK;

	for (unsigned round = 0; round < ID_ROUNDS; round++) {
		uint64_t mixed =
			hb_derive(e->bundle_key, "bundle", (uint64_t)round << ID_HALF_BITS | right);
		uint32_t next = (left ^ (uint32_t)mixed) & ID_HALF_MASK;

		left = right;
		right = next;
	}
	return ((uint64_t)hb_shard(user) << 52 | (uint64_t)left << ID_HALF_BITS | right) *
	       SHARD_INVERSE;
}

bool
engine_bundle_room(struct hb_engine *e, const struct hb_campaign *c, uint64_t now_us)
{
	return e->packets.rows != 0 && may_record(e, 2) && make_room(e, c->bundle.shares, now_us);
}

bool
engine_bundle(struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	uint32_t number, struct hb_reply *out)
{
	uint64_t id = engine_bundle_id(e, c->id, number, r->user);
	struct hb_packet_terms t = {
		.user = r->user,
		.total = out->value,
		.shares = out->value < c->bundle.shares ? (uint16_t)out->value : c->bundle.shares,
		.campaign = c->id,
		.split = c->bundle.split,
		.hours = c->bundle.hours,
	};
	struct hb_packet *k = NULL;

	/* That somebody packed a packet of just this id happens once in 2^64 times. */
	if (HB_LIKELY(id != 0 && hb_packets_find(&e->packets, id, r->now_us) == NULL))
		k = hb_packets_add(&e->packets, id, &t, r->now_us);
	if (HB_UNLIKELY(k == NULL))
		return false;
	e->record[e->new_records - 1].aux = HB_WIN_BUNDLE;
	record_pack(e, k, r);
	hb_count(&e->link->packets.bundled, 1);
	hb_count(&e->link->packets.bundled_fen, t.total);
	*out = (struct hb_reply){
		.status = HB_BUNDLE, .id = id, .value = t.total, .ticket = e->issued};
	return true;
}

/* ---- time ---------------------------------------------------------------------------- */

static void
refund(struct hb_engine *e, struct hb_packet *k, uint64_t now_us)
{
	struct hb_packet_book *b = &e->link->packets;

	hb_packet_close(&e->packets, k, now_us);
	record(e, k,
		(struct hb_record){
			.type = HB_RECORD_REFUND,
			.user = k->user,
			.amount = k->left,
			.aux = (uint32_t)(k->shares - k->taken),
			.time_us = now_us,
		});
	hb_count(&b->refunded, 1);
	hb_count(&b->refunded_fen, k->left);
}

unsigned
hb_engine_expire(struct hb_engine *e, uint64_t now_us)
{
	unsigned steps = EXPIRE_STEPS, refunds = 0;
	struct hb_packet *k;

	if (HB_LIKELY(e->packets.used == 0))
		return 0;
	e->giving = __atomic_load_n(&e->link->giving, __ATOMIC_RELAXED);
	/* Without room for its record it stays where it is, and comes again. */
	while (refunds < EXPIRE_REFUNDS && may_record(e, 1) &&
		(k = hb_packets_due(&e->packets, now_us, &steps)) != NULL) {
		refund(e, k, now_us);
		refunds++;
	}
	engine_send_records(e);
	note_book(e);
	return refunds;
}

/* ---- looks --------------------------------------------------------------------------- */

void
engine_look_at_packet(const struct hb_engine *e, struct hb_packet_look *look)
{
	const struct hb_packet *k = hb_packets_look(&e->packets, look->id);

	look->packet = (struct hb_packet){0};
	look->shares = 0;
	if (k != NULL) {
		look->packet = *k;
		look->shares = k->taken < HB_LOOK_SHARES ? k->taken : HB_LOOK_SHARES;
		look->durable =
			packet_durable(__atomic_load_n(&e->link->durable, __ATOMIC_ACQUIRE), k);
	}
	for (unsigned i = 0; i < look->shares; i++) {
		const struct hb_share *share = hb_packet_share(&e->packets, k, i + 1);

		look->share[i].user = share->user;
		look->share[i].fen = share->fen;
	}
	__atomic_store_n(&look->done, true, __ATOMIC_RELEASE);
}

/* ---- what an earlier run left --------------------------------------------------------- */

static int
contradicts(const char **wrong, const char *what)
{
	*wrong = what;
	return -EILSEQ;
}

/* Lets the wheel forget what was forgotten by the time of the record. Packets whose time is over
 * wait for their own record of that. */
static void
recall_time(struct hb_engine *e, uint64_t now_us, unsigned steps)
{
	struct hb_packet *k;

	while ((k = hb_packets_due(&e->packets, now_us, &steps)) != NULL)
		hb_packet_postpone(&e->packets, k, now_us);
}

static int
recall_pack(struct hb_engine *e, const struct hb_record *r, const char **wrong)
{
	struct hb_packet_terms t = {
		.user = r->user,
		.total = r->amount,
		.shares = (uint16_t)(r->aux >> 8),
		.campaign = r->campaign,
		.split = r->op,
		.hours = (uint8_t)r->aux,
	};
	struct hb_packet *k = hb_packets_find(&e->packets, r->id, r->time_us);

	if (!hb_packet_terms_good(&t) || r->aux >> 24 != 0 || r->id == 0 || r->user == 0)
		return contradicts(wrong, "is funded on terms that make no sense");
	if (k != NULL && !k->done)
		return contradicts(wrong, "is funded a second time");
	/* By then the run before had forgotten it, by a shorter time to keep it. */
	if (k != NULL)
		hb_packet_forget(&e->packets, k);
	if (!hb_packets_room(&e->packets, t.shares))
		recall_time(e, r->time_us, UINT_MAX);
	return hb_packets_add(&e->packets, r->id, &t, r->time_us) != NULL ? 0 : -ENOSPC;
}

static int
recall_grab(struct hb_engine *e, const struct hb_record *r, const char **wrong)
{
	struct hb_packet *k = hb_packets_find(&e->packets, r->id, r->time_us);

	if (k == NULL || k->done)
		return contradicts(wrong, "has no share to give");
	if (r->user == 0 || hb_packet_share_of(&e->packets, k, r->user) != NULL)
		return contradicts(wrong, "gives a user a second share");
	if (r->aux != k->taken + 1u)
		return contradicts(wrong, "gives its shares out of order");
	if (r->amount == 0 || r->amount > k->left ||
		k->left - r->amount < (uint32_t)(k->shares - k->taken - 1) ||
		(k->taken + 1 == k->shares && r->amount != k->left))
		return contradicts(wrong, "gives a share that leaves the others too little");
	hb_packet_take(&e->packets, k, r->user, r->amount, r->time_us);
	return 0;
}

static int
recall_refund(struct hb_engine *e, const struct hb_record *r, const char **wrong)
{
	struct hb_packet *k = hb_packets_find(&e->packets, r->id, r->time_us);

	if (k == NULL || k->done)
		return contradicts(wrong, "has nothing to give back");
	if (r->user != k->user || r->amount != k->left || r->campaign != k->campaign)
		return contradicts(wrong, "gives back what is not left in it");
	hb_packet_close(&e->packets, k, r->time_us);
	return 0;
}

int
hb_engine_recall_packet(struct hb_engine *e, const struct hb_record *r, const char **wrong)
{
	int err;

	recall_time(e, r->time_us, EXPIRE_STEPS);
	if (r->type == HB_RECORD_PACK)
		err = recall_pack(e, r, wrong);
	else if (r->type == HB_RECORD_GRAB)
		err = recall_grab(e, r, wrong);
	else
		err = recall_refund(e, r, wrong);
	note_book(e);
	return err;
}
