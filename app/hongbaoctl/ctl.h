/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hongbaoctl: what its files share. One thread; nothing is kept but what main() holds.
 */
#ifndef HONGBAOCTL_CTL_H
#define HONGBAOCTL_CTL_H

#include "hb_base.h"
#include "hb_command.h"

#include <jansson.h>
#include <stdio.h>

/* Other than those of the other programs: a script wants to know whether it is worth asking again.
 */
enum ctl_exit {
	CTL_GOOD = 0,
	CTL_REFUSED = 1,   /* the daemon refused it or failed at it; or a person said no */
	CTL_USAGE = 2,	   /* the command line, or a file that it names: nothing was asked */
	CTL_NO_ANSWER = 3, /* no daemon there, or none that answers in time */
	CTL_DENIED = 4,	   /* not allowed */
};

#define CTL_SOCKET "/run/hongbao/control.sock"
#define CTL_TIMEOUT_S 30
#define CTL_WAIT_S 30

struct ctl {
	const char *socket;
	uint64_t timeout_ns; /* for each answer */
	uint64_t wait_ns;    /* for a daemon that answers; 0: not at all */
	bool json;
	bool colour;   /* of what goes to stdout */
	bool terminal; /* stdout is one */
	bool person;   /* somebody can be asked: stdin and stderr are a terminal, and no --yes */
	const char *print; /* a hidden option: "bash", "zsh", "man", "ids" */
	int words;	   /* the command and its arguments */
	char **word;
};

/* hongbaoctl's own, for which there is no command of the daemon's. */
extern const struct hb_command ctl_top;

/* Never returns NULL: without memory it ends the program. */
void *ctl_must(void *p);

/* One error as it is told: a line on stderr, a second one with what to try where there is that;
 * with
 * --json the same as an object on stdout too. Returns `status`. */
enum ctl_exit ctl_complain(const struct ctl *c, enum ctl_exit status, const char *code,
	const char *remedy, const char *fmt, ...) HB_PRINTF(5, 6);

/* options.c: reads the command line. Returns CTL_GOOD to go on; else *ended says whether that was
 * all
 * (--help), or the line is wrong and that was said. */
enum ctl_exit ctl_options(struct ctl *c, int argc, char **argv, bool *ended);

/* print.c: what is made of the table when hongbao is built. */
enum ctl_exit ctl_print(const char *what, FILE *f);
/* The options, a line each, for --help. */
void ctl_print_options(FILE *f);

#endif
