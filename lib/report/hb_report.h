/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_report: what the programs' reports share: counts by name, on the screen and in JSON, and the
 * file. No state; main thread only.
 */
#ifndef HB_REPORT_H
#define HB_REPORT_H

#include "hb_base.h"

#include <jansson.h>

/* Prints lines of a table by name to stdout, none for what is 0. */
void hb_report_print_counts(
	const char *title, const uint64_t *counts, unsigned n, const char *(*name)(unsigned));

/* The same as an object. */
json_t *hb_report_counts(const uint64_t *counts, unsigned n, const char *(*name)(unsigned));

/* Writes the file, under another name first, so that nobody ever reads half a report. Returns 0 or
 * -errno with e. */
int hb_report_write(const char *path, json_t *o, struct hb_error *e);

#endif
