/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the engine share. */
#ifndef HB_ENGINE_INTERNAL_H
#define HB_ENGINE_INTERNAL_H

#include "hb_engine.h"

/* ---- engine.c ------------------------------------------------------------------------ */

/* How long a BUSY asks to wait at least. Moving envelopes or writing a batch takes well under a
 * millisecond. */
#define ENGINE_BUSY_WAIT_MS 10

bool engine_is_denied(const struct hb_engine *e, uint64_t user);

/* Takes a place in the FIFO for a reply that must wait, if there is one left. */
bool engine_promise_room(struct hb_engine *e);

/* Holds a reply back until all the records that were made so far are durable, if `durable` doesn't
 * say that the ones it rests on are. BUSY where it finds no place to wait. */
void engine_answer_when_durable(
	struct hb_engine *e, struct hb_reply *out, struct hb_reply reply, bool durable);

/* Gives the records of a burst, or of what was done between bursts, to the control core. There is
 * room: records_room said so before each. */
void engine_send_records(struct hb_engine *e);

/* ---- packet.c ------------------------------------------------------------------------ */

/* Decides request number i of a burst of n, a GRAB or a PACK. */
void engine_decide_packet(struct hb_engine *e, const struct hb_snapshot *s,
	const struct hb_request *r, unsigned i, unsigned n, struct hb_reply *out);

/* Whether a win of a campaign of bundles can become a packet now: it takes two records. */
bool engine_bundle_room(struct hb_engine *e, const struct hb_campaign *c, uint64_t now_us);

/* Makes a packet of an envelope whose WIN is the last record and whose reply is *out. Returns
 * whether it is one: it stays a plain win in the very rare case that its id is taken. There is
 * room. */
bool engine_bundle(struct hb_engine *e, const struct hb_campaign *c, const struct hb_request *r,
	uint32_t number, struct hb_reply *out);

/* The packet that a campaign's envelope becomes for a winner: on the winner's own shard, another
 * for each envelope, and not to be guessed. */
uint64_t engine_bundle_id(
	const struct hb_engine *e, uint16_t campaign, uint32_t number, uint64_t user);

/* Takes the seed over. */
void engine_seed_packets(struct hb_engine *e, uint64_t seed);

/* HB_ORDER_PACKET. */
void engine_look_at_packet(const struct hb_engine *e, struct hb_packet_look *look);

#endif
