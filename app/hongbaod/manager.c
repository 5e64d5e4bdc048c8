/* SPDX-License-Identifier: BSD-3-Clause */
#include "manager.h"

#include "hb_log.h"

#include <errno.h>
#include <stdio.h>

#define SECOND_NS 1000000000ull

void
manager_begin(struct manager *m)
{
	struct hb_error e;

	if (hb_notify_open(&m->notify, &e) != 0)
		hb_log(HB_LOG_WARNING, "%s", e.text);
	hb_notify_status(&m->notify, "starting");
}

void
manager_end(struct manager *m)
{
	hb_notify_close(&m->notify);
}

void
manager_stopping(struct manager *m)
{
	m->stopping = true;
	hb_notify_stopping(&m->notify, "stopping: answering what was taken in");
}

/* ---- ready and alive ----------------------------------------------------------------- */

/* A worker that has not turned since `polls`, or `workers` where all have. */
static unsigned
standing_still(struct hb_worker *const *w, unsigned workers, const uint64_t *polls)
{
	unsigned i = 0;

	while (i < workers && hb_read(&w[i]->stats.polls) != polls[i])
		i++;
	return i;
}

static void
remember_turns(struct manager *m, struct hb_worker *const *w, unsigned workers, uint64_t now)
{
	for (unsigned i = 0; i < workers; i++)
		m->polls[i] = hb_read(&w[i]->stats.polls);
	m->alive_ns = now;
	m->stuck_said = false;
}

static void
say_ready(struct manager *m, struct hb_worker *const *w, unsigned workers, uint64_t now)
{
	int err;

	/* They began at 0 turns, which is what m says too. */
	if (standing_still(w, workers, m->polls) < workers)
		return;
	snprintf(m->status, sizeof(m->status), "serving");
	err = hb_notify_ready(&m->notify, m->status);
	/* Without it the service would be taken for one that never started, so again and again. */
	if (err != 0) {
		hb_log_limited(HB_LOG_WARNING, 1,
			"the service manager cannot be told that this service is ready: %s",
			strerror(-err));
		if (err == -EAGAIN)
			return;
	}
	m->ready = true;
	m->status_ns = now;
	remember_turns(m, w, workers, now);
}

/* Says that the daemon lives, twice in the watchdog's time, as sd_watchdog_enabled(3) recommends.
 */
static void
say_alive(struct manager *m, struct hb_worker *const *w, unsigned workers, uint64_t now)
{
	uint64_t limit = m->notify.watchdog_us * 1000, since = now - m->alive_ns;
	unsigned still;

	if (limit == 0 || since < limit / 2)
		return;
	still = standing_still(w, workers, m->polls);
	if (still == workers) {
		if (hb_notify_alive(&m->notify) == 0)
			remember_turns(m, w, workers, now);
	} else if (!m->stuck_said && since >= limit / 4 * 3) {
		m->stuck_said = true;
		hb_log(HB_LOG_ERROR,
			"worker %u stands still for %.1f s: the service manager will start us "
			"again after %.1f s; look at what else runs on its CPU, and at dmesg",
			still, (double)since / 1e9, (double)limit / 1e9);
	}
}

/* ---- status -------------------------------------------------------------------------- */

static uint64_t
per_second(uint64_t n, uint64_t ns)
{
	return (uint64_t)((double)n * 1e9 / (double)ns + 0.5);
}

static void
make_status(struct manager *m, struct hb_worker *const *w, unsigned workers, int disk_error,
	uint64_t ns, char out[sizeof(m->status)])
{
	uint64_t received = 0, wins = 0;
	char a[32], b[32], c[32];

	for (unsigned i = 0; i < workers; i++) {
		received += hb_read(&w[i]->stats.received);
		wins += hb_read(&w[i]->stats.wins);
	}
	int at = snprintf(out, sizeof(m->status),
		"serving: %s requests/s, %s wins/s, %s wins since the start",
		hb_thousands(per_second(received - m->received, ns), a),
		hb_thousands(per_second(wins - m->wins, ns), b), hb_thousands(wins, c));
	if (disk_error != 0)
		snprintf(out + at, sizeof(m->status) - (size_t)at,
			"; the journal's disk takes no wins: %s", strerror(-disk_error));
	m->received = received;
	m->wins = wins;
}

static void
say_status(struct manager *m, struct hb_worker *const *w, unsigned workers, int disk_error,
	uint64_t now)
{
	char status[sizeof(m->status)];

	if (now - m->status_ns < SECOND_NS)
		return;
	make_status(m, w, workers, disk_error, now - m->status_ns, status);
	m->status_ns = now;
	/* A manager that is behind gets the next one. */
	if (strcmp(status, m->status) != 0 && hb_notify_status(&m->notify, status) == 0)
		memcpy(m->status, status, sizeof(status));
}

void
manager_look(struct manager *m, struct hb_worker *const *w, unsigned workers, int disk_error)
{
	uint64_t now;

	if (m->notify.fd < 0)
		return;
	now = hb_mono_ns();
	if (!m->ready && !m->stopping)
		say_ready(m, w, workers, now);
	if (!m->ready)
		return;
	if (!m->stopping)
		say_status(m, w, workers, disk_error, now);
	say_alive(m, w, workers, now);
}
