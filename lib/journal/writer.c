/* SPDX-License-Identifier: BSD-3-Clause */
#include "format.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFER_ALIGN 4096

/* Others may look at where the journal stands. */
static void
move_on(uint64_t *field, uint64_t to)
{
	__atomic_store_n(field, to, __ATOMIC_RELAXED);
}

/* Puts a new segment's header down. On failure the half-made file stays: a reader takes a last
 * segment without a header for one that was never begun. */
static int
write_segment_header(struct hb_journal *j, int handle, uint32_t number)
{
	struct segment_header h = {
		.magic = SEGMENT_MAGIC,
		.version = FORMAT_VERSION,
		.block = j->disk->block,
		.journal = j->id,
		.host = j->host,
		.number = number,
		.first_batch = j->batch,
		.first_record = j->record,
		.created_us = hb_wall_us(),
	};
	uint8_t *page = NULL;
	int err;

	h.crc = journal_crc(&h, offsetof(struct segment_header, crc));
	if (posix_memalign((void **)&page, BUFFER_ALIGN, SEGMENT_HEADER_BYTES) != 0)
		return -ENOMEM;
	memset(page, 0, SEGMENT_HEADER_BYTES);
	memcpy(page, &h, sizeof(h));
	err = j->disk->write(j->disk->context, handle, page, SEGMENT_HEADER_BYTES, 0);
	if (err == 0)
		err = j->disk->flush(j->disk->context, handle);
	if (err == 0)
		err = j->disk->flush_names(j->disk->context);
	free(page);
	return err;
}

/* Reserves the next segment, cuts the one before it to what was used, then begins the new one.
 * Returns -ENOSPC, with everything as it was, when there is no room for one. */
static int
next_segment(struct hb_journal *j)
{
	char name[32];
	int handle, err = 0;

	snprintf(name, sizeof(name), SEGMENT_NAME, j->segment + 1);
	handle = j->disk->create(j->disk->context, name, j->segment_bytes);
	if (handle < 0)
		return handle;
	/* The old one ends cleanly before the new one can be seen to follow it. */
	if (j->handle >= 0)
		err = j->disk->close(j->disk->context, j->handle, j->at);
	if (err == 0)
		err = write_segment_header(j, handle, j->segment + 1);
	if (err != 0)
		return err == -ENOSPC ? -EIO : err;
	__atomic_store_n(&j->segment, j->segment + 1, __ATOMIC_RELAXED);
	j->handle = handle;
	move_on(&j->at, SEGMENT_HEADER_BYTES);
	move_on(&j->bytes, j->bytes + SEGMENT_HEADER_BYTES);
	return 0;
}

/* Makes the buffer and the next segment of a journal whose other fields are set. */
static int
open_journal(struct hb_journal *j, uint64_t segment_bytes, struct hb_error *e)
{
	int err;

	j->handle = -1;
	j->segment_bytes = segment_bytes == 0 ? HB_SEGMENT_BYTES : segment_bytes;
	if (posix_memalign((void **)&j->buffer, BUFFER_ALIGN, HB_BATCH_BYTES) != 0)
		return hb_fail(
			e, ENOMEM, "journal: no memory for a batch of %u bytes", HB_BATCH_BYTES);
	if ((err = next_segment(j)) == 0)
		return 0;
	free(j->buffer);
	j->buffer = NULL;
	return hb_fail(e, -err, "journal: cannot make segment %u of %llu MiB: %s; make room",
		j->segment + 1, (unsigned long long)(j->segment_bytes >> 20), strerror(-err));
}

int
hb_journal_begin(struct hb_journal *j, struct hb_disk *disk, uint32_t host, uint64_t segment_bytes,
	struct hb_error *e)
{
	*j = (struct hb_journal){.disk = disk, .host = host, .batch = 1};
	randombytes_buf(&j->id, sizeof(j->id));
	return open_journal(j, segment_bytes, e);
}

/* Takes away what a crash left behind the last good batch. Where nothing is there to take away, the
 * cut still makes durable what was read: a batch that was written and not flushed is good to read
 * as long as the power stays on. */
static int
tidy_end(struct hb_disk *disk, const struct hb_journal_reader *r)
{
	char name[32];
	int err = 0;

	snprintf(name, sizeof(name), SEGMENT_NAME, r->last);
	if (r->last != r->end_segment)
		err = disk->remove(disk->context, name);
	snprintf(name, sizeof(name), SEGMENT_NAME, r->end_segment);
	if (err == 0 && r->end_segment != 0)
		err = disk->cut(disk->context, name, r->end_at);
	return err == 0 ? disk->flush_names(disk->context) : err;
}

int
hb_journal_resume(struct hb_journal *j, struct hb_disk *disk, const struct hb_journal_reader *r,
	uint64_t segment_bytes, struct hb_error *e)
{
	int err;

	if (r->state != 0)
		return hb_fail(e, EINVAL, "journal %s: was not read to its end", r->path);
	if ((err = tidy_end(disk, r)) != 0)
		return hb_fail(e, -err,
			"journal %s: cannot cut off its torn end: %s; check the disk", r->path,
			strerror(-err));
	*j = (struct hb_journal){
		.disk = disk,
		.id = r->id,
		.host = r->host,
		.batch = r->batch,
		.record = r->record,
		.segment = r->end_segment,
	};
	if (r->end_segment == 0)
		randombytes_buf(&j->id, sizeof(j->id));
	return open_journal(j, segment_bytes, e);
}

struct hb_record *
hb_journal_room(struct hb_journal *j, unsigned *most)
{
	*most = (HB_BATCH_BYTES - sizeof(struct batch_header)) / sizeof(struct hb_record);
	return (struct hb_record *)(j->buffer + sizeof(struct batch_header));
}

static int
write_batch(struct hb_journal *j, unsigned n)
{
	struct batch_header *h = (struct batch_header *)j->buffer;
	uint64_t bytes = batch_bytes(n, j->disk->block);
	uint64_t used = sizeof(*h) + n * sizeof(struct hb_record);
	int err;

	memset(j->buffer + used, 0, bytes - used);
	*h = (struct batch_header){
		.magic = BATCH_MAGIC,
		.count = n,
		.journal = j->id,
		.number = j->batch,
		.first_record = j->record,
		.written_us = hb_wall_us(),
		.records_crc = journal_crc(j->buffer + sizeof(*h), bytes - sizeof(*h)),
	};
	h->crc = journal_crc(h, offsetof(struct batch_header, crc));
	err = j->disk->write(j->disk->context, j->handle, j->buffer, bytes, j->at);
	/* A file system that reserves nothing can run full here: the same bytes go to the same
	 * place when there is room again, and until then nobody was told anything. */
	if (err != 0)
		return err;
	if (j->disk->flush(j->disk->context, j->handle) != 0)
		return -EIO;
	move_on(&j->at, j->at + bytes);
	move_on(&j->bytes, j->bytes + bytes);
	move_on(&j->batch, j->batch + 1);
	move_on(&j->record, j->record + n);
	return 0;
}

int
hb_journal_commit(struct hb_journal *j, unsigned n)
{
	uint64_t start = hb_mono_ns();
	int err = 0;

	if (j->failed)
		return -EIO;
	if (n == 0)
		return 0;
	if (j->at + batch_bytes(n, j->disk->block) > j->segment_bytes)
		err = next_segment(j);
	if (err == 0)
		err = write_batch(j, n);
	/* After a failed flush nobody knows what the disk holds (the kernel may have dropped the
	 * dirty pages), so there is no second try. */
	if (err != 0 && err != -ENOSPC)
		__atomic_store_n(&j->failed, true, __ATOMIC_RELAXED);
	j->flush_ns = hb_mono_ns() - start;
	return err;
}

void
hb_journal_abandon(struct hb_journal *j)
{
	bool unused = j->at == SEGMENT_HEADER_BYTES;
	char name[32];

	hb_journal_end(j);
	snprintf(name, sizeof(name), SEGMENT_NAME, j->segment);
	if (unused)
		j->disk->remove(j->disk->context, name);
}

void
hb_journal_end(struct hb_journal *j)
{
	if (j->handle >= 0 && !j->failed)
		j->disk->close(j->disk->context, j->handle, j->at);
	free(j->buffer);
	j->buffer = NULL;
	j->handle = -1;
}
