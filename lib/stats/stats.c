/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_stats.h"

/* Of what workers have, the lowest; 0 is what one has that hasn't begun yet. */
static void
lower(uint64_t *sum, uint64_t value)
{
	if (value != 0 && (*sum == 0 || value < *sum))
		*sum = value;
}

void
hb_stats_add(struct hb_worker_stats *sum, const struct hb_worker_stats *w)
{
	uint64_t first = hb_read(&w->first_tsc), last = hb_read(&w->last_tsc);

	sum->received += hb_read(&w->received);
	for (unsigned i = 0; i < HB_STATS_STATUSES; i++)
		sum->replies[i] += hb_read(&w->replies[i]);
	for (unsigned i = 0; i < HB_STATS_DROPS; i++)
		sum->dropped[i] += hb_read(&w->dropped[i]);
	sum->wins += hb_read(&w->wins);
	sum->fen += hb_read(&w->fen);
	sum->handed_over += hb_read(&w->handed_over);
	sum->taken_in += hb_read(&w->taken_in);
	sum->misdirected += hb_read(&w->misdirected);
	sum->to_control += hb_read(&w->to_control);
	sum->sent += hb_read(&w->sent);
	sum->polls += hb_read(&w->polls);
	sum->busy_polls += hb_read(&w->busy_polls);
	sum->busy_cycles += hb_read(&w->busy_cycles);
	for (unsigned i = 0; i < HB_STATS_OPS; i++)
		sum->shed[i] += hb_read(&w->shed[i]);
	sum->overloaded += hb_read(&w->overloaded);
	sum->sleeps += hb_read(&w->sleeps);
	lower(&sum->admission, hb_read(&w->admission));
	lower(&sum->version, hb_read(&w->version));
	if (first != 0 && (sum->first_tsc == 0 || first < sum->first_tsc))
		sum->first_tsc = first;
	if (last > sum->last_tsc)
		sum->last_tsc = last;
}
