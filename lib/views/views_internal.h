/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of lib/views alone share. */
#ifndef HB_VIEWS_INTERNAL_H
#define HB_VIEWS_INTERNAL_H

#include "hb_figures.h"

/* A counter of hb_worker_stats. */
struct hb_counter {
	const char *name;
	size_t at;
};
extern const struct hb_counter hb_counters[];
extern const unsigned hb_counters_count;

#endif
