/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

/* What getopt_long() answers for the first option of the first table. */
#define FIRST 256

/* ---- values ------------------------------------------------------------------------- */

enum hb_exit
hb_options_bad(const struct hb_command_line *c, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", c->program);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return HB_EXIT_USAGE;
}

static enum hb_exit
bad_value(const struct hb_command_line *c, const struct hb_option *o, const char *text)
{
	static const char *const wanted[] = {
		[HB_OPTION_SHARE] = "a number from 0 to 1, like 0.05",
		[HB_OPTION_TEXT] = "a text that is not empty",
		[HB_OPTION_IPV4] = "an IPv4 address of one host, like 10.0.0.1",
		[HB_OPTION_MAC] = "six bytes in hex, like 02:00:00:00:00:01",
		[HB_OPTION_TIME] =
			"a time after 1970 with its zone, like 2015-02-18T20:00:00+08:00",
	};

	if (o->kind == HB_OPTION_NUMBER)
		return hb_options_bad(c,
			"--%s: '%s' is no whole number from %llu to %llu; give one", o->name, text,
			(unsigned long long)o->min, (unsigned long long)o->max);
	if (o->kind == HB_OPTION_FACTOR)
		return hb_options_bad(c,
			"--%s: '%s' is no number above %llu and up to %llu; give one", o->name,
			text, (unsigned long long)o->min, (unsigned long long)o->max);
	return hb_options_bad(c, "--%s: cannot use '%s'; give %s", o->name, text, wanted[o->kind]);
}

static bool
read_double(const char *text, double min, double max, double *v)
{
	char *end;

	*v = strtod(text, &end);
	return end != text && *end == '\0' && *v >= min && *v <= max;
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
read_value(const struct hb_option *o, const char *text, void *to)
{
	switch (o->kind) {
	case HB_OPTION_FLAG:
		*(bool *)to = true;
		return true;
	case HB_OPTION_NUMBER:
		return hb_parse_u64(text, o->min, o->max, to) == 0;
	case HB_OPTION_SHARE:
		return read_double(text, 0, 1, to);
	case HB_OPTION_FACTOR:
		return read_double(text, (double)o->min, (double)o->max, to) && *(double *)to > 0;
	case HB_OPTION_TEXT:
		*(const char **)to = text;
		return text[0] != '\0';
	case HB_OPTION_IPV4:
		return read_ipv4(text, to);
	case HB_OPTION_MAC:
		return read_mac(text, to);
	case HB_OPTION_TIME:
		return hb_time_parse(text, to) == 0 && *(uint64_t *)to > 0;
	}
	return false;
}

/* ---- the command line --------------------------------------------------------------- */

/* The n-th option over all tables, and where it writes; NULL beyond the last. */
static const struct hb_option *
option_at(const struct hb_command_line *c, size_t n, void **to)
{
	for (size_t t = 0; t < c->tables; t++) {
		const struct hb_option_table *table = &c->table[t];

		if (n < table->options) {
			if (to != NULL)
				*to = (char *)table->into + table->option[n].at;
			return &table->option[n];
		}
		n -= table->options;
	}
	return NULL;
}

/* The tables in the form of getopt_long(). `letters` has room for ":", two an option and the end.
 * Long options answer with FIRST plus their place. */
static void
make_getopt(const struct hb_command_line *c, struct option *longs, char *letters)
{
	const struct hb_option *o;
	size_t i;

	*letters++ = ':';
	for (i = 0; i < HB_OPTIONS_MAX && (o = option_at(c, i, NULL)) != NULL; i++) {
		bool has_value = o->kind != HB_OPTION_FLAG;

		longs[i] = (struct option){o->name, has_value, NULL, FIRST + (int)i};
		if (o->letter == 0)
			continue;
		*letters++ = o->letter;
		if (has_value)
			*letters++ = ':';
	}
	longs[i] = (struct option){0};
	*letters = '\0';
}

/* The place of what getopt_long() answered, or -1. */
static int
place_of(const struct hb_command_line *c, int answer)
{
	const struct hb_option *o;

	if (answer >= FIRST)
		return answer - FIRST;
	for (int i = 0; answer != 0 && (o = option_at(c, (size_t)i, NULL)) != NULL; i++) {
		if (o->letter == answer)
			return i;
	}
	return -1;
}

static enum hb_exit
bad_option(const struct hb_command_line *c, int answer, char **argv)
{
	int place = place_of(c, optopt);
	const struct hb_option *o = place < 0 ? NULL : option_at(c, (size_t)place, NULL);

	if (answer == ':')
		return hb_options_bad(c, "--%s: the value is missing; give %s", o->name, o->value);
	if (o != NULL)
		return hb_options_bad(c, "--%s: takes no value; leave it out", o->name);
	if (optopt != 0)
		return hb_options_bad(c, "unknown option '-%c'; see %s --help", optopt, c->program);
	return hb_options_bad(
		c, "unknown option '%s'; see %s --help", argv[optind - 1], c->program);
}

/* Where the program's own command line ends. */
static int
own_end(int argc, char **argv, bool has_rest)
{
	for (int i = 1; has_rest && i < argc; i++) {
		if (strcmp(argv[i], "--") == 0)
			return i;
	}
	return argc;
}

enum hb_exit
hb_options_read(struct hb_command_line *c, int argc, char **argv, const char **argument, int *rest)
{
	struct option longs[HB_OPTIONS_MAX + 1];
	char letters[2 * HB_OPTIONS_MAX + 2];
	int answer, end = own_end(argc, argv, rest != NULL);

	make_getopt(c, longs, letters);
	opterr = 0;
	while ((answer = getopt_long(end, argv, letters, longs, NULL)) != -1) {
		int place = answer == '?' || answer == ':' ? -1 : place_of(c, answer);
		void *to;

		if (place < 0)
			return bad_option(c, answer, argv);
		const struct hb_option *o = option_at(c, (size_t)place, &to);
		if (!read_value(o, optarg, to))
			return bad_value(c, o, optarg);
		c->given[place] = true;
	}
	if (optind + 1 < end)
		return hb_options_bad(c, "'%s' is one argument too many; give one %s",
			argv[optind + 1], c->argument);
	*argument = optind < end ? argv[optind] : NULL;
	if (rest != NULL)
		*rest = end < argc ? end + 1 : argc;
	return HB_EXIT_OK;
}

bool
hb_options_given(const struct hb_command_line *c, const char *name)
{
	const struct hb_option *o;

	for (size_t i = 0; (o = option_at(c, i, NULL)) != NULL; i++) {
		if (strcmp(o->name, name) == 0)
			return c->given[i];
	}
	return false;
}

void
hb_options_help(const struct hb_command_line *c)
{
	const struct hb_option *o;

	for (size_t i = 0; (o = option_at(c, i, NULL)) != NULL; i++) {
		char names[48], letter[8] = "    ";

		if (o->letter != 0)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		snprintf(names, sizeof(names), "%s--%s %s", letter, o->name,
			o->value != NULL ? o->value : "");
		printf("  %-28s %s\n", names, o->help);
	}
}
