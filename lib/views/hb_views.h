/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_views: what a running hongbaod shows of itself: results of the control socket's commands as
 * JSON, metrics as text, and the same figures under DPDK's telemetry. Nothing here changes
 * anything.
 *
 * Threads: the service thread alone calls everything here, for it owns the configuration and the
 * rates. Whatever other threads write is read by relaxed atomics, each counter whole, so figures
 * that belong together may be of slightly different moments. DPDK's telemetry thread calls back
 * into telemetry.c, which touches neither the configuration nor the rates.
 *
 * Names in JSON, so that whoever shows a result needs no knowledge of it: `_fen` money, `_us` a
 * time in microseconds since 1970, `_s` `_ms` `_ns` durations, `_per_second` rates, `_percent`,
 * `_bytes`; an array of flat objects is a table; users are decimal strings. What isn't known, such
 * as when a campaign of which nothing is given will be empty, is left out.
 */
#ifndef HB_VIEWS_H
#define HB_VIEWS_H

#include "hb_control.h"
#include "hb_exposition.h"
#include "hb_port.h"
#include "hb_watch.h"

#include <jansson.h>

struct hb_rates;

/* Where everything is. Owned by the program; constant while the service thread or DPDK's telemetry
 * can call. */
struct hb_view {
	struct hb_worker *const *workers;
	struct hb_link *const *links; /* by worker */
	const struct hb_control *control;
	const struct hb_ports *ports;
	const struct hb_journal *journal;
	const struct hb_watch *watch;	     /* NULL: nobody looks at the disk */
	struct hb_snapshot *const *snapshot; /* what is published; the service thread publishes */
	struct hb_rates *rates;		     /* NULL: no rates are told */
	const char *version;		     /* the program's */
	uint64_t started_us;		     /* since 1970 */
	uint64_t tsc_hz;		     /* cycles a second of busy_cycles */
	unsigned n_workers;
	bool hugepages;
};

/* ---- rates --------------------------------------------------------------------------- */

/* Counters as they were at each of the last seconds, for rates over 1 s and 10 s. The service
 * thread's. */
struct hb_rates *hb_rates_make(const struct hb_view *v); /* NULL: no memory */
void hb_rates_free(struct hb_rates *r);

/* Takes a sample; to be called once a second (a late one does no harm), with hb_mono_ns(). Asks the
 * drivers for what their devices lost. */
void hb_rates_sample(struct hb_rates *r, const struct hb_view *v, uint64_t now_ns);

/* ---- JSON ---------------------------------------------------------------------------- */

/* Rows of a list of campaigns at the most; how many are left out is told as `not_shown`. */
#define HB_VIEW_ROWS_MAX 4096

#define HB_VIEW_ALL UINT32_MAX /* all workers, or all campaigns */

/* Each returns a new reference to an object, or NULL when there is no memory. c: the configuration
 * whose snapshot is published. */
json_t *hb_view_status(const struct hb_view *v, const struct hb_config *c);
json_t *hb_view_watch(const struct hb_view *v, const struct hb_config *c);
json_t *hb_view_campaigns(const struct hb_view *v, const struct hb_config *c);
json_t *hb_view_latency(const struct hb_view *v);
json_t *hb_view_journal(const struct hb_view *v, const struct hb_config *c);
json_t *hb_view_steering(const struct hb_view *v);
json_t *hb_view_users(const struct hb_view *v);
json_t *hb_view_packets(const struct hb_view *v);

/* Campaigns whose budget many hosts share, and for how long this host may give of them. */
json_t *hb_view_leases(const struct hb_view *v, const struct hb_config *c);

/* A packet that is there, as its worker saw it. */
json_t *hb_view_packet(const struct hb_packet_look *look);

/* Of one worker, or HB_VIEW_ALL. e: -ENOENT: there is no such worker. */
json_t *hb_view_stats(const struct hb_view *v, uint32_t worker, struct hb_error *e);

/* One campaign, by its id. NULL with e: there is none. */
json_t *hb_view_campaign(
	const struct hb_view *v, const struct hb_config *c, uint32_t id, struct hb_error *e);

/* Where the envelopes of a campaign are, or HB_VIEW_ALL. NULL with e: there is no such campaign. */
json_t *hb_view_pool(
	const struct hb_view *v, const struct hb_config *c, uint32_t id, struct hb_error *e);

/* ---- metrics ------------------------------------------------------------------------- */

/* Campaigns that have series of their own: the first ones of the configuration. The others are
 * summed up as campaign="other". */
#define HB_METRICS_CAMPAIGNS 1000

/* All metrics as text, *bytes long without its NUL, to be freed with free(). NULL: no memory. */
char *hb_view_metrics(const struct hb_view *v, const struct hb_config *c,
	enum hb_metrics_format format, size_t *bytes);

/* The table of the metrics, as the README has it: Markdown, to be freed with free(). NULL: no
 * memory. */
char *hb_metrics_readme(void);

/* ---- DPDK's telemetry ---------------------------------------------------------------- */

/* Answers /hongbao/status, /hongbao/stats[,WORKER], /hongbao/campaigns[,ID], /hongbao/packets and
 * /hongbao/latency on
 * EAL's telemetry socket from now on; v stays the caller's. NULL: answers no more, and returns once
 * no answer is being made. Returns 0 or -errno with e. */
int hb_views_telemetry(const struct hb_view *v, struct hb_error *e);

#endif
