/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_scenario: the requests of a whole event, one by one, in the order of their time.
 *
 * A scenario has the shape of a real night (gala-2015, password-2015), scaled to as many requests
 * and users as the caller wants. Same arguments, same stream, byte for byte, on any machine: all
 * that decides it is integer arithmetic. The stream is made while it is read: 24 bytes are kept for
 * a user who is busy and 4 for each other one, so that a replayer can ask for 100 million users.
 *
 * How a stream comes about: a curve says when requests are made; at each of its moments the user
 * whose next request is due sends it, or else another user begins a run of requests. A user waits
 * for the answer: while a request of his is to be repeated, he sends no other.
 *
 * The state is the stream's alone and belongs to the caller; streams know nothing of each other. A
 * stream is used by one thread at a time. hb_scenario_open() allocates all that it needs, the rest
 * allocates nothing. hb_wire_init() comes first.
 */
#ifndef HB_SCENARIO_H
#define HB_SCENARIO_H

#include "hb_wire.h"

#define HB_SCENARIO_USERS_MAX UINT32_MAX
#define HB_SCENARIO_REQUESTS_MAX (1ull << 48)

/* What a scenario is modelled on. */
struct hb_scenario_info {
	const char *name;
	const char *summary;
	uint64_t requests; /* of the real event */
	uint64_t users;	   /* of the real event, 0: not known */
	uint64_t start_us; /* since 1970 */
	uint32_t seconds;  /* repeats may come up to 2 s after that */
};

struct hb_scenario_options {
	uint64_t requests; /* the stream's length, repeats and forged ones included */
	uint64_t users;	   /* they are 1 to this number; see hb_scenario_users() */
	uint64_t seed;
	uint64_t start_us; /* since 1970; 0: when the event began */
	double retries;	   /* share of the requests that repeat an earlier one, 1 to 2 s later */
	double forged;	   /* share of the requests that carry a random tag */
	double right;	   /* password: share of the answers that are right */
	const char *password;
	uint16_t campaign;
	uint8_t epoch;
};

enum hb_scenario_flag {
	HB_SCENARIO_RETRY = 1u, /* the same fields as the user's request before it */
	HB_SCENARIO_FORGED =
		2u, /* not by the user that it names; its seq is no part of the user's */
	HB_SCENARIO_RIGHT = 4u,	   /* an answer that is the password */
	HB_SCENARIO_REPEATED = 8u, /* a RETRY of this one is to come */
};

struct hb_scenario_item {
	struct hb_request
		request; /* op, epoch, campaign, seq, user, arg, shard and now_us are set */
	unsigned flags;	 /* of enum hb_scenario_flag */
};

struct hb_scenario;

/* The scenarios that there are; *n says how many. */
const struct hb_scenario_info *hb_scenario_list(size_t *n);

/* Every knob at its default; the caller sets requests, users and seed. */
void hb_scenario_defaults(struct hb_scenario_options *o);

/* Opens a stream. Errors: -ENOENT for a name that there isn't, -EINVAL for an option out of range,
 * -ENOMEM; the line in e. The stream is the caller's, to be given to hb_scenario_close(). */
int hb_scenario_open(struct hb_scenario **out, const char *name,
	const struct hb_scenario_options *o, struct hb_error *e);

/* The next request; false when all have been given. Time never goes backwards. */
bool hb_scenario_next(struct hb_scenario *s, struct hb_scenario_item *item);

void hb_scenario_close(struct hb_scenario *s);

/* How many users have sent a request so far. In the end it is all of them, if there are at least as
 * many requests that are neither repeats nor forged (with the defaults, 2 requests a user are
 * plenty); else one user for each such request. Newcomers are spread over the whole event.
 *
 * Users should be in proportion to the requests: where so few are left that all of them wait to
 * repeat something, nobody sends until one of them has, and the event lasts longer. */
uint64_t hb_scenario_users(const struct hb_scenario *s);

/* ---- frames ------------------------------------------------------------------------- */

/* Where the requests go to. */
struct hb_scenario_wire {
	struct hb_keyring keys; /* with the key of the stream's epoch */
	uint8_t src_mac[6], dst_mac[6];
	uint8_t server_ip[4];
	uint16_t base_port;
};

/* What the frames of a stream share, made once. */
struct hb_scenario_moulds {
	struct hb_mould mould[HB_OP_PACK + 1]; /* by op */
};

void hb_scenario_moulds(struct hb_scenario_moulds *m, const struct hb_scenario_wire *w);

/* Builds the whole frames of n items, n <= HB_BURST: the user's address and port as the source, the
 * port of its shard as the destination, the tag made with the user's key, or random if it is
 * forged. frame[i] has HB_FRAME_BYTES_MAX bytes; bytes[i] becomes its length. No state, any thread.
 */
void hb_scenario_frames(const struct hb_scenario_wire *w, const struct hb_scenario_moulds *m,
	const struct hb_scenario_item *item, unsigned n, uint8_t *const *frame, uint32_t *bytes);

/* The IPv4 address and port that a user sends from: in 10.64.0.0/10, or in 10.128.0.0/10 where that
 * would be the server's own address. No two users below 2^37 have the same address and port. */
void hb_scenario_source(uint64_t user, const uint8_t server_ip[4], uint8_t ip[4], uint16_t *port);

#endif
