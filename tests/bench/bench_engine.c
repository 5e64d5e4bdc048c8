/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine alone, without a port, on one core and on two: requests a second with the control
 * core's work included, which drains, journals to a real disk and publishes beside the workers.
 * Each worker owns its lanes, as RSS would bring them; the runs of one and of two workers are
 * interleaved.
 */
#include "live.h"
#include "results.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW_US 1000000

struct bench;

/* A worker with the users of its lanes; its thread alone touches it while it runs. */
struct bench_worker {
	struct bench *bench;
	uint64_t *users;
	uint64_t count;
	uint64_t decided;
	uint64_t took_ns;
	unsigned index;
	bool stop; /* control thread: wo; worker: ro */
} HB_ALIGNED;

struct bench {
	struct live live;
	struct bench_worker worker[LIVE_WORKERS_MAX];
	const char *path;
	uint64_t users;
	uint64_t run_ns;
	uint32_t envelopes;
	struct results results;
	pthread_barrier_t start;
};

/* ---- one run ------------------------------------------------------------------------- */

static void
find_users(struct bench *b, unsigned index)
{
	struct bench_worker *w = &b->worker[index];

	*w = (struct bench_worker){.bench = b, .index = index};
	w->users = malloc((b->users + 1) * sizeof(*w->users));
	if (w->users == NULL)
		exit(HB_EXIT_HOST);
	for (uint64_t i = 1; i <= b->users; i++) {
		uint64_t user = hb_mix64(i * 0x9E3779B97F4A7C15ULL, 0xD1B54A32D192ED03ULL) | 1;

		if (hb_owner(hb_lane(hb_shard(user)), b->live.workers) == w->index)
			w->users[w->count++] = user;
	}
}

/* A burst of shakes: the users in turn, each time round with the next seq. */
static void
fill_burst(const struct bench_worker *w, uint64_t at, struct hb_request *r)
{
	for (unsigned i = 0; i < HB_BURST; i++, at++) {
		uint64_t user = w->users[at % w->count];

		r[i] = (struct hb_request){.user = user,
			.now_us = NOW_US,
			.seq = (uint32_t)(at / w->count + 1),
			.campaign = LIVE_CAMPAIGN,
			.shard = (uint16_t)hb_shard(user),
			.op = HB_OP_SHAKE};
	}
}

static void *
work(void *arg)
{
	struct bench_worker *w = arg;
	struct live *l = &w->bench->live;
	struct hb_engine *e = &l->engine[w->index];
	const struct hb_link *link = &l->link[w->index];
	struct hb_request r[HB_BURST];
	struct hb_reply reply[HB_BURST];
	void *gone[HB_BURST];

	live_pin(w->index);
	pthread_barrier_wait(&w->bench->start);
	uint64_t start = hb_mono_ns();
	uint64_t at = 0;
	for (; !__atomic_load_n(&w->stop, __ATOMIC_RELAXED); at += HB_BURST) {
		hb_park_pop(&e->park, __atomic_load_n(&link->durable, __ATOMIC_ACQUIRE), gone,
			HB_BURST);
		fill_burst(w, at, r);
		hb_engine_expect(e, l->snapshot, r, HB_BURST);
		hb_engine_decide(e, l->snapshot, r, reply, HB_BURST);
		for (unsigned i = 0; i < HB_BURST; i++) {
			if (reply[i].ticket != 0)
				hb_park_push(&e->park, &r[i], reply[i].ticket);
		}
		if (at / HB_BURST % 32 == 0)
			hb_engine_obey(e);
	}
	w->took_ns = hb_mono_ns() - start;
	w->decided = at;
	return NULL;
}

/* One run of so many workers. */
static void
run(struct bench *b, unsigned workers, const char *name)
{
	pthread_t thread[LIVE_WORKERS_MAX];
	uint64_t busy = 0, wins = 0;
	double rate = 0;

	live_start(&b->live, b->path, workers, b->users, b->envelopes);
	pthread_barrier_init(&b->start, NULL, workers + 1);
	for (unsigned i = 0; i < workers; i++) {
		find_users(b, i);
		if (pthread_create(&thread[i], NULL, work, &b->worker[i]) != 0)
			exit(HB_EXIT_HOST);
	}
	pthread_barrier_wait(&b->start);
	live_control(&b->live.control, hb_mono_ns() + b->run_ns, NULL);
	for (unsigned i = 0; i < workers; i++)
		__atomic_store_n(&b->worker[i].stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < workers; i++) {
		pthread_join(thread[i], NULL);
		rate += (double)b->worker[i].decided / ((double)b->worker[i].took_ns / 1e9);
		busy += b->live.stats[i].replies[HB_BUSY];
		wins += b->live.stats[i].wins;
		free(b->worker[i].users);
	}
	fprintf(stderr,
		"%s: %.2f million requests a second, %llu wins in %llu batches, %llu busy\n", name,
		rate / 1e6, (unsigned long long)wins, (unsigned long long)b->live.control.batches,
		(unsigned long long)busy);
	pthread_barrier_destroy(&b->start);
	live_stop(&b->live);
	results_add(&b->results, name, "requests/s", rate);
}

int
main(int argc, char **argv)
{
	struct bench *b = aligned_alloc(
		HB_CACHE_LINE, (sizeof(*b) + HB_CACHE_LINE - 1) / HB_CACHE_LINE * HB_CACHE_LINE);
	uint64_t users, ms, runs;
	bool json = argc == 6 && strcmp(argv[5], "--json") == 0;

	if (argc != 5 + json || hb_parse_u64(argv[2], 1000, 400000000, &users) != 0 ||
		hb_parse_u64(argv[3], 10, 600000, &ms) != 0 ||
		hb_parse_u64(argv[4], 1, 1000, &runs) != 0 || b == NULL) {
		fprintf(stderr, "usage: bench_engine NEW-DIRECTORY USERS MILLISECONDS RUNS "
				"[--json]\n");
		return HB_EXIT_USAGE;
	}
	memset(b, 0, sizeof(*b));
	b->path = argv[1];
	b->users = users;
	b->run_ns = ms * 1000000;
	/* 2% of 60 million a second, which no two cores do. */
	b->envelopes = (uint32_t)(ms * 1200);
	results_begin(&b->results, (unsigned)runs);
	for (uint64_t i = 0; i < runs; i++) {
		run(b, 1, "1 worker");
		run(b, 2, "2 workers");
	}
	results_end(&b->results, json);
	free(b);
	return HB_EXIT_OK;
}
