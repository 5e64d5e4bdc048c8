/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_snapshot.h"

#include <math.h>
#include <sodium.h>
#include <stdlib.h>

static void
fill_campaign(struct hb_campaign *to, const struct hb_campaign_config *from)
{
	*to = (struct hb_campaign){
		.opens_us = from->opens_us,
		.closes_us = from->closes_us,
		.odds = (uint64_t)ldexp(from->odds, 63),
		.answer = hb_answer_digest(from->id, from->password),
		.slot = from->slot,
		.wait_ms = from->wait_ms,
		.least_interval_ms = from->least_interval_ms,
		.release_per_second = from->release_per_second,
		.id = from->id,
		.wins_per_user = (uint16_t)from->wins_per_user,
		.answered = from->password[0] != '\0',
		.paused = from->paused,
		.leased = from->leased,
		.bundle = from->bundle,
	};
}

/* Zeroed memory for a snapshot of so many campaigns: the old one's, if it has room. */
static struct hb_snapshot *
snapshot_room(struct hb_snapshot *old, unsigned campaigns)
{
	size_t bytes = sizeof(struct hb_snapshot) + campaigns * sizeof(struct hb_campaign);
	struct hb_snapshot *s = old;

	bytes = (bytes + HB_CACHE_LINE - 1) / HB_CACHE_LINE * HB_CACHE_LINE;
	if (old == NULL || old->room < bytes) {
		hb_snapshot_free(old);
		s = aligned_alloc(HB_CACHE_LINE, bytes);
		if (s == NULL)
			return NULL;
	} else {
		bytes = old->room;
	}
	memset(s, 0, bytes);
	s->room = bytes;
	return s;
}

struct hb_snapshot *
hb_snapshot_make(const struct hb_config *c)
{
	return hb_snapshot_remake(NULL, c);
}

struct hb_snapshot *
hb_snapshot_remake(struct hb_snapshot *old, const struct hb_config *c)
{
	struct hb_snapshot *s = snapshot_room(old, c->campaigns);

	if (s == NULL)
		return NULL;
	s->keys = c->keys;
	for (unsigned i = 0; i < c->ports; i++)
		s->listen[i] = c->port[i].listen;
	s->slices = c->slices;
	s->shed = c->shed;
	s->idle_sleep = c->idle_sleep;
	s->busy_wait_ms = c->busy_wait_ms;
	s->campaigns = c->campaigns;
	for (unsigned i = 0; i < c->campaigns; i++) {
		fill_campaign(&s->campaign[i], &c->campaign[i]);
		s->throttles |= c->campaign[i].least_interval_ms != 0;
		s->index[c->campaign[i].id] = (uint16_t)(i + 1);
	}
	return s;
}

void
hb_snapshot_free(struct hb_snapshot *s)
{
	if (s != NULL)
		sodium_memzero(&s->keys, sizeof(s->keys));
	free(s);
}
