/* SPDX-License-Identifier: BSD-3-Clause */
/* A request under way, from the handler's side. */
#include "service_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static hb_handler *
find_handler(const struct hb_service *s, const struct hb_command *command)
{
	for (unsigned i = 0; i < s->served_count; i++) {
		if (s->served[i].command == command)
			return s->served[i].handle;
	}
	return NULL;
}

void
hb_ask_begin(struct hb_conn *c, struct hb_request_line *r, size_t line_bytes)
{
	struct hb_service *s = c->service;
	struct hb_ask *a = calloc(1, sizeof(*a));
	hb_handler *handle = find_handler(s, r->command);
	struct hb_refused no = {.code = HB_REFUSAL_DENIED,
		.remedy = "ask root, or to be listed under control.change of the configuration"};

	if (a != NULL && handle != NULL &&
		(c->peer.may_change || hb_command_right(r->command, r->args) == HB_RIGHT_READ)) {
		*a = (struct hb_ask){.service = s,
			.conn = c,
			.peer = c->peer,
			.request = *r,
			.line_bytes = line_bytes};
		*r = (struct hb_request_line){0};
		hb_conn_hold(c);
		c->ask = a;
		TAILQ_INSERT_TAIL(&s->asks, a, link);
		handle(a, s->context);
		return;
	}
	snprintf(no.why.text, sizeof(no.why.text), "%s: %s may only read", r->command->name,
		c->peer.name);
	if (a == NULL)
		no = (struct hb_refused){.code = HB_REFUSAL_BUSY,
			.why.text = "no memory for the request",
			.remedy = "ask again"};
	else if (handle == NULL) {
		no = (struct hb_refused){
			.code = HB_REFUSAL_UNKNOWN, .remedy = "\"help\" lists what is"};
		snprintf(no.why.text, sizeof(no.why.text), "command '%s': not served here",
			r->command->name);
	}
	free(a);
	hb_conn_refuse(c, r->id, &no);
	hb_request_line_free(r);
}

void
hb_ask_free(struct hb_ask *a)
{
	TAILQ_REMOVE(&a->service->asks, a, link);
	hb_request_line_free(&a->request);
	free(a);
}

/* The connection goes on with what it read meanwhile. */
static void
part(struct hb_ask *a)
{
	struct hb_conn *c = a->conn;

	a->conn = NULL;
	c->ask = NULL;
	if (!c->running)
		hb_conn_go_on(c);
	hb_conn_release(c);
}

static void
end(struct hb_ask *a)
{
	if (a->conn != NULL)
		part(a);
	hb_ask_free(a);
}

const json_t *
hb_ask_args(const struct hb_ask *a)
{
	return a->request.args;
}

const struct hb_peer *
hb_ask_peer(const struct hb_ask *a)
{
	return &a->peer;
}

static void
tell(struct hb_ask *a, json_t *result, bool more)
{
	struct hb_refused no = {.code = HB_REFUSAL_FAILED,
		.why.text = "no memory for the answer",
		.remedy = "ask again"};

	if (a->conn == NULL)
		json_decref(result);
	else if (result == NULL)
		hb_conn_refuse(a->conn, a->request.id, &no);
	else
		hb_conn_send(a->conn, a->request.id, json_pack("{s:o}", "result", result), more);
}

void
hb_ask_answer(struct hb_ask *a, json_t *result)
{
	tell(a, result, false);
	end(a);
}

void
hb_ask_more(struct hb_ask *a, json_t *result)
{
	/* An error would be taken for the end. */
	if (result != NULL)
		tell(a, result, true);
}

void
hb_ask_refuse(struct hb_ask *a, enum hb_refusal code, const char *remedy, const char *fmt, ...)
{
	struct hb_refused no = {.code = code, .remedy = remedy};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(no.why.text, sizeof(no.why.text), fmt, ap);
	va_end(ap);
	if (a->conn != NULL)
		hb_conn_refuse(a->conn, a->request.id, &no);
	end(a);
}

void
hb_ask_abandon(struct hb_ask *a)
{
	struct hb_refused no = {.code = HB_REFUSAL_BUSY,
		.why.text = "hongbaod is stopping",
		.remedy = "look, when it runs, whether it was carried out; then ask again"};

	if (a->conn == NULL)
		return;
	hb_conn_refuse(a->conn, a->request.id, &no);
	part(a);
}

bool
hb_ask_gone(const struct hb_ask *a)
{
	if (a->conn == NULL || a->conn->closed)
		return true;
	if (a->conn->bev == NULL)
		return false;
	/* A client that has only ended its own side still reads; of one that closed, poll tells a
	 * hang-up. */
	struct pollfd p = {.fd = bufferevent_getfd(a->conn->bev)};
	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0;
}
