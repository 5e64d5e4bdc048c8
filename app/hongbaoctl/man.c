/* SPDX-License-Identifier: BSD-3-Clause */
/* hongbaoctl(1), made from the table of commands. */
#include "ctl.h"
#include "print.h"

#include <stdlib.h>

/* Of the page's own text: a build must give the same page at any time. */
#define DATE "2026-11-22"

/* Of the source, escapes not counted. */
#define LINE 64

/* ---- text ------------------------------------------------------------------------------ */

/* Characters that roff would take for something else. */
static void
put_char(FILE *f, char c)
{
	switch (c) {
	case '\\':
		fputs("\\e", f);
		break;
	case '-':
		fputs("\\-", f);
		break;
	case '\'':
		fputs("\\(aq", f);
		break;
	case '"':
		fputs("\\(dq", f);
		break;
	case '^':
		fputs("\\(ha", f);
		break;
	case '~':
		fputs("\\(ti", f);
		break;
	default:
		fputc(c, f);
	}
}

static void
put_text(FILE *f, const char *text)
{
	/* No line may begin like a request. */
	if (text[0] == '.')
		fputs("\\&", f);
	for (; *text != '\0'; text++)
		put_char(f, *text);
}

/* Sentences, each on lines of its own. */
static void
put_sentences(FILE *f, const char *text)
{
	int column = 0;

	while (*text != '\0') {
		size_t n = strcspn(text, " ");
		bool ends = n > 0 && (text[n - 1] == '.' || text[n - 1] == ':');

		if (column > 0 && column + (int)n > LINE) {
			fputc('\n', f);
			column = 0;
		}
		if (column > 0)
			fputc(' ', f);
		for (size_t i = 0; i < n; i++)
			put_char(f, text[i]);
		column += (int)n + 1;
		text += n;
		text += strspn(text, " ");
		if (ends || *text == '\0') {
			fputc('\n', f);
			column = 0;
		}
	}
}

/* ---- commands -------------------------------------------------------------------------- */

static void
put_usage(FILE *f, const struct hb_command *c, enum hb_form form)
{
	char line[160];

	fputs(".B ", f);
	put_text(f, hb_command_usage(c, form, line, sizeof(line)));
	fputc('\n', f);
}

static void
put_keys(FILE *f, const struct hb_arg *a)
{
	fputs(".RS\n", f);
	for (const struct hb_key *k = a->keys; k->name != NULL; k++) {
		char pair[64];

		snprintf(pair, sizeof(pair), "%s=%s", k->name, k->value);
		fputs(".TP\n.B ", f);
		put_text(f, pair);
		fputc('\n', f);
		put_text(f, k->help);
		fputs(k->use == HB_KEY_REQUIRED	 ? " (required)\n"
			: k->use == HB_KEY_WHOLE ? " (without a campaign)\n"
						 : "\n",
			f);
	}
	fputs(".RE\n", f);
}

static void
put_command(FILE *f, const struct hb_command *c)
{
	bool forms = hb_command_has_forms(c);

	fputs(".TP\n", f);
	put_usage(f, c, forms ? HB_FORM_FILE : HB_FORM_ANY);
	if (forms) {
		fputs(".TQ\n", f);
		put_usage(f, c, HB_FORM_KEYS);
	}
	if (c->alias != NULL)
		fprintf(f, "(or\n.BR %s )\n", c->alias);
	put_sentences(f, c->help);
	for (unsigned i = 0; i < HB_COMMAND_ARGS_MAX && c->arg[i].name != NULL; i++) {
		const struct hb_arg *a = &c->arg[i];

		fputs(".RS\n.TP\n.I ", f);
		put_text(f, a->shown);
		fputc('\n', f);
		put_text(f, a->help);
		fputc('\n', f);
		if (a->keys != NULL)
			put_keys(f, a);
		fputs(".RE\n", f);
	}
}

static void
put_commands(FILE *f, enum hb_right right)
{
	for (unsigned i = 0; i < hb_commands_count; i++) {
		if (hb_commands[i].right == right)
			put_command(f, &hb_commands[i]);
	}
}

/* ---- options --------------------------------------------------------------------------- */

/* Lines of the help, "  --name VALUE   what it is for". */
static void
put_options(FILE *f)
{
	char *text = NULL;
	size_t bytes;
	FILE *lines = ctl_must(open_memstream(&text, &bytes));

	ctl_print_options(lines);
	fclose(lines);
	for (char *line = strtok(ctl_must(text), "\n"); line != NULL; line = strtok(NULL, "\n")) {
		char *help = strstr(line + 2, "  ");

		if (help == NULL)
			help = line + 30;
		else
			*help++ = '\0';
		fputs(".TP\n.B ", f);
		put_text(f, line + 2);
		fputc('\n', f);
		put_sentences(f, help + strspn(help, " "));
	}
	free(text);
}

/* ---- the page -------------------------------------------------------------------------- */

static const char head[] =
	".\\\" SPDX-License-Identifier: BSD-3-Clause\n"
	".TH HONGBAOCTL 1 " DATE " \"hongbao " HB_VERSION "\" \"hongbao\"\n"
	".SH NAME\n"
	"hongbaoctl \\- speak to a running hongbaod\n"
	".SH SYNOPSIS\n"
	".B hongbaoctl\n"
	".RI [ OPTION ...]\n"
	".I COMMAND\n"
	".RI [ ARGUMENT ...]\n"
	".SH DESCRIPTION\n"
	"Looks at a running hongbaod and changes it, through its control socket.\n"
	"On a terminal results are tables, with colours;\n"
	"for scripts there are\n"
	".B \\-\\-json\n"
	"and exit codes.\n"
	"What the daemon refuses changes nothing.\n"
	"A change lasts until the daemon ends, unless\n"
	".B config save\n"
	"writes it to its file.\n"
	".SH OPTIONS\n"
	"Options may stand before and behind the command.\n";

static const char tail[] =
	".SH EXIT STATUS\n"
	".TP\n.B 0\nThe daemon did it.\n"
	".TP\n.B 1\nIt refused or failed, or you said no when you were asked.\n"
	".TP\n.B 2\nThe command line, or a file that it names, is wrong.\nNothing was changed.\n"
	".TP\n.B 3\nNo daemon answers, or none in time.\n"
	"If a change was sent, it may have been carried out all the same.\n"
	".TP\n.B 4\nYou are not allowed to.\n"
	".SH ENVIRONMENT\n"
	".TP\n.B HONGBAO_SOCKET\nThe socket, when there is no\n.BR \\-s .\n"
	".TP\n.B NO_COLOR\nSet to anything: no colours, unless\n.B \\-\\-color always\nis given.\n"
	".SH FILES\n"
	".TP\n.I " CTL_SOCKET "\nThe socket when nothing else is said.\n"
	".SH EXAMPLES\n"
	"See what a change would do, do it, take it back:\n"
	".PP\n.nf\n"
	".RS\n"
	"hongbaoctl config diff campaign 7 odds=0.01\n"
	"hongbaoctl config apply campaign 7 odds=0.01\n"
	"hongbaoctl config undo\n"
	".RE\n"
	".fi\n"
	".PP\n"
	"In a script, once the daemon serves:\n"
	".PP\n.nf\n"
	".RS\n"
	"hongbaoctl \\-\\-wait=60 ping && hongbaoctl \\-\\-json status\n"
	".RE\n"
	".fi\n";

void
print_man(FILE *f)
{
	fputs(head, f);
	put_options(f);
	fputs(".SH COMMANDS THAT LOOK\n", f);
	put_commands(f, HB_RIGHT_READ);
	put_command(f, &ctl_top);
	fputs(".SH COMMANDS THAT CHANGE\n"
	      "They need the right to change, which the daemon gives to root, to its own user\n"
	      "and to those whom its configuration names.\n"
	      "Some ask first on a terminal.\n",
		f);
	put_commands(f, HB_RIGHT_CHANGE);
	fputs(tail, f);
}
