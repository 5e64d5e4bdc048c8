/* SPDX-License-Identifier: BSD-3-Clause */
/* Curves over time as a picture that stands in an HTML page: SVG, without script. */
#ifndef HONGBAOCTL_CHART_H
#define HONGBAOCTL_CHART_H

#include "hb_base.h"

#include <jansson.h>
#include <stdio.h>

#define CHART_CURVES_MAX 16

struct curve {
	const char *name;
	const json_t *values; /* an array of numbers and nulls */
	double scale;	      /* a value times this is what is shown */
	bool least;	      /* what matters is how low it is; else how high */
};

struct chart {
	const char *title;
	const char *unit; /* behind numbers, with its blank; "" */
	struct curve curve[CHART_CURVES_MAX];
	unsigned curves;
	double first_us, step_us; /* the time of the first value, and from one to the next */
	size_t rows;
	const json_t *marks; /* changes, each with time_us: upright lines, numbered from 1 */
};

/* Text of others, as HTML may hold it. */
void html_put(FILE *f, const char *text);

/* Writes a figure; nothing where no curve has a value. */
void chart_write(FILE *f, const struct chart *c);

#endif
