/* SPDX-License-Identifier: BSD-3-Clause */
/* The same figures under DPDK's telemetry, for dpdk-telemetry.py and what else speaks its protocol.
 *
 * DPDK calls from a thread of its own for each client, so nothing here may touch what the service
 * thread owns: the configuration, the snapshot and the rates. Commands can't be taken back, so what
 * they show is behind a mutex, and is nothing once the program ends. */
#include "views_internal.h"

#include <errno.h>
#include <pthread.h>
#include <rte_telemetry.h>
#include <stdio.h>
#include <stdlib.h>

/* An answer has 256 entries and 16 KiB at the most. */
#define CAMPAIGNS_SHOWN 200

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct hb_view *view; /* NULL: nothing to show. under the lock */
static bool registered;		   /* under the lock */

/* Fills an answer; params: what came behind the comma, or NULL. Returns 0 or -errno. */
typedef int fill(const struct hb_view *v, const char *params, struct rte_tel_data *d);

static int
answer(fill *how, const char *params, struct rte_tel_data *d)
{
	int err = -ENODEV;

	pthread_mutex_lock(&lock);
	if (view != NULL) {
		rte_tel_data_start_dict(d);
		err = how(view, params, d);
	}
	pthread_mutex_unlock(&lock);
	return err;
}

static void
put(struct rte_tel_data *d, const char *name, uint64_t n)
{
	rte_tel_data_add_dict_u64(d, name, n);
}

/* ---- /hongbao/status ----------------------------------------------------------------- */

static int
fill_status(const struct hb_view *v, const char *params, struct rte_tel_data *d)
{
	struct hb_worker_stats sum;
	uint64_t parked = 0;

	(void)params;
	hb_sum_workers(&sum, v);
	for (unsigned w = 0; w < v->n_workers; w++)
		parked += HB_SEE(v->workers[w]->link.parked);
	rte_tel_data_add_dict_string(d, "version", v->version);
	rte_tel_data_add_dict_string(d, "disk", hb_disk_state(v));
	put(d, "started_us", v->started_us);
	put(d, "workers", v->n_workers);
	put(d, "ports", v->ports->count);
	put(d, "received", sum.received);
	put(d, "replies", hb_all_replies(&sum));
	put(d, "dropped", hb_all_dropped(&sum));
	put(d, "shed", hb_all_shed(&sum));
	put(d, "wins", sum.wins);
	put(d, "given_fen", sum.fen);
	put(d, "parked", parked);
	put(d, "journalled", HB_SEE(v->control->records));
	put(d, "waiting", HB_SEE(v->control->waiting));
	return 0;
}

/* ---- /hongbao/stats ------------------------------------------------------------------ */

static void
put_named(struct rte_tel_data *d, const char *prefix, const uint64_t *counts, unsigned n,
	const char *(*name)(unsigned))
{
	char key[64];

	for (unsigned i = 1; i < n; i++) {
		snprintf(key, sizeof(key), "%s_%s", prefix, name(i));
		put(d, key, hb_read(&counts[i]));
	}
}

static int
fill_stats(const struct hb_view *v, const char *params, struct rte_tel_data *d)
{
	struct hb_worker_stats sum;
	const struct hb_worker_stats *s = &sum;
	uint64_t worker;

	if (params == NULL)
		hb_sum_workers(&sum, v);
	else if (hb_parse_u64(params, 0, v->n_workers - 1, &worker) == 0)
		s = &v->workers[worker]->stats;
	else
		return -EINVAL;
	for (unsigned i = 0; i < hb_counters_count; i++)
		put(d, hb_counters[i].name, hb_counter_of(s, hb_counters[i].at));
	put_named(d, "replies", s->replies, HB_STATUSES, hb_status_name);
	put_named(d, "dropped", s->dropped, HB_DROPS, hb_drop_name);
	put_named(d, "shed", s->shed, HB_OPS, hb_op_name);
	return 0;
}

/* ---- /hongbao/campaigns -------------------------------------------------------------- */

static int
fill_campaign(const struct hb_view *v, uint32_t slot, struct rte_tel_data *d)
{
	struct hb_campaign_facts f = hb_campaign_facts(v, slot);

	put(d, "id", HB_SEE(v->control->ledger[slot].campaign));
	put(d, "funded", f.funded);
	put(d, "funded_fen", f.funded_fen);
	put(d, "given", f.given);
	put(d, "given_fen", f.given_fen);
	put(d, "left", f.left);
	put(d, "left_fen", f.left_fen);
	put(d, "stock", f.stock);
	put(d, "elsewhere", f.elsewhere);
	put(d, "moves", f.moves);
	return 0;
}

/* The columns of the first campaigns, and how many there are. */
static int
fill_campaigns(const struct hb_view *v, struct rte_tel_data *d)
{
	static const struct {
		const char *name;
		size_t at;
	} column[] = {
		{"funded", offsetof(struct hb_campaign_facts, funded)},
		{"given", offsetof(struct hb_campaign_facts, given)},
		{"left", offsetof(struct hb_campaign_facts, left)},
	};
	struct rte_tel_data *ids = rte_tel_data_alloc(), *of[HB_COUNT_OF(column)];
	unsigned n = 0;

	rte_tel_data_start_array(ids, RTE_TEL_U64_VAL);
	for (unsigned k = 0; k < HB_COUNT_OF(column); k++) {
		of[k] = rte_tel_data_alloc();
		rte_tel_data_start_array(of[k], RTE_TEL_U64_VAL);
	}
	for (unsigned slot = 0; slot < v->control->campaigns; slot++) {
		struct hb_campaign_facts f = hb_campaign_ledger(v, slot);

		if (f.funded == 0 || n++ >= CAMPAIGNS_SHOWN)
			continue;
		rte_tel_data_add_array_u64(ids, HB_SEE(v->control->ledger[slot].campaign));
		for (unsigned k = 0; k < HB_COUNT_OF(column); k++)
			rte_tel_data_add_array_u64(
				of[k], *(const uint64_t *)((const char *)&f + column[k].at));
	}
	put(d, "campaigns", n);
	rte_tel_data_add_dict_container(d, "id", ids, 0);
	for (unsigned k = 0; k < HB_COUNT_OF(column); k++)
		rte_tel_data_add_dict_container(d, column[k].name, of[k], 0);
	return 0;
}

static int
fill_campaigns_or_one(const struct hb_view *v, const char *params, struct rte_tel_data *d)
{
	uint64_t id;

	if (params == NULL)
		return fill_campaigns(v, d);
	if (hb_parse_u64(params, 1, HB_CAMPAIGNS_MAX, &id) != 0)
		return -EINVAL;
	for (unsigned slot = 0; slot < v->control->campaigns; slot++) {
		if (HB_SEE(v->control->ledger[slot].campaign) == id)
			return fill_campaign(v, slot, d);
	}
	return -ENOENT;
}

/* ---- /hongbao/packets ---------------------------------------------------------------- */

static int
fill_packets(const struct hb_view *v, const char *params, struct rte_tel_data *d)
{
	struct hb_packet_facts f = hb_packet_facts(v);

	(void)params;
	put(d, "funded", f.funded);
	put(d, "funded_fen", f.funded_fen);
	put(d, "taken", f.taken);
	put(d, "taken_fen", f.taken_fen);
	put(d, "refunded", f.refunded);
	put(d, "refunded_fen", f.refunded_fen);
	put(d, "open", f.open);
	put(d, "left_fen", f.left_fen);
	put(d, "remembered", f.remembered);
	put(d, "room", f.room);
	put(d, "free_places", f.free_places);
	put(d, "refused", f.refused);
	return 0;
}

/* ---- /hongbao/latency ---------------------------------------------------------------- */

static void
put_latency(
	struct rte_tel_data *d, const char *what, const char *unit, const struct hb_histogram *h)
{
	static const double percent[] = {50, 90, 99, 99.9, 99.99};
	static const char *const name[] = {"p50", "p90", "p99", "p99_9", "p99_99"};
	uint64_t value[HB_COUNT_OF(percent)];
	char key[64];

	hb_histogram_percentiles(h, percent, value, HB_COUNT_OF(percent));
	for (unsigned i = 0; i < HB_COUNT_OF(percent); i++) {
		snprintf(key, sizeof(key), "%s_%s_%s", what, name[i], unit);
		put(d, key, value[i]);
	}
	snprintf(key, sizeof(key), "%s_max_%s", what, unit);
	put(d, key, hb_read(&h->max));
	snprintf(key, sizeof(key), "%s_count", what);
	put(d, key, hb_read(&h->values));
}

static int
fill_latency(const struct hb_view *v, const char *params, struct rte_tel_data *d)
{
	struct hb_histogram *all = calloc(1, sizeof(*all));

	(void)params;
	if (all == NULL)
		return -ENOMEM;
	for (unsigned w = 0; w < v->n_workers; w++) {
		if (v->workers[w]->service_ns != NULL)
			hb_histogram_merge(all, v->workers[w]->service_ns);
	}
	put_latency(d, "service", "ns", all);
	free(all);
	/* Microseconds: `_us` would be a time since 1970. */
	if (v->control->durable_us != NULL)
		put_latency(d, "durable", "microseconds", v->control->durable_us);
	if (v->control->flush_ns != NULL)
		put_latency(d, "flush", "ns", v->control->flush_ns);
	return 0;
}

/* ---- registering --------------------------------------------------------------------- */

static const struct {
	const char *name;
	const char *help;
	fill *how;
} commands[] = {
	{"/hongbao/status", "State of hongbaod. No parameters", fill_status},
	{"/hongbao/stats", "Counters of all workers, or of one. Parameters: int worker (optional)",
		fill_stats},
	{"/hongbao/campaigns",
		"Envelopes of the first campaigns, or of one. Parameters: int id (optional)",
		fill_campaigns_or_one},
	{"/hongbao/packets", "Group packets and their money. No parameters", fill_packets},
	{"/hongbao/latency",
		"Percentiles of service time, of win-to-durable and of flushes. No parameters",
		fill_latency},
};

static int
on_command(const char *cmd, const char *params, struct rte_tel_data *d)
{
	for (unsigned i = 0; i < HB_COUNT_OF(commands); i++) {
		if (strcmp(commands[i].name, cmd) == 0)
			return answer(commands[i].how, params, d);
	}
	return -ENOENT;
}

int
hb_views_telemetry(const struct hb_view *v, struct hb_error *e)
{
	bool first;
	int err = 0;

	pthread_mutex_lock(&lock);
	view = v;
	first = v != NULL && !registered;
	registered = registered || first;
	pthread_mutex_unlock(&lock);
	for (unsigned i = 0; first && err == 0 && i < HB_COUNT_OF(commands); i++)
		err = rte_telemetry_register_cmd(commands[i].name, on_command, commands[i].help);
	if (err == 0)
		return 0;
	return hb_fail(e, -err, "DPDK's telemetry takes no commands: %s", strerror(-err));
}
