/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stream of an event of group packets: senders fund them, members grab within seconds, and now
 * and then a packet has many more grabbers than shares. Internal to lib/scenario; it belongs to one
 * stream.
 *
 * Figures: 1 to 100 shares, ten in the mean, and about as many grabbers. One packet of 4,096 is
 * hot: a fifth of all grabs go to it until it has had its crowd. The split of all this beyond what
 * the events' figures say is an assumption.
 */
#ifndef HB_SCENARIO_GROUPS_H
#define HB_SCENARIO_GROUPS_H

#include "curve.h"
#include "hb_scenario.h"

struct hb_groups;

/* How many items there are of each kind: together o->requests. */
struct hb_groups_plan {
	uint64_t fresh, retries, forged;
};

/* The curve's memory stays the caller's, for as long as the stream is read. Returns NULL when there
 * is no memory. */
struct hb_groups *hb_groups_open(const struct hb_scenario_options *o,
	const struct hb_groups_plan *plan, const struct hb_curve *curve);

bool hb_groups_next(struct hb_groups *g, struct hb_scenario_item *item);

/* How many users have sent something. */
uint64_t hb_groups_users(const struct hb_groups *g);

void hb_groups_close(struct hb_groups *g);

#endif
