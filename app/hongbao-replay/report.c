/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include "hb_report.h"

#include <errno.h>
#include <stdio.h>

/* A sender is behind when a frame goes later than this. */
#define BEHIND_NS 10000

static const struct {
	const char *name, *key;
	double percent;
} percentiles[] = {
	{"p50", "p50", 50},
	{"p90", "p90", 90},
	{"p99", "p99", 99},
	{"p99.9", "p99_9", 99.9},
	{"p99.99", "p99_99", 99.99},
};

/* The figures of a replay. */
struct figures {
	const struct hb_match_counts *match;
	const struct hb_replay_counts *counts;
	struct hb_histogram latency; /* of all replies */
	uint64_t replies, late_sends;
	double seconds, offered, loss;
};

static void
collect(const struct hb_replay *r, struct figures *f)
{
	*f = (struct figures){.match = hb_match_counts(r->match), .counts = &r->counts};
	for (unsigned s = 0; s < HB_STATUSES; s++) {
		hb_histogram_merge(&f->latency, hb_match_latency(r->match, s));
		f->replies += f->match->replies[s];
	}
	f->late_sends = hb_histogram_above(&r->behind, BEHIND_NS);
	if (r->counts.last_ns > r->counts.first_ns)
		f->seconds = (double)(r->counts.last_ns - r->counts.first_ns) / 1e9;
	/* n frames have n - 1 gaps between them. */
	uint64_t gaps = f->match->requests + f->match->forged;
	f->offered = gaps > 1 && f->seconds > 0 ? (double)(gaps - 1) / f->seconds : 0;
	if (f->match->measured != 0)
		f->loss = (double)f->match->measured_lost / (double)f->match->measured;
}

/* ---- the screen ---------------------------------------------------------------------- */

static void
print_latency(const char *title, const struct hb_histogram *h)
{
	printf("  %-10s", title);
	for (size_t i = 0; i < HB_COUNT_OF(percentiles); i++)
		printf(" %9.1f", (double)hb_histogram_percentile(h, percentiles[i].percent) / 1e3);
	printf(" %9.1f\n", (double)h->max / 1e3);
}

static void
print_latencies(const struct hb_replay *r, const struct figures *f)
{
	printf("\n  %-10s", "latency us");
	for (size_t i = 0; i < HB_COUNT_OF(percentiles); i++)
		printf(" %9s", percentiles[i].name);
	printf(" %9s\n", "max");
	print_latency("all", &f->latency);
	for (unsigned s = 0; s < HB_STATUSES; s++) {
		if (hb_match_latency(r->match, s)->values != 0)
			print_latency(hb_status_name(s), hb_match_latency(r->match, s));
	}
	print_latency("behind", &r->behind);
}

static void
print_more(const char *what, uint64_t n, const char *why)
{
	char number[32];

	if (n != 0)
		printf("  %-25s %18s   %s\n", what, hb_thousands(n, number), why);
}

static void
print_counts(const struct figures *f)
{
	const struct hb_match_counts *m = f->match;
	char a[32];

	print_more("forged", m->forged, "to which no reply may come");
	print_more("repeated by us", m->retries, "as a client does");
	hb_report_print_counts("replies", m->replies, HB_STATUSES, hb_status_name);
	printf("  %-25s %18s   %.4f%%\n", "lost", hb_thousands(m->measured_lost, a), 100 * f->loss);
	print_more("told to wait", m->told_to_wait, "for longer than the run");
	print_more("late", m->late, "replies to what had been given up");
	print_more("again", m->again, "replies to what was answered already");
	print_more("same answer", m->repeated, "to a request that was repeated");
	print_more("drawn anew", m->drawn_anew,
		"to a request that was repeated: the server's table is full");
	print_more("wins", m->wins, "different envelopes");
	print_more("passed on", m->passed_on, "bundles that were won, to four friends each");
	print_more("wins not checked", m->wins_unchecked, "beyond --wins");
	print_more("forgotten early", m->pressed, "for want of room; give more --outstanding");
	print_more("forgotten", m->forgotten,
		"that may be answered yet: late is not told from unasked any more");
	print_more("held", f->counts->held, "turns without room to send; give more --outstanding");
	print_more("device full", f->counts->device_full, "times");
	print_more("other frames", m->other_frames, "received");
}

static void
print_screen(const struct hb_replay *r, const struct figures *f, const char *fault)
{
	const char *first = hb_match_first(r->match);
	char a[32], b[32];

	printf("\n  %-25s %18s   in %.2f s%s\n", "requests", hb_thousands(f->match->requests, a),
		f->seconds, f->counts->interrupted ? ", interrupted" : "");
	printf("  %-25s %18s   %.3f%% later than 10 us\n", "  a second",
		hb_thousands((uint64_t)f->offered, b),
		f->counts->sent == 0 ? 0 : 100 * (double)f->late_sends / (double)f->counts->sent);
	print_counts(f);
	print_latencies(r, f);
	putchar('\n');
	hb_report_print_counts(
		"violations", f->match->violations, HB_VIOLATIONS, hb_violation_name);
	if (first[0] != '\0')
		printf("  contract: BROKEN: first by %s\n", first);
	else
		printf("  contract: kept by %s replies\n", hb_thousands(f->replies, a));
	if (fault != NULL)
		printf("  fault: %s\n", fault);
	fflush(stdout);
}

/* ---- the file ------------------------------------------------------------------------ */

static json_t *
histogram_json(const struct hb_histogram *h)
{
	json_t *o = json_object();

	for (size_t i = 0; i < HB_COUNT_OF(percentiles); i++) {
		double us = (double)hb_histogram_percentile(h, percentiles[i].percent) / 1e3;

		json_object_set_new(o, percentiles[i].key, json_real(us));
	}
	json_object_set_new(o, "max", json_real((double)h->max / 1e3));
	json_object_set_new(o, "mean", json_real(hb_histogram_mean(h) / 1e3));
	json_object_set_new(o, "values", json_integer((json_int_t)h->values));
	return o;
}

static json_t *
latency_json(const struct hb_replay *r, const struct figures *f)
{
	json_t *o = json_object();

	json_object_set_new(o, "all", histogram_json(&f->latency));
	for (unsigned s = 0; s < HB_STATUSES; s++) {
		const struct hb_histogram *h = hb_match_latency(r->match, s);

		if (h->values != 0)
			json_object_set_new(o, hb_status_name(s), histogram_json(h));
	}
	return o;
}

static json_t *
sender_json(const struct hb_replay *r, const struct figures *f)
{
	const struct hb_replay_counts *c = f->counts;
	json_t *o = json_object();
	double share = c->sent == 0 ? 0 : (double)f->late_sends / (double)c->sent;

	json_object_set_new(o, "offered_per_second", json_real(f->offered));
	json_object_set_new(o, "sent", json_integer((json_int_t)c->sent));
	json_object_set_new(o, "later_than_10_us", json_real(share));
	json_object_set_new(o, "behind_us", histogram_json(&r->behind));
	json_object_set_new(o, "last_due_s", json_real((double)c->last_due_ns / 1e9));
	json_object_set_new(o, "last_sent_s", json_real((double)c->last_ns / 1e9));
	json_object_set_new(o, "device_full", json_integer((json_int_t)c->device_full));
	json_object_set_new(o, "held", json_integer((json_int_t)c->held));
	return o;
}

static void
set_counts(json_t *o, const struct hb_match_counts *m)
{
	const struct {
		const char *name;
		uint64_t n;
	} counts[] = {
		{"requests", m->requests},
		{"forged", m->forged},
		{"retries", m->retries},
		{"answered", m->answered},
		{"told_to_wait", m->told_to_wait},
		{"lost", m->lost},
		{"measured", m->measured},
		{"measured_lost", m->measured_lost},
		{"late", m->late},
		{"again", m->again},
		{"repeated", m->repeated},
		{"drawn_anew", m->drawn_anew},
		{"wins", m->wins},
		{"passed_on", m->passed_on},
		{"wins_unchecked", m->wins_unchecked},
		{"fen", m->fen},
		{"pressed", m->pressed},
		{"forgotten", m->forgotten},
		{"other_frames", m->other_frames},
	};

	for (size_t i = 0; i < HB_COUNT_OF(counts); i++)
		json_object_set_new(o, counts[i].name, json_integer((json_int_t)counts[i].n));
}

static json_t *
report_json(const struct hb_replay *r, const struct figures *f, const char *fault)
{
	json_t *o = json_object();
	const char *first = hb_match_first(r->match);

	set_counts(o, f->match);
	json_object_set_new(o, "seconds", json_real(f->seconds));
	json_object_set_new(o, "loss", json_real(f->loss));
	json_object_set_new(
		o, "replies", hb_report_counts(f->match->replies, HB_STATUSES, hb_status_name));
	json_object_set_new(o, "violations",
		hb_report_counts(f->match->violations, HB_VIOLATIONS, hb_violation_name));
	if (first[0] != '\0')
		json_object_set_new(o, "first_violation", json_string(first));
	json_object_set_new(o, "latency_us", latency_json(r, f));
	json_object_set_new(o, "sender", sender_json(r, f));
	json_object_set_new(o, "interrupted", json_boolean(f->counts->interrupted));
	if (fault != NULL)
		json_object_set_new(o, "fault", json_string(fault));
	return o;
}

int
replay_report(const struct replay_options *o, const struct hb_replay *r, const char *fault,
	struct hb_error *e)
{
	static struct figures f;
	int err = 0;

	collect(r, &f);
	print_screen(r, &f, fault);
	if (o->report != NULL) {
		json_t *json = report_json(r, &f, fault);

		err = hb_report_write(o->report, json, e);
		json_decref(json);
	}
	return err;
}

bool
replay_good(const struct replay_options *o, const struct hb_replay *r, struct hb_error *e)
{
	const struct hb_match_counts *m = hb_match_counts(r->match);
	uint64_t violations = hb_match_violations(r->match);
	double loss = m->measured == 0 ? 0 : (double)m->measured_lost / (double)m->measured;

	if (violations != 0) {
		hb_fail(e, EPROTO, "the contract was broken %llu times, first by %s",
			(unsigned long long)violations, hb_match_first(r->match));
		return false;
	}
	if (m->measured == 0 && o->max_loss < 1) {
		hb_fail(e, EPROTO,
			"no request was measured, so that --max-loss says nothing; play longer, or "
			"give a shorter --warm-up");
		return false;
	}
	if (loss > o->max_loss) {
		hb_fail(e, EPROTO, "%.4f%% of the requests were lost, --max-loss allows %.4f%%",
			100 * loss, 100 * o->max_loss);
		return false;
	}
	return true;
}
