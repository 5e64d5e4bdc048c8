/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_fleet.h"

void
hb_blocks_begin(struct hb_blocks *b, const struct hb_terms *t, uint32_t size)
{
	*b = (struct hb_blocks){.terms = t, .size = size};
	hb_splitter_begin(&b->splitter, t);
}

/* Counts an amount in. A block has no more tiers than the whole. */
static void
add_to_tier(struct hb_terms *t, uint32_t amount)
{
	unsigned i = 0;

	while (i < t->tiers && t->tier[i].amount != amount)
		i++;
	if (i == t->tiers)
		t->tier[t->tiers++] = (struct hb_tier){.amount = amount};
	t->tier[i].count++;
}

bool
hb_blocks_next(struct hb_blocks *b, struct hb_terms *out)
{
	uint32_t left = b->terms->count - b->splitter.made;

	if (left == 0)
		return false;
	*out = (struct hb_terms){
		.count = left < b->size ? left : b->size,
		.split = b->terms->split,
	};
	for (uint32_t i = 0; i < out->count; i++) {
		uint32_t amount = hb_splitter_next(&b->splitter);

		out->total += amount;
		if (out->split == HB_SPLIT_TIERS)
			add_to_tier(out, amount);
	}
	return true;
}
