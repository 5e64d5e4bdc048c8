/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kinds of sources share. */
#ifndef HB_SOURCE_H
#define HB_SOURCE_H

#include "hb_replay.h"

/* Each kind of source begins with this. */
struct hb_source {
	unsigned (*next)(
		struct hb_source *s, struct hb_shot *shot, uint8_t *const *frame, unsigned n);
	void (*close)(struct hb_source *s); /* frees it too */
	/* Makes the totals exact, where they aren't; may be NULL. Returns 0 or -errno with e. */
	int (*measure)(struct hb_source *s, struct hb_error *e);
	uint64_t total;	      /* frames, at most */
	uint64_t total_bytes; /* of them together, at most */
	struct hb_routes routes;
	struct hb_error error; /* what stopped it, or "" */
};

/* The number of a frame's route, which is added where it is new, or -1 when there are too many.
 * frame: at least an IP header behind l2_bytes. */
int source_route(struct hb_routes *r, const uint8_t *frame, uint32_t l2_bytes, bool ipv6);

#endif
