/* SPDX-License-Identifier: BSD-3-Clause */
/* Before a change on a terminal: what it will do, and a question. */
#include "render.h"
#include "talk.h"

#include <stdlib.h>

/* What config apply would change, as the daemon says it. */
static enum ctl_exit
show_difference(const struct ctl *c, struct link *l, json_t *args, bool *done)
{
	struct render r = {.f = stdout, .colour = c->colour, .columns = talk_columns(c, NULL)};
	struct answer a = {0};
	enum ctl_exit status = talk_once(c, l, "config diff", args, &a);

	if (status == CTL_GOOD) {
		*done = json_array_size(json_object_get(a.result, "changes")) == 0;
		render_any(&r, a.result);
	}
	answer_free(&a);
	return status;
}

/* Envelopes and their money, of a top-up or a new campaign. */
static void
show_money(const json_t *args)
{
	const json_t *keys = json_object_get(args, "keys");
	const char *split = hb_command_text(keys, "split"), *tiers = hb_command_text(keys, "tiers");
	uint64_t id = 0, count = 0, total = 0;
	bool is_new = !hb_command_number(args, "campaign", &id);
	char yuan[48], number[32];

	hb_command_number(keys, "id", &id);
	hb_command_number(keys, "count", &count);
	hb_command_number(keys, "total", &total);
	printf("campaign %llu%s: ", (unsigned long long)id, is_new ? ", new" : "");
	if (tiers != NULL) {
		fputs("tiers ", stdout);
		text_put(stdout, tiers, false);
	} else {
		printf("+%s envelopes, %s yuan in all, split ", hb_thousands(count, number),
			text_yuan((double)total, yuan));
		text_put(stdout, split == NULL ? "lucky" : split, false);
	}
	putchar('\n');
}

/* Yes is said by a line that begins with y. */
static bool
says_yes(const char *question)
{
	char line[64];

	fflush(stdout);
	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	return fgets(line, sizeof(line), stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

enum ctl_exit
talk_confirm(const struct ctl *c, struct link *l, const struct hb_command *command, json_t *args,
	bool *done)
{
	const char *question = "Carry it out?";
	enum ctl_exit status = CTL_GOOD;

	if (strcmp(command->name, "config apply") == 0) {
		question = "Apply it?";
		status = show_difference(c, l, args, done);
	} else if (json_object_get(args, "keys") != NULL) {
		question = "Put this money in? It cannot be taken out again.";
		show_money(args);
	} else if (strcmp(command->name, "drain") == 0) {
		question = "Stop giving and end the daemon?";
	}
	if (status != CTL_GOOD || *done)
		return status;
	if (says_yes(question))
		return CTL_GOOD;
	return ctl_complain(c, CTL_REFUSED, "refused", NULL, "you said no; nothing was changed");
}
