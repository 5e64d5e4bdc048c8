/* SPDX-License-Identifier: BSD-3-Clause */
#include "fleet.h"

#include "alerts.h"
#include "hb_figures.h"
#include "pages.h"
#include "past.h"
#include "sum.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* How long after asking its peers a second is added up. */
#define ANSWERS_MS 300
/* How long the histories of peers are waited for before the first second. */
#define PAST_WAIT_S 4
#define RESTART_TOLD_US 300000000ull

/* The history keeps no worker's curve. */
static double no_worker[1];

struct fleet {
	struct peer *peer;
	unsigned peers;
	struct evdns_base *dns;
	struct event *second, *answers;
	struct hb_warroom_pages pages;
	struct hb_alerts alerts;
	struct hb_history *history;
	struct hb_history_facts facts;
	uint64_t started_us, begun_ns, begun_id;
	uint64_t id, time_us; /* this second's */
	unsigned waited_s;
	bool past_taken;
	json_t *now;		   /* the sum of this second */
	uint64_t minute_of;	   /* the minute that runs */
	double minute[HB_COLUMNS]; /* its worst latencies */
	struct {
		double shakes_per_minute, shakes_per_second;
		uint64_t minute_us, second_us, since_us;
	} peak;
};

static double
number(const json_t *o, const char *object, const char *key)
{
	const json_t *x = json_object_get(json_object_get(o, object), key);

	return json_is_number(x) ? json_number_value(x) : NAN;
}

/* ---- the past -------------------------------------------------------------------------- */

static void
take_peak(struct fleet *f, double minute, double second, uint64_t at_us)
{
	if (minute > f->peak.shakes_per_minute) {
		f->peak.shakes_per_minute = minute;
		f->peak.minute_us = at_us;
	}
	if (second > f->peak.shakes_per_second) {
		f->peak.shakes_per_second = second;
		f->peak.second_us = at_us;
	}
}

/* Latencies of a minute are no fold of its seconds: the worst of these is told. */
static void
take_minute(struct fleet *f, uint64_t id, const double *column)
{
	/* A second's number is that of its end. */
	uint64_t of = (id - 1) / 60;

	for (unsigned c = HB_COLUMN_DURABLE_P50; c < HB_COLUMNS; c++) {
		if (of != f->minute_of || isnan(f->minute[c]) || column[c] > f->minute[c])
			f->minute[c] = column[c];
		hb_history_minute(f->history, c, f->minute[c]);
	}
	f->minute_of = of;
}

/* Adds what the peers' histories have from one time to before another. */
static void
add_past(struct fleet *f, const struct past_host *host, uint64_t from_us, uint64_t to_us,
	uint64_t step_s)
{
	double minute = 0, of_minute[60] = {0};

	for (uint64_t at = from_us; at < to_us; at += step_s * 1000000) {
		/* A minute's row has the time of its beginning, and goes in as its first second. */
		uint64_t id = at / 1000000 + (step_s == 60);
		struct hb_second s = {.load_percent = no_worker};

		past_row(&s, host, f->peers, at, &f->facts);
		hb_history_add(f->history, id, &s);
		take_minute(f, id, s.column);
		double x = isnan(s.column[HB_COLUMN_SHAKES]) ? 0 : s.column[HB_COLUMN_SHAKES];

		if (step_s == 60) {
			take_peak(f, x * 60, s.column[HB_COLUMN_BUSIEST_SHAKES], at + 60000000);
			continue;
		}
		minute += x - of_minute[id % 60];
		of_minute[id % 60] = x;
		take_peak(f, minute, x, at);
	}
}

/* A host's past, of both steps. Its curves get their places. */
static void
look_at_past(
	struct fleet *f, const struct peer *p, struct past_host *second, struct past_host *minute)
{
	const json_t *c;
	size_t k;

	second->workers = (double)json_array_size(json_object_get(p->now, "workers"));
	second->ahead_us = past_ahead_us(p->history[0], p->now, f->id);
	*minute = *second;
	second->history = p->history[0];
	minute->history = p->history[1];
	json_array_foreach(json_object_get(p->history[1], "campaigns"), k, c)
		past_curve(&f->facts, json_integer_value(json_object_get(c, "id")),
			json_string_value(json_object_get(c, "name")));
}

/* No further back than a history goes, and no later than now, whatever a host says. */
static uint64_t
within(uint64_t at_us, uint64_t now_us, uint64_t seconds)
{
	if (at_us > now_us)
		return now_us;
	return now_us - at_us > seconds * 1000000 ? now_us - seconds * 1000000 : at_us;
}

/* The evening until now: minutes of the day, then seconds of the last hour. */
static void
take_past(struct fleet *f)
{
	struct past_host second[FLEET_PEERS] = {0}, minute[FLEET_PEERS] = {0};
	uint64_t now = f->id * 1000000, seconds, minutes;

	for (unsigned i = 0; i < f->peers; i++)
		look_at_past(f, &f->peer[i], &second[i], &minute[i]);
	seconds = past_first_us(second, f->peers) / 1000000 * 1000000;
	minutes = past_first_us(minute, f->peers);
	seconds = seconds == 0 ? now : within(seconds, now, HB_HOUR_S);
	minutes = minutes == 0 ? 0 : within(minutes, now, HB_DAY_MIN * 60);
	f->peak.since_us = minutes == 0 ? f->time_us : minutes;
	/* Up to the minute that the first second belongs to. */
	if (minutes != 0)
		add_past(f, minute, minutes / 60000000 * 60000000,
			(seconds - 1000000) / 60000000 * 60000000, 60);
	add_past(f, second, seconds, now, 1);
	for (unsigned i = 0; i < f->peers; i++) {
		peer_forget_past(&f->peer[i]);
		f->peer[i].histories = HB_COUNT_OF(f->peer[i].history);
	}
	f->past_taken = true;
}

/* Whether every peer that can be heard has answered for its past. */
static bool
past_is_here(const struct fleet *f)
{
	for (unsigned i = 0; i < f->peers; i++) {
		const struct peer *p = &f->peer[i];

		if (p->histories < HB_COUNT_OF(p->history) && (p->now != NULL || p->asked != NULL))
			return false;
	}
	return true;
}

/* ---- a second -------------------------------------------------------------------------- */

static const char *
name_of(const struct peer *p, char *out, size_t bytes)
{
	if (peer_number(p) > 0)
		snprintf(out, bytes, "host %lld (%s)", (long long)peer_number(p), p->name);
	else
		snprintf(out, bytes, "%s", p->name);
	return out;
}

static void
raise_alerts(struct fleet *f, uint64_t now_ns)
{
	char id[32], name[360];

	hb_alerts_begin(&f->alerts, f->id, f->time_us);
	for (unsigned i = 0; i < f->peers; i++) {
		const struct peer *p = &f->peer[i];

		name_of(p, name, sizeof(name));
		snprintf(id, sizeof(id), "peer_away.%u", i);
		if (!peer_is_heard(p, now_ns))
			hb_alerts_raise(&f->alerts, id, HB_CRITICAL,
				"on that host: systemctl status hongbaod",
				"%s is away (%s): its figures are left out", name,
				p->why[0] != '\0' ? p->why : "its last answer is old");
		snprintf(id, sizeof(id), "peer_started.%u", i);
		if (p->restarted_us != 0 && f->time_us - p->restarted_us < RESTART_TOLD_US)
			hb_alerts_raise(&f->alerts, id, HB_NOTICE,
				"on that host: journalctl -u hongbaod -b says why",
				"%s was started again", name);
	}
	hb_alerts_end(&f->alerts);
}

/* The peers' alerts and our own. */
static void
put_alerts(struct fleet *f, json_t *o, const struct sum_part *part, unsigned parts)
{
	json_t *own = json_object(), *list;
	json_int_t hidden = 0, incidents = (json_int_t)f->alerts.incidents;

	hb_alerts_put(&f->alerts, own);
	list = json_copy(json_object_get(own, "alerts"));
	for (unsigned i = 0; i < parts; i++) {
		hidden += sum_alerts(list, &part[i]);
		incidents += json_integer_value(json_object_get(part[i].now, "incidents"));
	}
	size_t all = json_array_size(list);

	hidden += all > HB_ALERTS_SHOWN ? (json_int_t)(all - HB_ALERTS_SHOWN) : 0;
	json_object_set_new(o, "alerts", sum_sorted_alerts(list, HB_ALERTS_SHOWN));
	json_object_set_new(o, "alerts_not_shown", json_integer(hidden));
	json_object_set_new(o, "incidents", json_integer(incidents));
	json_decref(list);
	json_decref(own);
}

static json_t *
hosts_json(const struct fleet *f, uint64_t now_ns)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < f->peers; i++) {
		const struct peer *p = &f->peer[i];
		bool heard = peer_is_heard(p, now_ns);
		json_t *o = json_pack("{s:s, s:b}", "peer", p->name, "away", !heard);

		if (p->now != NULL) {
			json_object_set(o, "host", json_object_get(p->now, "host"));
			json_object_set(o, "version", json_object_get(p->now, "version"));
			json_object_set(o, "started_us", json_object_get(p->now, "started_us"));
		}
		if (heard)
			json_object_set(o, "shakes_per_second",
				json_object_get(
					json_object_get(p->now, "rates"), "shakes_per_second"));
		json_array_append_new(list, o);
	}
	return list;
}

static void
put_identity(const struct fleet *f, json_t *o)
{
	hb_put(o, "format", 1);
	hb_put(o, "id", f->id);
	hb_put(o, "time_us", f->time_us);
	hb_put(o, "started_us", f->started_us);
	/* The clock may have been set back. */
	hb_put(o, "uptime_s",
		f->time_us > f->started_us ? (f->time_us - f->started_us) / 1000000 : 0);
	hb_put_text(o, "version", HB_VERSION);
	hb_put(o, "host", 0);
}

static void
put_peak(const struct fleet *f, json_t *o)
{
	if (f->peak.shakes_per_minute <= 0)
		return;
	json_t *peak = json_object();

	hb_put(peak, "shakes_per_minute", (uint64_t)llround(f->peak.shakes_per_minute));
	hb_put(peak, "minute_us", f->peak.minute_us);
	hb_put_real(peak, "shakes_per_second", f->peak.shakes_per_second);
	hb_put(peak, "second_us", f->peak.second_us);
	hb_put(peak, "since_us", f->peak.since_us);
	json_object_set_new(o, "peak", peak);
}

/* Of the sum of this second, what its column of the history is. */
static double
column_of(const json_t *now, enum hb_column column)
{
	const char *name = hb_history_column(column);
	static const char *const object[] = {"rates", "load", "admission", "settlement"};
	double x = NAN;

	if (column == HB_COLUMN_BUSIEST_SHAKES)
		return number(now, "rates", "shakes_per_second");
	for (unsigned i = 0; i < HB_COUNT_OF(object) && isnan(x); i++)
		x = number(now, object[i], name);
	if (isnan(x) && strncmp(name, "durable_", 8) == 0)
		x = number(json_object_get(now, "latency"), "durable", name + 8);
	if (isnan(x) && strncmp(name, "service_", 8) == 0)
		x = number(json_object_get(now, "latency"), "service", name + 8);
	return x;
}

static void
take_history(struct fleet *f, const json_t *now, bool heard)
{
	struct hb_second s = {.load_percent = no_worker};
	const json_t *c;
	size_t k;

	for (unsigned i = 0; i < HB_CURVES; i++)
		s.left[i] = NAN;
	for (unsigned i = 0; i < HB_COLUMNS; i++)
		s.column[i] = heard ? column_of(now, i) : NAN;
	json_array_foreach(json_object_get(now, "campaigns"), k, c)
	{
		unsigned curve = past_curve(&f->facts, json_integer_value(json_object_get(c, "id")),
			json_string_value(json_object_get(c, "name")));

		if (curve < HB_CURVES)
			s.left[curve] = json_number_value(json_object_get(c, "left"));
	}
	f->facts.settles |= !isnan(s.column[HB_COLUMN_UNSETTLED]);
	hb_history_add(f->history, f->id, &s);
	take_minute(f, f->id, s.column);
	if (heard)
		take_peak(f, number(now, "rates", "shakes_per_minute"), s.column[HB_COLUMN_SHAKES],
			f->time_us);
}

static void
add_up(struct fleet *f)
{
	struct sum_part part[FLEET_PEERS];
	uint64_t now_ns = hb_mono_ns();
	json_t *o = json_object();
	unsigned parts = 0;

	for (unsigned i = 0; i < f->peers; i++) {
		if (peer_is_heard(&f->peer[i], now_ns))
			part[parts++] = (struct sum_part){f->peer[i].name, f->peer[i].now};
	}
	put_identity(f, o);
	sum_now(o, part, parts, f->time_us);
	raise_alerts(f, now_ns);
	put_alerts(f, o, part, parts);
	json_object_set_new(o, "hosts", hosts_json(f, now_ns));
	take_history(f, o, parts > 0);
	put_peak(f, o);
	json_t *pages = json_object();

	hb_pages_put(&f->pages, pages);
	json_object_set_new(o, "pages", pages);
	json_decref(f->now);
	f->now = o;
	hb_pages_second(&f->pages, f->id);
}

static void
on_answers(evutil_socket_t fd, short what, void *context)
{
	struct fleet *f = context;

	(void)fd;
	(void)what;
	uint64_t id = f->begun_id + (hb_mono_ns() - f->begun_ns) / 1000000000;
	bool wait = !f->past_taken && !past_is_here(f) && f->waited_s++ < PAST_WAIT_S;

	if (wait || id <= f->id)
		return;
	f->id = id;
	f->time_us = hb_wall_us();
	f->facts.time_us = f->time_us;
	if (!f->past_taken)
		take_past(f);
	add_up(f);
}

static void
on_second(evutil_socket_t fd, short what, void *context)
{
	struct timeval later = {.tv_usec = ANSWERS_MS * 1000};
	struct fleet *f = context;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < f->peers; i++) {
		struct peer *p = &f->peer[i];

		/* The past must be of the same second as the present that it is added to. */
		if (!f->past_taken && p->asked == NULL)
			peer_forget_past(p);
		peer_ask(p);
	}
	event_add(f->answers, &later);
}

/* ---- pages ------------------------------------------------------------------------------- */

static json_t *
make_now(void *context)
{
	struct fleet *f = context;

	return json_incref(f->now);
}

static void
make_history(void *context, unsigned step_s, struct hb_text *out)
{
	struct fleet *f = context;

	hb_history_write(f->history, step_s, &f->facts, out);
}

/* ---- life -------------------------------------------------------------------------------- */

static int
begin(struct fleet *f, struct hb_service *s, struct hb_error *e)
{
	struct hb_pages_terms pages = {make_now, make_history, f};
	struct timeval second = {.tv_sec = 1};
	struct event_base *base = hb_service_base(s);

	f->dns = evdns_base_new(
		base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	f->second = event_new(base, -1, EV_PERSIST, on_second, f);
	f->answers = evtimer_new(base, on_answers, f);
	f->history = hb_history_make(0);
	f->now = json_object();
	if (f->second == NULL || f->answers == NULL || f->history == NULL || f->now == NULL)
		return hb_fail(e, ENOMEM, "no memory for the history");
	for (unsigned i = 0; i < f->peers; i++) {
		int err = peer_begin(&f->peer[i], base, f->dns, e);

		if (err != 0)
			return err;
	}
	f->begun_ns = hb_mono_ns();
	f->started_us = f->time_us = hb_wall_us();
	f->begun_id = f->id = f->started_us / 1000000;
	f->facts.started_us = f->started_us;
	put_identity(f, f->now);
	sum_now(f->now, NULL, 0, f->time_us);
	put_alerts(f, f->now, NULL, 0);
	event_add(f->second, &second);
	event_active(f->second, EV_TIMEOUT, 0);
	return hb_pages_serve(&f->pages, &pages, s, e);
}

int
fleet_begin(struct fleet **out, struct peer *peer, unsigned peers, struct hb_service *s,
	struct hb_error *e)
{
	struct fleet *f = calloc(1, sizeof(*f));

	*out = f;
	if (f == NULL)
		return hb_fail(e, ENOMEM, "no memory for the war room");
	f->peer = peer;
	f->peers = peers;
	return begin(f, s, e);
}

void
fleet_stopping(struct fleet *f)
{
	hb_pages_stopping(&f->pages);
}

void
fleet_end(struct fleet *f)
{
	for (unsigned i = 0; i < f->peers; i++)
		peer_end(&f->peer[i]);
	if (f->dns != NULL)
		evdns_base_free(f->dns, 0);
	if (f->second != NULL)
		event_free(f->second);
	if (f->answers != NULL)
		event_free(f->answers);
}

void
fleet_free(struct fleet *f)
{
	if (f == NULL)
		return;
	hb_pages_drop(&f->pages);
	hb_history_free(f->history);
	json_decref(f->now);
	free(f);
}
