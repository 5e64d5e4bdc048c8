/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a burst. One turn of the loop: send what became durable, take a burst from each
 * device and from each other worker, decide it, send what may go at once. No lock, no system call,
 * no allocation but the device's own buffers.
 */
#include "hb_publish.h"
#include "port_internal.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf_dyn.h>

/* Turns between looks at what changes seldom. */
#define HOUSEKEEPING_TURNS 32

/* How far ahead of the parser frames are fetched into the cache. */
#define PREFETCH_FRAMES 4

/* ---- out ----------------------------------------------------------------------------- */

/* Whether a burst of replies to a capture would find its way. A worker without a send queue waits
 * for workers of lower number only, and the first for nobody, so that they never wait in a circle.
 */
static inline bool
may_send(const struct hb_worker *w)
{
	return HB_LIKELY(!w->passes_replies) || hb_handover_room(w, w->index);
}

/* Sends the parked replies whose records have become durable. */
static unsigned
release_parked(struct hb_worker *w)
{
	struct hb_park *park = &w->engine.park;
	void *frame[HB_BURST];
	unsigned n;

	if (hb_park_used(park) == 0 || !may_send(w))
		return 0;
	n = hb_park_pop(park, __atomic_load_n(&w->link.durable, __ATOMIC_ACQUIRE), frame, HB_BURST);
	/* They have waited for longer than a cache remembers. */
	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(frame[i]);
	for (unsigned i = 0; i < n; i++)
		hb_send(w, frame[i]);
	if (n != 0)
		__atomic_store_n(&w->link.parked, hb_park_used(park), __ATOMIC_RELAXED);
	return n;
}

/* ---- decide -------------------------------------------------------------------------- */

/* Turns a request's frame into its reply. */
static inline struct rte_mbuf *
write_reply(struct hb_worker *w, const struct hb_request *r, const struct hb_reply *reply)
{
	struct rte_mbuf *m = r->frame;
	const uint8_t *mac = w->ports->port[hb_port_of(w->ports, m)].mac;
	uint32_t skip, bytes;

	bytes = hb_frame_reply(r, reply, rte_pktmbuf_mtod(m, uint8_t *), mac, &skip);
	m->data_off = (uint16_t)(m->data_off + skip);
	m->data_len = (uint16_t)bytes;
	m->pkt_len = bytes;
	m->ol_flags = 0;
	return m;
}

/* Decides n verified requests of this core's and sends or parks their replies. With the packet
 * clock all replies wait in the FIFO, so that they leave in the order of their requests. */
static void
answer_burst(
	struct hb_worker *w, const struct hb_snapshot *s, const struct hb_request *r, unsigned n)
{
	bool in_order = w->clock == HB_CLOCK_PACKET;
	struct hb_reply reply[HB_BURST];

	hb_engine_decide(&w->engine, s, r, reply, n);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = write_reply(w, &r[i], &reply[i]);

		if (HB_UNLIKELY(reply[i].ticket != 0 || in_order))
			hb_park_push(&w->engine.park, m, reply[i].ticket);
		else
			hb_send(w, m);
	}
	if (hb_park_used(&w->engine.park) != w->link.parked)
		__atomic_store_n(&w->link.parked, hb_park_used(&w->engine.park), __ATOMIC_RELAXED);
}

/* ---- in ------------------------------------------------------------------------------ */

static inline unsigned
checked_by_nic(const struct rte_mbuf *m)
{
	uint64_t f = m->ol_flags;
	unsigned checked = 0;

	if ((f & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
		checked |= HB_FRAME_IP_CHECKED;
	/* NONE: filled in by nobody, since the frame never left the host; the data is as it was
	 * sent. */
	if ((f & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD ||
		(f & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE)
		checked |= HB_FRAME_UDP_CHECKED;
	return checked;
}

/* Parses n frames of a port into requests; the others are counted and gone, or the host's. Returns
 * how many are left. */
static unsigned
parse_burst(struct hb_worker *w, const struct hb_snapshot *s, unsigned port,
	struct rte_mbuf **frame, unsigned n, struct hb_request *r)
{
	const struct hb_listen *listen = &s->listen[port];
	unsigned good = 0;

	for (unsigned i = 0; i < PREFETCH_FRAMES && i < n; i++)
		__builtin_prefetch(rte_pktmbuf_mtod(frame[i], void *), 1);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = frame[i];
		enum hb_drop drop = HB_DROP_JUMBO;

		if (i + PREFETCH_FRAMES < n)
			__builtin_prefetch(rte_pktmbuf_mtod(frame[i + PREFETCH_FRAMES], void *), 1);
		/* net_ring leaves it to those who know. */
		if (HB_UNLIKELY(w->ports->count > 1))
			m->port = w->ports->port[port].id;
		/* No request is so long that it comes in pieces. */
		if (HB_LIKELY(m->nb_segs == 1))
			drop = hb_frame_parse(listen, rte_pktmbuf_mtod(m, uint8_t *), m->data_len,
				checked_by_nic(m), &r[good]);
		if (HB_UNLIKELY(drop != HB_DROP_NONE)) {
			hb_host_pass(w, listen, m, drop);
			continue;
		}
		r[good++].frame = m;
	}
	return good;
}

/* Puts the time on requests: the wall clock's, read once, or the capture's of each. */
static void
stamp_burst(const struct hb_worker *w, struct hb_request *r, unsigned n)
{
	if (w->clock == HB_CLOCK_WALL) {
		uint64_t now = hb_wall_us();

		for (unsigned i = 0; i < n; i++)
			r[i].now_us = now;
		return;
	}
	/* net_pcap gives microseconds since 1970. */
	for (unsigned i = 0; i < n; i++)
		r[i].now_us = *RTE_MBUF_DYNFIELD((struct rte_mbuf *)r[i].frame,
			w->ports->timestamp_offset, rte_mbuf_timestamp_t *);
}

/* Checks the tags and lets go of what is forged. Returns how many are left. */
static unsigned
verify_burst(struct hb_worker *w, const struct hb_snapshot *s, struct hb_request *r, unsigned n)
{
	unsigned good = 0;

	hb_wire_verify(&s->keys, r, n);
	for (unsigned i = 0; i < n; i++) {
		if (HB_UNLIKELY(r[i].drop != HB_DROP_NONE))
			hb_drop_frame(w, r[i].frame, r[i].drop);
		else if (good++ != i)
			r[good - 1] = r[i];
	}
	return good;
}

/* ---- the loop ------------------------------------------------------------------------ */

/* Whether another burst can be decided, where this worker would rather wait than say BUSY: with the
 * packet clock for the journal and for envelopes, which at the end don't come any more; then only a
 * place for the replies is needed, since they all wait there. */
static inline bool
may_decide(struct hb_worker *w)
{
	if (HB_LIKELY(w->clock == HB_CLOCK_WALL))
		return may_send(w);
	if (!w->taking)
		return hb_park_room(&w->engine.park) >= HB_BURST && may_send(w);
	return !hb_engine_dry(&w->engine) && hb_engine_ready(&w->engine) && may_send(w);
}

/* Whether another burst of a device's has room: a capture can wait for the other workers too.
 * Whoever waits says so, since it isn't idle. */
static inline bool
may_receive(struct hb_worker *w, const struct hb_port *port)
{
	bool may = may_decide(w) && (HB_LIKELY(!port->capture) || hb_handover_room(w, w->workers));

	if (HB_UNLIKELY(w->waiting == may))
		__atomic_store_n(&w->waiting, !may, __ATOMIC_RELAXED);
	return may;
}

/* Takes in what the others handed over. */
static unsigned
take_in(struct hb_worker *w, const struct hb_snapshot *s)
{
	struct hb_request r[HB_BURST];
	unsigned all = 0;

	for (unsigned from = 0; from < w->workers; from++) {
		if (from == w->index || !may_decide(w))
			continue;
		unsigned n = hb_handover_take(w, from, r);

		if (n == 0)
			continue;
		hb_engine_expect(&w->engine, s, r, n);
		answer_burst(w, s, r, n);
		all += n;
	}
	return all;
}

static unsigned
receive(struct hb_worker *w, const struct hb_snapshot *s, unsigned port)
{
	const struct hb_port *device = &w->ports->port[port];
	struct rte_mbuf *frame[HB_BURST];
	struct hb_request r[HB_BURST];
	unsigned n, left;

	if (HB_UNLIKELY(w->index >= device->rx_queues || !may_receive(w, device)))
		return 0;
	n = rte_eth_rx_burst(device->id, (uint16_t)w->index, frame, HB_BURST);
	if (n == 0)
		return 0;
	hb_count(&w->stats.received, n);
	left = parse_burst(w, s, port, frame, n, r);
	hb_engine_expect(&w->engine, s, r, left);
	left = verify_burst(w, s, r, left);
	stamp_burst(w, r, left);
	if (w->workers > 1)
		left = hb_handover_sort(w, r, left);
	if (left != 0)
		answer_burst(w, s, r, left);
	return n;
}

static void
account(struct hb_worker *w, uint64_t *last, unsigned work)
{
	uint64_t now = rte_rdtsc();

	/* Released: who sees the turn counted sees what it did. */
	__atomic_store_n(&w->stats.polls, w->stats.polls + 1, __ATOMIC_RELEASE);
	if (work != 0) {
		if (HB_UNLIKELY(w->stats.first_tsc == 0))
			hb_count(&w->stats.first_tsc, *last);
		hb_count(&w->stats.busy_polls, 1);
		hb_count(&w->stats.busy_cycles, now - *last);
		__atomic_store_n(&w->stats.last_tsc, now, __ATOMIC_RELAXED);
	}
	*last = now;
}

/* What changes seldom: orders, the host's answers, the grace period. */
static void
keep_house(struct hb_worker *w)
{
	hb_engine_obey(&w->engine);
	hb_host_send(w);
	hb_quiescent();
}

static unsigned
turn(struct hb_worker *w)
{
	const struct hb_snapshot *s = hb_published(w->snapshot);
	unsigned work = release_parked(w);

	if (HB_LIKELY(w->taking)) {
		for (unsigned p = 0; p < w->ports->count; p++)
			work += receive(w, s, p);
	}
	if (w->workers > 1)
		work += take_in(w, s);
	for (unsigned p = 0; p < w->ports->count; p++)
		hb_send_waiting(w, p);
	if (++w->turn % HOUSEKEEPING_TURNS == 0 || HB_UNLIKELY(!w->taking))
		keep_house(w);
	return work;
}

/* What is still parked when the disk has failed for good can never be told. */
static void
abandon_parked(struct hb_worker *w)
{
	void *frame[HB_BURST];
	unsigned n;

	while ((n = hb_park_pop(&w->engine.park, UINT64_MAX, frame, HB_BURST)) != 0)
		rte_pktmbuf_free_bulk((struct rte_mbuf **)frame, n);
}

/* Whether replies to a capture's requests are written by another worker. */
static bool
passes_replies(const struct hb_worker *w)
{
	for (unsigned p = 0; p < w->ports->count; p++) {
		if (w->ports->port[p].capture && w->index >= w->ports->port[p].tx_queues)
			return true;
	}
	return false;
}

int
hb_worker_run(void *arg)
{
	struct hb_worker *w = arg;
	uint64_t last = rte_rdtsc();
	enum hb_phase phase;

	w->passes_replies = passes_replies(w);
	rcu_register_thread();
	while ((phase = __atomic_load_n(&w->phase, __ATOMIC_RELAXED)) != HB_PHASE_LEAVE) {
		w->taking = phase == HB_PHASE_RUN;
		account(w, &last, turn(w));
	}
	abandon_parked(w);
	rcu_unregister_thread();
	return 0;
}
