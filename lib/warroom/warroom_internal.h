/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of lib/warroom share. The service thread's. */
#ifndef HB_WARROOM_INTERNAL_H
#define HB_WARROOM_INTERNAL_H

#include "alerts.h"
#include "hb_figures.h"
#include "hb_service.h"
#include "hb_warroom.h"
#include "history.h"
#include "pages.h"

/* "Recent", where it says so. */
#define RECENT_S 10
#define MINUTE_S 60
#define CAMPAIGNS_SHOWN 64
#define MARKS_SHOWN 32
#define MARKS_MAX 256

/* ---- timed: what was timed as of late -------------------------------------------------- */

/* Copies of a histogram as it was at each of the last seconds, and when the minute began. */
struct timed {
	struct hb_histogram *past[RECENT_S + 1];
	struct hb_histogram *minute;
	unsigned taken; /* copies so far; the last is at (taken - 1) % (RECENT_S + 1) */
};

struct timed_figures {
	uint64_t count;
	uint64_t p50, p99, max;
};

int timed_make(struct timed *t); /* 0 or -ENOMEM; to be freed either way */
void timed_free(struct timed *t);
/* The place of the next copy, empty; then the copy is there. */
struct hb_histogram *timed_next(struct timed *t);
struct timed_figures timed_recent(const struct timed *t, unsigned seconds);
struct timed_figures timed_minute(const struct timed *t);
void timed_begin_minute(struct timed *t);

/* ---- marks: what operators changed ----------------------------------------------------- */

struct mark {
	uint64_t time_us, version;
	char who[128], command[48], what[401];
};

struct marks {
	struct mark of[MARKS_MAX];
	uint64_t count; /* ever; the last is at (count - 1) % MARKS_MAX */
};

void marks_add(struct marks *m, const json_t *line);
json_t *marks_json(const struct marks *m, unsigned last);

/* ---- watch: what is wrong -------------------------------------------------------------- */

/* What it has to remember from second to second. */
struct watch {
	uint64_t *users_refused, *packets_refused; /* by worker */
	unsigned *behind_s;			   /* by worker */
	uint64_t *dry;				   /* by slot */
	unsigned *dry_s;			   /* by slot */
	unsigned slots;
	int64_t ahead_us; /* the wall clock's, of the other one */
	bool ahead_known;
	uint64_t stepped_id; /* the second in which the clock stepped; 0: it didn't */
	int64_t stepped_us;
};

int watch_make(struct watch *k, const struct hb_view *v); /* 0 or -ENOMEM */
void watch_free(struct watch *k);
/* Raises everything that is wrong. */
void watch_second(struct hb_warroom *w, const struct hb_config *c);

/* ---- the whole ------------------------------------------------------------------------- */

struct peak {
	uint64_t shakes_per_minute, minute_us;
	double shakes_per_second;
	uint64_t second_us;
};

struct hb_warroom {
	const struct hb_view *view;
	const struct hb_config *(*config)(void *context);
	void *context;
	struct hb_warroom_pages pages;

	/* This second. */
	uint64_t id, time_us, now_ns;
	uint64_t late_s; /* seconds that were left out before it */
	struct hb_worker_stats totals;
	double rate[HB_COLUMNS];
	uint64_t shakes_per_minute;
	uint64_t undurable, undurable_age_s;
	struct hb_settlement settlement;
	uint64_t unsettled_age_s;
	double records_per_second, settled_per_second;
	double cpu_percent;

	/* From second to second. */
	uint64_t first_id, first_us; /* of the first second, and when it ended */
	uint64_t cpu_ns, records;
	struct {
		uint64_t ns, shakes;
	} past[MINUTE_S + 4];
	unsigned pasts; /* ever */
	struct peak peak;
	struct hb_history *history;
	double *load; /* by worker */
	struct hb_history_facts facts;
	struct hb_trail durable, settled;
	struct timed durable_us, service_ns;
	uint64_t minute; /* that runs, of these */
	struct hb_alerts alerts;
	struct marks marks;
	struct watch watch;
};

/* now.c: the object of /api/now. NULL: no memory. */
json_t *warroom_now(struct hb_warroom *w);

/* The text of /api/history, to be freed with free(). NULL: no memory. */
char *warroom_history(struct hb_warroom *w, unsigned step_s, size_t *bytes);

#endif
