/* SPDX-License-Identifier: BSD-3-Clause */
#include "peer.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>

/* An answer that isn't whole by then is none. */
#define ANSWER_S 2
/* A day of a host with all its curves is some 1 MiB. */
#define ANSWER_BYTES (16 << 20)
/* The present of a host with all that it can have is some 200 KiB. */
#define NOW_BYTES (1 << 20)

int
peer_parse(struct peer *p, const char *text, size_t bytes, struct hb_error *e)
{
	const char *colon = memrchr(text, ':', bytes), *from = text, *to = colon;
	char *end;
	long port = 0;

	*p = (struct peer){0};
	if (bytes < sizeof(p->name))
		memcpy(p->name, text, bytes);
	if (colon != NULL && text[0] == '[' && colon[-1] == ']') {
		from++;
		to--;
	}
	if (colon != NULL)
		port = strtol(colon + 1, &end, 10);
	if (colon == NULL || to <= from || (size_t)(to - from) >= sizeof(p->host) || port < 1 ||
		port > 65535 || end != text + bytes || bytes >= sizeof(p->name) ||
		(from == text && memchr(from, ':', (size_t)(to - from)) != NULL))
		return hb_fail(e, EINVAL,
			"--peers: '%.*s' is no HOST:PORT; name each host and the port of its "
			"metrics, such as 10.0.0.1:9180 or [fd00::1]:9180",
			(int)(bytes < 80 ? bytes : 80), text);
	memcpy(p->host, from, (size_t)(to - from));
	p->port = (uint16_t)port;
	return 0;
}

int
peer_begin(struct peer *p, struct event_base *base, struct evdns_base *dns, struct hb_error *e)
{
	p->connection = evhttp_connection_base_new(base, dns, p->host, p->port);
	if (p->connection == NULL)
		return hb_fail(e, ENOMEM, "no memory for the connection to %s", p->name);
	evhttp_connection_set_timeout(p->connection, ANSWER_S);
	evhttp_connection_set_retries(p->connection, 0);
	evhttp_connection_set_max_headers_size(p->connection, 16 << 10);
	snprintf(p->why, sizeof(p->why), "it was not asked yet");
	return 0;
}

void
peer_end(struct peer *p)
{
	/* Ends the request under way, too. */
	if (p->connection != NULL)
		evhttp_connection_free(p->connection);
	json_decref(p->now);
	peer_forget_past(p);
}

void
peer_forget_past(struct peer *p)
{
	json_decref(p->history[0]);
	json_decref(p->history[1]);
	p->history[0] = p->history[1] = NULL;
	p->histories = 0;
}

bool
peer_is_heard(const struct peer *p, uint64_t now_ns)
{
	return p->now != NULL && now_ns - p->heard_ns <= PEER_OLD_NS;
}

json_int_t
peer_number(const struct peer *p)
{
	return json_integer_value(json_object_get(p->now, "host"));
}

/* ---- answers ------------------------------------------------------------------------- */

/* The answer's object, or NULL, and then `why` says why. */
static json_t *
read_answer(struct peer *p, struct evhttp_request *req)
{
	json_error_t error;
	json_t *o = NULL;

	p->asked = NULL;
	if (req == NULL || evhttp_request_get_response_code(req) == 0) {
		snprintf(p->why, sizeof(p->why), "it doesn't answer");
	} else if (evhttp_request_get_response_code(req) != 200) {
		snprintf(p->why, sizeof(p->why), "it answers %d",
			evhttp_request_get_response_code(req));
	} else {
		struct evbuffer *body = evhttp_request_get_input_buffer(req);
		size_t bytes = evbuffer_get_length(body);

		o = json_loadb((const char *)evbuffer_pullup(body, -1), bytes, 0, &error);
		if (json_integer_value(json_object_get(o, "format")) == 1) {
			p->why[0] = '\0';
			return o;
		}
		snprintf(
			p->why, sizeof(p->why), "what it answers is no war room's of this version");
	}
	json_decref(o);
	return NULL;
}

static void
ask(struct peer *p, const char *path, int most_bytes,
	void (*answered)(struct evhttp_request *, void *))
{
	struct evhttp_request *req = evhttp_request_new(answered, p);

	if (req == NULL)
		return;
	evhttp_add_header(evhttp_request_get_output_headers(req), "Host", p->name);
	evhttp_connection_set_max_body_size(p->connection, most_bytes);
	p->asked = req;
	if (evhttp_make_request(p->connection, req, EVHTTP_REQ_GET, path) != 0)
		p->asked = NULL;
}

static void ask_for_past(struct peer *p);

static void
on_history(struct evhttp_request *req, void *arg)
{
	struct peer *p = arg;
	char why[sizeof(p->why)];

	/* Without it there is less to show, but figures of now. */
	memcpy(why, p->why, sizeof(why));
	json_t *o = read_answer(p, req);

	memcpy(p->why, why, sizeof(why));
	if (p->histories >= HB_COUNT_OF(p->history)) {
		/* It was waited for no longer: the past has been taken without it. */
		json_decref(o);
		return;
	}
	/* Each core's load, which makes most of it and isn't added up. */
	json_object_del(o, "workers");
	p->history[p->histories++] = o;
	ask_for_past(p);
}

static void
ask_for_past(struct peer *p)
{
	static const char *const path[] = {"/api/history?step=1", "/api/history?step=60"};

	if (p->histories < HB_COUNT_OF(path))
		ask(p, path[p->histories], ANSWER_BYTES, on_history);
}

/* The present comes before the past, so that this is never older. */
static void
on_now(struct evhttp_request *req, void *arg)
{
	struct peer *p = arg;
	json_t *o = read_answer(p, req);

	if (o == NULL)
		return;
	uint64_t started = (uint64_t)json_integer_value(json_object_get(o, "started_us"));
	uint64_t id = (uint64_t)json_integer_value(json_object_get(o, "id"));

	/* The same second again is no news: its figures stand still. A new one counts from when it
	 * was asked for, as it may have been long on its way. */
	if (p->now == NULL || id != p->id || started != p->started_us)
		p->heard_ns = p->asked_ns;
	p->id = id;
	if (p->started_us != 0 && p->started_us != started)
		p->restarted_us = hb_wall_us(); /* its own clock may be another */
	p->started_us = started;
	json_decref(p->now);
	p->now = o;
	ask_for_past(p);
}

void
peer_ask(struct peer *p)
{
	if (p->asked != NULL)
		return;
	p->asked_ns = hb_mono_ns();
	ask(p, "/api/now", NOW_BYTES, on_now);
}
