/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * options: the command line that the benchmarks of the engine share: numbers by name.
 */
#ifndef HB_BENCH_OPTIONS_H
#define HB_BENCH_OPTIONS_H

#include "hb_base.h"

struct option_number {
	const char *name; /* "--users" */
	uint64_t *value;  /* with its default */
	uint64_t min, max;
};

/* Reads `--name N` for each known name, and --json. Anything else ends the program with a line of
 * usage. */
void options_read(
	int argc, char **argv, const struct option_number *known, unsigned count, bool *json);

#endif
