/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_settled.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 256
#define FORM                                                                                       \
	"hongbao-settled 1 journal=%016" SCNx64 " host=%" SCNu32 " record=%" SCNu64                \
	" segment=%" SCNu32 " time_us=%" SCNu64 "\n"

/* Writes the whole line, or nothing that counts. */
static int
write_new(int directory, const char *name, const char *line, size_t n)
{
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640), err = 0;

	if (fd < 0)
		return -errno;
	ssize_t done = write(fd, line, n);

	if (done != (ssize_t)n)
		err = done < 0 ? -errno : -ENOSPC;
	if (err == 0 && fsync(fd) != 0)
		err = -errno;
	if (close(fd) != 0 && err == 0)
		err = -errno;
	return err;
}

int
hb_settled_write(const char *journal, const struct hb_settled *s, struct hb_error *e)
{
	static const char fresh[] = "." HB_SETTLED_NAME ".new";
	int directory = open(journal, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	char line[LINE_MAX_BYTES];
	int n = snprintf(
		line, sizeof(line), FORM, s->journal, s->host, s->record, s->segment, s->time_us);

	if (directory < 0)
		err = -errno;
	if (err == 0)
		err = write_new(directory, fresh, line, (size_t)n);
	if (err == 0 && renameat(directory, fresh, directory, HB_SETTLED_NAME) != 0)
		err = -errno;
	if (err == 0 && fsync(directory) != 0)
		err = -errno;
	if (directory >= 0)
		close(directory);
	return err == 0
		       ? 0
		       : hb_fail(e, -err,
				 "journal %s: cannot tell hongbaod how far it is settled (the file "
				 "%s): %s; let the user that runs this write there",
				 journal, HB_SETTLED_NAME, strerror(-err));
}

int
hb_settled_read(const char *journal, struct hb_settled *s)
{
	char path[4096], line[LINE_MAX_BYTES];
	int fields = 0;

	if ((size_t)snprintf(path, sizeof(path), "%s/" HB_SETTLED_NAME, journal) >= sizeof(path))
		return -ENOENT;
	FILE *f = fopen(path, "re");

	*s = (struct hb_settled){0};
	if (f == NULL)
		return -errno;
	if (fgets(line, sizeof(line), f) != NULL)
		fields = sscanf(
			line, FORM, &s->journal, &s->host, &s->record, &s->segment, &s->time_us);
	fclose(f);
	return fields == 5 ? 0 : -EINVAL;
}
