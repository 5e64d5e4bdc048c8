/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * recall: the second stage of reading a journal back: winners into the engines' user tables, for
 * hb_recovery alone.
 *
 * A row far away in memory costs more than all the rest of a win. So wins are first sorted, in
 * order, into parts: each is a stretch of a table that fits a core's cache. A part's wins are
 * applied when there are so many that its memory is worth the way. A user's wins always come to the
 * same part, so that their order stays; and which rows are taken doesn't depend on the order of
 * different users. Where a table could be too small for what is to come, the wins are applied in
 * the journal's order, so that the first one without a row is the same in any case.
 *
 * Owners: the caller's thread sorts; a thread of its own, or the caller where none was asked for,
 * applies, and alone touches the user tables meanwhile.
 */
#ifndef HB_CONTROL_RECALL_H
#define HB_CONTROL_RECALL_H

#include "hb_engine.h"

struct recall;

/* threaded: applies the wins in a thread of its own, where one can be had. NULL when there is no
 * memory. */
struct recall *recall_make(struct hb_engine *const *engines, unsigned workers, bool threaded);

/* The next win, of the envelope that has that number here. Returns 0, or -ENOSPC when an earlier
 * one found no row. */
int recall_push(struct recall *c, const struct hb_record *win, uint32_t number);

/* Waits until all that were pushed are applied, so that the caller may touch the tables. The same
 * must be done afterwards, since it looks at them anew. Returns 0 or -ENOSPC. */
int recall_pause(struct recall *c);

/* Waits until all are applied. Returns 0, or -ENOSPC with the number of wins that were applied
 * before the one that found no row. To be called once, as the last before recall_free(). */
int recall_finish(struct recall *c, uint64_t *applied);

void recall_free(struct recall *c);

#endif
