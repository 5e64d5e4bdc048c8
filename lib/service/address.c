/* SPDX-License-Identifier: BSD-3-Clause */
#include "address.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

int
hb_place_open(struct hb_place *p, const char *path, struct hb_error *e)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	/* "/x" is in "/", "x" in ".". */
	int bytes = slash == path ? 1 : (int)(name - path);

	*p = (struct hb_place){.directory = -1, .path = path};
	if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return hb_fail(e, EINVAL,
			"control socket '%s': not the path of a file; name one, "
			"such as /run/hongbao/control.sock",
			path);
	if (strlen(name) >= sizeof(p->name) || bytes >= PATH_MAX)
		return hb_fail(e, ENAMETOOLONG,
			"control socket %s: too long a path; choose a shorter one", path);
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(directory, sizeof(directory), "%.*s", bytes, bytes == 0 ? "." : path);
	if (bytes == 0)
		strcpy(directory, ".");
	p->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->directory < 0) {
		int err = errno;

		return hb_fail(e, err, "control socket %s: its directory %s: %s; %s", path,
			directory, strerror(err),
			err == EACCES ? "ask for the right to enter it"
				      : "make the directory, or name another path");
	}
	return 0;
}

void
hb_place_close(struct hb_place *p)
{
	if (p->directory >= 0)
		close(p->directory);
	p->directory = -1;
}

int
hb_place_address(const struct hb_place *p, struct sockaddr_un *a, struct hb_error *e)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	/* The path itself where it fits: it is what ss and lsof show. */
	if (strlen(p->path) < sizeof(a->sun_path)) {
		strcpy(a->sun_path, p->path);
		return 0;
	}
	int n = snprintf(
		a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%s", p->directory, p->name);
	if (n >= (int)sizeof(a->sun_path))
		return hb_fail(e, ENAMETOOLONG,
			"control socket %s: the name in its directory is too long for a socket; "
			"use at most 80 bytes",
			p->path);
	return 0;
}
