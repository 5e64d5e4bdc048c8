/* SPDX-License-Identifier: BSD-3-Clause */
#include "slots.h"
#include "hb_change.h"

#include <errno.h>
#include <stdlib.h>

struct hb_places *
hb_places_make(const struct hb_config *c)
{
	struct hb_places *p = calloc(1, sizeof(*p));

	for (unsigned i = 0; p != NULL && i < c->campaigns; i++)
		p->of[c->campaign[i].id] = (uint16_t)(i + 1);
	return p;
}

const struct hb_campaign_config *
hb_places_find(const struct hb_places *p, const struct hb_config *c, uint16_t id)
{
	return p->of[id] == 0 ? NULL : &c->campaign[p->of[id] - 1];
}

/* One that the next configuration lacks would leave money that nobody can win. */
static int
check_missing(const struct hb_config *now, const struct hb_config *next, struct hb_error *e)
{
	struct hb_places *p = hb_places_make(next);
	int rc = 0;

	if (p == NULL)
		return hb_fail(e, ENOMEM, "no memory to compare the campaigns");
	for (unsigned i = 0; i < now->campaigns && rc == 0; i++) {
		uint16_t id = now->campaign[i].id;

		if (p->of[id] == 0)
			rc = hb_fail(e, EPERM,
				"campaign %u: is missing, but cannot be taken away while hongbaod "
				"runs; close it instead: hongbaoctl campaign close %u",
				id, id);
	}
	free(p);
	return rc;
}

int
hb_slots_none(const struct hb_config *now, uint16_t id, struct hb_error *e)
{
	return hb_fail(e, ENOSPC,
		"campaign %u: all %u slots have their campaign (campaign_room was %u at the "
		"start); restart hongbaod with a larger campaign_room in its file",
		id, now->slots, now->campaign_room);
}

int
hb_slots_assign(const struct hb_config *now, struct hb_config *next,
	const struct hb_places *places_now, struct hb_error *e)
{
	int rc = check_missing(now, next, e);
	unsigned free_slot = 0;
	bool *used;

	if (rc != 0)
		return rc;
	used = calloc(now->slots + 1, sizeof(*used));
	if (used == NULL)
		return hb_fail(e, ENOMEM, "no memory for the slots of %u campaigns", now->slots);
	for (unsigned i = 0; i < now->campaigns; i++) {
		if (now->campaign[i].slot < now->slots)
			used[now->campaign[i].slot] = true;
	}
	next->slots = now->slots;
	for (unsigned i = 0; i < next->campaigns && rc == 0; i++) {
		struct hb_campaign_config *c = &next->campaign[i];
		const struct hb_campaign_config *same = hb_places_find(places_now, now, c->id);

		while (same == NULL && free_slot < now->slots && used[free_slot])
			free_slot++;
		if (same != NULL)
			c->slot = same->slot;
		else if (free_slot < now->slots)
			c->slot = free_slot++;
		else
			rc = hb_slots_none(now, c->id, e);
	}
	free(used);
	return rc;
}

int
hb_config_keep_campaigns(struct hb_config *c, const struct hb_config *now, struct hb_error *e)
{
	struct hb_places *p = hb_places_make(c);
	struct hb_campaign_config *all =
		realloc(c->campaign, (c->campaigns + now->campaigns + 1) * sizeof(*all));

	if (all != NULL)
		c->campaign = all;
	if (p == NULL || all == NULL) {
		free(p);
		return hb_fail(e, ENOMEM, "no memory for %u campaigns", now->campaigns);
	}
	for (unsigned i = 0; i < now->campaigns; i++) {
		if (p->of[now->campaign[i].id] == 0)
			all[c->campaigns++] = now->campaign[i];
	}
	free(p);
	return 0;
}
