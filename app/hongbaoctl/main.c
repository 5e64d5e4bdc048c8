/* SPDX-License-Identifier: BSD-3-Clause */
/* hongbaoctl: speaks to a running hongbaod through its control socket. */
#include "ctl.h"
#include "talk.h"
#include "text.h"
#include "top.h"

#include <locale.h>
#include <stdlib.h>
#include <time.h>

const struct hb_command ctl_top = {
	.name = "top",
	.local = true,
	.summary = "a live full screen",
	.help = "Shows rates, workers, campaigns with what is left of them, replies, drops and "
		"warnings, "
		"once a second. It says so when the daemon is gone, and comes back with it. q ends "
		"it. "
		"It needs a terminal.",
	.example = "top",
};

void *
ctl_must(void *p)
{
	if (p != NULL)
		return p;
	fputs("hongbaoctl: no memory\n", stderr);
	exit(CTL_REFUSED);
}

enum ctl_exit
ctl_complain(const struct ctl *c, enum ctl_exit status, const char *code, const char *remedy,
	const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fflush(stdout);
	fputs("hongbaoctl: ", stderr);
	text_put(stderr, text, false);
	fputc('\n', stderr);
	if (remedy != NULL) {
		fputs("try: ", stderr);
		text_put(stderr, remedy, false);
		fputc('\n', stderr);
	}
	if (c->json) {
		char *safe = text_harmless(text);
		json_t *o = json_pack(
			"{s:{s:s, s:s, s:s*}}", "error", "code", code, "text", safe, "try", remedy);

		talk_json(c, o);
		json_decref(o);
		free(safe);
	}
	return status;
}

/* ---- help ----------------------------------------------------------------------------- */

static const struct hb_command *
find(int words, char **word, int *used)
{
	*used = 1;
	if (words > 0 && strcmp(word[0], ctl_top.name) == 0)
		return &ctl_top;
	return hb_command_find_words(words, word, used);
}

/* What there is of a name's first word: "campaign list, campaign show, ...". */
static enum ctl_exit
unknown(const struct ctl *c)
{
	char list[256] = "";
	size_t n = 0, word = strlen(c->word[0]);

	for (unsigned i = 0; i < hb_commands_count && n < sizeof(list); i++) {
		const char *name = hb_commands[i].name;

		if (strncmp(name, c->word[0], word) == 0 && name[word] == ' ')
			n += (size_t)snprintf(
				list + n, sizeof(list) - n, "%s%s", n > 0 ? ", " : "", name);
	}
	if (n > 0)
		return ctl_complain(c, CTL_USAGE, "usage", NULL,
			"'%s' is half a command; there are: %s", c->word[0], list);
	return ctl_complain(c, CTL_USAGE, "usage", NULL,
		"there is no command '%.60s'; see: hongbaoctl help", c->word[0]);
}

static enum ctl_exit
help(const struct ctl *c)
{
	struct ctl of = *c;
	const struct hb_command *command = NULL;
	int used;

	of.words--;
	of.word++;
	if (of.words > 0 && (command = find(of.words, of.word, &used)) == NULL)
		return unknown(&of);
	char *text = ctl_must(hb_command_help(command));
	if (c->json) {
		json_t *o = json_pack("{s:s}", "text", text);
		talk_json(c, o);
		json_decref(o);
	} else {
		fputs(text, stdout);
		if (command == NULL)
			printf("  %-17s %s\n", ctl_top.name, ctl_top.summary);
	}
	free(text);
	return CTL_GOOD;
}

/* ---- the completion's question -------------------------------------------------------- */

/* The ids of all campaigns, a line each; nothing where nobody answers soon. */
static enum ctl_exit
print_ids(const struct ctl *c)
{
	uint64_t deadline = hb_mono_ns() + 500000000;
	struct link l;
	struct answer a = {0};
	json_t *one;
	size_t i;

	if (link_open(&l, c->socket, deadline, NULL) == 0 &&
		link_ask(&l, 1, "campaign list", NULL, deadline, NULL) == 0)
		link_await(&l, &a, deadline, NULL);
	json_array_foreach(json_object_get(a.result, "campaigns"), i, one)
		printf("%lld\n", (long long)json_integer_value(json_object_get(one, "id")));
	answer_free(&a);
	link_close(&l);
	return CTL_GOOD;
}

/* ---- the program ---------------------------------------------------------------------- */

static enum ctl_exit
run(const struct ctl *c)
{
	const struct hb_command *command;
	enum ctl_exit status;
	struct hb_error e;
	json_t *args;
	int used;

	if (c->print != NULL)
		return strcmp(c->print, "ids") == 0 ? print_ids(c) : ctl_print(c->print, stdout);
	if (c->words == 0)
		return ctl_complain(
			c, CTL_USAGE, "usage", NULL, "name a command; see: hongbaoctl --help");
	if ((command = find(c->words, c->word, &used)) == NULL)
		return unknown(c);
	if (strcmp(command->name, "help") == 0)
		return help(c);
	args = hb_command_args(command, c->words - used, c->word + used, &e, NULL);
	if (args == NULL)
		return ctl_complain(c, CTL_USAGE, "usage", NULL, "%s", e.text);
	status = command == &ctl_top ? top(c) : talk(c, command, args);
	json_decref(args);
	return status;
}

int
main(int argc, char **argv)
{
	enum ctl_exit status;
	struct ctl c;
	bool ended;

	/* What is printed is UTF-8 whatever the locale says; this is for its widths. */
	setlocale(LC_CTYPE, "C.UTF-8");
	tzset();
	status = ctl_options(&c, argc, argv, &ended);
	if (status == CTL_GOOD && !ended)
		status = run(&c);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("hongbaoctl: cannot write what was answered");
		return status == CTL_GOOD ? CTL_REFUSED : status;
	}
	return status;
}
