/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve.h"

#include "commands.h"
#include "daemon.h"
#include "hb_log.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How often a drain looks whether it is over. */
#define DRAIN_LOOK_US 5000

/* ---- what the service thread is woken for -------------------------------------------- */

static void
on_called(evutil_socket_t fd, short what, void *context)
{
	struct serving *s = context;

	(void)fd;
	(void)what;
	hb_calls_finish(s->calls);
}

/* Tells the operator that the journal's disk gets full, when that begins, gets worse, or lasts. */
static void
watch_room(struct serving *s)
{
	char line[512];

	hb_watch_look(&s->watch, hb_mono_ns());
	bool worse = s->watch.room > s->room_said;

	s->room_said = s->watch.room;
	if (!hb_watch_line(&s->watch, line, sizeof(line)))
		return;
	if (s->watch.room == HB_ROOM_LITTLE)
		hb_log_limited(HB_LOG_ERROR, 1, "%s", line);
	else if (worse)
		hb_log(HB_LOG_WARNING, "%s", line);
}

static void
on_second(evutil_socket_t fd, short what, void *context)
{
	struct daemon *d = context;
	uint64_t now_ns = hb_mono_ns();

	(void)fd;
	(void)what;
	hb_rates_sample(d->serving.view.rates, &d->serving.view, now_ns);
	watch_room(&d->serving);
	hb_warroom_second(d->serving.warroom,
		&(struct hb_settlement){.known = d->serving.watch.settled_us != 0,
			.journalled = hb_read(&d->journal.record),
			.settled = d->serving.watch.settled},
		now_ns);
	end_gone_watchers(&d->serving.tuning);
	hb_log_settle();
}

static void
on_drain(evutil_socket_t fd, short what, void *context)
{
	struct serving *s = context;

	(void)fd;
	(void)what;
	/* A change that is under way comes to its end: it may be money. */
	if (s->tuning.first == NULL && tuning_seen(&s->tuning) && hb_mono_ns() >= s->drain_until_ns)
		__atomic_store_n(&s->over, true, __ATOMIC_RELEASE);
	else
		event_add(s->drain, &(struct timeval){.tv_usec = DRAIN_LOOK_US});
}

int
serve_drain(struct serving *s, uint64_t seconds, struct hb_error *e)
{
	int err = s->tuning.draining ? 0 : tuning_drain(&s->tuning, e);

	if (err != 0)
		return err;
	s->drain_until_ns = hb_mono_ns() + seconds * 1000000000;
	on_drain(-1, 0, s);
	return 0;
}

static void
on_wish(evutil_socket_t fd, short what, void *context)
{
	struct serving *s = context;
	struct hb_error e;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) < 0)
		return;
	unsigned wishes = __atomic_exchange_n(&s->wishes, 0, __ATOMIC_ACQ_REL);

	if (wishes & WISH_REOPEN)
		hb_log_reopen();
	if (wishes & WISH_RELOAD)
		reload_for_signal(&s->tuning);
	/* Without memory to say BUSY it ends all the same. */
	if ((wishes & WISH_DRAIN) && serve_drain(s, 0, &e) != 0)
		__atomic_store_n(&s->over, true, __ATOMIC_RELEASE);
}

void
serve_wish(struct serving *s, enum wish wish)
{
	uint64_t one = 1;

	__atomic_fetch_or(&s->wishes, wish, __ATOMIC_ACQ_REL);
	if (!s->launched || write(s->wish_fd, &one, sizeof(one)) < 0)
		__atomic_store_n(&s->over, true, __ATOMIC_RELEASE);
}

bool
serve_over(const struct serving *s)
{
	return __atomic_load_n(&s->over, __ATOMIC_ACQUIRE);
}

/* ---- begin --------------------------------------------------------------------------- */

static int
make_metrics(struct evbuffer *out, struct hb_page_ask *ask, void *context)
{
	struct daemon *d = context;
	enum hb_metrics_format format = hb_metrics_wanted(ask->accept);
	size_t bytes;
	char *text = hb_view_metrics(
		&d->serving.view, tuning_config(&d->serving.tuning), format, &bytes);

	if (text == NULL)
		return -ENOMEM;
	ask->type = hb_metrics_content_type(format);
	int err = evbuffer_add(out, text, bytes);
	free(text);
	return err == 0 ? 0 : -ENOMEM;
}

/* The service is told to stop. */
static void
on_stopping(void *context)
{
	struct tuning *t = context;

	end_watchers(t);
	hb_warroom_stopping(t->d->serving.warroom);
}

static int
start_service(struct daemon *d, struct hb_error *e)
{
	const struct hb_config *c = d->config;
	struct serving *s = &d->serving;
	struct hb_error why;
	struct hb_service_terms terms = {
		.socket = c->control.socket,
		.group = c->control.group,
		.change = c->control.change,
		.changes = c->control.changes,
		.http = c->metrics,
		.http_why = c->metrics_given ? NULL : &why,
		.commands = daemon_commands,
		.commands_count = daemon_commands_count,
		.context = &s->tuning,
		.stopping = on_stopping,
	};
	int err = hb_service_start(&s->service, &terms, e);

	if (err == 0 && !c->metrics_given && why.text[0] != '\0')
		hb_log(HB_LOG_WARNING, "no metrics and no war room are served: %s", why.text);
	return err;
}

static int
make_events(struct daemon *d, struct hb_error *e)
{
	struct serving *s = &d->serving;
	struct event_base *base = hb_service_base(s->service);

	s->wish_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wish_fd < 0)
		return hb_fail(e, errno, "no eventfd: %s", strerror(errno));
	s->called = event_new(base, hb_calls_fd(s->calls), EV_READ | EV_PERSIST, on_called, s);
	s->wished = event_new(base, s->wish_fd, EV_READ | EV_PERSIST, on_wish, s);
	s->second = event_new(base, -1, EV_PERSIST, on_second, d);
	s->drain = evtimer_new(base, on_drain, s);
	if (s->called == NULL || s->wished == NULL || s->second == NULL || s->drain == NULL ||
		event_add(s->called, NULL) != 0 || event_add(s->wished, NULL) != 0)
		return hb_fail(e, ENOMEM, "no memory for the service thread's events");
	return 0;
}

/* libevent's own lines come to the log. */
static void
on_event_log(int severity, const char *text)
{
	hb_log_limited(severity == EVENT_LOG_ERR ? HB_LOG_ERROR : HB_LOG_WARNING, 10,
		"libevent: %s", text);
}

int
serve_begin(struct daemon *d, struct hb_error *e)
{
	struct serving *s = &d->serving;
	int err;

	event_set_log_callback(on_event_log);
	s->wish_fd = -1;
	s->tuning.log = -1;
	if ((err = hb_calls_make(&s->calls, e)) != 0 || (err = start_service(d, e)) != 0 ||
		(err = make_events(d, e)) != 0)
		return err;
	if (hb_service_page(s->service, "/metrics", hb_metrics_content_type(HB_METRICS_OPEN),
		    make_metrics, d) != 0)
		return hb_fail(e, ENOMEM, "no memory for the metrics");
	return 0;
}

/* Every CPU of the process that no worker has; where workers have them all, the control core's. */
static cpu_set_t
cpus_beside_workers(struct serving *s)
{
	cpu_set_t cpus = s->cpus;
	unsigned lcore;

	RTE_LCORE_FOREACH_WORKER(lcore)
	{
		rte_cpuset_t theirs = rte_lcore_cpuset(lcore);

		for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
			if (CPU_ISSET(cpu, &theirs))
				CPU_CLR(cpu, &cpus);
		}
	}
	s->tuning.beside_worker = CPU_COUNT(&cpus) == 0;
	if (s->tuning.beside_worker)
		cpus = rte_lcore_cpuset(rte_get_main_lcore());
	return cpus;
}

static int
make_view(struct daemon *d, struct hb_error *e)
{
	struct hb_view *v = &d->serving.view;

	*v = (struct hb_view){
		.workers = d->worker,
		.links = d->link,
		.control = &d->control,
		.ports = &d->ports,
		.journal = &d->journal,
		.watch = &d->serving.watch,
		.snapshot = &d->published.now,
		.version = HB_VERSION,
		.started_us = hb_wall_us(),
		.tsc_hz = rte_get_tsc_hz(),
		.n_workers = d->config->workers,
		.hugepages = !d->no_huge,
	};
	hb_watch_begin(&d->serving.watch, d->config->journal, &d->journal);
	hb_watch_look(&d->serving.watch, hb_mono_ns());
	v->rates = hb_rates_make(v);
	if (v->rates == NULL)
		return hb_fail(e, ENOMEM, "no memory for rates");
	/* So that every series is there from the first look on. */
	hb_rates_sample(v->rates, v, hb_mono_ns());
	return hb_views_telemetry(v, e);
}

static const struct hb_config *
config_in_force(void *context)
{
	return tuning_config(context);
}

static int
make_warroom(struct daemon *d, struct hb_error *e)
{
	struct serving *s = &d->serving;
	struct hb_warroom_terms terms = {
		.view = &s->view, .config = config_in_force, .context = &s->tuning};
	int err = hb_warroom_make(&s->warroom, &terms, e);

	return err != 0 ? err : hb_warroom_serve(s->warroom, s->service, e);
}

int
serve_prepare(struct daemon *d, struct hb_error *e)
{
	struct serving *s = &d->serving;
	int err = make_view(d, e);

	/* It is told what was changed before, so it is there before the tuning. */
	if (err == 0)
		err = make_warroom(d, e);
	return err != 0 ? err : tuning_begin(&s->tuning, d, s->service, s->calls, e);
}

int
serve_launch(struct daemon *d, struct hb_error *e)
{
	cpu_set_t cpus = cpus_beside_workers(&d->serving);
	int err;

	/* Now, so that the first second is a whole one. */
	if (event_add(d->serving.second, &(struct timeval){.tv_sec = 1}) != 0)
		return hb_fail(e, ENOMEM, "no memory for the service thread's timer");
	err = hb_service_launch(d->serving.service, &cpus, e);

	d->serving.launched = err == 0;
	return err;
}

/* ---- end ----------------------------------------------------------------------------- */

static void
free_event(struct event *event)
{
	if (event != NULL)
		event_free(event);
}

void
serve_stop(struct daemon *d)
{
	struct serving *s = &d->serving;
	struct hb_config *last;

	if (!s->launched)
		return;
	hb_service_stop(s->service);
	s->launched = false;
	if ((last = hb_config_copy(tuning_config(&s->tuning))) == NULL)
		return;
	hb_config_free(d->config);
	d->config = last;
}

void
serve_free(struct daemon *d)
{
	struct serving *s = &d->serving;

	serve_stop(d);
	free_event(s->called);
	free_event(s->wished);
	free_event(s->second);
	free_event(s->drain);
	tuning_end(&s->tuning);
	hb_service_free(s->service);
	hb_calls_free(s->calls);
	hb_warroom_free(s->warroom);
	hb_views_telemetry(NULL, NULL);
	hb_rates_free(s->view.rates);
	if (s->wish_fd > 0)
		close(s->wish_fd);
	*s = (struct serving){.wish_fd = -1, .tuning = {.log = -1}};
}
