/* SPDX-License-Identifier: BSD-3-Clause */
#include "service_rig.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the program -------------------------------------------------------------------- */

static void
on_ping(struct hb_ask *a, void *context)
{
	(void)context;
	hb_ask_answer(a, json_pack("{s:b}", "pong", 1));
}

static void
on_user(struct hb_ask *a, void *context)
{
	(void)context;
	hb_ask_answer(a, json_pack("{s:O}", "user", json_object_get(hb_ask_args(a), "user")));
}

static void
keep(struct hb_ask *a, struct rig *r)
{
	if (r->kept_count == HB_COUNT_OF(r->kept)) {
		hb_ask_refuse(a, HB_REFUSAL_BUSY, NULL, "%u are kept", r->kept_count);
		return;
	}
	r->kept[r->kept_count++] = a;
	hb_count(&r->begun, 1);
}

static void
on_status(struct hb_ask *a, void *context)
{
	keep(a, context);
}

static void
on_steering(struct hb_ask *a, void *context)
{
	hb_ask_more(a, json_pack("{s:i}", "n", 1));
	hb_ask_more(a, json_pack("{s:i}", "n", 2));
	keep(a, context);
}

static void
end_kept(struct rig *r)
{
	while (r->kept_count > 0)
		hb_ask_answer(r->kept[--r->kept_count], json_pack("{s:b}", "late", 1));
}

static void
on_latency(struct hb_ask *a, void *context)
{
	end_kept(context);
	hb_ask_answer(a, json_object());
}

static void
on_journal(struct hb_ask *a, void *context)
{
	struct rig *r = context;
	unsigned left = 0, gone = 0;

	for (unsigned i = 0; i < r->kept_count; i++) {
		if (hb_ask_gone(r->kept[i])) {
			hb_ask_answer(r->kept[i], json_object());
			gone++;
		} else {
			r->kept[left++] = r->kept[i];
		}
	}
	r->kept_count = left;
	hb_count(&r->gone, gone);
	hb_ask_answer(a, json_pack("{s:i}", "gone", (int)gone));
}

static void
on_pool(struct hb_ask *a, void *context)
{
	const json_t *n = json_object_get(hb_ask_args(a), "campaign");
	size_t bytes = 1000 * (size_t)json_integer_value(n);
	char *text = malloc(bytes + 1);

	(void)context;
	memset(text, 'x', bytes);
	hb_ask_answer(a, json_pack("{s:s#}", "text", text, bytes));
	free(text);
}

struct watcher {
	struct hb_ask *ask;
	struct event *timer;
	struct rig *rig;
};

static void
on_watch_timer(int fd, short what, void *arg)
{
	static char text[64 << 10];
	struct watcher *w = arg;

	(void)fd;
	(void)what;
	memset(text, 'x', sizeof(text));
	if (!hb_ask_gone(w->ask)) {
		hb_ask_more(w->ask, json_pack("{s:s#}", "text", text, sizeof(text)));
		return;
	}
	hb_count(&w->rig->gone, 1);
	hb_ask_answer(w->ask, json_object());
	event_free(w->timer);
	free(w);
}

static void
on_watch(struct hb_ask *a, void *context)
{
	struct watcher *w = malloc(sizeof(*w));
	struct timeval t = {.tv_usec = 1000};
	struct rig *r = context;

	w->ask = a;
	w->rig = r;
	w->timer = event_new(hb_service_base(r->service), -1, EV_PERSIST, on_watch_timer, w);
	event_add(w->timer, &t);
}

static void
on_log_level(struct hb_ask *a, void *context)
{
	const char *level = json_string_value(json_object_get(hb_ask_args(a), "level"));

	(void)context;
	hb_ask_refuse(
		a, HB_REFUSAL_REFUSED, "\xC3", "level %s \xFF\xED\xA0\x80 caf\xC3\xA9", level);
}

static void
on_pause(struct hb_ask *a, void *context)
{
	(void)context;
	hb_ask_answer(a,
		json_pack("{s:O,s:s,s:i,s:b}", "paused",
			json_object_get(hb_ask_args(a), "campaign"), "name", hb_ask_peer(a)->name,
			"uid", (int)hb_ask_peer(a)->uid, "may_change", hb_ask_peer(a)->may_change));
}

static const struct hb_service_command commands[] = {
	{"ping", on_ping},
	{"user", on_user},
	{"status", on_status},
	{"steering", on_steering},
	{"latency", on_latency},
	{"journal", on_journal},
	{"pool", on_pool},
	{"watch", on_watch},
	{"log level", on_log_level},
	{"campaign pause", on_pause},
};

static void
on_stopping(void *context)
{
	struct rig *r = context;

	if (!r->keep_at_stop)
		end_kept(r);
}

/* ---- its life ----------------------------------------------------------------------- */

void
rig_prepare(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	strcpy(r->directory, "/tmp/hb-service-XXXXXX");
	assert_non_null(mkdtemp(r->directory));
	snprintf(r->path, sizeof(r->path), "%s/control.sock", r->directory);
	r->terms = (struct hb_service_terms){.socket = r->path,
		.commands = commands,
		.commands_count = HB_COUNT_OF(commands),
		.context = r,
		.stopping = on_stopping};
}

void
rig_start(struct rig *r)
{
	if (hb_service_start(&r->service, &r->terms, &r->e) != 0)
		fail_msg("%s", r->e.text);
	if (hb_service_launch(r->service, NULL, &r->e) != 0)
		fail_msg("%s", r->e.text);
}

void
rig_remove(struct rig *r)
{
	struct dirent *entry;
	DIR *d = opendir(r->directory);

	while ((entry = readdir(d)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(dirfd(d), entry->d_name, 0);
	}
	closedir(d);
	assert_int_equal(rmdir(r->directory), 0);
}

void
rig_stop(struct rig *r)
{
	const struct hb_service_stats *s = hb_service_stats(r->service);

	wait_exactly(&s->clients, 0);
	wait_exactly(&s->held_bytes, 0);
	hb_service_stop(r->service);
	assert_int_not_equal(access(r->path, F_OK), 0);
	hb_service_free(r->service);
	rig_remove(r);
}

static void
wait_for(const uint64_t *counter, uint64_t least, uint64_t most)
{
	uint64_t start_ns = hb_mono_ns(), now;

	while ((now = hb_read(counter)) < least || now > most) {
		if (hb_mono_ns() - start_ns > PATIENCE_MS * 1000000ull)
			fail_msg("a counter is %llu, not %llu", (unsigned long long)now,
				(unsigned long long)least);
		usleep(1000);
	}
}

void
wait_at_least(const uint64_t *counter, uint64_t n)
{
	wait_for(counter, n, UINT64_MAX);
}

void
wait_exactly(const uint64_t *counter, uint64_t n)
{
	wait_for(counter, n, n);
}

/* ---- clients -------------------------------------------------------------------------- */

int
dial(struct rig *r)
{
	int fd = hb_service_connect(r->path, &r->e);

	if (fd < 0)
		fail_msg("%s", r->e.text);
	return fd;
}

static bool
ready(int fd, short what)
{
	struct pollfd p = {.fd = fd, .events = what};

	return poll(&p, 1, PATIENCE_MS) == 1;
}

size_t
put(int fd, const void *bytes, size_t n)
{
	size_t at = 0;

	while (at < n) {
		if (!ready(fd, POLLOUT))
			fail_msg("the service reads no more after %zu bytes", at);
		ssize_t got =
			send(fd, (const char *)bytes + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (got > 0)
			at += (size_t)got;
		else if (errno != EAGAIN)
			break;
	}
	return at;
}

void
say(int fd, const char *line)
{
	char text[4096];
	int n = snprintf(text, sizeof(text), "%s\n", line);

	assert_int_equal(put(fd, text, (size_t)n), n);
}

json_t *
hear(int fd)
{
	size_t room = 4096, n = 0;
	char *text = malloc(room);
	json_error_t why;

	for (;;) {
		if (n == room)
			text = realloc(text, room *= 2);
		if (!ready(fd, POLLIN))
			fail_msg("the service neither answers nor closes");
		/* Up to the newline and no further: what follows is the next answer's. */
		ssize_t got = recv(fd, text + n, room - n, MSG_PEEK);
		if (got <= 0) {
			free(text);
			return NULL;
		}
		char *end = memchr(text + n, '\n', (size_t)got);
		size_t take = end == NULL ? (size_t)got : (size_t)(end - text) + 1 - n;
		assert_int_equal(recv(fd, text + n, take, 0), take);
		n += take;
		if (end != NULL)
			break;
	}
	json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
	if (o == NULL)
		fail_msg("not JSON: %s: %.*s", why.text, (int)n, text);
	assert_int_equal(json_integer_value(json_object_get(o, "hongbao")), 1);
	free(text);
	return o;
}

json_t *
ask(int fd, const char *line)
{
	say(fd, line);
	json_t *o = hear(fd);
	assert_non_null(o);
	return o;
}

void
must_refuse(json_t *answer, const char *code, const char *text)
{
	json_t *e = json_object_get(answer, "error");

	assert_non_null(answer);
	assert_true(json_is_false(json_object_get(answer, "ok")));
	assert_null(json_object_get(answer, "result"));
	assert_string_equal(json_string_value(json_object_get(e, "code")), code);
	const char *said = json_string_value(json_object_get(e, "text"));
	assert_non_null(said);
	if (strstr(said, text) == NULL)
		fail_msg("'%s' is not in: %s", text, said);
	json_decref(answer);
}

json_t *
must_answer(json_t *answer)
{
	assert_non_null(answer);
	if (!json_is_true(json_object_get(answer, "ok")))
		fail_msg("refused: %s", json_dumps(answer, 0));
	assert_null(json_object_get(answer, "error"));
	json_t *result = json_object_get(answer, "result");
	assert_non_null(result);
	return result;
}

void
must_close(int fd)
{
	json_t *o = hear(fd);

	if (o != NULL)
		fail_msg("not closed but: %s", json_dumps(o, 0));
	close(fd);
}

size_t
heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

void
wait_heap_below(size_t bytes)
{
	uint64_t start_ns = hb_mono_ns();

	/* libevent frees a connection a little after it is closed. */
	while (heap_bytes() >= bytes) {
		if (hb_mono_ns() - start_ns > PATIENCE_MS * 1000000ull)
			fail_msg("the heap has %zu bytes, not less than %zu", heap_bytes(), bytes);
		usleep(1000);
	}
}

/* ---- the thread --------------------------------------------------------------------- */

int
thread_number(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *entry;
	int found = 0;

	while ((entry = readdir(d)) != NULL) {
		char path[300], name[32] = "";

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		FILE *f = fopen(path, "r");
		if (f != NULL && fgets(name, sizeof(name), f) != NULL &&
			strcmp(name, "hb-service\n") == 0)
			found = atoi(entry->d_name);
		if (f != NULL)
			fclose(f);
	}
	closedir(d);
	return found;
}

unsigned
thread_cpu_ms(void)
{
	unsigned long user, system;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread_number());
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(
		fscanf(f, "%*d (hb-service) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			&user, &system),
		2);
	fclose(f);
	return (unsigned)((user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
}
