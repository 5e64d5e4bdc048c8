/* SPDX-License-Identifier: BSD-3-Clause */
/* One command from its line to its end: connecting, asking the person, the answers. */
#ifndef HONGBAOCTL_TALK_H
#define HONGBAOCTL_TALK_H

#include "ctl.h"
#include "link.h"

/* Connects, waiting if that is wanted. What goes wrong is said. */
enum ctl_exit talk_open(const struct ctl *c, struct link *l);

/* Asks and waits for the one answer. On CTL_GOOD the answer is the caller's. What goes wrong, or is
 * refused, is said. */
enum ctl_exit talk_once(
	const struct ctl *c, struct link *l, const char *command, json_t *args, struct answer *a);

/* Carries a command out and prints what it gives. */
enum ctl_exit talk(const struct ctl *c, const struct hb_command *command, json_t *args);

/* confirm.c: shows a person what will be done, and asks. CTL_GOOD: go on; *done: there is nothing
 * to do. */
enum ctl_exit talk_confirm(const struct ctl *c, struct link *l, const struct hb_command *command,
	json_t *args, bool *done);

/* report.c: writes a report to the file that the arguments name, which is not sent. */
enum ctl_exit talk_report(const struct ctl *c, const json_t *args, const json_t *result);

/* watch.c: a line an answer. */
struct watch {
	int *width;
	size_t columns;
	size_t shown;	    /* of those, as many as the terminal has room for */
	unsigned long line; /* since the head */
};
void watch_line(struct watch *w, const struct ctl *c, const json_t *result);
void watch_free(struct watch *w);

/* How wide the terminal on stdout is; 0: there is none. */
int talk_columns(const struct ctl *c, int *rows);

/* Prints a result in one line of JSON. */
void talk_json(const struct ctl *c, const json_t *o);

#endif
