/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of hongbao-trace. Main thread only. */
#ifndef TRACE_OPTIONS_H
#define TRACE_OPTIONS_H

#include "hb_scenario_choice.h"

#define TRACE_NAME "hongbao-trace"

struct trace_options {
	const char *scenario;
	const char *output; /* path, or "-" */
	struct hb_scenario_choice choice;
	bool help, version, list;
};

/* Reads the command line. On an error says so in one line on stderr and returns HB_EXIT_USAGE, else
 * HB_EXIT_OK. With help, version or list set the rest may be incomplete. */
enum hb_exit trace_options_read(struct trace_options *o, int argc, char **argv);

/* Answers --help, --version and --list on stdout. */
void trace_options_inform(struct trace_options *o);

#endif
