/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of budgets that many hosts share, but for the one that brings money (changes.c):
 * each is one call to the control core. */
#include "commands.h"

#include "daemon.h"
#include "hb_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* How long the workers have to give envelopes up, or to take users in. */
#define PATIENCE_NS (5 * 1000000000ull)

struct leasing {
	struct hb_call call;
	/* The control core's while the call is under way. */
	struct hb_control *control;
	unsigned slot;
	uint64_t posted_ns;
	bool done;
	struct hb_returning returning;
	struct hb_row *row;
	unsigned rows, rows_in;
	uint32_t refused; /* rows that found no place with their worker */
	int err;
	struct hb_error e;
	/* The service thread's. */
	struct tuning *t;
	struct hb_ask *ask;
	const char *command;
};

/* ---- to the control core and back ----------------------------------------------------- */

static void
free_leasing(struct leasing *l)
{
	free(l->row);
	free(l);
}

/* What a call failed with, to whoever asked for it. */
static void
refuse(struct leasing *l)
{
	enum hb_refusal why = HB_REFUSAL_REFUSED;

	if (l->err == -EAGAIN || l->err == -EBUSY)
		why = HB_REFUSAL_BUSY;
	else if (l->err == -EIO || l->err == -ENOSPC || l->err == -ENOMEM)
		why = HB_REFUSAL_FAILED;
	hb_ask_refuse(l->ask, why, NULL, "%s", l->e.text);
}

static void
come_back(struct hb_call *call)
{
	struct leasing *l = (struct leasing *)call;
	struct hb_changes none = {0};

	if (l->err != 0) {
		refuse(l);
	} else {
		tuning_log(l->t, hb_ask_peer(l->ask), l->command, &none);
		hb_ask_answer(l->ask,
			json_pack("{s:I, s:I}", "returned", (json_int_t)l->returning.returned,
				"rows", (json_int_t)l->rows_in));
	}
	free_leasing(l);
}

/* Runs a step of it turn after turn, for as long as that says -EAGAIN. */
static void
again_if_needed(struct leasing *l)
{
	l->call.again = l->err == -EAGAIN && hb_mono_ns() - l->posted_ns < PATIENCE_NS;
}

static void
post(struct leasing *l, void (*run)(struct hb_call *))
{
	l->call = (struct hb_call){.run = run, .done = come_back};
	l->control = &l->t->d->control;
	l->posted_ns = hb_mono_ns();
	if (hb_calls_post(l->t->calls, &l->call) == 0)
		return;
	l->err = hb_fail(&l->e, EBUSY,
		"the control core takes nothing more at the moment; try "
		"again");
	refuse(l);
	free_leasing(l);
}

static struct leasing *
make_leasing(struct tuning *t, struct hb_ask *ask, const char *command)
{
	struct leasing *l = calloc(1, sizeof(*l));

	if (l == NULL) {
		hb_ask_refuse(ask, HB_REFUSAL_FAILED, NULL, "no memory for a command");
		return NULL;
	}
	l->t = t;
	l->ask = ask;
	l->command = command;
	return l;
}

/* The same about a campaign; NULL where it isn't one of a shared budget, which has been said. */
static struct leasing *
make_of_campaign(struct tuning *t, struct hb_ask *ask, const char *command)
{
	const struct hb_config *c = tuning_config(t);
	uint64_t id = argument_number(hb_ask_args(ask), "campaign", 0);

	for (unsigned i = 0; i < c->campaigns; i++) {
		if (c->campaign[i].id != id || !c->campaign[i].leased)
			continue;
		struct leasing *l = make_leasing(t, ask, command);

		if (l != NULL)
			l->slot = c->campaign[i].slot;
		return l;
	}
	hb_ask_refuse(ask, HB_REFUSAL_UNKNOWN, "hongbaoctl lease list",
		"campaign %llu: there is none of that id whose budget many hosts share",
		(unsigned long long)id);
	return NULL;
}

/* ---- the term ------------------------------------------------------------------------ */

/* It is this thread that changes which slices are served: so none can come in between. */
void
on_lease_renew(struct hb_ask *ask, void *context)
{
	struct tuning *t = context;
	const json_t *args = hb_ask_args(ask);
	uint64_t now = hb_boot_ns(), since = argument_number(args, "since_ns", now);
	uint64_t ms = argument_number(args, "ms", 0);
	uint64_t slices = argument_number(args, "slices", UINT32_MAX);

	if (since > now) {
		hb_ask_refuse(ask, HB_REFUSAL_USAGE, NULL,
			"since_ns: %llu is later than now, %llu; it is CLOCK_BOOTTIME of this host",
			(unsigned long long)since, (unsigned long long)now);
		return;
	}
	if ((tuning_config(t)->slices & ~slices) != 0) {
		hb_ask_refuse(ask, HB_REFUSAL_BUSY, NULL,
			"slices: others are served by now than those that it is renewed for; look "
			"again");
		return;
	}
	hb_control_renew(&t->d->control, ms == 0 ? 0 : since + ms * 1000000);
	hb_ask_answer(ask, json_pack("{s:I}", "ms", (json_int_t)ms));
}

/* ---- the end of a budget -------------------------------------------------------------- */

static void
run_done(struct hb_call *call)
{
	struct leasing *l = (struct leasing *)call;

	l->err = hb_control_done(l->control, l->slot, l->done, &l->e);
}

void
on_lease_done(struct hb_ask *ask, void *context)
{
	struct leasing *l = make_of_campaign(context, ask, "lease done");

	if (l == NULL)
		return;
	l->done = strcmp(hb_command_text(hb_ask_args(ask), "done"), "yes") == 0;
	post(l, run_done);
}

static void
run_return(struct hb_call *call)
{
	struct leasing *l = (struct leasing *)call;

	l->err = hb_control_return(l->control, l->slot, &l->returning, hb_wall_us(), &l->e);
	again_if_needed(l);
	if (l->err == 0 || l->call.again)
		return;
	hb_control_return_over(l->control, l->slot);
	/* What went back before is durable. */
	if (l->returning.returned > 0)
		l->err = 0;
}

void
on_lease_return(struct hb_ask *ask, void *context)
{
	struct leasing *l = make_of_campaign(context, ask, "lease return");

	if (l == NULL)
		return;
	l->returning.asked = argument_number(hb_ask_args(ask), "count", UINT32_MAX);
	post(l, run_return);
}

/* ---- users from other hosts ---------------------------------------------------------- */

/* Some rows a turn, then until their workers have them. */
static void
run_rows(struct hb_call *call)
{
	struct leasing *l = (struct leasing *)call;
	unsigned left = l->rows - l->rows_in, n = left < HB_ROWS_MAX ? left : HB_ROWS_MAX;
	uint32_t underway;

	l->err = hb_control_rows(l->control, l->slot, l->row + l->rows_in, n, &l->e);
	if (l->err == 0)
		l->rows_in += n;
	if (l->err == 0 && l->rows_in == l->rows) {
		hb_control_rows_left(l->control, l->slot, l->rows, &underway, &l->refused);
		if (underway > 0)
			l->err = hb_fail(&l->e, EAGAIN, "the workers did not take them in");
		else if (l->refused > 0)
			l->err = hb_fail(&l->e, ENOSPC,
				"users: the table has no room for %u winners of other hosts; "
				"restart hongbaod with more users in its file",
				l->refused);
	} else if (l->err == 0) {
		l->err = -EAGAIN;
	}
	again_if_needed(l);
}

static bool
take_row(const char *line, struct hb_row *row)
{
	unsigned long long user, id, us;
	char outcome[8];
	int end = 0;

	if (sscanf(line, "%20llu %10u %7s %10u %20llu %10u %20llu%n", &user, &row->seq, outcome,
		    &row->wins, &id, &row->amount, &us, &end) != 7 ||
		(line[end] != '\n' && line[end] != '\0'))
		return false;
	row->user = user;
	row->id = id;
	row->won_us = us;
	row->outcome = strcmp(outcome, "WIN") == 0	? HB_OUTCOME_WIN
		       : strcmp(outcome, "BUNDLE") == 0 ? HB_OUTCOME_BUNDLE
							: HB_OUTCOME_NONE;
	return row->outcome != HB_OUTCOME_NONE;
}

/* Takes the lines apart. Returns 0 or -errno with e. */
static int
take_rows(struct leasing *l, const char *text)
{
	unsigned lines = 1;

	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	l->row = calloc(lines, sizeof(*l->row));
	if (l->row == NULL)
		return hb_fail(&l->e, ENOMEM, "no memory for %u users", lines);
	for (const char *p = text; *p != '\0'; l->rows++) {
		const char *end = strchr(p, '\n');

		if (!take_row(p, &l->row[l->rows]))
			return hb_fail(&l->e, EINVAL,
				"line %u: write e.g. 77 12 WIN 1 30064771115 888 "
				"1423924200000000",
				l->rows + 1);
		p = end == NULL ? p + strlen(p) : end + 1;
	}
	return 0;
}

void
on_lease_rows(struct hb_ask *ask, void *context)
{
	struct leasing *l = make_of_campaign(context, ask, "lease rows");

	if (l == NULL)
		return;
	l->err = take_rows(l, hb_command_text(hb_ask_args(ask), "text"));
	if (l->err == 0) {
		post(l, run_rows);
		return;
	}
	refuse(l);
	free_leasing(l);
}

/* ---- what there is -------------------------------------------------------------------- */

void
on_lease_list(struct hb_ask *ask, void *context)
{
	const struct tuning *t = context;

	hb_ask_answer(ask, hb_view_leases(&t->d->serving.view, tuning_config(t)));
}
