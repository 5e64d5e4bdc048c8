/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The journal on a disk that tests can break: whatever is torn, cut, flipped, mixed up or refused,
 * reading gives what was committed, or says where it can't.
 */
#include "format.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- directories ----------------------------------------------------------------------- */

static char base[64]; /* where all tests work */

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	return remove(path);
}

static void
remove_tree(const char *path)
{
	nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int
begin(void **state)
{
	(void)state;
	/* In memory where there is such a place: these tests write tens of thousands of files. */
	snprintf(base, sizeof(base), "%s/hb-journal-XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	return mkdtemp(base) == NULL ? -1 : 0;
}

/* The path of a name in base; good for four calls. */
static const char *
in_base(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", base, name);
	return p;
}

static void
put_file(const char *dir, const char *name, const void *bytes, size_t n)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(close(fd), 0);
}

/* ---- records --------------------------------------------------------------------------- */

/* What record number i of every test's journal is. */
static struct hb_record
record_of(uint64_t i)
{
	uint64_t state = i;

	return (struct hb_record){
		.type = HB_RECORD_WIN,
		.op = (uint8_t)(1 + i % 2),
		.campaign = (uint16_t)(i * 31 + 1),
		.seq = (uint32_t)i + 1,
		.user = hb_splitmix64(&state),
		.id = i + 1,
		.amount = (uint32_t)(i % 999) + 1,
		.aux = (uint32_t)~i,
		.time_us = 1424269800000000 + i,
	};
}

/* Puts the next n records in the room and commits them. */
static int
commit(struct hb_journal *j, unsigned n)
{
	unsigned most;
	struct hb_record *room = hb_journal_room(j, &most);

	assert_true(n <= most);
	for (unsigned i = 0; i < n; i++)
		room[i] = record_of(j->record + i);
	return hb_journal_commit(j, n);
}

/* ---- a disk in memory ------------------------------------------------------------------- */

#define FILES_MAX 512

enum call {
	CALL_CREATE,
	CALL_WRITE,
	CALL_FLUSH,
	CALL_CLOSE,
	CALL_FLUSH_NAMES,
	CALL_CUT,
	CALL_REMOVE,
	CALLS
};

struct file {
	char name[32];
	uint8_t *seen;	 /* what a reader sees while the power is on */
	uint8_t *stable; /* what is left when it fails */
	uint64_t bytes, stable_bytes;
	bool open, name_stable;
};

struct memory_disk {
	struct hb_disk disk;
	struct file file[FILES_MAX];
	unsigned files;
	uint64_t calls;	      /* all of them */
	uint64_t call[CALLS]; /* by kind */
	/* The fail_at-th call of all (from 1) fails so, or of the kind fail_kind where that is set;
	 * fail_for of them, and with `dead` every call from there on. */
	uint64_t fail_at, fail_for;
	int fail_kind; /* CALLS: any */
	int fail_with;
	bool dead;
	uint64_t half_write; /* a failing write has put down so much of it */
	/* A sector that a reader doesn't see yet, in so many loads of a file. */
	const char *late_name;
	uint64_t late_at;
	unsigned late_for;
	const char *unreadable; /* a file that cannot be loaded, or NULL */
};

static struct memory_disk md;

static int
count_call(enum call kind)
{
	md.calls++;
	md.call[kind]++;
	if (md.fail_at == 0 || (md.fail_kind != CALLS && md.fail_kind != (int)kind))
		return 0;
	uint64_t number = md.fail_kind == CALLS ? md.calls : md.call[kind];
	if (number < md.fail_at || (!md.dead && number >= md.fail_at + md.fail_for))
		return 0;
	return -md.fail_with;
}

static struct file *
open_file(int handle)
{
	assert_true(handle >= 100 && (unsigned)handle < 100 + md.files);
	assert_true(md.file[handle - 100].open);
	return &md.file[handle - 100];
}

static struct file *
file_named(const char *name)
{
	for (unsigned i = 0; i < md.files; i++) {
		if (strcmp(md.file[i].name, name) == 0)
			return &md.file[i];
	}
	return NULL;
}

static int
memory_create(void *context, const char *name, uint64_t bytes)
{
	int err = count_call(CALL_CREATE);

	assert_ptr_equal(context, &md);
	if (err != 0)
		return err;
	if (file_named(name) != NULL)
		return -EEXIST;
	assert_true(md.files < FILES_MAX);
	struct file *f = &md.file[md.files++];
	*f = (struct file){.bytes = bytes, .stable_bytes = bytes, .open = true};
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->seen = calloc(1, bytes + 1);
	f->stable = calloc(1, bytes + 1);
	return 99 + (int)md.files;
}

static void
grow(struct file *f, uint64_t bytes)
{
	if (bytes <= f->bytes)
		return;
	f->seen = realloc(f->seen, bytes);
	f->stable = realloc(f->stable, bytes);
	memset(f->seen + f->bytes, 0, bytes - f->bytes);
	memset(f->stable + f->bytes, 0, bytes - f->bytes);
	f->bytes = bytes;
}

static int
memory_write(void *context, int handle, const void *buffer, size_t bytes, uint64_t at)
{
	int err = count_call(CALL_WRITE);
	struct file *f = open_file(handle);

	assert_ptr_equal(context, &md);
	assert_int_equal((uintptr_t)buffer % md.disk.block, 0);
	assert_int_equal(bytes % md.disk.block, 0);
	assert_int_equal(at % md.disk.block, 0);
	assert_true(bytes > 0);
	if (err != 0) {
		bytes = md.half_write < bytes ? md.half_write : bytes;
		grow(f, at + bytes);
		memcpy(f->seen + at, buffer, bytes);
		return err;
	}
	grow(f, at + bytes);
	memcpy(f->seen + at, buffer, bytes);
	return 0;
}

static int
memory_flush(void *context, int handle)
{
	int err = count_call(CALL_FLUSH);
	struct file *f = open_file(handle);

	assert_ptr_equal(context, &md);
	if (err != 0)
		return err;
	memcpy(f->stable, f->seen, f->bytes);
	f->stable_bytes = f->bytes;
	return 0;
}

static int
memory_close(void *context, int handle, uint64_t bytes)
{
	int err = count_call(CALL_CLOSE);
	struct file *f = open_file(handle);

	assert_ptr_equal(context, &md);
	f->open = false;
	if (err != 0)
		return err;
	assert_true(bytes <= f->bytes);
	f->bytes = f->stable_bytes = bytes;
	memcpy(f->stable, f->seen, bytes);
	return 0;
}

static int
memory_flush_names(void *context)
{
	int err = count_call(CALL_FLUSH_NAMES);

	assert_ptr_equal(context, &md);
	if (err != 0)
		return err;
	for (unsigned i = 0; i < md.files; i++)
		md.file[i].name_stable = true;
	return 0;
}

static int
memory_list(void *context, uint32_t *count, uint32_t *last)
{
	assert_ptr_equal(context, &md);
	*count = *last = 0;
	for (unsigned i = 0; i < md.files; i++) {
		uint32_t number = (uint32_t)strtoul(md.file[i].name, NULL, 10);

		*count += md.file[i].name[0] != '\0';
		*last = number > *last ? number : *last;
	}
	return 0;
}

static int
memory_load(void *context, const char *name, uint8_t **buffer, uint64_t *bytes)
{
	struct file *f = file_named(name);

	assert_ptr_equal(context, &md);
	if (f == NULL)
		return -ENOENT;
	if (md.unreadable != NULL && strcmp(name, md.unreadable) == 0)
		return -EIO;
	*bytes = f->bytes;
	*buffer = malloc(f->bytes);
	if (f->bytes > 0)
		memcpy(*buffer, f->seen, f->bytes);
	if (md.late_for > 0 && strcmp(name, md.late_name) == 0) {
		md.late_for--;
		memset(*buffer + md.late_at, 0, 512);
	}
	return 0;
}

static int
memory_length(void *context, const char *name, uint64_t *bytes)
{
	struct file *f = file_named(name);

	assert_ptr_equal(context, &md);
	if (f == NULL)
		return -ENOENT;
	*bytes = f->bytes;
	return 0;
}

static int
memory_cut(void *context, const char *name, uint64_t bytes)
{
	int err = count_call(CALL_CUT);
	struct file *f = file_named(name);

	assert_ptr_equal(context, &md);
	if (err != 0)
		return err;
	if (f == NULL)
		return -ENOENT;
	assert_false(f->open);
	assert_true(bytes <= f->bytes);
	f->bytes = f->stable_bytes = bytes;
	memcpy(f->stable, f->seen, bytes);
	return 0;
}

static int
memory_remove(void *context, const char *name)
{
	int err = count_call(CALL_REMOVE);
	struct file *f = file_named(name);

	assert_ptr_equal(context, &md);
	if (err != 0)
		return err;
	if (f == NULL)
		return -ENOENT;
	assert_false(f->open);
	f->name[0] = '\0';
	return 0;
}

static void
memory_disk_free(void)
{
	for (unsigned i = 0; i < md.files; i++) {
		free(md.file[i].seen);
		free(md.file[i].stable);
	}
	memset(&md, 0, sizeof(md));
}

static int
end(void **state)
{
	(void)state;
	memory_disk_free();
	remove_tree(base);
	return 0;
}

static struct hb_disk *
memory_disk(uint32_t block)
{
	memory_disk_free();
	md.fail_kind = CALLS;
	md.disk = (struct hb_disk){
		.context = &md,
		.create = memory_create,
		.write = memory_write,
		.flush = memory_flush,
		.close = memory_close,
		.flush_names = memory_flush_names,
		.list = memory_list,
		.load = memory_load,
		.length = memory_length,
		.cut = memory_cut,
		.remove = memory_remove,
		.block = block,
	};
	return &md.disk;
}

enum kept {
	KEPT_ALL,    /* what a reader sees with the power on */
	KEPT_STABLE, /* only what was flushed, and names that were */
	KEPT_SOME,   /* beyond that, any sectors of what was not */
};

/* Writes the disk's files to a fresh directory of that name in base. */
static const char *
spill(const char *name, enum kept kept, uint64_t *random)
{
	const char *dir = in_base(name);

	remove_tree(dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	for (unsigned i = 0; i < md.files; i++) {
		const struct file *f = &md.file[i];
		uint64_t bytes = kept == KEPT_ALL ? f->bytes : f->stable_bytes;

		if (f->name[0] == '\0')
			continue;
		if (kept != KEPT_ALL && !f->name_stable &&
			(kept == KEPT_STABLE || hb_splitmix64(random) & 1))
			continue;
		uint8_t *mix = malloc(bytes + 1);
		memcpy(mix, kept == KEPT_ALL ? f->seen : f->stable, bytes);
		for (uint64_t at = 0; kept == KEPT_SOME && at + 512 <= bytes; at += 512) {
			if (hb_splitmix64(random) & 1)
				memcpy(mix + at, f->seen + at, 512);
		}
		put_file(dir, f->name, mix, bytes);
		free(mix);
	}
	return dir;
}

/* ---- reading, and holding it against what was written ------------------------------------ */

struct outcome {
	int rc;
	unsigned batches;
	uint64_t records;
	uint64_t torn;
	uint64_t id;
	uint32_t host;
	struct hb_error e;
};

/* Reads a directory, or the disk in memory where there is none, to its end. Every record must be
 * the one of its number. */
static struct outcome
read_once(const char *dir, bool ahead)
{
	struct hb_journal_reader r;
	struct outcome o = {0};
	const struct hb_record *record;
	int n;

	if (dir != NULL)
		o.rc = hb_journal_read_begin(&r, dir, &o.e);
	else
		o.rc = hb_journal_read_disk(&r, &md.disk, "memory", &o.e);
	if (o.rc == 0) {
		if (ahead)
			hb_journal_read_ahead(&r);
		while ((n = hb_journal_read(&r, &record, &o.e)) > 0) {
			for (int i = 0; i < n; i++) {
				struct hb_record want = record_of(o.records + (unsigned)i);

				assert_memory_equal(&record[i], &want, sizeof(want));
			}
			o.batches++;
			o.records += (unsigned)n;
		}
		o.rc = n;
		o.torn = r.torn;
		o.id = r.id;
		o.host = r.host;
	}
	hb_journal_read_end(&r);
	return o;
}

/* The same, also with a thread that reads ahead: nothing may be different. */
static struct outcome
read_all(const char *dir)
{
	struct outcome o = read_once(dir, false), ahead = read_once(dir, true);

	assert_memory_equal(&ahead, &o, sizeof(o));
	return o;
}

static void
assert_whole(const char *dir, unsigned batches, uint64_t records)
{
	struct outcome o = read_all(dir);

	if (o.rc != 0)
		fail_msg("%s", o.e.text);
	assert_int_equal(o.batches, batches);
	assert_int_equal(o.records, records);
	assert_int_equal(o.torn, 0);
}

/* The line names the file and, for damage, the offset. */
static void
assert_damaged(const struct outcome *o, const char *file)
{
	if (o->rc != -EILSEQ)
		fail_msg("%d, %u batches, torn %llu, where %s is damaged", o->rc, o->batches,
			(unsigned long long)o->torn, file);
	assert_non_null(strstr(o->e.text, file));
	assert_non_null(strstr(o->e.text, "offset "));
}

static void
begin_journal(struct hb_journal *j, uint32_t block, uint64_t segment_bytes)
{
	struct hb_error e = {""};

	if (hb_journal_begin(j, memory_disk(block), 3, segment_bytes, &e) != 0)
		fail_msg("%s", e.text);
}

/* ---- the checksum -------------------------------------------------------------------------- */

/* Bit by bit, from the reflected polynomial 0x82F63B78. */
static uint32_t
crc_by_hand(const uint8_t *p, size_t n)
{
	uint32_t crc = 0xFFFFFFFF;

	while (n-- > 0) {
		crc ^= *p++;
		for (unsigned i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78 : 0);
	}
	return ~crc;
}

static void
checksum_is_castagnolis(void **state)
{
	uint8_t bytes[256] HB_ALIGNED;

	(void)state;
	memcpy(bytes, "123456789", 9);
	assert_int_equal(journal_crc(bytes, 9), 0xE3069283);
	memset(bytes, 0, 32);
	assert_int_equal(journal_crc(bytes, 32), 0x8A9136AA);
	memset(bytes, 0xFF, 32);
	assert_int_equal(journal_crc(bytes, 32), 0x62A8AB43);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 73 + 5);
	for (unsigned from = 0; from < 64; from += 8) {
		for (unsigned n = 0; from + n <= sizeof(bytes); n++)
			assert_int_equal(
				journal_crc(bytes + from, n), crc_by_hand(bytes + from, n));
	}
}

/* ---- writing and reading back ---------------------------------------------------------------- */

/* Around what fits in one, two and three blocks of 512 (11, 24, 36), and of 4096 (100). */
static const unsigned sizes[] = {
	1, 2, 10, 11, 12, 13, 23, 24, 25, 36, 37, 99, 100, 101, 102, 203, 1};

static void
what_was_written_is_read_back(void **state)
{
	(void)state;
	for (uint32_t block = 512; block <= 4096; block += 3584) {
		struct hb_journal j;
		uint64_t records = 0;

		begin_journal(&j, block, 1 << 20);
		for (unsigned i = 0; i < HB_COUNT_OF(sizes); i++) {
			assert_int_equal(commit(&j, sizes[i]), 0);
			records += sizes[i];
			assert_int_equal(j.record, records);
		}
		/* As a crash would leave it, then after an orderly end. */
		assert_whole(spill("a", KEPT_STABLE, NULL), HB_COUNT_OF(sizes), records);
		hb_journal_end(&j);
		const char *dir = spill("a", KEPT_STABLE, NULL);
		assert_whole(dir, HB_COUNT_OF(sizes), records);
		struct outcome o = read_all(dir);
		assert_int_equal(o.host, 3);
		assert_int_equal(o.id, j.id);
		/* Cut to what was written. */
		assert_int_equal(md.file[0].bytes, j.at);
		assert_false(md.file[0].open);
	}
}

static void
the_bytes_are_as_the_header_says(void **state)
{
	struct hb_journal j;
	struct segment_header s;
	struct batch_header b;

	(void)state;
	begin_journal(&j, 512, 1 << 16);
	assert_int_equal(commit(&j, 20), 0);
	assert_int_equal(commit(&j, 1), 0);
	assert_string_equal(md.file[0].name, "00000001.hbj");
	assert_int_equal(md.file[0].bytes, 1 << 16);
	const uint8_t *f = md.file[0].stable;
	memcpy(&s, f, sizeof(s));
	assert_memory_equal(f, "HBOJRNL1", 8);
	assert_int_equal(s.version, 1);
	assert_int_equal(s.block, 512);
	assert_int_equal(s.journal, j.id);
	assert_int_equal(s.host, 3);
	assert_int_equal(s.number, 1);
	assert_int_equal(s.first_batch, 1);
	assert_int_equal(s.first_record, 0);
	assert_int_equal(s.crc, crc_by_hand(f, 60));
	memcpy(&b, f + 4096, sizeof(b));
	assert_int_equal(b.count, 20);
	assert_int_equal(b.number, 1);
	assert_int_equal(b.first_record, 0);
	assert_int_equal(b.crc, crc_by_hand(f + 4096, 60));
	assert_int_equal(b.records_crc, crc_by_hand(f + 4096 + 64, 1024 - 64));
	struct hb_record want = record_of(19);
	assert_memory_equal(f + 4096 + 64 + 19 * 40, &want, 40);
	memcpy(&b, f + 4096 + 1024, sizeof(b));
	assert_int_equal(b.number, 2);
	assert_int_equal(b.first_record, 20);
	/* What an earlier, longer batch left in the buffer is not in a later, shorter one. */
	for (unsigned at = 4096 + 1024 + 64 + 40; at < 4096 + 1024 + 512; at++)
		assert_int_equal(f[at], 0);
	assert_int_equal(j.segment, 1);
	assert_int_equal(j.at, 4096 + 1024 + 512);
	assert_int_equal(j.bytes, 4096 + 1024 + 512);
	hb_journal_end(&j);
}

static void
a_full_room_is_one_batch(void **state)
{
	struct hb_journal j;
	unsigned most;

	(void)state;
	begin_journal(&j, 4096, 3 << 20);
	hb_journal_room(&j, &most);
	assert_int_equal(most, (HB_BATCH_BYTES - 64) / 40);
	assert_int_equal(commit(&j, most), 0);
	assert_int_equal(commit(&j, 5), 0);
	assert_int_equal(commit(&j, most), 0);
	assert_int_equal(commit(&j, most), 0);
	assert_whole(spill("a", KEPT_STABLE, NULL), 4, 3ull * most + 5);
	assert_int_equal(md.files, 2);
	hb_journal_end(&j);
}

static void
segments_follow_each_other(void **state)
{
	static const uint64_t segment_bytes[] = {4096 + 512, 4096 + 1024, 4096 + 1536, 8192, 20480};

	(void)state;
	for (unsigned s = 0; s < HB_COUNT_OF(segment_bytes); s++) {
		struct hb_journal j;
		uint64_t records = 0;

		begin_journal(&j, 512, segment_bytes[s]);
		for (unsigned i = 0; i < 60; i++) {
			assert_int_equal(commit(&j, 1 + i % 11), 0);
			records += 1 + i % 11;
			/* One block each: no segment is larger than it may be, none is wasted. */
			assert_int_equal(j.segment, 1 + i / ((segment_bytes[s] - 4096) / 512));
			assert_true(j.at <= segment_bytes[s]);
		}
		assert_int_equal(md.files, j.segment);
		for (unsigned i = 0; i + 1 < md.files; i++)
			assert_false(md.file[i].open);
		assert_whole(spill("a", KEPT_STABLE, NULL), 60, records);
		hb_journal_end(&j);
		assert_whole(spill("a", KEPT_STABLE, NULL), 60, records);
		for (unsigned i = 0; i < md.files; i++)
			assert_false(md.file[i].open);
	}
}

/* A batch larger than a segment still goes down whole. */
static void
a_batch_larger_than_a_segment_is_kept(void **state)
{
	struct hb_journal j;

	(void)state;
	begin_journal(&j, 512, 8192);
	assert_int_equal(commit(&j, 3), 0);
	assert_int_equal(commit(&j, 1000), 0);
	assert_int_equal(commit(&j, 2000), 0);
	assert_int_equal(commit(&j, 1), 0);
	assert_whole(spill("a", KEPT_STABLE, NULL), 4, 3004);
	hb_journal_end(&j);
	assert_whole(spill("a", KEPT_STABLE, NULL), 4, 3004);
}

/* Nothing to write is nothing: it must not spoil what follows. */
static void
a_commit_of_nothing_does_no_harm(void **state)
{
	struct hb_journal j;
	uint64_t records = 0;

	(void)state;
	begin_journal(&j, 512, 1 << 16);
	for (unsigned i = 0; i < 4; i++) {
		if (commit(&j, i % 2 * 5) == 0)
			records += i % 2 * 5;
	}
	struct outcome o = read_all(spill("a", KEPT_STABLE, NULL));
	hb_journal_end(&j);
	if (o.rc != 0)
		fail_msg("%s", o.e.text);
	assert_int_equal(o.records, records);
	assert_int_equal(o.torn, 0);
}

static void
every_journal_has_its_own_id(void **state)
{
	uint64_t seen[20];

	(void)state;
	for (unsigned i = 0; i < HB_COUNT_OF(seen); i++) {
		struct hb_journal j;

		begin_journal(&j, 512, 8192);
		seen[i] = j.id;
		hb_journal_end(&j);
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(seen[k], seen[i]);
	}
}

/* ---- real directories ------------------------------------------------------------------------ */

static unsigned
open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
write_for_real(const char *dir)
{
	struct hb_disk_directory d;
	struct hb_journal j;
	struct hb_error e = {""};
	unsigned before = open_files();
	struct stat st;
	char probe[PATH_MAX + 64];

	if (hb_disk_open(&d, dir, &e) != 0)
		fail_msg("%s", e.text);
	assert_true(d.disk.block == 512 || d.disk.block == 4096);
	assert_int_equal(d.direct, d.disk.note == NULL);
	if (hb_journal_begin(&j, &d.disk, 3, 16384, &e) != 0)
		fail_msg("%s", e.text);
	uint64_t records = 0;
	for (unsigned i = 0; i < 24; i++) {
		assert_int_equal(commit(&j, sizes[i % 12]), 0);
		records += sizes[i % 12];
	}
	/* While it is being written, then after its end. */
	assert_whole(dir, 24, records);
	assert_true(j.segment >= 2);
	hb_journal_end(&j);
	hb_disk_close(&d);
	assert_int_equal(open_files(), before);
	assert_whole(dir, 24, records);
	/* Nothing is left lying about. */
	snprintf(probe, sizeof(probe), "%s/.probe", dir);
	assert_int_equal(stat(probe, &st), -1);
	snprintf(probe, sizeof(probe), "%s/%08u.hbj", dir, j.segment);
	assert_int_equal(stat(probe, &st), 0);
	assert_int_equal(st.st_size, j.at);
	snprintf(probe, sizeof(probe), "%s/00000001.hbj", dir);
	assert_int_equal(stat(probe, &st), 0);
	assert_in_range(st.st_size, 4096 + 512, 16384);
	assert_int_equal(st.st_mode & 07, 0);
	/* Nobody writes over it. */
	assert_int_equal(hb_disk_open(&d, dir, &e), 0);
	assert_int_equal(hb_journal_begin(&j, &d.disk, 3, 16384, &e), -EEXIST);
	assert_true(e.text[0] != '\0');
	hb_disk_close(&d);
	assert_whole(dir, 24, records);
}

static void
directories_keep_it(void **state)
{
	char other[64] = "/var/tmp/hb-journal-XXXXXX";

	(void)state;
	write_for_real(in_base("real"));
	/* Another file system, with or without direct I/O, as the host has it. */
	if (mkdtemp(other) == NULL)
		return;
	char dir[PATH_MAX];
	snprintf(dir, sizeof(dir), "%s/made", other);
	write_for_real(dir);
	remove_tree(other);
}

/* As hb_disk_open() says in another process; its line goes to e. */
static int
open_elsewhere(const char *dir, struct hb_error *e)
{
	struct hb_disk_directory d;
	int pipes[2], status, rc;

	assert_int_equal(pipe(pipes), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		rc = hb_disk_open(&d, dir, e);
		if (write(pipes[1], &rc, sizeof(rc)) < 0 || write(pipes[1], e, sizeof(*e)) < 0)
			_exit(1);
		_exit(0);
	}
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &rc, sizeof(rc)), sizeof(rc));
	assert_int_equal(read(pipes[0], e, sizeof(*e)), sizeof(*e));
	close(pipes[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return rc;
}

static void
a_directory_has_one_writer(void **state)
{
	struct hb_disk_directory first, second;
	struct hb_error e = {""};
	const char *dir = in_base("lock");
	unsigned before = open_files();

	(void)state;
	assert_int_equal(hb_disk_open(&first, dir, &e), 0);
	assert_int_equal(hb_disk_open(&second, dir, &e), -EBUSY);
	assert_non_null(strstr(e.text, dir));
	e.text[0] = '\0';
	assert_int_equal(open_elsewhere(dir, &e), -EBUSY);
	assert_non_null(strstr(e.text, dir));
	hb_disk_close(&first);
	assert_int_equal(open_elsewhere(dir, &e), 0);
	assert_int_equal(hb_disk_open(&second, dir, &e), 0);
	hb_disk_close(&second);
	assert_int_equal(open_files(), before);
	hb_disk_close(&second);
}

static void
a_directory_that_cannot_be_is_refused(void **state)
{
	struct hb_disk_directory d;
	struct hb_error e = {""};
	unsigned before = open_files();

	(void)state;
	put_file(base, "file", "x", 1);
	assert_int_equal(hb_disk_open(&d, in_base("file"), &e), -ENOTDIR);
	assert_non_null(strstr(e.text, "file"));
	assert_int_equal(hb_disk_open(&d, in_base("no/such/place"), &e), -ENOENT);
	assert_non_null(strstr(e.text, "no/such/place"));
	assert_int_equal(open_files(), before);
}

static void
no_journal_is_said_to_be_none(void **state)
{
	struct hb_journal_reader r;
	struct hb_error e = {""};
	const char *dir = in_base("none");
	char longest[PATH_MAX + 8];

	(void)state;
	assert_int_equal(read_all(dir).rc, -ENOENT);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(read_all(dir).rc, -ENOENT);
	/* Names that are nearly a segment's. */
	put_file(dir, "lock", "", 0);
	put_file(dir, ".probe", "", 0);
	put_file(dir, "1.hbj", "x", 1);
	put_file(dir, "0000001.hbj", "x", 1);
	put_file(dir, "000000001.hbj", "x", 1);
	put_file(dir, "00000001.hbj~", "x", 1);
	put_file(dir, "00000001.hbk", "x", 1);
	put_file(dir, "0000000x.hbj", "x", 1);
	put_file(dir, "00000000.hbj", "x", 1);
	put_file(dir, "+0000001.hbj", "x", 1);
	put_file(dir, "-0000001.hbj", "x", 1);
	put_file(dir, "       1.hbj", "x", 1);
	assert_int_equal(hb_journal_read_begin(&r, dir, &e), -ENOENT);
	assert_non_null(strstr(e.text, dir));
	hb_journal_read_end(&r);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(hb_journal_read_begin(&r, longest, &e), -ENAMETOOLONG);
	hb_journal_read_end(&r);
}

/* ---- damage ------------------------------------------------------------------------------------
 */

#define SMALL_BATCHES 9

/* A small journal of three segments, at 7 records a batch three batches each; the last segment with
 * a kilobyte of zeros behind. Spilled to dir "s". */
static const char *
small_journal(void)
{
	struct hb_journal j;

	begin_journal(&j, 512, 4096 + 3 * 512);
	for (unsigned i = 0; i < SMALL_BATCHES; i++)
		assert_int_equal(commit(&j, 7), 0);
	assert_int_equal(j.segment, 3);
	assert_int_equal(md.files, 3);
	hb_journal_end(&j);
	grow(&md.file[2], 4096 + 5 * 512);
	md.file[2].stable_bytes = md.file[2].bytes;
	return spill("s", KEPT_STABLE, NULL);
}

static int
open_segment(const char *dir, unsigned number)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%08u.hbj", dir, number);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	return fd;
}

/* Every byte of it: each of its bits, and all of them. */
static void
every_flipped_byte_is_noticed(void **state)
{
	(void)state;
	small_journal();
	assert_whole(NULL, SMALL_BATCHES, SMALL_BATCHES * 7);
	for (unsigned s = 0; s < 3; s++) {
		const struct file *f = &md.file[s];

		for (uint64_t at = 0; at < f->bytes; at++) {
			/* Of the many zeros in a header one bit each will do. */
			unsigned from = at >= 64 && at < 4096 ? (unsigned)at % 9 : 0;
			unsigned to = at >= 64 && at < 4096 ? from + 1 : 9;

			for (unsigned way = from; way < to; way++) {
				f->seen[at] ^= (uint8_t)(way == 8 ? 0xFF : 1u << way);
				struct outcome o = read_all(NULL);
				uint64_t batch = (at - 4096) / 512;

				f->seen[at] = f->stable[at];
				if (at < 4096 || s < 2 || batch < 2) {
					char where[32];

					assert_damaged(&o, f->name);
					snprintf(where, sizeof(where), "offset %u:",
						at < 4096 ? 0 : 4096 + 512 * (unsigned)batch);
					assert_non_null(strstr(o.e.text, where));
					assert_int_equal(o.batches,
						3 * s + (at < 4096 ? 0 : (unsigned)batch));
					continue;
				}
				/* In the last batch, and behind it, it may be a torn write. */
				assert_int_equal(o.rc, 0);
				assert_int_equal(o.batches, batch == 2 ? 8 : 9);
				assert_int_equal(
					o.torn, f->bytes - 4096 - (batch == 2 ? 1024 : 1536));
			}
		}
	}
	assert_whole(NULL, SMALL_BATCHES, SMALL_BATCHES * 7);
}

static void
every_truncation_is_noticed(void **state)
{
	(void)state;
	small_journal();
	for (unsigned s = 0; s < 3; s++) {
		struct file *f = &md.file[s];
		uint64_t full = f->bytes;

		for (uint64_t bytes = full; bytes-- > 0;) {
			/* As long as its block of memory, so that reading beyond it is seen. */
			f->bytes = bytes;
			struct outcome o = read_all(NULL);

			if (s < 2 || (bytes < 4096 && bytes > 0)) {
				assert_int_equal(o.rc, -EILSEQ);
				/* Cut between batches, the next segment shows it. */
				assert_non_null(strstr(o.e.text, ".hbj"));
				assert_true(o.records < SMALL_BATCHES * 7);
				continue;
			}
			unsigned whole = 0;
			if (bytes >= 4096)
				whole = (unsigned)((bytes - 4096) / 512);
			whole = whole > 3 ? 3 : whole;
			assert_int_equal(o.rc, 0);
			assert_int_equal(o.batches, 6 + whole);
			if (bytes > 4096 && whole < 3)
				assert_int_equal(o.torn, (bytes - 4096) % 512);
			else
				assert_int_equal(o.torn, 0);
		}
		f->bytes = full;
		assert_whole(NULL, SMALL_BATCHES, SMALL_BATCHES * 7);
	}
}

/* Behind the last batch of a closed segment there is nothing, or zeros that a crash left uncut. */
static void
what_stands_behind_a_closed_segment_is_damage(void **state)
{
	(void)state;
	for (unsigned s = 0; s < 2; s++) {
		for (unsigned bytes = 1; bytes <= 1024; bytes += 31) {
			small_journal();
			struct file *f = &md.file[s];

			grow(f, f->bytes + bytes);
			assert_whole(NULL, SMALL_BATCHES, SMALL_BATCHES * 7);
			f->seen[f->bytes - 1 - bytes / 2] = 1;
			struct outcome o = read_all(NULL);
			assert_damaged(&o, f->name);
		}
	}
}

/* Through real files: cut at every byte of the last segment, and one changed here and there. */
static void
directories_show_damage_too(void **state)
{
	const char *dir = small_journal();
	int fd = open_segment(dir, 3);
	const struct file *f = &md.file[2];

	(void)state;
	for (uint64_t bytes = f->bytes; bytes-- > 4096;) {
		assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
		struct outcome o = read_all(dir);
		unsigned whole = (unsigned)((bytes - 4096) / 512);

		assert_int_equal(o.rc, 0);
		assert_int_equal(o.batches, 6 + (whole > 3 ? 3 : whole));
	}
	assert_int_equal(pwrite(fd, f->stable, f->bytes, 0), f->bytes);
	close(fd);
	assert_whole(dir, SMALL_BATCHES, SMALL_BATCHES * 7);
	for (unsigned s = 0; s < 3; s++) {
		fd = open_segment(dir, s + 1);
		for (uint64_t at = s; at < 4096 + 1024; at += 61) {
			uint8_t byte = md.file[s].stable[at] ^ 0x10;

			assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
			struct outcome o = read_all(dir);
			assert_damaged(&o, md.file[s].name);
			assert_int_equal(pwrite(fd, md.file[s].stable + at, 1, (off_t)at), 1);
		}
		close(fd);
	}
}

/* Bytes that a disk gives before a sector that it cannot read; 0: it can read all of them. */
static size_t readable, was_read;

/* In the C library's place, for this program and what is linked into it. */
ssize_t
read(int fd, void *buffer, size_t n)
{
	if (readable != 0 && was_read >= readable) {
		errno = EIO;
		return -1;
	}
	if (readable != 0 && n > readable - was_read)
		n = readable - was_read;
	ssize_t got = syscall(SYS_read, fd, buffer, n);
	was_read += got > 0 ? (size_t)got : 0;
	return got;
}

/* Bytes that one call writes at the most, and how many calls are interrupted before; 0: no bound.
 */
static size_t writable;
static unsigned interrupts, writes_made;

ssize_t
pwrite(int fd, const void *buffer, size_t n, off_t at)
{
	writes_made++;
	if (interrupts > 0) {
		interrupts--;
		errno = EINTR;
		return -1;
	}
	if (writable != 0 && n > writable)
		n = writable;
	return syscall(SYS_pwrite64, fd, buffer, n, at);
}

static unsigned flushes, flushes_of_data;

int
fsync(int fd)
{
	flushes++;
	return (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	flushes_of_data++;
	return (int)syscall(SYS_fdatasync, fd);
}

/* Where direct writing doesn't work, every batch is flushed by a call; and names everywhere. */
static void
batches_are_flushed_without_direct_writing(void **state)
{
	struct hb_disk_directory d;
	struct hb_journal j;
	struct hb_error e = {""};
	char dir[PATH_MAX];

	(void)state;
	snprintf(dir, sizeof(dir), "%s", in_base("flushed"));
	assert_int_equal(hb_disk_open(&d, dir, &e), 0);
	d.direct = false;
	flushes = 0;
	assert_int_equal(hb_journal_begin(&j, &d.disk, 3, 1 << 18, &e), 0);
	assert_true(flushes >= 2); /* the file as it was made, and its name */
	for (unsigned i = 0; i < 20; i++) {
		flushes_of_data = 0;
		assert_int_equal(commit(&j, 10), 0);
		assert_int_equal(flushes_of_data, 1);
	}
	flushes = 0;
	hb_journal_end(&j);
	assert_true(flushes >= 1);
	hb_disk_close(&d);
	assert_whole(dir, 20, 200);
}

/* What the system takes in pieces, and after a signal, goes down whole. */
static void
short_writes_are_continued(void **state)
{
	struct hb_disk_directory d;
	struct hb_journal j;
	struct hb_error e = {""};
	char dir[PATH_MAX];

	(void)state;
	snprintf(dir, sizeof(dir), "%s", in_base("pieces"));
	assert_int_equal(hb_disk_open(&d, dir, &e), 0);
	assert_int_equal(hb_journal_begin(&j, &d.disk, 3, 1 << 18, &e), 0);
	writable = 4096;
	interrupts = 2;
	writes_made = 0;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(commit(&j, 1000), 0);
	writable = 0;
	assert_true(writes_made >= 40 && interrupts == 0);
	hb_journal_end(&j);
	hb_disk_close(&d);
	assert_whole(dir, 4, 4000);
}

/* A file that cannot be read to its end is not a shorter journal. */
static void
a_sector_that_cannot_be_read_is_no_end(void **state)
{
	const char *dir = small_journal();
	char last[PATH_MAX + 64];

	(void)state;
	snprintf(last, sizeof(last), "%s/00000002.hbj", dir);
	assert_int_equal(unlink(last), 0);
	snprintf(last, sizeof(last), "%s/00000003.hbj", dir);
	assert_int_equal(unlink(last), 0);
	assert_whole(dir, 3, 21);
	for (readable = 512; readable < 4096 + 3 * 512; readable += 512) {
		size_t limit = readable;
		was_read = 0;
		struct outcome o = read_all(dir);

		readable = 0; /* before anything can fail */
		if (o.rc == 0)
			fail_msg("%u batches of 3 were taken for all", o.batches);
		readable = limit;
	}
	readable = 0;
}

/* The last write of a crash: only its first bytes reached the disk, or any of its sectors. */
static void
torn_tails_are_cut_and_reported(void **state)
{
	struct hb_journal j;
	const char *dir;

	(void)state;
	begin_journal(&j, 512, 1 << 14);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(commit(&j, 20), 0);
	uint64_t from = j.at;
	assert_int_equal(commit(&j, 60), 0);
	uint64_t bytes = j.at - from, segment = md.file[0].bytes;
	assert_int_equal(bytes, 5 * 512);
	uint8_t *torn = malloc(segment);
	dir = spill("a", KEPT_STABLE, NULL);
	int fd = open_segment(dir, 1);

	for (unsigned rest = 0; rest < 2; rest++) {
		for (uint64_t n = 0; n < bytes; n++) {
			memcpy(torn, md.file[0].stable, segment);
			memset(torn + from + n, rest == 0 ? 0 : 0xA5, bytes - n);
			/* The padding's zeros are as good as written. */
			if (memcmp(torn, md.file[0].stable, segment) == 0)
				continue;
			assert_int_equal(pwrite(fd, torn + from, bytes, (off_t)from), bytes);
			struct outcome o = read_all(dir);
			assert_int_equal(o.rc, 0);
			assert_int_equal(o.records, 60);
			if (n == 0 && rest == 0)
				assert_int_equal(o.torn, 0);
			else
				assert_int_equal(o.torn, segment - from);
		}
	}
	for (unsigned sectors = 0; sectors < 31; sectors++) {
		memcpy(torn, md.file[0].stable, segment);
		for (unsigned i = 0; i < 5; i++) {
			if (!(sectors >> i & 1))
				memset(torn + from + 512 * i, 0, 512);
		}
		assert_int_equal(pwrite(fd, torn + from, bytes, (off_t)from), bytes);
		struct outcome o = read_all(dir);
		assert_int_equal(o.rc, 0);
		assert_int_equal(o.records, 60);
		assert_int_equal(o.torn > 0, sectors != 0);
	}
	close(fd);
	free(torn);
	hb_journal_end(&j);
}

static void
a_missing_segment_is_noticed(void **state)
{
	(void)state;
	for (unsigned gone = 0; gone < 2; gone++) {
		const char *dir = small_journal();
		char path[PATH_MAX + 64];

		snprintf(path, sizeof(path), "%s/%s", dir, md.file[gone].name);
		assert_int_equal(unlink(path), 0);
		struct outcome o = read_all(dir);
		assert_int_equal(o.rc, -EILSEQ);
		assert_non_null(strstr(o.e.text, dir));
		assert_int_equal(o.records, 0);
		/* A number that no segment has doesn't stand in for it. */
		put_file(dir, "00000000.hbj", md.file[gone].stable, md.file[gone].bytes);
		assert_int_equal(read_all(dir).rc, -EILSEQ);
	}
}

/* Copies of a journal's own segments in each other's places, and of an earlier state. */
static void
segments_out_of_place_are_noticed(void **state)
{
	const char *dir = small_journal();

	(void)state;
	for (unsigned to = 0; to < 3; to++) {
		for (unsigned from = 0; from < 3; from++) {
			put_file(dir, md.file[to].name, md.file[from].stable, md.file[from].bytes);
			struct outcome o = read_all(dir);
			if (from == to)
				assert_int_equal(o.rc, 0);
			else
				assert_damaged(&o, md.file[to].name);
		}
		put_file(dir, md.file[to].name, md.file[to].stable, md.file[to].bytes);
	}
	/* A segment in the middle from an old backup, one batch short. */
	put_file(dir, md.file[1].name, md.file[1].stable, md.file[1].bytes - 512);
	struct outcome o = read_all(dir);
	assert_damaged(&o, md.file[2].name);
	assert_int_equal(o.batches, 5);
}

static void
another_journals_segment_is_noticed(void **state)
{
	uint8_t *other[3];
	uint64_t bytes[3];

	(void)state;
	small_journal();
	for (unsigned s = 0; s < 3; s++) {
		bytes[s] = md.file[s].bytes;
		other[s] = malloc(bytes[s]);
		memcpy(other[s], md.file[s].stable, bytes[s]);
	}
	const char *dir = small_journal();
	for (unsigned s = 0; s < 3; s++) {
		put_file(dir, md.file[s].name, other[s], bytes[s]);
		struct outcome o = read_all(dir);
		/* With another first one, the second is the stranger. */
		assert_damaged(&o, md.file[s == 0 ? 1 : s].name);
		put_file(dir, md.file[s].name, md.file[s].stable, md.file[s].bytes);
	}
	/* Another journal's batch where the next one would be: not ours, even with everything
	 * right. */
	uint8_t *mixed = malloc(bytes[2]);
	memcpy(mixed, md.file[2].stable, bytes[2]);
	memcpy(mixed + 4096 + 1024, other[2] + 4096 + 1024, 512);
	put_file(dir, md.file[2].name, mixed, bytes[2]);
	struct outcome o = read_all(dir);
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.batches, 8);
	assert_true(o.torn > 0);
	/* And before the last, it is damage. */
	memcpy(mixed, md.file[2].stable, bytes[2]);
	memcpy(mixed + 4096 + 512, other[2] + 4096 + 512, 512);
	put_file(dir, md.file[2].name, mixed, bytes[2]);
	o = read_all(dir);
	assert_damaged(&o, md.file[2].name);
	free(mixed);
	for (unsigned s = 0; s < 3; s++)
		free(other[s]);
}

/* Headers that are wrong, under a checksum that is right. */
static void
forged_segment_headers_are_refused(void **state)
{
	static const struct {
		size_t at;
		unsigned bytes;
	} fields[] = {{0, 8}, {8, 4}, {12, 4}, {16, 8}, {24, 4}, {28, 4}, {32, 8}, {40, 8}};
	const char *dir = small_journal();

	(void)state;
	for (unsigned s = 0; s < 3; s++) {
		struct file *f = &md.file[s];
		uint8_t *forged = malloc(f->bytes);

		for (unsigned i = 0; i < HB_COUNT_OF(fields) * 3; i++) {
			uint8_t *field = forged + fields[i / 3].at;

			memcpy(forged, f->stable, f->bytes);
			if (i % 3 == 0)
				field[0]++;
			else if (i % 3 == 1)
				memset(field, 0xFF, fields[i / 3].bytes);
			else
				field[fields[i / 3].bytes - 1] ^= 0x80;
			uint32_t crc = crc_by_hand(forged, 60);
			memcpy(forged + 60, &crc, 4);
			put_file(dir, f->name, forged, f->bytes);
			struct outcome o = read_all(dir);
			assert_int_equal(o.rc, -EILSEQ);
			assert_non_null(strstr(o.e.text, ".hbj"));
		}
		put_file(dir, f->name, f->stable, f->bytes);
		free(forged);
	}
	assert_whole(dir, SMALL_BATCHES, SMALL_BATCHES * 7);
}

/* Batch headers that are wrong, under checksums that are right: whatever they say, nothing outside
 * the file is read, and no record is given that isn't the next. */
static void
forged_batch_headers_are_refused(void **state)
{
	static const struct {
		size_t at;
		unsigned bytes;
		uint64_t value;
	} forgeries[] = {{4, 4, 0}, {4, 4, 6}, {4, 4, 8}, {4, 4, 12}, {4, 4, 1000},
		{4, 4, 0x7FFFFFFF}, {4, 4, 0xFFFFFFFF}, {4, 4, 0x66666666}, {16, 8, 0}, {16, 8, 1},
		{16, 8, 100}, {16, 8, UINT64_MAX}, {24, 8, 0}, {24, 8, 1}, {24, 8, UINT64_MAX},
		{0, 4, 0}, {8, 8, 0}};
	const char *dir = small_journal();

	(void)state;
	for (unsigned b = 0; b < SMALL_BATCHES; b++) {
		struct file *f = &md.file[b / 3];
		uint8_t *forged = malloc(f->bytes);

		for (unsigned i = 0; i < HB_COUNT_OF(forgeries); i++) {
			uint8_t *h = forged + 4096 + b % 3 * 512;
			uint64_t old = 0;

			memcpy(&old, f->stable + 4096 + b % 3 * 512 + forgeries[i].at,
				forgeries[i].bytes);
			if (old == forgeries[i].value)
				continue;
			memcpy(forged, f->stable, f->bytes);
			memcpy(h + forgeries[i].at, &forgeries[i].value, forgeries[i].bytes);
			uint32_t crc = crc_by_hand(h, 60);
			memcpy(h + 60, &crc, 4);
			put_file(dir, f->name, forged, f->bytes);
			struct outcome o;
			/* A batch of 6 or 8 of the 7 records, with all checksums right, is no
			 * damage that the batch itself can show: the next one does. */
			if (forgeries[i].at == 4 && (forgeries[i].value == 6) && b + 1 < 9) {
				o = read_all(dir);
				assert_int_equal(o.rc, -EILSEQ);
				assert_int_equal(o.batches, b + 1);
				continue;
			}
			if (forgeries[i].at == 4 && forgeries[i].value >= 6 &&
				forgeries[i].value <= 8)
				continue;
			o = read_all(dir);
			assert_int_equal(o.batches, b);
			if (o.rc == 0) {
				assert_int_equal(b, 8);
				assert_true(o.torn > 0);
			} else {
				assert_damaged(&o, f->name);
			}
		}
		put_file(dir, f->name, f->stable, f->bytes);
		free(forged);
	}
}

/* ---- a crash between segments
 * --------------------------------------------------------------------- */

/* The exit code of `work` in a process of its own, so that a crash is a failure and no more. */
static int
in_a_child(int (*work)(const char *dir), const char *dir)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(work(dir));
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Reads on for a while after the end, or after an error: it is said again, and nothing breaks. */
static int
read_beyond_the_end(const char *dir)
{
	struct hb_journal_reader r;
	const struct hb_record *record;
	struct hb_error e;
	int n = hb_journal_read_begin(&r, dir, &e), rc;

	while (n == 0 && (n = hb_journal_read(&r, &record, &e)) > 0)
		n = 0;
	for (unsigned i = 0; i < 3; i++) {
		rc = hb_journal_read(&r, &record, &e);
		if (n == 0 ? rc != 0 : rc >= 0)
			return 2;
	}
	hb_journal_read_end(&r);
	return 0;
}

/* The new segment was there, its header was not: its length may be anything up to the whole. */
static void
a_segment_that_was_never_begun_is_an_end(void **state)
{
	const char *dir = small_journal();
	uint8_t *zeros = calloc(1, 8192);

	(void)state;
	for (unsigned bytes = 0; bytes <= 8192; bytes += bytes < 64 ? 8 : 1016) {
		put_file(dir, "00000004.hbj", zeros, bytes);
		assert_whole(dir, SMALL_BATCHES, SMALL_BATCHES * 7);
	}
	/* But with one behind it, or with anything in it, it is damage. */
	put_file(dir, "00000005.hbj", md.file[0].stable, md.file[0].bytes);
	struct outcome o = read_all(dir);
	assert_damaged(&o, "00000004.hbj");
	assert_int_equal(unlink(in_base("s/00000005.hbj")), 0);
	zeros[4000] = 1;
	put_file(dir, "00000004.hbj", zeros, 8192);
	o = read_all(dir);
	assert_damaged(&o, "00000004.hbj");
	free(zeros);
}

static void
an_end_is_an_end_however_often_one_asks(void **state)
{
	const char *dir = small_journal();

	(void)state;
	assert_int_equal(in_a_child(read_beyond_the_end, dir), 0);
	put_file(dir, "00000004.hbj", "", 0);
	assert_int_equal(in_a_child(read_beyond_the_end, dir), 0);
}

static void
damage_is_damage_however_often_one_asks(void **state)
{
	const char *dir = small_journal();

	(void)state;
	put_file(dir, "00000003.hbj", md.file[2].stable, 100);
	assert_int_equal(in_a_child(read_beyond_the_end, dir), 0);
	put_file(dir, "00000001.hbj", "x", 1);
	assert_int_equal(in_a_child(read_beyond_the_end, dir), 0);
}

/* ---- a disk that fails
 * ------------------------------------------------------------------------------ */

/* 40 commits over several segments; with the disk's failing in between. Returns how many records
 * were committed, and in *tried with those of the commit that failed. */
static uint64_t
run_until_failure(struct hb_journal *j, uint64_t *tried)
{
	uint64_t good = 0;

	*tried = 0;
	if (hb_journal_begin(j, &md.disk, 3, 4096 + 4 * 512, NULL) != 0) {
		hb_journal_end(j);
		return 0;
	}
	for (unsigned i = 0; i < 40; i++) {
		unsigned n = 1 + i % 30;
		int err = commit(j, n);

		if (err != 0) {
			*tried = good + n;
			return good;
		}
		good += n;
	}
	*tried = good;
	return good;
}

/* The power goes at each of the disk's calls, one after the other: what was committed is there. */
static void
what_was_committed_survives_a_power_cut_anywhere(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (uint64_t at = 1;; at++) {
		for (unsigned way = 0; way < 4; way++) {
			struct hb_journal j;
			uint64_t tried;

			memory_disk(512);
			md.fail_at = at;
			md.fail_with = EIO;
			md.dead = true;
			md.half_write = way * 512;
			uint64_t good = run_until_failure(&j, &tried);
			const char *dir = spill("a",
				way == 0   ? KEPT_STABLE
				: way == 1 ? KEPT_ALL
					   : KEPT_SOME,
				&random);
			struct outcome o = read_all(dir);
			hb_journal_end(&j);
			if (good == 0 && (o.rc == -ENOENT || o.rc == -EILSEQ))
				continue; /* before the first batch there is no journal yet */
			if (o.rc != 0)
				fail_msg("call %llu: %s", (unsigned long long)at, o.e.text);
			if (o.records != good && o.records != tried)
				fail_msg("call %llu: %llu records, %llu committed",
					(unsigned long long)at, (unsigned long long)o.records,
					(unsigned long long)good);
			if (good == 520)
				return; /* no call was left to fail */
		}
	}
}

/* Any call fails once, with anything but a full disk: from there on nothing is written, ever. */
static void
a_failed_disk_stays_failed(void **state)
{
	static const int errors[] = {EIO, EDQUOT, EROFS};
	uint64_t last = 0;

	(void)state;
	/* The first four make the first segment. */
	for (uint64_t at = 5; last == 0; at++) {
		for (unsigned i = 0; i < HB_COUNT_OF(errors); i++) {
			struct hb_journal j;
			uint64_t tried;

			memory_disk(512);
			md.fail_at = at;
			md.fail_for = 1;
			md.fail_with = errors[i];
			uint64_t good = run_until_failure(&j, &tried);
			if (good == tried) {
				last = at;
				hb_journal_end(&j);
				continue;
			}
			uint64_t writes = md.call[CALL_WRITE], calls = md.calls;
			assert_true(j.failed);
			for (unsigned k = 0; k < 3; k++)
				assert_int_equal(hb_journal_commit(&j, 1 + k), -EIO);
			assert_int_equal(md.call[CALL_WRITE], writes);
			assert_int_equal(md.calls, calls);
			hb_journal_end(&j);
			assert_int_equal(md.call[CALL_WRITE], writes);
			struct outcome o = read_all(spill("a", KEPT_STABLE, NULL));
			assert_int_equal(o.rc, 0);
			assert_true(o.records == good || o.records == tried);
		}
	}
	assert_true(last > 100);
}

static void
a_journal_that_cannot_begin_says_why(void **state)
{
	(void)state;
	for (uint64_t at = 1; at <= 4; at++) {
		struct hb_journal j;
		struct hb_error e = {""};

		memory_disk(512);
		md.fail_at = at;
		md.fail_for = 1;
		md.fail_with = EIO;
		assert_int_equal(hb_journal_begin(&j, &md.disk, 3, 0, &e), -EIO);
		assert_true(e.text[0] != '\0');
		hb_journal_end(&j);
	}
}

/* No room for the next segment: the records stay where they are, and go down when there is room. */
static void
a_full_disk_is_tried_again(void **state)
{
	static const enum call kinds[] = {CALL_CREATE, CALL_WRITE};

	(void)state;
	for (unsigned kind = 0; kind < HB_COUNT_OF(kinds); kind++) {
		for (uint64_t half = 0; half <= 1024; half += 512) {
			struct hb_journal j;
			uint64_t records = 0;
			unsigned most, batches = 0, refused = 0;

			begin_journal(&j, 512, 4096 + 4 * 512);
			const struct hb_record *room = hb_journal_room(&j, &most);
			for (unsigned i = 0; i < 60; i++) {
				unsigned n = 1 + i * 7 % 30;
				bool new_segment = j.at + batch_bytes(n, 512) > j.segment_bytes;

				/* Every third attempt is refused, twice. A header's write isn't. */
				if (i % 3 == 0 && (kinds[kind] == CALL_CREATE) == new_segment) {
					md.fail_kind = (int)kinds[kind];
					md.fail_at = md.call[kinds[kind]] + 1;
					md.fail_for = 2;
					md.fail_with = ENOSPC;
					md.half_write = half;
					for (unsigned k = 0; k < 2; k++) {
						uint64_t at = j.at, batch = j.batch;
						uint32_t segment = j.segment;

						assert_int_equal(commit(&j, n), -ENOSPC);
						assert_false(j.failed);
						assert_int_equal(j.at, at);
						assert_int_equal(j.batch, batch);
						assert_int_equal(j.segment, segment);
						refused++;
						for (unsigned r = 0; r < n; r++) {
							struct hb_record want =
								record_of(j.record + r);
							assert_memory_equal(
								&room[r], &want, sizeof(want));
						}
					}
					/* A crash now loses nothing that was committed. */
					struct outcome o = read_all(spill("a", KEPT_STABLE, NULL));
					assert_int_equal(o.rc, 0);
					assert_int_equal(o.records, records);
					md.fail_at = 0;
					/* More may have come in meanwhile; or, of a writer that
					 * thinks again, less. */
					if (i % 2 == 0 && n > 1)
						n -= 1;
					assert_int_equal(commit(&j, n), 0);
				} else {
					assert_int_equal(commit(&j, n), 0);
				}
				records += n;
				batches++;
			}
			assert_true(refused >= 10);
			assert_whole(spill("a", KEPT_STABLE, NULL), batches, records);
			hb_journal_end(&j);
			assert_whole(spill("a", KEPT_STABLE, NULL), batches, records);
		}
	}
}

/* ---- going on after a crash
 * -------------------------------------------------------------------------- */

/* The machine comes up again with what was on stable storage; of what was not, any sectors and
 * names are there too where `random` is given. */
static void
reboot(uint64_t *random)
{
	md.fail_at = 0;
	for (unsigned i = 0; i < md.files; i++) {
		struct file *f = &md.file[i];

		f->open = false;
		if (!f->name_stable && (random == NULL || hb_splitmix64(random) & 1))
			f->name[0] = '\0';
		for (uint64_t at = 0; random != NULL && at + 512 <= f->stable_bytes; at += 512) {
			if (hb_splitmix64(random) & 1)
				memcpy(f->stable + at, f->seen + at, 512);
		}
		f->bytes = f->stable_bytes;
		f->name_stable = true;
		memcpy(f->seen, f->stable, f->bytes);
	}
}

/* Reads all there is on the memory disk; the reader stays open, as resuming needs it. */
static int
read_to_the_end(struct hb_journal_reader *r, uint64_t *records)
{
	const struct hb_record *record;
	struct hb_error e;
	int n = hb_journal_read_disk(r, &md.disk, "memory", &e);

	*records = 0;
	while (n == 0 && (n = hb_journal_read(r, &record, &e)) > 0) {
		for (int i = 0; i < n; i++) {
			struct hb_record want = record_of(*records + (unsigned)i);

			assert_memory_equal(&record[i], &want, sizeof(want));
		}
		*records += (unsigned)n;
		n = 0;
	}
	return n;
}

/* Resumes what was read, writes some more, and reads all of it back. */
static void
resume_and_check(struct hb_journal_reader *r, uint64_t had)
{
	struct hb_journal j;
	struct hb_error e = {""};
	uint64_t id = r->id, records;

	if (hb_journal_resume(&j, &md.disk, r, 4096 + 4 * 512, &e) != 0)
		fail_msg("%s", e.text);
	hb_journal_read_end(r);
	assert_int_equal(j.id, id);
	assert_int_equal(j.host, 3);
	assert_int_equal(j.record, had);
	/* Nothing was lost by resuming, also when the next crash comes at once. */
	assert_int_equal(read_to_the_end(r, &records), 0);
	assert_int_equal(records, had);
	assert_int_equal(r->torn, 0);
	hb_journal_read_end(r);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(commit(&j, 10 + i), 0);
	assert_int_equal(read_to_the_end(r, &records), 0);
	assert_int_equal(records, had + 60);
	assert_int_equal(r->torn, 0);
	hb_journal_read_end(r);
	hb_journal_end(&j);
	assert_int_equal(read_to_the_end(r, &records), 0);
	assert_int_equal(records, had + 60);
	hb_journal_read_end(r);
}

/* The power goes at each call, comes back, and goes again at each call of going on. */
static void
a_journal_goes_on_after_a_power_cut_anywhere(void **state)
{
	uint64_t random = 2;
	bool done = false;

	(void)state;
	for (uint64_t at = 5; !done; at++) {
		for (uint64_t again = at % 4; again < 12; again += 4) {
			struct hb_journal j;
			struct hb_journal_reader r;
			uint64_t tried, had, records;

			memory_disk(512);
			md.fail_at = at;
			md.fail_with = EIO;
			md.dead = true;
			md.half_write = again % 3 * 512;
			uint64_t good = run_until_failure(&j, &tried);
			hb_journal_end(&j);
			reboot(again % 2 ? &random : NULL);
			assert_int_equal(read_to_the_end(&r, &had), 0);
			assert_true(had == good || had == tried);
			if (again > 0) {
				/* A call of its own fails, and the power is gone. */
				md.fail_kind = CALLS;
				md.fail_at = md.calls + again;
				int err = hb_journal_resume(&j, &md.disk, &r, 4096 + 4 * 512, NULL);
				assert_true(err == 0 || err == -EIO);
				hb_journal_read_end(&r);
				hb_journal_end(&j);
				reboot(again % 2 ? &random : NULL);
				assert_int_equal(read_to_the_end(&r, &records), 0);
				assert_int_equal(records, had);
			}
			resume_and_check(&r, had);
			done = good == tried;
		}
	}
}

/* A torn end of every length is cut off, and never comes back. */
static void
a_torn_end_is_cut_off_for_good(void **state)
{
	(void)state;
	for (unsigned sectors = 0; sectors < 32; sectors++) {
		struct hb_journal j;
		struct hb_journal_reader r;
		uint64_t had;

		begin_journal(&j, 512, 1 << 14);
		assert_int_equal(commit(&j, 20), 0);
		uint64_t from = j.at;
		assert_int_equal(commit(&j, 60), 0);
		for (unsigned i = 0; i < 5; i++) {
			if (!(sectors >> i & 1))
				memset(md.file[0].stable + from + 512 * i, 0, 512);
		}
		free(j.buffer);
		reboot(NULL);
		assert_int_equal(read_to_the_end(&r, &had), 0);
		assert_int_equal(had, sectors == 31 ? 80 : 20);
		resume_and_check(&r, had);
		assert_int_equal(md.file[0].bytes, sectors == 31 ? from + 5 * 512 : from);
	}
}

/* What was not read to its end cannot be gone on with: nothing is cut and nothing removed. */
static void
only_what_was_read_to_its_end_is_gone_on_with(void **state)
{
	(void)state;
	for (unsigned batches = 0; batches <= SMALL_BATCHES; batches++) {
		struct hb_journal_reader r;
		struct hb_journal j;
		struct hb_error e = {""};
		const struct hb_record *record;
		uint64_t had;

		small_journal();
		assert_int_equal(hb_journal_read_disk(&r, &md.disk, "memory", &e), 0);
		for (unsigned i = 0; i < batches; i++)
			assert_int_equal(hb_journal_read(&r, &record, &e), 7);
		int err = hb_journal_resume(&j, &md.disk, &r, 0, &e);
		if (err != 0)
			assert_true(e.text[0] != '\0');
		assert_true(err != 0);
		hb_journal_read_end(&r);
		assert_int_equal(md.files, 3);
		assert_int_equal(read_to_the_end(&r, &had), 0);
		assert_int_equal(had, SMALL_BATCHES * 7);
		hb_journal_read_end(&r);
	}
	/* Nor what is damaged, in any segment. */
	for (unsigned s = 0; s < 3; s++) {
		struct hb_journal_reader r;
		struct hb_journal j;
		uint64_t had;

		small_journal();
		md.file[s].seen[4096 + 512 + 100] ^= 1;
		assert_int_equal(read_to_the_end(&r, &had), -EILSEQ);
		assert_true(hb_journal_resume(&j, &md.disk, &r, 0, NULL) != 0);
		hb_journal_read_end(&r);
		assert_int_equal(md.call[CALL_CUT] + md.call[CALL_REMOVE], 0);
		md.file[s].seen[4096 + 512 + 100] ^= 1;
		assert_int_equal(read_to_the_end(&r, &had), 0);
		assert_int_equal(had, SMALL_BATCHES * 7);
		hb_journal_read_end(&r);
	}
}

/* The first start crashed before the first segment had its header: what begins then is a journal
 * like any other, with an id of its own. */
static void
a_journal_that_was_never_begun_can_begin(void **state)
{
	struct hb_journal_reader r;
	struct hb_journal j;
	struct hb_error e = {""};
	uint64_t records;

	(void)state;
	memory_disk(512);
	assert_true(memory_create(&md, "00000001.hbj", 8192) >= 0);
	memory_flush_names(&md);
	reboot(NULL);
	assert_int_equal(read_to_the_end(&r, &records), 0);
	assert_int_equal(records, 0);
	assert_int_equal(r.end_segment, 0);
	r.host = 3; /* nothing there says it */
	if (hb_journal_resume(&j, &md.disk, &r, 8192, &e) != 0)
		fail_msg("%s", e.text);
	hb_journal_read_end(&r);
	assert_int_equal(j.segment, 1);
	assert_int_equal(commit(&j, 9), 0);
	hb_journal_end(&j);
	assert_int_equal(read_to_the_end(&r, &records), 0);
	assert_int_equal(records, 9);
	assert_int_not_equal(r.id, 0);
	assert_int_equal(r.host, 3);
	hb_journal_read_end(&r);
}

/* A start that fails gives up what it had opened: the journal is as it was, and can be opened
 * again. */
static void
what_is_abandoned_unused_is_gone(void **state)
{
	struct hb_journal_reader r;
	struct hb_journal j;
	uint64_t records;

	(void)state;
	begin_journal(&j, 512, 8192);
	hb_journal_abandon(&j);
	assert_int_equal(read_to_the_end(&r, &records), -ENOENT);
	hb_journal_read_end(&r);
	for (unsigned used = 0; used < 2; used++) {
		small_journal();
		assert_int_equal(read_to_the_end(&r, &records), 0);
		assert_int_equal(hb_journal_resume(&j, &md.disk, &r, 8192, NULL), 0);
		hb_journal_read_end(&r);
		if (used)
			assert_int_equal(commit(&j, 4), 0);
		hb_journal_abandon(&j);
		assert_int_equal(file_named("00000004.hbj") != NULL, used);
		assert_int_equal(read_to_the_end(&r, &records), 0);
		assert_int_equal(records, SMALL_BATCHES * 7 + 4 * used);
		resume_and_check(&r, records);
	}
}

/* A reader beside a running writer may see a later sector before an earlier one. It looks again
 * before it calls that damage, but not for ever; and not in a segment that is closed. */
static void
read_what_is_late(bool ahead)
{
	for (unsigned late = 0; late < 4; late++) {
		for (unsigned batch = 0; batch < 3; batch++) {
			small_journal();
			md.late_name = "00000003.hbj";
			md.late_at = 4096 + 512 * batch;
			md.late_for = late;
			struct outcome o = read_once(NULL, ahead);
			md.late_for = 0;
			if (late < 2)
				assert_int_equal(o.rc, 0);
			if (late < 2)
				assert_int_equal(o.records, batch == 2 && late > 0 ? 8 * 7 : 9 * 7);
			else if (batch < 2)
				assert_damaged(&o, "00000003.hbj");
			else
				assert_int_equal(o.batches, 8);
		}
		small_journal();
		md.late_name = "00000002.hbj";
		md.late_at = 4096 + 512;
		md.late_for = late;
		struct outcome o = read_once(NULL, ahead);
		if (late > 0)
			assert_damaged(&o, "00000002.hbj");
	}
}

static void
what_is_only_late_is_no_damage(void **state)
{
	(void)state;
	read_what_is_late(false);
	read_what_is_late(true);
}

static void
a_segment_that_cannot_be_loaded_is_named(void **state)
{
	static const char *const names[] = {"00000001.hbj", "00000002.hbj", "00000003.hbj"};

	(void)state;
	small_journal();
	for (unsigned i = 0; i < HB_COUNT_OF(names); i++) {
		md.unreadable = names[i];
		struct outcome o = read_all(NULL);

		assert_int_equal(o.rc, -EIO);
		assert_int_equal(o.records, i * 3 * 7);
		assert_non_null(strstr(o.e.text, names[i]));
		assert_non_null(strstr(o.e.text, "cannot read"));
	}
	md.unreadable = NULL;
}

/* The same through a real directory: torn, cut, and gone on with, twice. */
static void
directories_go_on(void **state)
{
	const char *dir = in_base("again");
	unsigned before = open_files();
	uint64_t records = 0;
	char path[PATH_MAX];

	(void)state;
	snprintf(path, sizeof(path), "%s", dir);
	for (unsigned run = 0; run < 3; run++) {
		struct hb_disk_directory d;
		struct hb_journal_reader r;
		struct hb_journal j;
		const struct hb_record *record;
		struct hb_error e = {""};
		int n;

		if (hb_disk_open(&d, path, &e) != 0)
			fail_msg("%s", e.text);
		n = hb_journal_read_disk(&r, &d.disk, path, &e);
		assert_int_equal(n, run == 0 ? -ENOENT : 0);
		if (run == 0) {
			assert_int_equal(hb_journal_begin(&j, &d.disk, 3, 16384, &e), 0);
		} else {
			uint64_t had = 0;

			while ((n = hb_journal_read(&r, &record, &e)) > 0)
				had += (unsigned)n;
			if (n != 0)
				fail_msg("%s", e.text);
			assert_int_equal(had, records);
			assert_true(r.torn > 0);
			assert_int_equal(r.read_bytes, r.total_bytes);
			if (hb_journal_resume(&j, &d.disk, &r, 16384, &e) != 0)
				fail_msg("%s", e.text);
		}
		hb_journal_read_end(&r);
		for (unsigned i = 0; i < 20; i++) {
			assert_int_equal(commit(&j, sizes[i % 12]), 0);
			records += sizes[i % 12];
		}
		hb_journal_end(&j);
		hb_disk_close(&d);
		/* A write that was torn off comes behind the last batch. */
		int fd = open_segment(path, j.segment);
		assert_int_equal(pwrite(fd, "torn", 4, (off_t)j.at + 7), 4);
		close(fd);
		struct outcome o = read_all(path);
		assert_int_equal(o.rc, 0);
		assert_int_equal(o.records, records);
		assert_int_equal(o.torn, 11);
	}
	assert_int_equal(open_files(), before);
}

/* Looking needs no lock and makes nothing; discarding leaves alone what isn't its own. */
static void
looking_and_discarding_leave_no_trace(void **state)
{
	struct hb_disk_directory d, other;
	struct hb_error e = {""};
	struct stat st;
	char dir[PATH_MAX];
	unsigned before = open_files();

	(void)state;
	snprintf(dir, sizeof(dir), "%s", in_base("looked"));
	assert_int_equal(hb_disk_look(&d, dir, &e), -ENOENT);
	assert_int_equal(stat(dir, &st), -1);
	assert_int_equal(hb_disk_open(&d, dir, &e), 0);
	assert_int_equal(hb_disk_look(&other, dir, &e), 0);
	hb_disk_close(&other);
	hb_disk_discard(&d, dir);
	assert_int_equal(stat(dir, &st), -1);
	/* With something in it, it stays. */
	assert_int_equal(hb_disk_open(&d, dir, &e), 0);
	put_file(dir, "00000001.hbj", "x", 1);
	hb_disk_discard(&d, dir);
	assert_int_equal(stat(dir, &st), 0);
	/* And so does what was there before. */
	char file[PATH_MAX + 32];
	snprintf(file, sizeof(file), "%s/00000001.hbj", dir);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(hb_disk_open(&d, dir, &e), 0);
	hb_disk_discard(&d, dir);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(open_files(), before);
}

/* ---- fundings
 * --------------------------------------------------------------------------------------- */

static struct hb_terms
some_terms(unsigned i)
{
	struct hb_terms t = {.count = 100 + i, .total = 123456 + i, .seed = ~(uint64_t)i << 7};

	t.split = (uint8_t)(1 + i % 3);
	if (t.split != HB_SPLIT_TIERS)
		return t;
	t.tiers = (uint8_t)(1 + i % HB_TIERS_MAX);
	t.count = 0;
	t.total = 0;
	for (unsigned k = 0; k < t.tiers; k++) {
		t.tier[k] = (struct hb_tier){.count = k + i, .amount = UINT32_MAX - k * i};
		t.count += t.tier[k].count;
		t.total += (uint64_t)t.tier[k].count * t.tier[k].amount;
	}
	return t;
}

static void
fundings_come_back(void **state)
{
	struct hb_fund f = {0};

	(void)state;
	for (unsigned i = 1; i < 400; i++) {
		struct hb_record box[HB_FUND_RECORDS_MAX + 1];
		struct hb_terms t = some_terms(i);
		uint16_t campaign = (uint16_t)(i % 7 == 0 ? 65535 : i);

		assert_int_equal(hb_terms_check(&t, NULL), 0);
		memset(box, 0xEE, sizeof(box));
		unsigned n = hb_fund_encode(box, campaign, &t, i % 8192, 99 + i);
		assert_int_equal(n, 1u + t.tiers);
		for (size_t at = n * sizeof(box[0]); at < sizeof(box); at++)
			assert_int_equal(((uint8_t *)box)[at], 0xEE);
		for (unsigned k = 0; k < n; k++) {
			assert_int_equal(box[k].type, k == 0 ? HB_RECORD_FUND : HB_RECORD_TIER);
			assert_int_equal(box[k].campaign, campaign);
			assert_int_equal(hb_fund_decode(&f, &box[k]), k + 1 == n);
		}
		assert_int_equal(f.campaign, campaign);
		assert_int_equal(f.wins_per_user, i % 8192);
		assert_int_equal(f.time_us, 99 + i);
		assert_int_equal(f.terms.total, t.total);
		assert_int_equal(f.terms.seed, t.seed);
		assert_int_equal(f.terms.count, t.count);
		assert_int_equal(f.terms.split, t.split);
		assert_int_equal(f.terms.tiers, t.tiers);
		assert_memory_equal(f.terms.tier, t.tier, sizeof(t.tier));
	}
}

/* Decodes n records; the last one's outcome. All before it must want more. */
static int
decode(const struct hb_record *r, unsigned n)
{
	struct hb_fund f = {0};

	for (unsigned i = 0; i + 1 < n; i++)
		assert_int_equal(hb_fund_decode(&f, &r[i]), 0);
	return hb_fund_decode(&f, &r[n - 1]);
}

static void
broken_fundings_are_refused(void **state)
{
	struct hb_record good[HB_FUND_RECORDS_MAX], r[HB_FUND_RECORDS_MAX + 2];
	struct hb_terms t = some_terms(5); /* 6 tiers */
	unsigned n = hb_fund_encode(good, 9, &t, 1, 1);

	(void)state;
	assert_int_equal(n, 7);
	assert_int_equal(decode(good, n), 1);
	for (unsigned k = 0; k < n; k++) {
		/* A record that is not next: none before it, twice, out of turn, of another. */
		if (k > 0)
			assert_int_equal(decode(&good[k], 1), -EINVAL);
		memcpy(r, good, sizeof(good));
		r[k].type = HB_RECORD_WIN;
		assert_int_equal(decode(r, k + 1), -EINVAL);
		r[k].type = 0;
		assert_int_equal(decode(r, k + 1), -EINVAL);
		r[k].type = 255;
		assert_int_equal(decode(r, k + 1), -EINVAL);
		if (k == 0)
			continue;
		memcpy(r, good, sizeof(good));
		r[k].campaign = 8;
		assert_int_equal(decode(r, k + 1), -EINVAL);
		r[k] = good[0];
		assert_int_equal(decode(r, k + 1), -EINVAL);
		r[k] = good[k];
		r[k].op++;
		assert_int_equal(decode(r, k + 1), -EINVAL);
		r[k] = good[k == 1 ? 2 : k - 1];
		assert_int_equal(decode(r, k + 1), -EINVAL);
		/* A tier that doesn't add up shows at the end at the latest. */
		memcpy(r, good, sizeof(good));
		r[k].amount--;
		assert_int_equal(decode(r, n), -EINVAL);
		r[k] = good[k];
		r[k].seq++;
		assert_int_equal(decode(r, n), -EINVAL);
	}
	/* One more tier than announced. */
	struct hb_fund f = {0};
	for (unsigned k = 0; k < n; k++)
		assert_int_equal(hb_fund_decode(&f, &good[k]), k + 1 == n);
	assert_int_equal(hb_fund_decode(&f, &good[n - 1]), -EINVAL);

	memcpy(r, good, sizeof(good));
	r[0].campaign = 0;
	assert_int_equal(decode(r, 1), -EINVAL);
	r[0] = good[0];
	for (uint32_t tiers = 33; tiers <= 600; tiers++) {
		r[0].amount = tiers;
		assert_int_equal(decode(r, 1), -EINVAL);
		/* The same in a byte, and in two. */
		r[0].amount = tiers << 16 | 6;
		assert_int_equal(decode(r, 1), -EINVAL);
	}
	r[0].amount = UINT32_MAX;
	assert_int_equal(decode(r, 1), -EINVAL);
	r[0].amount = 0;
	assert_int_equal(decode(r, 1), -EINVAL);
	r[0] = good[0];
	r[0].op = 0;
	assert_int_equal(decode(r, n), -EINVAL);
}

/* Fundings without tiers stand alone, and must make sense at once. */
static void
fundings_without_tiers_must_make_sense(void **state)
{
	struct hb_record good[HB_FUND_RECORDS_MAX], r[HB_FUND_RECORDS_MAX];

	(void)state;
	for (unsigned i = 3; i < 5; i++) { /* equal, lucky */
		struct hb_terms t = some_terms(i);

		assert_int_equal(hb_fund_encode(good, 9, &t, 1, 1), 1);
		memset(r, 0, sizeof(r));
		r[0] = good[0];
		assert_int_equal(decode(r, 1), 1);
		r[0].seq = 0;
		assert_int_equal(decode(r, 1), -EINVAL);
		r[0] = good[0];
		r[0].user = r[0].seq - 1;
		assert_int_equal(decode(r, 1), -EINVAL);
		r[0].user = UINT64_MAX;
		assert_int_equal(decode(r, 1), -EINVAL);
		r[0] = good[0];
		r[0].op = 4;
		assert_int_equal(decode(r, 1), -EINVAL);
		r[0].op = 0;
		assert_int_equal(decode(r, 1), -EINVAL);
		/* Tiers announced by a split that has none: refused then, or with the tier. */
		struct hb_fund f = {0};
		r[0] = good[0];
		r[0].amount = 1;
		r[1] = (struct hb_record){
			.type = HB_RECORD_TIER, .campaign = 9, .seq = 1, .amount = 1};
		int first = hb_fund_decode(&f, &r[0]);
		assert_true(first == -EINVAL || hb_fund_decode(&f, &r[1]) == -EINVAL);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum_is_castagnolis),
		cmocka_unit_test(what_was_written_is_read_back),
		cmocka_unit_test(the_bytes_are_as_the_header_says),
		cmocka_unit_test(a_full_room_is_one_batch),
		cmocka_unit_test(segments_follow_each_other),
		cmocka_unit_test(a_batch_larger_than_a_segment_is_kept),
		cmocka_unit_test(a_commit_of_nothing_does_no_harm),
		cmocka_unit_test(every_journal_has_its_own_id),
		cmocka_unit_test(directories_keep_it),
		cmocka_unit_test(a_directory_has_one_writer),
		cmocka_unit_test(a_directory_that_cannot_be_is_refused),
		cmocka_unit_test(no_journal_is_said_to_be_none),
		cmocka_unit_test(every_flipped_byte_is_noticed),
		cmocka_unit_test(every_truncation_is_noticed),
		cmocka_unit_test(what_stands_behind_a_closed_segment_is_damage),
		cmocka_unit_test(directories_show_damage_too),
		cmocka_unit_test(short_writes_are_continued),
		cmocka_unit_test(batches_are_flushed_without_direct_writing),
		cmocka_unit_test(a_sector_that_cannot_be_read_is_no_end),
		cmocka_unit_test(torn_tails_are_cut_and_reported),
		cmocka_unit_test(a_missing_segment_is_noticed),
		cmocka_unit_test(segments_out_of_place_are_noticed),
		cmocka_unit_test(another_journals_segment_is_noticed),
		cmocka_unit_test(forged_segment_headers_are_refused),
		cmocka_unit_test(forged_batch_headers_are_refused),
		cmocka_unit_test(a_segment_that_was_never_begun_is_an_end),
		cmocka_unit_test(an_end_is_an_end_however_often_one_asks),
		cmocka_unit_test(damage_is_damage_however_often_one_asks),
		cmocka_unit_test(what_was_committed_survives_a_power_cut_anywhere),
		cmocka_unit_test(a_failed_disk_stays_failed),
		cmocka_unit_test(a_journal_that_cannot_begin_says_why),
		cmocka_unit_test(a_full_disk_is_tried_again),
		cmocka_unit_test(a_journal_goes_on_after_a_power_cut_anywhere),
		cmocka_unit_test(a_torn_end_is_cut_off_for_good),
		cmocka_unit_test(only_what_was_read_to_its_end_is_gone_on_with),
		cmocka_unit_test(a_journal_that_was_never_begun_can_begin),
		cmocka_unit_test(what_is_abandoned_unused_is_gone),
		cmocka_unit_test(what_is_only_late_is_no_damage),
		cmocka_unit_test(a_segment_that_cannot_be_loaded_is_named),
		cmocka_unit_test(directories_go_on),
		cmocka_unit_test(looking_and_discarding_leave_no_trace),
		cmocka_unit_test(fundings_come_back),
		cmocka_unit_test(broken_fundings_are_refused),
		cmocka_unit_test(fundings_without_tiers_must_make_sense),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
