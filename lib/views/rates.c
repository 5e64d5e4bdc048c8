/* SPDX-License-Identifier: BSD-3-Clause */
#include "views_internal.h"

#include <stdlib.h>

/* The present one and those of the 10 seconds before. */
#define SAMPLES 11

struct hb_rates {
	struct hb_sample sample[SAMPLES];
	unsigned workers;
	unsigned slots;
	unsigned taken; /* samples so far; the last is at (taken - 1) % SAMPLES */
};

_Static_assert(sizeof(struct hb_worker_stats) % sizeof(uint64_t) == 0, "it is copied by words");
#define STATS_WORDS (sizeof(struct hb_worker_stats) / sizeof(uint64_t))

/* ---- sums of counters ---------------------------------------------------------------- */

static void
add_words(struct hb_worker_stats *sum, const struct hb_worker_stats *s)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)s;

	for (unsigned i = 0; i < STATS_WORDS; i++)
		to[i] += hb_read(&from[i]);
}

void
hb_sum_workers(struct hb_worker_stats *sum, const struct hb_view *v)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned w = 0; w < v->n_workers; w++)
		add_words(sum, &v->workers[w]->stats);
}

static uint64_t
all_of(const uint64_t *counts, unsigned n)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < n; i++)
		all += hb_read(&counts[i]);
	return all;
}

uint64_t
hb_all_dropped(const struct hb_worker_stats *s)
{
	return all_of(s->dropped, HB_DROPS);
}

uint64_t
hb_all_shed(const struct hb_worker_stats *s)
{
	return all_of(s->shed, HB_OPS);
}

uint64_t
hb_all_replies(const struct hb_worker_stats *s)
{
	return all_of(s->replies, HB_STATUSES);
}

/* ---- samples ------------------------------------------------------------------------- */

struct hb_rates *
hb_rates_make(const struct hb_view *v)
{
	struct hb_rates *r = calloc(1, sizeof(*r));
	bool made = r != NULL;

	if (made) {
		r->workers = v->n_workers;
		r->slots = v->control->campaigns;
	}
	for (unsigned i = 0; made && i < SAMPLES; i++) {
		struct hb_sample *s = &r->sample[i];

		s->worker = aligned_alloc(
			HB_CACHE_LINE, (r->workers + 1ull) * sizeof(struct hb_worker_stats));
		s->given = calloc(r->slots + 1ull, sizeof(*s->given));
		made = s->worker != NULL && s->given != NULL;
	}
	if (!made) {
		hb_rates_free(r);
		return NULL;
	}
	return r;
}

void
hb_rates_free(struct hb_rates *r)
{
	for (unsigned i = 0; r != NULL && i < SAMPLES; i++) {
		free(r->sample[i].worker);
		free(r->sample[i].given);
	}
	free(r);
}

void
hb_rates_sample(struct hb_rates *r, const struct hb_view *v, uint64_t now_ns)
{
	struct hb_sample *s = &r->sample[r->taken++ % SAMPLES];

	s->ns = now_ns;
	memset(s->worker, 0, (r->workers + 1ull) * sizeof(*s->worker));
	for (unsigned w = 0; w < r->workers; w++) {
		add_words(&s->worker[w], &v->workers[w]->stats);
		add_words(&s->worker[r->workers], &s->worker[w]);
	}
	for (unsigned slot = 0; slot < r->slots; slot++)
		s->given[slot] = HB_SEE(v->control->ledger[slot].journalled);
	for (unsigned p = 0; p < v->ports->count; p++)
		s->lost[p] = hb_port_lost(&v->ports->port[p]);
}

const struct hb_sample *
hb_last_sample(const struct hb_view *v)
{
	const struct hb_rates *r = v->rates;

	return r == NULL || r->taken == 0 ? NULL : &r->sample[(r->taken - 1) % SAMPLES];
}

struct hb_span
hb_span_of(const struct hb_view *v, unsigned seconds)
{
	const struct hb_rates *r = v->rates;

	if (r == NULL || r->taken < 2)
		return (struct hb_span){0};
	unsigned back = r->taken < SAMPLES ? r->taken - 1 : SAMPLES - 1;
	struct hb_span s = {
		.from = &r->sample[(r->taken - 1 - (seconds < back ? seconds : back)) % SAMPLES],
		.to = hb_last_sample(v),
		.slots = r->slots,
	};

	s.seconds = (double)(s.to->ns - s.from->ns) / 1e9;
	return s;
}

/* ---- rates --------------------------------------------------------------------------- */

double
hb_rate(const struct hb_span *s, uint64_t before, uint64_t after)
{
	return s->seconds <= 0 || after < before ? 0 : (double)(after - before) / s->seconds;
}

double
hb_rate_of(const struct hb_span *s, unsigned worker, size_t at)
{
	if (s->seconds <= 0)
		return 0;
	return hb_rate(s, hb_counter_of(&s->from->worker[worker], at),
		hb_counter_of(&s->to->worker[worker], at));
}

double
hb_rate_given(const struct hb_span *s, uint32_t slot)
{
	return slot >= s->slots ? 0 : hb_rate(s, s->from->given[slot], s->to->given[slot]);
}

double
hb_load_percent(const struct hb_view *v, const struct hb_span *s, unsigned worker)
{
	unsigned workers = worker == v->n_workers && v->n_workers != 0 ? v->n_workers : 1;
	double percent = 0;

	if (v->tsc_hz != 0)
		percent = 100 *
			  hb_rate_of(s, worker, offsetof(struct hb_worker_stats, busy_cycles)) /
			  (double)v->tsc_hz / workers;
	return percent > 100 ? 100 : percent;
}
