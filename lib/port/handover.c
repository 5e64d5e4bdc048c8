/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests for lanes of other workers go to them through rings, a ring for each direction of each
 * pair, in bursts, with what has been found out about them in the mbuf's private room: they are
 * parsed, verified and timed by the worker that received them. One flow comes in by one queue, so
 * the order of one user's requests is kept.
 */
#include "port_internal.h"

#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- to others ----------------------------------------------------------------------- */

static void
hand_over(struct hb_worker *w, unsigned to, struct rte_mbuf **frame, unsigned n)
{
	unsigned went = rte_ring_sp_enqueue_burst(w->to[to], (void **)frame, n, NULL);

	hb_count(&w->stats.handed_over, went);
	hb_count(&w->handed_to[to], went);
	if (HB_UNLIKELY(went < n)) {
		hb_count(&w->stats.dropped[HB_DROP_HANDOVER], n - went);
		rte_pktmbuf_free_bulk(frame + went, n - went);
	}
}

/* Whether RSS should have brought this request elsewhere. A client may use another port of the
 * range than its shard's: then it is the client who sent it here. */
static bool
misdirected(const struct hb_worker *w, const struct hb_request *r)
{
	const uint8_t *udp = r->payload - 8;

	return w->ports->port[hb_port_of(w->ports, r->frame)].steering == HB_STEERING_RSS &&
	       !r->ipv6 && w->owner[hb_be16(udp + 2) % HB_LANES] != w->index;
}

unsigned
hb_handover_sort(struct hb_worker *w, struct hb_request *r, unsigned n)
{
	struct rte_mbuf *frame[HB_BURST];
	uint8_t owner[HB_BURST];
	uint64_t others = 0; /* bit per worker */
	unsigned ours = 0, theirs = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned o = w->owner[hb_lane(r[i].shard)];

		if (HB_LIKELY(o == w->index)) {
			if (ours++ != i)
				r[ours - 1] = r[i];
			continue;
		}
		if (misdirected(w, &r[i]))
			hb_count(&w->stats.misdirected, 1);
		passage_of(r[i].frame)->request = r[i];
		passage_of(r[i].frame)->reply = false;
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

bool
hb_handover_room(const struct hb_worker *w, unsigned workers)
{
	/* A burst of requests, one of replies, and the replies that wait in out[]. */
	unsigned room = 2 * HB_BURST;

	for (unsigned p = 0; p < w->ports->count; p++)
		room += w->out[p].count;
	for (unsigned to = 0; to < workers; to++) {
		if (to != w->index && rte_ring_free_count(w->to[to]) < room)
			return false;
	}
	return true;
}

/* ---- from others --------------------------------------------------------------------- */

unsigned
hb_handover_take(struct hb_worker *w, unsigned from, struct hb_request *r)
{
	struct rte_mbuf *frame[HB_BURST];
	unsigned n = rte_ring_sc_dequeue_burst(w->from[from], (void **)frame, HB_BURST, NULL);
	unsigned requests = 0;

	for (unsigned i = 0; i < n; i++) {
		if (HB_UNLIKELY(passage_of(frame[i])->reply))
			hb_send(w, frame[i]);
		else
			r[requests++] = passage_of(frame[i])->request;
	}
	hb_count(&w->stats.taken_in, requests);
	return requests;
}

/* ---- the rings ----------------------------------------------------------------------- */

static struct rte_ring *
make_ring(const char *what, unsigned from, unsigned to, unsigned slots, bool *good)
{
	char name[32];
	struct rte_ring *ring;

	snprintf(name, sizeof(name), "%s_%u_%u", what, from, to);
	ring = hb_ring_make(name, sizeof(void *), slots);
	*good = *good && ring != NULL;
	return ring;
}

int
hb_workers_connect(struct hb_worker **w, unsigned workers, struct hb_error *e)
{
	unsigned slots = hb_handover_slots(workers);
	bool good = true;

	for (unsigned from = 0; from < workers; from++) {
		for (unsigned to = 0; to < workers; to++) {
			if (from != to)
				w[from]->to[to] = w[to]->from[from] =
					make_ring("handover", from, to, slots, &good);
		}
		w[from]->to_control = make_ring("to_control", from, 0, HB_HOST_FRAMES, &good);
		w[from]->from_control = make_ring("from_control", 0, from, HB_HOST_FRAMES, &good);
		for (unsigned lane = 0; lane < HB_LANES; lane++) {
			const struct hb_worker *owner = w[hb_owner(lane, workers)];

			w[from]->owner[lane] = (uint8_t)hb_owner(lane, workers);
			hb_admission_share(
				&w[from]->engine.admission, lane, &owner->engine.admission);
		}
	}
	if (good)
		return 0;
	return hb_fail(e, ENOMEM,
		"no memory for the rings between %u workers; add memory, or write fewer workers",
		workers);
}

void
hb_workers_disconnect(struct hb_worker **w, unsigned workers)
{
	for (unsigned from = 0; from < workers; from++) {
		for (unsigned to = 0; to < workers; to++)
			free(w[from]->to[to]);
		free(w[from]->to_control);
		free(w[from]->from_control);
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

void
hb_workers_abandon(struct hb_worker *const *w, unsigned workers)
{
	struct rte_mbuf *m;

	for (unsigned to = 0; to < workers; to++) {
		for (unsigned from = 0; from < workers; from++) {
			while (from != to &&
				rte_ring_sc_dequeue(w[to]->from[from], (void **)&m) == 0)
				hb_drop_frame(w[to], m,
					passage_of(m)->reply ? HB_DROP_PASS : HB_DROP_HANDOVER);
		}
	}
}
