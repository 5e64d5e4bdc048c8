/* SPDX-License-Identifier: BSD-3-Clause */
/* The control core with its workers: durability before telling, stocks that level out, balanced
 * books. */
#include "rig.h"

#include <errno.h>
#include <rte_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a small random run, checked after every step ------------------------------------- */

struct run {
	struct rig *r;
	uint64_t random;
	unsigned only;	    /* 1 + the only worker that gets requests; 0: all */
	uint64_t told;	    /* wins whose record was durable when the reply could leave */
	uint8_t *winner_of; /* by envelope number */
	uint32_t next_seq[4096];
	/* Replies that wait, by worker: the ticket of each. */
	uint64_t wait_ticket[RIG_WORKERS_MAX][65536];
	uint32_t wait_number[RIG_WORKERS_MAX][65536];
	unsigned waiting[RIG_WORKERS_MAX];
};

static uint64_t
all_given(const struct rig *r)
{
	uint64_t n = 0;

	for (unsigned w = 0; w < r->config.workers; w++)
		n += r->link[w].books[0].given;
	return n;
}

/* Journalled is what is durable, no more, beside so many fundings. */
static void
check_conservation_of(const struct rig *r, uint32_t envelopes, unsigned fundings)
{
	assert_int_equal(rig_count_stock(r, 0) + all_given(r), envelopes);
	assert_int_equal(r->journal.record, fundings + r->control.ledger[0].journalled);
}

static void
check_conservation(const struct rig *r)
{
	check_conservation_of(r, r->campaign[0].terms.count, 1);
}

static void
ask_once(struct run *run)
{
	struct rig *r = run->r;
	uint64_t user = 1 + hb_splitmix64(&run->random) % 4000;
	unsigned w = rig_owner(r, user);

	if (run->only != 0 && w != run->only - 1)
		return;
	struct hb_reply reply = rig_ask_shake(r, user, ++run->next_seq[user]);
	if (reply.status == HB_BUSY)
		run->next_seq[user]--;
	if (reply.status == HB_EMPTY)
		assert_int_equal(all_given(r), r->campaign[0].terms.count);
	if (reply.status != HB_WIN)
		return;
	uint32_t number = hb_envelope_number(reply.id);
	assert_int_equal(run->winner_of[number]++, 0);
	run->wait_ticket[w][run->waiting[w]] = reply.ticket;
	run->wait_number[w][run->waiting[w]++] = number;
}

static void
one_step(struct run *run)
{
	struct rig *r = run->r;

	switch (hb_splitmix64(&run->random) % 8) {
	case 0:
		rig_step(r);
		break;
	case 1:
		hb_engine_obey(&r->engine[hb_splitmix64(&run->random) % r->config.workers]);
		break;
	default:
		ask_once(run);
	}
	r->now_us += 100;
}

/* The envelopes that are on the disk as a crash would leave it, each once. */
static uint64_t
read_stable(const struct rig *r, uint8_t *on_disk)
{
	char directory[] = "/tmp/hongbao-test-XXXXXX", command[64];
	struct hb_journal_reader reader;
	const struct hb_record *record;
	uint64_t wins = 0;
	int n;

	assert_non_null(mkdtemp(directory));
	memory_disk_dump(&r->disk, directory);
	assert_int_equal(hb_journal_read_begin(&reader, directory, NULL), 0);
	while ((n = hb_journal_read(&reader, &record, NULL)) > 0) {
		for (int i = 0; i < n; i++) {
			if (record[i].type != HB_RECORD_WIN)
				continue;
			assert_int_equal(on_disk[hb_envelope_number(record[i].id)]++, 0);
			wins++;
		}
	}
	assert_int_equal(n, 0);
	hb_journal_read_end(&reader);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	assert_int_equal(system(command), 0);
	return wins;
}

/* Every win that could have been told is on the disk. */
static void
check_told(struct run *run)
{
	struct rig *r = run->r;
	uint8_t *on_disk = calloc(r->campaign[0].terms.count + 1, 1);

	read_stable(r, on_disk);
	for (unsigned w = 0; w < r->config.workers; w++) {
		for (unsigned i = 0; i < run->waiting[w]; i++) {
			if (run->wait_ticket[w][i] > r->link[w].durable)
				continue;
			assert_int_equal(on_disk[run->wait_number[w][i]], 1);
			run->told++;
		}
	}
	free(on_disk);
}

static void
random_run(struct rig *r, unsigned workers, uint64_t seed)
{
	struct run *run = calloc(1, sizeof(*run));

	rig_prepare(r);
	r->config.workers = workers;
	r->config.users = 5000;
	r->campaign[0].odds = 0.5;
	r->campaign[0].wins_per_user = 5;
	r->campaign[0].terms = (struct hb_terms){
		.count = 1000, .total = 50000, .split = HB_SPLIT_LUCKY, .seed = seed};
	rig_start(r);
	run->r = r;
	run->random = seed;
	run->winner_of = calloc(1001, 1);
	/* At first all cores get requests, in the end one alone. */
	for (unsigned i = 0; i < 1500; i++) {
		one_step(run);
		check_conservation(r);
	}
	check_told(run);
	run->only = 1 + (unsigned)(seed % workers);
	for (unsigned i = 0; i < 200000 && all_given(r) < 1000; i++) {
		one_step(run);
		if (i % 16 == 0)
			check_conservation(r);
	}
	/* The very last envelope is given, though only one core still got requests. */
	assert_int_equal(all_given(r), 1000);
	while (rig_step(r) != 0)
		;
	check_conservation(r);
	check_told(run);
	assert_true(run->told >= 1000);
	assert_true(hb_control_balanced(&r->control, NULL));
	free(run->winner_of);
	free(run);
	rig_stop(r);
}

static void
books_hold_after_every_step(void **state)
{
	for (unsigned workers = 1; workers <= RIG_WORKERS_MAX; workers = workers * 3 / 2 + 1) {
		for (uint64_t seed = 1; seed <= 5; seed++)
			random_run(*state, workers, seed);
	}
}

/* ---- the disk ------------------------------------------------------------------------ */

static void
nothing_is_durable_before_the_flush(void **state)
{
	struct rig *r = *state;
	uint8_t on_disk[101] = {0};

	rig_prepare(r);
	rig_start(r);
	unsigned flushes = r->disk.flushes;
	rig_ask_shake(r, 1, 1);
	assert_int_equal(r->link[0].durable, 0);
	rig_step(r);
	assert_int_equal(r->link[0].durable, 1);
	assert_int_equal(r->disk.flushes, flushes + 1);
	assert_int_equal(read_stable(r, on_disk), 1);
	rig_stop(r);
}

static void
all_that_waits_is_one_batch(void **state)
{
	struct rig *r = *state;

	rig_prepare(r);
	rig_start(r);
	for (uint64_t user = 1; user <= 50; user++)
		rig_ask_shake(r, user, 1);
	unsigned flushes = r->disk.flushes;
	assert_int_equal(rig_step(r), 50);
	assert_int_equal(r->disk.flushes, flushes + 1);
	assert_int_equal(r->link[0].durable, 50);
	rig_stop(r);
}

/* A record waits for others for so long and no longer; half a journal's room waits for nothing, nor
 * does anything at the end. */
static void
a_batch_gathers_for_a_while(void **state)
{
	struct rig *r = *state;

	rig_prepare(r);
	r->campaign[0].terms.count = 20000;
	r->campaign[0].terms.total = 20000;
	r->config.users = 40000;
	r->gather_ns = 500000;
	rig_start(r);
	for (unsigned batch = 0; batch < 3; batch++) {
		rig_ask_shake(r, 1 + 2 * batch, 1);
		assert_int_equal(rig_step(r), 0);
		r->now_us += 499;
		rig_ask_shake(r, 2 + 2 * batch, 1);
		assert_int_equal(rig_step(r), 0);
		r->now_us += 1;
		assert_int_equal(rig_step(r), 2);
		/* Idle time counts for nothing. */
		r->now_us += 10000;
		assert_int_equal(rig_step(r), 0);
	}
	unsigned most, asked = 0;
	hb_journal_room(&r->journal, &most);
	for (; asked < most / 2; asked++)
		assert_int_equal(rig_ask_shake(r, 100 + asked, 1).status, HB_WIN);
	assert_int_equal(rig_step(r), most / 2);
	rig_ask_shake(r, 7, 1);
	assert_int_equal(rig_step(r), 0);
	hb_control_close(&r->control);
	assert_int_equal(rig_step(r), 1);
	check_conservation(r);
	rig_stop(r);
}

static void
full_disk_stops_wins_and_heals(void **state)
{
	struct rig *r = *state;
	uint64_t user = 1;

	rig_prepare(r);
	r->config.users = 100000;
	r->campaign[0].terms.count = 100000;
	r->campaign[0].terms.total = 100000;
	rig_start(r);
	/* Segments of 1 MiB: soon the next one finds no room. */
	r->disk.fail_create = -ENOSPC;
	while (r->control.disk_error == 0) {
		for (unsigned i = 0; i < 1000; i++)
			rig_ask_shake(r, user++, 1);
		rig_step(r);
		assert_true(user < 90000);
	}
	uint64_t durable = r->link[0].durable, given = all_given(r);
	assert_true(durable < given);
	assert_int_equal(rig_ask_shake(r, user, 1).status, HB_BUSY);
	/* What was told before is told again, as ever. */
	assert_int_equal(rig_ask_shake(r, 1, 1).status, HB_WIN);
	assert_int_equal(rig_ask_shake(r, 1, 1).ticket, 0);
	rig_step(r);
	assert_int_equal(r->link[0].durable, durable);
	r->disk.fail_create = 0;
	r->control.retry_ns = 0;
	assert_true(rig_step(r) > 0);
	rig_step(r);
	assert_int_equal(r->link[0].durable, given);
	assert_int_equal(rig_ask_shake(r, user, 1).status, HB_WIN);
	rig_step(r);
	assert_true(hb_control_balanced(&r->control, NULL));
	rig_stop(r);
}

static void
balance_sees_what_is_off(void **state)
{
	struct rig *r = *state;
	struct hb_error e;

	rig_prepare(r);
	rig_start(r);
	rig_ask_shake(r, 1, 1);
	/* Given and not journalled yet. */
	assert_false(hb_control_balanced(&r->control, &e));
	rig_step(r);
	assert_true(hb_control_balanced(&r->control, &e));
	r->link[0].books[0].given_fen++;
	assert_false(hb_control_balanced(&r->control, &e));
	assert_non_null(strstr(e.text, "campaign 7"));
	r->link[0].books[0].given_fen--;
	r->link[0].books[0].stock--;
	assert_false(hb_control_balanced(&r->control, &e));
	rig_stop(r);
}

/* A new user of a worker's shakes. */
static struct hb_reply
shake_at(struct rig *r, unsigned worker, uint64_t *user)
{
	do
		++*user;
	while (rig_owner(r, *user) != worker);
	return rig_ask_shake(r, *user, 1);
}

/* Asked, given up, sent on, taken in: worker 0 has run dry. */
static void
level_for_the_first(struct rig *r)
{
	rig_step(r);
	hb_engine_obey(&r->engine[1]);
	rig_step(r);
	hb_engine_obey(&r->engine[0]);
}

static void
dry_core_is_busy_not_empty_and_gets_half(void **state)
{
	struct rig *r = *state;
	uint64_t user = 0;

	rig_prepare(r);
	r->config.workers = 2;
	rig_start(r);
	/* The other is asked too, so it keeps half. */
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(shake_at(r, 1, &user).status, HB_WIN);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(shake_at(r, 0, &user).status, HB_WIN);
	assert_false(hb_engine_dry(&r->engine[0]));
	assert_int_equal(shake_at(r, 0, &user).status, HB_BUSY);
	assert_int_equal(all_given(r), 60);
	assert_true(hb_engine_dry(&r->engine[0]));
	level_for_the_first(r);
	assert_false(hb_engine_dry(&r->engine[0]));
	assert_int_equal(r->engine[0].campaign[0].stock.count, 20);
	assert_int_equal(r->engine[1].campaign[0].stock.count, 20);
	check_conservation(r);
	rig_stop(r);
}

/* One that has given nothing for a while since it was last asked for some is left with none. */
static void
an_idle_core_gives_all_it_has(void **state)
{
	struct rig *r = *state;
	uint64_t user = 0;

	rig_prepare(r);
	r->config.workers = 2;
	rig_start(r);
	assert_int_equal(shake_at(r, 1, &user).status, HB_WIN);
	while (shake_at(r, 0, &user).status == HB_WIN)
		;
	level_for_the_first(r);
	assert_int_equal(r->engine[0].campaign[0].stock.count, 25);
	assert_int_equal(r->engine[1].campaign[0].stock.count, 24);
	while (shake_at(r, 0, &user).status == HB_WIN)
		;
	r->now_us += 10000;
	level_for_the_first(r);
	assert_int_equal(r->engine[0].campaign[0].stock.count, 24);
	assert_int_equal(r->engine[1].campaign[0].stock.count, 0);
	/* And back, when it is asked itself. */
	assert_int_equal(shake_at(r, 0, &user).status, HB_WIN);
	assert_int_equal(shake_at(r, 1, &user).status, HB_BUSY);
	rig_step(r);
	hb_engine_obey(&r->engine[0]);
	rig_step(r);
	hb_engine_obey(&r->engine[1]);
	assert_int_equal(shake_at(r, 1, &user).status, HB_WIN);
	check_conservation(r);
	rig_stop(r);
}

/* More moves than a ring of orders holds: each is answered, none is lost. */
static void
envelopes_move_as_often_as_need_be(void **state)
{
	struct rig *r = *state;
	struct hb_order order = {.type = HB_ORDER_GIVE_UP, .range = {.count = 1}};

	rig_prepare(r);
	r->config.workers = 2;
	rig_start(r);
	for (unsigned i = 0; i < 5000; i++) {
		/* Worker 0's stock is moved away until it is dry, then it wants one. */
		while (r->engine[0].campaign[0].stock.count > 0) {
			assert_int_equal(
				rte_ring_enqueue_elem(r->link[0].orders, &order, sizeof(order)), 0);
			r->control.orders_out[0]++;
			r->control.ledger[0].orders_out++;
			hb_engine_obey(&r->engine[0]);
			rig_step(r);
		}
		hb_count(&r->link[0].books[0].dry, 1);
		for (unsigned turn = 0; turn < 4; turn++) {
			rig_step(r);
			hb_engine_obey(&r->engine[0]);
			hb_engine_obey(&r->engine[1]);
		}
		assert_true(r->engine[0].campaign[0].stock.count > 0);
		assert_int_equal(rig_count_stock(r, 0), 100);
	}
	assert_true(r->control.ledger[0].moves >= 5000);
	rig_stop(r);
}

/* A batch that cannot hold what all workers have: each gets its turn. */
static void
no_worker_starves_when_the_disk_is_slow(void **state)
{
	struct rig *r = *state;
	uint64_t user = 1;

	rig_prepare(r);
	r->config.workers = 4;
	r->config.users = 2000000;
	r->segment_bytes = 64 << 20;
	r->campaign[0].terms.count = 2000000;
	r->campaign[0].terms.total = 2000000;
	rig_start(r);
	for (unsigned step = 0; step < 8; step++) {
		for (unsigned w = 0; w < 4; w++) {
			while (rte_ring_free_count(r->link[w].records) > 0) {
				while (rig_owner(r, user) != w)
					user++;
				assert_int_equal(rig_ask_shake(r, user++, 1).status, HB_WIN);
			}
		}
		rig_step(r);
	}
	for (unsigned w = 0; w < 4; w++)
		assert_true(r->link[w].durable > 10000);
	rig_stop(r);
}

/* Closed at any moment, no envelope is between two cores, and the books balance. */
static void
closing_leaves_nothing_on_its_way(void **state)
{
	struct rig *r = *state;

	for (unsigned moment = 0; moment < 40; moment++) {
		uint64_t user = 1;

		rig_prepare(r);
		r->config.workers = 3;
		rig_start(r);
		for (unsigned i = 0; i < 60 + moment; i++) {
			do
				user++;
			while (rig_owner(r, user) != 0);
			rig_ask_shake(r, user, 1);
			if (i % 3 == 0)
				rig_step(r);
			if (i % 5 == 0)
				hb_engine_obey(&r->engine[i % 3]);
		}
		hb_control_close(&r->control);
		for (unsigned i = 0; i < 10 && !hb_control_closed(&r->control); i++) {
			for (unsigned w = 0; w < 3; w++)
				hb_engine_obey(&r->engine[w]);
			rig_step(r);
		}
		assert_true(hb_control_closed(&r->control));
		while (rig_step(r) != 0)
			;
		struct hb_error e = {""};
		if (!hb_control_balanced(&r->control, &e))
			fail_msg("%s", e.text);
		rig_stop(r);
	}
}

/* ---- money that comes in while the workers run ---------------------------------------- */

static const struct hb_terms fifty = {
	.count = 50, .total = 4321, .split = HB_SPLIT_LUCKY, .seed = 99};

static int
top_up(struct rig *r, const struct hb_terms *t, struct hb_error *e)
{
	struct hb_envelopes v;

	assert_int_equal(hb_envelopes_make(&v, t, "test", NULL), 0);
	int err = hb_control_top_up(&r->control, 0, t, r->now_us, &v, e);
	/* Taken where it is done, else left. */
	assert_int_equal(v.of == NULL, err == 0);
	hb_envelopes_free(&v);
	return err;
}

/* Shakes of new users at a worker until it has no more. Returns the wins, and their fen. */
static unsigned
shake_until_dry(struct rig *r, unsigned worker, uint64_t *user, uint64_t *fen)
{
	unsigned wins = 0;

	for (;; wins++) {
		struct hb_reply reply = shake_at(r, worker, user);

		if (reply.status == HB_BUSY || reply.status == HB_EMPTY)
			return wins;
		assert_int_equal(reply.status, HB_WIN);
		*fen += reply.value;
		rig_step(r);
	}
}

static void
a_lone_worker_is_topped_up(void **state)
{
	struct rig *r = *state;
	uint64_t user = 0, fen = 0;

	rig_prepare(r);
	r->campaign[0].least_interval_ms = 1;
	rig_start(r);
	assert_int_equal(shake_until_dry(r, 0, &user, &fen), 100);
	uint64_t late = user, records = r->journal.record;
	assert_int_equal(top_up(r, &fifty, NULL), 0);
	assert_int_equal(r->journal.record, records + 1);
	/* From now on nobody is told EMPTY, but who was told so already. */
	assert_int_equal(shake_at(r, 0, &user).status, HB_BUSY);
	assert_int_equal(rig_ask_shake(r, late, 1).status, HB_EMPTY);
	assert_int_not_equal(rte_ring_count(r->link[0].orders), 0);
	rig_obey(r);
	assert_int_equal(rte_ring_count(r->link[0].orders), 0);
	fen = 0;
	struct hb_reply win = shake_at(r, 0, &user);
	assert_int_equal(hb_envelope_number(win.id), 101);
	/* Told again, throttled and over the quota, as with any other envelope. */
	struct hb_reply again = rig_ask_shake(r, user, 1);
	assert_int_equal(again.id, win.id);
	assert_int_equal(again.value, win.value);
	assert_true(again.ticket >= win.ticket);
	assert_int_equal(rig_ask_shake(r, user, 2).status, HB_THROTTLED);
	rig_step(r);
	assert_int_equal(rig_ask_shake(r, user, 1).ticket, 0);
	r->now_us += 1000;
	assert_int_equal(rig_ask_shake(r, user, 2).status, HB_QUOTA);
	assert_int_equal(rig_ask_shake(r, user, 2).status, HB_QUOTA);
	assert_int_equal(shake_until_dry(r, 0, &user, &fen), 49);
	assert_int_equal(fen + win.value, 4321);
	assert_int_equal(r->control.ledger[0].top_ups, 1);
	assert_int_equal(r->control.ledger[0].funded, 150);
	assert_int_equal(r->control.ledger[0].funded_fen, 5321);
	assert_true(hb_control_balanced(&r->control, NULL));
	rig_stop(r);
}

static void
several_workers_are_topped_up(void **state)
{
	struct rig *r = *state;
	uint64_t user = 0, fen = 0;
	unsigned wins = 0;

	rig_prepare(r);
	r->config.workers = 3;
	rig_start(r);
	for (unsigned w = 0; w < 3; w++)
		wins += shake_until_dry(r, w, &user, &fen);
	assert_int_equal(wins, 100);
	rig_step(r);
	assert_int_equal(r->drained[0], HB_DRAINED_ALL);
	for (unsigned w = 0; w < 3; w++)
		assert_int_equal(shake_at(r, w, &user).status, HB_EMPTY);
	assert_int_equal(top_up(r, &fifty, NULL), 0);
	for (unsigned w = 0; w < 3; w++)
		assert_int_equal(shake_at(r, w, &user).status, HB_BUSY);
	/* One that has its share gives while others wait for theirs. */
	hb_engine_obey(&r->engine[1]);
	rig_step(r);
	assert_int_equal(shake_at(r, 1, &user).status, HB_WIN);
	assert_int_equal(shake_at(r, 0, &user).status, HB_BUSY);
	rig_obey(r);
	check_conservation_of(r, 150, 2);
	for (unsigned w = 0; w < 3; w++)
		assert_int_equal(r->engine[w].campaign[0].stock.count + (w == 1), w == 0 ? 16 : 17);
	for (wins = 1; wins < 50;) {
		for (unsigned w = 0; w < 3; w++)
			wins += shake_at(r, w, &user).status == HB_WIN;
		rig_obey(r);
	}
	rig_obey(r);
	assert_int_equal(wins, 50);
	assert_int_equal(shake_at(r, 2, &user).status, HB_EMPTY);
	assert_true(hb_control_balanced(&r->control, NULL));
	rig_stop(r);
}

/* A lone worker whose list of ranges is full can't take it in: the depot keeps it, and nobody is
 * told EMPTY for that. */
static void
a_top_up_that_finds_no_place_is_kept(void **state)
{
	struct rig *r = *state;
	uint64_t user = 0, fen = 0;
	uint8_t given[13] = {0};

	rig_prepare(r);
	rig_start(r);
	/* As a start finds it: of the first ones each other is given, and all others but six. */
	hb_stock_cut(&r->engine[0].campaign[0].stock, 100);
	memset(given, 0xff, sizeof(given));
	for (unsigned n = 1; n <= 13; n += 2)
		given[(n - 1) / 8] &= (uint8_t) ~(1u << ((n - 1) % 8));
	r->control.ledger[0].recalled = r->control.ledger[0].journalled = 93;
	r->control.ledger[0].recalled_fen = r->control.ledger[0].journalled_fen = 930;
	assert_int_equal(hb_control_deal(&r->control, 0, r->engines, given, NULL), 0);
	assert_int_equal(r->engine[0].campaign[0].stock.ranges, HB_STOCK_RANGES);
	assert_true(r->engine[0].campaign[0].whole);
	assert_int_equal(top_up(r, &fifty, NULL), 0);
	rig_obey(r);
	assert_int_equal(r->control.ledger[0].depot_ranges, 1);
	assert_int_equal(shake_until_dry(r, 0, &user, &fen), 7);
	rig_step(r);
	rig_obey(r);
	assert_int_equal(shake_until_dry(r, 0, &user, &fen), 50);
	rig_step(r);
	assert_int_equal(shake_at(r, 0, &user).status, HB_EMPTY);
	assert_int_equal(fen, 70 + 4321);
	assert_true(hb_control_balanced(&r->control, NULL));
	rig_stop(r);
}

/* What was told on the strength of having had everything waits for it all the same, when the worker
 * has no more got everything. */
static void
an_old_empty_still_rests_on_its_wins(void **state)
{
	struct rig *r = *state;
	struct hb_reply empty;

	rig_prepare(r);
	r->campaign[0].terms.count = 1;
	rig_start(r);
	rig_ask_shake(r, 1, 1);
	empty = rig_ask_shake(r, 2, 1);
	assert_int_equal(empty.status, HB_EMPTY);
	assert_int_equal(empty.ticket, 1);
	r->engine[0].campaign[0].stock.ranges = HB_STOCK_RANGES;
	for (unsigned i = 0; i < HB_STOCK_RANGES; i++)
		r->engine[0].campaign[0].stock.range[i] = (struct hb_range){.first = 1000 + 9 * i};
	assert_int_equal(top_up(r, &fifty, NULL), 0);
	hb_engine_obey(&r->engine[0]);
	assert_false(r->engine[0].campaign[0].whole);
	empty = rig_ask_shake(r, 2, 1);
	assert_int_equal(empty.status, HB_EMPTY);
	assert_int_equal(empty.ticket, 1);
	rig_stop(r);
}

static void
assert_untouched(struct rig *r, int err, int expected, const struct hb_error *e, const char *says)
{
	assert_int_equal(err, expected);
	if (strstr(e->text, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", e->text, says);
	assert_int_equal(r->control.ledger[0].funded, 100);
	assert_int_equal(r->control.ledger[0].funded_fen, 1000);
	assert_int_equal(r->control.ledger[0].top_ups, 0);
	assert_int_equal(r->drained[0], HB_DRAINED_NOT);
}

/* Leaves no room in the workers' rings of orders. */
static void
fill_orders(struct rig *r)
{
	struct hb_order order = {.type = HB_ORDER_UNDENY, .user = 5};

	for (unsigned w = 0; w < r->config.workers; w++) {
		while (rte_ring_enqueue_elem(r->link[w].orders, &order, sizeof(order)) == 0)
			continue;
	}
}

static void
a_top_up_that_is_refused_changes_nothing(void **state)
{
	struct rig *r = *state;
	struct hb_terms other = fifty;
	struct hb_envelopes v;
	struct hb_error e;

	rig_prepare(r);
	r->config.workers = 2;
	rig_start(r);
	uint64_t records = r->journal.record;
	assert_int_equal(hb_envelopes_make(&v, &fifty, "test", NULL), 0);
	assert_untouched(r, hb_control_top_up(&r->control, 1, &fifty, 1, &v, &e), -ENOENT, &e,
		"no campaign in place 1");
	assert_untouched(r, hb_control_top_up(&r->control, 99, &fifty, 1, &v, &e), -ENOENT, &e,
		"no campaign in place 99");
	other.count = 51;
	assert_untouched(r, hb_control_top_up(&r->control, 0, &other, 1, &v, &e), -EINVAL, &e,
		"50 envelopes of 4321 fen were made, not 51");
	other.count = 0;
	assert_untouched(r, hb_control_top_up(&r->control, 0, &other, 1, &v, &e), -EINVAL, &e,
		"campaign 7: count 0");
	/* What the pool could make for itself, but not beside what there is. */
	other = (struct hb_terms){
		.count = UINT32_MAX, .total = UINT32_MAX, .split = HB_SPLIT_EQUAL};
	v.count = other.count;
	v.fen = other.total;
	assert_untouched(r, hb_control_top_up(&r->control, 0, &other, 1, &v, &e), -ERANGE, &e,
		"at most 4294967195");
	other.count = v.count = 1u << 30;
	other.total = v.fen = HB_TOTAL_MAX;
	assert_untouched(r, hb_control_top_up(&r->control, 0, &other, 1, &v, &e), -ERANGE, &e,
		"at most 999999999999999000");
	v.count = fifty.count;
	hb_envelopes_free(&v);
	/* A worker that carries nothing out. */
	fill_orders(r);
	assert_untouched(r, top_up(r, &fifty, &e), -EAGAIN, &e, "worker 0 has not carried out");
	hb_engine_obey(&r->engine[1]);
	assert_untouched(r, top_up(r, &fifty, &e), -EAGAIN, &e, "worker 0 has not carried out");
	rig_obey(r);
	assert_int_equal(r->journal.record, records);
	hb_control_close(&r->control);
	assert_untouched(r, top_up(r, &fifty, &e), -EBUSY, &e, "about to end");
	assert_int_equal(rig_count_stock(r, 0), 100);
	assert_true(hb_control_balanced(&r->control, NULL));
	rig_stop(r);
}

static void
a_top_up_meets_a_full_disk(void **state)
{
	struct rig *r = *state;
	uint64_t user = 0;
	struct hb_error e;

	rig_prepare(r);
	r->gather_ns = 1000000;
	rig_start(r);
	r->disk.fail_write = -ENOSPC;
	/* With nothing that waits it stops no wins. */
	assert_untouched(r, top_up(r, &fifty, &e), -ENOSPC, &e, "No space left");
	assert_int_equal(r->control.disk_error, 0);
	assert_int_equal(shake_at(r, 0, &user).status, HB_WIN);
	rig_step(r);
	assert_int_equal(r->control.waiting, 1);
	/* With wins that wait, these wait on and the funding is dropped. */
	assert_untouched(r, top_up(r, &fifty, &e), -ENOSPC, &e, "No space left");
	assert_int_equal(r->control.disk_error, -ENOSPC);
	assert_int_equal(shake_at(r, 0, &user).status, HB_BUSY);
	uint64_t records = r->journal.record;
	r->disk.fail_write = 0;
	r->now_us += 1000000;
	assert_untouched(r, top_up(r, &fifty, &e), -ENOSPC, &e, "No space left");
	assert_int_equal(rig_step(r), 1);
	assert_int_equal(r->journal.record, records + 1);
	/* And together with wins that wait it goes in one batch. */
	assert_int_equal(shake_at(r, 0, &user).status, HB_WIN);
	rig_step(r);
	unsigned flushes = r->disk.flushes;
	assert_int_equal(top_up(r, &fifty, &e), 0);
	assert_int_equal(r->disk.flushes, flushes + 1);
	assert_int_equal(r->link[0].durable, 2);
	rig_obey(r);
	assert_true(hb_control_balanced(&r->control, NULL));
	rig_stop(r);
}

static void
a_top_up_meets_a_failing_disk(void **state)
{
	struct rig *r = *state;
	uint64_t user = 0;
	struct hb_error e;

	rig_prepare(r);
	rig_start(r);
	r->disk.fail_flush = -EIO;
	assert_untouched(r, top_up(r, &fifty, &e), -EIO, &e, "the disk failed");
	r->disk.fail_flush = 0;
	assert_untouched(r, top_up(r, &fifty, &e), -EIO, &e, "the disk failed");
	assert_int_equal(shake_at(r, 0, &user).status, HB_BUSY);
	rig_stop(r);
}

static void
so_many_top_ups_and_no_more(void **state)
{
	struct rig *r = *state;
	struct hb_terms one = {.count = 1, .total = 7, .split = HB_SPLIT_EQUAL};
	uint64_t user = 0, fen = 0;
	struct hb_error e;

	rig_prepare(r);
	r->config.workers = 2;
	rig_start(r);
	for (one.seed = 1; one.seed <= HB_TRANCHES_MAX; one.seed++) {
		assert_int_equal(top_up(r, &one, &e), 0);
		rig_obey(r);
		/* The same again is known, and nothing is written. */
		uint64_t records = r->journal.record;
		assert_int_equal(top_up(r, &one, &e), -EALREADY);
		struct hb_terms other = {
			.count = 2, .total = 7, .seed = one.seed, .split = HB_SPLIT_EQUAL};
		assert_int_equal(top_up(r, &other, &e), -EEXIST);
		assert_non_null(strstr(e.text, "of 1 envelopes and 7 fen"));
		assert_int_equal(r->journal.record, records);
	}
	assert_int_equal(top_up(r, &one, &e), -ERANGE);
	assert_non_null(strstr(e.text, "topped up 1024 times"));
	assert_int_equal(rig_count_stock(r, 0), 1124);
	for (unsigned wins = 0; wins < 1124;) {
		for (unsigned w = 0; w < 2; w++) {
			struct hb_reply reply = shake_at(r, w, &user);

			wins += reply.status == HB_WIN;
			fen += reply.status == HB_WIN ? reply.value : 0;
		}
		rig_obey(r);
	}
	assert_int_equal(fen, 1000 + 1024 * 7);
	assert_true(hb_control_balanced(&r->control, NULL));
	rig_stop(r);
}

static void
a_campaign_is_added(void **state)
{
	struct rig *r = *state;
	struct hb_envelopes v;
	struct hb_error e;
	uint64_t user = 0;

	rig_prepare(r);
	r->config.workers = 2;
	rig_start(r);
	hb_control_foreign(&r->control, 9);
	assert_int_equal(hb_envelopes_make(&v, &fifty, "test", NULL), 0);
	assert_int_equal(hb_control_add(&r->control, 0, 8, &fifty, 1, 1, &v, &e), -EEXIST);
	assert_non_null(strstr(e.text, "no free place 0"));
	assert_int_equal(hb_control_add(&r->control, RIG_SLOTS, 8, &fifty, 1, 1, &v, &e), -EEXIST);
	assert_int_equal(hb_control_add(&r->control, 2, 7, &fifty, 1, 1, &v, &e), -EEXIST);
	assert_non_null(strstr(e.text, "campaign 7: is there already"));
	assert_int_equal(hb_control_add(&r->control, 2, 9, &fifty, 1, 1, &v, &e), -EEXIST);
	assert_non_null(strstr(e.text, "campaign 9: the journal has it"));
	r->disk.fail_write = -ENOSPC;
	assert_int_equal(hb_control_add(&r->control, 2, 8, &fifty, 1, 1, &v, &e), -ENOSPC);
	r->disk.fail_write = 0;
	assert_int_equal(r->control.ledger[2].funded, 0);
	/* A place that none has is nothing to anybody. */
	for (unsigned i = 0; i < 10; i++)
		rig_step(r);
	assert_int_equal(r->drained[2], HB_DRAINED_NOT);
	assert_true(hb_control_balanced(&r->control, &e));
	assert_int_equal(hb_control_add(&r->control, 2, 8, &fifty, 1, 1, &v, &e), 0);
	assert_null(v.of);
	/* As the configuration says it: in slot 2, the second of two. */
	r->campaign[1] = r->campaign[0];
	r->campaign[1].id = 8;
	r->config.campaigns = 2;
	rig_publish(r);
	r->snapshot->campaign[1].slot = 2;
	for (unsigned wins = 0; wins < 50; user++) {
		struct hb_request q = rig_shake(r, 8, 1 + user, 1);
		struct hb_reply reply = rig_ask(r, rig_owner(r, 1 + user), &q);

		if (user == 0)
			assert_int_equal(reply.status, HB_BUSY);
		wins += reply.status == HB_WIN;
		rig_obey(r);
	}
	rig_obey(r);
	struct hb_request q = rig_shake(r, 8, 1 + user, 1);
	assert_int_equal(rig_ask(r, rig_owner(r, 1 + user), &q).status, HB_EMPTY);
	assert_int_equal(r->control.ledger[2].journalled_fen, 4321);
	assert_true(hb_control_balanced(&r->control, NULL));
	/* Its place is taken; and it can be topped up. */
	assert_int_equal(hb_envelopes_make(&v, &fifty, "test", NULL), 0);
	assert_int_equal(hb_control_add(&r->control, 2, 10, &fifty, 1, 1, &v, &e), -EEXIST);
	assert_int_equal(hb_control_top_up(&r->control, 2, &fifty, 1, &v, &e), 0);
	rig_obey(r);
	assert_int_equal(rig_count_stock(r, 2), 50);
	rig_stop(r);
}

static void
the_quota_is_journalled_when_it_changes(void **state)
{
	struct rig *r = *state;
	uint64_t records;

	rig_prepare(r);
	rig_start(r);
	records = r->journal.record;
	assert_int_equal(hb_control_quota(&r->control, 0, 1, 5, NULL), 0);
	assert_int_equal(r->journal.record, records);
	assert_int_equal(hb_control_quota(&r->control, 0, 3, 5, NULL), 0);
	assert_int_equal(hb_control_quota(&r->control, 0, 3, 5, NULL), 0);
	assert_int_equal(r->journal.record, records + 1);
	r->disk.fail_write = -ENOSPC;
	assert_int_equal(hb_control_quota(&r->control, 0, 4, 5, NULL), -ENOSPC);
	r->disk.fail_write = 0;
	assert_int_equal(r->control.ledger[0].wins_per_user, 3);
	rig_stop(r);
}

static void
users_are_barred_and_looked_at_while_it_runs(void **state)
{
	struct rig *r = *state;
	struct hb_look look = {.user = 5, .rows = 1, .row = {{.campaign = 7}}};
	unsigned w;

	rig_prepare(r);
	r->config.workers = 2;
	rig_start(r);
	w = rig_owner(r, 5);
	struct hb_reply win = rig_ask_shake(r, 5, 1);
	rig_step(r);
	assert_int_equal(hb_links_deny(r->links, 2, 5, true), 0);
	assert_int_equal(hb_link_look(r->links[w], &look), 0);
	struct hb_mark mark;
	hb_links_mark(r->links, 2, &mark);
	assert_int_equal(rig_ask_shake(r, 5, 2).status, HB_QUOTA);
	hb_engine_obey(&r->engine[w]);
	assert_true(look.done);
	assert_true(look.denied);
	assert_int_equal(look.row[0].amount, win.value);
	assert_true(look.row[0].durable);
	assert_int_equal(rig_ask_shake(r, 5, 3).status, HB_DENIED);
	assert_false(hb_links_reached(r->links, 2, &mark));
	hb_engine_obey(&r->engine[1 - w]);
	assert_true(hb_links_reached(r->links, 2, &mark));
	assert_int_equal(hb_links_deny(r->links, 2, 5, false), 0);
	assert_true(hb_links_reached(r->links, 2, &mark));
	hb_links_mark(r->links, 2, &mark);
	assert_false(hb_links_reached(r->links, 2, &mark));
	rig_obey(r);
	assert_true(hb_links_reached(r->links, 2, &mark));
	assert_int_equal(rig_ask_shake(r, 5, 3).status, HB_QUOTA);
	/* A full ring overflows for nobody: who has room isn't told either. */
	while (hb_links_deny(r->links, 2, 6, true) == 0)
		continue;
	while (hb_engine_obey(&r->engine[1 - w]) != 0)
		continue;
	assert_int_equal(hb_links_deny(r->links, 2, 7, true), -EAGAIN);
	assert_int_equal(rte_ring_count(r->link[1 - w].told), 0);
	assert_int_equal(hb_link_look(r->links[w], &look), -EAGAIN);
	/* It doesn't stand in the way of what the control core orders, nor wait for its disk. */
	assert_int_equal(top_up(r, &fifty, NULL), 0);
	rig_obey(r);
	assert_int_equal(hb_link_look(r->links[w], &look), 0);
	rig_obey(r);
	assert_true(look.done);
	rig_stop(r);
}

static void
batches_are_measured(void **state)
{
	struct rig *r = *state;

	rig_prepare(r);
	rig_start(r);
	uint64_t fundings = r->control.flush_ns->values;
	r->control.wall_clock = true;
	r->now_us = hb_wall_us() - 3000000;
	r->campaign[0].opens_us = 0;
	r->campaign[0].closes_us = UINT64_MAX;
	rig_publish(r);
	for (uint64_t user = 1; user <= 3; user++) {
		assert_int_equal(rig_ask_shake(r, user, 1).status, HB_WIN);
		rig_step(r);
	}
	assert_int_equal(r->control.flush_ns->values, fundings + 3);
	assert_int_equal(r->control.durable_us->values, 3);
	assert_in_range(r->control.durable_us->max, 3000000, 600000000);
	assert_int_equal(r->control.batches, 3);
	rig_stop(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_durable_before_the_flush),
		cmocka_unit_test(all_that_waits_is_one_batch),
		cmocka_unit_test(a_batch_gathers_for_a_while),
		cmocka_unit_test(full_disk_stops_wins_and_heals),
		cmocka_unit_test(balance_sees_what_is_off),
		cmocka_unit_test(an_idle_core_gives_all_it_has),
		cmocka_unit_test(dry_core_is_busy_not_empty_and_gets_half),
		cmocka_unit_test(envelopes_move_as_often_as_need_be),
		cmocka_unit_test(no_worker_starves_when_the_disk_is_slow),
		cmocka_unit_test(closing_leaves_nothing_on_its_way),
		cmocka_unit_test(a_lone_worker_is_topped_up),
		cmocka_unit_test(several_workers_are_topped_up),
		cmocka_unit_test(a_top_up_that_finds_no_place_is_kept),
		cmocka_unit_test(an_old_empty_still_rests_on_its_wins),
		cmocka_unit_test(a_top_up_that_is_refused_changes_nothing),
		cmocka_unit_test(a_top_up_meets_a_full_disk),
		cmocka_unit_test(a_top_up_meets_a_failing_disk),
		cmocka_unit_test(so_many_top_ups_and_no_more),
		cmocka_unit_test(a_campaign_is_added),
		cmocka_unit_test(the_quota_is_journalled_when_it_changes),
		cmocka_unit_test(users_are_barred_and_looked_at_while_it_runs),
		cmocka_unit_test(batches_are_measured),
		cmocka_unit_test(books_hold_after_every_step),
	};

	return cmocka_run_group_tests_name("control", tests, rig_make, rig_free);
}
