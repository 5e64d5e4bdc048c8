/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"
#include "hb_report.h"

#include <errno.h>
#include <rte_cycles.h>
#include <stdio.h>

/* The figures of a run, over all workers. */
struct figures {
	struct hb_worker_stats sum;
	double seconds;
	double per_second;
	double cycles;
	bool balanced;
	struct hb_error books;
};

static void
collect(const struct daemon *d, struct figures *f)
{
	*f = (struct figures){0};
	for (unsigned i = 0; i < d->config->workers; i++)
		hb_stats_add(&f->sum, &d->worker[i]->stats);
	f->seconds = (double)(f->sum.last_tsc - f->sum.first_tsc) / (double)rte_get_tsc_hz();
	if (f->sum.received > 0) {
		f->per_second = (double)f->sum.received / f->seconds;
		f->cycles = (double)f->sum.busy_cycles / (double)f->sum.received;
	}
	f->balanced = hb_control_balanced(&d->control, &f->books);
}

/* ---- the screen ---------------------------------------------------------------------- */

static void
print_fen(const char *what, uint64_t n, uint64_t fen)
{
	char a[32], b[32];

	printf("  %-25s %18s   of %s.%02u yuan\n", what, hb_thousands(n, a),
		hb_thousands(fen / 100, b), (unsigned)(fen % 100));
}

/* Of this and earlier runs, where there are any. */
static void
print_packets(const struct daemon *d)
{
	const struct hb_packet_ledger *p = &d->control.packets;

	if (p->packed == 0)
		return;
	print_fen("packets funded", p->packed, p->packed_fen);
	print_fen("shares taken", p->taken, p->taken_fen);
	print_fen("packets refunded", p->refunded, p->refunded_fen);
}

static void
print_screen(const struct daemon *d, const struct figures *f, const char *fault)
{
	char a[32], b[32], c[32];

	printf("\n  %-25s %18s   in %.2f s\n", "requests", hb_thousands(f->sum.received, a),
		f->seconds);
	printf("  %-25s %18s   %s cycles each\n", "  a second",
		hb_thousands((uint64_t)f->per_second, b), hb_thousands((uint64_t)f->cycles, c));
	hb_report_print_counts("replies", f->sum.replies, HB_STATUSES, hb_status_name);
	hb_report_print_counts("shed", f->sum.shed, HB_OPS, hb_op_name);
	hb_report_print_counts("dropped", f->sum.dropped, HB_DROPS, hb_drop_name);
	if (f->sum.handed_over != 0)
		printf("  %-25s %18s   between workers\n", "handed over",
			hb_thousands(f->sum.handed_over, a));
	if (f->sum.to_control != 0)
		printf("  %-25s %18s   ARP, neighbour discovery, ping\n", "host",
			hb_thousands(f->sum.to_control, a));
	if (d->lost != 0)
		printf("  %-25s %18s   before hongbao saw them\n", "lost by the device",
			hb_thousands(d->lost, a));
	printf("  %-25s %18s\n", "wins", hb_thousands(f->sum.wins, a));
	printf("  %-25s %18s.%02u yuan\n", "money given", hb_thousands(f->sum.fen / 100, a),
		(unsigned)(f->sum.fen % 100));
	print_packets(d);
	printf("  %-25s %18s   in %s batches, the slowest %.1f ms\n", "journalled",
		hb_thousands(d->control.records, a), hb_thousands(d->control.batches, b),
		(double)d->control.worst_flush_ns / 1e6);
	if (f->balanced)
		printf("\n  books: balanced\n");
	else
		printf("\n  books: NOT balanced: %s\n", f->books.text);
	if (fault != NULL)
		printf("  fault: %s\n", fault);
	fflush(stdout);
}

/* ---- the file ------------------------------------------------------------------------ */

static json_t *
campaigns_json(const struct daemon *d)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < d->config->campaigns; i++) {
		const struct hb_campaign_config *c = &d->config->campaign[i];
		const struct hb_ledger *l = &d->control.ledger[c->slot];

		json_array_append_new(
			list, json_pack("{s:i, s:s, s:I, s:I, s:I, s:I, s:I}", "id", c->id, "name",
				      c->name, "funded", (json_int_t)l->funded, "funded_fen",
				      (json_int_t)l->funded_fen, "given", (json_int_t)l->journalled,
				      "given_fen", (json_int_t)l->journalled_fen, "moves",
				      (json_int_t)l->moves));
	}
	return list;
}

/* By worker. */
static json_t *
handed_to_json(const struct hb_worker *w)
{
	json_t *list = json_array();

	for (unsigned to = 0; to < w->workers; to++)
		json_array_append_new(list, json_integer((json_int_t)w->handed_to[to]));
	return list;
}

static json_t *
ports_json(const struct daemon *d)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < d->config->ports; i++) {
		const struct hb_port *p = &d->ports.port[i];

		json_array_append_new(list,
			json_pack("{s:s, s:s, s:i, s:i, s:s, s:s}", "name", p->name, "driver",
				p->driver, "rx_queues", p->rx_queues, "tx_queues", p->tx_queues,
				"steering", hb_steering_name(p->steering), "why", p->why));
	}
	return list;
}

static json_t *
workers_json(const struct daemon *d)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < d->config->workers; i++) {
		const struct hb_worker *w = d->worker[i];

		json_array_append_new(list,
			json_pack("{s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I}", "received",
				(json_int_t)w->stats.received, "sent", (json_int_t)w->stats.sent,
				"handed_over", (json_int_t)w->stats.handed_over, "handed_to",
				handed_to_json(w), "taken_in", (json_int_t)w->stats.taken_in,
				"misdirected", (json_int_t)w->stats.misdirected, "users",
				(json_int_t)w->engine.users.used, "winners",
				(json_int_t)w->engine.users.winners, "forgotten",
				(json_int_t)w->engine.users.forgotten));
	}
	return list;
}

/* Of this and earlier runs. */
static json_t *
packets_json(const struct daemon *d)
{
	const struct hb_packet_ledger *p = &d->control.packets;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "funded", (json_int_t)p->packed,
		"funded_fen", (json_int_t)p->packed_fen, "taken", (json_int_t)p->taken, "taken_fen",
		(json_int_t)p->taken_fen, "refunded", (json_int_t)p->refunded, "refunded_fen",
		(json_int_t)p->refunded_fen);
}

static json_t *
report_json(const struct daemon *d, const struct figures *f, const char *fault)
{
	json_t *o = json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:f, s:b, s:b}",
		"requests", (json_int_t)f->sum.received, "wins", (json_int_t)f->sum.wins, "fen",
		(json_int_t)f->sum.fen, "seconds", f->seconds, "requests_per_second", f->per_second,
		"cycles_per_request", f->cycles, "sent", (json_int_t)f->sum.sent, "lost",
		(json_int_t)d->lost, "journalled", (json_int_t)d->control.records, "batches",
		(json_int_t)d->control.batches, "slowest_batch_ms",
		(double)d->control.worst_flush_ns / 1e6, "balanced", f->balanced, "hugepages",
		!d->no_huge);

	json_object_set_new(
		o, "replies", hb_report_counts(f->sum.replies, HB_STATUSES, hb_status_name));
	json_object_set_new(o, "shed", hb_report_counts(f->sum.shed, HB_OPS, hb_op_name));
	json_object_set_new(o, "dropped", hb_report_counts(f->sum.dropped, HB_DROPS, hb_drop_name));
	json_object_set_new(o, "campaigns", campaigns_json(d));
	json_object_set_new(o, "packets", packets_json(d));
	json_object_set_new(o, "workers", workers_json(d));
	json_object_set_new(o, "ports", ports_json(d));
	json_object_set_new(o, "host",
		json_pack("{s:I, s:I, s:I, s:I}", "passed_on", (json_int_t)f->sum.to_control,
			"answered", (json_int_t)d->ports.host_answered, "ignored",
			(json_int_t)d->ports.host_ignored, "crowded",
			(json_int_t)d->ports.host_crowded));
	if (fault != NULL)
		json_object_set_new(o, "fault", json_string(fault));
	return o;
}

int
daemon_report(const struct daemon *d, const char *fault, struct hb_error *e)
{
	struct figures f;
	int err = 0;

	collect(d, &f);
	print_screen(d, &f, fault);
	if (d->options.report != NULL) {
		json_t *o = report_json(d, &f, fault);

		err = hb_report_write(d->options.report, o, e);
		json_decref(o);
	}
	if (err == 0 && !f.balanced) {
		*e = f.books;
		err = -EINVAL;
	}
	return err;
}
