/* SPDX-License-Identifier: BSD-3-Clause */
#include "format.h"
#include "hb_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define COUNT_NS (30 * 1000000000ull)
#define HOUR_S 3600ull
#define DAY_S (24 * HOUR_S)
#define SHORT_SEGMENTS 16
#define LITTLE_SEGMENTS 4

#define SEE(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

void
hb_watch_begin(struct hb_watch *w, const char *path, const struct hb_journal *journal)
{
	*w = (struct hb_watch){.journal = journal, .seconds_left = UINT64_MAX};
	snprintf(w->path, sizeof(w->path), "%s", path);
}

/* What the segments here take; a reserved one counts whole. */
static void
count_files(struct hb_watch *w)
{
	DIR *dir = opendir(w->path);
	uint64_t bytes = 0, segments = 0;
	struct dirent *entry;
	struct stat st;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (journal_segment_number(entry->d_name) == 0 ||
			fstatat(dirfd(dir), entry->d_name, &st, 0) != 0)
			continue;
		bytes += (uint64_t)st.st_blocks * 512;
		segments++;
	}
	closedir(dir);
	SET(w->used_bytes, bytes);
	SET(w->segments, segments);
}

/* Bytes a second since the oldest sample. */
static void
measure(struct hb_watch *w, uint64_t now_ns)
{
	uint64_t bytes = SEE(w->journal->bytes);
	unsigned newest = (w->next_sample + HB_WATCH_SAMPLES - 1) % HB_WATCH_SAMPLES;
	unsigned oldest = w->samples < HB_WATCH_SAMPLES ? 0 : w->next_sample;

	if (w->samples == 0 || now_ns - w->sample[newest].ns >= HB_WATCH_SAMPLE_NS) {
		w->sample[w->next_sample].ns = now_ns;
		w->sample[w->next_sample].bytes = bytes;
		w->next_sample = (w->next_sample + 1) % HB_WATCH_SAMPLES;
		w->samples += w->samples < HB_WATCH_SAMPLES;
		oldest = w->samples < HB_WATCH_SAMPLES ? 0 : w->next_sample;
	}
	uint64_t ns = now_ns - w->sample[oldest].ns;

	if (ns >= HB_WATCH_SAMPLE_NS)
		SET(w->bytes_per_second,
			(uint64_t)((double)(bytes - w->sample[oldest].bytes) * 1e9 / (double)ns));
}

/* The open segment's rest is reserved already. */
static void
judge(struct hb_watch *w)
{
	uint64_t segment = SEE(w->journal->segment_bytes), at = SEE(w->journal->at);
	uint64_t room = w->free_bytes + (segment > at ? segment - at : 0);
	uint64_t left = w->bytes_per_second == 0 ? UINT64_MAX : room / w->bytes_per_second;
	enum hb_room is = HB_ROOM_GOOD;

	if (left < HOUR_S || w->free_bytes < LITTLE_SEGMENTS * segment)
		is = HB_ROOM_LITTLE;
	else if (left < DAY_S || w->free_bytes < SHORT_SEGMENTS * segment)
		is = HB_ROOM_SHORT;
	SET(w->seconds_left, left);
	SET(w->room, is);
}

void
hb_watch_look(struct hb_watch *w, uint64_t now_ns)
{
	struct hb_settled settled;
	struct statvfs fs;

	if (statvfs(w->path, &fs) == 0)
		SET(w->free_bytes, (uint64_t)fs.f_bavail * fs.f_frsize);
	if (w->counted_ns == 0 || now_ns - w->counted_ns >= COUNT_NS) {
		w->counted_ns = now_ns;
		count_files(w);
	}
	measure(w, now_ns);
	judge(w);
	if (hb_settled_read(w->path, &settled) == 0 && settled.journal == w->journal->id) {
		SET(w->settled, settled.record);
		SET(w->settled_us, settled.time_us);
	}
	SET(w->known, true);
}

uint64_t
hb_watch_unsettled(const struct hb_watch *w)
{
	uint64_t settled = SEE(w->settled), records = SEE(w->journal->record);

	return SEE(w->settled_us) == 0 || records < settled ? 0 : records - settled;
}

bool
hb_watch_line(const struct hb_watch *w, char *line, size_t bytes)
{
	char left[96] = "";

	if (w->room == HB_ROOM_GOOD)
		return false;
	if (w->seconds_left < 10 * DAY_S)
		snprintf(left, sizeof(left), ", and at %llu KB a second it is full in %.1f hours",
			(unsigned long long)(w->bytes_per_second / 1000),
			(double)w->seconds_left / (double)HOUR_S);
	snprintf(line, bytes,
		"journal %s: %llu MiB are free on its file system%s; make room, or have "
		"hongbao-settle --archive move settled segments elsewhere",
		w->path, (unsigned long long)(w->free_bytes >> 20), left);
	return true;
}
