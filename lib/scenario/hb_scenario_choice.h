/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a command line can say of a scenario: the same options, with the same words and defaults,
 * for each program that makes its requests. Main thread only.
 */
#ifndef HB_SCENARIO_CHOICE_H
#define HB_SCENARIO_CHOICE_H

#include "hb_options.h"
#include "hb_scenario.h"

#define HB_EPOCH_UNSET UINT64_MAX

struct hb_scenario_choice {
	const char *keys; /* path of the key file */
	struct hb_scenario_options stream;
	struct hb_scenario_wire wire; /* its keys are the caller's to load */
	uint64_t campaign, base_port;
	uint64_t epoch; /* HB_EPOCH_UNSET: the first that the key file holds */
};

/* The options, and how many there are. Those of the stream come first,
 * HB_SCENARIO_OPTIONS_OF_STREAM in number: they say nothing where no scenario is made. */
extern const struct hb_option hb_scenario_option[];
extern const size_t hb_scenario_options;
#define HB_SCENARIO_OPTIONS_OF_STREAM 10

/* Everything at its default. */
void hb_scenario_choose_defaults(struct hb_scenario_choice *c);

/* Checks what only all options together tell, for a scenario of that name, and settles what was
 * left open. On an error says so in one line on stderr and returns HB_EXIT_USAGE, else HB_EXIT_OK.
 */
enum hb_exit hb_scenario_choose(
	const struct hb_command_line *command, struct hb_scenario_choice *c, const char *name);

/* Whether the base port can be one; complains like hb_scenario_choose(). */
enum hb_exit hb_scenario_choose_port(
	const struct hb_command_line *command, struct hb_scenario_choice *c);

/* Settles the epoch once wire.keys is loaded. Returns 0 or -ENOENT with e. */
int hb_scenario_choose_epoch(struct hb_scenario_choice *c, struct hb_error *e);

/* A scenario by its name, or NULL. */
const struct hb_scenario_info *hb_scenario_find(const char *name);

/* The list of the scenarios, on stdout. */
void hb_scenario_print_list(void);

#endif
