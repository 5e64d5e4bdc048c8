/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The payload of requests and replies, field by field: what hb_wire_decode() and hb_wire_reply()
 * do, inline, since a worker does it for each frame. For lib/wire alone; no state, any thread.
 */
#ifndef HB_PAYLOAD_H
#define HB_PAYLOAD_H

#include "bytes.h"
#include "hb_wire.h"

/* Offsets of the payload's fields. */
enum {
	AT_EPOCH = 1, /* in a reply: the status */
	AT_CAMPAIGN = 2,
	AT_SEQ = 4,
	AT_USER = 8, /* in a reply: the id */
	AT_ARG = 16, /* in a reply: the value */
	AT_SEAL = 20,
	AT_TERMS = 24,
};

/* 0 for an op that there isn't. */
static inline unsigned
payload_bytes(unsigned op)
{
	static const uint8_t bytes[16] = {
		[HB_OP_SHAKE] = 24, [HB_OP_ANSWER] = 32, [HB_OP_GRAB] = 32, [HB_OP_PACK] = 40};

	return op < HB_COUNT_OF(bytes) ? bytes[op] : 0;
}

static inline enum hb_drop
payload_decode(struct hb_request *r, uint8_t *p, uint32_t len)
{
	if (HB_UNLIKELY(len == 0))
		return HB_DROP_LENGTH;
	if (HB_UNLIKELY(p[0] >> 4 != HB_WIRE_VERSION))
		return HB_DROP_VERSION;
	unsigned op = p[0] & 15, bytes = payload_bytes(op);
	if (HB_UNLIKELY(bytes == 0))
		return HB_DROP_OP;
	if (HB_UNLIKELY(len != bytes))
		return HB_DROP_LENGTH;
	r->payload = p;
	r->op = (uint8_t)op;
	r->epoch = p[AT_EPOCH];
	r->campaign = hb_be16(p + AT_CAMPAIGN);
	r->seq = hb_be32(p + AT_SEQ);
	r->user = hb_be64(p + AT_USER);
	r->arg = bytes > 24 ? hb_be64(p + AT_ARG) : 0;
	r->terms = bytes > 32 ? hb_be64(p + AT_TERMS) : 0;
	r->drop = HB_DROP_NONE;
	if (HB_UNLIKELY(r->seq == 0))
		return HB_DROP_SEQ;
	if (HB_UNLIKELY(r->user == 0))
		return HB_DROP_USER;
	if (op >= HB_OP_GRAB) {
		if (HB_UNLIKELY(r->campaign != 0))
			return HB_DROP_CAMPAIGN;
		if (HB_UNLIKELY(r->arg == 0))
			return HB_DROP_PACKET;
	}
	r->shard = hb_shard(op >= HB_OP_GRAB ? r->arg : r->user);
	return HB_DROP_NONE;
}

/* The seal: the first half of a tag over what stands before it. */
static inline uint32_t
payload_seal(const struct hb_request *r)
{
	uint8_t tag[HB_TAG_BYTES];

	hb_tag(tag, r->payload, AT_SEAL, r->key);
	return hb_be32(tag);
}

/* Writes the reply over the request. Returns the checksum's sum of its bytes, made of the values:
 * to read back what was just written in other pieces would wait for the stores. */
static inline uint64_t
payload_reply(const struct hb_request *r, const struct hb_reply *reply)
{
	uint8_t *p = r->payload;
	uint64_t status = (uint64_t)reply->status << 48, id = htobe64(reply->id);
	/* Version, op, campaign and seq stand there already. */
	uint64_t first = htobe64((hb_be64(p) & ~(0xFFull << 48)) | status);
	uint64_t last = htobe64((uint64_t)reply->value << 32);

	memcpy(p, &first, sizeof(first));
	memcpy(p + AT_USER, &id, sizeof(id));
	memcpy(p + AT_ARG, &last, sizeof(last));
	if (HB_UNLIKELY(hb_status_gives(reply->status))) {
		uint32_t seal = payload_seal(r);

		put_be32(p + AT_SEAL, seal);
		last |= htobe64(seal);
	}
	return sum_add(sum_add(first, id), last);
}

#endif
