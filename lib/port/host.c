/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Being a host on the link. A worker gives ARP, neighbour discovery and ping to the control core,
 * which answers in the same frame and gives it back, since the send queue is the worker's. Few
 * frames wait at a time: a flood of them fills a ring and is dropped there, and costs the
 * settlements no more than HOST_BURST answers of each worker a turn.
 */
#include "hb_host.h"
#include "port_internal.h"

#include <rte_ethdev.h>
#include <rte_ring.h>
#include <stdio.h>

/* Frames of a worker that are answered in one turn of the control core. */
#define HOST_BURST 16

#define LOOK_NS 1000000000ull

/* Looks after which a link that came up is announced, the first and once more (RFC 5227, 2.3); and
 * how often a switch is reminded that we listen to our group, which it forgets after 260 s. */
#define ANNOUNCE_LOOKS 2
#define REMIND_LOOKS 120

/* ---- the worker's side --------------------------------------------------------------- */

/* Which reasons not to be a request leave it open that it is for the host. */
static bool
may_be_ours(enum hb_drop reason)
{
	return reason == HB_DROP_NOT_IP || reason == HB_DROP_NOT_UDP || reason == HB_DROP_NOT_OURS;
}

void
hb_host_pass(
	struct hb_worker *w, const struct hb_listen *l, struct rte_mbuf *m, enum hb_drop reason)
{
	/* A capture has no neighbours. */
	if (!may_be_ours(reason) || w->ports->port[hb_port_of(w->ports, m)].capture ||
		!hb_host_wants(l, rte_pktmbuf_mtod(m, uint8_t *), m->data_len)) {
		hb_drop_frame(w, m, reason);
		return;
	}
	if (rte_ring_sp_enqueue(w->to_control, m) == 0)
		hb_count(&w->stats.to_control, 1);
	else
		hb_drop_frame(w, m, HB_DROP_CONTROL);
}

void
hb_host_send(struct hb_worker *w)
{
	struct rte_mbuf *frame[HB_BURST];
	unsigned n = rte_ring_sc_dequeue_burst(w->from_control, (void **)frame, HB_BURST, NULL);

	for (unsigned i = 0; i < n; i++)
		hb_send(w, frame[i]);
}

/* ---- the control core's side --------------------------------------------------------- */

static void
set_length(struct rte_mbuf *m, uint32_t bytes)
{
	m->data_len = (uint16_t)bytes;
	m->pkt_len = bytes;
	m->ol_flags = 0;
}

/* Answers one frame in place and gives it back to its worker. */
static void
answer_one(struct hb_ports *p, struct hb_worker *w, struct rte_mbuf *m)
{
	unsigned port = hb_port_of(p, m);
	uint32_t room = m->data_len + rte_pktmbuf_tailroom(m), bytes;

	bytes = hb_host_answer(&p->listen[port], p->port[port].mac, rte_pktmbuf_mtod(m, uint8_t *),
		m->data_len, room);
	set_length(m, bytes);
	if (bytes != 0 && rte_ring_sp_enqueue(w->from_control, m) == 0) {
		hb_count(&p->host_answered, 1);
		return;
	}
	hb_count(bytes == 0 ? &p->host_ignored : &p->host_crowded, 1);
	rte_pktmbuf_free(m);
}

unsigned
hb_host_serve(struct hb_ports *p, struct hb_worker *const *w, unsigned workers)
{
	struct rte_mbuf *frame[HOST_BURST];
	unsigned all = 0;

	for (unsigned i = 0; i < workers; i++) {
		unsigned n = rte_ring_sc_dequeue_burst(
			w[i]->to_control, (void **)frame, HOST_BURST, NULL);

		for (unsigned k = 0; k < n; k++)
			answer_one(p, w[i], frame[k]);
		all += n;
	}
	return all;
}

/* ---- the links ----------------------------------------------------------------------- */

/* By way of a worker, since the send queues are theirs. A frame that finds no room is none. */
static void
announce(struct hb_ports *p, unsigned port, struct hb_worker *w, enum hb_announcement which)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->pool);

	if (m == NULL)
		return;
	set_length(m, hb_host_announce(&p->listen[port], p->port[port].mac, which,
			      rte_pktmbuf_mtod(m, uint8_t *), rte_pktmbuf_tailroom(m)));
	m->port = p->port[port].id;
	if (m->data_len == 0 || rte_ring_sp_enqueue(w->from_control, m) != 0)
		rte_pktmbuf_free(m);
}

/* Tells the neighbours of a port that is up where we are, as often as they need it. */
static void
keep_known(struct hb_ports *p, unsigned port, struct hb_worker *w)
{
	unsigned looks = p->port[port].looks++;

	for (unsigned which = 0; looks < ANNOUNCE_LOOKS && which < HB_ANNOUNCEMENTS; which++)
		announce(p, port, w, which);
	if (looks >= REMIND_LOOKS) {
		announce(p, port, w, HB_ANNOUNCE_GROUP);
		p->port[port].looks = ANNOUNCE_LOOKS;
	}
}

static void
describe_link(const struct hb_port *port, const struct rte_eth_link *link, char *line, size_t bytes)
{
	if (!port->up)
		snprintf(line, bytes,
			"device %s: the link is down; nothing comes in or goes out until it is up: "
			"look at the cable and the switch",
			port->name);
	else if (link->link_speed == RTE_ETH_SPEED_NUM_UNKNOWN)
		snprintf(line, bytes, "device %s: the link is up", port->name);
	else
		snprintf(line, bytes, "device %s: the link is up, %u Mbit/s", port->name,
			link->link_speed);
}

/* Looks at one link. Returns whether it has changed, with a line about it. */
static bool
look_at(struct hb_port *port, char *line, size_t bytes)
{
	bool first = !port->seen;
	struct rte_eth_link link;

	/* A device that doesn't tell is taken to be up. */
	if (rte_eth_link_get_nowait(port->id, &link) != 0)
		link = (struct rte_eth_link){.link_status = 1};
	if (!first && (bool)link.link_status == port->up)
		return false;
	__atomic_store_n(&port->up, link.link_status != 0, __ATOMIC_RELAXED);
	__atomic_store_n(&port->seen, true, __ATOMIC_RELAXED);
	port->looks = 0;
	/* Up from the start is as it should be. */
	if (first && port->up)
		return false;
	describe_link(port, &link, line, bytes);
	return true;
}

bool
hb_host_watch(struct hb_ports *p, struct hb_worker *const *w, char *line, size_t bytes)
{
	uint64_t now = hb_mono_ns();

	if (p->next_look == 0 && now - p->looked_ns < LOOK_NS)
		return false;
	p->looked_ns = now;
	/* One change is told at a time; the look goes on with the next call. */
	while (p->next_look < p->count) {
		unsigned i = p->next_look++;

		if (p->port[i].capture)
			continue;
		bool changed = look_at(&p->port[i], line, bytes);
		if (p->port[i].up)
			keep_known(p, i, w[0]);
		if (changed)
			return true;
	}
	p->next_look = 0;
	return false;
}
