/* SPDX-License-Identifier: BSD-3-Clause */
#include "format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int
damage(const struct hb_journal_reader *r, uint64_t at, const char *what, struct hb_error *e)
{
	return hb_fail(e, EILSEQ,
		"journal %s/" SEGMENT_NAME
		": offset %llu: %s; nothing was changed: restore this file "
		"from a copy",
		r->path, r->number, (unsigned long long)at, what);
}

static bool
all_zero(const uint8_t *p, uint64_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Finds the segments: numbered from 1 without a gap. */
static int
list_segments(struct hb_journal_reader *r, struct hb_error *e)
{
	DIR *dir = opendir(r->path);
	struct dirent *entry;
	struct stat st;
	uint32_t found = 0;

	if (dir == NULL)
		return hb_fail(e, errno,
			"journal %s: cannot open the directory: %s; name a journal's "
			"directory",
			r->path, strerror(errno));
	while ((entry = readdir(dir)) != NULL) {
		unsigned number;
		int end = 0;

		if (sscanf(entry->d_name, "%8u.hbj%n", &number, &end) != 1 || end != 12 ||
			entry->d_name[end] != '\0')
			continue;
		found++;
		r->last = number > r->last ? number : r->last;
		if (fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
			r->total_bytes += (uint64_t)st.st_size;
	}
	closedir(dir);
	if (found == 0)
		return hb_fail(e, ENOENT,
			"journal %s: no segment (*.hbj) in it; name a journal's "
			"directory",
			r->path);
	if (found != r->last)
		return hb_fail(e, EILSEQ,
			"journal %s: %u segments, but the last is number %u: %u missing; restore "
			"them "
			"from a copy",
			r->path, found, r->last, r->last - found);
	return 0;
}

int
hb_journal_read_begin(struct hb_journal_reader *r, const char *path, struct hb_error *e)
{
	*r = (struct hb_journal_reader){.batch = 1};
	if ((size_t)snprintf(r->path, sizeof(r->path), "%s", path) >= sizeof(r->path))
		return hb_fail(e, ENAMETOOLONG, "journal %s: the path is too long", path);
	return list_segments(r, e);
}

static int
load_segment(struct hb_journal_reader *r, uint32_t number, struct hb_error *e)
{
	char path[PATH_MAX + 32];
	struct stat st;
	uint64_t got = 0;
	int fd;

	r->number = number;
	snprintf(path, sizeof(path), "%s/" SEGMENT_NAME, r->path, number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		int err = errno;

		if (fd >= 0)
			close(fd);
		return hb_fail(e, err, "journal %s: cannot read: %s", path, strerror(err));
	}
	free(r->segment);
	r->bytes = (uint64_t)st.st_size;
	r->segment = malloc(r->bytes + 1);
	while (r->segment != NULL && got < r->bytes) {
		ssize_t n = read(fd, r->segment + got, r->bytes - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (uint64_t)n;
	}
	close(fd);
	if (r->segment == NULL || got < r->bytes)
		return hb_fail(e, r->segment == NULL ? ENOMEM : EIO,
			"journal %s: read %llu of %llu bytes", path, (unsigned long long)got,
			(unsigned long long)r->bytes);
	r->read_bytes += got;
	return 0;
}

/* What is wrong with a segment's header, or NULL. */
static const char *
header_fault(struct hb_journal_reader *r)
{
	struct segment_header h;

	if (r->bytes < SEGMENT_HEADER_BYTES)
		return "the segment is shorter than its header";
	memcpy(&h, r->segment, sizeof(h));
	if (h.magic != SEGMENT_MAGIC ||
		h.crc != journal_crc(&h, offsetof(struct segment_header, crc)) ||
		!all_zero(r->segment + sizeof(h), SEGMENT_HEADER_BYTES - sizeof(h)))
		return "the segment's header is damaged";
	if (h.version != FORMAT_VERSION || (h.block != 512 && h.block != 4096))
		return "a journal format that this program doesn't know";
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

static bool
batch_header_good(const struct hb_journal_reader *r, uint64_t at, struct batch_header *h)
{
	if (r->bytes - at < sizeof(*h))
		return false;
	memcpy(h, r->segment + at, sizeof(*h));
	return h->magic == BATCH_MAGIC && h->journal == r->id && h->count > 0 &&
	       h->crc == journal_crc(h, offsetof(struct batch_header, crc));
}

static bool
batch_good(const struct hb_journal_reader *r, uint64_t at, struct batch_header *h)
{
	if (!batch_header_good(r, at, h))
		return false;
	uint64_t bytes = batch_bytes(h->count, block_of(r));
	return bytes <= r->bytes - at &&
	       h->records_crc == journal_crc(r->segment + at + sizeof(*h), bytes - sizeof(*h));
}

/* Whether a later batch of this journal stands behind a bad one: then that one is no torn tail. Any
 * batch that was begun after this one shows that this one had been flushed. */
static bool
later_batch(const struct hb_journal_reader *r, uint64_t at)
{
	uint32_t block = block_of(r);
	struct batch_header h;

	for (at += block; at < r->bytes; at += block) {
		if (batch_header_good(r, at, &h) && h.number > r->batch)
			return true;
	}
	return false;
}

/* At a place where no good batch stands: the clean end, a torn tail, or damage. */
static int
end_of_segment(struct hb_journal_reader *r, struct hb_error *e)
{
	uint64_t left = r->bytes - r->at;

	if (all_zero(r->segment + r->at, left))
		return 0;
	if (r->number != r->last || later_batch(r, r->at))
		return damage(r, r->at, "the batch there is damaged, and others follow it", e);
	r->torn = left;
	return 0;
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
	if ((fault = header_fault(r)) == NULL)
		return 1;
	/* The last one may have been made just before a crash, with its header not written. */
	if (r->number == r->last && r->number > 1 && all_zero(r->segment, r->bytes))
		return 0;
	return damage(r, 0, fault, e);
}

int
hb_journal_read(struct hb_journal_reader *r, const struct hb_record **records, struct hb_error *e)
{
	struct batch_header h;
	int rc;

	for (;;) {
		if (r->number != 0 && batch_good(r, r->at, &h))
			break;
		if (r->number != 0 && (rc = end_of_segment(r, e)) != 0)
			return rc;
		if ((rc = next_segment(r, e)) <= 0)
			return rc;
	}
	if (h.number != r->batch || h.first_record != r->record)
		return damage(r, r->at, "the batch there has another number than the next", e);
	*records = (const struct hb_record *)(r->segment + r->at + sizeof(h));
	r->at += batch_bytes(h.count, block_of(r));
	r->batch++;
	r->record += h.count;
	return (int)h.count;
}

void
hb_journal_read_end(struct hb_journal_reader *r)
{
	free(r->segment);
	r->segment = NULL;
}
