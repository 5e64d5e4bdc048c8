/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames as a client sees them: replies are parsed, and many requests are built that differ little.
 */
#include "frame_internal.h"

/* ---- replies ------------------------------------------------------------------------- */

/* Down to what IP carries, whoever it is for: the address that it is for is taken for ours. */
static enum hb_drop
parse_ip(struct layers *p, uint16_t type, unsigned checked)
{
	struct hb_listen anybody = {.has_ipv4 = true};
	const uint8_t *ip = p->frame + p->at;

	if (type == TYPE_IPV6) {
		enum hb_drop drop = parse_ipv6_header(p);
		return drop != HB_DROP_NONE ? drop : skip_ipv6_extensions(p, ip[6], PROTO_UDP);
	}
	if (type != TYPE_IPV4)
		return HB_DROP_NOT_IP;
	if (p->len - p->at >= IPV4_BYTES)
		memcpy(anybody.ipv4, ip + 16, sizeof(anybody.ipv4));
	return parse_ipv4(p, &anybody, checked, PROTO_UDP);
}

static enum hb_drop
parse_reply_udp(const struct layers *p, uint16_t base_port, unsigned checked, struct hb_answer *a)
{
	const uint8_t *udp = p->frame + p->at;
	uint32_t room = p->len - p->at;

	if (HB_UNLIKELY(room < UDP_BYTES))
		return HB_DROP_UDP_LENGTH;
	a->source_port = hb_be16(udp);
	a->target_port = hb_be16(udp + 2);
	if ((uint16_t)(a->source_port - base_port) >= PORTS_IN_RANGE)
		return HB_DROP_PORT;
	if (HB_UNLIKELY(hb_be16(udp + 4) != room))
		return HB_DROP_UDP_LENGTH;
	bool absent = (udp[6] | udp[7]) == 0;
	if (HB_UNLIKELY(absent && a->ipv6))
		return HB_DROP_UDP_CHECKSUM;
	if (!absent && !(checked & HB_FRAME_UDP_CHECKED) &&
		HB_UNLIKELY(sum_fold(transport_sum(PROTO_UDP, p->addresses, p->address_bytes, udp,
				    (uint16_t)room)) != 0xFFFF))
		return HB_DROP_UDP_CHECKSUM;
	a->payload = udp + UDP_BYTES;
	return room == UDP_BYTES + HB_REPLY_BYTES ? HB_DROP_NONE : HB_DROP_LENGTH;
}

enum hb_drop
hb_frame_parse_reply(const uint8_t *frame, uint32_t len, uint16_t base_port, unsigned checked,
	struct hb_answer *a)
{
	struct layers p = {.frame = frame, .len = len};
	enum hb_drop drop;
	uint16_t type;

	if ((drop = parse_ethernet(&p, &type)) != HB_DROP_NONE)
		return drop;
	a->l2_bytes = (uint8_t)p.at;
	a->ipv6 = type == TYPE_IPV6;
	if ((drop = parse_ip(&p, type, checked)) != HB_DROP_NONE)
		return drop;
	a->source = p.addresses;
	a->target = p.addresses + p.address_bytes / 2;
	return parse_reply_udp(&p, base_port, checked, a);
}

/* ---- requests ------------------------------------------------------------------------ */

enum {
	AT_IP = ETH_BYTES,
	AT_IP_CHECKSUM = AT_IP + 10,
	AT_SOURCE = AT_IP + 12,
	AT_UDP = AT_IP + IPV4_BYTES,
	AT_UDP_CHECKSUM = AT_UDP + 6,
};

void
hb_mould_make(struct hb_mould *m, const struct hb_flow *f, unsigned n)
{
	static const uint8_t nothing[HB_REQUEST_BYTES_MAX];
	uint8_t frame[HB_FRAME_BYTES_MAX];
	struct hb_flow flow = *f;

	memset(flow.src_ip, 0, sizeof(flow.src_ip));
	flow.src_port = flow.dst_port = 0;
	m->bytes = hb_frame_build(&flow, nothing, n, frame);
	store16(frame + AT_IP_CHECKSUM, 0);
	store16(frame + AT_UDP_CHECKSUM, 0);
	memcpy(m->header, frame, sizeof(m->header));
	m->ip_sum = sum_bytes(0, frame + AT_IP, IPV4_BYTES);
	m->udp_sum = transport_sum(
		PROTO_UDP, frame + AT_SOURCE, 8, frame + AT_UDP, (uint16_t)(UDP_BYTES + n));
}

void
hb_mould_cast(const struct hb_mould *m, const uint8_t src_ip[4], uint16_t src_port,
	uint16_t dst_port, uint8_t *frame)
{
	uint64_t source = sum_bytes(0, src_ip, 4);

	memcpy(frame, m->header, sizeof(m->header));
	memcpy(frame + AT_SOURCE, src_ip, 4);
	put_be16(frame + AT_UDP, src_port);
	put_be16(frame + AT_UDP + 2, dst_port);
	store16(frame + AT_IP_CHECKSUM, (uint16_t)~sum_fold(sum_add(m->ip_sum, source)));
	uint64_t rest = source + htobe16(src_port) + htobe16(dst_port);
	uint16_t sum = (uint16_t)~sum_fold(sum_bytes(sum_add(m->udp_sum, rest),
		frame + HB_MOULD_PAYLOAD_AT, m->bytes - HB_MOULD_PAYLOAD_AT));
	store16(frame + AT_UDP_CHECKSUM, sum == 0 ? 0xFFFF : sum);
}
