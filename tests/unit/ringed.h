/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ringed: a worker, all of it, on a net_ring device, for a test or a benchmark that plays NIC,
 * clients and control core: what it puts into `in` the worker receives, what the worker sends it
 * finds in `out`, and ringed_settle() makes wins durable. Two campaigns: 7 is shaken, 8 answered
 * with RINGED_PASSWORD.
 *
 * One thread calls everything but the worker's own loop, where that has a thread of its own.
 */
#ifndef HB_TEST_RINGED_H
#define HB_TEST_RINGED_H

#include "hb_port.h"

#include <rte_mbuf.h>

#define RINGED_SHAKEN 7
#define RINGED_ANSWERED 8
#define RINGED_PASSWORD "red"

struct ringed_terms {
	uint64_t users;	      /* rows */
	uint32_t envelopes;   /* of each campaign */
	double odds;	      /* of each */
	unsigned descriptors; /* of the receive queue; a power of two */
	/* 0 where the above is all. */
	uint64_t total;		/* fen of each campaign, at random; else each envelope has 100 */
	uint32_t wins_per_user; /* else as many as can be */
	bool shaken_alone;	/* no campaign 8 */
	bool dealt;		/* envelopes are made and dealt by a control core of the caller's */
};

struct ringed {
	struct hb_worker worker;
	struct hb_config config;
	struct hb_campaign_config campaign[2];
	struct hb_envelopes envelopes[2]; /* of config.campaigns */
	uint8_t drained[2];
	struct hb_snapshot *snapshot;
	struct hb_ports ports;
	struct rte_ring *in, *out;
};

/* What stands beside a frame, for its sender alone. */
struct ringed_note {
	double at;
	uint64_t user;
	uint32_t seq;
	bool again;
};

/* Starts EAL, once in a program. Returns 0 or -errno. */
int ringed_begin(const char *program);

/* Returns NULL, with e, where something can't be had. */
struct ringed *ringed_make(const struct ringed_terms *t, struct hb_error *e);
void ringed_free(struct ringed *r);

/* Whether the receive queue is full. */
bool ringed_full(const struct ringed *r);

/* Sends the worker a request, whose user's tag is right, or wrong where it is forged. Returns false
 * where the queue is full or no frame is free. */
bool ringed_send(struct ringed *r, const struct hb_request *q, bool forged, struct ringed_note n);

/* Takes up to n replies: frames that are the caller's, to be freed. ringed_reply() reads one. */
unsigned ringed_take(struct ringed *r, struct rte_mbuf **m, unsigned n);
const uint8_t *ringed_reply(struct rte_mbuf *m);
struct ringed_note ringed_note_of(struct rte_mbuf *m);

/* Takes the worker's records and says that they are durable. */
void ringed_settle(struct ringed *r);

#endif
