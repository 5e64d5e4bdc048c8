/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_migrate: the schema in the database, by numbered migrations that are part of the program: the
 * files lib/settle/migrations/NNNN_name.sql, embedded in the order of their numbers. Each is
 * applied once, in a transaction of its own with its row in hongbao.migrations; one that was
 * applied is never changed again: what is to be otherwise is a new one.
 *
 * No state; whoever has the connection calls.
 */
#ifndef HB_MIGRATE_H
#define HB_MIGRATE_H

#include "hb_db.h"

struct hb_migration {
	unsigned number;  /* from 1, without a gap */
	const char *name; /* "0001_settlement" */
	const char *sql;
};

/* Made from the files when the program is built. */
extern const struct hb_migration hb_migrations[];
extern const unsigned hb_migrations_count;

/* Whether the database has the schema that this program knows. Returns 0, or with e -ENOENT (none,
 * or an older one: --migrate), -EPROTO (a newer one, or another one of the same number), or what
 * hb_db_ask() returns. */
int hb_migrate_check(struct hb_db *db, struct hb_error *e);

/* Applies what is missing. Returns how many were applied, or -errno with e; what was applied before
 * an error stays. Two at once wait for each other. */
int hb_migrate(struct hb_db *db, struct hb_error *e);

#endif
