/* SPDX-License-Identifier: BSD-3-Clause */
/* Any result of a command as aligned lines and tables. */
#ifndef HONGBAOCTL_RENDER_H
#define HONGBAOCTL_RENDER_H

#include "text.h"

struct render {
	FILE *f;
	bool colour;
	int columns; /* of the terminal; 0: as wide as it gets */
};

/* A result, whatever it is. */
void render_any(const struct render *r, const json_t *result);

/* What a change is, or would be: an object with "changes". */
void render_changes(const struct render *r, const json_t *result);
bool render_is_changes(const json_t *result);

/* Text in a colour. It must be harmless. */
void render_paint(const struct render *r, enum paint p, const char *text);

#endif
