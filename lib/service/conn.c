/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client of the control socket: its lines in, its answers out, and the limits to both.
 *
 * A connection is taken off the service's list when it closes and freed when nobody refers to it:
 * an ask may be under way. Requests are worked off one at a time; while one is under way, or
 * answers wait to be read, at most HB_BEHIND_BYTES are read behind it, and the rest waits in the
 * kernel.
 */
#include "service_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- life --------------------------------------------------------------------------- */

void
hb_conn_hold(struct hb_conn *c)
{
	c->refs++;
}

void
hb_conn_release(struct hb_conn *c)
{
	if (--c->refs > 0)
		return;
	hb_count(&c->service->stats.held_bytes, -(uint64_t)c->held);
	free(c);
}

/* Counts what the connection holds. Returns whether that is still fair. */
static bool
count_held(struct hb_conn *c)
{
	struct hb_service *s = c->service;
	size_t held = c->closed ? 0 : evbuffer_get_length(c->in) + evbuffer_get_length(c->out);

	if (c->ask != NULL)
		held += HB_JSON_GROWTH * c->ask->line_bytes;
	hb_count(&s->stats.held_bytes, held - c->held);
	c->held = held;
	return held <= HB_HELD_FAIR || s->stats.held_bytes <= s->limits.held_bytes;
}

void
hb_conn_close(struct hb_conn *c)
{
	struct hb_service *s = c->service;

	if (c->closed)
		return;
	c->closed = true;
	TAILQ_REMOVE(&s->conns, c, link);
	hb_count(&s->stats.clients, -(uint64_t)1);
	if (c->bev != NULL)
		bufferevent_free(c->bev);
	c->bev = NULL;
	event_free(c->timer);
	event_free(c->turn);
	count_held(c);
	hb_conn_release(c);
	hb_service_left(s);
}

/* Sets the timer for what is waited for now; where that is the same as before and nothing came of
 * it meanwhile, it runs on. */
static void
wait_for(struct hb_conn *c, enum hb_conn_wait what)
{
	const struct hb_service_limits *l = &c->service->limits;
	struct timeval t = hb_ms(what == HB_WAIT_LINE	   ? l->line_ms
				 : what == HB_WAIT_REQUEST ? l->idle_ms
							   : l->stop_ms);

	if (what == c->wait && !c->fresh)
		return;
	c->wait = what;
	c->fresh = false;
	if (what == HB_WAIT_NONE)
		event_del(c->timer);
	else
		event_add(c->timer, &t);
}

void
hb_conn_end(struct hb_conn *c)
{
	if (c->closed)
		return;
	c->ending = true;
	if (c->bev != NULL)
		bufferevent_disable(c->bev, EV_READ);
	if (evbuffer_get_length(c->out) == 0 || c->bev == NULL)
		hb_conn_close(c);
	else
		wait_for(c, HB_WAIT_END);
}

/* ---- answers ------------------------------------------------------------------------ */

void
hb_conn_send(struct hb_conn *c, json_t *id, json_t *answer, bool more)
{
	json_t *o = json_pack("{s:i,s:O*,s:b}", "hongbao", HB_SERVICE_VERSION, "id", id, "ok",
		json_object_get(answer, "error") == NULL);
	char *text = NULL;

	if (more)
		json_object_set_new(o, "more", json_true());
	if (!c->closed && json_object_update(o, answer) == 0)
		text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	json_decref(answer);
	if (c->closed)
		return;
	bool lazy = evbuffer_get_length(c->out) > c->service->limits.output_bytes;
	if (text != NULL && !lazy) {
		evbuffer_add(c->out, text, strlen(text));
		evbuffer_add(c->out, "\n", 1);
	}
	/* Who has let so much lie doesn't read. Nor can a client go on whose answer is missing. */
	if (text == NULL || lazy || !count_held(c)) {
		hb_count(&c->service->stats.closed, 1);
		hb_conn_close(c);
	}
	free(text);
}

void
hb_conn_refuse(struct hb_conn *c, json_t *id, const struct hb_refused *no)
{
	hb_count(&c->service->stats.refusals, 1);
	hb_conn_send(c, id, hb_refusal_json(no->code, no->why.text, no->remedy), false);
}

/* Says why and closes. */
static void HB_PRINTF(4, 5)
	expel(struct hb_conn *c, enum hb_refusal code, const char *remedy, const char *fmt, ...)
{
	struct hb_refused no = {.code = code, .remedy = remedy};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(no.why.text, sizeof(no.why.text), fmt, ap);
	va_end(ap);
	hb_count(&c->service->stats.closed, 1);
	hb_conn_hold(c);
	hb_conn_refuse(c, NULL, &no);
	hb_conn_end(c);
	hb_conn_release(c);
}

/* ---- lines -------------------------------------------------------------------------- */

/* Whether a line may be taken on now. */
static bool
is_free(const struct hb_conn *c)
{
	return !c->closed && !c->ending && c->ask == NULL &&
	       (c->bev == NULL || evbuffer_get_length(c->out) < HB_OUTPUT_EASY);
}

/* The bytes of the first line with its newline; 0: there is none yet. */
static size_t
find_line(struct hb_conn *c)
{
	struct evbuffer_ptr from;

	if (c->scanned == evbuffer_get_length(c->in))
		return 0;
	/* What was looked at isn't looked at again: it may come byte by byte. */
	evbuffer_ptr_set(c->in, &from, c->scanned, EVBUFFER_PTR_SET);
	struct evbuffer_ptr at = evbuffer_search(c->in, "\n", 1, &from);
	c->scanned = at.pos >= 0 ? (size_t)at.pos : evbuffer_get_length(c->in);
	return at.pos >= 0 ? (size_t)at.pos + 1 : 0;
}

/* Takes the first line of the input. Returns whether there was one. */
static bool
take_line(struct hb_conn *c)
{
	struct hb_request_line r;
	struct hb_refused no;
	size_t bytes = find_line(c), limit = c->service->limits.line_bytes;

	if (bytes > limit + 1 || (bytes == 0 && c->scanned > limit)) {
		expel(c, HB_REFUSAL_TOO_LONG, "send less at once",
			"the line is longer than %zu bytes", limit);
		return false;
	}
	if (bytes == 0)
		return false;
	const char *line = (const char *)evbuffer_pullup(c->in, (ev_ssize_t)bytes);
	bool good = line != NULL && hb_request_line_read(&r, line, bytes - 1, &no);
	if (line == NULL) {
		r = (struct hb_request_line){0};
		no = (struct hb_refused){HB_REFUSAL_BUSY, {"no memory for the line"}, "ask again"};
	}
	evbuffer_drain(c->in, bytes);
	c->scanned = 0;
	c->fresh = true;
	hb_count(&c->service->stats.requests, 1);
	if (good)
		hb_ask_begin(c, &r, bytes);
	else
		hb_conn_refuse(c, r.id, &no);
	hb_request_line_free(&r);
	return true;
}

/* The client sends nothing more, and nothing that it sent is left but perhaps half a line. */
static void
finish(struct hb_conn *c)
{
	struct hb_refused no = {.code = HB_REFUSAL_USAGE,
		.why.text = "the last line was not ended",
		.remedy = "end it with a newline"};

	if (evbuffer_get_length(c->in) > 0)
		hb_conn_refuse(c, NULL, &no);
	hb_conn_end(c);
}

/* What the connection waits for after a turn, and how much may be read meanwhile. */
static void
settle(struct hb_conn *c, bool more_lines)
{
	bool free_now = is_free(c);

	if (c->closed || c->ending)
		return;
	if (!count_held(c)) {
		expel(c, HB_REFUSAL_BUSY, "ask again later, and read the answers",
			"all clients together hold more than %zu bytes",
			c->service->limits.held_bytes);
		return;
	}
	if (free_now && c->no_more && !more_lines) {
		finish(c);
		return;
	}
	if (more_lines)
		hb_conn_go_on(c);
	if (c->bev != NULL)
		bufferevent_setwatermark(c->bev, EV_READ, 0,
			free_now ? c->service->limits.line_bytes + 2 : HB_BEHIND_BYTES);
	wait_for(c, !free_now || more_lines	     ? HB_WAIT_NONE
		    : evbuffer_get_length(c->in) > 0 ? HB_WAIT_LINE
						     : HB_WAIT_REQUEST);
}

void
hb_conn_run(struct hb_conn *c)
{
	unsigned n = 0;

	if (c->running || c->closed)
		return;
	c->running = true;
	hb_conn_hold(c);
	while (n < HB_LINES_A_TURN && is_free(c) && take_line(c))
		n++;
	settle(c, n == HB_LINES_A_TURN);
	c->running = false;
	hb_conn_release(c);
}

void
hb_conn_go_on(struct hb_conn *c)
{
	if (!c->closed)
		event_active(c->turn, EV_TIMEOUT, 0);
}

/* ---- events ------------------------------------------------------------------------- */

static void
on_turn(int fd, short what, void *arg)
{
	struct hb_conn *c = arg;

	(void)fd;
	(void)what;
	hb_conn_run(c);
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	hb_conn_run(arg);
}

/* What waited has been sent. */
static void
on_written(struct bufferevent *bev, void *arg)
{
	struct hb_conn *c = arg;

	(void)bev;
	if (c->ending)
		hb_conn_close(c);
	else
		hb_conn_run(c);
}

static void
on_end(struct bufferevent *bev, short what, void *arg)
{
	struct hb_conn *c = arg;
	struct pollfd p = {.fd = bufferevent_getfd(bev)};

	if ((what & BEV_EVENT_TIMEOUT) != 0)
		hb_count(&c->service->stats.closed, 1);
	/* A client may end its side and still read; one that closed hangs up as well. */
	if ((what & BEV_EVENT_EOF) == 0 || (poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0)) {
		hb_conn_close(c);
		return;
	}
	c->no_more = true;
	hb_conn_run(c);
}

static void
on_timer(int fd, short what, void *arg)
{
	struct hb_conn *c = arg;

	(void)fd;
	(void)what;
	if (c->wait == HB_WAIT_LINE)
		expel(c, HB_REFUSAL_TIMEOUT, "end a line within that time",
			"the line was not ended within %u ms", c->service->limits.line_ms);
	else if (c->wait == HB_WAIT_REQUEST)
		expel(c, HB_REFUSAL_TIMEOUT, "connect again", "no request within %u ms",
			c->service->limits.idle_ms);
	else
		hb_conn_close(c);
}

/* ---- making ------------------------------------------------------------------------- */

static struct hb_conn *
make(struct hb_service *s)
{
	struct hb_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->service = s;
	c->refs = 1;
	c->timer = event_new(s->base, -1, 0, on_timer, c);
	c->turn = event_new(s->base, -1, 0, on_turn, c);
	if (c->timer == NULL || c->turn == NULL) {
		if (c->timer != NULL)
			event_free(c->timer);
		if (c->turn != NULL)
			event_free(c->turn);
		free(c);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&s->conns, c, link);
	hb_count(&s->stats.clients, 1);
	return c;
}

void
hb_conn_accept(struct hb_service *s, int fd)
{
	struct timeval stalled = hb_ms(s->limits.stalled_ms);
	struct hb_peer peer;
	struct hb_conn *c = NULL;
	struct bufferevent *bev = NULL;

	if (hb_rights_look(&s->rights, fd, &peer) == 0)
		bev = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (bev != NULL)
		c = make(s);
	if (c == NULL) {
		if (bev != NULL)
			bufferevent_free(bev);
		else
			close(fd);
		return;
	}
	c->bev = bev;
	c->in = bufferevent_get_input(bev);
	c->out = bufferevent_get_output(bev);
	c->peer = peer;
	c->fresh = true;
	bufferevent_setcb(bev, on_read, on_written, on_end, c);
	bufferevent_set_timeouts(bev, NULL, &stalled);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	settle(c, false);
}

int
hb_conn_feed(struct hb_service *s, const void *bytes, size_t n, size_t piece, struct evbuffer *out)
{
	struct evbuffer *in = evbuffer_new();
	struct hb_conn *c = in == NULL ? NULL : make(s);

	if (c == NULL) {
		if (in != NULL)
			evbuffer_free(in);
		return -ENOMEM;
	}
	c->in = in;
	c->out = out;
	hb_conn_hold(c);
	for (size_t at = 0; !c->closed && !c->no_more; at += piece) {
		size_t left = n - at;

		c->no_more = left <= piece;
		evbuffer_add(in, (const char *)bytes + at, c->no_more ? left : piece);
		hb_conn_run(c);
		event_base_loop(s->base, EVLOOP_NONBLOCK);
	}
	while (!c->closed && event_base_loop(s->base, EVLOOP_ONCE) == 0)
		;
	hb_conn_close(c);
	hb_conn_release(c);
	evbuffer_free(in);
	return 0;
}
