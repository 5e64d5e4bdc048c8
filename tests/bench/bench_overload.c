/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * More requests than one worker can decide: the worker's own loop on a net_ring device, on one
 * core, in a time that only the worker's turns take. Before each turn the frames that are due by
 * then are put into the ring, and what doesn't fit is dropped, as a NIC does; making them and
 * reading the replies is not counted. Requests come at random (exponential gaps) at so many times
 * the capacity, which is measured first in each round: the ring always full, nobody shed.
 *
 * Three ways, round by round at each load: as hongbaod does it; without admission control (shed:
 * false); and with admission control but no budget for its BUSYs.
 *
 * Exit code 1: at 2, 5 or 10 times the capacity less than 95% of what can be was answered, or a
 * repeat of a told win was shed.
 */
#include "bed.h"
#include "options.h"
#include "results.h"
#include "ringed.h"

#include <math.h>
#include <rte_cycles.h>
#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>

/* Requests a cycle, more than any worker can decide. */
#define FULL_RATE 0.05
/* NIC descriptors: what most of drivers-config/ has. */
#define DESCRIPTORS 1024
/* Until the queue is as it will be; and in the first round until the level is, too, which goes on
 * from there in the next. */
#define WARM_UP_MS 3
#define FIRST_WARM_UP_MS 80
/* A turn of full bursts takes some 15 us; what takes longer than this was interrupted by other work
 * on the machine, and counts as if it had been one of those. */
#define INTERRUPTED_US 60
/* One of so many requests is a repeat of one of the last told wins. */
#define REPEATS 100
#define WINS_KEPT 4096
#define LEAST_PERCENT 95
#define ROUNDS_MAX 1000

static const double loads[] = {0.5, 0.8, 1, 1.5, 2, 3, 5, 10};

enum way {
	AS_IT_IS,
	NEVER_SHED,
	NO_BUDGET,
	CAPACITY, /* more than can be: the ring is always full */
	WAYS
};

static const char *const way_name[WAYS] = {
	"goodput", "goodput without admission control", "goodput without a budget", "capacity"};

/* What part each op has, in percent. */
static const unsigned mix[HB_OPS] = {
	[HB_OP_SHAKE] = 70, [HB_OP_ANSWER] = 20, [HB_OP_GRAB] = 8, [HB_OP_PACK] = 2};

struct told {
	uint64_t user;
	uint32_t seq;
	uint8_t op;
};

struct level {
	uint32_t level;
	bool known;
};

/* Of one run, by op. */
struct count {
	uint64_t offered[HB_OPS], dropped[HB_OPS], answered[HB_OPS], shed[HB_OPS];
};

struct bench {
	struct ringed *r;
	uint64_t users, rounds, ms;
	double capacity; /* requests a cycle */
	double now, next, gap;
	double began;	    /* the turn under way */
	double ran;	    /* the last run, in cycles */
	double due[HB_OPS]; /* parts of requests that are dropped with the next */
	uint64_t random;
	uint32_t seq;
	struct told told[WINS_KEPT]; /* the last ones */
	uint64_t wins;
	uint64_t repeats, repeats_shed;
	uint64_t turns, interrupted;
	struct count count;
	struct hb_histogram *wait; /* ns */
	struct results results;
	struct level level[WAYS][HB_COUNT_OF(loads)];
	double goodput[WAYS][HB_COUNT_OF(loads)][ROUNDS_MAX];
};

/* ---- clients ------------------------------------------------------------------------- */

static uint64_t
draw(struct bench *b, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)hb_splitmix64(&b->random) * n) >> 64);
}

static unsigned
draw_op(struct bench *b)
{
	unsigned at = (unsigned)draw(b, 100), op = HB_OP_SHAKE;

	while (at >= mix[op])
		at -= mix[op++];
	return op;
}

static struct hb_request
make_request(struct bench *b, unsigned op)
{
	struct hb_request q = {.op = (uint8_t)op, .user = 1 + draw(b, b->users), .seq = ++b->seq};

	if (op == HB_OP_SHAKE)
		q.campaign = RINGED_SHAKEN;
	if (op == HB_OP_ANSWER)
		q.campaign = RINGED_ANSWERED;
	if (op >= HB_OP_GRAB)
		q.arg = q.seq;
	return q;
}

/* Until the next request comes. */
static double
gap(struct bench *b)
{
	return b->gap * -log1p(-(double)draw(b, 1 << 30) / (1 << 30));
}

/* The NIC's queue is full: what is due is dropped, all at once, since making that many requests one
 * by one would take longer than the turns and leave them other caches. */
static void
drop_due(struct bench *b)
{
	double due = 1 + (b->now - b->next) / b->gap;

	for (unsigned op = HB_OP_SHAKE; op < HB_OPS; op++) {
		b->due[op] += due * mix[op] / 100;
		uint64_t whole = (uint64_t)b->due[op];

		b->due[op] -= (double)whole;
		b->count.offered[op] += whole;
		b->count.dropped[op] += whole;
	}
	b->next = b->now + gap(b);
}

/* A request comes to the NIC, which has room for it. */
static void
offer(struct bench *b)
{
	bool again = b->wins != 0 && draw(b, REPEATS) == 0;
	unsigned op = draw_op(b);
	const struct told *t = NULL;

	if (again) {
		t = &b->told[draw(b, b->wins < WINS_KEPT ? b->wins : WINS_KEPT)];
		op = t->op;
	}
	b->count.offered[op]++;
	struct hb_request q = make_request(b, op);

	if (again) {
		q.user = t->user;
		q.seq = t->seq;
	}
	if (op == HB_OP_ANSWER)
		q.arg = b->r->snapshot->campaign[1].answer;
	struct ringed_note note = {.at = b->next, .user = q.user, .seq = q.seq, .again = again};

	if (!ringed_send(b->r, &q, false, note)) {
		fprintf(stderr, "bench_overload: no frame is free\n");
		exit(HB_EXIT_FAILED);
	}
}

/* A reply comes back. */
static void
hear(struct bench *b, struct rte_mbuf *m)
{
	const uint8_t *reply = ringed_reply(m);
	struct ringed_note note = ringed_note_of(m);
	unsigned op = reply[0] & 15, status = reply[1];
	/* The engine's own BUSY is an answer here: PACK has no other yet. */
	bool shed = status == HB_BUSY && hb_be32(reply + 16) >= b->r->snapshot->busy_wait_ms;

	b->repeats += note.again;
	b->repeats_shed += note.again && shed;
	if (shed)
		b->count.shed[op]++;
	else
		b->count.answered[op]++;
	if (status == HB_WIN)
		b->told[b->wins++ % WINS_KEPT] = (struct told){note.user, note.seq, (uint8_t)op};
	else if (!shed) /* a win's waits for its record, too */
		hb_histogram_add(
			b->wait, (uint64_t)((b->began - note.at) * 1e9 / (double)rte_get_tsc_hz()));
}

/* ---- the worker ---------------------------------------------------------------------- */

/* One turn of the loop, with what is due by then. */
static void
turn(struct bench *b)
{
	struct hb_worker *w = &b->r->worker;
	struct rte_mbuf *m[HB_BURST];
	unsigned n;

	for (; b->next <= b->now && !ringed_full(b->r); b->next += gap(b))
		offer(b);
	if (b->next <= b->now)
		drop_due(b);
	b->began = b->now;
	uint64_t start = w->turned_tsc = rte_rdtsc();

	hb_worker_turn(w);
	double took = (double)(w->turned_tsc - start);

	b->turns++;
	if (took > (double)rte_get_tsc_hz() * INTERRUPTED_US / 1e6) {
		b->interrupted++;
		took = b->capacity == 0 ? 0 : HB_BURST / b->capacity;
	}
	b->now += took;
	while ((n = ringed_take(b->r, m, HB_BURST)) != 0) {
		for (unsigned i = 0; i < n; i++)
			hear(b, m[i]);
		rte_pktmbuf_free_bulk(m, n);
	}
	ringed_settle(b->r);
}

static void
run_for(struct bench *b, uint64_t ms)
{
	double end = b->now + (double)(ms * rte_get_tsc_hz()) / 1000;

	while (b->now < end)
		turn(b);
}

static uint64_t
sum(const uint64_t *by_op)
{
	uint64_t n = 0;

	for (unsigned op = 0; op < HB_OPS; op++)
		n += by_op[op];
	return n;
}

/* So many requests a cycle, one of the ways, from an empty queue on and with the level where it
 * was. Returns how many were answered a cycle. */
static double
run(struct bench *b, double rate, enum way way, struct level *level)
{
	struct hb_admission *a = &b->r->worker.engine.admission;

	b->r->snapshot->shed = way == AS_IT_IS || way == NO_BUDGET;
	b->r->snapshot->version++;
	/* So that it is seen before the level is put back. */
	turn(b);
	a->unbounded = way == NO_BUDGET;
	if (level->known)
		a->level = level->level;
	b->gap = 1 / rate;
	b->next = b->now;
	run_for(b, level->known ? WARM_UP_MS : FIRST_WARM_UP_MS);
	memset(&b->count, 0, sizeof(b->count));
	memset(b->wait, 0, sizeof(*b->wait));
	double start = b->now;

	run_for(b, b->ms);
	b->ran = b->now - start;
	double goodput = (double)sum(b->count.answered) / b->ran;

	*level = (struct level){a->level, true};
	hb_admission_open(a);
	/* What waits still is nobody's. */
	b->next = INFINITY;
	while (rte_ring_count(b->r->in) != 0)
		turn(b);
	return goodput;
}

/* ---- figures ------------------------------------------------------------------------- */

/* What became of each op's requests, in percent of those offered. */
static void
add_classes(struct bench *b, double load)
{
	for (unsigned op = HB_OP_SHAKE; op < HB_OPS; op++) {
		double all = (double)b->count.offered[op] / 100;
		const struct count *c = &b->count;

		results_add(&b->results, results_name("%s answered at %g", hb_op_name(op), load),
			"%", (double)c->answered[op] / all);
		results_add(&b->results, results_name("%s shed at %g", hb_op_name(op), load), "%",
			(double)c->shed[op] / all);
		results_add(&b->results,
			results_name("%s dropped by the NIC at %g", hb_op_name(op), load), "%",
			(double)c->dropped[op] / all);
	}
	results_add(&b->results, results_name("wait p50 at %g", load), "us",
		(double)hb_histogram_percentile(b->wait, 50) / 1000);
	results_add(&b->results, results_name("wait p99 at %g", load), "us",
		(double)hb_histogram_percentile(b->wait, 99) / 1000);
}

/* All ways at one load, beside each other, since what a shared machine has to give changes within a
 * second; each time in another order, since each leaves the caches to the next as it does. */
static void
run_load(struct bench *b, uint64_t round, unsigned i)
{
	double got[WAYS], rate = loads[i] * b->capacity, cost = 0;

	for (unsigned k = 0; k < WAYS; k++) {
		enum way way = (k * (round % 2 == 0 ? 1 : 3) + (unsigned)round / 2) % WAYS;

		got[way] = run(b, way == CAPACITY ? FULL_RATE : rate, way, &b->level[way][i]);
		if (way == AS_IT_IS)
			add_classes(b, loads[i]);
		if (way == NO_BUDGET)
			cost = (double)sum(b->count.shed) /
			       (b->ran - (double)sum(b->count.answered) / b->capacity);
	}
	for (enum way way = 0; way < CAPACITY; way++) {
		b->goodput[way][i][round] = 100 * got[way] / got[CAPACITY];
		results_add(&b->results, results_name("%s at %g", way_name[way], loads[i]),
			"% of capacity", b->goodput[way][i][round]);
	}
	b->capacity = got[CAPACITY];
	if (loads[i] == 10)
		results_add(
			&b->results, "a BUSY costs, of an answer", "%", 100 * got[CAPACITY] / cost);
}

static void
run_round(struct bench *b, uint64_t round)
{
	for (unsigned i = 0; i < HB_COUNT_OF(loads); i++)
		run_load(b, round, i);
	results_add(&b->results, "capacity", "cycles", 1 / b->capacity);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* The median of the first n, which come to stand in order. */
static double
median(double *v, uint64_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return (v[(n - 1) / 2] + v[n / 2]) / 2;
}

/* Whether it is as it should be; says what isn't. Beside what was answered in the same round by a
 * worker that sheds nobody and whose queue is never empty: more can't be. */
static bool
good(struct bench *b)
{
	static double ratio[ROUNDS_MAX];
	bool all = b->repeats_shed == 0 && b->repeats != 0;

	if (!all)
		fprintf(stderr, "bench_overload: %llu of %llu repeats of told wins were shed\n",
			(unsigned long long)b->repeats_shed, (unsigned long long)b->repeats);
	for (unsigned i = 0; i < HB_COUNT_OF(loads); i++) {
		for (uint64_t k = 0; k < b->rounds; k++)
			ratio[k] = 100 * b->goodput[AS_IT_IS][i][k] / b->goodput[NEVER_SHED][i][k];
		double held = median(ratio, b->rounds);

		if ((loads[i] != 2 && loads[i] != 5 && loads[i] != 10) || held >= LEAST_PERCENT)
			continue;
		all = false;
		fprintf(stderr,
			"bench_overload: at %g times capacity %.1f%% of what can be is answered\n",
			loads[i], held);
	}
	return all;
}

/* ---- setting up ---------------------------------------------------------------------- */

static void
set_up(struct bench *b)
{
	struct hb_error e;
	/* 2% of at most 30 million a second. */
	uint64_t ms = b->rounds * (b->ms + WARM_UP_MS) + FIRST_WARM_UP_MS;
	uint64_t wins = ms * WAYS * HB_COUNT_OF(loads) * 600;

	if (ringed_begin("bench_overload") != 0) {
		fprintf(stderr, "bench_overload: EAL does not start; its own lines stand above\n");
		exit(HB_EXIT_HOST);
	}
	b->wait = bed_alloc(sizeof(*b->wait), "the histogram");
	b->r = ringed_make(&(struct ringed_terms){.users = b->users * 2 + 1000,
				   .envelopes = (uint32_t)wins,
				   .odds = 0.02,
				   .descriptors = DESCRIPTORS},
		&e);
	if (b->r == NULL) {
		fprintf(stderr, "bench_overload: %s\n", e.text);
		exit(HB_EXIT_HOST);
	}
	hb_worker_begin(&b->r->worker);
}

int
main(int argc, char **argv)
{
	struct bench *b = bed_alloc(sizeof(*b), "itself");
	struct hb_progress p;
	bool json;

	b->users = 1000000;
	b->rounds = 41;
	b->ms = 5;
	b->next = INFINITY;
	options_read(argc, argv,
		(struct option_number[]){{"--users", &b->users, 1000, 100000000},
			{"--rounds", &b->rounds, 1, ROUNDS_MAX}, {"--ms", &b->ms, 2, 1000}},
		3, &json);
	results_begin(&b->results, (unsigned)b->rounds);
	set_up(b);
	struct level unknown = {0};

	b->capacity = run(b, FULL_RATE, CAPACITY, &unknown);
	hb_progress_begin(&p, "measuring", "rounds", b->rounds);
	for (uint64_t i = 0; i < b->rounds; i++) {
		run_round(b, i);
		hb_progress_update(&p, i + 1);
	}
	hb_progress_end(&p);
	results_note(json, "%llu repeats of told wins reached the worker, %llu of them were shed",
		(unsigned long long)b->repeats, (unsigned long long)b->repeats_shed);
	results_note(json, "%llu of %llu turns were interrupted by other work: not counted",
		(unsigned long long)b->interrupted, (unsigned long long)b->turns);
	results_end(&b->results, json);
	bool well = good(b);

	hb_worker_end(&b->r->worker);
	ringed_free(b->r);
	free(b->wait);
	free(b);
	return well ? HB_EXIT_OK : HB_EXIT_FAILED;
}
