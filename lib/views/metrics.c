/* SPDX-License-Identifier: BSD-3-Clause */
/* Metrics as text. The table at the end is all there is: each row is a family, with what it is
 * called, what it means, and the function that writes its samples. */
#include "text.h"
#include "views_internal.h"

#include <stdlib.h>

enum type {
	GAUGE,
	COUNTER,
	HISTOGRAM,
};

static const char *const type_name[] = {"gauge", "counter", "histogram"};

struct scrape {
	struct hb_text text;
	const struct hb_view *v;
	const struct hb_config *c;
	enum hb_metrics_format format;
	bool labelled; /* the sample in the making has a label already */
};

/* name: as OpenMetrics has it, without `_total`. What comes behind `write` is for it alone. */
struct metric {
	const char *name;
	enum type type;
	const char *unit;   /* or "" */
	const char *labels; /* for people */
	const char *help;
	void (*write)(struct scrape *, const struct metric *);
	size_t at; /* in hb_worker_stats */
	unsigned n;
	const char *(*text)(unsigned);
};

/* ---- a sample ------------------------------------------------------------------------ */

static const char *
total(const struct metric *m)
{
	return m->type == COUNTER ? "_total" : "";
}

static void
begin(struct scrape *s, const struct metric *m, const char *suffix)
{
	hb_text_add(&s->text, m->name);
	hb_text_add(&s->text, suffix);
	s->labelled = false;
}

static void
begin_label(struct scrape *s, const char *label)
{
	hb_text_bytes(&s->text, s->labelled ? "," : "{", 1);
	hb_text_add(&s->text, label);
	hb_text_bytes(&s->text, "=\"", 2);
	s->labelled = true;
}

static void
label_number(struct scrape *s, const char *label, uint64_t n)
{
	begin_label(s, label);
	hb_text_u64(&s->text, n);
	hb_text_bytes(&s->text, "\"", 1);
}

static void
label_text(struct scrape *s, const char *label, const char *value)
{
	begin_label(s, label);
	hb_text_escaped(&s->text, value);
	hb_text_bytes(&s->text, "\"", 1);
}

/* What stands between the labels and the value. */
static void
end_labels(struct scrape *s)
{
	if (s->labelled)
		hb_text_bytes(&s->text, "}", 1);
	hb_text_bytes(&s->text, " ", 1);
}

static void
end_line(struct scrape *s)
{
	hb_text_bytes(&s->text, "\n", 1);
}

static void
value(struct scrape *s, uint64_t n)
{
	end_labels(s);
	hb_text_u64(&s->text, n);
	end_line(s);
}

/* n / 10^decimals */
static void
value_fixed(struct scrape *s, uint64_t n, unsigned decimals)
{
	end_labels(s);
	hb_text_fixed(&s->text, n, decimals);
	end_line(s);
}

static void
begin_worker(struct scrape *s, const struct metric *m, unsigned w)
{
	begin(s, m, total(m));
	label_number(s, "worker", w);
}

/* ---- the program --------------------------------------------------------------------- */

static void
write_build(struct scrape *s, const struct metric *m)
{
	begin(s, m, "");
	label_text(s, "version", s->v->version);
	value(s, 1);
}

static void
write_start(struct scrape *s, const struct metric *m)
{
	begin(s, m, "");
	value_fixed(s, s->v->started_us, 6);
}

static void
write_version(struct scrape *s, const struct metric *m)
{
	begin(s, m, "");
	value(s, hb_view_version(s->v));
}

static void
write_draining(struct scrape *s, const struct metric *m)
{
	begin(s, m, "");
	value(s, hb_view_draining(s->v));
}

/* ---- workers ------------------------------------------------------------------------- */

/* A counter of each worker. */
static void
write_counter(struct scrape *s, const struct metric *m)
{
	for (unsigned w = 0; w < s->v->n_workers; w++) {
		begin_worker(s, m, w);
		value(s, hb_counter_of(&s->v->workers[w]->stats, m->at));
	}
}

/* Counters of each worker that stand side by side, of which the first has no meaning. */
static void
write_counters(struct scrape *s, const struct metric *m)
{
	const char *label = strchr(m->labels, ' ') + 1;

	for (unsigned w = 0; w < s->v->n_workers; w++) {
		const struct hb_worker_stats *of = &s->v->workers[w]->stats;

		for (unsigned i = 1; i < m->n; i++) {
			begin_worker(s, m, w);
			label_text(s, label, m->text(i));
			value(s, hb_counter_of(of, m->at + i * sizeof(uint64_t)));
		}
	}
}

static void
write_busy(struct scrape *s, const struct metric *m)
{
	uint64_t hz = s->v->tsc_hz == 0 ? 1 : s->v->tsc_hz;

	for (unsigned w = 0; w < s->v->n_workers; w++) {
		uint64_t cycles = hb_read(&s->v->workers[w]->stats.busy_cycles);

		begin_worker(s, m, w);
		value_fixed(s, cycles / hz * 1000000 + cycles % hz * 1000000 / hz, 6);
	}
}

static void
write_admission(struct scrape *s, const struct metric *m)
{
	for (unsigned w = 0; w < s->v->n_workers; w++) {
		begin_worker(s, m, w);
		value_fixed(s, hb_admission_of(&s->v->workers[w]->stats), 3);
	}
}

static void
write_parked(struct scrape *s, const struct metric *m)
{
	for (unsigned w = 0; w < s->v->n_workers; w++) {
		begin_worker(s, m, w);
		value(s, HB_SEE(s->v->workers[w]->link.parked));
	}
}

/* Of a worker's table of users, the number at m->at of struct hb_users. */
static void
write_users(struct scrape *s, const struct metric *m)
{
	for (unsigned w = 0; w < s->v->n_workers; w++) {
		const struct hb_users *users = &s->v->workers[w]->engine.users;

		begin_worker(s, m, w);
		value(s, hb_read((const uint64_t *)((const char *)users + m->at)));
	}
}

/* ---- histograms ---------------------------------------------------------------------- */

/* The buckets' bounds. */
struct bound {
	uint64_t ns;
	const char *le; /* seconds */
};

/* How values of a histogram become seconds. */
struct scale {
	const struct bound *bound;
	unsigned bounds;
	unsigned ns;	   /* of one */
	unsigned decimals; /* of a second that one is */
};

static const struct bound service_bounds[] = {
	{250, "2.5e-07"},
	{500, "5e-07"},
	{1000, "1e-06"},
	{2500, "2.5e-06"},
	{5000, "5e-06"},
	{10000, "1e-05"},
	{25000, "2.5e-05"},
	{50000, "5e-05"},
	{100000, "0.0001"},
	{250000, "0.00025"},
	{1000000, "0.001"},
	{10000000, "0.01"},
};

static const struct bound disk_bounds[] = {
	{50000, "5e-05"},
	{100000, "0.0001"},
	{250000, "0.00025"},
	{500000, "0.0005"},
	{1000000, "0.001"},
	{2500000, "0.0025"},
	{5000000, "0.005"},
	{10000000, "0.01"},
	{25000000, "0.025"},
	{100000000, "0.1"},
	{250000000, "0.25"},
	{1000000000, "1.0"},
	{10000000000, "10.0"},
};

static const struct scale service_scale = {service_bounds, HB_COUNT_OF(service_bounds), 1, 9};
static const struct scale flush_scale = {disk_bounds, HB_COUNT_OF(disk_bounds), 1, 9};
static const struct scale durable_scale = {disk_bounds, HB_COUNT_OF(disk_bounds), 1000, 6};

#define BOUNDS_MAX HB_COUNT_OF(disk_bounds)

static void
begin_of(struct scrape *s, const struct metric *m, const char *suffix, int worker)
{
	begin(s, m, suffix);
	if (worker >= 0)
		label_number(s, "worker", (unsigned)worker);
}

/* worker: -1 for none. */
static void
histogram(struct scrape *s, const struct metric *m, int worker, const struct hb_histogram *h,
	const struct scale *scale)
{
	uint64_t bound[BOUNDS_MAX], upto[BOUNDS_MAX], all;

	if (h == NULL)
		return;
	for (unsigned i = 0; i < scale->bounds; i++)
		bound[i] = scale->bound[i].ns / scale->ns;
	/* All there are is what was counted, so that the buckets fit each other. */
	all = hb_histogram_buckets(h, bound, upto, scale->bounds);
	for (unsigned i = 0; i < scale->bounds; i++) {
		begin_of(s, m, "_bucket", worker);
		label_text(s, "le", scale->bound[i].le);
		value(s, upto[i]);
	}
	begin_of(s, m, "_bucket", worker);
	label_text(s, "le", "+Inf");
	value(s, all);
	begin_of(s, m, "_sum", worker);
	value_fixed(s, hb_read(&h->sum), scale->decimals);
	begin_of(s, m, "_count", worker);
	value(s, all);
}

static void
write_service(struct scrape *s, const struct metric *m)
{
	for (unsigned w = 0; w < s->v->n_workers; w++)
		histogram(s, m, (int)w, s->v->workers[w]->service_ns, &service_scale);
}

static void
write_durable(struct scrape *s, const struct metric *m)
{
	histogram(s, m, -1, s->v->control->durable_us, &durable_scale);
}

static void
write_flush(struct scrape *s, const struct metric *m)
{
	histogram(s, m, -1, s->v->control->flush_ns, &flush_scale);
}

/* ---- the journal --------------------------------------------------------------------- */

static void
write_records(struct scrape *s, const struct metric *m)
{
	begin(s, m, total(m));
	value(s, HB_SEE(s->v->control->records));
}

static void
write_batches(struct scrape *s, const struct metric *m)
{
	begin(s, m, total(m));
	value(s, HB_SEE(s->v->control->batches));
}

static void
write_waiting(struct scrape *s, const struct metric *m)
{
	begin(s, m, "");
	value(s, HB_SEE(s->v->control->waiting));
}

static void
write_segment(struct scrape *s, const struct metric *m)
{
	begin(s, m, "");
	value(s, HB_SEE(s->v->journal->segment));
}

static void
write_segment_bytes(struct scrape *s, const struct metric *m)
{
	begin(s, m, "");
	value(s, HB_SEE(s->v->journal->at));
}

static void
write_written(struct scrape *s, const struct metric *m)
{
	begin(s, m, total(m));
	value(s, HB_SEE(s->v->journal->bytes));
}

static void
write_disk(struct scrape *s, const struct metric *m)
{
	static const char *const state[] = {"good", "full", "failed"};
	const char *now = hb_disk_state(s->v);

	for (unsigned i = 0; i < HB_COUNT_OF(state); i++) {
		begin(s, m, "");
		label_text(s, "state", state[i]);
		value(s, strcmp(state[i], now) == 0);
	}
}

/* What is known of the journal's disk and settlement. */
static void
write_watch(struct scrape *s, const struct metric *m)
{
	const struct hb_watch *w = s->v->watch;

	if (w == NULL || !HB_SEE(w->known))
		return;
	begin(s, m, total(m));
	value(s, HB_SEE(*(const uint64_t *)((const char *)w + m->at)));
}

static void
write_full_in(struct scrape *s, const struct metric *m)
{
	const struct hb_watch *w = s->v->watch;

	if (w == NULL || HB_SEE(w->seconds_left) != UINT64_MAX) {
		write_watch(s, m);
		return;
	}
	begin(s, m, "");
	end_labels(s);
	hb_text_add(&s->text, "+Inf");
	end_line(s);
}

/* Only where somebody settles. */
static void
write_settled(struct scrape *s, const struct metric *m)
{
	if (s->v->watch != NULL && HB_SEE(s->v->watch->settled_us) != 0)
		write_watch(s, m);
}

static void
write_settled_time(struct scrape *s, const struct metric *m)
{
	if (s->v->watch == NULL || HB_SEE(s->v->watch->settled_us) == 0)
		return;
	begin(s, m, "");
	value_fixed(s, HB_SEE(s->v->watch->settled_us), 6);
}

static void
write_unsettled(struct scrape *s, const struct metric *m)
{
	if (s->v->watch == NULL || HB_SEE(s->v->watch->settled_us) == 0)
		return;
	begin(s, m, "");
	value(s, hb_watch_unsettled(s->v->watch));
}

/* ---- the ports ----------------------------------------------------------------------- */

static void
write_port_info(struct scrape *s, const struct metric *m)
{
	for (unsigned i = 0; i < s->v->ports->count; i++) {
		const struct hb_port *p = &s->v->ports->port[i];

		begin(s, m, "");
		label_text(s, "port", p->name);
		label_text(s, "driver", p->driver);
		label_text(s, "steering", hb_steering_name(p->steering));
		value(s, 1);
	}
}

static void
write_port_up(struct scrape *s, const struct metric *m)
{
	for (unsigned i = 0; i < s->v->ports->count; i++) {
		const struct hb_port *p = &s->v->ports->port[i];

		begin(s, m, "");
		label_text(s, "port", p->name);
		value(s, HB_SEE(p->up));
	}
}

static void
write_port_lost(struct scrape *s, const struct metric *m)
{
	const struct hb_sample *last = hb_last_sample(s->v);

	for (unsigned i = 0; last != NULL && i < s->v->ports->count; i++) {
		const struct {
			const char *reason;
			uint64_t n;
		} lost[] = {
			{"missed", last->lost[i].missed},
			{"no_buffer", last->lost[i].no_buffer},
			{"errors", last->lost[i].errors},
		};

		for (unsigned k = 0; k < HB_COUNT_OF(lost); k++) {
			begin(s, m, total(m));
			label_text(s, "port", s->v->ports->port[i].name);
			label_text(s, "reason", lost[k].reason);
			value(s, lost[k].n);
		}
	}
}

static void
write_host(struct scrape *s, const struct metric *m)
{
	const struct hb_ports *p = s->v->ports;
	const struct {
		const char *result;
		const uint64_t *n;
	} of[] = {
		{"answered", &p->host_answered},
		{"ignored", &p->host_ignored},
		{"crowded", &p->host_crowded},
	};

	for (unsigned i = 0; i < HB_COUNT_OF(of); i++) {
		begin(s, m, total(m));
		label_text(s, "result", of[i].result);
		value(s, hb_read(of[i].n));
	}
}

/* ---- campaigns ----------------------------------------------------------------------- */

static void
write_campaigns(struct scrape *s, const struct metric *m)
{
	begin(s, m, "");
	value(s, s->c->campaigns);
}

/* Those with series of their own. */
static unsigned
shown(const struct scrape *s)
{
	return s->c->campaigns < HB_METRICS_CAMPAIGNS ? s->c->campaigns : HB_METRICS_CAMPAIGNS;
}

static void
begin_campaign(struct scrape *s, const struct metric *m, const struct hb_campaign_config *of)
{
	begin(s, m, total(m));
	label_number(s, "campaign", of->id);
}

static void
write_campaign_info(struct scrape *s, const struct metric *m)
{
	for (unsigned i = 0; i < shown(s); i++) {
		begin_campaign(s, m, &s->c->campaign[i]);
		label_text(s, "name", s->c->campaign[i].name);
		value(s, 1);
	}
}

static void
write_campaign_odds(struct scrape *s, const struct metric *m)
{
	for (unsigned i = 0; i < shown(s); i++) {
		begin_campaign(s, m, &s->c->campaign[i]);
		value_fixed(s, (uint64_t)(s->c->campaign[i].odds * 1e9 + 0.5), 9);
	}
}

static uint64_t
open_of(const struct scrape *s, const struct hb_campaign_config *of, const struct metric *m)
{
	(void)m;
	return hb_campaign_open(s->v, s->c, of);
}

/* The fact at m->at of struct hb_campaign_facts. */
static uint64_t
fact_of(const struct scrape *s, const struct hb_campaign_config *of, const struct metric *m)
{
	struct hb_campaign_facts f = hb_campaign_ledger(s->v, of->slot);

	return *(const uint64_t *)((const char *)&f + m->at);
}

/* A number of each campaign, and the sum over the campaigns without series of their own. */
static void
write_of_campaigns(struct scrape *s, const struct metric *m,
	uint64_t (*number)(
		const struct scrape *, const struct hb_campaign_config *, const struct metric *))
{
	uint64_t other = 0;

	for (unsigned i = 0; i < shown(s); i++) {
		begin_campaign(s, m, &s->c->campaign[i]);
		value(s, number(s, &s->c->campaign[i], m));
	}
	for (unsigned i = shown(s); i < s->c->campaigns; i++)
		other += number(s, &s->c->campaign[i], m);
	if (shown(s) == s->c->campaigns)
		return;
	begin(s, m, total(m));
	label_text(s, "campaign", "other");
	value(s, other);
}

static void
write_campaign_open(struct scrape *s, const struct metric *m)
{
	write_of_campaigns(s, m, open_of);
}

static void
write_campaign_fact(struct scrape *s, const struct metric *m)
{
	write_of_campaigns(s, m, fact_of);
}

/* ---- packets ------------------------------------------------------------------------- */

static void
write_packet_fact(struct scrape *s, const struct metric *m)
{
	struct hb_packet_facts f = hb_packet_facts(s->v);

	begin(s, m, total(m));
	value(s, *(const uint64_t *)((const char *)&f + m->at));
}

/* ---- the table ----------------------------------------------------------------------- */

#define STATS(field) .at = offsetof(struct hb_worker_stats, field)
#define WATCH(field) .at = offsetof(struct hb_watch, field)
#define USERS(field) .at = offsetof(struct hb_users, field)
#define FACT(field) .at = offsetof(struct hb_campaign_facts, field)
#define PACKETS(field) .at = offsetof(struct hb_packet_facts, field)
#define NAMED(count, function) .n = (count), .text = (function)

/* One row, one metric: name, type, unit, labels; meaning; what writes it. */
/* clang-format off */
static const struct metric metrics[] = {
	{"hongbao_build_info", GAUGE, "", "version",
		"Always 1; the version of hongbaod",
		.write = write_build},
	{"hongbao_start_time_seconds", GAUGE, "seconds", "",
		"When it started, since 1970",
		.write = write_start},
	{"hongbao_config_version", GAUGE, "", "",
		"Publications of the configuration so far: versions, and also top-ups and a drain",
		.write = write_version},
	{"hongbao_draining", GAUGE, "", "",
		"1 while it drains: nothing more is given",
		.write = write_draining},

	{"hongbao_received_frames", COUNTER, "", "worker",
		"Frames from the NIC",
		.write = write_counter, STATS(received)},
	{"hongbao_replies", COUNTER, "", "worker, status",
		"Replies sent or parked, by status",
		.write = write_counters, STATS(replies), NAMED(HB_STATUSES, hb_status_name)},
	{"hongbao_dropped_frames", COUNTER, "", "worker, reason",
		"Frames that got no reply, by the first reason that was found",
		.write = write_counters, STATS(dropped), NAMED(HB_DROPS, hb_drop_name)},
	{"hongbao_shed_requests", COUNTER, "", "worker, op",
		"Requests answered BUSY under load before anything was looked up",
		.write = write_counters, STATS(shed), NAMED(HB_OPS, hb_op_name)},
	{"hongbao_sent_replies", COUNTER, "", "worker",
		"Replies that the NIC took",
		.write = write_counter, STATS(sent)},
	{"hongbao_wins", COUNTER, "", "worker",
		"Envelopes given; a win that is told again is a reply, not a win",
		.write = write_counter, STATS(wins)},
	{"hongbao_given_fen", COUNTER, "fen", "worker",
		"Money given",
		.write = write_counter, STATS(fen)},
	{"hongbao_handed_over_requests", COUNTER, "", "worker",
		"Requests given to the worker that owns them",
		.write = write_counter, STATS(handed_over)},
	{"hongbao_taken_in_requests", COUNTER, "", "worker",
		"Requests that other workers gave",
		.write = write_counter, STATS(taken_in)},
	{"hongbao_misdirected_requests", COUNTER, "", "worker",
		"Of those handed over, what RSS should have brought to its worker",
		.write = write_counter, STATS(misdirected)},
	{"hongbao_passed_on_frames", COUNTER, "", "worker",
		"ARP, neighbour discovery and ping, given to the control core",
		.write = write_counter, STATS(to_control)},
	{"hongbao_parked_replies", GAUGE, "", "worker",
		"Replies that wait for the journal now",
		.write = write_parked},
	{"hongbao_polls", COUNTER, "", "worker",
		"Turns of the loop",
		.write = write_counter, STATS(polls)},
	{"hongbao_busy_polls", COUNTER, "", "worker",
		"Turns of the loop that had work",
		.write = write_counter, STATS(busy_polls)},
	{"hongbao_busy_seconds", COUNTER, "seconds", "worker",
		"Time of the turns that had work; its rate is the load, 1 at the most",
		.write = write_busy},
	{"hongbao_sleeps", COUNTER, "", "worker",
		"Times that the worker slept for want of work",
		.write = write_counter, STATS(sleeps)},
	{"hongbao_overloaded_windows", COUNTER, "", "worker",
		"Windows of time in which the worker judged itself overloaded",
		.write = write_counter, STATS(overloaded)},
	{"hongbao_admission_ratio", GAUGE, "ratio", "worker",
		"Share of requests that its level lets in; the others get BUSY as far as the budget goes",
		.write = write_admission},
	{"hongbao_worker_config_version", GAUGE, "", "worker",
		"Which of those publications the worker saw last",
		.write = write_counter, STATS(version)},
	{"hongbao_service_seconds", HISTOGRAM, "seconds", "worker",
		"Time of each turn that took frames in, from before their receive until they were sent or parked",
		.write = write_service},

	{"hongbao_users", GAUGE, "", "worker",
		"Rows of the user table in use",
		.write = write_users, USERS(used)},
	{"hongbao_users_limit", GAUGE, "", "worker",
		"Rows that the user table was made for",
		.write = write_users, USERS(limit)},
	{"hongbao_winners", GAUGE, "", "worker",
		"Rows of users who won",
		.write = write_users, USERS(winners)},
	{"hongbao_forgotten_users", COUNTER, "", "worker",
		"Users who never won and lost their row to another",
		.write = write_users, USERS(forgotten)},
	{"hongbao_refused_users", COUNTER, "", "worker",
		"Times that no row could be had for a user",
		.write = write_users, USERS(refused)},

	{"hongbao_journal_records", COUNTER, "", "",
		"Records of this run on stable storage",
		.write = write_records},
	{"hongbao_journal_batches", COUNTER, "", "",
		"Batches written and flushed",
		.write = write_batches},
	{"hongbao_journal_waiting_records", GAUGE, "", "",
		"Records that no batch has taken yet",
		.write = write_waiting},
	{"hongbao_journal_segment", GAUGE, "", "",
		"Number of the segment that is written",
		.write = write_segment},
	{"hongbao_journal_segment_bytes", GAUGE, "bytes", "",
		"Bytes of that segment that are written",
		.write = write_segment_bytes},
	{"hongbao_journal_written_bytes", COUNTER, "bytes", "",
		"Bytes written in this run, headers and padding included",
		.write = write_written},
	{"hongbao_journal_disk", GAUGE, "", "state",
		"1 for the state that the disk is in: good, full or failed",
		.write = write_disk},
	{"hongbao_journal_used_bytes", GAUGE, "bytes", "",
		"Bytes that its segments take, those in the archive not counted",
		.write = write_watch, WATCH(used_bytes)},
	{"hongbao_journal_free_bytes", GAUGE, "bytes", "",
		"Bytes that are free on its file system",
		.write = write_watch, WATCH(free_bytes)},
	{"hongbao_journal_growth_bytes", GAUGE, "bytes", "",
		"Bytes a second that it grew by in the last ten minutes",
		.write = write_watch, WATCH(bytes_per_second)},
	{"hongbao_journal_full_seconds", GAUGE, "seconds", "",
		"Time until its file system is full at that rate; +Inf while it doesn't grow",
		.write = write_full_in, WATCH(seconds_left)},
	{"hongbao_settled_records", GAUGE, "", "",
		"Records of the journal that are settled, as hongbao-settle says; absent where nobody settles",
		.write = write_settled, WATCH(settled)},
	{"hongbao_unsettled_records", GAUGE, "", "",
		"Records that aren't, likewise",
		.write = write_unsettled},
	{"hongbao_settled_timestamp_seconds", GAUGE, "seconds", "",
		"When hongbao-settle last said so, since 1970",
		.write = write_settled_time},
	{"hongbao_journal_flush_seconds", HISTOGRAM, "seconds", "",
		"Time that a batch's write and flush took",
		.write = write_flush},
	{"hongbao_win_durable_seconds", HISTOGRAM, "seconds", "",
		"Time from a win's request until its record was on stable storage",
		.write = write_durable},

	{"hongbao_port_info", GAUGE, "", "port, driver, steering",
		"Always 1; how the device is steered",
		.write = write_port_info},
	{"hongbao_port_up", GAUGE, "", "port",
		"1 while the link is up",
		.write = write_port_up},
	{"hongbao_port_lost_frames", COUNTER, "", "port, reason",
		"Frames that the device lost before a worker saw them: missed, no_buffer, errors",
		.write = write_port_lost},
	{"hongbao_host_frames", COUNTER, "", "result",
		"ARP, neighbour discovery and ping: answered, ignored, or crowded out",
		.write = write_host},

	{"hongbao_campaigns", GAUGE, "", "",
		"Campaigns of the configuration",
		.write = write_campaigns},
	{"hongbao_campaign_info", GAUGE, "", "campaign, name",
		"Always 1; the campaign's name",
		.write = write_campaign_info},
	{"hongbao_campaign_open", GAUGE, "", "campaign",
		"1 while requests can win; campaign=other: how many of them are open",
		.write = write_campaign_open},
	{"hongbao_campaign_odds_ratio", GAUGE, "ratio", "campaign",
		"Odds of a request",
		.write = write_campaign_odds},
	{"hongbao_campaign_funded_envelopes", GAUGE, "", "campaign",
		"Envelopes that it was funded with, top-ups included",
		.write = write_campaign_fact, FACT(funded)},
	{"hongbao_campaign_funded_fen", GAUGE, "fen", "campaign",
		"Money that it was funded with, top-ups included",
		.write = write_campaign_fact, FACT(funded_fen)},
	{"hongbao_campaign_left_envelopes", GAUGE, "", "campaign",
		"Envelopes whose gift is not on stable storage",
		.write = write_campaign_fact, FACT(left)},
	{"hongbao_campaign_given_envelopes", COUNTER, "", "campaign",
		"Envelopes whose gift is on stable storage, in this and earlier runs",
		.write = write_campaign_fact, FACT(given)},
	{"hongbao_campaign_given_fen", COUNTER, "fen", "campaign",
		"Money of those",
		.write = write_campaign_fact, FACT(given_fen)},
	{"hongbao_campaign_moves", COUNTER, "", "campaign",
		"Ranges of envelopes moved between workers",
		.write = write_campaign_fact, FACT(moves)},
	{"hongbao_campaign_bundles", COUNTER, "", "campaign",
		"Of the envelopes given, those that were made group packets",
		.write = write_campaign_fact, FACT(bundles)},
	{"hongbao_campaign_bundles_fen", COUNTER, "fen", "campaign",
		"Money of those",
		.write = write_campaign_fact, FACT(bundles_fen)},
	{"hongbao_campaign_refunded_fen", COUNTER, "fen", "campaign",
		"What nobody took out of them in time",
		.write = write_campaign_fact, FACT(refunded_fen)},

	{"hongbao_packets_funded", COUNTER, "", "",
		"Group packets whose funding is on stable storage, in this and earlier runs, bundles among them",
		.write = write_packet_fact, PACKETS(funded)},
	{"hongbao_packets_funded_fen", COUNTER, "fen", "",
		"Money of those",
		.write = write_packet_fact, PACKETS(funded_fen)},
	{"hongbao_packets_taken_shares", COUNTER, "", "",
		"Shares taken, likewise",
		.write = write_packet_fact, PACKETS(taken)},
	{"hongbao_packets_taken_fen", COUNTER, "fen", "",
		"Money of those",
		.write = write_packet_fact, PACKETS(taken_fen)},
	{"hongbao_packets_refunded", COUNTER, "", "",
		"Packets whose time was over with something left, likewise",
		.write = write_packet_fact, PACKETS(refunded)},
	{"hongbao_packets_refunded_fen", COUNTER, "fen", "",
		"What was left in them",
		.write = write_packet_fact, PACKETS(refunded_fen)},
	{"hongbao_packets_refused", COUNTER, "", "",
		"Times that there was no memory for one more packet",
		.write = write_packet_fact, PACKETS(refused)},
	{"hongbao_packets_open", GAUGE, "", "",
		"Packets from which shares can be taken",
		.write = write_packet_fact, PACKETS(open)},
	{"hongbao_packets_left_fen", GAUGE, "fen", "",
		"Money in them",
		.write = write_packet_fact, PACKETS(left_fen)},
	{"hongbao_packets_remembered", GAUGE, "", "",
		"Packets that take memory: open, or done and not forgotten yet",
		.write = write_packet_fact, PACKETS(remembered)},
	{"hongbao_packets_room", GAUGE, "", "",
		"Packets that there is memory for",
		.write = write_packet_fact, PACKETS(room)},
	{"hongbao_packets_free_places", GAUGE, "", "",
		"Places for shares that no packet has",
		.write = write_packet_fact, PACKETS(free_places)},
};
/* clang-format on */

/* ---- the whole ----------------------------------------------------------------------- */

static void
meta(struct scrape *s, const char *what, const struct metric *m, const char *text)
{
	hb_text_add(&s->text, what);
	hb_text_add(&s->text, m->name);
	if (s->format == HB_METRICS_CLASSIC)
		hb_text_add(&s->text, total(m));
	hb_text_bytes(&s->text, " ", 1);
	hb_text_add(&s->text, text);
	end_line(s);
}

char *
hb_view_metrics(const struct hb_view *v, const struct hb_config *c, enum hb_metrics_format format,
	size_t *bytes)
{
	struct scrape s = {.v = v, .c = c, .format = format};

	for (unsigned i = 0; i < HB_COUNT_OF(metrics); i++) {
		const struct metric *m = &metrics[i];

		meta(&s, "# HELP ", m, m->help);
		meta(&s, "# TYPE ", m, type_name[m->type]);
		if (format == HB_METRICS_OPEN && m->unit[0] != '\0')
			meta(&s, "# UNIT ", m, m->unit);
		m->write(&s, m);
	}
	if (format == HB_METRICS_OPEN)
		hb_text_add(&s.text, "# EOF\n");
	return hb_text_end(&s.text, bytes);
}

char *
hb_metrics_readme(void)
{
	struct hb_text t = {0};

	hb_text_add(&t, "| metric | type | labels | meaning |\n|---|---|---|---|\n");
	for (unsigned i = 0; i < HB_COUNT_OF(metrics); i++) {
		const struct metric *m = &metrics[i];
		const char *cell[] = {"| ", m->name, total(m), " | ", type_name[m->type], " | ",
			m->labels, " | ", m->help, " |\n"};

		for (unsigned k = 0; k < HB_COUNT_OF(cell); k++)
			hb_text_add(&t, cell[k]);
	}
	return hb_text_end(&t, NULL);
}
