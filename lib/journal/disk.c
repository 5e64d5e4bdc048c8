/* SPDX-License-Identifier: BSD-3-Clause */
#include "format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int
disk_create(void *context, const char *name, uint64_t bytes)
{
	struct hb_disk_directory *d = context;
	int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | (d->direct ? O_DIRECT | O_DSYNC : 0);
	int fd = openat(d->directory, name, flags, 0640);

	if (fd < 0)
		return -errno;
	/* With the space there from the start, a full disk shows here, where nothing is lost yet.
	 */
	int err = posix_fallocate(fd, 0, (off_t)bytes);
	if (err == EOPNOTSUPP || err == EINVAL)
		err = ftruncate(fd, (off_t)bytes) == 0 ? 0 : errno;
	if (err == 0 && fsync(fd) != 0)
		err = errno;
	if (err == 0)
		return fd;
	close(fd);
	unlinkat(d->directory, name, 0);
	return -err;
}

static int
disk_write(void *context, int fd, const void *buffer, size_t bytes, uint64_t at)
{
	const uint8_t *p = buffer;

	(void)context;
	while (bytes > 0) {
		ssize_t n = pwrite(fd, p, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int
disk_flush(void *context, int fd)
{
	struct hb_disk_directory *d = context;

	/* With O_DSYNC each write has been flushed when it returns. */
	if (d->direct)
		return 0;
	return fdatasync(fd) == 0 ? 0 : -errno;
}

static int
disk_close(void *context, int fd, uint64_t bytes)
{
	int err = 0;

	(void)context;
	if (ftruncate(fd, (off_t)bytes) != 0 || fsync(fd) != 0)
		err = -errno;
	if (close(fd) != 0 && err == 0)
		err = -errno;
	return err;
}

static int
disk_flush_names(void *context)
{
	struct hb_disk_directory *d = context;

	return fsync(d->directory) == 0 ? 0 : -errno;
}

/* Whether a block of this size can be written past the page cache here: asked by doing it. */
static bool
direct_works(struct hb_disk_directory *d, uint32_t block)
{
	const char *name = ".probe";
	void *buffer = NULL;
	bool works = false;
	int fd =
		openat(d->directory, name, O_RDWR | O_CREAT | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	if (posix_memalign(&buffer, 4096, block) == 0) {
		memset(buffer, 0, block);
		works = pwrite(fd, buffer, block, block) == (ssize_t)block;
	}
	free(buffer);
	close(fd);
	unlinkat(d->directory, name, 0);
	return works;
}

static void
choose_block(struct hb_disk_directory *d)
{
	d->disk.block = 512;
	d->direct = true;
	if (direct_works(d, 512))
		return;
	d->disk.block = 4096;
	if (direct_works(d, 4096))
		return;
	d->direct = false;
	d->disk.block = 512;
	d->disk.note = "no direct I/O on this file system: each batch is flushed by fdatasync";
}

static int
take_lock(struct hb_disk_directory *d, const char *path, struct hb_error *e)
{
	d->lock = openat(d->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (d->lock < 0)
		return hb_fail(e, errno,
			"journal %s: cannot make the file lock: %s; check its rights", path,
			strerror(errno));
	if (flock(d->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return hb_fail(e, EBUSY,
		"journal %s: another process has it locked; stop that one, or name another "
		"directory (who: fuser %s/lock)",
		path, path);
}

int
hb_disk_open(struct hb_disk_directory *d, const char *path, struct hb_error *e)
{
	int err;

	*d = (struct hb_disk_directory){.directory = -1, .lock = -1};
	d->disk = (struct hb_disk){
		.context = d,
		.create = disk_create,
		.write = disk_write,
		.flush = disk_flush,
		.close = disk_close,
		.flush_names = disk_flush_names,
	};
	d->made = mkdir(path, 0750) == 0;
	if (!d->made && errno != EEXIST)
		return hb_fail(e, errno,
			"journal %s: cannot make the directory: %s; try: mkdir -p %s", path,
			strerror(errno), path);
	d->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->directory < 0)
		return hb_fail(e, errno,
			"journal %s: cannot open the directory: %s; name a directory "
			"that this user can write",
			path, strerror(errno));
	if ((err = take_lock(d, path, e)) != 0) {
		hb_disk_close(d);
		return err;
	}
	choose_block(d);
	return 0;
}

void
hb_disk_discard(struct hb_disk_directory *d, const char *path)
{
	if (d->made && d->lock >= 0)
		unlinkat(d->directory, "lock", 0);
	hb_disk_close(d);
	/* Fails where there is anything in it, which is then not ours to remove. */
	if (d->made)
		rmdir(path);
}

void
hb_disk_close(struct hb_disk_directory *d)
{
	if (d->lock >= 0)
		close(d->lock);
	if (d->directory >= 0)
		close(d->directory);
	d->lock = d->directory = -1;
}
