/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* What a call comes to. */
enum fate {
	WORKS,
	BREAKS, /* does a part, and fails, or the process dies in it */
	GONE,	/* the process is no more */
};

static enum fate
begin_call(struct sim_disk *d, const char *what, bool writes)
{
	if (d->dead)
		return GONE;
	server_meanwhile(d->world);
	if (d->dies_in != 0 && --d->dies_in == 0) {
		SIM_SAY(d->world, "disk: the process dies in %s", what);
		d->dead = true;
		return BREAKS;
	}
	if (d->fails_in != 0 && --d->fails_in == 0) {
		SIM_SAY(d->world, "disk: %s fails", what);
		d->broken |= writes;
		d->unreadable |= !writes;
		d->world->totals->failed++;
		return BREAKS;
	}
	return WORKS;
}

static bool
coin(struct sim_disk *d)
{
	return below(&d->world->chance, 2) != 0;
}

/* ---- files --------------------------------------------------------------------------- */

static struct sim_file *
find_file(struct sim_disk *d, const char *name)
{
	for (unsigned i = 0; i < d->files; i++) {
		if (d->file[i].there && strcmp(d->file[i].name, name) == 0)
			return &d->file[i];
	}
	return NULL;
}

/* A place for a new file. One of the same name that only an outage would bring back is forgotten:
 * the new name takes its place. */
static struct sim_file *
new_file(struct sim_disk *d, const char *name, uint64_t bytes)
{
	struct sim_file *f = NULL;

	for (unsigned i = 0; i < d->files; i++) {
		if (!d->file[i].there && strcmp(d->file[i].name, name) == 0)
			d->file[i].there_stable = false;
		if (!d->file[i].there && !d->file[i].there_stable)
			f = &d->file[i];
	}
	if (f == NULL) {
		if (d->files == SIM_FILES)
			sim_fail(d->world, "the journal has more than %u segments", SIM_FILES);
		f = &d->file[d->files++];
	}
	if (f->now == NULL) {
		f->now = malloc(SIM_FILE_BYTES);
		f->stable = malloc(SIM_FILE_BYTES);
	}
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->number = (uint32_t)strtoul(name, NULL, 10);
	f->bytes = bytes;
	f->there = true;
	f->there_stable = false;
	f->unclean = 0;
	memset(f->sector, SECTOR_CLEAN, sizeof(f->sector));
	memset(f->now, 0, bytes);
	memset(f->stable, 0, bytes);
	return f;
}

static void
set_sector(struct sim_file *f, unsigned i, enum sector to)
{
	f->unclean += (f->sector[i] == SECTOR_CLEAN) - (to == SECTOR_CLEAN);
	f->sector[i] = (uint8_t)to;
}

static void
make_stable(struct sim_file *f, unsigned i)
{
	memcpy(f->stable + (size_t)i * SIM_SECTOR, f->now + (size_t)i * SIM_SECTOR, SIM_SECTOR);
	set_sector(f, i, SECTOR_CLEAN);
}

static void
put_sectors(struct sim_disk *d, struct sim_file *f, const uint8_t *from, uint64_t at, unsigned n)
{
	unsigned first = (unsigned)(at / SIM_SECTOR);

	for (unsigned i = first; i < first + n; i++, from += SIM_SECTOR) {
		/* What is written over may have reached the disk by itself. */
		if (f->sector[i] == SECTOR_WRITTEN && once_in(&d->world->chance, 4))
			make_stable(f, i);
		memcpy(f->now + (size_t)i * SIM_SECTOR, from, SIM_SECTOR);
		set_sector(f, i, SECTOR_WRITTEN);
	}
}

static void
flush_file(struct sim_file *f, bool lost_too)
{
	for (unsigned i = 0; f->unclean > 0 && i < SIM_FILE_SECTORS; i++) {
		if (f->sector[i] == SECTOR_WRITTEN || (lost_too && f->sector[i] == SECTOR_LOST))
			make_stable(f, i);
	}
}

/* A flush that fails has written some, and forgets the rest. */
static void
fail_flush(struct sim_disk *d, struct sim_file *f)
{
	for (unsigned i = 0; f->unclean > 0 && i < SIM_FILE_SECTORS; i++) {
		if (f->sector[i] != SECTOR_WRITTEN)
			continue;
		if (coin(d))
			make_stable(f, i);
		else if (!d->dead)
			set_sector(f, i, SECTOR_LOST);
	}
}

static void
cut_file(struct sim_file *f, uint64_t bytes)
{
	for (unsigned i = (unsigned)((bytes + SIM_SECTOR - 1) / SIM_SECTOR); i < SIM_FILE_SECTORS;
		i++)
		set_sector(f, i, SECTOR_CLEAN);
	if (bytes < f->bytes) {
		memset(f->now + bytes, 0, f->bytes - bytes);
		memset(f->stable + bytes, 0, f->bytes - bytes);
	}
	f->bytes = bytes;
}

/* ---- writing ------------------------------------------------------------------------- */

static void
must_not_be_broken(struct sim_disk *d, const char *what)
{
	if (d->broken)
		sim_fail(d->world, "the journal is written (%s) after its disk failed", what);
}

static int
disk_create(void *context, const char *name, uint64_t bytes)
{
	struct sim_disk *d = context;
	bool was_broken = d->broken;
	enum fate fate = begin_call(d, "create", true);

	if (fate == GONE)
		return -EIO;
	if (was_broken)
		must_not_be_broken(d, "create");
	if (find_file(d, name) != NULL)
		return -EEXIST;
	if (bytes > SIM_FILE_BYTES)
		sim_fail(d->world, "create of %llu bytes", (unsigned long long)bytes);
	if (fate == BREAKS || d->full) {
		/* It was there for a moment, and an outage may show that. */
		if (coin(d)) {
			struct sim_file *f = new_file(d, name,
				below(&d->world->chance, bytes / SIM_SECTOR + 1) * SIM_SECTOR);

			f->there = d->dead;
			f->there_stable = coin(d);
		}
		return fate == BREAKS ? -EIO : -ENOSPC;
	}
	return (int)(new_file(d, name, bytes) - d->file);
}

/* Where there is no room, some blocks may still find some, but never all: then there would have
 * been.
 */
static unsigned
blocks_that_fit(struct sim_disk *d, size_t bytes)
{
	return (unsigned)below(&d->world->chance, bytes / d->disk.block);
}

static int
disk_write(void *context, int handle, const void *buffer, size_t bytes, uint64_t at)
{
	struct sim_disk *d = context;
	struct sim_file *f = &d->file[handle];
	unsigned n = (unsigned)(bytes / SIM_SECTOR);
	bool was_broken = d->broken;
	enum fate fate = begin_call(d, "write", true);

	if (fate == GONE)
		return -EIO;
	if (was_broken)
		must_not_be_broken(d, "write");
	if (!f->there || bytes % d->disk.block != 0 || at % d->disk.block != 0 ||
		at + bytes > f->bytes)
		sim_fail(d->world, "write of %zu bytes at %llu of %s, which has %llu", bytes,
			(unsigned long long)at, f->name, (unsigned long long)f->bytes);
	bool no_room = d->full && !d->reserves;
	if (fate == BREAKS)
		n = (unsigned)below(&d->world->chance, n + 1);
	else if (no_room)
		n = blocks_that_fit(d, bytes) * (d->disk.block / SIM_SECTOR);
	put_sectors(d, f, buffer, at, n);
	return fate == BREAKS ? -EIO : no_room ? -ENOSPC : 0;
}

static int
disk_flush(void *context, int handle)
{
	struct sim_disk *d = context;
	bool was_broken = d->broken;
	enum fate fate = begin_call(d, "flush", true);

	if (fate == GONE)
		return -EIO;
	if (was_broken)
		must_not_be_broken(d, "flush");
	if (fate == BREAKS || (d->full && !d->reserves && coin(d))) {
		fail_flush(d, &d->file[handle]);
		return fate == BREAKS ? -EIO : -ENOSPC;
	}
	flush_file(&d->file[handle], false);
	oracle_stable(d->world);
	return 0;
}

static int
disk_close(void *context, int handle, uint64_t bytes)
{
	struct sim_disk *d = context;
	struct sim_file *f = &d->file[handle];
	enum fate fate = begin_call(d, "close", true);

	if (fate == GONE)
		return -EIO;
	if (fate == BREAKS) {
		if (coin(d))
			cut_file(f, bytes);
		fail_flush(d, f);
		return -EIO;
	}
	cut_file(f, bytes);
	flush_file(f, false);
	return 0;
}

static int
disk_flush_names(void *context)
{
	struct sim_disk *d = context;
	enum fate fate = begin_call(d, "flush_names", true);

	if (fate == GONE)
		return -EIO;
	for (unsigned i = 0; i < d->files; i++) {
		if (fate == WORKS || coin(d))
			d->file[i].there_stable = d->file[i].there;
	}
	if (fate == BREAKS)
		return -EIO;
	oracle_stable(d->world);
	return 0;
}

/* What stays is durable, even what an earlier flush failed to write: whoever cuts has read it and
 * goes on from it. */
static int
disk_cut(void *context, const char *name, uint64_t bytes)
{
	struct sim_disk *d = context;
	enum fate fate = begin_call(d, "cut", true);
	struct sim_file *f = find_file(d, name);

	if (fate == GONE)
		return -EIO;
	if (f == NULL)
		return -ENOENT;
	if (fate == BREAKS) {
		if (coin(d))
			cut_file(f, bytes);
		fail_flush(d, f);
		return -EIO;
	}
	cut_file(f, bytes);
	flush_file(f, true);
	return 0;
}

static int
disk_remove(void *context, const char *name)
{
	struct sim_disk *d = context;
	enum fate fate = begin_call(d, "remove", true);
	struct sim_file *f = find_file(d, name);

	if (fate == GONE)
		return -EIO;
	if (f == NULL)
		return -ENOENT;
	if (fate == WORKS || coin(d))
		f->there = false;
	return fate == WORKS ? 0 : -EIO;
}

/* ---- reading ------------------------------------------------------------------------- */

static int
disk_list(void *context, uint32_t *count, uint32_t *last)
{
	struct sim_disk *d = context;

	*count = *last = 0;
	if (begin_call(d, "list", false) != WORKS)
		return -EIO;
	for (unsigned i = 0; i < d->files; i++) {
		if (!d->file[i].there)
			continue;
		(*count)++;
		*last = d->file[i].number > *last ? d->file[i].number : *last;
	}
	return 0;
}

static int
disk_load(void *context, const char *name, uint8_t **buffer, uint64_t *bytes)
{
	struct sim_disk *d = context;
	enum fate fate = begin_call(d, "load", false);
	struct sim_file *f = find_file(d, name);

	if (fate != WORKS)
		return -EIO;
	if (f == NULL)
		return -ENOENT;
	*buffer = malloc(f->bytes + 1);
	if (*buffer == NULL)
		return -ENOMEM;
	memcpy(*buffer, f->now, f->bytes);
	*bytes = f->bytes;
	return 0;
}

static int
disk_length(void *context, const char *name, uint64_t *bytes)
{
	struct sim_disk *d = context;
	enum fate fate = begin_call(d, "length", false);
	struct sim_file *f = find_file(d, name);

	if (fate != WORKS)
		return -EIO;
	if (f == NULL)
		return -ENOENT;
	*bytes = f->bytes;
	return 0;
}

/* ---- outages ------------------------------------------------------------------------- */

/* Which of the sectors that were written and not flushed an outage leaves. */
enum leaves {
	LEAVES_NONE,
	LEAVES_ALL,
	LEAVES_FIRST,
	LEAVES_LAST,
	LEAVES_SOME,
	LEAVES_KINDS,
};

static void
file_outage(struct sim_disk *d, struct sim_file *f)
{
	enum leaves leaves = (enum leaves)below(&d->world->chance, LEAVES_KINDS);
	unsigned edge = (unsigned)below(&d->world->chance, f->unclean + 1), nth = 0;

	for (unsigned i = 0; f->unclean > 0 && i < SIM_FILE_SECTORS; i++) {
		bool stays = leaves == LEAVES_ALL || (leaves == LEAVES_FIRST && nth < edge) ||
			     (leaves == LEAVES_LAST && nth >= edge) ||
			     (leaves == LEAVES_SOME && coin(d));

		if (f->sector[i] == SECTOR_CLEAN)
			continue;
		nth++;
		if (f->sector[i] == SECTOR_WRITTEN && stays)
			make_stable(f, i);
		memcpy(f->now + (size_t)i * SIM_SECTOR, f->stable + (size_t)i * SIM_SECTOR,
			SIM_SECTOR);
		f->sector[i] = SECTOR_CLEAN;
	}
	f->unclean = 0;
}

void
sim_disk_restart(struct sim_disk *d, bool power_failed)
{
	d->dead = d->broken = d->unreadable = false;
	d->dies_in = d->fails_in = 0;
	for (unsigned i = 0; power_failed && i < d->files; i++) {
		struct sim_file *f = &d->file[i];

		if (f->there != f->there_stable)
			f->there = f->there_stable = coin(d);
		if (f->there && f->unclean > 0)
			file_outage(d, f);
	}
}

const uint8_t *
sim_disk_look(const struct sim_disk *d, uint32_t segment, bool stable, uint64_t *bytes)
{
	for (unsigned i = 0; i < d->files; i++) {
		const struct sim_file *f = &d->file[i];

		if (!f->there || (stable && !f->there_stable) || f->number != segment)
			continue;
		*bytes = f->bytes;
		return stable ? f->stable : f->now;
	}
	return NULL;
}

void
sim_disk_begin(struct sim_disk *d, struct world *w)
{
	d->world = w;
	d->disk = (struct hb_disk){
		.context = d,
		.create = disk_create,
		.write = disk_write,
		.flush = disk_flush,
		.close = disk_close,
		.flush_names = disk_flush_names,
		.list = disk_list,
		.load = disk_load,
		.length = disk_length,
		.cut = disk_cut,
		.remove = disk_remove,
		.block = once_in(&w->chance, 4) ? 4096 : 512,
	};
	for (unsigned i = 0; i < d->files; i++)
		d->file[i].there = d->file[i].there_stable = false;
	d->files = 0;
	d->full = false;
	d->reserves = below(&w->chance, 2) != 0;
	sim_disk_restart(d, false);
}
