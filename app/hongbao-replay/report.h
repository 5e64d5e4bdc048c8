/* SPDX-License-Identifier: BSD-3-Clause */
/* What a replay found out, for people and for scripts. Main thread only. */
#ifndef REPLAY_REPORT_H
#define REPLAY_REPORT_H

#include "options.h"

/* Prints the screen to stdout and writes the report, if one was asked for. fault: what ended the
 * replay early, or NULL. Returns 0 or -errno with e. */
int replay_report(const struct replay_options *o, const struct hb_replay *r, const char *fault,
	struct hb_error *e);

/* Whether the result is good; else says why in e. */
bool replay_good(const struct replay_options *o, const struct hb_replay *r, struct hb_error *e);

#endif
