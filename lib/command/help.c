/* SPDX-License-Identifier: BSD-3-Clause */
/* The table, for people. */
#include "hb_command.h"

#include <stdio.h>
#include <stdlib.h>

#define WIDTH 78

bool
hb_command_has_forms(const struct hb_command *c)
{
	return c->arg[0].name != NULL && c->arg[0].form != HB_FORM_ANY;
}

const char *
hb_command_usage(const struct hb_command *c, enum hb_form form, char *out, size_t bytes)
{
	size_t n = (size_t)snprintf(out, bytes, "%s", c->name);

	for (unsigned i = 0; i < HB_COMMAND_ARGS_MAX && c->arg[i].name != NULL; i++) {
		const struct hb_arg *a = &c->arg[i];

		if (n >= bytes || (a->form != HB_FORM_ANY && a->form != form))
			continue;
		n += (size_t)snprintf(out + n, bytes - n, " %s%s%s%s%s%s", a->required ? "" : "[",
			a->lead == NULL ? "" : a->lead, a->lead == NULL ? "" : " ", a->shown,
			a->many || a->kind == HB_ARG_KEYS ? "..." : "", a->required ? "" : "]");
	}
	return out;
}

/* Sentences, in lines of WIDTH. */
static void
print_wrapped(FILE *f, const char *text)
{
	int column = 0;

	while (*text != '\0') {
		int n = (int)strcspn(text, " ");

		if (column > 0 && column + 1 + n > WIDTH) {
			fputc('\n', f);
			column = 0;
		}
		column += fprintf(f, "%s%.*s", column == 0 ? "" : " ", n, text);
		text += n;
		text += strspn(text, " ");
	}
	fputc('\n', f);
}

static void
print_usages(FILE *f, const struct hb_command *c)
{
	char line[160];
	bool forms = hb_command_has_forms(c);

	fprintf(f, "usage: hongbaoctl %s\n",
		hb_command_usage(c, forms ? HB_FORM_FILE : HB_FORM_ANY, line, sizeof(line)));
	if (forms)
		fprintf(f, "       hongbaoctl %s\n",
			hb_command_usage(c, HB_FORM_KEYS, line, sizeof(line)));
	if (c->alias != NULL)
		fprintf(f, "       (%s is the same)\n", c->alias);
}

static void
print_args(FILE *f, const struct hb_command *c)
{
	for (unsigned i = 0; i < HB_COMMAND_ARGS_MAX && c->arg[i].name != NULL; i++) {
		const struct hb_arg *a = &c->arg[i];

		fprintf(f, "%s  %-26s %s\n", i == 0 ? "\n" : "", a->shown, a->help);
		for (const struct hb_key *k = a->keys; k != NULL && k->name != NULL; k++) {
			char pair[64];

			snprintf(pair, sizeof(pair), "%s=%s", k->name, k->value);
			fprintf(f, "    %-28s %s%s%s\n", pair, k->help,
				k->use == HB_KEY_REQUIRED ? " (required)" : "",
				k->use == HB_KEY_WHOLE ? " (without a campaign)" : "");
		}
	}
}

static void
print_command(FILE *f, const struct hb_command *c)
{
	print_usages(f, c);
	fputc('\n', f);
	print_wrapped(f, c->help);
	print_args(f, c);
	fprintf(f, "\nneeds the right to %s",
		c->right == HB_RIGHT_READ || c->bare_reads ? "read" : "change");
	fprintf(f, "%s\n", c->bare_reads ? "; with an argument to change" : "");
	fprintf(f, "for example: hongbaoctl %s\n", c->example);
}

static void
print_list(FILE *f)
{
	fputs("commands:\n", f);
	for (unsigned i = 0; i < hb_commands_count; i++)
		fprintf(f, "  %-17s %s\n", hb_commands[i].name, hb_commands[i].summary);
}

char *
hb_command_help(const struct hb_command *c)
{
	char *text = NULL;
	size_t bytes;
	FILE *f = open_memstream(&text, &bytes);

	if (f == NULL)
		return NULL;
	if (c == NULL)
		print_list(f);
	else
		print_command(f, c);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}
