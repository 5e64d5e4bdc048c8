/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What instructions.py counts, under callgrind: every case of cases.h, each a stretch of bursts as
 * bench_outcomes has them, and the tag check. Counting is on only between the marks, and each case
 * is dumped by its name. Without callgrind the marks do nothing.
 */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

#define REQUESTS (BED_STRETCH * HB_BURST)
#define STRIDE 128

static void
count_case(struct cases *c, unsigned which)
{
	struct hb_reply reply[HB_BURST];

	cases_prepare(c, which);
	CALLGRIND_TOGGLE_COLLECT;
	for (uint64_t i = 0; i < c->requests; i += HB_BURST)
		bed_burst(c->bed, &c->r[i], reply, HB_BURST);
	CALLGRIND_TOGGLE_COLLECT;
	bed_settle(c->bed);
	cases_check(c, which);
	CALLGRIND_DUMP_STATS_AT(cases_name(which));
}

/* From payload to a checked request, and from a decision to its payload. */
static void
count_wire(struct cases *c, const char *way)
{
	struct hb_keyring *keys = bed_alloc(sizeof(*keys), "keys");
	uint8_t *payload = bed_alloc(c->requests * STRIDE, "payloads"), key[HB_KEY_BYTES];
	char name[64];

	/* Not on this processor. */
	if (hb_wire_verify_with(way) != 0)
		exit(HB_EXIT_HOST);
	keys->epoch_held[0] = true;
	cases_prepare(c, 0);
	for (uint64_t i = 0; i < c->requests; i++) {
		hb_user_key(key, keys->epoch_key[0], c->r[i].user);
		hb_wire_encode(&c->r[i], key, payload + i * STRIDE);
	}
	CALLGRIND_TOGGLE_COLLECT;
	for (uint64_t i = 0; i < c->requests; i += HB_BURST) {
		for (uint64_t k = i; k < i + HB_BURST; k++)
			hb_wire_decode(&c->r[k], payload + k * STRIDE, 24);
		hb_wire_verify(keys, &c->r[i], HB_BURST);
	}
	CALLGRIND_TOGGLE_COLLECT;
	for (uint64_t i = 0; i < c->requests; i++) {
		if (c->r[i].drop != HB_DROP_NONE)
			exit(HB_EXIT_FAILED);
	}
	snprintf(name, sizeof(name), "decode and tag check, %s", way);
	CALLGRIND_DUMP_STATS_AT(name);
	free(payload);
	free(keys);
}

int
main(void)
{
	struct cases c = {.users = 8 * 2 * REQUESTS + 1000, .requests = REQUESTS, .runs = 1};

	/* Counts of different builds can't be compared. */
	printf("%s\n", BENCH_BUILD);
	hb_mem_use_hugepages(false);
	if (hb_wire_init() != 0)
		return HB_EXIT_HOST;
	cases_make(&c);
	for (unsigned i = 0; i < CASES; i++)
		count_case(&c, i);
	count_wire(&c, "portable");
	cases_fill_up(&c);
	count_case(&c, CASE_FULL);
	cases_deny(&c);
	count_case(&c, CASE_DENIED);
	cases_free(&c);
	return HB_EXIT_OK;
}
