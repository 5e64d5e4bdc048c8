/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_scenario.h"

#define HOST_BITS 22 /* of a /10 */
#define HOSTS (1u << HOST_BITS)
#define FIRST_PORT 1024
#define PORTS (65536 - FIRST_PORT)
#define NET_10_64 0x0a400000u
#define NET_10_128 0x0a800000u

static void
put_ip(uint8_t ip[4], uint32_t v)
{
	v = htobe32(v);
	memcpy(ip, &v, sizeof(v));
}

void
hb_scenario_source(uint64_t user, const uint8_t server_ip[4], uint8_t ip[4], uint16_t *port)
{
	uint32_t host = (uint32_t)user & (HOSTS - 1);

	put_ip(ip, NET_10_64 | host);
	if (memcmp(ip, server_ip, 4) == 0)
		put_ip(ip, NET_10_128 | host);
	/* A constant of the host added: it keeps the ports of a host's users apart. */
	*port = (uint16_t)(FIRST_PORT + ((user >> HOST_BITS) + host * 40503ull) % PORTS);
}

/* In the place of the tag: what nobody who doesn't hold the key would hit. */
static void
spoil_tag(const struct hb_request *r, uint8_t *tag)
{
	uint64_t noise = htobe64(hb_mix64(r->user ^ 0xA0761D6478BD642FULL,
		r->now_us ^ (uint64_t)r->seq << 32 ^ 0xE7037ED1A0B428DBULL));

	memcpy(tag, &noise, HB_TAG_BYTES);
}

void
hb_scenario_moulds(struct hb_scenario_moulds *m, const struct hb_scenario_wire *w)
{
	struct hb_flow flow = {0};

	memcpy(flow.src_mac, w->src_mac, sizeof(flow.src_mac));
	memcpy(flow.dst_mac, w->dst_mac, sizeof(flow.dst_mac));
	memcpy(flow.dst_ip, w->server_ip, sizeof(w->server_ip));
	for (unsigned op = 0; op < HB_COUNT_OF(m->mould); op++)
		hb_mould_make(&m->mould[op], &flow, hb_request_bytes(op));
}

void
hb_scenario_frames(const struct hb_scenario_wire *w, const struct hb_scenario_moulds *m,
	const struct hb_scenario_item *item, unsigned n, uint8_t *const *frame, uint32_t *bytes)
{
	struct hb_request r[HB_BURST];

	for (unsigned i = 0; i < n; i++) {
		r[i] = item[i].request;
		r[i].payload = frame[i] + HB_MOULD_PAYLOAD_AT;
		hb_wire_put(&r[i], r[i].payload);
	}
	hb_wire_sign(&w->keys, r, n);
	for (unsigned i = 0; i < n; i++) {
		const struct hb_mould *mould = &m->mould[r[i].op];
		uint8_t ip[4];
		uint16_t port;

		if (HB_UNLIKELY(item[i].flags & HB_SCENARIO_FORGED))
			spoil_tag(&r[i], frame[i] + mould->bytes - HB_TAG_BYTES);
		hb_scenario_source(r[i].user, w->server_ip, ip, &port);
		hb_mould_cast(mould, ip, port, (uint16_t)(w->base_port + r[i].shard), frame[i]);
		bytes[i] = mould->bytes;
	}
}
