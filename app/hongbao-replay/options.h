/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of hongbao-replay. Main thread only. */
#ifndef REPLAY_OPTIONS_H
#define REPLAY_OPTIONS_H

#include "hb_replay.h"
#include "hb_scenario_choice.h"

#define REPLAY_NAME "hongbao-replay"

struct replay_options {
	const char *what; /* a scenario's name, or a capture's path */
	bool is_scenario;
	struct hb_scenario_choice choice;
	const char *device, *profile, *report;
	uint64_t rate, queues, descriptors, window, outstanding, wins;
	uint64_t timeout_ms, retry, link_wait_ms;
	double speed, seconds, warm_up, max_loss;
	bool flat_out, preload;
	bool set_dst_mac, set_src_mac; /* they stood there */
	bool help, version, list;
	int eal_count;
	char **eal;
};

/* Reads the command line. On an error says so in one line on stderr and returns HB_EXIT_USAGE, else
 * HB_EXIT_OK. With help, version or list set the rest may be incomplete. */
enum hb_exit replay_options_read(struct replay_options *o, int argc, char **argv);

/* Answers --help, --version and --list on stdout. */
void replay_options_inform(struct replay_options *o);

/* How many requests are remembered at a time. total: how many there will be at most, 0: not known.
 */
uint64_t replay_outstanding(const struct replay_options *o, uint64_t total);

#endif
