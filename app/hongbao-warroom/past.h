/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * past: what hosts' histories (/api/history) add up to, so that a page that shows several hosts as
 * one shows the evening from its beginning. No state; one thread.
 */
#ifndef PAST_H
#define PAST_H

#include "history.h"

#include <jansson.h>

struct past_host {
	const json_t *history; /* NULL: none is known */
	double workers;
	int64_t ahead_us; /* its seconds have numbers that are so much ahead of ours */
};

/* By how much the seconds of a host are ahead of ours, of which `id` is the one that its present
 * state is of. */
int64_t past_ahead_us(const json_t *history, const json_t *now, uint64_t id);

/* The sums of one second or minute, that begins at at_us; NAN where no host knows any. */
void past_row(struct hb_second *out, const struct past_host *host, unsigned hosts, uint64_t at_us,
	const struct hb_history_facts *f);

/* The first row of all the hosts', as microseconds since 1970; 0: there is none. */
uint64_t past_first_us(const struct past_host *host, unsigned hosts);

/* The curve of a campaign's id; a new one while there is room; HB_CURVES: none. */
unsigned past_curve(struct hb_history_facts *f, json_int_t id, const char *name);

#endif
