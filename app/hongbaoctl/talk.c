/* SPDX-License-Identifier: BSD-3-Clause */
#include "talk.h"

#include "render.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Between two tries to connect. */
#define AGAIN_NS 20000000

int
talk_columns(const struct ctl *c, int *rows)
{
	struct winsize size = {0};

	if (!c->terminal)
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		size = (struct winsize){.ws_row = 24, .ws_col = 80};
	if (rows != NULL)
		*rows = size.ws_row;
	return size.ws_col;
}

void
talk_json(const struct ctl *c, const json_t *o)
{
	/* A terminal gets nothing that it could act upon. */
	char *text = ctl_must(json_dumps(o, JSON_COMPACT | (c->terminal ? JSON_ENSURE_ASCII : 0)));

	for (const char *p = text; *p != '\0'; p++) {
		if (*p == 0x7F)
			fputs("\\u007f", stdout);
		else
			putchar(*p);
	}
	putchar('\n');
	free(text);
}

/* ---- what goes wrong ------------------------------------------------------------------ */

static enum ctl_exit
complain_of_link(const struct ctl *c, int err, const char *remedy, const struct hb_error *e)
{
	if (err == -EACCES || err == -EPERM)
		return ctl_complain(c, CTL_DENIED, "denied", NULL, "%s", e->text);
	if (err == -EMSGSIZE)
		return ctl_complain(c, CTL_USAGE, "too_long", NULL, "%s", e->text);
	return ctl_complain(c, CTL_NO_ANSWER, "no_answer", remedy, "%s", e->text);
}

static enum ctl_exit
complain_of_answer(const struct ctl *c, const struct answer *a)
{
	enum ctl_exit status = CTL_REFUSED;

	if (strcmp(a->code, "denied") == 0)
		status = CTL_DENIED;
	else if (strcmp(a->code, "usage") == 0)
		status = CTL_USAGE;
	else if (strcmp(a->code, "timeout") == 0)
		status = CTL_NO_ANSWER;
	return ctl_complain(c, status, a->code, a->remedy, "%s", a->text);
}

/* ---- connecting ----------------------------------------------------------------------- */

static uint64_t
later(uint64_t ns)
{
	return hb_mono_ns() + ns;
}

/* One try: connects and asks for a sign of life. */
static int
try_ping(struct link *l, const char *socket, uint64_t deadline, struct hb_error *e)
{
	struct answer a = {0};
	int err = link_open(l, socket, deadline, e);

	if (err == 0)
		err = link_ask(l, 1, "ping", NULL, deadline, e);
	if (err == 0)
		err = link_await(l, &a, deadline, e);
	if (err == 0 && !a.ok)
		err = hb_fail(e, EBUSY, "%s", a.text);
	answer_free(&a);
	if (err != 0)
		link_close(l);
	return err;
}

static enum ctl_exit
wait_for(const struct ctl *c, struct link *l)
{
	uint64_t end = later(c->wait_ns);
	struct hb_error e;
	int err;

	while ((err = try_ping(l, c->socket, end, &e)) != 0) {
		if (err == -EACCES || err == -EPERM || hb_mono_ns() + AGAIN_NS > end)
			return complain_of_link(c, err, NULL, &e);
		nanosleep(&(struct timespec){.tv_nsec = AGAIN_NS}, NULL);
	}
	return CTL_GOOD;
}

enum ctl_exit
talk_open(const struct ctl *c, struct link *l)
{
	struct hb_error e;
	int err;

	if (c->wait_ns != 0)
		return wait_for(c, l);
	err = link_open(l, c->socket, later(c->timeout_ns), &e);
	return err == 0 ? CTL_GOOD : complain_of_link(c, err, NULL, &e);
}

/* ---- a request and its answers -------------------------------------------------------- */

/* Whether the daemon did it is not known when it goes before it has answered. */
static const char *
remedy_for(const struct hb_command *command)
{
	return command == NULL || command->right == HB_RIGHT_READ
		       ? NULL
		       : "it may have been carried out all the same; look at: hongbaoctl config "
			 "versions, hongbaoctl campaign list";
}

static enum ctl_exit
await(const struct ctl *c, struct link *l, const struct hb_command *command, uint64_t more_ns,
	struct answer *a)
{
	struct hb_error e;
	int err = link_await(l, a, later(c->timeout_ns + more_ns), &e);
	enum ctl_exit status = CTL_GOOD;

	if (err != 0)
		return complain_of_link(c, err, remedy_for(command), &e);
	if (!a->ok) {
		status = complain_of_answer(c, a);
		answer_free(a);
	}
	return status;
}

static enum ctl_exit
ask(const struct ctl *c, struct link *l, const char *command, json_t *args)
{
	struct hb_error e;
	int err = link_ask(l, 1, command, args, later(c->timeout_ns), &e);

	return err == 0 ? CTL_GOOD : complain_of_link(c, err, NULL, &e);
}

enum ctl_exit
talk_once(const struct ctl *c, struct link *l, const char *command, json_t *args, struct answer *a)
{
	enum ctl_exit status = ask(c, l, command, args);

	return status != CTL_GOOD ? status : await(c, l, hb_command_find(command), 0, a);
}

static void
show(const struct ctl *c, const json_t *result)
{
	struct render r = {.f = stdout, .colour = c->colour, .columns = talk_columns(c, NULL)};

	if (c->json)
		talk_json(c, result);
	else
		render_any(&r, result);
}

/* A stream: until the daemon ends it, or somebody the program. */
static enum ctl_exit
follow(const struct ctl *c, struct link *l, const struct hb_command *command, json_t *args)
{
	struct watch w = {0};
	uint64_t seconds = 1;
	enum ctl_exit status;
	bool more = true;

	hb_command_number(args, "seconds", &seconds);
	while (more) {
		struct answer a;

		status = await(c, l, command, seconds * 1000000000ull, &a);
		if (status != CTL_GOOD)
			break;
		more = a.more;
		/* The last one may only say that it is. */
		if (json_object_size(a.result) == 0)
			;
		else if (c->json)
			talk_json(c, a.result);
		else
			watch_line(&w, c, a.result);
		fflush(stdout);
		answer_free(&a);
	}
	watch_free(&w);
	return status;
}

enum ctl_exit
talk(const struct ctl *c, const struct hb_command *command, json_t *args)
{
	struct link l = {.fd = -1};
	struct answer a = {0};
	bool done = false;
	enum ctl_exit status = talk_open(c, &l);
	bool report = strcmp(command->name, "report") == 0;

	if (status == CTL_GOOD && command->asks && c->person && !c->json)
		status = talk_confirm(c, &l, command, args, &done);
	if (status == CTL_GOOD && !done)
		status = ask(c, &l, command->name, report ? NULL : args);
	if (status == CTL_GOOD && !done && command->streams) {
		status = follow(c, &l, command, args);
	} else if (status == CTL_GOOD && !done) {
		status = await(c, &l, command, 0, &a);
		if (status == CTL_GOOD && report)
			status = talk_report(c, args, a.result);
		else if (status == CTL_GOOD)
			show(c, a.result);
	}
	answer_free(&a);
	link_close(&l);
	return status;
}
