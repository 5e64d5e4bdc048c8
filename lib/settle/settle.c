/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_settle.h"

#include "hb_migrate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* PostgreSQL counts microseconds from the beginning of 2000. */
#define EPOCH_2000_US 946684800000000ll

#define SQL_BYTES 8192
#define COPY_PIECE (64u << 10)

/* ---- the position -------------------------------------------------------------------- */

static const char make_tables[] =
	"set client_min_messages = warning;"
	"create temporary table if not exists hb_staging ("
	" record bigint, type smallint, op smallint, campaign integer, seq bigint, usr bigint,"
	" id bigint, fen bigint, aux bigint, happened timestamptz) on commit delete rows;"
	"create temporary table if not exists hb_moves ("
	" record bigint, type smallint, pack bigint, fen bigint, aux bigint) on commit delete rows";

/* Asks with the journal as $1, and the host as $2 where `n` is 2. */
static int
ask(struct hb_settle *s, PGresult **r, const char *sql, int n, struct hb_error *e)
{
	char journal[24], host[24];
	const char *values[] = {journal, host};

	snprintf(journal, sizeof(journal), "%lld", (long long)s->journal);
	snprintf(host, sizeof(host), "%u", s->host);
	return hb_db_ask(s->db, r, sql, n, values, e);
}

/* Who has the lock, for the line. */
static int
other_settler(struct hb_settle *s, struct hb_error *e)
{
	PGresult *r;
	struct hb_error why;
	int err = ask(s, &r,
		"select a.pid, coalesce(host(a.client_addr), 'a UNIX socket'), a.application_name "
		"from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory' "
		"and l.granted and l.objsubid = 1 "
		"and (l.classid::bigint << 32 | l.objid::bigint) = $1::bigint",
		1, &why);
	bool known = err == 0 && PQntuples(r) > 0;

	err = hb_fail(e, EBUSY,
		"database %s: journal %016llx of host %u is being settled by %s (backend %s, from "
		"%s) already; one at a time does it: stop one of the two",
		s->db->where, (unsigned long long)s->journal, s->host,
		known ? PQgetvalue(r, 0, 2) : "another", known ? PQgetvalue(r, 0, 0) : "unknown",
		known ? PQgetvalue(r, 0, 1) : "unknown");
	PQclear(r);
	return err;
}

/* The session's lock: kept until the connection ends. */
static int
take_lock(struct hb_settle *s, struct hb_error *e)
{
	PGresult *r;
	int err = ask(s, &r, "select pg_try_advisory_lock($1::bigint)", 1, e);
	bool got = err == 0 && PQgetvalue(r, 0, 0)[0] == 't';

	PQclear(r);
	return err != 0 || got ? err : other_settler(s, e);
}

/* A journal that the database doesn't know. */
static int
make_row(struct hb_settle *s, bool adopt, struct hb_error *e)
{
	PGresult *r;
	int err = ask(s, &r,
		"select lpad(to_hex(journal), 16, '0'), next_record from hongbao.journals "
		"where host = $2::bigint and journal <> $1::bigint order by first_at desc limit 1",
		2, e);

	if (err != 0)
		return err;
	if (PQntuples(r) > 0 && !adopt)
		err = hb_fail(e, EEXIST,
			"database %s: host %u was settled from journal %s, of which it has %s "
			"records; journal %016llx is another one: is it the right directory, and "
			"not an old copy? a new journal of that host begins with: hongbao-settle "
			"--adopt",
			s->db->where, s->host, PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1),
			(unsigned long long)s->journal);
	PQclear(r);
	if (err != 0)
		return err;
	err = ask(s, &r,
		"insert into hongbao.journals (journal, host) values ($1::bigint, $2::bigint) "
		"on conflict do nothing",
		2, e);
	PQclear(r);
	return err;
}

/* Reads the journal's row. Returns 1, 0 when there is none, or -errno. */
static int
read_row(struct hb_settle *s, struct hb_error *e)
{
	PGresult *r;
	int rc = ask(s, &r,
		"select host, next_record, segment, at, batch, batch_record, batch_crc, "
		"(select count(*) from hongbao.refused x where x.journal = j.journal) "
		"from hongbao.journals j where journal = $1::bigint",
		1, e);

	if (rc == 0 && PQntuples(r) > 0) {
		s->next_record = hb_db_u64(r, 0, 1);
		s->place = (struct hb_batch_place){
			.segment = (uint32_t)hb_db_u64(r, 0, 2),
			.at = hb_db_u64(r, 0, 3),
			.number = hb_db_u64(r, 0, 4),
			.record = hb_db_u64(r, 0, 5),
			.crc = (uint32_t)hb_db_u64(r, 0, 6),
		};
		s->refused = hb_db_u64(r, 0, 7);
		rc = 1;
		if (hb_db_u64(r, 0, 0) != s->host)
			rc = hb_fail(e, ESTALE,
				"database %s: it knows journal %016llx as host %s's, not host "
				"%u's; find out which is right",
				s->db->where, (unsigned long long)s->journal, PQgetvalue(r, 0, 0),
				s->host);
	}
	PQclear(r);
	return rc;
}

int
hb_settle_begin(struct hb_settle *s, struct hb_db *db, uint64_t journal, uint32_t host, bool adopt,
	struct hb_error *e)
{
	int rc;

	*s = (struct hb_settle){.db = db, .journal = journal, .host = host};
	if ((rc = hb_migrate_check(db, e)) != 0 || (rc = take_lock(s, e)) != 0 ||
		(rc = read_row(s, e)) < 0)
		return rc;
	if (rc == 0 && ((rc = make_row(s, adopt, e)) != 0 || (rc = read_row(s, e)) < 0))
		return rc;
	return hb_db_run(db, make_tables, e);
}

/* ---- rows by COPY -------------------------------------------------------------------- */

struct copy {
	struct hb_db *db;
	size_t bytes;
	char piece[COPY_PIECE];
};

static void
put16(struct copy *c, uint16_t v)
{
	v = htobe16(v);
	memcpy(c->piece + c->bytes, &v, sizeof(v));
	c->bytes += sizeof(v);
}

static void
put32(struct copy *c, uint32_t v)
{
	v = htobe32(v);
	memcpy(c->piece + c->bytes, &v, sizeof(v));
	c->bytes += sizeof(v);
}

static void
put64(struct copy *c, uint64_t v)
{
	v = htobe64(v);
	memcpy(c->piece + c->bytes, &v, sizeof(v));
	c->bytes += sizeof(v);
}

static void
field16(struct copy *c, uint16_t v)
{
	put32(c, sizeof(v));
	put16(c, v);
}

static void
field32(struct copy *c, uint32_t v)
{
	put32(c, sizeof(v));
	put32(c, v);
}

static void
field64(struct copy *c, uint64_t v)
{
	put32(c, sizeof(v));
	put64(c, v);
}

/* The seed of a funding's amounts is a secret, and stays in the journal. */
static void
put_row(struct copy *c, uint64_t number, const struct hb_record *r)
{
	put16(c, HB_SETTLE_FIELDS);
	field64(c, number);
	field16(c, r->type);
	field16(c, r->op);
	field32(c, r->campaign);
	field64(c, r->seq);
	field64(c, r->user);
	field64(c, r->type == HB_RECORD_FUND ? 0 : r->id);
	field64(c, r->amount);
	field64(c, r->aux);
	field64(c, r->time_us - (uint64_t)EPOCH_2000_US);
}

static int
send_piece(struct copy *c, struct hb_error *e)
{
	int err = hb_db_copy_put(c->db, c->piece, c->bytes, e);

	c->bytes = 0;
	return err;
}

static int
copy_rows(struct hb_settle *s, const struct hb_record *records, unsigned n, struct hb_error *e)
{
	static const char magic[] = "PGCOPY\n\377\r\n"; /* and its NUL */
	struct copy *c = malloc(sizeof(*c));
	int err = c == NULL ? hb_fail(e, ENOMEM, "no memory for a COPY")
			    : hb_db_copy_in(s->db, "copy hb_staging from stdin (format binary)", e);

	if (err != 0) {
		free(c);
		return err;
	}
	c->db = s->db;
	memcpy(c->piece, magic, sizeof(magic));
	c->bytes = sizeof(magic);
	put32(c, 0);
	put32(c, 0);
	for (unsigned i = 0; i < n && err == 0; i++) {
		if (!hb_settle_has_row(&records[i]))
			continue;
		if (c->bytes + 256 > COPY_PIECE)
			err = send_piece(c, e);
		if (err == 0)
			put_row(c, s->next_record + i, &records[i]);
	}
	put16(c, 0xFFFF);
	if (err == 0)
		err = send_piece(c, e);
	free(c);
	return err != 0 ? err : hb_db_copy_done(s->db, e);
}

/* ---- from the staging table into the tables ------------------------------------------ */

/* %1$lld is the journal, %2$llu the first record of this transaction. */
static const char put_fund[] =
	"insert into hongbao.fundings (journal, record, campaign, split, envelopes, fen, tiers, "
	"wins_per_user, happened) select %1$lld, record, campaign, op, seq, usr, fen, aux, "
	"happened "
	"from hb_staging where type = 1;";
static const char put_tier[] =
	"insert into hongbao.tiers (journal, record, campaign, tier, envelopes, fen_each, "
	"happened) "
	"select %1$lld, record, campaign, op, seq, fen, happened from hb_staging where type = 2;";
static const char put_quota[] =
	"insert into hongbao.quotas (journal, record, campaign, wins_per_user, happened) "
	"select %1$lld, record, campaign, aux, happened from hb_staging where type = 5;";
static const char put_win[] =
	"insert into hongbao.wins (journal, record, campaign, envelope, usr, seq, fen, op, bundle, "
	"happened) select %1$lld, record, campaign, id, usr, seq, fen, op, aux = 1, happened "
	"from hb_staging where type = 3;";

/* Which packet a share or a refund is of: the last one of its id that was funded before it, here or
 * earlier. What each packet gave and gave back in this transaction is added up and counted once. */
static const char find_packs[] =
	"insert into hb_moves (record, type, pack, fen, aux) select record, type, coalesce(own, "
	"(select p.record from hongbao.packets p where p.packet = s.id and p.journal = %1$lld "
	"order by p.record desc limit 1)), fen, aux from (select record, type, id, fen, aux, "
	"max(record) filter (where type = 6) over (partition by id order by record) as own "
	"from hb_staging where type in (6, 7, 8)) s where type in (7, 8);";
#define SUMS                                                                                       \
	"(select pack, count(*) filter (where type = 7) as taken, "                                \
	"coalesce(sum(fen) filter (where type = 7), 0) as taken_fen, "                             \
	"coalesce(sum(aux) filter (where type = 8), 0) as returned, "                              \
	"coalesce(sum(fen) filter (where type = 8), 0) as returned_fen "                           \
	"from hb_moves group by pack) m"
static const char count_packs[] =
	"update hongbao.packets p set taken = p.taken + m.taken, "
	"taken_fen = p.taken_fen + m.taken_fen, returned = p.returned + m.returned, "
	"returned_fen = p.returned_fen + m.returned_fen from " SUMS
	" where p.journal = %1$lld and p.record = m.pack and p.record < %2$llu;";
static const char put_pack[] =
	"insert into hongbao.packets (journal, record, packet, campaign, usr, seq, fen, shares, "
	"split, hours, taken, taken_fen, returned, returned_fen, happened) select %1$lld, "
	"s.record, "
	"s.id, s.campaign, s.usr, s.seq, s.fen, s.aux >> 8, s.op, s.aux & 255, "
	"coalesce(m.taken, 0), coalesce(m.taken_fen, 0), coalesce(m.returned, 0), "
	"coalesce(m.returned_fen, 0), s.happened from hb_staging s left join " SUMS
	" on m.pack = s.record where s.type = 6;";
static const char put_share[] =
	"insert into hongbao.shares (journal, record, pack, packet, campaign, share, usr, seq, "
	"fen, "
	"happened) select %1$lld, s.record, m.pack, s.id, s.campaign, s.aux, s.usr, s.seq, s.fen, "
	"s.happened from hb_staging s join hb_moves m using (record) where s.type = 7;";
static const char put_refund[] =
	"insert into hongbao.refunds (journal, record, pack, packet, campaign, usr, shares, fen, "
	"happened) select %1$lld, s.record, m.pack, s.id, s.campaign, s.usr, s.aux, s.fen, "
	"s.happened from hb_staging s join hb_moves m using (record) where s.type = 8;";

static const char put_lease[] =
	"insert into hongbao.leases (journal, record, campaign, block, first, happened) "
	"select %1$lld, record, campaign, seq, id, happened from hb_staging where type = 9;";
static const char put_return[] =
	"insert into hongbao.returns (journal, record, campaign, block, \"offset\", envelopes, "
	"fen, "
	"tiers, happened) select %1$lld, record, campaign, id, aux, seq, usr, fen, happened "
	"from hb_staging where type = 10;";
static const char put_moved[] =
	"insert into hongbao.moved (journal, record, campaign, usr, seq, outcome, envelope, fen, "
	"wins, happened) select %1$lld, record, campaign, usr, seq, op, id, fen, aux, happened "
	"from hb_staging where type = 11;";
/* A return is booked when its tiers are there too. */
static const char book[] = "select hongbao.book(%1$lld, %2$llu);";

/* What is to be done where which types are: a bit each. */
#define BIT(type) (1u << (type))
#define MOVED (BIT(HB_RECORD_GRAB) | BIT(HB_RECORD_REFUND))
static const struct {
	unsigned types;
	const char *sql;
} steps[] = {
	{BIT(HB_RECORD_FUND), put_fund},
	{BIT(HB_RECORD_TIER), put_tier},
	{BIT(HB_RECORD_QUOTA), put_quota},
	{BIT(HB_RECORD_WIN), put_win},
	{MOVED, find_packs},
	{MOVED, count_packs},
	{BIT(HB_RECORD_PACK), put_pack},
	{BIT(HB_RECORD_GRAB), put_share},
	{BIT(HB_RECORD_REFUND), put_refund},
	{BIT(HB_RECORD_LEASE), put_lease},
	{BIT(HB_RECORD_RETURN), put_return},
	{BIT(HB_RECORD_ROW), put_moved},
	{BIT(HB_RECORD_LEASE) | BIT(HB_RECORD_RETURN) | BIT(HB_RECORD_TIER), book},
};
#define KNOWN                                                                                      \
	(MOVED | BIT(HB_RECORD_FUND) | BIT(HB_RECORD_TIER) | BIT(HB_RECORD_WIN) |                  \
		BIT(HB_RECORD_SEED) | BIT(HB_RECORD_QUOTA) | BIT(HB_RECORD_PACK) |                 \
		BIT(HB_RECORD_LEASE) | BIT(HB_RECORD_RETURN) | BIT(HB_RECORD_ROW))

/* The types that there are among records; -EPROTO where one isn't known. */
static int
types_of(const struct hb_settle *s, const struct hb_record *records, unsigned n, unsigned *types,
	struct hb_error *e)
{
	*types = 0;
	for (unsigned i = 0; i < n; i++) {
		unsigned type = records[i].type;

		if (type > 31 || (BIT(type) & KNOWN) == 0)
			return hb_fail(e, EPROTO,
				"record %llu: of type %u, which this program doesn't know; a newer "
				"hongbao wrote it: install that",
				(unsigned long long)(s->next_record + i), type);
		*types |= BIT(type);
	}
	return 0;
}

static int
distribute(struct hb_settle *s, unsigned types, struct hb_error *e)
{
	char sql[SQL_BYTES];
	size_t at = 0;

	for (unsigned i = 0; i < HB_COUNT_OF(steps); i++) {
		if ((steps[i].types & types) != 0)
			at += (size_t)snprintf(sql + at, sizeof(sql) - at, steps[i].sql,
				(long long)s->journal, (unsigned long long)s->next_record);
	}
	if (at >= sizeof(sql))
		return hb_fail(e, EIO, "statements of %zu bytes don't fit", at);
	return at == 0 ? 0 : hb_db_run(s->db, sql, e);
}

/* ---- a transaction ------------------------------------------------------------------- */

/* Begins one, and moves the position in it by n records: whoever else would has to wait here, and
 * then finds it moved. */
static int
begin(struct hb_settle *s, unsigned n, const struct hb_batch_place *place, uint64_t known,
	struct hb_error *e)
{
	char sql[640];
	PGresult *r;
	int err = hb_db_run(s->db, "begin", e);

	if (err != 0)
		return err;
	snprintf(sql, sizeof(sql),
		"update hongbao.journals set next_record = %llu, segment = %u, at = %llu, "
		"batch = %llu, batch_record = %llu, batch_crc = %u, "
		"known_records = greatest(%llu, next_record), known_at = now(), settled_at = now() "
		"where journal = %lld and next_record = %llu",
		(unsigned long long)(s->next_record + n), place->segment,
		(unsigned long long)place->at, (unsigned long long)place->number,
		(unsigned long long)place->record, place->crc, (unsigned long long)known,
		(long long)s->journal, (unsigned long long)s->next_record);
	if ((err = hb_db_ask(s->db, &r, sql, 0, NULL, e)) != 0)
		return err;
	bool moved = strcmp(PQcmdTuples(r), "1") == 0;

	PQclear(r);
	if (moved)
		return 0;
	return hb_fail(e, ESTALE,
		"database %s: the position of journal %016llx isn't at record %llu any more; it is "
		"read anew",
		s->db->where, (unsigned long long)s->journal, (unsigned long long)s->next_record);
}

/* Ends it, for good or, after an error, for nothing. The fault stays that of the error. */
static int
end(struct hb_settle *s, int err, unsigned n, const struct hb_batch_place *place,
	struct hb_error *e)
{
	if (err == 0)
		err = hb_db_run(s->db, "commit", e);
	if (err == 0) {
		s->next_record += n;
		s->place = *place;
		return 0;
	}
	enum hb_db_fault fault = s->db->fault;

	if (hb_db_up(s->db) && fault != HB_DB_STOPPED)
		hb_db_run(s->db, "rollback", NULL);
	s->db->fault = fault;
	return err;
}

int
hb_settle_put(struct hb_settle *s, const struct hb_record *records, unsigned n,
	const struct hb_batch_place *place, uint64_t known, struct hb_error *e)
{
	unsigned types;
	int err = types_of(s, records, n, &types, e);

	if (err != 0)
		return err;
	err = begin(s, n, place, known, e);
	if (err == 0)
		err = copy_rows(s, records, n, e);
	if (err == 0)
		err = distribute(s, types, e);
	return end(s, err, n, place, e);
}

int
hb_settle_set_aside(struct hb_settle *s, const struct hb_record *record,
	const struct hb_batch_place *place, uint64_t known, const char *reason, struct hb_error *e)
{
	char journal[24], number[24], type[8], user[24], fen[16], raw[2 * sizeof(*record) + 3];
	const char *values[] = {journal, number, type, raw, user, fen, reason};
	struct hb_record kept = *record;
	const uint8_t *bytes = (const uint8_t *)&kept;
	PGresult *r = NULL;
	int err = begin(s, 1, place, known, e);

	snprintf(journal, sizeof(journal), "%lld", (long long)s->journal);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)s->next_record);
	snprintf(type, sizeof(type), "%u", record->type);
	snprintf(user, sizeof(user), "%lld", (long long)record->user);
	snprintf(fen, sizeof(fen), "%u", record->amount);
	kept.id = kept.type == HB_RECORD_FUND ? 0 : kept.id; /* as put_row() */
	snprintf(raw, sizeof(raw), "\\x");
	for (size_t i = 0; i < sizeof(*record); i++)
		snprintf(raw + 2 + 2 * i, 3, "%02x", bytes[i]);
	if (err == 0)
		err = hb_db_ask(s->db, &r,
			"insert into hongbao.refused (journal, record, type, raw, usr, fen, "
			"reason) "
			"values ($1, $2, $3, $4::bytea, $5, $6, $7)",
			7, values, e);
	PQclear(r);
	err = end(s, err, 1, place, e);
	s->refused += err == 0;
	return err;
}

int
hb_settle_tell(struct hb_settle *s, uint64_t known, struct hb_error *e)
{
	char sql[192];

	snprintf(sql, sizeof(sql),
		"update hongbao.journals set known_records = greatest(%llu, next_record), "
		"known_at = now() where journal = %lld",
		(unsigned long long)known, (long long)s->journal);
	return hb_db_run(s->db, sql, e);
}
