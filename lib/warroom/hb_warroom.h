/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_warroom: the live picture of a night: what goes on now, the last hour at 1 s, the last day at
 * 1 min, the peak, what is wrong and what was, and what operators changed. On top of lib/views,
 * which knows the figures, and lib/service, which serves them. Nothing here changes anything.
 *
 * Thread and owner: all of it is the service thread's, from hb_warroom_serve() (before the launch)
 * to hb_warroom_free() (after the stop). Memory is taken by hb_warroom_make() and bounded: it
 * doesn't grow with time, campaigns, pages or changes. What a page is sent is made at most once a
 * second and shared by all who ask.
 *
 * ---- routes (GET and HEAD) -------------------------------------------------------------
 *
 *   /              the page: text/html
 *   /warroom.js  /warroom.css  /warroom.svg  /dygraph.js  /dygraph.css      what it needs
 *   /api/now       the present state, as below: application/json
 *   /api/history?step=1     the last hour at 1 s      ?step=60    the last day at 1 min
 *   /api/live      the present state once a second, as Server-Sent Events: text/event-stream
 *
 * A query other than these is 400, a path that isn't there 404, another method 405, a Host that
 * isn't ours 421; 503 where too much is on its way to other pages: ask again after a second or two.
 * Errors are a line of text/plain. Every answer has `Cache-Control: no-store` and a
 * Content-Security-Policy of "default-src 'self'" and nothing more: no inline script, no inline
 * style, no data: URL. What was made for one origin isn't shared with others.
 *
 * ---- /api/live -------------------------------------------------------------------------
 *
 *   retry: 2000
 *                                  (an empty line ends each event)
 *   id: 1772294400
 *   data: {...}                    the object of /api/now, on one line; no `event:`, so onmessage
 *                                  gets it. The first one comes at once, then one each second.
 *   event: end
 *   data: {"reason":"stopping"}    hongbaod ends in good order; then the connection closes, and the
 *                                  browser asks again by itself every 2 s.
 *
 * `id` rises from event to event: it counts seconds since 1970 by a clock that doesn't step back,
 * and is also in the object. After a restart of hongbaod it goes on from the wall clock, and
 * `started_us` is another one: then the history is to be fetched anew. Without an event for more
 * than 3 s the figures are old. A reader that doesn't take its events is closed.
 *
 * ---- the present state -----------------------------------------------------------------
 *
 * Names say units, as in hb_views.h. What isn't known is left out (given in brackets below where
 * that happens). Rates are of the last second, unless it says otherwise.
 *
 *   format            1; another number is another contract
 *   id                this second's number
 *   time_us           the wall clock when it was taken
 *   started_us        when this run of hongbaod began; uptime_s
 *   version           of the program
 *   host              the host's number of the configuration
 *   state             "running" | "draining"
 *   clock             "wall" | "packet" (a capture's time; campaigns then open by that)
 *   config_version    what is published to the workers
 *   rates             { shakes_per_minute      shakes in the last 60 s: how many there were
 *                       shakes_per_second      a shake is a request that was answered, of any op;
 *                                              what was malformed or forged is none
 *                       received_per_second    frames from the NIC
 *                       sent_per_second  wins_per_second  given_fen_per_second
 *                       dropped_per_second  shed_per_second  handed_over_per_second }
 *   peak              { shakes_per_minute, minute_us    the most in any 60 s, and when these ended
 *                       shakes_per_second, second_us    the most in one second, and when it ended
 *                       since_us }                      since when: the start of this run. A
 *                                                       restart begins anew. [until there is one]
 *   totals            of this run: { received, shakes, sent, wins, given_fen, dropped, shed,
 *                       handed_over, misdirected }
 *   money             of all campaigns, this and earlier runs, on stable storage: { funded,
 *                       funded_fen, given, given_fen, left, left_fen } (left: not given)
 *   packets           group packets, likewise: { funded_fen, taken_fen, refunded_fen, left_fen,
 *                       open } [where none was ever funded]
 *   campaigns         [ { id, name, state, odds, opens_us, closes_us, funded, funded_fen, given,
 *                       given_fen, left, left_fen, given_percent,
 *                       given_per_second       of the last 10 s
 *                       [empty_in_s]           how long what is left lasts at that rate
 *                       [empty_us] } ]         when that is
 *                     state: "closed" | "draining" | "paused" | "empty" | "early" | "open".
 *                     At most 64: those that are open or paused first, each group in the order of
 *                     the configuration. campaigns_not_shown: how many more there are (0: none)
 *   settlement        { disk: "good" | "full" | "failed", [error]
 *                       records, records_per_second       journalled in this run
 *                       undurable                         envelopes decided, not yet on the disk
 *                       undurable_age_s                   how old the oldest of these is at least
 *                       parked                            replies that wait for the disk
 *                       slowest_flush_ms
 *                       [settled, unsettled, unsettled_age_s, settled_per_second]
 *                                                         records that hongbao-settle has carried
 *                                                         over, and that are journalled but not
 *                                                         [where that isn't known] }
 *   workers           [ { worker, load_percent, received_per_second, share_percent (of all that
 *                       was received), wins_per_second, handed_over_per_second,
 *                       taken_in_per_second, admission_percent, overloaded, parked,
 *                       turns_per_second, users_percent (how full its table of users is) } ]
 *   load              { load_percent (mean), busiest_percent, balance_percent (100: all workers
 *                       receive the same; mean of the rates by the greatest) [nothing received] }
 *   handover          { handed_over_per_second, handed_over_percent (of what was received, 10 s),
 *                       misdirected_per_second, misdirected_percent (likewise) }
 *   drops             [ { reason, count, last_1s_per_second, last_10s_per_second } ] that are not 0
 *   shed              [ { op, ... } ]     likewise
 *   replies           [ { status, ... } ] likewise
 *   admission         { admission_percent (the lowest of the workers), overloaded (how many) }
 *   latency           { durable: { count, p50_ms, p99_ms, max_ms } of wins that became durable in
 *                       the last 10 s, from their request on [none did, or clock is "packet"]
 *                       service: { count, p50_ns, p99_ns, max_ns } of turns that had frames, in
 *                       the last 10 s [none had] }
 *   changes           [ { time_us, who, command, what, version } ] by operators, the oldest first;
 *                     the last 32. what: "key: before -> after", several with "; ", cut at 400
 *                     bytes; "" where there is nothing to tell
 *   alerts            [ { id, severity, since_us, text, try } ] what is wrong now, the worst first;
 *                     at most 64, and alerts_not_shown. try: what to do, [where there is nothing].
 *                     severity: "critical" (money or service stands still), "warning" (it will, or
 *                     answers get worse), "notice" (somebody wanted it so, or it is good to know)
 *   incidents         how many alerts this run has had that are over
 *   pages             { open, most (that may be), closed (for not reading), cpu_percent (of a
 *                       core, that the service thread takes) }
 *
 * An alert's id is a word, and where it is one of many, a point and its number: disk_full,
 * disk_failed, disk_room (little is left for the journal), undurable (records wait for the disk for
 * more than 2 s), settlement_lag, overload.W, silent.W (a worker makes no turns), behind.W (a
 * worker does not see the configuration), draining, campaign_empty.ID, campaign_low.ID (empty
 * within a minute, and it is to stay open for longer), campaign_dry.ID (envelopes are left and none
 * is given, since cores ran dry), campaign_paused.ID, misdirected, ring_full (hand-over),
 * control_full, transmit_full, pass_full, users_full.W (a table full of winners), packets_full.W,
 * link_down.PORT, device_lost.PORT, clock (it was set), late (this thread was), pages_full. A page
 * shows any id that comes.
 *
 * ---- the history -----------------------------------------------------------------------
 *
 *   format, step_s (1 or 60), started_us, time_us
 *   first_us          the time of row 0; row i is at first_us + i * step_s * 1000000. Of step 1 it
 *                     is the end of its second; of step 60 the beginning of its minute, and the
 *                     last row is the minute that runs, as far as it is
 *   rows              how many; each array below has so many, null where nothing is known: before
 *                     a campaign or worker was there, while the thread was late, of latency where
 *                     nothing was timed
 *   shakes_per_second  received_per_second  wins_per_second  given_fen_per_second
 *   dropped_per_second  shed_per_second  handed_over_per_second        of 60 s: the mean
 *   busiest_shakes_per_second   of 60 s: the most in one of its seconds; of 1 s: isn't there
 *   load_percent (mean of workers; of 60 s: the mean)  busiest_percent (of 60 s: the most)
 *   admission_percent (of 60 s: the least)
 *   undurable  undurable_age_s  [unsettled  unsettled_age_s]           of 60 s: the most
 *   durable_p50_ms  durable_p99_ms  service_p50_ns  service_p99_ns     of that second or minute
 *   campaigns         [ { id, name, left: [...] } ]       of 60 s: at its end. The first 16 that
 *                     the configuration had
 *   workers           [ { worker, load_percent: [...] } ]  of 60 s: the mean
 *
 * Rows are counted by a clock that doesn't step, from the wall clock at the start on; where that
 * was set meanwhile, all rows move with it.
 */
#ifndef HB_WARROOM_H
#define HB_WARROOM_H

#include "hb_views.h"

struct hb_service;
struct hb_warroom;

struct hb_warroom_terms {
	const struct hb_view *view; /* with rates; stays */
	/* The configuration whose snapshot is published. */
	const struct hb_config *(*config)(void *context);
	void *context;
};

/* Takes its memory and a first sample: the counters from which everything is counted. Before any
 * worker runs, so that nothing is missed. Returns 0 or -ENOMEM with e. */
int hb_warroom_make(struct hb_warroom **out, const struct hb_warroom_terms *t, struct hb_error *e);

/* Frees it, once the service is freed: until then clients may be sent texts of it. NULL is allowed.
 */
void hb_warroom_free(struct hb_warroom *w);

/* Puts its pages and streams into a service, before the launch. Returns 0 or -errno with e. */
int hb_warroom_serve(struct hb_warroom *w, struct hb_service *s, struct hb_error *e);

/* How far the settlement is. Both in the same unit: records of this journal since it began. */
struct hb_settlement {
	bool known; /* else nothing is told of it */
	uint64_t journalled;
	uint64_t settled;
};

/* A second has gone by; right after hb_rates_sample(), with the same now_ns. settled: NULL where
 * nobody settles. Tells all open pages. */
void hb_warroom_second(struct hb_warroom *w, const struct hb_settlement *settled, uint64_t now_ns);

/* An operator changed something; line: as in the log of changes, { time_us, who, command, version,
 * changes: [ { key, before, after } ] }. What isn't of that form is left out. */
void hb_warroom_mark(struct hb_warroom *w, const json_t *line);

/* The service stops: open pages are told. */
void hb_warroom_stopping(struct hb_warroom *w);

/* The night, for `hongbaoctl report`: { format, now, seconds, minutes, incidents, changes }: the
 * present state, both histories, and as many incidents (with until_us) and changes as are kept. A
 * new reference, NULL: no memory. It costs as much as some ten pages. */
json_t *hb_warroom_report(struct hb_warroom *w);

#endif
