/* SPDX-License-Identifier: BSD-3-Clause */
#include "history.h"

#include <math.h>
#include <stdlib.h>

/* How the seconds of a minute become one figure. */
enum fold {
	FOLD_MEAN,
	FOLD_MOST,
	FOLD_LEAST,
	FOLD_LAST,
	FOLD_NOT, /* it is set */
};

static const struct {
	const char *name;
	enum fold fold;
} columns[HB_COLUMNS] = {
	[HB_COLUMN_SHAKES] = {"shakes_per_second", FOLD_MEAN},
	[HB_COLUMN_RECEIVED] = {"received_per_second", FOLD_MEAN},
	[HB_COLUMN_WINS] = {"wins_per_second", FOLD_MEAN},
	[HB_COLUMN_FEN] = {"given_fen_per_second", FOLD_MEAN},
	[HB_COLUMN_DROPPED] = {"dropped_per_second", FOLD_MEAN},
	[HB_COLUMN_SHED] = {"shed_per_second", FOLD_MEAN},
	[HB_COLUMN_HANDED_OVER] = {"handed_over_per_second", FOLD_MEAN},
	[HB_COLUMN_BUSIEST_SHAKES] = {"busiest_shakes_per_second", FOLD_MOST},
	[HB_COLUMN_LOAD] = {"load_percent", FOLD_MEAN},
	[HB_COLUMN_BUSIEST] = {"busiest_percent", FOLD_MOST},
	[HB_COLUMN_ADMISSION] = {"admission_percent", FOLD_LEAST},
	[HB_COLUMN_UNDURABLE] = {"undurable", FOLD_MOST},
	[HB_COLUMN_UNDURABLE_AGE] = {"undurable_age_s", FOLD_MOST},
	[HB_COLUMN_UNSETTLED] = {"unsettled", FOLD_MOST},
	[HB_COLUMN_UNSETTLED_AGE] = {"unsettled_age_s", FOLD_MOST},
	[HB_COLUMN_DURABLE_P50] = {"durable_p50_ms", FOLD_NOT},
	[HB_COLUMN_DURABLE_P99] = {"durable_p99_ms", FOLD_NOT},
	[HB_COLUMN_SERVICE_P50] = {"service_p50_ns", FOLD_NOT},
	[HB_COLUMN_SERVICE_P99] = {"service_p99_ns", FOLD_NOT},
};

const char *
hb_history_column(enum hb_column column)
{
	return columns[column].name;
}

/* A cell is a column's, then a curve's, then a worker's. */
struct ring {
	double *cell;
	unsigned rows;
	uint64_t last; /* number of the last row; 0: none */
	unsigned used;
};

struct hb_history {
	struct ring second, minute;
	unsigned workers, width;
	unsigned *folded; /* seconds in the minute that runs, by cell */
};

/* ---- rings --------------------------------------------------------------------------- */

static double *
row_of(const struct hb_history *h, const struct ring *r, uint64_t number)
{
	return r->cell + number % r->rows * h->width;
}

static void
clear_row(const struct hb_history *h, double *row)
{
	for (unsigned i = 0; i < h->width; i++)
		row[i] = NAN;
}

/* Goes on to a row; those that were left out, and it itself, are cleared. */
static void
go_to(const struct hb_history *h, struct ring *r, uint64_t number)
{
	uint64_t skipped = r->used == 0 ? 1 : number - r->last;

	skipped = skipped < r->rows ? skipped : r->rows;
	for (uint64_t i = 0; i < skipped; i++)
		clear_row(h, row_of(h, r, number - i));
	r->used = r->used + skipped < r->rows ? r->used + (unsigned)skipped : r->rows;
	r->last = number;
}

static bool
make_ring(struct ring *r, unsigned rows, unsigned width)
{
	r->rows = rows;
	r->cell = calloc((size_t)rows * width, sizeof(*r->cell));
	return r->cell != NULL;
}

struct hb_history *
hb_history_make(unsigned workers)
{
	struct hb_history *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->workers = workers;
	h->width = HB_COLUMNS + HB_CURVES + workers;
	h->folded = calloc(h->width, sizeof(*h->folded));
	if (h->folded == NULL || !make_ring(&h->second, HB_HOUR_S, h->width) ||
		!make_ring(&h->minute, HB_DAY_MIN, h->width)) {
		hb_history_free(h);
		return NULL;
	}
	return h;
}

void
hb_history_free(struct hb_history *h)
{
	if (h == NULL)
		return;
	free(h->second.cell);
	free(h->minute.cell);
	free(h->folded);
	free(h);
}

/* ---- seconds and minutes ------------------------------------------------------------- */

static enum fold
fold_of(unsigned cell)
{
	if (cell < HB_COLUMNS)
		return columns[cell].fold;
	return cell < HB_COLUMNS + HB_CURVES ? FOLD_LAST : FOLD_MEAN;
}

static double
folded(enum fold how, double before, double x, unsigned n)
{
	switch (how) {
	case FOLD_MEAN:
		return n == 1 ? x : before + (x - before) / n;
	case FOLD_MOST:
		return n == 1 || x > before ? x : before;
	case FOLD_LEAST:
		return n == 1 || x < before ? x : before;
	case FOLD_LAST:
		return x;
	case FOLD_NOT:
	default:
		return before;
	}
}

static void
fold_in(struct hb_history *h, uint64_t minute, const double *row)
{
	if (h->minute.used == 0 || minute > h->minute.last) {
		go_to(h, &h->minute, minute);
		memset(h->folded, 0, h->width * sizeof(*h->folded));
	}
	double *to = row_of(h, &h->minute, minute);

	for (unsigned i = 0; i < h->width; i++) {
		if (!isnan(row[i]))
			to[i] = folded(fold_of(i), to[i], row[i], ++h->folded[i]);
	}
}

void
hb_history_add(struct hb_history *h, uint64_t id, const struct hb_second *s)
{
	if (h->second.used > 0 && id <= h->second.last)
		return;
	go_to(h, &h->second, id);
	double *row = row_of(h, &h->second, id);

	memcpy(row, s->column, sizeof(s->column));
	memcpy(row + HB_COLUMNS, s->left, sizeof(s->left));
	memcpy(row + HB_COLUMNS + HB_CURVES, s->load_percent,
		h->workers * sizeof(*s->load_percent));
	/* A second's number is that of its end. */
	fold_in(h, (id - 1) / 60, row);
}

void
hb_history_minute(struct hb_history *h, enum hb_column column, double x)
{
	if (h->minute.used > 0)
		row_of(h, &h->minute, h->minute.last)[column] = x;
}

/* ---- JSON ---------------------------------------------------------------------------- */

/* To 3 decimals: rates and ages need no more, and a row is short. */
static void
write_number(struct hb_text *out, double x)
{
	char fraction[4];
	uint64_t n;

	if (isnan(x)) {
		hb_text_add(out, "null");
		return;
	}
	x = x < 0 ? 0 : x > 1e15 ? 1e15 : x;
	n = (uint64_t)llround(x * 1000);
	hb_text_u64(out, n / 1000);
	if ((n %= 1000) == 0)
		return;
	fraction[0] = '.';
	fraction[1] = (char)('0' + n / 100);
	fraction[2] = (char)('0' + n / 10 % 10);
	fraction[3] = (char)('0' + n % 10);
	hb_text_bytes(out, fraction, fraction[3] != '0' ? 4 : fraction[2] != '0' ? 3 : 2);
}

static void
write_column(const struct hb_history *h, const struct ring *r, unsigned cell, struct hb_text *out)
{
	hb_text_add(out, "[");
	for (unsigned i = r->used; i > 0; i--) {
		write_number(out, row_of(h, r, r->last - i + 1)[cell]);
		hb_text_add(out, i > 1 ? "," : "");
	}
	hb_text_add(out, "]");
}

static void
write_key(struct hb_text *out, const char *key)
{
	hb_text_add(out, ",\"");
	hb_text_add(out, key);
	hb_text_add(out, "\":");
}

static void
write_field(struct hb_text *out, const char *key, uint64_t n)
{
	write_key(out, key);
	hb_text_u64(out, n);
}

/* As JSON has it: what isn't printed is written by its number. */
static void
write_string(struct hb_text *out, const char *s)
{
	static const char hex[] = "0123456789abcdef";

	hb_text_add(out, "\"");
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			hb_text_bytes(out, (char[]){'\\', *s}, 2);
		else if (c < 0x20)
			hb_text_bytes(
				out, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
		else
			hb_text_bytes(out, s, 1);
	}
	hb_text_add(out, "\"");
}

static void
write_curves(const struct hb_history *h, const struct ring *r, const struct hb_history_facts *f,
	struct hb_text *out)
{
	write_key(out, "campaigns");
	for (unsigned i = 0; i < f->curves; i++) {
		hb_text_add(out, i == 0 ? "[{\"id\":" : ",{\"id\":");
		hb_text_u64(out, f->curve[i].id);
		write_key(out, "name");
		write_string(out, f->curve[i].name);
		write_key(out, "left");
		write_column(h, r, HB_COLUMNS + i, out);
		hb_text_add(out, "}");
	}
	hb_text_add(out, f->curves == 0 ? "[]" : "]");
	write_key(out, "workers");
	for (unsigned w = 0; w < h->workers; w++) {
		hb_text_add(out, w == 0 ? "[{\"worker\":" : ",{\"worker\":");
		hb_text_u64(out, w);
		write_key(out, "load_percent");
		write_column(h, r, HB_COLUMNS + HB_CURVES + w, out);
		hb_text_add(out, "}");
	}
	hb_text_add(out, h->workers == 0 ? "[]" : "]");
}

/* Whether a history of that step has the column. */
static bool
has_column(unsigned column, unsigned step_s, const struct hb_history_facts *f)
{
	if (column == HB_COLUMN_BUSIEST_SHAKES)
		return step_s == 60;
	if (column == HB_COLUMN_UNSETTLED || column == HB_COLUMN_UNSETTLED_AGE)
		return f->settles;
	return true;
}

/* The last second ended just now; minutes begin where the wall clock's do. */
static uint64_t
first_us(const struct ring *r, unsigned step_s, const struct hb_history_facts *f)
{
	if (r->used == 0)
		return f->time_us;
	if (step_s == 1)
		return f->time_us - (r->used - 1) * 1000000ull;
	return (uint64_t)((int64_t)((r->last - r->used + 1) * 60 * 1000000) + f->ahead_us);
}

void
hb_history_write(const struct hb_history *h, unsigned step_s, const struct hb_history_facts *f,
	struct hb_text *out)
{
	const struct ring *r = step_s == 60 ? &h->minute : &h->second;

	hb_text_add(out, "{\"format\":1");
	write_field(out, "step_s", step_s);
	write_field(out, "started_us", f->started_us);
	write_field(out, "time_us", f->time_us);
	write_field(out, "first_us", first_us(r, step_s, f));
	write_field(out, "rows", r->used);
	for (unsigned c = 0; c < HB_COLUMNS; c++) {
		if (!has_column(c, step_s, f))
			continue;
		write_key(out, columns[c].name);
		write_column(h, r, c, out);
	}
	write_curves(h, r, f, out);
	hb_text_add(out, "}");
}

/* ---- trails -------------------------------------------------------------------------- */

void
hb_trail_add(struct hb_trail *t, uint64_t id, uint64_t total)
{
	uint64_t from = id, before = total;

	if (t->last_id != 0 && id <= t->last_id)
		return;
	if (t->last_id == 0) {
		t->first_id = id;
	} else {
		before = t->second[t->last_id % HB_HOUR_S];
		from = id - t->last_id < HB_DAY_MIN * 60ull ? t->last_id + 1
							    : id - HB_DAY_MIN * 60 + 1;
	}
	/* Of a second that was left out we don't know more than of the one before it. */
	for (uint64_t i = from; i <= id; i++) {
		uint64_t then = i == id ? total : before;

		t->second[i % HB_HOUR_S] = then;
		if (i % 60 == 0)
			t->minute[i / 60 % HB_DAY_MIN] = then;
	}
	t->last_id = id;
}

uint64_t
hb_trail_age_s(const struct hb_trail *t, uint64_t done)
{
	uint64_t at = t->last_id, oldest = t->first_id;

	if (at == 0 || t->second[at % HB_HOUR_S] <= done)
		return 0;
	while (at > oldest && t->last_id - (at - 1) < HB_HOUR_S &&
		t->second[(at - 1) % HB_HOUR_S] > done)
		at--;
	if (at == oldest || t->last_id - (at - 1) < HB_HOUR_S)
		return t->last_id - at;
	/* From here on by whole minutes. */
	for (uint64_t to = at - at % 60; to >= oldest && t->last_id - to < HB_DAY_MIN * 60ull &&
					 t->minute[to / 60 % HB_DAY_MIN] > done;
		to -= 60)
		at = to;
	return t->last_id - at;
}
