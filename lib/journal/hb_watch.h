/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_watch: what an operator must know of a journal's disk long before it is full, and of its
 * settlement: how much it takes, how fast it grows, when there is no room left, how far it is
 * settled.
 *
 * Owner: one thread looks, about once a second, and blocks as long as the file system takes: never
 * the control core. Figures that say so may be read by any thread (relaxed __atomic_load_n()).
 */
#ifndef HB_WATCH_H
#define HB_WATCH_H

#include "hb_journal.h"
#include "hb_settled.h"

/* Growth is measured over the last ten minutes, a sample every ten seconds. */
#define HB_WATCH_SAMPLES 60
#define HB_WATCH_SAMPLE_NS (10 * 1000000000ull)

enum hb_room {
	HB_ROOM_GOOD,
	HB_ROOM_SHORT,	/* less than a day at this rate, or than 16 segments */
	HB_ROOM_LITTLE, /* less than an hour, or than 4 segments */
};

struct hb_watch {
	char path[PATH_MAX];
	const struct hb_journal *journal;
	struct {
		uint64_t ns, bytes;
	} sample[HB_WATCH_SAMPLES];
	unsigned samples, next_sample;
	uint64_t counted_ns; /* when the files were counted */
	/* owner: wo; all others: ro, from here on */
	uint64_t used_bytes;	   /* that the journal's directory takes, the archive not counted */
	uint64_t segments;	   /* in it */
	uint64_t free_bytes;	   /* of its file system, for its user */
	uint64_t bytes_per_second; /* that it grows by */
	uint64_t seconds_left;	   /* at that rate; UINT64_MAX: it doesn't grow */
	uint64_t settled;	   /* records, as whoever settles it says */
	uint64_t settled_us;	   /* when that was so, since 1970; 0: nobody settles it */
	bool known;		   /* it was looked at */
	enum hb_room room;
};

void hb_watch_begin(struct hb_watch *w, const char *path, const struct hb_journal *journal);

/* Looks. now_ns: hb_mono_ns(). */
void hb_watch_look(struct hb_watch *w, uint64_t now_ns);

/* Records that aren't settled; 0 where nobody settles. */
uint64_t hb_watch_unsettled(const struct hb_watch *w);

/* A line about the room that is left, where it isn't good. Returns whether there is something to
 * say.
 */
bool hb_watch_line(const struct hb_watch *w, char *line, size_t bytes);

#endif
