/* SPDX-License-Identifier: BSD-3-Clause */
#include "sum.h"

#include <stdlib.h>

#define CAMPAIGNS_SHOWN 64
#define CHANGES_SHOWN 32
/* Of an array of a host; none has more, and looking for a row's like takes time by their square. */
#define ROWS_MOST 256
#define WORKERS_MOST 1024

/* ---- numbers by their names ------------------------------------------------------------ */

enum how {
	ADD,
	MOST,
	LEAST,
	KEEP, /* the first host's; or it is worked out anew */
};

/* By how a name ends; the first that fits. What isn't here adds up. */
static const struct {
	const char *end;
	enum how how;
} rules[] = {
	{"opens_us", LEAST},
	{"admission_percent", LEAST},
	{"busiest_percent", MOST},
	{"_percent", KEEP},
	{"empty_in_s", KEEP},
	{"empty_us", KEEP},
	{"_age_s", MOST},
	{"_ms", MOST},
	{"_us", MOST},
	{"odds", MOST},
	{"id", KEEP},
};

static enum how
how_of(const char *name)
{
	size_t bytes = strlen(name);

	for (unsigned i = 0; i < HB_COUNT_OF(rules); i++) {
		size_t end = strlen(rules[i].end);

		if (bytes >= end && strcmp(name + bytes - end, rules[i].end) == 0)
			return rules[i].how;
	}
	return ADD;
}

static json_t *
combined(enum how how, const json_t *a, const json_t *b)
{
	double x = json_number_value(a), y = json_number_value(b);

	if (how == ADD && json_is_integer(a) && json_is_integer(b))
		return json_integer(json_integer_value(a) + json_integer_value(b));
	if (how == ADD)
		return json_real(x + y);
	return json_copy((json_t *)(((how == MOST) == (y > x)) ? b : a));
}

/* A number, a word, or yes and no: all that a field can be. */
static bool
is_plain(const json_t *value)
{
	return json_is_number(value) || json_is_string(value) || json_is_boolean(value);
}

/* Adds a host's numbers to those that are there; what isn't a number is the first host's. A value
 * of another kind than that isn't what the page takes it for, and is left out. */
static void
add_fields(json_t *sum, const json_t *of)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)of, name, value)
	{
		const json_t *there = json_object_get(sum, name);

		if (there == NULL && is_plain(value))
			json_object_set_new(sum, name, json_copy(value));
		else if (json_is_number(value) && json_is_number(there) && how_of(name) != KEEP)
			json_object_set_new(sum, name, combined(how_of(name), there, value));
	}
}

/* The row of a table that has the same word or number there; a new one, at its end, where none has.
 */
static json_t *
row_of(json_t *table, const char *key, const json_t *value)
{
	json_t *row;
	size_t i;

	json_array_foreach(table, i, row)
	{
		if (json_equal(json_object_get(row, key), value))
			return row;
	}
	row = json_object();
	json_array_append_new(table, row);
	return row;
}

/* The next row of a host's table, from *k on; what is none is left out. NULL: there is none any
 * more.
 */
static json_t *
part_row(const struct sum_part *part, const char *key, size_t *k)
{
	const json_t *table = json_object_get(part->now, key);
	size_t most = strcmp(key, "workers") == 0 ? WORKERS_MOST : ROWS_MOST;

	for (; *k < most && *k < json_array_size(table); ++*k) {
		if (json_is_object(json_array_get(table, *k)))
			return json_array_get(table, *k);
	}
	return NULL;
}

#define FOR_EACH_ROW(row, part, key)                                                               \
	for (size_t row_k = 0; ((row) = part_row(part, key, &row_k)) != NULL; row_k++)

static double
number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* Of a list's members in order those from `first` to before `end`. */
static json_t *
sorted(const json_t *list, int (*compare)(const void *, const void *), size_t first, size_t end)
{
	size_t n = json_array_size(list);
	json_t **all = calloc(n + 1, sizeof(*all)), *out = json_array();

	for (size_t k = 0; all != NULL && k < n; k++)
		all[k] = json_array_get(list, k);
	if (all != NULL)
		qsort(all, n, sizeof(json_t *), compare);
	for (size_t k = first; all != NULL && k < n && k < end; k++)
		json_array_append(out, all[k]);
	free(all);
	return out;
}

/* ---- objects and tables ---------------------------------------------------------------- */

/* Takes from an object what isn't of the kind that `like` has it, where that has it. */
static json_t *
of_the_kind(const json_t *of, const json_t *like)
{
	json_t *good = json_object(), *value;
	const char *name;

	json_object_foreach((json_t *)of, name, value)
	{
		const json_t *is = json_object_get(like, name);

		if (is == NULL ||
			(json_is_number(is) ? json_is_number(value) : json_is_string(value)))
			json_object_set(good, name, value);
	}
	return good;
}

/* What no host says is what it was before: put_zeros()'. */
static void
sum_object(json_t *o, const char *key, const struct sum_part *part, unsigned parts)
{
	json_t *sum = json_object(), *zeros = json_object_get(o, key);

	for (unsigned i = 0; i < parts; i++) {
		json_t *good = of_the_kind(json_object_get(part[i].now, key), zeros);

		add_fields(sum, good);
		json_decref(good);
	}
	json_object_update_missing(sum, zeros);
	json_object_set(o, key, sum);
	json_decref(sum);
}

static void
sum_table(json_t *o, const char *key, const char *by, const struct sum_part *part, unsigned parts)
{
	json_t *table = json_array();

	for (unsigned i = 0; i < parts; i++) {
		const json_t *row;

		FOR_EACH_ROW (row, &part[i], key)
			add_fields(row_of(table, by, json_object_get(row, by)), row);
	}
	json_object_set_new(o, key, table);
}

/* What a page needs even when no host is there. */
static void
put_zeros(json_t *o)
{
	json_object_set_new(o, "rates",
		json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "shakes_per_minute", 0,
			"shakes_per_second", 0, "received_per_second", 0, "sent_per_second", 0,
			"wins_per_second", 0, "given_fen_per_second", 0, "dropped_per_second", 0,
			"shed_per_second", 0, "handed_over_per_second", 0));
	json_object_set_new(
		o, "totals", json_pack("{s:i, s:i, s:i}", "received", 0, "shakes", 0, "wins", 0));
	json_object_set_new(o, "money",
		json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "funded", 0, "funded_fen", 0, "given",
			0, "given_fen", 0, "left", 0, "left_fen", 0));
	json_object_set_new(o, "settlement",
		json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "disk", "good", "undurable", 0,
			"undurable_age_s", 0, "parked", 0, "records_per_second", 0,
			"slowest_flush_ms", 0));
	json_object_set_new(
		o, "load", json_pack("{s:i, s:i}", "load_percent", 0, "busiest_percent", 0));
	json_object_set_new(o, "handover",
		json_pack("{s:i, s:i, s:i, s:i}", "handed_over_per_second", 0,
			"handed_over_percent", 0, "misdirected_per_second", 0,
			"misdirected_percent", 0));
	json_object_set_new(
		o, "admission", json_pack("{s:i, s:i}", "admission_percent", 100, "overloaded", 0));
	json_object_set_new(o, "latency", json_object());
}

/* ---- campaigns ------------------------------------------------------------------------- */

/* The one of two that says more of what can still be won. */
static const char *
livelier(const char *a, const char *b)
{
	static const char *const order[] = {"open", "paused", "draining", "early", "empty"};

	for (unsigned i = 0; i < HB_COUNT_OF(order); i++) {
		if (strcmp(a, order[i]) == 0 || strcmp(b, order[i]) == 0)
			return order[i];
	}
	return a;
}

static void
add_campaign(json_t *table, const json_t *of)
{
	json_t *row = row_of(table, "id", json_object_get(of, "id"));
	const char *was = json_string_value(json_object_get(row, "state"));
	const char *is = json_string_value(json_object_get(of, "state"));

	add_fields(row, of);
	if (was != NULL && is != NULL)
		json_object_set_new(row, "state", json_string(livelier(was, is)));
}

/* What follows from the sums. */
static void
work_out_campaign(json_t *row, uint64_t time_us)
{
	double left = number(row, "left"), funded = number(row, "funded");
	double rate = number(row, "given_per_second");

	json_object_set_new(row, "given_percent",
		json_real(funded > 0 ? 100 * number(row, "given") / funded : 0));
	json_object_del(row, "empty_in_s");
	json_object_del(row, "empty_us");
	if (rate <= 0 || left <= 0)
		return;
	json_object_set_new(row, "empty_in_s", json_real(left / rate));
	json_object_set_new(row, "empty_us",
		json_integer((json_int_t)time_us + (json_int_t)(left / rate * 1e6)));
}

static void
sum_campaigns(json_t *o, const struct sum_part *part, unsigned parts, uint64_t time_us)
{
	json_t *table = json_array();
	json_int_t hidden = 0;
	const json_t *row;

	for (unsigned i = 0; i < parts; i++) {
		json_int_t more =
			json_integer_value(json_object_get(part[i].now, "campaigns_not_shown"));

		hidden = more > hidden ? more : hidden;
		FOR_EACH_ROW (row, &part[i], "campaigns")
			add_campaign(table, row);
	}
	while (json_array_size(table) > CAMPAIGNS_SHOWN) {
		json_array_remove(table, json_array_size(table) - 1);
		hidden++;
	}
	for (size_t k = 0; k < json_array_size(table); k++)
		work_out_campaign(json_array_get(table, k), time_us);
	json_object_set_new(o, "campaigns", table);
	json_object_set_new(o, "campaigns_not_shown", json_integer(hidden));
}

/* ---- workers --------------------------------------------------------------------------- */

static json_t *
with_host(const json_t *row, const struct sum_part *part)
{
	json_t *copy = json_deep_copy(row);

	json_object_set(copy, "host", json_object_get(part->now, "host"));
	json_object_set_new(copy, "peer", json_string(part->peer));
	return copy;
}

static void
sum_workers(json_t *o, const struct sum_part *part, unsigned parts)
{
	json_t *list = json_array(), *load = json_object_get(o, "load"), *row;
	double all = 0, most = 0, busy = 0;
	size_t n, k;

	for (unsigned i = 0; i < parts; i++) {
		FOR_EACH_ROW (row, &part[i], "workers")
			json_array_append_new(list, with_host(row, &part[i]));
	}
	n = json_array_size(list);
	json_array_foreach(list, k, row)
	{
		double received = number(row, "received_per_second");

		all += received;
		most = received > most ? received : most;
		busy += number(row, "load_percent");
	}
	json_array_foreach(list, k, row) json_object_set_new(row, "share_percent",
		json_real(all > 0 ? 100 * number(row, "received_per_second") / all : 0));
	json_object_del(load, "balance_percent");
	json_object_set_new(load, "load_percent", json_real(n > 0 ? busy / (double)n : 0));
	if (most > 0)
		json_object_set_new(
			load, "balance_percent", json_real(100 * all / (double)n / most));
	json_object_set_new(o, "workers", list);
}

/* Shares of what was received, each host's with its weight. */
static void
work_out_handover(json_t *o, const struct sum_part *part, unsigned parts)
{
	static const char *const share[] = {"handed_over_percent", "misdirected_percent"};

	for (unsigned s = 0; s < HB_COUNT_OF(share); s++) {
		double sum = 0, all = 0;

		for (unsigned i = 0; i < parts; i++) {
			double received = number(
				json_object_get(part[i].now, "rates"), "received_per_second");

			all += received;
			sum += received *
			       number(json_object_get(part[i].now, "handover"), share[s]);
		}
		json_object_set_new(json_object_get(o, "handover"), share[s],
			json_real(all > 0 ? sum / all : 0));
	}
}

/* ---- the rest -------------------------------------------------------------------------- */

/* Histograms can't be added up from percentiles: the worst host's are told. */
static void
sum_latency(json_t *o, const struct sum_part *part, unsigned parts)
{
	json_t *latency = json_object();

	for (unsigned i = 0; i < parts; i++) {
		const char *name;
		json_t *of;

		json_object_foreach(json_object_get(part[i].now, "latency"), name, of)
		{
			if (json_object_get(latency, name) == NULL)
				json_object_set_new(latency, name, json_object());
			add_fields(json_object_get(latency, name), of);
		}
	}
	json_object_set_new(o, "latency", latency);
}

static void
worst_disk(json_t *o, const struct sum_part *part, unsigned parts)
{
	static const char *const order[] = {"failed", "full"};
	json_t *settlement = json_object_get(o, "settlement");

	for (unsigned k = 0; k < HB_COUNT_OF(order); k++) {
		for (unsigned i = 0; i < parts; i++) {
			const json_t *of = json_object_get(part[i].now, "settlement");
			const char *disk = json_string_value(json_object_get(of, "disk"));

			if (disk == NULL || strcmp(disk, order[k]) != 0)
				continue;
			json_object_set_new(settlement, "disk", json_string(order[k]));
			json_object_set(settlement, "error", json_object_get(of, "error"));
			return;
		}
	}
}

static int
earlier(const void *x, const void *y)
{
	double a = number(*(json_t *const *)x, "time_us"),
	       b = number(*(json_t *const *)y, "time_us");

	return (a > b) - (a < b);
}

static void
sum_changes(json_t *o, const struct sum_part *part, unsigned parts)
{
	json_t *all = json_array(), *row;
	size_t k;

	for (unsigned i = 0; i < parts; i++) {
		FOR_EACH_ROW (row, &part[i], "changes")
			json_array_append_new(all, with_host(row, &part[i]));
	}
	k = json_array_size(all);
	json_object_set_new(
		o, "changes", sorted(all, earlier, k > CHANGES_SHOWN ? k - CHANGES_SHOWN : 0, k));
	json_decref(all);
}

/* A word that holds when it holds for all, else another. */
static void
put_word(json_t *o, const char *key, const char *all, const char *else_,
	const struct sum_part *part, unsigned parts)
{
	unsigned n = 0;

	for (unsigned i = 0; i < parts; i++) {
		const char *is = json_string_value(json_object_get(part[i].now, key));

		n += is != NULL && strcmp(is, all) == 0;
	}
	json_object_set_new(o, key, json_string(n > 0 && n == parts ? all : else_));
}

int
sum_now(json_t *o, const struct sum_part *part, unsigned parts, uint64_t time_us)
{
	static const char *const object[] = {"rates", "totals", "money", "packets", "settlement",
		"load", "handover", "admission"};
	static const struct {
		const char *table, *by;
	} table[] = {{"drops", "reason"}, {"shed", "op"}, {"replies", "status"}};
	json_int_t version = 0;

	put_zeros(o);
	for (unsigned i = 0; i < HB_COUNT_OF(object); i++)
		sum_object(o, object[i], part, parts);
	for (unsigned i = 0; i < HB_COUNT_OF(table); i++)
		sum_table(o, table[i].table, table[i].by, part, parts);
	sum_campaigns(o, part, parts, time_us);
	sum_workers(o, part, parts);
	work_out_handover(o, part, parts);
	sum_latency(o, part, parts);
	worst_disk(o, part, parts);
	sum_changes(o, part, parts);
	put_word(o, "state", "draining", "running", part, parts);
	put_word(o, "clock", "packet", "wall", part, parts);
	for (unsigned i = 0; i < parts; i++) {
		json_int_t of = json_integer_value(json_object_get(part[i].now, "config_version"));

		version = of > version ? of : version;
	}
	return json_object_set_new(o, "config_version", json_integer(version)) == 0 ? 0 : -1;
}

/* ---- alerts ---------------------------------------------------------------------------- */

json_int_t
sum_alerts(json_t *list, const struct sum_part *part)
{
	json_int_t host = json_integer_value(json_object_get(part->now, "host"));
	json_t *alert;

	FOR_EACH_ROW (alert, part, "alerts") {
		json_t *copy = json_copy(alert);
		const char *id = json_string_value(json_object_get(alert, "id"));
		const char *text = json_string_value(json_object_get(alert, "text"));

		json_object_set_new(copy, "id", json_sprintf("%s/%s", part->peer, id ? id : ""));
		json_object_set_new(copy, "text",
			json_sprintf("host %lld (%s): %s", (long long)host, part->peer,
				text ? text : ""));
		json_array_append_new(list, copy);
	}
	return json_integer_value(json_object_get(part->now, "alerts_not_shown"));
}

static int
severity_of(const json_t *alert)
{
	const char *is = json_string_value(json_object_get(alert, "severity"));

	if (is == NULL || strcmp(is, "notice") == 0)
		return 2;
	return strcmp(is, "critical") == 0 ? 0 : 1;
}

static int
worse(const void *x, const void *y)
{
	const json_t *a = *(json_t *const *)x, *b = *(json_t *const *)y;
	double since_a = number(a, "since_us"), since_b = number(b, "since_us");

	if (severity_of(a) != severity_of(b))
		return severity_of(a) - severity_of(b);
	return (since_a > since_b) - (since_a < since_b);
}

json_t *
sum_sorted_alerts(const json_t *list, size_t at_most)
{
	return sorted(list, worse, 0, at_most);
}
