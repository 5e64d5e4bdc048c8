/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tag check of a burst of 64 SHAKEs, users' keys included, by each instruction set that this
 * processor has and by libsodium one request at a time: cycles a request, medians of interleaved
 * runs of some 10,000 bursts each.
 */
#include "hb_wire.h"

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

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int
main(void)
{
	static double cycles[HB_COUNT_OF(ways)][RUNS];

	if (hb_wire_init() != 0)
		return HB_EXIT_HOST;
	make_burst();
	for (unsigned i = 0; i < RUNS; i++) {
		for (unsigned way = 0; way < HB_COUNT_OF(ways); way++)
			cycles[way][i] = run(way);
	}
	for (unsigned way = 0; way < HB_COUNT_OF(ways); way++) {
		qsort(cycles[way], RUNS, sizeof(cycles[way][0]), by_value);
		if (cycles[way][0] < 0)
			printf("%-10s not on this processor\n", ways[way]);
		else
			printf("%-10s %6.1f cycles a request   (%.1f to %.1f)\n", ways[way],
				cycles[way][RUNS / 2], cycles[way][0], cycles[way][RUNS - 1]);
	}
	return HB_EXIT_OK;
}
