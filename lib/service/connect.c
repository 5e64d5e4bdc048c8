/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_service_client.h"

#include "address.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define CONNECT_S 5

static int
explain(int err, const char *path, struct hb_error *e)
{
	switch (err) {
	case ENOENT:
		return hb_fail(e, err,
			"no control socket at %s; start hongbaod, or name the path "
			"that its configuration has as control.socket",
			path);
	case ECONNREFUSED:
		return hb_fail(e, err,
			"nobody answers at %s: the hongbaod that made it is gone; "
			"start it again",
			path);
	case EACCES:
	case EPERM:
		return hb_fail(e, EACCES,
			"no right to the control socket %s; run as root, as its "
			"owner or as a member of its group (control.group)",
			path);
	case ENOTSOCK:
		return hb_fail(e, err,
			"%s is not a socket; name the path that hongbaod's "
			"configuration has as control.socket",
			path);
	case EAGAIN:
		return hb_fail(e, ETIMEDOUT,
			"hongbaod takes no connection at %s: none in %u s; "
			"see whether it still runs",
			path, CONNECT_S);
	default:
		return hb_fail(e, err, "control socket %s: %s", path, strerror(err));
	}
}

static int
connect_at(const struct sockaddr_un *a)
{
	/* Where the queue of those who wait is full, connect() waits as long as send() would. */
	struct timeval limit = {.tv_sec = CONNECT_S}, none = {0};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) != 0) {
		int err = errno;

		close(fd);
		return -err;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	return fd;
}

int
hb_service_connect(const char *path, struct hb_error *e)
{
	struct hb_place place;
	struct sockaddr_un a;
	struct stat st;
	int r;

	if ((r = hb_place_open(&place, path, e)) != 0)
		return r;
	if ((r = hb_place_address(&place, &a, e)) == 0) {
		/* connect() says ECONNREFUSED of other files too. */
		if (fstatat(place.directory, place.name, &st, 0) != 0)
			r = -errno;
		else
			r = S_ISSOCK(st.st_mode) ? connect_at(&a) : -ENOTSOCK;
		if (r < 0)
			r = explain(-r, path, e);
	}
	hb_place_close(&place);
	return r;
}
