/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_fleet: a budget that many hosts share, in the database (migration 0002): how it is cut into
 * blocks, and the statements about it.
 *
 * Owner: whoever has the connection; one thread at a time. No state of its own.
 */
#ifndef HB_FLEET_H
#define HB_FLEET_H

#include "hb_db.h"
#include "hb_pool.h"

/* ---- cutting ------------------------------------------------------------------------- */

/* Cuts terms into blocks, each with terms of its own: as the amounts of the whole come one after
 * the other, so many envelopes to a block. So the blocks are together the terms to the fen, with
 * every split, and the same seed cuts them in the same way. */
struct hb_blocks {
	const struct hb_terms *terms;
	struct hb_splitter splitter;
	uint32_t size;
};

void hb_blocks_begin(struct hb_blocks *b, const struct hb_terms *t, uint32_t size);

/* The next block's terms, with seed 0. Returns false when there is none. */
bool hb_blocks_next(struct hb_blocks *b, struct hb_terms *out);

/* ---- the budget ---------------------------------------------------------------------- */

/* "campaign=7 count=100000 total=5000000 split=lucky block=1000"; tiers=20*500,1*8800 instead of
 * count, total and split. Returns 0 or -EINVAL with e. */
int hb_budget_parse(const char *text, uint16_t *campaign, struct hb_terms *t, uint32_t *size,
	struct hb_error *e);

/* Makes a campaign's budget, all of it or nothing. Returns how many blocks, or -errno as hb_db.h
 * says; -EEXIST: there is one. */
int hb_budget_make(struct hb_db *db, uint16_t campaign, const struct hb_terms *t, uint32_t size,
	struct hb_error *e);

/* ---- leases -------------------------------------------------------------------------- */

/* A block that this host has leased. */
struct hb_leased {
	uint16_t campaign;
	uint32_t block, first;
	struct hb_terms terms;
};

/* One of the functions of migration 0002 that answer 'ok' or why not. 0, or -EPERM with that in e,
 * or what hb_db_ask() returns. */
int hb_fleet_call(
	struct hb_db *db, const char *sql, int n, const char *const *values, struct hb_error *e);

/* Leases a block. Returns 1, 0 (none is free), or -errno. */
int hb_fleet_take(struct hb_db *db, uint16_t campaign, uint32_t host, uint64_t journal,
	struct hb_leased *out, struct hb_error *e);

/* A block that was leased to this journal and of which nobody knows whether hongbaod has it.
 * Returns 1, 0 (none), or -errno. */
int hb_fleet_unconfirmed(struct hb_db *db, uint32_t host, uint64_t journal, struct hb_leased *out,
	struct hb_error *e);

/* hongbaod has it. */
int hb_fleet_confirm(struct hb_db *db, const struct hb_leased *l, struct hb_error *e);

#endif
