/* SPDX-License-Identifier: BSD-3-Clause */
/* A line for each answer of a stream, under a head that comes again with each screen. */
#include "talk.h"
#include "text.h"

#include <stdlib.h>

#define LEAST 6
#define GAP 2

static bool
is_shown(const json_t *v)
{
	return !json_is_object(v) && !json_is_array(v);
}

/* The time of day is enough: the line is of today. */
static void
make(struct cell *cell, const char *key, const json_t *v)
{
	char text[48];

	cell_make(cell, key, v, IN_COLUMN);
	if (strcmp(key, "time_us") != 0 || !json_is_integer(v))
		return;
	free(cell->text);
	cell->text = ctl_must(strdup(text_time(json_number_value(v), true, text)));
	cell->width = text_width(cell->text);
}

/* Widens the columns to what now stands in them. */
static void
measure(struct watch *w, const json_t *result)
{
	const char *key;
	json_t *v;
	size_t i = 0;

	if (w->columns != json_object_size(result)) {
		w->columns = json_object_size(result);
		free(w->width);
		w->width = ctl_must(calloc(w->columns + 1, sizeof(*w->width)));
		w->line = 0;
	}
	json_object_foreach((json_t *)(uintptr_t)result, key, v)
	{
		char *head = text_title(key, IN_COLUMN);
		int wide = text_width(head);
		struct cell cell;

		make(&cell, key, v);
		wide = cell.width > wide ? cell.width : wide;
		wide = wide < LEAST ? LEAST : wide;
		w->width[i] = wide > w->width[i] ? wide : w->width[i];
		cell_free(&cell);
		free(head);
		i++;
	}
}

/* A line that is cut reads better than one that is wrapped. */
static void
cut(struct watch *w, int columns)
{
	int all = 0;

	for (w->shown = 0; w->shown < w->columns; w->shown++) {
		all += w->width[w->shown] + (w->shown > 0 ? GAP : 0);
		if (columns > 0 && all > columns)
			break;
	}
}

static void
print_head(const struct watch *w, const struct ctl *c, const json_t *result)
{
	const char *key;
	json_t *v;
	size_t i = 0;

	fputs(c->colour ? text_paint(PAINT_TITLE) : "", stdout);
	json_object_foreach((json_t *)(uintptr_t)result, key, v)
	{
		char *head = text_title(key, IN_COLUMN);

		if (is_shown(v) && i < w->shown)
			printf("%*s%s", (i > 0 ? GAP : 0) + w->width[i] - text_width(head), "",
				head);
		free(head);
		i++;
	}
	puts(c->colour ? TEXT_PLAIN : "");
}

void
watch_line(struct watch *w, const struct ctl *c, const json_t *result)
{
	const char *key;
	json_t *v;
	int rows = 0;
	size_t i = 0;

	measure(w, result);
	cut(w, talk_columns(c, &rows));
	/* A file or a pipe needs it once. */
	if (w->line == 0 || (rows > 2 && w->line % (unsigned long)(rows - 2) == 0))
		print_head(w, c, result);
	json_object_foreach((json_t *)(uintptr_t)result, key, v)
	{
		struct cell cell;

		if (is_shown(v) && i < w->shown) {
			make(&cell, key, v);
			printf("%*s%s%s%s", (i > 0 ? GAP : 0) + w->width[i] - cell.width, "",
				c->colour ? text_paint(cell.paint) : "", cell.text,
				c->colour && cell.paint != PAINT_NONE ? TEXT_PLAIN : "");
			cell_free(&cell);
		}
		i++;
	}
	putchar('\n');
	w->line++;
}

void
watch_free(struct watch *w)
{
	free(w->width);
}
