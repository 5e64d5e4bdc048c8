/* SPDX-License-Identifier: BSD-3-Clause */
#include "top.h"

#include "link.h"
#include "screen.h"
#include "talk.h"
#include "terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define SECOND 1000000000ull
/* How long connecting and sending may hold up the keys. */
#define PATIENCE (SECOND / 5)

/* What is asked each second, on one connection. */
static const char *const questions[] = {"status", "stats", "campaign list"};
#define QUESTIONS HB_COUNT_OF(questions)

struct top {
	const struct ctl *c;
	struct link link;
	json_t *answer[QUESTIONS]; /* the last whole set */
	json_t *coming[QUESTIONS];
	unsigned pending;
	uint64_t asked_ns, answered_ns; /* 0: never */
	uint64_t next_ns;		/* to ask or to connect */
	bool troubled;
	struct hb_error trouble;
};

/* ---- the daemon ----------------------------------------------------------------------- */

static void
lose(struct top *t)
{
	link_close(&t->link);
	t->pending = 0;
	t->troubled = true;
	t->next_ns = hb_mono_ns() + SECOND;
}

static void
ask_all(struct top *t)
{
	uint64_t now = hb_mono_ns();

	if (t->link.fd < 0 && link_open(&t->link, t->c->socket, now + PATIENCE, &t->trouble) != 0) {
		lose(t);
		return;
	}
	for (unsigned i = 0; i < QUESTIONS; i++) {
		if (link_ask(&t->link, (json_int_t)i + 1, questions[i], NULL, now + PATIENCE,
			    &t->trouble) != 0) {
			lose(t);
			return;
		}
	}
	t->pending = QUESTIONS;
	t->asked_ns = now;
	t->next_ns = now + SECOND;
}

static bool
is_whole(const struct top *t)
{
	for (unsigned i = 0; i < QUESTIONS; i++) {
		if (t->coming[i] == NULL)
			return false;
	}
	return true;
}

static void
keep(struct top *t, struct answer *a)
{
	if (!a->ok) {
		hb_fail(&t->trouble, EPROTO, "%s", a->text);
		t->troubled = true;
	} else if (a->id >= 1 && a->id <= (json_int_t)QUESTIONS) {
		json_decref(t->coming[a->id - 1]);
		t->coming[a->id - 1] = json_incref(a->result);
	}
	if (t->pending > 0 && --t->pending == 0 && is_whole(t)) {
		for (unsigned i = 0; i < QUESTIONS; i++) {
			json_decref(t->answer[i]);
			t->answer[i] = t->coming[i];
			t->coming[i] = NULL;
		}
		t->answered_ns = hb_mono_ns();
		t->troubled = false;
	}
	answer_free(a);
}

/* Returns whether there is something new to be seen. */
static bool
take_answers(struct top *t)
{
	struct answer a;
	int n;

	while ((n = link_take(&t->link, &a, &t->trouble)) > 0)
		keep(t, &a);
	if (n < 0)
		lose(t);
	return n < 0 || t->pending == 0;
}

/* What is due: a question, or the end of the patience with an answer. */
static void
go_on(struct top *t)
{
	uint64_t now = hb_mono_ns();

	if (t->pending > 0 && now - t->asked_ns > t->c->timeout_ns) {
		hb_fail(&t->trouble, ETIMEDOUT, "the daemon took the question and doesn't answer");
		lose(t);
	}
	if (t->pending == 0 && now >= t->next_ns)
		ask_all(t);
}

/* ---- the screen ----------------------------------------------------------------------- */

static void
draw(const struct top *t)
{
	struct screen s = {.colour = t->c->colour};
	struct seen seen = {.status = t->answer[0],
		.stats = t->answer[1],
		.campaigns = t->answer[2],
		.age_s = -1,
		.trouble = t->troubled ? t->trouble.text : NULL,
		.socket = t->c->socket};
	char *text = NULL;
	size_t bytes;

	s.f = ctl_must(open_memstream(&text, &bytes));
	s.columns = talk_columns(t->c, &s.rows);
	if (t->answered_ns != 0)
		seen.age_s = (double)(hb_mono_ns() - t->answered_ns) / (double)SECOND;
	screen_draw(&s, &seen);
	fclose(s.f);
	terminal_write(ctl_must(text), bytes);
	free(text);
}

static void
run(struct top *t)
{
	uint64_t drawn_ns = 0;
	unsigned events = 0;

	while ((events & EVENT_END) == 0) {
		char key = 0;
		bool fresh = (events & EVENT_RESIZE) != 0;

		if (t->link.fd >= 0 && (events & EVENT_LINK) != 0)
			fresh |= take_answers(t);
		go_on(t);
		uint64_t now = hb_mono_ns();
		if (fresh || now - drawn_ns >= SECOND) {
			draw(t);
			drawn_ns = now;
		}
		uint64_t due = t->pending == 0 && t->next_ns < drawn_ns + SECOND
				       ? t->next_ns
				       : drawn_ns + SECOND;
		events = terminal_wait(
			t->link.fd, due <= now ? 0 : (int)((due - now) / 1000000 + 1), &key);
		if (key == 'q' || key == 'Q')
			return;
	}
}

enum ctl_exit
top(const struct ctl *c)
{
	struct top t = {.c = c, .link = {.fd = -1}};
	struct hb_error e;

	if (c->json || !c->terminal || !isatty(STDIN_FILENO))
		return ctl_complain(c, CTL_USAGE, "usage", "hongbaoctl --json watch",
			"top draws on a terminal, and this is none");
	if (terminal_open(&e) != 0)
		return ctl_complain(c, CTL_REFUSED, "failed", NULL, "%s", e.text);
	run(&t);
	terminal_close();
	for (unsigned i = 0; i < QUESTIONS; i++) {
		json_decref(t.answer[i]);
		json_decref(t.coming[i]);
	}
	link_close(&t.link);
	return CTL_GOOD;
}
