/* SPDX-License-Identifier: BSD-3-Clause */
#include "database.h"

#include "hb_migrate.h"
#include "hb_settle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void difference(struct database_books *d, const char *fmt, ...) HB_PRINTF(2, 3);

static void
difference(struct database_books *d, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	d->faults++;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	d->say(line);
}

/* ---- runs ---------------------------------------------------------------------------- */

static void
say_run(struct database_books *d, struct run *run, const char *what)
{
	if (run->count == 1)
		difference(d, "%s: record %llu, %llu fen", what, (unsigned long long)run->first,
			(unsigned long long)run->fen);
	else if (run->count > 1)
		difference(d, "%s: records %llu to %llu, %llu fen", what,
			(unsigned long long)run->first,
			(unsigned long long)(run->first + run->count - 1),
			(unsigned long long)run->fen);
	*run = (struct run){0};
}

static void
say_runs(struct database_books *d)
{
	say_run(d, &d->missing, "missing in the database");
	say_run(d, &d->extra, "in the database, not in the journal");
}

static void
add_to_run(struct database_books *d, struct run *run, uint64_t number, const struct hb_record *r)
{
	if (run->count == 0 || run->first + run->count != number) {
		say_runs(d);
		run->first = number;
	}
	run->count++;
	run->fen += r->type == HB_RECORD_FUND ? r->user : r->amount;
}

/* ---- rows ---------------------------------------------------------------------------- */

/* Reads the next row. What is to be paid out of it is added up. */
static int
next_row(struct database_books *d, struct hb_error *e)
{
	long long f[HB_SETTLE_FIELDS];
	char *line, *p;
	int n = hb_db_copy_get(&d->db, &line, e);

	if (n <= 0) {
		d->row_record = UINT64_MAX;
		return n;
	}
	p = line;
	for (unsigned i = 0; i < HB_SETTLE_FIELDS; i++)
		f[i] = strtoll(p, &p, 10);
	PQfreemem(line);
	d->row_record = (uint64_t)f[0];
	d->row = (struct hb_record){
		.type = (uint8_t)f[1],
		.op = (uint8_t)f[2],
		.campaign = (uint16_t)f[3],
		.seq = (uint32_t)f[4],
		.user = (uint64_t)f[5],
		.id = (uint64_t)f[6],
		.amount = (uint32_t)f[7],
		.aux = (uint32_t)f[8],
		.time_us = (uint64_t)f[9],
	};
	return 0;
}

static uint64_t
payable(const struct hb_record *r)
{
	bool pays = (r->type == HB_RECORD_WIN && r->aux == HB_WIN_PLAIN) ||
		    r->type == HB_RECORD_GRAB || r->type == HB_RECORD_REFUND;

	return pays ? r->amount : 0;
}

/* Says which of its fields are others, if any. */
static void
compare(struct database_books *d, uint64_t number, const struct hb_record *r)
{
	const struct hb_record *q = &d->row;
	const struct {
		const char *name;
		unsigned long long journal, database;
	} field[] = {
		{"type", r->type, q->type},
		{"op", r->op, q->op},
		{"campaign", r->campaign, q->campaign},
		{"seq", r->seq, q->seq},
		{"user", r->user, q->user},
		/* The seed of a funding is a secret of the journal. */
		{"id", r->type == HB_RECORD_FUND ? q->id : r->id, q->id},
		{"fen", r->amount, q->amount},
		{"aux", r->aux, q->aux},
		{"time_us", r->time_us, q->time_us},
	};
	char line[400];
	size_t at = 0;

	for (unsigned i = 0; i < HB_COUNT_OF(field); i++) {
		if (field[i].journal != field[i].database && at < sizeof(line))
			at += (size_t)snprintf(line + at, sizeof(line) - at,
				"%s%s %llu in the journal, %llu in the database",
				at == 0 ? "" : "; ", field[i].name, field[i].journal,
				field[i].database);
	}
	if (at == 0)
		return;
	say_runs(d);
	d->different++;
	difference(d, "different: record %llu: %s", (unsigned long long)number, line);
}

/* ---- records ------------------------------------------------------------------------- */

/* Rows of the database that the journal has no record for. */
static int
skip_extra(struct database_books *d, uint64_t below, struct hb_error *e)
{
	int err = 0;

	while (err == 0 && d->row_record < below) {
		d->surplus++;
		d->database_fen += payable(&d->row);
		add_to_run(d, &d->extra, d->row_record, &d->row);
		err = next_row(d, e);
	}
	return err;
}

/* Whether the record was set aside; then that is said. */
static bool
was_set_aside(struct database_books *d, uint64_t number)
{
	int n = PQntuples(d->refused);

	while (d->refused_next < n && hb_db_u64(d->refused, d->refused_next, 0) < number)
		d->refused_next++;
	if (d->refused_next == n || hb_db_u64(d->refused, d->refused_next, 0) != number)
		return false;
	say_runs(d);
	d->set_aside++;
	difference(d, "set aside, because the database refused it: record %llu: %s",
		(unsigned long long)number, PQgetvalue(d->refused, d->refused_next, 1));
	return true;
}

int
database_enter(
	struct database_books *d, uint64_t number, const struct hb_record *r, struct hb_error *e)
{
	int err = skip_extra(d, number, e);

	if (err != 0)
		return err;
	if (number >= d->settled) {
		d->unsettled++;
		d->unsettled_fen += payable(r);
		return 0;
	}
	d->journal_fen += payable(r);
	if (!hb_settle_has_row(r))
		return 0;
	d->compared++;
	if (d->row_record != number) {
		if (!was_set_aside(d, number)) {
			d->missed++;
			add_to_run(d, &d->missing, number, r);
		}
		return 0;
	}
	d->database_fen += payable(&d->row);
	compare(d, number, r);
	return next_row(d, e);
}

/* ---- begin and end ------------------------------------------------------------------- */

static int
find_journal(struct database_books *d, struct hb_error *e)
{
	char sql[256];
	PGresult *r;

	snprintf(sql, sizeof(sql), "select next_record from hongbao.journals where journal = %lld",
		(long long)d->journal);
	int err = hb_db_ask(&d->db, &r, sql, 0, NULL, e);

	if (err == 0 && PQntuples(r) == 0)
		err = hb_fail(e, ENODATA,
			"database %s: knows nothing of journal %016llx; settle it, or name the "
			"database that it is settled into",
			d->db.where, (unsigned long long)d->journal);
	if (err == 0)
		d->settled = hb_db_u64(r, 0, 0);
	PQclear(r);
	if (err != 0)
		return err;
	snprintf(sql, sizeof(sql),
		"select record, reason from hongbao.refused where journal = %lld order by record",
		(long long)d->journal);
	return hb_db_ask(&d->db, &d->refused, sql, 0, NULL, e);
}

/* Packets whose shares and refunds aren't what the packet says that it gave. */
static int
check_packets(struct database_books *d, struct hb_error *e)
{
	char sql[1024];
	PGresult *r;

	snprintf(sql, sizeof(sql),
		"select p.record, hongbao.u64(p.packet), p.taken, p.taken_fen, p.returned_fen, "
		"coalesce(s.n, 0), coalesce(s.fen, 0), coalesce(b.fen, 0) from hongbao.packets p "
		"left join (select pack, count(*) as n, sum(fen) as fen from hongbao.shares "
		"where journal = %1$lld group by pack) s on s.pack = p.record "
		"left join (select pack, fen, shares from hongbao.refunds where journal = %1$lld) "
		"b "
		"on b.pack = p.record where p.journal = %1$lld and (p.taken <> coalesce(s.n, 0) "
		"or p.taken_fen <> coalesce(s.fen, 0) or p.returned_fen <> coalesce(b.fen, 0) "
		"or p.returned <> coalesce(b.shares, 0)) order by p.record",
		(long long)d->journal);
	int err = hb_db_ask(&d->db, &r, sql, 0, NULL, e);

	for (int i = 0; err == 0 && i < PQntuples(r); i++) {
		d->miscounted++;
		difference(d,
			"packet %s of record %s: says %s shares of %s fen taken and %s fen given "
			"back; there are %s of %s and %s",
			PQgetvalue(r, i, 1), PQgetvalue(r, i, 0), PQgetvalue(r, i, 2),
			PQgetvalue(r, i, 3), PQgetvalue(r, i, 4), PQgetvalue(r, i, 5),
			PQgetvalue(r, i, 6), PQgetvalue(r, i, 7));
	}
	PQclear(r);
	return err;
}

int
database_begin(struct database_books *d, const char *conninfo, uint64_t journal, struct hb_error *e)
{
	char sql[320];
	int err;

	hb_db_begin(&d->db, conninfo, "hongbao-audit", -1);
	d->journal = journal;
	/* Where the rows are many, it is long before the first one comes. */
	d->db.patience_ms = HB_DB_LONG_MS;
	if ((err = hb_db_connect(&d->db, e)) != 0 || (err = hb_migrate_check(&d->db, e)) != 0 ||
		(err = hb_db_run(&d->db, "begin isolation level repeatable read, read only", e)) !=
			0 ||
		(err = find_journal(d, e)) != 0 || (err = check_packets(d, e)) != 0)
		return err;
	snprintf(sql, sizeof(sql),
		"copy (select record, type, op, campaign, seq, usr, id, fen, aux, "
		"(extract(epoch from happened) * 1000000)::bigint from hongbao.records "
		"where journal = %lld order by record) to stdout",
		(long long)journal);
	if ((err = hb_db_copy_out(&d->db, sql, e)) != 0)
		return err;
	return next_row(d, e);
}

int
database_close(struct database_books *d, struct hb_error *e)
{
	int err = skip_extra(d, UINT64_MAX, e);

	say_runs(d);
	if (err == 0 && d->journal_fen != d->database_fen)
		difference(d, "to be paid out: %llu fen by the journal, %llu by the database",
			(unsigned long long)d->journal_fen, (unsigned long long)d->database_fen);
	return err;
}

void
database_free(struct database_books *d)
{
	PQclear(d->refused);
	hb_db_close(&d->db);
}
