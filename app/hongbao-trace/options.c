/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <stdio.h>

#define AT(field) offsetof(struct trace_options, field)

static const struct hb_option own[] = {
	{"output", 'o', HB_OPTION_TEXT, AT(output), 0, 0, "FILE", "pcap to write; - for stdout"},
	{"list", 0, HB_OPTION_FLAG, AT(list), 0, 0, NULL, "list the scenarios"},
	{"help", 'h', HB_OPTION_FLAG, AT(help), 0, 0, NULL, "this text"},
	{"version", 'V', HB_OPTION_FLAG, AT(version), 0, 0, NULL, "the version"},
};

/* The command line's tables; `table` has room for both. */
static struct hb_command_line
make_command(struct trace_options *o, struct hb_option_table table[2])
{
	table[0] = (struct hb_option_table){hb_scenario_option, hb_scenario_options, &o->choice};
	table[1] = (struct hb_option_table){own, HB_COUNT_OF(own), o};
	return (struct hb_command_line){
		.program = TRACE_NAME, .argument = "scenario", .table = table, .tables = 2};
}

/* What only all options together tell. */
static enum hb_exit
check(const struct hb_command_line *c, struct trace_options *o)
{
	if (o->scenario == NULL)
		return hb_options_bad(c, "no scenario; name one of " TRACE_NAME " --list");
	enum hb_exit rc = hb_scenario_choose(c, &o->choice, o->scenario);
	if (rc != HB_EXIT_OK)
		return rc;
	if (o->choice.keys == NULL)
		return hb_options_bad(
			c, "--keys is missing; give the key file of the server to be tested");
	if (o->output == NULL)
		return hb_options_bad(
			c, "--output is missing; give the file to write, or - for stdout");
	return HB_EXIT_OK;
}

enum hb_exit
trace_options_read(struct trace_options *o, int argc, char **argv)
{
	struct hb_option_table table[2];
	struct hb_command_line c = make_command(o, table);

	*o = (struct trace_options){0};
	hb_scenario_choose_defaults(&o->choice);
	enum hb_exit rc = hb_options_read(&c, argc, argv, &o->scenario, NULL);
	if (rc != HB_EXIT_OK || o->help || o->version || o->list)
		return rc;
	return check(&c, o);
}

/* ---- information -------------------------------------------------------------------- */

static void
print_help(struct trace_options *o)
{
	struct hb_option_table table[2];
	struct hb_command_line c = make_command(o, table);

	puts("Usage: " TRACE_NAME " SCENARIO --requests N --keys FILE -o FILE.pcap [OPTION]...\n"
	     "Writes the requests of an event, scaled to N requests, into a pcap.\n");
	hb_options_help(&c);
	puts("\nExit status: 0 written, 1 writing failed or was interrupted, 2 wrong command "
	     "line,\n"
	     "3 a file is missing or wrong, 4 too little memory.");
}

void
trace_options_inform(struct trace_options *o)
{
	if (o->help)
		print_help(o);
	else if (o->version)
		puts(TRACE_NAME " " HB_VERSION);
	else
		hb_scenario_print_list();
}
