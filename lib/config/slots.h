/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slots: which campaign has which slot, as campaigns come while the program runs.
 *
 * Internal to lib/config. No state.
 */
#ifndef HB_CONFIG_SLOTS_H
#define HB_CONFIG_SLOTS_H

#include "hb_config.h"

/* Where each campaign of a configuration stands in it, by id. */
struct hb_places {
	uint16_t of[HB_CAMPAIGNS_MAX + 1]; /* 1 + its place; 0: there is none */
};

/* To be freed; NULL when there is no memory. */
struct hb_places *hb_places_make(const struct hb_config *c);

/* The campaign of that id, NULL when there is none. p: of the same configuration. */
const struct hb_campaign_config *hb_places_find(
	const struct hb_places *p, const struct hb_config *c, uint16_t id);

/* Gives every campaign of `next` its slot: that which `now` has for its id, else the lowest that is
 * free; and as many slots as `now` has. Returns 0, or with the line in e -EPERM where a campaign of
 * `now` is missing, -ENOSPC where the slots don't suffice, -ENOMEM. */
int hb_slots_assign(const struct hb_config *now, struct hb_config *next,
	const struct hb_places *places_now, struct hb_error *e);

/* Writes the line that there is no slot left for that campaign, and returns -ENOSPC. */
int hb_slots_none(const struct hb_config *now, uint16_t id, struct hb_error *e);

#endif
