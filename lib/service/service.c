/* SPDX-License-Identifier: BSD-3-Clause */
#include "service_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* Of the kernel's queue of clients that wait to be taken in; it cuts it to its own limit. */
#define BACKLOG 4096
/* Files that the rest of the program may need beside clients. */
#define OTHER_FILES 1024

/* ---- the stop ----------------------------------------------------------------------- */

void
hb_service_left(struct hb_service *s)
{
	if (s->stopping && TAILQ_EMPTY(&s->conns))
		event_base_loopbreak(s->base);
}

/* No more clients, no more requests; what has been asked is refused, and who reads that within
 * stop_ms gets it. */
static void
on_stop(int fd, short what, void *arg)
{
	struct hb_service *s = arg;
	struct hb_conn *c, *next_conn;
	struct hb_ask *a;

	(void)fd;
	(void)what;
	event_del(s->stop_event);
	if (s->stopping_hook != NULL)
		s->stopping_hook(s->context);
	s->stopping = true;
	hb_accept_close(s);
	if (s->http != NULL)
		hb_http_close(s->http);
	TAILQ_FOREACH (a, &s->asks, link)
		hb_ask_abandon(a);
	for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next_conn) {
		next_conn = TAILQ_NEXT(c, link);
		hb_conn_end(c);
	}
	hb_service_left(s);
}

/* ---- making ------------------------------------------------------------------------- */

static void
set_default(unsigned *limit, unsigned value)
{
	if (*limit == 0)
		*limit = value;
}

static void
set_limits(struct hb_service_limits *l)
{
	set_default(&l->clients, 4096);
	set_default(&l->line_bytes, HB_COMMAND_LINE_MAX);
	set_default(&l->output_bytes, 4u << 20);
	set_default(&l->line_ms, 10 * 1000);
	set_default(&l->idle_ms, 10 * 60 * 1000);
	set_default(&l->stalled_ms, 30 * 1000);
	set_default(&l->stop_ms, 1000);
	set_default(&l->http_clients, 1024);
	set_default(&l->http_streams, 512);
	set_default(&l->stream_bytes, 256u << 10);
	set_default(&l->http_ms, 5 * 1000);
	if (l->held_bytes == 0)
		l->held_bytes = 64u << 20;
	if (l->http_bytes == 0)
		l->http_bytes = 64u << 20;
}

static int
bind_commands(struct hb_service *s, const struct hb_service_terms *t, struct hb_error *e)
{
	s->served = calloc(t->commands_count + 1, sizeof(*s->served));
	if (s->served == NULL)
		return hb_fail(e, ENOMEM, "no memory for the table of commands");
	for (unsigned i = 0; i < t->commands_count; i++) {
		s->served[i].command = hb_command_find(t->commands[i].name);
		s->served[i].handle = t->commands[i].handle;
		if (s->served[i].command == NULL)
			return hb_fail(e, EINVAL,
				"command '%s' is served but not in the table of "
				"commands",
				t->commands[i].name);
		s->served_count++;
	}
	return 0;
}

static int
make_events(struct hb_service *s, struct hb_error *e)
{
	/* The service thread takes no signal and shares no event with others: libevent's locks stay
	 * off. Timers of less than a millisecond are kept. */
	struct event_config *config = event_config_new();

	if (config != NULL && event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) == 0)
		s->base = event_base_new_with_config(config);
	if (config != NULL)
		event_config_free(config);
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->base == NULL || s->stop_fd < 0)
		return hb_fail(e, ENOMEM,
			"no event loop for the service thread: %s; raise the limit "
			"of open files (ulimit -n)",
			strerror(errno));
	s->stop_event = event_new(s->base, s->stop_fd, EV_READ | EV_PERSIST, on_stop, s);
	if (s->stop_event == NULL || event_add(s->stop_event, NULL) != 0)
		return hb_fail(e, ENOMEM, "no memory for the service thread's events");
	return 0;
}

int
hb_service_make(struct hb_service **out, const struct hb_service_terms *t, struct hb_error *e)
{
	struct hb_service *s = calloc(1, sizeof(*s));
	int r;

	*out = NULL;
	if (s == NULL)
		return hb_fail(e, ENOMEM, "no memory for the service thread");
	TAILQ_INIT(&s->conns);
	TAILQ_INIT(&s->asks);
	s->claim.fd = s->claim.place.directory = s->stop_fd = -1;
	s->context = t->context;
	s->stopping_hook = t->stopping;
	s->limits = t->limits;
	set_limits(&s->limits);
	if ((r = make_events(s, e)) != 0 || (r = bind_commands(s, t, e)) != 0 ||
		(r = hb_rights_make(&s->rights, t->change, t->changes, e)) != 0) {
		hb_service_free(s);
		return r;
	}
	*out = s;
	return 0;
}

/* Each client is a file; the usual soft limit is 1,024. */
static void
raise_files(const struct hb_service_limits *l)
{
	struct rlimit r;
	rlim_t wanted = (rlim_t)l->clients + l->http_clients + OTHER_FILES;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= wanted)
		return;
	r.rlim_cur = wanted < r.rlim_max ? wanted : r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

static int
start_http(struct hb_service *s, const struct hb_service_terms *t, struct hb_error *e)
{
	if (t->http_why != NULL)
		t->http_why->text[0] = '\0';
	if (t->http == NULL || t->http[0] == '\0' || strcmp(t->http, "off") == 0)
		return 0;
	int r = hb_http_make(&s->http, s, t->http, t->http_why != NULL ? t->http_why : e);
	return t->http_why != NULL ? 0 : r;
}

int
hb_service_start(struct hb_service **out, const struct hb_service_terms *t, struct hb_error *e)
{
	struct hb_service *s;
	int r;

	*out = NULL;
	if ((r = hb_service_make(&s, t, e)) != 0)
		return r;
	raise_files(&s->limits);
	r = t->socket == NULL ? 0 : hb_claim_make(&s->claim, t->socket, t->group, BACKLOG, e);
	if (r == 0 && t->socket != NULL)
		r = hb_accept_make(s, e);
	if (r != 0 || (r = start_http(s, t, e)) != 0) {
		hb_service_free(s);
		return r;
	}
	*out = s;
	return 0;
}

int
hb_service_page(struct hb_service *s, const char *path, const char *content_type, hb_page *make,
	void *context)
{
	return s->http == NULL ? 0 : hb_http_page(s->http, path, content_type, make, context);
}

int
hb_service_stream(struct hb_service *s, const char *path, const char *content_type, hb_page *begin,
	void *context, struct hb_stream **out)
{
	*out = NULL;
	return s->http == NULL ? 0
			       : hb_http_stream(s->http, path, content_type, begin, context, out);
}

const struct hb_service_limits *
hb_service_limits(const struct hb_service *s)
{
	return &s->limits;
}

/* ---- the thread --------------------------------------------------------------------- */

static void *
run(void *arg)
{
	struct hb_service *s = arg;

	pthread_setname_np(pthread_self(), "hb-service");
	hb_thread_prompt();
	event_base_loop(s->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

int
hb_service_launch(struct hb_service *s, const cpu_set_t *cpus, struct hb_error *e)
{
	sigset_t all, before;
	pthread_attr_t how;
	int r;

	pthread_attr_init(&how);
	r = cpus == NULL ? 0 : pthread_attr_setaffinity_np(&how, sizeof(*cpus), cpus);
	/* A thread begins with the mask of the one that makes it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (r == 0)
		r = pthread_create(&s->thread, &how, run, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&how);
	if (r != 0)
		return hb_fail(e, r,
			"the service thread cannot be made: %s; see whether its CPUs "
			"are online and the limit of threads (ulimit -u)",
			strerror(r));
	s->launched = true;
	return 0;
}

void
hb_service_stop(struct hb_service *s)
{
	uint64_t one = 1;

	if (s->launched) {
		/* Cannot fail: the counter is far from full. */
		if (write(s->stop_fd, &one, sizeof(one)) != sizeof(one))
			abort();
		pthread_join(s->thread, NULL);
		s->launched = false;
	}
	s->stopping = true;
	hb_accept_close(s);
	if (s->http != NULL)
		hb_http_close(s->http);
	struct hb_ask *a;
	TAILQ_FOREACH (a, &s->asks, link)
		hb_ask_abandon(a);
	while (!TAILQ_EMPTY(&s->conns))
		hb_conn_close(TAILQ_FIRST(&s->conns));
}

void
hb_service_free(struct hb_service *s)
{
	if (s == NULL)
		return;
	hb_service_stop(s);
	while (!TAILQ_EMPTY(&s->asks))
		hb_ask_free(TAILQ_FIRST(&s->asks));
	hb_http_free(s->http);
	if (s->stop_event != NULL)
		event_free(s->stop_event);
	/* What was freed within a callback goes only now, HTTP's connections too. */
	if (s->base != NULL)
		event_base_free(s->base);
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	hb_rights_free(&s->rights);
	free(s->served);
	free(s);
}

struct event_base *
hb_service_base(struct hb_service *s)
{
	return s->base;
}

const struct hb_service_stats *
hb_service_stats(const struct hb_service *s)
{
	return &s->stats;
}

unsigned
hb_service_http_port(const struct hb_service *s)
{
	return s->http == NULL ? 0 : hb_http_port(s->http);
}
