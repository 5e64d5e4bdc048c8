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

static void
check_conservation(const struct rig *r)
{
	assert_int_equal(rig_count_stock(r, 0) + all_given(r), r->campaign[0].terms.count);
	/* Journalled is what is durable, no more: the funding was the first record. */
	assert_int_equal(r->journal.record, 1 + r->control.ledger[0].journalled);
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
		cmocka_unit_test(books_hold_after_every_step),
	};

	return cmocka_run_group_tests_name("control", tests, rig_make, rig_free);
}
