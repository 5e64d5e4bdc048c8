/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_engine.h"

#include <errno.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdlib.h>

struct rte_ring *
hb_ring_make(const char *name, unsigned element_bytes, unsigned count)
{
	ssize_t bytes = rte_ring_get_memsize_elem(element_bytes, count);
	struct rte_ring *r;

	if (bytes < 0)
		return NULL;
	bytes = (bytes + HB_CACHE_LINE - 1) / HB_CACHE_LINE * HB_CACHE_LINE;
	r = aligned_alloc(HB_CACHE_LINE, (size_t)bytes);
	if (r != NULL && rte_ring_init(r, name, count, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
		free(r);
		r = NULL;
	}
	return r;
}

int
hb_link_make(struct hb_link *l, unsigned campaigns, const uint8_t *drained, struct hb_error *e)
{
	*l = (struct hb_link){.drained = drained, .giving = true};
	l->records = hb_ring_make("records", sizeof(struct hb_record), HB_RECORDS_AHEAD);
	l->orders = hb_ring_make("orders", sizeof(struct hb_order), HB_ORDERS);
	l->offers = hb_ring_make("offers", sizeof(struct hb_offer), HB_ORDERS);
	l->told = hb_ring_make("told", sizeof(struct hb_order), HB_ORDERS);
	l->books = calloc(campaigns, sizeof(*l->books));
	if (l->records != NULL && l->orders != NULL && l->offers != NULL && l->told != NULL &&
		l->books != NULL)
		return 0;
	hb_link_free(l);
	return hb_fail(e, ENOMEM, "no memory for the rings of a worker; free some memory");
}

void
hb_link_free(struct hb_link *l)
{
	free(l->records);
	free(l->orders);
	free(l->offers);
	free(l->told);
	free(l->books);
	*l = (struct hb_link){0};
}

/* ---- the service thread -------------------------------------------------------------- */

/* There must be room. */
static void
tell(struct hb_link *l, struct hb_order o)
{
	rte_ring_sp_enqueue_elem(l->told, &o, sizeof(o));
	l->sent++;
}

int
hb_links_deny(struct hb_link *const *links, unsigned workers, uint64_t user, bool denied)
{
	struct hb_order o = {.type = denied ? HB_ORDER_DENY : HB_ORDER_UNDENY, .user = user};

	for (unsigned w = 0; w < workers; w++) {
		if (rte_ring_full(links[w]->told))
			return -EAGAIN;
	}
	for (unsigned w = 0; w < workers; w++)
		tell(links[w], o);
	return 0;
}

int
hb_link_look(struct hb_link *l, struct hb_look *look)
{
	if (rte_ring_full(l->told))
		return -EAGAIN;
	look->done = false;
	tell(l, (struct hb_order){.type = HB_ORDER_LOOK, .look = look});
	return 0;
}

int
hb_link_look_at_packet(struct hb_link *l, struct hb_packet_look *look)
{
	if (rte_ring_full(l->told))
		return -EAGAIN;
	look->done = false;
	tell(l, (struct hb_order){.type = HB_ORDER_PACKET, .packet = look});
	return 0;
}

void
hb_links_mark(struct hb_link *const *links, unsigned workers, struct hb_mark *m)
{
	for (unsigned w = 0; w < workers; w++)
		m->sent[w] = links[w]->sent;
}

bool
hb_links_reached(struct hb_link *const *links, unsigned workers, const struct hb_mark *m)
{
	for (unsigned w = 0; w < workers; w++) {
		if (__atomic_load_n(&links[w]->heard, __ATOMIC_ACQUIRE) < m->sent[w])
			return false;
	}
	return true;
}
