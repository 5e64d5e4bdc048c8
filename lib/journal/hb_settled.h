/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_settled: how far a journal is settled, told by whoever settles it to whoever writes or shows
 * it: the file `settled` in its directory, a line of text, replaced as a whole. It is news, not
 * truth: the truth is in the database, and nothing is settled, moved or forgotten because of this
 * file.
 *
 *   hongbao-settled 1 journal=%016x host=%u record=%u segment=%u time_us=%u
 *
 * No state.
 */
#ifndef HB_SETTLED_H
#define HB_SETTLED_H

#include "hb_base.h"

#define HB_SETTLED_NAME "settled"

struct hb_settled {
	uint64_t journal;
	uint64_t record;  /* the first that isn't settled */
	uint64_t time_us; /* since 1970, when that was so */
	uint32_t host;
	uint32_t
		segment; /* that holds the last settled record; those before it are settled whole */
};

/* Replaces the file, durably. Returns 0 or -errno with e. */
int hb_settled_write(const char *journal, const struct hb_settled *s, struct hb_error *e);

/* Reads it. Returns 0, -ENOENT (nobody settles this journal) or -EINVAL (it can't be understood).
 */
int hb_settled_read(const char *journal, struct hb_settled *s);

#endif
