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

/* ---- reading: what is stable ---------------------------------------------------------- */

static int
list(void *context, uint32_t *count, uint32_t *last)
{
	struct memory_disk *d = context;

	*count = *last = 0;
	for (unsigned i = 0; i < d->files; i++) {
		uint32_t number = (uint32_t)strtoul(d->file[i].name, NULL, 10);

		*count += d->file[i].bytes != 0;
		*last = d->file[i].bytes != 0 && number > *last ? number : *last;
	}
	return 0;
}

static struct memory_file *
find(void *context, const char *name)
{
	struct memory_disk *d = context;

	for (unsigned i = 0; i < d->files; i++) {
		if (strcmp(d->file[i].name, name) == 0)
			return &d->file[i];
	}
	return NULL;
}

static int
load(void *context, const char *name, uint8_t **buffer, uint64_t *bytes)
{
	const struct memory_file *f = find(context, name);

	if (f == NULL)
		return -ENOENT;
	*bytes = f->bytes;
	*buffer = malloc(f->bytes + 1);
	memcpy(*buffer, f->stable, f->bytes);
	return 0;
}

static int
length(void *context, const char *name, uint64_t *bytes)
{
	const struct memory_file *f = find(context, name);

	if (f == NULL)
		return -ENOENT;
	*bytes = f->bytes;
	return 0;
}

static int
cut(void *context, const char *name, uint64_t bytes)
{
	struct memory_file *f = find(context, name);

	if (f == NULL)
		return -ENOENT;
	f->bytes = bytes;
	return 0;
}

static int
remove_file(void *context, const char *name)
{
	return cut(context, name, 0);
}

/* As a process beside the writer sees it. */
static int64_t
read_file(void *context, const char *name, uint8_t *buffer, uint64_t bytes, uint64_t at)
{
	const struct memory_file *f = find(context, name);

	if (f == NULL || f->bytes == 0)
		return -ENOENT;
	uint64_t left = at < f->bytes ? f->bytes - at : 0, n = bytes < left ? bytes : left;
	memcpy(buffer, f->written + at, n);
	return (int64_t)n;
}

static int
settle(void *context, const char *name)
{
	struct memory_disk *d = context;
	struct memory_file *f = find(context, name);

	d->settled++;
	memcpy(f->stable, f->written, f->bytes);
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
					  .list = list,
					  .load = load,
					  .length = length,
					  .cut = cut,
					  .remove = remove_file,
					  .read = read_file,
					  .settle = settle,
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
