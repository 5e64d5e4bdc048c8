/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory_disk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int
create(void *context, const char *name, uint64_t bytes)
{
	struct memory_disk *d = context;
	struct memory_file *f = &d->file[d->files];

	if (d->fail_create != 0)
		return d->fail_create;
	assert(d->files < MEMORY_DISK_FILES);
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->bytes = bytes;
	f->written = calloc(1, bytes);
	f->stable = calloc(1, bytes);
	return (int)d->files++;
}

static int
write_file(void *context, int handle, const void *buffer, size_t bytes, uint64_t at)
{
	struct memory_disk *d = context;
	struct memory_file *f = &d->file[handle];

	assert(bytes % d->disk.block == 0 && at % d->disk.block == 0 && at + bytes <= f->bytes);
	if (d->fail_write != 0)
		return d->fail_write;
	memcpy(f->written + at, buffer, bytes);
	d->writes++;
	return 0;
}

static int
flush(void *context, int handle)
{
	struct memory_disk *d = context;
	struct memory_file *f = &d->file[handle];

	if (d->fail_flush != 0)
		return d->fail_flush;
	memcpy(f->stable, f->written, f->bytes);
	d->flushes++;
	return 0;
}

static int
close_file(void *context, int handle, uint64_t bytes)
{
	struct memory_disk *d = context;

	d->file[handle].bytes = bytes;
	return 0;
}

static int
flush_names(void *context)
{
	(void)context;
	return 0;
}

void
memory_disk_make(struct memory_disk *d, uint32_t block)
{
	*d = (struct memory_disk){.disk = {.context = d,
					  .create = create,
					  .write = write_file,
					  .flush = flush,
					  .close = close_file,
					  .flush_names = flush_names,
					  .block = block}};
}

void
memory_disk_free(struct memory_disk *d)
{
	for (unsigned i = 0; i < d->files; i++) {
		free(d->file[i].written);
		free(d->file[i].stable);
	}
	d->files = 0;
}

void
memory_disk_dump(const struct memory_disk *d, const char *directory)
{
	char path[PATH_MAX];

	for (unsigned i = 0; i < d->files; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, d->file[i].name);
		FILE *f = fopen(path, "w");
		assert(f != NULL);
		assert(fwrite(d->file[i].stable, 1, d->file[i].bytes, f) == d->file[i].bytes);
		fclose(f);
	}
}
