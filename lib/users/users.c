/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_users.h"

#include <stdio.h>

/* Rows in use in a bucket of four, on average, when the table is as full as it was made for: 10/3,
 * so that the 80 bytes of a bucket and its details are 24 for each user. A look-up then reads 1.13
 * lines on average (Knuth, TAOCP 3, 6.4, table 4, and the test). */
#define FILL_NUMERATOR 10
#define FILL_DENOMINATOR 3

/* Above this load probing would get long; only a table full of winners comes here. */
#define HIGHEST_LOAD(slots) ((slots) - (slots) / 16)

static uint64_t
buckets_for(uint64_t users)
{
	uint64_t n = users * FILL_DENOMINATOR / FILL_NUMERATOR;
	uint64_t least = (users + HB_USERS_BUCKET - 1) / HB_USERS_BUCKET;

	/* In a table of under 17 users the fraction matters. */
	return n < least ? least : n;
}

static uint64_t
rows_for(uint64_t users)
{
	return buckets_for(users) * HB_USERS_BUCKET;
}

uint64_t
hb_users_bytes(uint64_t users)
{
	return rows_for(users) * (sizeof(struct hb_user) + sizeof(uint32_t));
}

int
hb_users_make(struct hb_users *t, uint64_t users, const uint64_t key[2], struct hb_error *e)
{
	char what[96];
	int err;

	*t = (struct hb_users){
		.buckets = buckets_for(users), .limit = users, .key = {key[0], key[1]}};
	snprintf(what, sizeof(what), "user table (users: %llu)", (unsigned long long)users);
	err = hb_mem_alloc(&t->rows_mem, rows_for(users) * sizeof(*t->rows), what, e);
	if (err == 0)
		err = hb_mem_alloc(&t->detail_mem, rows_for(users) * sizeof(*t->detail), what, e);
	if (err != 0) {
		hb_users_free(t);
		return err;
	}
	t->rows = t->rows_mem.addr;
	t->detail = t->detail_mem.addr;
	return 0;
}

void
hb_users_free(struct hb_users *t)
{
	hb_mem_free(&t->rows_mem);
	hb_mem_free(&t->detail_mem);
	*t = (struct hb_users){0};
}

/* ---- the way from a home bucket ------------------------------------------------------- */

/* Rows on a way: as many as the reach has, or all there are. */
static uint64_t
way_rows(const struct hb_users *t)
{
	return HB_USERS_BUCKET * (t->buckets < HB_USERS_REACH ? t->buckets : HB_USERS_REACH);
}

/* The row after this one; the first one follows the last. */
static inline struct hb_user *
next_row(const struct hb_users *t, struct hb_user *row)
{
	return ++row == t->rows + t->buckets * HB_USERS_BUCKET ? t->rows : row;
}

struct hb_user *
hb_users_look_beyond(
	const struct hb_users *t, struct hb_user *home, uint16_t campaign, uint64_t user)
{
	struct hb_user *bucket = home, *row = NULL;

	for (uint64_t i = way_rows(t); i > HB_USERS_BUCKET && row == NULL; i -= HB_USERS_BUCKET) {
		bucket = next_row(t, bucket + HB_USERS_BUCKET - 1);
		row = hb_users_look_in_bucket(bucket, campaign, user);
	}
	return row;
}

/* The first row that is free on the way from home, or NULL within reach. */
static struct hb_user *
find_free(const struct hb_users *t, struct hb_user *home)
{
	struct hb_user *row = home;

	for (uint64_t i = way_rows(t); i > 0; i--, row = next_row(t, row)) {
		if (row->user == 0)
			return row;
	}
	return NULL;
}

/* Somebody on the way who never won, or NULL. In the home bucket the hash says where to look first,
 * so that it isn't always the same one who goes. The way ends at the first free row. */
static struct hb_user *
find_victim(const struct hb_users *t, struct hb_user *home, uint64_t hash)
{
	struct hb_user *row;

	for (unsigned i = 0; i < HB_USERS_BUCKET; i++) {
		row = &home[(hash + i) % HB_USERS_BUCKET];
		if (row->user != 0 && row->wins == 0)
			return row;
	}
	row = home;
	for (uint64_t i = way_rows(t); i > 0 && row->user != 0; i--, row = next_row(t, row)) {
		if (row->wins == 0)
			return row;
	}
	return NULL;
}

struct hb_user *
hb_users_take_over(struct hb_users *t, uint64_t hash, uint16_t campaign, uint64_t user)
{
	struct hb_user *home = hb_users_home(t, hash);
	uint64_t slots = t->buckets * HB_USERS_BUCKET;
	struct hb_user *row = t->used < t->limit ? NULL : find_victim(t, home, hash);

	/* Full with winners only in the way: there are more slots than users it was made for. */
	if (row == NULL && (t->used < HIGHEST_LOAD(slots) || home->user == 0))
		row = find_free(t, home);
	if (row == NULL)
		row = find_victim(t, home, hash);
	if (row == NULL) {
		hb_count(&t->refused, 1);
		return NULL;
	}
	if (row->user == 0) {
		hb_count(&t->used, 1);
	} else {
		hb_count(&t->forgotten, 1);
		*hb_users_detail(t, row) = 0;
	}
	*row = (struct hb_user){.user = user, .campaign = campaign};
	return row;
}
