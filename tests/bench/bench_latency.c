/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long a reply takes: from when its request comes to the NIC until the worker has handed the
 * reply to it, at a stated rate, with the control core and the disk on another CPU. Between two
 * processes on two cores the sender would share one with a part of the server; here the worker's
 * own thread puts the frames into its device's queue, when they are due, which were made before.
 * That costs the worker some cycles a frame, which count.
 *
 * usage: bench_latency NEW-DIRECTORY [--rounds N] [--ms N] [--users N] [--wins N] [--forged N]
 *                      [--worker-cpu N] [--cpu N] [--json]
 *
 * --wins    the rate at which wins' replies are looked at: so many a second, at odds of 2%
 * --forged  how many forged frames come with each good one, where good ones are to be answered
 *
 * Requests come at random (exponential gaps). The capacity is measured in each round: the queue
 * always full. Beside the figures: how long the machine itself held up a loop that does nothing but
 * read the clock, since that is in each percentile too.
 */
#include "bed.h"
#include "hb_scenario.h"
#include "options.h"
#include "results.h"
#include "stage.h"

#include <errno.h>
#include <math.h>
#include <rte_cycles.h>
#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DESCRIPTORS 1024
#define ODDS 0.02
#define FRAME_BYTES 66
#define WARM_UP_MS 50
/* For how fast frames are made ready, where the queue is always to be full. */
#define RATE_MAX 12e6

static const double loads[] = {0.1, 0.5, 0.9};
static const double forged_rates[] = {1e6, 2e6, 4e6, 6e6, 8e6};

struct shot {
	uint8_t frame[FRAME_BYTES];
	bool forged;
};

struct latency {
	uint64_t rounds, ms, users, wins, forged, worker_cpu, cpu;
	struct stage stage;
	struct hb_scenario_wire wire;
	struct hb_scenario_moulds moulds;
	struct shot *shot;
	uint64_t shots, next;
	uint64_t random; /* of gaps and users */
	uint32_t seq;
	double hz;
	/* of one run */
	uint64_t offered[2], dropped[2], answered; /* good, forged */
	struct hb_histogram *other, *win, *stall, *flush;
	struct results results;
};

static double
draw(struct latency *l)
{
	return (double)(hb_splitmix64(&l->random) >> 11) / (double)(1ull << 53);
}

/* ---- frames -------------------------------------------------------------------------- */

/* Makes the shakes of a run, of users at random, each with a seq that nobody had before. */
static void
make_shots(struct latency *l, double rate)
{
	uint64_t wanted = (uint64_t)((isinf(rate) ? RATE_MAX : rate * 1.02) *
				     (double)(l->ms + WARM_UP_MS) / 1000) +
			  DESCRIPTORS;
	struct hb_scenario_item item[HB_BURST];
	uint8_t bytes[HB_BURST][HB_FRAME_BYTES_MAX], *frame[HB_BURST];
	uint32_t length[HB_BURST];

	l->shots = wanted - wanted % HB_BURST;
	l->next = 0;
	for (unsigned i = 0; i < HB_BURST; i++)
		frame[i] = bytes[i];
	for (uint64_t at = 0; at < l->shots; at += HB_BURST) {
		for (unsigned i = 0; i < HB_BURST; i++) {
			uint64_t user = 1 + hb_splitmix64(&l->random) % l->users;
			bool forged = l->forged != 0 && (at + i) % (l->forged + 1) != 0;

			item[i] = (struct hb_scenario_item){.request = {.op = HB_OP_SHAKE,
								    .campaign = RINGED_SHAKEN,
								    .user = user,
								    .seq = ++l->seq,
								    .shard = hb_shard(user)},
				.flags = forged ? HB_SCENARIO_FORGED : 0};
			l->shot[at + i].forged = forged;
		}
		hb_scenario_frames(&l->wire, &l->moulds, item, HB_BURST, frame, length);
		for (unsigned i = 0; i < HB_BURST; i++)
			memcpy(l->shot[at + i].frame, bytes[i], FRAME_BYTES);
	}
}

/* A frame comes to the queue, at a time of the TSC's. */
static void
offer(struct latency *l, double due)
{
	const struct shot *s = &l->shot[l->next++ % l->shots];
	struct ringed *r = l->stage.r;
	struct rte_mbuf *m = ringed_full(r) ? NULL : rte_pktmbuf_alloc(r->ports.pool);

	l->offered[s->forged]++;
	if (m == NULL) {
		l->dropped[s->forged]++;
		return;
	}
	memcpy(rte_pktmbuf_mtod(m, void *), s->frame, FRAME_BYTES);
	m->data_len = FRAME_BYTES;
	m->pkt_len = FRAME_BYTES;
	((struct ringed_note *)rte_mbuf_to_priv(m))->at = due;
	rte_ring_sp_enqueue(r->in, m);
}

/* Takes what the worker sent, all of it by now. */
static void
hear(struct latency *l)
{
	struct rte_mbuf *m[HB_BURST];
	unsigned n;

	while ((n = ringed_take(l->stage.r, m, HB_BURST)) != 0) {
		double now = (double)rte_rdtsc();

		for (unsigned i = 0; i < n; i++) {
			bool won = ringed_reply(m[i])[1] == HB_WIN;
			double ns = (now - ringed_note_of(m[i]).at) * 1e9 / l->hz;

			hb_histogram_add(won ? l->win : l->other, ns > 0 ? (uint64_t)ns : 0);
		}
		l->answered += n;
		rte_pktmbuf_free_bulk(m, n);
	}
}

/* ---- runs ---------------------------------------------------------------------------- */

static void
clear(struct latency *l)
{
	memset(l->offered, 0, sizeof(l->offered));
	memset(l->dropped, 0, sizeof(l->dropped));
	l->answered = 0;
	memset(l->other, 0, sizeof(*l->other));
	memset(l->win, 0, sizeof(*l->win));
}

/* Requests at a rate a second, for so long; INFINITY: the queue is always full. */
static void
run_for(struct latency *l, double rate, uint64_t ms)
{
	double gap = l->hz / rate, start = (double)rte_rdtsc();
	double end = start + l->hz * (double)ms / 1000, due = start;

	for (double now = start; now < end; now = (double)rte_rdtsc()) {
		while (isinf(rate) && !ringed_full(l->stage.r) && l->next < l->shots)
			offer(l, now);
		for (unsigned i = 0; !isinf(rate) && i < DESCRIPTORS && due <= now; i++) {
			offer(l, due);
			due += gap * -log1p(-draw(l));
		}
		hb_worker_turn(&l->stage.r->worker);
		hear(l);
	}
}

/* Replies a second, after a warm-up. */
static double
run(struct latency *l, double rate)
{
	make_shots(l, rate);
	run_for(l, rate, WARM_UP_MS);
	clear(l);
	run_for(l, rate, l->ms);
	double answered = (double)l->answered * 1000 / (double)l->ms;

	/* What waits still is nobody's. */
	while (rte_ring_count(l->stage.r->in) != 0 || hb_read(&l->stage.link->parked) != 0) {
		hb_worker_turn(&l->stage.r->worker);
		hear(l);
	}
	return answered;
}

/* How long a loop is held up that only reads the clock: by the kernel, or by another machine that
 * has this one's CPU. Each moment counts, so that it compares with requests, which come at any. */
static void
watch_stalls(struct latency *l)
{
	double us = l->hz / 1e6, end = (double)rte_rdtsc() + l->hz * (double)l->ms / 1000;
	double last = (double)rte_rdtsc();

	memset(l->stall, 0, sizeof(*l->stall));
	for (double now = last; now < end; last = now, now = (double)rte_rdtsc()) {
		/* Whoever comes in it waits until its end. */
		for (double at = last; at < now; at += us)
			hb_histogram_add(l->stall, (uint64_t)((now - at) / us * 1000));
	}
}

/* ---- figures ------------------------------------------------------------------------- */

static void
add_percentiles(struct latency *l, const char *what, const struct hb_histogram *h)
{
	static const double percentile[] = {50, 99, 99.9};

	for (unsigned i = 0; i < HB_COUNT_OF(percentile); i++)
		results_add(&l->results, results_name("%s, p%g", what, percentile[i]), "us",
			(double)hb_histogram_percentile(h, percentile[i]) / 1000);
}

/* What was added to the control core's histogram since `before`. */
static void
subtract(struct hb_histogram *h, const struct hb_histogram *now)
{
	h->values = now->values - h->values;
	h->sum = now->sum - h->sum;
	h->max = now->max;
	for (unsigned i = 0; i < HB_HISTOGRAM_COUNTS; i++)
		h->count[i] = now->count[i] - h->count[i];
}

static void
measure_wins(struct latency *l)
{
	*l->flush = *l->stage.control.flush_ns;
	run(l, (double)l->wins / ODDS);
	subtract(l->flush, l->stage.control.flush_ns);
	results_add(&l->results, "wins", "a second", (double)l->win->values * 1000 / (double)l->ms);
	add_percentiles(
		l, results_name("WIN at %llu wins a second", (unsigned long long)l->wins), l->win);
	add_percentiles(l, "the disk's write and flush meanwhile", l->flush);
}

static void
measure_loads(struct latency *l)
{
	double capacity = run(l, INFINITY);

	results_add(&l->results, "capacity", "requests/s", capacity);
	for (unsigned i = 0; i < HB_COUNT_OF(loads); i++) {
		run(l, loads[i] * capacity);
		add_percentiles(l, results_name("no money, at %g of it", loads[i]), l->other);
	}
}

static void
measure_forged(struct latency *l)
{
	for (unsigned i = 0; i < HB_COUNT_OF(forged_rates); i++) {
		run(l, forged_rates[i]);
		results_add(&l->results,
			results_name(
				"good ones that got into the queue, of %g million frames a second",
				forged_rates[i] / 1e6),
			"%",
			100.0 * (double)(l->offered[0] - l->dropped[0]) / (double)l->offered[0]);
	}
}

static void
run_round(struct latency *l)
{
	watch_stalls(l);
	add_percentiles(l, "the machine's own stalls", l->stall);
	if (l->forged != 0) {
		measure_forged(l);
		return;
	}
	measure_loads(l);
	measure_wins(l);
}

static void
begin(struct latency *l, const char *journal)
{
	uint64_t most = (uint64_t)(RATE_MAX * (double)(l->ms + WARM_UP_MS) / 1000) + DESCRIPTORS;

	l->shot = bed_alloc(most * sizeof(*l->shot), "frames");
	l->other = bed_alloc(sizeof(*l->other), "a histogram");
	l->win = bed_alloc(sizeof(*l->win), "a histogram");
	l->stall = bed_alloc(sizeof(*l->stall), "a histogram");
	l->flush = bed_alloc(sizeof(*l->flush), "a histogram");
	stage_make(&l->stage,
		(struct stage_terms){.ring = {.users = l->users * 2,
					     .envelopes = (uint32_t)(l->rounds * l->ms * 1000),
					     .odds = ODDS,
					     .descriptors = DESCRIPTORS},
			.journal = journal,
			.control_cpu = (unsigned)l->cpu});
	l->wire = (struct hb_scenario_wire){.keys = l->stage.r->config.keys,
		.src_mac = {2, 0, 0, 0, 0, 2},
		.dst_mac = {2, 0, 0, 0, 0, 1},
		.server_ip = {10, 0, 0, 1},
		.base_port = 8192};
	hb_scenario_moulds(&l->moulds, &l->wire);
}

int
main(int argc, char **argv)
{
	static struct latency l = {
		.rounds = 11, .ms = 400, .users = 1000000, .wins = 45000, .cpu = 1};
	struct hb_progress p;
	bool json;

	if (argc < 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: bench_latency NEW-DIRECTORY [--rounds N] ...\n");
		return HB_EXIT_USAGE;
	}
	options_read(argc - 1, argv + 1,
		(struct option_number[]){{"--rounds", &l.rounds, 1, 1000},
			{"--ms", &l.ms, 10, 100000}, {"--users", &l.users, 1000, 100000000},
			{"--wins", &l.wins, 1, 1000000}, {"--forged", &l.forged, 0, 1000},
			{"--worker-cpu", &l.worker_cpu, 0, 1023}, {"--cpu", &l.cpu, 0, 1023}},
		7, &json);
	stage_begin("bench_latency", (unsigned)l.worker_cpu, (unsigned)l.worker_cpu);
	l.hz = (double)rte_get_tsc_hz();
	begin(&l, argv[1]);
	hb_worker_begin(&l.stage.r->worker);
	results_begin(&l.results, (unsigned)l.rounds);
	hb_progress_begin(&p, "measuring", "rounds", l.rounds);
	for (uint64_t i = 0; i < l.rounds; i++) {
		run_round(&l);
		hb_progress_update(&p, i + 1);
	}
	hb_progress_end(&p);
	int err = stage_finish(&l.stage);

	if (err != 0)
		fprintf(stderr, "bench_latency: %s\n", l.stage.e.text);
	results_end(&l.results, json);
	stage_free(&l.stage);
	return err == 0 ? HB_EXIT_OK : HB_EXIT_FAILED;
}
