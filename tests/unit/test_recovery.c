/* SPDX-License-Identifier: BSD-3-Clause */
/* A journal read back, with threads and without: the same state, and the same line for the same
 * record where there is a fault. */
#include "hb_recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKERS_MAX 3
#define ID 7	   /* of slot 0 */
#define OTHER_ID 9 /* of slot 1 */
#define STRANGER_ID 11
#define ENVELOPES 300000u
#define OTHER_ENVELOPES 20000u
#define TIME_US 1424269800000000ull

/* ---- a journal ----------------------------------------------------------------------- */

struct book {
	char directory[32];
	struct hb_disk_directory disk;
	struct hb_journal journal;
	struct hb_record *room;
	unsigned n;
	uint32_t *amount[2]; /* by slot, by number - 1 */
	uint64_t random;
};

static struct hb_terms
terms_of(unsigned slot)
{
	return slot == 0 ? (struct hb_terms){.count = ENVELOPES,
				   .total = ENVELOPES * 100ull,
				   .seed = 42,
				   .split = HB_SPLIT_LUCKY}
			 : (struct hb_terms){.count = OTHER_ENVELOPES,
				   .total = OTHER_ENVELOPES * 3ull,
				   .seed = 43,
				   .split = HB_SPLIT_EQUAL};
}

static void
commit(struct book *b)
{
	if (b->n > 0)
		assert_int_equal(hb_journal_commit(&b->journal, b->n), 0);
	b->n = 0;
}

/* Batches of all sizes, so that segments and piles end anywhere. */
static void
enter(struct book *b, const struct hb_record *r)
{
	unsigned most;

	if (b->n == 0)
		b->room = hb_journal_room(&b->journal, &most);
	b->room[b->n++] = *r;
	if (b->n == 9000 || hb_splitmix64(&b->random) % 2000 == 0)
		commit(b);
}

static void
enter_funding(struct book *b, unsigned slot)
{
	struct hb_record r[HB_FUND_RECORDS_MAX];
	struct hb_terms t = terms_of(slot);
	unsigned n = hb_fund_encode(r, slot == 0 ? ID : OTHER_ID, &t, 5, TIME_US);
	struct hb_splitter s;

	for (unsigned i = 0; i < n; i++)
		enter(b, &r[i]);
	b->amount[slot] = calloc(t.count, sizeof(uint32_t));
	hb_splitter_begin(&s, &t);
	for (uint32_t i = 0; i < t.count; i++)
		b->amount[slot][i] = hb_splitter_next(&s);
}

static struct hb_record
win_of(const struct book *b, unsigned slot, uint32_t number, uint64_t user, uint32_t seq)
{
	uint16_t id = slot == 0 ? ID : OTHER_ID;

	return (struct hb_record){.type = HB_RECORD_WIN,
		.op = HB_OP_SHAKE,
		.campaign = id,
		.seq = seq,
		.user = user,
		.id = hb_envelope_id(id, number),
		.amount = b->amount[slot][number - 1],
		.time_us = TIME_US + number * 1000ull};
}

static void
begin_book(struct book *b)
{
	struct hb_record seed = {.type = HB_RECORD_SEED, .id = 5, .time_us = TIME_US};

	*b = (struct book){.directory = "/tmp/hongbao-test-XXXXXX", .random = 1};
	assert_non_null(mkdtemp(b->directory));
	assert_int_equal(hb_disk_open(&b->disk, b->directory, NULL), 0);
	assert_int_equal(hb_journal_begin(&b->journal, &b->disk.disk, 1, 2 << 20, NULL), 0);
	enter(b, &seed);
	enter_funding(b, 0);
	enter_funding(b, 1);
}

static void
end_writing(struct book *b)
{
	commit(b);
	hb_journal_end(&b->journal);
}

static void
remove_book(struct book *b)
{
	char command[64];

	hb_disk_close(&b->disk);
	free(b->amount[0]);
	free(b->amount[1]);
	snprintf(command, sizeof(command), "rm -rf %s", b->directory);
	assert_int_equal(system(command), 0);
}

/* ---- a server that reads it ------------------------------------------------------------ */

struct server {
	struct hb_campaign_config campaign[2];
	struct hb_envelopes envelopes[2];
	uint8_t drained[2];
	struct hb_link link[WORKERS_MAX];
	struct hb_link *links[WORKERS_MAX];
	struct hb_engine *engines[WORKERS_MAX];
	struct hb_worker_stats stats[WORKERS_MAX];
	struct hb_journal journal;
	struct hb_journal_reader reader;
	struct hb_control control;
	struct hb_recovery recovery;
	unsigned workers;
	int rc;
	struct hb_error e;
};

static struct hb_engine *
make_engine(struct server *s, unsigned w, uint64_t users)
{
	struct hb_engine *engine = calloc(1, sizeof(*engine));
	struct hb_engine_terms terms = {
		.campaigns = 2, .workers = s->workers, .users = users, .seed = 5};

	assert_int_equal(hb_engine_make(engine, &terms, &s->link[w], &s->stats[w], NULL), 0);
	return engine;
}

static struct server *
make_server(unsigned workers, uint64_t users)
{
	struct server *s = aligned_alloc(HB_CACHE_LINE, sizeof(*s));
	struct hb_control_terms terms = {.journal = &s->journal,
		.links = s->links,
		.drained = s->drained,
		.workers = workers,
		.campaigns = 2};

	*s = (struct server){.workers = workers};
	for (unsigned slot = 0; slot < 2; slot++)
		s->campaign[slot] = (struct hb_campaign_config){
			.id = slot == 0 ? ID : OTHER_ID,
			.name = "test",
			.terms = terms_of(slot),
		};
	for (unsigned w = 0; w < workers; w++) {
		assert_int_equal(hb_link_make(&s->link[w], 2, s->drained, NULL), 0);
		s->links[w] = &s->link[w];
		s->engines[w] = make_engine(s, w, users);
	}
	assert_int_equal(hb_control_make(&s->control, &terms, NULL), 0);
	assert_int_equal(hb_recovery_begin(&s->recovery, &s->control, s->engines, s->envelopes,
				 s->campaign, 2, NULL),
		0);
	return s;
}

static struct server *
recover(struct book *b, bool threads, unsigned workers, uint64_t users)
{
	struct server *s = make_server(workers, users);

	assert_int_equal(hb_journal_read_disk(&s->reader, &b->disk.disk, b->directory, &s->e), 0);
	s->rc = hb_recovery_read(&s->recovery, &s->reader, threads, NULL, &s->e);
	return s;
}

static void
free_server(struct server *s)
{
	hb_recovery_free(&s->recovery);
	hb_journal_read_end(&s->reader);
	hb_control_free(&s->control);
	for (unsigned w = 0; w < s->workers; w++) {
		hb_engine_free(s->engines[w]);
		free(s->engines[w]);
		hb_link_free(&s->link[w]);
	}
	for (unsigned slot = 0; slot < 2; slot++)
		hb_envelopes_free(&s->envelopes[slot]);
	free(s);
}

/* ---- the same state ------------------------------------------------------------------ */

#define USERS 150000u

/* What the journal says of each user in slot 0, and of the first 10,000 in slot 1. */
struct model {
	struct {
		uint32_t wins, seq, number;
	} of[2][USERS];
};

static uint64_t
user_of(uint32_t i)
{
	return (i + 1) * 0x9E3779B97F4A7C15ull;
}

/* Envelopes in an order of their own; one in four winners wins again at once, while the first win
 * is in the same pile. */
static void
write_wins(struct book *b, struct model *m)
{
	uint32_t user = 0;

	for (uint32_t i = 0; i < ENVELOPES - 1000; i++) {
		unsigned slot = i % 20 == 7 && i / 20 < OTHER_ENVELOPES;
		uint32_t number = slot == 1 ? i / 20 + 1 : (uint32_t)(i * 7919ull % ENVELOPES) + 1;

		if (hb_splitmix64(&b->random) % 4 != 0)
			user = (uint32_t)(hb_splitmix64(&b->random) % (slot == 0 ? USERS : 10000));
		if (slot == 1)
			user %= 10000;
		struct hb_record win = win_of(b, slot, number, user_of(user), i + 1);

		enter(b, &win);
		m->of[slot][user].wins++;
		m->of[slot][user].seq = i + 1;
		m->of[slot][user].number = number;
		if (i % 5000 == 0) {
			win.campaign = STRANGER_ID;
			enter(b, &win);
		}
	}
}

static uint64_t
check_rows(const struct server *s, const struct model *m, unsigned slot)
{
	uint64_t winners = 0;

	for (uint32_t i = 0; i < USERS; i++) {
		uint64_t user = user_of(i);
		const struct hb_users *t =
			&s->engines[hb_owner(hb_lane(hb_shard(user)), s->workers)]->users;
		uint16_t id = s->campaign[slot].id;
		const struct hb_user *row = hb_users_find(t, hb_users_hash(t, id, user), id, user);

		if (m->of[slot][i].wins == 0) {
			assert_null(row);
			continue;
		}
		winners++;
		assert_non_null(row);
		assert_int_equal(row->wins, m->of[slot][i].wins);
		assert_int_equal(row->seq, m->of[slot][i].seq);
		assert_int_equal(row->outcome, HB_OUTCOME_WIN);
		assert_int_equal(*hb_users_detail(t, row), m->of[slot][i].number);
	}
	return winners;
}

static void
check_state(const struct server *s, const struct model *m, const struct book *b)
{
	uint64_t winners = check_rows(s, m, 0) + check_rows(s, m, 1), used = 0, counted = 0;

	for (unsigned w = 0; w < s->workers; w++) {
		used += s->engines[w]->users.used;
		counted += s->engines[w]->users.winners;
	}
	assert_int_equal(used, winners);
	assert_int_equal(counted, winners);
	for (unsigned slot = 0; slot < 2; slot++) {
		const struct hb_envelopes *v = &s->envelopes[slot];
		uint64_t given = 0;

		assert_int_equal(v->count, s->campaign[slot].terms.count);
		for (uint32_t i = 0; i < v->count; i++) {
			bool is = s->recovery.given[slot][i / 8] >> (i % 8) & 1;

			assert_int_equal(v->of[i].amount, b->amount[slot][i]);
			assert_int_equal(
				v->of[i].asked_ms, is ? (uint32_t)(TIME_US / 1000 + i + 1) : 0);
			given += is;
		}
		assert_int_equal(given, s->control.ledger[slot].recalled);
	}
	assert_int_equal(
		s->control.ledger[0].recalled + s->control.ledger[1].recalled, s->recovery.wins);
}

static void
state_is_what_the_journal_says(void **state)
{
	/* A table of many parts, of one part, and just large enough: the last of it in order. */
	static const struct {
		unsigned workers;
		uint64_t users;
	} cases[] = {{1, 700000}, {1, 150000}, {1, 155000}, {2, 250000}, {3, 60000}};
	struct model *m = calloc(1, sizeof(*m));
	struct book b;

	(void)state;
	begin_book(&b);
	write_wins(&b, m);
	end_writing(&b);
	for (unsigned i = 0; i < 2 * HB_COUNT_OF(cases); i++) {
		struct server *s =
			recover(&b, i % 2 != 0, cases[i / 2].workers, cases[i / 2].users);

		if (s->rc != 0)
			fail_msg("case %u: %s", i, s->e.text);
		assert_false(s->recovery.refused);
		assert_true(s->reader.number >= 5);
		assert_int_equal(s->recovery.wins, ENVELOPES - 1000);
		assert_int_equal(s->recovery.strangers, (ENVELOPES - 1000 + 4999) / 5000);
		check_state(s, m, &b);
		free_server(s);
	}
	free(m);
	remove_book(&b);
}

/* ---- the same faults ----------------------------------------------------------------- */

/* What all ways of reading must say. */
static void
assert_says(
	struct book *b, unsigned workers, uint64_t users, int rc, bool refused, const char *line)
{
	for (unsigned i = 0; i < 2; i++) {
		struct server *s = recover(b, i == 1, workers, users);

		assert_string_equal(s->e.text, line);
		assert_int_equal(s->rc, rc);
		assert_int_equal(s->recovery.refused, refused);
		free_server(s);
	}
}

static void
write_winners(struct book *b, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		struct hb_record win = win_of(b, 0, i + 1, user_of(i), 1);

		enter(b, &win);
	}
}

/* How many winners find a row, put in one by one; and the line for so many. */
static uint32_t
winners_that_fit(unsigned workers, uint64_t users, char *line, size_t bytes)
{
	struct server *s = make_server(workers, users);
	uint32_t i = 0;
	struct hb_recall win = {.campaign = ID, .seq = 1, .number = 1, .user = user_of(0)};

	while (hb_engine_recall(s->engines[hb_owner(hb_lane(hb_shard(win.user)), workers)], &win) ==
		0)
		win.user = user_of(++i);
	free_server(s);
	snprintf(line, bytes,
		"users: the table cannot hold the winners of the journal, of whom %u are read; "
		"write more users",
		i);
	return i;
}

static void
table_too_small_is_told_with_the_same_count(void **state)
{
	/* Tables of one part and of several, of which one is full before the others. */
	static const struct {
		unsigned workers;
		uint64_t users;
	} cases[] = {{1, 10}, {1, 20000}, {1, 230000}, {2, 1000}, {3, 80000}};
	char line[256];

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(cases); i++) {
		unsigned workers = cases[i].workers;
		struct book b;
		uint32_t fit;

		begin_book(&b);
		fit = winners_that_fit(workers, cases[i].users, line, sizeof(line));
		assert_in_range(fit, cases[i].users, ENVELOPES - 20000);
		write_winners(&b, 0, fit + 20000);
		end_writing(&b);
		assert_says(&b, workers, cases[i].users, -EINVAL, true, line);
		remove_book(&b);
	}
}

/* The first fault in the journal is the one that is told, in whichever stage it is found. */
static void
first_fault_is_told(void **state)
{
	char full[256], twice[256];

	(void)state;
	for (int behind = -1; behind <= 1; behind++) {
		uint32_t at, fit;
		struct hb_record again;
		struct book b;

		begin_book(&b);
		fit = winners_that_fit(1, 20000, full, sizeof(full));
		at = behind < 0 ? fit - 3 : behind == 0 ? fit : fit + 1;
		write_winners(&b, 0, at);
		again = win_of(&b, 0, 5, user_of(at), 1);
		enter(&b, &again);
		write_winners(&b, at, fit + 20000);
		end_writing(&b);
		/* Seed and fundings are records too. */
		snprintf(twice, sizeof(twice),
			"record %u: envelope %llu of campaign %u is given a second time", at + 3,
			(unsigned long long)hb_envelope_id(ID, 5), ID);
		if (behind <= 0)
			assert_says(&b, 1, 20000, -EILSEQ, true, twice);
		else
			assert_says(&b, 1, 20000, -EINVAL, true, full);
		remove_book(&b);
	}
}

static void
spoil_segment(const struct book *b, unsigned number)
{
	char path[64];
	uint8_t byte;

	snprintf(path, sizeof(path), "%s/%08u.hbj", b->directory, number);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, 4096 + 200), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, 4096 + 200), 1);
	close(fd);
}

static void
damage_is_told_unless_a_record_before_it_is_refused(void **state)
{
	char full[256], damage[256];
	uint32_t fit;
	struct book b;

	(void)state;
	begin_book(&b);
	fit = winners_that_fit(1, 20000, full, sizeof(full));
	write_winners(&b, 0, fit + 100000);
	end_writing(&b);
	spoil_segment(&b, 2);
	snprintf(damage, sizeof(damage),
		"journal %s/00000002.hbj: offset 4096: the batch there is damaged, and others "
		"follow it; nothing was changed: restore this file from a copy",
		b.directory);
	/* Two MiB hold 52,000 records: the table is full in segment 1. */
	assert_says(&b, 1, 20000, -EINVAL, true, full);
	assert_says(&b, 1, 200000, -EILSEQ, false, damage);
	remove_book(&b);
}

/* ---- top-ups --------------------------------------------------------------------------- */

#define TOP_UPS 3u
#define TOP_UP_ENVELOPES 70001u
#define QUOTA 9

static struct hb_terms
terms_of_top_up(unsigned nth)
{
	return (struct hb_terms){.count = TOP_UP_ENVELOPES,
		.total = TOP_UP_ENVELOPES * (20ull + nth),
		.seed = 1000 + nth,
		.split = HB_SPLIT_LUCKY};
}

static void
enter_top_up(struct book *b, uint16_t campaign, const struct hb_terms *t)
{
	struct hb_record r[HB_FUND_RECORDS_MAX];
	unsigned n = hb_fund_encode(r, campaign, t, 5, TIME_US);

	for (unsigned i = 0; i < n; i++)
		enter(b, &r[i]);
}

/* Tops slot 0 up, with its amounts behind those that there are. */
static void
top_up(struct book *b, unsigned nth)
{
	uint32_t had = ENVELOPES + nth * TOP_UP_ENVELOPES;
	struct hb_terms t = terms_of_top_up(nth);
	struct hb_splitter s;

	enter_top_up(b, ID, &t);
	b->amount[0] = realloc(b->amount[0], (had + t.count) * sizeof(uint32_t));
	hb_splitter_begin(&s, &t);
	for (uint32_t i = 0; i < t.count; i++)
		b->amount[0][had + i] = hb_splitter_next(&s);
}

/* Each fifth of all envelopes that there are is given after each funding, by users of their own. */
static uint32_t
give_fifths(struct book *b, uint32_t from, uint32_t to)
{
	uint32_t wins = 0;

	for (uint32_t number = from; number <= to; number += 5, wins++) {
		struct hb_record win = win_of(b, 0, number, user_of(number), 3);

		enter(b, &win);
	}
	return wins;
}

static void
check_top_ups(struct server *s, const struct book *b, uint32_t wins)
{
	const struct hb_ledger *l = &s->control.ledger[0];

	assert_int_equal(l->top_ups, TOP_UPS);
	assert_int_equal(l->funded, ENVELOPES + TOP_UPS * TOP_UP_ENVELOPES);
	assert_int_equal(l->funded_fen, ENVELOPES * 100ull + TOP_UP_ENVELOPES * 63ull);
	assert_int_equal(l->journalled, wins);
	for (unsigned i = 0; i < TOP_UPS; i++) {
		uint32_t had = ENVELOPES + i * TOP_UP_ENVELOPES;

		assert_int_equal(l->tranches->first[i], had + 1);
		for (uint32_t k = 0; k < TOP_UP_ENVELOPES; k++)
			assert_int_equal(l->tranches->of[i].of[k].amount, b->amount[0][had + k]);
	}
	for (uint32_t number = 1; number <= l->funded; number += 101) {
		struct hb_look look = {
			.user = user_of(number), .rows = 1, .row = {{.campaign = ID}}};

		hb_engine_look(
			s->engines[hb_owner(hb_lane(hb_shard(look.user)), s->workers)], &look);
		assert_int_equal(look.row[0].known, number % 5 == 2);
		if (!look.row[0].known)
			continue;
		assert_int_equal(look.row[0].number, number);
		assert_int_equal(look.row[0].amount, b->amount[0][number - 1]);
		assert_true(look.row[0].durable);
	}
}

/* Goes on from there: all that is left is in the stocks or the depot, and the quota is on record.
 */
static void
check_going_on(struct server *s, struct book *b)
{
	uint64_t records;
	struct hb_error e;

	if (hb_journal_resume(&s->journal, &b->disk.disk, &s->reader, 2 << 20, &e) != 0)
		fail_msg("%s", e.text);
	records = s->journal.record;
	for (unsigned slot = 0; slot < 2; slot++)
		s->campaign[slot].wins_per_user = slot == 0 ? QUOTA : 5;
	if (hb_recovery_finish(&s->recovery, 1, TIME_US, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(s->control.ledger[0].wins_per_user, QUOTA);
	assert_true(hb_control_balanced(&s->control, &e));
	/* The next start finds it as it should be. */
	assert_in_range(s->journal.record, records, records + 1);
	hb_journal_end(&s->journal);
}

static void
topped_up_campaigns_come_back(void **state)
{
	uint32_t wins = 0, had = ENVELOPES;
	uint64_t written = 0;
	struct book b;

	(void)state;
	begin_book(&b);
	wins += give_fifths(&b, 2, ENVELOPES);
	for (unsigned nth = 0; nth < TOP_UPS; nth++, had += TOP_UP_ENVELOPES) {
		struct hb_terms stranger = {
			.count = 1, .total = 1, .split = HB_SPLIT_EQUAL, .seed = 1};

		top_up(&b, nth);
		enter_top_up(&b, STRANGER_ID, &stranger);
		wins += give_fifths(&b, 2 + (had + 3) / 5 * 5, had + TOP_UP_ENVELOPES);
	}
	end_writing(&b);
	for (unsigned i = 0; i < 4; i++) {
		struct server *s = recover(&b, i % 2 != 0, 1 + i / 2 * 2, 200000);

		if (s->rc != 0)
			fail_msg("case %u: %s", i, s->e.text);
		check_top_ups(s, &b, wins);
		assert_true(s->control.foreign[STRANGER_ID]);
		assert_false(s->control.foreign[ID]);
		check_going_on(s, &b);
		/* The first one wrote the quota, and nobody after it. */
		written = i == 0 ? s->journal.record : written;
		assert_int_equal(s->journal.record, written);
		free_server(s);
	}
	remove_book(&b);
}

static void
top_ups_that_make_no_sense_are_refused(void **state)
{
	struct hb_terms one = {.count = 1, .total = 1, .split = HB_SPLIT_EQUAL, .seed = 1};
	char line[256];
	struct book b;

	(void)state;
	/* An envelope of a top-up that comes later. */
	begin_book(&b);
	b.amount[0] = realloc(b.amount[0], (ENVELOPES + 1) * sizeof(uint32_t));
	b.amount[0][ENVELOPES] = 1;
	struct hb_record win = win_of(&b, 0, ENVELOPES + 1, 5, 1);
	enter(&b, &win);
	enter_top_up(&b, ID, &one);
	end_writing(&b);
	snprintf(line, sizeof(line),
		"record 3: envelope %llu of campaign %u is none of the campaign's",
		(unsigned long long)hb_envelope_id(ID, ENVELOPES + 1), ID);
	assert_says(&b, 1, 1000, -EILSEQ, true, line);
	remove_book(&b);
	/* One more than there can be. */
	begin_book(&b);
	for (unsigned i = 0; i <= HB_TRANCHES_MAX; i++)
		enter_top_up(&b, ID, &one);
	end_writing(&b);
	assert_says(&b, 2, 1000, -EILSEQ, true,
		"record 1027: campaign 7: it was topped up 1024 times, which is the most; add a "
		"campaign "
		"instead");
	remove_book(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_is_what_the_journal_says),
		cmocka_unit_test(table_too_small_is_told_with_the_same_count),
		cmocka_unit_test(first_fault_is_told),
		cmocka_unit_test(damage_is_told_unless_a_record_before_it_is_refused),
		cmocka_unit_test(topped_up_campaigns_come_back),
		cmocka_unit_test(top_ups_that_make_no_sense_are_refused),
	};

	hb_mem_use_hugepages(false);
	return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
