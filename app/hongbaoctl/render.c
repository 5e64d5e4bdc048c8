/* SPDX-License-Identifier: BSD-3-Clause */
#include "render.h"

#include "ctl.h"
#include "table.h"

#include <stdlib.h>

#define INDENT 2
#define GAP 2

void
render_paint(const struct render *r, enum paint p, const char *text)
{
	if (r->colour && p != PAINT_NONE)
		fprintf(r->f, "%s%s%s", text_paint(p), text, TEXT_PLAIN);
	else
		fputs(text, r->f);
}

static void
blanks(const struct render *r, int n)
{
	fprintf(r->f, "%*s", n > 0 ? n : 0, "");
}

static bool
is_flat(const json_t *v)
{
	return !json_is_object(v) && !json_is_array(v);
}

/* An array whose elements are objects of single values, or none. */
static bool
is_table(const json_t *v)
{
	json_t *row, *value;
	const char *key;
	size_t i;

	json_array_foreach(v, i, row)
	{
		if (!json_is_object(row))
			return false;
		json_object_foreach(row, key, value)
		{
			if (!is_flat(value))
				return false;
		}
	}
	return json_array_size(v) > 0;
}

/* ---- tables --------------------------------------------------------------------------- */

/* Rows for columns. */
static void
turn_table(struct table *t)
{
	struct table turned = {.rows = t->columns, .columns = t->rows};

	turned.cell = ctl_must(calloc(t->rows * t->columns + 1, sizeof(*t->cell)));
	for (size_t i = 0; i < t->rows; i++) {
		for (size_t k = 0; k < t->columns; k++)
			*table_at(&turned, k, i) = *table_at(t, i, k);
	}
	for (size_t k = 0; k < turned.rows; k++)
		table_at(&turned, k, 0)->right = false;
	for (size_t i = 1; i < turned.columns; i++) {
		for (size_t k = 0; k < turned.rows; k++)
			table_at(&turned, k, i)->right = true;
	}
	free(t->cell);
	*t = turned;
}

static int
widths_of(const struct table *t, int *width)
{
	int all = INDENT;

	for (size_t k = 0; k < t->columns; k++) {
		width[k] = 0;
		for (size_t i = 0; i < t->rows; i++)
			width[k] = table_at(t, i, k)->width > width[k] ? table_at(t, i, k)->width
								       : width[k];
		all += width[k] + (k > 0 ? GAP : 0);
	}
	return all;
}

static void
print_table(const struct render *r, const struct table *t, const int *width)
{
	for (size_t i = 0; i < t->rows; i++) {
		/* Blanks that wait for something to stand behind them. */
		int gap = INDENT;

		for (size_t k = 0; k < t->columns; k++) {
			const struct cell *c = table_at(t, i, k);
			int beside = width[k] - c->width;

			if (c->width > 0) {
				blanks(r, gap + (c->right ? beside : 0));
				render_paint(r, c->paint, c->text);
				gap = GAP + (c->right ? 0 : beside);
			} else {
				gap += width[k] + GAP;
			}
		}
		fputc('\n', r->f);
	}
}

/* On a terminal that is too narrow for it, the table is turned if that helps. */
static void
render_table(const struct render *r, const json_t *array)
{
	struct table t;
	table_make(&t, array);
	int *width = ctl_must(calloc(t.rows + t.columns + 1, sizeof(*width)));
	int all = widths_of(&t, width);

	if (r->columns > 0 && all > r->columns) {
		turn_table(&t);
		if (widths_of(&t, width) > r->columns) {
			turn_table(&t);
			for (size_t k = 0; k < t.columns; k++) {
				for (size_t i = 1; i < t.rows; i++)
					table_at(&t, 0, k)->right &= table_at(&t, i, k)->right;
			}
		}
		widths_of(&t, width);
	}
	print_table(r, &t, width);
	free(width);
	table_free(&t);
}

/* ---- lines of a key and its value ----------------------------------------------------- */

static void
array_text(FILE *f, const char *key, const json_t *array)
{
	json_t *v;
	size_t i;

	json_array_foreach(array, i, v)
	{
		struct cell c;

		cell_make(&c, key, v, IN_LINE);
		fprintf(f, "%s%s", i > 0 ? ", " : "", c.text == NULL ? "" : c.text);
		cell_free(&c);
	}
	if (json_array_size(array) == 0)
		fputs("none", f);
}

/* An array of single values stands in its line. */
static bool
is_line(const json_t *v)
{
	json_t *one;
	size_t i;

	if (!json_is_array(v))
		return is_flat(v);
	json_array_foreach(v, i, one)
	{
		if (!is_flat(one))
			return false;
	}
	return true;
}

static void
print_value(const struct render *r, const char *key, const json_t *v)
{
	struct cell c;

	if (json_is_array(v)) {
		array_text(r->f, key, v);
		return;
	}
	cell_make(&c, key, v, IN_LINE);
	render_paint(r, c.paint, c.text);
	cell_free(&c);
}

/* Keys with the same title one behind the other share a line: "given  1,000  500.00 yuan". */
static void
render_lines(const struct render *r, const json_t *o, int indent)
{
	char *before = NULL;
	const char *key;
	json_t *v;
	int widest = 0;

	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		char *title = text_title(key, IN_LINE);
		int width = is_line(v) ? text_width(title) : 0;

		widest = width > widest ? width : widest;
		free(title);
	}
	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		if (!is_line(v))
			continue;
		char *title = text_title(key, IN_LINE);
		if (before != NULL && strcmp(before, title) == 0) {
			blanks(r, GAP);
		} else {
			if (before != NULL)
				fputc('\n', r->f);
			blanks(r, indent);
			fputs(title, r->f);
			blanks(r, widest - text_width(title) + GAP);
		}
		print_value(r, key, v);
		free(before);
		before = title;
	}
	if (before != NULL)
		fputc('\n', r->f);
	free(before);
}

/* ---- all ------------------------------------------------------------------------------ */

static void render_object(const struct render *r, const json_t *o, int indent);

static void
print_head(const struct render *r, const char *key, size_t number)
{
	char *title = text_title(key, IN_LINE);

	fputc('\n', r->f);
	render_paint(r, PAINT_TITLE, title);
	if (number > 0)
		fprintf(r->f, " %zu", number);
	fputc('\n', r->f);
	free(title);
}

static void
render_array(const struct render *r, const char *key, const json_t *array)
{
	json_t *v;
	size_t i;

	if (is_table(array)) {
		print_head(r, key, 0);
		render_table(r, array);
		return;
	}
	json_array_foreach(array, i, v)
	{
		print_head(r, key, i + 1);
		if (json_is_object(v))
			render_object(r, v, INDENT);
		else if (json_is_array(v))
			render_array(r, key, v);
		else {
			blanks(r, INDENT);
			print_value(r, key, v);
			fputc('\n', r->f);
		}
	}
}

static void
render_object(const struct render *r, const json_t *o, int indent)
{
	const char *key;
	json_t *v;

	render_lines(r, o, indent);
	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		if (is_line(v))
			continue;
		if (json_is_array(v)) {
			render_array(r, key, v);
		} else {
			print_head(r, key, 0);
			render_object(r, v, INDENT);
		}
	}
}

/* Plain text, which is what `config show` is for. It stays as it is where it may be read again. */
static void
render_text(const struct render *r, const char *text)
{
	size_t n = strlen(text);

	if (r->columns > 0)
		text_put(r->f, text, true);
	else
		fputs(text, r->f);
	if (n > 0 && text[n - 1] != '\n')
		fputc('\n', r->f);
}

void
render_any(const struct render *r, const json_t *result)
{
	const json_t *text = json_object_get(result, "text"), *only;

	if (json_is_string(text)) {
		render_text(r, json_string_value(text));
	} else if (render_is_changes(result)) {
		render_changes(r, result);
	} else if (json_is_object(result)) {
		only = json_object_iter_value(json_object_iter((json_t *)(uintptr_t)result));
		/* What is all of it needs no title. */
		if (json_object_size(result) == 1 && is_table(only))
			render_table(r, only);
		else
			render_object(r, result, 0);
	} else {
		print_value(r, "", result);
		fputc('\n', r->f);
	}
}

/* ---- changes -------------------------------------------------------------------------- */

bool
render_is_changes(const json_t *result)
{
	const json_t *changes = json_object_get(result, "changes"), *first;

	first = json_array_get(changes, 0);
	return json_is_array(changes) && (first == NULL || json_object_get(first, "after") != NULL);
}

static char *
word_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text_harmless(text == NULL ? "" : text);
}

static void
render_change(const struct render *r, const json_t *o)
{
	char *key = word_of(o, "key"), *before = word_of(o, "before"), *after = word_of(o, "after");

	fprintf(r->f, "%s: ", key);
	if (before[0] != '\0') {
		render_paint(r, PAINT_BAD, before);
		fputs(" -> ", r->f);
	}
	render_paint(r, PAINT_GOOD, after[0] == '\0' ? "nothing" : after);
	fputc('\n', r->f);
	free(key);
	free(before);
	free(after);
}

/* Since when, and for how long. */
static void
render_outcome(const struct render *r, const json_t *result)
{
	json_int_t version = json_integer_value(json_object_get(result, "version"));
	json_int_t workers = json_integer_value(json_object_get(result, "workers"));
	const json_t *seen = json_object_get(result, "seen_by_all");
	const json_t *after = json_object_get(result, "in_force_ns");
	const json_t *durable = json_object_get(result, "durable_ns");
	char took[48];

	if (json_is_true(json_object_get(result, "repeated")))
		fputs("made already, with that token: nothing more was put in\n", r->f);
	fprintf(r->f, "version %lld is in force", (long long)version);
	if (json_is_true(seen))
		fprintf(r->f, " on %s%lld worker%s", workers == 1 ? "" : "all ", (long long)workers,
			workers == 1 ? "" : "s");
	if (json_is_true(seen) && after != NULL)
		fprintf(r->f, ", after %s", text_duration(json_number_value(after), took));
	if (durable != NULL)
		fprintf(r->f, "; in the journal after %s",
			text_duration(json_number_value(durable), took));
	fputc('\n', r->f);
	if (json_is_false(seen))
		render_paint(r, PAINT_BAD,
			"not every worker has seen it yet; look at: hongbaoctl stats\n");
	char *warning = word_of(result, "warning");
	if (warning[0] != '\0') {
		render_paint(r, PAINT_BAD, warning);
		fputc('\n', r->f);
	}
	free(warning);
	if (json_is_false(json_object_get(result, "saved")))
		render_paint(r, PAINT_WARN,
			"not saved: hongbaoctl config save keeps it over a restart\n");
}

void
render_changes(const struct render *r, const json_t *result)
{
	json_t *changes = json_object_get(result, "changes"), *one;
	size_t i;

	json_array_foreach(changes, i, one) render_change(r, one);
	if (json_array_size(changes) == 0)
		fputs("nothing changes\n", r->f);
	else if (json_is_true(json_object_get(result, "applied")))
		render_outcome(r, result);
}
