/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_scenario_choice.h"

#include <errno.h>
#include <stdio.h>

#define AT(field) offsetof(struct hb_scenario_choice, field)

const struct hb_option hb_scenario_option[] = {
	{"requests", 'n', HB_OPTION_NUMBER, AT(stream.requests), 1, HB_SCENARIO_REQUESTS_MAX, "N",
		"requests to make, repeats and forged ones included"},
	{"users", 'u', HB_OPTION_NUMBER, AT(stream.users), 1, HB_SCENARIO_USERS_MAX, "N",
		"users 1 to N send them (default: as in the real event, else a tenth)"},
	{"seed", 's', HB_OPTION_NUMBER, AT(stream.seed), 0, UINT64_MAX, "N",
		"the same seed gives the same requests (default 1)"},
	{"campaign", 'c', HB_OPTION_NUMBER, AT(campaign), 1, UINT16_MAX, "N",
		"campaign that is asked (default 7)"},
	{"retries", 0, HB_OPTION_SHARE, AT(stream.retries), 0, 0, "P",
		"share of requests that repeat one 1 to 2 s before (default 0.05)"},
	{"forged", 0, HB_OPTION_SHARE, AT(stream.forged), 0, 0, "P",
		"share of requests with a random tag (default 0)"},
	{"right", 0, HB_OPTION_SHARE, AT(stream.right), 0, 0, "P",
		"share of answers that are the password (default 0.15)"},
	{"password", 0, HB_OPTION_TEXT, AT(stream.password), 0, 0, "TEXT",
		"the password (default 我)"},
	{"epoch", 'e', HB_OPTION_NUMBER, AT(epoch), 0, UINT8_MAX, "N",
		"epoch key to use (default: the first in the key file)"},
	{"start", 0, HB_OPTION_TIME, AT(stream.start_us), 0, 0, "ISO8601",
		"when it starts (default: when the event did)"},
	{"keys", 'k', HB_OPTION_TEXT, AT(keys), 0, 0, "FILE", "key file of the server"},
	{"destination", 'd', HB_OPTION_IPV4, AT(wire.server_ip), 0, 0, "IPV4",
		"the server's address (default 10.0.0.1)"},
	{"base-port", 'b', HB_OPTION_NUMBER, AT(base_port), 4096, 61440, "N",
		"the server's base port, a multiple of 4096 (default 8192)"},
	{"destination-mac", 0, HB_OPTION_MAC, AT(wire.dst_mac), 0, 0, "MAC",
		"where frames go to (default 02:00:00:00:00:01)"},
	{"source-mac", 0, HB_OPTION_MAC, AT(wire.src_mac), 0, 0, "MAC",
		"where frames come from (default 02:00:00:00:00:02)"},
};

const size_t hb_scenario_options = HB_COUNT_OF(hb_scenario_option);

void
hb_scenario_choose_defaults(struct hb_scenario_choice *c)
{
	*c = (struct hb_scenario_choice){
		.wire =
			{
				.src_mac = {2, 0, 0, 0, 0, 2},
				.dst_mac = {2, 0, 0, 0, 0, 1},
				.server_ip = {10, 0, 0, 1},
			},
		.base_port = 8192,
		.epoch = HB_EPOCH_UNSET,
	};
	hb_scenario_defaults(&c->stream);
	c->stream.seed = 1;
	c->campaign = c->stream.campaign;
}

const struct hb_scenario_info *
hb_scenario_find(const char *name)
{
	size_t n;
	const struct hb_scenario_info *info = hb_scenario_list(&n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(info[i].name, name) == 0)
			return &info[i];
	return NULL;
}

static uint64_t
default_users(const struct hb_scenario_info *info, uint64_t requests)
{
	double ratio = info->users == 0 ? 0.1 : (double)info->users / (double)info->requests;
	double users = (double)requests * ratio;

	return users < 1			       ? 1
	       : users > (double)HB_SCENARIO_USERS_MAX ? HB_SCENARIO_USERS_MAX
						       : (uint64_t)users;
}

enum hb_exit
hb_scenario_choose_port(const struct hb_command_line *command, struct hb_scenario_choice *c)
{
	if (c->base_port % 4096 != 0)
		return hb_options_bad(command,
			"--base-port: %llu is no multiple of 4096; give one, like 8192",
			(unsigned long long)c->base_port);
	c->wire.base_port = (uint16_t)c->base_port;
	return HB_EXIT_OK;
}

enum hb_exit
hb_scenario_choose(
	const struct hb_command_line *command, struct hb_scenario_choice *c, const char *name)
{
	const struct hb_scenario_info *info = hb_scenario_find(name);

	if (info == NULL)
		return hb_options_bad(command, "there is no scenario '%s'; see %s --list", name,
			command->program);
	if (c->stream.requests == 0)
		return hb_options_bad(
			command, "--requests is missing; give the number of requests to make");
	if (c->stream.start_us / 1000000 + info->seconds + 2 > UINT32_MAX)
		return hb_options_bad(
			command, "--start: a pcap holds no time after 2106; give an earlier one");
	if (c->stream.users == 0)
		c->stream.users = default_users(info, c->stream.requests);
	c->stream.campaign = (uint16_t)c->campaign;
	return hb_scenario_choose_port(command, c);
}

int
hb_scenario_choose_epoch(struct hb_scenario_choice *c, struct hb_error *e)
{
	const struct hb_keyring *keys = &c->wire.keys;

	if (c->epoch == HB_EPOCH_UNSET)
		for (c->epoch = 0; c->epoch < UINT8_MAX && !keys->epoch_held[c->epoch]; c->epoch++)
			;
	if (!keys->epoch_held[c->epoch])
		return hb_fail(e, ENOENT, "%s: holds no key of epoch %llu; give another --epoch",
			c->keys, (unsigned long long)c->epoch);
	c->stream.epoch = (uint8_t)c->epoch;
	return 0;
}

void
hb_scenario_print_list(void)
{
	size_t n;
	const struct hb_scenario_info *info = hb_scenario_list(&n);

	for (size_t i = 0; i < n; i++) {
		char requests[32];
		printf("%-16s %s; %s requests in %u s\n", info[i].name, info[i].summary,
			hb_thousands(info[i].requests, requests), info[i].seconds);
	}
}
