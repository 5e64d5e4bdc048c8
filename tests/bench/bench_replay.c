/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a request costs the replayer, beside what the device's driver takes: cycles for making it
 * (or copying it from memory), and for remembering it, reading its reply and judging that. Medians
 * of runs of a million requests, 1024 on their way at a time.
 *
 * usage: bench_replay
 */
#include "hb_replay.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>

#define RUNS 15
#define REQUESTS 1000000
#define UNDER_WAY 1024

enum {
	MAKE,
	COPY,
	MATCH,
	PARTS
};

static const char *const names[PARTS] = {
	"made from a scenario", "copied from memory", "remembered, read, judged"};

static struct hb_scenario_wire wire;
static uint8_t bytes[UNDER_WAY][HB_SHOT_BYTES_MAX];
static struct hb_shot shot[UNDER_WAY];
static uint8_t reply[UNDER_WAY][HB_FRAME_BYTES_MAX];

static void
fail(const struct hb_error *e)
{
	fprintf(stderr, "bench_replay: %s\n", e->text);
	exit(HB_EXIT_HOST);
}

static struct hb_source *
open_scenario(void)
{
	struct hb_source_options o = {.wire = &wire};
	struct hb_scenario_options stream;
	struct hb_source *s;
	struct hb_error e;

	hb_scenario_defaults(&stream);
	stream.requests = REQUESTS / UNDER_WAY * UNDER_WAY;
	stream.users = REQUESTS / 4;
	if (hb_source_scenario(&s, "gala-2015", &stream, &o, &e) != 0)
		fail(&e);
	return s;
}

/* Reads so many as are on their way at a time. */
static bool
fill(struct hb_source *s)
{
	for (unsigned i = 0; i < UNDER_WAY; i += HB_BURST) {
		uint8_t *frame[HB_BURST];

		for (unsigned k = 0; k < HB_BURST; k++)
			frame[k] = bytes[i + k];
		if (hb_source_next(s, shot + i, frame, HB_BURST) != HB_BURST)
			return false;
	}
	return true;
}

static double
read_whole(struct hb_source *s)
{
	uint64_t start = rte_rdtsc();

	while (fill(s))
		;
	hb_source_close(s);
	return (double)(rte_rdtsc() - start) / REQUESTS;
}

/* The server's part: MISS to everybody. */
static void
make_replies(void)
{
	struct hb_listen there = {.ipv4 = {10, 0, 0, 1}, .has_ipv4 = true, .base_port = 8192};
	const struct hb_reply miss = {.status = HB_MISS, .value = 1000};

	for (unsigned i = 0; i < UNDER_WAY; i++) {
		struct hb_request r;
		uint32_t skip;

		memcpy(reply[i], bytes[i], shot[i].bytes);
		if (hb_frame_parse(&there, reply[i], shot[i].bytes, 0, &r) != HB_DROP_NONE)
			exit(HB_EXIT_FAILED);
		hb_frame_reply(&r, &miss, reply[i], wire.dst_mac, &skip);
	}
}

static void
send_all(struct hb_match *m, uint64_t now)
{
	for (unsigned i = 0; i < UNDER_WAY; i += HB_BURST) {
		for (unsigned k = i; k < i + HB_BURST; k++)
			hb_match_prefetch(m, shot[k].key);
		for (unsigned k = i; k < i + HB_BURST; k++)
			hb_match_sent(m, &shot[k], bytes[k], 0, now);
	}
}

static void
hear_all(struct hb_match *m, uint64_t now)
{
	for (unsigned i = 0; i < UNDER_WAY; i += HB_BURST) {
		struct hb_heard h[HB_BURST];
		unsigned n = 0;

		for (unsigned k = i; k < i + HB_BURST; k++)
			n += hb_match_read(m, reply[k], 66, 0, &h[n]);
		for (unsigned k = 0; k < n; k++)
			hb_match_hear(m, &h[k], now);
	}
}

static double
match_whole(struct hb_source *s, struct hb_match *m)
{
	uint64_t cycles = 0, now = 0;

	while (fill(s)) {
		make_replies();
		uint64_t start = rte_rdtsc();
		send_all(m, now);
		hear_all(m, now + 5000);
		now += 10000;
		hb_match_sweep(m, now, now);
		cycles += rte_rdtsc() - start;
	}
	hb_source_close(s);
	if (hb_match_violations(m) != 0 || hb_match_waiting(m) != 0)
		exit(HB_EXIT_FAILED);
	return (double)cycles / REQUESTS;
}

static void
run(double cycles[PARTS])
{
	struct hb_source *s = open_scenario(), *loaded = open_scenario();
	const volatile bool stop = false;
	struct hb_match *m;
	struct hb_error e;
	const struct hb_routes routes = *hb_source_routes(s);
	const struct hb_match_options o = {.keys = &wire.keys,
		.routes = &routes,
		.requests = 1000000,
		.wins = 1000,
		.timeout_ns = 2000000000,
		.base_port = 8192};

	if (hb_source_preload(&loaded, &stop, &e) != 0 || hb_match_open(&m, &o, &e) != 0)
		fail(&e);
	cycles[MAKE] = read_whole(s);
	cycles[COPY] = read_whole(loaded);
	s = open_scenario();
	cycles[MATCH] = match_whole(s, m);
	hb_match_close(m);
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
	static double cycles[PARTS][RUNS];

	if (hb_wire_init() != 0)
		return HB_EXIT_HOST;
	wire = (struct hb_scenario_wire){.server_ip = {10, 0, 0, 1}, .base_port = 8192};
	wire.keys.epoch_held[0] = true;
	for (unsigned i = 0; i < RUNS; i++) {
		double one[PARTS];

		run(one);
		for (unsigned part = 0; part < PARTS; part++)
			cycles[part][i] = one[part];
	}
	for (unsigned part = 0; part < PARTS; part++) {
		qsort(cycles[part], RUNS, sizeof(cycles[part][0]), by_value);
		printf("%-26s %6.1f cycles a request   (%.1f to %.1f)\n", names[part],
			cycles[part][RUNS / 2], cycles[part][0], cycles[part][RUNS - 1]);
	}
	return HB_EXIT_OK;
}
