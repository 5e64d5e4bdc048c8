/* SPDX-License-Identifier: BSD-3-Clause */
#include "screen.h"

#include "ctl.h"

#include <stdlib.h>

/* An answer as old as this is said to be so. */
#define OLD_S 3.0

/* Terminals that know these show a frame when it is whole. */
#define BEGIN "\033[?2026h"
#define END "\033[?2026l"

/* ---- lines ---------------------------------------------------------------------------- */

static int
rows_left(const struct screen *s)
{
	return s->rows - s->row;
}

/* Text, as far as the line has room. */
static void
put(struct screen *s, enum paint p, const char *text)
{
	char *safe = text_harmless(text);
	int width;
	size_t bytes = text_fit(safe, s->columns - s->column, &width);

	if (rows_left(s) > 0 && bytes > 0) {
		bool paint = s->colour && p != PAINT_NONE;

		fprintf(s->f, "%s%.*s%s", paint ? text_paint(p) : "", (int)bytes, safe,
			paint ? TEXT_PLAIN : "");
		s->column += width;
	}
	free(safe);
}

static void HB_PRINTF(3, 4) putf(struct screen *s, enum paint p, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put(s, p, text);
}

/* Moves to a column, over blanks. */
static void
to_column(struct screen *s, int column)
{
	if (column > s->column)
		putf(s, PAINT_NONE, "%*s", column - s->column, "");
}

/* Text in a field of a width, cut if need be, and a blank. */
static void
field(struct screen *s, enum paint p, int width, bool right, const char *text)
{
	char *safe = text_harmless(text);
	int taken, start = s->column;

	safe[text_fit(safe, width, &taken)] = '\0';
	if (right)
		to_column(s, start + width - taken);
	put(s, p, safe);
	to_column(s, start + width + 1);
	free(safe);
}

static void
end_line(struct screen *s)
{
	if (rows_left(s) > 0) {
		/* Behind the last column it would wipe that. */
		if (s->column < s->columns)
			fputs("\033[K", s->f);
		/* A newline behind the last row would scroll. */
		if (rows_left(s) > 1)
			fputc('\n', s->f);
	}
	s->row++;
	s->column = 0;
}

/* A column of a table: its head and its width. */
struct column {
	const char *head;
	int width;
	bool right;
};

static void
heads(struct screen *s, const struct column *c, unsigned n)
{
	end_line(s);
	for (unsigned i = 0; i < n; i++)
		field(s, PAINT_TITLE, c[i].width, c[i].right, c[i].head);
	end_line(s);
}

/* A value in its column. */
static void
in_column(struct screen *s, const struct column *c, enum paint p, const char *text)
{
	field(s, p, c->width, c->right, text);
}

/* ---- results -------------------------------------------------------------------------- */

static double
number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

static const char *
word(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text == NULL ? "" : text;
}

/* The row of a table whose `kind` is `name`. */
static const json_t *
row_of(const json_t *table, const char *kind, const char *name)
{
	json_t *row;
	size_t i;

	json_array_foreach(table, i, row)
	{
		if (strcmp(word(row, kind), name) == 0)
			return row;
	}
	return NULL;
}

static double
sum_of(const json_t *table, const char *key)
{
	double sum = 0;
	json_t *row;
	size_t i;

	json_array_foreach(table, i, row) sum += number(row, key);
	return sum;
}

/* ---- the top -------------------------------------------------------------------------- */

static enum paint
paint_state(const char *state)
{
	if (strcmp(state, "running") == 0 || strcmp(state, "serving") == 0 ||
		strcmp(state, "open") == 0)
		return PAINT_GOOD;
	if (strcmp(state, "closed") == 0 || strcmp(state, "early") == 0)
		return PAINT_FAINT;
	return PAINT_WARN;
}

static void
draw_head(struct screen *s, const struct seen *seen)
{
	const json_t *o = seen->status;
	char text[48];

	putf(s, PAINT_TITLE, "hongbao %s", word(o, "version"));
	putf(s, PAINT_NONE, "  host %.0f  ", number(o, "host"));
	put(s, paint_state(word(o, "state")), word(o, "state"));
	putf(s, PAINT_NONE, "  up %s", text_duration(number(o, "uptime_s") * 1e9, text));
	putf(s, PAINT_NONE, "  config version %.0f%s", number(o, "config_version"),
		json_is_false(json_object_get(o, "config_saved")) ? " (not saved)" : "");
	putf(s, PAINT_NONE, "  %s", text_time(number(o, "time_us"), true, text));
	end_line(s);
}

static void
draw_trouble(struct screen *s, const struct seen *seen)
{
	char text[48];

	if (seen->trouble == NULL && (seen->age_s < 0 || seen->age_s < OLD_S))
		return;
	if (seen->age_s < 0)
		put(s, PAINT_BAD, "NO ANSWER");
	else
		putf(s, PAINT_BAD, "NO ANSWER: what you see is %s old",
			text_duration((double)(uint64_t)seen->age_s * 1e9, text));
	putf(s, PAINT_WARN, "; trying again: %s",
		seen->trouble == NULL ? "the daemon doesn't answer" : seen->trouble);
	end_line(s);
}

/* One figure with its rate and what it came to. */
static void
figure(struct screen *s, const char *name, enum paint p, const char *rate, const char *all)
{
	field(s, PAINT_NONE, 9, false, name);
	field(s, p, 18, true, rate);
	field(s, PAINT_FAINT, 22, true, all);
	end_line(s);
}

static void
draw_rate(struct screen *s, const char *name, const json_t *row)
{
	bool money = strcmp(name, "given") == 0;
	double rate = number(row, "last_1s_per_second"), all = number(row, "count");
	char text[48], a[64], b[64];

	snprintf(a, sizeof(a), money ? "%s yuan/s" : "%s /s",
		money ? text_yuan(rate, text) : text_count(rate, text));
	snprintf(b, sizeof(b), money ? "%s yuan" : "%s",
		money ? text_yuan(all, text) : text_count(all, text));
	figure(s, name, PAINT_NONE, a, b);
}

static void
draw_sum(struct screen *s, const char *name, const json_t *table)
{
	double rate = sum_of(table, "last_1s_per_second"), all = sum_of(table, "count");
	char a[48], b[48];

	if (all == 0)
		return;
	text_count(rate, a);
	memcpy(a + strlen(a), " /s", 4);
	figure(s, name, rate > 0 ? PAINT_WARN : PAINT_NONE, a, text_count(all, b));
}

static void
draw_totals(struct screen *s, const struct seen *seen)
{
	const json_t *counters = json_object_get(seen->stats, "counters");

	end_line(s);
	draw_rate(s, "received", row_of(counters, "counter", "received"));
	draw_rate(s, "sent", row_of(counters, "counter", "sent"));
	draw_rate(s, "wins", row_of(counters, "counter", "wins"));
	draw_rate(s, "given", row_of(counters, "counter", "given_fen"));
	draw_sum(s, "dropped", json_object_get(seen->stats, "dropped"));
	draw_sum(s, "shed", json_object_get(seen->stats, "shed"));
}

/* ---- warnings ------------------------------------------------------------------------- */

static void
warn(struct screen *s, enum paint p, const char *text)
{
	put(s, p, "! ");
	put(s, p, text);
	end_line(s);
}

static void
draw_warnings(struct screen *s, const struct seen *seen)
{
	const json_t *o = seen->status;
	const char *disk = word(o, "disk");
	double behind = number(o, "workers") - number(o, "workers_current");
	char text[96];
	json_t *one;
	size_t i;

	if (disk[0] != '\0' && strcmp(disk, "good") != 0) {
		snprintf(text, sizeof(text), "the journal's disk is %s: nothing is given", disk);
		warn(s, PAINT_BAD, text);
	}
	if (number(o, "links_down") > 0) {
		snprintf(text, sizeof(text), "%.0f of %.0f ports: link down",
			number(o, "links_down"), number(o, "ports"));
		warn(s, PAINT_BAD, text);
	}
	if (behind > 0) {
		snprintf(text, sizeof(text),
			"%.0f workers have not seen the configuration in force", behind);
		warn(s, PAINT_WARN, text);
	}
	json_array_foreach(json_object_get(o, "warnings"), i, one)
	{
		if (json_is_string(one))
			warn(s, PAINT_WARN, json_string_value(one));
	}
}

/* ---- workers -------------------------------------------------------------------------- */

static void
bar(struct screen *s, enum paint p, int width, double share)
{
	char text[64];
	int full = share <= 0 ? 0 : share >= 1 ? width : (int)(share * width + 0.5);

	memset(text, '#', (size_t)full);
	memset(text + full, ' ', (size_t)(width - full));
	text[width] = '\0';
	put(s, PAINT_NONE, "[");
	put(s, p, text);
	put(s, PAINT_NONE, "] ");
}

/* The load's bar is as wide as its brackets make it. */
static const struct column worker_columns[] = {{"worker", 6, true}, {"", 22, false},
	{"load", 6, true}, {"requests/s", 12, true}, {"cycles", 8, true}, {"admission", 9, true},
	{"parked", 8, true}};

static void
draw_worker(struct screen *s, const json_t *o)
{
	const struct column *c = worker_columns;
	double load = number(o, "load_percent"), admission = number(o, "admission_percent");
	char text[48], out[64];

	snprintf(out, sizeof(out), "%.0f", number(o, "worker"));
	in_column(s, c++, PAINT_NONE, out);
	c++;
	bar(s, load >= 95 ? PAINT_BAD : load >= 80 ? PAINT_WARN : PAINT_GOOD, 20, load / 100);
	snprintf(out, sizeof(out), "%.1f%%", load);
	in_column(s, c++, PAINT_NONE, out);
	in_column(s, c++, PAINT_NONE, text_count(number(o, "received_per_second"), text));
	in_column(s, c++, PAINT_NONE, text_count(number(o, "cycles_per_request"), text));
	snprintf(out, sizeof(out), "%.1f%%", admission);
	in_column(s, c++, admission < 100 ? PAINT_WARN : PAINT_NONE, out);
	in_column(s, c++, PAINT_NONE, text_count(number(o, "parked"), text));
	if (json_is_true(json_object_get(o, "overloaded")))
		put(s, PAINT_BAD, "OVERLOADED");
	end_line(s);
}

/* At most so many rows, the head included. */
static void
draw_workers(struct screen *s, const struct seen *seen, int rows)
{
	const json_t *all = json_object_get(seen->stats, "workers");
	size_t n = json_array_size(all), shown = n;

	heads(s, worker_columns, HB_COUNT_OF(worker_columns));
	if ((int)n > rows)
		shown = rows > 1 ? (size_t)rows - 1 : 0;
	for (size_t i = 0; i < shown; i++)
		draw_worker(s, json_array_get(all, i));
	if (shown < n) {
		putf(s, PAINT_FAINT, "       and %zu more", n - shown);
		end_line(s);
	}
}

/* ---- replies and drops ---------------------------------------------------------------- */

/* "MISS 958,116/s  WIN 11,552/s", in as many lines as it takes. */
static void
draw_flow(struct screen *s, const char *name, const json_t *table, const char *kind, enum paint p)
{
	json_t *row;
	size_t i;

	if (json_array_size(table) == 0)
		return;
	field(s, PAINT_TITLE, 9, false, name);
	json_array_foreach(table, i, row)
	{
		double rate = number(row, "last_1s_per_second");
		char count[48], text[160];

		snprintf(text, sizeof(text), "%s %s/s  ", word(row, kind), text_count(rate, count));
		if (s->column > 10 && s->column + (int)strlen(text) > s->columns) {
			end_line(s);
			to_column(s, 10);
		}
		put(s, rate > 0 ? p : PAINT_FAINT, text);
	}
	end_line(s);
}

/* ---- campaigns ------------------------------------------------------------------------ */

static const struct column campaign_columns[] = {{"id", 5, true}, {"campaign", 14, false},
	{"state", 8, false}, {"", 12, false}, {"left", 13, true}, {"left yuan", 18, true},
	{"given/s", 10, true}, {"empty in", 9, true}};

static void
draw_campaign(struct screen *s, const json_t *o)
{
	const struct column *c = campaign_columns;
	double funded = number(o, "funded"), left = number(o, "left");
	const json_t *empty = json_object_get(o, "empty_in_s");
	char text[48], out[64];

	snprintf(out, sizeof(out), "%.0f", number(o, "id"));
	in_column(s, c++, PAINT_NONE, out);
	in_column(s, c++, PAINT_NONE, word(o, "name"));
	in_column(s, c++, paint_state(word(o, "state")), word(o, "state"));
	c++;
	bar(s, left == 0 ? PAINT_WARN : PAINT_GOOD, 10, funded == 0 ? 0 : left / funded);
	in_column(s, c++, PAINT_NONE, text_count(left, text));
	in_column(s, c++, PAINT_NONE, text_yuan(number(o, "left_fen"), text));
	in_column(s, c++, PAINT_NONE, text_count(number(o, "given_per_second"), text));
	if (empty != NULL)
		in_column(s, c, PAINT_NONE, text_duration(json_number_value(empty) * 1e9, text));
	end_line(s);
}

static bool
is_over(const json_t *o)
{
	return strcmp(word(o, "state"), "closed") == 0;
}

/* Those that are over come last. */
static void
draw_campaigns(struct screen *s, const struct seen *seen)
{
	const json_t *all = json_object_get(seen->campaigns, "campaigns");
	size_t n = json_array_size(all), shown = 0;

	heads(s, campaign_columns, HB_COUNT_OF(campaign_columns));
	for (unsigned over = 0; over < 2; over++) {
		for (size_t i = 0; i < n; i++) {
			const json_t *o = json_array_get(all, i);

			if (is_over(o) != (over == 1))
				continue;
			if (rows_left(s) < 2 && shown + 1 < n) {
				putf(s, PAINT_FAINT, "      and %zu more", n - shown);
				end_line(s);
				return;
			}
			draw_campaign(s, o);
			shown++;
		}
	}
}

/* ---- the whole ------------------------------------------------------------------------ */

void
screen_draw(struct screen *s, const struct seen *seen)
{
	fputs(BEGIN "\033[H", s->f);
	s->row = s->column = 0;
	if (seen->status != NULL && seen->stats != NULL && seen->campaigns != NULL) {
		draw_head(s, seen);
		draw_trouble(s, seen);
		draw_warnings(s, seen);
		draw_totals(s, seen);
		draw_flow(s, "replies", json_object_get(seen->stats, "replies"), "status",
			PAINT_NONE);
		draw_flow(s, "dropped", json_object_get(seen->stats, "dropped"), "reason",
			PAINT_WARN);
		draw_flow(s, "shed", json_object_get(seen->stats, "shed"), "op", PAINT_WARN);
		draw_workers(s, seen, rows_left(s) / 2);
		draw_campaigns(s, seen);
	} else {
		putf(s, PAINT_TITLE, "hongbaoctl top  %s", seen->socket);
		end_line(s);
		if (seen->trouble != NULL)
			draw_trouble(s, seen);
		else
			put(s, PAINT_NONE, "waiting for the first answer");
		end_line(s);
	}
	if (rows_left(s) > 0)
		fputs("\033[J", s->f);
	fputs(END, s->f);
}
