/* SPDX-License-Identifier: BSD-3-Clause */
/* An array of flat objects as a table of cells, a column for each key. */
#ifndef HONGBAOCTL_TABLE_H
#define HONGBAOCTL_TABLE_H

#include "text.h"

/* Cells by row and column; row 0 is the head. */
struct table {
	struct cell *cell;
	size_t rows, columns;
};

struct cell *table_at(const struct table *t, size_t row, size_t column);
void table_make(struct table *t, const json_t *array);
void table_free(struct table *t);

#endif
