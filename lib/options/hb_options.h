/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_options: command lines as tables. A program says which options it has, each with its kind, its
 * limits, where its value goes and what it is for; reading, refusing and --help come of that.
 * Tables can be shared: a program has one or more, each with a struct of its own that it fills.
 *
 * No state but getopt's; main thread only.
 */
#ifndef HB_OPTIONS_H
#define HB_OPTIONS_H

#include "hb_base.h"

/* How a value is read, and into what. */
enum hb_option_kind {
	HB_OPTION_FLAG,	  /* bool */
	HB_OPTION_NUMBER, /* uint64_t within [min, max] */
	HB_OPTION_SHARE,  /* double from 0 to 1 */
	HB_OPTION_FACTOR, /* double within [min, max], but not 0 */
	HB_OPTION_TEXT,	  /* const char * */
	HB_OPTION_IPV4,	  /* uint8_t[4] */
	HB_OPTION_MAC,	  /* uint8_t[6] */
	HB_OPTION_TIME,	  /* uint64_t, microseconds since 1970 */
};

struct hb_option {
	const char *name;
	char letter; /* 0: none */
	enum hb_option_kind kind;
	size_t at; /* where in the table's struct */
	uint64_t min, max;
	const char *value; /* its name in the help; NULL for a flag */
	const char *help;
};

#define HB_OPTIONS_MAX 64

/* A table and what it fills. */
struct hb_option_table {
	const struct hb_option *option;
	size_t options;
	void *into;
};

struct hb_command_line {
	const char *program;
	const char *argument; /* what the one argument is called in an error: "scenario" */
	const struct hb_option_table *table;
	size_t tables;
	bool given[HB_OPTIONS_MAX]; /* which options stood there, over all tables in order */
};

/* Says in one line on stderr what is wrong with the command line; returns HB_EXIT_USAGE. */
enum hb_exit hb_options_bad(const struct hb_command_line *c, const char *fmt, ...) HB_PRINTF(2, 3);

/* Reads a command line, up to "--" or its end. *argument becomes the one that isn't an option, or
 * NULL; *rest, where it isn't NULL, the place of what stands behind "--" (argc: nothing), else that
 * is an argument too. On an error says so in one line on stderr and returns HB_EXIT_USAGE, else
 * HB_EXIT_OK. */
enum hb_exit hb_options_read(
	struct hb_command_line *c, int argc, char **argv, const char **argument, int *rest);

/* Whether an option of that name stood there. */
bool hb_options_given(const struct hb_command_line *c, const char *name);

/* The tables' part of a --help, on stdout. */
void hb_options_help(const struct hb_command_line *c);

#endif
