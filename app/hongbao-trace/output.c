/* SPDX-License-Identifier: BSD-3-Clause */
#include "output.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define SNAPLEN 65535
#define BUFFER_BYTES (1 << 20)

static int
fail(const struct trace_output *t, struct hb_error *e)
{
	int err = errno != 0 ? errno : EIO;

	return hb_fail(e, err, "%s: cannot write: %s; nothing was kept", t->path, strerror(err));
}

/* Whether a finished file may take the path's place: a device or a pipe is written itself. */
static bool
is_replaceable(const char *path)
{
	struct stat st;

	return stat(path, &st) != 0 || S_ISREG(st.st_mode);
}

static int
open_file(struct trace_output *t, struct hb_error *e)
{
	const char *path = t->path;

	if (strcmp(path, "-") == 0) {
		if (isatty(STDOUT_FILENO))
			return hb_fail(
				e, EINVAL, "stdout is a terminal; redirect it, or give -o FILE");
		t->file = stdout;
		return 0;
	}
	if (is_replaceable(path)) {
		int n = snprintf(t->tmp, sizeof(t->tmp), "%s.tmp", path);
		if (n < 0 || (size_t)n >= sizeof(t->tmp)) {
			t->tmp[0] = '\0';
			return hb_fail(e, ENAMETOOLONG, "%s: the path is too long", path);
		}
		path = t->tmp;
	}
	t->file = fopen(path, "wb");
	if (t->file == NULL) {
		int err = errno;
		t->tmp[0] = '\0'; /* what cannot be opened is not ours to remove */
		return hb_fail(e, err, "%s: cannot open for writing: %s; give another --output",
			t->path, strerror(err));
	}
	return 0;
}

int
trace_output_open(struct trace_output *t, const char *path, struct hb_error *e)
{
	*t = (struct trace_output){.path = path};
	int rc = open_file(t, e);
	if (rc != 0)
		return rc;
	setvbuf(t->file, NULL, _IOFBF, BUFFER_BYTES);
	t->pcap = pcap_open_dead(DLT_EN10MB, SNAPLEN);
	if (t->pcap == NULL)
		return hb_fail(e, ENOMEM, "%s: no memory for the writer", path);
	errno = 0;
	t->dumper = pcap_dump_fopen(t->pcap, t->file);
	return t->dumper == NULL ? fail(t, e) : 0;
}

int
trace_output_write(struct trace_output *t, uint64_t time_us, const uint8_t *frame, uint32_t bytes,
	struct hb_error *e)
{
	struct pcap_pkthdr header = {
		.ts = {.tv_sec = (time_t)(time_us / 1000000),
			.tv_usec = (suseconds_t)(time_us % 1000000)},
		.caplen = bytes,
		.len = bytes,
	};

	pcap_dump((u_char *)t->dumper, &header, frame);
	/* pcap_dump() tells nobody when a write fails; the stream does. */
	return HB_UNLIKELY(ferror(t->file)) ? fail(t, e) : 0;
}

/* Closes the file, by way of the dumper once there is one. */
static void
close_file(struct trace_output *t)
{
	if (t->dumper != NULL)
		pcap_dump_close(t->dumper);
	else if (t->file != NULL)
		fclose(t->file);
	if (t->pcap != NULL)
		pcap_close(t->pcap);
	t->dumper = NULL;
	t->file = NULL;
	t->pcap = NULL;
}

int
trace_output_commit(struct trace_output *t, struct hb_error *e)
{
	if (pcap_dump_flush(t->dumper) != 0)
		return fail(t, e);
	if (t->tmp[0] == '\0') {
		close_file(t);
		return 0;
	}
	if (fsync(fileno(t->file)) != 0)
		return fail(t, e);
	close_file(t);
	if (rename(t->tmp, t->path) != 0)
		return fail(t, e);
	t->tmp[0] = '\0';
	return 0;
}

void
trace_output_discard(struct trace_output *t)
{
	close_file(t);
	if (t->tmp[0] != '\0')
		unlink(t->tmp);
	t->tmp[0] = '\0';
}
