/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of hongbao-trace. Main thread only. */
#ifndef TRACE_OPTIONS_H
#define TRACE_OPTIONS_H

#include "hb_scenario.h"

#define TRACE_NAME "hongbao-trace"
#define TRACE_EPOCH_UNSET UINT64_MAX

struct trace_options {
	const char *scenario;
	const char *keys;   /* path of the key file */
	const char *output; /* path, or "-" */
	struct hb_scenario_options stream;
	struct hb_scenario_wire wire; /* its key is set later, from the key file */
	uint64_t campaign, base_port;
	uint64_t epoch; /* TRACE_EPOCH_UNSET: the first that the key file holds */
	bool help, version, list;
};

/* Reads the command line. On an error says so in one line on stderr and returns HB_EXIT_USAGE, else
 * HB_EXIT_OK. With help, version or list set the rest may be incomplete. */
enum hb_exit trace_options_read(struct trace_options *o, int argc, char **argv);

/* Answers --help, --version and --list on stdout. */
void trace_options_inform(const struct trace_options *o);

#endif
