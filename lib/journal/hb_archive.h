/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_archive: segments of a journal that are settled, moved out of its directory, maybe to another
 * file system. They stay the journal's: JOURNAL/archive is the directory that they go to, or a
 * symbolic link to it, and whoever reads the journal reads both as one. A segment is in the
 * archive, whole and durable, before it is taken away here, so that a crash at any moment leaves it
 * in at least one place, and the next move of it goes on.
 *
 * Nothing here ever deletes a segment of which no equal copy is in the archive.
 *
 * No state; the one process that settles the journal moves, beside a hongbaod that runs or not.
 */
#ifndef HB_ARCHIVE_H
#define HB_ARCHIVE_H

#include "hb_base.h"

#define HB_ARCHIVE_NAME "archive"

/* Makes JOURNAL/archive lead to `archive`, which is made if it isn't there. Returns 0, or -errno
 * with e: -EEXIST when the journal has another archive already. */
int hb_archive_prepare(const char *journal, const char *archive, struct hb_error *e);

/* Moves a segment that no one writes to any more. Returns 0 (also where it was moved before), or
 * -errno with e: -EEXIST when another file of that name is in the archive, -ENOSPC, -ENOENT...
 * step: called before each step with its name, NULL in earnest; for tests of crashes. */
int hb_archive_move(
	const char *journal, uint32_t number, void (*step)(const char *what), struct hb_error *e);

/* The first segment that is still in the journal's directory; 0: none.
 * Returns 0 or -errno with e. */
int hb_archive_first(const char *journal, uint32_t *first, struct hb_error *e);

#endif
