/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"

#include "hb_log.h"
#include "hb_preflight.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MIB (1024ull * 1024)

/* ---- check --------------------------------------------------------------------------- */

/* Of so many users, packets or shares those of one worker: of its lanes, and room for the share
 * that chance makes larger. */
static uint64_t
share_of_worker(const struct hb_config *c, uint64_t all, unsigned worker)
{
	unsigned lanes = 0;

	for (unsigned lane = 0; lane < HB_LANES; lane++)
		lanes += hb_owner(lane, c->workers) == worker;
	uint64_t share = (all * lanes + HB_LANES - 1) / HB_LANES;
	return c->workers == 1 ? share : share + 4 * (uint64_t)sqrt((double)share);
}

/* Of a shared budget nobody knows how much comes here: enough for one user in fifty. */
static uint64_t
envelopes_of_all(const struct hb_config *c)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < c->campaigns; i++)
		n += c->campaign[i].leased ? c->users / 50 : c->campaign[i].terms.count;
	return n;
}

static uint64_t
bytes_needed(const struct hb_config *c)
{
	uint64_t bytes = 0;

	for (unsigned w = 0; w < c->workers; w++)
		bytes += hb_users_bytes(share_of_worker(c, c->users, w)) +
			 hb_packets_bytes(share_of_worker(c, c->packets, w),
				 share_of_worker(c, c->packet_shares, w)) +
			 sizeof(struct hb_histogram) +
			 hb_admission_bytes(envelopes_of_all(c) / c->workers);
	for (unsigned i = 0; i < c->campaigns; i++)
		bytes += c->campaign[i].terms.count * sizeof(struct hb_envelope);
	return bytes;
}

static int
check_memory(const struct hb_config *c, struct hb_error *e)
{
	uint64_t need = bytes_needed(c), have = hb_mem_available();

	if (need <= have)
		return 0;
	return hb_fail(e, ENOMEM,
		"%s: users: %llu rows, the packets and the envelopes need %llu MiB, the host has "
		"%llu MiB "
		"available; write fewer users (at most some %llu), or add memory",
		c->path, (unsigned long long)c->users, (unsigned long long)(need / MIB),
		(unsigned long long)(have / MIB), (unsigned long long)(have / 24));
}

/* The directory that a path's file is in. */
static void
directory_of(const char *path, char *out, size_t bytes)
{
	const char *slash = strrchr(path, '/');

	snprintf(out, bytes, "%.*s",
		slash == NULL	? 1
		: slash == path ? 1
				: (int)(slash - path),
		slash == NULL ? "." : path);
}

static int
check_report(const char *path, struct hb_error *e)
{
	char directory[PATH_MAX];

	if (path == NULL)
		return 0;
	directory_of(path, directory, sizeof(directory));
	if (access(directory, W_OK) == 0)
		return 0;
	return hb_fail(e, errno,
		"--report %s: cannot write into %s: %s; name a directory that is there", path,
		directory, strerror(errno));
}

/* Says what the host lacks. HONGBAO_SYSROOT stands before /sys, /proc and /dev, for tests. */
static int
check_host(const struct daemon *d, struct hb_error *e)
{
	const char *root = getenv("HONGBAO_SYSROOT");
	static struct hb_preflight p;

	hb_preflight(&p, root == NULL ? "" : root, d->config, d->profile, d->options.eal_count,
		d->options.eal);
	for (unsigned i = 0; i < p.count; i++)
		hb_log(p.finding[i].severity == HB_ERROR ? HB_LOG_ERROR : HB_LOG_WARNING,
			"%s: %s; try: %s", p.finding[i].severity == HB_ERROR ? "error" : "warning",
			p.finding[i].text, p.finding[i].command);
	if (p.errors == 0)
		return 0;
	return hb_fail(e, ENODEV, "%s: this host cannot run it yet; mend the error%s above",
		d->config->path, p.errors == 1 ? "" : "s");
}

int
daemon_check(struct daemon *d, struct hb_error *e)
{
	int err;

	if (hb_wire_init() != 0)
		return hb_fail(e, EIO, "libsodium could not be initialised");
	if ((err = check_report(d->options.report, e)) != 0 ||
		(err = hb_config_load(&d->config, d->options.config, e)) != 0)
		return err;
	for (unsigned i = 0; i < d->config->ports; i++) {
		err = hb_profile_load(&d->profile[i], d->config->port[i].profile, e);
		if (err != 0)
			return err;
	}
	if (d->config->denied > HB_DENIED_MAX)
		return hb_fail(e, EINVAL, "%s: deny: %u users are barred; at most %u can be",
			d->config->path, d->config->denied, HB_DENIED_MAX);
	if ((err = hb_captures_check(d->config, e)) != 0)
		return err;
	if ((err = check_memory(d->config, e)) != 0)
		return err;
	return check_host(d, e);
}

/* ---- start --------------------------------------------------------------------------- */

static int
make_worker(struct daemon *d, unsigned i, struct hb_error *e)
{
	const struct hb_config *c = d->config;
	struct hb_engine_terms terms = {
		.campaigns = c->slots,
		.workers = c->workers,
		.users = share_of_worker(c, c->users, i),
		.envelopes = envelopes_of_all(c),
		.packets = share_of_worker(c, c->packets, i),
		.packet_shares = share_of_worker(c, c->packet_shares, i),
		.packet_keep_us = c->packet_keep_s * 1000000ull,
		.seed = d->seed,
	};
	struct hb_worker *w = aligned_alloc(HB_CACHE_LINE, sizeof(*w));
	int err;

	if (w == NULL)
		return hb_fail(e, ENOMEM, "no memory for worker %u", i);
	memset(w, 0, sizeof(*w));
	d->worker[i] = w;
	d->link[i] = &w->link;
	d->engine[i] = &w->engine;
	w->index = i;
	w->workers = c->workers;
	w->clock = c->clock;
	w->ports = &d->ports;
	w->snapshot = &d->published.now;
	w->service_ns = calloc(1, sizeof(*w->service_ns));
	if (w->service_ns == NULL)
		return hb_fail(e, ENOMEM, "no memory for worker %u's histogram", i);
	if ((err = hb_link_make(&w->link, c->slots, d->drained, e)) != 0 ||
		(err = hb_engine_make(&w->engine, &terms, &w->link, &w->stats, e)) != 0)
		return err;
	for (unsigned k = 0; k < c->denied; k++)
		hb_engine_deny(&w->engine, c->deny[k]);
	return 0;
}

static int
make_workers(struct daemon *d, struct hb_error *e)
{
	int err;

	for (unsigned i = 0; i < d->config->workers; i++) {
		if ((err = make_worker(d, i, e)) != 0)
			return err;
	}
	return hb_workers_connect(d->worker, d->config->workers, e);
}

static int
make_control(struct daemon *d, struct hb_error *e)
{
	struct hb_control_terms terms = {
		.journal = &d->journal,
		.links = d->link,
		.drained = d->drained,
		.workers = d->config->workers,
		.campaigns = d->config->slots,
		.gather_ns = HB_GATHER_NS,
		.wall_clock = d->config->clock == HB_CLOCK_WALL,
	};

	d->envelopes = calloc(d->config->slots, sizeof(*d->envelopes));
	if (d->envelopes == NULL)
		return hb_fail(e, ENOMEM, "no memory for %u campaigns", d->config->campaigns);
	return hb_control_make(&d->control, &terms, e);
}

/* Applies the journal's records, all of them. No worker runs yet: the threads that help have the
 * cores of all lcores. */
static int
read_records(struct daemon *d, struct hb_error *e)
{
	cpu_set_t mine, all;
	struct hb_error why;
	unsigned lcore;
	int err;

	CPU_ZERO(&all);
	RTE_LCORE_FOREACH(lcore)
	{
		rte_cpuset_t cpus = rte_lcore_cpuset(lcore);

		CPU_OR(&all, &all, &cpus);
	}
	bool wider = pthread_getaffinity_np(pthread_self(), sizeof(mine), &mine) == 0 &&
		     pthread_setaffinity_np(pthread_self(), sizeof(all), &all) == 0;
	err = hb_recovery_read(
		&d->recovery, &d->reader, true, "hongbaod: reading the journal", &why);
	if (wider)
		pthread_setaffinity_np(pthread_self(), sizeof(mine), &mine);
	if (err != 0 && d->recovery.refused)
		return hb_fail(e, -err, "%s: journal %s: %s", d->config->path, d->config->journal,
			why.text);
	if (err != 0)
		*e = why;
	return err;
}

static void
say_what_was_read(const struct daemon *d, const struct hb_journal_reader *r, uint64_t start_ns)
{
	double seconds = (double)(hb_mono_ns() - start_ns) / 1e9;
	char a[32], b[32];

	if (r->number == 0)
		return;
	hb_log(HB_LOG_INFO, "journal %s: %s wins read back in %.2f s, %s bytes", d->config->journal,
		hb_thousands(d->recovery.wins, a), seconds, hb_thousands(r->read_bytes, b));
	if (r->torn != 0)
		hb_log(HB_LOG_WARNING,
			"journal: a torn end of %llu bytes is cut off segment %u at "
			"offset %llu; nobody was told of it",
			(unsigned long long)r->torn, r->end_segment, (unsigned long long)r->end_at);
	if (d->recovery.strangers != 0)
		hb_log(HB_LOG_WARNING,
			"journal: %s wins are of campaigns that the configuration "
			"doesn't have; they stay in it",
			hb_thousands(d->recovery.strangers, a));
}

/* Reads what earlier runs left, if anything. Nothing is written yet. */
static int
read_journal(struct daemon *d, struct hb_error *e)
{
	struct hb_journal_reader *r = &d->reader;
	uint64_t start = hb_mono_ns();
	int err = hb_journal_read_disk(r, &d->directory.disk, d->config->journal, e);

	if (err == -ENOENT)
		return 0;
	if (err != 0 || (err = read_records(d, e)) != 0)
		return err;
	if (r->end_segment != 0 && r->host != d->config->host)
		return hb_fail(e, EINVAL, "%s: host: %u, but journal %s is host %u's; name its own",
			d->config->path, d->config->host, d->config->journal, r->host);
	d->journal_found = true;
	say_what_was_read(d, r, start);
	return 0;
}

/* Opens the journal for writing: where an earlier run left off, or a new one. */
static int
open_journal(struct daemon *d, struct hb_error *e)
{
	int err;

	if (d->journal_found) {
		d->reader.host = d->config->host;
		err = hb_journal_resume(&d->journal, &d->directory.disk, &d->reader, 0, e);
	} else {
		err = hb_journal_begin(&d->journal, &d->directory.disk, d->config->host, 0, e);
	}
	d->journal_begun = err == 0;
	return err;
}

static void
launch_workers(struct daemon *d)
{
	unsigned lcore, i = 0;

	RTE_LCORE_FOREACH_WORKER(lcore)
	{
		if (i == d->config->workers)
			break;
		rte_eal_remote_launch(hb_worker_run, d->worker[i], lcore);
		i++;
	}
}

/* Has them leave at once, after a start that failed late. */
static void
recall_workers(struct daemon *d)
{
	daemon_set_phase(d, HB_PHASE_LEAVE);
	rte_eal_mp_wait_lcore();
	hb_workers_abandon(d->worker, d->config->workers);
}

static void
say_steering(const struct hb_port *p)
{
	const char *how = "nothing to steer";

	if (p->steering == HB_STEERING_RSS)
		how = "steering by RSS";
	else if (p->steering == HB_STEERING_SOFTWARE)
		how = "steering in software, by hand-over";
	hb_log(HB_LOG_INFO, "device %s (%s): %s: %s", p->name, p->driver, how, p->why);
	if (p->note[0] != '\0')
		hb_log(HB_LOG_WARNING, "device %s: %s", p->name, p->note);
}

static void
say_how(const struct daemon *d)
{
	hb_log(HB_LOG_INFO, "%u worker%s, %s", d->config->workers,
		d->config->workers == 1 ? "" : "s",
		d->no_huge ? "without hugepages (--no-huge)" : "with hugepages");
	if (d->no_huge)
		hb_log(HB_LOG_WARNING, "slower without hugepages: %s", d->no_huge_why);
	if (d->directory.disk.note != NULL)
		hb_log(HB_LOG_WARNING, "journal: %s", d->directory.disk.note);
	for (unsigned i = 0; i < d->ports.count; i++)
		say_steering(&d->ports.port[i]);
}

/* Where lines go from now on, and which. */
static void
begin_log(const struct hb_config *c)
{
	struct hb_error e;

	hb_log_set_level((enum hb_log_level)c->log_level);
	if (c->log_file[0] != '\0' && hb_log_file(c->log_file, &e) != 0)
		hb_log(HB_LOG_WARNING, "%s", e.text);
}

int
daemon_start(struct daemon *d, struct hb_error *e)
{
	const struct hb_config *c = d->config;
	struct hb_eal_wish wish = hb_eal_wish("hongbaod", c, d->profile);
	int err;

	begin_log(c);
	d->seed = c->seed;
	if (d->seed == 0)
		randombytes_buf(&d->seed, sizeof(d->seed));
	d->drained = calloc(c->slots, 1);
	if (d->drained == NULL || hb_publish_begin(&d->published, hb_snapshot_make(c)) != 0)
		return hb_fail(e, ENOMEM, "no memory for %u campaigns", c->campaigns);
	if ((err = hb_disk_open(&d->directory, c->journal, e)) != 0 ||
		(err = serve_begin(d, e)) != 0)
		return err;
	sched_getaffinity(0, sizeof(d->serving.cpus), &d->serving.cpus);
	err = hb_eal_start(&wish, d->options.eal_count, d->options.eal, &d->no_huge, d->no_huge_why,
		sizeof(d->no_huge_why), e);
	if (err != 0)
		return err;
	d->eal = true;
	/* Memory first, then reading, then the journal's room, then the device, which may write
	 * over a capture, the records last: what can fail fails before anything is lost. */
	if ((err = make_workers(d, e)) != 0 || (err = make_control(d, e)) != 0 ||
		(err = hb_recovery_begin(&d->recovery, &d->control, d->engine, d->envelopes,
			 d->config->campaign, d->config->campaigns, e)) != 0 ||
		(err = read_journal(d, e)) != 0 || (err = open_journal(d, e)) != 0 ||
		(err = hb_ports_open(&d->ports, c, d->profile, e)) != 0 ||
		(err = hb_recovery_finish(&d->recovery, d->seed, hb_wall_us(), e)) != 0 ||
		(err = serve_prepare(d, e)) != 0)
		return err;
	hb_recovery_free(&d->recovery);
	hb_journal_read_end(&d->reader);
	say_how(d);
	d->running = true;
	launch_workers(d);
	if ((err = serve_launch(d, e)) != 0)
		recall_workers(d);
	return err;
}

/* ---- end ----------------------------------------------------------------------------- */

static uint64_t
replies_sent(const struct daemon *d)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < d->config->workers; i++)
		n += hb_read(&d->worker[i]->stats.sent);
	return n;
}

int
daemon_close(struct daemon *d, struct hb_error *e)
{
	d->lost = hb_ports_lost(&d->ports);
	hb_ports_close(&d->ports);
	if (d->journal_begun)
		hb_journal_end(&d->journal);
	d->journal_begun = false;
	return hb_ports_restamp(d->config, replies_sent(d), e);
}

void
daemon_free(struct daemon *d)
{
	unsigned workers = d->config == NULL ? 0 : d->config->workers;

	serve_free(d);
	hb_ports_close(&d->ports);
	/* It may be reading ahead, so before its disk. */
	hb_journal_read_end(&d->reader);
	if (d->journal_begun && d->running)
		hb_journal_end(&d->journal);
	else if (d->journal_begun)
		hb_journal_abandon(&d->journal);
	if (d->config != NULL && !d->running)
		hb_disk_discard(&d->directory, d->config->journal);
	hb_disk_close(&d->directory);
	hb_recovery_free(&d->recovery);
	hb_control_free(&d->control);
	if (workers > 0 && d->worker[workers - 1] != NULL)
		hb_workers_disconnect(d->worker, workers);
	for (unsigned i = 0; i < workers && d->worker[i] != NULL; i++) {
		hb_engine_free(&d->worker[i]->engine);
		hb_link_free(&d->worker[i]->link);
		free(d->worker[i]->service_ns);
		free(d->worker[i]);
	}
	for (unsigned i = 0; d->envelopes != NULL && i < d->config->slots; i++)
		hb_envelopes_free(&d->envelopes[i]);
	free(d->envelopes);
	free(d->drained);
	hb_publish_end(&d->published);
	hb_config_free(d->config);
	if (d->eal)
		hb_eal_stop();
}
