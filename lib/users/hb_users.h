/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_users: what a core remembers of its users in each campaign: the last request that it answered
 * finally, with the outcome, how often they won, and when they last asked.
 *
 * A fixed table of rows of 16 bytes, four to a cache line, and 4 bytes of detail for each in an
 * array beside it, which is touched only for winners and where a campaign limits how often one may
 * ask: at the highest load that is 24 bytes a user. Bucket by a keyed hash, then linear probing
 * over buckets, so that one cache line answers most look-ups. Rows are never taken out, so probing
 * needs no tombstones: when the table holds as many users as it was made for, a new one takes the
 * row of somebody in its way who never won. Winners stay for ever.
 *
 * Owner: one core, which alone calls everything but make and free. No call allocates or blocks. Its
 * four counters may be read by anybody at any time (hb_read()).
 */
#ifndef HB_USERS_H
#define HB_USERS_H

#include "hb_stats.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define HB_USERS_BUCKET 4

/* A row: 16 bytes. user 0 marks a free one; a bucket's rows are taken from the front. */
struct hb_user {
	uint64_t user;
	uint32_t seq; /* the last that was answered finally */
	uint16_t campaign;
	uint16_t wins : 13;
	uint16_t outcome : 3; /* enum hb_outcome of seq */
};
_Static_assert(sizeof(struct hb_user) == 16, "four rows to a cache line");

#define HB_USER_WINS_MAX 8191

/* How a request was answered finally. */
enum hb_outcome {
	HB_OUTCOME_NONE,
	HB_OUTCOME_WIN,
	HB_OUTCOME_MISS,
	HB_OUTCOME_QUOTA,
	HB_OUTCOME_EMPTY,
	HB_OUTCOME_WRONG,
	HB_OUTCOME_BUNDLE,
};

/* The owner core alone touches any of this, but for the counters: owner: wo; all others: ro. */
struct hb_users {
	struct hb_user *rows;
	uint32_t *detail;   /* by row: for one who won the envelope's number, else ms of the last
			       request */
	uint64_t buckets;   /* the first one follows the last */
	uint64_t limit;	    /* users that it was made for */
	uint64_t used;	    /* rows in use */
	uint64_t winners;   /* of them with a win */
	uint64_t forgotten; /* users who lost their row to another */
	uint64_t refused;   /* users for whom only winners stood in the way */
	uint64_t key[2];
	struct hb_mem rows_mem, detail_mem;
};

/* Buckets, its home included, in which a user can stand. In a table as full as it was made for, the
 * way to a free row is never that long but once in 10^14 tables (Chernoff's bound for a run of full
 * buckets). */
#define HB_USERS_REACH 512

/* Bytes that a table for so many users takes. */
uint64_t hb_users_bytes(uint64_t users);

/* Maps a table for `users` users. key: secret, against chosen collisions. Returns 0 or -ENOMEM. */
int hb_users_make(struct hb_users *t, uint64_t users, const uint64_t key[2], struct hb_error *e);
void hb_users_free(struct hb_users *t);

/* The keyed hash of a user in a campaign, for the calls below. */
static inline uint64_t
hb_users_hash(const struct hb_users *t, uint16_t campaign, uint64_t user)
{
	return hb_mix64(user ^ t->key[0], t->key[1] ^ (campaign * 0x9E3779B97F4A7C15ULL));
}

/* The first row of a hash's home bucket. */
static inline struct hb_user *
hb_users_home(const struct hb_users *t, uint64_t hash)
{
	return &t->rows[(uint64_t)(((unsigned __int128)hash * t->buckets) >> 64) * HB_USERS_BUCKET];
}

HB_FETCH
hb_users_prefetch(const struct hb_users *t, uint64_t hash)
{
	__builtin_prefetch(hb_users_home(t, hash), 1);
}

/* Which rows of a bucket are the user's, in whatever campaign, or free: bit i for row i. No branch
 * on where it is, which cannot be foretold. */
static inline unsigned
hb_users_mark(const struct hb_user *bucket, uint64_t user)
{
#ifdef __AVX512F__
	/* A bucket is a register; the users are every other word of it. */
	const __mmask8 users = 0x55;
	__m512i rows = _mm512_load_si512(bucket);
	unsigned found =
		_mm512_mask_cmpeq_epi64_mask(users, rows, _mm512_set1_epi64((long long)user)) |
		_mm512_mask_testn_epi64_mask(users, rows, rows);

	return _pext_u32(found, users);
#else
	unsigned found = 0;

	for (unsigned i = 0; i < HB_USERS_BUCKET; i++)
		found |= (unsigned)((bucket[i].user == user) | (bucket[i].user == 0)) << i;
	return found;
#endif
}

/* The first row of a bucket that is the user's or free, or NULL. That it is the user's in another
 * campaign is rare. */
static inline struct hb_user *
hb_users_look_in_bucket(struct hb_user *bucket, uint16_t campaign, uint64_t user)
{
	for (unsigned found = hb_users_mark(bucket, user); found != 0; found &= found - 1) {
		struct hb_user *row = &bucket[__builtin_ctz(found)];

		if (HB_LIKELY(row->campaign == campaign || row->user == 0))
			return row;
	}
	return NULL;
}

/* The search beyond the home bucket: a function of its own, since nearly all end in there. */
struct hb_user *hb_users_look_beyond(
	const struct hb_users *t, struct hb_user *home, uint16_t campaign, uint64_t user);

/* Where a user stands or would stand: the user's row, or the free one that ends the way, in which
 * everything is 0, or NULL where there is neither. */
static inline struct hb_user *
hb_users_look(const struct hb_users *t, uint64_t hash, uint16_t campaign, uint64_t user)
{
	struct hb_user *home = hb_users_home(t, hash);
	struct hb_user *row = hb_users_look_in_bucket(home, campaign, user);

	return HB_LIKELY(row != NULL) ? row : hb_users_look_beyond(t, home, campaign, user);
}

/* A user's row, or NULL. */
static inline struct hb_user *
hb_users_find(const struct hb_users *t, uint64_t hash, uint16_t campaign, uint64_t user)
{
	struct hb_user *row = hb_users_look(t, hash, campaign, user);

	return row == NULL || row->user == 0 ? NULL : row;
}

/* hb_users_take() where the table is full, or no free row is in reach: in place of somebody who
 * never won. */
struct hb_user *hb_users_take_over(
	struct hb_users *t, uint64_t hash, uint16_t campaign, uint64_t user);

/* Makes the row that hb_users_look() returned the user's, if it isn't yet: then only user and
 * campaign are set in it. NULL when the table is full and everybody in the way has won. */
static inline struct hb_user *
hb_users_take(
	struct hb_users *t, struct hb_user *row, uint64_t hash, uint16_t campaign, uint64_t user)
{
	if (HB_UNLIKELY(row == NULL))
		return hb_users_take_over(t, hash, campaign, user);
	if (row->user != 0)
		return row;
	if (HB_UNLIKELY(t->used >= t->limit))
		return hb_users_take_over(t, hash, campaign, user);
	hb_count(&t->used, 1);
	row->user = user;
	row->campaign = campaign;
	return row;
}

static inline uint32_t *
hb_users_detail(const struct hb_users *t, const struct hb_user *row)
{
	return &t->detail[row - t->rows];
}

#endif
