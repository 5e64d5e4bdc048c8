/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A journal that is followed while it grows: all of it, in order, nothing that a power cut could
 * take away, damage named with its place; and its archive: whatever moment a move is cut off at,
 * archive and directory together are the whole journal.
 */
#include "format.h"
#include "hb_archive.h"
#include "hb_follow.h"
#include "hb_settled.h"
#include "hb_watch.h"
#include "memory_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SEGMENT (64u << 10)

/* ---- what is written ------------------------------------------------------------------- */

static struct hb_record
record_of(uint64_t i)
{
	return (struct hb_record){.type = HB_RECORD_WIN,
		.campaign = 7,
		.seq = (uint32_t)i,
		.user = i * 977 + 1,
		.id = i};
}

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

static void
begin(struct hb_journal *j, struct hb_disk *disk)
{
	struct hb_error e;

	if (hb_journal_begin(j, disk, 3, SEGMENT, &e) != 0)
		fail_msg("%s", e.text);
}

static void
follow(struct hb_follower *f, struct hb_disk *disk)
{
	struct hb_error e;

	if (hb_follow_disk(f, disk, "memory", &e) != 0)
		fail_msg("%s", e.text);
}

/* ---- what is read ---------------------------------------------------------------------- */

/* Takes one batch, and checks it record by record. Returns how many. */
static int
take(struct hb_follower *f, uint64_t now_ns, uint64_t *next, struct hb_batch_place *place)
{
	const struct hb_record *r;
	struct hb_error e;
	int n = hb_follow(f, now_ns, &r, place, &e);

	if (n < 0)
		fail_msg("%s", e.text);
	for (int i = 0; i < n; i++) {
		struct hb_record want = record_of(*next + (uint64_t)i);

		assert_memory_equal(&r[i], &want, sizeof(want));
	}
	if (n > 0)
		assert_int_equal(place->record, *next);
	*next += (uint64_t)n;
	return n;
}

/* Takes all that is there. */
static void
take_all(struct hb_follower *f, uint64_t now_ns, uint64_t *next)
{
	struct hb_batch_place place;

	while (take(f, now_ns, next, &place) > 0)
		;
}

static void
all_is_read_across_segments(void **state)
{
	struct memory_disk d;
	struct hb_journal j;
	struct hb_follower f;
	uint64_t next = 0, now = 1;
	unsigned random = 1;

	(void)state;
	memory_disk_make(&d, 512);
	begin(&j, &d.disk);
	follow(&f, &d.disk);
	assert_int_equal(f.id, j.id);
	assert_int_equal(f.host, 3);
	while (j.segment < 12) {
		random = random * 1103515245 + 12345;
		assert_int_equal(commit(&j, 1 + random / 65536 % 700), 0);
		if (random / 65536 % 5 == 0)
			take_all(&f, now++, &next);
	}
	assert_int_equal(commit(&j, 1), 0);
	take_all(&f, now, &next);
	/* All but the last batch, behind which nothing stands. */
	assert_int_equal(next, j.record - 1);
	take_all(&f, now + HB_FOLLOW_QUIET_NS, &next);
	assert_int_equal(next, j.record);
	hb_follow_end(&f);
	hb_journal_end(&j);
	memory_disk_free(&d);
}

/* Whether what was given out is on stable storage, byte by byte. */
static void
assert_stable(const struct memory_disk *d, const struct hb_batch_place *p, unsigned n)
{
	const struct memory_file *f = &d->file[p->segment - 1];

	assert_memory_equal(f->stable + p->at, f->written + p->at, batch_bytes(n, 512));
}

static void
nothing_that_a_power_cut_takes_is_given(void **state)
{
	struct memory_disk d;
	struct hb_journal j;
	struct hb_follower f;
	struct hb_batch_place place;
	uint64_t next = 0;

	(void)state;
	memory_disk_make(&d, 512);
	begin(&j, &d.disk);
	follow(&f, &d.disk);
	assert_int_equal(commit(&j, 5), 0);
	/* Written, and its flush never returns: it can be read, and isn't there. */
	d.fail_flush = -EIO;
	assert_int_equal(commit(&j, 7), -EIO);
	assert_int_equal(take(&f, 1, &next, &place), 5);
	assert_int_equal(take(&f, 1, &next, &place), 0);
	assert_int_equal(take(&f, HB_FOLLOW_QUIET_NS, &next, &place), 0);
	assert_int_equal(d.settled, 0);
	/* When its writer had its time, it is made durable before it is given. */
	assert_int_equal(take(&f, 1 + HB_FOLLOW_QUIET_NS, &next, &place), 7);
	assert_int_equal(d.settled, 1);
	assert_stable(&d, &place, 7);
	hb_follow_end(&f);
	hb_journal_end(&j);
	memory_disk_free(&d);
}

static void
a_busy_journal_is_never_flushed(void **state)
{
	struct memory_disk d;
	struct hb_journal j;
	struct hb_follower f;
	struct hb_batch_place place;
	uint64_t next = 0, now = 1;
	int n;

	(void)state;
	memory_disk_make(&d, 512);
	begin(&j, &d.disk);
	follow(&f, &d.disk);
	for (unsigned i = 0; i < 2000; i++, now += HB_FOLLOW_QUIET_NS / 10) {
		assert_int_equal(commit(&j, 3), 0);
		while ((n = take(&f, now, &next, &place)) > 0)
			assert_stable(&d, &place, (unsigned)n);
	}
	assert_int_equal(next, j.record - 3);
	assert_int_equal(d.settled, 0);
	hb_follow_end(&f);
	hb_journal_end(&j);
	memory_disk_free(&d);
}

/* Half of a batch, as a reader beside the writer may see it. */
static void
a_batch_in_the_making_is_waited_for(void **state)
{
	struct memory_disk d;
	struct hb_journal j;
	struct hb_follower f;
	uint64_t next = 0, at;
	uint8_t kept[4096];

	(void)state;
	memory_disk_make(&d, 512);
	begin(&j, &d.disk);
	follow(&f, &d.disk);
	assert_int_equal(commit(&j, 5), 0);
	at = j.at;
	assert_int_equal(commit(&j, 90), 0);
	uint8_t *bytes = d.file[0].written + at;

	assert_true(j.at - at == 4096 - 512 || j.at - at <= sizeof(kept));
	memcpy(kept, bytes, sizeof(kept));
	for (unsigned cut = 0; cut < 3584; cut += 512) {
		memset(bytes + cut, 0, sizeof(kept) - cut);
		next = f.next.record;
		take_all(&f, 1, &next);
		assert_int_equal(next, cut == 0 ? 0 : 5);
		if (cut == 0) /* the five before are lonely then */
			take_all(&f, 1 + HB_FOLLOW_QUIET_NS, &next);
		assert_int_equal(next, 5);
		memcpy(bytes, kept, sizeof(kept));
	}
	next = 5;
	take_all(&f, 2, &next);
	take_all(&f, 2 + HB_FOLLOW_QUIET_NS, &next);
	assert_int_equal(next, 95);
	hb_follow_end(&f);
	hb_journal_end(&j);
	memory_disk_free(&d);
}

/* A torn end is cut off by the next start, which begins a new segment. */
static void
a_torn_end_is_waited_for_and_left_behind(void **state)
{
	struct memory_disk d;
	struct hb_journal j, k;
	struct hb_journal_reader r;
	struct hb_follower f;
	const struct hb_record *records;
	struct hb_error e;
	uint64_t next = 0;

	(void)state;
	memory_disk_make(&d, 512);
	begin(&j, &d.disk);
	follow(&f, &d.disk);
	assert_int_equal(commit(&j, 5), 0);
	memset(d.file[0].written + j.at, 0xA5, 700);
	memset(d.file[0].stable + j.at, 0xA5, 700);
	take_all(&f, 1, &next);
	take_all(&f, 1 + HB_FOLLOW_QUIET_NS, &next);
	assert_int_equal(next, 5);
	take_all(&f, 2, &next);
	assert_true(f.torn);
	assert_int_equal(hb_journal_read_disk(&r, &d.disk, "memory", &e), 0);
	while (hb_journal_read(&r, &records, &e) > 0)
		;
	assert_int_equal(hb_journal_resume(&k, &d.disk, &r, SEGMENT, &e), 0);
	hb_journal_read_end(&r);
	assert_int_equal(commit(&k, 3), 0);
	assert_int_equal(commit(&k, 3), 0);
	take_all(&f, 3, &next);
	assert_int_equal(next, 8);
	assert_false(f.torn);
	hb_follow_end(&f);
	hb_journal_end(&j);
	hb_journal_end(&k);
	memory_disk_free(&d);
}

static void
expect_damage(struct hb_follower *f, const char *where)
{
	const struct hb_record *records;
	struct hb_batch_place place;
	struct hb_error e = {{0}};
	int n;

	f->quiet_ns = 0;
	do
		n = hb_follow(f, 1, &records, &place, &e);
	while (n > 0);
	assert_int_equal(n, -EILSEQ);
	if (strstr(e.text, where) == NULL)
		fail_msg("no \"%s\" in: %s", where, e.text);
}

static void
damage_is_told_with_its_place(void **state)
{
	struct memory_disk d;
	struct hb_journal j;
	struct hb_follower f;

	(void)state;
	memory_disk_make(&d, 512);
	begin(&j, &d.disk);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(commit(&j, 30), 0);
	assert_true(j.segment > 2);
	/* A bit of the third batch. */
	uint64_t at = SEGMENT_HEADER_BYTES + 2 * batch_bytes(30, 512);
	char where[64];

	d.file[0].written[at + 100] ^= 1;
	follow(&f, &d.disk);
	snprintf(where, sizeof(where), "00000001.hbj: offset %llu:", (unsigned long long)at);
	expect_damage(&f, where);
	hb_follow_end(&f);
	d.file[0].written[at + 100] ^= 1;
	/* The last batch of a segment that another follows. */
	at = d.file[0].bytes - batch_bytes(30, 512);
	d.file[0].written[at + 100] ^= 1;
	follow(&f, &d.disk);
	snprintf(where, sizeof(where), "00000001.hbj: offset %llu:", (unsigned long long)at);
	expect_damage(&f, where);
	hb_follow_end(&f);
	d.file[0].written[at + 100] ^= 1;
	/* A header in the middle. */
	d.file[1].written[20] ^= 1;
	follow(&f, &d.disk);
	expect_damage(&f, "00000002.hbj: offset 0:");
	hb_follow_end(&f);
	hb_journal_end(&j);
	memory_disk_free(&d);
}

static void
a_place_is_found_again_or_refused(void **state)
{
	struct memory_disk d, other;
	struct hb_journal j, k;
	struct hb_follower f;
	struct hb_batch_place place, kept = {0};
	struct hb_error e;
	uint64_t next = 0;

	(void)state;
	memory_disk_make(&d, 512);
	memory_disk_make(&other, 512);
	begin(&j, &d.disk);
	begin(&k, &other.disk);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(commit(&j, 30), 0);
		assert_int_equal(commit(&k, 30), 0);
	}
	follow(&f, &d.disk);
	while (next < 2000)
		take(&f, 1, &next, &place);
	kept = place;
	assert_true(kept.segment > 1);
	take_all(&f, 1, &next);
	/* Back there: it is given out once more, and all behind it. */
	assert_int_equal(hb_follow_seek(&f, &kept, &e), 0);
	next = kept.record;
	take_all(&f, 1, &next);
	assert_int_equal(next, j.record - 30);
	/* To the first of all. */
	assert_int_equal(hb_follow_seek(&f, &(struct hb_batch_place){0}, &e), 0);
	next = 0;
	take_all(&f, 1, &next);
	assert_int_equal(next, j.record - 30);
	/* The same place in another journal, or where another batch stands now. */
	hb_follow_end(&f);
	follow(&f, &other.disk);
	assert_int_equal(hb_follow_seek(&f, &kept, &e), -ESTALE);
	hb_follow_end(&f);
	follow(&f, &d.disk);
	kept.crc ^= 1;
	assert_int_equal(hb_follow_seek(&f, &kept, &e), -ESTALE);
	kept.crc ^= 1;
	d.file[kept.segment - 1].bytes = kept.at;
	assert_int_equal(hb_follow_seek(&f, &kept, &e), -ESTALE);
	kept.segment = 60;
	assert_int_equal(hb_follow_seek(&f, &kept, &e), -ESTALE);
	hb_follow_end(&f);
	hb_journal_end(&j);
	hb_journal_end(&k);
	memory_disk_free(&d);
	memory_disk_free(&other);
}

static void
the_last_segment_is_found(void **state)
{
	struct memory_disk d;
	struct hb_journal j;
	struct hb_follower f;
	struct hb_error e;
	uint64_t next;

	(void)state;
	memory_disk_make(&d, 512);
	begin(&j, &d.disk);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(commit(&j, 30), 0);
	follow(&f, &d.disk);
	f.quiet_ns = 0;
	assert_int_equal(hb_follow_to_last(&f, &e), 0);
	assert_int_equal(f.next.segment, j.segment);
	next = f.next.record;
	assert_true(next > 0);
	take_all(&f, 1, &next);
	assert_int_equal(next, j.record);
	hb_follow_end(&f);
	hb_journal_end(&j);
	memory_disk_free(&d);
}

/* ---- the archive ----------------------------------------------------------------------- */

struct place {
	char base[64], journal[96], archive[96];
};

static void
sh(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	assert_int_equal(system(line), 0);
}

/* A journal of some segments in a directory. Returns how many records it has. */
static uint64_t
make_place(struct place *p, unsigned segments)
{
	struct hb_disk_directory d;
	struct hb_journal j;
	struct hb_error e;

	snprintf(p->base, sizeof(p->base), "%s/hb-follow-XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(p->base));
	snprintf(p->journal, sizeof(p->journal), "%s/journal", p->base);
	snprintf(p->archive, sizeof(p->archive), "%s/archive of it", p->base);
	assert_int_equal(hb_disk_open(&d, p->journal, &e), 0);
	begin(&j, &d.disk);
	while (j.segment < segments || j.at == SEGMENT_HEADER_BYTES)
		assert_int_equal(commit(&j, 100), 0);
	uint64_t records = j.record;
	hb_journal_end(&j);
	hb_disk_close(&d);
	return records;
}

static void
remove_place(const struct place *p)
{
	sh("rm -rf '%s'", p->base);
}

/* Both ways to read give all of it. */
static void
assert_whole(const struct place *p, uint64_t records)
{
	static struct hb_journal_reader r;
	static struct hb_follower f;
	const struct hb_record *record;
	struct hb_error e;
	uint64_t next = 0;
	int n;

	if (hb_journal_read_begin(&r, p->journal, &e) != 0)
		fail_msg("%s", e.text);
	hb_journal_read_ahead(&r);
	while ((n = hb_journal_read(&r, &record, &e)) > 0)
		next += (uint64_t)n;
	if (n < 0)
		fail_msg("%s", e.text);
	assert_int_equal(next, records);
	hb_journal_read_end(&r);
	assert_int_equal(hb_follow_begin(&f, p->journal, &e), 0);
	f.quiet_ns = 0;
	next = 0;
	take_all(&f, 1, &next);
	assert_int_equal(next, records);
	hb_follow_end(&f);
}

static void
archive_and_journal_are_one(void **state)
{
	struct place p;
	struct hb_error e;
	uint64_t records = make_place(&p, 5);
	uint32_t first;

	(void)state;
	assert_int_equal(hb_archive_prepare(p.journal, p.archive, &e), 0);
	assert_int_equal(hb_archive_prepare(p.journal, p.archive, &e), 0);
	for (uint32_t n = 1; n < 5; n++) {
		if (hb_archive_move(p.journal, n, NULL, &e) != 0)
			fail_msg("%s", e.text);
		assert_int_equal(hb_archive_move(p.journal, n, NULL, &e), 0);
		assert_int_equal(hb_archive_first(p.journal, &first, &e), 0);
		assert_int_equal(first, n + 1);
		assert_whole(&p, records);
	}
	/* It can be gone on with. */
	struct hb_disk_directory d;
	static struct hb_journal_reader r;
	const struct hb_record *record;
	struct hb_journal j;

	assert_int_equal(hb_disk_open(&d, p.journal, &e), 0);
	assert_int_equal(hb_journal_read_disk(&r, &d.disk, p.journal, &e), 0);
	while (hb_journal_read(&r, &record, &e) > 0)
		;
	assert_int_equal(hb_journal_resume(&j, &d.disk, &r, SEGMENT, &e), 0);
	hb_journal_read_end(&r);
	assert_int_equal(commit(&j, 10), 0);
	hb_journal_end(&j);
	hb_disk_close(&d);
	assert_whole(&p, records + 10);
	remove_place(&p);
}

static int steps_left;

static void
die_at_step(const char *what)
{
	(void)what;
	if (steps_left-- == 0)
		_exit(7);
}

/* A move in a process that dies before its step number `at`. Returns whether it did. */
static bool
move_and_die(const struct place *p, uint32_t segment, int at)
{
	struct hb_error e;
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		steps_left = at;
		_exit(hb_archive_move(p->journal, segment, die_at_step, &e) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 7 || WEXITSTATUS(status) == 0);
	return WEXITSTATUS(status) == 7;
}

static void
a_move_that_is_cut_off_loses_nothing(void **state)
{
	struct place p;
	struct hb_error e;
	uint64_t records = make_place(&p, 9);
	int at = 0;
	uint32_t first;

	(void)state;
	assert_int_equal(hb_archive_prepare(p.journal, p.archive, &e), 0);
	while (move_and_die(&p, (uint32_t)at + 1, at)) {
		assert_whole(&p, records);
		/* The next start goes on where it was. */
		assert_int_equal(hb_archive_move(p.journal, (uint32_t)at + 1, NULL, &e), 0);
		assert_whole(&p, records);
		assert_int_equal(hb_archive_first(p.journal, &first, &e), 0);
		assert_int_equal(first, at + 2);
		at++;
	}
	/* As many as archive.c has. */
	assert_int_equal(at, 7);
	remove_place(&p);
}

static void
a_half_copy_never_counts(void **state)
{
	struct place p;
	struct hb_error e;
	uint64_t records = make_place(&p, 3);

	(void)state;
	assert_int_equal(hb_archive_prepare(p.journal, p.archive, &e), 0);
	/* Left by a crash. */
	sh("head -c 5000 '%s/00000001.hbj' > '%s/.00000001.hbj.part'", p.journal, p.archive);
	assert_whole(&p, records);
	assert_int_equal(hb_archive_move(p.journal, 1, NULL, &e), 0);
	assert_whole(&p, records);
	/* Another file of that name is nothing to write over, and no reason to remove ours. */
	sh("head -c 5000 '%s/00000002.hbj' > '%s/00000002.hbj'", p.journal, p.archive);
	assert_int_equal(hb_archive_move(p.journal, 2, NULL, &e), -EEXIST);
	assert_whole(&p, records);
	remove_place(&p);
}

static void
an_archive_that_is_away_is_told(void **state)
{
	static struct hb_journal_reader r;
	static struct hb_follower f;
	struct place p;
	struct hb_error e;

	(void)state;
	make_place(&p, 3);
	assert_int_equal(hb_archive_prepare(p.journal, p.archive, &e), 0);
	assert_int_equal(hb_archive_move(p.journal, 1, NULL, &e), 0);
	sh("mv '%s' '%s.away'", p.archive, p.archive);
	/* Not as if there were no journal: hongbaod would begin a new one. */
	assert_int_equal(hb_journal_read_begin(&r, p.journal, &e), -ENXIO);
	assert_non_null(strstr(e.text, "archive"));
	hb_journal_read_end(&r);
	assert_int_equal(hb_follow_begin(&f, p.journal, &e), -ENXIO);
	hb_follow_end(&f);
	assert_true(hb_archive_move(p.journal, 2, NULL, &e) < 0);
	/* Another archive beside the one that there is. */
	sh("mv '%s.away' '%s'", p.archive, p.archive);
	char other[160];

	snprintf(other, sizeof(other), "%s/other", p.base);
	assert_int_equal(hb_archive_prepare(p.journal, other, &e), -EEXIST);
	remove_place(&p);
}

/* ---- settled and watched ---------------------------------------------------------------- */

static void
how_far_it_is_settled_is_told(void **state)
{
	struct hb_settled s = {.journal = 0xFEDCBA9876543210,
				  .host = 4000000000u,
				  .record = 1ull << 40,
				  .segment = 77,
				  .time_us = 1424269800000000},
			  got;
	struct place p;
	struct hb_error e;

	(void)state;
	make_place(&p, 1);
	assert_int_equal(hb_settled_read(p.journal, &got), -ENOENT);
	assert_int_equal(hb_settled_write(p.journal, &s, &e), 0);
	assert_int_equal(hb_settled_read(p.journal, &got), 0);
	assert_memory_equal(&s, &got, sizeof(s));
	s.record++;
	assert_int_equal(hb_settled_write(p.journal, &s, &e), 0);
	assert_int_equal(hb_settled_read(p.journal, &got), 0);
	assert_int_equal(got.record, s.record);
	sh("echo nonsense > %s/settled", p.journal);
	assert_int_equal(hb_settled_read(p.journal, &got), -EINVAL);
	assert_true(hb_settled_write("/nowhere at all", &s, &e) < 0);
	remove_place(&p);
}

static void
room_is_watched(void **state)
{
	struct hb_journal j = {.id = 5, .segment_bytes = 64 << 20, .at = 4096, .record = 100};
	struct hb_settled s = {.journal = 5, .record = 40, .time_us = 9};
	static struct hb_watch w;
	struct place p;
	struct hb_error e;
	char line[512];

	(void)state;
	make_place(&p, 3);
	hb_watch_begin(&w, p.journal, &j);
	hb_watch_look(&w, 1);
	assert_true(w.known);
	assert_int_equal(w.segments, 3);
	assert_true(w.used_bytes > 2 * SEGMENT);
	assert_true(w.seconds_left == UINT64_MAX);
	assert_int_equal(hb_watch_unsettled(&w), 0);
	assert_int_equal(hb_settled_write(p.journal, &s, &e), 0);
	/* It grows so fast that half of what is free is full in an hour. */
	uint64_t rate = w.free_bytes / 2 / 3600 + 1;

	for (unsigned second = 1; second <= 1200; second++) {
		j.bytes = second * rate;
		hb_watch_look(&w, 1 + second * 1000000000ull);
	}
	assert_in_range(w.bytes_per_second, rate * 99 / 100, rate * 101 / 100);
	assert_in_range(w.seconds_left, 6500, 7800);
	assert_int_equal(w.room, HB_ROOM_SHORT);
	assert_true(hb_watch_line(&w, line, sizeof(line)));
	assert_non_null(strstr(line, "full in"));
	assert_int_equal(w.settled, 40);
	assert_int_equal(hb_watch_unsettled(&w), 60);
	/* Three times that. */
	for (unsigned second = 1201; second <= 2400; second++) {
		j.bytes += 3 * rate;
		hb_watch_look(&w, 1 + second * 1000000000ull);
	}
	assert_int_equal(w.room, HB_ROOM_LITTLE);
	/* Another journal's file says nothing of this one. */
	s.journal = 6;
	s.record = 90;
	assert_int_equal(hb_settled_write(p.journal, &s, &e), 0);
	hb_watch_look(&w, 2500ull * 1000000000);
	assert_int_equal(w.settled, 40);
	remove_place(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_read_across_segments),
		cmocka_unit_test(nothing_that_a_power_cut_takes_is_given),
		cmocka_unit_test(a_busy_journal_is_never_flushed),
		cmocka_unit_test(a_batch_in_the_making_is_waited_for),
		cmocka_unit_test(a_torn_end_is_waited_for_and_left_behind),
		cmocka_unit_test(damage_is_told_with_its_place),
		cmocka_unit_test(a_place_is_found_again_or_refused),
		cmocka_unit_test(the_last_segment_is_found),
		cmocka_unit_test(archive_and_journal_are_one),
		cmocka_unit_test(a_move_that_is_cut_off_loses_nothing),
		cmocka_unit_test(a_half_copy_never_counts),
		cmocka_unit_test(an_archive_that_is_away_is_told),
		cmocka_unit_test(how_far_it_is_settled_is_told),
		cmocka_unit_test(room_is_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
