/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket: real threads, real sockets. What it answers, whom, and what it does with
 * those who mean harm or are just slow.
 */
#include "service_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define PING "{\"hongbao\":1,\"command\":\"ping\"}"

static int
set_up(void **state)
{
	struct rig *r = malloc(sizeof(*r));

	rig_prepare(r);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	free(*state);
	return 0;
}

/* ---- answers ------------------------------------------------------------------------ */

static void
a_request_is_answered_with_its_id(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	int fd = dial(r);
	json_t *o = ask(fd, PING);
	assert_true(json_is_true(json_object_get(must_answer(o), "pong")));
	assert_null(json_object_get(o, "id"));
	assert_null(json_object_get(o, "more"));
	json_decref(o);
	o = ask(fd, "{\"hongbao\":1,\"id\":\"a \\u00e9\",\"command\":\"user\",\"args\":{\"user\":"
		    "\"18446744073709551615\"}}\r");
	assert_string_equal(
		json_string_value(json_object_get(must_answer(o), "user")), "18446744073709551615");
	assert_string_equal(json_string_value(json_object_get(o, "id")), "a \xC3\xA9");
	json_decref(o);
	o = ask(fd, "{\"hongbao\":1,\"id\":-7,\"command\":\"log level\",\"args\":{\"level\":"
		    "\"debug\"}}");
	assert_int_equal(json_integer_value(json_object_get(o, "id")), -7);
	/* What is no UTF-8 comes as question marks, what is, as it is. */
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(o, "error"), "try")), "?");
	must_refuse(o, "refused", "level debug ???? caf\xC3\xA9");
	close(fd);
	rig_stop(r);
}

static void
requests_sent_together_are_answered_in_order(void **state)
{
	struct rig *r = *state;
	char line[128];

	rig_start(r);
	int fd = dial(r), other = dial(r);
	/* The first is answered last of all, by what another client asks. */
	say(fd, "{\"hongbao\":1,\"id\":0,\"command\":\"status\"}");
	for (int i = 1; i <= 200; i++) {
		snprintf(line, sizeof(line), "{\"hongbao\":1,\"id\":%d,\"command\":\"%s\"}", i,
			i % 3 == 0 ? "nonsense" : "ping");
		say(fd, line);
	}
	wait_at_least(&r->begun, 1);
	json_decref(ask(other, "{\"hongbao\":1,\"command\":\"latency\"}"));
	for (int i = 0; i <= 200; i++) {
		json_t *o = hear(fd);

		assert_int_equal(json_integer_value(json_object_get(o, "id")), i);
		json_decref(o);
	}
	close(fd);
	close(other);
	rig_stop(r);
}

static void
a_stream_has_more_until_its_last(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	int fd = dial(r), other = dial(r);
	say(fd, "{\"hongbao\":1,\"id\":5,\"command\":\"steering\"}");
	for (int i = 1; i <= 2; i++) {
		json_t *o = hear(fd);

		assert_int_equal(json_integer_value(json_object_get(must_answer(o), "n")), i);
		assert_int_equal(json_integer_value(json_object_get(o, "id")), 5);
		assert_true(json_is_true(json_object_get(o, "more")));
		json_decref(o);
	}
	json_decref(ask(other, "{\"hongbao\":1,\"command\":\"latency\"}"));
	json_t *o = hear(fd);
	assert_true(json_is_true(json_object_get(must_answer(o), "late")));
	assert_null(json_object_get(o, "more"));
	json_decref(o);
	json_decref(ask(fd, PING));
	close(fd);
	close(other);
	rig_stop(r);
}

static void
an_answer_may_be_long(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	int fd = dial(r);
	json_t *o = ask(fd, "{\"hongbao\":1,\"command\":\"pool\",\"args\":{\"campaign\":20000}}");
	assert_int_equal(json_string_length(json_object_get(must_answer(o), "text")), 20000000);
	json_decref(o);
	json_decref(ask(fd, PING));
	close(fd);
	rig_stop(r);
}

/* A client may say that it sends no more, and read on. */
static void
one_side_may_end_first(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	int fd = dial(r), other = dial(r);
	say(fd, "{\"hongbao\":1,\"command\":\"status\"}\n" PING "\n" PING);
	shutdown(fd, SHUT_WR);
	wait_at_least(&r->begun, 1);
	json_decref(ask(other, "{\"hongbao\":1,\"command\":\"latency\"}"));
	json_t *o = hear(fd);
	assert_true(json_is_true(json_object_get(must_answer(o), "late")));
	json_decref(o);
	/* The line between is empty, and no request. */
	for (int i = 0; i < 2; i++) {
		o = hear(fd);
		must_answer(o);
		json_decref(o);
	}
	must_close(fd);
	close(other);
	rig_stop(r);
}

/* ---- requests that are none --------------------------------------------------------- */

static const struct {
	const char *line, *code, *text;
} bad[] = {
	{"", "usage", "not JSON"},
	{"nonsense", "usage", "not JSON"},
	{"{\"hongbao\":1,\"command\":\"ping\"", "usage", "not JSON"},
	{"{\"hongbao\":1,\"command\":\"ping\"}}", "usage", "not JSON"},
	{"{\"hongbao\":1,\"command\":\"ping\"} " PING, "usage", "not JSON"},
	{"{\"hongbao\":1,\"command\":\"p\xFFng\"}", "usage", "not JSON"},
	{"{\"hongbao\":1,\"command\":\"\\ud800\"}", "usage", "not JSON"},
	{"{\"hongbao\":1,\"command\":\"pi\\u0000ng\"}", "usage", "not JSON"},
	{"{\"hongbao\":1,\"command\":\"ping\",\"command\":\"ping\"}", "usage", "duplicate"},
	{"{\"hongbao\":1,\"command\":\"user\",\"args\":{\"user\":18446744073709551616}}", "usage",
		"too big"},
	{"{\"hongbao\":1,\"command\":\"user\",\"args\":{\"user\":1e999}}", "usage", "overflow"},
	{"{\"hongbao\":1,\"command\":\"user\",\"args\":{\"user\":\"18446744073709551616\"}}",
		"usage", "user"},
	{"[1]", "usage", "not an object"},
	{"7", "usage", "not JSON"},
	{"{}", "usage", "version"},
	{"{\"command\":\"ping\"}", "usage", "version"},
	{"{\"hongbao\":\"1\",\"command\":\"ping\"}", "usage", "version"},
	{"{\"hongbao\":2,\"command\":\"ping\"}", "unknown", "version 2"},
	{"{\"hongbao\":1}", "usage", "command: missing"},
	{"{\"hongbao\":1,\"command\":7}", "usage", "command: not a string"},
	{"{\"hongbao\":1,\"command\":\"pin\"}", "unknown", "'pin'"},
	{"{\"hongbao\":1,\"command\":\"\"}", "unknown", "''"},
	{"{\"hongbao\":1,\"command\":\"drain\"}", "unknown", "not served"},
	{"{\"hongbao\":1,\"command\":\"ping\",\"extra\":1}", "usage", "'extra'"},
	{"{\"hongbao\":1,\"command\":\"ping\",\"args\":[]}", "usage", "args"},
	{"{\"hongbao\":1,\"command\":\"ping\",\"args\":null}", "usage", "args"},
	{"{\"hongbao\":1,\"command\":\"ping\",\"args\":{\"x\":1}}", "usage", "x"},
	{"{\"hongbao\":1,\"command\":\"user\"}", "usage", "user"},
	{"{\"hongbao\":1,\"command\":\"ping\",\"id\":1.5}", "usage", "id"},
	{"{\"hongbao\":1,\"command\":\"ping\",\"id\":{}}", "usage", "id"},
	{"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "usage", "deeper"},
};

static void
what_is_no_request_is_refused_and_the_next_is_answered(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	int fd = dial(r);
	for (unsigned i = 0; i < HB_COUNT_OF(bad); i++) {
		must_refuse(ask(fd, bad[i].line), bad[i].code, bad[i].text);
		json_decref(ask(fd, PING));
	}
	wait_exactly(&hb_service_stats(r->service)->refusals, HB_COUNT_OF(bad));
	close(fd);
	rig_stop(r);
}

static void
a_line_may_hold_any_byte(void **state)
{
	struct rig *r = *state;
	char line[512];

	rig_start(r);
	int fd = dial(r);
	for (int i = 0; i < 2000; i++) {
		uint64_t random = (uint64_t)i;

		for (unsigned b = 0; b < sizeof(line); b++) {
			line[b] = (char)hb_splitmix64(&random);
			line[b] = line[b] == '\n' ? '\0' : line[b];
		}
		line[sizeof(line) - 1] = '\n';
		assert_int_equal(put(fd, line, sizeof(line)), sizeof(line));
		must_refuse(hear(fd), "usage", "");
	}
	close(fd);
	rig_stop(r);
}

static void
what_is_nested_deep_costs_nothing(void **state)
{
	struct rig *r = *state;
	char *line = malloc(1 << 20);

	rig_start(r);
	int fd = dial(r);
	for (unsigned i = 0; i < 2; i++) {
		memset(line, i == 0 ? '[' : '{', 1 << 20);
		line[(1 << 20) - 1] = '\n';
		put(fd, line, 1 << 20);
		must_refuse(hear(fd), "usage", "deeper than 16");
	}
	close(fd);
	free(line);
	rig_stop(r);
}

/* ---- lines that are too long, or never end ------------------------------------------ */

static void
a_line_may_have_so_many_bytes_and_no_more(void **state)
{
	struct rig *r = *state;
	static const char end[] = "\"}";
	size_t most = 1 << 20;
	char *line = malloc(most + 2);

	rig_start(r);
	for (unsigned more = 0; more <= 1; more++) {
		int fd = dial(r);

		memset(line, 'x', most + 1);
		memcpy(line, "{\"hongbao\":1,\"command\":\"", 24);
		memcpy(line + most + more - 2, end, 2);
		line[most + more] = '\n';
		put(fd, line, most + more + 1);
		must_refuse(hear(fd), more == 0 ? "unknown" : "too_long", "");
		if (more == 0)
			close(fd);
		else
			must_close(fd);
	}
	free(line);
	rig_stop(r);
}

static void
ten_megabytes_without_an_end_are_cut_off(void **state)
{
	struct rig *r = *state;
	const size_t bytes = 10 << 20;
	char *line = malloc(bytes);

	rig_start(r);
	memset(line, ' ', bytes);
	size_t before = heap_bytes();
	for (int i = 0; i < 5; i++) {
		int fd = dial(r);

		assert_true(put(fd, line, bytes) < bytes);
		must_refuse(hear(fd), "too_long", "1048576 bytes");
		must_close(fd);
	}
	wait_exactly(&hb_service_stats(r->service)->clients, 0);
	wait_heap_below(before + (256 << 10));
	free(line);
	rig_stop(r);
}

static void
half_a_line_is_waited_for_so_long(void **state)
{
	struct rig *r = *state;
	struct hb_error e;

	r->terms.limits.line_ms = 300;
	rig_start(r);
	int fd = dial(r), slow = hb_service_connect(r->path, &e);
	uint64_t start_ns = hb_mono_ns();
	put(fd, PING "\n{\"hongbao\":", strlen(PING) + 12);
	json_decref(hear(fd));
	/* Who sends a byte now and then doesn't get more time. */
	while (put(slow, "[", 1) == 1 && hb_mono_ns() - start_ns < PATIENCE_MS * 1000000ull)
		usleep(10000);
	uint64_t took_ns = hb_mono_ns() - start_ns;
	assert_true(took_ns >= 290 * 1000000ull && took_ns < 10 * 1000000000ull);
	must_refuse(hear(fd), "timeout", "300 ms");
	must_close(fd);
	must_refuse(hear(slow), "timeout", "300 ms");
	must_close(slow);
	rig_stop(r);
}

static void
half_a_line_and_the_end_is_told_so(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	int fd = dial(r);
	put(fd, PING, strlen(PING));
	shutdown(fd, SHUT_WR);
	must_refuse(hear(fd), "usage", "not ended");
	must_close(fd);
	rig_stop(r);
}

static void
who_says_nothing_is_sent_home(void **state)
{
	struct rig *r = *state;

	r->terms.limits.idle_ms = 300;
	rig_start(r);
	int idle = dial(r), waiting = dial(r), other;
	say(waiting, "{\"hongbao\":1,\"command\":\"status\"}");
	must_refuse(hear(idle), "timeout", "300 ms");
	must_close(idle);
	/* Who waits for an answer isn't idle. */
	other = dial(r);
	json_decref(ask(other, "{\"hongbao\":1,\"command\":\"latency\"}"));
	json_t *o = hear(waiting);
	must_answer(o);
	json_decref(o);
	close(waiting);
	close(other);
	rig_stop(r);
}

/* ---- clients that don't read -------------------------------------------------------- */

static void
a_stream_that_nobody_reads_is_cut_off(void **state)
{
	struct rig *r = *state;
	const struct hb_service_stats *s;

	/* No other limit would do it. */
	r->terms.limits.held_bytes = (size_t)1 << 40;
	r->terms.limits.stalled_ms = 2 * PATIENCE_MS;
	rig_start(r);
	s = hb_service_stats(r->service);
	int fd = dial(r);
	say(fd, "{\"hongbao\":1,\"command\":\"watch\"}");
	while (hb_read(&s->closed) == 0) {
		assert_true(hb_read(&s->held_bytes) < 5 << 20);
		usleep(1000);
	}
	wait_exactly(&s->clients, 0);
	wait_at_least(&r->gone, 1);
	close(fd);
	rig_stop(r);
}

static void
answers_that_nobody_takes_end_the_connection(void **state)
{
	struct rig *r = *state;
	const struct hb_service_stats *s;

	r->terms.limits.stalled_ms = 300;
	rig_start(r);
	s = hb_service_stats(r->service);
	int fd = dial(r);
	say(fd, "{\"hongbao\":1,\"command\":\"pool\",\"args\":{\"campaign\":2000}}");
	wait_at_least(&s->closed, 1);
	wait_exactly(&s->clients, 0);
	close(fd);
	rig_stop(r);
}

/* A client that asks and asks and reads nothing: its requests wait in the kernel, and all is
 * answered once it reads. */
static void
who_asks_without_reading_waits(void **state)
{
	struct rig *r = *state;
	static const char line[] =
		"{\"hongbao\":1,\"command\":\"pool\",\"args\":{\"campaign\":100}}\n";
	unsigned asked = 0;

	rig_start(r);
	int fd = dial(r);
	while (asked < 100000 && send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		asked++;
	assert_true(asked > 100 && asked < 100000);
	assert_true(hb_read(&hb_service_stats(r->service)->held_bytes) < 2 << 20);
	shutdown(fd, SHUT_WR);
	for (unsigned i = 0; i < asked; i++) {
		json_t *o = hear(fd);

		must_answer(o);
		json_decref(o);
	}
	/* The last may have been sent in part. */
	json_t *o = hear(fd);
	json_decref(o);
	close(fd);
	rig_stop(r);
}

static void
all_together_hold_so_much_and_no_more(void **state)
{
	struct rig *r = *state;
	const struct hb_service_stats *s;
	int fd[8];

	r->terms.limits.held_bytes = 3 << 20;
	r->terms.limits.stalled_ms = PATIENCE_MS * 2;
	rig_start(r);
	s = hb_service_stats(r->service);
	for (unsigned i = 0; i < HB_COUNT_OF(fd); i++) {
		fd[i] = dial(r);
		say(fd[i], "{\"hongbao\":1,\"command\":\"pool\",\"args\":{\"campaign\":1200}}");
	}
	/* Two get in, more or less what the kernel takes of it; then one at a time is too much. */
	wait_at_least(&s->closed, 4);
	assert_true(hb_read(&s->held_bytes) <= 3 << 20);
	/* Others go on. */
	int other = dial(r);
	json_decref(ask(other, PING));
	close(other);
	for (unsigned i = 0; i < HB_COUNT_OF(fd); i++)
		close(fd[i]);
	rig_stop(r);
}

/* ---- clients that go ---------------------------------------------------------------- */

static void
a_client_that_goes_before_its_answer_is_noticed(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	int other = dial(r);
	for (unsigned i = 0; i < 3; i++) {
		int fd = dial(r);

		say(fd, "{\"hongbao\":1,\"command\":\"status\"}");
		wait_at_least(&r->begun, i + 1);
		if (i == 1) /* with requests behind it that were not read */
			say(fd, PING "\n" PING);
		if (i == 2) { /* which is seen before the rest is */
			shutdown(fd, SHUT_WR);
			json_decref(ask(other, PING));
		}
		close(fd);
	}
	uint64_t start_ns = hb_mono_ns();
	while (hb_read(&r->gone) < 3 && hb_mono_ns() - start_ns < PATIENCE_MS * 1000000ull)
		json_decref(ask(other, "{\"hongbao\":1,\"command\":\"journal\"}"));
	assert_int_equal(hb_read(&r->gone), 3);
	close(other);
	rig_stop(r);
}

static void
a_client_that_goes_in_a_stream_is_noticed(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	int fd = dial(r);
	say(fd, "{\"hongbao\":1,\"command\":\"watch\"}");
	for (unsigned i = 0; i < 10; i++)
		json_decref(hear(fd));
	close(fd);
	wait_at_least(&r->gone, 1);
	rig_stop(r);
}

/* ---- many clients ------------------------------------------------------------------- */

#define MANY 1000

static void
a_thousand_clients_are_answered(void **state)
{
	struct rig *r = *state;
	static int fd[MANY];

	rig_start(r);
	for (unsigned i = 0; i < MANY; i++)
		fd[i] = dial(r);
	wait_exactly(&hb_service_stats(r->service)->clients, MANY);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < MANY; i++)
			say(fd[i], PING);
		for (unsigned i = 0; i < MANY; i++) {
			json_t *o = hear(fd[i]);

			must_answer(o);
			json_decref(o);
		}
	}
	for (unsigned i = 0; i < MANY; i++)
		close(fd[i]);
	rig_stop(r);
}

static void
one_more_than_the_limit_is_told_so(void **state)
{
	struct rig *r = *state;
	int fd[8];

	r->terms.limits.clients = HB_COUNT_OF(fd);
	rig_start(r);
	for (unsigned i = 0; i < HB_COUNT_OF(fd); i++) {
		fd[i] = dial(r);
		json_decref(ask(fd[i], PING));
	}
	for (unsigned i = 0; i < 3; i++) {
		int more = dial(r);

		must_refuse(hear(more), "busy", "8 clients");
		must_close(more);
	}
	close(fd[0]);
	wait_exactly(&hb_service_stats(r->service)->clients, 7);
	fd[0] = dial(r);
	json_decref(ask(fd[0], PING));
	for (unsigned i = 0; i < HB_COUNT_OF(fd); i++)
		close(fd[i]);
	rig_stop(r);
}

/* Clients wait until the process has files again, and the thread doesn't spin meanwhile. */
static void
without_files_clients_wait(void **state)
{
	struct rig *r = *state;
	struct rlimit before, none;

	assert_int_equal(hb_service_start(&r->service, &r->terms, &r->e), 0);
	const struct hb_service_stats *s = hb_service_stats(r->service);
	int fd = dial(r);
	say(fd, PING);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	uint64_t start_ns = hb_mono_ns();
	assert_int_equal(hb_service_launch(r->service, NULL, &r->e), 0);
	wait_at_least(&s->out_of_files, 4);
	uint64_t times = hb_read(&s->out_of_files), took_ns = hb_mono_ns() - start_ns;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(took_ns >= 250 * 1000000ull);
	assert_true(times <= 2 + took_ns / 90000000);
	json_t *o = hear(fd);
	must_answer(o);
	json_decref(o);
	close(fd);
	rig_stop(r);
}

/* ---- rights ------------------------------------------------------------------------- */

/* Connects as somebody else. The bare system calls change this thread alone. */
static int
dial_as(struct rig *r, uid_t uid, gid_t gid, gid_t other)
{
	assert_int_equal(syscall(SYS_setgroups, 1, &other), 0);
	assert_int_equal(syscall(SYS_setresgid, gid, gid, 0), 0);
	assert_int_equal(syscall(SYS_setresuid, uid, uid, 0), 0);
	int fd = hb_service_connect(r->path, &r->e);
	assert_int_equal(syscall(SYS_setresuid, 0, 0, 0), 0);
	assert_int_equal(syscall(SYS_setresgid, 0, 0, 0), 0);
	assert_int_equal(syscall(SYS_setgroups, 0, NULL), 0);
	return fd;
}

#define PAUSE "{\"hongbao\":1,\"command\":\"campaign pause\",\"args\":{\"campaign\":7}}"

static void
who_may_change_and_who_may_only_read(void **state)
{
	static const char change[][64] = {"54001", "@54300"};
	static const struct {
		uid_t uid;
		gid_t gid, other;
		bool connects, changes;
	} who[] = {
		{54001, 54100, 54999, true, true},   /* listed */
		{54002, 54100, 54999, true, false},  /* in the socket's group */
		{54002, 54999, 54100, true, false},  /* likewise, not as the first group */
		{54003, 54300, 54100, true, true},   /* in a listed group */
		{54003, 54100, 54300, true, true},   /* likewise */
		{54004, 54999, 54998, false, false}, /* nobody */
		{54001, 54999, 54998, false, false}, /* listed, but the door is closed */
		{0, 54999, 54998, true, true},
	};
	struct rig *r = *state;
	struct stat st;

	if (geteuid() != 0) {
		rig_remove(r);
		skip();
	}
	r->terms.group = "54100";
	r->terms.change = change;
	r->terms.changes = HB_COUNT_OF(change);
	rig_start(r);
	assert_int_equal(chmod(r->directory, 0755), 0);
	assert_int_equal(stat(r->path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0660);
	assert_int_equal(st.st_gid, 54100);
	for (unsigned i = 0; i < HB_COUNT_OF(who); i++) {
		int fd = dial_as(r, who[i].uid, who[i].gid, who[i].other);

		if (!who[i].connects) {
			assert_int_equal(fd, -EACCES);
			assert_non_null(strstr(r->e.text, "control.group"));
			continue;
		}
		assert_true(fd >= 0);
		json_decref(ask(fd, PING));
		json_t *o = ask(fd, PAUSE);
		if (who[i].changes)
			assert_int_equal(json_integer_value(json_object_get(must_answer(o), "uid")),
				who[i].uid);
		if (who[i].changes)
			json_decref(o);
		else
			must_refuse(o, "denied", "uid 54002 may only read");
		close(fd);
	}
	rig_stop(r);
}

static void
the_own_user_may_change(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	int fd = dial(r);
	json_t *o = ask(fd, PAUSE), *result = must_answer(o);
	assert_true(json_is_true(json_object_get(result, "may_change")));
	if (geteuid() == 0)
		assert_string_equal(json_string_value(json_object_get(result, "name")), "root");
	json_decref(o);
	close(fd);
	rig_stop(r);
}

static void
names_that_the_host_lacks_are_refused(void **state)
{
	static const char users[][64] = {"root", "no-such-user"}, groups[][64] = {"@no-such-group"};
	struct rig *r = *state;

	r->terms.change = users;
	r->terms.changes = 2;
	assert_int_equal(hb_service_start(&r->service, &r->terms, &r->e), -ENOENT);
	assert_non_null(strstr(r->e.text, "'no-such-user'"));
	r->terms.change = groups;
	r->terms.changes = 1;
	assert_int_equal(hb_service_start(&r->service, &r->terms, &r->e), -ENOENT);
	assert_non_null(strstr(r->e.text, "'no-such-group'"));
	r->terms.changes = 0;
	r->terms.group = "no-such-group";
	assert_int_equal(hb_service_start(&r->service, &r->terms, &r->e), -ENOENT);
	assert_non_null(strstr(r->e.text, "control.group: no group 'no-such-group'"));
	assert_int_not_equal(access(r->path, F_OK), 0);
	rig_remove(r);
}

static void
a_command_that_no_table_has_is_a_mistake(void **state)
{
	static const struct hb_service_command none[] = {{"nonsense", NULL}};
	struct rig *r = *state;

	r->terms.commands = none;
	r->terms.commands_count = 1;
	assert_int_equal(hb_service_start(&r->service, &r->terms, &r->e), -EINVAL);
	rig_remove(r);
}

/* ---- the socket's place ------------------------------------------------------------- */

static int
start_fails(struct rig *r, const char *path, const char *text)
{
	r->terms.socket = path;
	int err = hb_service_start(&r->service, &r->terms, &r->e);

	assert_true(err < 0);
	assert_null(r->service);
	if (strstr(r->e.text, text) == NULL || strstr(r->e.text, path) == NULL)
		fail_msg("'%s' or '%s' is not in: %s", text, path, r->e.text);
	return err;
}

static void
a_place_that_is_taken_is_left_alone(void **state)
{
	struct rig *r = *state;
	char path[300];

	rig_start(r);
	struct hb_service *first = r->service;
	assert_int_equal(start_fails(r, r->path, "a running process listens"), -EADDRINUSE);
	snprintf(path, sizeof(path), "%s/file", r->directory);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(start_fails(r, path, "no socket"), -ENOTSOCK);
	assert_int_equal(hb_service_connect(path, &r->e), -ENOTSOCK);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(r->path, path), 0);
	assert_int_equal(start_fails(r, path, "no socket"), -ENOTSOCK);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(start_fails(r, r->directory, "no socket"), -ENOTSOCK);
	snprintf(path, sizeof(path), "%s/none/control.sock", r->directory);
	assert_int_equal(start_fails(r, path, "directory"), -ENOENT);
	assert_int_equal(hb_service_connect(path, &r->e), -ENOENT);
	snprintf(path, sizeof(path), "%s/", r->directory);
	assert_int_equal(start_fails(r, path, "not the path of a file"), -EINVAL);
	/* The first goes on. */
	r->service = first;
	int fd = dial(r);
	json_decref(ask(fd, PING));
	close(fd);
	rig_stop(r);
}

static void
a_dead_one_is_replaced(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, r->path);
	assert_int_equal(bind(dead, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(dead, 1), 0);
	close(dead);
	assert_int_equal(hb_service_connect(r->path, &r->e), -ECONNREFUSED);
	rig_start(r);
	int fd = dial(r);
	json_decref(ask(fd, PING));
	close(fd);
	rig_stop(r); /* and its directory is empty */
}

static void
only_our_own_socket_is_removed(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	rig_start(r);
	/* Somebody takes the place while we run. */
	assert_int_equal(unlink(r->path), 0);
	strcpy(a.sun_path, r->path);
	assert_int_equal(bind(other, (struct sockaddr *)&a, sizeof(a)), 0);
	hb_service_stop(r->service);
	hb_service_free(r->service);
	assert_int_equal(access(r->path, F_OK), 0);
	close(other);
	rig_remove(r);
}

static void
a_path_may_be_long(void **state)
{
	struct rig *r = *state;
	char deep[700], path[800];
	size_t n = (size_t)snprintf(deep, sizeof(deep), "%s", r->directory);

	for (unsigned i = 0; i < 5; i++) {
		n += (size_t)snprintf(deep + n, sizeof(deep) - n, "/%0100d", i);
		assert_int_equal(mkdir(deep, 0700), 0);
	}
	snprintf(path, sizeof(path), "%s/control.sock", deep);
	r->terms.socket = path;
	rig_start(r);
	int fd = hb_service_connect(path, &r->e);
	assert_true(fd >= 0);
	json_decref(ask(fd, PING));
	close(fd);
	struct hb_service *first = r->service;
	assert_int_equal(start_fails(r, path, "a running process listens"), -EADDRINUSE);
	hb_service_free(first);
	assert_int_not_equal(access(path, F_OK), 0);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(rmdir(deep), 0);
		*strrchr(deep, '/') = '\0';
	}
	rig_remove(r);
}

/* ---- the thread --------------------------------------------------------------------- */

/* A line of the thread's status in /proc, behind its key. */
static void
thread_status(const char *key, char *value, size_t bytes)
{
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", thread_number());
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	value[0] = '\0';
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, key, strlen(key)) == 0)
			snprintf(value, bytes, "%s", line + strlen(key));
	}
	fclose(f);
}

static void
the_thread_has_its_name_its_cpu_and_no_signals(void **state)
{
	struct rig *r = *state;
	cpu_set_t all, one;
	char text[64];
	int cpu = 0;

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(hb_service_start(&r->service, &r->terms, &r->e), 0);
	assert_int_equal(hb_service_launch(r->service, &one, &r->e), 0);
	int fd = dial(r);
	json_decref(ask(fd, PING));
	thread_status("Cpus_allowed_list:", text, sizeof(text));
	assert_int_equal(atoi(text), cpu);
	assert_null(strpbrk(text, ",-"));
	thread_status("SigBlk:", text, sizeof(text));
	uint64_t blocked = strtoull(text, NULL, 16);
	for (int i = 1; i < 32; i++)
		assert_true(i == SIGKILL || i == SIGSTOP || (blocked >> (i - 1) & 1) != 0);
	close(fd);
	rig_stop(r);
}

static void
stop_refuses_what_is_under_way(void **state)
{
	struct rig *r = *state;

	for (unsigned keeps = 0; keeps <= 1; keeps++) {
		if (keeps == 1)
			rig_prepare(r);
		r->keep_at_stop = keeps == 1;
		rig_start(r);
		int fd = dial(r), idle = dial(r), deaf = dial(r);
		json_decref(ask(idle, PING));
		say(fd, "{\"hongbao\":1,\"id\":9,\"command\":\"status\"}");
		wait_at_least(&r->begun, 1);
		/* One that doesn't read doesn't hold it up for long. */
		say(deaf, "{\"hongbao\":1,\"command\":\"pool\",\"args\":{\"campaign\":2000}}");
		wait_at_least(&hb_service_stats(r->service)->held_bytes, 1000000);
		uint64_t start_ns = hb_mono_ns();
		hb_service_stop(r->service);
		assert_true(hb_mono_ns() - start_ns < 10 * 1000000000ull);
		json_t *o = hear(fd);
		assert_int_equal(json_integer_value(json_object_get(o, "id")), 9);
		if (keeps == 1)
			must_refuse(o, "busy", "stopping");
		else
			json_decref(o);
		must_close(fd);
		must_close(idle);
		close(deaf);
		/* The program may end it even now. */
		if (keeps == 1) {
			assert_true(hb_ask_gone(r->kept[0]));
			hb_ask_answer(r->kept[0], json_object());
		}
		hb_service_free(r->service);
		rig_remove(r);
	}
}

static void
a_service_that_never_ran_is_freed(void **state)
{
	struct rig *r = *state;

	assert_int_equal(hb_service_start(&r->service, &r->terms, &r->e), 0);
	int fd = dial(r);
	hb_service_free(r->service);
	must_close(fd);
	assert_int_not_equal(access(r->path, F_OK), 0);
	hb_service_free(NULL);
	rig_remove(r);
}

/* Everything at once, so that the thread sanitizer sees it; and nothing is left of it. */
static void
clients_come_and_go_and_leave_nothing(void **state)
{
	struct rig *r = *state;
	size_t before = 0;

	rig_start(r);
	for (unsigned i = 0; i < 3000; i++) {
		int fd = dial(r);

		say(fd, i % 3 == 0   ? PING
			: i % 3 == 1 ? "nonsense"
				     : "{\"hongbao\":1,\"command\":\"journal\"}");
		if (i % 5 != 0)
			json_decref(hear(fd));
		if (i % 7 == 0)
			put(fd, "{", 1);
		close(fd);
		if (i == 500) {
			wait_exactly(&hb_service_stats(r->service)->clients, 0);
			before = heap_bytes();
		}
	}
	wait_exactly(&hb_service_stats(r->service)->clients, 0);
	wait_heap_below(before + (256 << 10));
	rig_stop(r);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_request_is_answered_with_its_id),
		T(requests_sent_together_are_answered_in_order),
		T(a_stream_has_more_until_its_last),
		T(an_answer_may_be_long),
		T(one_side_may_end_first),
		T(what_is_no_request_is_refused_and_the_next_is_answered),
		T(a_line_may_hold_any_byte),
		T(what_is_nested_deep_costs_nothing),
		T(a_line_may_have_so_many_bytes_and_no_more),
		T(ten_megabytes_without_an_end_are_cut_off),
		T(half_a_line_is_waited_for_so_long),
		T(half_a_line_and_the_end_is_told_so),
		T(who_says_nothing_is_sent_home),
		T(a_stream_that_nobody_reads_is_cut_off),
		T(answers_that_nobody_takes_end_the_connection),
		T(who_asks_without_reading_waits),
		T(all_together_hold_so_much_and_no_more),
		T(a_client_that_goes_before_its_answer_is_noticed),
		T(a_client_that_goes_in_a_stream_is_noticed),
		T(a_thousand_clients_are_answered),
		T(one_more_than_the_limit_is_told_so),
		T(without_files_clients_wait),
		T(who_may_change_and_who_may_only_read),
		T(the_own_user_may_change),
		T(names_that_the_host_lacks_are_refused),
		T(a_command_that_no_table_has_is_a_mistake),
		T(a_place_that_is_taken_is_left_alone),
		T(a_dead_one_is_replaced),
		T(only_our_own_socket_is_removed),
		T(a_path_may_be_long),
		T(the_thread_has_its_name_its_cpu_and_no_signals),
		T(stop_refuses_what_is_under_way),
		T(a_service_that_never_ran_is_freed),
		T(clients_come_and_go_and_leave_nothing),
	};

	signal(SIGPIPE, SIG_DFL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
