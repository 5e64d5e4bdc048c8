/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tag check of a burst of 64 SHAKEs, users' keys included, by each instruction set that this
 * processor has and by libsodium one request at a time: cycles a request, medians of interleaved
 * runs of some 10,000 bursts each.
 */
#include "hb_wire.h"
#include "results.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>

#define RUNS 21
#define BURSTS 10000

static const char *const ways[] = {"libsodium", "portable", "avx2", "avx512"};

static struct hb_keyring keys;
static uint8_t payload[HB_BURST][HB_REQUEST_BYTES_MAX];
static struct hb_request request[HB_BURST];

static void
make_burst(void)
{
	uint8_t key[HB_KEY_BYTES];

	for (unsigned i = 0; i < HB_KEY_BYTES; i++)
		keys.epoch_key[0][i] = (uint8_t)i;
	keys.epoch_held[0] = true;
	for (unsigned i = 0; i < HB_BURST; i++) {
		struct hb_request r = {
			.op = HB_OP_SHAKE, .campaign = 7, .seq = 1, .user = 1 + i * 7919ull};

		hb_user_key(key, keys.epoch_key[0], r.user);
		hb_wire_decode(&request[i], payload[i], hb_wire_encode(&r, key, payload[i]));
	}
}

static void
verify_by_libsodium(void)
{
	for (unsigned i = 0; i < HB_BURST; i++) {
		struct hb_request *r = &request[i];
		uint8_t tag[HB_TAG_BYTES];

		hb_user_key(r->key, keys.epoch_key[0], r->user);
		hb_tag(tag, r->payload, 16, r->key);
		r->drop = memcmp(tag, r->payload + 16, HB_TAG_BYTES) == 0 ? HB_DROP_NONE
									  : HB_DROP_TAG;
	}
}

/* Cycles a request of one run, or a negative number where the processor can't. */
static double
run(unsigned way)
{
	if (way > 0 && hb_wire_verify_with(ways[way]) != 0)
		return -1;
	uint64_t start = rte_rdtsc();
	for (unsigned burst = 0; burst < BURSTS; burst++) {
		if (way == 0)
			verify_by_libsodium();
		else
			hb_wire_verify(&keys, request, HB_BURST);
	}
	uint64_t took = rte_rdtsc() - start;
	for (unsigned i = 0; i < HB_BURST; i++) {
		if (request[i].drop != HB_DROP_NONE)
			exit(HB_EXIT_FAILED);
	}
	return (double)took / ((double)BURSTS * HB_BURST);
}

int
main(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	struct results results;

	if (argc > 1 + json) {
		fprintf(stderr, "usage: bench_verify [--json]\n");
		return HB_EXIT_USAGE;
	}
	if (hb_wire_init() != 0)
		return HB_EXIT_HOST;
	make_burst();
	results_begin(&results, RUNS);
	for (unsigned i = 0; i < RUNS; i++) {
		for (unsigned way = 0; way < HB_COUNT_OF(ways); way++) {
			double cycles = run(way);

			if (cycles >= 0)
				results_add(&results, ways[way], "cycles", cycles);
			else if (i == 0)
				results_note(json, "%s: not on this processor", ways[way]);
		}
	}
	results_end(&results, json);
	return HB_EXIT_OK;
}
