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
#include <rte_ring.h>
#include <sys/prctl.h>
#include <time.h>

/* Turns between looks at what changes seldom. */
#define HOUSEKEEPING_TURNS 32

/* Turns between looks at packets whose time is over: with what one look does, some 50 us between
 * them keep up with a million packets a second. */
#define EXPIRE_TURNS 4

/* How far ahead of the parser frames are fetched into the cache. */
#define PREFETCH_FRAMES 4

/* An idle worker that may sleep does so after so many turns in a row without work, some 100 us, for
 * so long: in a sleep no more requests come than 1,024 descriptors hold (14.88 million a second is
 * line rate of the smallest frames at 10 GbE: 744). */
#define IDLE_TURNS 4096
#define IDLE_SLEEP_NS 50000

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

/* A frame has become a reply of so many bytes. */
static inline void
set_bytes(struct rte_mbuf *m, uint32_t bytes)
{
	m->data_len = (uint16_t)bytes;
	m->pkt_len = bytes;
	m->ol_flags = 0;
}

/* Turns a request's frame into its reply. */
static inline void
write_reply(struct hb_worker *w, const struct hb_request *r, const struct hb_reply *reply)
{
	struct rte_mbuf *m = r->frame;
	const uint8_t *mac = w->ports->port[hb_port_of(w->ports, m)].mac;
	uint32_t skip, bytes;

	bytes = hb_frame_reply(r, reply, rte_pktmbuf_mtod(m, uint8_t *), mac, &skip);
	m->data_off = (uint16_t)(m->data_off + skip);
	set_bytes(m, bytes);
}

/* Whether the replies to HB_ABREAST requests can be written abreast. */
static inline bool
all_plain(const struct hb_request *r)
{
	bool plain = true;

	for (unsigned i = 0; i < HB_ABREAST; i++)
		plain &= hb_request_plain(&r[i]);
	return plain;
}

/* Turns the frames of n requests into their replies. */
static inline void
write_replies(
	struct hb_worker *w, const struct hb_request *r, const struct hb_reply *reply, unsigned n)
{
	/* With several ports each has a MAC address of its own. */
	bool abreast = hb_wire_abreast() && w->ports->count == 1;
	unsigned i = 0;

	for (; abreast && i + HB_ABREAST <= n && HB_LIKELY(all_plain(&r[i])); i += HB_ABREAST) {
		hb_frame_reply_abreast(&r[i], &reply[i], w->ports->port[0].mac);
		for (unsigned j = 0; j < HB_ABREAST; j++)
			set_bytes(r[i + j].frame, HB_SHAKE_FRAME_BYTES);
	}
	for (; i < n; i++)
		write_reply(w, &r[i], &reply[i]);
}

/* Decides n verified requests of this core's and sends or parks their replies. With the packet
 * clock all replies wait in the FIFO, so that they leave in the order of their requests. */
static void
answer_burst(
	struct hb_worker *w, const struct hb_snapshot *s, const struct hb_request *r, unsigned n)
{
	bool in_order = w->clock == HB_CLOCK_PACKET;
	struct hb_reply reply[HB_BURST];

	w->request_us = r[n - 1].now_us;
	hb_engine_decide(&w->engine, s, r, reply, n);
	write_replies(w, r, reply, n);
	for (unsigned i = 0; i < n; i++) {
		if (HB_UNLIKELY(reply[i].ticket != 0 || in_order))
			hb_park_push(&w->engine.park, r[i].frame, reply[i].ticket);
		else
			hb_send(w, r[i].frame);
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

/* Parses frames of a port by eights into requests, from the front of n, for as long as all eight
 * are plain shakes. Returns how many were. */
static inline unsigned
parse_abreast(const struct hb_listen *listen, struct rte_mbuf **frame, unsigned n,
	struct hb_request *r, struct hb_words *words)
{
	unsigned i = 0;

	for (; i + HB_ABREAST <= n; i += HB_ABREAST) {
		unsigned checked = HB_FRAME_IP_CHECKED | HB_FRAME_UDP_CHECKED, odd = 0;
		uint8_t *at[HB_ABREAST];

		for (unsigned j = 0; j < HB_ABREAST; j++) {
			const struct rte_mbuf *m = frame[i + j];

			at[j] = rte_pktmbuf_mtod(m, uint8_t *);
			odd |= (m->data_len ^ HB_SHAKE_FRAME_BYTES) | (m->nb_segs ^ 1u);
			checked &= checked_by_nic(m);
		}
		if (HB_UNLIKELY(odd != 0) ||
			!hb_frame_parse_abreast(listen, at, checked, &r[i], words, i))
			break;
		for (unsigned j = 0; j < HB_ABREAST; j++)
			r[i + j].frame = frame[i + j];
	}
	return i;
}

/* Parses n frames of a port into requests; the others are counted and gone, or the host's. Returns
 * how many are left, and in *abreast how many of them, at the front, were parsed so. */
static unsigned
parse_burst(struct hb_worker *w, const struct hb_snapshot *s, unsigned port,
	struct rte_mbuf **frame, unsigned n, struct hb_request *r, struct hb_words *words,
	unsigned *abreast)
{
	const struct hb_listen *listen = &s->listen[port];
	unsigned good;

	for (unsigned i = 0; i < PREFETCH_FRAMES && i < n; i++)
		__builtin_prefetch(rte_pktmbuf_mtod(frame[i], void *), 1);
	/* net_ring leaves it to those who know. */
	for (unsigned i = 0; HB_UNLIKELY(w->ports->count > 1) && i < n; i++)
		frame[i]->port = w->ports->port[port].id;
	good = hb_wire_abreast() ? parse_abreast(listen, frame, n, r, words) : 0;
	*abreast = good;
	for (unsigned i = good; i < n; i++) {
		struct rte_mbuf *m = frame[i];
		enum hb_drop drop = HB_DROP_JUMBO;

		if (i + PREFETCH_FRAMES < n)
			__builtin_prefetch(rte_pktmbuf_mtod(frame[i + PREFETCH_FRAMES], void *), 1);
		/* No request is so long that it comes in pieces. */
		if (HB_LIKELY(m->nb_segs == 1))
			drop = hb_frame_parse(listen, rte_pktmbuf_mtod(m, uint8_t *), m->data_len,
				checked_by_nic(m), &r[good]);
		if (HB_UNLIKELY(drop != HB_DROP_NONE))
			hb_host_pass(w, listen, m, drop);
		else
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

/* Checks the tags of n requests, of which so many at the front were parsed abreast, and lets go of
 * what is forged. Returns how many are left. */
static inline unsigned
keep_genuine(struct hb_worker *w, const struct hb_snapshot *s, struct hb_request *r, unsigned n,
	const struct hb_words *words, unsigned abreast)
{
	unsigned good = 0;

	if (HB_LIKELY(abreast != 0) &&
		HB_LIKELY(hb_wire_verify_abreast(&s->keys, words, r, abreast) == 0))
		good = abreast;
	if (abreast < n)
		hb_wire_verify(&s->keys, r + abreast, n - abreast);
	for (unsigned i = good; i < n; i++) {
		if (HB_UNLIKELY(r[i].drop != HB_DROP_NONE))
			hb_drop_frame(w, r[i].frame, r[i].drop);
		else if (good++ != i)
			r[good - 1] = r[i];
	}
	return good;
}

/* ---- overload ------------------------------------------------------------------------ */

/* Answers BUSY to n genuine requests that are not let in. */
static void
refuse_burst(struct hb_worker *w, const struct hb_snapshot *s, struct hb_request *r, unsigned n)
{
	struct hb_admission *a = &w->engine.admission;

	for (unsigned i = 0; i < n; i++) {
		struct hb_reply reply = {
			.status = HB_BUSY, .value = hb_admission_wait(a, &r[i], s->busy_wait_ms)};

		write_reply(w, &r[i], &reply);
		hb_send(w, r[i].frame);
		hb_count(&w->stats.shed[r[i].op], 1);
	}
	hb_count(&w->stats.replies[HB_BUSY], n);
	hb_admission_count(a, r, n, false);
}

/* Notes that so many frames came out of a queue at once, with n genuine requests that are let in.
 * Nobody needs to know what came where all queues run empty. */
static inline void
note_burst(struct hb_worker *w, const struct hb_request *r, unsigned n, unsigned came)
{
	struct hb_admission *a = &w->engine.admission;

	w->taken += came;
	if (HB_LIKELY(came < HB_BURST && a->level == HB_ADMISSION_ALL))
		return;
	w->full |= came == HB_BURST;
	hb_admission_count(a, r, n, true);
}

/* Answers BUSY to those of n genuine requests, of a burst of so many frames, that the level doesn't
 * let in. Returns how many are left, at the front. A burst that isn't whole emptied its queue:
 * nobody waits behind it. */
static inline unsigned
let_in(struct hb_worker *w, const struct hb_snapshot *s, struct hb_request *r, unsigned n,
	unsigned came)
{
	unsigned in = n;

	if (HB_UNLIKELY(came == HB_BURST && hb_admission_most(&w->engine.admission) != 0))
		in = hb_admission_sort(&w->engine.admission, r, n);
	if (HB_UNLIKELY(in < n))
		refuse_burst(w, s, r + in, n - in);
	note_burst(w, r, in, came);
	return in;
}

/* Frames that wait for this worker; about, where a driver doesn't tell: then its queue is taken for
 * full, since it has not been seen empty. */
static uint64_t
frames_waiting(const struct hb_worker *w)
{
	uint64_t n = 0;

	for (unsigned p = 0; p < w->ports->count; p++) {
		const struct hb_port *port = &w->ports->port[p];

		if (w->index >= port->rx_queues)
			continue;
		int waiting = rte_eth_rx_queue_count(port->id, (uint16_t)w->index);
		n += waiting < 0 ? port->rx_descriptors : (unsigned)waiting;
	}
	for (unsigned from = 0; from < w->workers; from++)
		n += from == w->index ? 0 : rte_ring_count(w->from[from]);
	return n;
}

/* Ends a window. */
static __attribute__((noinline)) void
judge(struct hb_worker *w, uint64_t now)
{
	struct hb_admission *a = &w->engine.admission;
	bool overloaded = a->standing && hb_admission_overloaded(a, frames_waiting(w));

	if (overloaded)
		hb_count(&w->stats.overloaded, 1);
	if (w->may_shed)
		hb_admission_judge(a, overloaded, now);
	else
		hb_admission_open(a);
	__atomic_store_n(&w->stats.admission, a->admitted, __ATOMIC_RELAXED);
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
		answer_burst(w, s, r, let_in(w, s, r, n, n));
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
	struct hb_words words;
	unsigned n, left, abreast;

	if (HB_UNLIKELY(w->index >= device->rx_queues || !may_receive(w, device)))
		return 0;
	n = rte_eth_rx_burst(device->id, (uint16_t)w->index, frame, HB_BURST);
	if (n == 0)
		return 0;
	hb_count(&w->stats.received, n);
	left = parse_burst(w, s, port, frame, n, r, &words, &abreast);
	hb_engine_expect(&w->engine, s, r, left);
	left = keep_genuine(w, s, r, left, &words, abreast);
	/* A forged one gets no BUSY either. */
	left = let_in(w, s, r, left, n);
	stamp_burst(w, r, left);
	if (w->workers > 1)
		left = hb_handover_sort(w, r, left);
	if (left != 0)
		answer_burst(w, s, r, left);
	return n;
}

static inline uint64_t
cycles_to_ns(const struct hb_worker *w, uint64_t cycles)
{
	return (uint64_t)((unsigned __int128)cycles * w->ns_scale >> 32);
}

static void
account(struct hb_worker *w, unsigned work)
{
	uint64_t now = rte_rdtsc(), last = w->turned_tsc;

	/* Released: who sees the turn counted sees what it did. */
	__atomic_store_n(&w->stats.polls, w->stats.polls + 1, __ATOMIC_RELEASE);
	if (work != 0) {
		if (HB_UNLIKELY(w->stats.first_tsc == 0))
			hb_count(&w->stats.first_tsc, last);
		hb_count(&w->stats.busy_polls, 1);
		hb_count(&w->stats.busy_cycles, now - last);
		__atomic_store_n(&w->stats.last_tsc, now, __ATOMIC_RELAXED);
	}
	if (w->taken != 0 && w->service_ns != NULL)
		hb_histogram_add(w->service_ns, cycles_to_ns(w, now - last));
	if (w->sheds && hb_admission_turn(&w->engine.admission, now - last, w->taken, w->full))
		judge(w, now);
	w->turned_tsc = now;
}

/* What changes seldom: the host's answers, the grace period. */
static void
keep_house(struct hb_worker *w)
{
	hb_host_send(w);
	hb_quiescent();
}

/* Ends packets, by the same clock as requests are decided by. */
static void
expire(struct hb_worker *w)
{
	if (HB_UNLIKELY(w->engine.packets.used != 0))
		hb_engine_expire(
			&w->engine, w->clock == HB_CLOCK_WALL ? hb_wall_us() : w->request_us);
}

/* Takes a new snapshot's settings of the loop itself. Its version tells it from the last one: one
 * may be where an older one was. What was ordered before it was published is carried out before it
 * is seen. */
static __attribute__((noinline)) void
note_snapshot(struct hb_worker *w, const struct hb_snapshot *s)
{
	while (hb_engine_obey(&w->engine) != 0)
		;
	w->may_shed = s->shed;
	w->may_sleep = s->idle_sleep;
	if (!s->shed)
		hb_admission_open(&w->engine.admission);
	__atomic_store_n(&w->stats.admission, w->engine.admission.admitted, __ATOMIC_RELAXED);
	__atomic_store_n(&w->stats.version_ns, hb_mono_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&w->stats.version, s->version, __ATOMIC_RELEASE);
}

static unsigned
turn(struct hb_worker *w, const struct hb_snapshot *s)
{
	unsigned work = release_parked(w);

	w->taken = 0;
	w->full = false;
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
	if (w->turn % EXPIRE_TURNS == 0 && HB_LIKELY(w->taking))
		expire(w);
	return work;
}

/* What a turn without work ends with: a short sleep, if that may be and there has been none for
 * long. Whoever holds replies back for the disk, or waits for others, isn't idle; nor whoever is
 * still to let everybody in again. */
static void
rest(struct hb_worker *w)
{
	if (w->idle_turns < IDLE_TURNS) {
		w->idle_turns++;
		return;
	}
	if (!w->may_sleep || !w->taking || w->waiting || hb_park_used(&w->engine.park) != 0 ||
		w->engine.admission.level != HB_ADMISSION_ALL)
		return;
	hb_offline();
	nanosleep(&(struct timespec){.tv_nsec = IDLE_SLEEP_NS}, NULL);
	hb_online();
	hb_count(&w->stats.sleeps, 1);
	keep_house(w);
	w->turned_tsc = rte_rdtsc();
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

static bool
plays_captures(const struct hb_worker *w)
{
	for (unsigned p = 0; p < w->ports->count; p++) {
		if (w->ports->port[p].capture)
			return true;
	}
	return false;
}

void
hb_worker_begin(struct hb_worker *w)
{
	uint64_t hz = rte_get_tsc_hz();

	/* A capture waits for us, however long its queue. */
	w->sheds = w->clock == HB_CLOCK_WALL && !plays_captures(w);
	w->passes_replies = passes_replies(w);
	w->ns_scale = (uint64_t)(((unsigned __int128)1000000000 << 32) / hz);
	w->turned_tsc = rte_rdtsc();
	hb_admission_begin(&w->engine.admission, hz, w->turned_tsc);
	/* A sleep lasts no longer than it says: the kernel would add 50 us. */
	prctl(PR_SET_TIMERSLACK, 1);
	rcu_register_thread();
	note_snapshot(w, hb_published(w->snapshot));
}

unsigned
hb_worker_turn(struct hb_worker *w)
{
	const struct hb_snapshot *s = hb_published(w->snapshot);

	/* In each turn, so that nobody waits for orders for longer than a burst takes. */
	hb_engine_obey(&w->engine);
	if (HB_UNLIKELY(s->version != w->stats.version))
		note_snapshot(w, s);
	w->taking = __atomic_load_n(&w->phase, __ATOMIC_RELAXED) == HB_PHASE_RUN;
	unsigned work = turn(w, s);

	account(w, work);
	if (work != 0)
		w->idle_turns = 0;
	else
		rest(w);
	return work;
}

void
hb_worker_end(struct hb_worker *w)
{
	abandon_parked(w);
	rcu_unregister_thread();
}

int
hb_worker_run(void *arg)
{
	struct hb_worker *w = arg;

	hb_worker_begin(w);
	while (__atomic_load_n(&w->phase, __ATOMIC_RELAXED) != HB_PHASE_LEAVE)
		hb_worker_turn(w);
	hb_worker_end(w);
	return 0;
}
