/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_migrate.h"

#include <errno.h>
#include <stdio.h>

/* Of the advisory lock that migrations are applied under: "hongbaoM". */
#define LOCK_KEY "7525343711186251853"

/* A name for a migration's text: the same number with another text is another schema. */
static uint64_t
mark_of(const char *sql)
{
	uint64_t h = 0xCBF29CE484222325ull; /* FNV-1a (Fowler, Noll, Vo, public domain) */

	for (; *sql != '\0'; sql++)
		h = (h ^ (uint8_t)*sql) * 0x100000001B3ull;
	return h;
}

/* The rows of hongbao.migrations, or NULL in *rows when there is no such table. */
static int
applied(struct hb_db *db, PGresult **rows, struct hb_error *e)
{
	PGresult *there = NULL;
	int err = hb_db_ask(
		db, &there, "select to_regclass('hongbao.migrations') is not null", 0, NULL, e);
	bool any = err == 0 && PQgetvalue(there, 0, 0)[0] == 't';

	PQclear(there);
	*rows = NULL;
	if (err != 0 || !any)
		return err;
	return hb_db_ask(db, rows,
		"select number, mark, name from hongbao.migrations order by number", 0, NULL, e);
}

/* Whether what was applied is what this program has under the same numbers. */
static int
check_rows(const struct hb_db *db, const PGresult *rows, struct hb_error *e)
{
	unsigned n = (unsigned)PQntuples(rows);

	for (unsigned i = 0; i < n && i < hb_migrations_count; i++) {
		if (hb_db_u64(rows, (int)i, 0) == hb_migrations[i].number &&
			hb_db_u64(rows, (int)i, 1) == mark_of(hb_migrations[i].sql))
			continue;
		return hb_fail(e, EPROTO,
			"database %s: its schema's migration %s (%s) is not this program's %s; "
			"use the program that made it, or another database",
			db->where, PQgetvalue(rows, (int)i, 0), PQgetvalue(rows, (int)i, 2),
			hb_migrations[i].name);
	}
	if (n > hb_migrations_count)
		return hb_fail(e, EPROTO,
			"database %s: its schema is version %u, newer than %u, which this program "
			"knows; install a newer hongbao",
			db->where, n, hb_migrations_count);
	return 0;
}

int
hb_migrate_check(struct hb_db *db, struct hb_error *e)
{
	PGresult *rows;
	int err = applied(db, &rows, e);
	unsigned n = rows == NULL ? 0 : (unsigned)PQntuples(rows);

	if (err == 0 && rows != NULL)
		err = check_rows(db, rows, e);
	PQclear(rows);
	if (err != 0 || n == hb_migrations_count)
		return err;
	return hb_fail(e, ENOENT,
		"database %s: its schema is version %u, this program needs %u; try: hongbao-settle "
		"--migrate",
		db->where, n, hb_migrations_count);
}

static int
apply(struct hb_db *db, const struct hb_migration *m, struct hb_error *e)
{
	const char *values[3];
	char number[16], mark[24];
	PGresult *r = NULL;
	int err;

	snprintf(number, sizeof(number), "%u", m->number);
	snprintf(mark, sizeof(mark), "%lld", (long long)mark_of(m->sql));
	values[0] = number;
	values[1] = mark;
	values[2] = m->name;
	if ((err = hb_db_run(db, "begin", e)) == 0 && (err = hb_db_run(db, m->sql, e)) == 0)
		err = hb_db_ask(db, &r,
			"insert into hongbao.migrations (number, mark, name) values ($1, $2, $3)",
			3, values, e);
	PQclear(r);
	if (err == 0)
		return hb_db_run(db, "commit", e);
	if (hb_db_up(db))
		hb_db_run(db, "rollback", NULL);
	return err;
}

static int
apply_missing(struct hb_db *db, struct hb_error *e)
{
	PGresult *rows;
	int err = applied(db, &rows, e), done = 0;
	unsigned n = rows == NULL ? 0 : (unsigned)PQntuples(rows);

	if (err == 0 && rows != NULL)
		err = check_rows(db, rows, e);
	PQclear(rows);
	for (; err == 0 && n < hb_migrations_count; n++, done++)
		err = apply(db, &hb_migrations[n], e);
	return err != 0 ? err : done;
}

int
hb_migrate(struct hb_db *db, struct hb_error *e)
{
	PGresult *r = NULL;
	int err = hb_db_ask(db, &r, "select pg_advisory_lock(" LOCK_KEY ")", 0, NULL, e);

	PQclear(r);
	if (err != 0)
		return err;
	int done = apply_missing(db, e);

	if (hb_db_up(db) &&
		hb_db_ask(db, &r, "select pg_advisory_unlock(" LOCK_KEY ")", 0, NULL, NULL) == 0)
		PQclear(r);
	return done;
}
