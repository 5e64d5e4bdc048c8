/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a burst. One turn of the loop: send what became durable, take a burst from each
 * device and from each other worker, decide it, send what may go at once. No lock, no system call,
 * no allocation but the device's own buffers.
 */
#define URCU_INLINE_SMALL_FUNCTIONS
#include "port_internal.h"

#include <errno.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf_dyn.h>
#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <urcu-qsbr.h>

/* Turns between looks at what changes seldom: orders and the grace period. */
#define HOUSEKEEPING_TURNS 32

/* How often a full send queue is tried again before a reply is given up: the client repeats. */
#define SEND_TRIES 64

/* The same where a capture is played, which can wait: some seconds, not for ever. */
#define PATIENT_TRIES (1u << 24)

/* How far ahead of the parser frames are fetched into the cache. */
#define PREFETCH_FRAMES 4

/* ---- out ----------------------------------------------------------------------------- */

static void
flush_port(struct hb_worker *w, unsigned port)
{
	struct rte_mbuf **frame = w->out[port].frame;
	unsigned count = w->out[port].count, sent = 0;
	bool patient = w->clock == HB_CLOCK_PACKET;

	if (count == 0)
		return;
	w->out[port].count = 0;
	for (unsigned i = 0; sent < count && i < (patient ? PATIENT_TRIES : SEND_TRIES); i++)
		sent += rte_eth_tx_burst(w->ports->port[port].id, (uint16_t)w->index, frame + sent,
			(uint16_t)(count - sent));
	hb_count(&w->stats.sent, sent);
	if (HB_UNLIKELY(sent < count)) {
		hb_count(&w->stats.dropped[HB_DROP_TX], count - sent);
		rte_pktmbuf_free_bulk(frame + sent, count - sent);
	}
}

static void
flush_ports(struct hb_worker *w)
{
	for (unsigned p = 0; p < w->ports->count; p++)
		flush_port(w, p);
}

/* mbuf->port is ethdev's number; devices are few. */
static inline unsigned
port_of(const struct hb_worker *w, const struct rte_mbuf *m)
{
	unsigned p = 0;

	while (HB_UNLIKELY(w->ports->port[p].id != m->port) && p + 1 < w->ports->count)
		p++;
	return p;
}

static inline void
send_frame(struct hb_worker *w, struct rte_mbuf *m)
{
	unsigned p = port_of(w, m);

	w->out[p].frame[w->out[p].count++] = m;
	if (HB_UNLIKELY(w->out[p].count == 2 * HB_BURST))
		flush_port(w, p);
}

/* Sends the parked replies whose records have become durable. */
static unsigned
release_parked(struct hb_worker *w)
{
	struct hb_park *park = &w->engine.park;
	void *frame[HB_BURST];
	unsigned n;

	if (hb_park_used(park) == 0)
		return 0;
	n = hb_park_pop(park, __atomic_load_n(&w->link.durable, __ATOMIC_ACQUIRE), frame, HB_BURST);
	for (unsigned i = 0; i < n; i++)
		send_frame(w, frame[i]);
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
	const uint8_t *mac = w->ports->port[port_of(w, m)].mac;
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
			send_frame(w, m);
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
	if ((f & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		checked |= HB_FRAME_UDP_CHECKED;
	return checked;
}

static inline void
drop_frame(struct hb_worker *w, struct rte_mbuf *m, enum hb_drop reason)
{
	hb_count(&w->stats.dropped[reason], 1);
	rte_pktmbuf_free(m);
}

/* Parses n frames into requests; the bad ones are counted and gone. Returns how many are left. */
static unsigned
parse_burst(struct hb_worker *w, const struct hb_snapshot *s, struct rte_mbuf **frame, unsigned n,
	struct hb_request *r)
{
	unsigned good = 0;

	for (unsigned i = 0; i < PREFETCH_FRAMES && i < n; i++)
		__builtin_prefetch(rte_pktmbuf_mtod(frame[i], void *), 1);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = frame[i];
		enum hb_drop drop = HB_DROP_TRUNCATED;

		if (i + PREFETCH_FRAMES < n)
			__builtin_prefetch(rte_pktmbuf_mtod(frame[i + PREFETCH_FRAMES], void *), 1);
		/* No request is so long that it comes in pieces. */
		if (HB_LIKELY(m->nb_segs == 1))
			drop = hb_frame_parse(&s->listen, rte_pktmbuf_mtod(m, uint8_t *),
				m->data_len, checked_by_nic(m), &r[good]);
		if (HB_UNLIKELY(drop != HB_DROP_NONE)) {
			drop_frame(w, m, drop);
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
			drop_frame(w, r[i].frame, r[i].drop);
		else if (good++ != i)
			r[good - 1] = r[i];
	}
	return good;
}

/* ---- hand-over ----------------------------------------------------------------------- */

static void
hand_over(struct hb_worker *w, unsigned to, struct rte_mbuf **frame, unsigned n)
{
	unsigned went = rte_ring_sp_enqueue_burst(w->to[to], (void **)frame, n, NULL);

	hb_count(&w->stats.handed_over, went);
	if (HB_UNLIKELY(went < n)) {
		hb_count(&w->stats.dropped[HB_DROP_HANDOVER], n - went);
		rte_pktmbuf_free_bulk(frame + went, n - went);
	}
}

/* Hands requests for lanes of other workers to them, with what has been found out in the mbuf's
 * private room. Returns how many are left: ours. */
static unsigned
sort_out(struct hb_worker *w, struct hb_request *r, unsigned n)
{
	struct rte_mbuf *frame[HB_BURST];
	uint8_t owner[HB_BURST];
	uint64_t others = 0; /* bit per worker */
	unsigned ours = 0, theirs = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned o = w->owner[hb_lane(r[i].shard)];

		if (o == w->index) {
			if (ours++ != i)
				r[ours - 1] = r[i];
			continue;
		}
		*(struct hb_request *)rte_mbuf_to_priv(r[i].frame) = r[i];
		frame[theirs] = r[i].frame;
		owner[theirs++] = (uint8_t)o;
		others |= 1ull << o;
	}
	for (; others != 0; others &= others - 1) {
		unsigned to = (unsigned)__builtin_ctzll(others), count = 0;
		struct rte_mbuf *batch[HB_BURST];

		for (unsigned i = 0; i < theirs; i++) {
			if (owner[i] == to)
				batch[count++] = frame[i];
		}
		hand_over(w, to, batch, count);
	}
	return ours;
}

/* Whether another burst of replies has room where this worker would rather wait than say BUSY. */
static inline bool
may_take(struct hb_worker *w)
{
	return w->clock == HB_CLOCK_WALL || hb_engine_ready(&w->engine);
}

/* Takes in what the others handed over. */
static unsigned
take_in(struct hb_worker *w, const struct hb_snapshot *s)
{
	struct rte_mbuf *frame[HB_BURST];
	struct hb_request r[HB_BURST];
	unsigned all = 0;

	for (unsigned from = 0; from < w->workers; from++) {
		if (from == w->index || !may_take(w))
			continue;
		unsigned n =
			rte_ring_sc_dequeue_burst(w->from[from], (void **)frame, HB_BURST, NULL);

		if (n == 0)
			continue;
		for (unsigned i = 0; i < n; i++)
			r[i] = *(struct hb_request *)rte_mbuf_to_priv(frame[i]);
		hb_count(&w->stats.taken_in, n);
		answer_burst(w, s, r, n);
		all += n;
	}
	return all;
}

/* ---- the loop ------------------------------------------------------------------------ */

static unsigned
receive(struct hb_worker *w, const struct hb_snapshot *s, unsigned port)
{
	struct rte_mbuf *frame[HB_BURST];
	struct hb_request r[HB_BURST];
	unsigned n, left;

	if (HB_UNLIKELY(!may_take(w)))
		return 0;
	n = rte_eth_rx_burst(w->ports->port[port].id, (uint16_t)w->index, frame, HB_BURST);
	if (n == 0)
		return 0;
	hb_count(&w->stats.received, n);
	left = parse_burst(w, s, frame, n, r);
	left = verify_burst(w, s, r, left);
	stamp_burst(w, r, left);
	if (w->workers > 1)
		left = sort_out(w, r, left);
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

static unsigned
turn(struct hb_worker *w, bool taking)
{
	const struct hb_snapshot *s = rcu_dereference(*w->snapshot);
	unsigned work = release_parked(w);

	if (HB_LIKELY(taking)) {
		for (unsigned p = 0; p < w->ports->count; p++)
			work += receive(w, s, p);
	}
	if (w->workers > 1)
		work += take_in(w, s);
	flush_ports(w);
	if (++w->turn % HOUSEKEEPING_TURNS == 0 || HB_UNLIKELY(!taking)) {
		hb_engine_obey(&w->engine);
		rcu_quiescent_state();
	}
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

int
hb_worker_run(void *arg)
{
	struct hb_worker *w = arg;
	uint64_t last = rte_rdtsc();
	enum hb_phase phase;

	rcu_register_thread();
	while ((phase = __atomic_load_n(&w->phase, __ATOMIC_RELAXED)) != HB_PHASE_LEAVE)
		account(w, &last, turn(w, phase == HB_PHASE_RUN));
	abandon_parked(w);
	rcu_unregister_thread();
	return 0;
}

int
hb_workers_connect(struct hb_worker **w, unsigned workers, struct hb_error *e)
{
	char name[32];

	for (unsigned from = 0; from < workers; from++) {
		for (unsigned to = 0; to < workers; to++) {
			if (from == to)
				continue;
			snprintf(name, sizeof(name), "handover_%u_%u", from, to);
			w[from]->to[to] = w[to]->from[from] =
				hb_ring_make(name, sizeof(void *), hb_handover_slots(workers));
			if (w[from]->to[to] == NULL)
				return hb_fail(e, ENOMEM,
					"no memory for the hand-over rings of %u workers; add "
					"memory, or write fewer workers",
					workers);
		}
		for (unsigned lane = 0; lane < HB_LANES; lane++)
			w[from]->owner[lane] = (uint8_t)hb_owner(lane, workers);
	}
	return 0;
}

void
hb_workers_disconnect(struct hb_worker **w, unsigned workers)
{
	for (unsigned from = 0; from < workers; from++) {
		for (unsigned to = 0; to < workers; to++)
			free(w[from]->to[to]);
	}
}

unsigned
hb_workers_underway(struct hb_worker *const *w, unsigned workers)
{
	unsigned n = 0;

	for (unsigned from = 0; from < workers; from++) {
		for (unsigned to = 0; to < workers; to++)
			n += from == to ? 0 : rte_ring_count(w[from]->to[to]);
	}
	return n;
}
