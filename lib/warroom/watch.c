/* SPDX-License-Identifier: BSD-3-Clause */
/* What is wrong: one alert for each thing, saying what to do. */
#include "warroom_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define AT(field) offsetof(struct hb_worker_stats, field)

/* After so long the disk is behind, and so long later nobody gets a win any more. */
#define UNDURABLE_S 2
#define UNDURABLE_LONG_S 10
#define UNSETTLED_S 60
#define UNSETTLED_LONG_S 600
/* A worker that makes no turns, or doesn't see the configuration, for so long. */
#define SILENT_S 3
#define MISDIRECTED_PERCENT 1.0
/* Of so few a share says nothing. */
#define MISDIRECTED_LEAST_PER_SECOND 100
#define LOW_S 60
#define DRY_S 3
#define STEP_US 500000
#define STEP_SHOWN_S 60
#define LATE_S 2

int
watch_make(struct watch *k, const struct hb_view *v)
{
	k->slots = v->control->campaigns;
	k->users_refused = calloc(v->n_workers + 1u, sizeof(*k->users_refused));
	k->packets_refused = calloc(v->n_workers + 1u, sizeof(*k->packets_refused));
	k->behind_s = calloc(v->n_workers + 1u, sizeof(*k->behind_s));
	k->dry = calloc(k->slots + 1ull, sizeof(*k->dry));
	k->dry_s = calloc(k->slots + 1ull, sizeof(*k->dry_s));
	return k->users_refused == NULL || k->packets_refused == NULL || k->behind_s == NULL ||
			       k->dry == NULL || k->dry_s == NULL
		       ? -ENOMEM
		       : 0;
}

void
watch_free(struct watch *k)
{
	free(k->users_refused);
	free(k->packets_refused);
	free(k->behind_s);
	free(k->dry);
	free(k->dry_s);
}

/* "overload.3" */
static const char *
numbered(char out[32], const char *word, unsigned n)
{
	snprintf(out, 32, "%s.%u", word, n);
	return out;
}

/* ---- disk and settlement ------------------------------------------------------------- */

static void
watch_disk(struct hb_warroom *w, const struct hb_config *c)
{
	struct hb_alerts *a = &w->alerts;
	int err = HB_SEE(w->view->control->disk_error);
	uint64_t age = w->undurable_age_s;

	if (err == -ENOSPC)
		hb_alerts_raise(a, "disk_full", HB_CRITICAL,
			"make room on the journal's disk: df -h; wins go on by themselves",
			"the disk of %s is full: no more wins are given", c->journal);
	else if (err != 0)
		hb_alerts_raise(a, "disk_failed", HB_CRITICAL,
			"see dmesg; mend or replace the disk, then restart hongbaod: nothing that "
			"was told is lost",
			"the disk of %s failed (%s): no more wins are given", c->journal,
			strerror(-err));
	if (age >= UNDURABLE_S)
		hb_alerts_raise(a, "undurable", age < UNDURABLE_LONG_S ? HB_WARNING : HB_CRITICAL,
			"hongbaoctl journal; see what else writes to that disk: iostat -x 1",
			"%llu wins wait for the disk, the oldest for %llu s",
			(unsigned long long)w->undurable, (unsigned long long)age);
}

static void
watch_room(struct hb_warroom *w, const struct hb_config *c)
{
	const struct hb_watch *room = w->view->watch;

	if (room == NULL || !room->known || room->room == HB_ROOM_GOOD)
		return;
	hb_alerts_raise(&w->alerts, "disk_room",
		room->room == HB_ROOM_LITTLE ? HB_CRITICAL : HB_WARNING,
		"make room: df -h; with archive: in its file, hongbao-settle moves settled "
		"segments",
		"the disk of %s has %llu MiB left, and the journal grows by %llu KiB a second",
		c->journal, (unsigned long long)(room->free_bytes >> 20),
		(unsigned long long)(room->bytes_per_second >> 10));
}

static void
watch_settled(struct hb_warroom *w)
{
	uint64_t age = w->unsettled_age_s;

	if (!w->settlement.known || age < UNSETTLED_S)
		return;
	hb_alerts_raise(&w->alerts, "settlement_lag",
		age < UNSETTLED_LONG_S ? HB_WARNING : HB_CRITICAL,
		"see what hongbao-settle says, and whether PostgreSQL answers",
		"%.0f records are not settled, the oldest for %llu s", w->rate[HB_COLUMN_UNSETTLED],
		(unsigned long long)age);
}

/* ---- workers ------------------------------------------------------------------------- */

/* Whether it has made no turn for SILENT_S. */
static bool
is_silent(const struct hb_warroom *w, unsigned worker)
{
	struct hb_span s = hb_span_of(w->view, SILENT_S);

	return s.seconds >= SILENT_S - 0.5 &&
	       hb_counter_of(&s.from->worker[worker], AT(polls)) ==
		       hb_counter_of(&s.to->worker[worker], AT(polls));
}

static void
watch_turns(struct hb_warroom *w, unsigned i)
{
	const struct hb_worker *of = w->view->workers[i];
	uint64_t version = hb_view_version(w->view);
	unsigned *behind = &w->watch.behind_s[i];
	char id[32];

	*behind = HB_SEE(of->stats.version) < version ? *behind + 1 : 0;
	if (is_silent(w, i))
		hb_alerts_raise(&w->alerts, numbered(id, "silent", i), HB_CRITICAL,
			"see what else runs on its CPU, and dmesg; users of its lanes get no "
			"answer",
			"worker %u has made no turn for %u s or more", i, SILENT_S);
	else if (*behind >= SILENT_S)
		hb_alerts_raise(&w->alerts, numbered(id, "behind", i), HB_CRITICAL,
			"hongbaoctl stats; if it stays so, drain and restart",
			"worker %u works with version %llu of the configuration, not %llu", i,
			(unsigned long long)HB_SEE(of->stats.version), (unsigned long long)version);
}

static void
watch_tables(struct hb_warroom *w, unsigned i)
{
	const struct hb_engine *e = &w->view->workers[i]->engine;
	uint64_t users = HB_SEE(e->users.refused), packets = HB_SEE(e->packets.refused);
	char id[32];

	if (users > w->watch.users_refused[i])
		hb_alerts_raise(&w->alerts, numbered(id, "users_full", i), HB_CRITICAL,
			"restart with a greater users: in the configuration",
			"worker %u's table of users is full of winners: new users are told BUSY",
			i);
	if (packets > w->watch.packets_refused[i])
		hb_alerts_raise(&w->alerts, numbered(id, "packets_full", i), HB_CRITICAL,
			"restart with a greater packets: in the configuration",
			"worker %u has no room for another group packet: PACK is told BUSY", i);
	w->watch.users_refused[i] = users;
	w->watch.packets_refused[i] = packets;
}

static void
watch_workers(struct hb_warroom *w)
{
	struct hb_span s = hb_span_of(w->view, 1);
	char id[32];

	for (unsigned i = 0; i < w->view->n_workers; i++) {
		uint64_t level = hb_admission_of(&w->view->workers[i]->stats);

		watch_turns(w, i);
		watch_tables(w, i);
		if (level >= 1000)
			continue;
		double shed = 0;
		for (unsigned op = 0; op < HB_OPS; op++)
			shed += hb_rate_of(&s, i, AT(shed) + op * sizeof(uint64_t));
		hb_alerts_raise(&w->alerts, numbered(id, "overload", i), HB_WARNING,
			"hongbaoctl config apply campaign ID wait=MS tells clients to wait longer; "
			"more workers need a restart",
			"worker %u is overloaded: it lets in %.1f%%, and sheds %.0f requests a "
			"second",
			i, (double)level / 10, shed);
	}
}

/* ---- requests that go wrong ---------------------------------------------------------- */

static void
watch_steering(struct hb_warroom *w)
{
	struct hb_span s = hb_span_of(w->view, RECENT_S);
	unsigned all = w->view->n_workers;
	double received = hb_rate_of(&s, all, AT(received));
	double wrong = hb_rate_of(&s, all, AT(misdirected));

	if (received < MISDIRECTED_LEAST_PER_SECOND ||
		100 * wrong <= MISDIRECTED_PERCENT * received)
		return;
	hb_alerts_raise(&w->alerts, "misdirected", HB_WARNING,
		"hongbaoctl steering; see whether the NIC's RSS key and RETA were changed",
		"%.1f%% of the requests come to another worker than RSS should bring them to",
		100 * wrong / received);
}

static void
watch_rings(struct hb_warroom *w)
{
	static const struct {
		const char *id, *text, *remedy;
		unsigned reason;
	} of[] = {
		{"ring_full", "requests are dropped: rings between workers are full",
			"hongbaoctl stats; see which worker is at 100% and why it gets so many by "
			"hand-over",
			HB_DROP_HANDOVER},
		{"pass_full", "replies are dropped: rings between workers are full",
			"hongbaoctl stats", HB_DROP_PASS},
		{"control_full", "ARP and ping are dropped: the control core is behind",
			"see what else runs on the control core's CPU", HB_DROP_CONTROL},
		{"transmit_full", "replies are dropped: the NIC doesn't take them",
			"hongbaoctl steering; see the link's speed and pause frames", HB_DROP_TX},
	};
	struct hb_span s = hb_span_of(w->view, RECENT_S);

	for (unsigned i = 0; i < HB_COUNT_OF(of); i++) {
		double rate = hb_rate_of(
			&s, w->view->n_workers, AT(dropped) + of[i].reason * sizeof(uint64_t));

		if (rate > 0)
			hb_alerts_raise(&w->alerts, of[i].id, HB_WARNING, of[i].remedy,
				"%s, %.1f a second", of[i].text, rate);
	}
}

static void
watch_ports(struct hb_warroom *w)
{
	struct hb_span s = hb_span_of(w->view, RECENT_S);
	char id[32];

	for (unsigned i = 0; i < w->view->ports->count; i++) {
		const struct hb_port *p = &w->view->ports->port[i];

		if (HB_SEE(p->seen) && !HB_SEE(p->up))
			hb_alerts_raise(&w->alerts, numbered(id, "link_down", i), HB_CRITICAL,
				"see cable and switch port; hongbaoctl steering",
				"the link of port %u (%s) is down", i, p->name);
		if (s.seconds <= 0)
			continue;
		const struct hb_port_lost *a = &s.from->lost[i], *b = &s.to->lost[i];
		double lost = hb_rate(&s, a->missed + a->no_buffer, b->missed + b->no_buffer);
		if (lost > 0)
			hb_alerts_raise(&w->alerts, numbered(id, "device_lost", i), HB_WARNING,
				"hongbaoctl stats; workers at 100% need help: more of them, or "
				"longer waits for clients",
				"port %u (%s) loses %.0f frames a second before a worker sees them",
				i, p->name, lost);
	}
}

/* ---- campaigns ----------------------------------------------------------------------- */

/* Whether cores run dry and get nothing, though envelopes are left. */
static bool
is_stuck(struct hb_warroom *w, uint32_t slot, double rate)
{
	struct watch *k = &w->watch;
	uint64_t dry;

	if (slot >= k->slots)
		return false;
	if (rate > 0) {
		k->dry_s[slot] = 0;
		return false;
	}
	dry = hb_campaign_facts(w->view, slot).dry;
	k->dry_s[slot] = dry > k->dry[slot] ? k->dry_s[slot] + 1 : 0;
	k->dry[slot] = dry;
	return k->dry_s[slot] >= DRY_S;
}

static void
watch_open(struct hb_warroom *w, const struct hb_config *c, const struct hb_campaign_config *of,
	const struct hb_span *ten)
{
	uint64_t left = hb_campaign_ledger(w->view, of->slot).left;
	double rate = hb_rate_given(ten, of->slot), in_s = rate > 0 ? (double)left / rate : 0;
	bool stays = c->clock != HB_CLOCK_WALL ||
		     (double)of->closes_us / 1e6 > (double)w->time_us / 1e6 + in_s;
	char id[32], remedy[128];

	if (rate > 0 && in_s < LOW_S && stays) {
		snprintf(remedy, sizeof(remedy), "hongbaoctl campaign top-up %u count=N total=FEN",
			of->id);
		hb_alerts_raise(&w->alerts, numbered(id, "campaign_low", of->id), HB_WARNING,
			remedy, "campaign %u (%s) will be empty in %.0f s, before it closes",
			of->id, of->name, in_s);
	}
	if (is_stuck(w, of->slot, rate))
		hb_alerts_raise(&w->alerts, numbered(id, "campaign_dry", of->id), HB_WARNING,
			"hongbaoctl pool; see whether the control core turns: hongbaoctl journal",
			"campaign %u (%s) gives nothing, though %llu envelopes are left: cores ran "
			"dry",
			of->id, of->name, (unsigned long long)left);
}

static void
watch_campaign(struct hb_warroom *w, const struct hb_config *c, const struct hb_campaign_config *of,
	const struct hb_span *ten)
{
	uint64_t left = hb_campaign_ledger(w->view, of->slot).left;
	const char *state = hb_campaign_state(w->view, c, of, left);
	char id[32], remedy[128];

	if (strcmp(state, "open") == 0) {
		watch_open(w, c, of, ten);
	} else if (strcmp(state, "paused") == 0) {
		snprintf(remedy, sizeof(remedy), "hongbaoctl campaign resume %u", of->id);
		hb_alerts_raise(&w->alerts, numbered(id, "campaign_paused", of->id), HB_NOTICE,
			remedy, "campaign %u (%s) is paused: its draws are told BUSY", of->id,
			of->name);
	} else if (strcmp(state, "empty") == 0) {
		snprintf(remedy, sizeof(remedy),
			"hongbaoctl campaign top-up %u count=N total=FEN, or campaign close %u",
			of->id, of->id);
		hb_alerts_raise(&w->alerts, numbered(id, "campaign_empty", of->id), HB_WARNING,
			remedy, "campaign %u (%s) is empty: every envelope is given", of->id,
			of->name);
	}
}

/* ---- the whole ----------------------------------------------------------------------- */

static void
watch_clock(struct hb_warroom *w)
{
	struct watch *k = &w->watch;
	int64_t ahead_us = (int64_t)w->time_us - (int64_t)(hb_mono_ns() / 1000);
	int64_t step_us = ahead_us - k->ahead_us;

	if (k->ahead_known && (step_us > STEP_US || step_us < -STEP_US)) {
		k->stepped_id = w->id;
		k->stepped_us = step_us;
	}
	k->ahead_us = ahead_us;
	k->ahead_known = true;
	if (k->stepped_id != 0 && w->id < k->stepped_id + STEP_SHOWN_S)
		hb_alerts_raise(&w->alerts, "clock", HB_WARNING,
			"see what sets it: timedatectl; campaigns open and close by it",
			"the clock was set by %+.1f s", (double)k->stepped_us / 1e6);
	if (w->late_s >= LATE_S)
		hb_alerts_raise(&w->alerts, "late", HB_NOTICE,
			"see what else runs on its CPUs; workers don't notice",
			"nothing was seen for %llu s: the service thread was kept from running",
			(unsigned long long)w->late_s);
}

static void
watch_pages(struct hb_warroom *w)
{
	if (w->pages.service == NULL || hb_stream_readers(w->pages.live) <
						hb_service_limits(w->pages.service)->http_streams)
		return;
	hb_alerts_raise(&w->alerts, "pages_full", HB_NOTICE, "close some",
		"as many pages are open as may be: %u", hb_stream_readers(w->pages.live));
}

void
watch_second(struct hb_warroom *w, const struct hb_config *c)
{
	struct hb_span ten = hb_span_of(w->view, RECENT_S);

	watch_disk(w, c);
	watch_room(w, c);
	watch_settled(w);
	watch_workers(w);
	watch_steering(w);
	watch_rings(w);
	watch_ports(w);
	for (unsigned i = 0; i < c->campaigns; i++)
		watch_campaign(w, c, &c->campaign[i], &ten);
	if (hb_view_draining(w->view))
		hb_alerts_raise(&w->alerts, "draining", HB_NOTICE, NULL,
			"hongbaod drains: nothing more is given, and it ends soon");
	watch_clock(w);
	watch_pages(w);
}
