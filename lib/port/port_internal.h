/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of lib/port tell each other. */
#ifndef HB_PORT_INTERNAL_H
#define HB_PORT_INTERNAL_H

#include "hb_port.h"

#include <rte_mbuf.h>

/* Frames that a hand-over ring holds: fewer where there are many rings. A power of two. */
static inline unsigned
hb_handover_slots(unsigned workers)
{
	return workers <= 4 ? 2048 : workers <= 16 ? 512 : 256;
}

/* Frames that all the rings, queues and FIFOs can hold at the same time, and some to go on with. */
unsigned hb_mbufs_needed(const struct hb_config *c, const struct hb_profile *profiles);

/* Data room of a frame, headroom included. */
uint16_t hb_mbuf_room(const struct hb_config *c, const struct hb_profile *profiles);

/* ---- eal.c --------------------------------------------------------------------------- */

/* Memory that EAL itself needs, from hugepages or without: so many frames, and something for
 * everything else. */
uint64_t hb_eal_bytes(uint64_t frames, uint16_t room, bool no_huge);

/* Whether the user's own EAL arguments have an option: "-l", "--lcores", "--lcores=...". */
bool hb_eal_given(int n, char **v, const char *option);

/* ---- steering.c ---------------------------------------------------------------------- */

struct rte_eth_conf;
struct rte_eth_dev_info;

/* Asks for RSS in the device's configuration where the device offers all that it takes, and says
 * so; else port->why says what is missing. */
bool hb_steering_ask(struct hb_port *port, const struct rte_eth_dev_info *info,
	const struct hb_profile *profile, unsigned workers, struct rte_eth_conf *conf);

/* Takes the wish back: the device would not be configured so. */
void hb_steering_refused(struct hb_port *port, int err, struct rte_eth_conf *conf);

/* Sets the RETA of the started device, reads it and the key back, and settles how this port is
 * steered. */
void hb_steering_set(struct hb_port *port, unsigned workers);

/* ---- transmit.c ---------------------------------------------------------------------- */

/* What travels with a frame from worker to worker, in the mbuf's private room. */
struct passage {
	struct hb_request request;
	bool reply; /* decided already: only to be sent, from a queue that the decider lacks */
};

static inline struct passage *
passage_of(struct rte_mbuf *m)
{
	return rte_mbuf_to_priv(m);
}

/* Sends what waits for a device: from the worker's own queue, or by a worker that has one. */
void hb_send_waiting(struct hb_worker *w, unsigned port);

/* mbuf->port is ethdev's number; devices are few. */
static inline unsigned
hb_port_of(const struct hb_ports *ports, const struct rte_mbuf *m)
{
	unsigned p = 0;

	while (HB_UNLIKELY(ports->port[p].id != m->port) && p + 1 < ports->count)
		p++;
	return p;
}

/* Puts a frame on its way out by the device that it came in by. */
static inline void
hb_send(struct hb_worker *w, struct rte_mbuf *m)
{
	unsigned p = hb_port_of(w->ports, m);

	w->out[p].frame[w->out[p].count++] = m;
	if (HB_UNLIKELY(w->out[p].count == HB_COUNT_OF(w->out[p].frame)))
		hb_send_waiting(w, p);
}

static inline void
hb_drop_frame(struct hb_worker *w, struct rte_mbuf *m, enum hb_drop reason)
{
	hb_count(&w->stats.dropped[reason], 1);
	rte_pktmbuf_free(m);
}

/* ---- handover.c ---------------------------------------------------------------------- */

/* Hands requests for lanes of other workers to them. Returns how many are left: ours, at the front
 * of r. */
unsigned hb_handover_sort(struct hb_worker *w, struct hb_request *r, unsigned n);

/* Takes in what a worker handed over to us: requests into r (HB_BURST of them at the most), replies
 * on their way out. Returns how many requests. */
unsigned hb_handover_take(struct hb_worker *w, unsigned from, struct hb_request *r);

/* Whether a burst can be handed over to any of the first so many workers. */
bool hb_handover_room(const struct hb_worker *w, unsigned workers);

/* ---- host.c -------------------------------------------------------------------------- */

/* Gives the control core a frame that is no request, if it is one that a host answers; else counts
 * it as dropped for the reason given. */
void hb_host_pass(
	struct hb_worker *w, const struct hb_listen *l, struct rte_mbuf *m, enum hb_drop reason);

/* Sends what the control core answered. */
void hb_host_send(struct hb_worker *w);

/* ---- capture.c ----------------------------------------------------------------------- */

/* Copies the value of the which-th argument `key` (from 0) of a device string, if there is one.
 * Returns how many there are. */
unsigned hb_device_argument(
	const char *device, const char *key, unsigned which, char *value, size_t bytes);

#endif
