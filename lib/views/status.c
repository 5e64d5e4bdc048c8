/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of the whole, and of what is behind the workers: disk, NICs, tables. */
#include "hb_publish.h"
#include "views_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- status -------------------------------------------------------------------------- */

const char *
hb_disk_state(const struct hb_view *v)
{
	int err = HB_SEE(v->control->disk_error);

	if (err == 0)
		return "good";
	return err == -ENOSPC ? "full" : "failed";
}

bool
hb_view_draining(const struct hb_view *v)
{
	return hb_published(v->snapshot)->draining;
}

uint64_t
hb_view_version(const struct hb_view *v)
{
	return hb_published(v->snapshot)->version;
}

unsigned
hb_links_down(const struct hb_view *v)
{
	unsigned n = 0;

	for (unsigned i = 0; i < v->ports->count; i++)
		n += HB_SEE(v->ports->port[i].seen) && !HB_SEE(v->ports->port[i].up);
	return n;
}

/* Workers that have seen what is published. */
static unsigned
workers_current(const struct hb_view *v)
{
	uint64_t version = hb_view_version(v);
	unsigned n = 0;

	for (unsigned w = 0; w < v->n_workers; w++)
		n += HB_SEE(v->workers[w]->stats.version) >= version;
	return n;
}

static void
put_identity(json_t *o, const struct hb_view *v, const struct hb_config *c)
{
	static const char *const level[] = {"error", "warning", "info", "debug"};
	uint64_t now = hb_wall_us();

	hb_put_text(o, "version", v->version);
	hb_put(o, "pid", (uint64_t)getpid());
	hb_put(o, "host", c->host);
	hb_put(o, "time_us", now);
	hb_put(o, "started_us", v->started_us);
	hb_put(o, "uptime_s", now > v->started_us ? (now - v->started_us) / 1000000 : 0);
	hb_put_text(o, "config", c->path);
	hb_put(o, "config_version", hb_view_version(v));
	hb_put_text(o, "log_level", c->log_level < HB_COUNT_OF(level) ? level[c->log_level] : "?");
	hb_put_text(o, "clock", c->clock == HB_CLOCK_PACKET ? "packet" : "wall");
	hb_put_bool(o, "hugepages", v->hugepages);
}

json_t *
hb_view_status(const struct hb_view *v, const struct hb_config *c)
{
	struct hb_span second = hb_span_of(v, 1);
	json_t *o = json_object();
	struct hb_worker_stats sum;

	hb_sum_workers(&sum, v);
	hb_put_text(o, "state", hb_view_draining(v) ? "draining" : "running");
	put_identity(o, v, c);
	hb_put(o, "workers", v->n_workers);
	hb_put(o, "workers_current", workers_current(v));
	hb_put(o, "ports", v->ports->count);
	hb_put(o, "links_down", hb_links_down(v));
	hb_put_text(o, "disk", hb_disk_state(v));
	hb_put(o, "campaigns", c->campaigns);
	hb_put(o, "open_campaigns", hb_campaigns_open(v, c));
	hb_put(o, "denied", c->denied);
	hb_put(o, "received", sum.received);
	hb_put_real(o, "received_per_second",
		hb_rate_of(&second, v->n_workers, offsetof(struct hb_worker_stats, received)));
	hb_put(o, "replies", hb_all_replies(&sum));
	hb_put(o, "sent", sum.sent);
	hb_put(o, "dropped", hb_all_dropped(&sum));
	hb_put(o, "shed", hb_all_shed(&sum));
	hb_put(o, "wins", sum.wins);
	hb_put(o, "given_fen", sum.fen);
	hb_put(o, "journalled", HB_SEE(v->control->records));
	hb_put_real(o, "load_percent", hb_load_percent(v, &second, v->n_workers));
	return o;
}

/* ---- latency ------------------------------------------------------------------------- */

static const struct {
	const char *name;
	double percent;
} points[] = {
	{"p50", 50},
	{"p90", 90},
	{"p99", 99},
	{"p99_9", 99.9},
	{"p99_99", 99.99},
};

/* A row; unit: "ns" or "ms", of which each value of the histogram is so many. */
static json_t *
latency_row(const char *what, const struct hb_histogram *h, const char *unit, double scale)
{
	double percent[HB_COUNT_OF(points)];
	uint64_t value[HB_COUNT_OF(points)];
	json_t *row = json_object();
	char key[24];

	for (unsigned i = 0; i < HB_COUNT_OF(points); i++)
		percent[i] = points[i].percent;
	hb_histogram_percentiles(h, percent, value, HB_COUNT_OF(points));
	hb_put_text(row, "what", what);
	hb_put(row, "count", hb_read(&h->values));
	for (unsigned i = 0; i < HB_COUNT_OF(points); i++) {
		snprintf(key, sizeof(key), "%s_%s", points[i].name, unit);
		hb_put_real(row, key, (double)value[i] * scale);
	}
	snprintf(key, sizeof(key), "max_%s", unit);
	hb_put_real(row, key, (double)hb_read(&h->max) * scale);
	snprintf(key, sizeof(key), "mean_%s", unit);
	hb_put_real(row, key, hb_histogram_mean(h) * scale);
	return row;
}

/* Service time of each worker, and of all. */
static json_t *
service_table(const struct hb_view *v)
{
	struct hb_histogram *all = calloc(1, sizeof(*all));
	json_t *table = json_array();
	char what[24];

	for (unsigned w = 0; all != NULL && w < v->n_workers; w++) {
		const struct hb_histogram *h = v->workers[w]->service_ns;

		if (h == NULL)
			continue;
		snprintf(what, sizeof(what), "worker %u", w);
		json_array_append_new(table, latency_row(what, h, "ns", 1));
		hb_histogram_merge(all, h);
	}
	if (json_array_size(table) > 1)
		json_array_insert_new(table, 0, latency_row("all workers", all, "ns", 1));
	free(all);
	return table;
}

json_t *
hb_view_latency(const struct hb_view *v)
{
	json_t *o = json_object(), *disk = json_array();

	json_object_set_new(o, "service", service_table(v));
	if (v->control->durable_us != NULL)
		json_array_append_new(
			disk, latency_row("win to durable", v->control->durable_us, "ms", 1e-3));
	if (v->control->flush_ns != NULL)
		json_array_append_new(disk, latency_row("flush", v->control->flush_ns, "ms", 1e-6));
	json_object_set_new(o, "journal", disk);
	return o;
}

/* ---- journal ------------------------------------------------------------------------- */

/* Its disk, and its settlement where somebody settles it. */
static void
put_watch(json_t *o, const struct hb_view *v)
{
	static const char *const room[] = {"good", "short", "little"};
	const struct hb_watch *w = v->watch;
	uint64_t left = HB_SEE(w->seconds_left), settled_us = HB_SEE(w->settled_us);

	hb_put(o, "segments", HB_SEE(w->segments));
	hb_put(o, "used_bytes", HB_SEE(w->used_bytes));
	hb_put(o, "free_bytes", HB_SEE(w->free_bytes));
	hb_put(o, "growth_bytes_per_second", HB_SEE(w->bytes_per_second));
	hb_put_text(o, "room", room[HB_SEE(w->room) % HB_COUNT_OF(room)]);
	if (left != UINT64_MAX)
		hb_put(o, "full_in_s", left);
	hb_put(o, "all_records", HB_SEE(v->journal->record));
	if (settled_us == 0)
		return;
	hb_put(o, "settled", HB_SEE(w->settled));
	hb_put(o, "unsettled", hb_watch_unsettled(w));
	hb_put(o, "settled_us", settled_us);
}

json_t *
hb_view_journal(const struct hb_view *v, const struct hb_config *c)
{
	const struct hb_control *control = v->control;
	int err = HB_SEE(control->disk_error);
	json_t *o = json_object();

	hb_put_text(o, "path", c->journal);
	hb_put_text(o, "disk", hb_disk_state(v));
	if (err != 0)
		hb_put_text(o, "error", strerror(-err));
	hb_put(o, "written_bytes", HB_SEE(v->journal->bytes));
	hb_put(o, "segment", HB_SEE(v->journal->segment));
	hb_put(o, "segment_used_bytes", HB_SEE(v->journal->at));
	hb_put(o, "segment_bytes", HB_SEE(v->journal->segment_bytes));
	hb_put(o, "records", HB_SEE(control->records));
	hb_put(o, "batches", HB_SEE(control->batches));
	hb_put(o, "waiting", HB_SEE(control->waiting));
	hb_put_real(o, "slowest_flush_ms", (double)HB_SEE(control->worst_flush_ns) / 1e6);
	if (v->watch != NULL && HB_SEE(v->watch->known))
		put_watch(o, v);
	return o;
}

/* ---- steering ------------------------------------------------------------------------ */

static json_t *
steering_row(const struct hb_view *v, unsigned i)
{
	const struct hb_port *p = &v->ports->port[i];
	const struct hb_sample *last = hb_last_sample(v);
	char key[2 * HB_RSS_KEY_MAX + 1] = "";
	json_t *row = json_object();

	for (unsigned k = 0; k < p->key_bytes && k < HB_RSS_KEY_MAX; k++)
		snprintf(key + 2 * k, 3, "%02x", p->key[k]);
	hb_put(row, "port", i);
	hb_put_text(row, "device", p->name);
	hb_put_text(row, "driver", p->driver);
	hb_put(row, "rx_queues", p->rx_queues);
	hb_put(row, "tx_queues", p->tx_queues);
	hb_put_text(row, "steering", hb_steering_name(p->steering));
	hb_put_text(row, "why", p->why);
	hb_put_text(row, "note", p->note);
	hb_put_text(row, "link", !HB_SEE(p->seen) ? "unknown" : HB_SEE(p->up) ? "up" : "down");
	hb_put(row, "reta_entries", p->reta_entries);
	hb_put_text(row, "key", key);
	if (last != NULL)
		hb_put(row, "lost",
			last->lost[i].missed + last->lost[i].no_buffer + last->lost[i].errors);
	return row;
}

json_t *
hb_view_steering(const struct hb_view *v)
{
	json_t *o = json_object(), *table = json_array();
	struct hb_worker_stats sum;

	hb_sum_workers(&sum, v);
	hb_put(o, "received", sum.received);
	hb_put(o, "handed_over", sum.handed_over);
	hb_put(o, "misdirected", sum.misdirected);
	hb_put_real(o, "misdirected_percent",
		sum.received == 0 ? 0 : 100 * (double)sum.misdirected / (double)sum.received);
	hb_put(o, "host_answered", HB_SEE(v->ports->host_answered));
	hb_put(o, "host_ignored", HB_SEE(v->ports->host_ignored));
	hb_put(o, "host_crowded", HB_SEE(v->ports->host_crowded));
	for (unsigned i = 0; i < v->ports->count; i++)
		json_array_append_new(table, steering_row(v, i));
	json_object_set_new(o, "devices", table);
	return o;
}

/* ---- users --------------------------------------------------------------------------- */

struct users {
	uint64_t rows, limit, winners, forgotten, refused;
};

static void
put_users(json_t *o, const struct users *u)
{
	hb_put(o, "rows", u->rows);
	hb_put(o, "limit", u->limit);
	hb_put_real(
		o, "filled_percent", u->limit == 0 ? 0 : 100 * (double)u->rows / (double)u->limit);
	hb_put(o, "winners", u->winners);
	hb_put(o, "forgotten", u->forgotten);
	hb_put(o, "refused", u->refused);
}

json_t *
hb_view_users(const struct hb_view *v)
{
	json_t *o = json_object(), *table = json_array();
	struct users all = {0};

	for (unsigned w = 0; w < v->n_workers; w++) {
		const struct hb_users *t = &v->workers[w]->engine.users;
		struct users u = {HB_SEE(t->used), t->limit, HB_SEE(t->winners),
			HB_SEE(t->forgotten), HB_SEE(t->refused)};
		json_t *row = json_object();

		hb_put(row, "worker", w);
		put_users(row, &u);
		json_array_append_new(table, row);
		all.rows += u.rows;
		all.limit += u.limit;
		all.winners += u.winners;
		all.forgotten += u.forgotten;
		all.refused += u.refused;
	}
	put_users(o, &all);
	json_object_set_new(o, "workers", table);
	return o;
}
