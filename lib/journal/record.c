/* SPDX-License-Identifier: BSD-3-Clause */
#include "format.h"

#include <errno.h>
#include <rte_hash_crc.h>

uint32_t
journal_crc(const void *bytes, size_t n)
{
	return ~rte_hash_crc(bytes, (uint32_t)n, 0xFFFFFFFF);
}

uint32_t
journal_segment_number(const char *name)
{
	uint32_t number = 0;

	for (int i = 0; i < 8; i++) {
		if (name[i] < '0' || name[i] > '9')
			return 0;
		number = number * 10 + (uint32_t)(name[i] - '0');
	}
	return strcmp(name + 8, ".hbj") == 0 ? number : 0;
}

const char *
journal_header_fault(const uint8_t *p, uint64_t bytes, struct segment_header *h)
{
	if (bytes < SEGMENT_HEADER_BYTES)
		return "the segment is shorter than its header";
	memcpy(h, p, sizeof(*h));
	if (h->magic != SEGMENT_MAGIC ||
		h->crc != journal_crc(h, offsetof(struct segment_header, crc)) ||
		!journal_all_zero(p + sizeof(*h), SEGMENT_HEADER_BYTES - sizeof(*h)))
		return "the segment's header is damaged";
	if (h->version != FORMAT_VERSION || (h->block != 512 && h->block != 4096))
		return "a journal format that this program doesn't know";
	return NULL;
}

bool
journal_batch_header(const uint8_t *p, uint64_t left, uint64_t journal, struct batch_header *h)
{
	if (left < sizeof(*h))
		return false;
	memcpy(h, p, sizeof(*h));
	return h->magic == BATCH_MAGIC && h->journal == journal && h->count > 0 &&
	       h->crc == journal_crc(h, offsetof(struct batch_header, crc));
}

bool
journal_batch_good(
	const uint8_t *p, uint64_t left, uint64_t journal, uint32_t block, struct batch_header *h)
{
	if (!journal_batch_header(p, left, journal, h))
		return false;
	uint64_t bytes = batch_bytes(h->count, block);
	return bytes <= left && h->records_crc == journal_crc(p + sizeof(*h), bytes - sizeof(*h));
}

bool
journal_later_batch(
	const uint8_t *p, uint64_t left, uint64_t journal, uint32_t block, uint64_t batch)
{
	struct batch_header h;

	for (uint64_t at = block; at < left; at += block) {
		if (journal_batch_header(p + at, left - at, journal, &h) && h.number > batch)
			return true;
	}
	return false;
}

unsigned
hb_fund_encode(struct hb_record out[1 + HB_TIERS_MAX], uint16_t campaign, const struct hb_terms *t,
	uint32_t wins_per_user, uint64_t time_us)
{
	out[0] = (struct hb_record){
		.type = HB_RECORD_FUND,
		.op = t->split,
		.campaign = campaign,
		.seq = t->count,
		.user = t->total,
		.id = t->seed,
		.amount = t->tiers,
		.aux = wins_per_user,
		.time_us = time_us,
	};
	for (unsigned i = 0; i < t->tiers; i++)
		out[1 + i] = (struct hb_record){
			.type = HB_RECORD_TIER,
			.op = (uint8_t)i,
			.campaign = campaign,
			.seq = t->tier[i].count,
			.amount = t->tier[i].amount,
			.time_us = time_us,
		};
	return 1u + t->tiers;
}

unsigned
hb_lease_encode(struct hb_record out[HB_FUND_RECORDS_MAX], uint16_t campaign,
	const struct hb_lease *lease, const struct hb_terms *t, uint32_t wins_per_user,
	uint64_t time_us)
{
	if (lease->block == 0)
		return hb_fund_encode(out, campaign, t, wins_per_user, time_us);
	out[0] = (struct hb_record){
		.type = HB_RECORD_LEASE,
		.campaign = campaign,
		.seq = lease->block,
		.id = lease->first,
		.time_us = time_us,
	};
	return 1 + hb_fund_encode(out + 1, campaign, t, wins_per_user, time_us);
}

static int
fund_complete(const struct hb_fund *f)
{
	if (f->tiers_to_come > 0)
		return 0;
	return hb_terms_check(&f->terms, NULL) == 0 ? 1 : -EINVAL;
}

/* Nothing but a LEASE can begin before its FUND. */
static int
begin_lease(struct hb_fund *f, const struct hb_record *r)
{
	if (hb_fund_begun(f) || r->campaign == 0 || r->seq == 0 || r->id == 0 || r->id > UINT32_MAX)
		return -EINVAL;
	*f = (struct hb_fund){
		.campaign = r->campaign,
		.fund_to_come = true,
		.lease = {.block = r->seq, .first = (uint32_t)r->id},
	};
	return 0;
}

int
hb_fund_decode(struct hb_fund *f, const struct hb_record *r)
{
	if (r->type == HB_RECORD_LEASE)
		return begin_lease(f, r);
	if (r->type == HB_RECORD_FUND) {
		struct hb_lease lease = f->fund_to_come ? f->lease : (struct hb_lease){0};

		if (f->tiers_to_come > 0 || r->amount > HB_TIERS_MAX || r->campaign == 0 ||
			(f->fund_to_come && f->campaign != r->campaign) ||
			(lease.block != 0 && r->seq > UINT32_MAX - (lease.first - 1)))
			return -EINVAL;
		*f = (struct hb_fund){
			.terms = {.total = r->user,
				.seed = r->id,
				.count = r->seq,
				.split = r->op,
				.tiers = (uint8_t)r->amount},
			.time_us = r->time_us,
			.wins_per_user = r->aux,
			.campaign = r->campaign,
			.tiers_to_come = (uint8_t)r->amount,
			.lease = lease,
		};
		return fund_complete(f);
	}
	unsigned tier = f->terms.tiers - f->tiers_to_come;
	if (r->type != HB_RECORD_TIER || f->fund_to_come || f->tiers_to_come == 0 ||
		r->op != tier || r->campaign != f->campaign)
		return -EINVAL;
	f->terms.tier[tier] = (struct hb_tier){.count = r->seq, .amount = r->amount};
	f->tiers_to_come--;
	return fund_complete(f);
}
