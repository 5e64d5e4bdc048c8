/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop: send what is due, take what came, look after what is lost. One thread does it all, so
 * that a request is remembered before its reply can be there. No system call but for a look at the
 * link and at the progress line now and then.
 */
#include "hb_replay.h"
#include "hb_steering.h"

#include <errno.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <unistd.h>

/* Frames that are made ready at a time where the time of each counts: what the widest instruction
 * set signs at once. */
#define READY_PACED 16

/* Frames that wait for one queue, at the most. */
#define OUT_MAX (2 * HB_BURST)

/* Bursts that are received from a queue before anything is sent again, at the most. */
#define RECEIVE_BURSTS 4

/* What changes slowly is looked at this often. */
#define LOOK_NS 50000000ull
/* How long a link may be down, and a device take nothing, before it counts as gone. */
#define LINK_GONE_NS 1000000000ull
#define STUCK_NS 5000000000ull

/* How long replies that may not come are waited for, where forged requests were sent. */
#define LISTEN_NS 500000000ull

#define CALIBRATE_US 50000

/* A scenario repeats a request up to 2 s of its own time later, and a little. */
#define SETTLED_US 2600000
#define MARK_US 100000
#define MARKS 64

/* When requests of which time were due: so it is known which are settled. */
struct marks {
	struct {
		uint64_t at_us, due_ns;
	} mark[MARKS];
	uint64_t head, tail; /* the latest mark; the latest that is settled */
};

struct out {
	struct rte_mbuf *frame[OUT_MAX];
	uint64_t due_ns[OUT_MAX];
	unsigned count;
};

/* Frames that are made and wait for their time. */
struct ready {
	struct rte_mbuf *frame[HB_BURST];
	struct hb_shot shot[HB_BURST];
	uint64_t due_ns[HB_BURST];
	unsigned at, count;
};

struct loop {
	struct hb_replay *r;
	uint64_t start_tsc;
	uint64_t scale; /* ns for each TSC cycle, in 1/2^32 */
	struct ready ready;
	struct out out[HB_REPLAY_QUEUES_MAX];
	struct marks marks;
	uint8_t queue[HB_LANES]; /* that plays the NIC's for a lane */
	bool begun;		 /* the source's first was sent */
	bool ended;		 /* the source has no more, or is not asked any more */
	uint64_t ended_ns;
	uint64_t looked_ns, link_ns, moved_ns;
	struct hb_progress progress;
};

/* ---- time ---------------------------------------------------------------------------- */

/* The TSC's rate as the kernel's clock has it: DPDK's own figure may be rounded to 10 MHz, which
 * would be seconds in an hour. */
static void
calibrate(struct loop *l)
{
	uint64_t ns = hb_mono_ns(), tsc = rte_rdtsc();

	usleep(CALIBRATE_US);
	ns = hb_mono_ns() - ns;
	tsc = rte_rdtsc() - tsc;
	l->scale = (uint64_t)(((unsigned __int128)ns << 32) / tsc);
}

static inline uint64_t
now_ns(const struct loop *l)
{
	return (uint64_t)(((unsigned __int128)(rte_rdtsc() - l->start_tsc) * l->scale) >> 32);
}

static void
note_time(struct marks *m, uint64_t at_us, uint64_t due_ns)
{
	if (HB_LIKELY(m->head != 0 && at_us < m->mark[m->head % MARKS].at_us + MARK_US))
		return;
	m->head++;
	m->mark[m->head % MARKS].at_us = at_us;
	m->mark[m->head % MARKS].due_ns = due_ns;
	if (m->head - m->tail >= MARKS)
		m->tail = m->head - MARKS + 1;
	while (m->tail < m->head && m->mark[(m->tail + 1) % MARKS].at_us + SETTLED_US <= at_us)
		m->tail++;
}

static uint64_t
settled_ns(const struct loop *l)
{
	if (l->ended)
		return UINT64_MAX;
	return l->marks.tail == 0 ? 0 : l->marks.mark[l->marks.tail % MARKS].due_ns;
}

/* ---- out ----------------------------------------------------------------------------- */

/* Hands frames to the device. */
static void
flush(struct loop *l, unsigned queue, uint64_t now)
{
	struct hb_replay *r = l->r;
	struct out *o = &l->out[queue];
	unsigned sent =
		rte_eth_tx_burst(r->target->id, (uint16_t)queue, o->frame, (uint16_t)o->count);

	if (HB_LIKELY(sent != 0)) {
		l->moved_ns = now;
		r->counts.sent += sent;
	}
	for (unsigned i = 0; i < sent; i++)
		hb_histogram_add(&r->behind, now > o->due_ns[i] ? now - o->due_ns[i] : 0);
	if (HB_LIKELY(sent == o->count)) {
		o->count = 0;
		return;
	}
	r->counts.device_full++;
	o->count -= sent;
	memmove(o->frame, o->frame + sent, o->count * sizeof(o->frame[0]));
	memmove(o->due_ns, o->due_ns + sent, o->count * sizeof(o->due_ns[0]));
}

static unsigned
flush_all(struct loop *l, uint64_t now)
{
	unsigned left = 0;

	for (unsigned q = 0; q < l->r->target->queues; q++) {
		if (l->out[q].count != 0)
			flush(l, q, now);
		left += l->out[q].count;
	}
	return left;
}

static void
put(struct loop *l, unsigned queue, struct rte_mbuf *m, uint64_t due_ns)
{
	struct out *o = &l->out[queue];

	o->frame[o->count] = m;
	o->due_ns[o->count++] = due_ns;
}

/* Gives an mbuf its frame's length. */
static void
set_length(struct rte_mbuf *m, uint32_t bytes)
{
	m->data_len = (uint16_t)bytes;
	m->pkt_len = bytes;
}

/* What clients repeat. */
static void
send_again(struct loop *l, uint64_t now)
{
	struct hb_replay *r = l->r;
	const uint8_t *frame;
	unsigned queue;
	uint32_t bytes;

	for (unsigned q = 0; q < r->target->queues; q++) {
		if (l->out[q].count > HB_BURST)
			return;
	}
	for (unsigned i = 0; i < HB_BURST && hb_match_repeats(r->match); i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(r->target->pool);

		if (m == NULL)
			return;
		bytes = hb_match_again(r->match, now, &frame, &queue);
		if (bytes == 0) {
			rte_pktmbuf_free(m);
			return;
		}
		memcpy(rte_pktmbuf_mtod(m, void *), frame, bytes);
		set_length(m, bytes);
		put(l, queue, m, now);
	}
}

/* ---- from the source ----------------------------------------------------------------- */

static void
end_source(struct loop *l, uint64_t now)
{
	l->ended = true;
	l->ended_ns = now;
}

/* Makes the next frames, in the mbufs in which they will go. */
static void
make_ready(struct loop *l, uint64_t now)
{
	struct hb_replay *r = l->r;
	struct ready *y = &l->ready;
	unsigned n = r->options.pace.kind == HB_PACE_FLAT_OUT ? HB_BURST : READY_PACED;
	uint8_t *at[HB_BURST];

	if (rte_pktmbuf_alloc_bulk(r->target->pool, y->frame, n) != 0)
		return;
	for (unsigned i = 0; i < n; i++)
		at[i] = rte_pktmbuf_mtod(y->frame[i], uint8_t *);
	y->at = 0;
	y->count = hb_source_next(r->source, y->shot, at, n);
	for (unsigned i = 0; i < y->count; i++) {
		hb_match_prefetch(r->match, y->shot[i].key);
		set_length(y->frame[i], y->shot[i].bytes);
		y->due_ns[i] = hb_pace_next(&r->options.pace, y->shot[i].at_us);
	}
	if (y->count < n)
		rte_pktmbuf_free_bulk(y->frame + y->count, n - y->count);
	if (y->count == 0)
		end_source(l, now);
}

/* Whether another request may be sent now. */
static inline bool
may_send(const struct loop *l)
{
	const struct hb_replay *r = l->r;

	return r->options.window == 0 || hb_match_waiting(r->match) < r->options.window;
}

/* Sends what is due of the frames that are ready. Returns whether all of them went. */
static bool
send_ready(struct loop *l, uint64_t now)
{
	struct hb_replay *r = l->r;
	struct ready *y = &l->ready;
	bool flat_out = r->options.pace.kind == HB_PACE_FLAT_OUT;

	for (; y->at < y->count; y->at++) {
		const struct hb_shot *shot = &y->shot[y->at];
		struct rte_mbuf *m = y->frame[y->at];
		unsigned queue = l->queue[shot->port % HB_LANES];
		uint64_t due = flat_out ? now : y->due_ns[y->at];

		if (due > now || l->out[queue].count == OUT_MAX || !may_send(l))
			return false;
		if (HB_UNLIKELY(!hb_match_room(r->match, 1))) {
			r->counts.held++;
			return false;
		}
		if (HB_UNLIKELY(r->options.stop_ns != 0 && due >= r->options.stop_ns)) {
			end_source(l, now);
			return false;
		}
		hb_match_sent(r->match, shot, rte_pktmbuf_mtod(m, uint8_t *), queue, due);
		note_time(&l->marks, shot->at_us, due);
		put(l, queue, m, due);
		if (HB_UNLIKELY(!l->begun)) {
			l->begun = true;
			r->counts.first_ns = now;
		}
		r->counts.last_ns = now;
		r->counts.last_due_ns = due;
	}
	return true;
}

static void
send_due(struct loop *l, uint64_t now)
{
	if (l->r->options.stop_ns != 0 && HB_UNLIKELY(now >= l->r->options.stop_ns) && !l->ended)
		end_source(l, now);
	/* A burst at the most: a sender that is late must not forget to receive. */
	for (unsigned sent = 0; sent < HB_BURST && !l->ended; sent += l->ready.count) {
		if (l->ready.at == l->ready.count)
			make_ready(l, now);
		if (!send_ready(l, now) || l->ready.count == 0)
			break;
	}
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

/* Takes a burst; true where there may be more. */
static bool
receive_burst(struct loop *l, uint16_t queue)
{
	struct hb_replay *r = l->r;
	struct rte_mbuf *frame[HB_BURST];
	struct hb_heard heard[HB_BURST];
	unsigned n = rte_eth_rx_burst(r->target->id, queue, frame, HB_BURST), good = 0;

	if (n == 0)
		return false;
	uint64_t now = now_ns(l);
	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(rte_pktmbuf_mtod(frame[i], void *));
	for (unsigned i = 0; i < n; i++)
		good += hb_match_read(r->match, rte_pktmbuf_mtod(frame[i], uint8_t *),
			frame[i]->data_len, checked_by_nic(frame[i]), &heard[good]);
	for (unsigned i = 0; i < good; i++)
		hb_match_hear(r->match, &heard[i], now);
	rte_pktmbuf_free_bulk(frame, n);
	r->counts.received += n;
	return n == HB_BURST;
}

/* What came by a queue: more than was sent at a time, or what a pause has left there would stay. */
static void
receive(struct loop *l, uint16_t queue)
{
	for (unsigned i = 0; i < RECEIVE_BURSTS && receive_burst(l, queue); i++)
		;
}

/* ---- the whole ----------------------------------------------------------------------- */

/* Whether the device is still there. */
static int
look_at_link(struct loop *l, uint64_t now, unsigned unsent, struct hb_error *e)
{
	const struct hb_target *t = l->r->target;
	struct rte_eth_link link = {0};

	if (rte_eth_link_get_nowait(t->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP)
		l->link_ns = now;
	else if (now - l->link_ns >= LINK_GONE_NS)
		return hb_fail(e, ENOLINK,
			"device %s: the link went down; did the other side end? Its own last "
			"lines say why",
			t->name);
	if (unsent == 0)
		l->moved_ns = now;
	else if (now - l->moved_ns >= STUCK_NS)
		return hb_fail(e, ETIMEDOUT,
			"device %s: takes no frame any more since %llu ms; does the other side "
			"still run, with as many queues as --queues %u?",
			t->name, (unsigned long long)((now - l->moved_ns) / 1000000), t->queues);
	return 0;
}

/* What changes slowly. */
static int
look_around(struct loop *l, uint64_t now, unsigned unsent, const volatile bool *stop,
	struct hb_error *e)
{
	struct hb_replay *r = l->r;

	l->looked_ns = now;
	if (*stop && !r->counts.interrupted) {
		r->counts.interrupted = true;
		/* What is waited for already isn't waited for anew. */
		if (!l->ended)
			end_source(l, now);
	}
	hb_progress_update(&l->progress, r->counts.sent);
	return look_at_link(l, now, unsent, e);
}

/* Whether everything is sent and answered, or waiting for it has no sense any more. The end may
 * have come within this turn. */
static bool
is_over(const struct loop *l, uint64_t now, unsigned unsent)
{
	const struct hb_match *m = l->r->match;

	if (HB_LIKELY(!l->ended || now < l->ended_ns))
		return false;
	uint64_t since_ns = now - l->ended_ns;
	bool silent = hb_match_counts(m)->forged == 0 || since_ns >= LISTEN_NS;

	return (unsent == 0 && hb_match_waiting(m) == 0 && silent) ||
	       since_ns >= l->r->options.drain_ns;
}

static int
turn_until_over(struct loop *l, const volatile bool *stop, struct hb_error *e)
{
	struct hb_replay *r = l->r;

	for (;;) {
		uint64_t now = now_ns(l);

		send_again(l, now);
		send_due(l, now);
		unsigned unsent = flush_all(l, now_ns(l));
		for (uint16_t q = 0; q < r->target->queues; q++)
			receive(l, q);
		hb_match_sweep(r->match, now, settled_ns(l));
		if (HB_UNLIKELY(now - l->looked_ns >= LOOK_NS)) {
			/* The time of this turn's beginning is past: things happened since. */
			int err = look_around(l, now_ns(l), unsent, stop, e);
			if (err != 0)
				return err;
		}
		if (is_over(l, now, unsent))
			return 0;
	}
}

/* Frames that were never sent go back. */
static void
let_go(struct loop *l)
{
	struct ready *y = &l->ready;

	rte_pktmbuf_free_bulk(y->frame + y->at, y->count - y->at);
	for (unsigned q = 0; q < l->r->target->queues; q++)
		rte_pktmbuf_free_bulk(l->out[q].frame, l->out[q].count);
}

int
hb_replay_run(struct hb_replay *r, const volatile bool *stop, struct hb_error *e)
{
	static struct loop l;

	l = (struct loop){.r = r};
	for (unsigned lane = 0; lane < HB_LANES; lane++) {
		/* As a NIC does: the RETA's entry for the hash of a port of that lane. */
		unsigned entry = hb_rss_hash((uint16_t)lane);

		l.queue[lane] = (uint8_t)hb_owner(hb_rss_lane(entry), r->target->queues);
	}
	calibrate(&l);
	hb_progress_begin(&l.progress, "hongbao-replay", "requests", hb_source_total(r->source));
	l.start_tsc = rte_rdtsc();
	int err = turn_until_over(&l, stop, e);
	hb_progress_end(&l.progress);
	hb_match_give_up(r->match);
	let_go(&l);
	const char *why = hb_source_error(r->source);
	if (err == 0 && why != NULL)
		return hb_fail(e, EINVAL, "%s", why);
	return err;
}
