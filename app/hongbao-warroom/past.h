/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * past: what hosts' histories (/api/history) add up to, so that a page that shows several hosts as
 * one shows the evening from its beginning. No state; one thread.
 */
#ifndef PAST_H
#define PAST_H

#include "history.h"

#include <jansson.h>

/* The sums of one second or minute; NAN where no host knows any. at_us: its beginning. rows: of
 * each host a history's object, or NULL; weight: each host's workers. */
void past_row(struct hb_second *out, const json_t *const *history, const double *weight,
	unsigned hosts, uint64_t at_us, const struct hb_history_facts *f);

/* The first and the last row of all the hosts', as microseconds since 1970, both 0 without any. */
void past_span(const json_t *const *history, unsigned hosts, uint64_t *first_us, uint64_t *last_us);

/* The curve of a campaign's id; a new one while there is room; HB_CURVES: none. */
unsigned past_curve(struct hb_history_facts *f, json_int_t id, const char *name);

#endif
