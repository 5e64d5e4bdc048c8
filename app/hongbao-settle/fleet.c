/* SPDX-License-Identifier: BSD-3-Clause */
/* What is done once for a budget that many hosts share, and ends. */
#include "settler.h"

#include "closing.h"
#include "hb_log.h"
#include "hb_migrate.h"
#include "hb_wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SLICES (HB_SHARDS / HB_LANES)

/* Bytes of rows that go to hongbaod at once: a request has room for them. */
#define ROWS_BYTES (256u << 10)

bool
fleet_asked(const struct settle_options *o)
{
	return o->budget != NULL || o->lost_given || o->take_slices != NULL || o->rejoin;
}

struct leaser_terms
fleet_terms(const struct settler *s)
{
	return (struct leaser_terms){
		.database = s->config.database,
		.socket = s->options.socket,
		.term_s = (unsigned)s->options.term_s,
		.ahead_s = (unsigned)s->options.ahead_s,
		.wake_fd = s->signals->wake_fd,
	};
}

static enum hb_exit
code_of(int err)
{
	switch (err) {
	case 0:
		return HB_EXIT_OK;
	case -EAGAIN:
	case -ENOMEM:
		return HB_EXIT_HOST;
	case -EACCES:
	case -ENOENT:
	case -EPROTO:
	case -ENOTCONN:
		return HB_EXIT_CONFIG;
	default:
		return HB_EXIT_FAILED;
	}
}

static int
connect_database(struct settler *s)
{
	int err = hb_db_up(&s->db) ? 0 : hb_db_connect(&s->db, &s->fault);

	return err != 0 ? err : hb_migrate_check(&s->db, &s->fault);
}

/* ---- a budget ------------------------------------------------------------------------ */

static enum hb_exit
make_budget(struct settler *s)
{
	struct hb_terms t;
	uint16_t campaign;
	uint32_t size;
	char n[2][32];

	if (hb_budget_parse(s->options.budget, &campaign, &t, &size, &s->fault) != 0)
		return HB_EXIT_USAGE;
	int rc = connect_database(s);
	if (rc == 0)
		rc = hb_budget_make(&s->db, campaign, &t, size, &s->fault);
	if (rc < 0)
		return code_of(rc);
	printf("campaign %u: %s envelopes of %s fen in %d blocks\n", campaign,
		hb_thousands(t.count, n[0]), hb_thousands(t.total, n[1]), rc);
	return HB_EXIT_OK;
}

/* ---- a lost host --------------------------------------------------------------------- */

/* Waits until the host's term is over. */
static int
declare(struct settler *s, const char *host)
{
	const char *values[] = {host};
	int err;

	for (unsigned waited_s = 0;; waited_s++) {
		err = hb_fleet_call(
			&s->db, "select hongbao.declare_lost($1)", 1, values, &s->fault);
		if (err != -EPERM || strstr(s->fault.text, "runs until") == NULL ||
			waited_s > s->options.term_s)
			return err;
		if (waited_s == 0)
			hb_log(HB_LOG_INFO, "%s", s->fault.text);
		if (hb_db_pause(&s->db, 1000) != 0)
			return err;
	}
}

/* Blocks that never got into a journal that is settled to its end. */
static int
free_unused(struct settler *s, const char *host)
{
	char journal[24];
	const char *values[] = {host, journal};
	PGresult *r = NULL;

	snprintf(journal, sizeof(journal), "%lld", (long long)s->settle.journal);
	int err = hb_db_ask(&s->db, &r, "select hongbao.free_unused($1, $2)", 2, values, &s->fault);

	PQclear(r);
	return err;
}

static int
say_lost(struct settler *s, const char *host)
{
	const char *values[] = {host};
	PGresult *r = NULL;
	int err = hb_db_ask(&s->db, &r,
		"select campaign, envelopes, fen from hongbao.not_known where host = $1", 1, values,
		&s->fault);

	for (int i = 0; err == 0 && i < PQntuples(r); i++)
		printf("campaign %s: %s envelopes, %s fen, which host %s may have given and nobody "
		       "knows of: they stay counted as given\n",
			PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), PQgetvalue(r, i, 2), host);
	PQclear(r);
	return err;
}

static enum hb_exit
declare_lost(struct settler *s)
{
	bool closes = s->config.journal[0] != '\0';
	enum hb_exit code;
	char host[24], n[32];
	int err;

	snprintf(host, sizeof(host), "%llu", (unsigned long long)s->options.lost);
	/* Nothing goes back before it is certain that it gives no more. */
	if ((err = connect_database(s)) != 0 || (err = declare(s, host)) != 0)
		return code_of(err);
	hb_db_close(&s->db); /* settlement begins with a connection of its own */
	if (closes) {
		int64_t back = closing_run(s->config.journal, (uint32_t)s->options.lost, &s->fault);

		if (back < 0)
			return back == -EILSEQ ? HB_EXIT_FAILED : HB_EXIT_CONFIG;
		printf("journal %s: %s envelopes go back\n", s->config.journal,
			hb_thousands((uint64_t)back, n));
		if ((code = settler_run(s)) != HB_EXIT_OK)
			return code;
	}
	if ((err = connect_database(s)) != 0 || (closes && (err = free_unused(s, host)) != 0) ||
		(err = say_lost(s, host)) != 0)
		return code_of(err);
	printf("host %s is lost\n", host);
	return HB_EXIT_OK;
}

/* ---- slices -------------------------------------------------------------------------- */

/* "8-15,20". */
static int
parse_slices(const char *text, uint32_t *slices, struct hb_error *e)
{
	const char *p = text;
	unsigned from, to;
	int n;

	*slices = 0;
	do {
		n = 0;
		if (sscanf(p, "%2u-%2u%n", &from, &to, &n) != 2 || n == 0) {
			if (sscanf(p, "%2u%n", &from, &n) != 1)
				break;
			to = from;
		}
		if (from > to || to >= SLICES)
			break;
		for (unsigned i = from; i <= to; i++)
			*slices |= 1u << i;
		p += n;
	} while (*p == ',' && *++p != '\0');
	if (*p == '\0' && *slices != 0)
		return 0;
	return hb_fail(e, EINVAL, "slices: '%s'; write numbers from 0 to 31, e.g. 8-15,20", text);
}

static void
slices_text(uint32_t slices, const char *open, const char *close, char *out, size_t bytes)
{
	size_t at = (size_t)snprintf(out, bytes, "%s", open);

	for (unsigned i = 0; i < SLICES; i++) {
		if (slices >> i & 1)
			at += (size_t)snprintf(
				out + at, bytes - at, "%s%u", at > strlen(open) ? "," : "", i);
	}
	snprintf(out + at, bytes - at, "%s", close);
}

/* Sends the rows that have gathered. */
static int
send_rows(struct leaser *l, uint16_t campaign, char *text, size_t *used, struct hb_error *e)
{
	int err = *used == 0 ? 0
			     : leaser_ask(l, "lease rows",
				       json_pack("{s:i, s:s}", "campaign", campaign, "text", text),
				       NULL, e);

	*used = 0;
	text[0] = '\0';
	return err;
}

/* Every user of those slices who won anywhere, with the last win. */
static int
bring_rows(struct leaser *l, uint16_t campaign, const char *slices, uint64_t *users,
	struct hb_error *e)
{
	char *text = malloc(ROWS_BYTES), *row, sql[1024];
	size_t used = 0;
	int n, err;

	if (text == NULL)
		return hb_fail(e, ENOMEM, "no memory for the users of slices %s", slices);
	snprintf(sql, sizeof(sql),
		"copy (select hongbao.u64(usr), max(seq), "
		"(array_agg(case when bundle then 'BUNDLE' else 'WIN' end order by seq desc))[1], "
		"count(*), "
		/* What the user was told: of a bundle its packet, whose record is the next. */
		"(array_agg(case when bundle then (select hongbao.u64(p.packet) from "
		"hongbao.packets p where p.journal = w.journal and p.record = w.record + 1) "
		"else envelope end order by seq desc))[1], "
		"(array_agg(fen order by seq desc))[1], "
		"(extract(epoch from max(happened)) * 1000000)::bigint "
		"from hongbao.wins w where campaign = %u and hongbao.slice(usr) = any ('%s') "
		"group by usr) to stdout (delimiter ' ')",
		campaign, slices);
	if ((err = hb_db_copy_out(&l->db, sql, e)) != 0) {
		free(text);
		return err;
	}
	while (err == 0 && (n = hb_db_copy_get(&l->db, &row, e)) != 0) {
		if (n < 0) {
			err = n;
			break;
		}
		if (used + (size_t)n + 1 > ROWS_BYTES)
			err = send_rows(l, campaign, text, &used, e);
		memcpy(text + used, row, (size_t)n);
		used += (size_t)n;
		text[used] = '\0';
		++*users;
		PQfreemem(row);
	}
	if (err == 0)
		err = send_rows(l, campaign, text, &used, e);
	free(text);
	return err;
}

/* What hongbaod serves by now, and these. */
static int
serve_slices(struct leaser *l, uint32_t more, struct hb_error *e)
{
	char text[160];

	slices_text(l->slice_bits | more, "[", "]", text, sizeof(text));
	return leaser_ask(
		l, "config apply", json_pack("{s:{s:s}}", "keys", "slices", text), NULL, e);
}

/* First the users, then the database, then the requests: whoever is served is known. Nobody serves
 * the slices meanwhile: their host is lost. */
static int
bring_slices(struct leaser *l, uint32_t slices, uint64_t *users, struct hb_error *e)
{
	char text[160], host[24];
	const char *values[] = {text, host};
	int err = 0;

	slices_text(slices, "{", "}", text, sizeof(text));
	snprintf(host, sizeof(host), "%u", l->host);
	err = hb_fleet_call(&l->db, "select hongbao.take_slices($1::integer[], $2)", 2, values, e);
	for (unsigned i = 0; i < l->campaigns && err == 0; i++)
		err = bring_rows(l, l->campaign[i].id, text, users, e);
	return err != 0 ? err : serve_slices(l, slices, e);
}

static enum hb_exit
take_slices(struct settler *s)
{
	struct leaser_terms terms = fleet_terms(s);
	uint64_t users = 0;
	uint32_t slices;
	char n[32];

	if (parse_slices(s->options.take_slices, &slices, &s->fault) != 0)
		return HB_EXIT_USAGE;
	int err = leaser_connect(&s->leaser, &terms, &s->fault);

	if (err == 0)
		err = hb_migrate_check(&s->leaser.db, &s->fault);
	if (err == 0)
		err = bring_slices(&s->leaser, slices, &users, &s->fault);
	leaser_disconnect(&s->leaser);
	if (err != 0)
		return code_of(err);
	printf("host %u serves slices %s too, and knows %s winners of them; keep that: hongbaoctl "
	       "config save\n",
		s->leaser.host, s->options.take_slices, hb_thousands(users, n));
	return HB_EXIT_OK;
}

/* ---- back again ---------------------------------------------------------------------- */

static enum hb_exit
rejoin(struct settler *s)
{
	struct leaser_terms terms = fleet_terms(s);
	char host[24], journal[24];
	const char *values[] = {host, journal};
	int err = leaser_connect(&s->leaser, &terms, &s->fault);

	snprintf(host, sizeof(host), "%u", s->leaser.host);
	snprintf(journal, sizeof(journal), "%lld", (long long)s->leaser.journal);
	if (err == 0)
		err = hb_fleet_call(
			&s->leaser.db, "select hongbao.rejoin($1, $2)", 2, values, &s->fault);
	leaser_disconnect(&s->leaser);
	if (err == 0)
		printf("host %s is back\n", host);
	return code_of(err);
}

enum hb_exit
fleet_run(struct settler *s)
{
	if (s->options.budget != NULL)
		return make_budget(s);
	if (s->options.lost_given)
		return declare_lost(s);
	return s->options.rejoin ? rejoin(s) : take_slices(s);
}
