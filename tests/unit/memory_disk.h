/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory_disk: a disk of memory for a journal, which remembers what was flushed and can be told to
 * fail. Reading gives what is stable.
 */
#ifndef HB_TEST_MEMORY_DISK_H
#define HB_TEST_MEMORY_DISK_H

#include "hb_journal.h"

#define MEMORY_DISK_FILES 64

struct memory_file {
	char name[32];
	uint8_t *written; /* as the program sees it */
	uint8_t *stable;  /* as a crash would leave it */
	uint64_t bytes;
};

struct memory_disk {
	struct hb_disk disk;
	struct memory_file file[MEMORY_DISK_FILES];
	unsigned files;
	unsigned writes, flushes;
	unsigned settled; /* by a reader */
	/* What the next calls return instead of working, 0 for nothing. */
	int fail_create, fail_write, fail_flush;
};

void memory_disk_make(struct memory_disk *d, uint32_t block);
void memory_disk_free(struct memory_disk *d);

/* Writes what is stable into a directory, for a reader. */
void memory_disk_dump(const struct memory_disk *d, const char *directory);

#endif
