/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_internal.h"

#include <rte_ethdev.h>
#include <rte_ring.h>

/* How often a full send queue is tried again before a reply is given up: the client repeats. */
#define SEND_TRIES 64

/* The same where a capture is played, which can wait: some seconds, not for ever. */
#define PATIENT_TRIES (1u << 24)

/* From our own queue. Returns how many frames the NIC took. */
static unsigned
transmit(struct hb_worker *w, unsigned port, struct rte_mbuf **frame, unsigned count)
{
	unsigned tries = w->clock == HB_CLOCK_PACKET ? PATIENT_TRIES : SEND_TRIES, sent = 0;

	for (unsigned i = 0; sent < count && i < tries; i++)
		sent += rte_eth_tx_burst(w->ports->port[port].id, (uint16_t)w->index, frame + sent,
			(uint16_t)(count - sent));
	hb_count(&w->stats.sent, sent);
	return sent;
}

/* By another worker: this device has fewer send queues than there are workers. Returns how many
 * frames went. */
static unsigned
pass_on(struct hb_worker *w, unsigned port, struct rte_mbuf **frame, unsigned count)
{
	struct rte_ring *ring = w->to[w->index % w->ports->port[port].tx_queues];

	for (unsigned i = 0; i < count; i++)
		passage_of(frame[i])->reply = true;
	return rte_ring_sp_enqueue_burst(ring, (void **)frame, count, NULL);
}

void
hb_send_waiting(struct hb_worker *w, unsigned port)
{
	struct rte_mbuf **frame = w->out[port].frame;
	unsigned count = w->out[port].count, went;
	bool own = w->index < w->ports->port[port].tx_queues;

	if (count == 0)
		return;
	w->out[port].count = 0;
	if (HB_LIKELY(own))
		went = transmit(w, port, frame, count);
	else
		went = pass_on(w, port, frame, count);
	if (HB_UNLIKELY(went < count)) {
		hb_count(&w->stats.dropped[own ? HB_DROP_TX : HB_DROP_PASS], count - went);
		rte_pktmbuf_free_bulk(frame + went, count - went);
	}
}
