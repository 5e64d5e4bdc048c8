/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <stdio.h>

const char *
hb_split_name(unsigned split)
{
	switch (split) {
	case HB_SPLIT_EQUAL:
		return "equal";
	case HB_SPLIT_LUCKY:
		return "lucky";
	case HB_SPLIT_TIERS:
		return "tiers";
	default:
		return "?";
	}
}

/* ---- terms -------------------------------------------------------------------------- */

static int
check_tiers(const struct hb_terms *t, struct hb_error *e)
{
	uint64_t count = 0, total = 0;

	if (t->tiers == 0 || t->tiers > HB_TIERS_MAX)
		return hb_fail(e, EINVAL, "%u tiers; write 1 to %u", t->tiers, HB_TIERS_MAX);
	for (unsigned i = 0; i < t->tiers; i++) {
		if (t->tier[i].count == 0 || t->tier[i].amount == 0)
			return hb_fail(e, EINVAL,
				"tier %u is %u envelopes of %u fen; write at least 1 of at least 1",
				i + 1, t->tier[i].count, t->tier[i].amount);
		count += t->tier[i].count;
		total += (uint64_t)t->tier[i].count * t->tier[i].amount;
	}
	if (count != t->count || total != t->total)
		return hb_fail(e, EINVAL,
			"the tiers make %llu envelopes of %llu fen, not count %u and total %llu",
			(unsigned long long)count, (unsigned long long)total, t->count,
			(unsigned long long)t->total);
	return 0;
}

int
hb_terms_check(const struct hb_terms *t, struct hb_error *e)
{
	if (t->split < HB_SPLIT_EQUAL || t->split > HB_SPLIT_TIERS)
		return hb_fail(e, EINVAL, "split %u; write equal, lucky or tiers", t->split);
	if (t->count == 0)
		return hb_fail(e, EINVAL, "count 0; write at least 1 envelope");
	if (t->total < t->count)
		return hb_fail(e, EINVAL,
			"total %llu fen is below 1 fen for each of %u envelopes; write at least %u",
			(unsigned long long)t->total, t->count, t->count);
	uint64_t most = (uint64_t)t->count * UINT32_MAX;
	if (most > HB_TOTAL_MAX)
		most = HB_TOTAL_MAX;
	if (t->total > most)
		return hb_fail(e, EINVAL,
			"total %llu fen is too much for %u envelopes of at most %u fen; write at "
			"most %llu",
			(unsigned long long)t->total, t->count, UINT32_MAX,
			(unsigned long long)most);
	if (t->split == HB_SPLIT_TIERS)
		return check_tiers(t, e);
	if (t->tiers != 0)
		return hb_fail(e, EINVAL, "%u tiers beside split %s; leave one of them out",
			t->tiers, hb_split_name(t->split));
	return 0;
}

/* ---- lucky amounts ------------------------------------------------------------------ */

/* Uniform in [0, n), n >= 1: Lemire, "Fast random integer generation in an interval", 2019. */
static uint64_t
uniform(uint64_t n, uint64_t *random)
{
	unsigned __int128 m = (unsigned __int128)hb_splitmix64(random) * n;

	if (HB_UNLIKELY((uint64_t)m < n)) {
		uint64_t least = -n % n;

		while ((uint64_t)m < least)
			m = (unsigned __int128)hb_splitmix64(random) * n;
	}
	return (uint64_t)(m >> 64);
}

/*
 * The highest amount is 2m - 1, where m = fen / shares: then the mean of 1 .. 2m - 1 is m, for this
 * share and, by induction, for each that follows. Where 2m is no integer, it is rounded up as often
 * as keeps that mean. 2m - 1 <= fen - (shares - 1) holds whenever fen >= shares, so that what the
 * others need is never touched.
 */
static inline uint64_t
lucky(uint64_t twice_mean, uint64_t rest, uint32_t shares, uint64_t *random)
{
	uint64_t highest = twice_mean - 1;

	if (rest != 0)
		highest += uniform(shares, random) < rest;
	return 1 + uniform(highest, random);
}

uint64_t
hb_lucky(uint64_t fen, uint32_t shares, uint64_t *random)
{
	if (shares == 1)
		return fen;
	return lucky(2 * fen / shares, 2 * fen % shares, shares, random);
}

/* An envelope's amount travels in 32 bits. With many envelopes the remaining mean never gets near
 * that, but nothing else forbids it: what the envelopes that follow could not hold must be given
 * now. */
static uint64_t
clamp_to_wire(uint64_t amount, uint64_t fen, uint32_t shares)
{
	uint64_t others = (uint64_t)(shares - 1) * UINT32_MAX;
	uint64_t least = fen > others ? fen - others : 1;

	if (amount > UINT32_MAX)
		amount = UINT32_MAX;
	return amount < least ? least : amount;
}

static void
divide(struct hb_splitter *s, uint32_t left)
{
	s->twice_mean = 2 * s->fen_left / left;
	s->rest = 2 * s->fen_left % left;
}

/* Brings twice_mean and rest up to date after an amount was given out of left + 1 shares. From one
 * envelope to the next the quotient moves by 1 at most, as long as many are left: a division for
 * each would take most of the time. */
static inline void
follow(struct hb_splitter *s, uint64_t amount, uint32_t left)
{
	int64_t rest = (int64_t)(s->twice_mean + s->rest) - 2 * (int64_t)amount;

	if (rest < 0) {
		rest += left;
		s->twice_mean--;
	} else if (rest >= left) {
		rest -= left;
		s->twice_mean++;
	}
	s->rest = (uint64_t)rest;
	if (HB_UNLIKELY((rest < 0 || rest >= left) && left > 0))
		divide(s, left);
}

/* The same amounts as hb_lucky() gives. */
static inline uint64_t
lucky_amount(struct hb_splitter *s, uint32_t left)
{
	uint64_t fen = s->fen_left, amount = fen;

	if (left > 1)
		amount = clamp_to_wire(lucky(s->twice_mean, s->rest, left, &s->random), fen, left);
	s->fen_left = fen - amount;
	follow(s, amount, left - 1);
	return amount;
}

/* ---- tiers --------------------------------------------------------------------------- */

/* Draws one of the envelopes that are left, all alike: a shuffle without memory. */
static uint32_t
tier_amount(struct hb_splitter *s, uint32_t left)
{
	uint64_t drawn = uniform(left, &s->random);
	unsigned tier = 0;

	for (; drawn >= s->tier_left[tier]; tier++)
		drawn -= s->tier_left[tier];
	s->tier_left[tier]--;
	return s->terms->tier[tier].amount;
}

/* ---- one amount after the other ------------------------------------------------------ */

void
hb_splitter_begin(struct hb_splitter *s, const struct hb_terms *t)
{
	*s = (struct hb_splitter){.terms = t, .fen_left = t->total, .random = t->seed};
	for (unsigned i = 0; i < t->tiers; i++)
		s->tier_left[i] = t->tier[i].count;
	divide(s, t->count);
}

uint32_t
hb_splitter_next(struct hb_splitter *s)
{
	const struct hb_terms *t = s->terms;
	uint32_t left = t->count - s->made;
	uint64_t amount;

	switch (t->split) {
	case HB_SPLIT_EQUAL:
		amount = t->total / t->count + (s->made < t->total % t->count);
		break;
	case HB_SPLIT_LUCKY:
		amount = lucky_amount(s, left);
		break;
	default:
		amount = tier_amount(s, left);
		break;
	}
	s->made++;
	return (uint32_t)amount;
}

/* ---- envelopes ---------------------------------------------------------------------- */

int
hb_envelopes_map(
	struct hb_envelopes *v, const struct hb_terms *t, const char *name, struct hb_error *e)
{
	char what[128];
	int err;

	*v = (struct hb_envelopes){0};
	if ((err = hb_terms_check(t, e)) != 0)
		return err;
	snprintf(what, sizeof(what), "envelopes of campaign %s (count %u)", name, t->count);
	if ((err = hb_mem_alloc(&v->mem, (size_t)t->count * sizeof(*v->of), what, e)) != 0)
		return err;
	v->of = v->mem.addr;
	v->count = t->count;
	v->fen = t->total;
	return 0;
}

void
hb_envelopes_fill(struct hb_envelopes *v, struct hb_splitter *s, uint32_t upto)
{
	while (s->made < upto) {
		struct hb_envelope *next = &v->of[s->made];

		next->amount = hb_splitter_next(s);
	}
}

int
hb_envelopes_make(
	struct hb_envelopes *v, const struct hb_terms *t, const char *name, struct hb_error *e)
{
	struct hb_splitter s;
	int err = hb_envelopes_map(v, t, name, e);

	if (err != 0)
		return err;
	hb_splitter_begin(&s, t);
	hb_envelopes_fill(v, &s, v->count);
	return 0;
}

void
hb_envelopes_free(struct hb_envelopes *v)
{
	hb_mem_free(&v->mem);
	*v = (struct hb_envelopes){0};
}

/* ---- a core's stock ----------------------------------------------------------------- */

int
hb_stock_add(struct hb_stock *s, struct hb_range r)
{
	if (r.count == 0)
		return 0;
	for (unsigned i = 0; i < s->ranges; i++) {
		struct hb_range *have = &s->range[i];

		if (have->first + have->count == r.first || r.first + r.count == have->first) {
			if (r.first < have->first)
				have->first = r.first;
			have->count += r.count;
			s->count += r.count;
			return 0;
		}
	}
	if (s->ranges == HB_STOCK_RANGES)
		return -ENOSPC;
	/* At the bottom, so that what is being popped goes on being popped. */
	memmove(&s->range[1], &s->range[0], s->ranges * sizeof(s->range[0]));
	s->range[0] = r;
	s->ranges++;
	s->count += r.count;
	return 0;
}

struct hb_range
hb_stock_cut(struct hb_stock *s, uint32_t count)
{
	struct hb_range out = {0};

	if (s->ranges == 0 || count == 0)
		return out;
	struct hb_range *last = &s->range[0];
	out.count = count < last->count ? count : last->count;
	out.first = last->first + last->count - out.count;
	last->count -= out.count;
	s->count -= out.count;
	if (last->count == 0) {
		s->ranges--;
		memmove(&s->range[0], &s->range[1], s->ranges * sizeof(s->range[0]));
	}
	return out;
}

/* ---- tiers on a command line ----------------------------------------------------------- */

int
hb_tiers_parse(struct hb_terms *t, const char *text, struct hb_error *e)
{
	unsigned count, amount;
	const char *p = text;
	int n = 0;

	for (t->tiers = 0; t->tiers < HB_TIERS_MAX; p += n + 1) {
		if (strspn(p, "0123456789*,") != strlen(p) ||
			sscanf(p, "%10u*%10u%n", &count, &amount, &n) != 2)
			break;
		t->tier[t->tiers++] = (struct hb_tier){.count = count, .amount = amount};
		if (p[n] == '\0')
			return 0;
		if (p[n] != ',')
			break;
	}
	return hb_fail(e, EINVAL, "tiers: '%s'; write e.g. 20*500,1*8800, at most %u of them", text,
		HB_TIERS_MAX);
}

/* ---- tranches ------------------------------------------------------------------------ */

/* How many of them begin before a number on the wire, in by_number[]. */
static unsigned
tranches_before(const struct hb_tranches *t, uint32_t issued)
{
	unsigned low = 0, high = t->count;

	while (low < high) {
		unsigned half = (low + high) / 2, i = t->by_number[half];

		if (t->first[i] + t->shift[i] < issued)
			low = half + 1;
		else
			high = half;
	}
	return low;
}

void
hb_tranches_add(struct hb_tranches *t, uint32_t first, uint32_t issued,
	const struct hb_envelopes *v, const struct hb_terms *terms, uint32_t block)
{
	unsigned n = t->count, place = tranches_before(t, issued);

	t->first[n] = first;
	t->shift[n] = issued - first;
	t->of[n] = *v;
	t->seed[n] = terms->seed;
	t->block[n] = block;
	t->tiered[n] = terms->split == HB_SPLIT_TIERS;
	memmove(&t->by_number[place + 1], &t->by_number[place],
		(n - place) * sizeof(t->by_number[0]));
	t->by_number[place] = (uint16_t)n;
	t->count++;
}

int
hb_tranches_block(const struct hb_tranches *t, uint64_t block)
{
	for (unsigned i = 0; i < t->count; i++) {
		if (t->block[i] == block && block != 0)
			return (int)i;
	}
	return -1;
}

int
hb_tranches_holder(const struct hb_tranches *t, uint32_t issued)
{
	unsigned place = tranches_before(t, issued);

	/* It begins with the number, or before it. */
	if (place == t->count ||
		t->first[t->by_number[place]] + t->shift[t->by_number[place]] != issued) {
		if (place == 0)
			return -1;
		place--;
	}
	unsigned i = t->by_number[place];
	uint32_t begins = t->first[i] + t->shift[i];

	return issued - begins < t->of[i].count ? (int)i : -1;
}

bool
hb_tranches_apart(const struct hb_tranches *t, uint32_t issued, uint32_t count)
{
	unsigned place = tranches_before(t, issued);

	if (hb_tranches_holder(t, issued) >= 0)
		return false;
	if (place == t->count)
		return true;
	unsigned i = t->by_number[place];
	return t->first[i] + t->shift[i] - issued >= count;
}

/* ---- wins on other hosts -------------------------------------------------------------- */

struct hb_moved_win *
hb_moved_room(struct hb_moved *m, uint32_t i)
{
	uint32_t number = m->count + i, chunk = number / HB_MOVED_CHUNK;

	if (chunk == HB_MOVED_CHUNKS)
		return NULL;
	if (m->chunk[chunk] == NULL)
		m->chunk[chunk] = calloc(HB_MOVED_CHUNK, sizeof(**m->chunk));
	return m->chunk[chunk] == NULL ? NULL : &m->chunk[chunk][number % HB_MOVED_CHUNK];
}

void
hb_moved_free(struct hb_moved *m)
{
	for (unsigned i = 0; m != NULL && i < HB_MOVED_CHUNKS; i++)
		free(m->chunk[i]);
	free(m);
}
