/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_admission.h"

#define CLASS_BITS 16

/* A set of told wins is from 2^MIN to 2^MAX bits. */
#define TOLD_BITS_MIN 15
#define TOLD_BITS_MAX 29
#define TOLD_BITS_EACH 8

/* Credit for a burst of nothing but BUSY. */
#define CREDIT_MAX (HB_ADMISSION_SHARE * HB_BURST)

/* ---- making -------------------------------------------------------------------------- */

static unsigned
told_bits(uint64_t envelopes)
{
	unsigned bits = TOLD_BITS_MIN;

	while (bits < TOLD_BITS_MAX && 1ull << bits < envelopes * TOLD_BITS_EACH)
		bits++;
	return bits;
}

uint64_t
hb_admission_bytes(uint64_t envelopes)
{
	return (1ull << told_bits(envelopes)) / 8;
}

int
hb_admission_make(struct hb_admission *a, uint64_t seed, uint64_t envelopes, struct hb_error *e)
{
	*a = (struct hb_admission){.level = HB_ADMISSION_ALL,
		.admitted = 1000,
		.standing = true,
		.random = hb_derive(seed, "levels", 0),
		.told_shift = (uint8_t)(64 - told_bits(envelopes))};
	for (unsigned i = 0; i < HB_COUNT_OF(a->user_key); i++) {
		a->user_key[i] = hb_splitmix64(&a->random);
		a->wait_key[i] = hb_derive(seed, "waits", i);
		a->told_key[i] = hb_derive(seed, "told", i);
	}
	int err = hb_mem_alloc(&a->mem, hb_admission_bytes(envelopes), "the set of told wins", e);

	a->told = a->mem.addr;
	for (unsigned lane = 0; lane < HB_LANES; lane++)
		hb_admission_share(a, lane, a);
	return err;
}

void
hb_admission_free(struct hb_admission *a)
{
	hb_mem_free(&a->mem);
	*a = (struct hb_admission){0};
}

void
hb_admission_begin(struct hb_admission *a, uint64_t hz, uint64_t now)
{
	a->window_cycles = hz * HB_ADMISSION_WINDOW_US / 1000000;
	a->target_cycles = hz * HB_ADMISSION_TARGET_US / 1000000;
	a->turn_cycles = hz * HB_ADMISSION_TURN_S;
	a->turned = now;
}

/* ---- requests ------------------------------------------------------------------------ */

/* Fetches what hb_admission_repeats() will look at. */
HB_FETCH
fetch_told(const struct hb_admission *a, const struct hb_request *r)
{
	uint64_t bucket = hb_admission_bucket(a, r->user, r->campaign, r->seq);

	__builtin_prefetch(&a->told_by_lane[hb_lane(r->shard)][bucket / 64]);
}

/* Brings those of n requests to the front that may be repeats of told wins. Returns how many. */
static unsigned
told_first(const struct hb_admission *a, struct hb_request *r, unsigned n)
{
	unsigned told = 0;

	for (unsigned i = 0; i < n; i++) {
		if (HB_LIKELY(!hb_admission_repeats(a, &r[i])))
			continue;
		struct hb_request other = r[told];

		r[told++] = r[i];
		r[i] = other;
	}
	return told;
}

/* Which of n requests the level doesn't let in, a bit for each. No branch: which they are is
 * chance. */
static uint64_t
late_ones(const struct hb_admission *a, const struct hb_request *r, unsigned n)
{
	uint64_t late = 0;

	for (unsigned i = 0; i < n; i++)
		late |= (uint64_t)(hb_admission_priority(a, r[i].op, r[i].user) >= a->level) << i;
	return late;
}

unsigned
hb_admission_sort(const struct hb_admission *a, struct hb_request *r, unsigned n)
{
	unsigned most = hb_admission_most(a), refused = 0;
	uint64_t late = most != 0 ? late_ones(a, r, n) : 0;
	struct hb_request out[HB_BURST];
	unsigned in = late != 0 ? (unsigned)__builtin_ctzll(late) : n;

	/* Who is let in moves up in runs, in the order of arrival. */
	for (; late != 0 && refused < most; late &= late - 1) {
		unsigned at = (unsigned)__builtin_ctzll(late), end = n;
		uint64_t later = late & (late - 1);

		if (later != 0 && refused + 1 < most)
			end = (unsigned)__builtin_ctzll(later);
		fetch_told(a, &r[at]);
		out[refused++] = r[at];
		memmove(&r[in], &r[at + 1], (end - at - 1) * sizeof(*r));
		in += end - at - 1;
	}
	memcpy(r + in, out, refused * sizeof(*r));
	return in + told_first(a, r + in, refused);
}

void
hb_admission_count(struct hb_admission *a, const struct hb_request *r, unsigned n, bool let_in)
{
	uint32_t paid = n * HB_ADMISSION_SHARE;
	uint64_t classes = 0;

	for (unsigned i = 0; i < n; i++)
		classes += 1ull << (HB_OP_PACK - r[i].op) * CLASS_BITS;
	a->classes += classes;
	if (let_in)
		a->credit = a->credit + n < CREDIT_MAX ? a->credit + n : CREDIT_MAX;
	else
		a->credit = a->credit > paid ? a->credit - paid : 0;
}

/* ---- windows ------------------------------------------------------------------------- */

static unsigned
class_count(const struct hb_admission *a, unsigned class)
{
	return (uint16_t)(a->classes >> class * CLASS_BITS);
}

/* How many of the window's requests a level lets in, times HB_ADMISSION_USER_LEVELS: within a class
 * users stand on each level alike. */
static uint64_t
let_in_by(const struct hb_admission *a, uint32_t level)
{
	uint64_t sum = 0;

	for (unsigned c = 0; c < HB_ADMISSION_CLASSES; c++) {
		uint32_t begin = c * HB_ADMISSION_USER_LEVELS, of = 0;

		if (level > begin)
			of = level - begin;
		if (of > HB_ADMISSION_USER_LEVELS)
			of = HB_ADMISSION_USER_LEVELS;
		sum += (uint64_t)class_count(a, c) * of;
	}
	return sum;
}

/* The highest level that lets in so many of them at the most. */
static uint32_t
level_for(const struct hb_admission *a, uint64_t wanted)
{
	for (unsigned c = 0; c < HB_ADMISSION_CLASSES; c++) {
		uint64_t all = (uint64_t)class_count(a, c) * HB_ADMISSION_USER_LEVELS;

		if (wanted < all)
			return (uint32_t)(c * HB_ADMISSION_USER_LEVELS +
					  wanted / class_count(a, c));
		wanted -= all;
	}
	return HB_ADMISSION_ALL;
}

/* Lets in 5% less than now, but no less than finds a batch to refuse in a burst. */
static void
lower(struct hb_admission *a, uint64_t all)
{
	uint64_t now = let_in_by(a, a->level), least = all * (HB_BURST - HB_ADMISSION_BATCH);
	uint64_t wanted = now * (100 - HB_ADMISSION_DOWN) / 100;

	least = a->unbounded ? 0 : least / HB_BURST;
	uint32_t level = level_for(a, wanted > least ? wanted : least);
	/* What came may have changed so that less would be let in already. */
	if (level < a->level)
		a->level = level;
}

/* Lets in more: by 1% of what came, or of the levels where nothing came. */
static void
rise(struct hb_admission *a, uint64_t all)
{
	uint32_t level = a->level + HB_ADMISSION_ALL * HB_ADMISSION_UP / 100;

	if (all != 0)
		level = level_for(a, let_in_by(a, a->level) + all * HB_ADMISSION_UP / 100);
	if (level <= a->level)
		level = a->level + 1;
	a->level = level < HB_ADMISSION_ALL ? level : HB_ADMISSION_ALL;
}

/* Gives users new levels when the old ones have had their time. */
static void
turn_users(struct hb_admission *a, uint64_t now)
{
	if (now - a->turned < a->turn_cycles)
		return;
	a->turned = now;
	for (unsigned i = 0; i < HB_COUNT_OF(a->user_key); i++)
		a->user_key[i] = hb_splitmix64(&a->random);
}

void
hb_admission_restart(struct hb_admission *a)
{
	a->frames = 0;
	a->cycles = 0;
	a->classes = 0;
	a->standing = true;
}

void
hb_admission_judge(struct hb_admission *a, bool overloaded, uint64_t now)
{
	uint64_t all = let_in_by(a, HB_ADMISSION_ALL);

	if (overloaded)
		lower(a, all);
	else if (a->level < HB_ADMISSION_ALL)
		rise(a, all);
	a->admitted = all != 0 ? (uint32_t)(let_in_by(a, a->level) * 1000 / all)
			       : a->level * 1000 / HB_ADMISSION_ALL;
	a->windows++;
	turn_users(a, now);
	hb_admission_restart(a);
}

void
hb_admission_open(struct hb_admission *a)
{
	a->level = HB_ADMISSION_ALL;
	a->admitted = 1000;
	hb_admission_restart(a);
}
