/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_figures: what the views are made of, for those who make something else of it: sums of
 * counters, rates, facts of campaigns and packets, and how a key gets into an object. Threads and
 * moments are as hb_views.h says; hb_sum_workers(), hb_campaign_facts() and the names may be called
 * by DPDK's telemetry thread too.
 */
#ifndef HB_FIGURES_H
#define HB_FIGURES_H

#include "hb_views.h"

#include <stddef.h>

/* A field of any scalar type that another thread writes. */
#define HB_SEE(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* ---- counters ------------------------------------------------------------------------ */

static inline uint64_t
hb_counter_of(const struct hb_worker_stats *s, size_t at)
{
	return hb_read((const uint64_t *)((const char *)s + at));
}

/* Whatever was dropped, shed and replied, for whatever reason. */
uint64_t hb_all_dropped(const struct hb_worker_stats *s);
uint64_t hb_all_shed(const struct hb_worker_stats *s);
uint64_t hb_all_replies(const struct hb_worker_stats *s);

/* Adds up the counters of all workers; what isn't a counter has no meaning in the sum. */
void hb_sum_workers(struct hb_worker_stats *sum, const struct hb_view *v);

/* What a worker lets in, in 1/1000 of requests; one that hasn't begun yet keeps nothing out. */
static inline uint64_t
hb_admission_of(const struct hb_worker_stats *s)
{
	uint64_t level = hb_read(&s->admission);

	return level == 0 ? 1000 : level;
}

/* "good", "full", "failed" */
const char *hb_disk_state(const struct hb_view *v);

/* ---- rates --------------------------------------------------------------------------- */

struct hb_sample {
	uint64_t ns;			/* of hb_mono_ns() */
	struct hb_worker_stats *worker; /* by worker, and behind them the sum */
	uint64_t *given;		/* by slot: envelopes whose gift is journalled */
	struct hb_port_lost lost[HB_PORTS_MAX];
};

/* From one sample to a later one. */
struct hb_span {
	const struct hb_sample *from;
	const struct hb_sample *to;
	double seconds; /* 0: there aren't two samples, and no rate is known */
	unsigned slots;
};

/* The last so many seconds, or as far back as it goes. */
struct hb_span hb_span_of(const struct hb_view *v, unsigned seconds);

/* The last sample, or NULL. */
const struct hb_sample *hb_last_sample(const struct hb_view *v);

/* A rate; 0 where none is known. worker: n_workers for the sum. */
double hb_rate(const struct hb_span *s, uint64_t before, uint64_t after);
double hb_rate_of(const struct hb_span *s, unsigned worker, size_t at);
double hb_rate_given(const struct hb_span *s, uint32_t slot);

/* The share of its time that a worker was busy, 0 to 100; all of them on average for n_workers. */
double hb_load_percent(const struct hb_view *v, const struct hb_span *s, unsigned worker);

/* ---- campaigns ----------------------------------------------------------------------- */

struct hb_campaign_facts {
	uint64_t funded, funded_fen; /* topped up included */
	uint64_t given, given_fen;   /* on stable storage, in this and earlier runs */
	uint64_t decided;	     /* given by a core, perhaps not on stable storage yet */
	uint64_t left, left_fen;     /* not decided; not given */
	uint64_t stock;		     /* of what is left, in the cores' stocks */
	uint64_t elsewhere;	     /* of what is left, in the depot or on its way between cores */
	uint64_t moves, dry, top_ups;
	uint64_t bundles, bundles_fen;	 /* of those given: made packets */
	uint64_t refunded_fen;		 /* that nobody took out of these in time */
	uint64_t returned, returned_fen; /* to a budget that many hosts share */
};

/* Of a slot, all 0 where it isn't in use. */
struct hb_campaign_facts hb_campaign_facts(const struct hb_view *v, uint32_t slot);

/* The same from the control core's ledger alone: `left` is then what isn't journalled, and what
 * tells decided, stock, elsewhere and dry is 0. Costs a cache line or two, however many workers
 * there are. */
struct hb_campaign_facts hb_campaign_ledger(const struct hb_view *v, uint32_t slot);

/* closed, draining, paused, empty, waiting (for more of a budget that many hosts share), early or
 * open, the first of them that holds. */
const char *hb_campaign_state(const struct hb_view *v, const struct hb_config *c,
	const struct hb_campaign_config *campaign, uint64_t left);

/* Whether it is in state open, as the ledger has it; and how many are. */
bool hb_campaign_open(
	const struct hb_view *v, const struct hb_config *c, const struct hb_campaign_config *of);
unsigned hb_campaigns_open(const struct hb_view *v, const struct hb_config *c);

/* A row of the table of campaigns; ten: of hb_span_of(v, 10). */
json_t *hb_campaign_row(const struct hb_view *v, const struct hb_config *c,
	const struct hb_campaign_config *of, const struct hb_span *ten);

/* ---- packets ------------------------------------------------------------------------- */

/* Group packets, over all workers. */
struct hb_packet_facts {
	uint64_t funded, funded_fen; /* on stable storage, in this and earlier runs; so are */
	uint64_t taken, taken_fen;   /* shares, and */
	uint64_t refunded, refunded_fen;
	uint64_t open, left_fen; /* now */
	uint64_t remembered;	 /* open, or done and not forgotten */
	uint64_t room;		 /* that can be remembered */
	uint64_t free_places;	 /* of shares */
	uint64_t refused;	 /* times that there was no room for one */
};

struct hb_packet_facts hb_packet_facts(const struct hb_view *v);

/* ---- the whole ----------------------------------------------------------------------- */

/* Ports whose link is down. */
unsigned hb_links_down(const struct hb_view *v);

/* The published snapshot's draining and version. */
bool hb_view_draining(const struct hb_view *v);
uint64_t hb_view_version(const struct hb_view *v);

/* ---- JSON ---------------------------------------------------------------------------- */

/* The tables of replies, drops and what was shed, over all workers, without what is 0. */
json_t *hb_replies_table(const struct hb_view *v);
json_t *hb_dropped_table(const struct hb_view *v);
json_t *hb_shed_table(const struct hb_view *v);

/* Each adds a key. A text that isn't UTF-8 becomes "?". */
void hb_put(json_t *o, const char *key, uint64_t n);
void hb_put_real(json_t *o, const char *key, double x);
void hb_put_text(json_t *o, const char *key, const char *text);
void hb_put_bool(json_t *o, const char *key, bool b);

#endif
