/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The HTTP listener: pages for GET and HEAD, made on the spot.
 *
 * evhttp does the protocol. It has no limit of connections, renews its timeout with each byte, and
 * doesn't tell when a connection ends. So we hold a reference to each connection, start a deadline
 * with a request's first byte, and look four times a second which are late and which are over.
 */
#include "http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER_BYTES_MAX (8 << 10)
#define BACKLOG 128
/* A client that took its page may keep the connection for the next; Prometheus asks once a minute
 * at the slowest by default. Longer than that nobody takes to read a page either. */
#define KEPT_MS 90000
#define TICK_MS 250
/* When evhttp has not seen by then that we ended a connection, it is freed. */
#define CUT_MS 5000
/* Of the kernel for a client, which doubles it; by itself it would take megabytes before we see
 * that nobody reads. */
#define SEND_BUFFER (64 << 10)
/* When a client that is refused for now may ask again. */
#define RETRY_S "2"

static const struct {
	const char *name, *value;
} safe_headers[] = {
	{"Cache-Control", "no-store"},
	{"X-Content-Type-Options", "nosniff"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Content-Security-Policy",
		"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
		"frame-ancestors 'none'"},
};

static uint64_t
deadline(unsigned ms)
{
	return hb_mono_ns() + ms * 1000000ull;
}

/* ---- addresses ---------------------------------------------------------------------- */

static bool
is_any(const struct sockaddr_storage *a)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;

	return a->ss_family == AF_INET ? v4->sin_addr.s_addr == htonl(INADDR_ANY)
				       : IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
}

static bool
is_loopback(const struct sockaddr_storage *a)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;

	return a->ss_family == AF_INET ? ntohl(v4->sin_addr.s_addr) >> 24 == 127
				       : IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/* Whether `text` is the address that is listened on, or any when all are. */
static bool
is_bound(const struct sockaddr_storage *a, const char *text)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;
	struct in6_addr b6;
	struct in_addr b4;

	if (inet_pton(AF_INET, text, &b4) == 1)
		return is_any(a) || (a->ss_family == AF_INET && b4.s_addr == v4->sin_addr.s_addr);
	if (inet_pton(AF_INET6, text, &b6) == 1)
		return is_any(a) ||
		       (a->ss_family == AF_INET6 && memcmp(&b6, &v6->sin6_addr, sizeof(b6)) == 0);
	return false;
}

/* Whether a Host header can be one of a page that was meant for us. A web page of a stranger whose
 * name is made to point here (DNS rebinding) has that name in it. */
static bool
host_is_ours(const struct hb_http *h, const char *host)
{
	char name[256];
	const char *end = host[0] == '[' ? strchr(host, ']') : strchr(host, ':');
	size_t bytes = end == NULL ? strlen(host) : (size_t)(end - host);

	if (bytes >= sizeof(name) || (host[0] == '[' && (end == NULL || bytes < 1)))
		return false;
	if (host[0] == '[')
		snprintf(name, sizeof(name), "%.*s", (int)bytes - 1, host + 1);
	else
		snprintf(name, sizeof(name), "%.*s", (int)bytes, host);
	if (strcasecmp(name, "localhost") == 0)
		return is_loopback(&h->bound) || is_any(&h->bound);
	return is_bound(&h->bound, name) ||
	       (!is_loopback(&h->bound) && strcasecmp(name, h->host) == 0);
}

/* ---- requests ----------------------------------------------------------------------- */

void
http_put_headers(struct evhttp_request *req, const char *content_type)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);

	for (unsigned i = 0; i < HB_COUNT_OF(safe_headers); i++)
		evhttp_add_header(headers, safe_headers[i].name, safe_headers[i].value);
	evhttp_add_header(headers, "Content-Type", content_type);
}

static void
reply(struct evhttp_request *req, int code, const char *reason, const char *content_type,
	struct evbuffer *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	char bytes[24];

	http_put_headers(req, content_type);
	snprintf(bytes, sizeof(bytes), "%zu", evbuffer_get_length(body));
	evhttp_add_header(headers, "Content-Length", bytes);
	if (code != HTTP_OK)
		evhttp_add_header(headers, "Connection", "close");
	if (code == HTTP_SERVUNAVAIL)
		evhttp_add_header(headers, "Retry-After", RETRY_S);
	evhttp_send_reply(req, code, reason,
		evhttp_request_get_command(req) == EVHTTP_REQ_HEAD ? NULL : body);
}

static void
fail(struct evhttp_request *req, int code, const char *reason, struct evbuffer *body,
	const char *text)
{
	evbuffer_drain(body, evbuffer_get_length(body));
	evbuffer_add_printf(body, "%d %s: %s\n", code, reason, text);
	reply(req, code, reason, "text/plain; charset=utf-8", body);
}

/* Whether every host that a request names is ours, and there is one. */
static bool
came_to_us(const struct hb_http *h, struct evhttp_request *req)
{
	const char *in_uri = evhttp_uri_get_host(evhttp_request_get_evhttp_uri(req));
	const struct evkeyval *one;
	bool named = false;

	TAILQ_FOREACH (one, evhttp_request_get_input_headers(req), next) {
		if (strcasecmp(one->key, "Host") != 0)
			continue;
		if (!host_is_ours(h, one->value))
			return false;
		named = true;
	}
	return named && (in_uri == NULL || host_is_ours(h, in_uri));
}

/* The bytes of pages that wait for clients to take them, but for those that are shared. */
static size_t
held_bytes(struct hb_http *h)
{
	struct http_client *c;
	size_t held = 0;

	TAILQ_FOREACH (c, &h->clients, link) {
		if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
			c->own_bytes = 0;
		held += c->own_bytes;
	}
	return held;
}

static void
fail_page(struct evhttp_request *req, int err, struct evbuffer *body, const char *why)
{
	if (err == -EINVAL)
		fail(req, HTTP_BADREQUEST, "Bad Request", body, why);
	else if (err == -EBUSY)
		fail(req, HTTP_SERVUNAVAIL, "Service Unavailable", body, why);
	else
		fail(req, HTTP_INTERNAL, "Internal Server Error", body,
			"the page could not be made");
}

/* A page that was made, in `body`. */
static void
send_page(struct http_client *c, const struct page *p, struct evhttp_request *req,
	struct evbuffer *body, const struct hb_page_ask *ask)
{
	const struct hb_service_limits *l = &c->http->service->limits;
	bool head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
	size_t own = ask->shared || head ? 0 : evbuffer_get_length(body);

	if (p->stream != NULL && !head) {
		if (http_stream_begin(c, p->stream, req, ask->type, body) != 0)
			fail_page(req, -EBUSY, body, "too many pages are open; close some");
	} else if (own > 0 && held_bytes(c->http) + own > l->http_bytes) {
		fail_page(req, -EBUSY, body, "clients have not taken what they asked for");
	} else {
		c->own_bytes = own;
		reply(req, HTTP_OK, "OK", ask->type, body);
	}
}

static void
serve(struct http_client *c, struct evhttp_request *req, struct evbuffer *body)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = evhttp_uri_get_path(uri);
	const struct page *p;
	int err;

	TAILQ_FOREACH (p, &c->http->pages, link) {
		if (path != NULL && strcmp(path, p->path) == 0)
			break;
	}
	if (p == NULL) {
		fail(req, HTTP_NOTFOUND, "Not Found", body, "there is no such page");
		return;
	}
	struct hb_page_ask ask = {
		.accept = evhttp_find_header(evhttp_request_get_input_headers(req), "Accept"),
		.query = evhttp_uri_get_query(uri),
		.type = p->content_type,
		.why = "the page could not be made",
	};
	if ((err = p->make(body, &ask, p->context)) != 0)
		fail_page(req, err, body, ask.why);
	else
		send_page(c, p, req, body, &ask);
}

static struct http_client *
client_of(struct hb_http *h, struct evhttp_request *req)
{
	struct bufferevent *bev =
		evhttp_connection_get_bufferevent(evhttp_request_get_connection(req));
	struct http_client *c;

	TAILQ_FOREACH (c, &h->clients, link) {
		if (c->bev == bev)
			break;
	}
	return c;
}

static void
on_request(struct evhttp_request *req, void *arg)
{
	struct hb_http *h = arg;
	enum evhttp_cmd_type command = evhttp_request_get_command(req);
	struct http_client *c = client_of(h, req);
	struct evbuffer *body = evbuffer_new();

	hb_count(&h->service->stats.http_requests, 1);
	if (body == NULL || c == NULL) {
		evhttp_send_error(req, HTTP_SERVUNAVAIL, NULL);
		if (body != NULL)
			evbuffer_free(body);
		return;
	}
	c->connection = evhttp_request_get_connection(req);
	c->asking = false;
	c->deadline_ns = deadline(KEPT_MS);
	setsockopt(
		bufferevent_getfd(c->bev), SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER}, sizeof(int));
	if (command != EVHTTP_REQ_GET && command != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
		fail(req, HTTP_BADMETHOD, "Method Not Allowed", body, "GET and HEAD only");
	} else if (!came_to_us(h, req)) {
		fail(req, 421, "Misdirected Request", body,
			"the Host header names another; use the address that is listened on");
	} else {
		serve(c, req, body);
	}
	evbuffer_free(body);
}

/* ---- connections -------------------------------------------------------------------- */

void
http_cut(struct http_client *c)
{
	hb_count(&c->http->service->stats.closed, 1);
	hb_count(&c->http->service->stats.http_lazy, c->stream != NULL);
	shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
	/* What it sent and nobody reads must not hide the end behind it: a buffer that is full is
	 * not read any more. The kernel has no more than what came until now. */
	bufferevent_setwatermark(c->bev, EV_READ, 0, 0);
	c->cut = true;
	c->deadline_ns = deadline(CUT_MS);
}

static void
forget(struct http_client *c)
{
	if (c->stream != NULL)
		http_stream_leave(c);
	evbuffer_remove_cb_entry(bufferevent_get_input(c->bev), c->on_bytes);
	bufferevent_decref(c->bev);
	TAILQ_REMOVE(&c->http->clients, c, link);
	hb_count(&c->http->service->stats.http_clients, -(uint64_t)1);
	free(c);
}

/* Whether evhttp is through with a connection. It has ended its side then, so that the client
 * doesn't wait for our tick. */
static bool
is_over(const struct http_client *c)
{
	bufferevent_data_cb read, write;
	bufferevent_event_cb event;
	void *arg;

	bufferevent_getcb(c->bev, &read, &write, &event, &arg);
	return read == NULL && write == NULL && event == NULL;
}

/* A connection that we ended, and whose end evhttp doesn't see. */
static void
free_connection(struct http_client *c)
{
	/* What has not asked yet has nothing but evhttp's own timeout. */
	if (c->connection == NULL)
		return;
	if (c->stream != NULL)
		http_stream_leave(c);
	evhttp_connection_free(c->connection);
	c->connection = NULL;
}

static void
on_tick(int fd, short what, void *arg)
{
	struct hb_http *h = arg;
	struct http_client *c, *next_client;
	uint64_t now_ns = hb_mono_ns();

	(void)fd;
	(void)what;
	for (c = TAILQ_FIRST(&h->clients); c != NULL; c = next_client) {
		next_client = TAILQ_NEXT(c, link);
		if (is_over(c)) {
			forget(c);
		} else if (c->cut) {
			if (now_ns >= c->deadline_ns)
				free_connection(c);
		} else if (c->stream != NULL) {
			http_stream_watch(c, now_ns);
		} else if (now_ns >= c->deadline_ns) {
			http_cut(c);
		}
	}
	if (h->service->stats.http_clients < h->service->limits.http_clients)
		evconnlistener_enable(h->listener);
}

/* No file for another client: the event would come again at once. The next tick listens again.
 * (What is passed is evhttp's, not ours.) */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	(void)arg;
	evconnlistener_disable(listener);
}

static void
on_bytes(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg)
{
	struct http_client *c = arg;

	(void)in;
	if (info->n_added == 0 || c->cut)
		return;
	if (c->stream != NULL) {
		/* It has nothing to say any more; and evhttp would keep it. */
		http_cut(c);
	} else if (!c->asking) {
		c->asking = true;
		c->deadline_ns = deadline(c->http->service->limits.http_ms);
	}
}

/* evhttp asks for what a new connection goes through; NULL would be something without limits. */
static struct bufferevent *
on_connection(struct event_base *base, void *arg)
{
	struct hb_http *h = arg;
	struct http_client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	*c = (struct http_client){.http = h,
		.bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE),
		.deadline_ns = deadline(h->service->limits.http_ms)};
	if (c->bev != NULL)
		c->on_bytes = evbuffer_add_cb(bufferevent_get_input(c->bev), on_bytes, c);
	if (c->on_bytes == NULL) {
		if (c->bev != NULL)
			bufferevent_free(c->bev);
		free(c);
		return NULL;
	}
	/* One reference is evhttp's, one ours. */
	bufferevent_incref(c->bev);
	bufferevent_setwatermark(c->bev, EV_READ, 0, 2 * HEADER_BYTES_MAX);
	TAILQ_INSERT_TAIL(&h->clients, c, link);
	hb_count(&h->service->stats.http_clients, 1);
	if (h->service->stats.http_clients >= h->service->limits.http_clients)
		evconnlistener_disable(h->listener);
	return c->bev;
}

/* ---- making ------------------------------------------------------------------------- */

/* libevent's own would refuse port 0. Returns the address's bytes, 0 where it is none. */
static int
parse_address(const char *text, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (void *)out;
	struct sockaddr_in6 *v6 = (void *)out;
	const char *colon = strrchr(text, ':');
	char host[64];
	uint64_t port;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host) ||
		hb_parse_u64(colon + 1, 0, UINT16_MAX, &port) != 0)
		return 0;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	size_t n = strlen(host);
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1 ? sizeof(*v6) : 0;
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? sizeof(*v4) : 0;
}

static int
listen_on(struct hb_http *h, const char *address, struct hb_error *e)
{
	int bytes = parse_address(address, &h->bound);
	socklen_t got = sizeof(h->bound);

	if (bytes == 0)
		return hb_fail(e, EINVAL,
			"metrics: '%s' is no address with a port; write \"127.0.0.1:9180\", "
			"\"[::1]:9180\" or \"off\"",
			address);
	h->listener = evconnlistener_new_bind(h->service->base, NULL, NULL,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, BACKLOG,
		(struct sockaddr *)&h->bound, bytes);
	if (h->listener == NULL) {
		int err = errno;

		return hb_fail(e, err, "metrics: HTTP cannot listen on %s: %s; %s", address,
			strerror(err),
			err == EADDRINUSE ? "stop who listens there (ss -ltnp shows it), or set "
					    "metrics to another port or \"off\""
					  : "set metrics to an address of this host, or \"off\"");
	}
	getsockname(evconnlistener_get_fd(h->listener), (struct sockaddr *)&h->bound, &got);
	return 0;
}

int
hb_http_make(struct hb_http **out, struct hb_service *s, const char *address, struct hb_error *e)
{
	struct hb_http *h = calloc(1, sizeof(*h));
	struct timeval tick = hb_ms(TICK_MS);
	int r;

	if (h == NULL)
		return hb_fail(e, ENOMEM, "no memory for the HTTP listener");
	TAILQ_INIT(&h->clients);
	TAILQ_INIT(&h->pages);
	h->service = s;
	gethostname(h->host, sizeof(h->host) - 1);
	h->http = evhttp_new(s->base);
	h->tick = event_new(s->base, -1, EV_PERSIST, on_tick, h);
	r = h->http == NULL || h->tick == NULL
		    ? hb_fail(e, ENOMEM, "no memory for the HTTP listener")
		    : listen_on(h, address, e);
	if (r != 0) {
		hb_http_close(h);
		hb_http_free(h);
		return r;
	}
	evhttp_set_max_headers_size(h->http, HEADER_BYTES_MAX);
	evhttp_set_max_body_size(h->http, 0); /* 413 */
	evhttp_set_timeout(h->http, KEPT_MS / 1000);
	/* All, so that the answer to the others is ours too. */
	evhttp_set_allowed_methods(h->http, 0xFFFF);
	evhttp_set_bevcb(h->http, on_connection, h);
	evhttp_set_gencb(h->http, on_request, h);
	evconnlistener_set_error_cb(h->listener, on_accept_error);
	if (evhttp_bind_listener(h->http, h->listener) == NULL) {
		evconnlistener_free(h->listener);
		h->listener = NULL;
		hb_http_close(h);
		hb_http_free(h);
		return hb_fail(e, ENOMEM, "no memory for the HTTP listener");
	}
	event_add(h->tick, &tick);
	*out = h;
	return 0;
}

void
hb_http_close(struct hb_http *h)
{
	if (h->closing)
		return;
	h->closing = true;
	if (h->tick != NULL)
		event_free(h->tick);
	h->tick = NULL;
	struct http_client *c;
	TAILQ_FOREACH (c, &h->clients, link) {
		if (c->stream != NULL)
			http_stream_leave(c);
	}
	/* Frees listener and connections, and what has been written to these goes out still as far
	 * as the kernel has it. */
	if (h->http != NULL)
		evhttp_free(h->http);
	h->http = NULL;
	h->listener = NULL;
	while (!TAILQ_EMPTY(&h->clients))
		forget(TAILQ_FIRST(&h->clients));
}

void
hb_http_free(struct hb_http *h)
{
	struct page *p;

	if (h == NULL)
		return;
	while ((p = TAILQ_FIRST(&h->pages)) != NULL) {
		TAILQ_REMOVE(&h->pages, p, link);
		if (p->stream != NULL)
			evbuffer_free(p->stream->piece);
		free(p->stream);
		free(p);
	}
	free(h);
}

unsigned
hb_http_port(const struct hb_http *h)
{
	const struct sockaddr_in *v4 = (const void *)&h->bound;
	const struct sockaddr_in6 *v6 = (const void *)&h->bound;

	return ntohs(h->bound.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
}

static int
add_page(struct hb_http *h, const char *path, const char *content_type, hb_page *make,
	void *context, struct page **out)
{
	struct page *p;

	TAILQ_FOREACH (p, &h->pages, link) {
		if (strcmp(p->path, path) == 0)
			return -EEXIST;
	}
	if (strlen(path) >= sizeof(p->path) || strlen(content_type) >= sizeof(p->content_type))
		return -ENAMETOOLONG;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	strcpy(p->path, path);
	strcpy(p->content_type, content_type);
	p->make = make;
	p->context = context;
	TAILQ_INSERT_TAIL(&h->pages, p, link);
	*out = p;
	return 0;
}

int
hb_http_page(
	struct hb_http *h, const char *path, const char *content_type, hb_page *make, void *context)
{
	struct page *p;

	return add_page(h, path, content_type, make, context, &p);
}

int
hb_http_stream(struct hb_http *h, const char *path, const char *content_type, hb_page *begin,
	void *context, struct hb_stream **out)
{
	struct hb_stream *st = calloc(1, sizeof(*st));
	struct page *p;
	int err = -ENOMEM;

	if (st != NULL && (st->piece = evbuffer_new()) != NULL)
		err = add_page(h, path, content_type, begin, context, &p);
	if (err != 0) {
		if (st != NULL && st->piece != NULL)
			evbuffer_free(st->piece);
		free(st);
		return err;
	}
	st->http = h;
	p->stream = st;
	*out = st;
	return 0;
}
