/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine's cycles a request by what is asked and what is answered, in a table of so many users,
 * of whom those who ask are drawn at random, so that in a big table each row comes from memory; and
 * beside it, round by round, what finding and adding a user costs in this table and in DPDK's
 * rte_hash with as many keys.
 *
 * In the clock: reading the requests (an array of decoded ones, front to back), decisions in bursts
 * of 64, a win's record put into the ring, replies parked and let go. Not in it: frames, tags (but
 * in the line that says so), taking records out of the ring. bed.h has it in full. Nothing is
 * subtracted. Cycles are the TSC's.
 *
 * Exit code 1 when a request was not answered as its line says.
 */
#include "cases.h"
#include "options.h"
#include "results.h"

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define PAYLOAD_STRIDE 128

struct bench {
	struct cases cases;
	uint64_t rounds;
	uint8_t *payload;
	struct hb_keyring *keys;
	struct rte_hash *hash;
	uint64_t hash_bytes;
	uint64_t hash_next; /* index of the next user that is new to it */
	struct results results;
};

/* ---- the engine ---------------------------------------------------------------------- */

static void
add(struct bench *b, const char *name, uint64_t cycles, uint64_t n)
{
	results_add(&b->results, name, "cycles", (double)cycles / (double)n);
}

static void
run_case(struct bench *b, unsigned which)
{
	cases_prepare(&b->cases, which);
	uint64_t cycles = bed_run(b->cases.bed, b->cases.r, b->cases.requests);
	cases_check(&b->cases, which);
	add(b, cases_name(which), cycles, b->cases.requests);
}

/* ---- the tag check ------------------------------------------------------------------- */

/* Requests as they stand in frames, one every two cache lines. */
static void
run_tags(struct bench *b)
{
	cases_prepare(&b->cases, 0);
	for (uint64_t i = 0; i < b->cases.requests; i++) {
		uint8_t key[HB_KEY_BYTES], *p = b->payload + i * PAYLOAD_STRIDE;

		hb_user_key(key, b->keys->epoch_key[0], b->cases.r[i].user);
		hb_wire_decode(&b->cases.r[i], p, hb_wire_encode(&b->cases.r[i], key, p));
	}
	uint64_t start = rte_rdtsc();
	for (uint64_t i = 0; i < b->cases.requests; i += HB_BURST)
		hb_wire_verify(b->keys, &b->cases.r[i],
			(unsigned)(b->cases.requests - i < HB_BURST ? b->cases.requests - i
								    : HB_BURST));
	add(b, "the tag check of a SHAKE", rte_rdtsc() - start, b->cases.requests);
	for (uint64_t i = 0; i < b->cases.requests; i++) {
		if (b->cases.r[i].drop != HB_DROP_NONE)
			exit(HB_EXIT_FAILED);
	}
}

/* ---- beside rte_hash ----------------------------------------------------------------- */

/* As rte_hash's fast comparison of 16 bytes likes it. */
struct key {
	uint64_t user;
	uint64_t campaign;
};

static uint64_t
heap_bytes(void)
{
	struct rte_malloc_socket_stats s;
	uint64_t bytes = 0;

	for (int socket = 0; socket < 8; socket++) {
		if (rte_malloc_get_socket_stats(socket, &s) == 0)
			bytes += s.heap_allocsz_bytes;
	}
	return bytes;
}

static bool
make_hash(struct bench *b)
{
	struct rte_hash_parameters p = {.name = "users",
		.entries = (uint32_t)b->cases.users,
		.key_len = sizeof(struct key),
		.hash_func = rte_hash_crc,
		.socket_id = (int)SOCKET_ID_ANY};
	struct hb_progress progress;
	uint64_t before = heap_bytes();

	b->hash = rte_hash_create(&p);
	if (b->hash == NULL)
		return false;
	b->hash_bytes = heap_bytes() - before;
	hb_progress_begin(&progress, "filling rte_hash", "keys", b->cases.rows);
	for (b->hash_next = 1; b->hash_next <= b->cases.rows; b->hash_next++) {
		struct key key = {bed_user(b->hash_next), CASE_PLAIN};

		if (rte_hash_add_key(b->hash, &key) < 0)
			exit(HB_EXIT_FAILED);
		if (b->hash_next % 65536 == 0)
			hb_progress_update(&progress, b->hash_next);
	}
	hb_progress_end(&progress);
	return true;
}

static void
hash_lookup(struct bench *b)
{
	int32_t position[HB_BURST];
	struct key key[HB_BURST];
	const void *keys[HB_BURST];
	uint64_t missing = 0;

	for (uint64_t i = 0; i < b->cases.requests; i++)
		b->cases.r[i] = bed_shake(
			CASE_PLAIN, bed_user(1 + bed_draw(b->cases.bed, b->cases.rows)), 1);
	for (unsigned k = 0; k < HB_BURST; k++)
		keys[k] = &key[k];
	uint64_t start = rte_rdtsc();
	for (uint64_t i = 0; i + HB_BURST <= b->cases.requests; i += HB_BURST) {
		for (unsigned k = 0; k < HB_BURST; k++)
			key[k] = (struct key){b->cases.r[i + k].user, b->cases.r[i + k].campaign};
		rte_hash_lookup_bulk(b->hash, keys, HB_BURST, position);
		for (unsigned k = 0; k < HB_BURST; k++)
			missing += position[k] < 0;
	}
	add(b, "rte_hash: find a known user", rte_rdtsc() - start,
		b->cases.requests / HB_BURST * HB_BURST);
	if (missing != 0)
		exit(HB_EXIT_FAILED);
}

static void
hash_add(struct bench *b)
{
	uint64_t failed = 0;

	for (uint64_t i = 0; i < b->cases.requests; i++)
		b->cases.r[i] = bed_shake(CASE_PLAIN, bed_user(b->hash_next++), 1);
	uint64_t start = rte_rdtsc();
	for (uint64_t i = 0; i < b->cases.requests; i++) {
		struct key key = {b->cases.r[i].user, b->cases.r[i].campaign};

		failed += rte_hash_add_key(b->hash, &key) < 0;
	}
	add(b, "rte_hash: add a new user", rte_rdtsc() - start, b->cases.requests);
	if (failed != 0)
		exit(HB_EXIT_FAILED);
}

/* The same two jobs of the user table, without the engine around it. */

/* Hashes a burst and has its rows fetched. */
static inline void
fetch_rows(const struct hb_users *t, const struct hb_request *r, uint64_t *hash)
{
	for (unsigned k = 0; k < HB_BURST; k++) {
		hash[k] = hb_users_hash(t, r[k].campaign, r[k].user);
		hb_users_prefetch(t, hash[k]);
	}
}

static void
users_lookup(struct bench *b)
{
	struct hb_users *t = &b->cases.bed->engine.users;
	uint64_t missing = 0, hash[HB_BURST];

	cases_prepare(&b->cases, 0);
	uint64_t start = rte_rdtsc();
	for (uint64_t i = 0; i + HB_BURST <= b->cases.requests; i += HB_BURST) {
		const struct hb_request *r = &b->cases.r[i];

		fetch_rows(t, r, hash);
		for (unsigned k = 0; k < HB_BURST; k++)
			missing += hb_users_find(t, hash[k], r[k].campaign, r[k].user) == NULL;
	}
	add(b, "user table: find a known user", rte_rdtsc() - start,
		b->cases.requests / HB_BURST * HB_BURST);
	if (missing != 0)
		exit(HB_EXIT_FAILED);
}

static void
users_add(struct bench *b)
{
	struct hb_users *t = &b->cases.bed->engine.users;
	uint64_t failed = 0, hash[HB_BURST];

	for (uint64_t i = 0; i < b->cases.requests; i++)
		b->cases.r[i] = bed_shake(CASE_STRANGER, bed_user(b->cases.next++), 1);
	uint64_t start = rte_rdtsc();
	for (uint64_t i = 0; i + HB_BURST <= b->cases.requests; i += HB_BURST) {
		const struct hb_request *r = &b->cases.r[i];

		fetch_rows(t, r, hash);
		for (unsigned k = 0; k < HB_BURST; k++) {
			struct hb_user *row = hb_users_look(t, hash[k], r[k].campaign, r[k].user);

			failed += hb_users_take(t, row, hash[k], r[k].campaign, r[k].user) == NULL;
		}
	}
	add(b, "user table: add a new user", rte_rdtsc() - start,
		b->cases.requests / HB_BURST * HB_BURST);
	if (failed != 0)
		exit(HB_EXIT_FAILED);
}

/* ---- rounds -------------------------------------------------------------------------- */

static void
run_round(struct bench *b)
{
	for (unsigned i = 0; i < CASES; i++)
		run_case(b, i);
	run_tags(b);
	users_lookup(b);
	if (b->hash != NULL)
		hash_lookup(b);
	users_add(b);
	if (b->hash != NULL)
		hash_add(b);
}

static void
measure(struct bench *b)
{
	struct hb_progress p;

	hb_progress_begin(&p, "measuring", "rounds", 3 * b->rounds);
	for (uint64_t i = 0; i < b->rounds; i++) {
		run_round(b);
		hb_progress_update(&p, i + 1);
	}
	cases_fill_up(&b->cases);
	for (uint64_t i = 0; i < b->rounds; i++) {
		run_case(b, CASE_FULL);
		hb_progress_update(&p, b->rounds + i + 1);
	}
	cases_deny(&b->cases);
	for (uint64_t i = 0; i < b->rounds; i++) {
		run_case(b, CASE_DENIED);
		hb_progress_update(&p, 2 * b->rounds + i + 1);
	}
	hb_progress_end(&p);
}

/* Bytes of memory for each user that a table is made for. */
static void
measure_bytes(struct bench *b)
{
	const struct hb_users *t = &b->cases.bed->engine.users;
	double users = (double)b->cases.users;

	results_add(&b->results, "user table: memory a user", "bytes",
		(double)(t->rows_mem.bytes + t->detail_mem.bytes) / users);
	if (b->hash != NULL)
		results_add(&b->results, "rte_hash: memory a user", "bytes",
			(double)b->hash_bytes / users);
}

static void
set_up(struct bench *b)
{
	cases_make(&b->cases);
	b->payload = bed_alloc(b->cases.requests * PAYLOAD_STRIDE, "payloads");
	b->keys = bed_alloc(sizeof(*b->keys), "keys");
	b->keys->epoch_held[0] = true;
}

/* EAL is there for rte_hash alone: on the core that this runs on, with hugepages as it needs them.
 */
static bool
start_eal(void)
{
	char *argument[] = {"bench_outcomes", "--in-memory", "--no-pci", "--no-telemetry",
		"--log-level=lib.eal:error", NULL};

	return rte_eal_init(HB_COUNT_OF(argument) - 1, argument) >= 0;
}

int
main(int argc, char **argv)
{
	struct bench *b = bed_alloc(sizeof(*b), "itself");
	uint64_t reference = 1;
	char text[3][32];
	bool json;

	b->cases.users = 699050;
	b->rounds = 20;
	b->cases.requests = 262144;
	options_read(argc, argv,
		(struct option_number[]){{"--users", &b->cases.users, 1000, 400000000},
			{"--rounds", &b->rounds, 1, 1000},
			{"--requests", &b->cases.requests, HB_BURST, 1 << 24},
			{"--reference", &reference, 0, 1}},
		4, &json);
	if (hb_wire_init() != 0)
		return HB_EXIT_HOST;
	if (reference != 0 && !start_eal()) {
		results_note(json, "rte_hash is left out: EAL: %s", rte_strerror(rte_errno));
		reference = 0;
	}
	b->cases.runs = b->rounds;
	results_begin(&b->results, (unsigned)b->rounds);
	set_up(b);
	if (reference != 0 && !make_hash(b))
		results_note(json,
			"rte_hash is left out: %s for %llu keys; it takes some %llu MiB of "
			"hugepages",
			rte_strerror(rte_errno), (unsigned long long)b->cases.users,
			(unsigned long long)(b->cases.users * 52 >> 20));
	results_note(json, "%s users, then up to %s, in %s pages; %s requests a figure and round",
		hb_thousands(b->cases.rows, text[0]), hb_thousands(b->cases.users, text[1]),
		bed_pages(b->cases.bed), hb_thousands(b->cases.requests, text[2]));
	measure(b);
	measure_bytes(b);
	results_end(&b->results, json);
	cases_free(&b->cases);
	rte_hash_free(b->hash);
	free(b->payload);
	free(b->keys);
	free(b);
	return HB_EXIT_OK;
}
