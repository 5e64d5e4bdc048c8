/* SPDX-License-Identifier: BSD-3-Clause */
#include "format.h"
#include "hb_archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES (1u << 20)

/* ---- the way there ------------------------------------------------------------------- */

/* What JOURNAL/archive is by now: the same directory as `archive`, or another. */
static int
check_link(const char *link, const char *archive, struct hb_error *e)
{
	struct stat here, there;

	if (stat(link, &here) != 0)
		return hb_fail(e, errno,
			"archive %s: it leads nowhere: %s; mount or make what it leads to", link,
			strerror(errno));
	if (stat(archive, &there) == 0 && here.st_dev == there.st_dev &&
		here.st_ino == there.st_ino)
		return 0;
	return hb_fail(e, EEXIST,
		"archive %s: the journal's segments are archived elsewhere already (see %s); name "
		"that, or move its files to the new one and remove the link",
		archive, link);
}

static int
flush_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 || fsync(fd) != 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

int
hb_archive_prepare(const char *journal, const char *archive, struct hb_error *e)
{
	char link[PATH_MAX], whole[PATH_MAX], up[PATH_MAX + 4];
	struct stat st;

	if ((size_t)snprintf(link, sizeof(link), "%s/" HB_ARCHIVE_NAME, journal) >= sizeof(link))
		return hb_fail(e, ENAMETOOLONG, "archive of %s: the path is too long", journal);
	if (mkdir(archive, 0750) != 0 && errno != EEXIST)
		return hb_fail(e, errno, "archive %s: cannot make it: %s; try: mkdir -p %s",
			archive, strerror(errno), archive);
	if (lstat(link, &st) == 0)
		return check_link(link, archive, e);
	if (realpath(archive, whole) == NULL || symlink(whole, link) != 0)
		return hb_fail(e, errno,
			"archive %s: cannot make the link %s: %s; check the rights", archive, link,
			strerror(errno));
	/* The archive's own name, and the link. */
	snprintf(up, sizeof(up), "%s/..", whole);
	int err = flush_directory(up);

	if (err == 0)
		err = flush_directory(journal);
	return err == 0 ? 0
			: hb_fail(e, -err, "archive %s: cannot flush its directory: %s", archive,
				  strerror(-err));
}

/* ---- a move -------------------------------------------------------------------------- */

struct move {
	int from, to; /* directories */
	char name[32], part[40];
	void (*step)(const char *what);
};

static void
step(const struct move *m, const char *what)
{
	if (m->step != NULL)
		m->step(what);
}

/* Copies all of a file. */
static int
copy(int from, int to)
{
	uint8_t *buffer = malloc(COPY_BYTES);
	uint64_t at = 0;
	int64_t n;
	int err = buffer == NULL ? -ENOMEM : 0;

	while (err == 0 && (n = journal_read(from, buffer, COPY_BYTES)) != 0) {
		err = n < 0 ? (int)n : journal_write(to, buffer, (size_t)n, at);
		at += n < 0 ? 0 : (uint64_t)n;
	}
	free(buffer);
	return err;
}

/* Whether two files hold the same. Returns 1, 0 or -errno. */
static int
same(int a, int b)
{
	uint8_t *buffer = malloc(2 * COPY_BYTES);
	int rc = buffer == NULL ? -ENOMEM : 1;
	int64_t n = 1, m;

	while (rc == 1 && n != 0) {
		n = journal_read(a, buffer, COPY_BYTES);
		m = journal_read(b, buffer + COPY_BYTES, COPY_BYTES);
		if (n < 0 || m < 0)
			rc = n < 0 ? (int)n : (int)m;
		else if (n != m || memcmp(buffer, buffer + COPY_BYTES, (size_t)n) != 0)
			rc = 0;
	}
	free(buffer);
	return rc;
}

/* Whether the archive has the file already, as it is here. Returns 1, 0 (it isn't there), or
 * -errno.
 */
static int
there_already(const struct move *m)
{
	int a = openat(m->from, m->name, O_RDONLY | O_CLOEXEC), rc = 0;
	int b = openat(m->to, m->name, O_RDONLY | O_CLOEXEC);

	if (b < 0)
		rc = errno == ENOENT ? 0 : -errno;
	else if (a < 0)
		rc = -errno;
	else if ((rc = same(a, b)) == 0)
		rc = -EEXIST;
	if (a >= 0)
		close(a);
	if (b >= 0)
		close(b);
	return rc;
}

/* Puts a whole, durable copy into the archive under a name of its own, then gives it its name. */
static int
copy_over(const struct move *m)
{
	int a = openat(m->from, m->name, O_RDONLY | O_CLOEXEC), b = -1, err = 0;

	if (a < 0)
		return -errno;
	step(m, "copy");
	b = openat(m->to, m->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (b < 0)
		err = -errno;
	step(m, "write");
	if (err == 0)
		err = copy(a, b);
	step(m, "flush");
	if (err == 0 && fsync(b) != 0)
		err = -errno;
	/* What was written is what was read, as far as one can see without the page cache. */
	if (err == 0) {
		posix_fadvise(b, 0, 0, POSIX_FADV_DONTNEED);
		lseek(a, 0, SEEK_SET);
		lseek(b, 0, SEEK_SET);
		int rc = same(a, b);
		err = rc < 0 ? rc : rc == 0 ? -EIO : 0;
	}
	close(a);
	if (b >= 0 && close(b) != 0 && err == 0)
		err = -errno;
	step(m, "rename");
	if (err == 0 && renameat(m->to, m->part, m->to, m->name) != 0)
		err = -errno;
	if (err != 0)
		unlinkat(m->to, m->part, 0);
	return err;
}

static int
move_file(const struct move *m)
{
	int rc = there_already(m);

	if (rc == 0)
		rc = copy_over(m);
	if (rc < 0)
		return rc;
	step(m, "flush names there");
	if (fsync(m->to) != 0)
		return -errno;
	step(m, "remove");
	if (unlinkat(m->from, m->name, 0) != 0 && errno != ENOENT)
		return -errno;
	step(m, "flush names here");
	return fsync(m->from) == 0 ? 0 : -errno;
}

int
hb_archive_move(
	const char *journal, uint32_t number, void (*each)(const char *what), struct hb_error *e)
{
	struct move m = {.to = -1, .step = each};
	int err = 0;

	snprintf(m.name, sizeof(m.name), SEGMENT_NAME, number);
	snprintf(m.part, sizeof(m.part), ".%s.part", m.name);
	m.from = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m.from >= 0)
		m.to = openat(m.from, HB_ARCHIVE_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m.from < 0 || m.to < 0)
		err = -errno;
	else if (faccessat(m.from, m.name, F_OK, 0) == 0)
		err = move_file(&m);
	if (m.from >= 0)
		close(m.from);
	if (m.to >= 0)
		close(m.to);
	if (err == -EEXIST)
		return hb_fail(e, EEXIST,
			"archive %s/" HB_ARCHIVE_NAME
			"/%s: is there already, and isn't the same as "
			"%s/%s; neither was touched: find out which one is this journal's",
			journal, m.name, journal, m.name);
	if (err != 0)
		return hb_fail(e, -err,
			"archive %s/" HB_ARCHIVE_NAME ": cannot move %s there: %s; it stays where "
			"it is: look at the archive's disk and rights",
			journal, m.name, strerror(-err));
	return 0;
}

int
hb_archive_first(const char *journal, uint32_t *first, struct hb_error *e)
{
	DIR *dir = opendir(journal);
	struct dirent *entry;

	*first = 0;
	if (dir == NULL)
		return hb_fail(e, errno, "journal %s: cannot list the directory: %s", journal,
			strerror(errno));
	while ((entry = readdir(dir)) != NULL) {
		uint32_t number = journal_segment_number(entry->d_name);

		if (number != 0 && (*first == 0 || number < *first))
			*first = number;
	}
	closedir(dir);
	return 0;
}
