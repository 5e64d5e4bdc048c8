/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The user table against the plainest of oracles: an array in which everybody has a place.
 */
#include "hb_users.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint64_t some_keys[][2] = {
	{0x0123456789ABCDEF, 0xFEDCBA9876543210},
	{0x9E3779B97F4A7C15, 0xD1B54A32D192ED03},
	{0x2545F4914F6CDD1D, 0x5851F42D4C957F2D},
	{0xE7037ED1A0B428DB, 0xA0761D6478BD642F},
};

/* ---- who there is ---------------------------------------------------------------------- */

/* User number i of a crowd, from 0: never 0, and never the same one twice. */
typedef uint64_t crowd(uint64_t i);

static uint64_t
in_sequence(uint64_t i)
{
	return i + 1;
}

static uint64_t
with_high_bits_only(uint64_t i)
{
	return (i + 1) << 44;
}

static uint64_t
with_top_bits_only(uint64_t i)
{
	return (i + 1) << 47;
}

static uint64_t
with_the_same_low_bits(uint64_t i)
{
	return i << 20 | 0x12345;
}

static uint64_t
with_the_same_low_word(uint64_t i)
{
	return (i + 1) << 32 | 0xDEADBEEF;
}

static uint64_t
scattered(uint64_t i)
{
	uint64_t state = i;

	return hb_splitmix64(&state);
}

static uint64_t
by_the_golden_ratio(uint64_t i)
{
	return (i + 1) * 0x9E3779B97F4A7C15;
}

static uint64_t
counted_down(uint64_t i)
{
	return UINT64_MAX - i;
}

/* All in one shard, as a core with a single lane sees them: the multiple's top 12 bits are equal.
 */
static uint64_t
of_one_shard(uint64_t i)
{
	/* The odd constant's inverse modulo 2^64. */
	return (i + 1) * 0xF1DE83E19937733D;
}

static crowd *const crowds[] = {in_sequence, with_high_bits_only, with_top_bits_only,
	with_the_same_low_bits, with_the_same_low_word, scattered, by_the_golden_ratio,
	counted_down, of_one_shard};

/* ---- the table, and looking at it --------------------------------------------------------- */

static void
make(struct hb_users *t, uint64_t limit, const uint64_t key[2])
{
	struct hb_error e = {""};

	if (hb_users_make(t, limit, key, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(t->limit, limit);
	assert_int_equal(t->used, 0);
}

/* As the engine takes somebody in. */
static struct hb_user *
look_and_take(struct hb_users *t, uint64_t hash, uint16_t campaign, uint64_t user)
{
	return hb_users_take(t, hb_users_look(t, hash, campaign, user), hash, campaign, user);
}

static struct hb_user *
find(const struct hb_users *t, uint16_t campaign, uint64_t user)
{
	struct hb_user *row = hb_users_find(t, hb_users_hash(t, campaign, user), campaign, user);

	if (row != NULL) {
		assert_int_equal(row->user, user);
		assert_int_equal(row->campaign, campaign);
	}
	return row;
}

/* Adds one who isn't there; the row is fresh. */
static struct hb_user *
add(struct hb_users *t, uint16_t campaign, uint64_t user)
{
	struct hb_user *row = look_and_take(t, hb_users_hash(t, campaign, user), campaign, user);

	if (row == NULL)
		return NULL;
	assert_int_equal(row->user, user);
	assert_int_equal(row->campaign, campaign);
	assert_int_equal(row->seq, 0);
	assert_int_equal(row->wins, 0);
	assert_int_equal(row->outcome, HB_OUTCOME_NONE);
	assert_int_equal(*hb_users_detail(t, row), 0);
	return row;
}

static uint64_t
slots_of(const struct hb_users *t)
{
	return t->buckets * HB_USERS_BUCKET;
}

/* How many rows from its home on a user of that hash may stand. */
static uint64_t
reach_of(const struct hb_users *t)
{
	uint64_t reach = HB_USERS_REACH * HB_USERS_BUCKET;

	return reach < slots_of(t) ? reach : slots_of(t);
}

/* Rows from home to a row; the first row follows the last. */
static uint64_t
way_to(const struct hb_users *t, uint64_t hash, const struct hb_user *row)
{
	uint64_t from = (uint64_t)(hb_users_home(t, hash) - t->rows),
		 to = (uint64_t)(row - t->rows);

	assert_true(from % HB_USERS_BUCKET == 0 && from < slots_of(t) && to < slots_of(t));
	return (to + slots_of(t) - from) % slots_of(t);
}

static uint32_t
detail_of(uint64_t user)
{
	return (uint32_t)(user * 0xD6E8FEB86659FD93 >> 32);
}

static void
fill_in(const struct hb_users *t, struct hb_user *row, uint32_t seq, unsigned wins)
{
	row->seq = seq;
	row->wins = (uint16_t)(wins & HB_USER_WINS_MAX);
	row->outcome = wins > 0 ? HB_OUTCOME_WIN : HB_OUTCOME_MISS;
	*hb_users_detail(t, row) = detail_of(row->user);
}

/* Rows that are taken, wherever they stand; every one can be found from its home, and once. */
static uint64_t
count_rows(const struct hb_users *t)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < slots_of(t); i++) {
		const struct hb_user *row = &t->rows[i];

		if (row->user == 0)
			continue;
		n++;
		assert_ptr_equal(find(t, row->campaign, row->user), row);
	}
	return n;
}

/* Whether anybody stands on the way from a hash's home to the first free row who never won. */
static bool
somebody_could_go(const struct hb_users *t, uint64_t hash)
{
	uint64_t home = (uint64_t)(hb_users_home(t, hash) - t->rows);

	for (uint64_t i = 0; i < reach_of(t); i++) {
		const struct hb_user *row = &t->rows[(home + i) % slots_of(t)];

		if (row->user == 0)
			return false;
		if (row->wins == 0)
			return true;
	}
	return false;
}

/* ---- up to the limit ------------------------------------------------------------------------ */

static void
fill_to_the_limit(uint64_t limit, crowd *who, const uint64_t key[2])
{
	struct hb_users t;

	make(&t, limit, key);
	for (uint64_t i = 0; i < limit; i++) {
		assert_null(find(&t, 7, who(i)));
		struct hb_user *row = add(&t, 7, who(i));
		assert_non_null(row);
		fill_in(&t, row, (uint32_t)i + 1, i % 3 == 0 ? 1 + (unsigned)i % 5 : 0);
		assert_int_equal(t.used, i + 1);
	}
	assert_int_equal(t.forgotten, 0);
	assert_int_equal(t.refused, 0);
	for (uint64_t i = 0; i < limit; i++) {
		struct hb_user *row = find(&t, 7, who(i));

		if (row == NULL)
			fail_msg("user %llu of %llu was forgotten", (unsigned long long)i,
				(unsigned long long)limit);
		assert_int_equal(row->seq, (uint32_t)i + 1);
		assert_int_equal(row->wins, i % 3 == 0 ? 1 + i % 5 : 0);
		assert_int_equal(*hb_users_detail(&t, row), detail_of(who(i)));
	}
	for (uint64_t i = 0; i < 1000; i++) {
		assert_null(find(&t, 7, who(limit + i)));
		assert_null(find(&t, 8, who(i)));
	}
	assert_int_equal(count_rows(&t), limit);
	hb_users_free(&t);
	assert_null(t.rows);
	hb_users_free(&t);
}

static void
nobody_is_forgotten_up_to_the_limit(void **state)
{
	static const uint64_t limits[] = {1, 2, 3, 4, 5, 10, 16, 100, 1000};

	(void)state;
	for (unsigned k = 0; k < HB_COUNT_OF(some_keys); k++) {
		for (unsigned l = 0; l < HB_COUNT_OF(limits); l++) {
			for (unsigned c = 0; c < HB_COUNT_OF(crowds); c++)
				fill_to_the_limit(limits[l], crowds[c], some_keys[k]);
		}
	}
}

static void
nobody_of_100000_is_forgotten_whoever_they_are(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (unsigned c = 0; c < HB_COUNT_OF(crowds); c++) {
		for (unsigned k = 0; k < 3; k++) {
			uint64_t key[2] = {hb_splitmix64(&random), hb_splitmix64(&random)};

			fill_to_the_limit(100000, crowds[c], key);
		}
	}
}

/* Few users in many campaigns are as many rows, each its own. */
static void
a_user_is_another_in_another_campaign(void **state)
{
	const unsigned users = 50, campaigns = 400;
	struct hb_users t;

	(void)state;
	for (unsigned k = 0; k < HB_COUNT_OF(some_keys); k++) {
		make(&t, users * campaigns, some_keys[k]);
		for (unsigned c = 1; c <= campaigns; c++) {
			for (unsigned u = 1; u <= users; u++) {
				assert_null(find(&t, (uint16_t)(c * 160), u));
				struct hb_user *row = add(&t, (uint16_t)(c * 160), u);
				assert_non_null(row);
				fill_in(&t, row, c * 1000 + u, c % 2);
			}
		}
		for (unsigned c = 1; c <= campaigns; c++) {
			for (unsigned u = 1; u <= users; u++) {
				struct hb_user *row = find(&t, (uint16_t)(c * 160), u);

				assert_non_null(row);
				assert_int_equal(row->seq, c * 1000 + u);
				assert_int_equal(row->wins, c % 2);
			}
		}
		assert_int_equal(t.used, users * campaigns);
		assert_int_equal(t.forgotten + t.refused, 0);
		assert_int_equal(count_rows(&t), users * campaigns);
		hb_users_free(&t);
	}
}

/* However the ids are chosen, few stand far from home: a look-up stays a line or two. */
static void
nobody_stands_far_from_home(void **state)
{
	const uint64_t limit = 60000;
	uint64_t random = 2;

	(void)state;
	for (unsigned c = 0; c < HB_COUNT_OF(crowds); c++) {
		uint64_t key[2] = {hb_splitmix64(&random), hb_splitmix64(&random)};
		uint64_t away = 0, farthest = 0;
		struct hb_users t;

		make(&t, limit, key);
		for (uint64_t i = 0; i < limit; i++) {
			uint64_t hash = hb_users_hash(&t, 3, crowds[c](i));
			struct hb_user *row = add(&t, 3, crowds[c](i));

			assert_non_null(row);
			uint64_t far = way_to(&t, hash, row) / HB_USERS_BUCKET;
			away += far;
			farthest = far > farthest ? far : farthest;
		}
		hb_users_free(&t);
		if (farthest >= HB_USERS_REACH / 2 || away > 2 * limit)
			fail_msg("crowd %u: %llu buckets away at the most, %.2f on average", c,
				(unsigned long long)farthest, (double)away / (double)limit);
	}
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void
a_user_takes_24_bytes_at_the_most(void **state)
{
	static const uint64_t users[] = {1000000, 10000000, 200000000, 1000000000};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(users); i++) {
		if (hb_users_bytes(users[i]) > 24 * users[i])
			fail_msg("%llu users: %llu bytes too many", (unsigned long long)users[i],
				(unsigned long long)(hb_users_bytes(users[i]) - 24 * users[i]));
		assert_true(hb_users_bytes(users[i]) > 20 * users[i]);
	}
}

static void
the_bytes_announced_are_those_taken(void **state)
{
	static const uint64_t users[] = {1, 1000, 500000};

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(users); i++) {
		uint64_t said = hb_users_bytes(users[i]);
		struct hb_users t;

		make(&t, users[i], some_keys[0]);
		uint64_t taken = t.rows_mem.bytes + t.detail_mem.bytes;
		/* Pages round up, each of two regions. */
		assert_in_range(taken, said, said + 2 * (2 << 20));
		hb_users_free(&t);
	}
}

static void
a_table_that_has_no_room_is_refused(void **state)
{
	struct hb_users t;
	struct hb_error e = {""};

	(void)state;
	for (unsigned bits = 40; bits < 60; bits++) {
		memset(&t, 0xA5, sizeof(t));
		assert_int_equal(hb_users_make(&t, 1ull << bits, some_keys[0], &e), -ENOMEM);
		assert_non_null(strstr(e.text, "user"));
		assert_null(t.rows);
		assert_null(t.rows_mem.addr);
		assert_null(t.detail_mem.addr);
	}
}

/* ---- beyond the limit -------------------------------------------------------------------------
 */

/* Half have won; then come many more. */
static void
winners_stay_and_the_others_go(void **state)
{
	static const uint64_t limits[] = {10, 100, 1000, 20000};

	(void)state;
	for (unsigned l = 0; l < HB_COUNT_OF(limits); l++) {
		for (unsigned k = 0; k < HB_COUNT_OF(some_keys); k++) {
			uint64_t limit = limits[l], added = limit, stayed = 0;
			struct hb_users t;

			make(&t, limit, some_keys[k]);
			for (uint64_t i = 0; i < limit; i++)
				fill_in(&t, add(&t, 7, scattered(i)), (uint32_t)i + 1, i % 2);
			for (uint64_t i = limit; i < 30 * limit; i++) {
				uint64_t hash = hb_users_hash(&t, 7, scattered(i));
				bool could = somebody_could_go(&t, hash);
				struct hb_user *row = add(&t, 7, scattered(i));

				assert_true(row != NULL || !could);
				if (row == NULL)
					continue;
				added++;
				row->seq = (uint32_t)i + 1;
				assert_ptr_equal(find(&t, 7, scattered(i)), row);
			}
			for (uint64_t i = 0; i < limit; i++) {
				struct hb_user *row = find(&t, 7, scattered(i));

				if (i % 2 == 0) {
					stayed += row != NULL;
					continue;
				}
				assert_non_null(row);
				assert_int_equal(row->seq, i + 1);
				assert_int_equal(row->wins, 1);
				assert_int_equal(
					*hb_users_detail(&t, row), detail_of(scattered(i)));
			}
			/* 29 newcomers for each place: who never won is gone, nearly to the last.
			 */
			assert_true(stayed <= limit / 20 + 1);
			assert_int_equal(t.used + t.forgotten, added);
			assert_true(t.used <= slots_of(&t));
			assert_true(t.used <= limit + limit / 4 + HB_USERS_BUCKET);
			assert_int_equal(count_rows(&t), t.used);
			hb_users_free(&t);
		}
	}
}

/* While nobody has won, the newest always gets a row, however small the table. */
static void
without_winners_nobody_is_refused(void **state)
{
	(void)state;
	for (uint64_t limit = 1; limit <= 64; limit++) {
		for (unsigned k = 0; k < HB_COUNT_OF(some_keys); k++) {
			struct hb_users t;

			make(&t, limit, some_keys[k]);
			for (uint64_t i = 0; i < 40 * limit; i++) {
				struct hb_user *row = add(&t, 7, scattered(i));

				if (row == NULL)
					fail_msg("%llu users: number %llu was refused",
						(unsigned long long)limit, (unsigned long long)i);
				fill_in(&t, row, 1, 0);
				assert_ptr_equal(find(&t, 7, scattered(i)), row);
			}
			assert_true(t.used <= slots_of(&t));
			assert_int_equal(t.used + t.forgotten, 40 * limit);
			assert_int_equal(t.refused, 0);
			assert_int_equal(count_rows(&t), t.used);
			hb_users_free(&t);
		}
	}
}

static void
a_table_full_of_winners_refuses(void **state)
{
	static const uint64_t limits[] = {1, 2, 4, 10, 33, 1000, 20000};

	(void)state;
	for (unsigned l = 0; l < HB_COUNT_OF(limits); l++) {
		for (unsigned k = 0; k < HB_COUNT_OF(some_keys); k++) {
			uint64_t limit = limits[l], refused = 0, n = 10 * limit + 100;
			uint8_t *in = calloc(n, 1);
			struct hb_users t;

			make(&t, limit, some_keys[k]);
			for (uint64_t i = 0; i < n; i++) {
				uint64_t hash = hb_users_hash(&t, 7, scattered(i));
				bool free_at_home = hb_users_home(&t, hash)->user == 0;
				struct hb_user *row = add(&t, 7, scattered(i));

				/* The table was made for so many; and nobody is in the way. */
				assert_true(row != NULL || (i >= limit && !free_at_home));
				in[i] = row != NULL;
				if (row != NULL)
					fill_in(&t, row, (uint32_t)i + 1, 8191);
				else
					assert_int_equal(t.refused, ++refused);
			}
			assert_true(refused > 0);
			assert_int_equal(t.forgotten, 0);
			for (uint64_t i = 0; i < n; i++) {
				struct hb_user *row = find(&t, 7, scattered(i));

				assert_int_equal(row != NULL, in[i]);
				if (row == NULL)
					continue;
				assert_int_equal(row->seq, i + 1);
				assert_int_equal(row->wins, HB_USER_WINS_MAX);
				assert_int_equal(row->outcome, HB_OUTCOME_WIN);
				assert_int_equal(
					*hb_users_detail(&t, row), detail_of(scattered(i)));
			}
			assert_int_equal(t.used, n - refused);
			/* Not to the last row: looking for who isn't there would take for ever. */
			if (limit >= 1000)
				assert_true(t.used <= slots_of(&t) / 20 * 19);
			assert_int_equal(count_rows(&t), t.used);
			free(in);
			hb_users_free(&t);
		}
	}
}

/* One who hasn't won makes room for the next, and is the only one who does. */
static void
the_one_who_never_won_is_the_one_who_goes(void **state)
{
	struct hb_users t;

	(void)state;
	make(&t, 1, some_keys[0]);
	for (uint64_t i = 0; i < 100; i++) {
		struct hb_user *row = add(&t, 7, scattered(i));

		if (row == NULL)
			break;
		fill_in(&t, row, 1, 1);
	}
	uint64_t winners = t.used;
	assert_true(winners >= 1 && winners < 100);
	struct hb_user *row = find(&t, 7, scattered(0));
	assert_non_null(row);
	row->wins = 0;
	assert_ptr_equal(add(&t, 7, 1000), row);
	assert_null(find(&t, 7, scattered(0)));
	assert_int_equal(t.forgotten, 1);
	assert_ptr_equal(add(&t, 8, 1000), row);
	row->wins = 1;
	assert_null(add(&t, 9, 1000));
	assert_int_equal(t.used, winners);
	hb_users_free(&t);
}

/* Everybody homes in the same bucket (as under a key that was found out), be it the first or the
 * last: the way is bounded, winners stay, and a table with room for all behind the way isn't asked.
 */
static void
flood(uint64_t limit, uint64_t hash, bool won)
{
	struct hb_users t;

	make(&t, limit, some_keys[0]);
	uint64_t reach = reach_of(&t), n = 2 * reach + 100;

	for (uint64_t i = 0; i < n; i++) {
		assert_null(hb_users_find(&t, hash, 5, 1 + i));
		struct hb_user *row = look_and_take(&t, hash, 5, 1 + i);

		if (won && t.used == reach && t.refused > 0)
			assert_null(row);
		else if (!won)
			assert_non_null(row);
		if (row == NULL)
			continue;
		assert_true(way_to(&t, hash, row) < reach);
		fill_in(&t, row, (uint32_t)i, won);
		assert_ptr_equal(hb_users_find(&t, hash, 5, 1 + i), row);
	}
	assert_true(t.used >= (limit < reach ? limit : reach) && t.used <= reach);
	if (won) {
		assert_int_equal(t.refused, n - t.used);
		assert_int_equal(t.forgotten, 0);
		for (uint64_t i = 0; i < t.used; i++)
			assert_non_null(hb_users_find(&t, hash, 5, 1 + i));
	} else {
		assert_int_equal(t.refused, 0);
		assert_int_equal(t.forgotten, n - t.used);
	}
	hb_users_free(&t);
}

static void
a_flood_into_one_bucket_stays_within_reach(void **state)
{
	static const uint64_t limits[] = {1, 4, 40, 1000, 1800, 10000};

	(void)state;
	for (unsigned l = 0; l < HB_COUNT_OF(limits); l++) {
		for (unsigned won = 0; won < 2; won++) {
			flood(limits[l], 0, won);
			flood(limits[l], UINT64_MAX, won);
			flood(limits[l], UINT64_MAX / 2, won);
		}
	}
}

/* Whatever number of users a table is made for, so many it holds. */
static void
a_table_of_any_size_holds_its_users(void **state)
{
	(void)state;
	for (uint64_t limit = 1; limit <= 400; limit++)
		fill_to_the_limit(limit, scattered, some_keys[limit % HB_COUNT_OF(some_keys)]);
}

/* 200,000 random steps of a small, crowded table: winners and their rows are never wrong, and
 * nobody is there twice. */
static void
a_long_random_walk_agrees_with_the_oracle(void **state)
{
	enum {
		PEOPLE = 4000,
	};
	static struct {
		uint32_t seq;
		uint16_t wins;
		bool known;
	} oracle[PEOPLE];
	uint64_t random = 9, forgotten = 0;
	struct hb_users t;

	(void)state;
	memset(oracle, 0, sizeof(oracle));
	make(&t, 1000, some_keys[1]);
	for (unsigned step = 0; step < 200000; step++) {
		uint64_t draw = hb_splitmix64(&random);
		unsigned i = (unsigned)(draw % PEOPLE);
		uint16_t campaign = (uint16_t)(1 + i % 3);
		uint64_t user = with_the_same_low_bits(i / 3);
		struct hb_user *row = find(&t, campaign, user);

		if (row == NULL) {
			assert_int_equal(oracle[i].wins, 0);
			forgotten += oracle[i].known;
			oracle[i].known = false;
			if ((row = add(&t, campaign, user)) == NULL)
				continue;
		} else {
			assert_true(oracle[i].known);
			assert_int_equal(row->seq, oracle[i].seq);
			assert_int_equal(row->wins, oracle[i].wins);
		}
		oracle[i].known = true;
		row->seq = oracle[i].seq = step + 1;
		if (draw >> 32 < (1ull << 32) / 300)
			row->wins++;
		oracle[i].wins = row->wins;
	}
	assert_true(forgotten > 1000);
	assert_true(t.forgotten >= forgotten);
	assert_int_equal(count_rows(&t), t.used);
	hb_users_free(&t);
}

/* Row by row from the home bucket on: the user's, or the first free one that may be taken, or who
 * must give way. */
static struct hb_user *
take_slowly(struct hb_users *t, uint64_t hash, uint16_t campaign, uint64_t user)
{
	uint64_t rows = t->buckets * HB_USERS_BUCKET, first = hb_users_home(t, hash) - t->rows;

	for (uint64_t i = 0; i < reach_of(t); i++) {
		struct hb_user *row = &t->rows[(first + i) % rows];

		if (row->user == user && row->campaign == campaign)
			return row;
		if (row->user != 0)
			continue;
		if (t->used >= t->limit)
			break;
		*row = (struct hb_user){.user = user, .campaign = campaign};
		t->used++;
		return row;
	}
	return hb_users_take_over(t, hash, campaign, user);
}

/* Bucket by bucket or row by row: the same row at the same place, also where the table is full and
 * where nobody can be taken in any more. */
static void
a_walk_by_buckets_ends_where_one_by_rows_does(void **state)
{
	(void)state;
	for (uint64_t users = 1; users <= 60; users++) {
		struct hb_users one, two;
		uint64_t random = users;

		assert_int_equal(hb_users_make(&one, users, some_keys[0], NULL), 0);
		assert_int_equal(hb_users_make(&two, users, some_keys[0], NULL), 0);
		for (unsigned i = 0; i < 3000; i++) {
			uint64_t user = 1 + hb_splitmix64(&random) % 40;
			uint16_t campaign = 1 + hb_splitmix64(&random) % 2;
			uint64_t hash = hb_users_hash(&one, campaign, user);
			struct hb_user *a = look_and_take(&one, hash, campaign, user);
			struct hb_user *b = take_slowly(&two, hash, campaign, user);

			assert_true((a == NULL) == (b == NULL));
			if (a == NULL)
				continue;
			assert_int_equal(a - one.rows, b - two.rows);
			assert_memory_equal(a, b, sizeof(*a));
			assert_int_equal(*hb_users_detail(&one, a), *hb_users_detail(&two, b));
			a->wins = b->wins = i % 3 != 0;
			*hb_users_detail(&one, a) = *hb_users_detail(&two, b) = i;
		}
		assert_int_equal(one.used, two.used);
		assert_int_equal(one.forgotten, two.forgotten);
		assert_int_equal(one.refused, two.refused);
		hb_users_free(&one);
		hb_users_free(&two);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_forgotten_up_to_the_limit),
		cmocka_unit_test(nobody_of_100000_is_forgotten_whoever_they_are),
		cmocka_unit_test(a_user_is_another_in_another_campaign),
		cmocka_unit_test(nobody_stands_far_from_home),
		cmocka_unit_test(a_user_takes_24_bytes_at_the_most),
		cmocka_unit_test(the_bytes_announced_are_those_taken),
		cmocka_unit_test(a_table_that_has_no_room_is_refused),
		cmocka_unit_test(winners_stay_and_the_others_go),
		cmocka_unit_test(without_winners_nobody_is_refused),
		cmocka_unit_test(a_table_full_of_winners_refuses),
		cmocka_unit_test(the_one_who_never_won_is_the_one_who_goes),
		cmocka_unit_test(a_flood_into_one_bucket_stays_within_reach),
		cmocka_unit_test(a_table_of_any_size_holds_its_users),
		cmocka_unit_test(a_walk_by_buckets_ends_where_one_by_rows_does),
		cmocka_unit_test(a_long_random_walk_agrees_with_the_oracle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
