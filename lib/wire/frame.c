/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ethernet, VLAN, IPv4, IPv6 and UDP around the payload. Headers are read by offset from bytes: a
 * frame is input from strangers, and nothing about its alignment or its length can be taken on
 * trust.
 */
#include "frame_internal.h"
#include "payload.h"

/* ---- parsing ------------------------------------------------------------------------- */

static inline enum hb_drop
parse_ipv6(struct layers *p, const struct hb_listen *l)
{
	const uint8_t *ip = p->frame + p->at;
	enum hb_drop drop = parse_ipv6_header(p);

	if (HB_UNLIKELY(drop != HB_DROP_NONE))
		return drop;
	if (HB_UNLIKELY(!l->has_ipv6 || memcmp(ip + 24, l->ipv6, 16) != 0))
		return HB_DROP_NOT_OURS;
	if (HB_UNLIKELY(ipv6_source_bad(ip + 8)))
		return HB_DROP_SOURCE;
	return skip_ipv6_extensions(p, ip[6], PROTO_UDP);
}

/* With the pseudo-header. Nearly all are shakes, whose sum has no loop. */
static inline uint64_t
udp_sum(const struct layers *p, const uint8_t *udp, uint16_t bytes)
{
	const uint16_t shake = UDP_BYTES + 24;
	uint64_t sum = sum_bytes(sum_pseudo(PROTO_UDP, bytes), p->addresses, p->address_bytes);

	return HB_LIKELY(bytes == shake) ? sum_bytes(sum, udp, shake) : sum_bytes(sum, udp, bytes);
}

static inline __attribute__((always_inline)) enum hb_drop
parse_udp(struct layers *p, const struct hb_listen *l, unsigned checked, bool ipv6)
{
	const uint8_t *udp = p->frame + p->at;
	uint32_t room = p->len - p->at;

	if (HB_UNLIKELY(room < UDP_BYTES || hb_be16(udp + 4) != room))
		return HB_DROP_UDP_LENGTH;
	if (HB_UNLIKELY(hb_be16(udp) == 0))
		return HB_DROP_SOURCE;
	if (HB_UNLIKELY((uint16_t)(hb_be16(udp + 2) - l->base_port) >= PORTS_IN_RANGE))
		return HB_DROP_PORT;
	bool absent = (udp[6] | udp[7]) == 0;
	if (HB_UNLIKELY(absent && ipv6))
		return HB_DROP_UDP_CHECKSUM;
	if (!absent && !(checked & HB_FRAME_UDP_CHECKED) &&
		HB_UNLIKELY(sum_fold(udp_sum(p, udp, (uint16_t)room)) != 0xFFFF))
		return HB_DROP_UDP_CHECKSUM;
	p->at += UDP_BYTES;
	return HB_DROP_NONE;
}

static inline __attribute__((always_inline)) enum hb_drop
parse(const struct hb_listen *l, uint8_t *frame, uint32_t len, unsigned checked,
	struct hb_request *r)
{
	struct layers p = {.frame = frame, .len = len};
	enum hb_drop drop;
	uint16_t type;

	if ((drop = parse_ethernet(&p, &type)) != HB_DROP_NONE)
		return drop;
	p.l3 = p.at;
	if (HB_LIKELY(type == TYPE_IPV4))
		drop = parse_ipv4(&p, l, checked, PROTO_UDP);
	else if (type == TYPE_IPV6)
		drop = parse_ipv6(&p, l);
	else
		drop = HB_DROP_NOT_IP;
	if (HB_UNLIKELY(drop != HB_DROP_NONE))
		return drop;
	/* The reply's headers are found by these again; longer ones than fit can't be a request. */
	if (HB_UNLIKELY(p.at - p.l3 > UINT8_MAX))
		return HB_DROP_IP_LENGTH;
	r->ipv6 = type == TYPE_IPV6;
	r->l2_bytes = (uint8_t)p.l3;
	r->l3_bytes = (uint8_t)(p.at - p.l3);
	if ((drop = parse_udp(&p, l, checked, r->ipv6)) != HB_DROP_NONE)
		return drop;
	return payload_decode(r, frame + p.at, p.len - p.at);
}

static __attribute__((noinline)) enum hb_drop
parse_unusual(const struct hb_listen *l, uint8_t *frame, uint32_t len, unsigned checked,
	struct hb_request *r)
{
	return parse(l, frame, len, checked, r);
}

/* The same parser twice: where the first bytes say that there are no tags, no options and no IPv6,
 * the compiler knows where everything stands. */
enum hb_drop
hb_frame_parse(const struct hb_listen *l, uint8_t *frame, uint32_t len, unsigned checked,
	struct hb_request *r)
{
	if (HB_LIKELY(len > ETH_BYTES && hb_be16(frame + 12) == TYPE_IPV4 &&
		      frame[ETH_BYTES] == 0x45))
		return parse(l, frame, len, checked, r);
	return parse_unusual(l, frame, len, checked, r);
}

/* ---- replies ------------------------------------------------------------------------- */

/* UDP length and checksum; the ports stand there already. addresses, payload: their sums. */
static inline void
write_udp(uint8_t *udp, uint16_t bytes, uint64_t addresses, uint64_t payload)
{
	uint64_t sum = sum_add(sum_pseudo(PROTO_UDP, bytes) + htobe16(bytes), load32(udp));

	put_be16(udp + 4, bytes);
	uint16_t folded = (uint16_t)~sum_fold(sum_add(sum, sum_add(addresses, payload)));
	store16(udp + 6, folded == 0 ? 0xFFFF : folded);
}

static inline void
swap_macs(uint8_t *frame, const uint8_t port_mac[6])
{
	/* Both addresses and the four bytes behind them, which stay where they are. */
	typedef uint8_t bytes16 __attribute__((vector_size(16)));
	bytes16 v;

	memcpy(&v, frame, sizeof(v));
	bool group = frame[0] & 1;
	v = __builtin_shufflevector(v, v, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 12, 13, 14, 15);
	memcpy(frame, &v, sizeof(v));
	/* A group address can't be a source. */
	if (HB_UNLIKELY(group))
		memcpy(frame + 6, port_mac, 6);
}

/* Takes `extra` bytes of IP options or extension headers out: what stands before them moves up to
 * the UDP header. Rare. */
static void
close_gap(uint8_t *frame, uint32_t before, uint32_t extra)
{
	memmove(frame + extra, frame, before);
}

uint32_t
hb_frame_reply(const struct hb_request *r, const struct hb_reply *reply, uint8_t *frame,
	const uint8_t port_mac[6], uint32_t *skip)
{
	const uint16_t udp_bytes = UDP_BYTES + HB_REPLY_BYTES;
	uint32_t ip_bytes = r->ipv6 ? IPV6_BYTES : IPV4_BYTES;
	uint32_t extra = r->l3_bytes - ip_bytes;

	uint64_t payload = payload_reply(r, reply);
	if (HB_UNLIKELY(extra != 0))
		close_gap(frame, r->l2_bytes + ip_bytes, extra);
	*skip = extra;
	frame += extra;
	swap_macs(frame, port_mac);

	uint8_t *ip = frame + r->l2_bytes, *udp = ip + ip_bytes;
	swap_halves32(udp);
	if (HB_LIKELY(!r->ipv6)) {
		uint64_t addresses = swap_halves64(ip + 12);

		write_ipv4(ip, (uint16_t)(IPV4_BYTES + udp_bytes), PROTO_UDP);
		write_udp(udp, udp_bytes, addresses, payload);
	} else {
		uint64_t addresses = sum_bytes(0, ip + 8, 32);

		swap_bytes(ip + 8, ip + 24, 16);
		write_ipv6(ip, udp_bytes, PROTO_UDP, REPLY_TTL);
		write_udp(udp, udp_bytes, addresses, payload);
	}
	return r->l2_bytes + ip_bytes + udp_bytes;
}

uint32_t
hb_frame_build(const struct hb_flow *f, const uint8_t *payload, unsigned n, uint8_t *frame)
{
	uint16_t udp_bytes = (uint16_t)(UDP_BYTES + n);
	uint32_t at = 12, address_bytes = f->ipv6 ? 16 : 4;

	memcpy(frame, f->dst_mac, 6);
	memcpy(frame + 6, f->src_mac, 6);
	if (f->vlan != 0) {
		put_be16(frame + at, TYPE_VLAN);
		put_be16(frame + at + 2, f->vlan);
		at += VLAN_BYTES;
	}
	put_be16(frame + at, f->ipv6 ? TYPE_IPV6 : TYPE_IPV4);
	uint8_t *ip = frame + at + 2, *addresses = ip + (f->ipv6 ? 8 : 12);
	uint8_t *udp = addresses + 2 * address_bytes;
	memcpy(addresses, f->src_ip, address_bytes);
	memcpy(addresses + address_bytes, f->dst_ip, address_bytes);
	if (f->ipv6)
		write_ipv6(ip, udp_bytes, PROTO_UDP, REPLY_TTL);
	else
		write_ipv4(ip, (uint16_t)(IPV4_BYTES + udp_bytes), PROTO_UDP);
	put_be16(udp, f->src_port);
	put_be16(udp + 2, f->dst_port);
	memcpy(udp + UDP_BYTES, payload, n);
	write_udp(udp, udp_bytes, sum_bytes(0, addresses, 2 * address_bytes),
		sum_bytes(0, payload, n));
	return (uint32_t)(udp - frame) + udp_bytes;
}
