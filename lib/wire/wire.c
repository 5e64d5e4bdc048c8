/* SPDX-License-Identifier: BSD-3-Clause */
#include "payload.h"

#include <errno.h>
#include <sodium.h>

_Static_assert(crypto_shorthash_siphash24_KEYBYTES == HB_KEY_BYTES, "SipHash-2-4 key");
_Static_assert(crypto_shorthash_siphash24_BYTES == HB_TAG_BYTES, "SipHash-2-4 output");
_Static_assert(crypto_shorthash_siphashx24_BYTES == HB_KEY_BYTES, "SipHash-2-4-128 output");

static const char *const status_names[HB_STATUSES] = {
	[HB_WIN] = "WIN",
	[HB_MISS] = "MISS",
	[HB_THROTTLED] = "THROTTLED",
	[HB_QUOTA] = "QUOTA",
	[HB_EMPTY] = "EMPTY",
	[HB_EARLY] = "EARLY",
	[HB_CLOSED] = "CLOSED",
	[HB_WRONG] = "WRONG",
	[HB_UNKNOWN] = "UNKNOWN",
	[HB_EXPIRED] = "EXPIRED",
	[HB_STALE] = "STALE",
	[HB_BUSY] = "BUSY",
	[HB_DENIED] = "DENIED",
	[HB_BUNDLE] = "BUNDLE",
	[HB_PACKED] = "PACKED",
	[HB_CONFLICT] = "CONFLICT",
	[HB_MOVED] = "MOVED",
};

static const char *const op_names[] = {
	[HB_OP_SHAKE] = "SHAKE",
	[HB_OP_ANSWER] = "ANSWER",
	[HB_OP_GRAB] = "GRAB",
	[HB_OP_PACK] = "PACK",
};

static const char *const drop_names[HB_DROPS] = {
	[HB_DROP_NONE] = "none",
	[HB_DROP_TRUNCATED] = "truncated",
	[HB_DROP_JUMBO] = "jumbo",
	[HB_DROP_NOT_IP] = "not_ip",
	[HB_DROP_IP_HEADER] = "ip_header",
	[HB_DROP_IP_LENGTH] = "ip_length",
	[HB_DROP_IP_CHECKSUM] = "ip_checksum",
	[HB_DROP_FRAGMENT] = "fragment",
	[HB_DROP_NOT_OURS] = "not_ours",
	[HB_DROP_SOURCE] = "source",
	[HB_DROP_NOT_UDP] = "not_udp",
	[HB_DROP_UDP_LENGTH] = "udp_length",
	[HB_DROP_PORT] = "port",
	[HB_DROP_UDP_CHECKSUM] = "udp_checksum",
	[HB_DROP_LENGTH] = "length",
	[HB_DROP_VERSION] = "version",
	[HB_DROP_OP] = "op",
	[HB_DROP_SEQ] = "seq",
	[HB_DROP_USER] = "user",
	[HB_DROP_CAMPAIGN] = "campaign",
	[HB_DROP_PACKET] = "packet",
	[HB_DROP_EPOCH] = "epoch",
	[HB_DROP_TAG] = "tag",
	[HB_DROP_HANDOVER] = "handover",
	[HB_DROP_CONTROL] = "control",
	[HB_DROP_PASS] = "pass",
	[HB_DROP_TX] = "tx",
};

const char *
hb_status_name(unsigned status)
{
	return status < HB_STATUSES && status_names[status] != NULL ? status_names[status] : "?";
}

const char *
hb_op_name(unsigned op)
{
	return op < HB_COUNT_OF(op_names) && op_names[op] != NULL ? op_names[op] : "?";
}

const char *
hb_drop_name(unsigned drop)
{
	return drop < HB_DROPS ? drop_names[drop] : "?";
}

unsigned
hb_request_bytes(unsigned op)
{
	return payload_bytes(op);
}

enum hb_drop
hb_wire_decode(struct hb_request *r, uint8_t *p, uint32_t len)
{
	return payload_decode(r, p, len);
}

void
hb_wire_reply(const struct hb_request *r, const struct hb_reply *reply)
{
	payload_reply(r, reply);
}

unsigned
hb_wire_put(const struct hb_request *r, uint8_t *p)
{
	unsigned bytes = hb_request_bytes(r->op);

	p[0] = (uint8_t)(HB_WIRE_VERSION << 4 | r->op);
	p[AT_EPOCH] = r->epoch;
	put_be16(p + AT_CAMPAIGN, r->campaign);
	put_be32(p + AT_SEQ, r->seq);
	put_be64(p + AT_USER, r->user);
	if (bytes > 24)
		put_be64(p + AT_ARG, r->arg);
	if (bytes > 32)
		put_be64(p + AT_TERMS, r->terms);
	return bytes;
}

unsigned
hb_wire_encode(const struct hb_request *r, const uint8_t key[HB_KEY_BYTES], uint8_t *p)
{
	unsigned bytes = hb_wire_put(r, p);

	hb_tag(p + bytes - HB_TAG_BYTES, p, bytes - HB_TAG_BYTES, key);
	return bytes;
}

/* ---- keys and hashes ---------------------------------------------------------------- */

int
hb_wire_init(void)
{
	return sodium_init() < 0 ? -EIO : hb_wire_verify_with(NULL);
}

void
hb_user_key(uint8_t key[HB_KEY_BYTES], const uint8_t epoch_key[HB_KEY_BYTES], uint64_t user)
{
	uint8_t bytes[8];

	put_be64(bytes, user);
	crypto_shorthash_siphashx24(key, bytes, sizeof(bytes), epoch_key);
}

void
hb_tag(uint8_t tag[HB_TAG_BYTES], const uint8_t *bytes, size_t n, const uint8_t key[HB_KEY_BYTES])
{
	crypto_shorthash_siphash24(tag, bytes, n, key);
}

/* By name, since isspace() asks the locale and UTF-8 has bytes that some locale calls blank. */
static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

uint64_t
hb_answer_digest(uint16_t campaign, const char *answer)
{
	uint8_t key[HB_KEY_BYTES] = {0}, digest[HB_TAG_BYTES];
	size_t n;

	while (is_blank(*answer))
		answer++;
	for (n = strlen(answer); n > 0 && is_blank(answer[n - 1]); n--)
		;
	put_be16(key, campaign);
	crypto_shorthash_siphash24(digest, (const uint8_t *)answer, n, key);
	return hb_be64(digest);
}

uint64_t
hb_derive(uint64_t seed, const char *label, uint64_t index)
{
	uint8_t key[HB_KEY_BYTES] = {0}, bytes[8], out[HB_TAG_BYTES];
	size_t n = strlen(label);

	put_be64(key, seed);
	memcpy(key + 8, label, n < 8 ? n : 8);
	put_be64(bytes, index);
	crypto_shorthash_siphash24(out, bytes, sizeof(bytes), key);
	return hb_be64(out);
}
