/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The routes. What is sent is made at most once a second, when the first one asks, and all who ask
 * get that text; what they have not taken yet is bounded, together.
 */
#include "warroom_internal.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>

#define JSON_TYPE "application/json"

static const char too_much[] = "too much is on its way to other pages; ask again soon";

/* ---- what is made -------------------------------------------------------------------- */

/* Puts a text that was made into its place. NULL: there was no memory. */
static int
keep(struct hb_warroom *w, struct made *m, char *text, size_t bytes)
{
	hb_shared_drop(m->text);
	m->text = hb_shared_make(text, bytes, &w->held);
	m->id = w->id;
	return m->text == NULL ? -ENOMEM : 0;
}

static bool
is_made(const struct hb_warroom *w, const struct made *m)
{
	return m->text != NULL && m->id == w->id;
}

static char *
now_text(struct hb_warroom *w)
{
	json_t *o = warroom_now(w);
	char *text = json_dumps(o, JSON_COMPACT);

	json_decref(o);
	return text;
}

static int
make_now(struct hb_warroom *w)
{
	char *text;

	if (is_made(w, &w->now))
		return 0;
	text = now_text(w);
	return keep(w, &w->now, text, text == NULL ? 0 : strlen(text));
}

/* As Server-Sent Events have it. JSON in compact form has no line end in it. */
static int
make_event(struct hb_warroom *w)
{
	char *json, *event = NULL;
	int bytes = 0;

	if (is_made(w, &w->event))
		return 0;
	json = now_text(w);
	if (json != NULL)
		bytes = asprintf(&event, "id: %llu\ndata: %s\n\n", (unsigned long long)w->id, json);
	free(json);
	return keep(w, &w->event, bytes < 0 ? NULL : event, (size_t)bytes);
}

char *
warroom_history(struct hb_warroom *w, unsigned step_s, size_t *bytes)
{
	struct hb_text t = {0};

	hb_history_write(w->history, step_s, &w->facts, &t);
	return hb_text_end(&t, bytes);
}

static int
make_history(struct hb_warroom *w, struct made *m, unsigned step_s)
{
	size_t bytes = 0;
	char *text;

	if (is_made(w, m))
		return 0;
	/* As much as clients have not taken yet is that of seconds gone by, which nobody else
	 * will be sent. */
	if (w->held > HELD_MAX)
		return -EBUSY;
	text = warroom_history(w, step_s, &bytes);
	return keep(w, m, text, bytes);
}

void
warroom_drop_made(struct hb_warroom *w)
{
	hb_shared_drop(w->now.text);
	hb_shared_drop(w->event.text);
	hb_shared_drop(w->seconds.text);
	hb_shared_drop(w->minutes.text);
	w->now.text = w->event.text = w->seconds.text = w->minutes.text = NULL;
}

/* ---- pages --------------------------------------------------------------------------- */

static int
send_made(struct evbuffer *out, struct hb_page_ask *ask, const struct made *m)
{
	ask->shared = true;
	return hb_shared_add(out, m->text);
}

static int
refuse(struct hb_page_ask *ask, int err, const char *why)
{
	ask->why = why;
	return err;
}

static int
on_now(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	struct hb_warroom *w = context;
	int err;

	if (ask->query != NULL)
		return refuse(ask, -EINVAL, "there is no query here; ask for /api/now");
	if ((err = make_now(w)) != 0)
		return err;
	return send_made(out, ask, &w->now);
}

static int
on_history(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	struct hb_warroom *w = context;
	bool seconds = ask->query != NULL && strcmp(ask->query, "step=1") == 0;
	bool minutes = ask->query != NULL && strcmp(ask->query, "step=60") == 0;
	struct made *m = seconds ? &w->seconds : &w->minutes;
	int err;

	if (!seconds && !minutes)
		return refuse(ask, -EINVAL,
			"ask for /api/history?step=1 (the last hour) or ?step=60 (the last day)");
	if ((err = make_history(w, m, seconds ? 1 : 60)) != 0)
		return refuse(ask, err, too_much);
	return send_made(out, ask, m);
}

/* What a reader of the stream gets first: how soon to come back, and the present. */
static int
on_live(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	static const char retry[] = "retry: 2000\n\n";
	struct hb_warroom *w = context;
	int err;

	if (ask->query != NULL)
		return refuse(ask, -EINVAL, "there is no query here; ask for /api/live");
	if ((err = make_event(w)) != 0)
		return err;
	if (evbuffer_add_reference(out, retry, sizeof(retry) - 1, NULL, NULL) != 0)
		return -ENOMEM;
	return send_made(out, ask, &w->event);
}

static int
on_asset(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	const struct warroom_asset *a = context;

	ask->shared = true;
	return evbuffer_add_reference(out, a->of, (size_t)(a->end - a->of), NULL, NULL) == 0
		       ? 0
		       : -ENOMEM;
}

int
warroom_serve(struct hb_warroom *w, struct hb_error *e)
{
	struct hb_service *s = w->service;
	int err = 0;

	for (unsigned i = 0; err == 0 && i < warroom_assets_count; i++) {
		const struct warroom_asset *a = &warroom_assets[i];

		err = hb_service_page(s, a->path, a->content_type, on_asset, (void *)a);
	}
	if (err == 0)
		err = hb_service_page(s, "/api/now", JSON_TYPE, on_now, w);
	if (err == 0)
		err = hb_service_page(s, "/api/history", JSON_TYPE, on_history, w);
	if (err == 0)
		err = hb_service_stream(s, "/api/live", "text/event-stream", on_live, w, &w->live);
	return err == 0 ? 0 : hb_fail(e, -err, "no memory for the war room's pages");
}

/* ---- the stream ---------------------------------------------------------------------- */

void
warroom_tell(struct hb_warroom *w)
{
	if (hb_stream_readers(w->live) > 0 && make_event(w) == 0)
		hb_stream_send(w->live, w->event.text);
}

void
warroom_end_live(struct hb_warroom *w)
{
	static const char end[] = "event: end\ndata: {\"reason\":\"stopping\"}\n\n";
	struct hb_shared *text = hb_shared_make(strdup(end), sizeof(end) - 1, NULL);

	hb_stream_send(w->live, text);
	hb_shared_drop(text);
}
