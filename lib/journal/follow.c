/* SPDX-License-Identifier: BSD-3-Clause */
#include "format.h"
#include "hb_archive.h"
#include "hb_follow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* What the window takes at first: an idle journal is looked at often. */
#define REACH_MIN (64u << 10)

static int
damage(const struct hb_follower *f, uint64_t at, const char *what, struct hb_error *e)
{
	return hb_fail(e, EILSEQ,
		"journal %s/" SEGMENT_NAME
		": offset %llu: %s; nothing more of it is read: restore this file from a copy",
		f->path, f->next.segment, (unsigned long long)at, what);
}

static int
unreadable(const struct hb_follower *f, uint32_t segment, int err, struct hb_error *e)
{
	return hb_fail(e, -err,
		"journal %s/" SEGMENT_NAME ": cannot read: %s; check the disk and its rights, and "
		"that %s/" HB_ARCHIVE_NAME ", if there is one, leads to what is there",
		f->path, segment, strerror(-err), f->path);
}

/* ---- the window ---------------------------------------------------------------------- */

static void
segment_name(uint32_t number, char name[32])
{
	snprintf(name, 32, SEGMENT_NAME, number);
}

/* Reads anew what stands from `at` on, `reach` bytes of it. */
static int
fill(struct hb_follower *f, uint64_t at, struct hb_error *e)
{
	uint64_t from = at / HB_READ_ALIGN * HB_READ_ALIGN;
	char name[32];
	int64_t got;

	segment_name(f->next.segment, name);
	got = f->disk->read(f->disk->context, name, f->window, f->reach, from);
	if (got < 0)
		return unreadable(f, f->next.segment, (int)got, e);
	f->window_at = from;
	f->window_bytes = (uint64_t)got;
	f->fresh = true;
	return 0;
}

/* Where the segment's byte `at` is in the window, and how many bytes there are from it on. */
static const uint8_t *
window_from(const struct hb_follower *f, uint64_t at, uint64_t *left)
{
	bool in = at >= f->window_at && at < f->window_at + f->window_bytes;

	*left = in ? f->window_at + f->window_bytes - at : 0;
	return f->window + (in ? at - f->window_at : 0);
}

/* ---- segments ------------------------------------------------------------------------ */

/* Reads a segment's header. Returns 1, 0 where there is none (yet), or -errno. */
static int
read_header(const struct hb_follower *f, uint32_t number, struct segment_header *h,
	const char **fault, struct hb_error *e)
{
	uint8_t *page = NULL;
	char name[32];
	int64_t got;

	*fault = NULL;
	if (posix_memalign((void **)&page, HB_READ_ALIGN, SEGMENT_HEADER_BYTES) != 0)
		return hb_fail(e, ENOMEM, "journal %s: no memory for a header", f->path);
	segment_name(number, name);
	got = f->disk->read(f->disk->context, name, page, SEGMENT_HEADER_BYTES, 0);
	if (got < 0) {
		free(page);
		return got == -ENOENT ? 0 : unreadable(f, number, (int)got, e);
	}
	bool begun = got > 0 && !journal_all_zero(page, (uint64_t)got);

	*fault = journal_header_fault(page, (uint64_t)got, h);
	free(page);
	return begun && *fault == NULL;
}

/* Stands at the first batch of a segment whose header was read. */
static void
stand_at_first(struct hb_follower *f, const struct segment_header *h)
{
	f->next = (struct hb_batch_place){.segment = h->number,
		.at = SEGMENT_HEADER_BYTES,
		.number = h->first_batch,
		.record = h->first_record};
	f->block = h->block;
	f->window_bytes = 0;
}

/* What is wrong with a header for that place in this journal, or NULL. */
static const char *
header_fits(const struct hb_follower *f, const struct segment_header *h, uint32_t number)
{
	if (h->journal != f->id || h->host != f->host || h->number != number)
		return "the segment belongs to another journal";
	return NULL;
}

/* Checks that nothing but zeros stands behind the last batch of a segment that another follows. */
static int
check_rest(struct hb_follower *f, struct hb_error *e)
{
	uint64_t at = f->next.at, left;

	f->reach = HB_FOLLOW_WINDOW;
	for (;;) {
		int err = fill(f, at, e);
		const uint8_t *p = window_from(f, at, &left);

		if (err != 0 || left == 0)
			return err;
		if (!journal_all_zero(p, left))
			return damage(f, f->next.at,
				"the batch there is damaged, and a segment follows it", e);
		at += left;
	}
}

/* Goes on to the next segment, of which the header was read. */
static int
next_segment(struct hb_follower *f, const struct segment_header *h, struct hb_error *e)
{
	const char *fault = header_fits(f, h, f->next.segment + 1);
	int err = check_rest(f, e);

	if (err != 0)
		return err;
	if (fault == NULL &&
		(h->first_batch != f->next.number || h->first_record != f->next.record))
		fault = "the segment doesn't follow the one before it";
	if (fault != NULL) {
		f->next.segment++;
		return damage(f, 0, fault, e);
	}
	stand_at_first(f, h);
	return 0;
}

/* ---- the next batch ------------------------------------------------------------------ */

/* Whether the whole batch is in the window. Where more of the segment could be, it is read. */
static int
find_batch(struct hb_follower *f, struct batch_header *h, bool *good, struct hb_error *e)
{
	uint64_t left, bytes;
	const uint8_t *p = window_from(f, f->next.at, &left);
	int err;

	*good = journal_batch_good(p, left, f->id, f->block, h);
	if (*good)
		return 0;
	if ((err = fill(f, f->next.at, e)) != 0)
		return err;
	p = window_from(f, f->next.at, &left);
	if (journal_batch_header(p, left, f->id, h) &&
		(bytes = batch_bytes(h->count, f->block)) > left && f->reach < HB_FOLLOW_WINDOW) {
		f->reach = HB_FOLLOW_WINDOW;
		if ((err = fill(f, f->next.at, e)) != 0)
			return err;
		p = window_from(f, f->next.at, &left);
	}
	*good = journal_batch_good(p, left, f->id, f->block, h);
	return 0;
}

/* Whether the header of the batch behind this one stands in the window. */
static bool
another_behind(const struct hb_follower *f, const struct batch_header *h)
{
	uint64_t left;
	const uint8_t *p = window_from(f, f->next.at + batch_bytes(h->count, f->block), &left);
	struct batch_header behind;

	return journal_batch_header(p, left, f->id, &behind) && behind.number == h->number + 1;
}

/* Whether a segment behind this one was begun; then this one is whole. */
static int
segment_behind(const struct hb_follower *f, struct segment_header *h, struct hb_error *e)
{
	const char *fault;

	return read_header(f, f->next.segment + 1, h, &fault, e);
}

/* A last batch: durable once its writer has had its time, and then because it is made so. Returns
 * 1, 0 or -errno. */
static int
make_durable(struct hb_follower *f, uint32_t count, uint64_t now_ns, struct hb_error *e)
{
	char name[32];
	int err;

	if (f->lonely_batch != f->next.number) {
		f->lonely_batch = f->next.number;
		f->lonely_ns = now_ns;
	}
	f->reach = REACH_MIN;
	if (f->seen < f->next.record + count)
		f->seen = f->next.record + count;
	if (now_ns - f->lonely_ns < f->quiet_ns)
		return 0;
	segment_name(f->next.segment, name);
	if ((err = f->disk->settle(f->disk->context, name)) != 0)
		return hb_fail(e, -err,
			"journal %s/%s: cannot flush what its writer left: %s; check the disk",
			f->path, name, strerror(-err));
	return 1;
}

/* Whether the good batch in the window is on stable storage. Returns 1, 0 or -errno. */
static int
durable(struct hb_follower *f, const struct batch_header *h, uint64_t now_ns, struct hb_error *e)
{
	struct segment_header behind;
	int rc;

	if (another_behind(f, h))
		return 1;
	/* The window may be older than the batch behind. */
	if (!f->fresh) {
		struct batch_header again;
		bool good;

		if ((rc = fill(f, f->next.at, e)) != 0 ||
			(rc = find_batch(f, &again, &good, e)) != 0)
			return rc;
		if (!good)
			return damage(f, f->next.at, "the batch there was changed", e);
		if (another_behind(f, h))
			return 1;
	}
	if ((rc = segment_behind(f, &behind, e)) != 0)
		return rc;
	return make_durable(f, h->count, now_ns, e);
}

/* A segment that isn't there, or has no header, though the one behind it was begun. */
static int
check_gap(struct hb_follower *f, struct hb_error *e)
{
	struct segment_header h;
	const char *fault;
	int rc = read_header(f, f->next.segment + 2, &h, &fault, e);

	if (rc != 1)
		return rc;
	/* It may have come since it was looked for. */
	if ((rc = segment_behind(f, &h, e)) != 0)
		return rc < 0 ? rc : 0;
	f->next.segment++;
	return damage(f, 0, "the segment is missing or has no header, and another follows it", e);
}

/* At a place where no good batch stands. Returns 1 when the follower went on to the next segment
 * and is to look again, 0 when there is nothing yet, or -errno. */
static int
no_batch(struct hb_follower *f, struct hb_error *e)
{
	struct segment_header behind;
	struct batch_header h;
	uint64_t left;
	const uint8_t *p;
	bool good;
	int rc = segment_behind(f, &behind, e);

	if (rc < 0)
		return rc;
	if (rc == 1) {
		/* The header was read after the batch: by now that one is there, or never comes. */
		f->window_bytes = 0;
		if ((rc = find_batch(f, &h, &good, e)) != 0)
			return rc;
		return good ? 1 : (rc = next_segment(f, &behind, e)) != 0 ? rc : 1;
	}
	p = window_from(f, f->next.at, &left);
	f->torn = !journal_all_zero(p, left < f->block ? left : f->block);
	f->reach = REACH_MIN;
	if ((rc = check_gap(f, e)) != 0)
		return rc;
	if (!f->torn || !journal_later_batch(p, left, f->id, f->block, f->next.number))
		return 0;
	/* A later part may be read before an earlier one was there. */
	f->reach = HB_FOLLOW_WINDOW;
	if ((rc = fill(f, f->next.at, e)) != 0 || (rc = find_batch(f, &h, &good, e)) != 0)
		return rc;
	return good ? 1
		    : damage(f, f->next.at, "the batch there is damaged, and others follow it", e);
}

/* Gives out the batch that the follower stands at. */
static int
give(struct hb_follower *f, const struct batch_header *h, const struct hb_record **records,
	struct hb_batch_place *place)
{
	uint64_t left;
	const uint8_t *p = window_from(f, f->next.at, &left);

	*records = (const struct hb_record *)(p + sizeof(*h));
	f->next.crc = h->crc;
	*place = f->next;
	f->next.at += batch_bytes(h->count, f->block);
	f->next.number++;
	f->next.record += h->count;
	if (f->seen < f->next.record)
		f->seen = f->next.record;
	f->torn = false;
	f->reach = 2 * f->reach < HB_FOLLOW_WINDOW ? 2 * f->reach : HB_FOLLOW_WINDOW;
	return (int)h->count;
}

int
hb_follow(struct hb_follower *f, uint64_t now_ns, const struct hb_record **records,
	struct hb_batch_place *place, struct hb_error *e)
{
	struct batch_header h;
	bool good;
	int rc;

	f->fresh = false;
	do {
		if ((rc = find_batch(f, &h, &good, e)) != 0)
			return rc;
		rc = good ? durable(f, &h, now_ns, e) : no_batch(f, e);
	} while (rc == 1 && !good);
	if (rc <= 0)
		return rc;
	if (h.number != f->next.number || h.first_record != f->next.record)
		return damage(f, f->next.at, "the batch there has another number than the next", e);
	return give(f, &h, records, place);
}

/* ---- opening ------------------------------------------------------------------------- */

/* The first header says whose journal it is. */
static int
begin(struct hb_follower *f, struct hb_disk *disk, const char *path, struct hb_error *e)
{
	struct segment_header h;
	const char *fault;
	int rc;

	f->disk = disk;
	f->quiet_ns = HB_FOLLOW_QUIET_NS;
	f->reach = REACH_MIN;
	f->next.segment = 1;
	if ((size_t)snprintf(f->path, sizeof(f->path), "%s", path) >= sizeof(f->path))
		return hb_fail(e, ENAMETOOLONG, "journal %s: the path is too long", path);
	if (posix_memalign((void **)&f->window, HB_READ_ALIGN, HB_FOLLOW_WINDOW) != 0)
		return hb_fail(e, ENOMEM, "journal %s: no memory for a window of %u MiB", path,
			HB_FOLLOW_WINDOW >> 20);
	/* All its pages are there from now on: what it takes doesn't grow. */
	memset(f->window, 0, HB_FOLLOW_WINDOW);
	if ((rc = read_header(f, 1, &h, &fault, e)) < 0)
		return rc;
	if (rc == 0)
		return hb_fail(e, ENOENT,
			"journal %s: %s; name the directory of a journal that hongbaod has begun",
			path, fault == NULL ? "no segment (*.hbj) in it" : fault);
	f->id = h.journal;
	f->host = h.host;
	stand_at_first(f, &h);
	return 0;
}

int
hb_follow_disk(struct hb_follower *f, struct hb_disk *disk, const char *path, struct hb_error *e)
{
	*f = (struct hb_follower){.own = {.directory = -1, .lock = -1}};
	return begin(f, disk, path, e);
}

int
hb_follow_begin(struct hb_follower *f, const char *path, struct hb_error *e)
{
	*f = (struct hb_follower){0};
	int err = hb_disk_look(&f->own, path, e);

	return err != 0 ? err : begin(f, &f->own.disk, path, e);
}

/* This isn't the journal that the place was in. */
static int
stale(const struct hb_follower *f, const struct hb_batch_place *to, const char *what,
	struct hb_error *e)
{
	return hb_fail(e, ESTALE,
		"journal %s/" SEGMENT_NAME
		": offset %llu: batch %llu, which was read there before, "
		"%s: this is another journal, or one that was brought back from an older copy; "
		"find "
		"the right one, for what is written into this one now goes by numbers that were "
		"used",
		f->path, to->segment, (unsigned long long)to->at, (unsigned long long)to->number,
		what);
}

int
hb_follow_seek(struct hb_follower *f, const struct hb_batch_place *to, struct hb_error *e)
{
	struct segment_header h;
	struct batch_header b;
	const char *fault;
	bool good;
	int rc = read_header(f, to->number == 0 ? 1 : to->segment, &h, &fault, e);

	if (rc < 0)
		return rc;
	if (to->number == 0 && rc == 1 && h.journal == f->id) {
		stand_at_first(f, &h);
		return 0;
	}
	if (rc == 0)
		return stale(f, to, "isn't there any more", e);
	if (header_fits(f, &h, to->segment) != NULL)
		return stale(f, to, "is in a segment of another journal", e);
	stand_at_first(f, &h);
	f->next = *to;
	f->reach = HB_FOLLOW_WINDOW;
	if ((rc = find_batch(f, &b, &good, e)) != 0)
		return rc;
	if (!good || b.number != to->number || b.first_record != to->record || b.crc != to->crc)
		return stale(f, to, good ? "is another one now" : "isn't there any more", e);
	return 0;
}

int
hb_follow_to_last(struct hb_follower *f, struct hb_error *e)
{
	struct segment_header h;
	const char *fault = NULL;
	uint32_t count, last;
	int rc = f->disk->list(f->disk->context, &count, &last);

	if (rc < 0)
		return unreadable(f, f->next.segment, rc, e);
	/* The last may have been made, and not begun. */
	for (; last > f->next.segment; last--) {
		if ((rc = read_header(f, last, &h, &fault, e)) < 0)
			return rc;
		if (rc == 1 && header_fits(f, &h, last) == NULL) {
			stand_at_first(f, &h);
			break;
		}
	}
	return 0;
}

void
hb_follow_end(struct hb_follower *f)
{
	free(f->window);
	f->window = NULL;
	if (f->disk == &f->own.disk)
		hb_disk_close(&f->own);
	f->disk = NULL;
}
