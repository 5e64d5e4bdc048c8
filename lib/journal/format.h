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

/* CRC32C (Castagnoli, RFC 3720 B.4) of n bytes. */
uint32_t journal_crc(const void *bytes, size_t n);

/* Bytes that a batch takes on disk. */
static inline uint64_t
batch_bytes(uint32_t count, uint32_t block)
{
	uint64_t n = sizeof(struct batch_header) + (uint64_t)count * sizeof(struct hb_record);

	return (n + block - 1) / block * block;
}

#endif
