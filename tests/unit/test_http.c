/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The HTTP listener, by bytes on a socket: what it serves, and whom it refuses.
 */
#include "service_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int
make_metrics(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	(void)ask;
	(void)context;
	evbuffer_add_printf(out, "hongbao_up 1\n# EOF\n");
	return 0;
}

static int
make_large(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	(void)ask;
	char text[1000];

	(void)context;
	memset(text, 'x', sizeof(text));
	for (unsigned i = 0; i < 20000; i++)
		evbuffer_add(out, text, sizeof(text));
	return 0;
}

static int
make_nothing(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	(void)ask;
	(void)context;
	evbuffer_add_printf(out, "half a page");
	return -EIO;
}

/* What its query says. */
static int
make_asked(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	(void)context;
	evbuffer_add_printf(out, "asked");
	if (ask->query == NULL)
		return 0;
	ask->why = "write no query";
	return strcmp(ask->query, "busy") == 0 ? -EBUSY : -EINVAL;
}

/* ---- a stream ------------------------------------------------------------------------ */

#define EVENT_BYTES 4096

/* One that sends an event of EVENT_BYTES every so often, from the launch on. */
static struct {
	struct hb_stream *stream;
	struct event *timer;
	size_t held;	    /* of its texts */
	unsigned long sent; /* events */
	unsigned ms;	    /* between two */
} feed;

static struct hb_shared *
event_text(const char *word, unsigned long n)
{
	char *text = malloc(EVENT_BYTES);
	int begun = snprintf(text, EVENT_BYTES, "%s %lu ", word, n);

	memset(text + begun, '.', EVENT_BYTES - (size_t)begun);
	memcpy(text + EVENT_BYTES - 2, "\n\n", 2);
	return hb_shared_make(text, EVENT_BYTES, &feed.held);
}

static void
on_event(int fd, short what, void *context)
{
	struct hb_shared *text = event_text("event", ++feed.sent);

	(void)fd;
	(void)what;
	(void)context;
	hb_stream_send(feed.stream, text);
	hb_shared_drop(text);
}

static int
begin_stream(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	(void)ask;
	(void)context;
	evbuffer_add_printf(out, "first %lu\n\n", feed.sent);
	return 0;
}

static void
on_stopping(void *context)
{
	struct hb_shared *text = event_text("last", feed.sent);

	(void)context;
	hb_stream_send(feed.stream, text);
	hb_shared_drop(text);
}

static void
make_feed(struct rig *r)
{
	feed.sent = 0;
	feed.timer = NULL;
	assert_int_equal(hb_service_stream(r->service, "/feed", "text/event-stream", begin_stream,
				 NULL, &feed.stream),
		0);
	if (feed.stream == NULL)
		return;
	feed.timer = event_new(hb_service_base(r->service), -1, EV_PERSIST, on_event, NULL);
	event_add(feed.timer, &(struct timeval){.tv_usec = feed.ms * 1000});
}

/* Before the service is freed, and after it has stopped. */
static void
unmake_feed(void)
{
	if (feed.timer != NULL)
		event_free(feed.timer);
	feed.timer = NULL;
}

static void
start_at(struct rig *r, const char *address)
{
	r->terms.stopping = on_stopping;
	r->terms.http = address;
	if (hb_service_start(&r->service, &r->terms, &r->e) != 0)
		fail_msg("%s", r->e.text);
	assert_int_equal(hb_service_page(r->service, "/metrics",
				 "application/openmetrics-text; version=1.0.0", make_metrics, r),
		0);
	assert_int_equal(hb_service_page(r->service, "/large", "text/plain", make_large, r), 0);
	assert_int_equal(hb_service_page(r->service, "/nothing", "text/plain", make_nothing, r), 0);
	assert_int_equal(hb_service_page(r->service, "/asked", "text/plain", make_asked, r), 0);
	make_feed(r);
	assert_int_equal(hb_service_launch(r->service, NULL, &r->e), 0);
}

static int
set_up(void **state)
{
	struct rig *r = malloc(sizeof(*r));

	rig_prepare(r);
	feed.ms = 500;
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	free(*state);
	return 0;
}

/* ---- a client ----------------------------------------------------------------------- */

static int
reach(struct rig *r)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)hb_service_http_port(r->service)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static bool
arrives(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, PATIENCE_MS) == 1;
}

struct reply {
	int status; /* 0: closed without one */
	char head[4096];
	char body[4096]; /* its beginning */
	size_t bytes;	 /* of the body */
};

/* A header's value, "" when it is absent. */
static const char *
header(const struct reply *p, const char *name)
{
	static char value[256];
	size_t n = strlen(name);

	value[0] = '\0';
	for (const char *line = p->head; line != NULL; line = strstr(line, "\r\n")) {
		line += line == p->head ? 0 : 2;
		if (strncasecmp(line, name, n) == 0 && line[n] == ':')
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(line + n + 2, "\r"),
				line + n + 2);
	}
	return value;
}

static void
take_reply(int fd, bool head_only, struct reply *p)
{
	size_t n = 0, length;

	*p = (struct reply){0};
	while (strstr(p->head, "\r\n\r\n") == NULL) {
		if (!arrives(fd))
			fail_msg("no answer, and the connection stays open");
		if (n + 1 >= sizeof(p->head) || recv(fd, p->head + n, 1, 0) <= 0)
			return;
		n++;
	}
	assert_int_equal(sscanf(p->head, "HTTP/1.%*d %d", &p->status), 1);
	length = head_only ? 0 : strtoull(header(p, "Content-Length"), NULL, 10);
	while (p->bytes < length) {
		char piece[65536];

		assert_true(arrives(fd));
		ssize_t got = recv(fd, piece,
			length - p->bytes < sizeof(piece) ? length - p->bytes : sizeof(piece), 0);
		assert_true(got > 0);
		if (p->bytes < sizeof(p->body) - 1)
			memcpy(p->body + p->bytes, piece,
				(size_t)got < sizeof(p->body) - 1 - p->bytes
					? (size_t)got
					: sizeof(p->body) - 1 - p->bytes);
		p->bytes += (size_t)got;
	}
}

/* One request on a connection of its own. */
static int
fetch(struct rig *r, const char *request, struct reply *p)
{
	int fd = reach(r);

	put(fd, request, strlen(request));
	take_reply(fd, strncmp(request, "HEAD", 4) == 0, p);
	close(fd);
	return p->status;
}

static bool
ends(int fd)
{
	char c[4096];
	ssize_t n;

	while (arrives(fd)) {
		n = recv(fd, c, sizeof(c), 0);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return true;
	}
	return false;
}

#define GET(path, host) "GET " path " HTTP/1.1\r\nHost: " host "\r\n\r\n"

static void
stop(struct rig *r)
{
	wait_exactly(&hb_service_stats(r->service)->http_clients, 0);
	assert_int_equal(hb_read(&hb_service_stats(r->service)->http_streams), 0);
	hb_service_stop(r->service);
	unmake_feed();
	rig_stop(r);
	assert_int_equal(feed.held, 0);
}

/* ---- pages -------------------------------------------------------------------------- */

static void
a_page_is_served(void **state)
{
	struct rig *r = *state;
	struct reply p;

	start_at(r, "127.0.0.1:0");
	assert_int_equal(fetch(r, GET("/metrics", "127.0.0.1:9180"), &p), 200);
	assert_string_equal(p.body, "hongbao_up 1\n# EOF\n");
	assert_string_equal(
		header(&p, "Content-Type"), "application/openmetrics-text; version=1.0.0");
	assert_string_equal(header(&p, "Content-Length"), "19");
	assert_string_equal(header(&p, "Cache-Control"), "no-store");
	assert_string_equal(header(&p, "X-Content-Type-Options"), "nosniff");
	assert_non_null(strstr(header(&p, "Content-Security-Policy"), "default-src 'self'"));
	assert_int_equal(fetch(r, GET("/metrics?x=1", "localhost"), &p), 200);
	assert_int_equal(
		fetch(r, "GET http://127.0.0.1/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", &p),
		200);
	assert_int_equal(fetch(r, GET("/large", "localhost"), &p), 200);
	assert_int_equal(p.bytes, 20000000);
	stop(r);
}

static void
a_head_has_no_body(void **state)
{
	static const char head[] = "HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct rig *r = *state;
	struct reply p;
	int fd;

	start_at(r, "127.0.0.1:0");
	fd = reach(r);
	for (unsigned i = 0; i < 2; i++) {
		put(fd, head, strlen(head));
		take_reply(fd, true, &p);
		assert_int_equal(p.status, 200);
		assert_string_equal(header(&p, "Content-Length"), "19");
	}
	close(fd);
	stop(r);
}

static void
a_connection_is_kept_and_requests_may_follow(void **state)
{
	static const char last[] =
		"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	struct rig *r = *state;
	struct reply p;

	start_at(r, "127.0.0.1:0");
	int fd = reach(r);
	for (unsigned i = 0; i < 5; i++) {
		put(fd, GET("/metrics", "localhost"), strlen(GET("/metrics", "localhost")));
		take_reply(fd, false, &p);
		assert_int_equal(p.status, 200);
	}
	put(fd, GET("/metrics", "localhost") GET("/metrics", "localhost"),
		2 * strlen(GET("/metrics", "localhost")));
	for (unsigned i = 0; i < 2; i++) {
		take_reply(fd, false, &p);
		assert_int_equal(p.status, 200);
	}
	put(fd, last, strlen(last));
	take_reply(fd, false, &p);
	assert_int_equal(p.status, 200);
	assert_true(ends(fd));
	close(fd);
	/* As of old. */
	assert_int_equal(fetch(r, "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n", &p), 200);
	stop(r);
}

/* ---- refusals ----------------------------------------------------------------------- */

static const struct {
	const char *request;
	int status;
} bad[] = {
	{GET("/", "localhost"), 404},
	{GET("/metrics/", "localhost"), 404},
	{GET("/../metrics", "localhost"), 404},
	{GET("/nothing", "localhost"), 500},
	{GET("/asked?x=1", "localhost"), 400},
	{GET("/asked?busy", "localhost"), 503},
	{GET("/feed/", "localhost"), 404},
	{GET("/feed", "evil.example"), 421},
	{"POST /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405},
	{GET("/metrics", "evil.example"), 421},
	{GET("/metrics", "evil.example:9180"), 421},
	{GET("/metrics", "localhost.evil.example"), 421},
	{GET("/metrics", "127.0.0.1.evil.example"), 421},
	{GET("/metrics", "10.0.0.1"), 421},
	{GET("/metrics", "127.0.0.2"), 421},
	{GET("/metrics", "[::1]"), 421},
	{GET("/metrics", "["), 421},
	{GET("/metrics", ""), 421},
	{"GET /metrics HTTP/1.1\r\n\r\n", 421},
	{"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 421},
	{"GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 421},
	{"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405},
	{"DELETE /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
	{"OPTIONS /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
	{"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody", 413},
	{"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody", 413},
	{"GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
	 "chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
		413},
};

static void
what_is_no_page_is_refused(void **state)
{
	struct rig *r = *state;
	struct reply p;

	start_at(r, "127.0.0.1:0");
	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		if (fetch(r, bad[i].request, &p) != bad[i].status)
			fail_msg("%s: %d, not %d", bad[i].request, p.status, bad[i].status);
		/* One line that says why; and nothing of a page that was begun. */
		assert_null(strstr(p.body, "half a page"));
	}
	assert_int_equal(fetch(r, GET("/metrics", "localhost"), &p), 200);
	stop(r);
}

static void
what_is_no_http_is_cut_off(void **state)
{
	static const char *const lines[] = {
		"nonsense\r\n\r\n",
		"\r\n\r\n\r\n\r\nGET\r\n\r\n",
		"GET /metrics HTTP/9.9\r\nHost: localhost\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost localhost\r\n\r\n",
		"{\"hongbao\":1,\"command\":\"ping\"}\n\n",
	};
	struct rig *r = *state;
	struct reply p;
	char *large = malloc(100000);

	start_at(r, "127.0.0.1:0");
	for (unsigned i = 0; i < HB_COUNT_OF(lines); i++) {
		int fd = reach(r);

		put(fd, lines[i], strlen(lines[i]));
		take_reply(fd, false, &p);
		assert_int_not_equal(p.status, 200);
		close(fd);
	}
	/* Headers of more than 8 KiB, in many lines and in one. */
	for (unsigned in_one = 0; in_one <= 1; in_one++) {
		int fd = reach(r);
		int n = snprintf(large, 100000, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n");

		while (n < 20000)
			n += snprintf(large + n, 100000 - (size_t)n, in_one ? "x" : "X: y\r\n");
		n += snprintf(large + n, 100000 - (size_t)n, "\r\n\r\n");
		put(fd, large, (size_t)n);
		take_reply(fd, false, &p);
		assert_int_not_equal(p.status, 200);
		assert_true(ends(fd));
		close(fd);
	}
	free(large);
	assert_int_equal(fetch(r, GET("/metrics", "localhost"), &p), 200);
	stop(r);
}

/* ---- slow, many, gone --------------------------------------------------------------- */

static void
a_request_that_never_ends_is_cut_off(void **state)
{
	struct rig *r = *state;
	struct reply p;

	r->terms.limits.http_ms = 500;
	start_at(r, "127.0.0.1:0");
	int silent = reach(r), slow = reach(r), kept = reach(r);
	put(kept, GET("/metrics", "localhost"), strlen(GET("/metrics", "localhost")));
	take_reply(kept, false, &p);
	assert_int_equal(p.status, 200);
	uint64_t start_ns = hb_mono_ns();
	put(slow, "GET /metrics HTTP/1.1\r\n", 23);
	/* A byte now and then doesn't win time. */
	while (send(slow, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 &&
		hb_mono_ns() - start_ns < PATIENCE_MS * 1000000ull)
		usleep(20000);
	assert_true(hb_mono_ns() - start_ns < PATIENCE_MS * 1000000ull);
	assert_true(hb_mono_ns() - start_ns > 400 * 1000000ull);
	assert_true(ends(slow));
	assert_true(ends(silent));
	/* One that was answered may wait longer, but its next request not. */
	put(kept, "GET", 3);
	assert_true(ends(kept));
	close(silent);
	close(slow);
	close(kept);
	assert_true(hb_read(&hb_service_stats(r->service)->closed) >= 3);
	stop(r);
}

static void
so_many_at_once_and_the_others_wait(void **state)
{
	struct rig *r = *state;
	struct reply p;
	int fd[4];

	r->terms.limits.http_clients = HB_COUNT_OF(fd);
	r->terms.limits.http_ms = 2 * PATIENCE_MS;
	start_at(r, "127.0.0.1:0");
	for (unsigned i = 0; i < HB_COUNT_OF(fd); i++)
		fd[i] = reach(r);
	wait_exactly(&hb_service_stats(r->service)->http_clients, HB_COUNT_OF(fd));
	int more = reach(r);
	put(more, GET("/metrics", "localhost"), strlen(GET("/metrics", "localhost")));
	/* Another client's round trip shows that the thread had its turn. */
	int ctl = dial(r);
	json_decref(ask(ctl, "{\"hongbao\":1,\"command\":\"ping\"}"));
	close(ctl);
	assert_int_equal(hb_read(&hb_service_stats(r->service)->http_clients), HB_COUNT_OF(fd));
	assert_int_equal(hb_read(&hb_service_stats(r->service)->http_requests), 0);
	close(fd[0]);
	take_reply(more, false, &p);
	assert_int_equal(p.status, 200);
	for (unsigned i = 1; i < HB_COUNT_OF(fd); i++)
		close(fd[i]);
	close(more);
	stop(r);
}

/* Clients wait until the process has files again, and the thread doesn't spin meanwhile. */
static void
without_files_clients_wait(void **state)
{
	struct rig *r = *state;
	struct rlimit before, none;
	struct reply p;

	r->terms.http = "127.0.0.1:0";
	assert_int_equal(hb_service_start(&r->service, &r->terms, &r->e), 0);
	const struct hb_service_stats *s = hb_service_stats(r->service);
	assert_int_equal(hb_service_page(r->service, "/metrics", "text/plain", make_metrics, r), 0);
	assert_int_equal(
		hb_service_page(r->service, "/metrics", "text/plain", make_metrics, r), -EEXIST);
	int fd = reach(r), other = dial(r);
	put(fd, GET("/metrics", "localhost"), strlen(GET("/metrics", "localhost")));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(hb_service_launch(r->service, NULL, &r->e), 0);
	/* The control socket's clients wait as well, and are counted ten times a second. */
	wait_at_least(&s->out_of_files, 8);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(thread_cpu_ms() < 200);
	close(other);
	take_reply(fd, false, &p);
	assert_int_equal(p.status, 200);
	close(fd);
	stop(r);
}

static void
clients_come_and_go_and_leave_nothing(void **state)
{
	struct rig *r = *state;
	size_t before = 0;
	struct reply p;

	start_at(r, "127.0.0.1:0");
	for (unsigned i = 0; i < 300; i++) {
		int fd = reach(r);
		const char *what = i % 3 == 0	? GET("/large", "localhost")
				   : i % 3 == 1 ? GET("/metrics", "localhost")
						: "GET /metr";

		put(fd, what, strlen(what));
		if (i % 3 == 1)
			take_reply(fd, false, &p);
		close(fd);
		if (i == 30) {
			wait_exactly(&hb_service_stats(r->service)->http_clients, 0);
			before = heap_bytes();
		}
	}
	wait_exactly(&hb_service_stats(r->service)->http_clients, 0);
	wait_heap_below(before + (256 << 10));
	stop(r);
}

static void
stop_ends_those_that_are_connected(void **state)
{
	struct rig *r = *state;
	struct reply p;

	start_at(r, "127.0.0.1:0");
	int silent = reach(r), kept = reach(r), deaf = reach(r);
	put(kept, GET("/metrics", "localhost"), strlen(GET("/metrics", "localhost")));
	take_reply(kept, false, &p);
	put(deaf, GET("/large", "localhost"), strlen(GET("/large", "localhost")));
	wait_at_least(&hb_service_stats(r->service)->http_requests, 2);
	hb_service_stop(r->service);
	unmake_feed();
	rig_stop(r);
	assert_true(ends(silent));
	assert_true(ends(kept));
	assert_true(ends(deaf));
	close(silent);
	close(kept);
	close(deaf);
}

/* ---- streams ------------------------------------------------------------------------ */

/* A reader of the stream, its pieces put together again. */
struct reader {
	int fd;
	char got[4 * EVENT_BYTES];
	size_t bytes;
	bool over; /* the end was told, as the protocol has it */
};

static struct reader
read_feed(struct rig *r, struct reply *p)
{
	struct reader of = {.fd = reach(r)};

	put(of.fd, GET("/feed", "localhost"), strlen(GET("/feed", "localhost")));
	take_reply(of.fd, true, p);
	return of;
}

static void
take_exactly(int fd, char *out, size_t n)
{
	for (size_t got = 0; got < n;) {
		assert_true(arrives(fd));
		ssize_t more = recv(fd, out + got, n - got, 0);
		assert_true(more > 0);
		got += (size_t)more;
	}
}

/* Takes the next piece. */
static void
take_piece(struct reader *of)
{
	char line[32], end[2];
	size_t n = 0;

	do
		take_exactly(of->fd, line + n, 1);
	while (line[n++] != '\n' && n < sizeof(line));
	of->bytes = strtoull(line, NULL, 16);
	assert_true(of->bytes < sizeof(of->got));
	take_exactly(of->fd, of->got, of->bytes);
	of->got[of->bytes] = '\0';
	take_exactly(of->fd, end, 2);
	of->over = of->bytes == 0;
}

/* The number of an event, whose piece this must be. */
static unsigned long
event_number(const struct reader *of)
{
	unsigned long n;

	assert_int_equal(of->bytes, EVENT_BYTES);
	assert_int_equal(sscanf(of->got, "event %lu ", &n), 1);
	assert_string_equal(of->got + EVENT_BYTES - 4, "..\n\n");
	return n;
}

static void
a_stream_goes_on_and_ends_with_the_last_word(void **state)
{
	struct rig *r = *state;
	struct reader of[3];
	unsigned long n[HB_COUNT_OF(of)];
	struct reply p;

	feed.ms = 10;
	start_at(r, "127.0.0.1:0");
	for (unsigned i = 0; i < HB_COUNT_OF(of); i++) {
		of[i] = read_feed(r, &p);
		assert_int_equal(p.status, 200);
		assert_string_equal(header(&p, "Content-Type"), "text/event-stream");
		assert_string_equal(header(&p, "Cache-Control"), "no-store");
		assert_string_equal(header(&p, "Transfer-Encoding"), "chunked");
		take_piece(&of[i]);
		assert_int_equal(sscanf(of[i].got, "first %lu\n\n", &n[i]), 1);
	}
	/* Each gets each from then on. */
	for (unsigned k = 0; k < 50; k++) {
		for (unsigned i = 0; i < HB_COUNT_OF(of); i++) {
			take_piece(&of[i]);
			assert_int_equal(event_number(&of[i]), ++n[i]);
		}
	}
	assert_int_equal(hb_read(&hb_service_stats(r->service)->http_streams), HB_COUNT_OF(of));
	/* Who goes leaves nothing, and the others stay. */
	close(of[0].fd);
	wait_exactly(&hb_service_stats(r->service)->http_streams, HB_COUNT_OF(of) - 1);
	take_piece(&of[1]);
	hb_service_stop(r->service);
	for (unsigned i = 1; i < HB_COUNT_OF(of); i++) {
		do
			take_piece(&of[i]);
		while (strncmp(of[i].got, "event", 5) == 0);
		assert_true(strncmp(of[i].got, "last ", 5) == 0);
		take_piece(&of[i]);
		assert_true(of[i].over);
		assert_true(ends(of[i].fd));
		close(of[i].fd);
	}
	stop(r);
}

/* A reader that sends has nothing to say, and is closed; more than is read of it at once, too. */
static void
who_sends_to_a_stream_is_closed(void **state)
{
	static char much[60000];
	struct rig *r = *state;
	struct reply p;

	start_at(r, "127.0.0.1:0");
	memset(much, 'x', sizeof(much));
	for (unsigned i = 0; i < 8; i++) {
		struct reader of = read_feed(r, &p);

		send(of.fd, much, sizeof(much), MSG_NOSIGNAL);
		close(of.fd);
	}
	wait_exactly(&hb_service_stats(r->service)->http_streams, 0);
	stop(r);
}

static void
a_stream_has_a_head_and_an_old_form(void **state)
{
	struct rig *r = *state;
	struct reply p;
	char text[64] = "";

	start_at(r, "127.0.0.1:0");
	assert_int_equal(fetch(r, "HEAD /feed HTTP/1.1\r\nHost: localhost\r\n\r\n", &p), 200);
	assert_string_equal(header(&p, "Content-Type"), "text/event-stream");
	int fd = reach(r);
	put(fd, "GET /feed HTTP/1.0\r\nHost: localhost\r\n\r\n", 40);
	take_reply(fd, true, &p);
	assert_int_equal(p.status, 200);
	assert_string_equal(header(&p, "Transfer-Encoding"), "");
	take_exactly(fd, text, 6);
	assert_string_equal(text, "first ");
	close(fd);
	stop(r);
}

/* What waits for one who doesn't read stays within its bound, and others don't notice. */
static void
who_does_not_read_a_stream_is_closed(void **state)
{
	struct rig *r = *state;
	int small = 4096;
	struct reply p;

	r->terms.limits.stream_bytes = 8 * EVENT_BYTES;
	feed.ms = 2;
	start_at(r, "127.0.0.1:0");
	const struct hb_service_stats *s = hb_service_stats(r->service);
	struct reader good = read_feed(r, &p);
	int deaf = reach(r);
	setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	put(deaf, GET("/feed", "localhost"), strlen(GET("/feed", "localhost")));
	wait_exactly(&s->http_streams, 2);
	uint64_t until_ns = hb_mono_ns() + PATIENCE_MS * 1000000ull;
	take_piece(&good);
	while (hb_read(&s->http_lazy) == 0 || hb_read(&s->http_streams) != 1) {
		assert_true(hb_mono_ns() < until_ns);
		take_piece(&good);
		event_number(&good);
	}
	assert_int_equal(hb_read(&s->http_lazy), 1);
	assert_int_equal(hb_read(&s->closed), 1);
	assert_true(ends(deaf));
	close(deaf);
	close(good.fd);
	stop(r);
}

/* However little it is. */
static void
who_is_behind_for_too_long_is_closed(void **state)
{
	struct rig *r = *state;
	int small = 4096;

	r->terms.limits.stream_bytes = 1u << 30;
	r->terms.limits.stalled_ms = 700;
	feed.ms = 2;
	start_at(r, "127.0.0.1:0");
	int deaf = reach(r);
	setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	put(deaf, GET("/feed", "localhost"), strlen(GET("/feed", "localhost")));
	wait_exactly(&hb_service_stats(r->service)->http_lazy, 1);
	assert_true(ends(deaf));
	close(deaf);
	stop(r);
}

static void
so_many_readers_and_no_more(void **state)
{
	struct rig *r = *state;
	struct reader of[3];
	struct reply p;

	r->terms.limits.http_streams = HB_COUNT_OF(of);
	start_at(r, "127.0.0.1:0");
	for (unsigned i = 0; i < HB_COUNT_OF(of); i++)
		of[i] = read_feed(r, &p);
	assert_int_equal(fetch(r, GET("/feed", "localhost"), &p), 503);
	assert_string_equal(header(&p, "Retry-After"), "2");
	assert_int_equal(fetch(r, GET("/metrics", "localhost"), &p), 200);
	close(of[0].fd);
	wait_exactly(&hb_service_stats(r->service)->http_streams, HB_COUNT_OF(of) - 1);
	of[0] = read_feed(r, &p);
	assert_int_equal(p.status, 200);
	for (unsigned i = 0; i < HB_COUNT_OF(of); i++)
		close(of[i].fd);
	stop(r);
}

/* It has nothing to say. */
static void
a_reader_that_talks_is_closed(void **state)
{
	struct rig *r = *state;
	struct reply p;

	start_at(r, "127.0.0.1:0");
	struct reader of = read_feed(r, &p);
	take_piece(&of);
	put(of.fd, GET("/feed", "localhost"), strlen(GET("/feed", "localhost")));
	wait_exactly(&hb_service_stats(r->service)->closed, 1);
	assert_true(ends(of.fd));
	wait_exactly(&hb_service_stats(r->service)->http_streams, 0);
	close(of.fd);
	stop(r);
}

/* Many who ask for much and take nothing. */
static void
pages_that_nobody_takes_are_bounded(void **state)
{
	struct rig *r = *state;
	struct reply p;
	int fd[8];

	r->terms.limits.http_bytes = 45 << 20;
	start_at(r, "127.0.0.1:0");
	for (unsigned i = 0; i < HB_COUNT_OF(fd); i++) {
		fd[i] = reach(r);
		put(fd[i], GET("/large", "localhost"), strlen(GET("/large", "localhost")));
	}
	wait_exactly(&hb_service_stats(r->service)->http_requests, HB_COUNT_OF(fd));
	assert_true(heap_bytes() < 50 << 20);
	assert_int_equal(fetch(r, GET("/large", "localhost"), &p), 503);
	assert_int_equal(fetch(r, GET("/metrics", "localhost"), &p), 200);
	for (unsigned i = 0; i < HB_COUNT_OF(fd); i++)
		close(fd[i]);
	wait_exactly(&hb_service_stats(r->service)->http_clients, 0);
	assert_int_equal(fetch(r, GET("/large", "localhost"), &p), 200);
	stop(r);
}

/* ---- addresses ---------------------------------------------------------------------- */

static void
all_addresses_take_any_number_but_no_name(void **state)
{
	struct rig *r = *state;
	char request[256], host[64];
	struct reply p;

	start_at(r, "0.0.0.0:0");
	assert_int_equal(fetch(r, GET("/metrics", "10.1.2.3:80"), &p), 200);
	assert_int_equal(fetch(r, GET("/metrics", "[fd00::1]:80"), &p), 200);
	assert_int_equal(fetch(r, GET("/metrics", "localhost"), &p), 200);
	assert_int_equal(fetch(r, GET("/metrics", "evil.example"), &p), 421);
	/* But for this machine's own. */
	assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
	snprintf(request, sizeof(request), "GET /metrics HTTP/1.1\r\nHost: %s:9180\r\n\r\n", host);
	assert_int_equal(fetch(r, request, &p), 200);
	stop(r);
}

static void
ipv6_is_served(void **state)
{
	struct rig *r = *state;
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	struct reply p;

	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		rig_remove(r);
		skip();
	}
	start_at(r, "[::1]:0");
	a.sin6_port = htons((uint16_t)hb_service_http_port(r->service));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	put(fd, GET("/metrics", "[::1]:9180") GET("/metrics", "evil.example"),
		strlen(GET("/metrics", "[::1]:9180") GET("/metrics", "evil.example")));
	take_reply(fd, false, &p);
	assert_int_equal(p.status, 200);
	take_reply(fd, false, &p);
	assert_int_equal(p.status, 421);
	close(fd);
	stop(r);
}

static void
off_listens_nowhere(void **state)
{
	struct rig *r = *state;

	start_at(r, "off");
	assert_int_equal(hb_service_http_port(r->service), 0);
	stop(r);
}

static void
an_address_that_cannot_be_is_refused(void **state)
{
	static const struct {
		const char *address;
		int err;
	} wrong[] = {
		{"127.0.0.1", -EINVAL},
		{"localhost:9180", -EINVAL},
		{"127.0.0.1:99999", -EINVAL},
		{"[::1]", -EINVAL},
		{"nonsense", -EINVAL},
		{"198.51.100.1:9180", -EADDRNOTAVAIL},
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < HB_COUNT_OF(wrong); i++) {
		r->terms.http = wrong[i].address;
		assert_int_equal(hb_service_start(&r->service, &r->terms, &r->e), wrong[i].err);
		assert_non_null(strstr(r->e.text, wrong[i].address));
		assert_non_null(strstr(r->e.text, "\"off\""));
		/* Nor is the socket left. */
		assert_int_not_equal(access(r->path, F_OK), 0);
	}
	rig_remove(r);
}

static void
an_address_in_use_is_an_error_or_a_line(void **state)
{
	struct rig *r = *state;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(a);
	char address[32];
	struct hb_error why;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &bytes), 0);
	snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(a.sin_port));
	r->terms.http = address;
	assert_int_equal(hb_service_start(&r->service, &r->terms, &r->e), -EADDRINUSE);
	assert_non_null(strstr(r->e.text, address));
	assert_non_null(strstr(r->e.text, "another port"));
	r->terms.http_why = &why;
	start_at(r, address);
	assert_non_null(strstr(why.text, address));
	assert_int_equal(hb_service_http_port(r->service), 0);
	int ctl = dial(r);
	json_decref(ask(ctl, "{\"hongbao\":1,\"command\":\"ping\"}"));
	close(ctl);
	close(fd);
	stop(r);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_page_is_served),
		T(a_head_has_no_body),
		T(a_connection_is_kept_and_requests_may_follow),
		T(what_is_no_page_is_refused),
		T(what_is_no_http_is_cut_off),
		T(a_request_that_never_ends_is_cut_off),
		T(so_many_at_once_and_the_others_wait),
		T(without_files_clients_wait),
		T(clients_come_and_go_and_leave_nothing),
		T(stop_ends_those_that_are_connected),
		T(a_stream_goes_on_and_ends_with_the_last_word),
		T(who_sends_to_a_stream_is_closed),
		T(a_stream_has_a_head_and_an_old_form),
		T(who_does_not_read_a_stream_is_closed),
		T(who_is_behind_for_too_long_is_closed),
		T(so_many_readers_and_no_more),
		T(a_reader_that_talks_is_closed),
		T(pages_that_nobody_takes_are_bounded),
		T(all_addresses_take_any_number_but_no_name),
		T(ipv6_is_served),
		T(off_listens_nowhere),
		T(an_address_that_cannot_be_is_refused),
		T(an_address_in_use_is_an_error_or_a_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
