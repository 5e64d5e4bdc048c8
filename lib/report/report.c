/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_report.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

void
hb_report_print_counts(
	const char *title, const uint64_t *counts, unsigned n, const char *(*name)(unsigned))
{
	char number[32];
	bool first = true;

	for (unsigned i = 0; i < n; i++) {
		if (counts[i] == 0)
			continue;
		printf("  %-10s %-14s %18s\n", first ? title : "", name(i),
			hb_thousands(counts[i], number));
		first = false;
	}
}

json_t *
hb_report_counts(const uint64_t *counts, unsigned n, const char *(*name)(unsigned))
{
	json_t *o = json_object();

	for (unsigned i = 0; i < n; i++) {
		if (counts[i] != 0)
			json_object_set_new(o, name(i), json_integer((json_int_t)counts[i]));
	}
	return o;
}

int
hb_report_write(const char *path, json_t *o, struct hb_error *e)
{
	char temporary[PATH_MAX];

	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	if (json_dump_file(o, temporary, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 &&
		rename(temporary, path) == 0)
		return 0;
	int err = errno == 0 ? EIO : errno;
	unlink(temporary);
	return hb_fail(e, err, "--report %s: cannot write it: %s; name another place", path,
		strerror(err));
}
