/* SPDX-License-Identifier: BSD-3-Clause */
#include "stage.h"

#include "live.h"

#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* For frames and rings; the engine's tables are hb_mem's own. */
#define EAL_MEGABYTES "256"

static void
must(const struct stage *s, int err)
{
	if (err == 0)
		return;
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, s->e.text);
	exit(err == -ENOMEM ? HB_EXIT_HOST : HB_EXIT_FAILED);
}

void
stage_begin(const char *program, unsigned main_cpu, unsigned second_cpu)
{
	char lcores[64];
	const char *arg[] = {program, "--no-huge", "--no-pci", "--no-telemetry", "--no-shconf",
		"-m", EAL_MEGABYTES, "--log-level", "error", "--lcores", lcores};
	char *copy[HB_COUNT_OF(arg) + 1] = {0};

	if (main_cpu == second_cpu)
		snprintf(lcores, sizeof(lcores), "0@%u", main_cpu);
	else
		snprintf(lcores, sizeof(lcores), "0@%u,1@%u", main_cpu, second_cpu);
	for (unsigned i = 0; i < HB_COUNT_OF(arg); i++)
		copy[i] = (char *)(uintptr_t)arg[i];
	if (rte_eal_init(HB_COUNT_OF(arg), copy) < 0 || hb_wire_init() != 0) {
		fprintf(stderr, "%s: EAL does not start; its own lines stand above\n", program);
		exit(HB_EXIT_HOST);
	}
}

/* ---- the control core ---------------------------------------------------------------- */

static void *
run_control(void *arg)
{
	struct stage *s = arg;

	live_pin(s->control_cpu);
	hb_thread_prompt();
	live_control(&s->control, UINT64_MAX, &s->stop);
	return NULL;
}

void
stage_make(struct stage *s, struct stage_terms t)
{
	struct hb_control_terms control = {.journal = &s->journal,
		.links = (struct hb_link *const *)&s->link,
		.workers = 1,
		.campaigns = 1,
		.gather_ns = HB_GATHER_NS,
		.wall_clock = true};

	*s = (struct stage){.control_cpu = t.control_cpu};
	t.ring.shaken_alone = t.ring.dealt = true;
	s->r = ringed_make(&t.ring, &s->e);
	must(s, s->r == NULL ? -ENOMEM : 0);
	s->link = &s->r->worker.link;
	s->engine = &s->r->worker.engine;
	control.drained = s->r->drained;
	must(s, hb_disk_open(&s->directory, t.journal, &s->e));
	must(s, hb_control_make(&s->control, &control, &s->e));
	must(s, hb_recovery_begin(&s->recovery, &s->control, &s->engine, s->r->envelopes,
			s->r->campaign, 1, &s->e));
	must(s, hb_journal_begin(&s->journal, &s->directory.disk, 1, 0, &s->e));
	must(s, hb_recovery_finish(&s->recovery, 1, hb_wall_us(), &s->e));
	if (pthread_create(&s->thread, NULL, run_control, s) != 0) {
		hb_fail(&s->e, EAGAIN, "no thread for the control core");
		must(s, -EAGAIN);
	}
}

void
stage_launch(struct stage *s)
{
	s->launched = true;
	rte_eal_remote_launch(hb_worker_run, &s->r->worker, 1);
}

/* Until nothing is parked and no envelope is on its way. */
static void
come_to_rest(struct stage *s)
{
	bool rested = false;

	hb_control_close(&s->control);
	while (!rested && s->control.disk_error == 0) {
		if (!s->launched)
			hb_worker_turn(&s->r->worker);
		rested = hb_control_step(&s->control, hb_mono_ns()) == 0 &&
			 hb_read(&s->link->parked) == 0 && hb_control_closed(&s->control);
	}
}

int
stage_finish(struct stage *s)
{
	__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
	pthread_join(s->thread, NULL);
	__atomic_store_n(&s->r->worker.phase, HB_PHASE_FINISH, __ATOMIC_RELAXED);
	come_to_rest(s);
	__atomic_store_n(&s->r->worker.phase, HB_PHASE_LEAVE, __ATOMIC_RELAXED);
	if (s->launched)
		rte_eal_wait_lcore(1);
	else
		hb_worker_end(&s->r->worker);
	if (s->control.disk_error != 0)
		return hb_fail(&s->e, -s->control.disk_error, "the journal's disk: %s",
			strerror(-s->control.disk_error));
	return hb_control_balanced(&s->control, &s->e) ? 0 : -EIO;
}

void
stage_free(struct stage *s)
{
	hb_journal_end(&s->journal);
	hb_recovery_free(&s->recovery);
	hb_control_free(&s->control);
	hb_disk_close(&s->directory);
	ringed_free(s->r);
}
