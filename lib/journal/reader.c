/* SPDX-License-Identifier: BSD-3-Clause */
#include "format.h"
#include "hb_archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int
damage(const struct hb_journal_reader *r, uint64_t at, const char *what, struct hb_error *e)
{
	return hb_fail(e, EILSEQ,
		"journal %s/" SEGMENT_NAME
		": offset %llu: %s; nothing was changed: restore this file from a copy",
		r->path, r->number, (unsigned long long)at, what);
}

/* Finds the segments: numbered from 1 without a gap. */
static int
list_segments(struct hb_journal_reader *r, struct hb_error *e)
{
	uint32_t count;
	uint64_t bytes;
	char name[32];
	int err = r->disk->list(r->disk->context, &count, &r->last);

	if (err != 0)
		return hb_fail(e, -err,
			"journal %s: cannot list the directory or its archive: %s; check its "
			"rights, and that %s/" HB_ARCHIVE_NAME " leads to what is there",
			r->path, strerror(-err), r->path);
	if (count == 0)
		return hb_fail(e, ENOENT,
			"journal %s: no segment (*.hbj) in it; name a journal's directory",
			r->path);
	if (count != r->last)
		return hb_fail(e, EILSEQ,
			"journal %s: %u segments, but the last is number %u: %u missing; restore "
			"them from a copy",
			r->path, count, r->last, r->last - count);
	for (uint32_t number = 1; number <= r->last; number++) {
		snprintf(name, sizeof(name), SEGMENT_NAME, number);
		if (r->disk->length(r->disk->context, name, &bytes) == 0)
			r->total_bytes += bytes;
	}
	return 0;
}

static int
begin(struct hb_journal_reader *r, struct hb_disk *disk, const char *path, struct hb_error *e)
{
	r->disk = disk;
	r->batch = 1;
	r->state = 1;
	if ((size_t)snprintf(r->path, sizeof(r->path), "%s", path) >= sizeof(r->path))
		return hb_fail(e, ENAMETOOLONG, "journal %s: the path is too long", path);
	return list_segments(r, e);
}

int
hb_journal_read_disk(
	struct hb_journal_reader *r, struct hb_disk *disk, const char *path, struct hb_error *e)
{
	*r = (struct hb_journal_reader){.own = {.directory = -1, .lock = -1}};
	return begin(r, disk, path, e);
}

int
hb_journal_read_begin(struct hb_journal_reader *r, const char *path, struct hb_error *e)
{
	*r = (struct hb_journal_reader){0};
	int err = hb_disk_look(&r->own, path, e);

	return err != 0 ? err : begin(r, &r->own.disk, path, e);
}

static void
give_back(struct hb_journal_reader *r)
{
	if (r->disk != NULL && r->disk->recycle != NULL)
		r->disk->recycle(r->disk->context, r->segment, r->bytes);
	else
		free(r->segment);
	r->segment = NULL;
}

/* ---- segments ------------------------------------------------------------------------ */

static int
load(struct hb_disk *disk, uint32_t number, uint8_t **segment, uint64_t *bytes)
{
	char name[32];

	snprintf(name, sizeof(name), SEGMENT_NAME, number);
	return disk->load(disk->context, name, segment, bytes);
}

static void *
load_ahead(void *arg)
{
	struct hb_read_ahead *a = arg;

	a->err = load(a->disk, a->number, &a->segment, &a->bytes);
	return NULL;
}

/* Without a thread to be had, the segment is loaded when its turn comes. */
static void
begin_ahead(struct hb_journal_reader *r, uint32_t number)
{
	r->ahead = (struct hb_read_ahead){.disk = r->disk, .number = number};
	r->ahead.running = pthread_create(&r->ahead.thread, NULL, load_ahead, &r->ahead) == 0;
}

/* Waits for the thread. Its segment is the reader's, if that one wants it. */
static void
end_ahead(struct hb_journal_reader *r)
{
	if (r->ahead.running)
		pthread_join(r->ahead.thread, NULL);
	r->ahead.running = false;
}

void
hb_journal_read_ahead(struct hb_journal_reader *r)
{
	r->read_ahead = true;
}

static int
load_segment(struct hb_journal_reader *r, uint32_t number, struct hb_error *e)
{
	bool loaded = r->ahead.running && r->ahead.number == number;
	int err;

	end_ahead(r);
	r->number = number;
	give_back(r);
	if (loaded) {
		err = r->ahead.err;
		r->segment = r->ahead.segment;
		r->bytes = r->ahead.bytes;
	} else {
		err = load(r->disk, number, &r->segment, &r->bytes);
	}
	if (err != 0)
		return hb_fail(e, -err,
			"journal %s/" SEGMENT_NAME
			": cannot read: %s; check the disk and its rights",
			r->path, number, strerror(-err));
	r->read_bytes += r->bytes;
	if (r->read_ahead && number < r->last)
		begin_ahead(r, number + 1);
	return 0;
}

/* What is wrong with a segment's header, or NULL. */
static const char *
header_fault(struct hb_journal_reader *r)
{
	struct segment_header h;
	const char *fault = journal_header_fault(r->segment, r->bytes, &h);

	if (fault != NULL)
		return fault;
	if (r->number == 1) {
		r->id = h.journal;
		r->host = h.host;
	}
	if (h.journal != r->id || h.number != r->number || h.host != r->host)
		return "the segment belongs to another journal";
	if (h.first_batch != r->batch || h.first_record != r->record)
		return "the segment doesn't follow the one before it";
	return NULL;
}

static uint32_t
block_of(const struct hb_journal_reader *r)
{
	struct segment_header h;

	memcpy(&h, r->segment, sizeof(h));
	return h.block;
}

/* At a place where no good batch stands: the clean end, a torn tail, or damage. */
static int
end_of_segment(struct hb_journal_reader *r, struct hb_error *e)
{
	uint64_t left = r->bytes - r->at;

	r->end_segment = r->number;
	r->end_at = r->at;
	r->end_bytes = r->bytes;
	if (journal_all_zero(r->segment + r->at, left))
		return 0;
	if (journal_later_batch(r->segment + r->at, left, r->id, block_of(r), r->batch))
		return damage(r, r->at, "the batch there is damaged, and others follow it", e);
	/* Only in the last segment that was begun, as the next one will show. */
	r->torn = left;
	return 0;
}

/* A segment that ends badly and isn't the last. */
static int
torn_but_followed(struct hb_journal_reader *r, struct hb_error *e)
{
	r->number = r->end_segment;
	return damage(r, r->end_at, "the batch there is damaged, and a segment follows it", e);
}

/* Goes on to the next segment. Returns 1, 0 when there is none, or -errno. */
static int
next_segment(struct hb_journal_reader *r, struct hb_error *e)
{
	const char *fault;
	int err;

	if (r->number == r->last)
		return 0;
	if ((err = load_segment(r, r->number + 1, e)) != 0)
		return err;
	r->at = SEGMENT_HEADER_BYTES;
	if ((fault = header_fault(r)) == NULL && r->torn == 0)
		return 1;
	/* The last one may have been made just before a crash, with its header not written. */
	if (r->number == r->last && journal_all_zero(r->segment, r->bytes))
		return 0;
	if (r->torn != 0)
		return torn_but_followed(r, e);
	return damage(r, 0, fault, e);
}

/* The last segment may have been written to while it was read, a later part before an earlier one
 * was there: what is no clean end is read once more before it is judged. Returns 1 if it was, 0 or
 * -errno. */
static int
look_again(struct hb_journal_reader *r, struct hb_error *e)
{
	int err;

	if (r->number != r->last || r->looked_again ||
		journal_all_zero(r->segment + r->at, r->bytes - r->at))
		return 0;
	r->looked_again = true;
	r->read_bytes -= r->bytes;
	err = load_segment(r, r->number, e);
	if (err == 0 && r->bytes < r->at)
		err = damage(r, r->at, "the segment became shorter", e);
	return err == 0 ? 1 : err;
}

static bool
batch_good(const struct hb_journal_reader *r, struct batch_header *h)
{
	return journal_batch_good(r->segment + r->at, r->bytes - r->at, r->id, block_of(r), h);
}

/* Stands at the next good batch, with its header. Returns 1, 0 at the end, or -errno. */
static int
find_batch(struct hb_journal_reader *r, struct batch_header *h, struct hb_error *e)
{
	int rc;

	while (r->number == 0 || !batch_good(r, h)) {
		if (r->number != 0 && (rc = look_again(r, e)) != 0) {
			if (rc < 0)
				return rc;
			continue;
		}
		if (r->number != 0 && (rc = end_of_segment(r, e)) != 0)
			return rc;
		if ((rc = next_segment(r, e)) <= 0)
			return rc;
	}
	if (h->number != r->batch || h->first_record != r->record)
		return damage(r, r->at, "the batch there has another number than the next", e);
	return 1;
}

int
hb_journal_read(struct hb_journal_reader *r, const struct hb_record **records, struct hb_error *e)
{
	struct batch_header h;

	if (r->state == 1)
		r->state = find_batch(r, &h, &r->fault);
	if (r->state <= 0) {
		if (r->state < 0 && e != NULL)
			*e = r->fault;
		return r->state;
	}
	*records = (const struct hb_record *)(r->segment + r->at + sizeof(h));
	r->at += batch_bytes(h.count, block_of(r));
	r->batch++;
	r->record += h.count;
	return (int)h.count;
}

void
hb_journal_read_end(struct hb_journal_reader *r)
{
	if (r->disk == NULL)
		return;
	if (r->ahead.running) {
		end_ahead(r);
		free(r->ahead.segment);
	}
	free(r->segment);
	r->segment = NULL;
	/* Nothing to give back: the disk keeps no spare buffer either. */
	give_back(r);
	if (r->disk == &r->own.disk)
		hb_disk_close(&r->own);
}
