/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_pace.h"

#define SECOND_NS 1000000000ull

void
hb_pace_set(struct hb_pace *p, uint64_t rate, uint64_t now_ns)
{
	*p = (struct hb_pace){.rate = rate, .from_ns = now_ns};
}

/* When the first `n` since from_ns may have gone. */
static uint64_t
due_ns(const struct hb_pace *p, uint64_t n)
{
	return p->from_ns + (uint64_t)((unsigned __int128)n * SECOND_NS / p->rate);
}

uint64_t
hb_pace_may(struct hb_pace *p, uint64_t now_ns)
{
	if (p->rate == 0)
		return UINT64_MAX;
	uint64_t due = due_ns(p, p->taken);
	uint64_t gathered = HB_PACE_GATHERED_NS + SECOND_NS / p->rate;

	/* Anew where more was gathered than may be, and now and then so that no sum grows large. */
	if (now_ns > due + gathered) {
		p->from_ns = now_ns - gathered;
		p->taken = 0;
	} else if (p->taken > 100 * p->rate) {
		p->from_ns = due;
		p->taken = 0;
	}
	if (now_ns < p->from_ns)
		return 0;
	uint64_t most = (uint64_t)((unsigned __int128)(now_ns - p->from_ns) * p->rate / SECOND_NS);
	return most > p->taken ? most - p->taken : 0;
}

void
hb_pace_take(struct hb_pace *p, uint64_t n)
{
	p->taken += p->rate == 0 ? 0 : n;
}

uint64_t
hb_pace_wait_ns(const struct hb_pace *p, uint64_t n, uint64_t now_ns)
{
	if (p->rate == 0)
		return 0;
	uint64_t due = due_ns(p, p->taken + n) + 1;

	return due > now_ns ? due - now_ns : 0;
}
