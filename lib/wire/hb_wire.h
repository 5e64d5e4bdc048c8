/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_wire: the wire protocol, version 1, and the frames that carry it.
 *
 * From a frame's bytes to a decoded request, from a verdict to the reply's bytes in the same
 * buffer, and the keyed hashes in between. It knows no NIC, no table and no configuration file,
 * so that the workers, the trace generator, the replayer, a fuzzer and the tests share it.
 *
 * Everything works on what the caller passes in; no state, any thread. Money is in fen.
 */
#ifndef HB_WIRE_H
#define HB_WIRE_H

#include "hb_base.h"

/* ---- names of the contract ---------------------------------------------------------- */

#define HB_WIRE_VERSION 1
#define HB_REPLY_BYTES 24
#define HB_REQUEST_BYTES_MAX 40
#define HB_TAG_BYTES 8
#define HB_KEY_BYTES 16
#define HB_SHARDS 4096
#define HB_LANES 128
#define HB_BURST 64 /* requests that one call of a burst function takes at the most */

enum hb_op {
	HB_OP_SHAKE = 1,
	HB_OP_ANSWER = 2,
	HB_OP_GRAB = 3,
	HB_OP_PACK = 4,
	HB_OPS /* one more than the last */
};

enum hb_status {
	HB_WIN = 1,
	HB_MISS = 2,
	HB_THROTTLED = 3,
	HB_QUOTA = 4,
	HB_EMPTY = 5,
	HB_EARLY = 6,
	HB_CLOSED = 7,
	HB_WRONG = 8,
	HB_UNKNOWN = 9,
	HB_EXPIRED = 10,
	HB_STALE = 11,
	HB_BUSY = 12,
	HB_DENIED = 13,
	HB_BUNDLE = 14,
	HB_PACKED = 15,
	HB_CONFLICT = 16,
	HB_MOVED = 17,
	HB_STATUSES /* one more than the last */
};

/* The contract's name of a status or op, "?" for anything else. */
const char *hb_status_name(unsigned status);
const char *hb_op_name(unsigned op);

/* Why a frame got no reply: the first that is found, layer by layer in this order (but a source
 * that is a group is found with the Ethernet header, and an empty payload is a wrong length). */
enum hb_drop {
	HB_DROP_NONE,
	HB_DROP_TRUNCATED,    /* a runt: shorter than the headers that it announces */
	HB_DROP_JUMBO,	      /* longer than an Ethernet frame of 1500 bytes, or in pieces */
	HB_DROP_NOT_IP,	      /* neither IPv4 nor IPv6: ARP, LLDP, ... */
	HB_DROP_IP_HEADER,    /* an IP version or header length that cannot be */
	HB_DROP_IP_LENGTH,    /* the IP length does not fit the frame */
	HB_DROP_IP_CHECKSUM,  /* bad IPv4 header checksum */
	HB_DROP_FRAGMENT,     /* any IP fragment */
	HB_DROP_NOT_OURS,     /* another destination address */
	HB_DROP_SOURCE,	      /* a source that no reply can go to: group, broadcast, 0, port 0 */
	HB_DROP_NOT_UDP,      /* ICMP, TCP, ... */
	HB_DROP_UDP_LENGTH,   /* the UDP length does not fit the IP payload */
	HB_DROP_PORT,	      /* a destination port outside the 4096 of the range */
	HB_DROP_UDP_CHECKSUM, /* present and bad, or missing on IPv6 */
	HB_DROP_VERSION,      /* another protocol version */
	HB_DROP_OP,	      /* another op */
	HB_DROP_LENGTH,	      /* not exactly its op's payload length */
	HB_DROP_SEQ,	      /* seq 0 */
	HB_DROP_USER,	      /* user 0 */
	HB_DROP_CAMPAIGN,     /* a nonzero campaign on GRAB or PACK */
	HB_DROP_PACKET,	      /* packet 0 */
	HB_DROP_EPOCH,	      /* an epoch that the server holds no key for */
	HB_DROP_TAG,	      /* a tag that does not verify: forged */
	HB_DROP_HANDOVER,     /* the ring to the core that owns the request was full */
	HB_DROP_CONTROL,      /* the ring to the control core was full: too much ARP or ping */
	HB_DROP_PASS,	      /* decided, but the ring to the core that would send it was full */
	HB_DROP_TX,	      /* decided, but the NIC's send queue stayed full */
	HB_DROPS
};

/* A short name for reports and metrics ("ip_checksum"). */
const char *hb_drop_name(unsigned drop);

/* ---- requests and replies ----------------------------------------------------------- */

/* One request, decoded. A worker keeps a burst of them on its stack. */
struct hb_request {
	uint64_t user;
	uint64_t arg;	  /* ANSWER: the digest; GRAB, PACK: the packet; else 0 */
	uint64_t terms;	  /* PACK: total << 32 | shares << 16 | split << 8 | hours; else 0 */
	uint64_t now_us;  /* the request's time, since 1970: set by the caller of the engine */
	uint8_t *payload; /* into the frame */
	void *frame;	  /* whatever the caller finds its buffer by, e.g. an mbuf */
	uint8_t key[HB_KEY_BYTES]; /* by hb_wire_verify(): what the tag was checked with */
	uint32_t seq;
	uint16_t campaign;
	uint16_t shard; /* of the key that owns the request: user, or packet */
	uint8_t op;
	uint8_t epoch;
	uint8_t drop;	  /* enum hb_drop: why it is not to be answered */
	uint8_t l2_bytes; /* Ethernet header with VLAN tags */
	uint8_t l3_bytes; /* IP header with options or extension headers */
	bool ipv6;
};

/* What the engine decided. */
struct hb_reply {
	uint64_t id;	 /* envelope or packet where the status gives money, else 0 */
	uint64_t ticket; /* 0: send at once; else: when that many of the worker's records are
			    durable */
	uint32_t value;	 /* fen, or milliseconds to wait, or 0 */
	uint8_t status;	 /* enum hb_status */
};

/* Whether replies of this status carry money, and with it a seal. */
static inline bool
hb_status_gives(unsigned status)
{
	return status == HB_WIN || status == HB_BUNDLE || status == HB_PACKED;
}

/* The shard that owns a key: the user, or the packet for GRAB and PACK. */
static inline uint16_t
hb_shard(uint64_t key)
{
	return (uint16_t)((key * 0x9E3779B97F4A7C15ULL) >> 52);
}

static inline unsigned
hb_lane(uint16_t shard)
{
	return shard & (HB_LANES - 1);
}

static inline unsigned
hb_slice(uint16_t shard)
{
	return shard >> 7;
}

/* The worker that owns a lane: a core's lanes stand side by side. */
static inline unsigned
hb_owner(unsigned lane, unsigned workers)
{
	return lane * workers / HB_LANES;
}

/* Payload bytes of an op, 0 for an unknown one. */
unsigned hb_request_bytes(unsigned op);

/* Decodes and validates a payload of `len` bytes into r (all but now_us, frame, key and the frame's
 * lengths). Returns HB_DROP_NONE or the reason. Does not look at the tag. */
enum hb_drop hb_wire_decode(struct hb_request *r, uint8_t *payload, uint32_t len);

/* Writes the payload of r but for its tag, whose place is at the end. Returns the length, the tag's
 * included. r->op must be valid; `payload` has HB_REQUEST_BYTES_MAX bytes. */
unsigned hb_wire_put(const struct hb_request *r, uint8_t *payload);

/* Writes the payload of r, with a tag made with `key`: the user's key, or the issuer key for PACK.
 * Returns its length. r->op must be valid; `payload` has HB_REQUEST_BYTES_MAX bytes. */
unsigned hb_wire_encode(
	const struct hb_request *r, const uint8_t key[HB_KEY_BYTES], uint8_t *payload);

/* Turns a request's payload into its reply, in place: HB_REPLY_BYTES bytes, sealed with r->key
 * where it gives money. */
void hb_wire_reply(const struct hb_request *r, const struct hb_reply *reply);

/* ---- keys and hashes ---------------------------------------------------------------- */

/* The keys that requests are checked with. Immutable once workers can see it. */
struct hb_keyring {
	uint8_t epoch_key[256][HB_KEY_BYTES];
	uint8_t issuer[HB_KEY_BYTES];
	bool epoch_held[256];
	bool issuer_held;
};

/* Once before any of the hashes below. Returns 0 or -EIO. */
int hb_wire_init(void);

/* A user's key under an epoch key. */
void hb_user_key(uint8_t key[HB_KEY_BYTES], const uint8_t epoch_key[HB_KEY_BYTES], uint64_t user);

/* The first n bytes' tag under a key, as it stands on the wire. */
void hb_tag(
	uint8_t tag[HB_TAG_BYTES], const uint8_t *bytes, size_t n, const uint8_t key[HB_KEY_BYTES]);

/* The digest of an answer in a campaign: leading and trailing blanks are taken off first. */
uint64_t hb_answer_digest(uint16_t campaign, const char *answer);

/* A secret of its own for each purpose (at most 8 bytes of label) and index, from one seed:
 * SipHash-2-4, so that who learns one learns neither the seed nor another. */
uint64_t hb_derive(uint64_t seed, const char *label, uint64_t index);

/* Checks the tags of a whole burst of decoded requests (n <= HB_BURST). Sets each one's key, and
 * its drop to HB_DROP_NONE, HB_DROP_EPOCH or HB_DROP_TAG. Constant time in the tag. */
void hb_wire_verify(const struct hb_keyring *keys, struct hb_request *r, unsigned n);

/* The other side of it: writes the tags of a whole burst of requests (n <= HB_BURST) behind what
 * hb_wire_put() wrote at each one's payload. Sets each one's key, and its drop to HB_DROP_NONE; or
 * to HB_DROP_EPOCH or HB_DROP_TAG where its key is not held, and then there is no tag. */
void hb_wire_sign(const struct hb_keyring *keys, struct hb_request *r, unsigned n);

/* Has hb_wire_verify() and hb_wire_sign() use an instruction set: "avx512", "avx2" or "portable";
 * NULL: the widest that this processor has, as hb_wire_init() does. For tests and benchmarks,
 * before any worker runs. Returns 0, -ENOTSUP when the processor lacks it, -EINVAL for another
 * name. */
int hb_wire_verify_with(const char *name);

/* The one in use. */
const char *hb_wire_verified_with(void);

/* ---- frames ------------------------------------------------------------------------- */

/* Which addresses and ports are ours. */
struct hb_listen {
	uint8_t ipv4[4];
	uint8_t ipv6[16];
	bool has_ipv4;
	bool has_ipv6;
	uint16_t base_port; /* a multiple of 4096 */
};

/* What the NIC has checked already. */
#define HB_FRAME_IP_CHECKED 1u	/* the IPv4 header checksum is good */
#define HB_FRAME_UDP_CHECKED 2u /* the UDP checksum is there and good */

/* Parses an Ethernet frame of `len` contiguous bytes, with up to two VLAN tags, down to a decoded
 * request. Returns HB_DROP_NONE, or the reason; r is then undefined. */
enum hb_drop hb_frame_parse(const struct hb_listen *l, uint8_t *frame, uint32_t len,
	unsigned checked, struct hb_request *r);

/* Turns a request's frame into its reply, in place: addresses and ports swapped, VLAN tags kept, IP
 * options and extension headers taken out, lengths and checksums right. `port_mac` becomes the
 * source where the request came to a group address. Stores in *skip how many bytes fall away at the
 * front and returns the frame's length from there. */
uint32_t hb_frame_reply(const struct hb_request *r, const struct hb_reply *reply, uint8_t *frame,
	const uint8_t port_mac[6], uint32_t *skip);

/* ---- eight frames abreast ------------------------------------------------------------- */

/* Nearly all that comes is shakes over IPv4, without tags and options: frames of 66 bytes in which
 * everything stands in one place. Where the processor has AVX-512, eight of them go through each
 * step in one instruction. Whatever isn't so goes the way of the functions above, one by one, and
 * the results are the same. */
#define HB_ABREAST 8
#define HB_SHAKE_FRAME_BYTES 66

/* What the tags of a burst of shakes are checked with: the payloads' words as they came. */
struct hb_words {
	uint64_t first[HB_BURST]; /* version and op, epoch, campaign, seq */
	uint64_t user[HB_BURST];
	uint64_t tag[HB_BURST];
} HB_ALIGNED;

/* Whether frames are worked on abreast: the processor can, and hb_wire_verify_with() chose it. */
bool hb_wire_abreast(void);

/* Parses HB_ABREAST frames of HB_SHAKE_FRAME_BYTES each into r, but for `frame` and now_us, and
 * puts their words at `at`, a multiple of HB_ABREAST. checked: what the NIC has checked in all of
 * them. False: one isn't a plain shake, or isn't in order; then nothing is said of any of them.
 * Only where hb_wire_abreast(). */
bool hb_frame_parse_abreast(const struct hb_listen *l, uint8_t *const *frame, unsigned checked,
	struct hb_request *r, struct hb_words *w, unsigned at);

/* hb_wire_verify() of n requests, a multiple of HB_ABREAST, all of them parsed abreast. Returns the
 * bit of each one that isn't genuine; only theirs is `drop` set. Only where hb_wire_abreast(). */
uint64_t hb_wire_verify_abreast(
	const struct hb_keyring *keys, const struct hb_words *w, struct hb_request *r, unsigned n);

/* Whether the request came in a frame without tags and options over IPv4, whatever its op. */
static inline bool
hb_request_plain(const struct hb_request *r)
{
	return r->l2_bytes == 14 && r->l3_bytes == 20 && !r->ipv6;
}

/* hb_frame_reply() of HB_ABREAST plain requests, whose frames are then all HB_SHAKE_FRAME_BYTES
 * long and lose nothing at the front. Only where hb_wire_abreast(). */
void hb_frame_reply_abreast(
	const struct hb_request *r, const struct hb_reply *reply, const uint8_t port_mac[6]);

/* ---- clients' frames ------------------------------------------------------------------ */

/* A reply as a client finds it in a frame. The payload is in the frame; nothing of it is judged. */
struct hb_answer {
	const uint8_t *payload; /* HB_REPLY_BYTES bytes */
	const uint8_t *source;	/* IP address of the server: 4 or 16 bytes */
	const uint8_t *target;	/* IP address of the client */
	uint16_t source_port, target_port;
	uint8_t l2_bytes; /* Ethernet header with VLAN tags */
	bool ipv6;
};

/* Parses a frame of `len` contiguous bytes down to a reply to whomever, from the 4096 ports above
 * base_port. Returns HB_DROP_NONE, or the reason: HB_DROP_NOT_IP, HB_DROP_NOT_UDP and HB_DROP_PORT
 * for what is something else, HB_DROP_LENGTH for a payload that is no reply's, or what is wrong
 * with its headers. */
enum hb_drop hb_frame_parse_reply(const uint8_t *frame, uint32_t len, uint16_t base_port,
	unsigned checked, struct hb_answer *a);

/* Where a frame to be built comes from and goes to. */
struct hb_flow {
	uint8_t src_mac[6], dst_mac[6];
	uint8_t src_ip[16], dst_ip[16]; /* IPv4 in the first 4 bytes */
	uint16_t src_port, dst_port;
	uint16_t vlan; /* 0: no tag */
	bool ipv6;
};

#define HB_FRAME_BYTES_MAX (14 + 4 + 40 + 8 + HB_REQUEST_BYTES_MAX)

/* Builds a frame around a payload, checksums right. Returns its length. `frame` has
 * HB_FRAME_BYTES_MAX bytes; n <= HB_REQUEST_BYTES_MAX. */
uint32_t hb_frame_build(
	const struct hb_flow *f, const uint8_t *payload, unsigned n, uint8_t *frame);

/* Frames over IPv4, untagged, which differ by source address, ports and payload only: what they
 * share, with its part of the checksums. */
struct hb_mould {
	uint8_t header[14 + 20 + 8];
	uint64_t ip_sum, udp_sum;
	uint32_t bytes; /* of the whole frame */
};

/* Where the payload begins in a frame from a mould. */
#define HB_MOULD_PAYLOAD_AT (14 + 20 + 8)

/* Makes the mould of frames to f's destination with payloads of n bytes, n <= HB_REQUEST_BYTES_MAX;
 * f's own source address and ports don't matter. */
void hb_mould_make(struct hb_mould *m, const struct hb_flow *f, unsigned n);

/* Puts the headers before a payload that stands in its place already: the same bytes as of
 * hb_frame_build(). */
void hb_mould_cast(const struct hb_mould *m, const uint8_t src_ip[4], uint16_t src_port,
	uint16_t dst_port, uint8_t *frame);

#endif
