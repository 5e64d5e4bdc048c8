/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine alone, without a port, on one core and on two: requests a second with the control
 * core's work included, which drains, journals to a real disk and publishes beside the workers.
 * Each worker owns its lanes, as RSS would bring them; the runs of one and of two workers are
 * interleaved.
 */
#include "hb_recovery.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CAMPAIGN 7
#define WORKERS_MAX 2
#define NOW_US 1000000
#define IDLE_TURNS 256
#define IDLE_SLEEP_US 20

struct bench;

/* A worker with the users of its lanes; its thread alone touches it while it runs. */
struct bench_worker {
	struct hb_engine engine;
	struct hb_link link;
	struct hb_worker_stats stats;
	struct bench *bench;
	uint64_t *users;
	uint64_t count;
	uint64_t decided;
	uint64_t took_ns;
	unsigned index;
	bool stop; /* control thread: wo; worker: ro */
} HB_ALIGNED;

struct bench {
	struct hb_config config;
	struct hb_campaign_config campaign;
	struct hb_snapshot *snapshot;
	struct hb_envelopes envelopes;
	struct hb_disk_directory directory;
	struct hb_journal journal;
	struct hb_control control;
	struct hb_recovery recovery;
	struct bench_worker worker[WORKERS_MAX];
	struct hb_link *links[WORKERS_MAX];
	struct hb_engine *engines[WORKERS_MAX];
	uint8_t drained[1];
	const char *path;
	uint64_t users;
	uint64_t run_ns;
	unsigned workers;
	pthread_barrier_t start;
	struct hb_error e;
};

static void
must(const struct bench *b, int err)
{
	if (err == 0)
		return;
	fprintf(stderr, "bench_engine: %s\n", b->e.text);
	exit(HB_EXIT_FAILED);
}

/* ---- one run ------------------------------------------------------------------------- */

static void
find_users(struct bench *b, struct bench_worker *w)
{
	w->count = 0;
	w->users = malloc((b->users + 1) * sizeof(*w->users));
	if (w->users == NULL)
		exit(HB_EXIT_HOST);
	for (uint64_t i = 1; i <= b->users; i++) {
		uint64_t user = hb_mix64(i * 0x9E3779B97F4A7C15ULL, 0xD1B54A32D192ED03ULL) | 1;

		if (hb_owner(hb_lane(hb_shard(user)), b->workers) == w->index)
			w->users[w->count++] = user;
	}
}

static void
make_worker(struct bench *b, unsigned i)
{
	struct bench_worker *w = &b->worker[i];
	struct hb_engine_terms terms = {.campaigns = 1,
		.workers = b->workers,
		.users = b->users / b->workers + b->users / 100 + 1000,
		.seed = 1};

	*w = (struct bench_worker){.bench = b, .index = i};
	b->links[i] = &w->link;
	b->engines[i] = &w->engine;
	must(b, hb_link_make(&w->link, 1, b->drained, &b->e));
	must(b, hb_engine_make(&w->engine, &terms, &w->link, &w->stats, &b->e));
	find_users(b, w);
}

static void
set_up(struct bench *b, unsigned workers)
{
	struct hb_control_terms control = {.journal = &b->journal,
		.links = b->links,
		.drained = b->drained,
		.workers = workers,
		.campaigns = 1,
		.gather_ns = HB_GATHER_NS};

	b->workers = workers;
	b->drained[0] = 0;
	must(b, hb_disk_open(&b->directory, b->path, &b->e));
	for (unsigned i = 0; i < workers; i++)
		make_worker(b, i);
	must(b, hb_control_make(&b->control, &control, &b->e));
	must(b, hb_recovery_begin(
			&b->recovery, &b->control, b->engines, &b->envelopes, &b->campaign, &b->e));
	must(b, hb_journal_begin(&b->journal, &b->directory.disk, 1, 0, &b->e));
	must(b, hb_recovery_finish(&b->recovery, 1, 1, &b->e));
	b->snapshot = hb_snapshot_make(&b->config);
	pthread_barrier_init(&b->start, NULL, workers + 1);
}

static void
tear_down(struct bench *b)
{
	char command[PATH_MAX + 32];

	pthread_barrier_destroy(&b->start);
	hb_snapshot_free(b->snapshot);
	hb_journal_end(&b->journal);
	hb_recovery_free(&b->recovery);
	hb_control_free(&b->control);
	hb_envelopes_free(&b->envelopes);
	hb_disk_close(&b->directory);
	for (unsigned i = 0; i < b->workers; i++) {
		free(b->worker[i].users);
		hb_engine_free(&b->worker[i].engine);
		hb_link_free(&b->worker[i].link);
	}
	snprintf(command, sizeof(command), "rm -r -- '%s'", b->path);
	if (system(command) != 0)
		exit(HB_EXIT_FAILED);
}

static void
pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
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
			.campaign = CAMPAIGN,
			.shard = (uint16_t)hb_shard(user),
			.op = HB_OP_SHAKE};
	}
}

static void *
work(void *arg)
{
	struct bench_worker *w = arg;
	struct hb_engine *e = &w->engine;
	struct hb_request r[HB_BURST];
	struct hb_reply reply[HB_BURST];
	void *gone[HB_BURST];

	pin(w->index);
	pthread_barrier_wait(&w->bench->start);
	uint64_t start = hb_mono_ns();
	uint64_t at = 0;
	for (; !__atomic_load_n(&w->stop, __ATOMIC_RELAXED); at += HB_BURST) {
		hb_park_pop(&e->park, __atomic_load_n(&w->link.durable, __ATOMIC_ACQUIRE), gone,
			HB_BURST);
		fill_burst(w, at, r);
		hb_engine_expect(e, w->bench->snapshot, r, HB_BURST);
		hb_engine_decide(e, w->bench->snapshot, r, reply, HB_BURST);
		for (unsigned i = 0; i < HB_BURST; i++) {
			hb_count(&w->stats.replies[reply[i].status], 1);
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

/* The control core's loop, as hongbaod has it, for as long as a run lasts. */
static void
control(struct bench *b)
{
	uint64_t now = hb_mono_ns(), end = now + b->run_ns;
	unsigned idle = 0;

	for (; now < end; now = hb_mono_ns()) {
		if (hb_control_step(&b->control, now) != 0)
			idle = 0;
		else if (++idle >= IDLE_TURNS)
			usleep(IDLE_SLEEP_US);
	}
	for (unsigned i = 0; i < b->workers; i++)
		__atomic_store_n(&b->worker[i].stop, true, __ATOMIC_RELAXED);
}

/* What the workers left in their rings. */
static void
settle_all(struct bench *b)
{
	hb_control_close(&b->control);
	while (hb_control_step(&b->control, hb_mono_ns()) != 0)
		;
	if (!hb_control_balanced(&b->control, &b->e) || b->control.disk_error != 0)
		must(b, -EIO);
}

/* Requests a second of so many workers. */
static double
run(struct bench *b, unsigned workers)
{
	pthread_t thread[WORKERS_MAX];
	uint64_t busy = 0, wins = 0;
	double rate = 0;

	set_up(b, workers);
	for (unsigned i = 0; i < workers; i++) {
		if (pthread_create(&thread[i], NULL, work, &b->worker[i]) != 0)
			exit(HB_EXIT_HOST);
	}
	pthread_barrier_wait(&b->start);
	control(b);
	for (unsigned i = 0; i < workers; i++) {
		const struct bench_worker *w = &b->worker[i];

		pthread_join(thread[i], NULL);
		rate += (double)w->decided / ((double)w->took_ns / 1e9);
		busy += w->stats.replies[HB_BUSY];
		wins += w->stats.wins;
	}
	settle_all(b);
	fprintf(stderr,
		"%u worker%s: %.2f million requests a second, %llu wins in %llu batches, %llu "
		"busy\n",
		workers, workers == 1 ? "" : "s", rate / 1e6, (unsigned long long)wins,
		(unsigned long long)b->control.batches, (unsigned long long)busy);
	tear_down(b);
	return rate;
}

/* ---- the table ----------------------------------------------------------------------- */

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
print_line(const char *what, double *rate, unsigned n)
{
	qsort(rate, n, sizeof(*rate), by_value);
	double median = (rate[(n - 1) / 2] + rate[n / 2]) / 2;

	printf("%-10s %8.2f million requests a second   (%.2f to %.2f)\n", what, median / 1e6,
		rate[0] / 1e6, rate[n - 1] / 1e6);
	return median;
}

int
main(int argc, char **argv)
{
	struct bench *b = aligned_alloc(
		HB_CACHE_LINE, (sizeof(*b) + HB_CACHE_LINE - 1) / HB_CACHE_LINE * HB_CACHE_LINE);
	uint64_t users, ms, runs;

	if (argc != 5 || hb_parse_u64(argv[2], 1000, 400000000, &users) != 0 ||
		hb_parse_u64(argv[3], 10, 600000, &ms) != 0 ||
		hb_parse_u64(argv[4], 1, 1000, &runs) != 0 || b == NULL) {
		fprintf(stderr, "usage: bench_engine NEW-DIRECTORY USERS MILLISECONDS RUNS\n");
		return HB_EXIT_USAGE;
	}
	memset(b, 0, sizeof(*b));
	b->path = argv[1];
	b->users = users;
	b->run_ns = ms * 1000000;
	b->campaign = (struct hb_campaign_config){.id = CAMPAIGN,
		.name = "bench",
		.closes_us = UINT64_MAX,
		.odds = 0.02,
		.wins_per_user = HB_USER_WINS_MAX,
		/* 2% of 60 million a second, which no two cores do. */
		.terms = {.count = (uint32_t)(ms * 1200),
			.total = ms * 30000,
			.split = HB_SPLIT_LUCKY}};
	b->config = (struct hb_config){
		.slices = UINT32_MAX, .campaign = &b->campaign, .campaigns = 1, .workers = 1};
	double *one = calloc(runs, sizeof(*one)), *two = calloc(runs, sizeof(*two));
	for (unsigned i = 0; i < runs; i++) {
		one[i] = run(b, 1);
		two[i] = run(b, 2);
	}
	double a = print_line("1 worker", one, (unsigned)runs);
	double c = print_line("2 workers", two, (unsigned)runs);
	printf("%-10s %8.2f\n", "ratio", c / a);
	free(one);
	free(two);
	free(b);
	return HB_EXIT_OK;
}
