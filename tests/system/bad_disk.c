/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk that is slow, or fails after a while, for a program that knows nothing of it: to be
 * preloaded. Stands in for pwrite(), which the journal alone writes with.
 *
 *   BAD_DISK_AFTER=N   the first N writes are as ever
 *   BAD_DISK_US=N      then each takes so many microseconds more
 *   BAD_DISK_ERRNO=N   and fails so
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

typedef ssize_t write_function(int fd, const void *bytes, size_t n, off_t at);

static int
setting(const char *name)
{
	const char *value = getenv(name);

	return value == NULL ? 0 : atoi(value);
}

/* All of it, though net_tap sends signals for each frame. */
static void
take_time(int us)
{
	struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

ssize_t
pwrite(int fd, const void *bytes, size_t n, off_t at)
{
	static int writes;
	write_function *real =
		(write_function *)dlsym(RTLD_NEXT, "pwrite64"); /* by which name large files go */

	if (__atomic_add_fetch(&writes, 1, __ATOMIC_RELAXED) <= setting("BAD_DISK_AFTER"))
		return real(fd, bytes, n, at);
	take_time(setting("BAD_DISK_US"));
	if (setting("BAD_DISK_ERRNO") == 0)
		return real(fd, bytes, n, at);
	errno = setting("BAD_DISK_ERRNO");
	return -1;
}
