/* SPDX-License-Identifier: BSD-3-Clause */
/* What a daemon's views are made from, made by hand: a test plays workers and control core. */
#ifndef HB_TEST_VIEW_RIG_H
#define HB_TEST_VIEW_RIG_H

#include "hb_views.h"

#define SECOND_NS 1000000000ull

struct view_rig {
	struct hb_config config;
	struct hb_snapshot *snapshot;
	struct hb_worker **workers;
	struct hb_link **links;
	struct hb_control control;
	struct hb_ports ports;
	struct hb_journal journal;
	struct hb_view view;
	uint64_t now_ns;
};

/* Memory, or the end. */
void *must(void *memory);

struct view_rig *view_rig_make(unsigned workers, unsigned campaigns);
void view_rig_free(struct view_rig *s);

/* A second goes by, and a sample is taken. */
void view_rig_tick(struct view_rig *s);

/* A worker gives envelopes of 50 fen, and where they are durable the control core has them in the
 * journal. */
void view_rig_give(struct view_rig *s, unsigned w, unsigned slot, unsigned n, bool durable);

/* ---- JSON: each fails the test where it isn't so ---- */

uint64_t json_number_of(const json_t *o, const char *key);
double json_real_of(const json_t *o, const char *key);
const char *json_text_of(const json_t *o, const char *key);
/* The row of a table in which a key has a value. */
const json_t *json_row_of(const json_t *o, const char *table, const char *key, const char *is);

#endif
