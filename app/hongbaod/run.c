/* SPDX-License-Identifier: BSD-3-Clause */
/* A daemon between its start and its end: the control core's loop, what it tells the operator, and
 * how the workers come to rest. */
#include "daemon.h"

#include "hb_log.h"

#include <errno.h>
#include <rte_launch.h>
#include <rte_pause.h>
#include <unistd.h>

/* Turns without work after which the control core sleeps a little: it may share its CPU. */
#define IDLE_TURNS 256
#define IDLE_SLEEP_US 20

/* How long a full disk is given at the end to make room. */
#define FULL_DISK_NS (3 * 1000000000ull)

/* How often the loop looks at what changes slowly. */
#define LOOK_NS (10 * 1000000ull)

/* How often the frames that came are counted, where the options say how many are enough. */
#define COUNT_NS (100 * 1000ull)

/* Misdirected requests above which there is something to say: some may come between the start of a
 * device and the setting of its RETA. */
#define MISDIRECTED_MIN 1000

static uint64_t
total_received(const struct daemon *d)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < d->config->workers; i++)
		n += hb_read(&d->worker[i]->stats.received);
	return n;
}

/* What the loop remembers between looks. */
struct watch {
	uint64_t looked_ns;
	uint64_t counted_ns; /* the frames that came */
	uint64_t changed_ns;
	uint64_t received;
	uint64_t polls[HB_WORKERS_MAX];
	struct hb_progress progress;
};

/* Whether every worker has turned since the last change: one that stands still, waiting for its CPU
 * or for a page of a capture, isn't idle. */
static bool
all_turned(const struct daemon *d, const struct watch *watch)
{
	for (unsigned i = 0; i < d->config->workers; i++) {
		if (hb_read(&d->worker[i]->stats.polls) <= watch->polls[i] + 1)
			return false;
	}
	return true;
}

/* A request came: the waiting begins anew. */
static void
note_change(const struct daemon *d, struct watch *watch, uint64_t now, uint64_t received)
{
	watch->changed_ns = now;
	watch->received = received;
	for (unsigned i = 0; i < d->config->workers; i++)
		watch->polls[i] = hb_read(&d->worker[i]->stats.polls);
}

static unsigned
wins_not_journalled(const struct daemon *d)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < d->config->workers; i++)
		n += d->worker[i]->engine.issued - d->link[i]->durable;
	return (unsigned)n;
}

static int
disk_fault(const struct daemon *d, struct hb_error *e)
{
	const char *journal = d->config->journal;

	if (d->control.disk_error == -ENOSPC)
		return hb_fail(e, ENOSPC,
			"journal %s: the disk is full: %u wins were decided that are not in it; "
			"nobody was told of them: make room",
			journal, wins_not_journalled(d));
	return hb_fail(e, EIO,
		"journal %s: the disk failed (%s): no win is given or told any more; look at the "
		"disk (dmesg), start again, then run hongbao-audit %s",
		journal, strerror(-d->control.disk_error), journal);
}

/* Tells the operator once for each time that the disk begins to refuse, or takes again. */
static void
watch_disk(struct daemon *d)
{
	struct hb_error e;

	if (d->control.disk_error == d->disk_error_said)
		return;
	d->disk_error_said = d->control.disk_error;
	if (d->disk_error_said == 0)
		hb_log_limited(HB_LOG_WARNING, 10, "journal %s: the disk takes wins again",
			d->config->journal);
	else if (disk_fault(d, &e) != 0)
		hb_log_limited(HB_LOG_ERROR, 10, "%s", e.text);
}

/* Tells the operator when a link goes down or comes up. */
static void
watch_links(struct daemon *d)
{
	char line[256];

	if (hb_host_watch(&d->ports, d->worker, line, sizeof(line)))
		hb_log_limited(HB_LOG_WARNING, 10, "%s", line);
}

/* Whether RSS, though it was set and read back, brings requests to the wrong cores: said once. */
static void
watch_steering(struct daemon *d)
{
	uint64_t received = 0, misdirected = 0;

	for (unsigned i = 0; i < d->config->workers; i++) {
		received += hb_read(&d->worker[i]->stats.received);
		misdirected += hb_read(&d->worker[i]->stats.misdirected);
	}
	if (d->misdirected_said || misdirected < MISDIRECTED_MIN || misdirected < received / 100)
		return;
	d->misdirected_said = true;
	hb_log(HB_LOG_WARNING,
		"steering: %llu of %llu frames came to a core that RSS should not have "
		"brought them to; they are handed over, which is right but slower: look into "
		"drivers-config/ for what is known of this NIC, or write steering: software "
		"there",
		(unsigned long long)misdirected, (unsigned long long)received);
}

/* Whether a worker holds back what it has or could have: for the journal, for envelopes, or for
 * another worker. With a disk that takes nothing more it would for ever. */
static bool
any_waits(const struct daemon *d)
{
	if (d->control.disk_error != 0)
		return false;
	for (unsigned i = 0; i < d->config->workers; i++) {
		if (__atomic_load_n(&d->worker[i]->waiting, __ATOMIC_RELAXED))
			return true;
	}
	return hb_workers_underway(d->worker, d->config->workers) != 0;
}

/* Whether nothing has come for as long as the options say. */
static bool
idle_long_enough(const struct daemon *d, struct watch *watch, uint64_t now, uint64_t received)
{
	if (received != watch->received || any_waits(d))
		note_change(d, watch, now, received);
	return d->options.idle_ms != 0 && now - watch->changed_ns >= d->options.idle_ms * 1000000 &&
	       all_turned(d, watch);
}

/* What changes slowly. Returns whether the run is over. */
static bool
look_around(struct daemon *d, struct watch *watch)
{
	uint64_t now = hb_mono_ns(), received;

	if (now - watch->looked_ns < LOOK_NS)
		return false;
	watch->looked_ns = now;
	watch_disk(d);
	watch_links(d);
	watch_steering(d);
	manager_look(&d->manager, d->worker, d->config->workers, d->control.disk_error);
	received = total_received(d);
	hb_progress_update(&watch->progress, received);
	return idle_long_enough(d, watch, now, received);
}

/* Whether as many frames have come as the options ask for. Not asked at each turn: it would keep
 * taking the counters' lines from the workers' caches. */
static bool
enough_came(const struct daemon *d, struct watch *watch)
{
	if (d->options.frames == 0 || hb_mono_ns() - watch->counted_ns < COUNT_NS)
		return false;
	watch->counted_ns = hb_mono_ns();
	return total_received(d) >= d->options.frames;
}

void
daemon_set_phase(struct daemon *d, enum hb_phase phase)
{
	for (unsigned i = 0; i < d->config->workers; i++)
		__atomic_store_n(&d->worker[i]->phase, phase, __ATOMIC_RELAXED);
}

/* Turns the control core until each worker has made two more turns, the second of which began after
 * this call. */
static void
let_workers_turn(struct daemon *d)
{
	uint64_t polls[HB_WORKERS_MAX];

	for (unsigned i = 0; i < d->config->workers; i++)
		polls[i] = __atomic_load_n(&d->worker[i]->stats.polls, __ATOMIC_ACQUIRE);
	for (unsigned i = 0; i < d->config->workers; i++) {
		while (__atomic_load_n(&d->worker[i]->stats.polls, __ATOMIC_ACQUIRE) <
			polls[i] + 2) {
			hb_control_step(&d->control, hb_mono_ns());
			hb_host_serve(&d->ports, d->worker, d->config->workers);
			manager_look(
				&d->manager, d->worker, d->config->workers, d->control.disk_error);
			usleep(IDLE_SLEEP_US);
		}
	}
}

/* Whether everything has come to rest: what was handed over is decided, what was decided is durable
 * and sent, and no envelope is on its way between cores. With a disk that takes nothing more, what
 * is parked stays. */
static bool
at_rest(const struct daemon *d)
{
	for (unsigned i = 0; d->control.disk_error == 0 && i < d->config->workers; i++) {
		if (hb_read(&d->link[i]->parked) != 0)
			return false;
	}
	return hb_workers_underway(d->worker, d->config->workers) == 0 &&
	       hb_control_closed(&d->control);
}

/* Whether the disk keeps the workers from coming to rest, and has for long enough. What they could
 * not decide then is dropped and counted. */
static bool
gives_up(const struct daemon *d, uint64_t patience)
{
	return d->control.disk_error != 0 && hb_mono_ns() >= patience;
}

/* Lets the workers finish what they have. A disk that fails, or is full, is not waited for for
 * long. */
static void
finish_workers(struct daemon *d)
{
	uint64_t patience = hb_mono_ns() + FULL_DISK_NS;
	unsigned rests = 0;

	hb_control_close(&d->control);
	daemon_set_phase(d, HB_PHASE_FINISH);
	while (rests < 2 && !gives_up(d, patience)) {
		let_workers_turn(d);
		if (at_rest(d) && hb_control_step(&d->control, hb_mono_ns()) == 0 &&
			d->control.disk_error != -ENOSPC)
			rests++;
		else
			rests = 0;
	}
	daemon_set_phase(d, HB_PHASE_LEAVE);
	rte_eal_mp_wait_lcore();
	hb_workers_abandon(d->worker, d->config->workers);
}

/* Whether it is to end: once it has drained, which the first signal asks for; at once at the
 * second.
 */
static bool
asked_to_end(struct daemon *d)
{
	const struct daemon_signals *s = d->signals;

	if (s->reload != d->reloads_seen) {
		d->reloads_seen = s->reload;
		serve_wish(&d->serving, WISH_RELOAD);
	}
	if (s->reopen != d->reopens_seen) {
		d->reopens_seen = s->reopen;
		serve_wish(&d->serving, WISH_REOPEN);
	}
	if (s->stop > 0 && !d->drains) {
		d->drains = true;
		serve_wish(&d->serving, WISH_DRAIN);
	}
	return s->stop > 1 || serve_over(&d->serving);
}

int
daemon_run(struct daemon *d, const struct daemon_signals *signals, struct hb_error *e)
{
	struct watch watch = {0};
	unsigned idle = 0;

	hb_thread_prompt();
	d->signals = signals;
	note_change(d, &watch, hb_mono_ns(), 0);
	hb_progress_begin(&watch.progress, "hongbaod", "requests", 0);
	while (!asked_to_end(d) && !enough_came(d, &watch) && !look_around(d, &watch)) {
		unsigned work = hb_control_step(&d->control, hb_mono_ns());

		work += hb_calls_run(d->serving.calls);
		work += hb_host_serve(&d->ports, d->worker, d->config->workers);
		if (work != 0)
			idle = 0;
		else if (++idle < IDLE_TURNS)
			rte_pause();
		else
			usleep(IDLE_SLEEP_US);
	}
	hb_progress_end(&watch.progress);
	manager_stopping(&d->manager);
	serve_stop(d);
	finish_workers(d);
	return d->control.disk_error == 0 ? 0 : disk_fault(d, e);
}
