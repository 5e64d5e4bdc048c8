/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>

static _Noreturn void
usage(const char *program, const struct option_number *known, unsigned count)
{
	fprintf(stderr, "usage: %s", program);
	for (unsigned i = 0; i < count; i++)
		fprintf(stderr, " [%s N (%llu)]", known[i].name,
			(unsigned long long)*known[i].value);
	fprintf(stderr, " [--json]\n");
	exit(HB_EXIT_USAGE);
}

static const struct option_number *
find(const struct option_number *known, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(known[i].name, name) == 0)
			return &known[i];
	}
	return NULL;
}

void
options_read(int argc, char **argv, const struct option_number *known, unsigned count, bool *json)
{
	*json = false;
	for (int i = 1; i < argc; i++) {
		const struct option_number *o = find(known, count, argv[i]);

		if (strcmp(argv[i], "--json") == 0)
			*json = true;
		else if (o == NULL || i + 1 == argc ||
			 hb_parse_u64(argv[++i], o->min, o->max, o->value) != 0)
			usage(argv[0], known, count);
	}
}
