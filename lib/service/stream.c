/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages without an end, such as Server-Sent Events, and the texts that many clients are sent.
 *
 * What is sent to a stream goes to all of its readers, as references to one text. A reader has a
 * small buffer in the kernel and a bound here, and is closed when it falls behind: so what one
 * costs is known, however it behaves.
 */
#include "http_internal.h"

#include <errno.h>
#include <stdlib.h>

/* ---- shared texts -------------------------------------------------------------------- */

struct hb_shared {
	unsigned refs;
	char *text;
	size_t bytes;
	size_t *held;
};

struct hb_shared *
hb_shared_make(char *text, size_t bytes, size_t *held)
{
	struct hb_shared *t = text == NULL ? NULL : malloc(sizeof(*t));

	if (t == NULL) {
		free(text);
		return NULL;
	}
	*t = (struct hb_shared){.refs = 1, .text = text, .bytes = bytes, .held = held};
	if (held != NULL)
		*held += bytes;
	return t;
}

void
hb_shared_drop(struct hb_shared *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	if (t->held != NULL)
		*t->held -= t->bytes;
	free(t->text);
	free(t);
}

static void
on_taken(const void *data, size_t bytes, void *arg)
{
	(void)data;
	(void)bytes;
	hb_shared_drop(arg);
}

int
hb_shared_add(struct evbuffer *out, struct hb_shared *t)
{
	if (evbuffer_add_reference(out, t->text, t->bytes, on_taken, t) != 0)
		return -ENOMEM;
	t->refs++;
	return 0;
}

/* ---- readers ------------------------------------------------------------------------- */

static void
count_readers(struct hb_stream *st, int more)
{
	st->readers += (unsigned)more;
	hb_count(&st->http->service->stats.http_streams, (uint64_t)more);
}

int
http_stream_begin(struct http_client *c, struct hb_stream *st, struct evhttp_request *req,
	const char *content_type, struct evbuffer *first)
{
	struct hb_service *s = c->http->service;

	if (s->stats.http_streams >= s->limits.http_streams)
		return -EBUSY;
	http_put_headers(req, content_type);
	evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
	evhttp_send_reply_start(req, HTTP_OK, "OK");
	/* It may be silent for as long as it likes, as long as it reads. */
	bufferevent_set_timeouts(c->bev, NULL, NULL);
	c->deadline_ns = UINT64_MAX;
	c->stream = st;
	c->request = req;
	count_readers(st, 1);
	if (evbuffer_get_length(first) > 0)
		evhttp_send_reply_chunk(req, first);
	return 0;
}

/* evhttp lets go of a request whose connection is over, and leaves it to us. */
static bool
is_gone(const struct http_client *c)
{
	return evhttp_request_get_connection(c->request) == NULL;
}

static void
send_to(struct http_client *c, struct hb_shared *text)
{
	struct hb_stream *st = c->stream;
	size_t waits = evbuffer_get_length(bufferevent_get_output(c->bev));

	if (c->cut || is_gone(c))
		return;
	if (waits > c->http->service->limits.stream_bytes || hb_shared_add(st->piece, text) != 0) {
		http_cut(c);
		return;
	}
	evhttp_send_reply_chunk(c->request, st->piece);
	evbuffer_drain(st->piece, evbuffer_get_length(st->piece));
}

void
hb_stream_send(struct hb_stream *st, struct hb_shared *text)
{
	struct http_client *c;

	if (st == NULL || text == NULL)
		return;
	TAILQ_FOREACH (c, &st->http->clients, link) {
		if (c->stream == st)
			send_to(c, text);
	}
}

unsigned
hb_stream_readers(const struct hb_stream *st)
{
	return st == NULL ? 0 : st->readers;
}

void
http_stream_watch(struct http_client *c, uint64_t now_ns)
{
	uint64_t most_ns = c->http->service->limits.stalled_ms * 1000000ull;

	if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
		c->behind_ns = 0;
	else if (c->behind_ns == 0)
		c->behind_ns = now_ns;
	else if (now_ns - c->behind_ns >= most_ns)
		http_cut(c);
}

void
http_stream_leave(struct http_client *c)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	bool gone = is_gone(c);

	/* Frees the request where it is ours alone. */
	evhttp_send_reply_end(c->request);
	if (!gone && evbuffer_get_length(out) > 0) {
		/* There is no turn of the loop left in which it would be written. */
		evbuffer_unfreeze(out, 1);
		while (evbuffer_get_length(out) > 0 &&
			evbuffer_write(out, bufferevent_getfd(c->bev)) > 0)
			;
		evbuffer_freeze(out, 1);
	}
	count_readers(c->stream, -1);
	c->stream = NULL;
	c->request = NULL;
}
