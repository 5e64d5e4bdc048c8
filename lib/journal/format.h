/* SPDX-License-Identifier: BSD-3-Clause */
/* The journal's bytes on disk, for its writer and its reader alone. */
#ifndef HB_JOURNAL_FORMAT_H
#define HB_JOURNAL_FORMAT_H

#include "hb_journal.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the journal is little-endian");

#define SEGMENT_MAGIC 0x314C4E524A4F4248ull /* "HBOJRNL1" */
#define BATCH_MAGIC 0x54414248u		    /* "HBAT" */
#define FORMAT_VERSION 1
#define SEGMENT_HEADER_BYTES 4096
#define SEGMENT_NAME "%08u.hbj"

/* At offset 0 of a segment; the rest of SEGMENT_HEADER_BYTES is 0. */
struct segment_header {
	uint64_t magic;
	uint32_t version;
	uint32_t block; /* batches begin at multiples of it */
	uint64_t journal;
	uint32_t host;
	uint32_t number;
	uint64_t first_batch;
	uint64_t first_record;
	uint64_t created_us;
	uint32_t unused;
	uint32_t crc; /* of all the bytes before it */
};
_Static_assert(sizeof(struct segment_header) == 64, "the journal's format");

struct batch_header {
	uint32_t magic;
	uint32_t count; /* records */
	uint64_t journal;
	uint64_t number;
	uint64_t first_record;
	uint64_t written_us;
	uint64_t unused[2];
	uint32_t records_crc; /* of the records and the zeros behind them */
	uint32_t crc;	      /* of all the header's bytes before it */
};
_Static_assert(sizeof(struct batch_header) == 64, "the journal's format");

/* Writes all bytes at an offset of a file. Returns 0 or -errno. */
int journal_write(int fd, const void *buffer, size_t bytes, uint64_t at);

/* Reads on up to the end of the file or of the room, which is a multiple of HB_READ_ALIGN. Returns
 * how much, or -errno. */
int64_t journal_read(int fd, uint8_t *buffer, uint64_t room);

/* CRC32C (Castagnoli, RFC 3720 B.4) of n bytes. */
uint32_t journal_crc(const void *bytes, size_t n);

/* The number that a segment's name says, 0 for any other name. */
uint32_t journal_segment_number(const char *name);

/* What is wrong with a segment's header alone, or NULL; `bytes` of the segment stand at p. */
const char *journal_header_fault(const uint8_t *p, uint64_t bytes, struct segment_header *h);

/* Whether the header of a batch of this journal stands at p, with `left` bytes to be read there. */
bool journal_batch_header(
	const uint8_t *p, uint64_t left, uint64_t journal, struct batch_header *h);

/* Whether a whole batch does. */
bool journal_batch_good(
	const uint8_t *p, uint64_t left, uint64_t journal, uint32_t block, struct batch_header *h);

/* Whether the header of a batch later than number `batch` stands anywhere behind p, at a multiple
 * of the block. Any batch that was begun after another shows that that one had been flushed. */
bool journal_later_batch(
	const uint8_t *p, uint64_t left, uint64_t journal, uint32_t block, uint64_t batch);

static inline bool
journal_all_zero(const uint8_t *p, uint64_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Bytes that a batch takes on disk. */
static inline uint64_t
batch_bytes(uint32_t count, uint32_t block)
{
	uint64_t n = sizeof(struct batch_header) + (uint64_t)count * sizeof(struct hb_record);

	return (n + block - 1) / block * block;
}

#endif
