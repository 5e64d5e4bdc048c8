/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket's place in the file system: taken, given rights before anybody can connect,
 * and given back.
 */
#include "service_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_MODE 0660

/* Whether somebody listens there. A queue that is full is somebody too. */
static bool
is_live(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool live = fd < 0 || connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 ||
		    (errno != ECONNREFUSED && errno != ENOENT);

	if (fd >= 0)
		close(fd);
	return live;
}

/* Removes a dead socket. Another process may do the same at this moment and already have its own in
 * the place, so it is moved aside first and looked at there. */
static int
remove_dead(const struct hb_place *p, const struct stat *dead, struct hb_error *e)
{
	char aside[64];
	struct stat st;

	snprintf(aside, sizeof(aside), ".hongbao-dead-%d-%llx", (int)getpid(),
		(unsigned long long)hb_mono_ns());
	if (renameat2(p->directory, p->name, p->directory, aside, RENAME_NOREPLACE) != 0) {
		int err = errno;

		if (err == ENOENT)
			return 0;
		return hb_fail(e, err,
			"control socket %s: the one that a dead process left cannot be removed: "
			"%s; "
			"remove it",
			p->path, strerror(err));
	}
	if (fstatat(p->directory, aside, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		(st.st_dev != dead->st_dev || st.st_ino != dead->st_ino)) {
		renameat2(p->directory, aside, p->directory, p->name, RENAME_NOREPLACE);
		return hb_fail(e, EADDRINUSE,
			"control socket %s: another process takes it at this moment; stop that "
			"one, or "
			"name another path as control.socket",
			p->path);
	}
	unlinkat(p->directory, aside, 0);
	return 0;
}

/* Makes the place free, or says why it cannot be. */
static int
clear(const struct hb_place *p, const struct sockaddr_un *a, struct hb_error *e)
{
	struct stat st;

	if (fstatat(p->directory, p->name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		int err = errno;

		return err == ENOENT ? 0
				     : hb_fail(e, err,
					       "control socket %s: %s; name another path as "
					       "control.socket",
					       p->path, strerror(err));
	}
	if (!S_ISSOCK(st.st_mode))
		return hb_fail(e, ENOTSOCK,
			"control socket %s: there is a file that is no socket; "
			"move it away, or name another path as control.socket",
			p->path);
	if (is_live(a))
		return hb_fail(e, EADDRINUSE,
			"control socket %s: a running process listens there; "
			"stop that one, or name another path as control.socket",
			p->path);
	return remove_dead(p, &st, e);
}

/* The socket's file gets its group while nobody but the owner may connect, then its mode. */
static int
give_rights(const struct hb_place *p, const char *group, struct hb_error *e)
{
	uint32_t gid;
	int r;

	if (group != NULL && group[0] != '\0') {
		if ((r = hb_group_find(group, "control.group", &gid, e)) != 0)
			return r;
		if (fchownat(p->directory, p->name, (uid_t)-1, (gid_t)gid, AT_SYMLINK_NOFOLLOW) !=
			0) {
			int err = errno;

			return hb_fail(e, err,
				"control socket %s: cannot be given to the group %s: %s; the "
				"process's "
				"user must be root or a member of it",
				p->path, group, strerror(err));
		}
	}
	if (fchmodat(p->directory, p->name, SOCKET_MODE, 0) != 0) {
		int err = errno;

		return hb_fail(e, err,
			"control socket %s: its mode cannot be set: %s; name another "
			"path as control.socket",
			p->path, strerror(err));
	}
	return 0;
}

static int
take(struct hb_claim *c, const struct sockaddr_un *a, struct hb_error *e)
{
	struct stat st;
	int err;

	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Linux makes the file with the mode of the descriptor. */
	if (c->fd < 0 || fchmod(c->fd, 0600) != 0 ||
		bind(c->fd, (const struct sockaddr *)a, sizeof(*a)) != 0) {
		err = errno;
		return hb_fail(e, err, "control socket %s: %s; %s", c->place.path, strerror(err),
			err == EADDRINUSE
				? "another process took it; stop that one"
				: "name a path in a directory that this user may write, as "
				  "control.socket");
	}
	if (fstatat(c->place.directory, c->place.name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		err = errno;
		return hb_fail(e, err, "control socket %s: %s; somebody removes it, see who",
			c->place.path, strerror(err));
	}
	c->device = st.st_dev;
	c->inode = st.st_ino;
	return 0;
}

int
hb_claim_make(
	struct hb_claim *c, const char *path, const char *group, int backlog, struct hb_error *e)
{
	struct sockaddr_un a;
	int r;

	c->fd = -1;
	if ((r = hb_place_open(&c->place, path, e)) != 0)
		return r;
	if ((r = hb_place_address(&c->place, &a, e)) == 0 && (r = clear(&c->place, &a, e)) == 0 &&
		(r = take(c, &a, e)) == 0 && (r = give_rights(&c->place, group, e)) == 0 &&
		listen(c->fd, backlog) != 0)
		r = hb_fail(e, errno, "control socket %s: listening failed: %s; name another path",
			path, strerror(errno));
	if (r != 0)
		hb_claim_free(c);
	return r;
}

void
hb_claim_free(struct hb_claim *c)
{
	struct stat st;

	/* While the descriptor is open no other file can have got its inode number. */
	if (c->fd >= 0 && c->inode != 0 &&
		fstatat(c->place.directory, c->place.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		st.st_dev == c->device && st.st_ino == c->inode)
		unlinkat(c->place.directory, c->place.name, 0);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	hb_place_close(&c->place);
}
