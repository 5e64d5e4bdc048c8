/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_fleet.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define VALUE 24

/* ---- what is asked for ---------------------------------------------------------------- */

static int
take_tiers(struct hb_terms *t, const char *text, struct hb_error *e)
{
	int err = hb_tiers_parse(t, text, e);

	t->split = HB_SPLIT_TIERS;
	for (unsigned i = 0; i < t->tiers; i++) {
		t->count += t->tier[i].count;
		t->total += (uint64_t)t->tier[i].count * t->tier[i].amount;
	}
	return err;
}

static int
take_split(struct hb_terms *t, const char *text, struct hb_error *e)
{
	t->split = strcmp(text, "equal") == 0 ? HB_SPLIT_EQUAL : HB_SPLIT_LUCKY;
	if (t->split == HB_SPLIT_EQUAL || strcmp(text, "lucky") == 0)
		return 0;
	return hb_fail(e, EINVAL, "split: '%s'; write equal or lucky, or tiers=N*FEN,...", text);
}

static int
take_word(const char *key, const char *text, uint64_t *campaign, struct hb_terms *t, uint64_t *size,
	struct hb_error *e)
{
	uint64_t count, *to = NULL;
	char *end;

	if (strcmp(key, "tiers") == 0)
		return take_tiers(t, text, e);
	if (strcmp(key, "split") == 0)
		return take_split(t, text, e);
	to = strcmp(key, "campaign") == 0 ? campaign
	     : strcmp(key, "total") == 0  ? &t->total
	     : strcmp(key, "block") == 0  ? size
	     : strcmp(key, "count") == 0  ? &count
					  : NULL;
	if (to == NULL)
		return hb_fail(e, EINVAL,
			"%s: there is no such key; write campaign, count, total, split or tiers, "
			"block",
			key);
	errno = 0;
	*to = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9' ||
		(to == &count && count > UINT32_MAX))
		return hb_fail(e, EINVAL, "%s: '%s'; write a whole number", key, text);
	if (to == &count)
		t->count = (uint32_t)count;
	return 0;
}

int
hb_budget_parse(const char *text, uint16_t *campaign, struct hb_terms *t, uint32_t *size,
	struct hb_error *e)
{
	uint64_t id = 0, block = 1000;
	char key[16], value[256];
	int n, err = 0;

	*t = (struct hb_terms){.split = HB_SPLIT_LUCKY};
	for (const char *p = text; err == 0 && *p != '\0'; p += n) {
		n = 0;
		if (sscanf(p, " %15[a-z]=%255[^ ] %n", key, value, &n) != 2 || n == 0)
			return hb_fail(e, EINVAL,
				"budget: '%s'; write e.g. campaign=7 count=100000 total=5000000 "
				"split=lucky block=1000",
				p);
		err = take_word(key, value, &id, t, &block, e);
	}
	if (err != 0)
		return err;
	if (id == 0 || id > UINT16_MAX || block == 0 || block > UINT32_MAX)
		return hb_fail(e, EINVAL,
			"budget: campaign=%llu block=%llu; write 1 to 65535, and at least one "
			"envelope a block",
			(unsigned long long)id, (unsigned long long)block);
	*campaign = (uint16_t)id;
	*size = (uint32_t)block;
	return hb_terms_check(t, e);
}

/* ---- the budget ---------------------------------------------------------------------- */

static void
number(char out[VALUE], uint64_t n)
{
	snprintf(out, VALUE, "%lld", (long long)n);
}

/* Runs one statement with numbers. */
static int
run(struct hb_db *db, const char *sql, int n, const uint64_t *numbers, struct hb_error *e)
{
	char text[8][VALUE];
	const char *values[8];
	PGresult *r = NULL;

	for (int i = 0; i < n; i++) {
		number(text[i], numbers[i]);
		values[i] = text[i];
	}
	int err = hb_db_ask(db, &r, sql, n, values, e);

	PQclear(r);
	return err;
}

static int
insert_block(struct hb_db *db, uint16_t campaign, uint64_t block, uint64_t first,
	const struct hb_terms *t, struct hb_error *e)
{
	int err = run(db,
		"insert into hongbao.blocks (campaign, block, first, envelopes, fen, split) "
		"values ($1, $2, $3, $4, $5, $6)",
		6, (uint64_t[]){campaign, block, first, t->count, t->total, t->split}, e);

	for (unsigned i = 0; err == 0 && i < t->tiers; i++)
		err = run(db,
			"insert into hongbao.block_tiers (campaign, block, tier, envelopes, "
			"fen_each) values ($1, $2, $3, $4, $5)",
			5, (uint64_t[]){campaign, block, i, t->tier[i].count, t->tier[i].amount},
			e);
	return err;
}

static int
insert_all(struct hb_db *db, uint16_t campaign, const struct hb_terms *t, uint32_t size,
	struct hb_error *e)
{
	uint64_t block = 0, first = 1;
	struct hb_terms one;
	struct hb_blocks b;
	int err = run(db,
		"insert into hongbao.budgets (campaign, envelopes, fen) values ($1, $2, $3)", 3,
		(uint64_t[]){campaign, t->count, t->total}, e);

	hb_blocks_begin(&b, t, size);
	while (err == 0 && hb_blocks_next(&b, &one)) {
		err = insert_block(db, campaign, ++block, first, &one, e);
		first += one.count;
	}
	if (err == 0)
		err = run(db,
			"update hongbao.budgets set next_block = $2, next_number = $3 where "
			"campaign = $1",
			3, (uint64_t[]){campaign, block + 1, first}, e);
	return err != 0 ? err : (int)block;
}

int
hb_budget_make(struct hb_db *db, uint16_t campaign, const struct hb_terms *terms, uint32_t size,
	struct hb_error *e)
{
	struct hb_terms t = *terms;
	int n = hb_db_run(db, "begin", e);

	randombytes_buf(&t.seed, sizeof(t.seed));
	if (n == 0)
		n = insert_all(db, campaign, &t, size, e);
	bool twice = n < 0 && strcmp(db->sqlstate, "23505") == 0;
	int err = n < 0 ? n : hb_db_run(db, "commit", e);

	if (err == 0)
		return n;
	if (hb_db_up(db))
		hb_db_run(db, "rollback", NULL);
	if (twice)
		return hb_fail(e, EEXIST,
			"campaign %u: has a budget already; look: select * from "
			"hongbao.budget_books",
			campaign);
	return err;
}

/* ---- leases -------------------------------------------------------------------------- */

int
hb_fleet_call(
	struct hb_db *db, const char *sql, int n, const char *const *values, struct hb_error *e)
{
	PGresult *r = NULL;
	int err = hb_db_ask(db, &r, sql, n, values, e);

	if (err == 0 && strcmp(PQgetvalue(r, 0, 0), "ok") != 0)
		err = hb_fail(e, EPERM, "database %s: %s", db->where, PQgetvalue(r, 0, 0));
	PQclear(r);
	return err;
}

/* The tiers of a block. */
static int
read_tiers(struct hb_db *db, struct hb_leased *l, struct hb_error *e)
{
	char campaign[VALUE], block[VALUE];
	const char *values[] = {campaign, block};
	PGresult *r = NULL;

	number(campaign, l->campaign);
	number(block, l->block);
	int err = hb_db_ask(db, &r,
		"select envelopes, fen_each from hongbao.block_tiers where campaign = $1 and block "
		"= $2 order by tier",
		2, values, e);

	for (int i = 0; err == 0 && i < PQntuples(r) && i < HB_TIERS_MAX; i++)
		l->terms.tier[l->terms.tiers++] = (struct hb_tier){
			.count = (uint32_t)hb_db_u64(r, i, 0),
			.amount = (uint32_t)hb_db_u64(r, i, 1),
		};
	PQclear(r);
	return err;
}

/* A statement that gives a block's row, or none. */
static int
read_block(struct hb_db *db, const char *sql, int n, const char *const *values,
	struct hb_leased *out, struct hb_error *e)
{
	PGresult *r = NULL;
	int err = hb_db_ask(db, &r, sql, n, values, e), found = 0;

	if (err == 0 && PQntuples(r) > 0) {
		found = 1;
		*out = (struct hb_leased){
			.campaign = (uint16_t)hb_db_u64(r, 0, 0),
			.block = (uint32_t)hb_db_u64(r, 0, 1),
			.first = (uint32_t)hb_db_u64(r, 0, 2),
			.terms = {.count = (uint32_t)hb_db_u64(r, 0, 3),
				.total = hb_db_u64(r, 0, 4),
				.split = (uint8_t)hb_db_u64(r, 0, 5)},
		};
	}
	PQclear(r);
	if (found && out->terms.split == HB_SPLIT_TIERS)
		err = read_tiers(db, out, e);
	return err != 0 ? err : found;
}

#define BLOCK "campaign, block, first, envelopes, fen, split"

int
hb_fleet_take(struct hb_db *db, uint16_t campaign, uint32_t host, uint64_t journal,
	struct hb_leased *out, struct hb_error *e)
{
	char c[VALUE], h[VALUE], j[VALUE];
	const char *values[] = {c, h, j};

	number(c, campaign);
	number(h, host);
	number(j, journal);
	return read_block(
		db, "select " BLOCK " from hongbao.take_block($1, $2, $3)", 3, values, out, e);
}

int
hb_fleet_unconfirmed(struct hb_db *db, uint32_t host, uint64_t journal, struct hb_leased *out,
	struct hb_error *e)
{
	char h[VALUE], j[VALUE];
	const char *values[] = {h, j};

	number(h, host);
	number(j, journal);
	return read_block(db,
		"select " BLOCK " from hongbao.blocks where host = $1 and journal = $2 and state = "
		"'leased' and confirmed_at is null order by campaign, block limit 1",
		2, values, out, e);
}

int
hb_fleet_confirm(struct hb_db *db, const struct hb_leased *l, struct hb_error *e)
{
	return run(db,
		"update hongbao.blocks set confirmed_at = coalesce(confirmed_at, now()) where "
		"campaign = $1 and block = $2",
		2, (uint64_t[]){l->campaign, l->block}, e);
}
