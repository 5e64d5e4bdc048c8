/* SPDX-License-Identifier: BSD-3-Clause */
#include "ringed.h"

#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdio.h>
#include <stdlib.h>

#define BASE_PORT 8192
#define FRAME_ROOM (RTE_PKTMBUF_HEADROOM + 128)
/* A frame in each place where one can be. */
#define FRAMES(descriptors) (HB_PARK_SLOTS + 2 * (descriptors) + 4096)

int
ringed_begin(const char *program)
{
	const char *arg[] = {program, "--no-huge", "--no-pci", "--no-telemetry", "--no-shconf",
		"-m", "64", "--log-level", "error"};
	char *copy[HB_COUNT_OF(arg) + 1] = {0};

	for (unsigned i = 0; i < HB_COUNT_OF(arg); i++)
		copy[i] = (char *)(uintptr_t)arg[i];
	if (rte_eal_init(HB_COUNT_OF(arg), copy) < 0)
		return -rte_errno;
	return hb_wire_init();
}

/* ---- making -------------------------------------------------------------------------- */

static int
make_device(struct ringed *r, unsigned descriptors, struct hb_error *e)
{
	struct rte_eth_conf conf = {0};
	struct hb_port *port = &r->ports.port[0];
	static unsigned made;
	char name[32];

	r->ports = (struct hb_ports){.timestamp_offset = -1, .count = 1};
	r->ports.pool = rte_pktmbuf_pool_create(
		"frames", FRAMES(descriptors), 256, 64, FRAME_ROOM, SOCKET_ID_ANY);
	snprintf(name, sizeof(name), "in%u", made);
	r->in = rte_ring_create(
		name, descriptors, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
	snprintf(name, sizeof(name), "out%u", made);
	r->out = rte_ring_create(name, HB_PARK_SLOTS, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (r->ports.pool == NULL || r->in == NULL || r->out == NULL)
		return hb_fail(e, ENOMEM, "no memory for frames and rings");
	/* ethdev doesn't give a name back. */
	snprintf(name, sizeof(name), "ringed%u", made++);
	int id = rte_eth_from_rings(name, &r->in, 1, &r->out, 1, 0);

	if (id < 0 || rte_eth_dev_configure((uint16_t)id, 1, 1, &conf) != 0 ||
		rte_eth_rx_queue_setup(
			(uint16_t)id, 0, (uint16_t)descriptors, 0, NULL, r->ports.pool) != 0 ||
		rte_eth_tx_queue_setup((uint16_t)id, 0, (uint16_t)descriptors, 0, NULL) != 0 ||
		rte_eth_dev_start((uint16_t)id) != 0)
		return hb_fail(e, ENODEV, "net_ring cannot be started");
	*port = (struct hb_port){.id = (uint16_t)id,
		.started = true,
		.rx_queues = 1,
		.tx_queues = 1,
		.rx_descriptors = (uint16_t)descriptors};
	return 0;
}

static void
configure(struct ringed *r, const struct ringed_terms *t)
{
	struct hb_listen listen = {.ipv4 = {10, 0, 0, 1}, .has_ipv4 = true, .base_port = BASE_PORT};

	r->config = (struct hb_config){.workers = 1,
		.ports = 1,
		.users = t->users,
		.seed = 1,
		.slices = UINT32_MAX,
		.campaign = r->campaign,
		.campaigns = t->shaken_alone ? 1 : 2};
	r->config.port[0].listen = listen;
	r->config.shed = true;
	r->config.busy_wait_ms = 1000;
	r->config.keys.epoch_held[0] = true;
	r->config.keys.issuer_held = true;
	for (unsigned i = 0; i < 2; i++)
		r->campaign[i] = (struct hb_campaign_config){.id = (uint16_t)(RINGED_SHAKEN + i),
			.closes_us = UINT64_MAX,
			.odds = t->odds,
			.wins_per_user =
				t->wins_per_user != 0 ? t->wins_per_user : HB_USER_WINS_MAX,
			.wait_ms = 1000,
			.terms = {.count = t->envelopes,
				.total = t->total != 0 ? t->total : t->envelopes * 100ull,
				.split = t->total != 0 ? HB_SPLIT_LUCKY : HB_SPLIT_EQUAL,
				.seed = 1}};
	snprintf(r->campaign[1].password, sizeof(r->campaign[1].password), RINGED_PASSWORD);
}

static int
make_engine(struct ringed *r, const struct ringed_terms *t, struct hb_error *e)
{
	struct hb_worker *w = &r->worker;
	struct hb_engine_terms terms = {.campaigns = r->config.campaigns,
		.workers = 1,
		.users = t->users,
		.envelopes = (uint64_t)r->config.campaigns * t->envelopes,
		.seed = 1};
	int err;

	if ((err = hb_link_make(&w->link, r->config.campaigns, r->drained, e)) != 0 ||
		(err = hb_engine_make(&w->engine, &terms, &w->link, &w->stats, e)) != 0)
		return err;
	for (unsigned i = 0; i < r->config.campaigns && !t->dealt; i++) {
		err = hb_envelopes_make(&r->envelopes[i], &r->campaign[i].terms, "ringed", e);
		if (err != 0)
			return err;
		hb_engine_bind(&w->engine, i, &r->envelopes[i]);
		hb_engine_stock(&w->engine, i, (struct hb_range){1, t->envelopes});
		hb_engine_whole(&w->engine, i);
	}
	return 0;
}

struct ringed *
ringed_make(const struct ringed_terms *t, struct hb_error *e)
{
	struct ringed *r = aligned_alloc(HB_CACHE_LINE, sizeof(*r));

	if (r == NULL)
		return NULL;
	memset(r, 0, sizeof(*r));
	configure(r, t);
	r->worker.workers = 1;
	r->worker.clock = HB_CLOCK_WALL;
	r->worker.ports = &r->ports;
	r->worker.snapshot = &r->snapshot;
	r->snapshot = hb_snapshot_make(&r->config);
	struct hb_worker *self = &r->worker;

	if (r->snapshot == NULL || make_engine(r, t, e) != 0 ||
		make_device(r, t->descriptors, e) != 0 || hb_workers_connect(&self, 1, e) != 0) {
		ringed_free(r);
		return NULL;
	}
	r->snapshot->version = 1;
	return r;
}

void
ringed_free(struct ringed *r)
{
	struct rte_mbuf *m[HB_BURST];
	struct hb_worker *self = &r->worker;
	unsigned n;

	while (r->out != NULL && (n = ringed_take(r, m, HB_BURST)) != 0)
		rte_pktmbuf_free_bulk(m, n);
	while (r->in != NULL && rte_ring_sc_dequeue(r->in, (void **)m) == 0)
		rte_pktmbuf_free(m[0]);
	hb_ports_close(&r->ports);
	hb_workers_disconnect(&self, 1);
	rte_ring_free(r->in);
	rte_ring_free(r->out);
	hb_engine_free(&r->worker.engine);
	hb_link_free(&r->worker.link);
	for (unsigned i = 0; i < 2; i++)
		hb_envelopes_free(&r->envelopes[i]);
	hb_snapshot_free(r->snapshot);
	free(r);
}

/* ---- frames -------------------------------------------------------------------------- */

bool
ringed_full(const struct ringed *r)
{
	return rte_ring_full(r->in);
}

bool
ringed_send(struct ringed *r, const struct hb_request *q, bool forged, struct ringed_note note)
{
	struct hb_flow flow = {.src_mac = {2, 0, 0, 0, 0, 2},
		.dst_mac = {2, 0, 0, 0, 0, 1},
		.src_ip = {10, 0, 0, 2},
		.dst_ip = {10, 0, 0, 1},
		.src_port = 4000,
		.dst_port =
			(uint16_t)(BASE_PORT + hb_shard(q->op >= HB_OP_GRAB ? q->arg : q->user))};
	struct rte_mbuf *m = ringed_full(r) ? NULL : rte_pktmbuf_alloc(r->ports.pool);
	uint8_t payload[HB_REQUEST_BYTES_MAX], key[HB_KEY_BYTES];

	if (m == NULL)
		return false;
	hb_user_key(key, r->config.keys.epoch_key[0], q->user);
	unsigned n = hb_wire_encode(q, q->op == HB_OP_PACK ? r->config.keys.issuer : key, payload);

	payload[n - 1] ^= forged;
	uint32_t bytes = hb_frame_build(&flow, payload, n, rte_pktmbuf_mtod(m, uint8_t *));
	m->data_len = (uint16_t)bytes;
	m->pkt_len = bytes;
	*(struct ringed_note *)rte_mbuf_to_priv(m) = note;
	return rte_ring_sp_enqueue(r->in, m) == 0;
}

unsigned
ringed_take(struct ringed *r, struct rte_mbuf **m, unsigned n)
{
	return rte_ring_sc_dequeue_burst(r->out, (void **)m, n, NULL);
}

const uint8_t *
ringed_reply(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(m, const uint8_t *, HB_MOULD_PAYLOAD_AT);
}

struct ringed_note
ringed_note_of(struct rte_mbuf *m)
{
	return *(struct ringed_note *)rte_mbuf_to_priv(m);
}

void
ringed_settle(struct ringed *r)
{
	struct hb_record record[HB_BURST];
	struct hb_link *l = &r->worker.link;
	unsigned n;

	while ((n = rte_ring_sc_dequeue_burst_elem(
			l->records, record, sizeof(record[0]), HB_BURST, NULL)) != 0)
		__atomic_store_n(&l->durable, l->durable + n, __ATOMIC_RELEASE);
}
