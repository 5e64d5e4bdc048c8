/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ethernet, VLAN, IPv4, IPv6 and UDP around the payload. Headers are read by offset from bytes: a
 * frame is input from strangers, and nothing about its alignment or its length can be taken on
 * trust.
 */
#include "hb_wire.h"

enum {
	ETH_BYTES = 14,
	VLAN_BYTES = 4,
	VLAN_TAGS_MAX = 2,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	UDP_BYTES = 8,
	IPV6_EXTENSIONS_MAX = 8,

	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86DD,
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88A8,

	PROTO_HOP_BY_HOP = 0,
	PROTO_UDP = 17,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_DESTINATION = 60,

	IPV4_MORE_FRAGMENTS = 0x2000,
	IPV4_DONT_FRAGMENT = 0x4000,
	IPV4_FRAGMENT_OFFSET = 0x1FFF,

	REPLY_TTL = 64,
	PORTS_IN_RANGE = HB_SHARDS,
};

/* ---- the Internet checksum (RFC 1071) ------------------------------------------------ */

/* Adds n bytes in host order: the one's complement sum doesn't care (RFC 1071, 2B). */
static inline uint64_t
sum_bytes(uint64_t sum, const uint8_t *p, uint32_t n)
{
	uint32_t w;
	uint16_t h = 0;

	for (; n >= 4; n -= 4, p += 4) {
		memcpy(&w, p, sizeof(w));
		sum += w;
	}
	if (n >= 2) {
		memcpy(&h, p, sizeof(h));
		sum += h;
		p += 2;
		n -= 2;
	}
	if (n == 1) {
		h = 0;
		memcpy(&h, p, 1);
		sum += h;
	}
	return sum;
}

/* Folds to 16 bits, in the byte order in which it was read. */
static inline uint16_t
sum_fold(uint64_t sum)
{
	sum = (sum & 0xFFFFFFFF) + (sum >> 32);
	sum = (sum & 0xFFFFFFFF) + (sum >> 32);
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return (uint16_t)sum;
}

/* The UDP sum with its pseudo-header (RFC 768, RFC 8200 8.1). `addresses` is both IP addresses. */
static inline uint64_t
udp_sum(const uint8_t *addresses, uint32_t address_bytes, const uint8_t *udp, uint16_t udp_bytes)
{
	uint64_t sum = htobe16(udp_bytes) + (uint64_t)htobe16(PROTO_UDP);

	sum = sum_bytes(sum, addresses, address_bytes);
	return sum_bytes(sum, udp, udp_bytes);
}

static inline void
store16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void
put_be16(uint8_t *p, uint16_t v)
{
	store16(p, htobe16(v));
}

/* ---- parsing ------------------------------------------------------------------------- */

/* What the layers tell each other. */
struct layers {
	uint8_t *frame;
	uint32_t len;		  /* of the frame; after IP: up to the end of the IP payload */
	uint32_t at;		  /* where the next header begins */
	uint32_t l3;		  /* where the IP header begins */
	const uint8_t *addresses; /* source and destination, one behind the other */
	uint32_t address_bytes;	  /* of both */
};

static enum hb_drop
parse_ethernet(struct layers *p, uint16_t *type)
{
	if (HB_UNLIKELY(p->len < ETH_BYTES))
		return HB_DROP_TRUNCATED;
	p->at = ETH_BYTES;
	*type = hb_be16(p->frame + 12);
	for (int tags = 0; HB_UNLIKELY(*type == TYPE_VLAN || *type == TYPE_QINQ); tags++) {
		if (tags == VLAN_TAGS_MAX)
			return HB_DROP_NOT_IP;
		if (p->len < p->at + VLAN_BYTES)
			return HB_DROP_TRUNCATED;
		*type = hb_be16(p->frame + p->at + 2);
		p->at += VLAN_BYTES;
	}
	/* A reply to a group would be an answer to everybody. */
	if (HB_UNLIKELY(p->frame[6] & 1))
		return HB_DROP_SOURCE;
	return HB_DROP_NONE;
}

/* 0.0.0.0/8, loopback, multicast, reserved and broadcast can't be sent to (RFC 1122, 3.2.1.3). */
static inline bool
ipv4_source_bad(const uint8_t *a)
{
	return a[0] == 0 || a[0] == 127 || a[0] >= 224;
}

static enum hb_drop
parse_ipv4(struct layers *p, const struct hb_listen *l, unsigned checked)
{
	const uint8_t *ip = p->frame + p->at;
	uint32_t room = p->len - p->at;

	if (HB_UNLIKELY(room < IPV4_BYTES))
		return HB_DROP_TRUNCATED;
	uint32_t header = (uint32_t)(ip[0] & 15) * 4, total = hb_be16(ip + 2);
	if (HB_UNLIKELY(ip[0] >> 4 != 4 || header < IPV4_BYTES))
		return HB_DROP_IP_HEADER;
	/* More in the frame than in the packet is Ethernet's padding. */
	if (HB_UNLIKELY(total < header || total > room))
		return HB_DROP_IP_LENGTH;
	if (HB_UNLIKELY(!(checked & HB_FRAME_IP_CHECKED) &&
			sum_fold(sum_bytes(0, ip, header)) != 0xFFFF))
		return HB_DROP_IP_CHECKSUM;
	if (HB_UNLIKELY(hb_be16(ip + 6) & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET)))
		return HB_DROP_FRAGMENT;
	if (HB_UNLIKELY(!l->has_ipv4 || memcmp(ip + 16, l->ipv4, 4) != 0))
		return HB_DROP_NOT_OURS;
	if (HB_UNLIKELY(ipv4_source_bad(ip + 12)))
		return HB_DROP_SOURCE;
	if (HB_UNLIKELY(ip[9] != PROTO_UDP))
		return HB_DROP_NOT_UDP;
	p->addresses = ip + 12;
	p->address_bytes = 8;
	p->len = p->at + total;
	p->at += header;
	return HB_DROP_NONE;
}

/* The unspecified address, the loopback and multicast can't be sent to. */
static bool
ipv6_source_bad(const uint8_t *a)
{
	static const uint8_t zero[15];

	return a[0] == 0xFF || (memcmp(a, zero, 15) == 0 && a[15] <= 1);
}

/* Walks over the extension headers that carry nothing for us, up to UDP. */
static enum hb_drop
skip_ipv6_extensions(struct layers *p, uint8_t next)
{
	for (int i = 0; HB_UNLIKELY(next != PROTO_UDP); i++) {
		const uint8_t *h = p->frame + p->at;

		if (next == PROTO_FRAGMENT)
			return HB_DROP_FRAGMENT;
		if ((next != PROTO_HOP_BY_HOP && next != PROTO_DESTINATION &&
			    next != PROTO_ROUTING) ||
			i == IPV6_EXTENSIONS_MAX)
			return HB_DROP_NOT_UDP;
		if (p->len - p->at < 8)
			return HB_DROP_IP_LENGTH;
		uint32_t bytes = 8 + (uint32_t)h[1] * 8;
		if (p->len - p->at < bytes)
			return HB_DROP_IP_LENGTH;
		/* Segments left: it wants to go on to another node, and we are no router. */
		if (next == PROTO_ROUTING && h[3] != 0)
			return HB_DROP_NOT_OURS;
		next = h[0];
		p->at += bytes;
	}
	return HB_DROP_NONE;
}

static enum hb_drop
parse_ipv6(struct layers *p, const struct hb_listen *l)
{
	const uint8_t *ip = p->frame + p->at;
	uint32_t room = p->len - p->at;

	if (HB_UNLIKELY(room < IPV6_BYTES))
		return HB_DROP_TRUNCATED;
	if (HB_UNLIKELY(ip[0] >> 4 != 6))
		return HB_DROP_IP_HEADER;
	uint32_t payload = hb_be16(ip + 4);
	if (HB_UNLIKELY(payload > room - IPV6_BYTES))
		return HB_DROP_IP_LENGTH;
	if (HB_UNLIKELY(!l->has_ipv6 || memcmp(ip + 24, l->ipv6, 16) != 0))
		return HB_DROP_NOT_OURS;
	if (HB_UNLIKELY(ipv6_source_bad(ip + 8)))
		return HB_DROP_SOURCE;
	p->addresses = ip + 8;
	p->address_bytes = 32;
	p->at += IPV6_BYTES;
	p->len = p->at + payload;
	return skip_ipv6_extensions(p, ip[6]);
}

static enum hb_drop
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
		HB_UNLIKELY(sum_fold(udp_sum(p->addresses, p->address_bytes, udp,
				    (uint16_t)room)) != 0xFFFF))
		return HB_DROP_UDP_CHECKSUM;
	p->at += UDP_BYTES;
	return HB_DROP_NONE;
}

enum hb_drop
hb_frame_parse(const struct hb_listen *l, uint8_t *frame, uint32_t len, unsigned checked,
	struct hb_request *r)
{
	struct layers p = {.frame = frame, .len = len};
	enum hb_drop drop;
	uint16_t type;

	if ((drop = parse_ethernet(&p, &type)) != HB_DROP_NONE)
		return drop;
	p.l3 = p.at;
	if (HB_LIKELY(type == TYPE_IPV4))
		drop = parse_ipv4(&p, l, checked);
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
	return hb_wire_decode(r, frame + p.at, p.len - p.at);
}

/* ---- headers that we write ----------------------------------------------------------- */

/* All of an IPv4 header but its addresses, which stand at 12 already. */
static void
write_ipv4(uint8_t *ip, uint16_t total)
{
	ip[0] = 0x45;
	ip[1] = 0;
	put_be16(ip + 2, total);
	put_be16(ip + 4, 0); /* an atomic datagram needs no identification (RFC 6864) */
	put_be16(ip + 6, IPV4_DONT_FRAGMENT);
	ip[8] = REPLY_TTL;
	ip[9] = PROTO_UDP;
	store16(ip + 10, 0);
	store16(ip + 10, (uint16_t)~sum_fold(sum_bytes(0, ip, IPV4_BYTES)));
}

/* All of an IPv6 header but its addresses, which stand at 8 already. */
static void
write_ipv6(uint8_t *ip, uint16_t payload)
{
	put_be16(ip, 0x6000);
	put_be16(ip + 2, 0);
	put_be16(ip + 4, payload);
	ip[6] = PROTO_UDP;
	ip[7] = REPLY_TTL;
}

/* UDP length and checksum; ports and payload stand there already. */
static void
write_udp(uint8_t *udp, uint16_t bytes, const uint8_t *addresses, uint32_t address_bytes)
{
	put_be16(udp + 4, bytes);
	store16(udp + 6, 0);
	uint16_t sum = (uint16_t)~sum_fold(udp_sum(addresses, address_bytes, udp, bytes));
	store16(udp + 6, sum == 0 ? 0xFFFF : sum);
}

static void
swap_bytes(uint8_t *a, uint8_t *b, uint32_t n)
{
	uint8_t t[16];

	memcpy(t, a, n);
	memcpy(a, b, n);
	memcpy(b, t, n);
}

static void
swap_macs(uint8_t *frame, const uint8_t port_mac[6])
{
	bool group = frame[0] & 1;

	swap_bytes(frame, frame + 6, 6);
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

	hb_wire_reply(r, reply);
	if (HB_UNLIKELY(extra != 0))
		close_gap(frame, r->l2_bytes + ip_bytes, extra);
	*skip = extra;
	frame += extra;
	swap_macs(frame, port_mac);

	uint8_t *ip = frame + r->l2_bytes, *udp = ip + ip_bytes;
	swap_bytes(udp, udp + 2, 2);
	if (HB_LIKELY(!r->ipv6)) {
		swap_bytes(ip + 12, ip + 16, 4);
		write_ipv4(ip, (uint16_t)(IPV4_BYTES + udp_bytes));
		write_udp(udp, udp_bytes, ip + 12, 8);
	} else {
		swap_bytes(ip + 8, ip + 24, 16);
		write_ipv6(ip, udp_bytes);
		write_udp(udp, udp_bytes, ip + 8, 32);
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
		write_ipv6(ip, udp_bytes);
	else
		write_ipv4(ip, (uint16_t)(IPV4_BYTES + udp_bytes));
	put_be16(udp, f->src_port);
	put_be16(udp + 2, f->dst_port);
	memcpy(udp + UDP_BYTES, payload, n);
	write_udp(udp, udp_bytes, addresses, 2 * address_bytes);
	return (uint32_t)(udp - frame) + udp_bytes;
}
