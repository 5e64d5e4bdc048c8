/* SPDX-License-Identifier: BSD-3-Clause */
#include "live.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define IDLE_TURNS 256
#define IDLE_SLEEP_US 20

static void
must(const struct live *l, int err)
{
	if (err == 0)
		return;
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, l->e.text);
	exit(HB_EXIT_FAILED);
}

static void
make_worker(struct live *l, unsigned i, uint64_t users)
{
	struct hb_engine_terms terms = {.campaigns = 1,
		.workers = l->workers,
		.users = users / l->workers + users / 100 + 1000,
		.seed = 1};

	l->stats[i] = (struct hb_worker_stats){0};
	l->links[i] = &l->link[i];
	l->engines[i] = &l->engine[i];
	must(l, hb_link_make(&l->link[i], 1, l->drained, &l->e));
	must(l, hb_engine_make(&l->engine[i], &terms, &l->link[i], &l->stats[i], &l->e));
}

void
live_start(struct live *l, const char *path, unsigned workers, uint64_t users, uint32_t envelopes)
{
	struct hb_control_terms control = {.journal = &l->journal,
		.links = l->links,
		.drained = l->drained,
		.workers = workers,
		.campaigns = 1,
		.gather_ns = HB_GATHER_NS};

	l->path = path;
	l->workers = workers;
	l->drained[0] = 0;
	l->campaign = (struct hb_campaign_config){.id = LIVE_CAMPAIGN,
		.name = "bench",
		.closes_us = UINT64_MAX,
		.odds = 0.02,
		.wins_per_user = HB_USER_WINS_MAX,
		.terms = {.count = envelopes, .total = envelopes * 25ull, .split = HB_SPLIT_LUCKY}};
	l->config = (struct hb_config){.slices = UINT32_MAX,
		.campaign = &l->campaign,
		.campaigns = 1,
		.workers = workers,
		.keys = l->config.keys};
	must(l, hb_disk_open(&l->directory, path, &l->e));
	for (unsigned i = 0; i < workers; i++)
		make_worker(l, i, users);
	must(l, hb_control_make(&l->control, &control, &l->e));
	must(l, hb_recovery_begin(&l->recovery, &l->control, l->engines, &l->envelopes,
			&l->campaign, 1, &l->e));
	must(l, hb_journal_begin(&l->journal, &l->directory.disk, 1, 0, &l->e));
	must(l, hb_recovery_finish(&l->recovery, 1, 1, &l->e));
	l->snapshot = hb_snapshot_make(&l->config);
	if (l->snapshot == NULL)
		exit(HB_EXIT_HOST);
}

void
live_control(struct hb_control *c, uint64_t until_ns, const bool *stop)
{
	unsigned idle = 0;

	for (uint64_t now = hb_mono_ns(); now < until_ns; now = hb_mono_ns()) {
		if (stop != NULL && __atomic_load_n(stop, __ATOMIC_ACQUIRE))
			return;
		if (hb_control_step(c, now) != 0)
			idle = 0;
		else if (++idle >= IDLE_TURNS)
			usleep(IDLE_SLEEP_US);
	}
}

static void
settle_all(struct live *l)
{
	hb_control_close(&l->control);
	while (hb_control_step(&l->control, hb_mono_ns()) != 0)
		;
	if (!hb_control_balanced(&l->control, &l->e) || l->control.disk_error != 0)
		must(l, -EIO);
}

void
live_stop(struct live *l)
{
	char command[PATH_MAX + 32];

	settle_all(l);
	hb_snapshot_free(l->snapshot);
	hb_journal_end(&l->journal);
	hb_recovery_free(&l->recovery);
	hb_control_free(&l->control);
	hb_envelopes_free(&l->envelopes);
	hb_disk_close(&l->directory);
	for (unsigned i = 0; i < l->workers; i++) {
		hb_engine_free(&l->engine[i]);
		hb_link_free(&l->link[i]);
	}
	snprintf(command, sizeof(command), "rm -r -- '%s'", l->path);
	if (system(command) != 0)
		exit(HB_EXIT_FAILED);
}

void
live_pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}
