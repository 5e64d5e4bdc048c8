/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line. Options may stand before and behind the command. */
#include "ctl.h"

#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	OPTION_WAIT = 256,
	OPTION_TIMEOUT,
	OPTION_COLOUR,
	OPTION_YES,
	OPTION_JSON,
	OPTION_COMPLETION,
	OPTION_MAN,
	OPTION_IDS,
};

static const struct {
	struct option option;
	const char *value; /* as in a manual; NULL: it has none */
	const char *help;  /* NULL: nobody needs to know */
} options[] = {
	{{"socket", required_argument, NULL, 's'}, "PATH",
		"the daemon's control socket; else $HONGBAO_SOCKET, else " CTL_SOCKET},
	{{"json", no_argument, NULL, OPTION_JSON}, NULL,
		"print the result as one line of JSON, an error as {\"error\":{...}}"},
	{{"wait", optional_argument, NULL, OPTION_WAIT}, "[SECONDS]",
		"first wait until the daemon answers, 30 s at most or so long"},
	{{"timeout", required_argument, NULL, OPTION_TIMEOUT}, "SECONDS",
		"how long an answer may take, 30 when absent"},
	{{"color", required_argument, NULL, OPTION_COLOUR}, "auto|always|never",
		"colours; auto: on a terminal, unless $NO_COLOR is set"},
	{{"yes", no_argument, NULL, OPTION_YES}, NULL,
		"don't ask before a change that is asked about on a terminal"},
	{{"help", no_argument, NULL, 'h'}, NULL, "this text"},
	{{"version", no_argument, NULL, 'V'}, NULL, "the version"},
	{{"print-completion", required_argument, NULL, OPTION_COMPLETION}, NULL, NULL},
	{{"print-man", no_argument, NULL, OPTION_MAN}, NULL, NULL},
	{{"print-ids", no_argument, NULL, OPTION_IDS}, NULL, NULL},
};

void
ctl_print_options(FILE *f)
{
	for (unsigned i = 0; i < HB_COUNT_OF(options); i++) {
		const struct option *o = &options[i].option;
		const char *value = options[i].value;
		char name[48];

		if (options[i].help == NULL)
			continue;
		snprintf(name, sizeof(name), "%s--%s%s%s", o->val == 's' ? "-s, " : "", o->name,
			value == NULL	  ? ""
			: value[0] == '[' ? "[="
					  : " ",
			value == NULL ? "" : value + (value[0] == '['));
		fprintf(f, "  %-28s %s\n", name, options[i].help);
	}
}

static void
print_help(void)
{
	char *list = ctl_must(hb_command_help(NULL));

	fputs("usage: hongbaoctl [OPTION...] COMMAND [ARGUMENT...]\n"
	      "\n"
	      "Speaks to a running hongbaod: looks, changes, undoes.\n\n",
		stdout);
	ctl_print_options(stdout);
	printf("\n%s  %-17s %s\n", list, ctl_top.name, ctl_top.summary);
	fputs("\n"
	      "What a command does: hongbaoctl help COMMAND. A whole screen: hongbaoctl top.\n"
	      "exit codes: 0 good; 1 refused or failed; 2 wrong command line; 3 no daemon "
	      "answers;\n"
	      "            4 not allowed\n",
		stdout);
	free(list);
}

/* ---- values --------------------------------------------------------------------------- */

static enum ctl_exit
seconds_of(struct ctl *c, const char *name, const char *text, uint64_t *ns)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end != '\0' || !(s > 0 && s <= 86400))
		return ctl_complain(c, CTL_USAGE, "usage", NULL,
			"--%s: '%.60s' is no number of seconds above 0 and up to 86400; give one",
			name, text);
	*ns = (uint64_t)(s * 1e9);
	return CTL_GOOD;
}

static bool
wants_colour(const struct ctl *c)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return c->terminal && (no == NULL || no[0] == '\0') && term != NULL && term[0] != '\0' &&
	       strcmp(term, "dumb") != 0;
}

static enum ctl_exit
colour_of(struct ctl *c, const char *text)
{
	if (strcmp(text, "always") == 0)
		c->colour = true;
	else if (strcmp(text, "never") == 0)
		c->colour = false;
	else if (strcmp(text, "auto") == 0)
		c->colour = wants_colour(c);
	else
		return ctl_complain(c, CTL_USAGE, "usage", NULL,
			"--color: cannot use '%.60s'; give auto, always or never", text);
	return CTL_GOOD;
}

static enum ctl_exit
take(struct ctl *c, int answer, char **argv)
{
	switch (answer) {
	case 's':
		c->socket = optarg;
		return CTL_GOOD;
	case OPTION_JSON:
		c->json = true;
		return CTL_GOOD;
	case OPTION_YES:
		c->person = false;
		return CTL_GOOD;
	case OPTION_WAIT:
		c->wait_ns = CTL_WAIT_S * 1000000000ull;
		return optarg == NULL ? CTL_GOOD : seconds_of(c, "wait", optarg, &c->wait_ns);
	case OPTION_TIMEOUT:
		return seconds_of(c, "timeout", optarg, &c->timeout_ns);
	case OPTION_COLOUR:
		return colour_of(c, optarg);
	case OPTION_COMPLETION:
		c->print = optarg;
		return CTL_GOOD;
	case OPTION_MAN:
		c->print = "man";
		return CTL_GOOD;
	case OPTION_IDS:
		c->print = "ids";
		return CTL_GOOD;
	case ':':
		return ctl_complain(c, CTL_USAGE, "usage", NULL,
			"%s: the value is missing; see: hongbaoctl --help", argv[optind - 1]);
	default:
		return ctl_complain(c, CTL_USAGE, "usage", NULL,
			"cannot use the option '%.60s'; see: hongbaoctl --help", argv[optind - 1]);
	}
}

enum ctl_exit
ctl_options(struct ctl *c, int argc, char **argv, bool *ended)
{
	struct option longs[HB_COUNT_OF(options) + 1] = {0};
	const char *socket = getenv("HONGBAO_SOCKET");
	enum ctl_exit status;
	int answer;

	*c = (struct ctl){.socket = socket != NULL && socket[0] != '\0' ? socket : CTL_SOCKET,
		.timeout_ns = CTL_TIMEOUT_S * 1000000000ull,
		.terminal = isatty(STDOUT_FILENO),
		.person = isatty(STDIN_FILENO) && isatty(STDERR_FILENO)};
	c->colour = wants_colour(c);
	for (unsigned i = 0; i < HB_COUNT_OF(options); i++)
		longs[i] = options[i].option;
	opterr = 0;
	*ended = true;
	while ((answer = getopt_long(argc, argv, ":s:hV", longs, NULL)) != -1) {
		if (answer == 'h') {
			print_help();
			return CTL_GOOD;
		}
		if (answer == 'V') {
			puts("hongbaoctl " HB_VERSION);
			return CTL_GOOD;
		}
		if ((status = take(c, answer, argv)) != CTL_GOOD)
			return status;
	}
	*ended = false;
	c->words = argc - optind;
	c->word = argv + optind;
	return CTL_GOOD;
}
