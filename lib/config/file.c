/* SPDX-License-Identifier: BSD-3-Clause */
#include "doc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (16u << 20)

static int
no_file(const struct hb_lines *l, struct hb_error *e, int err, const char *right)
{
	struct hb_spot at = {.right = right};

	return hb_lines_fail(l, at, e, err, "cannot be read: %s", strerror(err));
}

static const char *
remedy(int err)
{
	switch (err) {
	case ENOENT:
	case ENOTDIR:
		return "name a file that is there";
	case EACCES:
	case EPERM:
		return "let the user that runs this read it";
	case EISDIR:
		return "name a file, not a directory";
	default:
		return "see whether another program can read it";
	}
}

int
hb_file_check_size(const struct hb_lines *l, uint64_t bytes, struct hb_error *e)
{
	if (bytes <= FILE_BYTES_MAX)
		return 0;
	return hb_lines_fail(l,
		(struct hb_spot){.right = "split it, or see whether it is the right file"}, e,
		EFBIG, "has %llu bytes, over the limit of 16 MiB", (unsigned long long)bytes);
}

static int
check_stat(const struct hb_lines *l, const struct stat *st, unsigned forbidden, struct hb_error *e)
{
	char right[600];

	if (S_ISDIR(st->st_mode))
		return no_file(l, e, EISDIR, remedy(EISDIR));
	if (!S_ISREG(st->st_mode))
		return no_file(l, e, EINVAL, "name a regular file");
	int rc = hb_file_check_size(l, (uint64_t)st->st_size, e);
	if (rc != 0 || (st->st_mode & forbidden) == 0)
		return rc;
	snprintf(right, sizeof(right), "run: chmod 600 %s", l->file);
	return hb_lines_fail(l, (struct hb_spot){.right = right}, e, EPERM,
		"has mode %04o, which lets others at its keys", st->st_mode & 07777);
}

/* Reads up to `size` bytes; a file that grows meanwhile is read as far as it went. */
static int
read_all(int fd, char *to, size_t size, size_t *len)
{
	*len = 0;
	while (*len < size) {
		ssize_t n = read(fd, to + *len, size - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	to[*len] = '\0';
	return 0;
}

int
hb_file_read(
	const struct hb_lines *l, unsigned forbidden, char **text, size_t *len, struct hb_error *e)
{
	/* Not to wait for the other end, should it be a pipe. */
	int fd = open(l->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int rc, err;

	if (fd < 0)
		return no_file(l, e, errno, remedy(errno));
	if (fstat(fd, &st) != 0) {
		rc = no_file(l, e, errno, remedy(errno));
		goto out;
	}
	rc = check_stat(l, &st, forbidden, e);
	if (rc != 0)
		goto out;
	*text = malloc((size_t)st.st_size + 1);
	if (*text == NULL) {
		rc = no_file(l, e, ENOMEM, "free some memory");
		goto out;
	}
	err = read_all(fd, *text, (size_t)st.st_size, len);
	if (err != 0) {
		free(*text);
		rc = no_file(l, e, err, remedy(err));
	}
out:
	close(fd);
	return rc;
}
