/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * database: a journal held against what PostgreSQL has of it, record by record. The database is
 * seen as it is at one moment, before the journal is read, so that a journal that grows meanwhile
 * only has more: what isn't settled yet is no difference, and is counted by itself. One thread.
 */
#ifndef HONGBAO_AUDIT_DATABASE_H
#define HONGBAO_AUDIT_DATABASE_H

#include "hb_db.h"
#include "hb_journal.h"

/* Records of one kind of difference, one behind the other. */
struct run {
	uint64_t first, count, fen;
};

struct database_books {
	struct hb_db db;
	uint64_t journal; /* its id */
	uint64_t settled; /* the first record that the database says isn't there yet */
	/* The next row that the database has; record UINT64_MAX: no more. */
	uint64_t row_record;
	struct hb_record row;
	PGresult *refused; /* records that were set aside, with the reason, in order */
	int refused_next;
	struct run missing, extra; /* under way, not said yet */
	/* results */
	uint64_t compared;
	uint64_t missed, surplus, different, set_aside, miscounted;
	uint64_t journal_fen, database_fen; /* to be paid out, of what is settled */
	uint64_t unsettled, unsettled_fen;
	uint64_t faults;
	void (*say)(const char *line); /* each difference */
};

/* Connects, and begins to read. Returns 0, or -errno with e: as hb_db.h has it; -ENODATA: it knows
 * nothing of this journal. */
int database_begin(
	struct database_books *d, const char *conninfo, uint64_t journal, struct hb_error *e);

/* The journal's next record. Returns 0 or -errno with e. */
int database_enter(
	struct database_books *d, uint64_t number, const struct hb_record *r, struct hb_error *e);

/* The journal's end: what the database has beyond it, and whether its packets add up. */
int database_close(struct database_books *d, struct hb_error *e);

void database_free(struct database_books *d);

#endif
