/* SPDX-License-Identifier: BSD-3-Clause */
#include "sense.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int
hb_path_in(char *out, size_t size, const char *dir, const char *path)
{
	const char *slash = dir[strlen(dir) - 1] == '/' ? "" : "/";
	int n;

	while (strncmp(path, "./", 2) == 0)
		path += 2;
	if (path[0] == '/')
		n = snprintf(out, size, "%s", path);
	else
		n = snprintf(out, size, "%s%s%s", dir, slash, path);
	return (size_t)n < size ? 0 : -ENAMETOOLONG;
}

int
hb_path_of(char dir[PATH_MAX], char file[PATH_MAX], const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	char up[PATH_MAX];

	if (slash == NULL)
		snprintf(up, sizeof(up), ".");
	else if (slash == path)
		snprintf(up, sizeof(up), "/");
	else if ((size_t)(slash - path) < sizeof(up))
		snprintf(up, sizeof(up), "%.*s", (int)(slash - path), path);
	else
		return -ENAMETOOLONG;
	if (realpath(up, dir) == NULL)
		return -errno;
	return hb_path_in(file, PATH_MAX, dir, name);
}
