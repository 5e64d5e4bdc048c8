/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_follow: a journal read while it grows, from any batch on, by whoever must not be in its
 * writer's way: it takes no lock, writes nothing, and reads a window at a time past the page cache.
 *
 * It gives out only what is on stable storage. A batch is, when a later batch or segment stands
 * behind it, for that one was begun after its flush. The last one of all is when its writer said
 * so, which a reader cannot see: once nothing has come behind it for `quiet_ns`, the follower
 * flushes that file itself. So a busy journal is never flushed from here, and a win that a power
 * cut could still take away is never told on.
 *
 * What isn't there yet (zeros, half of a batch, a segment without a header, a torn end that the
 * next start will cut off) is waited for. A batch that is bad though others follow it is damage.
 *
 * Owner: whoever opened it; one thread.
 */
#ifndef HB_FOLLOW_H
#define HB_FOLLOW_H

#include "hb_journal.h"

/* Bytes of the window. */
#define HB_FOLLOW_WINDOW (4u << 20)
#define HB_FOLLOW_QUIET_NS (100 * 1000000ull)

/* A batch, and where it is. */
struct hb_batch_place {
	uint32_t segment;
	uint32_t crc;	 /* of its header, which holds its records' */
	uint64_t at;	 /* in the segment */
	uint64_t number; /* from 1 */
	uint64_t record; /* its first one's number */
};

struct hb_follower {
	char path[PATH_MAX]; /* for error lines */
	struct hb_disk *disk;
	struct hb_disk_directory own;
	uint64_t id;
	uint32_t host;
	uint32_t block; /* of the segment that is read */
	struct hb_batch_place next;
	uint64_t quiet_ns;
	uint64_t lonely_batch; /* that nothing stands behind, and since when */
	uint64_t lonely_ns;
	uint8_t *window;
	uint64_t window_at, window_bytes; /* the part of the segment that is in it */
	uint64_t reach;			  /* bytes that the next fill takes */
	bool fresh;			  /* it was filled in this call */
	uint64_t seen; /* records that are there, durable or not: the next one's number */
	bool torn;     /* what stands at the end is no batch (yet), and no zeros */
};

/* Opens a journal's directory and stands at its first batch. Returns 0, or -errno with e: -ENOENT
 * (no journal there, or none that was begun), -EILSEQ (damage, with file and offset). The follower
 * must stay where it is. */
int hb_follow_begin(struct hb_follower *f, const char *path, struct hb_error *e);
int hb_follow_disk(
	struct hb_follower *f, struct hb_disk *disk, const char *path, struct hb_error *e);

/* Goes to a batch that was given out before, of which all but `crc` is where it was, and checks
 * that it is still that one. Returns 0, or with e -ESTALE: it isn't, so this is another journal, or
 * one that was brought back from an older copy. */
int hb_follow_seek(struct hb_follower *f, const struct hb_batch_place *to, struct hb_error *e);

/* Goes to the first batch of the last segment that was begun. Returns 0 or -errno with e. */
int hb_follow_to_last(struct hb_follower *f, struct hb_error *e);

/* The next batch's records; valid until the next call. Returns how many, and the batch in *place;
 * 0: none is there yet; -EILSEQ with the damage, or another -errno, in e. now_ns: hb_mono_ns(). */
int hb_follow(struct hb_follower *f, uint64_t now_ns, const struct hb_record **records,
	struct hb_batch_place *place, struct hb_error *e);

void hb_follow_end(struct hb_follower *f);

#endif
