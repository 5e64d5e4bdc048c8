/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <stdio.h>

#define AT(field) offsetof(struct replay_options, field)

/* Requests remembered at a time where no rate says how many there can be; with a window there are
 * fewer, and those that were lost or are going to be repeated. */
#define OUTSTANDING_DEFAULT 1000000
#define OUTSTANDING_WINDOW 250000
#define DAY_S 86400
#define HOUR_MS 3600000

static const struct hb_option own[] = {
	{"device", 'D', HB_OPTION_TEXT, AT(device), 0, 0, "DEVICE",
		"what to play at: as for --vdev, or a PCI address"},
	{"queues", 'q', HB_OPTION_NUMBER, AT(queues), 1, HB_REPLAY_QUEUES_MAX, "N",
		"queues of the device: as many as the server has workers (default 1)"},
	{"rate", 'r', HB_OPTION_NUMBER, AT(rate), 1, 1000000000, "N", "pace: N requests a second"},
	{"speed", 0, HB_OPTION_FACTOR, AT(speed), 0, 1000000, "X",
		"pace: the requests' own times, X times as fast (default 1)"},
	{"flat-out", 0, HB_OPTION_FLAG, AT(flat_out), 0, 0, NULL,
		"pace: as fast as the device takes them"},
	{"window", 0, HB_OPTION_NUMBER, AT(window), 0, UINT32_MAX, "N",
		"with --flat-out: at most N unanswered at a time (default 0: any number)"},
	{"seconds", 0, HB_OPTION_FACTOR, AT(seconds), 0, 3 * DAY_S, "S", "stop sending after S"},
	{"warm-up", 0, HB_OPTION_FACTOR, AT(warm_up), 0, DAY_S, "S",
		"latency and loss count only from S on"},
	{"preload", 0, HB_OPTION_FLAG, AT(preload), 0, 0, NULL,
		"make or read all frames before the first is sent"},
	{"timeout", 0, HB_OPTION_NUMBER, AT(timeout_ms), 1, HOUR_MS, "MS",
		"what is not answered by then is lost (default 2000)"},
	{"retry", 0, HB_OPTION_NUMBER, AT(retry), 0, 100, "N",
		"repeat like a client, up to N times: what is not answered in time,\n"
		"                               and BUSY, THROTTLED, EARLY after their wait "
		"(default 0)"},
	{"max-loss", 0, HB_OPTION_SHARE, AT(max_loss), 0, 0, "P",
		"exit 1 where a greater share is lost (default 1: never)"},
	{"report", 0, HB_OPTION_TEXT, AT(report), 0, 0, "FILE.json", "write the figures there"},
	{"outstanding", 0, HB_OPTION_NUMBER, AT(outstanding), 64, 1000000000, "N",
		"requests that are remembered at a time, 48 bytes or more each\n"
		"                               (default: rate x timeout; else 1 million)"},
	{"wins", 0, HB_OPTION_NUMBER, AT(wins), 1, 1000000000, "N",
		"envelopes of which it is remembered who won them (default 1 million)"},
	{"link-wait", 0, HB_OPTION_NUMBER, AT(link_wait_ms), 0, HOUR_MS, "MS",
		"how long to wait for the link (default 5000)"},
	{"descriptors", 0, HB_OPTION_NUMBER, AT(descriptors), 32, 32768, "N",
		"descriptors of each queue (default: the profile's)"},
	{"profile", 0, HB_OPTION_TEXT, AT(profile), 0, 0, "NAME",
		"driver profile (default: a virtual device's by its name)"},
	{"list", 0, HB_OPTION_FLAG, AT(list), 0, 0, NULL, "list the scenarios"},
	{"help", 'h', HB_OPTION_FLAG, AT(help), 0, 0, NULL, "this text"},
	{"version", 'V', HB_OPTION_FLAG, AT(version), 0, 0, NULL, "the version"},
};

/* The command line's tables; `table` has room for both. */
static struct hb_command_line
make_command(struct replay_options *o, struct hb_option_table table[2])
{
	table[0] = (struct hb_option_table){own, HB_COUNT_OF(own), o};
	table[1] = (struct hb_option_table){hb_scenario_option, hb_scenario_options, &o->choice};
	return (struct hb_command_line){.program = REPLAY_NAME,
		.argument = "scenario or capture",
		.table = table,
		.tables = 2};
}

/* What a capture has already. */
static enum hb_exit
check_capture(const struct hb_command_line *c, struct replay_options *o)
{
	for (size_t i = 0; i < HB_SCENARIO_OPTIONS_OF_STREAM; i++) {
		const char *name = hb_scenario_option[i].name;

		if (hb_options_given(c, name) && strcmp(name, "requests") != 0)
			return hb_options_bad(c,
				"--%s: %s is a capture, which has its own; leave it out, or name a "
				"scenario",
				name, o->what);
	}
	if (hb_options_given(c, "destination"))
		return hb_options_bad(c,
			"--destination: the frames of %s go where they went; make another capture "
			"with hongbao-trace --destination",
			o->what);
	return hb_scenario_choose_port(c, &o->choice);
}

static enum hb_exit
check_pace(const struct hb_command_line *c, const struct replay_options *o)
{
	unsigned paces = hb_options_given(c, "rate") + hb_options_given(c, "speed") + o->flat_out;

	if (paces > 1)
		return hb_options_bad(
			c, "--rate, --speed and --flat-out exclude each other; give one");
	if (o->window != 0 && !o->flat_out)
		return hb_options_bad(c,
			"--window: a pace that waits for replies is none; give it with --flat-out");
	if (o->seconds != 0 && o->warm_up >= o->seconds)
		return hb_options_bad(c,
			"--warm-up: nothing is left to measure of --seconds %g; give a shorter one",
			o->seconds);
	return HB_EXIT_OK;
}

/* What only all options together tell. */
static enum hb_exit
check(const struct hb_command_line *c, struct replay_options *o)
{
	enum hb_exit rc;

	if (o->what == NULL)
		return hb_options_bad(
			c, "nothing to play; name one of " REPLAY_NAME " --list, or a FILE.pcap");
	/* A scenario's name has no dot or slash in it, a capture's path has, or is there. */
	o->is_scenario = hb_scenario_find(o->what) != NULL || strpbrk(o->what, "./") == NULL;
	rc = o->is_scenario ? hb_scenario_choose(c, &o->choice, o->what) : check_capture(c, o);
	if (rc == HB_EXIT_OK)
		rc = check_pace(c, o);
	if (rc != HB_EXIT_OK)
		return rc;
	if (o->device == NULL)
		return hb_options_bad(c, "--device is missing; give one, like "
					 "--device net_virtio_user0,path=vhost.sock,queues=1");
	if (o->choice.keys == NULL)
		return hb_options_bad(
			c, "--keys is missing; give the key file of the server to be tested");
	o->set_dst_mac = hb_options_given(c, "destination-mac");
	o->set_src_mac = hb_options_given(c, "source-mac");
	return HB_EXIT_OK;
}

enum hb_exit
replay_options_read(struct replay_options *o, int argc, char **argv)
{
	struct hb_option_table table[2];
	struct hb_command_line c = make_command(o, table);
	int rest;

	*o = (struct replay_options){
		.queues = 1,
		.speed = 1,
		.timeout_ms = 2000,
		.link_wait_ms = 5000,
		.max_loss = 1,
		.wins = 1000000,
	};
	hb_scenario_choose_defaults(&o->choice);
	enum hb_exit rc = hb_options_read(&c, argc, argv, &o->what, &rest);
	if (rc != HB_EXIT_OK || o->help || o->version || o->list)
		return rc;
	o->eal = argv + rest;
	o->eal_count = argc - rest;
	return check(&c, o);
}

uint64_t
replay_outstanding(const struct replay_options *o, uint64_t total)
{
	double seconds = (double)o->timeout_ms / 1000 * (double)(o->retry + 1), n;

	if (o->outstanding != 0)
		return o->outstanding;
	/* What the sweep hasn't come by yet, and what is sent to make up for a pause. */
	n = o->rate != 0     ? 1.5 * seconds * (double)o->rate
	    : o->window != 0 ? OUTSTANDING_WINDOW + 4 * (double)o->window
			     : OUTSTANDING_DEFAULT;
	n = total != 0 && n > (double)total ? (double)total : n;
	return n < 1024 ? 1024 : (uint64_t)n;
}

/* ---- information -------------------------------------------------------------------- */

static void
print_help(struct replay_options *o)
{
	struct hb_option_table table[2];
	struct hb_command_line c = make_command(o, table);

	puts("Usage: " REPLAY_NAME
	     " SCENARIO|FILE.pcap --device DEVICE --keys FILE [PACE] [OPTION]... [-- EAL "
	     "arguments]\n"
	     "Plays the requests of an event, or a capture of them, at a live hongbaod; measures "
	     "and "
	     "checks the replies.\n");
	hb_options_help(&c);
	puts("\nLatency is reckoned from when a request was due, however late it was sent. SIGINT "
	     "ends "
	     "it with a report.\n\n"
	     "Exit status: 0 good, 1 a reply broke the contract or too much was lost, 2 wrong "
	     "command "
	     "line,\n"
	     "3 a file is missing or wrong, or the device has fewer queues, 4 the host lacks "
	     "something:\nmemory, a device, a link.");
}

void
replay_options_inform(struct replay_options *o)
{
	if (o->help)
		print_help(o);
	else if (o->version)
		puts(REPLAY_NAME " " HB_VERSION);
	else
		hb_scenario_print_list();
}
