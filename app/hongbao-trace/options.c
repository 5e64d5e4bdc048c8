/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

/* How a value is read, and into what. */
enum kind {
	KIND_FLAG,   /* bool */
	KIND_NUMBER, /* uint64_t within [min, max] */
	KIND_SHARE,  /* double from 0 to 1 */
	KIND_TEXT,   /* const char * */
	KIND_IPV4,   /* uint8_t[4] */
	KIND_MAC,    /* uint8_t[6] */
	KIND_TIME,   /* uint64_t, microseconds since 1970 */
};

struct row {
	const char *name;
	char letter; /* 0: none */
	enum kind kind;
	size_t at; /* offset in struct trace_options */
	uint64_t min, max;
	const char *value; /* its name in the help */
	const char *help;
};

#define AT(field) offsetof(struct trace_options, field)

static const struct row table[] = {
	{"requests", 'n', KIND_NUMBER, AT(stream.requests), 1, HB_SCENARIO_REQUESTS_MAX, "N",
		"requests to write, repeats and forged ones included"},
	{"users", 'u', KIND_NUMBER, AT(stream.users), 1, HB_SCENARIO_USERS_MAX, "N",
		"users 1 to N send them (default: as in the real event, else a tenth)"},
	{"seed", 's', KIND_NUMBER, AT(stream.seed), 0, UINT64_MAX, "N",
		"the same seed gives the same trace (default 1)"},
	{"keys", 'k', KIND_TEXT, AT(keys), 0, 0, "FILE", "key file to make the tags with"},
	{"output", 'o', KIND_TEXT, AT(output), 0, 0, "FILE", "pcap to write; - for stdout"},
	{"campaign", 'c', KIND_NUMBER, AT(campaign), 1, UINT16_MAX, "N",
		"campaign that is asked (default 7)"},
	{"epoch", 'e', KIND_NUMBER, AT(epoch), 0, UINT8_MAX, "N",
		"epoch key to use (default: the first in the key file)"},
	{"retries", 0, KIND_SHARE, AT(stream.retries), 0, 0, "P",
		"share of requests that repeat one 1 to 2 s before (default 0.05)"},
	{"forged", 0, KIND_SHARE, AT(stream.forged), 0, 0, "P",
		"share of requests with a random tag (default 0)"},
	{"right", 0, KIND_SHARE, AT(stream.right), 0, 0, "P",
		"share of answers that are the password (default 0.15)"},
	{"password", 0, KIND_TEXT, AT(stream.password), 0, 0, "TEXT", "the password (default 我)"},
	{"start", 0, KIND_TIME, AT(stream.start_us), 0, 0, "ISO8601",
		"when it starts (default: when the event did)"},
	{"destination", 'd', KIND_IPV4, AT(wire.server_ip), 0, 0, "IPV4",
		"the server's address (default 10.0.0.1)"},
	{"base-port", 'b', KIND_NUMBER, AT(base_port), 4096, 61440, "N",
		"the server's base port, a multiple of 4096 (default 8192)"},
	{"destination-mac", 0, KIND_MAC, AT(wire.dst_mac), 0, 0, "MAC",
		"where frames go to (default 02:00:00:00:00:01)"},
	{"source-mac", 0, KIND_MAC, AT(wire.src_mac), 0, 0, "MAC",
		"where frames come from (default 02:00:00:00:00:02)"},
	{"list", 0, KIND_FLAG, AT(list), 0, 0, NULL, "list the scenarios"},
	{"help", 'h', KIND_FLAG, AT(help), 0, 0, NULL, "this text"},
	{"version", 'V', KIND_FLAG, AT(version), 0, 0, NULL, "the version"},
};

#define ROWS HB_COUNT_OF(table)

/* ---- values ------------------------------------------------------------------------- */

static enum hb_exit HB_PRINTF(1, 2) bad(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, TRACE_NAME ": ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return HB_EXIT_USAGE;
}

static enum hb_exit
bad_value(const struct row *r, const char *text)
{
	static const char *const wanted[] = {
		[KIND_SHARE] = "a number from 0 to 1, like 0.05",
		[KIND_TEXT] = "a text that is not empty",
		[KIND_IPV4] = "an IPv4 address of one host, like 10.0.0.1",
		[KIND_MAC] = "six bytes in hex, like 02:00:00:00:00:01",
		[KIND_TIME] = "a time after 1970 with its zone, like 2015-02-18T20:00:00+08:00",
	};

	if (r->kind == KIND_NUMBER)
		return bad("--%s: '%s' is no whole number from %llu to %llu; give one", r->name,
			text, (unsigned long long)r->min, (unsigned long long)r->max);
	return bad("--%s: cannot use '%s'; give %s", r->name, text, wanted[r->kind]);
}

static bool
read_share(const char *text, double *share)
{
	char *end;

	*share = strtod(text, &end);
	return end != text && *end == '\0' && *share >= 0 && *share <= 1;
}

static bool
read_mac(const char *text, uint8_t mac[6])
{
	int used = 0;

	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		       &mac[3], &mac[4], &mac[5], &used) == 6 &&
	       used == 17 && text[used] == '\0';
}

/* An address that a server can have: no group, no broadcast, not 0. */
static bool
read_ipv4(const char *text, uint8_t ip[4])
{
	return inet_pton(AF_INET, text, ip) == 1 && ip[0] != 0 && ip[0] < 224;
}

static bool
read_value(const struct row *r, const char *text, void *to)
{
	switch (r->kind) {
	case KIND_FLAG:
		*(bool *)to = true;
		return true;
	case KIND_NUMBER:
		return hb_parse_u64(text, r->min, r->max, to) == 0;
	case KIND_SHARE:
		return read_share(text, to);
	case KIND_TEXT:
		*(const char **)to = text;
		return text[0] != '\0';
	case KIND_IPV4:
		return read_ipv4(text, to);
	case KIND_MAC:
		return read_mac(text, to);
	case KIND_TIME:
		return hb_time_parse(text, to) == 0 && *(uint64_t *)to > 0;
	}
	return false;
}

/* ---- the command line --------------------------------------------------------------- */

/* The table in the form of getopt_long(). `letters` has room for ":", two a row and the end. Long
 * options answer with 256 plus their row. */
static void
make_getopt(struct option *longs, char *letters)
{
	*letters++ = ':';
	for (size_t i = 0; i < ROWS; i++) {
		bool has_value = table[i].kind != KIND_FLAG;
		longs[i] = (struct option){table[i].name, has_value, NULL, 256 + (int)i};
		if (table[i].letter == 0)
			continue;
		*letters++ = table[i].letter;
		if (has_value)
			*letters++ = ':';
	}
	longs[ROWS] = (struct option){0};
	*letters = '\0';
}

static const struct row *
find_row(int answer)
{
	if (answer >= 256)
		return &table[answer - 256];
	for (size_t i = 0; i < ROWS; i++)
		if (table[i].letter != 0 && table[i].letter == answer)
			return &table[i];
	return NULL;
}

static enum hb_exit
bad_option(int answer, char **argv)
{
	const struct row *r = find_row(optopt);

	if (answer == ':')
		return bad("--%s: the value is missing; give %s", r->name, r->value);
	if (r != NULL)
		return bad("--%s: takes no value; leave it out", r->name);
	if (optopt != 0)
		return bad("unknown option '-%c'; see " TRACE_NAME " --help", optopt);
	return bad("unknown option '%s'; see " TRACE_NAME " --help", argv[optind - 1]);
}

static enum hb_exit
read_options(struct trace_options *o, int argc, char **argv)
{
	struct option longs[ROWS + 1];
	char letters[2 * ROWS + 2];
	int answer;

	make_getopt(longs, letters);
	opterr = 0;
	while ((answer = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct row *r = answer == '?' || answer == ':' ? NULL : find_row(answer);
		if (r == NULL)
			return bad_option(answer, argv);
		if (!read_value(r, optarg, (char *)o + r->at))
			return bad_value(r, optarg);
	}
	if (optind + 1 < argc)
		return bad("'%s' is one argument too many; give one scenario", argv[optind + 1]);
	o->scenario = argv[optind];
	return HB_EXIT_OK;
}

static const struct hb_scenario_info *
find_info(const char *name)
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

/* What only all options together tell. */
static enum hb_exit
check(struct trace_options *o)
{
	if (o->scenario == NULL)
		return bad("no scenario; name one of " TRACE_NAME " --list");
	const struct hb_scenario_info *info = find_info(o->scenario);
	if (info == NULL)
		return bad("there is no scenario '%s'; see " TRACE_NAME " --list", o->scenario);
	if (o->stream.requests == 0)
		return bad("--requests is missing; give the number of requests to write");
	if (o->keys == NULL)
		return bad("--keys is missing; give the key file of the server to be tested");
	if (o->output == NULL)
		return bad("--output is missing; give the file to write, or - for stdout");
	if (o->base_port % 4096 != 0)
		return bad("--base-port: %llu is no multiple of 4096; give one, like 8192",
			(unsigned long long)o->base_port);
	if (o->stream.start_us / 1000000 + info->seconds + 2 > UINT32_MAX)
		return bad("--start: a pcap holds no time after 2106; give an earlier one");
	if (o->stream.users == 0)
		o->stream.users = default_users(info, o->stream.requests);
	o->stream.campaign = (uint16_t)o->campaign;
	o->wire.base_port = (uint16_t)o->base_port;
	return HB_EXIT_OK;
}

enum hb_exit
trace_options_read(struct trace_options *o, int argc, char **argv)
{
	*o = (struct trace_options){
		.wire =
			{
				.src_mac = {2, 0, 0, 0, 0, 2},
				.dst_mac = {2, 0, 0, 0, 0, 1},
				.server_ip = {10, 0, 0, 1},
			},
		.base_port = 8192,
		.epoch = TRACE_EPOCH_UNSET,
	};
	hb_scenario_defaults(&o->stream);
	o->stream.seed = 1;
	o->campaign = o->stream.campaign;
	enum hb_exit rc = read_options(o, argc, argv);
	if (rc != HB_EXIT_OK || o->help || o->version || o->list)
		return rc;
	return check(o);
}

/* ---- information -------------------------------------------------------------------- */

static void
print_help(void)
{
	puts("Usage: " TRACE_NAME " SCENARIO --requests N --keys FILE -o FILE.pcap [OPTION]...\n"
	     "Writes the requests of an event, scaled to N requests, into a pcap.\n");
	for (size_t i = 0; i < ROWS; i++) {
		char names[48], letter[8] = "    ";
		if (table[i].letter != 0)
			snprintf(letter, sizeof(letter), "-%c, ", table[i].letter);
		snprintf(names, sizeof(names), "%s--%s %s", letter, table[i].name,
			table[i].value != NULL ? table[i].value : "");
		printf("  %-28s %s\n", names, table[i].help);
	}
	puts("\nExit status: 0 written, 1 writing failed or was interrupted, 2 wrong command "
	     "line,\n"
	     "3 a file is missing or wrong, 4 too little memory.");
}

static void
print_list(void)
{
	size_t n;
	const struct hb_scenario_info *info = hb_scenario_list(&n);

	for (size_t i = 0; i < n; i++) {
		char requests[32];
		printf("%-16s %s; %s requests in %u s\n", info[i].name, info[i].summary,
			hb_thousands(info[i].requests, requests), info[i].seconds);
	}
}

void
trace_options_inform(const struct trace_options *o)
{
	if (o->help)
		print_help();
	else if (o->version)
		puts(TRACE_NAME " " HB_VERSION);
	else
		print_list();
}
