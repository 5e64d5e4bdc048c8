/* SPDX-License-Identifier: BSD-3-Clause */
#include "format.h"
#include "hb_archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of buffers, lengths and offsets for reading past the page cache. */
#define ALIGNMENT HB_READ_ALIGN

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
	int err;
	do
		err = posix_fallocate(fd, 0, (off_t)bytes);
	while (err == EINTR);
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

int
journal_write(int fd, const void *buffer, size_t bytes, uint64_t at)
{
	const uint8_t *p = buffer;

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
disk_write(void *context, int fd, const void *buffer, size_t bytes, uint64_t at)
{
	(void)context;
	return journal_write(fd, buffer, bytes, at);
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

/* ---- reading ------------------------------------------------------------------------- */

/* Numbers of segments, a bit each. */
struct numbers {
	uint8_t *bits;
	uint64_t room; /* bytes */
	uint32_t count, last;
};

static int
note_number(struct numbers *n, uint32_t number)
{
	uint8_t bit = (uint8_t)(1u << (number % 8));

	if (number / 8 >= n->room) {
		uint64_t room = 2 * (number / 8 + 64);
		uint8_t *more = realloc(n->bits, room);

		if (more == NULL)
			return -ENOMEM;
		memset(more + n->room, 0, room - n->room);
		n->bits = more;
		n->room = room;
	}
	n->count += (n->bits[number / 8] & bit) == 0;
	n->bits[number / 8] |= bit;
	n->last = number > n->last ? number : n->last;
	return 0;
}

/* Notes the segments of a directory under this one. */
static int
list_one(const struct hb_disk_directory *d, const char *name, struct numbers *n)
{
	int fd = openat(d->directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (dir == NULL) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (err == 0 && (entry = readdir(dir)) != NULL) {
		uint32_t number = journal_segment_number(entry->d_name);

		if (number != 0)
			err = note_number(n, number);
	}
	closedir(dir);
	return err;
}

/* Whether there is an archive: 1, 0, or -ENXIO when there should be one: never to be taken for a
 * journal that has none, or that isn't there. */
static int
archive_state(const struct hb_disk_directory *d)
{
	struct stat st;

	if (fstatat(d->directory, HB_ARCHIVE_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -errno;
	return fstatat(d->directory, HB_ARCHIVE_NAME, &st, 0) == 0 ? 1 : -ENXIO;
}

/* The archive last: what is moved there meanwhile was seen here. */
static int
disk_list(void *context, uint32_t *count, uint32_t *last)
{
	struct hb_disk_directory *d = context;
	struct numbers n = {0};
	int err = list_one(d, ".", &n);

	if (err == 0)
		err = archive_state(d);
	if (err == 1)
		err = list_one(d, HB_ARCHIVE_NAME, &n);
	*count = n.count;
	*last = n.last;
	free(n.bits);
	return err;
}

/* The path of a file in the archive. */
static void
in_archive(const char *name, char out[64])
{
	snprintf(out, 64, HB_ARCHIVE_NAME "/%s", name);
}

/* Opens a file here, else in the archive: what is moved is there before it is gone from here. */
static int
open_here_or_there(const struct hb_disk_directory *d, const char *name, int flags)
{
	int fd = openat(d->directory, name, flags | O_CLOEXEC);
	char path[64];

	if (fd >= 0 || errno != ENOENT)
		return fd;
	in_archive(name, path);
	fd = openat(d->directory, path, flags | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		errno = archive_state(d) < 0 ? ENXIO : ENOENT;
	return fd;
}

/* For reading, past the page cache where that works. */
static int
open_to_read(const struct hb_disk_directory *d, const char *name)
{
	int fd = open_here_or_there(d, name, O_RDONLY | O_DIRECT);

	return fd >= 0 ? fd : open_here_or_there(d, name, O_RDONLY);
}

static int
disk_length(void *context, const char *name, uint64_t *bytes)
{
	struct hb_disk_directory *d = context;
	struct stat st;
	char path[64];

	in_archive(name, path);
	if (fstatat(d->directory, name, &st, 0) != 0 &&
		(errno != ENOENT || fstatat(d->directory, path, &st, 0) != 0))
		return -errno;
	*bytes = (uint64_t)st.st_size;
	return 0;
}

int64_t
journal_read(int fd, uint8_t *buffer, uint64_t room)
{
	uint64_t got = 0;

	while (got < room) {
		ssize_t n = read(fd, buffer + got, room - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		got += (uint64_t)n;
		/* What isn't a multiple was the end of the file. */
		if (n == 0 || n % ALIGNMENT != 0)
			break;
	}
	return (int64_t)got;
}

/* What a load of so many bytes needs: one more block shows the end of the file. */
static uint64_t
room_for(uint64_t bytes)
{
	return (bytes / ALIGNMENT + 1) * ALIGNMENT;
}

static uint8_t *
take_buffer(struct hb_disk_directory *d, uint64_t room)
{
	void *buffer = NULL;

	if (d->spare != NULL && room <= d->spare_room) {
		buffer = d->spare;
		d->spare = NULL;
	} else if (posix_memalign(&buffer, ALIGNMENT, room) != 0) {
		buffer = NULL;
	}
	return buffer;
}

static void
disk_recycle(void *context, uint8_t *buffer, uint64_t bytes)
{
	struct hb_disk_directory *d = context;

	free(d->spare);
	d->spare = buffer;
	d->spare_room = buffer == NULL ? 0 : room_for(bytes);
}

/* Past the page cache where that works: a journal is read once, and twice as fast that way here. */
static int
disk_load(void *context, const char *name, uint8_t **buffer, uint64_t *bytes)
{
	struct hb_disk_directory *d = context;
	int fd = open_to_read(d, name);
	uint64_t room;
	int64_t got = -EINVAL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		int err = errno;

		if (fd >= 0)
			close(fd);
		return -err;
	}
	room = room_for((uint64_t)st.st_size);
	if ((*buffer = take_buffer(d, room)) == NULL) {
		close(fd);
		return -ENOMEM;
	}
	got = journal_read(fd, *buffer, room);
	/* Short of the file's end is a disk that can't be read, unless the file was cut meanwhile.
	 */
	if (got >= 0 && fstat(fd, &st) == 0 && got < st.st_size)
		got = -EIO;
	close(fd);
	if (got < 0) {
		free(*buffer);
		*buffer = NULL;
		return (int)got;
	}
	*bytes = (uint64_t)got;
	return 0;
}

static int64_t
disk_read(void *context, const char *name, uint8_t *buffer, uint64_t bytes, uint64_t at)
{
	int fd = open_to_read(context, name);
	int64_t got;

	if (fd < 0)
		return -errno;
	got = lseek(fd, (off_t)at, SEEK_SET) < 0 ? -errno : journal_read(fd, buffer, bytes);
	close(fd);
	return got;
}

static int
disk_settle(void *context, const char *name)
{
	int fd = open_here_or_there(context, name, O_RDONLY), err = 0;

	if (fd < 0)
		return -errno;
	if (fdatasync(fd) != 0)
		err = -errno;
	close(fd);
	return err;
}

/* Writes a part of a file over itself: after a failed flush the kernel takes pages for clean that
 * never reached the disk, and a flush alone would leave them so. */
static int
write_again(int fd, uint64_t from, uint64_t to)
{
	uint64_t bytes = to - from, got = 0;
	uint8_t *buffer = malloc(bytes + 1);
	int err = buffer == NULL ? -ENOMEM : 0;

	while (err == 0 && got < bytes) {
		ssize_t n = pread(fd, buffer + got, bytes - got, (off_t)(from + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			err = n < 0 ? -errno : -EIO;
		else
			got += (uint64_t)n;
	}
	if (err == 0)
		err = journal_write(fd, buffer, bytes, from);
	free(buffer);
	return err;
}

static int
disk_cut(void *context, const char *name, uint64_t bytes)
{
	struct hb_disk_directory *d = context;
	uint64_t tail = bytes > HB_BATCH_BYTES ? bytes - HB_BATCH_BYTES : 0;
	int fd = openat(d->directory, name, O_RDWR | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (!d->direct)
		err = write_again(fd, tail, bytes);
	if (!d->direct && err == 0 && tail > 0)
		err = write_again(fd, 0, tail < ALIGNMENT ? tail : ALIGNMENT);
	if (err == 0)
		return disk_close(context, fd, bytes);
	close(fd);
	return err;
}

static int
disk_remove(void *context, const char *name)
{
	struct hb_disk_directory *d = context;

	return unlinkat(d->directory, name, 0) == 0 ? 0 : -errno;
}

/* ---- opening ------------------------------------------------------------------------- */

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

static void
begin_directory(struct hb_disk_directory *d)
{
	*d = (struct hb_disk_directory){.directory = -1, .lock = -1};
	d->disk = (struct hb_disk){
		.context = d,
		.create = disk_create,
		.write = disk_write,
		.flush = disk_flush,
		.close = disk_close,
		.flush_names = disk_flush_names,
		.list = disk_list,
		.load = disk_load,
		.recycle = disk_recycle,
		.length = disk_length,
		.cut = disk_cut,
		.remove = disk_remove,
		.read = disk_read,
		.settle = disk_settle,
	};
}

static int
open_directory(struct hb_disk_directory *d, const char *path, struct hb_error *e)
{
	d->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->directory >= 0)
		return 0;
	return hb_fail(e, errno,
		"journal %s: cannot open the directory: %s; name a journal's directory", path,
		strerror(errno));
}

int
hb_disk_look(struct hb_disk_directory *d, const char *path, struct hb_error *e)
{
	begin_directory(d);
	return open_directory(d, path, e);
}

int
hb_disk_open(struct hb_disk_directory *d, const char *path, struct hb_error *e)
{
	int err;

	begin_directory(d);
	d->made = mkdir(path, 0750) == 0;
	if (!d->made && errno != EEXIST)
		return hb_fail(e, errno,
			"journal %s: cannot make the directory: %s; try: mkdir -p %s", path,
			strerror(errno), path);
	if ((err = open_directory(d, path, e)) == 0)
		err = take_lock(d, path, e);
	if (err != 0) {
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
	free(d->spare);
	d->spare = NULL;
}
