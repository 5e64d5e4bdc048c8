/* SPDX-License-Identifier: BSD-3-Clause */
#include "past.h"

#include <math.h>
#include <stdio.h>

/* How a column of several hosts becomes one. */
struct past_cell {
	double sum, weight, most, least;
	unsigned known;
};

static void
past_add(struct past_cell *c, double x, double weight)
{
	if (isnan(x))
		return;
	c->most = c->known == 0 || x > c->most ? x : c->most;
	c->least = c->known == 0 || x < c->least ? x : c->least;
	c->sum += x;
	c->weight += weight;
	c->known++;
}

static double
past_value(const struct past_cell *c, enum hb_column column)
{
	if (c->known == 0)
		return NAN;
	switch (column) {
	case HB_COLUMN_ADMISSION:
		return c->least;
	case HB_COLUMN_BUSIEST:
	case HB_COLUMN_UNDURABLE_AGE:
	case HB_COLUMN_UNSETTLED_AGE:
	case HB_COLUMN_DURABLE_P50:
	case HB_COLUMN_DURABLE_P99:
	case HB_COLUMN_SERVICE_P50:
	case HB_COLUMN_SERVICE_P99:
		return c->most;
	case HB_COLUMN_LOAD:
		return c->weight > 0 ? c->sum / c->weight : 0;
	default:
		return c->sum;
	}
}

unsigned
past_curve(struct hb_history_facts *f, json_int_t id, const char *name)
{
	unsigned i = 0;

	while (i < f->curves && f->curve[i].id != id)
		i++;
	if (i == f->curves && i < HB_CURVES)
		f->curves++;
	if (i < HB_CURVES) {
		f->curve[i].id = (uint16_t)id;
		snprintf(f->curve[i].name, sizeof(f->curve[i].name), "%s", name ? name : "");
	}
	return i;
}

/* ---- rows ------------------------------------------------------------------------------ */

static uint64_t
of_history(const json_t *h, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(h, key));
}

/* Which row of a host's history is of that time, to the nearest; -1: none. */
static long
row_at(const json_t *h, uint64_t at_us)
{
	uint64_t first = of_history(h, "first_us"), step = of_history(h, "step_s") * 1000000;

	if (h == NULL || step == 0 || at_us + step / 2 < first)
		return -1;
	uint64_t row = (at_us + step / 2 - first) / step;

	return row < of_history(h, "rows") ? (long)row : -1;
}

static double
cell(const json_t *column, long row)
{
	const json_t *x = json_array_get(column, (size_t)row);

	return json_is_number(x) ? json_number_value(x) : NAN;
}

static void
add_curves(double *left, const json_t *h, long row, const struct hb_history_facts *f)
{
	const json_t *campaign;
	size_t k;

	json_array_foreach(json_object_get(h, "campaigns"), k, campaign)
	{
		if (k == HB_CURVES)
			break; /* a host has no more */
		json_int_t id = json_integer_value(json_object_get(campaign, "id"));
		double x = cell(json_object_get(campaign, "left"), row);

		for (unsigned i = 0; i < f->curves && !isnan(x); i++) {
			if (f->curve[i].id == id)
				left[i] = isnan(left[i]) ? x : left[i] + x;
		}
	}
}

/* A row's number of a host's history; NAN: it isn't known. The best second of a minute stands in
 * histories of 60 s; in those of 1 s it is the second itself. */
static double
number_of(const json_t *h, enum hb_column column, long row)
{
	const json_t *numbers = json_object_get(h, hb_history_column(column));

	if (numbers == NULL && column == HB_COLUMN_BUSIEST_SHAKES)
		numbers = json_object_get(h, hb_history_column(HB_COLUMN_SHAKES));
	return cell(numbers, row);
}

int64_t
past_ahead_us(const json_t *history, const json_t *now, uint64_t id)
{
	/* Whatever a host says, it is computed with what wraps. */
	uint64_t rows = of_history(history, "rows"), taken = of_history(history, "time_us");
	uint64_t last = of_history(history, "first_us") + (rows - 1) * 1000000;
	int64_t since = (int64_t)(of_history(now, "time_us") - taken);

	/* The last row was of when the history was taken; seconds have gone by since. */
	return rows == 0 ? 0
			 : (int64_t)(last + (uint64_t)llround((double)since / 1e6) * 1000000 -
				     id * 1000000);
}

void
past_row(struct hb_second *out, const struct past_host *host, unsigned hosts, uint64_t at_us,
	const struct hb_history_facts *f)
{
	struct past_cell sum[HB_COLUMNS] = {0};

	for (unsigned i = 0; i < HB_CURVES; i++)
		out->left[i] = NAN;
	for (unsigned i = 0; i < hosts; i++) {
		long row = row_at(host[i].history, at_us + (uint64_t)host[i].ahead_us);
		double workers = host[i].workers;

		for (unsigned c = 0; row >= 0 && c < HB_COLUMNS; c++) {
			double x = number_of(host[i].history, c, row);

			past_add(&sum[c], c == HB_COLUMN_LOAD ? workers * x : x, workers);
		}
		if (row >= 0)
			add_curves(out->left, host[i].history, row, f);
	}
	for (unsigned c = 0; c < HB_COLUMNS; c++)
		out->column[c] = past_value(&sum[c], c);
}

uint64_t
past_first_us(const struct past_host *host, unsigned hosts)
{
	uint64_t first = 0;

	for (unsigned i = 0; i < hosts; i++) {
		uint64_t from =
			of_history(host[i].history, "first_us") - (uint64_t)host[i].ahead_us;

		if (of_history(host[i].history, "rows") > 0 && (first == 0 || from < first))
			first = from;
	}
	return first;
}
