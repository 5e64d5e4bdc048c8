/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_journal: the only truth that survives. What campaigns were funded with and what was given, in
 * segment files of fixed-size records, appended in batches: one write and one flush for a batch.
 *
 * On disk, all little-endian:
 *   DIRECTORY/00000001.hbj, 00000002.hbj, ...   numbered without a gap
 *   segment = a header of 4096 bytes, then batches, then zeros up to the file's end
 *   batch   = a header of 64 bytes, then `count` records of 40 bytes, then zeros up to the next
 *             multiple of the segment's block size
 * Every header and every batch carries a CRC32C, and the journal's random id, so that neither a
 * torn write nor a file of another journal is ever taken for good.
 *
 * Owner: the writer belongs to the control core, alone; a reader to whoever opened it. A directory
 * has one writer at a time (a lock on its file `lock`).
 */
#ifndef HB_JOURNAL_H
#define HB_JOURNAL_H

#include "hb_pool.h"

#include <limits.h>
#include <pthread.h>
#include <sys/types.h>

/* ---- records ------------------------------------------------------------------------ */

enum hb_record_type {
	HB_RECORD_FUND = 1,  /* a campaign was funded, or, when it was before, topped up */
	HB_RECORD_TIER = 2,  /* a tier of the FUND or RETURN record before it */
	HB_RECORD_WIN = 3,   /* an envelope was given */
	HB_RECORD_SEED = 4,  /* id: what draws are made from, so that a restart draws the same */
	HB_RECORD_QUOTA = 5, /* aux: what a campaign gives one user at most from now on */
	HB_RECORD_PACK = 6,  /* a group packet was funded: by its sender, or by the WIN before it */
	HB_RECORD_GRAB = 7,  /* a share of a packet was taken */
	HB_RECORD_REFUND = 8,  /* a packet's time was over: what was left in it goes back */
	HB_RECORD_LEASE = 9,   /* the FUND behind it is a block of a budget that many hosts share */
	HB_RECORD_RETURN = 10, /* envelopes of a block go back to that budget */
	HB_RECORD_ROW = 11,    /* a user who won on another host: the slice came from there */
};

/* aux of a WIN: what became of the envelope's money. */
enum hb_win_kind {
	HB_WIN_PLAIN = 0,  /* it is the user's */
	HB_WIN_BUNDLE = 1, /* it is in the packet of the PACK record behind, in the same batch */
};

/* A record as it stands in the rings, in memory and on disk.
 *
 * field      FUND            TIER        WIN
 * op         enum hb_split   its number  enum hb_op
 * campaign   its id          its id      its id
 * seq        envelopes       envelopes   the request's seq
 * user       total fen       0           the user
 * id         seed            0           the envelope's id
 * amount     tiers to come   fen each    fen
 * aux        wins per user   0           enum hb_win_kind
 * time_us    since 1970, of the funding or of the request
 *
 * field      PACK                     GRAB                  REFUND
 * op         enum hb_split            enum hb_op            0
 * campaign   a bundle's, else 0       as the PACK's         as the PACK's
 * seq        the request's            the request's         0
 * user       the sender, or winner    who has the share     as the PACK's
 * id         the packet               the packet            the packet
 * amount     total fen                fen                   fen that go back
 * aux        shares << 8 | hours      the share's number,   shares that nobody took
 *                                     from 1
 * time_us    of the request           of the request        when it was found to be over
 * field      LEASE                   RETURN                     ROW
 * op         0                       0                          enum hb_outcome of the seq
 * campaign   its id                  its id                     its id
 * seq        the block's number      envelopes                  the last that was answered
 * user       0                       fen in them                the user
 * id         number of the block's   the block's number         the last envelope won
 *            first envelope
 * amount     0                       tiers to come              fen in that
 * aux        0                       how many envelopes of the  wins so far
 *                                    block stand before them
 * time_us    of the funding          of the return              of the last win
 * (SEED: id is the seed, time_us when it was drawn, all else 0. QUOTA: campaign, aux and time_us,
 * all else 0. ROW: of a bundle id is its packet's, as the user was told.)
 *
 * The envelopes of a top-up are numbered on from those that the campaign had; their amounts are
 * made from its own record, seed and all. Those of a leased block are numbered as its LEASE says,
 * so that no two hosts have one number. What goes back of a block of tiers has a TIER for each
 * amount in it. A funding is one batch with its
 * tiers and its LEASE, and so are the WIN and the PACK of a bundle. A packet's records stand in the
 * order in which its core decided them. What is left of a packet goes back to its sender, and of a
 * bundle to whoever funded the campaign. A packet that is done, with all shares taken or what was
 * left given back, is forgotten after a while, and then another may have its id.
 */
struct hb_record {
	uint8_t type;
	uint8_t op;
	uint16_t campaign;
	uint32_t seq;
	uint64_t user;
	uint64_t id;
	uint32_t amount;
	uint32_t aux;
	uint64_t time_us;
};
_Static_assert(sizeof(struct hb_record) == 40, "the journal's format");

/* The most records that one funding takes. */
#define HB_FUND_RECORDS_MAX (2 + HB_TIERS_MAX)

/* Which block of a shared budget a funding is. */
struct hb_lease {
	uint32_t block; /* its number in the campaign, from 1; 0: it is none */
	uint32_t first; /* number of its first envelope, in the whole campaign */
};

/* Writes a campaign's funding as records; returns how many. */
unsigned hb_fund_encode(struct hb_record out[1 + HB_TIERS_MAX], uint16_t campaign,
	const struct hb_terms *terms, uint32_t wins_per_user, uint64_t time_us);
/* The same of a block, or, where lease->block is 0, of what is none. */
unsigned hb_lease_encode(struct hb_record out[HB_FUND_RECORDS_MAX], uint16_t campaign,
	const struct hb_lease *lease, const struct hb_terms *terms, uint32_t wins_per_user,
	uint64_t time_us);

/* Puts a funding together again, record by record as they come. */
struct hb_fund {
	struct hb_terms terms;
	uint64_t time_us;
	uint32_t wins_per_user;
	uint16_t campaign;
	uint8_t tiers_to_come;
	bool fund_to_come; /* its LEASE was there */
	struct hb_lease lease;
};

/* The most records that one return takes. */
#define HB_RETURN_RECORDS_MAX (1 + HB_TIERS_MAX)

/* Takes the next LEASE, FUND or TIER record. Returns 1 when the funding is complete, 0 when more is
 * still to come, -EINVAL when the record doesn't belong there or the terms make no sense. */
int hb_fund_decode(struct hb_fund *f, const struct hb_record *r);

/* Whether a funding has begun, so that the next record must be of it. */
static inline bool
hb_fund_begun(const struct hb_fund *f)
{
	return f->tiers_to_come > 0 || f->fund_to_come;
}

/* Whether a record breaks off a funding that has begun. */
static inline bool
hb_fund_breaks(const struct hb_fund *f, const struct hb_record *r)
{
	return (f->tiers_to_come > 0 && r->type != HB_RECORD_TIER) ||
	       (f->fund_to_come && r->type != HB_RECORD_FUND);
}

/* ---- the disk ----------------------------------------------------------------------- */

/* All that the journal asks of a disk, so that a test can be the disk. Each call returns 0 (or what
 * it says) or -errno. `write` puts all bytes down or fails. */
struct hb_disk {
	void *context;
	/* Makes a new file of `bytes` bytes with the space reserved, and returns a handle. */
	int (*create)(void *context, const char *name, uint64_t bytes);
	/* Writes at an offset; buffer, length and offset are multiples of hb_disk.block. */
	int (*write)(void *context, int handle, const void *buffer, size_t bytes, uint64_t at);
	/* Returns once what was written to the handle is on stable storage. */
	int (*flush)(void *context, int handle);
	/* Cuts the file to `bytes` and closes the handle. */
	int (*close)(void *context, int handle, uint64_t bytes);
	/* Makes a name that was created durable. */
	int (*flush_names)(void *context);
	/* How many segments there are, and the highest number of one. */
	int (*list)(void *context, uint32_t *count, uint32_t *last);
	/* Reads a whole file into memory that the caller frees; the buffer is aligned to 8 bytes.
	 */
	int (*load)(void *context, const char *name, uint8_t **buffer, uint64_t *bytes);
	/* Takes a buffer of load() back, for the next one; a NULL buffer: there will be no next
	 * one. May be absent: the buffer is then to be freed. */
	void (*recycle)(void *context, uint8_t *buffer, uint64_t bytes);
	/* The length of a file. */
	int (*length)(void *context, const char *name, uint64_t *bytes);
	/* Cuts a file that isn't open to `bytes` and makes durable what stays, also where a flush
	 * of it failed before: the last batch and the header can be concerned. */
	int (*cut)(void *context, const char *name, uint64_t bytes);
	/* Removes a file. */
	int (*remove)(void *context, const char *name);
	/* Reads up to so many bytes at an offset, all multiples of HB_READ_ALIGN, as is the buffer.
	 * Returns how many, less at the file's end. For following a journal; else may be absent. */
	int64_t (*read)(
		void *context, const char *name, uint8_t *buffer, uint64_t bytes, uint64_t at);
	/* Returns once what is in a file, that anybody wrote, is on stable storage. The same. */
	int (*settle)(void *context, const char *name);
	uint32_t block; /* 512 or 4096 */
	/* What stood in the way of the disk's fastest way to write, or NULL. */
	const char *note;
};

#define HB_READ_ALIGN 4096

/* The files of a directory: O_DIRECT and O_DSYNC where the file system can, else fdatasync.
 * Segments that aren't there any more are looked for in its archive, see hb_archive.h. */
struct hb_disk_directory {
	struct hb_disk disk;
	int directory;
	int lock;
	bool direct;
	bool made;	/* the directory was not there before */
	uint8_t *spare; /* a buffer for the next load, so that its pages are there already */
	uint64_t spare_room;
};

/* Makes the directory if it isn't there, takes its lock, and finds out how it can be written.
 * Returns 0 or -errno with a line in e (-EBUSY: another process has it). */
int hb_disk_open(struct hb_disk_directory *d, const char *path, struct hb_error *e);
/* The same for reading only: makes nothing, takes no lock, so that a running journal can be read.
 */
int hb_disk_look(struct hb_disk_directory *d, const char *path, struct hb_error *e);

void hb_disk_close(struct hb_disk_directory *d);
/* Closes it after a start that failed: a directory that was made for it goes again. */
void hb_disk_discard(struct hb_disk_directory *d, const char *path);

/* ---- writing ------------------------------------------------------------------------ */

#define HB_SEGMENT_BYTES (64ull << 20)
#define HB_BATCH_BYTES (1u << 20)

struct hb_journal {
	struct hb_disk *disk;
	uint8_t *buffer; /* the batch in the making, aligned for the disk */
	uint64_t id;	 /* the journal's, random */
	uint64_t segment_bytes;
	uint64_t flush_ns; /* how long the last write and flush took */
	uint32_t host;
	int handle;
	/* owner: wo; all others: ro, each by a relaxed __atomic_load_n(), from here on */
	uint64_t batch;	  /* sequence number of the next batch, from 1 */
	uint64_t record;  /* number of the next record, from 0 */
	uint64_t at;	  /* where in the segment the next batch goes */
	uint64_t bytes;	  /* written since it was begun or resumed, headers included */
	uint32_t segment; /* number of the open one; 0: none yet */
	bool failed;	  /* a write or flush failed: nothing more is written, ever */
};

/* Begins a new journal in an empty directory. segment_bytes: 0 for HB_SEGMENT_BYTES. Returns 0 or
 * -errno with a line in e. */
int hb_journal_begin(struct hb_journal *j, struct hb_disk *disk, uint32_t host,
	uint64_t segment_bytes, struct hb_error *e);

struct hb_journal_reader;

/* Goes on with a journal that was read to its end: cuts off what stands behind the last good batch,
 * and begins a new segment. Where no segment was ever begun (end_segment 0), r->host is to be set
 * by the caller. Returns 0 or -errno with a line in e. */
int hb_journal_resume(struct hb_journal *j, struct hb_disk *disk, const struct hb_journal_reader *r,
	uint64_t segment_bytes, struct hb_error *e);

/* Room for the next batch's records, and in *most how many fit. */
struct hb_record *hb_journal_room(struct hb_journal *j, unsigned *most);

/* Makes the first n records of the room one batch: written and flushed when this returns 0.
 * -ENOSPC: nothing was written, the records still stand in the room, try again later.
 * Anything else: the disk failed; the journal is failed for good and every further call says -EIO.
 */
int hb_journal_commit(struct hb_journal *j, unsigned n);

/* Cuts the open segment to what was written and frees the buffer. */
void hb_journal_end(struct hb_journal *j);

/* The same after a start that failed: a segment that nothing was written into goes again. */
void hb_journal_abandon(struct hb_journal *j);

/* ---- reading ------------------------------------------------------------------------ */

/* The segment that a thread of the reader's loads while the one before it is read. The thread alone
 * touches it, and the disk, from its start until it is joined. */
struct hb_read_ahead {
	struct hb_disk *disk;
	pthread_t thread;
	uint8_t *segment;
	uint64_t bytes;
	uint32_t number;
	int err;
	bool running; /* owner: the reader */
};

struct hb_journal_reader {
	char path[PATH_MAX]; /* for error lines */
	struct hb_disk *disk;
	struct hb_disk_directory own; /* the disk, when it was named by its path */
	uint8_t *segment;	      /* the segment's bytes */
	uint64_t bytes;
	uint64_t at;
	uint64_t id;
	uint64_t batch;	      /* the next one's expected number */
	uint64_t record;      /* the next one's expected number */
	uint64_t torn;	      /* bytes of a torn tail, known at the end */
	uint64_t total_bytes; /* of all segments, for progress */
	uint64_t read_bytes;
	uint32_t host;
	uint32_t number; /* of the segment in memory; 0: none yet */
	uint32_t last;	 /* number of the last segment */
	int state; /* 1: there may be more; 0: the end was reached; else -errno, as fault says */
	struct hb_error fault;
	bool looked_again; /* the last segment was read a second time */
	bool read_ahead;
	struct hb_read_ahead ahead;
	/* Where the last good batch ends, known at the end: a segment (0: there is none that was
	 * begun), an offset and the file's length. */
	uint32_t end_segment;
	uint64_t end_at;
	uint64_t end_bytes;
};

/* Opens a journal's directory for reading; it may be in use. Returns 0 or -errno with a line in e
 * (-ENOENT: no journal there; -EILSEQ: a segment is missing). The reader must stay where it is. */
int hb_journal_read_begin(struct hb_journal_reader *r, const char *path, struct hb_error *e);

/* The same for a disk; `path` is its name for error lines. */
int hb_journal_read_disk(
	struct hb_journal_reader *r, struct hb_disk *disk, const char *path, struct hb_error *e);

/* Loads each segment in a thread of its own while the one before it is read, so that two are in
 * memory. Before the first read. For a disk whose load() and recycle() another thread may call,
 * though never two at a time; the directory's can, and must stay open until hb_journal_read_end().
 * The records and the errors are the same. */
void hb_journal_read_ahead(struct hb_journal_reader *r);

/* The next batch's records. Returns how many, 0 at the end (r->torn says what was cut off), or
 * -EILSEQ with file and offset of the damage in e, or another -errno. The records are valid until
 * the next call. */
int hb_journal_read(
	struct hb_journal_reader *r, const struct hb_record **records, struct hb_error *e);

void hb_journal_read_end(struct hb_journal_reader *r);

#endif
