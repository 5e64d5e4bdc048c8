/* SPDX-License-Identifier: BSD-3-Clause */
/* A frame of lines, cut to what the terminal shows; and what top draws on it. */
#ifndef HONGBAOCTL_SCREEN_H
#define HONGBAOCTL_SCREEN_H

#include "text.h"

struct screen {
	FILE *f;
	bool colour;
	int rows, columns;
	int row, column; /* where the next text goes */
};

/* What top knows. */
struct seen {
	const json_t *status, *stats, *campaigns; /* results; NULL: none yet */
	double age_s;				  /* of the last whole answer; < 0: none yet */
	const char *trouble;			  /* why there is none, or NULL */
	const char *socket;
};

void screen_draw(struct screen *s, const struct seen *seen);

#endif
