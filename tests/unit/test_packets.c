/* SPDX-License-Identifier: BSD-3-Clause */
/* Group packets as a core keeps them: shares, sums, memory and time, each against a slow model. */
#include "hb_packets.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define S 1000000ull
#define HOUR (3600 * S)
#define NOW (1400000000 * S)

static struct hb_packets
made(uint64_t packets, uint64_t shares, uint64_t keep_us)
{
	const uint64_t lucky[2] = {11, 12};
	struct hb_packets_terms t = {.packets = packets, .shares = shares, .keep_us = keep_us};
	uint64_t random = 5;
	struct hb_packets p;

	for (unsigned i = 0; i < HB_COUNT_OF(t.key); i++)
		t.key[i] = hb_splitmix64(&random);
	hb_mem_use_hugepages(false);
	assert_int_equal(hb_packets_make(&p, &t, NULL), 0);
	hb_packets_seed(&p, lucky);
	return p;
}

static struct hb_packet_terms
terms(uint32_t total, uint16_t shares, uint8_t split, uint8_t hours)
{
	return (struct hb_packet_terms){
		.user = 1, .total = total, .shares = shares, .split = split, .hours = hours};
}

/* Gives every share, to users from 1 up; checks what must hold of each. */
static void
take_all(struct hb_packets *p, struct hb_packet *k)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < k->shares; i++) {
		uint32_t fen = hb_packet_next_fen(p, k), open = (uint32_t)(k->shares - i);

		assert_true(fen >= 1);
		assert_true(k->left - fen >= open - 1);
		if (k->split == HB_SPLIT_LUCKY && open > 1)
			assert_true((uint64_t)fen * open <= 2ull * k->left);
		if (open == 1)
			assert_int_equal(fen, k->left);
		hb_packet_take(p, k, i + 1, fen, NOW);
		sum += fen;
	}
	assert_int_equal(sum, k->total);
	assert_int_equal(k->left, 0);
	assert_true(k->done);
}

static void
extreme_terms_give_every_fen(void **state)
{
	struct {
		uint32_t total;
		uint16_t shares;
	} extreme[] = {{1, 1}, {UINT32_MAX, 1}, {2, 2}, {100, 100}, {101, 100}, {199, 100},
		{200, 100}, {65535, 65535}, {UINT32_MAX, 100}, {UINT32_MAX, 65535}, {65536, 65535},
		{3, 2}, {UINT32_MAX, 2}};
	struct hb_packets p = made(4, 65535, 0);

	(void)state;
	for (unsigned split = HB_SPLIT_EQUAL; split <= HB_SPLIT_LUCKY; split++) {
		for (unsigned i = 0; i < HB_COUNT_OF(extreme); i++) {
			struct hb_packet_terms t =
				terms(extreme[i].total, extreme[i].shares, (uint8_t)split, 24);
			struct hb_packet *k = hb_packets_add(&p, i + 1, &t, NOW);

			assert_non_null(k);
			take_all(&p, k);
			for (unsigned u = 1; u <= t.shares; u++)
				assert_ptr_equal(
					hb_packet_share_of(&p, k, u), hb_packet_share(&p, k, u));
			assert_null(hb_packet_share_of(&p, k, t.shares + 1u));
			hb_packet_forget(&p, k);
		}
	}
	assert_int_equal(p.left_fen, 0);
	assert_int_equal(p.left_shares, 0);
	hb_packets_free(&p);
}

static void
equal_shares_give_the_remainder_to_the_first(void **state)
{
	struct hb_packets p = made(4, 100, 0);
	struct hb_packet_terms t = terms(1003, 10, HB_SPLIT_EQUAL, 24);
	struct hb_packet *k = hb_packets_add(&p, 5, &t, NOW);

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		uint32_t fen = hb_packet_next_fen(&p, k);

		assert_int_equal(fen, i < 3 ? 101 : 100);
		hb_packet_take(&p, k, i + 1, fen, NOW);
	}
	hb_packets_free(&p);
}

/* Mean and variance of each position, over many packets: a mean of total / shares each, and the
 * variance of a uniform share of what came before (see bench_shares for 10 million packets). */
static void
lucky_shares_have_one_mean(void **state)
{
	enum {
		PACKETS = 200000,
		SHARES = 10
	};
	double sum[SHARES] = {0}, square[SHARES] = {0}, mean = 1000, second = mean * mean;
	struct hb_packets p = made(1, SHARES, 0);

	(void)state;
	for (unsigned n = 1; n <= PACKETS; n++) {
		struct hb_packet_terms t = terms(1000 * SHARES, SHARES, HB_SPLIT_LUCKY, 24);
		struct hb_packet *k = hb_packets_add(&p, n, &t, NOW);

		for (unsigned i = 0; i < SHARES; i++) {
			uint32_t fen = hb_packet_next_fen(&p, k);

			sum[i] += fen;
			square[i] += (double)fen * fen;
			hb_packet_take(&p, k, i + 1, fen, NOW);
		}
		hb_packet_forget(&p, k);
	}
	for (unsigned i = 0; i < SHARES; i++) {
		unsigned left = SHARES - i;
		double m = sum[i] / PACKETS, v = square[i] / PACKETS - m * m;
		double should =
			left == 1 ? second - mean * mean : second * 4 / 3 - mean / 3 - mean * mean;

		assert_true(fabs(m - mean) < 6 * sqrt(should / PACKETS));
		assert_true(fabs(v / should - 1) < 0.03);
		if (left > 1)
			second = second * (1 + 1.0 / (3.0 * (left - 1) * (left - 1))) -
				 mean / (3.0 * (left - 1) * (left - 1));
	}
	hb_packets_free(&p);
}

static void
shares_depend_on_packet_and_secret(void **state)
{
	const uint64_t other[2] = {13, 14};
	struct hb_packets p = made(4, 400, 0);
	struct hb_packet_terms t = terms(100000, 100, HB_SPLIT_LUCKY, 24);
	struct hb_packet *a = hb_packets_add(&p, 1, &t, NOW), *b = hb_packets_add(&p, 2, &t, NOW);
	uint32_t fen = hb_packet_next_fen(&p, a);

	(void)state;
	assert_int_equal(hb_packet_next_fen(&p, a), fen);
	assert_int_not_equal(hb_packet_next_fen(&p, b), fen);
	hb_packets_seed(&p, other);
	assert_int_not_equal(hb_packet_next_fen(&p, a), fen);
	hb_packets_free(&p);
}

static void
terms_without_sense_are_refused(void **state)
{
	(void)state;
	assert_true(hb_packet_terms_good(
		&(struct hb_packet_terms){.total = 1, .shares = 1, .split = HB_SPLIT_EQUAL}));
	assert_false(hb_packet_terms_good(
		&(struct hb_packet_terms){.total = 1, .shares = 0, .split = HB_SPLIT_EQUAL}));
	assert_false(hb_packet_terms_good(
		&(struct hb_packet_terms){.total = 1, .shares = 2, .split = HB_SPLIT_LUCKY}));
	for (unsigned split = 0; split < 256; split++)
		assert_int_equal(hb_packet_terms_good(&(struct hb_packet_terms){
					 .total = 9, .shares = 2, .split = (uint8_t)split}),
			split == 1 || split == 2);
}

/* ---- memory -------------------------------------------------------------------------- */

static void
memory_is_64_bytes_a_packet_and_16_a_share(void **state)
{
	const uint64_t millions = 1000000;

	(void)state;
	assert_int_equal(hb_packets_bytes(0, 0), 0);
	assert_true(hb_packets_bytes(millions, 10 * millions) <
		    (64 * millions + 16 * 10 * millions) / 1000 * 1010);
}

/* Runs of places against a map of who has which. */
static void
runs_never_overlap_and_all_come_back(void **state)
{
	enum {
		PLACES = 20000,
		RUNS = 2000
	};
	static uint8_t taken[PLACES];
	static uint32_t first[RUNS], size[RUNS];
	struct hb_runs r;
	uint64_t random = 1;
	unsigned n = 0;

	(void)state;
	hb_mem_use_hugepages(false);
	assert_int_equal(hb_runs_make(&r, PLACES, NULL), 0);
	for (unsigned step = 0; step < 200000; step++) {
		uint64_t z = hb_splitmix64(&random);

		if (n == 0 || (n < RUNS && (z & 1))) {
			uint32_t want = (z >> 1 & 15) == 0 ? 1 + (uint32_t)(z >> 8) % 3000
							   : 1 + (uint32_t)(z >> 8) % 30;
			uint32_t at = hb_runs_take(&r, want);

			if (at == UINT32_MAX)
				continue;
			assert_true(at + want <= PLACES);
			for (uint32_t i = at; i < at + want; i++)
				assert_int_equal(taken[i]++, 0);
			/* As a user of it would. */
			memset(&r.share[at], 0xA5, want * sizeof(r.share[0]));
			first[n] = at;
			size[n++] = want;
		} else {
			unsigned i = (unsigned)(z >> 8) % n;

			for (uint32_t k = first[i]; k < first[i] + size[i]; k++)
				taken[k]--;
			hb_runs_give_back(&r, first[i], size[i]);
			n--;
			first[i] = first[n];
			size[i] = size[n];
		}
		if (step % 1000 == 0)
			assert_true(hb_runs_sound(&r));
	}
	while (n-- > 0)
		hb_runs_give_back(&r, first[n], size[n]);
	assert_true(hb_runs_sound(&r));
	assert_int_equal(r.free, PLACES);
	assert_int_equal(hb_runs_take(&r, PLACES), 0);
	assert_int_equal(hb_runs_take(&r, 1), UINT32_MAX);
	hb_runs_free(&r);
}

static void
full_table_takes_no_more_until_one_is_forgotten(void **state)
{
	struct hb_packets p = made(3, 30, 5 * S);
	struct hb_packet_terms t = terms(100, 10, HB_SPLIT_LUCKY, 1);

	(void)state;
	for (unsigned i = 1; i <= 3; i++)
		assert_non_null(hb_packets_add(&p, i, &t, NOW));
	assert_false(hb_packets_room(&p, 1));
	assert_null(hb_packets_add(&p, 4, &t, NOW));
	struct hb_packet *k = hb_packets_find(&p, 2, NOW);
	hb_packet_close(&p, k, NOW);
	assert_null(hb_packets_add(&p, 4, &t, NOW));
	assert_non_null(hb_packets_find(&p, 2, NOW + 5 * S - 1));
	assert_null(hb_packets_find(&p, 2, NOW + 5 * S));
	assert_non_null(hb_packets_add(&p, 4, &t, NOW + 5 * S));
	/* Rows there may be, but no places: 20 are taken of 30. */
	hb_packet_close(&p, hb_packets_find(&p, 1, NOW), NOW);
	assert_null(hb_packets_find(&p, 1, NOW + 5 * S));
	t = terms(100, 11, HB_SPLIT_EQUAL, 1);
	assert_null(hb_packets_add(&p, 5, &t, NOW + 5 * S));
	hb_packets_free(&p);
}

/* ---- against a model ------------------------------------------------------------------ */

enum {
	IDS = 300,
	USERS = 40
};

struct model {
	bool there, done;
	uint64_t due;
	uint32_t left;
	unsigned taken, shares;
	uint32_t fen[USERS + 1];
};

static void
turn_wheel(struct hb_packets *p, struct model *m, uint64_t now, uint64_t keep)
{
	unsigned steps = 1000000;
	struct hb_packet *k;

	while ((k = hb_packets_due(p, now, &steps)) != NULL) {
		struct model *of = &m[k->id];

		assert_true(of->there && !of->done && of->due <= now);
		assert_int_equal(k->left, of->left);
		hb_packet_close(p, k, now);
		of->done = true;
		of->due = now + keep;
	}
	/* Nothing that was due for over a second is left; and nothing else is gone. */
	for (unsigned id = 1; id <= IDS; id++) {
		if (!m[id].there)
			continue;
		if (m[id].due / S + 1 < now / S)
			m[id].there = false;
		else if (m[id].done && m[id].due <= now && hb_packets_look(p, id) == NULL)
			m[id].there = false;
		assert_int_equal(hb_packets_look(p, id) != NULL, m[id].there);
	}
}

static void
everything_is_as_in_a_model(void **state)
{
	static struct model m[IDS + 1];
	const uint64_t keep = 90 * S;
	struct hb_packets p = made(200, 2000, keep);
	uint64_t random = 7, now = NOW;

	(void)state;
	for (unsigned step = 0; step < 300000; step++) {
		uint64_t z = hb_splitmix64(&random);
		unsigned id = 1 + (unsigned)(z >> 8) % IDS, user = 1 + (unsigned)(z >> 32) % USERS;
		struct model *of = &m[id];

		now += (z >> 20 & 255) == 0 ? HOUR / 4 : z >> 50 & 0xffff;
		if ((z & 255) == 0) {
			turn_wheel(&p, m, now, keep);
			continue;
		}
		if (of->there && of->done && of->due <= now)
			of->there = false;
		struct hb_packet *k = hb_packets_find(&p, id, now);
		assert_int_equal(k != NULL, of->there);
		if (k == NULL) {
			struct hb_packet_terms t = terms((uint32_t)(100 + (z >> 44 & 1023)),
				(uint16_t)(1 + (z >> 54) % 30), (uint8_t)(1 + (z >> 40 & 1)),
				(uint8_t)(z >> 41 & 1));

			if ((k = hb_packets_add(&p, id, &t, now)) == NULL)
				continue;
			*of = (struct model){.there = true,
				.due = now + t.hours * HOUR,
				.left = t.total,
				.shares = t.shares};
			continue;
		}
		const struct hb_share *share = hb_packet_share_of(&p, k, user);
		assert_int_equal(share == NULL ? 0 : share->fen, of->fen[user]);
		assert_int_equal(k->left, of->left);
		assert_int_equal(k->done, of->done);
		if (share != NULL || k->done || k->due_us <= now)
			continue;
		uint32_t fen = hb_packet_next_fen(&p, k);
		hb_packet_take(&p, k, user, fen, now);
		of->fen[user] = fen;
		of->left -= fen;
		if (++of->taken == of->shares) {
			of->done = true;
			of->due = now + keep;
		}
	}
	assert_true(p.forgotten > 1000);
	turn_wheel(&p, m, now + 2 * HOUR, keep);
	turn_wheel(&p, m, now + 3 * HOUR, keep);
	assert_int_equal(p.used, 0);
	assert_int_equal(p.open, 0);
	assert_int_equal(p.left_fen, 0);
	assert_int_equal(p.left_shares, 0);
	assert_int_equal(p.runs.free, 2000);
	assert_true(hb_runs_sound(&p.runs));
	hb_packets_free(&p);
}

/* ---- time ----------------------------------------------------------------------------- */

static void
steps_are_as_small_as_asked_for(void **state)
{
	struct hb_packets p = made(1000, 1000, HOUR);
	struct hb_packet_terms t = terms(5, 1, HB_SPLIT_EQUAL, 1);
	unsigned closed = 0, calls = 0;

	(void)state;
	for (unsigned i = 1; i <= 1000; i++)
		hb_packets_add(&p, i, &t, NOW);
	for (; closed < 1000 && calls < 10000; calls++) {
		unsigned steps = 4;
		struct hb_packet *k = hb_packets_due(&p, NOW + HOUR + 2 * S, &steps);

		assert_true(steps <= 4);
		if (k != NULL) {
			hb_packet_close(&p, k, NOW + HOUR + 2 * S);
			closed++;
		}
	}
	assert_int_equal(closed, 1000);
	assert_true(calls > 1000);
	hb_packets_free(&p);
}

/* Packets that are over and wait for something cost a look a second of the caller's, not of those
 * that the wheel catches up with. */
static void
what_is_postponed_comes_again_and_costs_little(void **state)
{
	struct hb_packets p = made(1000, 1000, HOUR);
	struct hb_packet_terms t = terms(5, 1, HB_SPLIT_EQUAL, 1);
	uint64_t now = NOW + 24 * HOUR;
	struct hb_packet *k;

	(void)state;
	for (unsigned i = 1; i <= 1000; i++)
		hb_packets_add(&p, i, &t, NOW);
	for (unsigned turn = 0; turn < 5; turn++, now += 2 * S) {
		unsigned steps = 4000, seen = 0;

		while ((k = hb_packets_due(&p, now, &steps)) != NULL) {
			hb_packet_postpone(&p, k, now);
			seen++;
		}
		assert_int_equal(seen, 1000);
		assert_true(steps > 0);
		assert_null(hb_packets_due(&p, now, &steps));
	}
	hb_packets_free(&p);
}

/* Never before its time, whatever the clock does, and at most a second and its turn late. */
static void
packets_end_in_time(void **state)
{
	struct hb_packets p = made(500, 500, HOUR);
	uint64_t random = 3, now = NOW, ended = 0, due[501] = {0};

	(void)state;
	for (unsigned i = 1; i <= 500; i++) {
		struct hb_packet_terms t =
			terms(5, 1, HB_SPLIT_EQUAL, (uint8_t)(hb_splitmix64(&random) % 256));

		hb_packets_add(&p, i, &t, now);
		due[i] = now + t.hours * HOUR;
		now += hb_splitmix64(&random) % (HOUR / 100);
	}
	while (ended < 500) {
		unsigned steps = 100000;
		struct hb_packet *k;

		now += hb_splitmix64(&random) % (2 * S);
		if (hb_splitmix64(&random) % 100 < 70)
			now += hb_splitmix64(&random) % 600 * S;
		for (uint64_t before = now; (k = hb_packets_due(&p, before, &steps)) != NULL;) {
			assert_true(due[k->id] <= now);
			hb_packet_close(&p, k, now);
			ended++;
		}
		for (unsigned i = 1; i <= 500; i++) {
			const struct hb_packet *of = hb_packets_look(&p, i);

			assert_true(of == NULL || of->done || due[i] + S >= now / S * S);
		}
	}
	hb_packets_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extreme_terms_give_every_fen),
		cmocka_unit_test(equal_shares_give_the_remainder_to_the_first),
		cmocka_unit_test(lucky_shares_have_one_mean),
		cmocka_unit_test(shares_depend_on_packet_and_secret),
		cmocka_unit_test(terms_without_sense_are_refused),
		cmocka_unit_test(memory_is_64_bytes_a_packet_and_16_a_share),
		cmocka_unit_test(runs_never_overlap_and_all_come_back),
		cmocka_unit_test(full_table_takes_no_more_until_one_is_forgotten),
		cmocka_unit_test(everything_is_as_in_a_model),
		cmocka_unit_test(steps_are_as_small_as_asked_for),
		cmocka_unit_test(what_is_postponed_comes_again_and_costs_little),
		cmocka_unit_test(packets_end_in_time),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
