/* SPDX-License-Identifier: BSD-3-Clause */
/* What is made of the table of commands when hongbao is built: completion for bash and zsh. */
#include "ctl.h"
#include "print.h"

/* ---- the table, as shells have it ------------------------------------------------------ */

static const struct hb_arg *
arg_of_kind(const struct hb_command *c, enum hb_arg_kind kind)
{
	for (unsigned i = 0; i < HB_COMMAND_ARGS_MAX && c->arg[i].name != NULL; i++) {
		if (c->arg[i].kind == kind)
			return &c->arg[i];
	}
	return NULL;
}

/* Where on the command line a campaign's id stands, from 0; -1: nowhere, or behind a word. */
static int
id_place(const struct hb_command *c)
{
	for (int i = 0; i < HB_COMMAND_ARGS_MAX && c->arg[i].name != NULL; i++) {
		if (strcmp(c->arg[i].name, "campaign") == 0)
			return c->arg[i].lead == NULL ? i : -1;
	}
	return -1;
}

/* The word before it, or "". */
static const char *
lead_of(const struct hb_command *c)
{
	for (unsigned i = 0; i < HB_COMMAND_ARGS_MAX && c->arg[i].name != NULL; i++) {
		if (c->arg[i].lead != NULL)
			return c->arg[i].lead;
	}
	return "";
}

/* The keys that a campaign has, or the whole. */
static void
print_keys(FILE *f, const char *name, const struct hb_arg *a, bool whole)
{
	const char *between = "";

	fprintf(f, " %s='", name);
	for (const struct hb_key *k = a == NULL ? NULL : a->keys; k != NULL && k->name != NULL;
		k++) {
		if ((k->use == HB_KEY_WHOLE) != whole)
			continue;
		fprintf(f, "%s%s=", between, k->name);
		between = " ";
	}
	fputc('\'', f);
}

static void
print_command(FILE *f, const struct hb_command *c)
{
	const struct hb_arg *keys = arg_of_kind(c, HB_ARG_KEYS);
	const struct hb_arg *words = arg_of_kind(c, HB_ARG_TEXT);

	fprintf(f, "\t'%s') id=%d lead='%s' files=%d keys_from=%d", c->name, id_place(c),
		lead_of(c),
		arg_of_kind(c, HB_ARG_FILE) != NULL || arg_of_kind(c, HB_ARG_PATH) != NULL,
		id_place(c) + 1);
	fputs(" words='", f);
	for (unsigned i = 0; words != NULL && words->words != NULL && words->words[i] != NULL; i++)
		fprintf(f, "%s%s", i > 0 ? " " : "", words->words[i]);
	fputc('\'', f);
	print_keys(f, "keys", keys, false);
	print_keys(f, "whole", keys, true);
	fputs(" ;;\n", f);
	if (c->alias != NULL) {
		struct hb_command other = *c;

		other.name = c->alias;
		other.alias = NULL;
		print_command(f, &other);
	}
}

/* The words of a key that has a choice, "equal|lucky", once for each key. */
static void
print_choices(FILE *f)
{
	const char *done[16] = {0};
	unsigned n = 0;

	for (unsigned i = 0; i < hb_commands_count; i++) {
		const struct hb_arg *a = arg_of_kind(&hb_commands[i], HB_ARG_KEYS);

		for (const struct hb_key *k = a == NULL ? NULL : a->keys;
			k != NULL && k->name != NULL; k++) {
			bool seen = strchr(k->value, '|') == NULL || n == HB_COUNT_OF(done);

			for (unsigned j = 0; j < n; j++)
				seen |= strcmp(done[j], k->name) == 0;
			if (seen)
				continue;
			done[n++] = k->name;
			fprintf(f, "\t%s) choices='", k->name);
			for (const char *p = k->value; *p != '\0'; p++)
				fputc(*p == '|' ? ' ' : *p, f);
			fputs("' ;;\n", f);
		}
	}
}

/* First words, each once. */
static void
print_first(FILE *f)
{
	const char *before = "";

	for (unsigned i = 0; i < hb_commands_count; i++) {
		const char *name = hb_commands[i].name;
		size_t n = strcspn(name, " ");

		if (strncmp(before, name, n) != 0 || before[n] != name[n])
			fprintf(f, "%.*s ", (int)n, name);
		before = name;
	}
	for (unsigned i = 0; i < hb_commands_count; i++) {
		if (hb_commands[i].alias != NULL)
			fprintf(f, "%s ", hb_commands[i].alias);
	}
	fputs(ctl_top.name, f);
}

/* Second words of each first one. */
static void
print_second(FILE *f)
{
	for (unsigned i = 0; i < hb_commands_count; i++) {
		const char *name = hb_commands[i].name;
		size_t n = strcspn(name, " ");

		if (name[n] == '\0')
			continue;
		bool first = i == 0 || strncmp(hb_commands[i - 1].name, name, n + 1) != 0;
		bool last = i + 1 == hb_commands_count ||
			    strncmp(hb_commands[i + 1].name, name, n + 1) != 0;
		if (first)
			fprintf(f, "\t%.*s) second='", (int)n, name);
		fprintf(f, "%s%s", first ? "" : " ", name + n + 1);
		if (last)
			fputs("' ;;\n", f);
	}
}

/* ---- bash ------------------------------------------------------------------------------ */

static const char bash_head[] =
	"# SPDX-License-Identifier: BSD-3-Clause\n"
	"# bash completion for hongbaoctl, made from its table of commands\n"
	"\n"
	"# What a command takes: the place of a campaign's id, a word before one, whether it reads "
	"a\n"
	"# file, from where on keys stand, words, keys.\n"
	"_hongbaoctl_command()\n"
	"{\n"
	"\tid=-1 lead= files=0 keys_from=0 words= keys= whole=\n"
	"\tcase $1 in\n";

static const char bash_choices[] = "\tesac\n"
				   "}\n"
				   "\n"
				   "# What a key can be.\n"
				   "_hongbaoctl_choices()\n"
				   "{\n"
				   "\tchoices=\n"
				   "\tcase $1 in\n";

static const char bash_second[] = "\tesac\n"
				  "}\n"
				  "\n"
				  "_hongbaoctl_second()\n"
				  "{\n"
				  "\tsecond=\n"
				  "\tcase $1 in\n";

static const char bash_first[] = "\tesac\n"
				 "}\n"
				 "\n"
				 "_hongbaoctl_first='";

static const char bash_body[] =
	"'\n"
	"\n"
	"# Readline cuts words at \"=\"; here they are whole again: in line, the last one in cur.\n"
	"_hongbaoctl_words()\n"
	"{\n"
	"\tlocal i word glue=\n"
	"\tline=()\n"
	"\tfor ((i = 1; i <= COMP_CWORD; i++)); do\n"
	"\t\tword=${COMP_WORDS[i]}\n"
	"\t\tif [[ ($word == = || -n $glue) && ${#line[@]} -gt 0 ]]; then\n"
	"\t\t\tline[${#line[@]} - 1]+=$word\n"
	"\t\telse\n"
	"\t\t\tline+=(\"$word\")\n"
	"\t\tfi\n"
	"\t\tglue=\n"
	"\t\t[[ $word != = ]] || glue=1\n"
	"\tdone\n"
	"\tcur=${line[${#line[@]} - 1]}\n"
	"\tunset \"line[${#line[@]} - 1]\"\n"
	"}\n"
	"\n"
	"# Takes the options out: what is left goes to plain; socket becomes an option of that.\n"
	"_hongbaoctl_plain()\n"
	"{\n"
	"\tlocal i\n"
	"\tplain=() socket=() wants=\n"
	"\tfor ((i = 0; i < ${#line[@]}; i++)); do\n"
	"\t\tcase ${line[i]} in\n"
	"\t\t-s | --socket | --timeout | --color)\n"
	"\t\t\twants=${line[i]}\n"
	"\t\t\t((++i < ${#line[@]})) || return\n"
	"\t\t\t[[ $wants != -s && $wants != --socket ]] || socket=(-s \"${line[i]}\")\n"
	"\t\t\twants= ;;\n"
	"\t\t--socket=*) socket=(-s \"${line[i]#*=}\") ;;\n"
	"\t\t-*) ;;\n"
	"\t\t*) plain+=(\"${line[i]}\") ;;\n"
	"\t\tesac\n"
	"\tdone\n"
	"}\n"
	"\n"
	"_hongbaoctl_reply()\n"
	"{\n"
	"\tCOMPREPLY+=($(compgen -W \"$1\" -- \"$cur\"))\n"
	"}\n"
	"\n"
	"_hongbaoctl_files()\n"
	"{\n"
	"\tlocal file\n"
	"\twhile IFS= read -r file; do\n"
	"\t\tCOMPREPLY+=(\"$file\")\n"
	"\tdone < <(compgen -f -- \"$cur\")\n"
	"\tcompopt -o filenames 2>/dev/null || :\n"
	"}\n"
	"\n"
	"# The arguments of a command: $1 its name, the rest those that stand there.\n"
	"_hongbaoctl_args()\n"
	"{\n"
	"\tlocal id lead files keys_from words keys whole choices\n"
	"\t_hongbaoctl_command \"$1\"\n"
	"\tshift\n"
	"\tif [[ -n $lead && ${1-} == \"$lead\" ]]; then\n"
	"\t\tshift\n"
	"\t\tid=0 keys_from=1 files=0\n"
	"\telif [[ -n $lead ]]; then\n"
	"\t\tkeys=$whole\n"
	"\t\t(($#)) || words=\"$words $lead\"\n"
	"\tfi\n"
	"\tif [[ $cur == *=* && -n $keys ]]; then\n"
	"\t\t_hongbaoctl_choices \"${cur%%=*}\"\n"
	"\t\tcur=${cur#*=}\n"
	"\t\t_hongbaoctl_reply \"$choices\"\n"
	"\t\treturn\n"
	"\tfi\n"
	"\t(($# != id)) || _hongbaoctl_reply \"$(\"${COMP_WORDS[0]}\" \"${socket[@]}\" --print-ids "
	"2>/dev/null)\"\n"
	"\tif (($# == 0)); then\n"
	"\t\t_hongbaoctl_reply \"$words\"\n"
	"\t\t((!files)) || _hongbaoctl_files\n"
	"\tfi\n"
	"\tif [[ -n $keys ]] && (($# >= keys_from)); then\n"
	"\t\t_hongbaoctl_reply \"$keys\"\n"
	"\t\t[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null || :\n"
	"\tfi\n"
	"}\n"
	"\n"
	"_hongbaoctl_names()\n"
	"{\n"
	"\tlocal second\n"
	"\tcase $# in\n"
	"\t0) _hongbaoctl_reply \"$_hongbaoctl_first\" ;;\n"
	"\t*)\n"
	"\t\t_hongbaoctl_second \"$1\"\n"
	"\t\tif [[ $1 == help && $# -lt 3 ]]; then\n"
	"\t\t\t_hongbaoctl_names \"${@:2}\"\n"
	"\t\telif [[ -z $second ]]; then\n"
	"\t\t\t_hongbaoctl_args \"$@\"\n"
	"\t\telif (($# == 1)); then\n"
	"\t\t\t_hongbaoctl_reply \"$second\"\n"
	"\t\telse\n"
	"\t\t\t_hongbaoctl_args \"$1 $2\" \"${@:3}\"\n"
	"\t\tfi ;;\n"
	"\tesac\n"
	"}\n"
	"\n"
	"_hongbaoctl()\n"
	"{\n"
	"\tlocal IFS=$' \\t\\n' cur wants line=() plain=() socket=()\n"
	"\tCOMPREPLY=()\n"
	"\t_hongbaoctl_words\n"
	"\t_hongbaoctl_plain\n"
	"\tcase $wants,$cur in\n"
	"\t-s,* | --socket,*) _hongbaoctl_files ;;\n"
	"\t--color,*) _hongbaoctl_reply 'auto always never' ;;\n"
	"\t--timeout,*) ;;\n"
	"\t,--color=*) cur=${cur#*=}; _hongbaoctl_reply 'auto always never' ;;\n"
	"\t,--socket=*) cur=${cur#*=}; _hongbaoctl_files ;;\n"
	"\t,-*) _hongbaoctl_reply '-s --socket --json --wait --timeout --color --yes --help "
	"--version' "
	";;\n"
	"\t*) _hongbaoctl_names \"${plain[@]}\" ;;\n"
	"\tesac\n"
	"}\n"
	"\n"
	"complete -F _hongbaoctl hongbaoctl\n";

static void
print_bash(FILE *f)
{
	fputs(bash_head, f);
	for (unsigned i = 0; i < hb_commands_count; i++)
		print_command(f, &hb_commands[i]);
	fputs(bash_choices, f);
	print_choices(f);
	fputs(bash_second, f);
	print_second(f);
	fputs(bash_first, f);
	print_first(f);
	fputs(bash_body, f);
}

/* ---- zsh ------------------------------------------------------------------------------- */

/* Commands with what they do; files, keys and words behind them. */
static void
print_zsh_names(FILE *f)
{
	for (unsigned i = 0; i <= hb_commands_count; i++) {
		const struct hb_command *c = i < hb_commands_count ? &hb_commands[i] : &ctl_top;

		fprintf(f, "\t'%s:", c->name);
		for (const char *p = c->summary; *p != '\0'; p++)
			fputs(*p == '\'' ? "'\\''" : (char[]){*p, '\0'}, f);
		fputs("'\n", f);
	}
}

static const char zsh_body[] =
	")\n"
	"\n"
	"_hongbaoctl() {\n"
	"\tlocal id lead files keys_from words_ keys whole name\n"
	"\tlocal -a plain list\n"
	"\tplain=(${words[2,CURRENT-1]:#-*})\n"
	"\tif [[ $PREFIX == -* ]]; then\n"
	"\t\tcompadd -- -s --socket --json --wait --timeout --color --yes --help --version\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tname=\"$plain[1] $plain[2]\"\n"
	"\tif ((${_hongbaoctl_names[(I)$name:*]})); then\n"
	"\t\tplain=(${plain[3,-1]})\n"
	"\telif ((${_hongbaoctl_names[(I)${plain[1]:--}:*]})); then\n"
	"\t\tname=$plain[1]\n"
	"\t\tplain=(${plain[2,-1]})\n"
	"\telif (($#plain == 0)); then\n"
	"\t\tlist=(${_hongbaoctl_names:#* *:*} ${(u)${(M)_hongbaoctl_names:#* *:*}%% *})\n"
	"\t\t_describe command list\n"
	"\t\treturn\n"
	"\telse\n"
	"\t\tlist=(${${(M)_hongbaoctl_names:#$plain[1] *}#* })\n"
	"\t\t_describe command list\n"
	"\t\treturn\n"
	"\tfi\n"
	"\t_hongbaoctl_command $name\n"
	"\tif [[ -n $lead && $plain[1] == $lead ]]; then\n"
	"\t\tshift plain\n"
	"\t\tid=0 keys_from=1 files=0\n"
	"\telif [[ -n $lead ]]; then\n"
	"\t\tkeys=$whole\n"
	"\t\t(($#plain)) || words_=\"$words_ $lead\"\n"
	"\tfi\n"
	"\t(($#plain != id)) || compadd -- ${(f)\"$($words[1] --print-ids 2>/dev/null)\"}\n"
	"\tif (($#plain == 0)); then\n"
	"\t\tcompadd -- ${=words_}\n"
	"\t\t((!files)) || _files\n"
	"\tfi\n"
	"\t(($#plain < keys_from)) || compadd -S '' -- ${=keys}\n"
	"}\n"
	"\n"
	"_hongbaoctl \"$@\"\n";

static void
print_zsh(FILE *f)
{
	fputs("#compdef hongbaoctl\n"
	      "# SPDX-License-Identifier: BSD-3-Clause\n"
	      "# zsh completion for hongbaoctl, made from its table of commands\n"
	      "\n"
	      "_hongbaoctl_command() {\n"
	      "\tlocal words=\n"
	      "\tid=-1 lead= files=0 keys_from=0 keys= whole=\n"
	      "\tcase $1 in\n",
		f);
	for (unsigned i = 0; i < hb_commands_count; i++)
		print_command(f, &hb_commands[i]);
	fputs("\tesac\n"
	      "\twords_=$words\n"
	      "}\n"
	      "\n"
	      "typeset -ga _hongbaoctl_names\n"
	      "_hongbaoctl_names=(\n",
		f);
	print_zsh_names(f);
	fputs(zsh_body, f);
}

enum ctl_exit
ctl_print(const char *what, FILE *f)
{
	static const struct ctl plain = {.socket = CTL_SOCKET};

	if (strcmp(what, "bash") == 0)
		print_bash(f);
	else if (strcmp(what, "zsh") == 0)
		print_zsh(f);
	else if (strcmp(what, "man") == 0)
		print_man(f);
	else
		return ctl_complain(&plain, CTL_USAGE, "usage", NULL,
			"there is no completion for '%.60s'; give bash or zsh", what);
	return CTL_GOOD;
}
