/* SPDX-License-Identifier: BSD-3-Clause */
/* A configuration written over its file, which is at any moment whole. */
#include "doc.h"
#include "hb_change.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BEFORE ".before"

static const char *
remedy(int err)
{
	switch (err) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return "make room on its disk";
	case EACCES:
	case EPERM:
		return "let the user that runs this write to its directory and keep its owner";
	case EROFS:
		return "mount its file system for writing";
	case ENAMETOOLONG:
		return "give it a shorter name";
	default:
		return "see what is wrong with its disk";
	}
}

static int
failed(struct hb_error *e, const char *path, int err)
{
	return hb_fail(e, err, "%s: cannot be written: %s; the file is as it was; %s", path,
		strerror(err), remedy(err));
}

static int
write_all(int fd, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, text, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return errno;
		text += w;
		n -= (size_t)w;
	}
	return fsync(fd) == 0 ? 0 : errno;
}

/* Gives a new file the owner and the mode of the one whose place it takes. The mode comes last:
 * chown() takes bits off. */
static int
take_after(int fd, const struct stat *like)
{
	struct stat own;

	if (fstat(fd, &own) != 0)
		return errno;
	if ((own.st_uid != like->st_uid || own.st_gid != like->st_gid) &&
		fchown(fd, like->st_uid, like->st_gid) != 0)
		return errno;
	return fchmod(fd, like->st_mode & 07777) == 0 ? 0 : errno;
}

/* Puts a file with that text into the place of `path`, at once. like: NULL where there was none.
 * Returns 0 or an errno; then `path` is as it was. */
static int
replace(const char *path, const char *text, size_t n, const struct stat *like)
{
	char temporary[PATH_MAX];
	int fd, err;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= sizeof(temporary))
		return ENAMETOOLONG;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return errno;
	err = like != NULL ? take_after(fd, like) : 0;
	if (err == 0)
		err = write_all(fd, text, n);
	if (close(fd) != 0 && err == 0)
		err = errno;
	if (err == 0 && rename(temporary, path) != 0)
		err = errno;
	if (err != 0)
		unlink(temporary);
	return err;
}

/* So that the renaming survives a power cut. */
static int
sync_directory(const char *path)
{
	char copy[PATH_MAX];
	int fd, err = 0;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (fsync(fd) != 0)
		err = errno;
	close(fd);
	return err;
}

/* Copies what is at `path` to PATH.before. */
static int
keep_before(const char *path, const struct stat *st, struct hb_error *e)
{
	const struct hb_lines l = {.file = path};
	char before[PATH_MAX], *text;
	size_t n;
	int rc, err;

	if ((size_t)snprintf(before, sizeof(before), "%s" BEFORE, path) >= sizeof(before))
		return failed(e, path, ENAMETOOLONG);
	rc = hb_file_read(&l, 0, &text, &n, e);
	if (rc != 0)
		return rc;
	err = replace(before, text, n, st);
	free(text);
	return err == 0 ? 0 : failed(e, before, err);
}

/* The file itself, where c->path is a link to it. */
static int
save_text(const char *path, const char *text, struct hb_error *e)
{
	struct stat st;
	bool there = stat(path, &st) == 0;
	int rc = 0, err;

	if (!there && errno != ENOENT)
		return failed(e, path, errno);
	if (there)
		rc = keep_before(path, &st, e);
	if (rc != 0)
		return rc;
	err = replace(path, text, strlen(text), there ? &st : NULL);
	if (err != 0)
		return failed(e, path, err);
	err = sync_directory(path);
	if (err != 0)
		return hb_fail(e, err, "%s: was written, but not made durable: %s; %s", path,
			strerror(err), remedy(err));
	return 0;
}

int
hb_config_save(const struct hb_config *c, struct hb_error *e)
{
	char *text = hb_config_text(c, true), path[PATH_MAX];
	int rc;

	if (text == NULL)
		return hb_fail(e, ENOMEM, "%s: cannot be written: no memory for its text", c->path);
	if (realpath(c->path, path) == NULL)
		snprintf(path, sizeof(path), "%s", c->path);
	rc = save_text(path, text, e);
	/* It holds passwords. */
	explicit_bzero(text, strlen(text));
	free(text);
	return rc;
}
