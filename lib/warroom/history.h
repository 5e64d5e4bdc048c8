/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * history: the last hour at 1 s and the last day at 1 min, in memory that is taken at the start;
 * and trails, which tell how old the oldest of what is under way is. Neither knows where its
 * figures come from. One thread.
 *
 * Seconds have numbers that rise (hb_warroom.h: `id`). A second that is left out is a row in which
 * nothing is known; one that comes twice is the first.
 */
#ifndef HB_WARROOM_HISTORY_H
#define HB_WARROOM_HISTORY_H

#include "hb_base.h"
#include "text.h"

#define HB_HOUR_S 3600
#define HB_DAY_MIN 1440
/* Campaigns that have a curve. */
#define HB_CURVES 16

enum hb_column {
	HB_COLUMN_SHAKES,
	HB_COLUMN_RECEIVED,
	HB_COLUMN_WINS,
	HB_COLUMN_FEN,
	HB_COLUMN_DROPPED,
	HB_COLUMN_SHED,
	HB_COLUMN_HANDED_OVER,
	HB_COLUMN_BUSIEST_SHAKES, /* of a minute */
	HB_COLUMN_LOAD,
	HB_COLUMN_BUSIEST,
	HB_COLUMN_ADMISSION,
	HB_COLUMN_UNDURABLE,
	HB_COLUMN_UNDURABLE_AGE,
	HB_COLUMN_UNSETTLED,
	HB_COLUMN_UNSETTLED_AGE,
	/* Of a minute they can't be had from its seconds: see hb_history_minute(). */
	HB_COLUMN_DURABLE_P50,
	HB_COLUMN_DURABLE_P99,
	HB_COLUMN_SERVICE_P50,
	HB_COLUMN_SERVICE_P99,
	HB_COLUMNS
};

struct hb_history;

/* As the object of /api/history has it. */
const char *hb_history_column(enum hb_column column);

/* What is known of a second; NAN: nothing. */
struct hb_second {
	double column[HB_COLUMNS];
	double left[HB_CURVES]; /* by curve: envelopes */
	double *load_percent;	/* by worker */
};

struct hb_history *hb_history_make(unsigned workers); /* NULL: no memory */
void hb_history_free(struct hb_history *h);

/* Adds a second. */
void hb_history_add(struct hb_history *h, uint64_t id, const struct hb_second *s);

/* Sets a column of the minute that runs. */
void hb_history_minute(struct hb_history *h, enum hb_column column, double x);

/* What the history doesn't know of itself. */
struct hb_history_facts {
	uint64_t started_us, time_us;
	int64_t ahead_us; /* of a second's number, as time, is the wall clock so much */
	struct {
		uint16_t id;
		char name[64];
	} curve[HB_CURVES];
	unsigned curves;
	bool settles; /* whether unsettled is known */
};

/* The object of /api/history; step_s: 1 or 60. */
void hb_history_write(const struct hb_history *h, unsigned step_s, const struct hb_history_facts *f,
	struct hb_text *out);

/* ---- trails ---------------------------------------------------------------------------- */

/* How much there was in all, at each second of the last hour and each minute of the last day. */
struct hb_trail {
	uint64_t second[HB_HOUR_S], minute[HB_DAY_MIN];
	uint64_t first_id, last_id; /* 0: none yet */
};

void hb_trail_add(struct hb_trail *t, uint64_t id, uint64_t total);

/* For how many seconds at least there has been more than `done`: since when the oldest that isn't
 * done is there. A day at most. */
uint64_t hb_trail_age_s(const struct hb_trail *t, uint64_t done);

#endif
