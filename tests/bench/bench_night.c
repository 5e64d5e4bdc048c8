/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The night of 2015 at its full size, as a soak: 11.0 billion shakes of 100 million users for 120
 * million envelopes, each request made on the fly with its user's tag, decided by a worker on its
 * own core, and journalled on a real disk. The other core has the sender, which also reads every
 * reply, and the control core. A queue between them stands for the NIC; the sender waits while it
 * is full, so nobody is shed.
 *
 * usage: bench_night NEW-DIRECTORY [--requests N] [--users N] [--envelopes N] [--every SECONDS]
 *                    [--worker-cpu N] [--cpu N] [--json]
 *
 * A line every 10 s: what came back, wins, what the process has of memory. At the end, the books;
 * the journal stays in NEW-DIRECTORY for hongbao-audit.
 *
 * Exit code 1: the books are off, an envelope was told to two users, a reply is missing, or more
 * was told than is journalled.
 */
#include "hb_scenario.h"
#include "options.h"
#include "results.h"
#include "stage.h"

#include <errno.h>
#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define DESCRIPTORS 1024
#define SERVER                                                                                     \
	{                                                                                          \
		10, 0, 0, 1                                                                        \
	}
#define BASE_PORT 8192
/* How long replies are waited for when all is sent: a win's comes after the disk's flush. */
#define PATIENCE_NS (10 * 1000000000ull)
#define MEAN_FEN 500
/* The clock is read once in so many turns. */
#define LOOK_TURNS 1024

struct night {
	uint64_t requests, users, envelopes, every, worker_cpu, cpu;
	struct stage stage;
	struct hb_scenario *stream;
	struct hb_scenario_wire wire;
	struct hb_scenario_moulds moulds;
	uint32_t *owner; /* by envelope: the user who was told it */
	uint64_t sent, unanswerable, heard, by_status[HB_STATUSES], told, fen;
	uint64_t twice; /* envelopes that two users were told, or that there aren't */
	uint64_t start_ns, reported_ns, reported, heard_ns, first_kib;
	bool ended;
};

/* ---- requests ------------------------------------------------------------------------ */

static void
begin_stream(struct night *n)
{
	struct hb_scenario_options o;
	struct hb_error e;

	hb_scenario_defaults(&o);
	o.requests = n->requests;
	o.users = n->users;
	o.seed = 2015;
	o.campaign = RINGED_SHAKEN;
	if (hb_scenario_open(&n->stream, "gala-2015", &o, &e) != 0) {
		fprintf(stderr, "bench_night: %s\n", e.text);
		exit(HB_EXIT_HOST);
	}
	n->wire = (struct hb_scenario_wire){.keys = n->stage.r->config.keys,
		.src_mac = {2, 0, 0, 0, 0, 2},
		.dst_mac = {2, 0, 0, 0, 0, 1},
		.server_ip = SERVER,
		.base_port = BASE_PORT};
	hb_scenario_moulds(&n->moulds, &n->wire);
}

/* Makes a burst of requests and gives it to the worker, if there is room for one. */
static void
send_burst(struct night *n)
{
	struct ringed *r = n->stage.r;
	struct hb_scenario_item item[HB_BURST];
	struct rte_mbuf *m[HB_BURST];
	uint8_t *frame[HB_BURST];
	uint32_t bytes[HB_BURST];
	unsigned count = 0;

	if (rte_ring_free_count(r->in) < HB_BURST ||
		rte_pktmbuf_alloc_bulk(r->ports.pool, m, HB_BURST) != 0)
		return;
	while (count < HB_BURST && hb_scenario_next(n->stream, &item[count]))
		count++;
	for (unsigned i = 0; i < count; i++)
		frame[i] = rte_pktmbuf_mtod(m[i], uint8_t *);
	hb_scenario_frames(&n->wire, &n->moulds, item, count, frame, bytes);
	for (unsigned i = 0; i < count; i++) {
		m[i]->data_len = (uint16_t)bytes[i];
		m[i]->pkt_len = bytes[i];
		((struct ringed_note *)rte_mbuf_to_priv(m[i]))->user = item[i].request.user;
		n->unanswerable += (item[i].flags & HB_SCENARIO_FORGED) != 0;
	}
	rte_ring_sp_enqueue_bulk(r->in, (void **)m, count, NULL);
	n->sent += count;
	if (count == HB_BURST)
		return;
	n->ended = true;
	rte_pktmbuf_free_bulk(m + count, HB_BURST - count);
}

/* ---- replies ------------------------------------------------------------------------- */

/* A win was told: the same envelope only ever to the same user, who may ask again. */
static void
note_win(struct night *n, const uint8_t *reply, uint64_t user)
{
	uint64_t id = hb_be64(reply + 8);
	uint32_t number = hb_envelope_number(id);

	if (id != hb_envelope_id(RINGED_SHAKEN, number) || number == 0 || number > n->envelopes) {
		n->twice++;
	} else if (n->owner[number] == 0) {
		n->owner[number] = (uint32_t)user;
		n->told++;
		n->fen += hb_be32(reply + 16);
	} else if (n->owner[number] != user) {
		n->twice++;
	}
}

static unsigned
hear_burst(struct night *n)
{
	struct rte_mbuf *m[HB_BURST];
	unsigned count = ringed_take(n->stage.r, m, HB_BURST);

	for (unsigned i = 0; i < count; i++)
		__builtin_prefetch(ringed_reply(m[i]));
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *reply = ringed_reply(m[i]);

		if (reply[1] < HB_STATUSES)
			n->by_status[reply[1]]++;
		if (HB_UNLIKELY(reply[1] == HB_WIN))
			note_win(n, reply, ringed_note_of(m[i]).user);
	}
	if (count != 0)
		rte_pktmbuf_free_bulk(m, count);
	n->heard += count;
	return count;
}

/* ---- the night ----------------------------------------------------------------------- */

/* KiB of this process that are in memory, hugepages left out. */
static uint64_t
resident_kib(void)
{
	unsigned long long all, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f != NULL) {
		if (fscanf(f, "%llu %llu", &all, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	return resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void
report(struct night *n, uint64_t now)
{
	uint64_t kib = resident_kib();
	double seconds = (double)(now - n->reported_ns) / 1e9;

	if (n->first_kib == 0)
		n->first_kib = kib;
	fprintf(stderr,
		"%8.0f s  %14llu answered  %10.0f/s  %11llu envelopes told  %12llu journalled  "
		"%llu KiB\n",
		(double)(now - n->start_ns) / 1e9, (unsigned long long)n->heard,
		(double)(n->heard - n->reported) / seconds, (unsigned long long)n->told,
		(unsigned long long)hb_read(&n->stage.control.ledger[0].journalled),
		(unsigned long long)kib);
	n->reported_ns = now;
	n->reported = n->heard;
}

static bool
is_over(struct night *n, uint64_t now)
{
	if (n->heard != n->reported || n->heard_ns == 0)
		n->heard_ns = now;
	return n->ended &&
	       (n->heard == n->sent - n->unanswerable || now - n->heard_ns > PATIENCE_NS);
}

static void
play(struct night *n)
{
	n->start_ns = n->reported_ns = hb_mono_ns();
	for (uint64_t turn = 1;; turn++) {
		if (!n->ended)
			send_burst(n);
		while (hear_burst(n) == HB_BURST)
			;
		if (turn % LOOK_TURNS != 0 && !n->ended)
			continue;
		uint64_t now = hb_mono_ns();

		if (is_over(n, now))
			return;
		if (now - n->reported_ns >= n->every * 1000000000)
			report(n, now);
	}
}

/* Whether all is as it must be; says what isn't. */
static bool
good(struct night *n)
{
	uint64_t journalled = hb_read(&n->stage.control.ledger[0].journalled);
	uint64_t missing = n->sent - n->unanswerable - n->heard;
	int err = stage_finish(&n->stage);

	if (err != 0)
		fprintf(stderr, "bench_night: %s\n", n->stage.e.text);
	if (n->twice != 0)
		fprintf(stderr, "bench_night: %llu wins name an envelope that is another user's\n",
			(unsigned long long)n->twice);
	if (missing != 0)
		fprintf(stderr, "bench_night: %llu requests have no reply\n",
			(unsigned long long)missing);
	if (n->told > journalled)
		fprintf(stderr, "bench_night: %llu envelopes told, %llu journalled\n",
			(unsigned long long)n->told, (unsigned long long)journalled);
	return err == 0 && n->twice == 0 && missing == 0 && n->told <= journalled;
}

static void
print(struct night *n, bool json)
{
	struct results r;
	double seconds = (double)(hb_mono_ns() - n->start_ns) / 1e9;

	results_begin(&r, 1);
	results_add(&r, "requests", "requests", (double)n->sent);
	results_add(&r, "it took", "s", seconds);
	results_add(&r, "answered", "requests/s", (double)n->heard / seconds);
	results_add(&r, "envelopes told", "envelopes", (double)n->told);
	results_add(&r, "money told", "fen", (double)n->fen);
	results_add(&r, "memory grew by", "KiB", (double)resident_kib() - (double)n->first_kib);
	for (unsigned s = 0; s < HB_STATUSES; s++) {
		if (n->by_status[s] != 0)
			results_add(&r, hb_status_name(s), "replies", (double)n->by_status[s]);
	}
	results_end(&r, json);
}

int
main(int argc, char **argv)
{
	static struct night n = {.requests = 11000000000,
		.users = 100000000,
		.envelopes = 120000000,
		.every = 10,
		.worker_cpu = 0,
		.cpu = 1};
	bool json;

	if (argc < 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: bench_night NEW-DIRECTORY [--requests N] ...\n");
		return HB_EXIT_USAGE;
	}
	options_read(argc - 1, argv + 1,
		(struct option_number[]){{"--requests", &n.requests, 1, HB_SCENARIO_REQUESTS_MAX},
			{"--users", &n.users, 1, UINT32_MAX},
			{"--envelopes", &n.envelopes, 1, 1u << 30}, {"--every", &n.every, 1, 3600},
			{"--worker-cpu", &n.worker_cpu, 0, 1023}, {"--cpu", &n.cpu, 0, 1023}},
		6, &json);
	if (access(argv[1], F_OK) == 0) {
		fprintf(stderr, "bench_night: '%s' is there already; name a new directory\n",
			argv[1]);
		return HB_EXIT_USAGE;
	}
	stage_begin("bench_night", (unsigned)n.cpu, (unsigned)n.worker_cpu);
	n.owner = calloc(n.envelopes + 1, sizeof(*n.owner));
	stage_make(&n.stage, (struct stage_terms){.ring = {.users = n.users,
							  .envelopes = (uint32_t)n.envelopes,
							  .odds = 0.0125,
							  .descriptors = DESCRIPTORS,
							  .total = n.envelopes * MEAN_FEN,
							  .wins_per_user = 3},
				     .journal = argv[1],
				     .control_cpu = (unsigned)n.cpu});
	/* The sender waits where a NIC would drop. */
	n.stage.r->snapshot->shed = false;
	begin_stream(&n);
	/* Every page is there from now on, so that what grows is seen. */
	if (mlockall(MCL_CURRENT) != 0)
		fprintf(stderr,
			"bench_night: memory cannot be locked (%s): the sender's own will "
			"seem to grow\n",
			strerror(errno));
	stage_launch(&n.stage);
	play(&n);
	bool well = good(&n);

	print(&n, json);
	hb_scenario_close(n.stream);
	stage_free(&n.stage);
	free(n.owner);
	return well ? HB_EXIT_OK : HB_EXIT_FAILED;
}
