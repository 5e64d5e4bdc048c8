/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sum: several hosts' present states (hb_warroom.h) as one. Rates, totals and money add up,
 * latencies and ages are the worst, campaigns add up by their id, workers and changes are listed
 * with their host. No state; one thread.
 */
#ifndef SUM_H
#define SUM_H

#include "hb_base.h"

#include <jansson.h>

/* One host's, to be added. */
struct sum_part {
	const char *peer; /* HOST:PORT */
	const json_t *now;
};

/* Sets rates, totals, money, packets, campaigns, settlement, workers, load, handover, drops, shed,
 * replies, admission, latency, changes, state, clock, config_version of `o`. time_us: now. No part:
 * all of it is 0. Returns 0 or -ENOMEM. */
int sum_now(json_t *o, const struct sum_part *part, unsigned parts, uint64_t time_us);

/* Adds a host's alerts to an array of them, with its name before the text. Returns those that it
 * says that it doesn't show. */
json_int_t sum_alerts(json_t *list, const struct sum_part *part);

/* The worst first, and of these what has been so for the longest. */
json_t *sum_sorted_alerts(const json_t *list, size_t at_most);

#endif
