/* SPDX-License-Identifier: BSD-3-Clause */
#include "pages.h"

#include "hb_figures.h"
#include "hb_stats.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>

#define JSON_TYPE "application/json"

static const char too_much[] = "too much is on its way to other pages; ask again soon";

/* ---- what is made -------------------------------------------------------------------- */

/* Puts a text that was made into its place. NULL: there was no memory. */
static int
keep(struct hb_warroom_pages *p, struct hb_page_made *m, char *text, size_t bytes)
{
	hb_shared_drop(m->text);
	m->text = hb_shared_make(text, bytes, &p->held);
	m->id = p->id;
	return m->text == NULL ? -ENOMEM : 0;
}

static bool
is_made(const struct hb_warroom_pages *p, const struct hb_page_made *m)
{
	return m->text != NULL && m->id == p->id;
}

static char *
now_text(struct hb_warroom_pages *p)
{
	json_t *o = p->of.now(p->of.context);
	char *text = json_dumps(o, JSON_COMPACT);

	json_decref(o);
	return text;
}

static int
make_now(struct hb_warroom_pages *p)
{
	char *text;

	if (is_made(p, &p->now))
		return 0;
	text = now_text(p);
	return keep(p, &p->now, text, text == NULL ? 0 : strlen(text));
}

/* As Server-Sent Events have it. JSON in compact form has no line end in it. */
static int
make_event(struct hb_warroom_pages *p)
{
	char *json, *event = NULL;
	int bytes = 0;

	if (is_made(p, &p->event))
		return 0;
	json = now_text(p);
	if (json != NULL)
		bytes = asprintf(&event, "id: %llu\ndata: %s\n\n", (unsigned long long)p->id, json);
	free(json);
	return keep(p, &p->event, bytes < 0 ? NULL : event, (size_t)bytes);
}

static int
make_history(struct hb_warroom_pages *p, struct hb_page_made *m, unsigned step_s)
{
	struct hb_text t = {0};
	size_t bytes = 0;

	if (is_made(p, m))
		return 0;
	/* As much as clients have not taken yet is that of seconds gone by, which nobody else
	 * will be sent. */
	if (p->held > HB_PAGES_HELD_MAX)
		return -EBUSY;
	p->of.history(p->of.context, step_s, &t);
	char *text = hb_text_end(&t, &bytes);
	return keep(p, m, text, bytes);
}

void
hb_pages_drop(struct hb_warroom_pages *p)
{
	hb_shared_drop(p->now.text);
	hb_shared_drop(p->event.text);
	hb_shared_drop(p->seconds.text);
	hb_shared_drop(p->minutes.text);
	p->now.text = p->event.text = p->seconds.text = p->minutes.text = NULL;
}

/* ---- pages --------------------------------------------------------------------------- */

static int
send_made(struct evbuffer *out, struct hb_page_ask *ask, const struct hb_page_made *m)
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
	struct hb_warroom_pages *p = context;
	int err;

	if (ask->query != NULL)
		return refuse(ask, -EINVAL, "there is no query here; ask for /api/now");
	if ((err = make_now(p)) != 0)
		return err;
	return send_made(out, ask, &p->now);
}

static int
on_history(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	struct hb_warroom_pages *p = context;
	bool seconds = ask->query != NULL && strcmp(ask->query, "step=1") == 0;
	bool minutes = ask->query != NULL && strcmp(ask->query, "step=60") == 0;
	struct hb_page_made *m = seconds ? &p->seconds : &p->minutes;
	int err;

	if (!seconds && !minutes)
		return refuse(ask, -EINVAL,
			"ask for /api/history?step=1 (the last hour) or ?step=60 (the last day)");
	if ((err = make_history(p, m, seconds ? 1 : 60)) != 0)
		return refuse(ask, err, too_much);
	return send_made(out, ask, m);
}

/* What a reader of the stream gets first: how soon to come back, and the present. */
static int
on_live(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	static const char retry[] = "retry: 2000\n\n";
	struct hb_warroom_pages *p = context;
	int err;

	if (ask->query != NULL)
		return refuse(ask, -EINVAL, "there is no query here; ask for /api/live");
	if ((err = make_event(p)) != 0)
		return err;
	if (evbuffer_add_reference(out, retry, sizeof(retry) - 1, NULL, NULL) != 0)
		return -ENOMEM;
	return send_made(out, ask, &p->event);
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
hb_pages_serve(struct hb_warroom_pages *p, const struct hb_pages_terms *of, struct hb_service *s,
	struct hb_error *e)
{
	int err = 0;

	p->of = *of;
	p->service = s;
	for (unsigned i = 0; err == 0 && i < warroom_assets_count; i++) {
		const struct warroom_asset *a = &warroom_assets[i];

		err = hb_service_page(s, a->path, a->content_type, on_asset, (void *)a);
	}
	if (err == 0)
		err = hb_service_page(s, "/api/now", JSON_TYPE, on_now, p);
	if (err == 0)
		err = hb_service_page(s, "/api/history", JSON_TYPE, on_history, p);
	if (err == 0)
		err = hb_service_stream(s, "/api/live", "text/event-stream", on_live, p, &p->live);
	return err == 0 ? 0 : hb_fail(e, -err, "no memory for the war room's pages");
}

/* ---- the stream ---------------------------------------------------------------------- */

void
hb_pages_second(struct hb_warroom_pages *p, uint64_t id)
{
	p->id = id;
	if (hb_stream_readers(p->live) > 0 && make_event(p) == 0)
		hb_stream_send(p->live, p->event.text);
}

void
hb_pages_stopping(struct hb_warroom_pages *p)
{
	static const char end[] = "event: end\ndata: {\"reason\":\"stopping\"}\n\n";
	struct hb_shared *text = hb_shared_make(strdup(end), sizeof(end) - 1, NULL);

	hb_stream_send(p->live, text);
	hb_shared_drop(text);
}

/* ---- about them ---------------------------------------------------------------------- */

void
hb_pages_put(const struct hb_warroom_pages *p, json_t *o)
{
	hb_put(o, "open", hb_stream_readers(p->live));
	if (p->service == NULL)
		return;
	hb_put(o, "most", hb_service_limits(p->service)->http_streams);
	hb_put(o, "closed", hb_read(&hb_service_stats(p->service)->http_lazy));
}
