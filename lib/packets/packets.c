/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_packets.h"

#include <errno.h>

#define SECOND_US 1000000ull
#define HOUR_US (3600 * SECOND_US)

/* Seconds of a round of the wheel: one for 64 packets, so that it costs little beside them. A
 * packet that is due in a later round is looked at once in each, and there are 64 of them a second
 * on average. */
#define PACKETS_A_SECOND 64
#define ROUND_LEAST 64
#define ROUND_MOST (1u << 20) /* 12 days: longer than any packet lives */

/* Of a packet's shares, so many lines are fetched before it is decided on: 12 to 16 shares. */
#define LINES_FETCHED 4

/* ---- making -------------------------------------------------------------------------- */

static uint32_t
round_of(uint64_t packets)
{
	uint32_t seconds = ROUND_LEAST;

	while (seconds < ROUND_MOST && seconds < packets / PACKETS_A_SECOND)
		seconds *= 2;
	return seconds;
}

uint64_t
hb_packets_bytes(uint64_t packets, uint64_t shares)
{
	if (packets == 0)
		return 0;
	return packets * sizeof(struct hb_packet) + shares * sizeof(struct hb_share) +
	       round_of(packets) * sizeof(uint32_t) + shares / 8 + 8;
}

int
hb_packets_make(struct hb_packets *p, const struct hb_packets_terms *t, struct hb_error *e)
{
	int err;

	*p = (struct hb_packets){.rows = (uint32_t)t->packets, .keep_us = t->keep_us};
	memcpy(p->key, t->key, sizeof(p->key));
	if (t->packets > HB_PACKETS_MAX || t->shares > HB_PACKET_PLACES_MAX)
		return hb_fail(e, EINVAL,
			"packets: %llu of %llu shares are too many for a worker; write at most %u",
			(unsigned long long)t->packets, (unsigned long long)t->shares,
			HB_PACKETS_MAX);
	if (t->packets == 0)
		return 0;
	p->slot_mask = round_of(t->packets) - 1;
	err = hb_mem_alloc(&p->row_mem, t->packets * sizeof(*p->row), "packets", e);
	if (err == 0)
		err = hb_mem_alloc(&p->slot_mem, (p->slot_mask + 1ull) * sizeof(*p->slot),
			"the wheel of packets", e);
	if (err == 0)
		err = hb_runs_make(&p->runs, (uint32_t)t->shares, e);
	if (err != 0) {
		hb_packets_free(p);
		return err;
	}
	p->row = p->row_mem.addr;
	p->slot = p->slot_mem.addr;
	return 0;
}

void
hb_packets_free(struct hb_packets *p)
{
	hb_mem_free(&p->row_mem);
	hb_mem_free(&p->slot_mem);
	hb_runs_free(&p->runs);
	*p = (struct hb_packets){0};
}

void
hb_packets_seed(struct hb_packets *p, const uint64_t lucky[2])
{
	memcpy(p->lucky, lucky, sizeof(p->lucky));
}

bool
hb_packet_terms_good(const struct hb_packet_terms *t)
{
	return t->shares != 0 && t->total >= t->shares &&
	       (t->split == HB_SPLIT_EQUAL || t->split == HB_SPLIT_LUCKY);
}

/* ---- the wheel ----------------------------------------------------------------------- */

static inline uint32_t
number_of(const struct hb_packets *p, const struct hb_packet *k)
{
	return (uint32_t)(k - p->row) + 1;
}

/* Takes a packet out of its second's list. */
static void
unfile(struct hb_packets *p, struct hb_packet *k)
{
	if (p->walk == number_of(p, k))
		p->walk = k->later;
	/* The first of a list names the list instead: the second isn't known from due_us alone. */
	if (k->earlier & 1)
		p->slot[k->earlier >> 1] = k->later;
	else
		p->row[(k->earlier >> 1) - 1].later = k->later;
	if (k->later != 0)
		p->row[k->later - 1].earlier = k->earlier;
}

/* Puts it where the wheel comes by after that time, but not where it walks now. */
static void
file(struct hb_packets *p, struct hb_packet *k, uint64_t at_us)
{
	uint64_t second = at_us / SECOND_US;

	if (second <= p->second)
		second = p->second + 1;
	uint32_t slot = (uint32_t)second & p->slot_mask;
	k->later = p->slot[slot];
	k->earlier = slot << 1 | 1;
	if (k->later != 0)
		p->row[k->later - 1].earlier = number_of(p, k) << 1;
	p->slot[slot] = number_of(p, k);
}

struct hb_packet *
hb_packets_due(struct hb_packets *p, uint64_t now_us, unsigned *steps)
{
	uint64_t now_s = now_us / SECOND_US;

	if (p->used == 0)
		return NULL;
	/* One round sees everything. */
	if (now_s > p->second + p->slot_mask + 1) {
		p->second = now_s - p->slot_mask - 2;
		p->walk = 0;
	}
	for (; *steps > 0; --*steps) {
		if (p->walk == 0) {
			/* All that is due in a second is due when it has gone by. */
			if (p->second + 1 >= now_s)
				return NULL;
			p->second++;
			p->walk = p->slot[p->second & p->slot_mask];
			continue;
		}
		struct hb_packet *k = &p->row[p->walk - 1];

		if (k->later != 0)
			__builtin_prefetch(&p->row[k->later - 1], 1);
		if (k->due_us > now_us) {
			p->walk = k->later;
			continue;
		}
		if (!k->done) {
			--*steps;
			return k;
		}
		hb_packet_forget(p, k);
	}
	return NULL;
}

void
hb_packet_postpone(struct hb_packets *p, struct hb_packet *k, uint64_t now_us)
{
	unfile(p, k);
	file(p, k, now_us);
}

/* ---- look-ups ------------------------------------------------------------------------ */

static inline struct hb_packet *
bucket_of(const struct hb_packets *p, uint64_t id)
{
	uint64_t hash = hb_mix64(id ^ p->key[0], p->key[1]);

	return &p->row[(uint64_t)(((unsigned __int128)hash * p->rows) >> 64)];
}

static inline struct hb_packet *
look(const struct hb_packets *p, uint64_t id)
{
	if (p->rows == 0)
		return NULL;
	for (uint32_t i = bucket_of(p, id)->first; i != 0; i = p->row[i - 1].next) {
		if (p->row[i - 1].id == id)
			return &p->row[i - 1];
	}
	return NULL;
}

const struct hb_packet *
hb_packets_look(const struct hb_packets *p, uint64_t id)
{
	return look(p, id);
}

struct hb_packet *
hb_packets_find(struct hb_packets *p, uint64_t id, uint64_t now_us)
{
	struct hb_packet *k = look(p, id);

	if (HB_UNLIKELY(k != NULL && k->done && now_us >= k->due_us)) {
		hb_packet_forget(p, k);
		return NULL;
	}
	return k;
}

/* The place that a user's bucket has among the packet's. */
static inline struct hb_share *
share_bucket(const struct hb_packets *p, const struct hb_packet *k, uint64_t user)
{
	uint32_t hash = (uint32_t)(hb_mix64(user ^ p->key[2], p->key[3]) >> 32);

	return &p->runs.share[k->place + (uint32_t)((uint64_t)hash * k->shares >> 32)];
}

/* The number of the first share in a bucket, 0 for none. What stands there may be left from another
 * packet: then it leads to shares of other buckets, which does no harm, since each share is behind
 * only such as were taken before it. */
static inline unsigned
first_in(const struct hb_packet *k, const struct hb_share *bucket)
{
	return bucket->first <= k->taken ? bucket->first : 0;
}

const struct hb_share *
hb_packet_share_of(const struct hb_packets *p, const struct hb_packet *k, uint64_t user)
{
	unsigned n = first_in(k, share_bucket(p, k, user));

	while (n != 0) {
		const struct hb_share *share = hb_packet_share(p, k, n);

		if (share->user == user)
			return share;
		n = share->next;
	}
	return NULL;
}

/* The user's bucket and, side by side as they are, the first lines of the packet's shares: a chain
 * leads anywhere among them, and the next share is written behind the others. */
static void
expect_shares(const struct hb_packets *p, const struct hb_packet *k, uint64_t user)
{
	const char *line = (const char *)&p->runs.share[k->place];
	const char *end = (const char *)&p->runs.share[k->place + k->shares];

	__builtin_prefetch(share_bucket(p, k, user), 1);
	for (unsigned n = 0; n < LINES_FETCHED && line < end; n++, line += HB_CACHE_LINE)
		__builtin_prefetch(line, 1);
}

void
hb_packets_expect(const struct hb_packets *p, unsigned stage, const uint64_t *id,
	const uint64_t *user, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct hb_packet *k = bucket_of(p, id[i]);

		if (stage == 0) {
			__builtin_prefetch(k, 1);
		} else if (stage == 1) {
			if (k->first != 0)
				__builtin_prefetch(&p->row[k->first - 1], 1);
		} else if ((k = look(p, id[i])) != NULL) {
			expect_shares(p, k, user[i]);
		}
	}
}

/* ---- changes ------------------------------------------------------------------------- */

bool
hb_packets_room(const struct hb_packets *p, unsigned shares)
{
	return (p->free != 0 || p->fresh < p->rows) &&
	       hb_runs_list_for(&p->runs, shares) != HB_RUNS_LISTS;
}

/* Takes a free row out; there is one. */
static struct hb_packet *
take_row(struct hb_packets *p)
{
	struct hb_packet *k;

	if (p->free == 0)
		return &p->row[p->fresh++];
	k = &p->row[p->free - 1];
	p->free = k->later;
	return k;
}

static void
link_row(struct hb_packets *p, struct hb_packet *k)
{
	struct hb_packet *bucket = bucket_of(p, k->id);

	k->next = bucket->first;
	bucket->first = number_of(p, k);
}

static void
unlink_row(struct hb_packets *p, const struct hb_packet *k)
{
	uint32_t *at = &bucket_of(p, k->id)->first, number = number_of(p, k);

	while (*at != number)
		at = &p->row[*at - 1].next;
	*at = k->next;
}

struct hb_packet *
hb_packets_add(struct hb_packets *p, uint64_t id, const struct hb_packet_terms *t, uint64_t now_us)
{
	if (!hb_packets_room(p, t->shares))
		return NULL;
	/* The wheel stood still while there was nothing in it. */
	if (p->used == 0) {
		p->second = now_us / SECOND_US;
		p->walk = 0;
	}
	struct hb_packet *k = take_row(p);
	uint32_t first = k->first;

	*k = (struct hb_packet){
		.id = id,
		.user = t->user,
		.due_us = now_us + t->hours * HOUR_US,
		.total = t->total,
		.left = t->total,
		.shares = t->shares,
		.campaign = t->campaign,
		.hours = t->hours,
		.split = t->split & 3u,
		.place = hb_runs_take(&p->runs, t->shares),
		.first = first,
	};
	link_row(p, k);
	file(p, k, k->due_us);
	hb_count(&p->used, 1);
	hb_count(&p->open, 1);
	hb_count(&p->left_fen, t->total);
	hb_count(&p->left_shares, t->shares);
	return k;
}

/* What is left over of an equal split goes to the first ones, fen by fen: the mean, rounded up, is
 * just that. */
uint32_t
hb_packet_next_fen(const struct hb_packets *p, const struct hb_packet *k)
{
	uint32_t open = (uint32_t)(k->shares - k->taken);

	if (k->split == HB_SPLIT_EQUAL)
		return k->left / open + (k->left % open != 0);
	uint64_t random = hb_mix64(
		k->id ^ p->lucky[0], (k->taken + 1ull) * 0x9E3779B97F4A7C15ULL ^ p->lucky[1]);

	return (uint32_t)hb_lucky(k->left, open, &random);
}

/* Nothing more will be taken: it is remembered for a while. */
static void
finish(struct hb_packets *p, struct hb_packet *k, uint64_t now_us)
{
	unfile(p, k);
	k->done = 1;
	k->due_us = now_us + p->keep_us;
	file(p, k, k->due_us);
	hb_count(&p->open, -1ull);
}

void
hb_packet_take(
	struct hb_packets *p, struct hb_packet *k, uint64_t user, uint32_t fen, uint64_t now_us)
{
	struct hb_share *bucket = share_bucket(p, k, user);
	unsigned before = first_in(k, bucket);
	struct hb_share *share = &p->runs.share[k->place + k->taken];

	share->user = user;
	share->fen = fen;
	share->next = (uint16_t)before;
	k->taken++;
	bucket->first = k->taken;
	k->left -= fen;
	hb_count(&p->left_fen, -(uint64_t)fen);
	hb_count(&p->left_shares, -1ull);
	if (k->taken == k->shares)
		finish(p, k, now_us);
}

void
hb_packet_close(struct hb_packets *p, struct hb_packet *k, uint64_t now_us)
{
	hb_count(&p->left_fen, -(uint64_t)k->left);
	hb_count(&p->left_shares, -(uint64_t)(k->shares - k->taken));
	finish(p, k, now_us);
}

void
hb_packet_forget(struct hb_packets *p, struct hb_packet *k)
{
	unfile(p, k);
	unlink_row(p, k);
	hb_runs_give_back(&p->runs, k->place, k->shares);
	k->id = 0;
	k->later = p->free;
	p->free = number_of(p, k);
	hb_count(&p->used, -1ull);
	hb_count(&p->forgotten, 1);
}
