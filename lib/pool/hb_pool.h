/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_pool: a campaign's envelopes, made before it opens, and the stock of them that each core has.
 *
 * A campaign's envelopes are numbered from 1. hb_envelopes holds one entry for each, made from the
 * campaign's terms and seed, so that the same terms make the same amounts again. A core's stock is
 * a list of ranges of numbers: popping one is an increment, moving any number of envelopes to
 * another core is one message of twelve bytes, and after a restart what is left is a handful of
 * ranges again.
 *
 * Owners: hb_envelopes is written before the workers start; from then on an entry belongs to the
 * core in whose stock its number is or was. An hb_stock belongs to one thread.
 */
#ifndef HB_POOL_H
#define HB_POOL_H

#include "hb_base.h"

/* ---- terms -------------------------------------------------------------------------- */

enum hb_split {
	HB_SPLIT_EQUAL = 1, /* the same for each; the fen that are left over go to the first ones */
	HB_SPLIT_LUCKY = 2, /* each uniform from 1 fen to below twice the remaining mean */
	HB_SPLIT_TIERS = 3, /* so many of so much, in an order that the seed shuffles */
};

#define HB_TIERS_MAX 32

struct hb_tier {
	uint32_t count;
	uint32_t amount; /* fen of each */
};

/* What a campaign is funded with: enough to make every amount again. */
struct hb_terms {
	uint64_t total; /* fen */
	uint64_t seed;
	uint32_t count; /* envelopes */
	uint8_t split;	/* enum hb_split */
	uint8_t tiers;	/* entries of tier[], 0 unless split is HB_SPLIT_TIERS */
	struct hb_tier tier[HB_TIERS_MAX];
};

/* The name in configuration files: "equal", "lucky", "tiers". */
const char *hb_split_name(unsigned split);

/* What all fundings of a campaign may come to: an envelope's number travels in 32 bits, and no sum
 * of amounts ever leaves 63 bits (10^16 yuan). */
#define HB_COUNT_MAX UINT32_MAX
#define HB_TOTAL_MAX 1000000000000000000ull

/* Whether the terms make sense: at least one envelope, at least 1 fen and at most UINT32_MAX fen an
 * envelope, tiers that sum to count and total. Returns 0 or -EINVAL with what would be right in e.
 */
int hb_terms_check(const struct hb_terms *t, struct hb_error *e);

/* Reads tiers as a command line has them, "20*500,1*8800": so many of so much. Count and total stay
 * as they are. Returns 0 or -EINVAL with e. */
int hb_tiers_parse(struct hb_terms *t, const char *text, struct hb_error *e);

/* ---- one amount after the other ----------------------------------------------------- */

/* Makes the amounts of one funding in order of their numbers. On the stack of whoever needs them.
 */
struct hb_splitter {
	const struct hb_terms *terms;
	uint64_t fen_left;   /* of a lucky split */
	uint64_t twice_mean; /* 2 * fen_left / envelopes that are still to be made */
	uint64_t rest;	     /* of that division */
	uint64_t random;     /* state of splitmix64 */
	uint32_t made;
	uint32_t tier_left[HB_TIERS_MAX]; /* envelopes of each tier that are still to be made */
};

void hb_splitter_begin(struct hb_splitter *s, const struct hb_terms *t);
/* The next amount in fen. To be called at most terms->count times. */
uint32_t hb_splitter_next(struct hb_splitter *s);

/* One lucky amount, where `fen` are left for `shares` open shares (fen >= shares >= 1): uniform
 * from 1 to below twice fen / shares, so that its mean is exactly fen / shares and at least 1 fen
 * stays for each other share. random: state of splitmix64. */
uint64_t hb_lucky(uint64_t fen, uint32_t shares, uint64_t *random);

/* ---- envelopes ---------------------------------------------------------------------- */

/* One envelope. Its core alone reads and writes it once the workers run. */
struct hb_envelope {
	uint32_t amount; /* fen */
	uint32_t ticket; /* low bits of the settlement record's ticket on the winner's core; 0: none
			  */
	uint32_t asked_ms; /* when its winner last asked in that campaign, ms since 1970 mod 2^32 */
};

struct hb_envelopes {
	struct hb_envelope *of; /* index: number - 1 */
	uint32_t count;
	uint64_t fen;
	struct hb_mem mem;
};

/* Maps and makes a campaign's envelopes. Returns 0, -ENOMEM or -EINVAL with a line in e. */
int hb_envelopes_make(
	struct hb_envelopes *v, const struct hb_terms *t, const char *name, struct hb_error *e);

/* The same in steps: maps them with no amounts, and fills in those of a splitter from where it
 * stands up to the envelope of number `upto`. */
int hb_envelopes_map(
	struct hb_envelopes *v, const struct hb_terms *t, const char *name, struct hb_error *e);
void hb_envelopes_fill(struct hb_envelopes *v, struct hb_splitter *s, uint32_t upto);

void hb_envelopes_free(struct hb_envelopes *v);

/* ---- tranches ------------------------------------------------------------------------ */

/* How often a campaign can be topped up, or take a block of a shared budget. */
#define HB_TRANCHES_MAX 1024

/* What a campaign was topped up with, in the order of its envelopes' numbers, which go on from
 * those of its first funding. Whoever tops up appends; what stands here is never changed, so that
 * others may read the first n once they were told that there are n. */
struct hb_tranches {
	uint32_t first[HB_TRANCHES_MAX]; /* number of each one's first envelope */
	/* What to add to such a number, modulo 2^32, for the one on the wire and in the journal: 0
	 * but for blocks of a budget that many hosts share. */
	uint32_t shift[HB_TRANCHES_MAX];
	struct hb_envelopes of[HB_TRANCHES_MAX];
	/* control core alone */
	uint64_t seed[HB_TRANCHES_MAX];	     /* of the terms of each */
	uint32_t block[HB_TRANCHES_MAX];     /* its number; 0: it is none */
	bool tiered[HB_TRANCHES_MAX];	     /* its split is HB_SPLIT_TIERS */
	uint16_t by_number[HB_TRANCHES_MAX]; /* by rising number on the wire */
	unsigned count;
};

/* Which of the first n tranches an envelope is in, n >= 1. No call, which would cost those who look
 * at entries of first fundings, too. */
static inline unsigned
hb_tranches_find(const struct hb_tranches *t, unsigned n, uint32_t number)
{
	unsigned low = 0;

	/* The last one that doesn't begin behind it. */
	while (n > 1) {
		unsigned half = n / 2;

		if (t->first[low + half] <= number)
			low += half;
		n -= half;
	}
	return low;
}

/* The entry of such an envelope. */
static inline struct hb_envelope *
hb_tranches_entry(const struct hb_tranches *t, unsigned n, uint32_t number)
{
	unsigned i = hb_tranches_find(t, n, number);

	return &t->of[i].of[number - t->first[i]];
}

/* Appends a tranche, whose first envelope gets the number `first` here and `issued` on the wire.
 * There must be room. Control core. */
void hb_tranches_add(struct hb_tranches *t, uint32_t first, uint32_t issued,
	const struct hb_envelopes *v, const struct hb_terms *terms, uint32_t block);

/* The tranche that is the block of that number, or -1. Control core. */
int hb_tranches_block(const struct hb_tranches *t, uint64_t block);

/* The tranche of the envelope with that number on the wire, or -1. Control core. */
int hb_tranches_holder(const struct hb_tranches *t, uint32_t issued);

/* Whether none of them has one of these `count` numbers on the wire. Control core. */
bool hb_tranches_apart(const struct hb_tranches *t, uint32_t issued, uint32_t count);

/* ---- wins on other hosts -------------------------------------------------------------- */

/* From this number on, in a campaign whose budget many hosts share, an envelope is none of this
 * host's but one that a user won elsewhere, whose slice came here since. */
#define HB_MOVED_FIRST 0xF0000000u

#define HB_MOVED_CHUNK 4096u
#define HB_MOVED_CHUNKS 4096u

struct hb_moved_win {
	struct hb_envelope envelope; /* its user's core reads and writes it */
	uint32_t wins;
	uint64_t id; /* as it was told */
	uint64_t user;
	uint32_t seq;	 /* the last that was answered finally */
	uint8_t outcome; /* enum hb_outcome of it */
	uint8_t taken;	 /* enum hb_moved_taken. its core: sets with release; control core: ro */
};

enum hb_moved_taken {
	HB_MOVED_UNDERWAY,
	HB_MOVED_TAKEN,
	HB_MOVED_REFUSED, /* the user table could not hold its user */
};

/* A campaign's. What stands there stays where it is, so that a core may read an entry that it was
 * told of. Control core: adds; an entry, but for its envelope, is never written again. */
struct hb_moved {
	struct hb_moved_win *chunk[HB_MOVED_CHUNKS];
	uint32_t count;
};

static inline struct hb_moved_win *
hb_moved_win(const struct hb_moved *m, uint32_t number)
{
	uint32_t i = number - HB_MOVED_FIRST;

	return &m->chunk[i / HB_MOVED_CHUNK][i % HB_MOVED_CHUNK];
}

/* Room for one more behind `i` that are not counted yet, whose number is HB_MOVED_FIRST + m->count
 * + i: NULL when there is no memory or no number left. The caller fills it in and counts it. */
struct hb_moved_win *hb_moved_room(struct hb_moved *m, uint32_t i);
void hb_moved_free(struct hb_moved *m);

/* The id on the wire and in the journal: different in every campaign. */
static inline uint64_t
hb_envelope_id(uint16_t campaign, uint32_t number)
{
	return (uint64_t)campaign << 32 | number;
}

static inline uint32_t
hb_envelope_number(uint64_t id)
{
	return (uint32_t)id;
}

/* ---- a core's stock ----------------------------------------------------------------- */

/* Envelopes first to first + count - 1. */
struct hb_range {
	uint32_t first;
	uint32_t count;
};

#define HB_STOCK_RANGES 7

/* A core's stock of one campaign: a cache line. */
struct hb_stock {
	uint32_t count; /* envelopes in all the ranges */
	uint32_t ranges;
	struct hb_range range[HB_STOCK_RANGES];
};
_Static_assert(sizeof(struct hb_stock) == HB_CACHE_LINE, "a stock is a cache line");

/* Adds a range, joined to one that it touches. Returns 0, or -ENOSPC when the list is full: the
 * giver keeps the range and tries again later. */
int hb_stock_add(struct hb_stock *s, struct hb_range r);

/* Takes up to `count` envelopes out as one range, from the end that is popped last. The range's
 * count is 0 when the stock is empty. */
struct hb_range hb_stock_cut(struct hb_stock *s, uint32_t count);

/* The number of an envelope; the stock must not be empty. */
static inline uint32_t
hb_stock_pop(struct hb_stock *s)
{
	struct hb_range *r = &s->range[s->ranges - 1];
	uint32_t number = r->first;

	r->first++;
	r->count--;
	s->count--;
	if (HB_UNLIKELY(r->count == 0))
		s->ranges--;
	return number;
}

#endif
