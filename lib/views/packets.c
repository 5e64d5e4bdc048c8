/* SPDX-License-Identifier: BSD-3-Clause */
/* Group packets: all of them, and one that a worker was asked about. */
#include "views_internal.h"

#include <stdio.h>

struct hb_packet_facts
hb_packet_facts(const struct hb_view *v)
{
	const struct hb_packet_ledger *l = &v->control->packets;
	struct hb_packet_facts f = {
		.funded = HB_SEE(l->packed),
		.funded_fen = HB_SEE(l->packed_fen),
		.taken = HB_SEE(l->taken),
		.taken_fen = HB_SEE(l->taken_fen),
		.refunded = HB_SEE(l->refunded),
		.refunded_fen = HB_SEE(l->refunded_fen),
	};

	for (unsigned w = 0; w < v->n_workers; w++) {
		const struct hb_packet_book *b = &v->links[w]->packets;
		const struct hb_packets *p = &v->workers[w]->engine.packets;

		f.open += hb_read(&b->open);
		f.left_fen += hb_read(&b->left_fen);
		f.remembered += hb_read(&b->remembered);
		f.free_places += hb_read(&b->places);
		f.room += p->rows;
		f.refused += hb_read(&p->refused);
	}
	return f;
}

json_t *
hb_view_packets(const struct hb_view *v)
{
	struct hb_packet_facts f = hb_packet_facts(v);
	json_t *o = json_object();

	hb_put(o, "funded", f.funded);
	hb_put(o, "funded_fen", f.funded_fen);
	hb_put(o, "taken", f.taken);
	hb_put(o, "taken_fen", f.taken_fen);
	hb_put(o, "refunded", f.refunded);
	hb_put(o, "refunded_fen", f.refunded_fen);
	hb_put(o, "open", f.open);
	hb_put(o, "left_fen", f.left_fen);
	hb_put(o, "remembered", f.remembered);
	hb_put(o, "room", f.room);
	hb_put(o, "free_places", f.free_places);
	hb_put(o, "refused", f.refused);
	return o;
}

/* ---- one ----------------------------------------------------------------------------- */

static const char *
state_of(const struct hb_packet *k)
{
	if (k->taken == k->shares)
		return "empty";
	if (k->done)
		return "refunded";
	return k->lapsed ? "over" : "open";
}

/* Ids and users are too large for a JSON number that everybody reads right. */
static void
put_id(json_t *o, const char *key, uint64_t id)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
	hb_put_text(o, key, text);
}

json_t *
hb_view_packet(const struct hb_packet_look *look)
{
	const struct hb_packet *k = &look->packet;
	json_t *o = json_object(), *list = json_array();

	put_id(o, "packet", look->id);
	hb_put_text(o, "state", state_of(k));
	put_id(o, k->campaign == 0 ? "sender" : "winner", k->user);
	if (k->campaign != 0)
		hb_put(o, "campaign", k->campaign);
	hb_put(o, "total_fen", k->total);
	hb_put(o, "shares", k->shares);
	hb_put_text(o, "split", hb_split_name(k->split));
	hb_put(o, "hours", k->hours);
	hb_put(o, "taken", k->taken);
	hb_put(o, "taken_fen", k->total - k->left);
	hb_put(o, k->done ? "refunded_fen" : "left_fen", k->left);
	hb_put(o, k->done ? "forgotten_us" : "over_us", k->due_us);
	hb_put_bool(o, "durable", look->durable);
	for (unsigned i = 0; i < look->shares; i++) {
		json_t *row = json_object();

		put_id(row, "user", look->share[i].user);
		hb_put(row, "fen", look->share[i].fen);
		json_array_append_new(list, row);
	}
	json_object_set_new(o, "holders", list);
	return o;
}
