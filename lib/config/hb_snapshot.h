/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_snapshot: the configuration as the workers see it: one immutable block, found through a
 * pointer that a worker reads once a burst (liburcu, QSBR flavour).
 *
 * Made and freed by whoever changes the configuration, which waits for a grace period before it
 * frees. Workers only read.
 */
#ifndef HB_SNAPSHOT_H
#define HB_SNAPSHOT_H

#include "hb_config.h"

/* One campaign: a cache line. */
struct hb_campaign {
	uint64_t opens_us;
	uint64_t closes_us;
	uint64_t odds;	 /* a draw of 63 bits below it wins: 2^63 wins always, 0 never */
	uint64_t answer; /* digest of the password, if answered */
	uint32_t slot;	 /* index of the state that the cores keep of it */
	uint32_t wait_ms;
	uint32_t least_interval_ms;
	uint32_t release_per_second;
	uint16_t id;
	uint16_t wins_per_user;
	bool answered; /* else shaken */
	bool paused;
	bool leased;		 /* its budget is shared by many hosts */
	struct hb_bundle bundle; /* shares 0: a win is an envelope, not a packet */
} HB_ALIGNED;
_Static_assert(sizeof(struct hb_campaign) == HB_CACHE_LINE, "a campaign is a cache line");

struct hb_snapshot {
	uint64_t version; /* whoever publishes it numbers it */
	bool draining;	  /* new draws are not decided any more; whoever publishes it says so */
	bool shed;
	bool idle_sleep;
	uint32_t busy_wait_ms;
	size_t room; /* bytes that it was given */
	struct hb_keyring keys;
	struct hb_listen listen[HB_PORTS_MAX]; /* by port */
	uint32_t slices;		       /* bit i: this host owns slice i */
	unsigned campaigns;
	bool throttles;	       /* whether any has a least interval */
	uint16_t index[65536]; /* by campaign id: 1 + its place below, 0 for none */
	struct hb_campaign campaign[];
};

/* Makes the snapshot of a configuration, with version 0 and not draining. Returns NULL when there
 * is no memory. */
struct hb_snapshot *hb_snapshot_make(const struct hb_config *c);
/* The same in the memory of `old`, a snapshot that nobody sees any more or NULL, if it has room. */
struct hb_snapshot *hb_snapshot_remake(struct hb_snapshot *old, const struct hb_config *c);
void hb_snapshot_free(struct hb_snapshot *s);

/* A campaign by its id, or NULL. */
static inline const struct hb_campaign *
hb_snapshot_campaign(const struct hb_snapshot *s, uint16_t id)
{
	uint16_t place = s->index[id];

	return place == 0 ? NULL : &s->campaign[place - 1];
}

#endif
