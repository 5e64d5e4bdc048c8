/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Group packets in the engine alone: packets that are funded and grabbed ten times each within a
 * second, as many a second as one core does; and the hottest packet, grabbed by 100,000 users,
 * among its neighbours. From a decoded request to its decision and its record, with the wheel that
 * forgets packets turned as a worker does; records are taken out of the ring outside the clock
 * (bed.h). At the end half of the table's packets are over in the same second.
 *
 * Exit code 1 when not every PACK was PACKED, not every neighbour's GRAB won, or the hottest packet
 * gave more or less than it has.
 */
#include "bed.h"
#include "options.h"
#include "results.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>

#define GRABS 10
#define REQUESTS_A_PACKET (1 + GRABS)
/* Time goes by as if so many requests came a second. */
#define RATE 1000000
#define KEEP_US 2000000
/* Bursts between two turns of the wheel, as in the worker's loop. */
#define EXPIRE_BURSTS 4
#define HOT_SHARES 100

struct bench {
	struct bed *bed;
	struct hb_campaign_config campaign;
	uint64_t packets, rounds, hot, made, now_us;
	struct hb_request *request; /* of a round */
	uint64_t *order;
	struct results results;
	double tsc_hz;
};

static struct hb_request
request(uint8_t op, uint64_t packet, uint64_t user)
{
	return (struct hb_request){.op = op,
		.user = user,
		.seq = 1,
		.arg = packet,
		.terms = (uint64_t)GRABS * 1000 << 32 | GRABS << 16 | HB_SPLIT_LUCKY << 8 | 24,
		.shard = hb_shard(packet)};
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* A round: packets come evenly, and the grabs of each within a second behind it; `hot` grabs of one
 * packet are spread over it. Returns how many requests there are. */
static uint64_t
make_round(struct bench *b, uint64_t hot, uint64_t hot_packet)
{
	uint64_t n = 0, all = b->packets * REQUESTS_A_PACKET, span = RATE;

	/* A place in time above, what it is below. */
	for (uint64_t i = 0; i < b->packets; i++) {
		uint64_t at = i * REQUESTS_A_PACKET;

		b->order[n++] = at << 32 | i << 4;
		for (uint64_t g = 1; g <= GRABS; g++)
			b->order[n++] = (at + 1 + bed_draw(b->bed, span)) << 32 | i << 4 | g;
	}
	for (uint64_t i = 0; i < hot; i++)
		b->order[n++] = (1 + bed_draw(b->bed, all)) << 32 | i << 4 | 15;
	qsort(b->order, n, sizeof(*b->order), by_number);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t what = b->order[i] & 15, number = (b->order[i] & UINT32_MAX) >> 4;
		uint64_t packet = bed_user(b->made + number);

		if (what == 15)
			b->request[i] = request(HB_OP_GRAB, hot_packet, bed_user(number));
		else
			b->request[i] = request(what == 0 ? HB_OP_PACK : HB_OP_GRAB, packet,
				bed_user(number * 16 + what));
		b->request[i].now_us = b->now_us + i * 1000000 / RATE;
	}
	b->made += b->packets;
	b->now_us += n * 1000000 / RATE;
	return n;
}

static uint64_t
run(struct bench *b, uint64_t n)
{
	struct hb_reply reply[HB_BURST];
	uint64_t cycles = 0, bursts = 0;

	for (uint64_t at = 0; at < n;) {
		uint64_t end = at + BED_STRETCH * HB_BURST, start = rte_rdtsc();

		for (end = end < n ? end : n; at < end; at += HB_BURST) {
			bed_burst(b->bed, &b->request[at], reply,
				(unsigned)(end - at < HB_BURST ? end - at : HB_BURST));
			if (++bursts % EXPIRE_BURSTS == 0)
				hb_engine_expire(&b->bed->engine, b->request[at].now_us);
		}
		cycles += rte_rdtsc() - start;
		bed_settle(b->bed);
	}
	return cycles;
}

static void
must(bool holds, const char *what, uint64_t got, uint64_t wanted)
{
	if (holds)
		return;
	fprintf(stderr, "bench_groups: %s: %llu, not %llu\n", what, (unsigned long long)got,
		(unsigned long long)wanted);
	exit(HB_EXIT_FAILED);
}

/* Runs a round and checks what it was answered. Returns its cycles. */
static uint64_t
run_round(struct bench *b, uint64_t hot)
{
	uint64_t packed = bed_replies(b->bed, HB_PACKED), won = bed_replies(b->bed, HB_WIN);
	uint64_t hot_packet = ~b->made;
	struct hb_request first = request(HB_OP_PACK, hot_packet, 1);
	struct hb_reply reply;

	first.now_us = b->now_us;
	first.terms = 100000ull << 32 | HOT_SHARES << 16 | HB_SPLIT_LUCKY << 8 | 24;
	if (hot != 0) {
		bed_burst(b->bed, &first, &reply, 1);
		bed_settle(b->bed);
		packed++;
	}
	uint64_t n = make_round(b, hot, hot_packet);
	uint64_t cycles = run(b, n);

	packed = bed_replies(b->bed, HB_PACKED) - packed;
	won = bed_replies(b->bed, HB_WIN) - won;
	must(packed == b->packets, "packets PACKED", packed, b->packets);
	uint64_t wanted = b->packets * GRABS + (hot != 0 ? HOT_SHARES : 0);
	must(won == wanted, "shares won", won, wanted);
	return cycles;
}

/* Grabs of one packet and nothing else, by users of whom the first ones have a share. */
static uint64_t
run_hot_alone(struct bench *b)
{
	uint64_t packet = ~b->made - 1, won = bed_replies(b->bed, HB_WIN);

	for (uint64_t i = 0; i < b->hot; i++) {
		b->request[i] = request(i == 0 ? HB_OP_PACK : HB_OP_GRAB, packet,
			bed_user(bed_draw(b->bed, b->hot)));
		b->request[i].now_us = b->now_us;
	}
	uint64_t cycles = run(b, b->hot);

	won = bed_replies(b->bed, HB_WIN) - won;
	must(won >= GRABS, "shares of the hottest packet", won, GRABS);
	return cycles;
}

static void
measure(struct bench *b, bool counted)
{
	uint64_t calm = run_round(b, 0), hot = run_round(b, b->hot), alone = run_hot_alone(b);
	double requests = (double)(b->packets * REQUESTS_A_PACKET);

	if (!counted)
		return;
	results_add(&b->results, "a packet and its ten grabs", "cycles",
		(double)calm / (double)b->packets);
	results_add(&b->results, "a request of them", "cycles", (double)calm / requests);
	results_add(&b->results, "packets with ten grabs each", "packets/s",
		b->tsc_hz * (double)b->packets / (double)calm);
	results_add(&b->results, "a request beside the hottest packet", "cycles",
		((double)hot - (double)alone) / requests);
	results_add(&b->results, "a grab of the hottest packet, alone", "cycles",
		(double)alone / (double)b->hot);
}

/* So many packets, all over in the same second: how long a turn of the wheel takes while they are
 * refunded, and how long one takes when there is nothing to do. */
static void
measure_ending(struct bench *b)
{
	struct hb_engine *e = &b->bed->engine;
	uint64_t ending = e->packets.rows / 2, first = b->bed->link.packets.refunded, turns = 0;
	uint64_t *cycles = bed_alloc(ending * sizeof(*cycles), "turns");
	struct hb_reply reply[HB_BURST];

	/* What there was is over and forgotten. */
	b->now_us += 24 * 3600 * 1000000ull + 2 * KEEP_US;
	while (e->packets.used != 0) {
		hb_engine_expire(e, b->now_us);
		bed_settle(b->bed);
	}
	for (uint64_t i = 0; i < ending; i += HB_BURST) {
		unsigned n = ending - i < HB_BURST ? (unsigned)(ending - i) : HB_BURST;

		for (unsigned k = 0; k < n; k++) {
			b->request[k] = request(HB_OP_PACK, bed_user(b->made++), 1);
			b->request[k].now_us = b->now_us;
		}
		bed_burst(b->bed, b->request, reply, n);
		bed_settle(b->bed);
	}
	b->now_us += 24 * 3600 * 1000000ull - 2000000;
	/* The seconds up to there go by first. */
	for (unsigned i = 0; i < 20000; i++)
		hb_engine_expire(e, b->now_us);
	b->now_us += 4000000;
	for (; b->bed->link.packets.refunded - first < ending && turns < ending; turns++) {
		uint64_t start = rte_rdtsc();

		hb_engine_expire(e, b->now_us);
		cycles[turns] = rte_rdtsc() - start;
		bed_settle(b->bed);
	}
	must(b->bed->link.packets.refunded - first == ending, "packets refunded",
		b->bed->link.packets.refunded - first, ending);
	qsort(cycles, turns, sizeof(*cycles), by_number);
	results_add(&b->results, "a turn of the wheel while packets end, p50", "us",
		(double)cycles[turns / 2] * 1e6 / b->tsc_hz);
	results_add(&b->results, "a turn of the wheel while packets end, p99.9", "us",
		(double)cycles[turns - 1 - turns / 1000] * 1e6 / b->tsc_hz);
	results_add(&b->results, "packets refunded a turn", "", (double)ending / (double)turns);
	free(cycles);
}

static void
make_packets(struct bench *b)
{
	struct hb_engine *e = &b->bed->engine;
	/* Those of a second and of the time to keep them, twice over. */
	uint64_t room = 2 * (KEEP_US / 1000000 + 2) * RATE / REQUESTS_A_PACKET;
	struct hb_packets_terms t = {
		.packets = room, .shares = room * GRABS + HOT_SHARES, .keep_us = KEEP_US};
	struct hb_error err;

	for (unsigned i = 0; i < HB_COUNT_OF(t.key); i++)
		t.key[i] = bed_user(i);
	hb_packets_free(&e->packets);
	if (hb_packets_make(&e->packets, &t, &err) != 0) {
		fprintf(stderr, "bench_groups: %s\n", err.text);
		exit(HB_EXIT_HOST);
	}
	hb_engine_seed(e, 1);
}

int
main(int argc, char **argv)
{
	struct bench *b = bed_alloc(sizeof(*b), "itself");
	char rows[32];
	bool json;

	b->packets = 200000;
	b->rounds = 10;
	b->hot = 100000;
	options_read(argc, argv,
		(struct option_number[]){{"--packets", &b->packets, 1000, 1 << 24},
			{"--rounds", &b->rounds, 1, 1000}, {"--hot", &b->hot, 1000, 1 << 24}},
		3, &json);
	if (hb_wire_init() != 0)
		return HB_EXIT_HOST;
	uint64_t most = b->packets * REQUESTS_A_PACKET + b->hot;
	b->request = bed_alloc(most * sizeof(*b->request), "requests");
	b->order = bed_alloc(most * sizeof(*b->order), "their order");
	b->campaign = bed_campaign(7, 0, 1);
	b->bed = bed_make(1000, &b->campaign, 1);
	make_packets(b);
	b->now_us = BED_NOW_US;
	b->tsc_hz = bed_tsc_hz();
	results_begin(&b->results, (unsigned)b->rounds);
	/* The first rounds fill the table. */
	for (uint64_t i = 0; i < b->rounds + 2; i++)
		measure(b, i >= 2);
	measure_ending(b);
	results_note(json, "room for %s packets; %llu forgotten by the wheel",
		hb_thousands(b->bed->engine.packets.rows, rows),
		(unsigned long long)b->bed->engine.packets.forgotten);
	results_end(&b->results, json);
	bed_free(b->bed);
	free(b->request);
	free(b->order);
	free(b);
	return HB_EXIT_OK;
}
