/* SPDX-License-Identifier: BSD-3-Clause */
/* Budgets that many hosts share. */
#include "views_internal.h"

#include <stdio.h>

static json_t *
lease_row(const struct hb_view *v, const struct hb_campaign_config *of, const struct hb_span *ten)
{
	const struct hb_ledger *l = &v->control->ledger[of->slot];
	struct hb_campaign_facts f = hb_campaign_facts(v, of->slot);
	json_t *row = json_object();

	hb_put(row, "id", of->id);
	hb_put_text(row, "name", of->name);
	hb_put(row, "blocks", f.top_ups);
	hb_put(row, "funded", f.funded);
	hb_put(row, "funded_fen", f.funded_fen);
	hb_put(row, "given", f.given);
	hb_put(row, "given_fen", f.given_fen);
	hb_put(row, "returned", f.returned);
	hb_put(row, "returned_fen", f.returned_fen);
	hb_put(row, "left", f.left);
	hb_put_real(row, "given_per_second", hb_rate_given(ten, of->slot));
	hb_put(row, "dry", f.dry);
	hb_put_bool(row, "done", HB_SEE(l->done));
	hb_put(row, "rows", HB_SEE(l->rows));
	hb_put(row, "closes_us", of->closes_us);
	return row;
}

static json_t *
slices_of(uint32_t slices)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < HB_SHARDS / HB_LANES; i++) {
		if (slices >> i & 1)
			json_array_append_new(list, json_integer(i));
	}
	return list;
}

json_t *
hb_view_leases(const struct hb_view *v, const struct hb_config *c)
{
	uint64_t until = __atomic_load_n(&v->control->term.until_ns, __ATOMIC_ACQUIRE);
	uint64_t now = v->control->term.now_ns();
	json_t *o = json_object(), *table = json_array();
	struct hb_span ten = hb_span_of(v, 10);
	char journal[24];

	snprintf(journal, sizeof(journal), "%016llx", (unsigned long long)v->journal->id);
	hb_put(o, "host", c->host);
	hb_put_text(o, "journal", journal);
	hb_put_text(o, "path", c->journal);
	hb_put(o, "records", HB_SEE(v->journal->record));
	hb_put(o, "term_left_ms", until > now ? (until - now) / 1000000 : 0);
	json_object_set_new(o, "slices", slices_of(c->slices));
	for (unsigned i = 0; i < c->campaigns; i++) {
		if (c->campaign[i].leased)
			json_array_append_new(table, lease_row(v, &c->campaign[i], &ten));
	}
	json_object_set_new(o, "campaigns", table);
	return o;
}
