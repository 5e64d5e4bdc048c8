/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ARP (RFC 826, 5227), IPv6 neighbour discovery (RFC 4861, 4862), echo (RFC 792, 4443) and the
 * listener report (RFC 3810). One walk down a frame finds what it asks; a worker stops there, an
 * answer goes on to the checksums and the options.
 */
#include "hb_host.h"

#include "frame_internal.h"

enum {
	ETH_BYTES_MIN = 60, /* without the check sequence */
	ARP_BYTES = 28,
	ICMP_BYTES = 8,
	NEIGHBOUR_BYTES = 24, /* a solicitation or advertisement without options */
	OPTION_BYTES = 8,     /* one that holds a MAC address */
	ROUTER_ALERT_BYTES = 8,
	REPORT_BYTES = 28, /* of one group, no sources */

	ARP_REQUEST = 1,
	ARP_REPLY = 2,

	ICMP_ECHO_REPLY = 0,
	ICMP_ECHO = 8,
	ICMPV6_ECHO = 128,
	ICMPV6_ECHO_REPLY = 129,
	ICMPV6_SOLICITATION = 135,
	ICMPV6_ADVERTISEMENT = 136,
	ICMPV6_LISTENER_REPORT = 143,

	OPTION_SOURCE_MAC = 1,
	OPTION_TARGET_MAC = 2,

	ADVERTISE_OVERRIDE = 0x20,
	ADVERTISE_SOLICITED = 0x40,

	LISTENER_JOINS = 4, /* CHANGE_TO_EXCLUDE_MODE, of no sources */

	ON_LINK_HOPS = 255, /* no router can have passed it on (RFC 4861, 3.1) */
};

static const uint8_t broadcast_mac[6] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
static const uint8_t zeros[16];
static const uint8_t all_nodes[16] = {0xFF, 0x02, [15] = 0x01};
static const uint8_t all_mldv2_routers[16] = {0xFF, 0x02, [15] = 0x16};

/* Ethernet, IPv4: all of an ARP packet's head but the operation. */
static const uint8_t arp_head[6] = {0, 1, 0x08, 0, 6, 4};

/* ---- groups -------------------------------------------------------------------------- */

/* The solicited-node group of an address (RFC 4291, 2.7.1). */
static void
solicited_node_group(const uint8_t address[16], uint8_t group[16])
{
	static const uint8_t prefix[13] = {0xFF, 0x02, [11] = 0x01, 0xFF};

	memcpy(group, prefix, sizeof(prefix));
	memcpy(group + 13, address + 13, 3);
}

/* Where Ethernet takes an IPv6 group (RFC 2464, 7). */
static void
ipv6_group_mac(const uint8_t group[16], uint8_t mac[6])
{
	mac[0] = mac[1] = 0x33;
	memcpy(mac + 2, group + 12, 4);
}

void
hb_host_group_mac(const struct hb_listen *l, uint8_t mac[6])
{
	uint8_t group[16];

	solicited_node_group(l->ipv6, group);
	ipv6_group_mac(group, mac);
}

/* ---- what a frame asks ---------------------------------------------------------------- */

enum question {
	ASKS_NOTHING,
	ASKS_ARP,
	ASKS_NEIGHBOUR,
	ASKS_PING,
};

/* Whether a frame goes to one host, or to that one group. */
static bool
goes_to(const uint8_t *frame, const uint8_t group_mac[6])
{
	return (frame[0] & 1) == 0 || memcmp(frame, group_mac, 6) == 0;
}

/* Who asks for our address with our address is another host that believes it is its own: there is
 * nobody to send an answer to. The same holds for IPv6 below. */
static enum question
arp_question(const struct hb_listen *l, const struct layers *p)
{
	const uint8_t *arp = p->frame + p->at, *sender = arp + 14;

	if (!l->has_ipv4 || !goes_to(p->frame, broadcast_mac) || p->len - p->at < ARP_BYTES)
		return ASKS_NOTHING;
	if (memcmp(arp, arp_head, sizeof(arp_head)) != 0 || hb_be16(arp + 6) != ARP_REQUEST)
		return ASKS_NOTHING;
	if (memcmp(arp + 24, l->ipv4, 4) != 0 || memcmp(sender, l->ipv4, 4) == 0)
		return ASKS_NOTHING;
	/* A sender of 0.0.0.0 has no address yet and wants to know whether it may take ours. */
	if (ipv4_source_bad(sender) && memcmp(sender, zeros, 4) != 0)
		return ASKS_NOTHING;
	return ASKS_ARP;
}

static enum question
ipv4_question(const struct hb_listen *l, struct layers *p, unsigned checked)
{
	if (parse_ipv4(p, l, checked, PROTO_ICMP) != HB_DROP_NONE)
		return ASKS_NOTHING;
	const uint8_t *icmp = p->frame + p->at;
	/* A ping to everybody would be answered by everybody. */
	if (p->frame[0] & 1 || memcmp(p->addresses, l->ipv4, 4) == 0)
		return ASKS_NOTHING;
	if (p->len - p->at < ICMP_BYTES || icmp[0] != ICMP_ECHO || icmp[1] != 0)
		return ASKS_NOTHING;
	return ASKS_PING;
}

/* A solicitation that p->at stands at. */
static enum question
neighbour_question(const struct hb_listen *l, const struct layers *p, bool to_group)
{
	const uint8_t *ip = p->frame + p->l3, *icmp = p->frame + p->at;
	uint8_t mac[6];

	hb_host_group_mac(l, mac);
	if (!goes_to(p->frame, mac) || ip[7] != ON_LINK_HOPS)
		return ASKS_NOTHING;
	if (p->len - p->at < NEIGHBOUR_BYTES || memcmp(icmp + 8, l->ipv6, 16) != 0)
		return ASKS_NOTHING;
	/* A sender of :: has no address yet and wants to know whether it may take ours; it asks the
	 * group (RFC 4861, 7.1.1). */
	if (ipv6_source_bad(p->addresses) && (!to_group || memcmp(p->addresses, zeros, 16) != 0))
		return ASKS_NOTHING;
	return ASKS_NEIGHBOUR;
}

static enum question
ipv6_question(const struct hb_listen *l, struct layers *p)
{
	uint8_t group[16];

	if (!l->has_ipv6 || parse_ipv6_header(p) != HB_DROP_NONE)
		return ASKS_NOTHING;
	const uint8_t *source = p->addresses, *destination = p->addresses + 16;
	solicited_node_group(l->ipv6, group);
	bool to_group = memcmp(destination, group, 16) == 0;
	if (!to_group && memcmp(destination, l->ipv6, 16) != 0)
		return ASKS_NOTHING;
	if (memcmp(source, l->ipv6, 16) == 0)
		return ASKS_NOTHING;
	if (skip_ipv6_extensions(p, p->frame[p->l3 + 6], PROTO_ICMPV6) != HB_DROP_NONE)
		return ASKS_NOTHING;
	const uint8_t *icmp = p->frame + p->at;
	if (p->len - p->at < ICMP_BYTES || icmp[1] != 0)
		return ASKS_NOTHING;
	if (icmp[0] == ICMPV6_SOLICITATION)
		return neighbour_question(l, p, to_group);
	if (icmp[0] != ICMPV6_ECHO || to_group || p->frame[0] & 1 || ipv6_source_bad(source))
		return ASKS_NOTHING;
	return ASKS_PING;
}

/* Walks down to the ARP or ICMP packet that asks us, and leaves p there. */
static enum question
find_question(const struct hb_listen *l, struct layers *p, unsigned checked)
{
	uint16_t type;

	if (parse_ethernet(p, &type) != HB_DROP_NONE)
		return ASKS_NOTHING;
	p->l3 = p->at;
	switch (type) {
	case TYPE_ARP:
		return arp_question(l, p);
	case TYPE_IPV4:
		return ipv4_question(l, p, checked);
	case TYPE_IPV6:
		return ipv6_question(l, p);
	default:
		return ASKS_NOTHING;
	}
}

bool
hb_host_wants(const struct hb_listen *l, const uint8_t *frame, uint32_t len)
{
	struct layers p = {.frame = frame, .len = len};

	return find_question(l, &p, HB_FRAME_IP_CHECKED) != ASKS_NOTHING;
}

/* ---- packets that we write ------------------------------------------------------------ */

static void
write_ethernet(uint8_t *frame, const uint8_t to[6], const uint8_t mac[6])
{
	memcpy(frame, to, 6);
	memcpy(frame + 6, mac, 6);
}

static void
write_arp(uint8_t *arp, uint16_t operation, const uint8_t mac[6], const uint8_t ipv4[4],
	const uint8_t target_mac[6], const uint8_t target_ipv4[4])
{
	memcpy(arp, arp_head, sizeof(arp_head));
	put_be16(arp + 6, operation);
	memcpy(arp + 8, mac, 6);
	memcpy(arp + 14, ipv4, 4);
	memcpy(arp + 18, target_mac, 6);
	memcpy(arp + 24, target_ipv4, 4);
}

/* `addresses` is NULL for IPv4, whose ICMP sums itself alone. */
static uint16_t
icmp_sum(const uint8_t *addresses, const uint8_t *icmp, uint16_t n)
{
	if (addresses == NULL)
		return sum_fold(sum_bytes(0, icmp, n));
	return sum_fold(transport_sum(PROTO_ICMPV6, addresses, 32, icmp, n));
}

static void
write_icmp_sum(const uint8_t *addresses, uint8_t *icmp, uint16_t n)
{
	store16(icmp + 2, 0);
	store16(icmp + 2, (uint16_t)~icmp_sum(addresses, icmp, n));
}

/* A neighbour advertisement of our address, from the IPv6 header on. Returns its length. */
static uint32_t
write_advertisement(const struct hb_listen *l, const uint8_t mac[6], const uint8_t to[16],
	uint8_t flags, uint8_t *ip)
{
	const uint16_t bytes = NEIGHBOUR_BYTES + OPTION_BYTES;
	uint8_t *icmp = ip + IPV6_BYTES, *option = icmp + NEIGHBOUR_BYTES;

	write_ipv6(ip, bytes, PROTO_ICMPV6, ON_LINK_HOPS);
	memcpy(ip + 8, l->ipv6, 16);
	memcpy(ip + 24, to, 16);
	memset(icmp, 0, 8);
	icmp[0] = ICMPV6_ADVERTISEMENT;
	icmp[4] = flags;
	memcpy(icmp + 8, l->ipv6, 16);
	option[0] = OPTION_TARGET_MAC;
	option[1] = OPTION_BYTES / 8;
	memcpy(option + 2, mac, 6);
	write_icmp_sum(ip + 8, icmp, bytes);
	return IPV6_BYTES + bytes;
}

/* Ethernet's least length, filled with zeros. */
static uint32_t
pad_frame(uint8_t *frame, uint32_t bytes, uint32_t room)
{
	if (bytes >= ETH_BYTES_MIN || room < ETH_BYTES_MIN)
		return bytes;
	memset(frame + bytes, 0, ETH_BYTES_MIN - bytes);
	return ETH_BYTES_MIN;
}

/* ---- answers -------------------------------------------------------------------------- */

/* Not a group's, nobody's or our own. */
static bool
can_be_sent_to(const uint8_t *to, const uint8_t mac[6])
{
	return (to[0] & 1) == 0 && memcmp(to, zeros, 6) != 0 && memcmp(to, mac, 6) != 0;
}

/* The answer goes where the packet, not the frame, says (RFC 826): they differ behind a virtual
 * router. */
static uint32_t
answer_arp(const struct hb_listen *l, const uint8_t mac[6], const struct layers *p, uint8_t *frame,
	uint32_t room)
{
	uint8_t *arp = frame + p->at, asker[10];

	memcpy(asker, arp + 8, sizeof(asker));
	if (!can_be_sent_to(asker, mac))
		return 0;
	write_ethernet(frame, asker, mac);
	write_arp(arp, ARP_REPLY, mac, l->ipv4, asker, asker + 6);
	return pad_frame(frame, p->at + ARP_BYTES, room);
}

/* Walks over a solicitation's options. Returns false when they are malformed; *asker is where the
 * first option with the sender's MAC address has it, NULL without one. */
static bool
find_asker(const struct layers *p, const uint8_t **asker)
{
	uint32_t bytes;

	*asker = NULL;
	for (uint32_t at = p->at + NEIGHBOUR_BYTES; at < p->len; at += bytes) {
		const uint8_t *option = p->frame + at;

		if (p->len - at < OPTION_BYTES)
			return false;
		bytes = (uint32_t)option[1] * 8;
		if (bytes == 0 || bytes > p->len - at)
			return false;
		if (option[0] != OPTION_SOURCE_MAC)
			continue;
		if (bytes != OPTION_BYTES)
			return false;
		if (*asker == NULL)
			*asker = option + 2;
	}
	return true;
}

/* To who asks; to all nodes when it has no address yet, so that it learns of us and stops (RFC
 * 4861, 7.2.4). */
static uint32_t
answer_neighbour(const struct hb_listen *l, const uint8_t mac[6], const struct layers *p,
	uint8_t *frame, uint32_t room)
{
	bool unspecified = memcmp(p->addresses, zeros, 16) == 0;
	uint8_t to[16], to_mac[6], flags = ADVERTISE_OVERRIDE;
	const uint8_t *asker;

	if (!find_asker(p, &asker) || (unspecified && asker != NULL))
		return 0;
	/* Without the option a solicitation is shorter than its answer. */
	if (room < p->l3 + IPV6_BYTES + NEIGHBOUR_BYTES + OPTION_BYTES)
		return 0;
	if (unspecified) {
		memcpy(to, all_nodes, sizeof(to));
		ipv6_group_mac(all_nodes, to_mac);
	} else {
		memcpy(to, p->addresses, sizeof(to));
		memcpy(to_mac, asker != NULL ? asker : frame + 6, sizeof(to_mac));
		if (!can_be_sent_to(to_mac, mac))
			return 0;
		flags |= ADVERTISE_SOLICITED;
	}
	write_ethernet(frame, to_mac, mac);
	return p->l3 + write_advertisement(l, mac, to, flags, frame + p->l3);
}

/* Options and extension headers are left out, as in the replies to requests: what a stranger put
 * there (a record of the route, a source route) is not ours to fill in or to follow, and what a
 * router on the way put there should not cost the answer. */
static uint32_t
answer_ping(const uint8_t mac[6], const struct layers *p, uint8_t *frame, uint32_t room)
{
	bool ipv6 = p->address_bytes == 32;
	uint32_t ip_bytes = ipv6 ? IPV6_BYTES : IPV4_BYTES, half = p->address_bytes / 2;
	uint8_t *ip = frame + p->l3, *icmp = ip + ip_bytes, *addresses = icmp - p->address_bytes;
	uint16_t bytes = (uint16_t)(p->len - p->at);

	write_ethernet(frame, frame + 6, mac);
	memmove(icmp, frame + p->at, bytes);
	swap_bytes(addresses, addresses + half, half);
	if (ipv6)
		write_ipv6(ip, bytes, PROTO_ICMPV6, REPLY_TTL);
	else
		write_ipv4(ip, (uint16_t)(IPV4_BYTES + bytes), PROTO_ICMP);
	icmp[0] = ipv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY;
	write_icmp_sum(ipv6 ? addresses : NULL, icmp, bytes);
	return pad_frame(frame, p->l3 + ip_bytes + bytes, room);
}

uint32_t
hb_host_answer(const struct hb_listen *l, const uint8_t mac[6], uint8_t *frame, uint32_t len,
	uint32_t room)
{
	struct layers p = {.frame = frame, .len = len};
	enum question question = find_question(l, &p, 0);

	if (question == ASKS_NOTHING || !can_be_sent_to(frame + 6, mac))
		return 0;
	/* A switch that has not learnt yet sends us what is for another host. */
	if ((frame[0] & 1) == 0 && memcmp(frame, mac, 6) != 0)
		return 0;
	if (question == ASKS_ARP)
		return answer_arp(l, mac, &p, frame, room);
	if (icmp_sum(p.address_bytes == 32 ? p.addresses : NULL, frame + p.at,
		    (uint16_t)(p.len - p.at)) != 0xFFFF)
		return 0;
	if (question == ASKS_NEIGHBOUR)
		return answer_neighbour(l, mac, &p, frame, room);
	return answer_ping(mac, &p, frame, room);
}

/* ---- announcements -------------------------------------------------------------------- */

static uint32_t
announce_arp(const struct hb_listen *l, const uint8_t mac[6], uint8_t *frame, uint32_t room)
{
	write_ethernet(frame, broadcast_mac, mac);
	put_be16(frame + 12, TYPE_ARP);
	write_arp(frame + ETH_BYTES, ARP_REQUEST, mac, l->ipv4, zeros, l->ipv4);
	return pad_frame(frame, ETH_BYTES + ARP_BYTES, room);
}

static uint32_t
announce_neighbour(const struct hb_listen *l, const uint8_t mac[6], uint8_t *frame)
{
	uint8_t to_mac[6];

	ipv6_group_mac(all_nodes, to_mac);
	write_ethernet(frame, to_mac, mac);
	put_be16(frame + 12, TYPE_IPV6);
	return ETH_BYTES +
	       write_advertisement(l, mac, all_nodes, ADVERTISE_OVERRIDE, frame + ETH_BYTES);
}

/* From our address only where it is link-local, else from :: (RFC 3810, 5.2.13; RFC 3590): routers
 * ignore that one, switches don't, and they are who it is for. */
static uint32_t
announce_group(const struct hb_listen *l, const uint8_t mac[6], uint8_t *frame)
{
	static const uint8_t router_alert[ROUTER_ALERT_BYTES] = {
		PROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0}; /* MLD's; padded by PadN of no bytes */
	bool link_local = l->ipv6[0] == 0xFE && (l->ipv6[1] & 0xC0) == 0x80;
	uint8_t *ip = frame + ETH_BYTES, *icmp = ip + IPV6_BYTES + ROUTER_ALERT_BYTES;
	uint8_t to_mac[6];

	ipv6_group_mac(all_mldv2_routers, to_mac);
	write_ethernet(frame, to_mac, mac);
	put_be16(frame + 12, TYPE_IPV6);
	write_ipv6(ip, ROUTER_ALERT_BYTES + REPORT_BYTES, PROTO_HOP_BY_HOP, 1);
	memcpy(ip + 8, link_local ? l->ipv6 : zeros, 16);
	memcpy(ip + 24, all_mldv2_routers, 16);
	memcpy(ip + IPV6_BYTES, router_alert, sizeof(router_alert));
	memset(icmp, 0, 12);
	icmp[0] = ICMPV6_LISTENER_REPORT;
	icmp[7] = 1; /* record */
	icmp[8] = LISTENER_JOINS;
	solicited_node_group(l->ipv6, icmp + 12);
	write_icmp_sum(ip + 8, icmp, REPORT_BYTES);
	return ETH_BYTES + IPV6_BYTES + ROUTER_ALERT_BYTES + REPORT_BYTES;
}

uint32_t
hb_host_announce(const struct hb_listen *l, const uint8_t mac[6], enum hb_announcement which,
	uint8_t *frame, uint32_t room)
{
	if (room < HB_ANNOUNCE_BYTES_MAX)
		return 0;
	if (which == HB_ANNOUNCE_ARP)
		return l->has_ipv4 ? announce_arp(l, mac, frame, room) : 0;
	if (!l->has_ipv6)
		return 0;
	return which == HB_ANNOUNCE_GROUP ? announce_group(l, mac, frame)
					  : announce_neighbour(l, mac, frame);
}
