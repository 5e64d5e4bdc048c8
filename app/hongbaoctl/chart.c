/* SPDX-License-Identifier: BSD-3-Clause */
#include "chart.h"

#include "ctl.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>

/* Of the picture, in its own units; and where the curves are in it. */
#define WIDTH 960
#define HEIGHT 240
#define LEFT 80
#define RIGHT 950
#define TOP 12
#define BOTTOM 210
#define TICKS 6

/* ---- values -------------------------------------------------------------------------- */

/* NAN where nothing is known. */
static double
value_at(const struct curve *c, size_t i)
{
	const json_t *v = json_array_get(c->values, i);

	return json_is_number(v) ? json_number_value(v) * c->scale : NAN;
}

struct extent {
	double most, least, sum;
	size_t known, most_at;
};

static struct extent
extent_of(const struct chart *c, const struct curve *of)
{
	struct extent e = {0};

	for (size_t i = 0; i < c->rows; i++) {
		double v = value_at(of, i);

		if (isnan(v))
			continue;
		if (e.known == 0 || v > e.most) {
			e.most = v;
			e.most_at = i;
		}
		e.least = e.known == 0 || v < e.least ? v : e.least;
		e.sum += v;
		e.known++;
	}
	return e;
}

/* The next number that is 1, 2 or 5 with noughts. */
static double
round_up(double v)
{
	double ten = pow(10, floor(log10(v)));

	if (v <= 0)
		return 1;
	return v <= ten ? ten : v <= 2 * ten ? 2 * ten : v <= 5 * ten ? 5 * ten : 10 * ten;
}

/* ---- the picture --------------------------------------------------------------------- */

static double
x_of(const struct chart *c, double i)
{
	return LEFT + (c->rows < 2 ? 0 : (RIGHT - LEFT) * i / (double)(c->rows - 1));
}

static double
y_of(double v, double top)
{
	return BOTTOM - (BOTTOM - TOP) * v / top;
}

/* A curve with at most a point for each unit of width, the one that matters of those that fall
 * together; broken where nothing is known. */
static void
put_curve(FILE *f, const struct chart *c, unsigned which, double top)
{
	const struct curve *of = &c->curve[which];
	size_t together = c->rows / (RIGHT - LEFT) + 1;
	bool drawn = false;

	fprintf(f, "<path class=\"c%u\" d=\"", which % 8);
	for (size_t i = 0; i < c->rows; i += together) {
		double best = NAN;

		for (size_t k = i; k < i + together && k < c->rows; k++) {
			double v = value_at(of, k);

			if (!isnan(v) && (isnan(best) || (of->least ? v < best : v > best)))
				best = v;
		}
		if (!isnan(best))
			fprintf(f, "%c%.1f %.1f", drawn ? 'L' : 'M', x_of(c, (double)i),
				y_of(best, top));
		/* A point by itself is seen too. */
		if (!isnan(best) && !drawn)
			fputs("h.1", f);
		drawn = !isnan(best);
	}
	fputs("\"/>\n", f);
}

static void
put_grid(FILE *f, const struct chart *c, double top)
{
	char text[48];

	for (unsigned i = 0; i <= 2; i++) {
		double v = top * i / 2, y = y_of(v, top);

		fprintf(f,
			"<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
			"class=\"y\">%s%s</text>\n",
			LEFT, y, RIGHT, LEFT - 6, y + 4, text_count(v, text), c->unit);
	}
	for (unsigned i = 0; i <= TICKS; i++) {
		double at = (double)(c->rows - 1) * i / TICKS;

		text_time(c->first_us + at * c->step_us, true, text);
		fprintf(f, "<text x=\"%.1f\" y=\"%d\" class=\"%s\">%s</text>\n", x_of(c, at),
			HEIGHT - 12, i == TICKS ? "last" : "x", text);
	}
}

static void
put_marks(FILE *f, const struct chart *c)
{
	size_t i;
	json_t *one;

	json_array_foreach(c->marks, i, one)
	{
		double us = json_number_value(json_object_get(one, "time_us"));
		double at = (us - c->first_us) / c->step_us;

		if (at < 0 || at > (double)c->rows - 1)
			continue;
		fprintf(f,
			"<path class=\"mark\" d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\" "
			"class=\"x\">%zu</text>\n",
			x_of(c, at), TOP, BOTTOM, x_of(c, at), TOP - 2, i + 1);
	}
}

/* What the curves are called, and what they say, for those who don't see them. */
static void
put_caption(FILE *f, const struct chart *c)
{
	char text[48], when[48];

	fputs("<figcaption>", f);
	for (unsigned i = 0; i < c->curves; i++) {
		struct extent e = extent_of(c, &c->curve[i]);

		if (e.known == 0)
			continue;
		fprintf(f,
			"<span><svg class=\"key\" viewBox=\"0 0 30 8\" aria-hidden=\"true\">"
			"<path class=\"c%u\" d=\"M0 4H30\"/></svg> ",
			i % 8);
		html_put(f, c->curve[i].name);
		if (c->curve[i].least)
			fprintf(f, ": least %s%s", text_count(e.least, text), c->unit);
		else
			fprintf(f, ": most %s%s, at %s", text_count(e.most, text), c->unit,
				text_time(
					c->first_us + (double)e.most_at * c->step_us, true, when));
		fprintf(f, ", mean %s%s</span> ", text_count(e.sum / (double)e.known, text),
			c->unit);
	}
	fputs("</figcaption>\n", f);
}

void
chart_write(FILE *f, const struct chart *c)
{
	size_t known = 0;
	double top = 0;

	for (unsigned i = 0; i < c->curves; i++) {
		struct extent e = extent_of(c, &c->curve[i]);

		known += e.known;
		top = e.most > top ? e.most : top;
	}
	if (known == 0)
		return;
	top = round_up(top);
	fputs("<figure>\n<h3>", f);
	html_put(f, c->title);
	fprintf(f, "</h3>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
	html_put(f, c->title);
	fputs("\">\n", f);
	put_grid(f, c, top);
	put_marks(f, c);
	for (unsigned i = 0; i < c->curves; i++)
		put_curve(f, c, i, top);
	fputs("</svg>\n", f);
	put_caption(f, c);
	fputs("</figure>\n", f);
}

/* ---- text ---------------------------------------------------------------------------- */

void
html_put(FILE *f, const char *text)
{
	char *safe = text_harmless(text == NULL ? "" : text);

	for (const char *p = safe; *p != '\0'; p++) {
		switch (*p) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		case '\'':
			fputs("&#39;", f);
			break;
		default:
			fputc(*p, f);
		}
	}
	free(safe);
}
