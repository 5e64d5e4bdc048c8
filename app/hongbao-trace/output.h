/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pcap that is being written. A regular file is written under another name and renamed when it
 * is complete, so that nobody ever finds half a trace. Main thread only.
 */
#ifndef TRACE_OUTPUT_H
#define TRACE_OUTPUT_H

#include "hb_base.h"

#include <limits.h>
#include <pcap/pcap.h>
#include <stdio.h>

struct trace_output {
	const char *path;
	char tmp[PATH_MAX]; /* "": written in place (stdout, a device, a pipe) */
	FILE *file;
	pcap_t *pcap;
	pcap_dumper_t *dumper;
};

/* Opens `path`, "-" for stdout. Returns 0 or -errno with the line in e. */
int trace_output_open(struct trace_output *t, const char *path, struct hb_error *e);

/* Adds a frame. Returns 0 or -errno with the line in e. */
int trace_output_write(struct trace_output *t, uint64_t time_us, const uint8_t *frame,
	uint32_t bytes, struct hb_error *e);

/* Makes what was written durable, and gives it its name. Returns 0 or -errno with the line in e; on
 * an error the file is still to be discarded. */
int trace_output_commit(struct trace_output *t, struct hb_error *e);

/* Closes and removes what is not committed; after a commit, or unopened, nothing. */
void trace_output_discard(struct trace_output *t);

#endif
