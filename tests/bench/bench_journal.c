/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The journal's two figures on a real disk: durable wins a second through one control core, with
 * the time of a batch beside the disk's own flush of as many bytes in the same run; and how fast a
 * start reads them back, beside the disk's own reading in the same run. A journal that an earlier
 * run with as many wins left in the directory is only read back. A thread makes the records, as
 * fast as the ring takes them; the control core is this one.
 */
#include "hb_recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CAMPAIGN 7
#define SAMPLES_MAX (1u << 20)
#define FLUSHES 400

struct bench {
	struct hb_campaign_config campaign;
	struct hb_envelopes envelopes;
	struct hb_disk_directory directory;
	struct hb_journal journal;
	struct hb_journal_reader reader;
	struct hb_control control;
	struct hb_recovery recovery;
	struct hb_link link;
	struct hb_link *links[1];
	struct hb_engine engine;
	struct hb_engine *engines[1];
	struct hb_worker_stats stats;
	uint8_t drained[1];
	const char *path;
	double *sample;
	unsigned samples;
	struct hb_error e;
};

static void
must(const struct bench *b, int err)
{
	if (err >= 0)
		return;
	fprintf(stderr, "bench_journal: %s\n", b->e.text);
	exit(HB_EXIT_FAILED);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void
print_times(const char *what, double *ms, unsigned n)
{
	qsort(ms, n, sizeof(*ms), by_value);
	printf("%-28s p50 %7.3f ms   p99 %7.3f ms   (%u)\n", what, ms[n / 2], ms[n * 99ull / 100],
		n);
}

static void
set_up(struct bench *b)
{
	struct hb_engine_terms engine = {
		.campaigns = 1, .workers = 1, .users = b->campaign.terms.count, .seed = 1};
	struct hb_control_terms control = {.journal = &b->journal,
		.links = b->links,
		.drained = b->drained,
		.workers = 1,
		.campaigns = 1};

	b->links[0] = &b->link;
	b->engines[0] = &b->engine;
	must(b, hb_disk_open(&b->directory, b->path, &b->e));
	must(b, hb_link_make(&b->link, 1, b->drained, &b->e));
	must(b, hb_engine_make(&b->engine, &engine, &b->link, &b->stats, &b->e));
	must(b, hb_control_make(&b->control, &control, &b->e));
	must(b, hb_recovery_begin(&b->recovery, &b->control, b->engines, &b->envelopes,
			&b->campaign, 1, &b->e));
}

static void
tear_down(struct bench *b)
{
	hb_journal_end(&b->journal);
	hb_recovery_free(&b->recovery);
	hb_control_free(&b->control);
	hb_engine_free(&b->engine);
	hb_link_free(&b->link);
	hb_envelopes_free(&b->envelopes);
	hb_disk_close(&b->directory);
}

/* ---- writing ------------------------------------------------------------------------- */

static void *
make_wins(void *arg)
{
	struct bench *b = arg;
	struct hb_record r[HB_BURST];

	for (uint32_t number = 1; number <= b->campaign.terms.count;) {
		unsigned n = 0;

		for (; n < HB_BURST && number <= b->campaign.terms.count; n++, number++)
			r[n] = (struct hb_record){
				.type = HB_RECORD_WIN,
				.op = HB_OP_SHAKE,
				.campaign = CAMPAIGN,
				.seq = 1,
				.user = number * 0x9E3779B97F4A7C15ULL | 1,
				.id = hb_envelope_id(CAMPAIGN, number),
				.amount = b->envelopes.of[number - 1].amount,
				.time_us = 1,
			};
		while (rte_ring_sp_enqueue_bulk_elem(b->link.records, r, sizeof(r[0]), n, NULL) ==
			0)
			;
	}
	return NULL;
}

static void
write_wins(struct bench *b)
{
	uint64_t total = b->campaign.terms.count, start = hb_mono_ns();
	struct hb_progress progress;
	pthread_t thread;

	must(b, hb_journal_begin(&b->journal, &b->directory.disk, 1, 0, &b->e));
	must(b, hb_recovery_finish(&b->recovery, 1, 1, &b->e));
	hb_progress_begin(&progress, "writing", "wins", total);
	start = hb_mono_ns();
	if (pthread_create(&thread, NULL, make_wins, b) != 0)
		exit(HB_EXIT_HOST);
	while (b->control.records < total && b->control.disk_error == 0) {
		if (hb_control_step(&b->control, hb_mono_ns()) == 0)
			continue;
		if (b->samples < SAMPLES_MAX)
			b->sample[b->samples++] = (double)b->journal.flush_ns / 1e6;
		hb_progress_update(&progress, b->control.records);
	}
	hb_progress_end(&progress);
	if (b->control.disk_error != 0) {
		fprintf(stderr, "bench_journal: %s: %s; name a directory with room\n", b->path,
			strerror(-b->control.disk_error));
		exit(HB_EXIT_FAILED);
	}
	double seconds = (double)(hb_mono_ns() - start) / 1e9;
	pthread_join(thread, NULL);
	printf("%llu wins durable in %.2f s: %.0f a second, %.0f a batch\n",
		(unsigned long long)total, seconds, (double)total / seconds,
		(double)total / (double)b->control.batches);
	print_times("a batch, written and flushed", b->sample, b->samples);
}

/* The disk's own: the same call on a file beside, of as many bytes as an average batch. */
static void
flush_alone(struct bench *b)
{
	static double ms[FLUSHES];
	uint64_t bytes = b->journal.record * sizeof(struct hb_record) / b->control.batches;
	uint32_t block = b->directory.disk.block;
	void *buffer;

	bytes = (bytes + block - 1) / block * block;
	int handle = b->directory.disk.create(&b->directory, "beside", FLUSHES * bytes);
	if (handle < 0 || posix_memalign(&buffer, 4096, bytes) != 0)
		exit(HB_EXIT_FAILED);
	memset(buffer, 1, bytes);
	for (unsigned i = 0; i < FLUSHES; i++) {
		uint64_t start = hb_mono_ns();

		b->directory.disk.write(&b->directory, handle, buffer, bytes, i * bytes);
		b->directory.disk.flush(&b->directory, handle);
		ms[i] = (double)(hb_mono_ns() - start) / 1e6;
	}
	b->directory.disk.close(&b->directory, handle, 0);
	b->directory.disk.remove(&b->directory, "beside");
	free(buffer);
	printf("the disk alone, %6llu bytes: ", (unsigned long long)bytes);
	print_times("", ms, FLUSHES);
}

/* ---- reading back -------------------------------------------------------------------- */

/* The disk's own: every segment loaded by the same call, with nothing else running. */
static double
load_alone(struct bench *b)
{
	struct hb_disk *disk = &b->directory.disk;
	uint64_t start = hb_mono_ns(), total = 0, bytes;
	uint32_t count, last;
	uint8_t *buffer;
	char name[32];

	if (disk->list(disk->context, &count, &last) != 0)
		exit(HB_EXIT_FAILED);
	for (uint32_t number = 1; number <= last; number++) {
		snprintf(name, sizeof(name), "%08u.hbj", number);
		if (disk->load(disk->context, name, &buffer, &bytes) != 0)
			exit(HB_EXIT_FAILED);
		total += bytes;
		disk->recycle(disk->context, buffer, bytes);
	}
	return (double)total * 1e3 / (double)(hb_mono_ns() - start);
}

static void
read_back(struct bench *b)
{
	double before = load_alone(b);
	uint64_t start = hb_mono_ns();

	must(b, hb_journal_read_disk(&b->reader, &b->directory.disk, b->path, &b->e));
	must(b, hb_recovery_read(&b->recovery, &b->reader, true, "reading back", &b->e));
	must(b, hb_journal_resume(&b->journal, &b->directory.disk, &b->reader, 0, &b->e));
	must(b, hb_recovery_finish(&b->recovery, 1, 1, &b->e));
	double seconds = (double)(hb_mono_ns() - start) / 1e9,
	       rate = (double)b->reader.read_bytes / 1e6 / seconds, after = load_alone(b);
	printf("%llu wins read back in %.2f s: %.0f MB/s (user table in %s pages)\n",
		(unsigned long long)b->recovery.wins, seconds, rate,
		b->engine.users.rows_mem.pages >= HB_PAGES_2M ? "huge" : "ordinary");
	printf("the disk alone: %.0f MB/s before, %.0f MB/s after: %.2f of the better one\n",
		before, after, rate / (before > after ? before : after));
	hb_journal_read_end(&b->reader);
}

static bool
journal_there(struct bench *b)
{
	uint32_t count, last;

	return b->directory.disk.list(b->directory.disk.context, &count, &last) == 0 && count > 0;
}

int
main(int argc, char **argv)
{
	struct bench *b = aligned_alloc(
		HB_CACHE_LINE, (sizeof(*b) + HB_CACHE_LINE - 1) / HB_CACHE_LINE * HB_CACHE_LINE);
	uint64_t wins;

	if (argc != 3 || hb_parse_u64(argv[2], 1, 1000000000, &wins) != 0 || b == NULL) {
		fprintf(stderr, "usage: bench_journal DIRECTORY WINS\n");
		return HB_EXIT_USAGE;
	}
	memset(b, 0, sizeof(*b));
	b->path = argv[1];
	b->campaign = (struct hb_campaign_config){.id = CAMPAIGN,
		.name = "bench",
		.wins_per_user = 1,
		.terms = {.count = (uint32_t)wins, .total = wins * 100, .split = HB_SPLIT_LUCKY}};
	b->sample = malloc(SAMPLES_MAX * sizeof(*b->sample));
	set_up(b);
	if (!journal_there(b)) {
		write_wins(b);
		flush_alone(b);
		tear_down(b);
		set_up(b);
	}
	read_back(b);
	tear_down(b);
	free(b->sample);
	free(b);
	return HB_EXIT_OK;
}
