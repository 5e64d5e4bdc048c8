/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ethernet, VLAN, IPv4 and IPv6 as frame.c, host.c and client.c read and write them: offsets, the
 * Internet checksum, the walk from a frame's first byte to what IP carries, and the headers of
 * what is sent. For these only.
 *
 * All of it is inline, since a worker runs it for each frame. No state, any thread.
 */
#ifndef HB_FRAME_INTERNAL_H
#define HB_FRAME_INTERNAL_H

#include "bytes.h"
#include "hb_wire.h"

enum {
	ETH_BYTES = 14,
	VLAN_BYTES = 4,
	VLAN_TAGS_MAX = 2,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	UDP_BYTES = 8,
	IPV6_EXTENSIONS_MAX = 8,
	FRAME_BYTES_MAX = ETH_BYTES + VLAN_TAGS_MAX * VLAN_BYTES + 1500,

	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_IPV6 = 0x86DD,
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88A8,

	PROTO_HOP_BY_HOP = 0,
	PROTO_ICMP = 1,
	PROTO_UDP = 17,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_ICMPV6 = 58,
	PROTO_DESTINATION = 60,

	IPV4_MORE_FRAGMENTS = 0x2000,
	IPV4_DONT_FRAGMENT = 0x4000,
	IPV4_FRAGMENT_OFFSET = 0x1FFF,

	REPLY_TTL = 64,
	PORTS_IN_RANGE = HB_SHARDS,
};

/* ---- parsing ------------------------------------------------------------------------- */

/* What the layers tell each other. */
struct layers {
	const uint8_t *frame;
	uint32_t len;		  /* of the frame; after IP: up to the end of the IP payload */
	uint32_t at;		  /* where the next header begins */
	uint32_t l3;		  /* where the IP header begins */
	const uint8_t *addresses; /* source and destination, one behind the other */
	uint32_t address_bytes;	  /* of both */
};

static inline enum hb_drop
parse_ethernet(struct layers *p, uint16_t *type)
{
	if (HB_UNLIKELY(p->len < ETH_BYTES))
		return HB_DROP_TRUNCATED;
	if (HB_UNLIKELY(p->len > FRAME_BYTES_MAX))
		return HB_DROP_JUMBO;
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

/* Down to what an IPv4 packet to us carries, which is to be `proto`; else HB_DROP_NOT_UDP. */
static inline enum hb_drop
parse_ipv4(struct layers *p, const struct hb_listen *l, unsigned checked, uint8_t proto)
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
	if (HB_UNLIKELY(ip[9] != proto))
		return HB_DROP_NOT_UDP;
	p->addresses = ip + 12;
	p->address_bytes = 8;
	p->len = p->at + total;
	p->at += header;
	return HB_DROP_NONE;
}

/* The unspecified address, the loopback and multicast can't be sent to. */
static inline bool
ipv6_source_bad(const uint8_t *a)
{
	static const uint8_t zero[15];

	return a[0] == 0xFF || (memcmp(a, zero, 15) == 0 && a[15] <= 1);
}

/* To the end of the IPv6 header itself. Whose the addresses are is the caller's to ask. */
static inline enum hb_drop
parse_ipv6_header(struct layers *p)
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
	p->addresses = ip + 8;
	p->address_bytes = 32;
	p->at += IPV6_BYTES;
	p->len = p->at + payload;
	return HB_DROP_NONE;
}

/* Walks over the extension headers that carry nothing for us, up to `proto`; HB_DROP_NOT_UDP when
 * they lead elsewhere. */
static inline enum hb_drop
skip_ipv6_extensions(struct layers *p, uint8_t next, uint8_t proto)
{
	for (int i = 0; HB_UNLIKELY(next != proto); i++) {
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

/* ---- headers that we write ----------------------------------------------------------- */

/* All of an IPv4 header but its addresses, which stand at 12 already. The sum is made of the values
 * and not of the bytes just written: reading those back would wait for the stores to leave the
 * core. */
static inline void
write_ipv4(uint8_t *ip, uint16_t total, uint8_t proto)
{
	/* An atomic datagram needs no identification (RFC 6864). */
	const uint8_t first[8] = {
		0x45, 0, (uint8_t)(total >> 8), (uint8_t)total, 0, 0, IPV4_DONT_FRAGMENT >> 8, 0};
	const uint8_t second[4] = {REPLY_TTL, proto};
	uint64_t sum;

	memcpy(ip, first, sizeof(first));
	memcpy(ip + 8, second, sizeof(second));
	sum = sum_add(load64(first), load64(ip + 12));
	store16(ip + 10, (uint16_t)~sum_fold(sum_add(sum, load32(second))));
}

/* All of an IPv6 header but its addresses, which stand at 8 already. */
static inline void
write_ipv6(uint8_t *ip, uint16_t payload, uint8_t next, uint8_t hop_limit)
{
	put_be16(ip, 0x6000);
	put_be16(ip + 2, 0);
	put_be16(ip + 4, payload);
	ip[6] = next;
	ip[7] = hop_limit;
}

/* Two ports, or two IPv4 addresses, one behind the other. Return what stands there then. */
static inline uint32_t
swap_halves32(uint8_t *p)
{
	uint32_t v = load32(p);

	v = v << 16 | v >> 16;
	memcpy(p, &v, sizeof(v));
	return v;
}

static inline uint64_t
swap_halves64(uint8_t *p)
{
	uint64_t v = load64(p);

	v = v << 32 | v >> 32;
	memcpy(p, &v, sizeof(v));
	return v;
}

static inline void
swap_bytes(uint8_t *a, uint8_t *b, uint32_t n)
{
	uint8_t t[16];

	memcpy(t, a, n);
	memcpy(a, b, n);
	memcpy(b, t, n);
}

#endif
