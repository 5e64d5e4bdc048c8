/* SPDX-License-Identifier: BSD-3-Clause */
/* Values as a person reads them, by the conventions for names of keys (lib/views/hb_views.h), and
 * text of others made harmless for a terminal. */
#ifndef HONGBAOCTL_TEXT_H
#define HONGBAOCTL_TEXT_H

#include "hb_base.h"

#include <jansson.h>
#include <stdio.h>

enum paint {
	PAINT_NONE,
	PAINT_GOOD,
	PAINT_WARN,
	PAINT_BAD,
	PAINT_TITLE,
	PAINT_FAINT,
};

/* A value, ready to be printed. */
struct cell {
	char *text; /* harmless; NULL: nothing is there */
	int width;  /* columns on a terminal */
	enum paint paint;
	bool right; /* a number */
};

/* Where the unit of a value is told: behind it, or in the head of its column. */
enum place {
	IN_LINE,
	IN_COLUMN,
};

void cell_make(struct cell *c, const char *key, const json_t *value, enum place place);
void cell_free(struct cell *c);

/* A key as a title: without its unit, blanks for underscores; in a column with the unit where the
 * values don't say it. To be freed. */
char *text_title(const char *key, enum place place);

/* Text of others: control characters, those that turn the direction of writing, and what isn't
 * UTF-8 come out as \xNN or \u{NNNN}. `lines`: newlines and tabs stay. */
void text_put(FILE *f, const char *text, bool lines);
/* The same, to be freed. */
char *text_harmless(const char *text);
/* How many columns a harmless text takes. */
int text_width(const char *text);
/* How many bytes of a harmless text fit into so many columns; *width becomes what they take. */
size_t text_fit(const char *text, int columns, int *width);

/* The sequence that begins it; "" for PAINT_NONE. TEXT_PLAIN ends any. */
const char *text_paint(enum paint p);
#define TEXT_PLAIN "\033[0m"

/* Into out, at least 48 bytes. Each returns out. */
char *text_count(double n, char *out);		   /* "1,234,567", "12.3" */
char *text_yuan(double fen, char *out);		   /* "1,234.56" */
char *text_duration(double ns, char *out);	   /* "850 ns", "12.3 ms", "3h 12m" */
char *text_time(double us, bool clock, char *out); /* ISO, local; or only "22:30:00" */

#endif
