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
	l->books = calloc(campaigns, sizeof(*l->books));
	if (l->records != NULL && l->orders != NULL && l->offers != NULL && l->books != NULL)
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
	free(l->books);
	*l = (struct hb_link){0};
}
