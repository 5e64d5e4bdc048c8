/* SPDX-License-Identifier: BSD-3-Clause */
#include "leaser.h"

#include "hb_log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define MS_NS 1000000ull
#define SECOND_NS 1000000000ull

/* How often it looks. */
#define LOOK_MS 200

/* How long hongbaod has to answer: making a block durable takes a flush. */
#define ANSWER_NS (10 * SECOND_NS)

/* hongbaod's term ends so much before the database's: clocks run at the same rate but for less than
 * that share (in thousandths) of a term. */
#define MARGIN_THOUSANDTHS 100

/* Blocks that are leased in one look. */
#define BLOCKS_AT_ONCE 64

/* For how long a host that found nothing free is heard by the others, and how often one gives back.
 */
#define WANTED_S "3"
#define BACK_NS SECOND_NS

/* How long a host gives nothing until it is idle: then all that it has can go. */
#define IDLE_NS (2 * SECOND_NS)

/* ---- hongbaod ------------------------------------------------------------------------ */

int
leaser_ask(struct leaser *l, const char *command, json_t *args, json_t **result, struct hb_error *e)
{
	uint64_t deadline = hb_mono_ns() + ANSWER_NS;
	struct answer a = {0};
	int err = 0;

	if (!l->linked && (err = link_open(&l->link, l->terms.socket, deadline, e)) == 0)
		l->linked = true;
	if (err == 0)
		err = link_ask(&l->link, ++l->asks, command, args, deadline, e);
	json_decref(args);
	if (err == 0)
		err = link_await(&l->link, &a, deadline, e);
	if (err != 0) {
		if (l->linked)
			link_close(&l->link);
		l->linked = false;
		return -ENOTCONN;
	}
	if (!a.ok)
		err = hb_fail(
			e, strcmp(a.code, "busy") == 0 ? EAGAIN : EPERM, "hongbaod: %s", a.text);
	else if (result != NULL)
		*result = json_incref(a.result);
	answer_free(&a);
	return err;
}

static uint64_t
whole(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

/* The campaign's place, with what was seen of it before. */
static struct leaser_campaign *
place_of(struct leaser *l, uint16_t id)
{
	for (unsigned i = 0; i < l->campaigns; i++) {
		if (l->campaign[i].id == id)
			return &l->campaign[i];
	}
	if (l->campaigns == LEASER_CAMPAIGNS)
		return NULL;
	l->campaign[l->campaigns] = (struct leaser_campaign){.id = id};
	return &l->campaign[l->campaigns++];
}

static void
take_campaign(struct leaser *l, const json_t *o)
{
	struct leaser_campaign *c = place_of(l, (uint16_t)whole(o, "id"));
	uint64_t now = hb_mono_ns();

	if (c == NULL)
		return;
	c->listed = true;
	c->blocks = whole(o, "blocks");
	c->given = whole(o, "given");
	c->returned = whole(o, "returned");
	c->stock = whole(o, "left");
	c->dry = whole(o, "dry");
	c->done = json_is_true(json_object_get(o, "done"));
	c->closed = hb_wall_us() >= whole(o, "closes_us");
	/* Over ten seconds, and since the last look, which knows of a beginning sooner. */
	double lately =
		c->looked_ns == 0 || now == c->looked_ns
			? 0
			: (double)(c->given - c->given_seen) * 1e9 / (double)(now - c->looked_ns);
	c->per_second = json_number_value(json_object_get(o, "given_per_second"));
	c->per_second = lately > c->per_second ? lately : c->per_second;
	c->looked_ns = now;
	if (c->given != c->given_seen || c->idle_since_ns == 0)
		c->idle_since_ns = now;
	c->given_seen = c->given;
}

static void
take_slices(struct leaser *l, const json_t *list)
{
	const json_t *slice;
	size_t i, at = 1;

	l->slice_bits = 0;
	snprintf(l->slices, sizeof(l->slices), "{");
	json_array_foreach(list, i, slice)
	{
		l->slice_bits |= 1u << (json_integer_value(slice) & 31);
		at += (size_t)snprintf(l->slices + at, sizeof(l->slices) - at, "%s%lld",
			i == 0 ? "" : ",", (long long)json_integer_value(slice));
	}
	snprintf(l->slices + at, sizeof(l->slices) - at, "}");
}

/* What hongbaod has and gave. */
static int
look(struct leaser *l, struct hb_error *e)
{
	json_t *o, *campaign;
	size_t i;
	int err = leaser_ask(l, "lease list", NULL, &o, e);

	if (err != 0)
		return err;
	l->host = (uint32_t)whole(o, "host");
	const char *journal = json_string_value(json_object_get(o, "journal"));
	l->journal = journal == NULL ? 0 : strtoull(journal, NULL, 16);
	take_slices(l, json_object_get(o, "slices"));
	for (unsigned k = 0; k < l->campaigns; k++)
		l->campaign[k].listed = false;
	json_array_foreach(json_object_get(o, "campaigns"), i, campaign)
	{
		take_campaign(l, campaign);
	}
	json_decref(o);
	return 0;
}

/* ---- the term ------------------------------------------------------------------------ */

struct numbers {
	char text[8][24];
	const char *value[8];
};

/* Numbers as a statement's parameters. */
static const char *const *
numbers(struct numbers *n, unsigned count, const uint64_t *of)
{
	for (unsigned i = 0; i < count; i++) {
		snprintf(n->text[i], sizeof(n->text[i]), "%lld", (long long)of[i]);
		n->value[i] = n->text[i];
	}
	return n->value;
}

static int
run(struct leaser *l, const char *sql, unsigned count, const uint64_t *of, PGresult **result,
	struct hb_error *e)
{
	struct numbers n;
	PGresult *r = NULL;
	int err = hb_db_ask(&l->db, &r, sql, (int)count, numbers(&n, count, of), e);

	if (result != NULL)
		*result = r;
	else
		PQclear(r);
	return err;
}

/* What hongbaod gave is told before its term is: whoever counts sees no less than there was. */
static int
tell_holdings(struct leaser *l, struct hb_error *e)
{
	int err = 0;

	for (unsigned i = 0; i < l->campaigns && err == 0; i++) {
		const struct leaser_campaign *c = &l->campaign[i];

		err = run(l,
			"insert into hongbao.holdings (host, journal, campaign, given, stock) "
			"select $1, $2, $3, $4, $5 where exists (select from hongbao.budgets where "
			"campaign = $3) and exists (select from hongbao.hosts where host = $1) on "
			"conflict (host, journal, campaign) do update set given "
			"= excluded.given, stock = excluded.stock, told_at = now()",
			5, (uint64_t[]){l->host, l->journal, c->id, c->given, c->stock}, NULL, e);
	}
	return err;
}

static uint64_t
term_ms(const struct leaser *l)
{
	return l->terms.term_s * 1000ull;
}

/* In hongbaod's time, when the term ends there. */
static uint64_t
term_end_ns(const struct leaser *l)
{
	return l->asked_ns + term_ms(l) * (1000 - MARGIN_THOUSANDTHS) / 1000 * MS_NS;
}

/* First in the database, then in hongbaod, from when the database was asked: so hongbaod's is over
 * first. */
static int
renew(struct leaser *l, struct hb_error *e)
{
	uint64_t asked = hb_boot_ns();
	char host[24], journal[24], ms[24];
	const char *values[] = {host, journal, l->slices, ms};

	snprintf(host, sizeof(host), "%u", l->host);
	snprintf(journal, sizeof(journal), "%lld", (long long)l->journal);
	snprintf(ms, sizeof(ms), "%llu", (unsigned long long)term_ms(l));
	int err = hb_fleet_call(
		&l->db, "select hongbao.renew($1, $2, $3::integer[], $4)", 4, values, e);
	l->renewed = err == 0;
	if (err != 0)
		return err;
	l->asked_ns = asked;
	return leaser_ask(l, "lease renew",
		json_pack("{s:I, s:I, s:I}", "ms",
			(json_int_t)(term_ms(l) * (1000 - MARGIN_THOUSANDTHS) / 1000), "since_ns",
			(json_int_t)asked, "slices", (json_int_t)l->slice_bits),
		NULL, e);
}

/* ---- blocks -------------------------------------------------------------------------- */

static void
set_number(json_t *keys, const char *key, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	json_object_set_new(keys, key, json_string(text));
}

static json_t *
block_keys(const struct leaser *l, const struct hb_leased *b)
{
	json_t *keys = json_object();
	char tiers[HB_TIERS_MAX * 22 + 1];
	size_t at = 0;

	set_number(keys, "block", b->block);
	set_number(keys, "first", b->first);
	set_number(keys, "count", b->terms.count);
	set_number(keys, "total", b->terms.total);
	set_number(keys, "expires_ns", term_end_ns(l));
	json_object_set_new(keys, "split", json_string(hb_split_name(b->terms.split)));
	for (unsigned i = 0; i < b->terms.tiers; i++)
		at += (size_t)snprintf(tiers + at, sizeof(tiers) - at, "%s%u*%u", i == 0 ? "" : ",",
			b->terms.tier[i].count, b->terms.tier[i].amount);
	if (b->terms.tiers > 0)
		json_object_set_new(keys, "tiers", json_string(tiers));
	return keys;
}

/* Brings a block to hongbaod, and says in the database that it is there. */
static int
bring(struct leaser *l, const struct hb_leased *b, struct hb_error *e)
{
	int err = leaser_ask(l, "lease add",
		json_pack("{s:i, s:o}", "campaign", b->campaign, "keys", block_keys(l, b)), NULL,
		e);

	return err != 0 ? err : hb_fleet_confirm(&l->db, b, e);
}

/* What was leased and of which nobody knows whether it got there. */
static int
bring_unconfirmed(struct leaser *l, struct hb_error *e)
{
	struct hb_leased b;
	int n, err = 0;

	while (err == 0 && (n = hb_fleet_unconfirmed(&l->db, l->host, l->journal, &b, e)) != 0)
		err = n < 0 ? n : bring(l, &b, e);
	return err;
}

/* Nobody has anything free: the others are told, and whether they have any is asked. */
static int
want(struct leaser *l, struct leaser_campaign *c, struct hb_error *e)
{
	PGresult *r;
	int err = run(l,
		"update hongbao.budgets set wanted_at = now(), wanted_by = $2 where campaign = $1",
		2, (uint64_t[]){c->id, l->host}, NULL, e);

	if (err != 0)
		return err;
	if ((err = run(l, "select hongbao.budget_done($1)", 1, (uint64_t[]){c->id}, &r, e)) != 0) {
		PQclear(r);
		return err;
	}
	bool done = PQgetvalue(r, 0, 0)[0] == 't';

	PQclear(r);
	if (done == c->done)
		return 0;
	err = leaser_ask(l, "lease done",
		json_pack("{s:i, s:s}", "campaign", c->id, "done", done ? "yes" : "no"), NULL, e);
	if (err == 0 && done)
		hb_log(HB_LOG_INFO, "campaign %u: nothing is left of its budget on any host",
			c->id);
	return err;
}

/* So many envelopes are to be here. One at least, so that somebody who comes gets it. */
static uint64_t
wanted_stock(const struct leaser *l, const struct leaser_campaign *c)
{
	uint64_t n = (uint64_t)(c->per_second * l->terms.ahead_s);

	return n < 1 ? 1 : n;
}

static int
fill_up(struct leaser *l, struct leaser_campaign *c, struct hb_error *e)
{
	uint64_t wanted = wanted_stock(l, c);
	struct hb_leased b;
	int n = 1, err = 0;

	/* hongbaod takes no more, and a block that it refuses would stay with us. */
	if (c->blocks >= HB_TRANCHES_MAX)
		return c->stock > 0 ? 0 : want(l, c, e);
	for (unsigned i = 0; err == 0 && n > 0 && c->stock < wanted && i < BLOCKS_AT_ONCE; i++) {
		n = hb_fleet_take(&l->db, c->id, l->host, l->journal, &b, e);
		if (n < 0)
			return n;
		if (n > 0 && (err = bring(l, &b, e)) == 0) {
			c->stock += b.terms.count;
			if (++c->blocks == HB_TRANCHES_MAX)
				n = 0;
			c->idle_since_ns = hb_mono_ns();
			hb_log(HB_LOG_INFO, "campaign %u: leased block %u of %u envelopes", c->id,
				b.block, b.terms.count);
		}
	}
	if (err != 0 || n > 0 || c->stock > 0)
		return err;
	return want(l, c, e);
}

/* Whether another host ran dry lately and found nothing. */
static int
others_want(struct leaser *l, const struct leaser_campaign *c, struct hb_error *e)
{
	PGresult *r;
	int err = run(l,
		"select 1 from hongbao.budgets where campaign = $1 and wanted_by <> $2 and "
		"wanted_at "
		"> now() - interval '" WANTED_S
		" s' and not exists (select from hongbao.blocks where "
		"campaign = $1 and state = 'free')",
		2, (uint64_t[]){c->id, l->host}, &r, e);
	int n = err == 0 ? PQntuples(r) : err;

	PQclear(r);
	return n;
}

/* Half of what is here, or all where nobody asks for it, goes to those who ran dry; and all when
 * the campaign is over. */
static int
give_back(struct leaser *l, struct leaser_campaign *c, struct hb_error *e)
{
	uint64_t now = hb_mono_ns(), n = c->stock;
	json_t *o;
	int err;

	if (c->stock == 0 || now - c->gave_back_ns < BACK_NS)
		return 0;
	if (!c->closed && (err = others_want(l, c, e)) <= 0)
		return err;
	if (!c->closed && now - c->idle_since_ns < IDLE_NS)
		n = (c->stock + 1) / 2;
	c->gave_back_ns = now;
	err = leaser_ask(l, "lease return",
		json_pack("{s:i, s:I}", "campaign", c->id, "count", (json_int_t)n), &o, e);
	if (err != 0)
		return err;
	hb_log(HB_LOG_INFO, "campaign %u: %llu envelopes go back, %s", c->id,
		(unsigned long long)whole(o, "returned"),
		c->closed ? "since it is over" : "since another host wants them");
	json_decref(o);
	return 0;
}

/* A host that was declared lost gives nothing any more, and gives back what it has. */
static int
give_all_back(struct leaser *l, struct hb_error *e)
{
	int err = leaser_ask(l, "lease renew", json_pack("{s:i}", "ms", 0), NULL, e);

	for (unsigned i = 0; err == 0 && i < l->campaigns; i++) {
		if (l->campaign[i].stock > 0)
			err = leaser_ask(l, "lease return",
				json_pack("{s:i}", "campaign", l->campaign[i].id), NULL, e);
	}
	return err;
}

static int
is_lost(struct leaser *l, struct hb_error *e)
{
	PGresult *r;
	int err = run(l, "select 1 from hongbao.hosts where host = $1 and state = 'lost'", 1,
		(uint64_t[]){l->host}, &r, e);
	int n = err == 0 ? PQntuples(r) : err;

	PQclear(r);
	return n;
}

/* ---- a look around ------------------------------------------------------------------- */

static int
lease(struct leaser *l, struct hb_error *e)
{
	int err = bring_unconfirmed(l, e);

	for (unsigned i = 0; i < l->campaigns && err == 0; i++) {
		struct leaser_campaign *c = &l->campaign[i];

		if (!c->listed)
			continue;
		if (!c->closed && (c->stock < wanted_stock(l, c)))
			err = fill_up(l, c, e);
		if (err == 0)
			err = give_back(l, c, e);
	}
	return err;
}

static int
look_around(struct leaser *l, struct hb_error *e)
{
	int err = 0;

	if (!hb_db_up(&l->db) && (err = hb_db_connect(&l->db, e)) != 0)
		return err;
	if ((err = look(l, e)) != 0 || (err = tell_holdings(l, e)) != 0)
		return err;
	err = renew(l, e);
	if (err == -EPERM) {
		struct hb_error why;

		hb_log_limited(HB_LOG_ERROR, 6, "no envelopes are given here: %s", e->text);
		err = is_lost(l, &why);
		return err > 0 ? give_all_back(l, e) : 0;
	}
	return err != 0 ? err : lease(l, e);
}

/* Returns whether it is to end. */
static bool
wait_ms(const struct leaser *l, int ms)
{
	struct pollfd p = {.fd = l->terms.wake_fd, .events = POLLIN};

	return poll(&p, 1, ms) > 0;
}

static void *
run_leaser(void *context)
{
	struct leaser *l = context;
	struct hb_backoff backoff = {.most_ms = 1000};
	struct hb_error e;
	int ms = LOOK_MS;

	pthread_setname_np(pthread_self(), "leaser");
	do {
		int err = look_around(l, &e);

		ms = err == 0 ? LOOK_MS : (int)hb_backoff_next(&backoff);
		if (err == 0)
			hb_backoff_reset(&backoff);
		else if (l->db.fault != HB_DB_STOPPED)
			hb_log_limited(HB_LOG_WARNING, 6, "leases: %s", e.text);
	} while (!wait_ms(l, ms));
	return NULL;
}

/* ---- begin and end ------------------------------------------------------------------- */

static void
set_up(struct leaser *l, const struct leaser_terms *t)
{
	*l = (struct leaser){.terms = *t, .link = {.fd = -1}};
	hb_db_begin(&l->db, t->database, "hongbao-settle leases", t->wake_fd);
	/* A term must not run out while somebody waits for a database that is gone. */
	l->db.patience_ms = t->term_s * 1000 / 4;
}

int
leaser_begin(struct leaser *l, const struct leaser_terms *t, struct hb_error *e)
{
	set_up(l, t);
	int err = pthread_create(&l->thread, NULL, run_leaser, l);

	l->running = err == 0;
	return err == 0 ? 0 : hb_fail(e, err, "no thread for leases: %s", strerror(err));
}

void
leaser_end(struct leaser *l)
{
	if (!l->running)
		return;
	pthread_join(l->thread, NULL);
	l->running = false;
	leaser_disconnect(l);
}

int
leaser_connect(struct leaser *l, const struct leaser_terms *t, struct hb_error *e)
{
	set_up(l, t);
	/* No term hangs on it, and what users won may take long to find. */
	l->db.patience_ms = HB_DB_LONG_MS;
	int err = hb_db_connect(&l->db, e);

	return err != 0 ? err : look(l, e);
}

void
leaser_disconnect(struct leaser *l)
{
	hb_db_close(&l->db);
	if (l->linked)
		link_close(&l->link);
	l->linked = false;
}
